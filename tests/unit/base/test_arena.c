/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "weir_test.h"

static void an_arena_nobody_used_holds_nothing(void **state) {
    struct weir_arena a;
    weir_arena_init(&a, 1024);
    assert_int_equal(weir_arena_size(&a), 0);
    weir_arena_reset(&a);
    weir_arena_deinit(&a);
}

static void allocations_are_aligned_and_do_not_overlap(void **state) {
    struct weir_arena a;
    weir_arena_init(&a, 256);
    char *p[100];
    for (size_t i = 0; i < 100; i++) {
        p[i] = weir_arena_alloc(&a, i);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        memset(p[i], (int)i, i);
    }
    for (size_t i = 0; i < 100; i++) {
        for (size_t j = 0; j < i; j++)
            assert_int_equal(p[i][j], i);
    }
    weir_arena_deinit(&a);
    assert_int_equal(weir_arena_size(&a), 0);
}

static void reset_keeps_one_standard_block_and_uses_it_again(void **state) {
    struct weir_arena a;
    weir_arena_init(&a, 256);
    char *first = weir_arena_alloc(&a, 200);
    assert_non_null(weir_arena_alloc(&a, 100000));
    assert_non_null(weir_arena_alloc(&a, 200));
    weir_arena_reset(&a);
    size_t kept = weir_arena_size(&a);
    assert_in_range(kept, 256, 256 + 64);
    /* No allocation is needed any more. */
    weir_mem_fail_at(1, 1);
    char *again = weir_arena_alloc(&a, 200);
    weir_mem_fail_at(0, 0);
    assert_non_null(again);
    (void)first;
    weir_arena_deinit(&a);
}

static void a_large_request_leaves_the_current_block_current(void **state) {
    struct weir_arena a;
    weir_arena_init(&a, 256);
    char *x = weir_arena_alloc(&a, 16);
    assert_non_null(weir_arena_alloc(&a, 1000));
    char *y = weir_arena_alloc(&a, 16);
    assert_ptr_equal(y, x + 16);
    weir_arena_deinit(&a);
}

static void an_arena_whose_only_blocks_are_large_resets_to_nothing(void **state) {
    struct weir_arena a;
    weir_arena_init(&a, 64);
    assert_non_null(weir_arena_alloc(&a, 1000));
    weir_arena_reset(&a);
    assert_int_equal(weir_arena_size(&a), 0);
    weir_arena_deinit(&a);
}

static void calloc_clears_recycled_bytes_and_refuses_overflow(void **state) {
    struct weir_arena a;
    weir_arena_init(&a, 256);
    memset(weir_arena_alloc(&a, 200), 0xff, 200);
    weir_arena_reset(&a);
    char *p = weir_arena_calloc(&a, 10, 20);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(p[i], 0);
    assert_null(weir_arena_calloc(&a, SIZE_MAX / 2, 3));
    assert_null(weir_arena_alloc(&a, SIZE_MAX - 8));
    weir_arena_deinit(&a);
}

static void copies_have_a_nul_behind_them(void **state) {
    struct weir_arena a;
    weir_arena_init(&a, 64);
    struct weir_slice s = weir_arena_dup(&a, weir_slice_make("hello, world", 5));
    weir_assert_slice(s, "hello");
    assert_int_equal(s.ptr[5], '\0');
    s = weir_arena_dup(&a, WEIR_SLICE_NONE);
    assert_non_null(s.ptr);
    assert_int_equal(s.len, 0);
    assert_string_equal(weir_arena_printf(&a, "%s=%d", "n", 42), "n=42");
    char *big = weir_arena_printf(&a, "%0500d", 1);
    assert_int_equal(strlen(big), 500);
    weir_arena_deinit(&a);
}

static void parts_are_joined(void **state) {
    const struct weir_slice parts[] = { WEIR_SLICE("a="), WEIR_SLICE_NONE, WEIR_SLICE(""),
                                        WEIR_SLICE("bc") };
    struct weir_arena a;
    weir_arena_init(&a, 64);
    weir_assert_slice(weir_arena_join(&a, parts, 4), "a=bc");
    struct weir_slice nothing = weir_arena_join(&a, parts + 1, 2);
    assert_non_null(nothing.ptr);
    assert_int_equal(nothing.len, 0);
    weir_arena_deinit(&a);
}

static int use_all(void *arg) {
    const struct weir_slice parts[] = { WEIR_SLICE("0123456789"), WEIR_SLICE("0123456789") };
    struct weir_arena a;
    weir_arena_init(&a, 64);
    bool done = weir_arena_alloc(&a, 10) && weir_arena_dup(&a, WEIR_SLICE("text")).ptr &&
                weir_arena_printf(&a, "%0100d", 3) && weir_arena_calloc(&a, 10, 40) &&
                weir_arena_join(&a, parts, 2).ptr;
    weir_arena_deinit(&a);
    return done ? 0 : -ENOMEM;
}

static void no_memory_is_answered_with_null(void **state) {
    assert_true(weir_test_sweep(use_all, NULL, 0) >= 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_nobody_used_holds_nothing),
        cmocka_unit_test(allocations_are_aligned_and_do_not_overlap),
        cmocka_unit_test(reset_keeps_one_standard_block_and_uses_it_again),
        cmocka_unit_test(a_large_request_leaves_the_current_block_current),
        cmocka_unit_test(an_arena_whose_only_blocks_are_large_resets_to_nothing),
        cmocka_unit_test(calloc_clears_recycled_bytes_and_refuses_overflow),
        cmocka_unit_test(copies_have_a_nul_behind_them),
        cmocka_unit_test(parts_are_joined),
        cmocka_unit_test(no_memory_is_answered_with_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
