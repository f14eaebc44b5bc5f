/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 for what weir says about itself and decides for others: one request at a time per connection,
 * answered at once, what is idle closed.
 */
#include "core/server.h"

#include "base/mem.h"

#define CONNS_MAX                                                                                  \
    64u /* one more, and the one with the least time left goes: a crowd locks nobody out */
#define TIME_US                                                                                    \
    (30u * 1000u * 1000u) /* from one answer to the next, slow senders and readers included */

struct server_conn {
    struct weir_list node;
    struct weir_server *server;
    struct weir_stream *stream;
    struct weir_codec *codec;
    struct weir_arena arena;
    struct weir_head head;
    struct weir_cstream *cs;  /* the request being answered */
    struct weir_chunk *chunk; /* lends the head's bytes */
    struct weir_bufq out;
    struct weir_bufq
        held; /* received and not yet looked at: the answers before have to leave first */
    void *listener;
    char *body; /* the request's content */
    size_t body_len, body_cap;
    uint64_t due;
    bool closing, eof, too_large;
};

static void close_conn(struct server_conn *c) {
    if (c->closing)
        return;
    c->closing = true;
    weir_list_unlink(&c->node);
    weir_list_push_back(&c->server->dying, &c->node);
    c->server->n_conns--;
    weir_stream_close(c->stream, false);
}

/* It has its time from now, and so more than all others. */
static void renew(struct server_conn *c) {
    c->due = c->server->net->ops->now(c->server->net) + TIME_US;
    if (c->closing)
        return;
    weir_list_unlink(&c->node);
    weir_list_push_back(&c->server->conns, &c->node);
}

/* ---- answering ---- */

static int answer(struct server_conn *c, int status, const char *type, struct weir_bufq *body) {
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

static void respond(struct server_conn *c) {
    const struct weir_server *sv = c->server;
    const char *type = "text/plain; charset=utf-8";
    struct weir_server_request req = { &c->head,
                                       weir_slice_make(c->body ? c->body : "", c->body_len),
                                       c->listener };
    struct weir_bufq body;
    int status;

    weir_bufq_init(&body, sv->net->pool, 0);
    if (c->too_large) {
        status = 413;
        (void)weir_bufq_append(&body, WEIR_SLICE("weir: the content is too large\n"));
    } else {
        status = sv->ops->serve(sv->arg, &req, &body, &type);
    }
    if (answer(c, status, type, &body) < 0)
        close_conn(c);
    weir_bufq_deinit(&body);
}

static void flush(struct server_conn *c) {
    while (!c->closing && c->codec->want_pull) {
        if (c->codec->ops->pull(c->codec, &c->out) < 0 || weir_stream_write(c->stream, &c->out) < 0)
            close_conn(c);
    }
    if (!c->closing && c->codec->must_close && !c->cs)
        weir_stream_shutdown(c->stream);
}

/* ---- codec events ---- */

static int on_begin(void *arg, struct weir_cstream *cs) {
    struct server_conn *c = arg;

    weir_arena_reset(&c->arena);
    weir_head_init(&c->head, &c->arena);
    cs->head = &c->head;
    c->cs = cs;
    return 0;
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct server_conn *c = arg;

    (void)cs;
    c->chunk = chunk ? weir_chunk_ref(chunk) : NULL;
}

static void forget_body(struct server_conn *c) {
    c->server->body_bytes -= c->body_cap;
    c->body = weir_free(c->body);
    c->body_len = c->body_cap = 0;
    c->too_large = false;
}

/* A request's own share and that of all of them are bounded. */
static bool make_room(struct server_conn *c, size_t n) {
    struct weir_server *sv = c->server;
    size_t cap = c->body_cap;
    char *grown;

    if (n > sv->body_max - c->body_len)
        return false;
    while (cap - c->body_len < n)
        cap = cap ? cap * 2 : 16384;
    if (cap == c->body_cap)
        return true;
    if (cap - c->body_cap > sv->body_max * 8 - sv->body_bytes ||
        !(grown = weir_reallocarray(c->body, cap, 1)))
        return false;
    sv->body_bytes += cap - c->body_cap;
    c->body = grown;
    c->body_cap = cap;
    return true;
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    struct server_conn *c = arg;

    (void)cs, (void)chunk;
    if (c->server->body_max == 0 || c->too_large)
        return; /* nobody looks at it */
    if (!make_room(c, bytes.len)) {
        c->too_large = true;
        return;
    }
    memcpy(c->body + c->body_len, bytes.ptr, bytes.len);
    c->body_len += bytes.len;
}

static void on_end(void *arg, struct weir_cstream *cs) {
    (void)cs;
    respond(arg);
}

static void over(void *arg, struct weir_cstream *cs) {
    struct server_conn *c = arg;

    (void)cs;
    c->cs = NULL;
    c->chunk = weir_chunk_unref(c->chunk);
    forget_body(c);
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

static bool may_answer(const struct server_conn *c) {
    return !c->closing && weir_stream_pending(c->stream) <= WEIR_STREAM_LOW_MARK;
}

static void feed_held(struct server_conn *c) {
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
static void proceed(struct server_conn *c) {
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
    struct server_conn *c = arg;

    if (weir_bufq_append_ref(&c->held, chunk, bytes) < 0)
        close_conn(c);
    else
        proceed(c);
}

static void on_eof(void *arg) {
    struct server_conn *c = arg;

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
    struct server_conn *c = arg;

    if (!c->closing)
        c->server->n_conns--; /* the loop is being stopped */
    weir_list_unlink(&c->node);
    if (c->codec)
        c->codec->ops->free(c->codec);
    weir_chunk_unref(c->chunk);
    forget_body(c);
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

static struct server_conn *conn_new(struct weir_server *sv, struct weir_stream *s) {
    struct server_conn *c = weir_calloc(1, sizeof(*c));
    struct weir_codec_params params = {
        .role = WEIR_ROLE_SERVER,
        .events = &codec_events,
        .arg = c,
        .pool = sv->net->pool,
        .limits = &weir_codec_limits_default,
    };

    if (!c)
        return NULL;
    c->server = sv;
    c->stream = s;
    weir_list_init(&c->node);
    weir_arena_init(&c->arena, 4096);
    weir_bufq_init(&c->out, sv->net->pool, 0);
    weir_bufq_init(&c->held, sv->net->pool, 0);
    if (weir_h1_new(&params, &c->codec) < 0)
        return weir_free(c);
    sv->n_conns++;
    renew(c);
    return c;
}

/* The stream of an accepted connection as its owner sees it; NULL = no memory, s is untouched. */
static struct weir_stream *secured(struct weir_server *sv, struct weir_stream *s, void *listener) {
    struct weir_tls_stream_params params = {
        .lower = s,
        .pool = sv->net->pool,
        .ctx = sv->ops->tls ? sv->ops->tls(sv->arg, listener) : NULL,
        .server = true,
        .lower_open = true,
    };
    struct weir_stream *tls = NULL;

    if (!params.ctx)
        return s;
    return weir_tls_stream_new(&params, &tls) == 0 ? tls : NULL;
}

static void on_accept(void *arg, struct weir_stream *s, void *user) {
    struct weir_server *sv = arg;
    struct weir_stream *outer = secured(sv, s, user);
    struct server_conn *c;

    if (sv->n_conns >= CONNS_MAX)
        close_conn(WEIR_CONTAINER_OF(sv->conns.next, struct server_conn, node));
    c = outer ? conn_new(sv, outer) : NULL;
    if (!c) {
        outer = outer ? outer : s;
        outer->events = &refused_events;
        weir_stream_close(outer, true);
        return;
    }
    c->listener = user;
    outer->events = &stream_events;
    outer->arg = c;
    sv->net->ops->tick(sv->net, true);
    weir_stream_read_start(outer);
}

static void on_tick(void *arg) {
    struct weir_server *sv = arg;
    uint64_t now = sv->net->ops->now(sv->net);

    WEIR_LIST_FOREACH_SAFE (it, next, &sv->conns) {
        struct server_conn *c = WEIR_CONTAINER_OF(it, struct server_conn, node);

        if (now >= c->due || (c->eof && weir_stream_pending(c->stream) == 0))
            close_conn(c);
    }
    if (weir_list_empty(&sv->conns))
        sv->net->ops->tick(sv->net, false);
}

static void on_posted(void *arg) {
    struct weir_server *sv = arg;

    sv->ops->posted(sv->arg);
}

void weir_server_init(struct weir_server *sv, struct weir_net *net,
                      const struct weir_server_ops *ops, void *arg) {
    static const struct weir_net_events events = {
        .accept = on_accept, .turn = on_ignored, .tick = on_tick, .posted = on_posted
    };

    *sv = (struct weir_server){ .net = net, .ops = ops, .arg = arg };
    weir_list_init(&sv->conns);
    weir_list_init(&sv->dying);
    net->events = &events;
    net->arg = sv;
}

void weir_server_close(struct weir_server *sv) {
    WEIR_LIST_FOREACH_SAFE (it, next, &sv->conns)
        close_conn(WEIR_CONTAINER_OF(it, struct server_conn, node));
}
