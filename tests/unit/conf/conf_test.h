/* SPDX-License-Identifier: Apache-2.0 */
/* Text in, snapshot or list of problems out, for the tests of this room. */
#ifndef CONF_TEST_H
#define CONF_TEST_H

#include "conf/snapshot.h"
#include "weir_test.h"

/* One problem per line: "file:line:col: severity: field: message". free() it. */
static WEIR_UNUSED char *conf_report(const struct weir_problems *problems) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    assert_non_null(f);
    for (uint32_t i = 0; i < problems->n; i++) {
        const struct weir_problem *p = &problems->items[i];
        fprintf(f, "%s:%u:%u: %s: %s: %s\n", p->place.file, p->place.line, p->place.col,
                p->severity == WEIR_SEVERITY_ERROR ? "error" : "warning", p->field, p->message);
    }
    fclose(f);
    return text;
}

/* Builds from one text named "t"; *ret_report (NULL: there must be none) is the caller's. */
static WEIR_UNUSED struct weir_snapshot *conf_try(const char *text, char **ret_report) {
    struct weir_source source = { "t", text, strlen(text) };
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;
    int r = weir_snapshot_build(&source, 1, &s, &problems);
    char *report = conf_report(&problems);

    assert_true(r == 0 || r == WEIR_CONF_REFUSED);
    assert_true((r == 0) == (s != NULL));
    if (ret_report == NULL && report[0] != '\0') {
        fail_msg("problems: %s", report);
    }
    weir_problems_deinit(&problems);
    if (ret_report != NULL) {
        *ret_report = report;
    } else {
        free(report);
    }
    return s;
}

/* Must be accepted without a word. weir_snapshot_unref it. */
static WEIR_UNUSED struct weir_snapshot *conf_build(const char *text) {
    struct weir_snapshot *s = conf_try(text, NULL);

    assert_non_null(s);
    return s;
}

/* Must be refused with exactly this report, but for the leading "t:". */
#define conf_refused(text, expected) conf_reported((text), (expected), false, __FILE__, __LINE__)
/* Must be accepted with exactly these warnings. */
#define conf_warned(text, expected) conf_reported((text), (expected), true, __FILE__, __LINE__)
static WEIR_UNUSED void conf_reported(const char *text, const char *expected, bool accepted,
                                      const char *file, int line) {
    char *report;
    struct weir_snapshot *s = conf_try(text, &report);

    if ((s != NULL) != accepted || strcmp(report, expected) != 0) {
        print_error("%s with:\n%swanted:\n%s", s != NULL ? "accepted" : "refused", report,
                    expected);
        _fail(file, line);
    }
    free(report);
    weir_snapshot_unref(s);
}

#endif
