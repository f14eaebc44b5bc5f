/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/clock.h"

#include "weir_test.h"

#include <time.h>

static void the_monotonic_clock_does_not_go_back(void **state) {
    uint64_t before = weir_clock_mono_us();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = weir_clock_mono_us();
        assert_true(now >= before);
        before = now;
    }
}

static void the_wall_clock_counts_microseconds_since_the_epoch(void **state) {
    uint64_t before = (uint64_t)time(NULL) - 1;
    uint64_t now = weir_clock_wall_us();
    uint64_t after = (uint64_t)time(NULL) + 1;
    assert_in_range(now / 1000000u, before, after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
        cmocka_unit_test(the_wall_clock_counts_microseconds_since_the_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
