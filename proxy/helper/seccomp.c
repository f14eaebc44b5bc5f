/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists by name; a name that this machine's architecture has not got is left out by the library. What
 * is refused is refused with EPERM instead of killed: a newer C library may try a call that it can
 * do without, and an attacker gains as little either way.
 */
#include "helper/seccomp.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/err.h"

/* What any program needs, and what its C library does unasked. */
static const char *const common[] = {
    "accept4",
    "access",
    "bind",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "close_range",
    "connect",
    "dup",
    "dup3",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fcntl",
    "fstat",
    "fstatfs",
    "futex",
    "getegid",
    "geteuid",
    "getgid",
    "getpeername",
    "getpid",
    "getppid",
    "getrandom",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "listen",
    "lseek",
    "madvise",
    "mkdir",
    "mkdirat",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "poll",
    "ppoll",
    "prctl",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rmdir",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "sigaltstack",
    "socketpair",
    "stat",
    "lstat",
    "statfs",
    "statx",
    "unlink",
    "unlinkat",
    "wait4",
    "waitid",
    "write",
    "writev",
    "kill",
};

/* A filter is inherited: what a tenant's worker needs its parent may as well. */
static const char *const worker_only[] = {
    "arch_prctl",
    "clone",
    "clone3",
    "dup2",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "getdents64",
    "getrlimit",
    "getrusage",
    "inotify_add_watch",
    "inotify_init1",
    "inotify_rm_watch",
    "membarrier",
    "pipe2",
    "pread64",
    "prlimit64",
    "rseq",
    "sched_getaffinity",
    "seccomp",
    "set_robust_list",
    "set_tid_address",
    "setrlimit",
    "splice",
    "sysinfo",
    "tgkill",
    "timerfd_create",
    "timerfd_settime",
    "uname",
};

static const char *const helper_only[] = {
    "perf_event_open", "pidfd_open", "setgroups", "setresgid",
    "setresuid",       "setsid",     "umask",     "signalfd4",
};

static const char *const agent_only[] = {
    "arch_prctl",
    "capget",
    "chmod",
    "clone",
    "clone3",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "fallocate",
    "fchmod",
    "fchmodat",
    "fdatasync",
    "flock",
    "fork",
    "vfork",
    "fsync",
    "ftruncate",
    "getcwd",
    "getdents64",
    "getrlimit",
    "getrusage",
    "inotify_add_watch",
    "inotify_init1",
    "inotify_rm_watch",
    "ioctl",
    "linkat",
    "membarrier",
    "memfd_create",
    "mincore",
    "name_to_handle_at",
    "perf_event_open",
    "pipe2",
    "pidfd_open",
    "pread64",
    "preadv",
    "prlimit64",
    "pwrite64",
    "pwritev",
    "recvmmsg",
    "rename",
    "renameat",
    "renameat2",
    "rseq",
    "rt_sigpending",
    "rt_sigtimedwait",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_getscheduler",
    "sched_getparam",
    "sendmmsg",
    "sendfile",
    "set_robust_list",
    "set_tid_address",
    "setrlimit",
    "signalfd4",
    "splice",
    "symlinkat",
    "sysinfo",
    "tgkill",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_settime",
    "times",
    "umask",
    "uname",
    "utimensat",
    "bpf",
    "process_madvise",
};

static int allow(scmp_filter_ctx ctx, const char *const *names, size_t n) {
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);

        if (number != __NR_SCMP_ERROR) /* older than the call */
            r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
    }
    return r;
}

struct only {
    const char *name;
    unsigned arg;
    uint64_t mask, value;
};

/* One argument of each must be one of these. */
static const struct only helper_args[] = {
    { "bpf", 0, UINT32_MAX, BPF_ITER_CREATE }, { "bpf", 0, UINT32_MAX, BPF_OBJ_GET_INFO_BY_FD },
    { "setns", 1, UINT32_MAX, CLONE_NEWNET },  { "ioctl", 1, UINT32_MAX, NS_GET_NSTYPE },
    { "ioctl", 1, UINT32_MAX, FIONBIO },       { "execveat", 4, UINT32_MAX, AT_EMPTY_PATH },
};

static const struct only worker_args[] = {
    { "ioctl", 1, UINT32_MAX, FIONBIO },
};

static const struct only common_args[] = {
    { "socket", 0, UINT32_MAX, AF_INET },
    { "socket", 0, UINT32_MAX, AF_INET6 },
    { "socket", 0, UINT32_MAX, AF_NETLINK },
    { "socket", 0, UINT32_MAX, AF_UNIX },
    { "mmap", 2, PROT_EXEC, 0 },
    { "mprotect", 2, PROT_EXEC, 0 },
};

static int allow_args(scmp_filter_ctx ctx, const struct only *only, size_t n) {
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++) {
        const struct scmp_arg_cmp cmp = { .arg = only[i].arg,
                                          .op = SCMP_CMP_MASKED_EQ,
                                          .datum_a = only[i].mask,
                                          .datum_b = only[i].value };

        r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(only[i].name),
                                   1, &cmp);
    }
    return r;
}

/* A program that is linked dynamically maps its libraries: files, and never to be written to. */
static int allow_libraries(scmp_filter_ctx ctx) {
    const struct scmp_arg_cmp cmp[] = {
        { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC },
        { 3, SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0 },
    };

    return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name("mmap"), 2,
                                  cmp);
}

struct list {
    const char *const *names;
    size_t n_names;
    const struct only *args;
    size_t n_args;
    bool spawns; /* runs programs */
};

static int install(const struct list *own, const struct list *more) {
    const struct list all = { common, WEIR_ARRAY_LEN(common), common_args,
                              WEIR_ARRAY_LEN(common_args) };
    const struct list *const lists[] = { &all, own, more };
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int r = ctx ? 0 : -ENOMEM;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(lists) && lists[i] && r == 0; i++) {
        r = allow(ctx, lists[i]->names, lists[i]->n_names);
        if (r == 0)
            r = allow_args(ctx, lists[i]->args, lists[i]->n_args);
    }
    if (r == 0 && own->spawns)
        r = allow_libraries(ctx);
    if (r == 0)
        r = seccomp_load(ctx);
    if (ctx)
        seccomp_release(ctx);
    return r;
}

static const struct list worker = { worker_only, WEIR_ARRAY_LEN(worker_only), worker_args,
                                    WEIR_ARRAY_LEN(worker_args) };

int weir_seccomp_helper(void) {
    const struct list own = { helper_only, WEIR_ARRAY_LEN(helper_only), helper_args,
                              WEIR_ARRAY_LEN(helper_args), true };

    return install(&own, &worker);
}

int weir_seccomp_worker(void) {
    return install(&worker, NULL);
}

int weir_seccomp_agent(void) {
    const struct list own = { agent_only, WEIR_ARRAY_LEN(agent_only), NULL, 0 };

    return install(&own, NULL);
}
