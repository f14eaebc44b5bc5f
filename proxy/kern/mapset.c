/* SPDX-License-Identifier: Apache-2.0 */
/* One hash table per map; nodes, keys and values lie in one arena. Knows bytes and sizes, not what
 * they mean. */
#include "kern/mapset.h"

#include <string.h>

#include "base/arena.h"
#include "base/htab.h"
#include "base/mem.h"

struct entry {
    struct weir_hnode node; /* first */
    void *value;
};

struct weir_mapset {
    struct weir_arena arena;
    struct weir_htab tables[WEIR_MAP_COUNT_];
};

int weir_mapset_new(struct weir_mapset **ret_set) {
    /* Keys are the operator's configuration, and the tables are the agent's alone: no secret is
     * needed. */
    static const uint64_t seed[2] = { 0x77656972, 0x6d617073 };
    struct weir_mapset *s = weir_calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    weir_arena_init(&s->arena, 65536);
    for (int i = 0; i < WEIR_MAP_COUNT_; i++)
        weir_htab_init(&s->tables[i], seed);
    *ret_set = s;
    return 0;
}

struct weir_mapset *weir_mapset_free(struct weir_mapset *s) {
    if (!s)
        return NULL;
    for (int i = 0; i < WEIR_MAP_COUNT_; i++)
        weir_htab_deinit(&s->tables[i]);
    weir_arena_deinit(&s->arena);
    return weir_free(s);
}

static struct entry *find(const struct weir_mapset *s, enum weir_map map, const void *key) {
    struct weir_hnode *n =
        weir_htab_find(&s->tables[map], weir_slice_make(key, weir_map_key_size(map)));

    return n ? WEIR_CONTAINER_OF(n, struct entry, node) : NULL;
}

int weir_mapset_put(struct weir_mapset *s, enum weir_map map, const void *key, const void *value) {
    size_t key_size = weir_map_key_size(map), value_size = weir_map_value_size(map);
    struct entry *e = find(s, map, key);
    char *bytes;

    if (e) {
        memcpy(e->value, value, value_size);
        return 0;
    }
    e = weir_arena_alloc(&s->arena, sizeof(*e));
    bytes = weir_arena_alloc(&s->arena, key_size);
    if (!e || !bytes)
        return -ENOMEM;
    e->value = weir_arena_alloc(&s->arena, value_size);
    if (!e->value)
        return -ENOMEM;
    memcpy(bytes, key, key_size);
    memcpy(e->value, value, value_size);
    e->node = (struct weir_hnode){ .key = weir_slice_make(bytes, key_size) };
    return weir_htab_add(&s->tables[map], &e->node);
}

const void *weir_mapset_get(const struct weir_mapset *s, enum weir_map map, const void *key) {
    const struct entry *e = find(s, map, key);

    return e ? e->value : NULL;
}

size_t weir_mapset_count(const struct weir_mapset *s, enum weir_map map) {
    return s->tables[map].count;
}

int weir_mapset_each(const struct weir_mapset *s, enum weir_map map, weir_kern_entry_fn *fn,
                     void *arg) {
    const struct weir_htab *t = &s->tables[map];

    for (size_t i = 0; i < t->n_slots; i++) {
        for (const struct weir_hnode *n = t->slots[i]; n; n = n->next) {
            const struct entry *e = WEIR_CONTAINER_OF(n, const struct entry, node);
            int r = fn(arg, n->key.ptr, e->value);

            if (r)
                return r;
        }
    }
    return 0;
}
