/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/texts.h"

#include "weir_test.h"

#include <fcntl.h>
#include <sys/stat.h>

struct fixture {
    char dir[64], path[256];
    struct weir_texts texts;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    weir_test_tmpdir(f->dir);
    weir_texts_init(&f->texts, 1 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    weir_texts_deinit(&f->texts);
    weir_test_rmdir(f->dir);
    free(f);
    return 0;
}

static const char *in(struct fixture *f, const char *name) {
    snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, name);
    return f->path;
}

static void assert_text(struct fixture *f, size_t i, const char *name, const char *text) {
    assert_true(i < f->texts.n);
    assert_string_equal(f->texts.items[i].name, in(f, name));
    assert_string_equal(f->texts.items[i].text, text);
    assert_int_equal(f->texts.items[i].len, strlen(text));
}

static void a_file_is_read_whatever_its_name(void **state) {
    struct fixture *f = *state;
    weir_test_write(f->dir, ".anything", "kind: Pod\n");
    assert_int_equal(weir_texts_read(&f->texts, in(f, ".anything")), 0);
    assert_int_equal(f->texts.n, 1);
    assert_text(f, 0, ".anything", "kind: Pod\n");
    assert_int_equal(f->texts.bytes, 10);
}

static void a_directory_gives_its_documents_in_byte_order(void **state) {
    struct fixture *f = *state;
    weir_test_write(f->dir, "b.yaml", "b");
    weir_test_write(f->dir, "a.json", "a");
    weir_test_write(f->dir, "B.yml", "B");
    weir_test_write(f->dir, "10.yaml", "10");
    weir_test_write(f->dir, ".hidden.yaml", "no");
    weir_test_write(f->dir, "readme.txt", "no");
    weir_test_write(f->dir, "b.yaml~", "no");
    assert_int_equal(mkdir(in(f, "dir.yaml"), 0700), 0);
    assert_int_equal(mkfifo(in(f, "fifo.yaml"), 0600), 0);
    assert_int_equal(weir_texts_read(&f->texts, f->dir), 0);
    assert_int_equal(f->texts.n, 4);
    assert_text(f, 0, "10.yaml", "10");
    assert_text(f, 1, "B.yml", "B");
    assert_text(f, 2, "a.json", "a");
    assert_text(f, 3, "b.yaml", "b");
}

static void a_directory_without_documents_gives_nothing(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_texts_read(&f->texts, f->dir), 0);
    assert_int_equal(f->texts.n, 0);
}

static void a_trailing_slash_is_not_doubled(void **state) {
    struct fixture *f = *state;
    weir_test_write(f->dir, "a.yaml", "a");
    char path[80];
    snprintf(path, sizeof(path), "%s/", f->dir);
    assert_int_equal(weir_texts_read(&f->texts, path), 0);
    assert_text(f, 0, "a.yaml", "a");
}

static void kubernetes_layout_is_followed(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(in(f, "..2026_01"), 0700), 0);
    weir_test_write(in(f, "..2026_01"), "a.yaml", "one");
    assert_int_equal(symlink("..2026_01", in(f, "..data")), 0);
    assert_int_equal(symlink("..data/a.yaml", in(f, "a.yaml")), 0);
    assert_int_equal(weir_texts_read(&f->texts, f->dir), 0);
    assert_int_equal(f->texts.n, 1);
    assert_text(f, 0, "a.yaml", "one");
}

static void several_sources_add_up_under_one_cap(void **state) {
    struct fixture *f = *state;
    weir_test_write(f->dir, "a.yaml", "12345");
    weir_test_write(f->dir, "b.yaml", "67890");
    f->texts.max = 9;
    assert_int_equal(weir_texts_read(&f->texts, in(f, "a.yaml")), 0);
    assert_int_equal(weir_texts_read(&f->texts, in(f, "b.yaml")), -EFBIG);
    assert_string_equal(f->texts.failed, in(f, "b.yaml"));
    f->texts.max = 10;
    assert_int_equal(weir_texts_read(&f->texts, in(f, "b.yaml")), 0);
    assert_int_equal(f->texts.n, 2);
}

static void an_error_names_the_file(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_texts_read(&f->texts, in(f, "absent.yaml")), -ENOENT);
    assert_string_equal(f->texts.failed, in(f, "absent.yaml"));
    weir_test_write(f->dir, "a.yaml", "a");
    assert_int_equal(symlink("nowhere", in(f, "b.yaml")), 0);
    assert_int_equal(weir_texts_read(&f->texts, f->dir), -ENOENT);
    assert_string_equal(f->texts.failed, in(f, "b.yaml"));
}

static void a_dash_is_standard_input(void **state) {
    struct fixture *f = *state;
    int fds[2], saved = dup(STDIN_FILENO);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "kind: Pod", 9), 9);
    close(fds[1]);
    dup2(fds[0], STDIN_FILENO);
    close(fds[0]);
    int r = weir_texts_read(&f->texts, "-");
    dup2(saved, STDIN_FILENO);
    close(saved);
    assert_int_equal(r, 0);
    assert_string_equal(f->texts.items[0].name, "-");
    assert_string_equal(f->texts.items[0].text, "kind: Pod");
}

static int read_dir(void *arg) {
    struct weir_texts texts;
    weir_texts_init(&texts, 100);
    int r = weir_texts_read(&texts, arg);
    if (r == 0 && texts.n != 2)
        r = -EIO;
    weir_texts_deinit(&texts);
    return r;
}

static void no_memory_leaves_nothing_behind(void **state) {
    struct fixture *f = *state;
    weir_test_write(f->dir, "a.yaml", "a");
    weir_test_write(f->dir, "b.yaml", "b");
    assert_true(weir_test_sweep(read_dir, f->dir, 0) >= 6);
    assert_true(weir_test_sweep(read_dir, f->dir, 1) >= 6);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_file_is_read_whatever_its_name),
        CASE(a_directory_gives_its_documents_in_byte_order),
        CASE(a_directory_without_documents_gives_nothing),
        CASE(a_trailing_slash_is_not_doubled),
        CASE(kubernetes_layout_is_followed),
        CASE(several_sources_add_up_under_one_cap),
        CASE(an_error_names_the_file),
        CASE(a_dash_is_standard_input),
        CASE(no_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
