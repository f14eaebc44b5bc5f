/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/regex.h"

#include "weir_test.h"

static int check(const char *pattern) {
    char message[128] = "";
    size_t offset = 0;
    int r = weir_regex_check(pattern, message, sizeof(message), &offset);

    assert_true((r == WEIR_REGEX_BAD) == (message[0] != '\0'));
    return r;
}

static void ordinary_patterns_compile(void **state) {
    assert_int_equal(check("/api/v[0-9]+/.*"), 0);
    assert_int_equal(check(""), 0);
    assert_int_equal(check("(?i)abc|def"), 0);
}

static void a_broken_pattern_says_where(void **state) {
    char message[128];
    size_t offset = 0;

    assert_int_equal(weir_regex_check("/a(b", message, sizeof(message), &offset), WEIR_REGEX_BAD);
    assert_string_equal(message, "missing closing parenthesis");
    assert_int_equal(offset, 4);
}

static void excess_is_refused(void **state) {
    char nested[300] = "", longer[5000];

    for (size_t i = 0; i < 60; i++) {
        nested[i] = '(';
        nested[120 - i] = ')';
    }
    nested[60] = 'a';
    assert_int_equal(check(nested), WEIR_REGEX_BAD);
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(check(longer), WEIR_REGEX_BAD);
}

static int check_once(void *arg) {
    char message[128];
    size_t offset;

    return weir_regex_check("/api/(v1|v2)/.*", message, sizeof(message), &offset);
}

static void lack_of_memory_is_no_verdict(void **state) {
    assert_int_not_equal(weir_test_sweep(check_once, NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_patterns_compile),
        cmocka_unit_test(a_broken_pattern_says_where),
        cmocka_unit_test(excess_is_refused),
        cmocka_unit_test(lack_of_memory_is_no_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
