/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The self-test of joining: every trap that a kernel has shown, over loopback connections of one
 * process, each step waiting for what must come and never longer than a second. Runs in a child
 * whose cgroup is the only pod of private maps, and tries twice: an application with another, both
 * declared, and one that writes to its sidecar. Knows nothing of agents and configuration.
 */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "kern/skel.h"
#include "sys/cgroup.h"

#define POD         1u
#define PATIENCE_MS 1000
#define CHUNK       16384u
/* Beside what is joined, TCP's own buffers may fill. */
#define WRITTEN_MAX (64u * 1024 * 1024)
#define QUEUED_MAX  (WEIR_JOIN_BYTES + 16u * 1024 * 1024)

struct trial {
    const struct weir_bpf *bpf;
    uint64_t app, own; /* cgroups */
    uint32_t pod_flags, meta_flags;
    int listener; /* made in the cgroup of who accepts */
    int a, b;     /* the two ends */
    char *why;
    size_t why_size;
    unsigned char buf[CHUNK];
};

static bool fail(struct trial *t, const char *fmt, ...) WEIR_PRINTF(2, 3);
static bool fail(struct trial *t, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(t->why, t->why_size, fmt, ap);
    va_end(ap);
    return false;
}

static bool set_joining(struct trial *t, bool on) {
    struct weir_cgroup_entry app = { t->app, { .pod = POD, .role = WEIR_ROLE_APP } };
    struct weir_cgroup_entry own = { t->own, { .pod = POD, .role = WEIR_ROLE_PROXY } };
    struct weir_pod_value pod = { .pod = POD, .flags = t->pod_flags };
    struct weir_meta_value meta = { .epoch = 1, .flags = on ? t->meta_flags : 0 };
    int cgroups = bpf_map__fd(t->bpf->maps.weir_cgroup);
    uint32_t id = POD, zero = 0;
    int r = bpf_map_update_elem(cgroups, &t->app, &app, BPF_ANY);

    if (r == 0)
        r = bpf_map_update_elem(cgroups, &t->own, &own, BPF_ANY);
    if (r == 0)
        r = bpf_map_update_elem(bpf_map__fd(t->bpf->maps.weir_pod), &id, &pod, BPF_ANY);
    if (r == 0)
        r = bpf_map_update_elem(bpf_map__fd(t->bpf->maps.weir_meta), &zero, &meta, BPF_ANY);
    return r == 0 || fail(t, "maps: %s", strerror(-r));
}

static void hang_up(struct trial *t) {
    if (t->a >= 0)
        close(t->a);
    if (t->b >= 0)
        close(t->b);
    t->a = t->b = -1;
}

static bool listen_in(struct trial *t, const char *cgroup) {
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int r = weir_cgroup_enter(cgroup, 0);

    if (r < 0)
        return fail(t, "entering the cgroup: %s", strerror(-r));
    t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return (t->listener >= 0 && bind(t->listener, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
            listen(t->listener, 1) == 0) ||
           fail(t, "a loopback listener: %s", strerror(errno));
}

static bool connect_pair(struct trial *t) {
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    bool ok;

    hang_up(t);
    t->a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ok = t->a >= 0 && getsockname(t->listener, (struct sockaddr *)&addr, &len) == 0 &&
         connect(t->a, (struct sockaddr *)&addr, len) == 0;
    if (ok)
        t->b = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC);
    if (!ok || t->b < 0)
        return fail(t, "a loopback connection: %s", strerror(errno));
    fcntl(t->a, F_SETFL, O_NONBLOCK);
    fcntl(t->b, F_SETFL, O_NONBLOCK);
    return true;
}

static uint64_t counted(const struct trial *t, uint32_t reason) {
    uint64_t per_cpu[1024] = { 0 }, sum = 0;
    int n = libbpf_num_possible_cpus();

    if (n <= 0 || n > 1024 ||
        bpf_map_lookup_elem(bpf_map__fd(t->bpf->maps.weir_count), &reason, per_cpu) < 0)
        return 0;
    for (int i = 0; i < n; i++)
        sum += per_cpu[i];
    return sum;
}

static bool send_all(struct trial *t, int fd, size_t n, const char *step) {
    memset(t->buf, 'w', n);
    return send(fd, t->buf, n, MSG_NOSIGNAL) == (ssize_t)n ||
           fail(t, "%s: a write: %s", step, strerror(errno));
}

static bool wait_for(struct trial *t, int fd, const char *step) {
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, PATIENCE_MS) == 1 || fail(t, "%s: nothing came", step);
}

static bool recv_all(struct trial *t, int fd, size_t n, const char *step) {
    while (n > 0) {
        ssize_t got;

        if (!wait_for(t, fd, step))
            return false;
        got = recv(fd, t->buf, n, 0);
        if (got <= 0)
            return fail(t, "%s: %zu bytes are missing", step, n);
        n -= (size_t)got;
    }
    return true;
}

static bool recv_end(struct trial *t, int fd, const char *step) {
    ssize_t n;

    if (!wait_for(t, fd, step))
        return false;
    n = recv(fd, t->buf, sizeof(t->buf), 0);
    return n == 0 || fail(t, "%s: no end (%zd)", step, n);
}

/* ---- the steps ---- */

static bool begins(struct trial *t) {
    uint64_t before = counted(t, WEIR_JOIN_BEGAN);

    return send_all(t, t->a, 100, "joining") && recv_all(t, t->b, 100, "joining") &&
           (counted(t, WEIR_JOIN_BEGAN) == before + 1 || fail(t, "joining: bytes went by TCP"));
}

static unsigned char pattern(uint32_t at) {
    return (unsigned char)((at * 2654435761u) >> 24);
}

/* A reader that does not read, until the writer is stopped; then all of it in its order: joined
 * bytes, behind them what went by TCP, then joined ones again. */
static bool bounded_and_in_order(struct trial *t) {
    struct weir_join_look look = { 0 };
    uint32_t written = 0, at = 0;
    uint64_t before = counted(t, WEIR_JOIN_FULL);

    for (;;) {
        ssize_t n;

        for (uint32_t i = 0; i < CHUNK; i++)
            t->buf[i] = pattern(written + i);
        n = send(t->a, t->buf, CHUNK, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        written += (uint32_t)n;
        if (written > WRITTEN_MAX)
            return fail(t, "bound: %u bytes were taken for a reader that reads nothing", written);
    }
    if (weir_join_look_with(t->bpf, &look) < 0 || look.queued_max == 0 ||
        look.queued_max > QUEUED_MAX)
        return fail(t, "bound: %llu bytes are queued", (unsigned long long)look.queued_max);
    if (counted(t, WEIR_JOIN_FULL) == before)
        return fail(t, "bound: it was never reached");
    while (at < written) {
        ssize_t n;

        if (!wait_for(t, t->b, "order"))
            return false;
        n = recv(t->b, t->buf, CHUNK, 0);
        if (n <= 0)
            return fail(t, "order: %u of %u bytes came", at, written);
        for (ssize_t i = 0; i < n; i++)
            if (t->buf[i] != pattern(at++))
                return fail(t, "order: byte %u is another one", at - 1);
    }
    /* A write that found TCP's buffer full leaves its verdict to the next one; where none did, that
     * one is joined already. */
    before = counted(t, WEIR_JOIN_BEGAN);
    return send_all(t, t->a, 1, "order") && recv_all(t, t->b, 1, "order") &&
           (counted(t, WEIR_JOIN_BEGAN) == before + 1 || begins(t));
}

static bool inq_is(struct trial *t, int fd, int n, const char *step) {
    int found = -1;

    if (!wait_for(t, fd, step))
        return false;
    (void)ioctl(fd, FIONREAD, &found);
    return found == n || fail(t, "%s: FIONREAD says %d of %d", step, found, n);
}

static bool fionread(struct trial *t) {
    return send_all(t, t->a, 7, "FIONREAD") && inq_is(t, t->b, 7, "FIONREAD of joined bytes") &&
           recv_all(t, t->b, 7, "FIONREAD") && set_joining(t, false) &&
           send_all(t, t->a, 9, "FIONREAD") && inq_is(t, t->b, 9, "FIONREAD of TCP bytes") &&
           recv_all(t, t->b, 9, "FIONREAD") && set_joining(t, true);
}

static bool edge(struct trial *t, int ep, const char *step) {
    struct epoll_event e;

    return send_all(t, t->a, 3, step) &&
           (epoll_wait(ep, &e, 1, PATIENCE_MS) == 1 || fail(t, "%s: no edge", step)) &&
           recv_all(t, t->b, 3, step) &&
           (epoll_wait(ep, &e, 1, 0) == 0 || fail(t, "%s: an edge too many", step));
}

static bool edges(struct trial *t) {
    struct epoll_event e = { .events = EPOLLIN | EPOLLET };
    int ep = epoll_create1(EPOLL_CLOEXEC);
    bool ok = ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, t->b, &e) == 0;

    ok = ok && edge(t, ep, "epoll, joined") && edge(t, ep, "epoll, joined") &&
         set_joining(t, false) && edge(t, ep, "epoll, TCP") && edge(t, ep, "epoll, TCP") &&
         set_joining(t, true) && edge(t, ep, "epoll, joined again");
    if (ep >= 0)
        close(ep);
    return ok;
}

static bool half_closes(struct trial *t) {
    return send_all(t, t->a, 5, "half-close") && shutdown(t->a, SHUT_WR) == 0 &&
           recv_all(t, t->b, 5, "half-close") && recv_end(t, t->b, "half-close") &&
           send_all(t, t->b, 6, "half-close, other way") &&
           recv_all(t, t->a, 6, "half-close, other way");
}

static bool closes(struct trial *t) {
    if (!connect_pair(t) || !send_all(t, t->a, 1000, "close"))
        return false;
    close(t->a);
    t->a = -1;
    return recv_all(t, t->b, 1000, "close") && recv_end(t, t->b, "close");
}

/* The socket of an application that is only written through: is what it reads as without? */
static bool unchanged(struct trial *t) {
    return send_all(t, t->b, 11, "FIONREAD") &&
           inq_is(t, t->a, 11, "FIONREAD of an application that only writes") &&
           recv_all(t, t->a, 11, "FIONREAD");
}

static bool lives(struct trial *t) {
    return edges(t) && half_closes(t) && closes(t);
}

static bool readers(struct trial *t, const char *path) {
    t->pod_flags = WEIR_POD_JOIN | WEIR_POD_JOIN_READER;
    t->meta_flags = WEIR_META_JOIN | WEIR_META_JOIN_READERS;
    return listen_in(t, path) && set_joining(t, true) && connect_pair(t) && begins(t) &&
           fionread(t) && bounded_and_in_order(t) && lives(t);
}

static bool writers(struct trial *t, const char *path, const char *own) {
    t->pod_flags = WEIR_POD_JOIN;
    t->meta_flags = WEIR_META_JOIN | WEIR_META_JOIN_WRITERS;
    return listen_in(t, own) && weir_cgroup_enter(path, 0) == 0 && set_joining(t, true) &&
           connect_pair(t) && begins(t) && unchanged(t) && bounded_and_in_order(t) && lives(t);
}

static void clear(struct trial *t, char *why) {
    hang_up(t);
    if (t->listener >= 0)
        close(t->listener);
    t->listener = -1;
    t->why = why;
}

void weir_join_try(const struct weir_bpf *bpf, const char *path, const char *own,
                   struct weir_join_report *ret_report) {
    struct trial t = { .bpf = bpf, .listener = -1, .a = -1, .b = -1 };
    bool found = weir_cgroup_id(path, &t.app) == 0 && weir_cgroup_id(own, &t.own) == 0;

    t.why_size = WEIR_JOIN_WHY_BYTES;
    clear(&t, ret_report->why_readers);
    ret_report->readers = (found || fail(&t, "its cgroups are gone")) && readers(&t, path);
    clear(&t, ret_report->why_writers);
    ret_report->writers = (found || fail(&t, "its cgroups are gone")) && writers(&t, path, own);
    clear(&t, NULL);
}
