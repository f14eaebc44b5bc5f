/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kern/kern.h"

static void every_reason_has_a_name_of_its_own(void **state) {
    for (unsigned i = 0; i < WEIR_REASON_COUNT_; i++) {
        assert_non_null(weir_reason_name(i));
        assert_true(strlen(weir_reason_name(i)) > 3);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(weir_reason_name(i), weir_reason_name(j));
    }
    assert_string_equal(weir_reason_name(WEIR_DENY_INGRESS), "deny_ingress");
    assert_string_equal(weir_reason_name(WEIR_REASON_COUNT_), "");
}

static void every_outcome_has_a_text(void **state) {
    for (int o = WEIR_KERN_OWNED; o <= WEIR_KERN_LEFT; o++)
        assert_true(strlen(weir_kern_outcome_text(o)) > 0);
    assert_string_equal(weir_kern_outcome_text(0), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_has_a_name_of_its_own),
        cmocka_unit_test(every_outcome_has_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
