/* SPDX-License-Identifier: Apache-2.0 */
#include "core/detect.h"

#include "weir_test.h"

#define SECOND 1000000ull
#define SERVER (1u << WEIR_FIRST_SERVER)
#define CLIENT (1u << WEIR_FIRST_CLIENT)

static void one_connection_is_enough_to_learn(void **state) {
    struct weir_detect d = { 0 };

    assert_int_equal(weir_detect_sides(&d, 3, SECOND), 0);
    weir_detect_saw(&d, 3, WEIR_FIRST_SERVER, SECOND);
    assert_int_equal(weir_detect_sides(&d, 3, SECOND), SERVER);
    assert_int_equal(weir_detect_sides(&d, 4, SECOND), 0);
    assert_int_equal(weir_detect_sides(&d, 3 + WEIR_DETECT_PORTS, SECOND), 0); /* the same place */
}

static void both_are_both_until_one_was_not_seen_for_an_hour(void **state) {
    struct weir_detect d = { 0 };
    uint64_t hour = WEIR_FIRST_SECONDS * SECOND;

    weir_detect_saw(&d, 3, WEIR_FIRST_SERVER, SECOND);
    weir_detect_saw(&d, 3, WEIR_FIRST_CLIENT, 100 * SECOND);
    assert_int_equal(weir_detect_sides(&d, 3, 100 * SECOND), SERVER | CLIENT);
    weir_detect_saw(&d, 3, WEIR_FIRST_SERVER, 200 * SECOND);
    assert_int_equal(weir_detect_sides(&d, 3, 99 * SECOND + hour), SERVER | CLIENT);
    assert_int_equal(weir_detect_sides(&d, 3, 101 * SECOND + hour), SERVER);
    assert_int_equal(weir_detect_sides(&d, 3, 201 * SECOND + hour), 0);
}

static void the_node_is_told_once_a_minute_and_of_each_side(void **state) {
    struct weir_detect d = { 0 };

    assert_false(weir_detect_due(&d, 3, WEIR_FIRST_SERVER, SECOND)); /* nothing was seen */
    weir_detect_saw(&d, 3, WEIR_FIRST_SERVER, SECOND);
    assert_true(weir_detect_due(&d, 3, WEIR_FIRST_SERVER, SECOND));
    assert_false(weir_detect_due(&d, 3, WEIR_FIRST_SERVER, 60 * SECOND));
    assert_true(weir_detect_due(&d, 3, WEIR_FIRST_CLIENT, 60 * SECOND));
    assert_true(weir_detect_due(&d, 3, WEIR_FIRST_SERVER, 61 * SECOND));
}

static void the_table_is_bounded_and_forgets(void **state) {
    struct weir_detect d = { 0 };
    unsigned known = 0;

    for (unsigned key = 1; key <= 65535; key++)
        weir_detect_saw(&d, key, WEIR_FIRST_SERVER, SECOND);
    for (unsigned key = 1; key <= 65535; key++)
        known += weir_detect_sides(&d, key, SECOND) != 0;
    assert_int_equal(known, WEIR_DETECT_PORTS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_connection_is_enough_to_learn),
        cmocka_unit_test(both_are_both_until_one_was_not_seen_for_an_hour),
        cmocka_unit_test(the_node_is_told_once_a_minute_and_of_each_side),
        cmocka_unit_test(the_table_is_bounded_and_forgets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
