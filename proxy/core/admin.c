/* SPDX-License-Identifier: Apache-2.0 */
#include "core/admin.h"

#include "base/mem.h"

#define CONNS_MAX                                                                                  \
    64u /* one more, and the one with the least time left goes: a crowd locks nobody out */
#define TIME_US                                                                                    \
    (30u * 1000u * 1000u) /* from one answer to the next, slow senders and readers included */

struct admin_conn {
    struct weir_list node;
    struct weir_admin *admin;
    struct weir_stream *stream;
    struct weir_codec *codec;
    struct weir_arena arena;
    struct weir_head head;
    struct weir_cstream *cs;  /* the request being answered */
    struct weir_chunk *chunk; /* lends the head's bytes */
    struct weir_bufq out;
    struct weir_bufq
        held; /* received and not yet looked at: the answers before have to leave first */
    enum weir_admin_scope scope;
    uint64_t due;
    bool closing, eof;
};

static void close_conn(struct admin_conn *c) {
    if (c->closing)
        return;
    c->closing = true;
    weir_list_unlink(&c->node);
    weir_list_push_back(&c->admin->dying, &c->node);
    c->admin->n_conns--;
    weir_stream_close(c->stream, false);
}

/* It has its time from now, and so more than all others. */
static void renew(struct admin_conn *c) {
    c->due = c->admin->net->ops->now(c->admin->net) + TIME_US;
    if (c->closing)
        return;
    weir_list_unlink(&c->node);
    weir_list_push_back(&c->admin->conns, &c->node);
}

/* ---- answering ---- */

static int body_of(struct admin_conn *c, struct weir_slice path, struct weir_bufq *body,
                   const char **ret_type) {
    const struct weir_admin *a = c->admin;
    const char *why = "";

    *ret_type = "text/plain; charset=utf-8";
    if ((c->scope & WEIR_ADMIN_METRICS) && weir_slice_eq(path, WEIR_SLICE("/metrics"))) {
        *ret_type = "text/plain; version=0.0.4; charset=utf-8";
        return a->ops->metrics(a->arg, body) < 0 ? 500 : 200;
    }
    if ((c->scope & WEIR_ADMIN_HEALTH) && weir_slice_eq(path, WEIR_SLICE("/live")))
        return weir_bufq_append(body, WEIR_SLICE("live\n")) < 0 ? 500 : 200;
    if ((c->scope & WEIR_ADMIN_HEALTH) && weir_slice_eq(path, WEIR_SLICE("/ready"))) {
        bool ready = a->ops->ready(a->arg, &why);

        (void)weir_bufq_append(body, weir_slice_from_str(ready ? "ready" : why));
        (void)weir_bufq_append(body, WEIR_SLICE("\n"));
        return ready ? 200 : 503;
    }
    if (c->scope == WEIR_ADMIN_ALL && weir_slice_eq(path, WEIR_SLICE("/status"))) {
        *ret_type = "application/json";
        return a->ops->status(a->arg, body) < 0 ? 500 : 200;
    }
    if (c->scope == WEIR_ADMIN_ALL && weir_slice_eq(path, WEIR_SLICE("/routes"))) {
        int r = a->ops->routes(a->arg, weir_head_query(&c->head), body);

        *ret_type = "application/json";
        return r < 0 ? 500 : r > 0 ? 400 : 200;
    }
    (void)weir_bufq_append(body, WEIR_SLICE("weir: try /metrics /ready /live /status /routes\n"));
    return 404;
}

static int answer(struct admin_conn *c, int status, const char *type, struct weir_bufq *body) {
    bool head_only = c->head.method == WEIR_METHOD_HEAD;
    struct weir_head res;
    int r;

    weir_head_init(&res, &c->arena);
    res.is_response = true;
    res.version = WEIR_HTTP_11;
    res.status = (uint16_t)status;
    res.body = head_only ? WEIR_BODY_NONE : WEIR_BODY_LENGTH;
    res.content_length = body->len;
    r = weir_head_add(&res, WEIR_SLICE("content-type"), weir_slice_from_str(type));
    if (r == 0)
        r = c->codec->ops->send_head(c->codec, c->cs, &res, head_only);
    if (r == 0 && !head_only && body->len > 0)
        r = c->codec->ops->send_data(c->codec, c->cs, body);
    if (r == 0 && !head_only)
        r = c->codec->ops->send_end(c->codec, c->cs, NULL);
    return r;
}

static void respond(struct admin_conn *c) {
    const char *type = "text/plain; charset=utf-8";
    struct weir_bufq body;
    int status;

    weir_bufq_init(&body, c->admin->net->pool, 0);
    if (c->head.method == WEIR_METHOD_GET || c->head.method == WEIR_METHOD_HEAD) {
        status = body_of(c, weir_head_path(&c->head), &body, &type);
    } else {
        status = 405;
        (void)weir_bufq_append(&body, WEIR_SLICE("weir: GET or HEAD only\n"));
    }
    if (answer(c, status, type, &body) < 0)
        close_conn(c);
    weir_bufq_deinit(&body);
}

static void flush(struct admin_conn *c) {
    while (!c->closing && c->codec->want_pull) {
        if (c->codec->ops->pull(c->codec, &c->out) < 0 || weir_stream_write(c->stream, &c->out) < 0)
            close_conn(c);
    }
    if (!c->closing && c->codec->must_close && !c->cs)
        weir_stream_shutdown(c->stream);
}

/* ---- codec events ---- */

static int on_begin(void *arg, struct weir_cstream *cs) {
    struct admin_conn *c = arg;

    weir_arena_reset(&c->arena);
    weir_head_init(&c->head, &c->arena);
    cs->head = &c->head;
    c->cs = cs;
    return 0;
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct admin_conn *c = arg;

    (void)cs;
    c->chunk = chunk ? weir_chunk_ref(chunk) : NULL;
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    (void)arg, (void)cs, (void)chunk, (void)bytes;
}

static void on_end(void *arg, struct weir_cstream *cs) {
    (void)cs;
    respond(arg);
}

static void over(void *arg, struct weir_cstream *cs) {
    struct admin_conn *c = arg;

    (void)cs;
    c->cs = NULL;
    c->chunk = weir_chunk_unref(c->chunk);
    renew(c);
}

static void on_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    (void)fault;
    over(arg, cs);
}

static void on_draining(void *arg) {
    (void)arg;
}

static const struct weir_codec_events codec_events = {
    .begin = on_begin,
    .head = on_head,
    .data = on_data,
    .end = on_end,
    .reset = on_reset,
    .closed = over,
    .draining = on_draining,
};

/* ---- stream events ---- */

static bool may_answer(const struct admin_conn *c) {
    return !c->closing && weir_stream_pending(c->stream) <= WEIR_STREAM_LOW_MARK;
}

static void feed_held(struct admin_conn *c) {
    const struct weir_seg *seg = &c->held.segs[c->held.head & (c->held.cap - 1)];
    struct weir_chunk *chunk = weir_chunk_ref(seg->chunk);
    struct weir_slice bytes = { seg->ptr, seg->len };
    size_t used = 0;
    int r = c->codec->ops->feed(c->codec, chunk, bytes, &used);

    weir_bufq_consume(&c->held, used);
    weir_chunk_unref(chunk);
    if (r != 0 || used == 0)
        close_conn(c);
    else
        flush(c);
}

/* Answers as long as the answers before have left. */
static void proceed(struct admin_conn *c) {
    while (c->held.len > 0 && may_answer(c))
        feed_held(c);
    if (c->closing)
        return;
    if (c->held.len > 0)
        weir_stream_read_stop(c->stream);
    else if (!c->eof)
        weir_stream_read_start(c->stream);
    else if (weir_stream_pending(c->stream) == 0)
        close_conn(c);
}

static void on_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct admin_conn *c = arg;

    if (weir_bufq_append_ref(&c->held, chunk, bytes) < 0)
        close_conn(c);
    else
        proceed(c);
}

static void on_eof(void *arg) {
    struct admin_conn *c = arg;

    c->eof = true;
    proceed(c);
}

static void on_drain(void *arg) {
    proceed(arg);
}

static void on_error(void *arg, struct weir_fault fault) {
    (void)fault;
    close_conn(arg);
}

static void on_ignored(void *arg) {
    (void)arg;
}

static void on_closed(void *arg) {
    struct admin_conn *c = arg;

    if (!c->closing)
        c->admin->n_conns--; /* the loop is being stopped */
    weir_list_unlink(&c->node);
    if (c->codec)
        c->codec->ops->free(c->codec);
    weir_chunk_unref(c->chunk);
    weir_bufq_deinit(&c->out);
    weir_bufq_deinit(&c->held);
    weir_arena_deinit(&c->arena);
    weir_free(c);
}

static const struct weir_stream_events stream_events = {
    .open = on_ignored,
    .read = on_read,
    .eof = on_eof,
    .drain = on_drain,
    .error = on_error,
    .closed = on_closed,
};

static const struct weir_stream_events refused_events = { .closed = on_ignored };

static struct admin_conn *conn_new(struct weir_admin *a, struct weir_stream *s) {
    struct admin_conn *c = weir_calloc(1, sizeof(*c));
    struct weir_codec_params params = {
        .role = WEIR_ROLE_SERVER,
        .events = &codec_events,
        .arg = c,
        .pool = a->net->pool,
        .limits = &weir_codec_limits_default,
    };

    if (!c)
        return NULL;
    c->admin = a;
    c->stream = s;
    weir_list_init(&c->node);
    weir_arena_init(&c->arena, 4096);
    weir_bufq_init(&c->out, a->net->pool, 0);
    weir_bufq_init(&c->held, a->net->pool, 0);
    if (weir_h1_new(&params, &c->codec) < 0)
        return weir_free(c);
    a->n_conns++;
    renew(c);
    return c;
}

static void on_accept(void *arg, struct weir_stream *s, void *user) {
    struct weir_admin *a = arg;
    struct admin_conn *c;

    if (a->n_conns >= CONNS_MAX)
        close_conn(WEIR_CONTAINER_OF(a->conns.next, struct admin_conn, node));
    c = conn_new(a, s);
    if (!c) {
        s->events = &refused_events;
        weir_stream_close(s, true);
        return;
    }
    c->scope = *(const enum weir_admin_scope *)user;
    s->events = &stream_events;
    s->arg = c;
    weir_stream_read_start(s);
    a->net->ops->tick(a->net, true);
}

static void on_tick(void *arg) {
    struct weir_admin *a = arg;
    uint64_t now = a->net->ops->now(a->net);

    WEIR_LIST_FOREACH_SAFE (it, next, &a->conns) {
        struct admin_conn *c = WEIR_CONTAINER_OF(it, struct admin_conn, node);

        if (now >= c->due || (c->eof && weir_stream_pending(c->stream) == 0))
            close_conn(c);
    }
    if (weir_list_empty(&a->conns))
        a->net->ops->tick(a->net, false);
}

static void on_posted(void *arg) {
    struct weir_admin *a = arg;

    a->ops->posted(a->arg);
}

void weir_admin_init(struct weir_admin *a, struct weir_net *net, const struct weir_admin_ops *ops,
                     void *arg) {
    static const struct weir_net_events events = {
        .accept = on_accept, .turn = on_ignored, .tick = on_tick, .posted = on_posted
    };

    a->net = net;
    a->ops = ops;
    a->arg = arg;
    a->n_conns = 0;
    weir_list_init(&a->conns);
    weir_list_init(&a->dying);
    net->events = &events;
    net->arg = a;
}

void weir_admin_close(struct weir_admin *a) {
    WEIR_LIST_FOREACH_SAFE (it, next, &a->conns)
        close_conn(WEIR_CONTAINER_OF(it, struct admin_conn, node));
}
