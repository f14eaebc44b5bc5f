/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this process may do, and what this kernel has besides program types; each optional thing with
 * what weir does instead. Probes ask with arguments that cannot do anything.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kern/check_priv.h"
#include "kern/priv.h"
#include "kern/revoke.h"

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

void weir_check_capabilities(const struct weir_check_report *r) {
    static const struct {
        int bit;
        const char *name, *why;
    } needed[] = {
        { CAP_BPF, "capability BPF", "load programs and maps: give the agent CAP_BPF" },
        { CAP_NET_ADMIN, "capability NET_ADMIN",
          "attach programs to cgroups and namespaces: give the agent CAP_NET_ADMIN" },
        { CAP_PERFMON, "capability PERFMON",
          "read kernel structures in programs: give the agent CAP_PERFMON" },
        { CAP_SYS_ADMIN, "capability SYS_ADMIN (helper)",
          "enter pods' namespaces: give the helper CAP_SYS_ADMIN" },
        { CAP_SYS_PTRACE, "capability SYS_PTRACE (helper)",
          "find namespaces by process: give the helper CAP_SYS_PTRACE" },
        { CAP_SETUID, "capability SETUID (helper)",
          "be nobody inside of a pod: give the helper CAP_SETUID" },
        { CAP_SETGID, "capability SETGID (helper)",
          "be nobody inside of a pod: give the helper CAP_SETGID" },
        { CAP_KILL, "capability KILL (helper)",
          "end what a frozen pod holds: give the helper CAP_KILL" },
    };
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };

    if (syscall(SYS_capget, &head, data) < 0)
        return;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(needed); i++) {
        bool ok = data[needed[i].bit / 32].effective & (1u << (needed[i].bit % 32));

        weir_check_say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, needed[i].name, ok ? "yes" : "no",
                       needed[i].why);
    }
}

/* There, if what it answers is that the arguments are bad. */
void weir_check_calls(const struct weir_check_report *r) {
    static const struct {
        long number;
        long args[4];
        int bad;
        const char *name;
    } calls[] = {
        { SYS_clone3, { 0, 0 }, EINVAL, "clone3 (a process in a pod's cgroup)" },
        { SYS_openat2, { -1, 0, 0, 0 }, EINVAL, "openat2 (a cgroup below its parent)" },
        { SYS_pidfd_open, { -1, 0 }, EINVAL, "pidfd_open (a pod's process)" },
        { SYS_setns, { -1, CLONE_NEWNET }, EBADF, "setns (a pod's network namespace)" },
        { SYS_seccomp, { -1, 0, 0 }, EINVAL, "seccomp" },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(calls); i++) {
        const long *a = calls[i].args;
        long got = syscall(calls[i].number, a[0], a[1], a[2], a[3]);
        bool ok = got < 0 && errno == calls[i].bad;
        char what[80];

        snprintf(what, sizeof(what), "system call %s", calls[i].name);
        weir_check_say(r, ok ? WEIR_CHECK_OK : WEIR_CHECK_FAIL, what, ok ? "yes" : strerror(errno),
                       "a container runtime's seccomp profile refuses it: give agent and helper "
                       "seccompProfile: Unconfined, they install filters of their own");
    }
}

static void fallback(const struct weir_check_report *r, const char *what, bool there,
                     const char *instead) {
    char text[256];

    snprintf(text, sizeof(text), "no: %s", instead);
    weir_check_say(r, there ? WEIR_CHECK_OK : WEIR_CHECK_WARN, what, there ? "yes" : text, "");
}

void weir_check_fallbacks(const struct weir_check_report *r) {
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    long barriers = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

    fallback(r, "reset from an iterator (bpf_sock_destroy)", weir_kernel_destroys(),
             "inet_diag resets instead, and the helper keeps NET_ADMIN for it (Linux 6.5)");
    fallback(r, "count of joined unread bytes", weir_join_counted(),
             "all that was handed over since nothing was unread counts instead (6.18.14, 6.12.75, "
             "6.6.128)");
    fallback(r, "membarrier (readers of replaced entries)",
             barriers > 0 && (barriers & MEMBARRIER_CMD_GLOBAL),
             "each change waits a fifth of a second instead (nohz_full)");
    fallback(r, "IPv6", fd >= 0, "IPv4 only");
    if (fd >= 0)
        close(fd);
}
