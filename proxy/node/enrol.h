/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the pods of this node are: their cgroup, the sidecar's cgroup below it (a directory named
 * "weir"), their network namespace. A pod is enrolled when its places are found; until then it is
 * pending, with the reason. Everything else found below the pods' parent is a stranger: held for a
 * while by the kernel, then refused.
 *
 * It only looks: what follows from it is plan's and sync's business.
 */
#ifndef WEIR_NODE_ENROL_H
#define WEIR_NODE_ENROL_H

#include "base/list.h"
#include "conf/snapshot.h"
#include "kern/plan.h"

struct weir_place_of_pod {
    struct weir_list link;
    char *name; /* "namespace/name" */
    const struct weir_pod *pod;
    char *cgroup_path;
    char *netns_path; /* "" = the agent's own namespace: no inbound steering */
    uint64_t cgroup, proxy_cgroup, cookie;
    uint64_t node_cgroup; /* tenants.c: of the sockets that a tenant's worker has in it; 0 = none */
    bool steer;           /* tenants.c: node mode, and somebody listens or nothing may pass by */
    int netns_fd; /* -1 = none; held open, so that its number is not given to another namespace */
    uint64_t netns_dev, netns_ino;
    const char *pending; /* why it is not enrolled; NULL = it is */
    int error;           /* errno of that; 0 = none */
    uint32_t attached;   /* pod id that sk_lookup was attached for in this namespace; 0 = not yet */
    bool verified;       /* interception was proven, and not long ago */
    const char *unverified; /* why not; "" before the first try */
    uint64_t proof_due_us;
    const char *tls_why; /* why nothing is seen at its OpenSSL (tls.c); NULL = it is looked at */
    uint64_t tls_exchanges;
    const char
        *tls_linked; /* TLS in a program of it, which is not seen: "OpenSSL"; NULL = none found */
    char tls_linked_in[32]; /* and which program */
    bool outside;           /* left alone: its traffic is neither held nor looked at */
    bool seen;
};

struct weir_stranger {
    struct weir_list link;
    uint64_t id;
    uint64_t first_seen_us;
    char *path;
    bool refused, seen;
};

struct weir_helper;

struct weir_enrol {
    struct weir_helper *helper; /* borrowed; finds namespaces. NULL: none are found */
    /* Borrowed during a look: what is in force. A pod that it knows keeps its namespace's cookie while
     * the helper is away: an agent that starts then releases nobody. NULL: nothing is. */
    const struct weir_mapset *installed;
    /* A pod without weir.dev/mode, or on the host's network, is left alone, and so are the directories between the parent
     * and the pods: a cluster's pods ask for weir, they are not taken. */
    bool opt_in;
    char mount[256];            /* cgroup2 */
    char parent[4096];          /* absolute path of the pods' parent */
    struct weir_list places;    /* struct weir_place_of_pod */
    struct weir_list strangers; /* struct weir_stranger */
    uint64_t hold_us;
    uint32_t n_places, n_enrolled, n_strangers;
};

/* cgroup: below the mount. 0, -errno (-ENOENT: no such directory; -EINVAL: the root). */
int weir_enrol_init(struct weir_enrol *e, const char *cgroup, uint64_t hold_us);
void weir_enrol_deinit(struct weir_enrol *e);
/*
 * Looks again. node: "" = every pod that names a cgroup. *ret_changed: something that the maps say
 * has changed. 0, -ENOMEM.
 */
int weir_enrol_look(struct weir_enrol *e, const struct weir_snapshot *snapshot, const char *node,
                    uint64_t now_us, bool *ret_changed);
/* The pods found and the strangers to refuse, for a plan; weir_free both. 0, -ENOMEM. */
int weir_enrol_facts(const struct weir_enrol *e, struct weir_plan_pod **ret_pods, uint32_t *ret_n,
                     struct weir_plan_cgroup **ret_cgroups, uint32_t *ret_n_cgroups);

#endif
