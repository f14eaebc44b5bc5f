/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plan*.c: one plan in the making. */
#ifndef WEIR_KERN_PLAN_BUILD_H
#define WEIR_KERN_PLAN_BUILD_H

#include <string.h>

#include "base/arena.h"
#include "conf/distance.h"
#include "kern/ids.h"
#include "kern/plan.h"

/* The peers of one rule, found once and shared by all pods the rule is for. */
struct weir_plan_ids {
    struct weir_idset_item *v; /* sorted by identity */
    uint32_t n;
    uint32_t set; /* 0 = not written yet */
};
struct weir_plan_cidrs {
    struct weir_cidr_item *v; /* sorted */
    uint32_t n;
    uint32_t set;
};

/* One label of one pod. */
struct weir_plan_label {
    const char *key, *value;
    uint32_t pod;
};

struct weir_plan_builder {
    const struct weir_plan_input *input;
    const struct weir_snapshot *snapshot;
    struct weir_arena arena; /* scratch */
    struct weir_ids *ids;
    struct weir_mapset *out;
    struct weir_plan_report report;
    struct weir_locality here;
    uint32_t *identities; /* by pod of the snapshot; 0 = none */
    uint32_t *local;      /* local pod id, by pod of the snapshot; 0 = not here */
    bool *http;           /* by pod of the snapshot: it serves a Service with HTTP telemetry */
    struct weir_plan_ids **
        *rule_ids[2]; /* [direction][policy][rule]: of its selectors; NULL = not found out yet */
    struct weir_plan_ids ***authz_ids; /* [policy][rule and source] */
    struct weir_plan_label *labels;    /* of all pods, sorted */
    uint32_t n_labels;
    uint32_t *found; /* weir_plan_find: pods' identities on their way into a set */
    uint32_t n_found, cap_found;
    uint32_t n_named; /* pods that have rules with names, so far */
};

/* One rule in the making: `set` and `cidr` of the item are filled from what they stand for. */
struct weir_plan_rule {
    struct weir_rule_item item;
    struct weir_plan_ids *ids; /* with WEIR_PEER_IDENTITY, WEIR_PEER_NOT_IDENTITY, WEIR_PEER_NAME */
    struct weir_plan_cidrs *cidrs; /* with WEIR_PEER_CIDR */
    const struct weir_meta *meta;  /* of its policy */
    uint8_t stage; /* rules of one stage are alike in what they do: any order is right */
};
struct weir_plan_chain {
    struct weir_plan_builder *b;
    const struct weir_pod *pod;
    uint32_t policy;              /* id of the policy whose rules are added */
    const struct weir_meta *meta; /* and its place */
    struct weir_plan_rule *rules;
    uint32_t n, cap;
};

/* plan_chain.c. All: 0, -ENOMEM. */
int weir_plan_chain_add(struct weir_plan_chain *c, const struct weir_plan_rule *rule);
/* Writes the rules in the order of their stages; many rules that differ in their peers alone become one. */
int weir_plan_chain_put(struct weir_plan_chain *c, uint32_t *ret_block);
/* Sorts, drops repeats and zeros. */
void weir_plan_ids_settle(struct weir_plan_ids *ids);
/* Sorts; of two on the same prefix the exception stays. */
void weir_plan_cidrs_settle(struct weir_plan_cidrs *cidrs);
struct weir_cidr_item weir_plan_cidr(const struct weir_cidr *cidr, uint32_t value);
/* What all of the sets hold (or any, with `any`). */
int weir_plan_cidrs_join(struct weir_plan_builder *b, struct weir_plan_cidrs *const *sets,
                         uint32_t n, bool any, struct weir_plan_cidrs **ret_joined);
static inline struct weir_addr weir_plan_addr(const struct weir_ip *ip) {
    struct weir_addr addr;

    memcpy(&addr, ip, sizeof(addr));
    return addr;
}

/* plan_find.c: remembers the identity of a pod (by its place in the snapshot); all of them as a set, and none remembered. 0, -ENOMEM. */
int weir_plan_find(struct weir_plan_builder *b, uint32_t pod);
int weir_plan_found(struct weir_plan_builder *b, struct weir_plan_ids **ret_ids);
/* The pods that have that label: from labels[*ret_first] on, *ret_n of them. 0, -ENOMEM. */
int weir_plan_labelled(struct weir_plan_builder *b, const char *key, const char *value,
                       uint32_t *ret_first, uint32_t *ret_n);

/* Writes a name and its id. 0, -ENOMEM. */
int weir_plan_put_name(struct weir_plan_builder *b, uint32_t kind, const char *text,
                       uint32_t *ret_id);
/* Both directions of one local pod. 0, -ENOMEM. */
int weir_plan_policy(struct weir_plan_builder *b, const struct weir_pod *pod,
                     struct weir_policy_slot slots[2]);
/* plan_names.c: is one of the EgressPolicies that select the pod enforced? Those that are, or those in audit mode. 0, -ENOMEM. */
bool weir_plan_names_enforced(const struct weir_snapshot *s, const struct weir_pod *pod);
int weir_plan_names(struct weir_plan_chain *chain, bool enforced, struct weir_policy_slot *slot);
/* After all pods. 0, -ENOMEM. */
int weir_plan_names_setting(struct weir_plan_builder *b);
/* plan_authz.c: the AuthorizationPolicies of one local pod. 0, -ENOMEM. */
int weir_plan_authz(struct weir_plan_builder *b, const struct weir_pod *pod,
                    struct weir_policy_slot *slot);

/* The backend set of a port, and all that *value says of it. 0, -ENOMEM, -EOVERFLOW: of the weights. */
int weir_plan_endpoints(struct weir_plan_builder *b, const struct weir_service *service,
                        const struct weir_service_port *port, struct weir_svc_value *value);

#endif
