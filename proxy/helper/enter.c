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
#include <netinet/tcp.h>
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
#include "sys/packet.h"
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
    int fds[WEIR_PACKET_FDS];
    unsigned n_fds;
};

struct errand {
    int netns_fd;
    void (*deed)(const struct weir_helper_request *request, struct said *said);
    const struct weir_helper_request *request;
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

static void canary(const struct weir_helper_request *request, struct said *said) {
    const struct weir_addr v4 = WEIR_CANARY_V4, v6 = WEIR_CANARY_V6;
    struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(WEIR_CANARY_PORT) };
    struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(WEIR_CANARY_PORT) };

    (void)request;
    memcpy(&to4.sin_addr, &v4.w[3], sizeof(to4.sin_addr));
    memcpy(&to6.sin6_addr, &v6, sizeof(to6.sin6_addr));
    said->v4 = canary_call(AF_INET, (struct sockaddr *)&to4, sizeof(to4));
    said->v6 = canary_call(AF_INET6, (struct sockaddr *)&to6, sizeof(to6));
}

/* As many as were asked for, or as there can be. */
static void sockets(const struct weir_helper_request *request, struct said *said) {
    while (said->error == 0 && said->n_fds < request->count) {
        int fd = socket(request->family, request->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd >= 0)
            said->fds[said->n_fds++] = fd;
        else if (said->n_fds > 0)
            break;
        else
            said->error = -errno;
    }
}

static int set(int fd, int level, int name) {
    const int on = 1;

    return setsockopt(fd, level, name, &on, sizeof(on)) < 0 ? -errno : 0;
}

/* What arrives from outside is steered there whatever its address; the others are for the pod's own processes. */
static int listener(int family, uint16_t port) {
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    bool any = port == WEIR_PORT_INBOUND, is_v4 = family == AF_INET;
    const struct sockaddr *at = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    v4.sin_addr.s_addr = htonl(any ? INADDR_ANY : INADDR_LOOPBACK);
    v6.sin6_addr = any ? (struct in6_addr)IN6ADDR_ANY_INIT : (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    r = set(fd, SOL_SOCKET, SO_REUSEADDR);
    if (r == 0 && !is_v4)
        r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (r == 0) /* what is accepted inherits it */
        r = set(fd, IPPROTO_TCP, TCP_NODELAY);
    if (r == 0 && bind(fd, at, is_v4 ? sizeof(v4) : sizeof(v6)) < 0)
        r = -errno;
    if (r == 0 && listen(fd, SOMAXCONN) < 0)
        r = -errno;
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

/* IPv4 first. A pod may lack IPv6. */
static void listeners(const struct weir_helper_request *request, struct said *said) {
    int v4 = listener(AF_INET, (uint16_t)request->port);
    int v6 = v4 < 0 ? v4 : listener(AF_INET6, (uint16_t)request->port);

    if (v4 >= 0)
        said->fds[said->n_fds++] = v4;
    if (v6 >= 0)
        said->fds[said->n_fds++] = v6;
    else if (v6 != -EAFNOSUPPORT && v6 != -EADDRNOTAVAIL)
        said->error = v6;
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

    said.error = enter(errand->netns_fd);
    if (said.error == 0)
        said.error = become_nobody();
    if (said.error == 0)
        errand->deed(errand->request, &said);
    if (said.error)
        said.n_fds = 0;
    _exit(weir_packet_send(report_fd, &said, sizeof(said), said.fds, said.n_fds) == 0 ? 0 : 1);
}

/* A frozen pod freezes its child too. */
static int hear(int report_fd, struct said *said) {
    struct pollfd p = { .fd = report_fd, .events = POLLIN };
    int fds[WEIR_PACKET_FDS], r;
    unsigned n = WEIR_PACKET_FDS;

    do
        r = poll(&p, 1, CHILD_PATIENCE_MS);
    while (r < 0 && errno == EINTR);
    if (r != 1)
        return r < 0 ? -errno : -ETIMEDOUT;
    r = weir_packet_receive(report_fd, said, sizeof(*said), fds, &n);
    if (r)
        return r == -EPIPE ? -ESRCH : r; /* it was ended in there */
    memcpy(said->fds, fds, n * sizeof(int));
    said->n_fds = n;
    return said->error;
}

static int send_child(int cgroup_fd, const struct errand *errand, struct said *said) {
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
        r = hear(ends[0], said);
    close(ends[0]);
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return r;
}

static int fetch(int cgroup_fd, const struct errand *errand, int *ret_fds, unsigned *ret_n) {
    struct said said = { 0 };
    int r = send_child(cgroup_fd, errand, &said);

    if (r == 0 && said.n_fds == 0)
        r = -EPROTO;
    if (r)
        return r;
    memcpy(ret_fds, said.fds, said.n_fds * sizeof(int));
    *ret_n = said.n_fds;
    return 0;
}

int weir_enter_sockets(int cgroup_fd, int netns_fd, const struct weir_helper_request *request,
                       int *ret_fds, unsigned *ret_n) {
    const struct errand errand = { netns_fd, sockets, request };

    return fetch(cgroup_fd, &errand, ret_fds, ret_n);
}

int weir_enter_listen(int cgroup_fd, int netns_fd, const struct weir_helper_request *request,
                      int *ret_fds, unsigned *ret_n) {
    const struct errand errand = { netns_fd, listeners, request };

    return fetch(cgroup_fd, &errand, ret_fds, ret_n);
}

int weir_enter_canary(int cgroup_fd, int netns_fd, struct weir_canary *ret) {
    const struct errand errand = { netns_fd, canary, NULL };
    struct said said = { 0 };
    int r = send_child(cgroup_fd, &errand, &said);

    if (r == 0)
        *ret = (struct weir_canary){ said.v4, said.v6 };
    return r;
}
