/* SPDX-License-Identifier: Apache-2.0 */
/* What plan_diff.c adds for the time of a change. Pure. */
#ifndef WEIR_KERN_PLAN_BRIDGE_H
#define WEIR_KERN_PLAN_BRIDGE_H

#include "kern/mapset.h"

/* Members of identity sets, of neither arrangement: put before addresses change, deleted when all has. */
struct weir_plan_bridge_item {
    struct weir_idset_key key;
    uint32_t policy; /* weir_idset's value: that of the member it stands in for */
};
struct weir_plan_bridge {
    struct weir_plan_bridge_item *items;
    uint32_t n;
    bool moves; /* some pod's identity changes */
};

/* items is the caller's to weir_free. 0, -ENOMEM. */
int weir_plan_bridge(const struct weir_mapset *installed, const struct weir_mapset *desired,
                     struct weir_plan_bridge *ret_bridge);

#endif
