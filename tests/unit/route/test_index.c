/* SPDX-License-Identifier: Apache-2.0 */
#include "route/index.h"

#include "weir_test.h"

static void finds_every_key_in_its_own_space_only(void **state) {
    struct weir_arena arena;
    struct weir_index x;
    char keys[2000][16];

    weir_arena_init(&arena, 4096);
    assert_int_equal(weir_index_init(&x, &arena, 2000), 0);
    for (uint32_t i = 0; i < 2000; i++) {
        struct weir_slice key =
            weir_slice_make(keys[i], (size_t)snprintf(keys[i], sizeof(keys[i]), "/key/%u", i / 2));

        weir_index_add(&x, i % 2, weir_index_hash(key), key, i);
    }
    for (uint32_t i = 0; i < 2000; i++) {
        struct weir_slice key = weir_slice_from_str(keys[i]);

        assert_int_equal(weir_index_find(&x, i % 2, weir_index_hash(key), key), i);
        assert_int_equal(weir_index_find(&x, 2, weir_index_hash(key), key), WEIR_INDEX_NONE);
    }
    weir_arena_deinit(&arena);
}

static void an_empty_index_finds_nothing(void **state) {
    struct weir_arena arena;
    struct weir_index x;

    weir_arena_init(&arena, 256);
    assert_int_equal(weir_index_init(&x, &arena, 0), 0);
    assert_int_equal(weir_index_find(&x, 0, WEIR_INDEX_BASIS, WEIR_SLICE("")), WEIR_INDEX_NONE);
    weir_arena_deinit(&arena);
}

static void equal_hashes_are_told_apart_by_their_bytes(void **state) {
    struct weir_arena arena;
    struct weir_index x;

    weir_arena_init(&arena, 256);
    assert_int_equal(weir_index_init(&x, &arena, 2), 0);
    weir_index_add(&x, 0, 7, WEIR_SLICE("one"), 1);
    weir_index_add(&x, 0, 7, WEIR_SLICE("two"), 2);
    assert_int_equal(weir_index_find(&x, 0, 7, WEIR_SLICE("two")), 2);
    assert_int_equal(weir_index_find(&x, 0, 7, WEIR_SLICE("one")), 1);
    assert_int_equal(weir_index_find(&x, 0, 7, WEIR_SLICE("six")), WEIR_INDEX_NONE);
    weir_arena_deinit(&arena);
}

static void the_running_hash_equals_the_hash_of_each_part(void **state) {
    struct weir_slice text = WEIR_SLICE("/api/v1/users");
    uint64_t forward = WEIR_INDEX_BASIS, backward = WEIR_INDEX_BASIS;

    for (size_t i = 0; i < text.len; i++) {
        struct weir_slice end = weir_slice_make(text.ptr + text.len - i, i);

        assert_true(forward == weir_index_hash(weir_slice_make(text.ptr, i)));
        assert_true(backward == weir_index_hash_reverse(end));
        forward = weir_index_step(forward, text.ptr[i]);
        backward = weir_index_step(backward, text.ptr[text.len - i - 1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_every_key_in_its_own_space_only),
        cmocka_unit_test(an_empty_index_finds_nothing),
        cmocka_unit_test(equal_hashes_are_told_apart_by_their_bytes),
        cmocka_unit_test(the_running_hash_equals_the_hash_of_each_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
