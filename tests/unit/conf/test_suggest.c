/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/suggest.h"

#include "weir_test.h"

static const char *nearest(const char *word, const char *const *known) {
    struct weir_suggest s;

    weir_suggest_init(&s, word);
    for (; *known != NULL; known++) {
        weir_suggest_offer(&s, *known);
    }
    return s.best;
}

static const char *const keys[] = { "path",      "method",     "headers", "queryParams",
                                    "clusterIP", "clusterIPs", NULL };

static void one_slip_is_forgiven(void **state) {
    assert_string_equal(nearest("pathh", keys), "path");
    assert_string_equal(nearest("pth", keys), "path");
    assert_string_equal(nearest("patj", keys), "path");
    assert_string_equal(nearest("paht", keys), "path");
    assert_string_equal(nearest("querryParam", keys), "queryParams");
}

static void case_does_not_count(void **state) {
    assert_string_equal(nearest("clusterIp", keys), "clusterIP");
    assert_string_equal(nearest("clusterips", keys), "clusterIPs");
}

static void a_wild_guess_is_not_made(void **state) {
    assert_null(nearest("replicas", keys));
    assert_null(nearest("x", keys));
    assert_null(nearest("", keys));
}

static void words_longer_than_any_key_are_left_alone(void **state) {
    char word[200];

    memset(word, 'a', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    assert_null(nearest(word, keys));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slip_is_forgiven),
        cmocka_unit_test(case_does_not_count),
        cmocka_unit_test(a_wild_guess_is_not_made),
        cmocka_unit_test(words_longer_than_any_key_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
