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

static void what_is_out_is_counted_and_comes_back(void **state) {
    size_t before = weir_mem_used();
    void *a = weir_malloc(1000000), *b = weir_calloc(10, 100000);

    assert_true(weir_mem_used() >= before + 2000000);
    a = weir_reallocarray(a, 1, 3000000);
    assert_true(weir_mem_used() >= before + 4000000);
    a = weir_free(a);
    weir_freep(&b);
    b = weir_mem_lib_malloc(500000);
    b = weir_mem_lib_realloc(b, 900000);
    assert_true(weir_mem_used() >= before + 900000);
    weir_mem_lib_free(b);
    assert_int_equal(weir_mem_used(), before);
}

static void beyond_the_bound_allocations_fail_and_are_counted(void **state) {
    size_t before = weir_mem_used();
    uint64_t refused = weir_mem_refused();
    void *a, *b;

    weir_mem_limit(before + 8000000);
    assert_false(weir_mem_high());
    a = weir_malloc(6500000);
    assert_non_null(a);
    assert_false(weir_mem_high());
    b = weir_malloc(1000000);
    assert_non_null(b);
    assert_true(weir_mem_high()); /* more than seven eighths */
    assert_null(weir_malloc(1000000));
    assert_null(weir_calloc(1000, 1000));
    assert_null(weir_reallocarray(b, 1, 9000000)); /* b is still there */
    assert_int_equal(weir_mem_refused(), refused + 3);
    b = weir_mem_lib_realloc(b, 2000000); /* a library is not refused */
    assert_non_null(b);
    weir_mem_exempt(true); /* nor is this thread */
    b = weir_reallocarray(b, 1, 9000000);
    assert_non_null(b);
    weir_mem_exempt(false);
    assert_null(weir_malloc(9000000));
    weir_mem_lib_free(b);
    assert_false(weir_mem_high());
    a = weir_free(a);
    a = weir_malloc(7500000);
    assert_non_null(a);
    assert_true(weir_mem_high());
    weir_mem_limit(0);
    assert_false(weir_mem_high());
    assert_int_equal(weir_mem_limit_get(), 0);
    weir_free(a);
}

static void asprintf_is_counted_like_the_rest(void **state) {
    size_t before = weir_mem_used();
    char *text = weir_asprintf("%s-%d", "a", 7);

    assert_string_equal(text, "a-7");
    assert_true(weir_mem_used() > before);
    weir_free(text);
    assert_int_equal(weir_mem_used(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_named_allocation_fails),
        cmocka_unit_test(a_sticky_failure_stays_until_it_is_turned_off),
        cmocka_unit_test(an_overflowing_size_is_refused),
        cmocka_unit_test(nothing_is_still_an_allocation),
        cmocka_unit_test(what_is_out_is_counted_and_comes_back),
        cmocka_unit_test(beyond_the_bound_allocations_fail_and_are_counted),
        cmocka_unit_test(asprintf_is_counted_like_the_rest),
        cmocka_unit_test(strndup_stops_at_a_nul_and_at_n),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
