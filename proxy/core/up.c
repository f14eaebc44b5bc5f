/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream role: a connection that opened, the answers on it, its deadlines. */
#include "core/pipe.h"
#include "core/pool.h"
#include "core/relay.h"
#include "core/txn.h"

void weir_up_open(struct weir_conn *c) {
    struct weir_worker *w = c->worker;
    bool h2 = c->proto == WEIR_UP_H2 || weir_slice_eq(c->info.alpn, WEIR_SLICE("h2"));

    weir_lb_report(c->target->lb, c->endpoint, true, weir_worker_now(w));
    weir_observe(&w->metrics, WEIR_H_CONNECT_US, weir_worker_now(w) - c->since);
    weir_conn_watch(c);
    if (weir_conn_start_http(c, h2) < 0) {
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
        return;
    }
    weir_pool_opened(c, h2);
    WEIR_LIST_FOREACH_SAFE (it, next, &c->txns) {
        struct weir_txn *t = WEIR_CONTAINER_OF(it, struct weir_txn, up_node);

        if (c->state != WEIR_CONN_HTTP)
            return;
        if (!t->up_cs) /* one that could not be opened may be here again already, for its next attempt */
            weir_txn_upstream_open(t);
    }
    if (weir_list_empty(&c->txns))
        weir_pool_release(c); /* whoever asked for it is gone */
}

void weir_up_deadline(struct weir_conn *c) {
    if (c->state == WEIR_CONN_CONNECTING) {
        weir_conn_fail(c, WEIR_FAULT(UPSTREAM, TIMEOUT_CONNECT));
        return;
    }
    if (c->state == WEIR_CONN_RELAY)
        weir_relay_deadline(c);
    if (c->state != WEIR_CONN_HTTP)
        return;
    if (c->codec->n_active == 0 && weir_list_empty(&c->txns)) {
        weir_conn_close(c);
        return;
    }
    if (weir_conn_output_stalled(c)) {
        weir_conn_fail(c, WEIR_FAULT(UPSTREAM, TIMEOUT_BODY));
        return;
    }
    WEIR_LIST_FOREACH_SAFE (it, next, &c->txns) {
        weir_txn_watch_up(WEIR_CONTAINER_OF(it, struct weir_txn, up_node));
    }
    if (c->state == WEIR_CONN_HTTP && c->codec->n_active > 0)
        weir_conn_watch(c);
}

/* NULL: told already, with its connection; or a tunnel that was left. */
static struct weir_txn *txn_of(const struct weir_conn *c, const struct weir_cstream *cs) {
    return c->state == WEIR_CONN_HTTP ? cs->user : NULL;
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct weir_txn *t = txn_of(arg, cs);

    if (t)
        weir_txn_response_head(t, chunk);
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    struct weir_txn *t = txn_of(arg, cs);

    if (t)
        weir_txn_response_data(t, chunk, bytes);
}

static void on_end(void *arg, struct weir_cstream *cs) {
    struct weir_txn *t = txn_of(arg, cs);

    if (t)
        weir_txn_response_end(t);
}

static void on_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    struct weir_conn *c = arg;
    struct weir_txn *t = txn_of(c, cs);

    if (t) {
        t->up_cs = NULL;
        /* A stream that the server resets on a living connection is no race with its idle timeout: it means it. */
        weir_txn_upstream_failed(t, fault, c->used_before && c->eof);
    }
    weir_pool_release(c);
}

static void on_closed(void *arg, struct weir_cstream *cs) {
    struct weir_txn *t = txn_of(arg, cs);

    if (t)
        weir_txn_upstream_closed(t);
    else
        weir_pool_release(arg);
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
