/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/access.h"

#include "weir_test.h"

#define CONFIG(cluster, user)                                                                      \
    "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u, namespace: n}}]\n"    \
    "clusters: [{name: k, cluster: " cluster "}]\nusers: [{name: u, user: " user "}]\n"

static char dir[64], path[128];

static int setup(void **state) {
    weir_test_tmpdir(dir);
    snprintf(path, sizeof(path), "%s/config", dir);
    return 0;
}

static int teardown(void **state) {
    weir_test_rmdir(dir);
    return 0;
}

static int init(struct weir_kube_access *a, const char *text) {
    weir_test_write(dir, "config", text);
    return weir_kube_access_init(a, path);
}

static void refused(const char *text, const char *says) {
    struct weir_kube_access a;

    assert_int_equal(init(&a, text), WEIR_KUBE_REFUSED);
    if (!strstr(a.why, says))
        fail_msg("\"%s\" does not say \"%s\"", a.why, says);
    weir_kube_access_deinit(&a);
}

static void a_server_on_this_machine_and_a_token(void **state) {
    struct weir_kube_access a;

    assert_int_equal(init(&a, CONFIG("{server: 'http://127.0.0.1:8001'}", "{token: secret}")), 0);
    assert_string_equal(a.host, "127.0.0.1");
    assert_int_equal(a.port, 8001);
    assert_true(a.literal);
    assert_string_equal(a.token, "secret");
    assert_string_equal(a.ns, "n");
    weir_kube_access_deinit(&a);
}

static void a_token_file_lies_beside_the_config_and_is_read_again(void **state) {
    struct weir_kube_access a;

    weir_test_write(dir, "token", "one\n");
    assert_int_equal(init(&a, CONFIG("{server: 'http://[::1]'}", "{tokenFile: token}")), 0);
    assert_string_equal(a.host, "::1");
    assert_int_equal(a.port, 80);
    assert_string_equal(a.token, "one");
    weir_test_write(dir, "token", "two\n");
    assert_int_equal(weir_kube_access_refresh(&a), 0);
    assert_string_equal(a.token, "two");
    weir_test_write(dir, "token", "\n"); /* being written */
    assert_int_equal(weir_kube_access_refresh(&a), WEIR_KUBE_REFUSED);
    assert_string_equal(a.token, "two");
    weir_kube_access_deinit(&a);
}

static void what_cannot_be_used_is_refused_by_name(void **state) {

    refused(CONFIG("{server: 'http://127.0.0.1'}", "{exec: {command: x}}"),
            "users[].user.exec is not supported");
    refused(CONFIG("{server: 'http://10.0.0.1'}", "{token: t}"),
            "neither https nor on this machine");
    refused(CONFIG("{server: 'https://h', insecure-skip-tls-verify: true}", "{token: t}"),
            "insecure-skip-tls-verify");
    refused(CONFIG("{server: 'https://h/path'}", "{token: t}"), "a path is not supported");
    refused(CONFIG("{server: 'https://h:0'}", "{token: t}"), "is not https://HOST");
    refused(CONFIG("{server: ''}", "{token: t}"), "is not https://HOST");
    refused(CONFIG("{server: 'https://[::1'}", "{token: t}"), "is not https://HOST");
    refused(CONFIG("{server: 'https://h', certificate-authority-data: '%%'}", "{token: t}"),
            "not a text in base64");
    refused(CONFIG("{server: 'https://h', certificate-authority-data: 'eA=='}", "{token: t}"),
            "certificates for https://h");
    refused(CONFIG("{server: 'http://127.0.0.1'}", "{tokenFile: nowhere}"),
            "nowhere: No such file");
    refused("current-context: other\n", "no context is called \"other\"");
    refused("a: [", "config:");
    refused("", "is empty");
}

static void outside_of_a_cluster_it_says_what_to_give(void **state) {
    struct weir_kube_access a;

    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBECONFIG");
    assert_int_equal(weir_kube_access_init(&a, NULL), WEIR_KUBE_REFUSED);
    assert_non_null(strstr(a.why, "--kubeconfig"));
    weir_kube_access_deinit(&a);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_server_on_this_machine_and_a_token),
        TEST(a_token_file_lies_beside_the_config_and_is_read_again),
        TEST(what_cannot_be_used_is_refused_by_name),
        TEST(outside_of_a_cluster_it_says_what_to_give),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
