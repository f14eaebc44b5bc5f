/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one decision costs as the table grows: bench_decide ROUTES DECISIONS, to be run under
 * `valgrind --tool=callgrind`, which counts instructions (the difference between two numbers of
 * decisions is the cost of the decisions alone). Routes spread over a tenth as many hostnames (at
 * least two); requests go round all of them.
 */
#include "build.h"

int main(int argc, char **argv) {
    uint32_t n = argc > 1 ? (uint32_t)atoi(argv[1]) : 10;
    uint32_t decisions = argc > 2 ? (uint32_t)atoi(argv[2]) : 1000;
    struct weir_http_route **routes = calloc(n, sizeof(*routes));
    struct weir_route_table_params params = { .routes = (const struct weir_http_route **)routes,
                                              .n_routes = n,
                                              .listener_hostname = "" };
    struct weir_head heads[10];
    struct weir_route_table *t;
    struct weir_arena arena;
    unsigned found = 0;

    weir_arena_init(&arena, 65536);
    for (uint32_t i = 0; i < n; i++)
        routes[i] = route_new(&arena, "r",
                              weir_arena_printf(&arena, "svc-%05u.default.svc.cluster.local",
                                                i % (n >= 20 ? n / 10 : 2)),
                              WEIR_MATCH_PREFIX, weir_arena_printf(&arena, "/api/v1/res-%05u", i));
    if (weir_route_table_new(&params, &t))
        return 1;
    for (uint32_t i = 0; i < 10; i++) {
        const struct weir_http_route *r = routes[(uint64_t)i * (n - 1) / 9];

        head_request(&heads[i], &arena, "GET", r->hostnames[0],
                     weir_arena_printf(&arena, "%s/items/42?x=1", r->rules[0].matches[0].path));
    }
    for (uint32_t i = 0; i < decisions; i++) {
        struct weir_route_decision d;

        weir_route_decide(t, &heads[i % 10], &d);
        found += d.route != NULL;
    }
    printf("%u routes, %u of %u found\n", n, found, decisions);
    weir_route_table_free(t);
    weir_arena_deinit(&arena);
    free(routes);
    return found == decisions ? 0 : 1;
}
