/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/files.h"

#include "weir_test.h"

#include <fcntl.h>
#include <sys/stat.h>

static char dir[64];

static int setup(void **state) {
    weir_test_tmpdir(dir);
    return 0;
}

static int teardown(void **state) {
    weir_test_rmdir(dir);
    return 0;
}

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void a_file_is_read_whole_with_a_nul_behind_it(void **state) {
    weir_test_write(dir, "a", "hello\n");
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(weir_file_read(path_of("a"), 100, &text, &len), 0);
    assert_int_equal(len, 6);
    assert_string_equal(text, "hello\n");
    weir_free(text);
    weir_test_write(dir, "empty", "");
    assert_int_equal(weir_file_read(path_of("empty"), 0, &text, &len), 0);
    assert_int_equal(len, 0);
    assert_string_equal(text, "");
    weir_free(text);
}

static void the_cap_is_exact(void **state) {
    weir_test_write(dir, "a", "12345");
    char *text = NULL;
    size_t len = 77;
    assert_int_equal(weir_file_read(path_of("a"), 4, &text, &len), -EFBIG);
    assert_null(text);
    assert_int_equal(len, 77);
    assert_int_equal(weir_file_read(path_of("a"), 5, &text, &len), 0);
    assert_int_equal(len, 5);
    weir_free(text);
}

static void what_is_not_a_file_says_so(void **state) {
    char *text = NULL;
    size_t len;
    assert_int_equal(weir_file_read(dir, 100, &text, &len), -EISDIR);
    assert_int_equal(weir_file_read(path_of("absent"), 100, &text, &len), -ENOENT);
    assert_null(text);
}

static void a_pipe_is_read_to_its_end_under_the_cap(void **state) {
    int fds[2];
    char *text = NULL;
    size_t len = 0, n = 20000;
    char *big = malloc(n);
    memset(big, 'x', n);
    for (size_t cap = n - 1; cap <= n; cap++) {
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(write(fds[1], big, n), n);
        close(fds[1]);
        int r = weir_file_read_fd(fds[0], cap, &text, &len);
        assert_int_equal(r, cap < n ? -EFBIG : 0);
        close(fds[0]);
    }
    assert_int_equal(len, n);
    assert_memory_equal(text, big, n);
    weir_free(text);
    free(big);
}

/* /proc files have no size. */
static void a_file_without_a_size_is_read(void **state) {
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(weir_file_read("/proc/self/mountinfo", 1 << 22, &text, &len), 0);
    assert_true(len > 0 && strlen(text) == len);
    weir_free(text);
}

static int read_it(void *arg) {
    char *text = NULL;
    size_t len;
    int r = weir_file_read("/proc/self/mountinfo", 1 << 22, &text, &len);
    if (r == 0)
        weir_free(text);
    return r;
}

static void no_memory_is_an_error_not_a_short_text(void **state) {
    assert_true(weir_test_sweep(read_it, NULL, 0) >= 1);
}

static void a_replaced_file_is_whole_and_leaves_nothing_beside_it(void **state) {
    struct stat st;
    char *text = NULL;
    size_t len;
    assert_int_equal(weir_file_replace(path_of("key"), 0600, "one", 3), 0);
    assert_int_equal(weir_file_replace(path_of("key"), 0600, "second", 6), 0);
    assert_int_equal(weir_file_read(path_of("key"), 100, &text, &len), 0);
    assert_string_equal(text, "second");
    weir_free(text);
    assert_int_equal(stat(path_of("key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(weir_file_replace(path_of("no/such/dir"), 0600, "x", 1), -ENOENT);
    assert_int_equal(remove(path_of("key")), 0);
    assert_int_equal(rmdir(dir), 0); /* so nothing else was there */
    assert_int_equal(mkdir(dir, 0700), 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_file_is_read_whole_with_a_nul_behind_it),
        CASE(the_cap_is_exact),
        CASE(what_is_not_a_file_says_so),
        CASE(a_pipe_is_read_to_its_end_under_the_cap),
        CASE(a_file_without_a_size_is_read),
        CASE(no_memory_is_an_error_not_a_short_text),
        CASE(a_replaced_file_is_whole_and_leaves_nothing_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
