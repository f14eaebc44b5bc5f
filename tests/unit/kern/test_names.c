/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/names.h"

#include "weir_test.h"

#define SECOND_US 1000000ull

/* Two patterns: until 10 s and until 20 s after the machine's start. */
static const struct weir_dns_bound_value two = { .slots = { { 1, 10 }, { 0, 99 }, { 2, 20 } } };

static void it_holds_until_its_last_pattern_has_run_out(void **state) {
    assert_true(weir_bound_holds(&two, 5 * SECOND_US));
    assert_true(weir_bound_holds(&two, 20 * SECOND_US));
    assert_false(weir_bound_holds(&two, 20 * SECOND_US + 1));
    assert_false(weir_bound_ran_out(&two, 20 * SECOND_US));
    assert_true(weir_bound_ran_out(&two, 20 * SECOND_US + 1));
}

static void a_free_slot_is_no_pattern(void **state) {
    static const struct weir_dns_bound_value none = { .slots = { { 0, 99 } } };

    assert_false(weir_bound_holds(&none, 5 * SECOND_US));
    assert_true(weir_bound_ran_out(&none, 5 * SECOND_US));
}

static void a_socket_keeps_what_ran_out_for_a_while(void **state) {
    struct weir_dns_bound_value v = two;
    uint64_t keep_us = WEIR_DNS_KEEP_NS / 1000;

    v.kept_ns = 100 * SECOND_US * 1000;
    assert_true(weir_bound_holds(&v, 100 * SECOND_US + keep_us - 1));
    assert_false(weir_bound_holds(&v, 100 * SECOND_US + keep_us));
    assert_true(weir_bound_ran_out(&v, 100 * SECOND_US)); /* sockets do not count */
}

static void of_a_socket_that_lives_nothing_runs_out(void **state) {
    assert_true(weir_dns_slot_holds(&two, &two.slots[0], 1, 1000 * SECOND_US * 1000));
    assert_false(weir_dns_slot_holds(&two, &two.slots[0], 0, 1000 * SECOND_US * 1000));
    assert_false(weir_dns_slot_holds(&two, &two.slots[1], 1, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_until_its_last_pattern_has_run_out),
        cmocka_unit_test(a_free_slot_is_no_pattern),
        cmocka_unit_test(a_socket_keeps_what_ran_out_for_a_while),
        cmocka_unit_test(of_a_socket_that_lives_nothing_runs_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
