/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routing decisions: the cases that HTTPRoute spells out, then random tables and requests against a
 * reference that reads the specification sentence by sentence and knows no index.
 */
#include "random.h"

static int arena_setup(void **state) {
    weir_arena_init(&arena, 65536);
    return 0;
}

static int arena_teardown(void **state) {
    weir_arena_deinit(&arena);
    return 0;
}

static const char *decided(struct weir_route_table *t, const char *method, const char *authority,
                           const char *target, const char *header, const char *value) {
    struct weir_route_decision d;
    struct weir_head head;

    head_request(&head, &arena, method, authority, target);
    if (header)
        assert_int_equal(
            weir_head_add(&head, weir_slice_from_str(header), weir_slice_from_str(value)), 0);
    weir_route_decide(t, &head, &d);
    return d.route ? d.route->meta.name : "none";
}

#define R(name, host, type, path) route_new(&arena, name, host, WEIR_MATCH_##type, path)
#define ASK(authority, target)    decided(t, "GET", authority, target, NULL, NULL)

static void an_empty_table_matches_nothing(void **state) {
    struct weir_route_table *t = table_new(NULL, 0, "");

    assert_true(weir_route_table_empty(t));
    assert_string_equal(ASK("a", "/"), "none");
    assert_null(weir_route_table_free(t));
    assert_null(weir_route_table_free(NULL));
}

static void hostnames_exact_before_longer_wildcard_before_shorter_before_none(void **state) {
    struct weir_http_route *routes[] = {
        R("any", NULL, PREFIX, "/"),          R("com", "*.com", PREFIX, "/"),
        R("a", "*.a.com", PREFIX, "/"),       R("exact", "B.A.com", PREFIX, "/"),
        R("deep", "*.c.a.com", EXACT, "/in"),
    };
    struct weir_route_table *t = table_new(routes, 5, "");

    assert_string_equal(ASK("b.a.com", "/"), "exact");
    assert_string_equal(ASK("B.A.COM:8080", "/"), "exact");
    assert_string_equal(ASK("b.a.com.", "/"), "exact");
    assert_string_equal(ASK("x.a.com", "/"), "a");
    assert_string_equal(ASK("x.y.a.com", "/"), "a");
    assert_string_equal(ASK("a.com", "/"), "com");
    assert_string_equal(ASK(".com", "/"), "any");
    assert_string_equal(ASK("com", "/"), "any");
    assert_string_equal(ASK("org", "/"), "any");
    assert_string_equal(ASK("", "/"), "any");
    assert_string_equal(ASK("[::1]:80", "/"), "any");
    /* The most specific hostname has no rule for the path: the next one is asked. */
    assert_string_equal(ASK("x.c.a.com", "/in"), "deep");
    assert_string_equal(ASK("x.c.a.com", "/out"), "a");
    weir_route_table_free(t);
}

static void a_less_specific_hostname_never_wins_by_a_better_path(void **state) {
    struct weir_http_route *routes[] = {
        R("wild", "*.com", EXACT, "/a/b"),
        R("exact", "a.com", PREFIX, "/"),
    };
    struct weir_route_table *t = table_new(routes, 2, "");

    assert_string_equal(ASK("a.com", "/a/b"), "exact");
    assert_string_equal(ASK("b.com", "/a/b"), "wild");
    weir_route_table_free(t);
}

static void a_listener_hostname_bounds_every_route(void **state) {
    struct weir_http_route *routes[] = { R("any", NULL, PREFIX, "/"),
                                         R("com", "*.com", PREFIX, "/com") };
    struct weir_route_table *t = table_new(routes, 2, "*.A.com");

    assert_string_equal(ASK("x.a.com", "/"), "any");
    assert_string_equal(ASK("x.a.com", "/com"), "com");
    assert_string_equal(ASK("a.com", "/com"), "none");
    assert_string_equal(ASK("x.b.com", "/"), "none");
    weir_route_table_free(t);
    routes[0] = R("www", "www.a.com", PREFIX, "/");
    t = table_new(routes, 1, "www.a.com");
    assert_string_equal(ASK("www.a.com", "/"), "www");
    assert_string_equal(ASK("", "/"), "www"); /* HTTP/1.0 without Host */
    assert_string_equal(ASK("x.a.com", "/"), "none");
    weir_route_table_free(t);
}

static void prefixes_match_whole_elements_and_the_longest_wins(void **state) {
    struct weir_http_route *routes[] = {
        R("abc", NULL, PREFIX, "/abc"),
        R("abcd", NULL, PREFIX, "/abc/d/"),
        R("exact", NULL, EXACT, "/abc/d"),
    };
    struct weir_route_table *t = table_new(routes, 3, "");

    assert_string_equal(ASK("h", "/abc"), "abc");
    assert_string_equal(ASK("h", "/abc/"), "abc");
    assert_string_equal(ASK("h", "/abc/x?q=/abc/d"), "abc");
    assert_string_equal(ASK("h", "/abc/dd"), "abc");
    assert_string_equal(ASK("h", "/abc/d/"), "abcd");
    assert_string_equal(ASK("h", "/abc/d/e/f/g"), "abcd");
    assert_string_equal(ASK("h", "/abc/d"), "exact");
    assert_string_equal(ASK("h", "/abc/d?x"), "exact");
    assert_string_equal(ASK("h", "/abcd"), "none");
    assert_string_equal(ASK("h", "/ABC"), "none");
    assert_string_equal(ASK("h", "/"), "none");
    weir_route_table_free(t);
}

static void expressions_come_after_exact_and_before_prefixes(void **state) {
    struct weir_http_route *routes[] = {
        R("prefix", NULL, PREFIX, "/v1/users"),
        R("short", NULL, REGEX, "/v[0-9]/.*"),
        R("long", NULL, REGEX, "/v[0-9]/users/[a-z]+"),
        R("exact", NULL, EXACT, "/v1/users/bob"),
    };
    struct weir_route_table *t = table_new(routes, 4, "");

    assert_string_equal(ASK("h", "/v1/users/bob"), "exact");
    assert_string_equal(ASK("h", "/v1/users/eve?x=1"), "long");
    assert_string_equal(ASK("h", "/v1/users/7"), "short");
    assert_string_equal(ASK("h", "/v1/users"), "short");
    assert_string_equal(ASK("h", "/w1/users"), "none");
    weir_route_table_free(t);
    routes[0]->rules[0].matches[0].path_type = WEIR_MATCH_REGEX;
    routes[0]->rules[0].matches[0].path = "(";
    struct weir_route_table_params params = { .routes = (const struct weir_http_route **)routes,
                                              .n_routes = 4,
                                              .listener_hostname = "" };

    assert_int_equal(weir_route_table_new(&params, &t), -EINVAL);
}

static void a_method_then_more_headers_then_more_queries_then_age(void **state) {
    struct weir_http_route *routes[] = {
        R("old", NULL, PREFIX, "/"),    R("young", NULL, PREFIX, "/"),
        R("query", NULL, PREFIX, "/"),  R("header", NULL, PREFIX, "/"),
        R("method", NULL, PREFIX, "/"), R("custom", NULL, PREFIX, "/"),
    };
    struct weir_route_table *t;

    routes[2]->rules[0].matches[0].queries = named(&arena, WEIR_MATCH_EXACT, "q", "1");
    routes[2]->rules[0].matches[0].n_queries = 1;
    routes[3]->rules[0].matches[0].headers = named(&arena, WEIR_MATCH_EXACT, "X-V", "2");
    routes[3]->rules[0].matches[0].n_headers = 1;
    routes[4]->rules[0].matches[0].method = "POST";
    routes[5]->rules[0].matches[0].method = "BREW";
    t = table_new(routes, 6, "");
    assert_string_equal(ASK("h", "/"), "old");
    assert_string_equal(ASK("h", "/?q=1"), "query");
    assert_string_equal(ASK("h", "/?q=2&q=1"), "old"); /* the first of the name counts */
    assert_string_equal(ASK("h", "/?p=1&q=1"), "query");
    assert_string_equal(ASK("h", "/?Q=1"), "old");
    assert_string_equal(decided(t, "GET", "h", "/?q=1", "x-v", "2"), "header");
    assert_string_equal(decided(t, "GET", "h", "/", "x-v", "22"), "old");
    assert_string_equal(decided(t, "POST", "h", "/?q=1", "x-v", "2"), "method");
    assert_string_equal(decided(t, "BREW", "h", "/", NULL, NULL), "custom");
    assert_string_equal(decided(t, "MASH", "h", "/", NULL, NULL), "old");
    assert_string_equal(decided(t, "post", "h", "/", NULL, NULL), "old");
    weir_route_table_free(t);
}

static void a_grpc_route_is_for_grpc_alone_and_the_longer_name_wins(void **state) {
    struct weir_http_route *routes[] = {
        R("http", NULL, EXACT, "/s/m"),   R("call", NULL, EXACT, "/s/m"),
        R("service", NULL, PREFIX, "/s"), R("method", NULL, PREFIX, "/"),
        R("longer", NULL, PREFIX, "/"),   R("all", NULL, PREFIX, "/"),
        R("plain", NULL, PREFIX, "/"),
    };
    struct weir_route_table *t;

    for (int i = 1; i < 6; i++)
        routes[i]->grpc = true;
    routes[3]->rules[0].matches[0].rpc = "x";
    routes[4]->rules[0].matches[0].rpc = "xyz";
    t = table_new(routes, 7, "");
#define CALL(target, type) decided(t, "POST", "h", target, "Content-Type", type)
    assert_string_equal(CALL("/s/m", "application/grpc"), "call");
    assert_string_equal(CALL("/s/m", "application/grpc+proto"), "call");
    assert_string_equal(CALL("/s/m", "application/grpc;x=y"), "call");
    assert_string_equal(CALL("/s/m", "application/grpc-web"), "http");
    assert_string_equal(CALL("/s/m", "text/plain"), "http");
    assert_string_equal(ASK("h", "/s/m"), "http");
    assert_string_equal(CALL("/s/n", "application/grpc"), "service");
    assert_string_equal(CALL("/s/x", "application/grpc"), "service");
    assert_string_equal(CALL("/r/x", "application/grpc"), "method");
    assert_string_equal(CALL("/r/xyz", "application/grpc"), "longer");
    assert_string_equal(CALL("/r/q", "application/grpc"), "all");
    assert_string_equal(ASK("h", "/r/x"), "plain");
#undef CALL
    weir_route_table_free(t);
}

static void rules_and_matches_of_one_route_are_tried_in_their_order(void **state) {
    struct weir_http_route *r = R("r", NULL, PREFIX, "/");
    struct weir_route_match matches[2][2];
    struct weir_route_rule rules[2] = { { .matches = matches[0], .n_matches = 2 },
                                        { .matches = matches[1], .n_matches = 2 } };
    struct weir_route_decision d;
    struct weir_route_table *t;
    struct weir_head head;

    matches[0][0] = (struct weir_route_match){ WEIR_MATCH_EXACT, "/x", "" };
    matches[0][1] = (struct weir_route_match){ WEIR_MATCH_PREFIX, "/a", "" };
    matches[1][0] = (struct weir_route_match){ WEIR_MATCH_PREFIX, "/a", "" };
    matches[1][1] = (struct weir_route_match){ WEIR_MATCH_PREFIX, "/a/b", "" };
    r->rules = rules;
    r->n_rules = 2;
    t = table_new(&r, 1, "");
    head_request(&head, &arena, "GET", "h", "/a");
    weir_route_decide(t, &head, &d);
    assert_ptr_equal(d.rule, &rules[0]);
    assert_ptr_equal(d.match, &matches[0][1]);
    head_request(&head, &arena, "GET", "h", "/a/b");
    weir_route_decide(t, &head, &d);
    assert_ptr_equal(d.rule, &rules[1]);
    assert_ptr_equal(d.match, &matches[1][1]);
    weir_route_table_free(t);
}

static void a_header_matches_when_any_of_its_lines_does(void **state) {
    struct weir_http_route *routes[] = { R("v", NULL, PREFIX, "/"), R("rest", NULL, PREFIX, "/") };
    struct weir_named_match list[] = { { WEIR_MATCH_EXACT, "x-v", "2" },
                                       { WEIR_MATCH_EXACT, "X-V", "never looked at" },
                                       { WEIR_MATCH_REGEX, "Host", "a[0-9](:.*)?" } };
    struct weir_route_decision d;
    struct weir_route_table *t;
    struct weir_head head;

    routes[0]->rules[0].matches[0].headers = list;
    routes[0]->rules[0].matches[0].n_headers = 3;
    t = table_new(routes, 2, "");
    head_request(&head, &arena, "GET", "a1:80", "/");
    assert_int_equal(weir_head_add(&head, WEIR_SLICE("X-v"), WEIR_SLICE("1")), 0);
    weir_route_decide(t, &head, &d);
    assert_string_equal(d.route->meta.name, "rest");
    assert_int_equal(weir_head_add(&head, WEIR_SLICE("x-v"), WEIR_SLICE("2")), 0);
    weir_route_decide(t, &head, &d);
    assert_string_equal(d.route->meta.name, "v");
    head.authority = WEIR_SLICE("b1");
    weir_route_decide(t, &head, &d);
    assert_string_equal(d.route->meta.name, "rest");
    head.authority = WEIR_SLICE("a1");
    head.fields[1].dropped = true;
    weir_route_decide(t, &head, &d);
    assert_string_equal(d.route->meta.name, "rest");
    weir_route_table_free(t);
}

static void targets_without_a_path_are_matched_by_the_root_prefix_only(void **state) {
    struct weir_http_route *routes[] = { R("a", NULL, PREFIX, "/a"), R("root", NULL, PREFIX, "/") };
    struct weir_route_table *t = table_new(routes, 2, "");

    assert_string_equal(decided(t, "OPTIONS", "h", "*", NULL, NULL), "root");
    assert_string_equal(decided(t, "CONNECT", "h", "h:443", NULL, NULL), "root");
    weir_route_table_free(t);
}

static void a_host_longer_than_any_name_matches_only_routes_without_hostname(void **state) {
    struct weir_http_route *routes[] = { R("com", "*.com", PREFIX, "/"),
                                         R("any", NULL, PREFIX, "/") };
    struct weir_route_table *t = table_new(routes, 2, "");
    char host[300];

    memset(host, 'a', sizeof(host));
    strcpy(host + 290, ".com");
    assert_string_equal(ASK(host, "/"), "any");
    assert_string_equal(ASK(host + 100, "/"), "com");
    weir_route_table_free(t);
}

/* --- the reference --- */

struct ref_rank {
    int host, path_kind;
    size_t host_len, path_len, rpc_len;
    int grpc, method;
    uint32_t headers, queries;
};

static bool ref_host(const char *pattern, const char *host, struct ref_rank *rank) {
    size_t n = strlen(pattern), len = strlen(host);

    rank->host_len = n;
    if (strncmp(pattern, "*.", 2) == 0) {
        rank->host = 1;
        return len > n - 1 && strcmp(host + len - (n - 1), pattern + 1) == 0;
    }
    rank->host = 2;
    return strcmp(pattern, host) == 0;
}

static bool ref_path(const struct weir_route_match *m, const char *path, struct ref_rank *rank) {
    size_t n = strlen(m->path);

    rank->path_len = n;
    switch (m->path_type) {
    case WEIR_MATCH_EXACT:
        rank->path_kind = 2;
        rank->path_len = 0;
        return strcmp(m->path, path) == 0;
    case WEIR_MATCH_REGEX: {
        /* The only expressions the generator makes: /x/[ab]+ and /[ab]+/.* */
        const char *p = path;

        rank->path_kind = 1;
        if (strcmp(m->path, "/a/[ab]+") == 0) {
            if (strncmp(p, "/a/", 3) != 0 || !p[3])
                return false;
            return strspn(p + 3, "ab") == strlen(p + 3);
        }
        n = strspn(p + 1, "ab");
        return p[0] == '/' && n > 0 && p[1 + n] == '/';
    }
    default:
        rank->path_kind = 0;
        if (n > 0 && m->path[n - 1] == '/')
            n--;
        rank->path_len = n;
        return strncmp(m->path, path, n) == 0 && (path[n] == '\0' || path[n] == '/');
    }
}

static bool ref_named(const struct weir_named_match *list, uint32_t n, const char *const *sent) {
    for (uint32_t i = 0; i < n; i++) {
        const char *value = sent[list[i].name[strlen(list[i].name) - 1] - '0'];

        if (!value)
            return false;
        if (list[i].type == WEIR_MATCH_REGEX ? strspn(value, "12") != strlen(value) || !*value
                                             : strcmp(value, list[i].value) != 0)
            return false;
    }
    return true;
}

/* True = a is to be preferred. Equal ranks: the earlier stays. */
static bool ref_better(const struct ref_rank *a, const struct ref_rank *b) {
    if (a->host != b->host)
        return a->host > b->host;
    if (a->host_len != b->host_len)
        return a->host_len > b->host_len;
    if (a->path_kind != b->path_kind)
        return a->path_kind > b->path_kind;
    if (a->path_len != b->path_len)
        return a->path_len > b->path_len;
    if (a->rpc_len != b->rpc_len)
        return a->rpc_len > b->rpc_len;
    if (a->grpc != b->grpc)
        return a->grpc > b->grpc;
    if (a->method != b->method)
        return a->method > b->method;
    if (a->headers != b->headers)
        return a->headers > b->headers;
    return a->queries > b->queries;
}

static bool ref_rpc(const struct weir_http_route *r, const struct weir_route_match *m,
                    const struct ref_request *q, struct ref_rank *rank) {
    rank->grpc = r->grpc;
    rank->rpc_len = m->rpc ? strlen(m->rpc) : 0;
    return !r->grpc || (q->grpc && (!m->rpc || strcmp(strrchr(q->path, '/') + 1, m->rpc) == 0));
}

static const struct weir_route_match *ref_decide(struct weir_http_route **routes, uint32_t n,
                                                 const struct ref_request *q) {
    const struct weir_route_match *best = NULL;
    struct ref_rank best_rank = { 0 };

    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t r = 0; r < routes[i]->n_rules; r++) {
            for (uint32_t k = 0; k < routes[i]->rules[r].n_matches; k++) {
                const struct weir_route_match *m = &routes[i]->rules[r].matches[k];
                uint32_t n_hosts = routes[i]->n_hostnames;

                for (uint32_t h = 0; h < (n_hosts ? n_hosts : 1); h++) {
                    struct ref_rank rank = { 0 };

                    if ((n_hosts && !ref_host(routes[i]->hostnames[h], q->host, &rank)) ||
                        !ref_path(m, q->path, &rank) || !ref_rpc(routes[i], m, q, &rank) ||
                        (m->method[0] && strcmp(m->method, q->method) != 0) ||
                        !ref_named(m->headers, m->n_headers, q->headers) ||
                        !ref_named(m->queries, m->n_queries, q->queries))
                        continue;
                    rank.method = m->method[0] != '\0';
                    rank.headers = m->n_headers;
                    rank.queries = m->n_queries;
                    if (!best || ref_better(&rank, &best_rank)) {
                        best = m;
                        best_rank = rank;
                    }
                }
            }
        }
    }
    return best;
}

static void random_tables_decide_as_the_reference_does(void **state) {
    unsigned matched = 0, total = 0;

    for (uint64_t table = 1; table <= 400; table++) {
        uint64_t seed = table;
        struct weir_http_route *routes[24];
        uint32_t n = 1 + rnd_below(&seed, 24);
        struct weir_route_table *t;

        weir_arena_reset(&arena);
        for (uint32_t i = 0; i < n; i++)
            routes[i] = random_route(&seed);
        t = table_new(routes, n, "");
        for (int i = 0; i < 50; i++) {
            const struct weir_route_match *want;
            struct weir_route_decision d;
            struct ref_request q;
            struct weir_head head;

            random_request(&seed, &q, &head);
            want = ref_decide(routes, n, &q);
            weir_route_decide(t, &head, &d);
            if (d.match != want)
                fail_msg("seed %u request %d: %s %s %.*s -> %s, reference %s", (unsigned)table, i,
                         q.method, q.host, WEIR_SLICE_ARG(head.target),
                         d.match ? d.match->path : "none", want ? want->path : "none");
            matched += want != NULL;
            total++;
        }
        weir_route_table_free(t);
    }
    /* A generator that never matches, or always does, would prove nothing. */
    assert_in_range(matched, total / 5, total - total / 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_matches_nothing),
        cmocka_unit_test(hostnames_exact_before_longer_wildcard_before_shorter_before_none),
        cmocka_unit_test(a_less_specific_hostname_never_wins_by_a_better_path),
        cmocka_unit_test(a_listener_hostname_bounds_every_route),
        cmocka_unit_test(prefixes_match_whole_elements_and_the_longest_wins),
        cmocka_unit_test(expressions_come_after_exact_and_before_prefixes),
        cmocka_unit_test(a_method_then_more_headers_then_more_queries_then_age),
        cmocka_unit_test(a_grpc_route_is_for_grpc_alone_and_the_longer_name_wins),
        cmocka_unit_test(rules_and_matches_of_one_route_are_tried_in_their_order),
        cmocka_unit_test(a_header_matches_when_any_of_its_lines_does),
        cmocka_unit_test(targets_without_a_path_are_matched_by_the_root_prefix_only),
        cmocka_unit_test(a_host_longer_than_any_name_matches_only_routes_without_hostname),
        cmocka_unit_test(random_tables_decide_as_the_reference_does),
    };

    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
