/* SPDX-License-Identifier: Apache-2.0 */
#include "weir_test.h"

#include <sys/stat.h>

#include "cli/verb.h"

/* Words of one command line, NULL-terminated, as main would get them. */
static int weir(const char *const *words) {
    char copies[16][128], *argv[17] = { NULL };
    int argc = 0;

    for (; words[argc]; argc++) {
        snprintf(copies[argc], sizeof(copies[argc]), "%s", words[argc]);
        argv[argc] = copies[argc];
    }
    return weir_cli_main(argc, argv);
}

#define WEIR(...) weir((const char *const[]){ "weir", __VA_ARGS__, NULL })

static void help_is_ok_everywhere(void **state) {
    static const char *const verbs[] = { "proxy", "validate", "check", "ca", "status", "version" };

    (void)state;
    assert_int_equal(WEIR("--help"), WEIR_EXIT_OK);
    assert_int_equal(WEIR("help"), WEIR_EXIT_OK);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(verbs); i++)
        assert_int_equal(WEIR(verbs[i], "--help"), WEIR_EXIT_OK);
}

static void misuse_is_a_usage_error(void **state) {
    (void)state;
    assert_int_equal(weir((const char *const[]){ "weir", NULL }), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("frobnicate"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("version", "--no-such"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("version", "word"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("version", "-o", "xml"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("validate"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("ca"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("ca", "issue", "a/b/c"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("proxy"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("proxy", "--listen", "nowhere"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("proxy", "--listen", ":80", "--to", "ftp://a"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("proxy", "--listen", ":80", "--workers", "-1"), WEIR_EXIT_USAGE);
    assert_int_equal(WEIR("proxy", "--listen", ":80", "--access-log", "xml"), WEIR_EXIT_USAGE);
}

static void what_cannot_be_done_is_a_failure(void **state) {
    (void)state;
    assert_int_equal(WEIR("validate", "/nonexistent"), WEIR_EXIT_FAILED);
    assert_int_equal(WEIR("status", "--admin", "127.0.0.1:1"), WEIR_EXIT_FAILED);
    assert_int_equal(WEIR("status", "--agent", "/nonexistent.sock"), WEIR_EXIT_FAILED);
}

static void the_last_of_a_repeated_option_counts(void **state) {
    static const struct weir_option option = { "dir", 'd', "DIR", "" };
    struct weir_args args = { .n_given = 2 };

    (void)state;
    args.given[0].option = args.given[1].option = &option;
    args.given[0].value = "first";
    args.given[1].value = "last";
    assert_string_equal(weir_args_value(&args, "dir"), "last");
    assert_null(weir_args_value(&args, "other"));
}

static void a_ca_is_made_once_and_issues_what_a_sidecar_reads(void **state) {
    char dir[64], ca[128], out[128], path[256];
    struct stat st;

    (void)state;
    weir_test_tmpdir(dir);
    snprintf(ca, sizeof(ca), "%s/ca", dir);
    snprintf(out, sizeof(out), "%s/web", dir);
    assert_int_equal(WEIR("ca", "init", "--dir", ca), WEIR_EXIT_OK);
    assert_int_equal(WEIR("ca", "init", "--dir", ca), WEIR_EXIT_FAILED);
    assert_int_equal(WEIR("ca", "issue", "--dir", ca, "--out", out, "default/web"), WEIR_EXIT_OK);
    assert_int_equal(WEIR("ca", "issue", "--dir", ca, "spiffe://other/x"), WEIR_EXIT_FAILED);
    snprintf(path, sizeof(path), "%s/tls.key", out);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    snprintf(path, sizeof(path), "%s/ca.crt", out);
    assert_int_equal(stat(path, &st), 0);
    weir_test_rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_is_ok_everywhere),
        cmocka_unit_test(misuse_is_a_usage_error),
        cmocka_unit_test(what_cannot_be_done_is_a_failure),
        cmocka_unit_test(the_last_of_a_repeated_option_counts),
        cmocka_unit_test(a_ca_is_made_once_and_issues_what_a_sidecar_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
