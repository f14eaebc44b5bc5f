/* SPDX-License-Identifier: Apache-2.0 */
#include "core/detect.h"

#include "weir_test.h"

static void one_connection_is_enough_to_learn(void **state) {
    struct weir_detect d = { 0 };

    assert_false(weir_detect_server_first(&d, 3, 25));
    weir_detect_learn(&d, 3, 25);
    assert_true(weir_detect_server_first(&d, 3, 25));
    assert_false(weir_detect_server_first(&d, 2, 25)); /* the other direction */
    assert_false(weir_detect_server_first(&d, 3, 26));
    assert_false(weir_detect_server_first(&d, 3, 0));
}

static void a_port_on_which_both_spoke_first_is_always_waited_for(void **state) {
    struct weir_detect d = { 0 };

    weir_detect_learn(&d, 3, 25);
    weir_detect_contrary(&d, 3, 25);
    assert_false(weir_detect_server_first(&d, 3, 25));
    weir_detect_learn(&d, 3, 25);
    assert_false(weir_detect_server_first(&d, 3, 25));
}

static void the_table_is_bounded_and_forgets(void **state) {
    struct weir_detect d = { 0 };
    unsigned known = 0;

    for (unsigned port = 1; port <= 65535; port++)
        weir_detect_learn(&d, 3, (uint16_t)port);
    for (unsigned port = 1; port <= 65535; port++)
        known += weir_detect_server_first(&d, 3, (uint16_t)port);
    assert_int_equal(known, WEIR_DETECT_PORTS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_connection_is_enough_to_learn),
        cmocka_unit_test(a_port_on_which_both_spoke_first_is_always_waited_for),
        cmocka_unit_test(the_table_is_bounded_and_forgets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
