/* SPDX-License-Identifier: Apache-2.0 */
/* Random tables and requests, small enough that they meet often. Header only; everything lies in `arena`. */
#ifndef WEIR_TEST_ROUTE_RANDOM_H
#define WEIR_TEST_ROUTE_RANDOM_H

#include "build.h"

static struct weir_arena arena;

struct ref_request {
    const char *method, *host, *path;
    bool grpc;
    const char *headers[4], *queries[4]; /* values of x-0.., q0..; NULL = not sent */
};

static const char *const hosts[] = { "a.com", "b.a.com", "c.b.a.com", "com", "x.org", "b.x.org" };
static const char *const patterns[] = { "*.com", "*.a.com", "*.b.a.com", "*.org" };
static const char *const methods[] = { "GET", "POST", "BREW" };
static const char *const values[] = { "1", "2", "12", "x" };

static const char *random_path(uint64_t *seed, bool slash) {
    char *path = weir_arena_calloc(&arena, 1, 32);
    uint32_t n = rnd_below(seed, 4);

    for (uint32_t i = 0; i < n; i++)
        strcat(strcat(path, "/"), (const char *[]){ "a", "b", "ab", "c" }[rnd_below(seed, 4)]);
    if (n == 0 || (slash && rnd_below(seed, 3) == 0))
        strcat(path, "/");
    return path;
}

static struct weir_named_match *random_named(uint64_t *seed, const char *stem, uint32_t *ret_n) {
    struct weir_named_match *list = weir_arena_calloc(&arena, 3, sizeof(*list));
    uint32_t n = rnd_below(seed, 4) == 0 ? 1 + rnd_below(seed, 3) : 0;
    uint32_t first = rnd_below(seed, 4);

    for (uint32_t i = 0; i < n; i++) {
        bool regex = rnd_below(seed, 4) == 0;

        list[i].name = weir_arena_printf(&arena, "%s%u", stem, (first + i) % 4);
        list[i].type = regex ? WEIR_MATCH_REGEX : WEIR_MATCH_EXACT;
        list[i].value = regex ? "[12]+" : values[rnd_below(seed, 4)];
    }
    *ret_n = n;
    return list;
}

static void random_match(uint64_t *seed, struct weir_route_match *m) {
    uint32_t kind = rnd_below(seed, 8);

    m->method = rnd_below(seed, 4) == 0 ? methods[rnd_below(seed, 3)] : "";
    m->path_type = kind == 0 ? WEIR_MATCH_REGEX : kind < 3 ? WEIR_MATCH_EXACT : WEIR_MATCH_PREFIX;
    if (kind == 0)
        m->path = rnd_below(seed, 2) ? "/a/[ab]+" : "/[ab]+/.*";
    else
        m->path = random_path(seed, true);
    m->headers = random_named(seed, "x-", &m->n_headers);
    m->queries = random_named(seed, "q", &m->n_queries);
}

static WEIR_UNUSED struct weir_http_route *random_route(uint64_t *seed) {
    struct weir_http_route *r = route_new(&arena, "r", NULL, WEIR_MATCH_PREFIX, "/");

    r->grpc = rnd_below(seed, 4) == 0;
    r->n_hostnames = rnd_below(seed, 3);
    r->hostnames = weir_arena_calloc(&arena, 3, sizeof(*r->hostnames));
    for (uint32_t i = 0; i < r->n_hostnames; i++)
        r->hostnames[i] =
            rnd_below(seed, 2) ? hosts[rnd_below(seed, 6)] : patterns[rnd_below(seed, 4)];
    r->n_rules = 1 + rnd_below(seed, 3);
    r->rules = weir_arena_calloc(&arena, r->n_rules, sizeof(*r->rules));
    for (uint32_t i = 0; i < r->n_rules; i++) {
        struct weir_route_rule *rule = &r->rules[i];

        rule->n_matches = 1 + rnd_below(seed, 2);
        rule->matches = weir_arena_calloc(&arena, rule->n_matches, sizeof(*rule->matches));
        for (uint32_t k = 0; k < rule->n_matches; k++)
            random_match(seed, &rule->matches[k]);
        if (r->grpc && rule->matches[0].path_type == WEIR_MATCH_PREFIX && rnd_below(seed, 2))
            rule->matches[0].rpc = rnd_below(seed, 2) ? "a" : "ab";
    }
    return r;
}

/* The head of such a request. */
static void request_head(const struct ref_request *q, struct weir_head *head) {
    char *target = weir_arena_calloc(&arena, 1, 128);

    strcat(target, q->path);
    head_request(head, &arena, q->method, q->host, target);
    if (q->grpc)
        assert_int_equal(
            weir_head_add(head, WEIR_SLICE("content-type"), WEIR_SLICE("application/grpc")), 0);
    for (int i = 0; i < 4; i++) {
        if (q->headers[i])
            assert_int_equal(
                weir_head_add(head, weir_slice_from_str(weir_arena_printf(&arena, "X-%d", i)),
                              weir_slice_from_str(q->headers[i])),
                0);
        if (q->queries[i])
            sprintf(target + strlen(target), "%cq%d=%s", strchr(target, '?') ? '&' : '?', i,
                    q->queries[i]);
    }
    head->target = weir_slice_from_str(target);
}

static WEIR_UNUSED void random_request(uint64_t *seed, struct ref_request *q,
                                       struct weir_head *head) {
    q->method = methods[rnd_below(seed, 3)];
    q->host = hosts[rnd_below(seed, 6)];
    q->path = random_path(seed, true);
    q->grpc = rnd_below(seed, 2);
    for (int i = 0; i < 4; i++) {
        q->headers[i] = rnd_below(seed, 2) ? values[rnd_below(seed, 4)] : NULL;
        q->queries[i] = rnd_below(seed, 2) ? values[rnd_below(seed, 4)] : NULL;
    }
    request_head(q, head);
}

#endif
