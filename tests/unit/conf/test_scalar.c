/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/scalar.h"

#include "weir_test.h"

static struct weir_node plain(const char *text) {
    struct weir_node n = { .text = text };

    assert_true(weir_scalar_resolve(&n, true, NULL));
    return n;
}

static void words_of_the_core_schema_are_typed(void **state) {
    assert_int_equal(plain("").type, WEIR_NODE_NULL);
    assert_int_equal(plain("~").type, WEIR_NODE_NULL);
    assert_int_equal(plain("null").type, WEIR_NODE_NULL);
    assert_int_equal(plain("true").type, WEIR_NODE_BOOL);
    assert_true(plain("True").truth);
    assert_int_equal(plain("FALSE").type, WEIR_NODE_BOOL);
    assert_false(plain("false").truth);
}

static void words_of_yaml_1_1_are_strings(void **state) {
    static const char *const words[] = { "yes",   "no",   "on",   "off",        "y",
                                         "n",     "nULL", "tRue", "2024-05-01", "12:30:45",
                                         "1_000", "0b1",  ".",    "+",          "-",
                                         "1e",    "0o8",  "0xg",  "-0x1" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(words); i++) {
        assert_int_equal(plain(words[i]).type, WEIR_NODE_STRING);
    }
}

static void integers_keep_their_value(void **state) {
    assert_int_equal(plain("0").number, 0);
    assert_int_equal(plain("-12").number, -12);
    assert_int_equal(plain("+12").number, 12);
    assert_int_equal(plain("0x1F").number, 31);
    assert_int_equal(plain("0o17").number, 15);
    assert_true(plain("9223372036854775807").number == INT64_MAX);
    assert_int_equal(plain("9223372036854775807").type, WEIR_NODE_INT);
}

static void an_integer_too_large_is_a_mere_number(void **state) {
    assert_int_equal(plain("9223372036854775808").type, WEIR_NODE_FLOAT);
    assert_int_equal(plain("99999999999999999999999").type, WEIR_NODE_FLOAT);
}

static void a_leading_zero_is_marked(void **state) {
    assert_true(plain("010").ambiguous);
    assert_int_equal(plain("010").type, WEIR_NODE_INT);
    assert_false(plain("0").ambiguous);
    assert_false(plain("10").ambiguous);
}

static void floats_are_told_from_strings(void **state) {
    static const char *const floats[] = { "1.5",     ".5",   "1.",    "1e3",
                                          "-1.5E-3", ".inf", "-.inf", ".nan" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(floats); i++) {
        assert_int_equal(plain(floats[i]).type, WEIR_NODE_FLOAT);
    }
}

static void quoted_is_always_a_string(void **state) {
    struct weir_node n = { .text = "80" };

    assert_true(weir_scalar_resolve(&n, false, NULL));
    assert_int_equal(n.type, WEIR_NODE_STRING);
}

static void a_tag_must_fit_the_text(void **state) {
    struct weir_node n = { .text = "80" };

    assert_true(weir_scalar_resolve(&n, true, "tag:yaml.org,2002:str"));
    assert_int_equal(n.type, WEIR_NODE_STRING);
    assert_true(weir_scalar_resolve(&n, false, "tag:yaml.org,2002:int"));
    assert_int_equal(n.type, WEIR_NODE_INT);
    assert_false(weir_scalar_resolve(&n, true, "tag:yaml.org,2002:bool"));
    assert_false(weir_scalar_resolve(&n, true, "!secret"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_the_core_schema_are_typed),
        cmocka_unit_test(words_of_yaml_1_1_are_strings),
        cmocka_unit_test(integers_keep_their_value),
        cmocka_unit_test(an_integer_too_large_is_a_mere_number),
        cmocka_unit_test(a_leading_zero_is_marked),
        cmocka_unit_test(floats_are_told_from_strings),
        cmocka_unit_test(quoted_is_always_a_string),
        cmocka_unit_test(a_tag_must_fit_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
