/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets. The accept loop is ours and not libuv's for three reasons: accept4() tells the
 * peer's address for free and while the peer is surely still there; accepting can be paused; and
 * running out of descriptors is counted and never spins. Then a spare descriptor is given up for a
 * moment, the waiting client is accepted and closed (it learns at once instead of hanging in the
 * backlog), and when even that fails, accepting rests for RETRY_MS.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/addr.h"
#include "io/handed.h"
#include "io/sockets.h"
#include "io/tcp.h"

#define ACCEPT_BATCH 64
#define RETRY_MS     100

#ifndef SO_ORIGINAL_DST /* linux/netfilter_ipv4.h clashes with netinet/in.h */
#define SO_ORIGINAL_DST 80
#endif
#ifndef IP6T_SO_ORIGINAL_DST
#define IP6T_SO_ORIGINAL_DST 80
#endif

struct weir_listener {
    uv_poll_t poll;
    struct weir_loop *loop;
    struct weir_list link;
    void *user;
    int fd;
    bool original_dst;
    bool closed;
};

static bool ask(int fd, int level, int name, struct sockaddr_storage *ret_sa) {
    socklen_t len = sizeof(*ret_sa);

    return getsockopt(fd, level, name, ret_sa, &len) == 0;
}

/* A v6 socket may carry a v4-mapped flow, whose origin IPv4's option knows. */
static bool find_original(struct weir_tcp *t, int fd, int family) {
    struct sockaddr_storage sa;
    struct weir_ip ip;
    bool v4 = weir_addr_is_v4(&t->remote);

    t->has_original = (v4 && ask(fd, IPPROTO_IP, SO_ORIGINAL_DST, &sa) &&
                       weir_addr_from_sockaddr(&sa, &ip, &t->original_port)) ||
                      (family == AF_INET6 && ask(fd, IPPROTO_IPV6, IP6T_SO_ORIGINAL_DST, &sa) &&
                       weir_addr_from_sockaddr(&sa, &ip, &t->original_port));
    if (t->has_original)
        t->original = ip;
    return t->has_original;
}

static void adopt(struct weir_listener *l, int fd, const struct sockaddr_storage *peer) {
    struct weir_loop *loop = l->loop;
    struct weir_tcp *t = weir_tcp_new(loop, WEIR_SIDE_DOWNSTREAM);

    if (!t) {
        close(fd);
        return;
    }
    weir_addr_from_sockaddr(peer, &t->remote, &t->remote_port);
    if (uv_tcp_open(&t->uv, fd) < 0) {
        close(fd);
        weir_stream_close(&t->base, false);
        return;
    }
    if (l->original_dst && !find_original(t, fd, peer->ss_family)) {
        /* Without it we would have to guess where the bytes are meant to go: refuse. */
        loop->unknown_original++;
        weir_stream_close(&t->base, true);
        return;
    }
    t->connected = true;
    loop->net.events->accept(loop->net.arg, &t->base, l->user);
}

static void rest(struct weir_loop *loop) {
    loop->accept_broken = true;
    weir_listeners_update(loop);
    uv_timer_start(&loop->accept_retry, weir_listeners_retry, RETRY_MS, 0);
}

static int spare_open(void) {
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor is left. True: one waiting client was sent away, there may be more. */
static bool send_away(struct weir_listener *l) {
    struct weir_loop *loop = l->loop;
    int fd;

    if (loop->spare_fd < 0)
        return false;
    close(loop->spare_fd);
    fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        loop->refused_no_fd++;
        close(fd);
    }
    /* Another thread may have been faster; then the next time we rest. */
    loop->spare_fd = spare_open();
    return fd >= 0;
}

/* True: go on accepting. */
static bool accept_failed(struct weir_listener *l, int err) {
    switch (err) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        if (send_away(l))
            return true;
        rest(l->loop);
        return false;
    case ENOMEM:
    case ENOBUFS:
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
        rest(l->loop);
        return false;
    default:
        /* The client's connection died in the backlog (accept(2) lists the network errors): the
         * next may be well. */
        return true;
    }
}

static bool accepting(const struct weir_loop *loop) {
    return !loop->paused && !loop->accept_broken && !loop->stopping;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct weir_listener *l = poll->data;

    if (status < 0) {
        rest(l->loop);
        return;
    }
    /* Bounded, so that a flood of clients does not keep the connected ones waiting; polling is
     * level-triggered. */
    for (int i = 0; i < ACCEPT_BATCH && !l->closed && accepting(l->loop); i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0)
            adopt(l, fd, &peer);
        else if (!accept_failed(l, errno))
            return;
    }
}

void weir_listeners_update(struct weir_loop *loop) {
    WEIR_LIST_FOREACH (it, &loop->listeners) {
        struct weir_listener *l = WEIR_CONTAINER_OF(it, struct weir_listener, link);

        if (accepting(loop))
            uv_poll_start(&l->poll, UV_READABLE, on_poll);
        else
            uv_poll_stop(&l->poll);
    }
}

void weir_listeners_retry(uv_timer_t *timer) {
    struct weir_loop *loop = timer->data;

    if (loop->spare_fd < 0)
        loop->spare_fd = spare_open();
    loop->accept_broken = false;
    weir_listeners_update(loop);
}

static void on_listener_closed(uv_handle_t *handle) {
    weir_free(handle->data);
}

static void listener_close(struct weir_listener *l) {
    weir_list_unlink(&l->link);
    l->closed = true;
    uv_close((uv_handle_t *)&l->poll, on_listener_closed);
    close(l->fd);
}

void weir_listeners_close(struct weir_loop *loop) {
    while (!weir_list_empty(&loop->listeners))
        listener_close(WEIR_CONTAINER_OF(loop->listeners.next, struct weir_listener, link));
}

void weir_loop_unlisten(struct weir_loop *loop, const void *user) {
    WEIR_LIST_FOREACH_SAFE (it, next, &loop->listeners) {
        struct weir_listener *l = WEIR_CONTAINER_OF(it, struct weir_listener, link);

        if (l->user == user)
            listener_close(l);
    }
}

static int set(int fd, int level, int name) {
    const int on = 1;

    return setsockopt(fd, level, name, &on, sizeof(on)) < 0 ? -errno : 0;
}

/* A bound and listening socket. -errno or the descriptor. */
static int open_socket(const struct weir_listen *listen_, uint16_t *ret_port) {
    struct sockaddr_storage sa;
    socklen_t len = weir_addr_to_sockaddr(&listen_->ip, listen_->port, &sa);
    struct weir_ip ip;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    r = set(fd, SOL_SOCKET, SO_REUSEADDR);
    if (r == 0 && listen_->reuse_port)
        r = set(fd, SOL_SOCKET, SO_REUSEPORT);
    if (r == 0 && sa.ss_family == AF_INET6)
        r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (r == 0) /* accepted sockets inherit it: no system call for each */
        r = set(fd, IPPROTO_TCP, TCP_NODELAY);
    if (r == 0 && bind(fd, (struct sockaddr *)&sa, len) < 0)
        r = -errno;
    if (r == 0 && listen(fd, listen_->backlog > 0 ? listen_->backlog : SOMAXCONN) < 0)
        r = -errno;
    len = sizeof(sa);
    if (r == 0 && getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    weir_addr_from_sockaddr(&sa, &ip, ret_port);
    return fd;
}

int weir_loop_adopt(struct weir_loop *loop, int fd, const struct weir_listen *listen_) {
    struct weir_listener *l = weir_calloc(1, sizeof(*l));
    int r;

    if (!l)
        return -ENOMEM;
    l->fd = fd;
    r = uv_poll_init(&loop->uv, &l->poll, l->fd);
    if (r < 0) {
        weir_free(l);
        return r;
    }
    l->poll.data = l;
    l->loop = loop;
    l->user = listen_->user;
    l->original_dst = listen_->original_dst;
    weir_list_push_back(&loop->listeners, &l->link);
    weir_listeners_update(loop);
    return 0;
}

/* 0: it listens there. -ENOENT: nothing was handed over for that address. -errno. */
static int adopt_handed(struct weir_loop *loop, const struct weir_listen *listen_) {
    int fd, r;

    while ((fd = weir_handed_next(listen_->handed, &listen_->ip, listen_->port, listen_->number,
                                  listen_->of)) >= 0) {
        r = weir_loop_adopt(loop, fd, listen_);
        if (r < 0) {
            close(fd);
            return r;
        }
    }
    return fd == -EALREADY ? 0 : fd;
}

int weir_loop_listen(struct weir_loop *loop, const struct weir_listen *listen_,
                     uint16_t *ret_port) {
    uint16_t port = listen_->port;
    int fd = -1, r = adopt_handed(loop, listen_);

    if (r == -ENOENT) {
        fd = open_socket(listen_, &port);
        r = fd < 0 ? fd : weir_loop_adopt(loop, fd, listen_);
    }
    if (r < 0 && fd >= 0)
        close(fd);
    if (r == 0 && ret_port)
        *ret_port = port;
    return r;
}
