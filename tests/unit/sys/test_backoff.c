/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/backoff.h"

#include "sys/entropy.h"
#include "weir_test.h"

static void it_doubles_between_its_bounds_and_begins_anew(void **state) {
    static const uint64_t steps[] = { 100, 200, 400, 800, 1000, 1000 };
    struct weir_backoff b = { .least_us = 100, .most_us = 1000 };

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(steps); i++) {
            assert_in_range(weir_backoff_next(&b), steps[i] * 4 / 5, steps[i] * 6 / 5);
            assert_int_equal(b.us, steps[i]);
        }
        b.us = 0;
    }
}

static void chance_reaches_both_ends_and_goes_no_further(void **state) {
    bool seen[4] = { false };

    for (int i = 0; i < 1000; i++) {
        uint64_t n = weir_random_between(7, 10);

        assert_in_range(n, 7, 10);
        seen[n - 7] = true;
    }
    for (int i = 0; i < 4; i++)
        assert_true(seen[i]);
    assert_int_equal(weir_random_between(5, 5), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_doubles_between_its_bounds_and_begins_anew),
        cmocka_unit_test(chance_reaches_both_ends_and_goes_no_further),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
