/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the socket tests of io: one loop that the test turns by hand, streams that note what they are
 * told, and plain sockets on loopback as the other end. Nothing here waits for a time: a test that
 * never gets what it wants hangs, and meson's time limit ends it.
 */
#ifndef WEIR_TEST_IO_SOCK_H
#define WEIR_TEST_IO_SOCK_H

#include "weir_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <uv.h>

#include "io/loop.h"

struct end {
    struct fix *f;
    struct weir_stream *s; /* NULL after `closed` */
    struct weir_bufq got;  /* by reference: no copy, as core does it */
    unsigned n_open, n_read, n_eof, n_drain, n_error, n_closed;
    size_t n_bytes;
    struct weir_fault fault;
    bool in_call; /* within a call of ours: no event may come */
    bool drop;    /* do not keep what was read */
    bool echo;
    bool close_in_read;
    void (*in_read)(struct end *e);
    bool close_in_error;
    bool wake_in_closed;
    char text[64 * 1024];
};

struct fix {
    struct weir_chunk_pool pool;
    struct weir_loop *loop;
    struct weir_net *net;
    uint16_t port;
    struct end a[8]; /* accepted, in order */
    unsigned n_accept;
    struct end b; /* dialled */
    bool paused_reads;
    unsigned n_turn, n_tick, n_posted;
    unsigned wake_again; /* times `turn` asks for another */
    unsigned stop_at_tick, stop_at_turn, stop_at_post;
    void (*in_accept)(struct fix *f, struct end *e);
    void (*in_turn)(struct fix *f);
};

static WEIR_UNUSED void on_open(void *arg) {
    struct end *e = arg;

    assert_false(e->in_call);
    e->n_open++;
}

static WEIR_UNUSED void on_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct end *e = arg;

    assert_false(e->in_call);
    assert_true(bytes.len > 0);
    e->n_read++;
    e->n_bytes += bytes.len;
    if (e->echo) {
        struct weir_bufq q;

        weir_bufq_init(&q, e->f->net->pool, 0);
        assert_int_equal(weir_bufq_append_ref(&q, chunk, bytes), 0);
        e->in_call = true;
        assert_int_equal(weir_stream_write(e->s, &q), 0);
        e->in_call = false;
        assert_int_equal(q.len, 0);
        weir_bufq_deinit(&q);
    }
    if (!e->drop)
        assert_int_equal(weir_bufq_append_ref(&e->got, chunk, bytes), 0);
    if (e->in_read)
        e->in_read(e);
    if (e->close_in_read)
        weir_stream_close(e->s, false);
}

static WEIR_UNUSED void on_eof(void *arg) {
    struct end *e = arg;

    assert_false(e->in_call);
    e->n_eof++;
}

static WEIR_UNUSED void on_drain(void *arg) {
    struct end *e = arg;

    assert_false(e->in_call);
    assert_true(weir_stream_pending(e->s) <= WEIR_STREAM_LOW_MARK);
    e->n_drain++;
}

static WEIR_UNUSED void on_error(void *arg, struct weir_fault fault) {
    struct end *e = arg;

    assert_false(e->in_call);
    e->n_error++;
    e->fault = fault;
    if (e->close_in_error)
        weir_stream_close(e->s, false);
}

static WEIR_UNUSED void on_closed(void *arg) {
    struct end *e = arg;

    assert_false(e->in_call);
    e->n_closed++;
    e->s = NULL;
    if (e->wake_in_closed)
        e->f->net->ops->wake(e->f->net);
}

static const struct weir_stream_events end_events = { on_open,  on_read,  on_eof,
                                                      on_drain, on_error, on_closed };

static WEIR_UNUSED void end_own(struct fix *f, struct end *e, struct weir_stream *s) {
    e->f = f;
    e->s = s;
    weir_bufq_init(&e->got, &f->pool, 0);
    s->events = &end_events;
    s->arg = e;
}

static WEIR_UNUSED void on_accept(void *arg, struct weir_stream *s, void *listener_user) {
    struct fix *f = arg;
    struct end *e;

    assert_ptr_equal(listener_user, f);
    assert_true(f->n_accept < WEIR_ARRAY_LEN(f->a));
    e = &f->a[f->n_accept++];
    end_own(f, e, s);
    if (!f->paused_reads)
        weir_stream_read_start(s);
    if (f->in_accept)
        f->in_accept(f, e);
}

static WEIR_UNUSED void on_turn(void *arg) {
    struct fix *f = arg;

    f->n_turn++;
    if (f->wake_again > 0) {
        f->wake_again--;
        f->net->ops->wake(f->net);
    }
    if (f->in_turn)
        f->in_turn(f);
    if (f->n_turn == f->stop_at_turn)
        weir_loop_stop(f->loop);
}

static WEIR_UNUSED void on_tick(void *arg) {
    struct fix *f = arg;

    if (++f->n_tick == f->stop_at_tick)
        weir_loop_stop(f->loop);
}

static WEIR_UNUSED void on_posted(void *arg) {
    struct fix *f = arg;

    if (++f->n_posted == f->stop_at_post)
        weir_loop_stop(f->loop);
}

static const struct weir_net_events fix_events = { on_accept, on_turn, on_tick, on_posted };

static const struct weir_ip loopback4 = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0,
                                            1 } };
static const struct weir_ip loopback6 WEIR_UNUSED = { { [15] = 1 } };

static WEIR_UNUSED void fix_listen(struct fix *f) {
    struct weir_listen listen_ = { .ip = loopback4, .user = f };

    assert_int_equal(weir_loop_listen(f->loop, &listen_, &f->port), 0);
    assert_int_not_equal(f->port, 0);
}

static WEIR_UNUSED int fix_setup(void **state) {
    struct fix *f = calloc(1, sizeof(*f));

    signal(SIGPIPE, SIG_IGN); /* turns are run by hand, not by weir_loop_run */
    weir_chunk_pool_init(&f->pool, 4);
    assert_int_equal(weir_loop_new(&f->pool, &f->loop), 0);
    f->net = weir_loop_net(f->loop);
    f->net->events = &fix_events;
    f->net->arg = f;
    *state = f;
    return 0;
}

static WEIR_UNUSED int fix_setup_listening(void **state) {
    fix_setup(state);
    fix_listen(*state);
    return 0;
}

static WEIR_UNUSED int fix_teardown(void **state) {
    struct fix *f = *state;

    weir_loop_stop(f->loop);
    weir_loop_run(f->loop);
    for (unsigned i = 0; i < f->n_accept; i++) {
        assert_int_equal(f->a[i].n_closed, 1);
        weir_bufq_deinit(&f->a[i].got);
    }
    if (f->b.f)
        weir_bufq_deinit(&f->b.got);
    weir_loop_free(f->loop);
    weir_chunk_pool_deinit(&f->pool); /* asserts that no chunk is out */
    free(f);
    return 0;
}

/* One turn that blocks until something happens. */
static WEIR_UNUSED void turn(struct fix *f) {
    uv_run(weir_loop_uv(f->loop), UV_RUN_ONCE);
}

/* Whatever is ready now. */
static WEIR_UNUSED void turn_now(struct fix *f) {
    uv_run(weir_loop_uv(f->loop), UV_RUN_NOWAIT);
}

/* Waits for the next event, but not long: a timer that is due is none for poll(2). */
static WEIR_UNUSED void rest_a_little(struct fix *f) {
    struct pollfd p = { .fd = uv_backend_fd(weir_loop_uv(f->loop)), .events = POLLIN };

    poll(&p, 1, 5);
}

#define until(f, condition)                                                                        \
    do {                                                                                           \
        for (turn_now(f); !(condition); turn_now(f))                                               \
            rest_a_little(f);                                                                      \
    } while (0)

static WEIR_UNUSED int client(uint16_t port) {
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_port = htons(port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}

/* A client that was accepted as f->a[n_accept - 1]. */
static WEIR_UNUSED int accepted_client(struct fix *f) {
    unsigned n = f->n_accept;
    int fd = client(f->port);

    until(f, f->n_accept > n);
    return fd;
}

static WEIR_UNUSED void client_send(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static WEIR_UNUSED void client_reset(int fd) {
    const struct linger linger = { 1, 0 };

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fd);
}

/* Reads n bytes while the loop turns. */
static WEIR_UNUSED void client_receive(struct fix *f, int fd, char *buf, size_t n) {
    size_t got = 0;

    while (got < n) {
        ssize_t r = recv(fd, buf + got, n - got, MSG_DONTWAIT);

        if (r > 0)
            got += (size_t)r;
        else if (r < 0 && errno == EAGAIN)
            turn_now(f);
        else
            fail_msg("recv: %zd, %s", r, r < 0 ? strerror(errno) : "end");
    }
}

/* How the connection ends for the client: 0 = FIN, or errno. */
static WEIR_UNUSED int client_end(struct fix *f, int fd) {
    for (;;) {
        char buf[4096];
        ssize_t r = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (r == 0)
            return 0;
        if (r < 0 && errno != EAGAIN)
            return errno;
        if (r < 0)
            turn_now(f);
    }
}

static WEIR_UNUSED int end_write(struct end *e, const char *ptr, size_t n) {
    struct weir_bufq q;
    int r;

    weir_bufq_init(&q, &e->f->pool, 0);
    assert_int_equal(weir_bufq_append(&q, weir_slice_make(ptr, n)), 0);
    e->in_call = true;
    r = weir_stream_write(e->s, &q);
    e->in_call = false;
    if (r == 0)
        assert_int_equal(q.len, 0);
    weir_bufq_deinit(&q);
    return r;
}

static WEIR_UNUSED void end_write_text(struct end *e, const char *text) {
    assert_int_equal(end_write(e, text, strlen(text)), 0);
}

static WEIR_UNUSED const struct weir_dial *dial_to(struct weir_dial *d, uint16_t port) {
    *d = (struct weir_dial){ .ip = loopback4, .port = port, .timeout_us = 60 * 1000000u };
    return d;
}

static WEIR_UNUSED void dial(struct fix *f, const struct weir_dial *d) {
    struct weir_stream *s;

    f->b.in_call = true;
    assert_int_equal(f->net->ops->dial(f->net, d, &s), 0);
    end_own(f, &f->b, s);
    f->b.in_call = false;
}

#endif
