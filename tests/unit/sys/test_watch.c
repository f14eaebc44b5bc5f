/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/watch.h"

#include "weir_test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

struct fixture {
    char dir[64], path[2][256];
    struct weir_watch *watch;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    weir_test_tmpdir(f->dir);
    assert_int_equal(weir_watch_new(&f->watch), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    assert_null(weir_watch_free(f->watch));
    weir_test_rmdir(f->dir);
    free(f);
    return 0;
}

static const char *at(struct fixture *f, int slot, const char *name) {
    snprintf(f->path[slot], sizeof(f->path[slot]), "%s/%s", f->dir, name);
    return f->path[slot];
}

static void move(struct fixture *f, const char *from, const char *to) {
    assert_int_equal(rename(at(f, 0, from), at(f, 1, to)), 0);
}

/* inotify queues before the changing call returns, so nothing has to be waited for. */
static bool changed(struct fixture *f) {
    struct pollfd p = { .fd = weir_watch_fd(f->watch), .events = POLLIN };
    bool readable = poll(&p, 1, 0) == 1;
    bool news = weir_watch_drain(f->watch);
    assert_true(readable || !news);
    return news;
}

static void nothing_happened_is_no_news(void **state) {
    struct fixture *f = *state;
    weir_test_write(f->dir, "a.yaml", "1");
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "a.yaml")), 0);
    assert_false(changed(f));
    weir_test_write(f->dir, "other", "1");
    assert_false(changed(f));
}

static void a_file_written_in_place_is_news(void **state) {
    struct fixture *f = *state;
    weir_test_write(f->dir, "a.yaml", "1");
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "a.yaml")), 0);
    weir_test_write(f->dir, "a.yaml", "2");
    assert_true(changed(f));
    assert_false(changed(f));
}

static void a_file_replaced_by_rename_is_news_each_time(void **state) {
    struct fixture *f = *state;
    weir_test_write(f->dir, "a.yaml", "1");
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "a.yaml")), 0);
    for (int i = 0; i < 3; i++) {
        weir_test_write(f->dir, ".a.new", "2");
        assert_false(changed(f));
        move(f, ".a.new", "a.yaml");
        assert_true(changed(f));
    }
}

static void a_file_that_vanishes_and_comes_back_is_news_twice(void **state) {
    struct fixture *f = *state;
    weir_test_write(f->dir, "a.yaml", "1");
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "a.yaml")), 0);
    assert_int_equal(remove(at(f, 0, "a.yaml")), 0);
    assert_true(changed(f));
    weir_test_write(f->dir, "a.yaml", "1");
    assert_true(changed(f));
}

static void a_file_half_written_is_not_news_yet(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "a.yaml")), 0);
    int fd = open(at(f, 0, "a.yaml"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_false(changed(f));
    assert_int_equal(write(fd, "y", 1), 1);
    close(fd);
    assert_true(changed(f));
}

static void a_path_whose_parents_do_not_exist_yet_is_seen_to_appear(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "x/y/a.yaml")), 0);
    assert_false(changed(f));
    assert_int_equal(mkdir(at(f, 0, "x"), 0700), 0);
    changed(f);
    assert_int_equal(mkdir(at(f, 0, "x/y"), 0700), 0);
    changed(f);
    weir_test_write(at(f, 0, "x/y"), "a.yaml", "1");
    assert_true(changed(f));
}

static void a_directory_removed_and_made_again_is_followed(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(at(f, 0, "conf"), 0700), 0);
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "conf")), 0);
    assert_int_equal(rmdir(at(f, 0, "conf")), 0);
    assert_true(changed(f));
    assert_int_equal(mkdir(at(f, 0, "conf"), 0700), 0);
    assert_true(changed(f));
    weir_test_write(at(f, 0, "conf"), "a.yaml", "1");
    assert_true(changed(f));
}

static void a_directory_swapped_by_rename_is_followed(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(at(f, 0, "conf"), 0700), 0);
    assert_int_equal(mkdir(at(f, 0, "next"), 0700), 0);
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "conf")), 0);
    move(f, "conf", "old");
    move(f, "next", "conf");
    assert_true(changed(f));
    weir_test_write(at(f, 0, "old"), "a.yaml", "1"); /* no longer ours */
    assert_false(changed(f));
    weir_test_write(at(f, 0, "conf"), "a.yaml", "1");
    assert_true(changed(f));
}

static void hidden_names_in_a_directory_do_not_count(void **state) {
    struct fixture *f = *state;
    assert_int_equal(weir_watch_add(f->watch, f->dir), 0);
    weir_test_write(f->dir, ".a.yaml.swp", "1");
    assert_false(changed(f));
    weir_test_write(f->dir, "a.yaml", "1");
    assert_true(changed(f));
}

static void kubernetes_swap(struct fixture *f, const char *version, const char *text) {
    char dir[64];
    snprintf(dir, sizeof(dir), "..%s", version);
    assert_int_equal(mkdir(at(f, 0, dir), 0700), 0);
    weir_test_write(at(f, 0, dir), "tls.crt", text);
    assert_int_equal(symlink(dir, at(f, 0, "..data_tmp")), 0);
    move(f, "..data_tmp", "..data");
}

static void a_kubernetes_swap_is_news_for_the_file_behind_it(void **state) {
    struct fixture *f = *state;
    kubernetes_swap(f, "v1", "1");
    assert_int_equal(symlink("..data/tls.crt", at(f, 0, "tls.crt")), 0);
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "tls.crt")), 0);
    assert_false(changed(f));
    kubernetes_swap(f, "v2", "2");
    assert_true(changed(f));
    kubernetes_swap(f, "v3", "3");
    assert_true(changed(f));
    assert_false(changed(f));
}

static void a_kubernetes_swap_is_news_for_the_directory(void **state) {
    struct fixture *f = *state;
    kubernetes_swap(f, "v1", "1");
    assert_int_equal(symlink("..data/tls.crt", at(f, 0, "tls.crt")), 0);
    assert_int_equal(weir_watch_add(f->watch, f->dir), 0);
    kubernetes_swap(f, "v2", "2");
    assert_true(changed(f));
    kubernetes_swap(f, "v3", "3");
    assert_true(changed(f));
}

static void a_link_is_followed_to_what_it_points_at(void **state) {
    struct fixture *f = *state;
    weir_test_write(f->dir, "real", "1");
    assert_int_equal(mkdir(at(f, 0, "conf"), 0700), 0);
    assert_int_equal(symlink(at(f, 1, "real"), at(f, 0, "conf/a.yaml")), 0);
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "conf")), 0);
    weir_test_write(f->dir, "real", "2");
    assert_true(changed(f));
    weir_test_write(f->dir, "unrelated", "2");
    assert_false(changed(f));
}

static void a_loop_of_links_is_survived(void **state) {
    struct fixture *f = *state;
    assert_int_equal(symlink("b", at(f, 0, "a")), 0);
    assert_int_equal(symlink("a", at(f, 0, "b")), 0);
    assert_int_equal(weir_watch_add(f->watch, at(f, 0, "a")), 0);
    assert_int_equal(remove(at(f, 0, "a")), 0);
    weir_test_write(f->dir, "a", "1");
    assert_true(changed(f));
}

static void a_relative_path_and_dots_are_resolved(void **state) {
    struct fixture *f = *state;
    char cwd[512];
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    assert_int_equal(mkdir(at(f, 0, "sub"), 0700), 0);
    assert_int_equal(chdir(at(f, 0, "sub")), 0);
    int r = weir_watch_add(f->watch, "./..//a.yaml");
    assert_int_equal(chdir(cwd), 0);
    assert_int_equal(r, 0);
    weir_test_write(f->dir, "a.yaml", "1");
    assert_true(changed(f));
}

static int watch_it(void *arg) {
    struct weir_watch *watch;
    int r = weir_watch_new(&watch);
    if (r < 0)
        return r;
    r = weir_watch_add(watch, arg);
    weir_watch_free(watch);
    return r;
}

static void no_memory_leaves_nothing_behind(void **state) {
    struct fixture *f = *state;
    assert_true(weir_test_sweep(watch_it, f->dir, 0) >= 4);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(nothing_happened_is_no_news),
        CASE(a_file_written_in_place_is_news),
        CASE(a_file_replaced_by_rename_is_news_each_time),
        CASE(a_file_that_vanishes_and_comes_back_is_news_twice),
        CASE(a_file_half_written_is_not_news_yet),
        CASE(a_path_whose_parents_do_not_exist_yet_is_seen_to_appear),
        CASE(a_directory_removed_and_made_again_is_followed),
        CASE(a_directory_swapped_by_rename_is_followed),
        CASE(hidden_names_in_a_directory_do_not_count),
        CASE(a_kubernetes_swap_is_news_for_the_file_behind_it),
        CASE(a_kubernetes_swap_is_news_for_the_directory),
        CASE(a_link_is_followed_to_what_it_points_at),
        CASE(a_loop_of_links_is_survived),
        CASE(a_relative_path_and_dots_are_resolved),
        CASE(no_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
