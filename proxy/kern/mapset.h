/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Map entries held in memory: what the kernel's maps contain, or what they should. Keys and values
 * are bytes of the sizes that kern.h gives per map; the set owns copies. Replacing a value
 * overwrites it in place.
 */
#ifndef WEIR_KERN_MAPSET_H
#define WEIR_KERN_MAPSET_H

#include "kern/kern.h"

struct weir_mapset;

int weir_mapset_new(struct weir_mapset **ret_set);
/* Takes NULL; returns NULL. */
struct weir_mapset *weir_mapset_free(struct weir_mapset *s);
/* Inserts or replaces. 0, -ENOMEM. */
int weir_mapset_put(struct weir_mapset *s, enum weir_map map, const void *key, const void *value);
/* The value, borrowed until the next put of that key; NULL = none. */
const void *weir_mapset_get(const struct weir_mapset *s, enum weir_map map, const void *key);
size_t weir_mapset_count(const struct weir_mapset *s, enum weir_map map);
/* Every entry of a map, in no order; fn returns nonzero to stop (forwarded). */
int weir_mapset_each(const struct weir_mapset *s, enum weir_map map, weir_kern_entry_fn *fn,
                     void *arg);

#endif
