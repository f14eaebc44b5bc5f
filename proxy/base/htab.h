/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive hash table over byte keys, chained, grown by doubling. Keys may come from outside: the hash is SipHash-1-3
 * under a seed chosen per process by the caller, so collisions cannot be made on purpose.
 */
#ifndef WEIR_BASE_HTAB_H
#define WEIR_BASE_HTAB_H

#include "base/err.h"
#include "base/slice.h"

struct weir_hnode {
    struct weir_hnode *next;
    uint64_t hash;
    struct weir_slice key; /* borrowed; must live as long as the node is in the table */
};

struct weir_htab {
    struct weir_hnode **slots;
    size_t n_slots; /* a power of two, or 0 */
    size_t count;
    uint64_t seed[2];
};

uint64_t weir_hash(const uint64_t seed[2], struct weir_slice key);
void weir_htab_init(struct weir_htab *t, const uint64_t seed[2]);
/* Frees the slots, not the nodes. */
void weir_htab_deinit(struct weir_htab *t);
/* Adds a node whose key is set. 0, -ENOMEM, or -EEXIST with the table unchanged. */
int weir_htab_add(struct weir_htab *t, struct weir_hnode *n);
struct weir_hnode *weir_htab_find(const struct weir_htab *t, struct weir_slice key);
void weir_htab_remove(struct weir_htab *t, struct weir_hnode *n);
/* Calls fn for each node; fn may free the node only when the table is deinitialised right after. */
void weir_htab_foreach(struct weir_htab *t, void (*fn)(struct weir_hnode *n, void *arg), void *arg);

#endif
