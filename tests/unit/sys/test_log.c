/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/log.h"

#include "weir_test.h"

#include <fcntl.h>
#include <sys/mman.h>

/* What is written to standard error between begin and end. */
struct capture {
    int saved, file;
    char text[8192];
};

static void begin(struct capture *c) {
    fflush(stderr);
    c->saved = dup(STDERR_FILENO);
    c->file = memfd_create("stderr", 0);
    dup2(c->file, STDERR_FILENO);
}

static const char *end(struct capture *c) {
    dup2(c->saved, STDERR_FILENO);
    ssize_t n = pread(c->file, c->text, sizeof(c->text) - 1, 0);
    c->text[n > 0 ? n : 0] = '\0';
    close(c->file);
    close(c->saved);
    return c->text;
}

static void a_line_has_time_level_event_and_pairs(void **state) {
    struct capture c;
    begin(&c);
    weir_log(WEIR_LOG_INFO, "reload", "generation=%d", 7);
    const char *line = end(&c);
    int y, mo, d, h, mi, s, us, used = 0;
    assert_int_equal(
        sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ%n", &y, &mo, &d, &h, &mi, &s, &us, &used), 7);
    assert_int_equal(used, 27);
    assert_string_equal(line + used, " level=info event=reload generation=7\n");
}

static void an_event_may_stand_alone(void **state) {
    struct capture c;
    begin(&c);
    weir_log(WEIR_LOG_ERROR, "bye", "%s", "");
    const char *line = end(&c);
    assert_non_null(strstr(line, " level=error event=bye\n"));
}

static void what_is_below_the_level_is_dropped(void **state) {
    struct capture c;
    begin(&c);
    weir_log(WEIR_LOG_DEBUG, "hidden", "a=%d", 1);
    weir_log_level_set(WEIR_LOG_WARN);
    weir_log(WEIR_LOG_INFO, "hidden", "a=%d", 1);
    weir_log(WEIR_LOG_WARN, "shown", "a=%d", 1);
    bool info = weir_log_on(WEIR_LOG_INFO), error = weir_log_on(WEIR_LOG_ERROR);
    weir_log_level_set(WEIR_LOG_INFO);
    const char *line = end(&c);
    assert_null(strstr(line, "hidden"));
    assert_non_null(strstr(line, "shown"));
    assert_false(info);
    assert_true(error);
}

static void level_names_are_the_four_and_no_others(void **state) {
    enum weir_log_level level = WEIR_LOG_INFO;
    assert_int_equal(weir_log_level_parse(WEIR_SLICE("debug"), &level), 0);
    assert_int_equal(level, WEIR_LOG_DEBUG);
    assert_int_equal(weir_log_level_parse(WEIR_SLICE("error"), &level), 0);
    assert_int_equal(level, WEIR_LOG_ERROR);
    assert_int_equal(weir_log_level_parse(WEIR_SLICE("INFO"), &level), -EINVAL);
    assert_int_equal(weir_log_level_parse(WEIR_SLICE(""), &level), -EINVAL);
    assert_int_equal(level, WEIR_LOG_ERROR);
}

static void a_value_cannot_start_another_line_or_key(void **state) {
    struct capture c;
    begin(&c);
    weir_log(WEIR_LOG_INFO, "bad", "host=%s raw=%s",
             weir_log_quote(WEIR_SLICE("a\" level=error\n\x80\\")).s, "x\ny\x7f");
    const char *line = end(&c);
    assert_non_null(strstr(line, " host=\"a\\\" level=error\\x0a\\x80\\\\\" raw=x?y?\n"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void a_long_value_is_cut_and_says_so(void **state) {
    char big[2000];
    memset(big, '\x01', sizeof(big)); /* the widest escape */
    for (size_t n = 0; n < sizeof(big); n++) {
        struct weir_log_text t = weir_log_quote(weir_slice_make(big, n));
        size_t len = strlen(t.s);
        assert_true(len < sizeof(t.s));
        assert_int_equal(t.s[len - 1], '"');
        if (n > 200)
            assert_string_equal(t.s + len - 4, "...\"");
    }
}

static void a_line_that_is_too_long_still_ends(void **state) {
    char big[9000];
    struct capture c;
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    begin(&c);
    weir_log(WEIR_LOG_INFO, "long", "a=%s", big);
    weir_log(WEIR_LOG_INFO, "next", "a=%s", "1");
    const char *line = end(&c);
    assert_in_range(strchr(line, '\n') - line, 1500, 2048);
    assert_non_null(strstr(line, "event=next a=1\n"));
}

static void foreign(enum weir_log_level level, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    weir_log_foreign(level, "libbpf", fmt, args);
    va_end(args);
}

static void a_librarys_message_is_one_quoted_value(void **state) {
    struct capture c;
    begin(&c);
    foreign(WEIR_LOG_WARN, "prog '%s': it's \"bad\"\nline 2\n", "p");
    foreign(WEIR_LOG_DEBUG, "hidden");
    const char *line = end(&c);
    assert_non_null(
        strstr(line, " level=warn event=libbpf msg=\"prog 'p': it's \\\"bad\\\"\\x0aline 2\"\n"));
    assert_null(strstr(line, "hidden"));
}

static void errno_survives(void **state) {
    struct capture c;
    begin(&c);
    close(STDERR_FILENO);
    errno = EXDEV;
    weir_log(WEIR_LOG_INFO, "lost", "a=%d", 1);
    int after = errno;
    end(&c);
    assert_int_equal(after, EXDEV);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_event_and_pairs),
        cmocka_unit_test(an_event_may_stand_alone),
        cmocka_unit_test(what_is_below_the_level_is_dropped),
        cmocka_unit_test(level_names_are_the_four_and_no_others),
        cmocka_unit_test(a_value_cannot_start_another_line_or_key),
        cmocka_unit_test(a_long_value_is_cut_and_says_so),
        cmocka_unit_test(a_line_that_is_too_long_still_ends),
        cmocka_unit_test(a_librarys_message_is_one_quoted_value),
        cmocka_unit_test(errno_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
