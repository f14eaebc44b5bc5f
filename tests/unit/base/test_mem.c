/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include "weir_test.h"

static void only_the_named_allocation_fails(void **state) {
    weir_mem_fail_at(2, 0);
    void *a = weir_malloc(8);
    assert_false(weir_mem_failed());
    void *b = weir_malloc(8);
    assert_true(weir_mem_failed());
    void *c = weir_calloc(2, 4);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    weir_mem_fail_at(0, 0);
    weir_free(a);
    weir_free(c);
}

static void a_sticky_failure_stays_until_it_is_turned_off(void **state) {
    weir_mem_fail_at(1, 1);
    assert_null(weir_malloc(1));
    assert_null(weir_calloc(1, 1));
    assert_null(weir_reallocarray(NULL, 1, 1));
    assert_null(weir_strndup("x", 1));
    weir_mem_fail_at(0, 0);
    void *p = weir_malloc(1);
    assert_non_null(p);
    assert_null(weir_free(p));
}

static void an_overflowing_size_is_refused(void **state) {
    assert_null(weir_reallocarray(NULL, SIZE_MAX / 2, 3));
    assert_null(weir_calloc(SIZE_MAX / 2, 3));
}

static void nothing_is_still_an_allocation(void **state) {
    WEIR_CLEANUP(weir_freep)
    void *a = weir_malloc(0);
    WEIR_CLEANUP(weir_freep)
    void *b = weir_calloc(0, 7);
    WEIR_CLEANUP(weir_freep)
    void *c = weir_reallocarray(NULL, 0, 7);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_null(weir_free(NULL));
}

static void strndup_stops_at_a_nul_and_at_n(void **state) {
    WEIR_CLEANUP(weir_freep)
    char *cut = weir_strndup("abcdef", 3);
    WEIR_CLEANUP(weir_freep)
    char *whole = weir_strndup("ab", 9);
    assert_string_equal(cut, "abc");
    assert_string_equal(whole, "ab");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_named_allocation_fails),
        cmocka_unit_test(a_sticky_failure_stays_until_it_is_turned_off),
        cmocka_unit_test(an_overflowing_size_is_refused),
        cmocka_unit_test(nothing_is_still_an_allocation),
        cmocka_unit_test(strndup_stops_at_a_nul_and_at_n),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
