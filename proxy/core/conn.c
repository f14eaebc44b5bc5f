/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape both sides share: bytes in through the codec, bytes out once a turn, back-pressure, the end of a
 * connection. It knows exchanges only as list members that must be told when the ground goes.
 */
#include "core/conn.h"

#include "base/mem.h"
#include "core/admit.h"
#include "core/down.h"
#include "core/hello.h"
#include "core/pipe.h"
#include "core/pool.h"
#include "core/relay.h"
#include "core/txn.h"

static const struct weir_stream_events stream_events;

static void deadline_fired(struct weir_deadline *d) {
    struct weir_conn *c = WEIR_CONTAINER_OF(d, struct weir_conn, deadline);

    if (c->state == WEIR_CONN_CLOSED)
        return;
    if (c->state == WEIR_CONN_LINGER)
        weir_conn_linger_deadline(c);
    else if (c->is_up)
        weir_up_deadline(c);
    else
        weir_down_deadline(c);
}

struct weir_conn *weir_conn_new(struct weir_worker *w, struct weir_stream *stream, bool is_up) {
    struct weir_conn *c = weir_calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->worker = w;
    weir_list_init(&c->node);
    weir_list_init(&c->dirty);
    weir_list_init(&c->pool_node);
    weir_list_init(&c->txns);
    weir_list_init(&c->blocked);
    weir_deadline_init(&c->deadline, deadline_fired);
    c->stream = stream;
    c->id = w->next_id++;
    c->is_up = is_up;
    c->since = weir_worker_now(w);
    stream->events = &stream_events;
    stream->arg = c;
    weir_list_push_back(is_up ? &w->ups : &w->downs, &c->node);
    weir_count(&w->metrics, is_up ? WEIR_C_UP_CONNECTIONS : WEIR_C_DOWN_CONNECTIONS, 1);
    weir_count(&w->metrics, is_up ? WEIR_C_UP_ACTIVE : WEIR_C_DOWN_ACTIVE, 1);
    return c;
}

static void refused_closed(void *arg) {
    (void)arg;
}

void weir_conn_refuse_stream(struct weir_stream *s) {
    static const struct weir_stream_events refused = { .closed = refused_closed };

    s->events = &refused;
    weir_stream_close(s, true);
}

int weir_conn_hold(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes) {
    if (!c->held) {
        c->held = weir_malloc(sizeof(*c->held));
        if (!c->held)
            return -ENOMEM;
        weir_bufq_init(c->held, c->worker->pool, 0);
    }
    return weir_bufq_append_ref(c->held, chunk, bytes);
}

bool weir_conn_is_h2(const struct weir_conn *c) {
    return c->codec && c->codec->ops->name[1] == '2';
}

/* ---- reading ---- */

void weir_conn_update_reading(struct weir_conn *c) {
    bool want = !c->eof && !c->deaf && c->paused == 0;

    if (c->state == WEIR_CONN_CLOSED)
        return;
    if (c->state == WEIR_CONN_HTTP && c->held && want) {
        want = false;
        if (c->reading)
            weir_count(&c->worker->metrics, WEIR_C_PIPELINES_HELD, 1);
    }
    if (want == c->reading)
        return;
    c->reading = want;
    if (want)
        weir_stream_read_start(c->stream);
    else
        weir_stream_read_stop(c->stream);
}

void weir_conn_pause(struct weir_conn *c) {
    c->paused++;
    weir_conn_update_reading(c);
}

void weir_conn_unpause(struct weir_conn *c) {
    if (--c->paused == 0)
        weir_conn_dirty(c);
}

void weir_conn_watch(struct weir_conn *c) {
    uint64_t due = weir_worker_now(c->worker) + weir_worker_limits(c->worker)->body_timeout_us;

    if (c->deadline.due > due)
        weir_worker_deadline(c->worker, &c->deadline, due);
}

/* TLS counts bytes as out when they are encrypted; less what is pending below, both kinds of stream tell the same. */
bool weir_conn_output_stalled(struct weir_conn *c) {
    uint64_t now = weir_worker_now(c->worker), took = now - c->mark_at;
    size_t pending = weir_stream_pending(c->stream);
    uint64_t mark = c->stream->bytes_out - pending, moved = mark - c->mark_out;
    uint64_t rate = c->mark_at ? weir_worker_limits(c->worker)->min_body_rate : 0;
    bool stalled = pending > 0 && (moved == 0 || moved < rate * took / 1000000);

    c->mark_out = mark;
    c->mark_at = pending > 0 ? now : 0;
    return stalled;
}

/* Of this exchange, and behind all of them. */
static size_t queued(const struct weir_conn *c, const struct weir_cstream *cs) {
    return c->codec->ops->pending(c->codec, cs);
}
static size_t leaving(const struct weir_conn *c) {
    return weir_stream_pending(c->stream);
}

/*
 * The stream says `drain` only after it had been above its own low mark: what is called low here must not be less, or
 * a source could wait for an event that never comes. At the connection's limit each exchange may still have one read
 * waiting, so that those whose client reads do not starve beside those whose client does not.
 */
bool weir_conn_full(const struct weir_conn *c, const struct weir_cstream *cs) {
    const struct weir_limits_spec *limits = weir_worker_limits(c->worker);
    size_t limit = limits->pipe_bytes, own = queued(c, cs), all = leaving(c);

    if (own + all >= (limit > 2 * WEIR_STREAM_LOW_MARK ? limit : 2 * WEIR_STREAM_LOW_MARK))
        return true;
    if (own == 0 || c->codec->queued + all < limits->connection_bytes)
        return false;
    weir_count(&c->worker->metrics, WEIR_C_CONNS_FULL, 1);
    return true;
}

bool weir_conn_low(const struct weir_conn *c, const struct weir_cstream *cs) {
    const struct weir_limits_spec *limits = weir_worker_limits(c->worker);
    size_t limit = limits->pipe_bytes / 2, own = queued(c, cs), all = leaving(c);

    if (own + all > (limit > WEIR_STREAM_LOW_MARK ? limit : WEIR_STREAM_LOW_MARK))
        return false;
    return own == 0 || c->codec->queued + all <= limits->connection_bytes / 2;
}

/* ---- the codec ---- */

static const struct weir_codec_limits *codec_limits(const struct weir_conn *c) {
    return c->is_up || c->info.peer ? &c->worker->mesh_limits : &c->worker->limits;
}

static int make_codec(struct weir_conn *c, bool h2) {
    struct weir_codec_params params = {
        .role = c->is_up ? WEIR_ROLE_CLIENT : WEIR_ROLE_SERVER,
        .events = c->is_up ? &weir_up_codec_events : &weir_down_codec_events,
        .arg = c,
        .pool = c->worker->pool,
        .limits = codec_limits(c),
    };

    return h2 ? weir_h2_new(&params, &c->codec) : weir_h1_new(&params, &c->codec);
}

void weir_conn_rest(struct weir_conn *c) {
    struct weir_worker *w = c->worker;

    if (weir_conn_is_h2(c) || c->held || c->eof || c->heads_open > 0 || !weir_h1_at_rest(c->codec))
        return;
    if (w->n_spare_codecs < WEIR_ARRAY_LEN(w->spare_codecs))
        w->spare_codecs[w->n_spare_codecs++] = c->codec;
    else
        c->codec->ops->free(c->codec);
    c->codec = NULL;
}

/* What weir_conn_rest took. False: there is no memory for it, and the connection has failed. */
static bool has_codec(struct weir_conn *c) {
    struct weir_worker *w = c->worker;

    if (c->codec)
        return true;
    if (w->n_spare_codecs > 0) {
        c->codec = w->spare_codecs[--w->n_spare_codecs];
        weir_h1_renew(c->codec, c, codec_limits(c));
    } else if (make_codec(c, false) < 0) {
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
    }
    return c->codec != NULL;
}

/* ---- feeding ---- */

/* What the codec has counted, once. */
static void count_refusals(struct weir_conn *c) {
    struct weir_metrics *m = &c->worker->metrics;

    if (c->codec->flood != WEIR_FLOOD_NONE)
        weir_count(m, WEIR_C_FLOOD_RESETS + c->codec->flood - WEIR_FLOOD_RESETS, 1);
    for (; c->codec->n_refused > 0; c->codec->n_refused--)
        weir_count_fault(m, WEIR_FAULT(DOWNSTREAM, LIMIT_STREAMS));
    c->codec->flood = WEIR_FLOOD_NONE;
}

/*
 * The codec met something that is no HTTP. A downstream HTTP/1 peer gets an answer if none has begun; HTTP/2's GOAWAY is queued in
 * the codec; an upstream is simply at fault.
 */
static void codec_fault(struct weir_conn *c, struct weir_chunk *chunk) {
    struct weir_fault fault = c->codec->fault;
    struct weir_txn *t;

    count_refusals(c);
    if (c->is_up) {
        weir_conn_fail(c, fault);
        return;
    }
    c->deaf = true; /* nothing behind a fault is read */
    c->codec->must_close = true;
    c->heads_open = 0;
    weir_conn_held_free(c);
    weir_conn_update_reading(c);
    if (!weir_conn_is_h2(c) && !weir_list_empty(&c->txns)) {
        t = WEIR_CONTAINER_OF(c->txns.prev, struct weir_txn, down_node);
        if (!t->res_started) {
            if (t->phase == WEIR_TXN_HEAD && !t->req_chunk)
                t->req_chunk =
                    weir_chunk_ref(chunk); /* what was understood of the head lies there */
            weir_txn_reply_fault(t, fault, "");
            weir_conn_dirty(c);
            return;
        }
    }
    if (weir_conn_is_h2(c)) { /* its streams have been told; the GOAWAY leaves, then it lingers */
        weir_conn_dirty(c);
        return;
    }
    weir_conn_fail(c, fault);
}

static bool has_room(const struct weir_conn *c) {
    /* At the mark itself as well: a stream that was never above it says no `drain`. */
    return weir_stream_pending(c->stream) <= WEIR_STREAM_LOW_MARK;
}

/* Returns how much of bytes the codec took; the connection may be CLOSED afterwards. */
static size_t feed(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes) {
    size_t used = 0;
    int r;

    c->in_codec = true;
    if (weir_conn_is_h2(c))
        c->codec->now = weir_worker_now(c->worker);
    r = c->codec->ops->feed(c->codec, chunk, bytes, &used);
    c->in_codec = false;
    if (c->state == WEIR_CONN_CLOSED)
        return bytes.len;
    if (r == WEIR_CODEC_FAULT) {
        codec_fault(c, chunk);
        return bytes.len;
    }
    if (r < 0) {
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
        return bytes.len;
    }
    if (c->codec->n_refused > 0)
        count_refusals(c);
    /* Without room nothing can be done before the stream's `drain`: to come back at once would be to spin. */
    if ((c->codec->want_pull && has_room(c)) || c->codec->must_close)
        weir_conn_dirty(c);
    return used;
}

static void feed_read(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes) {
    size_t used;

    if (c->held) {
        if (weir_conn_hold(c, chunk, bytes) < 0)
            weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
        return;
    }
    if (!has_codec(c))
        return;
    used = feed(c, chunk, bytes);
    if (used < bytes.len && c->state == WEIR_CONN_HTTP) {
        if (weir_conn_hold(c, chunk, weir_slice_make(bytes.ptr + used, bytes.len - used)) < 0) {
            weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
            return;
        }
        weir_conn_update_reading(c);
    }
    if (c->heads_open > 0 && c->state == WEIR_CONN_HTTP) {
        weir_worker_deadline(c->worker, &c->deadline, c->head_due);
        weir_admit_head(c);
    }
}

/* Feeds what was held back, as far as the codec goes. */
static void feed_held(struct weir_conn *c) {
    while (c->held && c->held->len > 0 && c->state == WEIR_CONN_HTTP) {
        const struct weir_seg *seg = &c->held->segs[c->held->head & (c->held->cap - 1)];
        struct weir_slice bytes = { seg->ptr, seg->len };
        struct weir_chunk *chunk = weir_chunk_ref(seg->chunk);
        size_t used = feed(c, chunk, bytes);

        weir_chunk_unref(chunk);
        if (!c->held)
            break;
        weir_bufq_consume(c->held, used);
        if (used < bytes.len)
            return;
    }
    weir_conn_held_free(c);
    weir_conn_update_reading(c);
    if (c->heads_open > 0 && c->state == WEIR_CONN_HTTP) {
        weir_worker_deadline(c->worker, &c->deadline, c->head_due);
        weir_admit_head(c);
    }
}

int weir_conn_start_http(struct weir_conn *c, bool h2) {
    int r = make_codec(c, h2);

    if (r < 0)
        return r;
    c->state = WEIR_CONN_HTTP;
    if (c->worker->draining && !c->is_up && h2)
        c->codec->ops->drain(c->codec);
    if (c->held)
        feed_held(c);
    if (c->state == WEIR_CONN_HTTP) {
        weir_conn_update_reading(c);
        weir_conn_dirty(c);
    }
    return 0;
}

/* ---- writing ---- */

void weir_conn_dirty(struct weir_conn *c) {
    struct weir_worker *w = c->worker;

    if (!weir_list_empty(&c->dirty) || c->state == WEIR_CONN_CLOSED)
        return;
    if (weir_list_empty(&w->dirty) && !w->turning)
        w->net->ops->wake(w->net);
    weir_list_push_back(&w->dirty, &c->dirty);
}

static void unblock(struct weir_conn *c) {
    WEIR_LIST_FOREACH_SAFE (it, next, &c->blocked) {
        weir_txn_unblock(WEIR_CONTAINER_OF(it, struct weir_flow_side, blocked), c);
    }
}

/* Everything ready has been handed to the stream: is the connection at its end? */
static void after_flush(struct weir_conn *c) {
    if (c->fin_after_flush && !c->fin_sent) {
        c->fin_sent = true;
        weir_stream_shutdown(c->stream);
    }
    if (!weir_list_empty(&c->txns))
        return;
    if (c->is_up) {
        /* The end of a tunnel may still be on its way to a slow server; nothing else matters to one. */
        if (c->fin_after_flush && weir_stream_pending(c->stream) > 0)
            weir_conn_linger(c);
        else if (c->codec->must_close || c->eof)
            weir_conn_close(c);
        return;
    }
    if (c->codec->flood != WEIR_FLOOD_NONE)
        count_refusals(c);
    /* HTTP/2 may find out in feed or, after nghttp2, in pull; it comes by here once in any case. */
    if (weir_conn_is_h2(c) && c->codec->fault.kind != WEIR_FAULT_NONE)
        weir_count_fault(&c->worker->metrics, c->codec->fault);
    if (c->codec->must_close || c->eof)
        weir_conn_linger(c);
    else if (c->state == WEIR_CONN_HTTP)
        weir_down_idle(c);
}

/* The worker's queue is empty before and after: the stream takes all of it, or the connection is at its end. */
static int gather(struct weir_conn *c) {
    struct weir_bufq *out = &c->worker->out;
    int r;

    if (!c->codec->want_pull || !has_room(c))
        return 0;
    c->pulling = c->in_codec = true;
    r = c->codec->ops->pull(c->codec, out);
    c->pulling = c->in_codec = false;
    if (r == 0 && c->state != WEIR_CONN_CLOSED && out->len > 0) {
        weir_count(&c->worker->metrics, c->is_up ? WEIR_C_UP_BYTES_OUT : WEIR_C_DOWN_BYTES_OUT,
                   out->len);
        r = weir_stream_write(c->stream, out);
    }
    if (out->len > 0)
        weir_bufq_clear(out);
    return r;
}

void weir_conn_flush(struct weir_conn *c) {
    weir_list_unlink(&c->dirty);
    if (c->state == WEIR_CONN_HTTP || c->state == WEIR_CONN_RELAY)
        weir_conn_update_reading(c);
    if (c->state != WEIR_CONN_HTTP || !c->codec)
        return;
    for (unsigned round = 0; round < 64; round++) {
        if (gather(c) < 0) {
            weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
            return;
        }
        if (c->state != WEIR_CONN_HTTP)
            return;
        if (c->held && !c->codec->must_close)
            feed_held(c);
        if (c->state != WEIR_CONN_HTTP)
            return;
        if (!c->codec->want_pull || !has_room(c))
            break;
    }
    if (c->codec->want_pull && has_room(c))
        weir_conn_dirty(c); /* a long pipeline: let the others have their turn */
    unblock(c);
    if (c->state == WEIR_CONN_HTTP && !c->codec->want_pull)
        after_flush(c);
}

/* ---- stream events ---- */

static void on_open(void *arg) {
    struct weir_conn *c = arg;

    if (c->state == WEIR_CONN_CLOSED)
        return;
    weir_stream_info(c->stream, &c->info);
    if (c->is_up && c->peer)
        weir_relay_open(c);
    else if (c->is_up)
        weir_up_open(c);
    else
        weir_down_open(c);
}

static void on_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct weir_conn *c = arg;

    weir_count(&c->worker->metrics, c->is_up ? WEIR_C_UP_BYTES_IN : WEIR_C_DOWN_BYTES_IN,
               bytes.len);
    switch (c->state) {
    case WEIR_CONN_HTTP:
        feed_read(c, chunk, bytes);
        break;
    case WEIR_CONN_SNIFF:
        weir_down_read(c, chunk, bytes);
        break;
    case WEIR_CONN_HELLO:
        weir_hello_read(c, chunk, bytes);
        break;
    case WEIR_CONN_HANDSHAKE:
        weir_handshake_read(c, chunk, bytes);
        break;
    case WEIR_CONN_RELAY:
        weir_relay_read(c, chunk, bytes);
        break;
    case WEIR_CONN_LINGER:
        if (bytes.len >= c->linger_left)
            weir_conn_close(c);
        else
            c->linger_left -= (uint32_t)bytes.len;
        break;
    default:
        break;
    }
}

static void http_eof(struct weir_conn *c) {
    int r;

    if (!has_codec(c))
        return;
    c->in_codec = true;
    r = c->codec->ops->eof(c->codec);
    c->in_codec = false;
    if (c->state == WEIR_CONN_CLOSED)
        return;
    if (r == WEIR_CODEC_FAULT)
        weir_conn_fail(c, c->codec->fault);
    else if (r < 0)
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
    else
        weir_conn_dirty(c);
    /* Half closed or gone: only time can tell (weir_down_deadline). */
    if (c->state == WEIR_CONN_HTTP && !c->is_up && !weir_list_empty(&c->txns))
        weir_worker_deadline(c->worker, &c->deadline,
                             weir_worker_now(c->worker) +
                                 weir_worker_limits(c->worker)->body_timeout_us);
}

static void on_eof(void *arg) {
    struct weir_conn *c = arg;

    c->eof = true;
    c->reading = false;
    switch (c->state) {
    case WEIR_CONN_HTTP:
        if (c->is_up)
            weir_pool_remove(c);
        http_eof(c);
        break;
    case WEIR_CONN_RELAY:
        weir_relay_eof(c);
        break;
    case WEIR_CONN_LINGER:
        if (weir_stream_pending(c->stream) == 0)
            weir_conn_close(c);
        break;
    case WEIR_CONN_CLOSED:
        break;
    case WEIR_CONN_HANDSHAKE:
        weir_conn_fail(c, WEIR_FAULT(DOWNSTREAM, TLS));
        break;
    default:
        weir_conn_fail(c, c->is_up ? WEIR_FAULT(UPSTREAM, EOF) : WEIR_FAULT(DOWNSTREAM, EOF));
        break;
    }
}

static void on_drain(void *arg) {
    struct weir_conn *c = arg;

    if (c->state == WEIR_CONN_RELAY)
        weir_relay_drain(c);
    else
        weir_conn_dirty(c);
}

static void on_error(void *arg, struct weir_fault fault) {
    struct weir_conn *c = arg;
    struct weir_stream_info info;

    /* Only why it ended: a dead TLS engine no longer says who the peer was, but the exchanges still rely on it. */
    weir_stream_info(c->stream, &info);
    c->info.fault_reason = info.fault_reason;
    /* Behind the handshake the request may have been served: that answer is another (http/fault.c). */
    if (fault.kind == WEIR_FAULT_TLS && c->state == WEIR_CONN_HTTP)
        fault.kind = WEIR_FAULT_PROTOCOL;
    weir_conn_fail(c, fault);
}

static const struct weir_stream_events stream_events = {
    .open = on_open,
    .read = on_read,
    .eof = on_eof,
    .drain = on_drain,
    .error = on_error,
    .closed = weir_conn_closed,
};
