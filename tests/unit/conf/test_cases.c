/* SPDX-License-Identifier: Apache-2.0 */
/* Every file of tests/data/conf: what it gives as a whole, and that no part of it does harm. */
#include <dirent.h>

#include "conf_test.h"

#define DIRECTORY WEIR_SOURCE_ROOT "/tests/data/conf"
#define CUTS      150

/* NULL when there is no such file; free() it. */
static char *read_file(const char *name, size_t *ret_len) {
    char path[512], *text;

    snprintf(path, sizeof(path), DIRECTORY "/%s", name);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return NULL;
    }
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long len = ftell(f);
    assert_true(len >= 0);
    rewind(f);
    text = malloc((size_t)len + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)len, f), len);
    text[len] = '\0';
    fclose(f);
    *ret_len = (size_t)len;
    return text;
}

static void build_part(const char *text, size_t len) {
    /* A copy of exactly that size, so that a sanitizer sees a read behind the end. */
    char *copy = malloc(len > 0 ? len : 1);
    struct weir_source source = { "t", copy, len };
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;

    assert_non_null(copy);
    memcpy(copy, text, len);
    int r = weir_snapshot_build(&source, 1, &s, &problems);
    assert_true(r == 0 || r == WEIR_CONF_REFUSED);
    weir_problems_deinit(&problems);
    weir_snapshot_unref(s);
    free(copy);
}

static bool is_case(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');

    return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".json") == 0);
}

static void check_case(const char *name) {
    char expect_name[300], *report, *expected, *text;
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;
    size_t len, expected_len;

    snprintf(expect_name, sizeof(expect_name), "%.*s.expect", (int)(strrchr(name, '.') - name),
             name);
    text = read_file(name, &len);
    assert_non_null(text);
    expected = read_file(expect_name, &expected_len);
    /* The name is left out of the report: "line:col: ...". */
    struct weir_source source = { "", text, len };
    int r = weir_snapshot_build(&source, 1, &s, &problems);
    report = conf_report(&problems);
    char *lines = malloc(strlen(report) + 1), *out = lines;
    assert_non_null(lines);
    for (const char *in = report; *in != '\0';) {
        const char *end = strchr(in, '\n') + 1;
        memcpy(out, in + 1, (size_t)(end - in - 1));
        out += end - in - 1;
        in = end;
    }
    *out = '\0';
    if (strcmp(lines, expected != NULL ? expected : "") != 0) {
        fail_msg("%s gives:\n%s", name, lines);
    }
    assert_true((r == 0) == (strstr(lines, ": error: ") == NULL));
    weir_problems_deinit(&problems);
    weir_snapshot_unref(s);
    for (size_t cut = 0; cut < len; cut += len / CUTS + 1) {
        build_part(text, cut);
        build_part(text + cut, len - cut);
    }
    free(lines);
    free(report);
    free(expected);
    free(text);
}

static void every_file_gives_its_problems_and_no_part_of_it_harms(void **state) {
    DIR *dir = opendir(DIRECTORY);
    unsigned n = 0;

    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (is_case(entry)) {
            check_case(entry->d_name);
            n++;
        }
    }
    closedir(dir);
    assert_true(n >= 8);
}

static void a_dump_of_a_cluster_says_what_it_should(void **state) {
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;
    struct weir_ip ip;
    size_t len;
    char *text = read_file("kubectl-dump.yaml", &len);
    struct weir_source source = { "t", text, len };

    assert_non_null(text);
    assert_int_equal(weir_snapshot_build(&source, 1, &s, &problems), 0);
    weir_problems_deinit(&problems);
    free(text);
    const struct weir_service *cart = weir_snapshot_service(s, "shop", "cart");
    const struct weir_pod *pod = weir_snapshot_pod(s, "shop", "cart-6d4f8c9b7b-x2k8q");
    assert_string_equal(pod->service_account, "cart");
    assert_int_equal(pod->mode, WEIR_MESH_SIDECAR);
    assert_int_equal(weir_parse_ip("10.244.1.17", &ip), 0);
    assert_ptr_equal(weir_snapshot_pod_by_ip(s, &ip), pod);
    assert_int_equal(cart->n_ports, 2);
    assert_int_equal(cart->ports[0].endpoints[0].port, 8080);
    assert_int_equal(cart->ports[1].endpoints[0].port, 9102);
    assert_ptr_equal(cart->ports[0].endpoints[0].pod, pod);
    assert_string_equal(cart->ports[0].endpoints[0].zone, "eu-1a");
    assert_true(weir_snapshot_service(s, "shop", "redis")->headless);
    assert_int_equal(weir_snapshot_service(s, "shop", "redis")->ports[0].n_endpoints, 0);
    weir_snapshot_unref(s);
}

static int build_once(void *arg) {
    struct weir_source source = { "t", arg, strlen(arg) };
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;
    int r = weir_snapshot_build(&source, 1, &s, &problems);

    weir_problems_deinit(&problems);
    weir_snapshot_unref(s);
    return r;
}

/* Decoding, checking and linking: out of memory is said, and is never taken for a mistake of the document. */
static void one_of_every_kind_survives_every_failing_allocation(void **state) {
    size_t len;
    char *text = read_file("all-kinds.yaml", &len);

    assert_non_null(text);
    assert_true(weir_test_sweep(build_once, text, 0) > 20);
    assert_true(weir_test_sweep(build_once, text, 1) > 20);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_gives_its_problems_and_no_part_of_it_harms),
        cmocka_unit_test(a_dump_of_a_cluster_says_what_it_should),
        cmocka_unit_test(one_of_every_kind_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
