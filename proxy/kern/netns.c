/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread or a process that enters, does one thing and ends, so that the caller's own namespace and
 * cgroup never change.
 */
#include "kern/netns.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "weir/abi/flow.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

struct job {
    int netns_fd;
    int (*fn)(struct job *job); /* 0 or -errno */
    int arg, fd;
    uint64_t cookie;
    int error;
};

static void *job_thread(void *arg) {
    struct job *job = arg;

    job->error = setns(job->netns_fd, CLONE_NEWNET) < 0 ? -errno : job->fn(job);
    return NULL;
}

static int job_run(struct job *job) {
    pthread_t thread;
    int r = pthread_create(&thread, NULL, job_thread, job);

    if (r != 0)
        return -r;
    pthread_join(thread, NULL);
    return job->error;
}

static int ask_cookie(struct job *job) {
    socklen_t len = sizeof(job->cookie);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;

    if (fd < 0)
        return -errno;
    if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &job->cookie, &len) < 0)
        r = -errno;
    close(fd);
    return r;
}

int weir_netns_cookie(int netns_fd, uint64_t *ret_cookie) {
    struct job job = { .netns_fd = netns_fd, .fn = ask_cookie };
    int r = job_run(&job);

    if (r == 0)
        *ret_cookie = job.cookie;
    return r;
}

/* The iterator belongs to the namespace in which it is made. */
static int make_walk(struct job *job) {
    job->fd = bpf_iter_create(job->arg);
    return job->fd < 0 ? job->fd : 0;
}

int weir_netns_walk(int netns_fd, int link_fd, int *ret_iter_fd) {
    struct job job = { .netns_fd = netns_fd, .fn = make_walk, .arg = link_fd };
    int r = job_run(&job);

    if (r == 0)
        *ret_iter_fd = job.fd;
    return r;
}

static int make_diag(struct job *job) {
    job->fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    return job->fd < 0 ? -errno : 0;
}

int weir_netns_diag(int netns_fd, int *ret_fd) {
    struct job job = { .netns_fd = netns_fd, .fn = make_diag };
    int r = job_run(&job);

    if (r == 0)
        *ret_fd = job.fd;
    return r;
}

/* What a process can say at its end: an errno, or that there was none or no socket. */
#define CANARY_NO_SOCKET 254
#define CANARY_NO_ENTRY  255

/* Without waiting: where nothing refuses the call, a SYN to nowhere has left and that is the answer. */
static int canary_call(int family, const struct sockaddr *to, socklen_t len) {
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return CANARY_NO_SOCKET;
    r = connect(fd, to, len) == 0 || errno == EINPROGRESS ? 0 : errno;
    close(fd);
    return r > 253 ? 253 : r;
}

/* Between clone and exit: system calls only, no lock that another thread may hold. */
static void canary_live(int netns_fd, int pipe_fd) {
    const struct weir_addr v4 = WEIR_CANARY_V4, v6 = WEIR_CANARY_V6;
    struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(WEIR_CANARY_PORT) };
    struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(WEIR_CANARY_PORT) };
    unsigned char said[2] = { CANARY_NO_ENTRY, CANARY_NO_ENTRY };
    ssize_t n;

    memcpy(&to4.sin_addr, &v4.w[3], sizeof(to4.sin_addr));
    memcpy(&to6.sin6_addr, &v6, sizeof(to6.sin6_addr));
    if (setns(netns_fd, CLONE_NEWNET) == 0) {
        said[0] = (unsigned char)canary_call(AF_INET, (struct sockaddr *)&to4, sizeof(to4));
        said[1] = (unsigned char)canary_call(AF_INET6, (struct sockaddr *)&to6, sizeof(to6));
    }
    n = write(pipe_fd, said, sizeof(said));
    _exit(n == sizeof(said) ? 0 : 1);
}

static int canary_said(unsigned char code) {
    return code == CANARY_NO_SOCKET ? -1 : code;
}

int weir_netns_canary(int cgroup_fd, int netns_fd, struct weir_canary *ret) {
    struct clone_args args = { .flags = CLONE_INTO_CGROUP,
                               .exit_signal = SIGCHLD,
                               .cgroup = (uint64_t)cgroup_fd };
    unsigned char said[2] = { CANARY_NO_ENTRY, CANARY_NO_ENTRY };
    int ends[2], status = 0;
    ssize_t n;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        canary_live(netns_fd, ends[1]);
    if (pid < 0) {
        int r = -errno;

        close(ends[0]);
        close(ends[1]);
        return r;
    }
    close(ends[1]);
    do
        n = read(ends[0], said, sizeof(said));
    while (n < 0 && errno == EINTR);
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (n != sizeof(said) || said[0] == CANARY_NO_ENTRY)
        return -EPERM;
    ret->v4 = canary_said(said[0]);
    ret->v6 = canary_said(said[1]);
    return 0;
}
