/* SPDX-License-Identifier: Apache-2.0 */
/* What a decision says it read, and the list of what came before it: over random tables and requests. */
#include "route/explain.h"

#include "random.h"

static int arena_setup(void **state) {
    (void)state;
    weir_arena_init(&arena, 65536);
    return 0;
}

static int arena_teardown(void **state) {
    (void)state;
    weir_arena_deinit(&arena);
    return 0;
}

static struct weir_http_route *routes[24];

static struct weir_route_table *random_table(uint64_t *seed) {
    static const char *const listeners[] = { "", "", "", "*.com", "b.a.com" };
    uint32_t n = 1 + rnd_below(seed, rnd_below(seed, 2) ? 3 : 24); /* many and few */

    weir_arena_reset(&arena);
    for (uint32_t i = 0; i < n; i++)
        routes[i] = random_route(seed);
    return table_new(routes, n, listeners[rnd_below(seed, 5)]);
}

struct listing {
    const struct weir_route_match *first; /* without a miss */
    unsigned n, before;
};

static int take(void *arg, const struct weir_route_verdict *v) {
    struct listing *l = arg;

    l->n++;
    if (v->miss == WEIR_MISS_NONE && !l->first)
        l->first = v->match;
    l->before += !l->first;
    return 0;
}

static void the_first_of_the_list_without_a_miss_is_the_decision(void **state) {
    unsigned decided = 0, total = 0, before = 0;

    (void)state;
    for (uint64_t table = 1; table <= 300; table++) {
        uint64_t seed = table;
        struct weir_route_table *t = random_table(&seed);

        for (int i = 0; i < 30; i++, total++) {
            struct listing l = { 0 };
            struct weir_route_decision d;
            struct ref_request q;
            struct weir_head head;

            random_request(&seed, &q, &head);
            weir_route_decide(t, &head, &d);
            assert_int_equal(weir_route_each(t, &head, take, &l), 0);
            if (l.first != d.match)
                fail_msg("table %u request %d: %s %s %.*s", (unsigned)table, i, q.method, q.host,
                         WEIR_SLICE_ARG(head.target));
            decided += d.match != NULL;
            before += l.before;
        }
        weir_route_table_free(t);
    }
    assert_in_range(decided, total / 10, total - total / 10);
    assert_true(before > total);
}

static bool is_in(const struct weir_slice *list, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (weir_slice_ieq(list[i], weir_slice_from_str(name)))
            return true;
    return false;
}

/* Another request that is the same in every part that was named. */
static void change(uint64_t *seed, const struct weir_route_parts *parts,
                   const struct ref_request *q, struct ref_request *other, struct weir_head *head) {
    char name[8];

    random_request(seed, other, head);
    if (parts->host)
        other->host = q->host;
    if (parts->path)
        other->path = q->path;
    if (parts->method)
        other->method = q->method;
    if (parts->grpc)
        other->grpc = q->grpc;
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "x-%d", i);
        if (is_in(parts->headers, parts->n_headers, name))
            other->headers[i] = q->headers[i];
        snprintf(name, sizeof(name), "q%d", i);
        if (is_in(parts->queries, parts->n_queries, name))
            other->queries[i] = q->queries[i];
    }
    request_head(other, head);
}

static void what_was_not_named_does_not_matter(void **state) {
    unsigned total = 0, free_host = 0, free_path = 0, free_method = 0, free_grpc = 0, headers = 0,
             queries = 0;

    (void)state;
    for (uint64_t table = 1; table <= 400; table++) {
        uint64_t seed = table;
        struct weir_route_table *t = random_table(&seed);

        for (int i = 0; i < 20; i++, total++) {
            struct weir_route_decision want, d;
            struct weir_route_parts parts = { .arena = &arena };
            struct ref_request q, other;
            struct weir_head head;

            random_request(&seed, &q, &head);
            assert_int_equal(weir_route_decide_noting(t, &head, &want, &parts), 0);
            weir_route_decide(t, &head, &d);
            assert_ptr_equal(d.match, want.match); /* looking changes nothing */
            free_host += !parts.host;
            free_path += !parts.path;
            free_method += !parts.method;
            free_grpc += !parts.grpc;
            headers += parts.n_headers;
            queries += parts.n_queries;
            for (int k = 0; k < 10; k++) {
                change(&seed, &parts, &q, &other, &head);
                weir_route_decide(t, &head, &d);
                if (d.match != want.match)
                    fail_msg("table %u request %d change %d: %s %s %.*s", (unsigned)table, i, k,
                             other.method, other.host, WEIR_SLICE_ARG(head.target));
            }
        }
        weir_route_table_free(t);
    }
    /* Each part was free often enough to be changed, and named often enough to be of use. */
    assert_in_range(free_host, total / 50, total - total / 50);
    assert_in_range(free_path, total / 50, total - total / 50);
    assert_in_range(free_method, total / 10, total - total / 10);
    assert_in_range(free_grpc, total / 10, total - total / 10);
    assert_in_range(headers, total / 20, total * 3);
    assert_in_range(queries, total / 20, total * 3);
}

struct told {
    char text[256];
};

static int tell(void *arg, const struct weir_route_verdict *v) {
    static const char *const misses[] = { "-",   "listener", "host",   "path", "grpc",
                                          "rpc", "method",   "header", "query" };
    struct told *to = arg;

    snprintf(to->text + strlen(to->text), sizeof(to->text) - strlen(to->text), "%s:%s%.*s ",
             v->route->meta.name, misses[v->miss], WEIR_SLICE_ARG(v->name));
    return 0;
}

static void each_reason_is_told(void **state) {
    struct weir_http_route *r[] = {
        route_new(&arena, "host", "x.org", WEIR_MATCH_PREFIX, "/"),
        route_new(&arena, "path", NULL, WEIR_MATCH_EXACT, "/other"),
        route_new(&arena, "grpc", NULL, WEIR_MATCH_PREFIX, "/a"),
        route_new(&arena, "method", NULL, WEIR_MATCH_PREFIX, "/a"),
        route_new(&arena, "header", NULL, WEIR_MATCH_PREFIX, "/a"),
        route_new(&arena, "query", NULL, WEIR_MATCH_PREFIX, "/a"),
        route_new(&arena, "it", NULL, WEIR_MATCH_PREFIX, "/a"),
        route_new(&arena, "later", NULL, WEIR_MATCH_PREFIX, "/"),
    };
    struct weir_route_table *t;
    struct weir_route_decision d;
    struct weir_route_parts parts = { .arena = &arena };
    struct weir_head head;
    struct told told = { "" };

    (void)state;
    r[2]->grpc = true;
    r[3]->rules[0].matches[0].method = "POST";
    r[4]->rules[0].matches[0].headers = named(&arena, WEIR_MATCH_EXACT, "X-V", "1");
    r[4]->rules[0].matches[0].n_headers = 1;
    r[5]->rules[0].matches[0].queries = named(&arena, WEIR_MATCH_EXACT, "q", "1");
    r[5]->rules[0].matches[0].n_queries = 1;
    t = table_new(r, 8, "");
    head_request(&head, &arena, "GET", "a.com", "/a/b?q=2");
    assert_int_equal(weir_route_each(t, &head, tell, &told), 0);
    assert_string_equal(told.text, "host:host path:path grpc:grpc method:method header:headerX-V "
                                   "query:queryq it:- later:- ");
    told.text[0] = '\0';
    assert_int_equal(weir_route_each(t, NULL, tell, &told), 0);
    assert_string_equal(told.text, "host:- path:- grpc:- method:- header:- query:- it:- later:- ");
    assert_int_equal(weir_route_decide_noting(t, &head, &d, &parts), 0);
    assert_string_equal(d.route->meta.name, "it");
    assert_true(parts.host && parts.path && parts.method && parts.grpc);
    assert_int_equal(parts.n_headers, 1);
    weir_assert_slice(parts.headers[0], "X-V");
    assert_int_equal(parts.n_queries, 1);
    weir_route_table_free(t);
    t = table_new(&r[7], 1, ""); /* one rule for everything reads nothing */
    assert_int_equal(weir_route_decide_noting(t, &head, &d, &parts), 0);
    assert_string_equal(d.route->meta.name, "later");
    assert_false(parts.host || parts.path || parts.method || parts.grpc || parts.n_headers ||
                 parts.n_queries);
    weir_route_table_free(t);
}

static int each_with_failures(void *arg) {
    struct weir_head head;
    struct listing l = { 0 };

    head_request(&head, &arena, "GET", "a.com", "/a/b");
    return weir_route_each(arg, &head, take, &l);
}

static void survives_every_failing_allocation(void **state) {
    uint64_t seed = 5;
    struct weir_route_table *t = random_table(&seed);

    (void)state;
    assert_int_not_equal(weir_test_sweep(each_with_failures, t, 0), 0);
    weir_route_table_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_the_list_without_a_miss_is_the_decision),
        cmocka_unit_test(what_was_not_named_does_not_matter),
        cmocka_unit_test(each_reason_is_told),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
