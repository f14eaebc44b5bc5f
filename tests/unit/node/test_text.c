/* SPDX-License-Identifier: Apache-2.0 */
#include "node/text.h"

#include "weir_test.h"

static void builds_json_with_its_commas(void **state) {
    struct weir_textbuf t = { 0 };

    weir_textbuf_add(&t, "{", 1);
    weir_textbuf_member(&t, "a", "x\"y\\z\n\x7f");
    weir_textbuf_number(&t, "b", UINT64_MAX);
    weir_textbuf_name(&t, "c");
    weir_textbuf_add(&t, "[", 1);
    weir_textbuf_add(&t, "]", 1);
    weir_textbuf_bool(&t, "d", true);
    weir_textbuf_add(&t, "}", 1);
    assert_false(t.failed);
    weir_assert_slice(weir_slice_make(t.ptr, t.len),
                      "{\"a\":\"x\\\"y\\\\z\\u000a\\u007f\",\"b\":18446744073709551615,\"c\":[],"
                      "\"d\":true}");
    weir_textbuf_deinit(&t);
}

static void grows_to_any_length(void **state) {
    struct weir_textbuf t = { 0 };

    for (int i = 0; i < 10000; i++)
        weir_textbuf_printf(&t, "%05d", i);
    assert_int_equal(t.len, 50000);
    assert_memory_equal(t.ptr + 49995, "09999", 5);
    weir_textbuf_deinit(&t);
    assert_null(t.ptr);
}

static int fill(void *arg) {
    struct weir_textbuf t = { 0 };
    int r;

    for (int i = 0; i < 200; i++)
        weir_textbuf_printf(&t, "%05d", i);
    r = t.failed ? -ENOMEM : t.len == 1000 ? 0 : -EINVAL;
    weir_textbuf_deinit(&t);
    return r;
}

static void a_failed_allocation_is_remembered(void **state) {
    assert_int_not_equal(weir_test_sweep(fill, NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_json_with_its_commas),
        cmocka_unit_test(grows_to_any_length),
        cmocka_unit_test(a_failed_allocation_is_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
