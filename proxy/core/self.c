/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ends of one connection in memory, each a stream: what one writes is copied to the other and delivered in the worker's turn, never from
 * within a call. Bytes that the other end has not read are `pending`, as those in a socket's buffer are. Each end goes
 * when it was closed and told so; the other then sees the end of the bytes, or a reset.
 */
#include "core/self.h"

#include "base/mem.h"
#include "core/down.h"

struct end {
    struct weir_stream base; /* first */
    struct weir_list node;   /* in worker->selves */
    struct weir_list due;    /* in worker->selves_due while something is to be delivered */
    struct weir_worker *worker;
    struct end *other; /* NULL = gone */
    struct weir_bufq in;
    struct weir_tls_ctx *identity; /* that the other end's owner has; NULL = none */
    struct weir_ip ip;
    uint16_t local_port, remote_port;
    bool is_up; /* the outbound side's end */
    bool opening, reading, gone, fin, eof_told, reset, failed, above, drained, closing;
};

static struct end *of(struct weir_stream *s) {
    return (struct end *)s;
}

static void make_due(struct end *e) {
    if (!weir_list_empty(&e->due))
        return;
    weir_list_push_back(&e->worker->selves_due, &e->due);
    e->worker->net->ops->wake(e->worker->net);
}

static void read_start(struct weir_stream *s) {
    of(s)->reading = true;
    make_due(of(s));
}

static void read_stop(struct weir_stream *s) {
    of(s)->reading = false;
}

static int write_to(struct weir_stream *s, struct weir_bufq *q) {
    struct end *e = of(s), *to = e->other;

    /* Copied: a reader may keep its chunk and change what is in it. */
    while (to && !to->closing && !e->closing && q->len > 0) {
        struct iovec iov;

        weir_bufq_peek(q, &iov, 1);
        if (weir_bufq_append(&to->in, weir_slice_make(iov.iov_base, iov.iov_len)) < 0)
            return -ENOMEM;
        weir_bufq_consume(q, iov.iov_len);
        s->bytes_out += iov.iov_len;
        make_due(to);
    }
    weir_bufq_clear(q);
    if (to && to->in.len > WEIR_STREAM_LOW_MARK)
        e->above = true;
    return 0;
}

static void shut(struct weir_stream *s) {
    if (of(s)->other) {
        of(s)->other->fin = true;
        make_due(of(s)->other);
    }
}

static void end_free(struct end *e) {
    weir_list_unlink(&e->due);
    weir_list_unlink(&e->node);
    weir_bufq_deinit(&e->in);
    weir_tls_ctx_unref(e->identity);
    weir_free(e);
}

static void close_end(struct weir_stream *s, bool reset) {
    struct end *e = of(s), *other = e->other;

    if (e->closing)
        return;
    e->closing = true;
    if (e->opening && other) { /* nobody has got to know it yet */
        end_free(other);
        e->other = other = NULL;
    }
    if (other) {
        /* As a kernel does: what nobody has read, or will, makes it a reset. */
        other->reset = reset || e->in.len > 0;
        other->fin = other->gone = true;
        other->other = NULL;
        e->other = NULL;
        make_due(other);
    }
    make_due(e);
}

static size_t pending(const struct weir_stream *s) {
    const struct end *other = ((const struct end *)s)->other;

    return other ? other->in.len : 0;
}

static void info(struct weir_stream *s, struct weir_stream_info *ret) {
    const struct end *e = of(s);

    *ret = (struct weir_stream_info){ .local = e->ip,
                                      .remote = e->ip,
                                      .local_port = e->local_port,
                                      .remote_port = e->remote_port,
                                      .peer_hash = "",
                                      .fault_reason = "" };
    if (e->identity)
        ret->peer = weir_tls_ctx_identity(e->identity);
}

static const struct weir_stream_ops ops = {
    .name = "self",
    .read_start = read_start,
    .read_stop = read_stop,
    .write = write_to,
    .shutdown = shut,
    .close = close_end,
    .pending = pending,
    .info = info,
};

static struct end *end_new(struct weir_worker *w, const struct weir_dial *d, bool is_up) {
    struct end *e = weir_calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    e->base.ops = &ops;
    e->worker = w;
    e->ip = d->ip;
    e->is_up = is_up;
    weir_list_init(&e->due);
    weir_list_push_back(&w->selves, &e->node);
    weir_bufq_init(&e->in, w->pool, 0);
    *(is_up ? &e->remote_port : &e->local_port) = d->port;
    return e;
}

bool weir_self_is(const struct weir_worker *w, const struct weir_lb_endpoint *e) {
    struct weir_runtime *rt = w->epoch->rt;
    const struct weir_pod *pod = e->conf ? e->conf->pod : NULL;

    return pod && rt->pod && strcmp(pod->meta.name, rt->pod->meta.name) == 0 &&
           strcmp(pod->meta.namespace_, rt->pod->meta.namespace_) == 0 &&
           weir_runtime_inbound(rt, e->port) != NULL;
}

int weir_self_dial(struct weir_worker *w, const struct weir_dial *d,
                   struct weir_stream **ret_stream) {
    struct end *up = end_new(w, d, true), *in = end_new(w, d, false);

    if (!up || !in) {
        if (up)
            end_free(up);
        if (in)
            end_free(in);
        return -ENOMEM;
    }
    up->other = in;
    in->other = up;
    up->opening = true;
    if (w->epoch->rt->tls.mesh_server)
        in->identity = weir_tls_ctx_ref(w->epoch->rt->tls.mesh_server);
    make_due(up);
    *ret_stream = &up->base;
    return 0;
}

/* The far end is accepted when the near one opens. */
static void open_both(struct end *up) {
    static const struct weir_listener inbound = { .dir = WEIR_DIR_INBOUND };
    struct end *in = up->other;

    up->opening = false;
    if (in)
        weir_down_accept(up->worker, &in->base, &inbound);
    if (!up->closing)
        up->base.events->open(up->base.arg);
}

static void deliver_bytes(struct end *e) {
    while (e->reading && !e->closing && e->in.len > 0) {
        const struct weir_seg seg = e->in.segs[e->in.head & (e->in.cap - 1)];
        struct weir_chunk *chunk = weir_chunk_ref(seg.chunk);

        weir_bufq_consume(&e->in, seg.len);
        e->base.bytes_in += seg.len;
        e->base.events->read(e->base.arg, chunk, weir_slice_make(seg.ptr, seg.len));
        weir_chunk_unref(chunk);
    }
    if (e->other && e->other->above && e->in.len <= WEIR_STREAM_LOW_MARK) {
        e->other->above = false;
        e->other->drained = true;
        make_due(e->other);
    }
}

static void deliver(struct end *e) {
    if (!e->base.events) /* not accepted yet */
        return;
    if (e->opening && !e->closing)
        open_both(e);
    if (e->drained && !e->closing) {
        e->drained = false;
        e->base.events->drain(e->base.arg);
    }
    /* Nobody is there any more: an owner that does not leave at the end of the bytes is told so. */
    if ((e->reset || (e->gone && e->eof_told)) && !e->closing && !e->failed) {
        e->failed = true;
        weir_bufq_clear(&e->in);
        e->base.events->error(e->base.arg, e->is_up ? WEIR_FAULT(UPSTREAM, RESET)
                                                    : WEIR_FAULT(DOWNSTREAM, RESET));
    }
    if (!e->closing)
        deliver_bytes(e);
    if (!e->closing && !e->failed && e->fin && e->in.len == 0 && e->reading && !e->eof_told) {
        e->eof_told = true;
        e->base.events->eof(e->base.arg);
        if (e->gone)
            make_due(e);
    }
    if (!e->closing)
        return;
    e->base.events->closed(e->base.arg);
    end_free(e);
}

void weir_self_turn(struct weir_worker *w) {
    struct weir_list batch;

    if (weir_list_empty(&w->selves_due))
        return;
    /* What becomes due meanwhile is for the next turn, which its wake has asked for. */
    weir_list_init(&batch);
    batch.next = w->selves_due.next;
    batch.prev = w->selves_due.prev;
    batch.next->prev = batch.prev->next = &batch;
    weir_list_init(&w->selves_due);
    while (!weir_list_empty(&batch)) {
        struct end *e = WEIR_CONTAINER_OF(batch.next, struct end, due);

        weir_list_unlink(&e->due);
        deliver(e);
    }
}

static struct end *living(const struct weir_worker *w) {
    WEIR_LIST_FOREACH (it, &w->selves) {
        struct end *e = WEIR_CONTAINER_OF(it, struct end, node);

        if (e->base.events && !e->closing)
            return e;
    }
    return NULL;
}

void weir_self_stop(struct weir_worker *w) {
    struct end *e;

    /* Each time from the beginning: the far end of one that has not opened goes with it. */
    while ((e = living(w)))
        close_end(&e->base, false);
}
