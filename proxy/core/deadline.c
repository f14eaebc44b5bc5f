/* SPDX-License-Identifier: Apache-2.0 */
#include "core/deadline.h"

#include "base/err.h"

void weir_wheel_init(struct weir_wheel *w, uint64_t slot_us, uint64_t now) {
    for (size_t i = 0; i < WEIR_WHEEL_SLOTS; i++)
        weir_list_init(&w->slots[i]);
    w->slot_us = slot_us;
    w->hand = now / slot_us;
    w->linked = 0;
}

void weir_deadline_init(struct weir_deadline *d, void (*fn)(struct weir_deadline *d)) {
    weir_list_init(&d->node);
    d->due = WEIR_NEVER;
    d->filed = 0;
    d->fn = fn;
}

static void file(struct weir_wheel *w, struct weir_deadline *d) {
    uint64_t slot =
        d->due / w->slot_us + 1; /* the slot is over when it is looked at: never early */
    uint64_t last = w->hand + WEIR_WHEEL_SLOTS - 1;

    if (slot < w->hand)
        slot = w->hand;
    if (slot > last)
        slot = last; /* beyond the horizon: looked at once a turn */
    d->filed = slot * w->slot_us;
    weir_list_push_back(&w->slots[slot % WEIR_WHEEL_SLOTS], &d->node);
    w->linked++;
}

static void unfile(struct weir_wheel *w, struct weir_deadline *d) {
    if (weir_list_empty(&d->node))
        return;
    weir_list_unlink(&d->node);
    w->linked--;
}

void weir_deadline_set(struct weir_wheel *w, struct weir_deadline *d, uint64_t due) {
    d->due = due;
    if (!weir_list_empty(&d->node)) {
        if (due == WEIR_NEVER || due + w->slot_us >= d->filed)
            return;
        unfile(w, d);
    }
    if (due != WEIR_NEVER)
        file(w, d);
}

void weir_deadline_deinit(struct weir_wheel *w, struct weir_deadline *d) {
    unfile(w, d);
}

static void turn_slot(struct weir_wheel *w, struct weir_list *slot, uint64_t now) {
    struct weir_list batch;

    /* Taken out as a whole, so that what fn files into this very slot waits for the next round. */
    if (weir_list_empty(slot))
        return;
    batch.next = slot->next;
    batch.prev = slot->prev;
    batch.next->prev = &batch;
    batch.prev->next = &batch;
    weir_list_init(slot);
    while (!weir_list_empty(&batch)) {
        struct weir_deadline *d = WEIR_CONTAINER_OF(batch.next, struct weir_deadline, node);

        unfile(w, d);
        if (d->due == WEIR_NEVER)
            continue;
        if (d->due > now) {
            file(w, d);
            continue;
        }
        d->due = WEIR_NEVER;
        d->fn(d);
    }
}

bool weir_wheel_turn(struct weir_wheel *w, uint64_t now) {
    uint64_t until = now / w->slot_us;

    if (until >= w->hand + WEIR_WHEEL_SLOTS)
        w->hand = until - WEIR_WHEEL_SLOTS + 1; /* a long sleep: every slot once is enough */
    while (w->hand <= until) {
        struct weir_list *slot = &w->slots[w->hand % WEIR_WHEEL_SLOTS];

        w->hand++;
        turn_slot(w, slot, now);
    }
    return w->linked != 0;
}
