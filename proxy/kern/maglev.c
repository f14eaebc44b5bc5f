/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each endpoint walks the slots in an order of its own (offset + k * skip, all of them since their number is a prime) and takes the next free one
 * when it is its turn; turns come in proportion to the weights.
 */
#include "kern/maglev.h"

#include <errno.h>

#include "base/htab.h"
#include "base/mem.h"

#define FREE UINT16_MAX

struct walker {
    uint32_t at, skip; /* the slot it asks for next, and its step */
    uint64_t due;      /* turns it has had, in units of the largest weight */
};

static void start(struct walker *w, const struct weir_ep_value *ep) {
    static const uint64_t seeds[2][2] = { { 0x6d61676c, 1 }, { 0x6d61676c, 2 } };
    char name[sizeof(ep->addr) + sizeof(ep->port)];

    memcpy(name, &ep->addr, sizeof(ep->addr));
    memcpy(name + sizeof(ep->addr), &ep->port, sizeof(ep->port));
    struct weir_slice text = weir_slice_make(name, sizeof(name));
    w->at = (uint32_t)(weir_hash(seeds[0], text) % WEIR_MAGLEV_SLOTS);
    w->skip = (uint32_t)(weir_hash(seeds[1], text) % (WEIR_MAGLEV_SLOTS - 1)) + 1;
}

static void take_next(struct walker *w, struct weir_maglev_value *table, uint16_t index) {
    while (table->index[w->at] != FREE)
        w->at = (w->at + w->skip) % WEIR_MAGLEV_SLOTS;
    table->index[w->at] = index;
}

int weir_maglev_fill(const struct weir_ep_value *endpoints, const uint32_t *weights, uint32_t n,
                     struct weir_maglev_value *ret_table) {
    struct walker *walkers = weir_calloc(n, sizeof(*walkers));
    uint32_t largest = 1, taken = 0;

    if (!walkers)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        start(&walkers[i], &endpoints[i]);
        if (weights && weights[i] > largest)
            largest = weights[i];
    }
    for (uint32_t i = 0; i < WEIR_MAGLEV_SLOTS; i++)
        ret_table->index[i] = FREE;
    ret_table->pad = 0;
    for (uint64_t turn = 1; taken < WEIR_MAGLEV_SLOTS; turn++) {
        for (uint32_t i = 0; i < n && taken < WEIR_MAGLEV_SLOTS; i++) {
            uint64_t earned = weights ? turn * weights[i] : turn * largest;

            if (earned < walkers[i].due + largest)
                continue;
            walkers[i].due += largest;
            take_next(&walkers[i], ret_table, (uint16_t)i);
            taken++;
        }
    }
    weir_free(walkers);
    return 0;
}
