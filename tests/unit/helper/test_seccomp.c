/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "weir_test.h"

/* Each is a system call that the process may not make any more: 0 or the errno. */
static int try_exec(void) {
    char *const argv[] = { "true", NULL };

    return execv("/bin/true", argv) < 0 ? errno : 0;
}
static int try_ptrace(void) {
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? errno : 0;
}
static int try_mount(void) {
    return mount("none", "/nowhere", "tmpfs", 0, NULL) < 0 ? errno : 0;
}
static int try_unshare(void) {
    return unshare(CLONE_NEWUSER) < 0 ? errno : 0;
}
static int try_module(void) {
    return syscall(SYS_init_module, NULL, 0, "") < 0 ? errno : 0;
}
static int try_packets(void) {
    return socket(AF_PACKET, SOCK_RAW, 0) < 0 ? errno : 0;
}
static int try_executable_memory(void) {
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED
               ? errno
               : 0;
}
static int try_enter_mounts(void) {
    return setns(0, CLONE_NEWNS) < 0 ? errno : 0;
}
static int try_map(void) {
    union bpf_attr attr = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
    };

    return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)) < 0 ? errno : 0;
}
static int try_handle(void) {
    struct file_handle handle = { .handle_bytes = 0 };
    int mount;

    return name_to_handle_at(AT_FDCWD, "/", &handle, &mount, 0) < 0 && errno == EPERM ? errno : 0;
}
static int try_identity(void) {
    return syscall(SYS_setresuid, 0, 0, 0) < 0 ? errno : 0;
}
static int try_namespace(void) {
    return setns(0, CLONE_NEWNET) < 0 ? errno : 0;
}
static int try_exec_descriptor(void) {
    return syscall(SYS_execveat, 0, "", NULL, NULL, AT_EMPTY_PATH) < 0 ? errno : 0;
}

/* What still has to work. */
static int do_ordinary_things(void) {
    char byte;
    int ends[2], fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, &byte, 1) != 1 || close(fd) < 0)
        return errno;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
        return errno;
    return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
}

/* In a child of its own: nothing takes a filter off again. */
static int under(int (*filter)(void), int (*try)(void)) {
    pid_t child = fork();
    int status;

    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || (filter && filter() != 0))
            _exit(255);
        _exit(try());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void neither_can_do_what_is_on_no_list(void **state) {
    int (*const forbidden[])(void) = { try_exec,
                                       try_ptrace,
                                       try_mount,
                                       try_unshare,
                                       try_module,
                                       try_packets,
                                       try_executable_memory,
                                       try_enter_mounts };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(forbidden); i++) {
        assert_int_equal(under(weir_seccomp_agent, forbidden[i]), EPERM);
        assert_int_equal(under(weir_seccomp_helper, forbidden[i]), EPERM);
        assert_int_equal(under(weir_seccomp_worker, forbidden[i]), EPERM);
    }
    /* Without a filter these are allowed to anybody: it is the filter that refuses. */
    assert_int_equal(under(NULL, try_exec), 0);
    assert_int_equal(under(NULL, try_ptrace), 0);
    assert_int_equal(under(NULL, try_executable_memory), 0);
}

static void the_helper_can_do_less_than_the_agent(void **state) {
    assert_int_equal(under(weir_seccomp_helper, try_map), EPERM);
    assert_int_equal(under(weir_seccomp_helper, try_handle), EPERM);
    assert_int_equal(under(weir_seccomp_agent, try_handle), 0);
}

static void a_worker_can_do_less_than_the_helper(void **state) {
    int (*const forbidden[])(void) = { try_identity, try_namespace, try_exec_descriptor, try_map,
                                       try_handle };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(forbidden); i++)
        assert_int_equal(under(weir_seccomp_worker, forbidden[i]), EPERM);
    assert_int_not_equal(under(weir_seccomp_helper, try_exec_descriptor), EPERM);
    assert_int_equal(under(weir_seccomp_worker, do_ordinary_things), 0);
}

static void both_can_do_their_work(void **state) {
    assert_int_equal(under(weir_seccomp_agent, do_ordinary_things), 0);
    assert_int_equal(under(weir_seccomp_helper, do_ordinary_things), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neither_can_do_what_is_on_no_list),
        cmocka_unit_test(the_helper_can_do_less_than_the_agent),
        cmocka_unit_test(a_worker_can_do_less_than_the_helper),
        cmocka_unit_test(both_can_do_their_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
