/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/cgroup.h"

#include "weir_test.h"

#include <sys/stat.h>
#include <sys/wait.h>

static const char hybrid[] =
    "24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "31 23 0:27 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:28 /part /mnt/part rw shared:10 - cgroup2 cgroup2 rw\n"
    "33 31 0:28 / /sys/fs/cgroup/uni\\040fied\\134x rw,nosuid shared:10 master:2 - cgroup2 cgroup2 "
    "rw\n"
    "34 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

static void the_whole_hierarchy_is_preferred_and_unescaped(void **state) {
    char path[256];
    assert_int_equal(weir_cgroup_mount_parse(weir_slice_from_str(hybrid), path, sizeof(path)), 0);
    assert_string_equal(path, "/sys/fs/cgroup/uni fied\\x");
}

static void a_bind_mount_is_better_than_none(void **state) {
    char path[256];
    struct weir_slice one = WEIR_SLICE("32 31 0:28 /part /mnt/part rw - cgroup2 cgroup2 rw");
    assert_int_equal(weir_cgroup_mount_parse(one, path, sizeof(path)), 0);
    assert_string_equal(path, "/mnt/part");
}

static void no_cgroup2_is_said(void **state) {
    char path[256] = "untouched";
    struct weir_slice v1 = WEIR_SLICE("34 31 0:29 / /cgroup2 rw - cgroup cgroup2 rw,cpu\n-\n\n");
    assert_int_equal(weir_cgroup_mount_parse(v1, path, sizeof(path)), -ENOENT);
    assert_int_equal(weir_cgroup_mount_parse(WEIR_SLICE_NONE, path, sizeof(path)), -ENOENT);
    assert_string_equal(path, "untouched");
    assert_int_equal(weir_cgroup_mount_parse(weir_slice_from_str(hybrid), path, 5), -ENAMETOOLONG);
}

static void the_root_and_ways_out_are_refused(void **state) {
    static const char *const bad[] = {
        "", "/", "//", "..", "/..", "/a/../b", "/a/..", ".", "/./a"
    };
    char path[256];
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++)
        assert_int_equal(weir_cgroup_path(bad[i], path, sizeof(path)), -EINVAL);
}

static void a_directory_elsewhere_has_no_cgroup_id(void **state) {
    uint64_t id = 7;
    assert_int_equal(weir_cgroup_id("/proc", &id), -ENOTSUP);
    assert_int_equal(weir_cgroup_id("/no/such", &id), -ENOENT);
    assert_int_equal(id, 7);
}

/* Needs a cgroup2 this process may write to; below a cgroup of its own name. */
static void a_cgroup_is_made_entered_and_removed(void **state) {
    char name[64], path[256], seen[256];
    snprintf(name, sizeof(name), "/weir-test-%d", (int)getpid());
    int r = weir_cgroup_path(name, path, sizeof(path));
    if (r == 0)
        r = weir_cgroup_create(path);
    if (r < 0) {
        print_message("skipped: no writable cgroup2 (%s)\n", strerror(-r));
        skip();
    }
    struct stat st;
    uint64_t id = 0;
    assert_int_equal(weir_cgroup_create(path), -EEXIST);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(weir_cgroup_id(path, &id), 0);
    assert_int_equal(id, st.st_ino); /* 64-bit kernels: the same number by another way */

    int go[2];
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        char c;
        _exit(read(go[0], &c, 1) == 1 ? 0 : 1);
    }
    int entered = weir_cgroup_enter(path, child);
    int of = weir_cgroup_of(child, seen, sizeof(seen));
    int busy = weir_cgroup_remove(path);
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    int removed = weir_cgroup_remove(path);
    close(go[0]);
    close(go[1]);
    assert_int_equal(entered, 0);
    assert_int_equal(of, 0);
    assert_non_null(strstr(seen, name));
    assert_int_equal(busy, -EBUSY);
    assert_int_equal(removed, 0);
    assert_int_equal(weir_cgroup_id(path, &id), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_hierarchy_is_preferred_and_unescaped),
        cmocka_unit_test(a_bind_mount_is_better_than_none),
        cmocka_unit_test(no_cgroup2_is_said),
        cmocka_unit_test(the_root_and_ways_out_are_refused),
        cmocka_unit_test(a_directory_elsewhere_has_no_cgroup_id),
        cmocka_unit_test(a_cgroup_is_made_entered_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
