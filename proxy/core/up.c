/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream role: a connection that opened, the answers on it, its deadlines. */
#include "core/txn.h"

#define STREAM_IDLE_US (300ull * 1000 * 1000) /* as down.c */

void weir_up_open(struct weir_conn *c) {
    struct weir_worker *w = c->worker;
    const struct weir_cluster *conf = c->target->conf;
    bool h2 = c->expect || weir_slice_eq(c->info.alpn, WEIR_SLICE("h2")) ||
              (conf && conf->proto == WEIR_UP_H2);

    weir_lb_report(c->target->lb, c->endpoint, true, weir_worker_now(w));
    weir_observe(&w->metrics, WEIR_H_CONNECT_US, weir_worker_now(w) - c->since);
    weir_deadline_clear(&c->deadline);
    if (weir_conn_start_http(c, h2) < 0) {
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
        return;
    }
    if (h2)
        weir_pool_share(c);
    WEIR_LIST_FOREACH_SAFE (it, next, &c->txns) {
        if (c->state != WEIR_CONN_HTTP)
            return;
        weir_txn_upstream_open(WEIR_CONTAINER_OF(it, struct weir_txn, up_node));
    }
    if (weir_list_empty(&c->txns))
        weir_pool_release(c); /* whoever asked for it is gone */
}

/* An exchange whose answer has begun and does not go on; NULL = none. */
static struct weir_txn *stalled(struct weir_conn *c) {
    bool moved = c->stream->bytes_in != c->mark_in;

    c->mark_in = c->stream->bytes_in;
    if (moved || c->paused > 0)
        return NULL;
    WEIR_LIST_FOREACH (it, &c->txns) {
        struct weir_txn *t = WEIR_CONTAINER_OF(it, struct weir_txn, up_node);

        if (t->phase != WEIR_TXN_RELAY || t->in.done || t->in.paused || t->tunnel)
            continue;
        if (t->res.body == WEIR_BODY_LENGTH ||
            weir_worker_now(c->worker) - t->t_response > STREAM_IDLE_US)
            return t;
    }
    return NULL;
}

void weir_up_deadline(struct weir_conn *c) {
    uint64_t now = weir_worker_now(c->worker);
    const struct weir_limits_spec *limits = weir_worker_limits(c->worker);
    struct weir_txn *t;

    if (c->state == WEIR_CONN_CONNECTING) {
        weir_conn_fail(c, WEIR_FAULT(UPSTREAM, TIMEOUT_CONNECT));
        return;
    }
    if (c->state == WEIR_CONN_RELAY)
        weir_relay_deadline(c);
    if (c->state != WEIR_CONN_HTTP)
        return;
    if (weir_list_empty(&c->txns)) {
        weir_conn_close(c);
        return;
    }
    if (weir_stream_pending(c->stream) > 0 && c->stream->bytes_out == c->mark_out) {
        weir_conn_fail(c, WEIR_FAULT(UPSTREAM, TIMEOUT_BODY));
        return;
    }
    c->mark_out = c->stream->bytes_out;
    t = stalled(c);
    if (t)
        weir_txn_reply_fault(t, WEIR_FAULT(UPSTREAM, TIMEOUT_BODY), "");
    if (c->state == WEIR_CONN_HTTP)
        weir_worker_deadline(c->worker, &c->deadline, now + limits->body_timeout_us);
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    weir_txn_response_head(cs->user, chunk);
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    weir_txn_response_data(cs->user, chunk, bytes);
}

static void on_end(void *arg, struct weir_cstream *cs) {
    weir_txn_response_end(cs->user);
}

static void on_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    struct weir_conn *c = arg;
    struct weir_txn *t = cs->user;

    t->up_cs = NULL;
    weir_txn_upstream_failed(t, fault, c->used_before);
    if (c->state == WEIR_CONN_HTTP)
        weir_pool_release(c);
}

static void on_closed(void *arg, struct weir_cstream *cs) {
    weir_txn_upstream_closed(cs->user);
}

static void on_draining(void *arg) {
    struct weir_conn *c = arg;

    weir_pool_remove(c);
    if (weir_list_empty(&c->txns)) {
        c->codec->must_close = true;
        weir_conn_dirty(c);
    }
}

const struct weir_codec_events weir_up_codec_events = {
    .head = on_head,
    .data = on_data,
    .end = on_end,
    .reset = on_reset,
    .closed = on_closed,
    .draining = on_draining,
};
