/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two directions of content of one exchange: a sink that is full pauses its source (HTTP/1: reading stops; HTTP/2: no credit), and
 * whoever moves nothing for too long ends the exchange, not its neighbours on the same connection.
 */
#include "core/pipe.h"
#include "core/filter.h"

/* Content whose length nobody announced may pause this long: event streams, gRPC. */
#define STREAM_IDLE_US (300ull * 1000 * 1000)

void weir_pipe_unpause(struct weir_flow_side *s, struct weir_conn *source) {
    weir_list_unlink(&s->blocked);
    if (!s->paused)
        return;
    s->paused = false;
    if (source && source->state != WEIR_CONN_CLOSED && !weir_conn_is_h2(source))
        weir_conn_unpause(source);
}

void weir_pipe_flow(struct weir_flow_side *s, size_t n, struct weir_conn *source,
                    struct weir_cstream *source_cs, bool sink_full) {
    s->bytes += n;
    s->uncredited += n;
    if (sink_full) {
        if (!s->paused && !weir_conn_is_h2(source))
            weir_conn_pause(source);
        s->paused = true;
        return;
    }
    if (s->paused || !source_cs)
        return;
    source->codec->ops->consumed(source->codec, source_cs, s->uncredited);
    s->uncredited = 0;
}

void weir_pipe_resume(struct weir_flow_side *s, struct weir_conn *source,
                      struct weir_cstream *source_cs) {
    weir_pipe_unpause(s, source);
    if (!source || !source_cs || source->state != WEIR_CONN_HTTP || s->uncredited == 0)
        return;
    source->codec->ops->consumed(source->codec, source_cs, s->uncredited);
    s->uncredited = 0;
    if (source->codec->want_pull)
        weir_conn_dirty(source);
}

void weir_txn_unblock(struct weir_flow_side *side, struct weir_conn *sink) {
    struct weir_txn *t = side->is_request ? WEIR_CONTAINER_OF(side, struct weir_txn, out)
                                          : WEIR_CONTAINER_OF(side, struct weir_txn, in);
    struct weir_cstream *cs = side->is_request ? t->up_cs : t->down_cs;

    if (sink->state == WEIR_CONN_HTTP && cs && !weir_conn_low(sink, cs))
        return;
    if (t->is_mirror)
        weir_mirror_unblock(t);
    else if (side->is_request)
        weir_pipe_resume(side, t->down, t->down_cs);
    else
        weir_pipe_resume(side, t->up, t->up_cs);
}

int weir_pipe_pass(struct weir_conn *sink, struct weir_cstream *cs, struct weir_chunk *chunk,
                   struct weir_slice bytes) {
    struct weir_bufq q;
    int r;

    weir_bufq_init(&q, sink->worker->pool, 0);
    r = weir_bufq_append_ref(&q, chunk, bytes);
    if (r == 0)
        r = sink->codec->ops->send_data(sink->codec, cs, &q);
    weir_bufq_deinit(&q);
    weir_conn_dirty(sink);
    return r;
}

/* ---- progress ---- */

/* seen_at 0 = not looked at yet. True = the counter has not moved for `limit`. */
static bool stands_still(uint64_t now, uint64_t limit, uint64_t counter, uint64_t *seen,
                         uint64_t *seen_at) {
    if (*seen_at == 0 || *seen != counter) {
        *seen = counter;
        *seen_at = now;
    }
    return now - *seen_at >= limit;
}

/* Does that source owe us content and send none? */
static bool source_stalled(struct weir_txn *t, struct weir_flow_side *s, uint8_t body) {
    uint64_t limit = weir_worker_limits(t->worker)->body_timeout_us;

    if (body != WEIR_BODY_LENGTH && limit < STREAM_IDLE_US)
        limit = STREAM_IDLE_US;
    if (s->paused) { /* it may not send: our doing */
        s->received_at = 0;
        return false;
    }
    return stands_still(weir_worker_now(t->worker), limit, s->bytes, &s->received, &s->received_at);
}

/* Is there content for that sink which it does not take? What is queued in the stream is the connection's to watch. */
static bool sink_stalled(struct weir_txn *t, struct weir_flow_side *s, struct weir_conn *sink,
                         struct weir_cstream *cs) {
    size_t pending = cs ? sink->codec->ops->pending(sink->codec, cs) : 0;

    if (pending == 0) {
        s->sent_at = 0;
        return false;
    }
    return stands_still(weir_worker_now(t->worker), weir_worker_limits(t->worker)->body_timeout_us,
                        s->bytes - pending, &s->sent, &s->sent_at);
}

void weir_txn_watch_down(struct weir_txn *t) {
    bool owes = t->phase != WEIR_TXN_HEAD && !t->req_end && !t->tunnel;

    if ((owes && source_stalled(t, &t->out, t->req.body)) ||
        sink_stalled(t, &t->in, t->down, t->down_cs))
        weir_txn_reply_fault(t, WEIR_FAULT(DOWNSTREAM, TIMEOUT_BODY), "");
}

void weir_txn_watch_up(struct weir_txn *t) {
    bool owes = t->phase == WEIR_TXN_RELAY && !t->in.done && !t->tunnel;

    if ((owes && source_stalled(t, &t->in, t->res.body)) ||
        sink_stalled(t, &t->out, t->up, t->up_cs))
        weir_txn_reply_fault(t, WEIR_FAULT(UPSTREAM, TIMEOUT_BODY), "");
}
