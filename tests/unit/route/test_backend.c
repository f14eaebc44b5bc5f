/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"

static void shares_follow_the_weights(void **state) {
    struct weir_backend_ref backends[4] = {
        { .name = "a", .weight = 90 },
        { .name = "none", .weight = 0 },
        { .name = "b", .weight = 9 },
        { .name = "c", .weight = 1 },
    };
    struct weir_route_rule rule = { .backends = backends, .n_backends = 4 };
    uint64_t seed = 1;
    unsigned seen[4] = { 0 };

    for (int i = 0; i < 100000; i++)
        seen[weir_route_backend(&rule, rnd(&seed)) - backends]++;
    assert_in_range(seen[0], 89500, 90500); /* five standard deviations are 475 */
    assert_int_equal(seen[1], 0);
    assert_in_range(seen[2], 8500, 9500);
    assert_in_range(seen[3], 850, 1150);
}

static void the_ends_of_the_random_range_are_the_ends_of_the_list(void **state) {
    struct weir_backend_ref backends[2] = { { .weight = 1 }, { .weight = 1 } };
    struct weir_route_rule rule = { .backends = backends, .n_backends = 2 };

    assert_ptr_equal(weir_route_backend(&rule, 0), &backends[0]);
    assert_ptr_equal(weir_route_backend(&rule, UINT64_MAX), &backends[1]);
}

static void no_weight_and_no_backend_give_none(void **state) {
    struct weir_backend_ref zero = { .weight = 0 };
    struct weir_route_rule none = { 0 }, all_zero = { .backends = &zero, .n_backends = 1 };

    assert_null(weir_route_backend(&none, 5));
    assert_null(weir_route_backend(&all_zero, 5));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(the_ends_of_the_random_range_are_the_ends_of_the_list),
        cmocka_unit_test(no_weight_and_no_backend_give_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
