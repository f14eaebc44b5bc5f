/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialling: a connect() with a deadline. What goes wrong at the other end (or on the way) is told
 * by the stream's `error` event, never from within the call; what is our own lack (descriptors,
 * memory, ports) is the call's result.
 */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/addr.h"
#include "io/tcp.h"

static void on_timer_closed(uv_handle_t *handle) {
    weir_free(handle->data);
}

static void let_go(struct weir_tcp_dial *d) {
    d->tcp->dial = NULL;
    weir_list_unlink(&d->parked);
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

void weir_tcp_dial_cancel(struct weir_tcp_dial *d) {
    uv_timer_stop(&d->timer);
    if (!d->pending)
        let_go(d);
    /* Otherwise closing the handle makes libuv call on_connect with UV_ECANCELED, before the
     * handle's own close. */
}

static struct weir_fault fault_of(int err) {
    return err == -ETIMEDOUT ? WEIR_FAULT(UPSTREAM, TIMEOUT_CONNECT)
                             : WEIR_FAULT(UPSTREAM, CONNECT_FAILED);
}

static void on_connect(uv_connect_t *req, int status) {
    struct weir_tcp_dial *d = WEIR_CONTAINER_OF(req, struct weir_tcp_dial, req);
    struct weir_tcp *t = d->tcp;

    d->pending = false;
    let_go(d);
    if (t->closing || t->failed)
        return;
    if (status < 0)
        weir_tcp_fail(t, fault_of(status));
    else
        weir_tcp_connected(t);
}

static void on_timeout(uv_timer_t *timer) {
    struct weir_tcp_dial *d = timer->data;
    struct weir_tcp *t = d->tcp;

    if (d->there) {
        let_go(d);
        weir_tcp_connected(t);
        return;
    }
    weir_tcp_fail(d->tcp, d->err ? fault_of(d->err) : WEIR_FAULT(UPSTREAM, TIMEOUT_CONNECT));
}

bool weir_tcp_own_lack(int err) {
    return err == UV_EMFILE || err == UV_ENFILE || err == UV_ENOMEM || err == UV_ENOBUFS ||
           err == UV_EADDRNOTAVAIL;
}

/* 0, -errno of connect() or of our lack; -ENODATA: there is no socket yet. */
static int begin(struct weir_tcp_dial *d) {
    struct weir_tcp *t = d->tcp;
    int r;

    if (t->loop->sockets) {
        int fd = weir_loop_socket(t->loop, d->to.ss_family);

        if (fd < 0)
            return fd;
        r = uv_tcp_open(&t->uv, fd);
        if (r < 0) {
            close(fd);
            return r;
        }
    }
    uv_tcp_nodelay(&t->uv, 1); /* without a socket kept by the handle until that is made */
    if (d->keepalive_s)
        uv_tcp_keepalive(&t->uv, 1, d->keepalive_s);
    r = uv_tcp_connect(&d->req, &t->uv, (const struct sockaddr *)&d->to, on_connect);
    d->pending = r == 0;
    return r;
}

void weir_dials_resume(struct weir_loop *loop) {
    WEIR_LIST_FOREACH_SAFE (it, next, &loop->parked) {
        struct weir_tcp_dial *d = WEIR_CONTAINER_OF(it, struct weir_tcp_dial, parked);
        int r = d->tcp->failed || d->tcp->closing ? 0 : begin(d);

        if (r == -ENODATA)
            continue;
        weir_list_unlink(&d->parked);
        d->err = r;
        if (r < 0)
            uv_timer_start(&d->timer, on_timeout, 0, 0);
    }
}

/*
 * connect() to a unix socket is done at once or fails, with EAGAIN when the backlog is full. The handle takes the socket as one of TCP; nothing is asked of it that only TCP has. 0, -errno.
 */
static int begin_unix(struct weir_tcp_dial *d, const char *path) {
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    size_t n = strlen(path);
    int fd, r;

    if (n == 0 || n >= sizeof(sun.sun_path))
        return -ENAMETOOLONG;
    memcpy(sun.sun_path, path, n + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    r = connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ? -errno
                                                                    : uv_tcp_open(&d->tcp->uv, fd);
    if (r < 0)
        close(fd);
    d->there = r == 0;
    return r;
}

static int start(struct weir_tcp *t, const struct weir_dial *dial) {
    struct weir_tcp_dial *d = weir_calloc(1, sizeof(*d));
    uint64_t ms = (dial->timeout_us + 999) / 1000;
    int r;

    if (!d)
        return -ENOMEM;
    d->tcp = t;
    t->dial = d;
    uv_timer_init(&t->loop->uv, &d->timer);
    d->timer.data = d;
    d->keepalive_s = dial->keepalive_s;
    weir_list_init(&d->parked);
    weir_addr_to_sockaddr(&dial->ip, dial->port, &d->to);
    r = dial->path ? begin_unix(d, dial->path) : begin(d);
    if (r < 0 && (dial->path || weir_tcp_own_lack(r)))
        return r;
    if (r == -ENODATA) {
        weir_list_push_back(&t->loop->parked, &d->parked);
        r = 0;
    }
    d->err = r;
    uv_update_time(&t->loop->uv);
    uv_timer_start(&d->timer, on_timeout, r < 0 || d->there ? 0 : ms, 0);
    return 0;
}

int weir_loop_dial(struct weir_loop *loop, const struct weir_dial *dial,
                   struct weir_stream **ret_stream) {
    struct weir_tcp *t;
    int r;

    if (loop->stopping)
        return -ECANCELED;
    t = weir_tcp_new(loop, WEIR_SIDE_UPSTREAM);
    if (!t)
        return -ENOMEM;
    t->remote = dial->ip;
    t->remote_port = dial->port;
    r = dial->n_others > 0 ? weir_tcp_race_start(t, dial) : start(t, dial);
    if (r < 0) {
        weir_stream_close(&t->base, false);
        return r;
    }
    *ret_stream = &t->base;
    return 0;
}
