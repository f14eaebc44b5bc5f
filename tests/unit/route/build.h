/* SPDX-License-Identifier: Apache-2.0 */
/* Routes and heads made by hand for the route tests. Header only; everything lies in the caller's
 * arena. */
#ifndef WEIR_TEST_ROUTE_BUILD_H
#define WEIR_TEST_ROUTE_BUILD_H

#include "route/route.h"
#include "weir_test.h"

/* splitmix64: small, seeded, the same on every machine. */
static WEIR_UNUSED uint64_t rnd(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static WEIR_UNUSED uint32_t rnd_below(uint64_t *state, uint32_t n) {
    return (uint32_t)(rnd(state) % n);
}

/* A route of one rule with one match; change the match afterwards as the test needs. */
static WEIR_UNUSED struct weir_http_route *route_new(struct weir_arena *a, const char *name,
                                                     const char *hostname,
                                                     enum weir_match_type type, const char *path) {
    struct weir_http_route *r = weir_arena_calloc(a, 1, sizeof(*r));

    r->meta.name = name;
    r->meta.namespace_ = "default";
    if (hostname) {
        r->hostnames = weir_arena_calloc(a, 1, sizeof(*r->hostnames));
        r->hostnames[r->n_hostnames++] = hostname;
    }
    r->rules = weir_arena_calloc(a, 1, sizeof(*r->rules));
    r->n_rules = 1;
    r->rules[0].name = "";
    r->rules[0].matches = weir_arena_calloc(a, 1, sizeof(*r->rules[0].matches));
    r->rules[0].n_matches = 1;
    r->rules[0].matches[0] =
        (struct weir_route_match){ .path_type = type, .path = path, .method = "" };
    return r;
}

static WEIR_UNUSED struct weir_named_match *named(struct weir_arena *a, enum weir_match_type type,
                                                  const char *name, const char *value) {
    struct weir_named_match *m = weir_arena_calloc(a, 1, sizeof(*m));

    *m = (struct weir_named_match){ type, name, value };
    return m;
}

static WEIR_UNUSED void head_request(struct weir_head *head, struct weir_arena *a,
                                     const char *method, const char *authority,
                                     const char *target) {
    weir_head_init(head, a);
    head->version = WEIR_HTTP_11;
    head->method_name = weir_slice_from_str(method);
    head->method = (uint8_t)weir_method_id(head->method_name);
    head->authority = weir_slice_from_str(authority);
    head->target = weir_slice_from_str(target);
}

static WEIR_UNUSED struct weir_route_table *table_new(struct weir_http_route **routes, uint32_t n,
                                                      const char *listener) {
    struct weir_route_table_params params = {
        .routes = (const struct weir_http_route *const *)routes,
        .n_routes = n,
        .listener_hostname = listener,
    };
    struct weir_route_table *t = NULL;

    assert_int_equal(weir_route_table_new(&params, &t), 0);
    return t;
}

#endif
