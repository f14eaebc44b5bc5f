/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table read as a list. What decides finds its way through indexes; here every match is looked at, in the order that
 * Gateway API gives them, with the same comparisons (match.c).
 */
#include "route/explain.h"

#include <stdlib.h>

#include "base/mem.h"
#include "route/match.h"

/* ---- parts ---- */

static void note(struct weir_route_parts *parts, const struct weir_slice **list, uint32_t *n,
                 struct weir_slice name) {
    struct weir_slice *grown;

    if ((*n & (*n - 1)) == 0) { /* full at each power of two */
        grown = weir_arena_calloc(parts->arena, *n ? *n * 2 : 1, sizeof(*grown));
        if (!grown) {
            parts->failed = true;
            return;
        }
        if (*n)
            memcpy(grown, *list, *n * sizeof(*grown));
        *list = grown;
    }
    ((struct weir_slice *)*list)[(*n)++] = name;
}

void weir_route_note_header(struct weir_route_parts *parts, const struct weir_route_pred *p) {
    if (p->field == WEIR_FIELD_HOST) {
        parts->host = true;
        return;
    }
    for (uint32_t i = 0; i < parts->n_headers; i++)
        if (weir_slice_ieq(parts->headers[i], p->name))
            return;
    note(parts, &parts->headers, &parts->n_headers, p->name);
}

void weir_route_note_query(struct weir_route_parts *parts, const struct weir_route_pred *p) {
    for (uint32_t i = 0; i < parts->n_queries; i++)
        if (weir_slice_eq(parts->queries[i], p->name))
            return;
    note(parts, &parts->queries, &parts->n_queries, p->name);
}

/* ---- the list ---- */

struct host {
    struct weir_slice text;
    bool wildcard;
    bool covers; /* the request's */
};

struct item {
    const struct weir_route_choice *choice;
    const struct host *host;
    const struct weir_route_pattern *pattern; /* of a regular expression */
    struct weir_slice path;                   /* a prefix without its trailing '/' */
    uint32_t order;
    uint8_t kind; /* Exact, RegularExpression, PathPrefix */
};

struct list {
    const struct weir_route_table *t;
    struct item *items;
    uint32_t n;
    struct host *hosts; /* by group */
};

static int host_compare(const struct host *a, const struct host *b) {
    bool exact_a = !a->wildcard && a->text.len > 0, exact_b = !b->wildcard && b->text.len > 0;

    if (exact_a != exact_b)
        return exact_a ? -1 : 1;
    if (a->text.len != b->text.len)
        return a->text.len > b->text.len ? -1 : 1;
    return a->text.len ? memcmp(a->text.ptr, b->text.ptr, a->text.len) : 0;
}

static int item_compare(const void *pa, const void *pb) {
    const struct item *a = pa, *b = pb;
    int r = a->host == b->host ? 0 : host_compare(a->host, b->host);

    if (r == 0 && a->kind != b->kind)
        r = a->kind < b->kind ? -1 : 1;
    if (r == 0 && a->kind == 2 && a->path.len != b->path.len)
        r = a->path.len > b->path.len ? -1 : 1;
    return r ? r : a->order < b->order ? -1 : a->order > b->order;
}

static void add(struct list *l, uint32_t group, uint32_t choice,
                const struct weir_route_pattern *pattern) {
    const struct weir_route_choice *c = &l->t->choices[choice];
    struct weir_slice path = weir_slice_from_str(c->match->path);

    if (c->match->path_type == WEIR_MATCH_PREFIX && path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    l->items[l->n++] = (struct item){ .choice = c,
                                      .pattern = pattern,
                                      .path = path,
                                      .host = &l->hosts[group],
                                      .order = choice,
                                      .kind = c->match->path_type == WEIR_MATCH_EXACT   ? 0
                                              : c->match->path_type == WEIR_MATCH_REGEX ? 1
                                                                                        : 2 };
}

static void collect(struct list *l) {
    const struct weir_route_table *t = l->t;

    for (uint32_t i = 0; i < t->hosts.n; i++) {
        const struct weir_index_entry *e = &t->hosts.entries[i];

        l->hosts[e->value] =
            (struct host){ .text = e->key, .wildcard = e->space == WEIR_HOST_WILD };
    }
    for (uint32_t i = 0; i < t->paths.n; i++) {
        const struct weir_route_node *node = &t->nodes[t->paths.entries[i].value];

        for (uint32_t k = 0; k < node->n; k++)
            add(l, t->paths.entries[i].space / 2, node->first + k, NULL);
    }
    for (uint32_t g = 0; g < t->n_groups; g++)
        for (uint32_t i = 0; i < t->groups[g].n_patterns; i++) {
            const struct weir_route_pattern *p = &t->patterns[t->groups[g].first_pattern + i];

            for (uint32_t k = 0; k < p->n; k++)
                add(l, g, p->first + k, p);
        }
    if (l->n > 1)
        qsort(l->items, l->n, sizeof(*l->items), item_compare);
}

static bool path_matches(const struct weir_route_request *q, const struct item *item) {
    struct weir_slice path = q->path;

    if (item->pattern)
        return weir_regex_matches(q->t->regexes, item->pattern->regex, path);
    if (item->kind == 0)
        return weir_slice_eq(path, item->path);
    if (item->path.len == 0)
        return true;
    return weir_slice_starts_with(path, item->path) &&
           (path.len == item->path.len || path.ptr[item->path.len] == '/');
}

static enum weir_route_miss miss_of(const struct weir_route_request *q, bool admitted,
                                    const struct item *item, struct weir_slice *ret_name) {
    const struct weir_route_pred *pred = NULL;
    enum weir_route_miss miss;

    if (!admitted)
        return WEIR_MISS_LISTENER;
    if (!item->host->covers)
        return WEIR_MISS_HOST;
    if (!path_matches(q, item))
        return WEIR_MISS_PATH;
    miss = weir_route_choice_miss(q, item->choice, &pred);
    if (pred)
        *ret_name = pred->name;
    return miss;
}

static int tell(const struct list *l, const struct weir_route_request *q, bool admitted,
                int (*fn)(void *arg, const struct weir_route_verdict *verdict), void *arg) {
    int r = 0;

    for (uint32_t i = 0; i < l->n && r == 0; i++) {
        const struct item *item = &l->items[i];
        struct weir_route_verdict v = { .route = item->choice->route,
                                        .rule = item->choice->rule,
                                        .match = item->choice->match,
                                        .host = item->host->text,
                                        .wildcard = item->host->wildcard };

        if (q->head)
            v.miss = miss_of(q, admitted, item, &v.name);
        r = fn(arg, &v);
    }
    return r;
}

int weir_route_each(const struct weir_route_table *t, const struct weir_head *head,
                    int (*fn)(void *arg, const struct weir_route_verdict *verdict), void *arg) {
    struct list l = { .t = t };
    struct weir_route_request q = { .t = t, .head = head };
    char buf[WEIR_ROUTE_HOST_MAX];
    bool admitted = true;
    int r = -ENOMEM;

    l.items = weir_calloc(t->n_choices + 1, sizeof(*l.items));
    l.hosts = weir_calloc(t->n_groups + 1, sizeof(*l.hosts));
    if (l.items && l.hosts) {
        collect(&l);
        if (head) {
            struct weir_slice host = weir_route_host(t, head, buf);

            q.path = weir_head_path(head);
            admitted = weir_route_listener_admits(t, host);
            for (uint32_t g = weir_route_group_of(t, host); g != WEIR_INDEX_NONE;
                 g = t->groups[g].parent)
                l.hosts[g].covers = true;
        }
        r = tell(&l, &q, admitted, fn, arg);
    }
    weir_free(l.items);
    weir_free(l.hosts);
    return r;
}
