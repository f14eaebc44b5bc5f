/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slice.h"

#include "weir_test.h"

static void equality_minds_length_and_case(void **state) {
    assert_true(weir_slice_eq(WEIR_SLICE("ab"), WEIR_SLICE("ab")));
    assert_false(weir_slice_eq(WEIR_SLICE("ab"), WEIR_SLICE("abc")));
    assert_false(weir_slice_eq(WEIR_SLICE("ab"), WEIR_SLICE("aB")));
    assert_true(weir_slice_eq(WEIR_SLICE_NONE, WEIR_SLICE("")));
    assert_true(weir_slice_eq(WEIR_SLICE("a\0b"), weir_slice_make("a\0b", 3)));
}

static void case_folding_is_ascii_only(void **state) {
    assert_true(weir_slice_ieq(WEIR_SLICE("Content-Length"), WEIR_SLICE("content-lENGTH")));
    assert_false(weir_slice_ieq(WEIR_SLICE("a"), WEIR_SLICE("ab")));
    assert_true(weir_slice_ieq(WEIR_SLICE("transfer-encoding"), WEIR_SLICE("transfer-Encoding")));
    assert_false(weir_slice_ieq(WEIR_SLICE("transfer-encoding"), WEIR_SLICE("transfer-encodinh")));
    assert_false(weir_slice_ieq(WEIR_SLICE("transfer-encoding"), WEIR_SLICE("transfes-encoding")));
    /* One bit apart, but not letters. */
    assert_false(weir_slice_ieq(WEIR_SLICE("@"), WEIR_SLICE("`")));
    assert_false(weir_slice_ieq(WEIR_SLICE("["), WEIR_SLICE("{")));
    assert_false(weir_slice_ieq(WEIR_SLICE("\xc4"), WEIR_SLICE("\xe4")));
}

static void prefixes_and_suffixes(void **state) {
    assert_true(weir_slice_starts_with(WEIR_SLICE("abc"), WEIR_SLICE("ab")));
    assert_true(weir_slice_starts_with(WEIR_SLICE("abc"), WEIR_SLICE_NONE));
    assert_false(weir_slice_starts_with(WEIR_SLICE("a"), WEIR_SLICE("ab")));
    assert_true(weir_slice_ends_with(WEIR_SLICE("abc"), WEIR_SLICE("bc")));
    assert_true(weir_slice_ends_with(WEIR_SLICE_NONE, WEIR_SLICE_NONE));
    assert_false(weir_slice_ends_with(WEIR_SLICE("abc"), WEIR_SLICE("ab")));
}

static void trim_takes_blanks_and_tabs_only(void **state) {
    weir_assert_slice(weir_slice_trim(WEIR_SLICE(" \ta b\t ")), "a b");
    weir_assert_slice(weir_slice_trim(WEIR_SLICE(" \t ")), "");
    weir_assert_slice(weir_slice_trim(WEIR_SLICE("\na\r")), "\na\r");
}

static void index_of_an_absent_byte_is_the_length(void **state) {
    assert_int_equal(weir_slice_index(WEIR_SLICE("a:b:c"), ':'), 1);
    assert_int_equal(weir_slice_index(WEIR_SLICE("abc"), ':'), 3);
    assert_int_equal(weir_slice_index(WEIR_SLICE_NONE, ':'), 0);
}

static void numbers_are_digits_and_nothing_else(void **state) {
    uint64_t v = 7;
    assert_int_equal(weir_slice_to_u64(WEIR_SLICE("0"), &v), 0);
    assert_int_equal(v, 0);
    assert_int_equal(weir_slice_to_u64(WEIR_SLICE("9999999999999999999"), &v), 0);
    assert_true(v == 9999999999999999999u);
    v = 7;
    static const char *const bad[] = { "", "+1", "-1", " 1", "1 ", "0x1", "1a", "\xb2", "/", ":" };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++)
        assert_int_equal(weir_slice_to_u64(weir_slice_from_str(bad[i]), &v), -EINVAL);
    assert_int_equal(weir_slice_to_u64(WEIR_SLICE("10000000000000000000"), &v), -EINVAL);
    assert_int_equal(v, 7);
}

static void splitting_keeps_empty_parts(void **state) {
    struct weir_slice rest = WEIR_SLICE("a,,b"), part;
    assert_true(weir_slice_split(&rest, ',', &part));
    weir_assert_slice(part, "a");
    assert_true(weir_slice_split(&rest, ',', &part));
    weir_assert_slice(part, "");
    assert_true(weir_slice_split(&rest, ',', &part));
    weir_assert_slice(part, "b");
    assert_false(weir_slice_split(&rest, ',', &part));

    rest = WEIR_SLICE("a,");
    assert_true(weir_slice_split(&rest, ',', &part));
    assert_true(weir_slice_split(&rest, ',', &part));
    weir_assert_slice(part, "");
    assert_false(weir_slice_split(&rest, ',', &part));

    rest = WEIR_SLICE_NONE;
    assert_false(weir_slice_split(&rest, ',', &part));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_minds_length_and_case),
        cmocka_unit_test(case_folding_is_ascii_only),
        cmocka_unit_test(prefixes_and_suffixes),
        cmocka_unit_test(trim_takes_blanks_and_tabs_only),
        cmocka_unit_test(index_of_an_absent_byte_is_the_length),
        cmocka_unit_test(numbers_are_digits_and_nothing_else),
        cmocka_unit_test(splitting_keeps_empty_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
