/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines without timers: a hashed wheel turned by the worker's tick. Moving a deadline later (the common case: a
 * connection was used again) only stores a number; the node is filed anew when its old slot comes round.
 */
#ifndef WEIR_CORE_DEADLINE_H
#define WEIR_CORE_DEADLINE_H

#include "base/list.h"

#define WEIR_WHEEL_SLOTS 1024u
#define WEIR_NEVER       UINT64_MAX

struct weir_deadline {
    struct weir_list node;
    uint64_t due;   /* us, monotonic; WEIR_NEVER = off */
    uint64_t filed; /* the instant its slot stands for; meaningful while linked */
    void (*fn)(struct weir_deadline *d);
};

struct weir_wheel {
    struct weir_list slots[WEIR_WHEEL_SLOTS];
    uint64_t slot_us;
    uint64_t hand; /* number of the slot to look at next, counted from time 0 */
    size_t linked;
};

void weir_wheel_init(struct weir_wheel *w, uint64_t slot_us, uint64_t now);
void weir_deadline_init(struct weir_deadline *d, void (*fn)(struct weir_deadline *d));
/* Due no earlier than that, at most one slot later plus the tick. */
void weir_deadline_set(struct weir_wheel *w, struct weir_deadline *d, uint64_t due);
/* Off; the node stays filed. */
static inline void weir_deadline_clear(struct weir_deadline *d) {
    d->due = WEIR_NEVER;
}
/* Unlinks: before the memory goes. */
void weir_deadline_deinit(struct weir_wheel *w, struct weir_deadline *d);
/* Calls fn of what is due; fn may set, deinit or free any deadline. True while something is filed. */
bool weir_wheel_turn(struct weir_wheel *w, uint64_t now);

#endif
