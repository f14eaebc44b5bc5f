/* SPDX-License-Identifier: Apache-2.0 */
#include "route/attach.h"

#include "base/htab.h"
#include "base/mem.h"

/* Keys come from the operator, not from peers. */
static const uint64_t seed[2] = { 0x77656972, 0x61747463 };

struct attachment { /* one parentRef of one route */
    struct attachment *next;
    const struct weir_http_route *route;
    const struct weir_parent_ref *ref;
};

struct parent {
    struct weir_hnode node; /* "kind namespace/name" */
    struct attachment *first, **tail;
    uint32_t n;
};

struct weir_attachments {
    struct weir_arena arena;
    struct weir_htab parents;
    const struct weir_snapshot *snapshot;
};

static const char *key_make(struct weir_arena *arena, enum weir_parent_kind kind, const char *ns,
                            const char *name) {
    return weir_arena_printf(arena, "%d %s/%s", (int)kind, ns, name);
}

static int parent_get(struct weir_attachments *a, const struct weir_parent_ref *ref,
                      struct parent **ret_parent) {
    const char *key = key_make(&a->arena, ref->kind, ref->namespace_, ref->name);
    struct weir_hnode *n;
    struct parent *p;

    if (!key)
        return -ENOMEM;
    n = weir_htab_find(&a->parents, weir_slice_from_str(key));
    if (n) {
        *ret_parent = WEIR_CONTAINER_OF(n, struct parent, node);
        return 0;
    }
    p = weir_arena_calloc(&a->arena, 1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->node.key = weir_slice_from_str(key);
    p->tail = &p->first;
    *ret_parent = p;
    return weir_htab_add(&a->parents, &p->node);
}

static int add_route(struct weir_attachments *a, const struct weir_http_route *route) {
    for (uint32_t i = 0; i < route->n_parents; i++) {
        struct attachment *at = weir_arena_calloc(&a->arena, 1, sizeof(*at));
        struct parent *p;
        int r = at ? parent_get(a, &route->parents[i], &p) : -ENOMEM;

        if (r < 0)
            return r;
        at->route = route;
        at->ref = &route->parents[i];
        *p->tail = at;
        p->tail = &at->next;
        p->n++;
    }
    return 0;
}

int weir_attachments_new(const struct weir_snapshot *s, struct weir_attachments **ret_attachments) {
    struct weir_attachments *a = weir_calloc(1, sizeof(*a));
    int r = 0;

    if (!a)
        return -ENOMEM;
    weir_arena_init(&a->arena, 16384);
    weir_htab_init(&a->parents, seed);
    a->snapshot = s;
    for (uint32_t i = 0; r == 0 && i < s->n_routes; i++)
        r = add_route(a, &s->routes[i]);
    if (r < 0) {
        weir_attachments_free(a);
        return r;
    }
    *ret_attachments = a;
    return 0;
}

struct weir_attachments *weir_attachments_free(struct weir_attachments *a) {
    if (!a)
        return NULL;
    weir_htab_deinit(&a->parents);
    weir_arena_deinit(&a->arena);
    return weir_free(a);
}

/* 0, -ENOMEM; *ret_parent NULL = nothing is attached. */
static int parent_find(const struct weir_attachments *a, const struct weir_attach *at,
                       const struct parent **ret_parent) {
    struct weir_arena arena;
    const char *key;
    struct weir_hnode *n = NULL;

    weir_arena_init(&arena, 1024);
    key = key_make(&arena, at->kind, at->meta->namespace_, at->meta->name);
    if (key)
        n = weir_htab_find(&a->parents, weir_slice_from_str(key));
    weir_arena_deinit(&arena);
    *ret_parent = n ? WEIR_CONTAINER_OF(n, struct parent, node) : NULL;
    return key ? 0 : -ENOMEM;
}

/* Of a parent that is the right one: the place in it. */
static bool names_place(const struct weir_parent_ref *ref, const struct weir_attach *at) {
    return (ref->port == 0 || ref->port == at->port) &&
           (ref->section[0] == '\0' || strcmp(ref->section, at->section) == 0);
}

bool weir_attach_names(const struct weir_http_route *route, const struct weir_attach *at) {
    for (uint32_t i = 0; i < route->n_parents; i++) {
        const struct weir_parent_ref *ref = &route->parents[i];

        if (ref->kind == at->kind && strcmp(ref->name, at->meta->name) == 0 &&
            strcmp(ref->namespace_, at->meta->namespace_) == 0 && names_place(ref, at))
            return true;
    }
    return false;
}

static bool is_meant(const struct attachment *x, const struct weir_attach *at) {
    return names_place(x->ref, at) && (!at->ns || strcmp(x->route->meta.namespace_, at->ns) == 0);
}

int weir_attach_table(const struct weir_attachments *a, const struct weir_attach *at,
                      struct weir_route_table **ret_table) {
    struct weir_route_table_params params = { .snapshot = a->snapshot,
                                              .listener_hostname = at->hostname };
    const struct weir_http_route **routes;
    const struct parent *p;
    uint32_t n = 0;
    int r = parent_find(a, at, &p);

    *ret_table = NULL;
    if (r < 0)
        return r;
    routes = weir_calloc(p ? p->n : 1, sizeof(*routes));
    if (!routes)
        return -ENOMEM;
    /* Several references of one route stand side by side: it counts once. */
    for (const struct attachment *x = p ? p->first : NULL; x; x = x->next)
        if (is_meant(x, at) && (n == 0 || routes[n - 1] != x->route))
            routes[n++] = x->route;
    params.routes = routes;
    params.n_routes = n;
    if (n > 0 || at->kind == WEIR_PARENT_GATEWAY)
        r = weir_route_table_new(&params, ret_table);
    weir_free(routes);
    return r;
}

int weir_attach_consumers(const struct weir_attachments *a, const struct weir_attach *at,
                          int (*fn)(void *arg, const char *ns), void *arg) {
    const struct weir_attach any = {
        at->kind, at->meta, at->section, at->hostname, at->port, NULL
    };
    const struct parent *p;
    int r = parent_find(a, at, &p);

    for (const struct attachment *x = p ? p->first : NULL; x && r == 0; x = x->next) {
        const char *ns = x->route->meta.namespace_;
        bool told = strcmp(ns, at->meta->namespace_) == 0 || !is_meant(x, &any);

        for (const struct attachment *y = p->first; y != x && !told; y = y->next)
            told = is_meant(y, &any) && strcmp(y->route->meta.namespace_, ns) == 0;
        if (!told)
            r = fn(arg, ns);
    }
    return r;
}
