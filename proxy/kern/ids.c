/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables (name -> id, content -> id), filled from what is installed and grown by what is asked
 * for. Content of a set is put together from its entries: sorted by set, one run of bytes per set.
 * A set of which only a part is found (an agent died while writing it) is not recognised, but its
 * id counts as used.
 */
#include "kern/ids.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/htab.h"
#include "base/mem.h"

#define NAME_KINDS 8

struct id_node {
    struct weir_hnode node; /* first; key: kind byte, then the text or content */
    uint32_t id;
};

struct weir_ids {
    struct weir_arena arena;
    struct weir_htab names, contents;
    uint32_t last_name[NAME_KINDS], last_content[WEIR_CONTENT_COUNT_];
};

int weir_cidr_item_compare(const void *pa, const void *pb) {
    const struct weir_cidr_item *a = pa, *b = pb;

    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    return memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

static struct weir_hnode *find(const struct weir_htab *t, struct weir_slice key) {
    return weir_htab_find(t, key);
}

static int add(struct weir_ids *ids, struct weir_htab *t, struct weir_slice key, uint32_t id) {
    struct id_node *n = weir_arena_calloc(&ids->arena, 1, sizeof(*n));

    if (!n)
        return -ENOMEM;
    n->node.key = key;
    n->id = id;
    return weir_htab_add(t, &n->node);
}

/* kind byte + bytes, in the arena; ptr NULL = no memory. */
static struct weir_slice key_make(struct weir_ids *ids, uint32_t kind, const void *bytes,
                                  size_t len) {
    char *key = weir_arena_alloc(&ids->arena, len + 1);

    if (!key)
        return WEIR_SLICE_NONE;
    key[0] = (char)kind;
    if (len)
        memcpy(key + 1, bytes, len);
    return weir_slice_make(key, len + 1);
}

/* An id above all that are in use; when those reach the end of the range, 1 would not be free, so
 * it says 0. */
static int get(struct weir_ids *ids, struct weir_htab *t, struct weir_slice key, uint32_t *last,
               uint32_t *ret_id) {
    struct weir_hnode *n;
    int r;

    if (!key.ptr)
        return -ENOMEM;
    n = find(t, key);
    if (n) {
        *ret_id = WEIR_CONTAINER_OF(n, struct id_node, node)->id;
        return 0;
    }
    if (*last == UINT32_MAX)
        return -EOVERFLOW;
    r = add(ids, t, key, *last + 1);
    if (r)
        return r;
    *ret_id = ++*last;
    return 0;
}

int weir_ids_name(struct weir_ids *ids, uint32_t kind, const char *text, uint32_t *ret_id) {
    size_t len = strnlen(text, WEIR_NAME_BYTES - 1);

    return get(ids, &ids->names, key_make(ids, kind, text, len), &ids->last_name[kind], ret_id);
}

int weir_ids_content(struct weir_ids *ids, enum weir_content kind, const void *bytes, size_t len,
                     uint32_t *ret_id) {
    return get(ids, &ids->contents, key_make(ids, kind, bytes, len), &ids->last_content[kind],
               ret_id);
}

static int load_name(void *arg, const void *key, const void *value) {
    struct weir_ids *ids = arg;
    const struct weir_name_key *k = key;
    const struct weir_name_value *v = value;
    struct weir_slice name;

    if (k->kind >= NAME_KINDS)
        return 0;
    if (k->id > ids->last_name[k->kind])
        ids->last_name[k->kind] = k->id;
    name = key_make(ids, k->kind, v->text, strnlen(v->text, WEIR_NAME_BYTES - 1));
    if (!name.ptr)
        return -ENOMEM;
    return find(&ids->names, name) ? 0 : add(ids, &ids->names, name, k->id);
}

/* Content that is known under two ids (it should not be) keeps the first. */
static int load_content(struct weir_ids *ids, enum weir_content kind, const void *bytes, size_t len,
                        uint32_t id) {
    struct weir_slice key = key_make(ids, kind, bytes, len);

    if (!key.ptr)
        return -ENOMEM;
    return find(&ids->contents, key) ? 0 : add(ids, &ids->contents, key, id);
}

static int load_rule(void *arg, const void *key, const void *value) {
    struct weir_ids *ids = arg;
    struct weir_rule_block block;
    uint32_t id;

    memcpy(&id, key, sizeof(id));
    memcpy(&block, value, sizeof(block));
    if (id > ids->last_content[WEIR_CONTENT_RULE])
        ids->last_content[WEIR_CONTENT_RULE] = id;
    block.block = 0;
    return load_content(ids, WEIR_CONTENT_RULE, &block, sizeof(block), id);
}

/* One entry of a set, in a form in which entries of all kinds of sets can be sorted and joined. */
struct member {
    uint32_t set;
    uint32_t index; /* of an endpoint */
    union {
        struct weir_idset_item identity;
        struct weir_cidr_item cidr;
        struct weir_ep_value ep;
    } u;
};

struct members {
    struct member *items;
    uint32_t n;
};

static int load_idset(void *arg, const void *key, const void *value) {
    struct members *all = arg;
    const struct weir_idset_key *k = key;
    struct member *m = &all->items[all->n++];

    m->set = k->set;
    m->u.identity = (struct weir_idset_item){ k->identity, *(const uint32_t *)value };
    return 0;
}

static int load_cidr(void *arg, const void *key, const void *value) {
    struct members *all = arg;
    const struct weir_cidr_value *v = value;
    const struct weir_cidr_key *k = key;
    struct member *m = &all->items[all->n++];

    m->set = k->set;
    m->u.cidr = (struct weir_cidr_item){ k->prefix - 32, k->addr, v->verdict, v->policy };
    return 0;
}

static int load_ep(void *arg, const void *key, const void *value) {
    struct members *all = arg;
    const struct weir_ep_key *k = key;
    struct member *m = &all->items[all->n++];

    m->set = k->set;
    m->index = k->index;
    memcpy(&m->u.ep, value, sizeof(m->u.ep));
    return 0;
}

static int compare_idset(const void *pa, const void *pb) {
    const struct member *a = pa, *b = pb;

    if (a->set != b->set)
        return a->set < b->set ? -1 : 1;
    return (a->u.identity.identity > b->u.identity.identity) -
           (a->u.identity.identity < b->u.identity.identity);
}

static int compare_cidr(const void *pa, const void *pb) {
    const struct member *a = pa, *b = pb;

    if (a->set != b->set)
        return a->set < b->set ? -1 : 1;
    return weir_cidr_item_compare(&a->u.cidr, &b->u.cidr);
}

static int compare_ep(const void *pa, const void *pb) {
    const struct member *a = pa, *b = pb;

    if (a->set != b->set)
        return a->set < b->set ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static const struct set_kind {
    enum weir_map map;
    enum weir_content content;
    size_t item; /* bytes of a member in the content */
    weir_kern_entry_fn *load;
    int (*compare)(const void *a, const void *b);
} set_kinds[] = {
    { WEIR_MAP_IDSET, WEIR_CONTENT_IDSET, sizeof(struct weir_idset_item), load_idset,
      compare_idset },
    { WEIR_MAP_CIDR, WEIR_CONTENT_CIDR, sizeof(struct weir_cidr_item), load_cidr, compare_cidr },
    { WEIR_MAP_EP, WEIR_CONTENT_EP, sizeof(struct weir_ep_value), load_ep, compare_ep },
};

static int load_sets(struct weir_ids *ids, const struct weir_mapset *installed,
                     const struct set_kind *kind) {
    size_t n = weir_mapset_count(installed, kind->map), end;
    struct members all = { weir_calloc(n + 1, sizeof(*all.items)), 0 };
    char *bytes = weir_calloc(n + 1, kind->item);
    int r = all.items && bytes ? 0 : -ENOMEM;

    if (r == 0)
        r = weir_mapset_each(installed, kind->map, kind->load, &all);
    if (r == 0 && n > 1)
        qsort(all.items, n, sizeof(*all.items), kind->compare);
    for (size_t i = 0; r == 0 && i < n; i = end) {
        uint32_t set = all.items[i].set;

        for (end = i; end < n && all.items[end].set == set; end++)
            memcpy(bytes + (end - i) * kind->item, &all.items[end].u, kind->item);
        if (set > ids->last_content[kind->content])
            ids->last_content[kind->content] = set;
        r = load_content(ids, kind->content, bytes, (end - i) * kind->item, set);
    }
    weir_free(all.items);
    weir_free(bytes);
    return r;
}

static int load(struct weir_ids *ids, const struct weir_mapset *installed) {
    int r = weir_mapset_each(installed, WEIR_MAP_NAME, load_name, ids);

    if (r == 0)
        r = weir_mapset_each(installed, WEIR_MAP_RULE, load_rule, ids);
    for (size_t i = 0; r == 0 && i < WEIR_ARRAY_LEN(set_kinds); i++)
        r = load_sets(ids, installed, &set_kinds[i]);
    return r;
}

int weir_ids_new(const struct weir_mapset *installed, struct weir_ids **ret_ids) {
    static const uint64_t seed[2] = { 0x77656972, 0x696473 };
    struct weir_ids *ids = weir_calloc(1, sizeof(*ids));
    int r = 0;

    if (!ids)
        return -ENOMEM;
    weir_arena_init(&ids->arena, 65536);
    weir_htab_init(&ids->names, seed);
    weir_htab_init(&ids->contents, seed);
    if (installed)
        r = load(ids, installed);
    if (r) {
        weir_ids_free(ids);
        return r;
    }
    *ret_ids = ids;
    return 0;
}

struct weir_ids *weir_ids_free(struct weir_ids *ids) {
    if (!ids)
        return NULL;
    weir_htab_deinit(&ids->names);
    weir_htab_deinit(&ids->contents);
    weir_arena_deinit(&ids->arena);
    return weir_free(ids);
}
