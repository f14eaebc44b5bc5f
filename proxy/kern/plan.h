/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshot -> the map entries the kernel should hold. Pure: what was found out about this node
 * (namespaces, cgroups) comes in as facts, what the maps hold already comes in as a mapset, the
 * result is a mapset. Ids stay what they were for whatever still exists; objects that must not
 * change in place (rule blocks, identity sets, address sets, backend sets) keep their id while
 * their content is the same and get a new one when it is not.
 *
 * An identity is a distinct (namespace, service account, labels, named ports): whatever a policy
 * can tell pods apart by.
 */
#ifndef WEIR_KERN_PLAN_H
#define WEIR_KERN_PLAN_H

#include "conf/snapshot.h"
#include "kern/mapset.h"

/* A pod that runs here and whose places were found. */
struct weir_plan_pod {
    const struct weir_pod *pod;
    uint64_t netns;        /* cookie */
    uint64_t cgroup;       /* the pod's directory */
    uint64_t proxy_cgroup; /* the sidecar's, below it; 0 = none */
    uint64_t node_cgroup;  /* of the sockets that a worker of this node has in it; 0 = none */
    bool meshed;           /* L7 flows are steered to whoever listens */
};

/* A cgroup that is no pod's: WEIR_ROLE_OUTSIDE or WEIR_ROLE_REFUSED. */
struct weir_plan_cgroup {
    uint64_t id;
    uint8_t role;
};

struct weir_plan_input {
    const struct weir_snapshot *snapshot;
    const struct weir_mapset *installed; /* NULL = nothing yet */
    const char *node;                    /* this one's name; "" = not known */
    const struct weir_plan_pod *pods;
    uint32_t n_pods;
    const struct weir_plan_cgroup *cgroups;
    uint32_t n_cgroups;
    const struct weir_ip
        *node_ips; /* probes come from them; none = the kubelet's connections are recorded */
    uint32_t n_node_ips;
    const struct weir_ip *dns; /* that this node asks; no loopback address among them */
    uint32_t n_dns;
};

struct weir_plan_report {
    uint32_t n_services, n_endpoints, n_identities, n_policies, n_rules;
    uint32_t n_http,
        n_http_pods; /* services with HTTP telemetry, pods here whose OpenSSL is looked at */
    /* A pod with more rules in one direction than the kernel follows: it is cut off there. NULL =
     * none. In the snapshot; and the policy whose rule was the first too many. */
    const struct weir_pod *too_many_rules;
    const struct weir_meta *too_many_at;
    const struct weir_pod
        *no_dns_servers; /* has rules with names, and no server is known; NULL = none */
};

/* 0, -ENOMEM. The result borrows nothing. */
int weir_plan_build(const struct weir_plan_input *input, struct weir_mapset **ret_desired,
                    struct weir_plan_report *ret_report);

/* Of which pods it is asked whether what they may do fits into the kernel. */
enum weir_plan_whose {
    WEIR_PLAN_HERE,
    WEIR_PLAN_ANYWHERE
}; /* those with a place on this node; all */
/*
 * Would the policies of those pods fit into the kernel? *ret_report as above: too_many_rules says which does not. Names count
 * as on a node that knows a DNS server. 0, -ENOMEM.
 */
int weir_plan_check(const struct weir_snapshot *snapshot, enum weir_plan_whose whose,
                    struct weir_plan_report *ret_report);
/* Rules that one pod can have in one direction, counted after those alike have become one. */
#define WEIR_PLAN_RULES (WEIR_BLOCK_RULES * WEIR_BLOCK_CHAIN)
/* plan_fit.c. The same for whoever reads configuration: 0, WEIR_CONF_REFUSED and one more error in *problems, with the place of
 * the policy, or -ENOMEM. */
int weir_plan_fits(const struct weir_snapshot *snapshot, enum weir_plan_whose whose,
                   struct weir_problems *problems);

/* Id of a name in a mapset (WEIR_NAME_*); 0 = none. */
uint32_t weir_plan_id(const struct weir_mapset *set, uint32_t kind, const char *text);
/* "" = none. Borrowed from the set. */
const char *weir_plan_name(const struct weir_mapset *set, uint32_t kind, uint32_t id);

/* Where a change goes: the kernel, or a test. Each returns 0 or what is forwarded. */
struct weir_plan_sink {
    int (*put)(void *arg, enum weir_map map, const void *key, const void *value);
    int (*delete_)(void *arg, enum weir_map map, const void *key);
    int (*settle)(void *arg); /* no reader still uses, or has read, what was replaced */
    void *arg;
};
struct weir_plan_change {
    uint32_t puts, deletes;
};
/*
 * From installed to desired without a hole for a reader: what is pointed at first, pointers after
 * it, then the pointers that go, then (behind a settle) what they pointed at. 0 or the sink's
 * error: then read the maps again before the next try.
 */
int weir_plan_diff(const struct weir_mapset *installed, const struct weir_mapset *desired,
                   const struct weir_plan_sink *sink, struct weir_plan_change *ret_change);
/* The same into the kernel, and the next epoch if anything changed. 0 or -errno. */
int weir_plan_apply(struct weir_kern *k, const struct weir_mapset *installed,
                    const struct weir_mapset *desired, struct weir_plan_change *ret_change);
/* What the maps hold now. 0 or -errno. */
int weir_plan_read(struct weir_kern *k, struct weir_mapset **ret_installed);

#endif
