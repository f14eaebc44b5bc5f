/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles the routes of one parent into the shape described in table.h. Every (hostname, match)
 * pair becomes a draft; the drafts are sorted by what they match on and then by Gateway API
 * precedence, so that whatever shares a hostname and a path ends up side by side in the order in
 * which it has to be tried.
 *
 * Only the first of several header (or query) matches on one name counts, as HTTPRoute asks.
 */
#include "route/table.h"

#include <stdlib.h>

#include "base/mem.h"

struct draft {
    const struct weir_http_route *route;
    const struct weir_route_rule *rule;
    const struct weir_route_match *match;
    struct weir_slice path; /* prefixes without their trailing '/' */
    uint32_t group;
    uint32_t n_headers, n_queries; /* without repeated names */
    uint32_t order;                /* route, then rule, then match */
};

struct builder {
    struct weir_route_table *t;
    const struct weir_route_table_params *params;
    struct draft *drafts;
    uint32_t n_drafts;
    struct weir_slice *hosts; /* by group */
};

/* Entry numbers are 32 bits wide; a configuration beyond that does not fit in memory anyway. */
#define DRAFTS_MAX (1U << 28)

static int kind_rank(enum weir_match_type type) {
    return type == WEIR_MATCH_EXACT ? 0 : type == WEIR_MATCH_REGEX ? 1 : 2;
}

static int slice_compare(struct weir_slice a, struct weir_slice b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int r = n ? memcmp(a.ptr, b.ptr, n) : 0;

    return r ? r : (a.len > b.len) - (a.len < b.len);
}

static size_t rpc_len(const struct draft *d) {
    return d->match->rpc ? strlen(d->match->rpc) : 0;
}

static int draft_compare(const void *pa, const void *pb) {
    const struct draft *a = pa, *b = pb;
    int rank = kind_rank(a->match->path_type), other = kind_rank(b->match->path_type), r;
    bool method = a->match->method[0] != '\0', other_method = b->match->method[0] != '\0';

    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (rank != other)
        return rank - other;
    if (rank == 1 && a->path.len != b->path.len)
        return a->path.len > b->path.len ? -1 : 1;
    r = slice_compare(a->path, b->path);
    if (r)
        return r;
    if (rpc_len(a) != rpc_len(b))
        return rpc_len(a) > rpc_len(b) ? -1 : 1;
    if (a->route->grpc != b->route->grpc)
        return a->route->grpc ? -1 : 1;
    if (method != other_method)
        return method ? -1 : 1;
    if (a->n_headers != b->n_headers)
        return a->n_headers > b->n_headers ? -1 : 1;
    if (a->n_queries != b->n_queries)
        return a->n_queries > b->n_queries ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* Does an earlier entry name the same field? */
static bool is_repeated(const struct weir_named_match *list, uint32_t i, bool is_header) {
    struct weir_slice name = weir_slice_from_str(list[i].name);

    for (uint32_t k = 0; k < i; k++) {
        struct weir_slice earlier = weir_slice_from_str(list[k].name);

        if (is_header ? weir_slice_ieq(earlier, name) : weir_slice_eq(earlier, name))
            return true;
    }
    return false;
}

static uint32_t count_distinct(const struct weir_named_match *list, uint32_t n, bool is_header) {
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++)
        count += !is_repeated(list, i, is_header);
    return count;
}

/* "*.example.com" becomes WILD "example.com"; "" and "*" become ANY. The text is lowered into the
 * arena. */
static int host_split(struct weir_arena *arena, const char *hostname, int *ret_kind,
                      struct weir_slice *ret_host) {
    struct weir_slice host = weir_slice_from_str(hostname);
    char *copy;

    *ret_kind = WEIR_HOST_EXACT;
    if (host.len > 2 && host.ptr[0] == '*' && host.ptr[1] == '.') {
        *ret_kind = WEIR_HOST_WILD;
        host = weir_slice_make(host.ptr + 2, host.len - 2);
    }
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len == 0 || (host.len == 1 && host.ptr[0] == '*')) {
        *ret_kind = WEIR_HOST_ANY;
        *ret_host = WEIR_SLICE("");
        return 0;
    }
    *ret_host = weir_arena_dup(arena, host);
    if (!ret_host->ptr)
        return -ENOMEM;
    copy = (char *)ret_host->ptr;
    for (size_t i = 0; i < host.len; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] + ('a' - 'A'));
    return 0;
}

/* The group of a hostname, made when it is new. */
static int group_get(struct builder *b, const char *hostname, uint32_t *ret_group) {
    struct weir_route_table *t = b->t;
    struct weir_slice host;
    uint64_t hash;
    uint32_t found;
    int kind, r;

    r = host_split(&t->arena, hostname, &kind, &host);
    if (r)
        return r;
    if (kind == WEIR_HOST_ANY) {
        *ret_group = 0;
        return 0;
    }
    hash = weir_index_hash_reverse(host);
    found = weir_index_find(&t->hosts, (uint32_t)kind, hash, host);
    if (found == WEIR_INDEX_NONE) {
        found = t->n_groups++;
        weir_index_add(&t->hosts, (uint32_t)kind, hash, host, found);
        b->hosts[found] = host;
        if (kind == WEIR_HOST_WILD)
            t->wild_lengths |= weir_length_bit(host.len);
    }
    *ret_group = found;
    return 0;
}

/* Links each hostname to the longest wildcard that covers it, else to "any host". */
static void groups_link(struct builder *b) {
    struct weir_route_table *t = b->t;

    t->groups[0].parent = WEIR_INDEX_NONE;
    for (uint32_t g = 1; g < t->n_groups; g++) {
        struct weir_slice host = b->hosts[g];
        uint64_t hash = WEIR_INDEX_BASIS;

        t->groups[g].parent = 0;
        for (size_t i = host.len; i > 0; i--) {
            struct weir_slice suffix = weir_slice_make(host.ptr + i, host.len - i);
            uint32_t found;

            if (host.ptr[i - 1] == '.' && suffix.len > 0) {
                found = weir_index_find(&t->hosts, WEIR_HOST_WILD, hash, suffix);
                if (found != WEIR_INDEX_NONE)
                    t->groups[g].parent = found;
            }
            hash = weir_index_step(hash, host.ptr[i - 1]);
        }
    }
}

static void drafts_of_route(struct builder *b, const struct weir_http_route *route,
                            uint32_t group) {
    for (uint32_t r = 0; r < route->n_rules; r++) {
        const struct weir_route_rule *rule = &route->rules[r];

        for (uint32_t m = 0; m < rule->n_matches; m++) {
            const struct weir_route_match *match = &rule->matches[m];
            struct draft *d = &b->drafts[b->n_drafts];

            *d = (struct draft){ .route = route, .rule = rule, .match = match, .group = group };
            d->path = weir_slice_from_str(match->path);
            if (match->path_type == WEIR_MATCH_PREFIX && d->path.len > 0 &&
                d->path.ptr[d->path.len - 1] == '/')
                d->path.len--;
            d->n_headers = count_distinct(match->headers, match->n_headers, true);
            d->n_queries = count_distinct(match->queries, match->n_queries, false);
            d->order = b->n_drafts++;
        }
    }
}

static int drafts_make(struct builder *b) {
    for (uint32_t i = 0; i < b->params->n_routes; i++) {
        const struct weir_http_route *route = b->params->routes[i];
        uint32_t group = 0;

        for (uint32_t h = 0; h < route->n_hostnames; h++) {
            int r = group_get(b, route->hostnames[h], &group);

            if (r)
                return r;
            drafts_of_route(b, route, group);
        }
        if (route->n_hostnames == 0)
            drafts_of_route(b, route, 0);
    }
    if (b->n_drafts > 1)
        qsort(b->drafts, b->n_drafts, sizeof(*b->drafts), draft_compare);
    return 0;
}

static int regex_get(struct weir_route_table *t, struct weir_slice pattern,
                     const struct weir_regex **ret_regex) {
    struct weir_regex *re;
    int r = t->regexes ? 0 : weir_regex_set_new(&t->regexes);

    if (r == 0)
        r = weir_regex_add(t->regexes, pattern, &re);
    if (r == 0)
        *ret_regex = re;
    return r;
}

static int preds_make(struct weir_route_table *t, const struct weir_named_match *list, uint32_t n,
                      struct weir_route_pred *preds, bool is_header) {
    uint32_t n_preds = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct weir_route_pred *p = &preds[n_preds];
        int r;

        if (is_repeated(list, i, is_header))
            continue;
        n_preds++;
        p->name = weir_slice_from_str(list[i].name);
        p->value = weir_slice_from_str(list[i].value);
        p->field = is_header ? (uint8_t)weir_field_id(p->name) : WEIR_FIELD_OTHER;
        if (list[i].type != WEIR_MATCH_REGEX)
            continue;
        r = regex_get(t, p->value, &p->regex);
        if (r)
            return r;
    }
    return 0;
}

static int choice_make(struct weir_route_table *t, const struct draft *d) {
    struct weir_route_choice *c = &t->choices[t->n_choices++];
    struct weir_route_pred *preds = NULL;
    uint32_t n_preds = d->n_headers + d->n_queries;
    int r;

    c->route = d->route;
    c->rule = d->rule;
    c->match = d->match;
    c->grpc = d->route->grpc;
    c->rpc = weir_slice_from_str(d->match->rpc);
    c->n_headers = d->n_headers;
    c->n_queries = d->n_queries;
    c->method_name = weir_slice_from_str(d->match->method);
    c->any_method = c->method_name.len == 0;
    if (!c->any_method)
        c->method = (uint8_t)weir_method_id(c->method_name);
    c->plain = n_preds == 0 && c->any_method && !c->grpc;
    if (n_preds == 0)
        return 0;
    preds = weir_arena_calloc(&t->arena, n_preds, sizeof(*preds));
    if (!preds)
        return -ENOMEM;
    c->preds = preds;
    r = preds_make(t, d->match->headers, d->match->n_headers, preds, true);
    if (r)
        return r;
    return preds_make(t, d->match->queries, d->match->n_queries, preds + d->n_headers, false);
}

static void node_make(struct weir_route_table *t, const struct draft *d, uint32_t n) {
    struct weir_route_group *g = &t->groups[d->group];
    bool prefix = d->match->path_type == WEIR_MATCH_PREFIX;
    size_t *max = prefix ? &g->max_prefix : &g->max_exact;
    uint32_t node = t->n_nodes++;

    t->nodes[node] =
        (struct weir_route_node){ .parent = WEIR_INDEX_NONE, .first = t->n_choices, .n = n };
    weir_index_add(&t->paths, weir_route_space(d->group, prefix), weir_index_hash(d->path), d->path,
                   node);
    if (d->path.len > *max)
        *max = d->path.len;
    if (!prefix)
        g->has_exact = true;
    else
        g->prefix_lengths |= weir_length_bit(d->path.len);
    if (prefix && d->path.len == 0)
        g->root = node;
}

static int pattern_make(struct weir_route_table *t, const struct draft *d, uint32_t n) {
    struct weir_route_group *g = &t->groups[d->group];
    struct weir_route_pattern *p = &t->patterns[t->n_patterns];

    if (g->n_patterns++ == 0)
        g->first_pattern = t->n_patterns;
    t->n_patterns++;
    p->first = t->n_choices;
    p->n = n;
    return regex_get(t, d->path, &p->regex);
}

/* Links each prefix to the longest shorter prefix that covers it: entries of `paths` in an odd
 * space. */
static void prefixes_link(struct weir_route_table *t) {
    for (uint32_t i = 0; i < t->paths.n; i++) {
        const struct weir_index_entry *e = &t->paths.entries[i];
        uint64_t hash = WEIR_INDEX_BASIS;

        for (size_t k = 0; e->space % 2 && k < e->key.len; k++) {
            uint32_t found = WEIR_INDEX_NONE;

            if (e->key.ptr[k] == '/')
                found = weir_index_find(&t->paths, e->space, hash, weir_slice_make(e->key.ptr, k));
            if (found != WEIR_INDEX_NONE)
                t->nodes[e->value].parent = found;
            hash = weir_index_step(hash, e->key.ptr[k]);
        }
    }
}

static int nodes_make(struct builder *b) {
    uint32_t n;

    for (uint32_t i = 0; i < b->n_drafts; i += n) {
        const struct draft *d = &b->drafts[i];
        int r = 0;

        for (n = 1; i + n < b->n_drafts; n++)
            if (d[n].group != d->group || d[n].match->path_type != d->match->path_type ||
                !weir_slice_eq(d[n].path, d->path))
                break;
        if (d->match->path_type == WEIR_MATCH_REGEX)
            r = pattern_make(b->t, d, n);
        else
            node_make(b->t, d, n);
        for (uint32_t k = 0; r == 0 && k < n; k++)
            r = choice_make(b->t, &d[k]);
        if (r)
            return r;
    }
    prefixes_link(b->t);
    return 0;
}

static int builder_alloc(struct builder *b, uint32_t n_drafts, uint32_t n_hosts) {
    struct weir_route_table *t = b->t;
    int r = weir_index_init(&t->hosts, &t->arena, n_hosts);

    if (r == 0)
        r = weir_index_init(&t->paths, &t->arena, n_drafts);
    if (r)
        return r;
    t->groups = weir_arena_calloc(&t->arena, n_hosts + 1, sizeof(*t->groups));
    t->nodes = weir_arena_calloc(&t->arena, n_drafts + 1, sizeof(*t->nodes));
    t->patterns = weir_arena_calloc(&t->arena, n_drafts + 1, sizeof(*t->patterns));
    t->choices = weir_arena_calloc(&t->arena, n_drafts + 1, sizeof(*t->choices));
    b->drafts = weir_calloc(n_drafts + 1, sizeof(*b->drafts));
    b->hosts = weir_calloc(n_hosts + 1, sizeof(*b->hosts));
    if (!t->groups || !t->nodes || !t->patterns || !t->choices || !b->drafts || !b->hosts)
        return -ENOMEM;
    t->n_groups = 1;
    for (uint32_t i = 0; i <= n_hosts; i++)
        t->groups[i].root = WEIR_INDEX_NONE;
    return 0;
}

static int table_build(struct builder *b) {
    uint64_t n_drafts = 0, n_hosts = 0;
    int r;

    for (uint32_t i = 0; i < b->params->n_routes; i++) {
        const struct weir_http_route *route = b->params->routes[i];
        uint64_t n_matches = 0;

        for (uint32_t k = 0; k < route->n_rules; k++)
            n_matches += route->rules[k].n_matches;
        n_hosts += route->n_hostnames;
        n_drafts += n_matches * (route->n_hostnames ? route->n_hostnames : 1);
    }
    if (n_drafts > DRAFTS_MAX || n_hosts > DRAFTS_MAX)
        return -ENOMEM;
    r = builder_alloc(b, (uint32_t)n_drafts, (uint32_t)n_hosts);
    if (r == 0)
        r = drafts_make(b);
    if (r == 0) {
        groups_link(b);
        r = nodes_make(b);
    }
    return r;
}

int weir_route_table_new(const struct weir_route_table_params *params,
                         struct weir_route_table **ret_table) {
    struct weir_route_table *t = weir_calloc(1, sizeof(*t));
    struct builder b = { .t = t, .params = params };
    struct weir_slice host;
    int kind, r;

    if (!t)
        return -ENOMEM;
    weir_arena_init(&t->arena, 16384);
    t->empty = params->n_routes == 0;
    r = host_split(&t->arena, params->listener_hostname ? params->listener_hostname : "", &kind,
                   &host);
    if (r == 0) {
        t->listener_kind = (uint8_t)kind;
        t->listener = host;
        r = table_build(&b);
    }
    weir_free(b.drafts);
    weir_free(b.hosts);
    if (r) {
        weir_route_table_free(t);
        return r;
    }
    *ret_table = t;
    return 0;
}

struct weir_route_table *weir_route_table_free(struct weir_route_table *t) {
    if (!t)
        return NULL;
    weir_regex_set_free(t->regexes);
    weir_arena_deinit(&t->arena);
    return weir_free(t);
}

bool weir_route_table_empty(const struct weir_route_table *t) {
    return t->empty;
}
