/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/problem.h"

#include "conf_test.h"

static int add(struct weir_problem_sink *sink, enum weir_severity severity, uint32_t source,
               uint32_t line) {
    struct weir_problem_at at = {
        .severity = severity, .source = source, .place = { "f", line, 1 }, .field = "spec"
    };

    return weir_problem_add(sink, &at, "number %u", line);
}

static void problems_come_in_order_of_place(void **state) {
    struct weir_problem_sink sink = { 0 };
    struct weir_problems problems;

    assert_int_equal(add(&sink, WEIR_SEVERITY_ERROR, 1, 3), 0);
    assert_int_equal(add(&sink, WEIR_SEVERITY_WARNING, 0, 9), 0);
    assert_int_equal(add(&sink, WEIR_SEVERITY_ERROR, 1, 2), 0);
    assert_int_equal(weir_problem_finish(&sink, &problems), 0);
    char *report = conf_report(&problems);
    assert_string_equal(report, "f:9:1: warning: spec: number 9\n"
                                "f:2:1: error: spec: number 2\n"
                                "f:3:1: error: spec: number 3\n");
    free(report);
    weir_problems_deinit(&problems);
    weir_problems_deinit(&problems);
}

static void no_more_than_a_hundred_of_each_are_kept(void **state) {
    struct weir_problem_sink sink = { 0 };
    struct weir_problems problems;

    for (uint32_t i = 0; i < 150; i++) {
        assert_int_equal(add(&sink, WEIR_SEVERITY_ERROR, 0, i), 0);
        assert_int_equal(add(&sink, WEIR_SEVERITY_WARNING, 0, i), 0);
    }
    assert_int_equal(sink.n_errors, 150);
    assert_int_equal(weir_problem_finish(&sink, &problems), 0);
    assert_int_equal(problems.n, 201);
    assert_string_equal(problems.items[200].message,
                        "50 more errors and 50 more warnings are not shown");
    assert_int_equal(problems.items[200].place.line, 99);
    weir_problems_deinit(&problems);
}

static void texts_are_made_harmless(void **state) {
    struct weir_problem_sink sink = { 0 };
    struct weir_problems problems;
    struct weir_problem_at at = { .place = { "f\xff", 1, 1 }, .field = "a\x1b[31m" };

    /* A sequence cut in two, as clipping does it, and one that is whole. */
    assert_int_equal(
        weir_problem_add(&sink, &at, "%.3s|\xc3\xa4|\xe2\x82\xac|%s", "ab\xc3\xa4", "\r\n"), 0);
    assert_int_equal(weir_problem_finish(&sink, &problems), 0);
    assert_string_equal(problems.items[0].place.file, "f?");
    assert_string_equal(problems.items[0].field, "a [31m");
    assert_string_equal(problems.items[0].message, "ab?|\xc3\xa4|\xe2\x82\xac|  ");
    weir_problems_deinit(&problems);
}

static void no_problem_is_an_empty_list(void **state) {
    struct weir_problem_sink sink = { 0 };
    struct weir_problems problems = { .n = 7 };

    assert_int_equal(weir_problem_finish(&sink, &problems), 0);
    assert_int_equal(problems.n, 0);
    assert_null(problems.items);
}

static int fill(void *arg) {
    struct weir_problem_sink sink = { 0 };
    struct weir_problems problems = { 0 };
    int r = 0;

    for (uint32_t i = 0; i < 120 && r == 0; i++) {
        r = add(&sink, WEIR_SEVERITY_ERROR, 0, i);
    }
    if (r == 0) {
        r = weir_problem_finish(&sink, &problems);
    }
    weir_problem_sink_deinit(&sink);
    weir_problems_deinit(&problems);
    return r;
}

static void lack_of_memory_leaves_nothing_behind(void **state) {
    assert_int_not_equal(weir_test_sweep(fill, NULL, 0), 0);
    assert_int_not_equal(weir_test_sweep(fill, NULL, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problems_come_in_order_of_place),
        cmocka_unit_test(no_more_than_a_hundred_of_each_are_kept),
        cmocka_unit_test(texts_are_made_harmless),
        cmocka_unit_test(no_problem_is_an_empty_list),
        cmocka_unit_test(lack_of_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
