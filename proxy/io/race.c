/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy eyeballs (RFC 8305 5): a dial with several addresses. The next address is tried when the last one has failed or
 * has not answered for 250 ms; the first to connect becomes the stream, the others are closed. Attempts are bare sockets:
 * the stream's handle gets the winner's, as if it had been dialled alone.
 */
#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/addr.h"
#include "io/tcp.h"

#define SOCKET_MS 10u
#define DELAY_MS  250u /* Connection Attempt Delay, RFC 8305 8 */

struct attempt {
    uv_poll_t poll;
    struct weir_tcp_race *race;
    int fd; /* -1 = over, or not begun */
};

struct weir_tcp_race {
    struct weir_tcp *tcp; /* NULL = decided, or nobody wants it any more */
    uv_timer_t delay, limit;
    struct attempt attempts[WEIR_DIAL_ADDRESSES];
    struct weir_ip ips[WEIR_DIAL_ADDRESSES];
    uint16_t port;
    unsigned n, n_begun, n_running;
    unsigned n_handles; /* not yet closed: the memory goes with the last */
    int err;            /* how the last attempt that failed did */
};

static void on_handle_closed(uv_handle_t *handle) {
    struct weir_tcp_race *r = handle->data;

    if (--r->n_handles == 0)
        weir_free(r);
}

static void attempt_over(struct attempt *a, bool keep_fd) {
    if (a->fd < 0)
        return;
    uv_close((uv_handle_t *)&a->poll, on_handle_closed);
    if (!keep_fd)
        close(a->fd);
    a->fd = -1;
    a->race->n_running--;
}

static void race_over(struct weir_tcp_race *r) {
    r->tcp->race = NULL;
    r->tcp = NULL;
    for (unsigned i = 0; i < r->n_begun; i++)
        attempt_over(&r->attempts[i], false);
    uv_close((uv_handle_t *)&r->delay, on_handle_closed);
    uv_close((uv_handle_t *)&r->limit, on_handle_closed);
}

void weir_tcp_race_cancel(struct weir_tcp_race *r) {
    race_over(r);
}

static void lose(struct weir_tcp_race *r, int err) {
    struct weir_tcp *t = r->tcp;

    race_over(r);
    weir_tcp_fail(t, weir_tcp_own_lack(err) ? WEIR_FAULT(LOCAL, INTERNAL)
                     : err == -ETIMEDOUT    ? WEIR_FAULT(UPSTREAM, TIMEOUT_CONNECT)
                                            : WEIR_FAULT(UPSTREAM, CONNECT_FAILED));
}

static void win(struct attempt *a) {
    struct weir_tcp_race *r = a->race;
    struct weir_tcp *t = r->tcp;
    int fd = a->fd, err;

    t->remote = r->ips[a - r->attempts];
    attempt_over(a, true);
    race_over(r);
    err = uv_tcp_open(&t->uv, fd);
    if (err < 0) {
        close(fd);
        weir_tcp_fail(t, WEIR_FAULT(LOCAL, INTERNAL));
        return;
    }
    uv_tcp_nodelay(&t->uv, 1);
    weir_tcp_connected(t);
}

static void begin_next(struct weir_tcp_race *r);

static void on_writable(uv_poll_t *poll, int status, int events) {
    struct attempt *a = WEIR_CONTAINER_OF(poll, struct attempt, poll);
    struct weir_tcp_race *r = a->race;
    socklen_t len = sizeof(int);
    int err = 0;

    (void)events;
    if (status == 0 && getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (status == 0 && err == 0) {
        win(a);
        return;
    }
    r->err = status < 0 ? status : -err;
    attempt_over(a, false);
    begin_next(r);
}

/* 0 = under way, -errno. */
static int begin(struct weir_tcp_race *r, struct attempt *a, const struct weir_ip *ip) {
    struct sockaddr_storage sa;
    socklen_t len = weir_addr_to_sockaddr(ip, r->port, &sa);
    int err;

    a->race = r;
    a->fd = -1;
    a->poll.data = r;
    err = weir_loop_socket(r->tcp->loop, sa.ss_family);
    if (err < 0)
        return err;
    a->fd = err;
    err =
        connect(a->fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS ? -errno : 0;
    if (err == 0)
        err = uv_poll_init(&r->tcp->loop->uv, &a->poll, a->fd);
    if (err < 0) {
        close(a->fd);
        a->fd = -1;
        return err;
    }
    r->n_handles++;
    r->n_running++;
    return uv_poll_start(&a->poll, UV_WRITABLE, on_writable);
}

static void on_delay(uv_timer_t *timer) {
    begin_next(timer->data);
}

/* One attempt more; where it fails at once, the one behind it. All failed: the dial has. */
static void begin_next(struct weir_tcp_race *r) {
    while (r->n_begun < r->n) {
        struct attempt *a = &r->attempts[r->n_begun];
        int err = begin(r, a, &r->ips[r->n_begun++]);

        if (err == 0) {
            uv_timer_start(&r->delay, on_delay, DELAY_MS, 0);
            return;
        }
        if (err == -ENODATA) { /* one has been asked for */
            r->n_begun--;
            uv_timer_start(&r->delay, on_delay, SOCKET_MS, 0);
            return;
        }
        r->err = err;
    }
    uv_timer_stop(&r->delay);
    if (r->n_running == 0)
        lose(r, r->err);
}

static void on_limit(uv_timer_t *timer) {
    lose(timer->data, -ETIMEDOUT);
}

int weir_tcp_race_start(struct weir_tcp *t, const struct weir_dial *dial) {
    struct weir_tcp_race *r = weir_calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->tcp = t;
    r->port = dial->port;
    r->ips[r->n++] = dial->ip;
    for (unsigned i = 0; i < dial->n_others && r->n < WEIR_DIAL_ADDRESSES; i++)
        r->ips[r->n++] = dial->others[i];
    uv_timer_init(&t->loop->uv, &r->delay);
    uv_timer_init(&t->loop->uv, &r->limit);
    r->delay.data = r->limit.data = r;
    r->n_handles = 2;
    t->race = r;
    uv_update_time(&t->loop->uv);
    /* What fails at once must not be told from within this call. */
    uv_timer_start(&r->delay, on_delay, 0, 0);
    uv_timer_start(&r->limit, on_limit, (dial->timeout_us + 999) / 1000, 0);
    return 0;
}
