/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building: failure of each allocation, and a table of ten thousand routes. What a decision costs
 * there is measured by bench_decide.c, in instructions.
 */
#include "build.h"

static int build_one(void *arg) {
    struct weir_http_route **routes = arg;
    struct weir_route_table_params params = { .routes = (const struct weir_http_route **)routes,
                                              .n_routes = 3,
                                              .listener_hostname = "*.com" };
    struct weir_route_table *t = NULL;
    int r = weir_route_table_new(&params, &t);

    weir_route_table_free(t);
    return r;
}

static void survives_every_failing_allocation(void **state) {
    struct weir_http_route *routes[3];
    struct weir_arena arena;

    weir_arena_init(&arena, 4096);
    routes[0] = route_new(&arena, "a", "*.A.com", WEIR_MATCH_PREFIX, "/a");
    routes[1] = route_new(&arena, "b", NULL, WEIR_MATCH_REGEX, "/v[0-9]");
    routes[2] = route_new(&arena, "c", "b.a.com", WEIR_MATCH_EXACT, "/c");
    routes[2]->rules[0].matches[0].headers = named(&arena, WEIR_MATCH_REGEX, "x-a", "1|2");
    routes[2]->rules[0].matches[0].n_headers = 1;
    routes[2]->rules[0].matches[0].queries = named(&arena, WEIR_MATCH_EXACT, "q", "1");
    routes[2]->rules[0].matches[0].n_queries = 1;
    assert_int_not_equal(weir_test_sweep(build_one, routes, 0), 0);
    assert_int_not_equal(weir_test_sweep(build_one, routes, 1), 0);
    weir_arena_deinit(&arena);
}

static void each_of_ten_thousand_routes_is_found(void **state) {
    struct weir_http_route **routes = calloc(10000, sizeof(*routes));
    struct weir_route_table *t;
    struct weir_arena arena;

    weir_arena_init(&arena, 65536);
    for (uint32_t i = 0; i < 10000; i++)
        routes[i] = route_new(&arena, weir_arena_printf(&arena, "%u", i),
                              weir_arena_printf(&arena, "h%u.example.com", i % 100),
                              i % 3 ? WEIR_MATCH_PREFIX : WEIR_MATCH_EXACT,
                              weir_arena_printf(&arena, "/api/v%u/x", i));
    t = table_new(routes, 10000, "");
    assert_false(weir_route_table_empty(t));
    for (uint32_t i = 0; i < 10000; i++) {
        struct weir_route_decision d;
        struct weir_head head;

        head_request(&head, &arena, "GET", routes[i]->hostnames[0],
                     routes[i]->rules[0].matches[0].path);
        weir_route_decide(t, &head, &d);
        assert_ptr_equal(d.route, routes[i]);
    }
    weir_route_table_free(t);
    weir_arena_deinit(&arena);
    free(routes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_every_failing_allocation),
        cmocka_unit_test(each_of_ten_thousand_routes_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
