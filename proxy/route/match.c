/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One decision: a pure function of method, authority, path, query and the fields that some match
 * names. It never allocates in the common case and never scans rules, except those that share
 * hostname and path (and the regular expressions of a hostname, which have to be tried one by one).
 *
 * Gateway API HTTPRoute precedence, and what it leaves open:
 *   hostname  exact, then the longest wildcard, then none. A less specific hostname is looked at
 * only when no rule under a more specific one matches the whole request. path      Exact, then
 * RegularExpression (open: here the longest pattern first, before any prefix), then the longest
 * PathPrefix by elements. "*" and authority-form targets are matched by the prefix "/" only. then
 * a method match, most header matches, most query matches, then the oldest route, namespace/name,
 * and rule order, all of which table.c sorted. headers   open: a field that occurs several times
 * matches when any one of its lines does. "host" means the authority. queries   open: the first
 * parameter of the name counts; bytes are compared as sent, without decoding. Without an authority
 * (HTTP/1.0) the listener's own hostname stands in.
 */
#include "route/match.h"

static struct weir_slice host_of(struct weir_slice authority, char *buf) {
    size_t len = authority.len;

    if (len > 0 && authority.ptr[0] == '[')
        len = weir_slice_index(authority, ']') + 1;
    else
        len = weir_slice_index(authority, ':');
    if (len > 1 && len <= authority.len && authority.ptr[len - 1] == '.')
        len--;
    if (len > WEIR_ROUTE_HOST_MAX || len > authority.len)
        return WEIR_SLICE("");
    for (size_t i = 0; i < len; i++) {
        char c = authority.ptr[i];

        buf[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    return weir_slice_make(buf, len);
}

static bool covers(struct weir_slice wild, struct weir_slice host) {
    return host.len > wild.len + 1 && host.ptr[host.len - wild.len - 1] == '.' &&
           weir_slice_ends_with(host, wild);
}

static bool listener_admits(const struct weir_route_table *t, struct weir_slice host) {
    if (t->listener_kind == WEIR_HOST_ANY)
        return true;
    if (t->listener_kind == WEIR_HOST_WILD)
        return host.len == 0 || covers(t->listener, host);
    return weir_slice_eq(t->listener, host);
}

static uint32_t group_of(const struct weir_route_table *t, struct weir_slice host) {
    uint64_t hash = WEIR_INDEX_BASIS;
    uint32_t best = 0, found;

    if (t->n_groups == 1 || host.len == 0)
        return 0;
    for (size_t i = host.len; i > 0; i--) {
        char c = host.ptr[i - 1];

        /* "*.b" covers "a.b": something has to stand before the dot. */
        if (c == '.' && (t->wild_lengths & weir_length_bit(host.len - i)) && i > 1) {
            found = weir_index_find(&t->hosts, WEIR_HOST_WILD, hash,
                                    weir_slice_make(host.ptr + i, host.len - i));
            if (found != WEIR_INDEX_NONE)
                best = found;
        }
        hash = weir_index_step(hash, c);
    }
    found = weir_index_find(&t->hosts, WEIR_HOST_EXACT, hash, host);
    return found != WEIR_INDEX_NONE ? found : best;
}

static bool value_matches(const struct weir_route_request *q, const struct weir_route_pred *p,
                          struct weir_slice value) {
    return p->regex ? weir_regex_matches(q->t->regexes, p->regex, value)
                    : weir_slice_eq(p->value, value);
}

static bool header_matches(const struct weir_route_request *q, const struct weir_route_pred *p) {
    const struct weir_head *head = q->head;

    if (p->field == WEIR_FIELD_HOST)
        return head->authority.len > 0 && value_matches(q, p, head->authority);
    for (uint16_t i = 0; i < head->n_fields; i++) {
        const struct weir_field *f = &head->fields[i];

        if (f->id == p->field && !f->dropped &&
            (p->field != WEIR_FIELD_OTHER || weir_slice_ieq(f->name, p->name)) &&
            value_matches(q, p, f->value))
            return true;
    }
    return false;
}

static bool query_matches(const struct weir_route_request *q, const struct weir_route_pred *p) {
    struct weir_slice rest = weir_head_query(q->head), part;

    if (!rest.ptr)
        return false;
    while (weir_slice_split(&rest, '&', &part)) {
        size_t n = weir_slice_index(part, '=');
        size_t skip = n < part.len ? n + 1 : n;

        if (weir_slice_eq(weir_slice_make(part.ptr, n), p->name))
            return value_matches(q, p, weir_slice_make(part.ptr + skip, part.len - skip));
    }
    return false;
}

static struct weir_slice last_element(struct weir_slice path) {
    size_t i = path.len;

    while (i > 0 && path.ptr[i - 1] != '/')
        i--;
    return weir_slice_make(path.ptr + i, path.len - i);
}

enum weir_route_miss weir_route_choice_miss(const struct weir_route_request *q,
                                            const struct weir_route_choice *c,
                                            const struct weir_route_pred **ret_pred) {
    const struct weir_route_pred *p = c->preds;

    if (c->grpc) {
        if (q->parts)
            q->parts->grpc = true;
        if (!weir_head_is_grpc(q->head))
            return WEIR_MISS_GRPC;
        if (q->parts && c->rpc.len > 0)
            q->parts->path = true;
        if (c->rpc.len > 0 && !weir_slice_eq(c->rpc, last_element(q->path)))
            return WEIR_MISS_RPC;
    }
    if (!c->any_method) {
        if (q->parts)
            q->parts->method = true;
        if (c->method != q->head->method || (c->method == WEIR_METHOD_OTHER &&
                                             !weir_slice_eq(c->method_name, q->head->method_name)))
            return WEIR_MISS_METHOD;
    }
    for (uint32_t i = 0; i < c->n_headers + c->n_queries; i++, p++) {
        bool header = i < c->n_headers;

        if (q->parts && header)
            weir_route_note_header(q->parts, p);
        else if (q->parts)
            weir_route_note_query(q->parts, p);
        if (header ? !header_matches(q, p) : !query_matches(q, p)) {
            if (ret_pred)
                *ret_pred = p;
            return header ? WEIR_MISS_HEADER : WEIR_MISS_QUERY;
        }
    }
    return WEIR_MISS_NONE;
}

static const struct weir_route_choice *choose(const struct weir_route_request *q, uint32_t first,
                                              uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const struct weir_route_choice *c = &q->t->choices[first + i];

        if (c->plain || weir_route_choice_miss(q, c, NULL) == WEIR_MISS_NONE)
            return c;
    }
    return NULL;
}

struct path_hits {
    uint32_t exact, prefix; /* nodes */
};

static void prefix_probe(const struct weir_route_table *t, uint32_t group, uint64_t hash,
                         struct weir_slice prefix, uint32_t *node) {
    uint32_t found;

    if (!(t->groups[group].prefix_lengths & weir_length_bit(prefix.len)))
        return;
    found = weir_index_find(&t->paths, weir_route_space(group, true), hash, prefix);
    if (found != WEIR_INDEX_NONE)
        *node = found;
}

/* One pass over the path finds its exact node and the longest prefix of whole elements. */
static struct path_hits path_find(const struct weir_route_table *t, uint32_t group,
                                  struct weir_slice path) {
    const struct weir_route_group *g = &t->groups[group];
    struct path_hits hits = { WEIR_INDEX_NONE, g->root };
    bool exact = g->has_exact && path.len <= g->max_exact;
    size_t end = path.len < g->max_prefix + 1 ? path.len : g->max_prefix + 1;
    uint64_t hash = WEIR_INDEX_BASIS;

    if (path.len == 0 || path.ptr[0] != '/' || (!exact && g->max_prefix == 0))
        return hits;
    for (size_t i = 0; i < (exact ? path.len : end); i++) {
        if (path.ptr[i] == '/' && i > 0 && i < end)
            prefix_probe(t, group, hash, weir_slice_make(path.ptr, i), &hits.prefix);
        hash = weir_index_step(hash, path.ptr[i]);
    }
    if (path.len <= g->max_prefix)
        prefix_probe(t, group, hash, path, &hits.prefix);
    if (exact)
        hits.exact = weir_index_find(&t->paths, weir_route_space(group, false), hash, path);
    return hits;
}

static const struct weir_route_choice *decide_in_group(const struct weir_route_request *q,
                                                       uint32_t group) {
    const struct weir_route_table *t = q->t;
    const struct weir_route_group *g = &t->groups[group];
    struct path_hits hits = path_find(t, group, q->path);
    const struct weir_route_choice *c = NULL;

    if (q->parts && (g->has_exact || g->max_prefix > 0 || g->n_patterns > 0))
        q->parts->path = true;
    if (hits.exact != WEIR_INDEX_NONE)
        c = choose(q, t->nodes[hits.exact].first, t->nodes[hits.exact].n);
    for (uint32_t i = 0; !c && i < g->n_patterns; i++) {
        const struct weir_route_pattern *p = &t->patterns[g->first_pattern + i];

        if (weir_regex_matches(t->regexes, p->regex, q->path))
            c = choose(q, p->first, p->n);
    }
    for (uint32_t n = hits.prefix; !c && n != WEIR_INDEX_NONE; n = t->nodes[n].parent)
        c = choose(q, t->nodes[n].first, t->nodes[n].n);
    return c;
}

static inline struct weir_slice host_for(const struct weir_route_table *t,
                                         const struct weir_head *head, char *buf) {
    if (head->authority.len == 0 && t->listener_kind == WEIR_HOST_EXACT)
        return t->listener;
    return host_of(head->authority, buf);
}

static inline void decide(const struct weir_route_request *q,
                          struct weir_route_decision *ret_decision) {
    const struct weir_route_table *t = q->t;
    char buf[WEIR_ROUTE_HOST_MAX];
    struct weir_slice host = host_for(t, q->head, buf);
    const struct weir_route_choice *c = NULL;

    *ret_decision = (struct weir_route_decision){ 0 };
    if (!listener_admits(t, host))
        return;
    for (uint32_t g = group_of(t, host); !c && g != WEIR_INDEX_NONE; g = t->groups[g].parent)
        c = decide_in_group(q, g);
    if (c)
        *ret_decision = (struct weir_route_decision){ c->route, c->rule, c->match };
}

void weir_route_decide(const struct weir_route_table *t, const struct weir_head *head,
                       struct weir_route_decision *ret_decision) {
    struct weir_route_request q = { .t = t, .head = head, .path = weir_head_path(head) };

    decide(&q, ret_decision);
}

int weir_route_decide_noting(const struct weir_route_table *t, const struct weir_head *head,
                             struct weir_route_decision *ret_decision,
                             struct weir_route_parts *ret_parts) {
    struct weir_route_request q = {
        .t = t, .head = head, .path = weir_head_path(head), .parts = ret_parts
    };

    *ret_parts = (struct weir_route_parts){ .arena = ret_parts->arena };
    ret_parts->host = t->n_groups > 1 || t->listener_kind != WEIR_HOST_ANY;
    decide(&q, ret_decision);
    return ret_parts->failed ? -ENOMEM : 0;
}

/* ---- for explain.c; what decides has copies of its own, inlined ---- */

struct weir_slice weir_route_host(const struct weir_route_table *t, const struct weir_head *head,
                                  char buf[WEIR_ROUTE_HOST_MAX]) {
    return host_for(t, head, buf);
}

bool weir_route_listener_admits(const struct weir_route_table *t, struct weir_slice host) {
    return listener_admits(t, host);
}

uint32_t weir_route_group_of(const struct weir_route_table *t, struct weir_slice host) {
    return group_of(t, host);
}
