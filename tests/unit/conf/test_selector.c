/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/model.h"

#include "weir_test.h"

static const struct weir_kv labels[] = { { "app", "api" }, { "tier", "" } };

static bool one_term(const char *key, enum weir_selector_op op, const char *a, const char *b) {
    const char *values[] = { a, b };
    struct weir_selector_term term = { key, op, values, a == NULL ? 0 : b == NULL ? 1 : 2 };
    struct weir_selector s = { true, &term, 1 };

    return weir_selector_matches(&s, labels, WEIR_ARRAY_LEN(labels));
}

static void an_empty_selector_selects_everything(void **state) {
    struct weir_selector s = { .given = true };

    assert_true(weir_selector_matches(&s, labels, WEIR_ARRAY_LEN(labels)));
    assert_true(weir_selector_matches(&s, NULL, 0));
}

static void in_wants_the_label_and_one_of_the_values(void **state) {
    assert_true(one_term("app", WEIR_OP_IN, "api", NULL));
    assert_true(one_term("app", WEIR_OP_IN, "web", "api"));
    assert_true(one_term("tier", WEIR_OP_IN, "", NULL));
    assert_false(one_term("app", WEIR_OP_IN, "web", NULL));
    assert_false(one_term("zone", WEIR_OP_IN, "", NULL));
}

static void not_in_holds_for_an_absent_label(void **state) {
    assert_true(one_term("zone", WEIR_OP_NOT_IN, "a", NULL));
    assert_true(one_term("app", WEIR_OP_NOT_IN, "web", NULL));
    assert_false(one_term("app", WEIR_OP_NOT_IN, "web", "api"));
}

static void exists_asks_for_the_label_only(void **state) {
    assert_true(one_term("tier", WEIR_OP_EXISTS, NULL, NULL));
    assert_false(one_term("zone", WEIR_OP_EXISTS, NULL, NULL));
    assert_true(one_term("zone", WEIR_OP_NOT_EXISTS, NULL, NULL));
    assert_false(one_term("tier", WEIR_OP_NOT_EXISTS, NULL, NULL));
}

static void all_terms_must_hold(void **state) {
    const char *api[] = { "api" };
    struct weir_selector_term terms[] = { { "app", WEIR_OP_IN, api, 1 },
                                          { "zone", WEIR_OP_EXISTS, NULL, 0 } };
    struct weir_selector s = { true, terms, 2 };

    assert_false(weir_selector_matches(&s, labels, WEIR_ARRAY_LEN(labels)));
    s.n_terms = 1;
    assert_true(weir_selector_matches(&s, labels, WEIR_ARRAY_LEN(labels)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_selector_selects_everything),
        cmocka_unit_test(in_wants_the_label_and_one_of_the_values),
        cmocka_unit_test(not_in_holds_for_an_absent_label),
        cmocka_unit_test(exists_asks_for_the_label_only),
        cmocka_unit_test(all_terms_must_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
