/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways into a pod. A namespace is entered by the helper itself, which has one thread, does one
 * thing there and goes home; if it cannot go home it ends, because nothing it did afterwards would
 * be where it should be. A cgroup cannot be entered for a moment (whose a socket is follows who made
 * it), so what needs one is done by a child made in it, which is nobody before it makes its socket.
 */
#include <arpa/inet.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/serve_internal.h"
#include "sys/log.h"
#include "weir/abi/flow.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

#define NOBODY            65534
#define CHILD_PATIENCE_MS 1000

/* ---- a namespace ---- */

static int enter(int netns_fd) {
    return setns(netns_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

static void leave(const struct weir_helper_server *s) {
    if (setns(s->home_fd, CLONE_NEWNET) == 0)
        return;
    weir_log(WEIR_LOG_ERROR, "helper_lost", "why=\"%s\" effect=\"it ends\"", strerror(errno));
    _exit(1);
}

int weir_enter_cookie(const struct weir_helper_server *s, int netns_fd, uint64_t *ret_cookie) {
    socklen_t len = sizeof(*ret_cookie);
    int r = enter(netns_fd), fd;

    if (r)
        return r;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &len) < 0)
        r = -errno;
    leave(s);
    if (fd >= 0)
        close(fd);
    return r;
}

/* The iterator belongs to the namespace in which it is made. */
int weir_enter_walk(const struct weir_helper_server *s, int netns_fd, int link_fd, int *ret_fd) {
    union bpf_attr attr;
    int r = enter(netns_fd), fd;

    if (r)
        return r;
    memset(&attr, 0, sizeof(attr));
    attr.iter_create.link_fd = (uint32_t)link_fd;
    fd = (int)syscall(SYS_bpf, BPF_ITER_CREATE, &attr, sizeof(attr));
    r = fd < 0 ? -errno : 0;
    leave(s);
    if (r == 0)
        *ret_fd = fd;
    return r;
}

int weir_enter_diag(const struct weir_helper_server *s, int netns_fd, int *ret_fd) {
    int r = enter(netns_fd), fd;

    if (r)
        return r;
    fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    r = fd < 0 ? -errno : 0;
    leave(s);
    if (r == 0)
        *ret_fd = fd;
    return r;
}

/* ---- a cgroup ---- */

/* What a child says before it ends. */
struct said {
    int32_t error; /* 0 or -errno: it did not come to the deed */
    int32_t v4, v6;
};

struct errand {
    int netns_fd;
    const struct weir_helper_request *socket; /* make that; NULL: the canary */
};

/* Without waiting: where nothing refuses the call, a SYN to nowhere has left and that is the answer. */
static int32_t canary_call(int family, const struct sockaddr *to, socklen_t len) {
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -1;
    r = connect(fd, to, len) == 0 || errno == EINPROGRESS ? 0 : errno;
    close(fd);
    return r;
}

static void canary(struct said *said) {
    const struct weir_addr v4 = WEIR_CANARY_V4, v6 = WEIR_CANARY_V6;
    struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(WEIR_CANARY_PORT) };
    struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(WEIR_CANARY_PORT) };

    memcpy(&to4.sin_addr, &v4.w[3], sizeof(to4.sin_addr));
    memcpy(&to6.sin6_addr, &v6, sizeof(to6.sin6_addr));
    said->v4 = canary_call(AF_INET, (struct sockaddr *)&to4, sizeof(to4));
    said->v6 = canary_call(AF_INET6, (struct sockaddr *)&to6, sizeof(to6));
}

/* By system call: the library would look for threads to tell. With the uid the capabilities go. */
static int become_nobody(void) {
    if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) < 0 ||
        syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) < 0)
        return -errno;
    return 0;
}

static void child(const struct errand *errand, int report_fd) {
    struct said said = { 0 };
    int fd = -1;

    said.error = enter(errand->netns_fd);
    if (said.error == 0)
        said.error = become_nobody();
    if (said.error == 0 && errand->socket) {
        fd = socket(errand->socket->family, errand->socket->type | SOCK_CLOEXEC, 0);
        said.error = fd < 0 ? -errno : 0;
    } else if (said.error == 0) {
        canary(&said);
    }
    _exit(weir_helper_send(report_fd, &said, sizeof(said), &fd, fd >= 0) == 0 ? 0 : 1);
}

/* A frozen pod freezes its child too. */
static int hear(int report_fd, struct said *said, int *ret_fd) {
    struct pollfd p = { .fd = report_fd, .events = POLLIN };
    int fds[WEIR_HELPER_FDS];
    unsigned n = 0;
    int r;

    do
        r = poll(&p, 1, CHILD_PATIENCE_MS);
    while (r < 0 && errno == EINTR);
    if (r != 1)
        return r < 0 ? -errno : -ETIMEDOUT;
    r = weir_helper_receive(report_fd, said, sizeof(*said), fds, &n);
    if (r)
        return r == -EPIPE ? -ESRCH : r; /* it was ended in there */
    if (n == 1)
        *ret_fd = fds[0];
    return said->error;
}

static int send_child(int cgroup_fd, const struct errand *errand, struct said *said, int *ret_fd) {
    struct clone_args args = { .flags = CLONE_INTO_CGROUP,
                               .exit_signal = SIGCHLD,
                               .cgroup = (uint64_t)cgroup_fd };
    int ends[2], r;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        child(errand, ends[1]);
    r = pid < 0 ? -errno : 0;
    close(ends[1]);
    if (r == 0)
        r = hear(ends[0], said, ret_fd);
    close(ends[0]);
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return r;
}

int weir_enter_socket(int cgroup_fd, int netns_fd, const struct weir_helper_request *request,
                      int *ret_fd) {
    const struct errand errand = { netns_fd, request };
    struct said said;
    int fd = -1, r = send_child(cgroup_fd, &errand, &said, &fd);

    if (r == 0 && fd < 0)
        r = -EPROTO;
    if (r == 0)
        *ret_fd = fd;
    return r;
}

int weir_enter_canary(int cgroup_fd, int netns_fd, struct weir_canary *ret) {
    const struct errand errand = { netns_fd, NULL };
    struct said said;
    int fd = -1, r = send_child(cgroup_fd, &errand, &said, &fd);

    if (r == 0)
        *ret = (struct weir_canary){ said.v4, said.v6 };
    return r;
}
