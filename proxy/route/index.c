/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing, at most half full. FNV-1a gives the running hash; its weak
 * low bits are mixed with the space number before they pick a slot.
 */
#include "route/index.h"

#include <assert.h>

uint64_t weir_index_hash(struct weir_slice text) {
    uint64_t h = WEIR_INDEX_BASIS;

    for (size_t i = 0; i < text.len; i++)
        h = weir_index_step(h, text.ptr[i]);
    return h;
}

uint64_t weir_index_hash_reverse(struct weir_slice text) {
    uint64_t h = WEIR_INDEX_BASIS;

    for (size_t i = text.len; i > 0; i--)
        h = weir_index_step(h, text.ptr[i - 1]);
    return h;
}

static uint32_t slot_of(const struct weir_index *x, uint32_t space, uint64_t hash) {
    uint64_t h = hash ^ (((uint64_t)space + 1) * 0x9e3779b97f4a7c15ULL);

    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
    return (uint32_t)(h >> 32) & x->mask;
}

int weir_index_init(struct weir_index *x, struct weir_arena *arena, uint32_t cap) {
    uint32_t n_slots = 8;

    while (n_slots / 2 < cap && n_slots < (1U << 31))
        n_slots *= 2;
    x->n = 0;
    x->cap = cap;
    x->mask = n_slots - 1;
    x->entries = weir_arena_calloc(arena, cap ? cap : 1, sizeof(*x->entries));
    x->slots = weir_arena_calloc(arena, n_slots, sizeof(*x->slots));
    return x->entries && x->slots ? 0 : -ENOMEM;
}

void weir_index_add(struct weir_index *x, uint32_t space, uint64_t hash, struct weir_slice key,
                    uint32_t value) {
    uint32_t slot = slot_of(x, space, hash);

    assert(x->n < x->cap);
    while (x->slots[slot])
        slot = (slot + 1) & x->mask;
    x->entries[x->n] =
        (struct weir_index_entry){ .hash = hash, .key = key, .space = space, .value = value };
    x->slots[slot] = ++x->n;
}

uint32_t weir_index_find(const struct weir_index *x, uint32_t space, uint64_t hash,
                         struct weir_slice key) {
    for (uint32_t slot = slot_of(x, space, hash); x->slots[slot]; slot = (slot + 1) & x->mask) {
        const struct weir_index_entry *e = &x->entries[x->slots[slot] - 1];

        if (e->hash == hash && e->space == space && weir_slice_eq(e->key, key))
            return e->value;
    }
    return WEIR_INDEX_NONE;
}
