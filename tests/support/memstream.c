/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's end of an in-memory connection: struct weir_stream with the semantics of io/tcp.c. */
#include <stdio.h>
#include <stdlib.h>

#include "memstate.h"

static struct mem_stream *of(struct weir_stream *s) {
    return (struct mem_stream *)s;
}

bool mem_stream_dead(const struct mem_stream *s) {
    return s->closing || s->failed;
}

void mem_stream_fail(struct mem_stream *s, struct weir_fault fault) {
    if (mem_stream_dead(s))
        return;
    s->failed = true;
    s->conn->net->moved = true;
    weir_list_unlink(&s->deferred);
    s->base.events->error(s->base.arg, fault);
}

void mem_stream_fail_reset(struct mem_stream *s) {
    mem_stream_fail(s,
                    s->conn->client ? WEIR_FAULT(DOWNSTREAM, RESET) : WEIR_FAULT(UPSTREAM, RESET));
}

static void fail_later(struct mem_stream *s) {
    if (!mem_stream_dead(s) && weir_list_empty(&s->deferred)) {
        weir_list_push_back(&s->conn->net->deferred, &s->deferred);
        s->conn->net->moved = true;
    }
}

static void cut(struct mem_stream *s) {
    s->cut = true;
    s->above = false;
    weir_bufq_clear(&s->out);
    if (!s->reading || s->eof)
        fail_later(s);
}

/* What the kernel takes of q now. */
static void take(struct mem_stream *s, struct weir_bufq *q) {
    struct mem_conn *c = s->conn;

    if (q->len == 0)
        return;
    if (c->test_reset || c->test_gone) {
        weir_bufq_clear(q);
        cut(s);
        return;
    }
    while (q->len > 0 && c->to_test.len < c->room) {
        struct iovec iov;
        size_t n;

        weir_bufq_peek(q, &iov, 1);
        n = c->room - c->to_test.len;
        if (n > iov.iov_len)
            n = iov.iov_len;
        mem_bytes_add(&c->to_test, iov.iov_base, n);
        weir_bufq_consume(q, n);
        s->base.bytes_out += n;
        c->net->moved = true;
    }
}

static void take_fin(struct mem_stream *s) {
    if (s->fin_wanted && s->connected && s->out.len == 0 && !s->cut && !s->conn->proxy_fin) {
        s->conn->proxy_fin = true;
        s->conn->net->moved = true;
    }
}

void mem_stream_flush(struct mem_stream *s) {
    take(s, &s->out);
    take_fin(s);
}

static void stream_read_start(struct weir_stream *s) {
    of(s)->reading = true;
}

static void stream_read_stop(struct weir_stream *s) {
    of(s)->reading = false;
    if (of(s)->cut)
        fail_later(of(s));
}

static size_t stream_pending(const struct weir_stream *s) {
    return ((const struct mem_stream *)s)->out.len;
}

static int stream_write(struct weir_stream *base, struct weir_bufq *q) {
    struct mem_stream *s = of(base);
    int r;

    if (s->fin_wanted && q->len > 0 && !mem_stream_dead(s))
        mem_die("write after shutdown");
    if (s->connected && s->out.len == 0 && !s->cut && !mem_stream_dead(s))
        take(s, q);
    if (s->cut || mem_stream_dead(s))
        weir_bufq_clear(q);
    if (q->len == 0)
        return 0;
    r = weir_bufq_move(&s->out, q, q->len);
    if (r < 0)
        return r;
    if (s->out.len > WEIR_STREAM_LOW_MARK)
        s->above = true;
    return 0;
}

static void stream_shutdown(struct weir_stream *s) {
    if (of(s)->cut || mem_stream_dead(of(s)))
        return;
    of(s)->fin_wanted = true;
    take_fin(of(s));
}

static void stream_close(struct weir_stream *base, bool reset) {
    struct mem_stream *s = of(base);
    struct mem_conn *c = s->conn;

    if (s->closing)
        return;
    s->closing = true;
    weir_list_unlink(&s->deferred);
    weir_bufq_clear(&s->out);
    /* Linux resets as well when it has received bytes that nobody read. */
    c->net->moved = true;
    if (reset || c->to_proxy.len + c->unsent.len > 0)
        c->proxy_reset = true;
    else
        c->proxy_fin = true;
    if (reset)
        c->to_test.len = 0;
}

static void stream_info(struct weir_stream *s, struct weir_stream_info *ret_info) {
    *ret_info = of(s)->conn->info;
}

static uint8_t stream_first(struct weir_stream *s, uint8_t spoke) {
    struct mem_conn *c = of(s)->conn;

    if (spoke)
        c->spoke = spoke;
    return c->first;
}

static const struct weir_stream_ops stream_ops = {
    .name = "memory",
    .read_start = stream_read_start,
    .read_stop = stream_read_stop,
    .write = stream_write,
    .shutdown = stream_shutdown,
    .close = stream_close,
    .pending = stream_pending,
    .info = stream_info,
    .first = stream_first,
};

struct mem_stream *mem_stream_new(struct mem_conn *c) {
    struct mem_stream *s = calloc(1, sizeof(*s));

    if (!s)
        mem_die("no memory");
    s->base.ops = &stream_ops;
    s->conn = c;
    weir_list_init(&s->deferred);
    weir_bufq_init(&s->out, &c->net->pool, 0);
    c->stream = s;
    c->net->n_streams++;
    return s;
}
