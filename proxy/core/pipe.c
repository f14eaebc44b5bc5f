/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two directions of content of one exchange: a sink that is full pauses its source (HTTP/1: reading stops; HTTP/2: no credit), and
 * whoever moves nothing for too long ends the exchange, not its neighbours on the same connection.
 */
#include "core/pipe.h"
#include "core/filter.h"

void weir_pipe_unpause(struct weir_flow_side *s, struct weir_conn *source) {
    weir_list_unlink(&s->blocked);
    if (!s->paused)
        return;
    s->paused = false;
    s->received_at = 0; /* its time begins now */
    if (source && source->state != WEIR_CONN_CLOSED && !weir_conn_is_h2(source))
        weir_conn_unpause(source);
}

void weir_pipe_flow(struct weir_flow_side *s, size_t n, struct weir_conn *source,
                    struct weir_cstream *source_cs, bool sink_full) {
    s->bytes += n;
    s->uncredited += n;
    if (sink_full) {
        if (!s->paused)
            weir_count(&source->worker->metrics, WEIR_C_PIPES_FULL, 1);
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

/* ---- size ---- */

struct weir_fault weir_pipe_limit(struct weir_txn *t) {
    const struct weir_route_policy *policy = t->decision.rule ? &t->decision.rule->policy : NULL;
    uint64_t max = policy && policy->has_max_body ? policy->max_body
                                                  : weir_worker_limits(t->worker)->body_bytes;

    t->max_body = max ? max : UINT64_MAX;
    if (t->req.content_length != UINT64_MAX && t->req.content_length > t->max_body)
        return WEIR_FAULT(DOWNSTREAM, BODY_TOO_LARGE);
    return (struct weir_fault){ 0, WEIR_FAULT_NONE };
}

bool weir_pipe_beyond(const struct weir_txn *t, size_t n) {
    return n > t->max_body - t->out.bytes && !t->tunnel && t->phase != WEIR_TXN_LOCAL;
}

/* ---- progress ---- */

/* What a side must have moved within `window`, and how far it had got when that began (at 0: it has not). */
struct pace {
    uint64_t window, rate;
    uint64_t *seen, *at;
};

/* True = the window is over, and the counter has not moved, or not as far as it must. */
static bool too_slow(const struct pace *p, uint64_t now, uint64_t counter) {
    uint64_t moved = counter - *p->seen, took = now - *p->at;
    bool begins = *p->at == 0;

    if (!begins && took < p->window)
        return false;
    *p->seen = counter;
    *p->at = now;
    return !begins && (moved == 0 || moved < p->rate * took / 1000000);
}

static uint64_t rate_of(const struct weir_txn *t) {
    const struct weir_route_policy *policy = t->decision.rule ? &t->decision.rule->policy : NULL;

    return policy && policy->has_min_body_rate ? policy->min_body_rate
                                               : weir_worker_limits(t->worker)->min_body_rate;
}

/*
 * Content of unknown length may be made as it is sent: it has longer, and needs no rate where somebody answers it already,
 * in gRPC, and from a server.
 */
static bool is_made(const struct weir_txn *t, const struct weir_flow_side *s) {
    return !s->is_request || t->res_started || weir_head_is_grpc(&t->req);
}

/* Does that source owe us content and send none, or too little? */
static bool source_stalled(struct weir_txn *t, struct weir_flow_side *s, uint8_t body) {
    const struct weir_limits_spec *limits = weir_worker_limits(t->worker);
    struct pace pace = { limits->body_timeout_us, rate_of(t), &s->received, &s->received_at };

    if (body != WEIR_BODY_LENGTH) {
        if (pace.window < limits->stream_timeout_us)
            pace.window = limits->stream_timeout_us;
        if (is_made(t, s))
            pace.rate = 0;
    }
    if (s->paused) { /* it may not send: our doing */
        s->received_at = 0;
        return false;
    }
    return too_slow(&pace, weir_worker_now(t->worker), s->bytes);
}

/* Is there content for that sink which it does not take? What is queued in the stream is the connection's to watch. */
static bool sink_stalled(struct weir_txn *t, struct weir_flow_side *s, struct weir_conn *sink,
                         struct weir_cstream *cs) {
    struct pace pace = { weir_worker_limits(t->worker)->body_timeout_us, rate_of(t), &s->sent,
                         &s->sent_at };
    size_t pending = cs ? sink->codec->ops->pending(sink->codec, cs) : 0;

    if (pending == 0) {
        s->sent_at = 0;
        return false;
    }
    return too_slow(&pace, weir_worker_now(t->worker), s->bytes - pending);
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
