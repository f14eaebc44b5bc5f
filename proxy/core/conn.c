/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape both sides share: bytes in through the codec, bytes out once a turn, back-pressure, the end of a
 * connection. It knows exchanges only as list members that must be told when the ground goes.
 */
#include "core/conn.h"

#include "base/mem.h"
#include "core/txn.h"

#define LINGER_US    (2u * 1000u * 1000u)
#define LINGER_BYTES (1024u * 1024u)
#define OUT_LIMIT    (128u * 1024u)

static const struct weir_stream_events stream_events;

static void deadline_fired(struct weir_deadline *d) {
    struct weir_conn *c = WEIR_CONTAINER_OF(d, struct weir_conn, deadline);

    if (c->state == WEIR_CONN_CLOSED)
        return;
    if (c->is_up)
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
    weir_bufq_init(&c->out, w->pool, OUT_LIMIT);
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

static void held_free(struct weir_conn *c) {
    if (!c->held)
        return;
    weir_bufq_deinit(c->held);
    c->held = weir_free(c->held);
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
    if (c->state == WEIR_CONN_HTTP && c->held)
        want = false;
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
    c->paused--;
    weir_conn_update_reading(c);
}

static size_t queued(const struct weir_conn *c, const struct weir_cstream *cs) {
    return c->codec->ops->pending(c->codec, cs) + c->out.len + weir_stream_pending(c->stream);
}

/*
 * The stream says `drain` only after it had been above its own low mark: what is called low here must not be less, or
 * a source could wait for an event that never comes.
 */
bool weir_conn_full(const struct weir_conn *c, const struct weir_cstream *cs) {
    size_t limit = weir_worker_limits(c->worker)->pipe_bytes;

    return queued(c, cs) >= (limit > 2 * WEIR_STREAM_LOW_MARK ? limit : 2 * WEIR_STREAM_LOW_MARK);
}

bool weir_conn_low(const struct weir_conn *c, const struct weir_cstream *cs) {
    size_t limit = weir_worker_limits(c->worker)->pipe_bytes / 2;

    return queued(c, cs) <= (limit > WEIR_STREAM_LOW_MARK ? limit : WEIR_STREAM_LOW_MARK);
}

/*
 * The codec met something that is no HTTP. A downstream HTTP/1 peer gets an answer if none has begun; HTTP/2's GOAWAY is queued in
 * the codec; an upstream is simply at fault.
 */
static void codec_fault(struct weir_conn *c, struct weir_chunk *chunk) {
    struct weir_fault fault = c->codec->fault;
    struct weir_txn *t;

    if (c->is_up) {
        weir_conn_fail(c, fault);
        return;
    }
    c->deaf = true; /* nothing behind a fault is read */
    c->codec->must_close = true;
    c->heads_open = 0;
    held_free(c);
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
    if (weir_conn_is_h2(c)) {
        weir_count_fault(&c->worker->metrics, fault);
        weir_conn_flush(c);
    }
    weir_conn_fail(c, fault);
}

/* Returns how much of bytes the codec took; the connection may be CLOSED afterwards. */
static size_t feed(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes) {
    size_t used = 0;
    int r;

    c->in_codec = true;
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
    if (c->codec->want_pull || c->codec->must_close)
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
    used = feed(c, chunk, bytes);
    if (used < bytes.len && c->state == WEIR_CONN_HTTP) {
        if (weir_conn_hold(c, chunk, weir_slice_make(bytes.ptr + used, bytes.len - used)) < 0) {
            weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
            return;
        }
        weir_conn_update_reading(c);
    }
    if (c->heads_open > 0 && c->state == WEIR_CONN_HTTP)
        weir_worker_deadline(c->worker, &c->deadline, c->head_due);
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
    held_free(c);
    weir_conn_update_reading(c);
    if (c->heads_open > 0 && c->state == WEIR_CONN_HTTP)
        weir_worker_deadline(c->worker, &c->deadline, c->head_due);
}

int weir_conn_start_http(struct weir_conn *c, bool h2) {
    struct weir_codec_params params = {
        .role = c->is_up ? WEIR_ROLE_CLIENT : WEIR_ROLE_SERVER,
        .events = c->is_up ? &weir_up_codec_events : &weir_down_codec_events,
        .arg = c,
        .pool = c->worker->pool,
        .limits = &c->worker->limits,
    };
    int r = h2 ? weir_h2_new(&params, &c->codec) : weir_h1_new(&params, &c->codec);

    if (r < 0)
        return r;
    c->state = WEIR_CONN_HTTP;
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
    if (weir_list_empty(&w->dirty))
        w->net->ops->wake(w->net);
    weir_list_push_back(&w->dirty, &c->dirty);
}

static void unblock(struct weir_conn *c) {
    WEIR_LIST_FOREACH_SAFE (it, next, &c->blocked) {
        weir_txn_unblock(WEIR_CONTAINER_OF(it, struct weir_flow_side, blocked), c);
    }
}

static void linger(struct weir_conn *c) {
    if (!c->fin_sent)
        weir_stream_shutdown(c->stream);
    c->fin_sent = true;
    if (c->eof && weir_stream_pending(c->stream) == 0) {
        weir_conn_close(c); /* nothing can come any more that a reset would answer */
        return;
    }
    c->state = WEIR_CONN_LINGER;
    c->deaf = false;
    c->linger_left = LINGER_BYTES;
    held_free(c);
    c->mark_out = c->stream->bytes_out;
    weir_worker_deadline(c->worker, &c->deadline, weir_worker_now(c->worker) + LINGER_US);
    weir_conn_update_reading(c);
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
        if (c->codec->must_close || c->eof)
            weir_conn_close(c);
        return;
    }
    if (c->codec->must_close || c->eof)
        linger(c);
    else if (c->state == WEIR_CONN_HTTP)
        weir_down_idle(c);
}

static bool has_room(const struct weir_conn *c) {
    return weir_stream_pending(c->stream) < WEIR_STREAM_LOW_MARK;
}

static int gather(struct weir_conn *c) {
    int r = 0;

    if (c->codec->want_pull && has_room(c)) {
        c->in_codec = true;
        r = c->codec->ops->pull(c->codec, &c->out);
        c->in_codec = false;
        if (r < 0 || c->state == WEIR_CONN_CLOSED)
            return r;
    }
    if (c->out.len > 0) {
        weir_count(&c->worker->metrics, c->is_up ? WEIR_C_UP_BYTES_OUT : WEIR_C_DOWN_BYTES_OUT,
                   c->out.len);
        r = weir_stream_write(c->stream, &c->out);
    }
    return r;
}

void weir_conn_flush(struct weir_conn *c) {
    weir_list_unlink(&c->dirty);
    if (c->state != WEIR_CONN_HTTP)
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
    if (!c->codec->want_pull && c->out.len == 0)
        after_flush(c);
}

/* ---- the end ---- */

static void tell_txns(struct weir_conn *c, struct weir_fault fault) {
    while (!weir_list_empty(&c->txns)) {
        struct weir_list *it = c->txns.next;

        if (c->is_up) {
            struct weir_txn *t = WEIR_CONTAINER_OF(it, struct weir_txn, up_node);

            weir_txn_upstream_failed(t, fault, c->used_before);
        } else {
            weir_txn_finish(WEIR_CONTAINER_OF(it, struct weir_txn, down_node), fault);
        }
    }
}

/* From here on it takes part in nothing. */
static void retire(struct weir_conn *c) {
    if (c->is_up)
        weir_pool_remove(c);
    weir_deadline_deinit(&c->worker->wheel, &c->deadline);
    weir_list_unlink(&c->dirty);
    c->state = WEIR_CONN_CLOSED;
}

static void shut(struct weir_conn *c, bool reset) {
    retire(c);
    weir_stream_close(c->stream, reset);
}

/* Exchanges on it, and those on other connections that waited for it, are told. */
static void tell_all(struct weir_conn *c, struct weir_fault fault) {
    tell_txns(c, fault);
    while (!weir_list_empty(&c->blocked))
        weir_txn_unblock(WEIR_CONTAINER_OF(c->blocked.next, struct weir_flow_side, blocked), c);
}

void weir_conn_close(struct weir_conn *c) {
    if (c->state != WEIR_CONN_CLOSED)
        shut(c, false);
}

static void count_tls(struct weir_metrics *m, struct weir_fault fault) {
    if (fault.kind == WEIR_FAULT_TLS || fault.kind == WEIR_FAULT_IDENTITY ||
        fault.kind == WEIR_FAULT_TIMEOUT_HANDSHAKE)
        weir_count(m, WEIR_C_TLS_FAILED, 1);
    if (fault.kind == WEIR_FAULT_IDENTITY)
        weir_count(m, WEIR_C_IDENTITY_REFUSED, 1);
}

void weir_conn_fail(struct weir_conn *c, struct weir_fault fault) {
    enum weir_conn_state was = c->state;
    /* An unfinished downstream answer must not look finished: HTTP/1 until-close bodies need the reset. */
    bool cut = !weir_list_empty(&c->txns) && was == WEIR_CONN_HTTP && !weir_conn_is_h2(c);

    if (was == WEIR_CONN_CLOSED)
        return;
    fault.side = fault.side == WEIR_SIDE_LOCAL ? WEIR_SIDE_LOCAL
                 : c->is_up                    ? WEIR_SIDE_UPSTREAM
                                               : WEIR_SIDE_DOWNSTREAM;
    count_tls(&c->worker->metrics, fault);
    if (was == WEIR_CONN_RELAY || c->peer)
        weir_relay_fail(c, fault);
    if (c->is_up && was == WEIR_CONN_CONNECTING)
        weir_count(&c->worker->metrics, WEIR_C_UP_CONNECT_FAILED, 1);
    else if (weir_list_empty(&c->txns) && !c->is_up && was != WEIR_CONN_LINGER)
        weir_count_fault(&c->worker->metrics, fault);
    shut(c, cut);
    tell_all(c, fault);
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
    case WEIR_CONN_RELAY:
        weir_relay_read(c, chunk, bytes);
        break;
    case WEIR_CONN_LINGER:
        if (bytes.len >= c->linger_left)
            weir_conn_close(c);
        else
            c->linger_left -= bytes.len;
        break;
    default:
        break;
    }
}

static void http_eof(struct weir_conn *c) {
    int r;

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

    weir_stream_info(c->stream, &c->info);
    weir_conn_fail(c, fault);
}

static void endpoint_unuse(struct weir_conn *c) {
    if (c->endpoint->users == 1)
        weir_pool_forget(c->endpoint);
    weir_lb_unuse(c->target->lb, c->endpoint);
}

static void on_closed(void *arg) {
    struct weir_conn *c = arg;
    struct weir_worker *w = c->worker;

    if (c->state != WEIR_CONN_CLOSED) { /* the loop is being stopped */
        w->stopped = true;
        weir_relay_fail(c, WEIR_FAULT(LOCAL, DRAINING));
        retire(c);
        tell_all(c, WEIR_FAULT(LOCAL, DRAINING));
    }
    weir_list_unlink(&c->node);
    weir_count(&w->metrics, c->is_up ? WEIR_C_UP_ACTIVE : WEIR_C_DOWN_ACTIVE, (uint64_t)-1);
    if (c->is_up && c->endpoint)
        endpoint_unuse(c);
    if (!c->is_up)
        weir_limit_release(&w->connections, 1);
    if (c->parent_epoch)
        weir_epoch_unuse(c->parent_epoch);
    if (c->codec)
        c->codec->ops->free(c->codec);
    held_free(c);
    weir_bufq_deinit(&c->out);
    weir_free(c->expect);
    weir_free(c);
    if (w->draining && weir_list_empty(&w->downs) && weir_list_empty(&w->ups) && w->on_idle)
        w->on_idle(w->on_arg);
}

static const struct weir_stream_events stream_events = {
    .open = on_open,
    .read = on_read,
    .eof = on_eof,
    .drain = on_drain,
    .error = on_error,
    .closed = on_closed,
};
