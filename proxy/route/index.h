/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-only hash index over byte strings in numbered spaces, built once with a known number of
 * keys. Keys come from the configuration alone; a request only looks up, so nobody outside can
 * lengthen a probe sequence and no secret seed is needed. The hash is a running one (a value per
 * byte), because callers look up every prefix of a path, or every suffix of a host, in a single
 * pass over the text.
 */
#ifndef WEIR_ROUTE_INDEX_H
#define WEIR_ROUTE_INDEX_H

#include "base/arena.h"

#define WEIR_INDEX_NONE  UINT32_MAX
#define WEIR_INDEX_BASIS 0xcbf29ce484222325ULL

struct weir_index_entry {
    uint64_t hash;
    struct weir_slice key;
    uint32_t space;
    uint32_t value;
};

struct weir_index {
    struct weir_index_entry *entries;
    uint32_t *slots; /* entry number + 1; 0 = free */
    uint32_t n, cap, mask;
};

static inline uint64_t weir_index_step(uint64_t h, char c) {
    return (h ^ (uint8_t)c) * 0x100000001b3ULL;
}

/* Text hashed from its first byte to its last, and from its last to its first. */
uint64_t weir_index_hash(struct weir_slice text);
uint64_t weir_index_hash_reverse(struct weir_slice text);

/* Room for `cap` keys, in the arena. 0, -ENOMEM. */
int weir_index_init(struct weir_index *x, struct weir_arena *arena, uint32_t cap);
/* Adds a key that is not there; the key is borrowed. */
void weir_index_add(struct weir_index *x, uint32_t space, uint64_t hash, struct weir_slice key,
                    uint32_t value);
/* The value, or WEIR_INDEX_NONE. */
uint32_t weir_index_find(const struct weir_index *x, uint32_t space, uint64_t hash,
                         struct weir_slice key);

#endif
