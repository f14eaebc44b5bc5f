/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plan.c and plan_policy.c: one plan in the making. */
#ifndef WEIR_KERN_PLAN_BUILD_H
#define WEIR_KERN_PLAN_BUILD_H

#include "base/arena.h"
#include "kern/ids.h"
#include "kern/plan.h"

#define WEIR_SET_UNKNOWN UINT32_MAX

struct weir_plan_builder {
    const struct weir_plan_input *input;
    const struct weir_snapshot *snapshot;
    struct weir_arena arena; /* scratch */
    struct weir_ids *ids;
    struct weir_mapset *out;
    struct weir_plan_report report;
    uint32_t *identities; /* by pod of the snapshot; 0 = none */
    uint32_t *local;      /* local pod id, by pod of the snapshot; 0 = not here */
    uint32_t *
        *rule_sets[2]; /* [direction][policy][rule]: identity set of its selectors, 0 = nobody */
};

/* Writes a name and its id. 0, -ENOMEM. */
int weir_plan_put_name(struct weir_plan_builder *b, uint32_t kind, const char *text,
                       uint32_t *ret_id);
/* Both directions of one local pod. 0, -ENOMEM. */
int weir_plan_policy(struct weir_plan_builder *b, const struct weir_pod *pod,
                     struct weir_policy_slot slots[2]);

#endif
