/* SPDX-License-Identifier: Apache-2.0 */
#include "route/regex.h"

#include "weir_test.h"

static void matches_the_whole_text_or_not_at_all(void **state) {
    static const struct {
        const char *pattern, *text;
        bool matches;
    } table[] = {
        { "/a", "/a", true },
        { "/a", "/ab", false },
        { "/a", "x/a", false },
        { "/a.*", "/abc", true },
        { "/ab?", "/a", true },
        { "/ab*", "/a", true },
        { "/ab{0,2}", "/a", true },
        { "/ab+", "/a", false },
        { "/ab+", "/abb", true },
        { "/v[0-9]+/x", "/v12/x", true },
        { "/v[0-9]+/x", "/v/x", false },
        { "/a|/b", "/b", true },
        { "/a|/b", "/bc", false },
        { "(?i)/abc", "/ABC", true },
        { "/abc", "/ABC", false },
        { "(/x)\\1", "/x/x", true },
        { "/a\\.b", "/a.b", true },
        { "/a\\.b", "/axb", false },
        { "/a$", "/a\n", false },
        { "", "", true },
        { "", "a", false },
    };
    struct weir_regex_set *set;

    assert_int_equal(weir_regex_set_new(&set), 0);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(table); i++) {
        struct weir_regex *re;

        assert_int_equal(weir_regex_add(set, weir_slice_from_str(table[i].pattern), &re), 0);
        if (weir_regex_matches(set, re, weir_slice_from_str(table[i].text)) != table[i].matches)
            fail_msg("%s on %s", table[i].pattern, table[i].text);
    }
    assert_null(weir_regex_set_free(set));
}

static void a_bad_expression_is_refused(void **state) {
    struct weir_regex_set *set;
    struct weir_regex *re;

    assert_int_equal(weir_regex_set_new(&set), 0);
    assert_int_equal(weir_regex_add(set, WEIR_SLICE("/a("), &re), -EINVAL);
    assert_int_equal(weir_regex_add(set, WEIR_SLICE("/a{2,1}"), &re), -EINVAL);
    weir_regex_set_free(set);
    assert_null(weir_regex_set_free(NULL));
}

static void a_catastrophic_expression_ends_as_no_match(void **state) {
    struct weir_regex_set *set;
    struct weir_regex *re;
    char text[64];

    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '!';
    assert_int_equal(weir_regex_set_new(&set), 0);
    assert_int_equal(weir_regex_add(set, WEIR_SLICE("(a+)+"), &re), 0);
    assert_false(weir_regex_matches(set, re, weir_slice_make(text, sizeof(text))));
    weir_regex_set_free(set);
}

static int add_one(void *arg) {
    struct weir_regex_set *set;
    struct weir_regex *re;
    int r = weir_regex_set_new(&set);

    if (r)
        return r;
    r = weir_regex_add(set, WEIR_SLICE("/v[0-9]+"), &re);
    weir_regex_set_free(set);
    return r;
}

static void survives_every_failing_allocation(void **state) {
    assert_int_not_equal(weir_test_sweep(add_one, NULL, 0), 0);
    assert_int_not_equal(weir_test_sweep(add_one, NULL, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_whole_text_or_not_at_all),
        cmocka_unit_test(a_bad_expression_is_refused),
        cmocka_unit_test(a_catastrophic_expression_ends_as_no_match),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
