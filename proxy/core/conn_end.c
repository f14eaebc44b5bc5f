/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connection ends: at once, after what was sent has arrived, or because its stream died. Whoever ends it, each exchange on it is told once,
 * each count is given back once, and memory goes only with the stream's `closed` event.
 */
#include "core/conn.h"

#include "base/mem.h"
#include "core/admit.h"
#include "core/pipe.h"
#include "core/pool.h"
#include "core/relay.h"
#include "core/self.h"
#include "core/txn.h"

#define LINGER_US    (2u * 1000u * 1000u)
#define LINGER_BYTES (1024u * 1024u)

void weir_conn_held_free(struct weir_conn *c) {
    if (!c->held)
        return;
    weir_bufq_deinit(c->held);
    c->held = weir_free(c->held);
}

void weir_conn_linger(struct weir_conn *c) {
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
    weir_conn_held_free(c);
    (void)weir_conn_output_stalled(c);
    weir_worker_deadline(c->worker, &c->deadline, weir_worker_now(c->worker) + LINGER_US);
    weir_conn_update_reading(c);
}

/* Whoever still takes what was sent gets it all. */
void weir_conn_linger_deadline(struct weir_conn *c) {
    if (weir_conn_output_stalled(c) || weir_stream_pending(c->stream) == 0)
        weir_conn_close(c);
    else
        weir_conn_watch(c);
}

/* A codec that is at work would go on reading into the head of an exchange that is gone. */
static void take_back(struct weir_conn *c, struct weir_cstream **cs, struct weir_fault fault) {
    if (c->in_codec && *cs)
        c->codec->ops->reset(c->codec, *cs, fault);
    *cs = NULL;
}

static void tell_txns(struct weir_conn *c, struct weir_fault fault) {
    while (!weir_list_empty(&c->txns)) {
        struct weir_list *it = c->txns.next;
        struct weir_txn *t = c->is_up ? WEIR_CONTAINER_OF(it, struct weir_txn, up_node)
                                      : WEIR_CONTAINER_OF(it, struct weir_txn, down_node);

        take_back(c, c->is_up ? &t->up_cs : &t->down_cs, fault);
        if (c->is_up)
            weir_txn_upstream_failed(t, fault, c->used_before);
        else
            weir_txn_finish(t, fault);
    }
}

/* From here on it takes part in nothing. */
static void retire(struct weir_conn *c) {
    if (c->is_up) {
        weir_pool_closed(c);
    } else {
        weir_list_unlink(&c->pool_node);
        weir_handshake_over(c);
    }
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

static void count_handshake(struct weir_metrics *m, struct weir_fault fault) {
    if (fault.kind == WEIR_FAULT_TLS || fault.kind == WEIR_FAULT_IDENTITY ||
        fault.kind == WEIR_FAULT_TIMEOUT_HANDSHAKE)
        weir_count(m, WEIR_C_TLS_FAILED, 1);
    if (fault.kind == WEIR_FAULT_IDENTITY)
        weir_count(m, WEIR_C_IDENTITY_REFUSED, 1);
}

void weir_conn_cut(struct weir_conn *c) {
    if (c->state != WEIR_CONN_CLOSED)
        shut(c, true);
}

/* What its end says about the endpoint and the handshake; each connection once, however many exchanges wait for it. */
static void count_failed(struct weir_conn *c, struct weir_fault fault) {
    struct weir_worker *w = c->worker;

    if (c->state == WEIR_CONN_HELLO || c->state == WEIR_CONN_HANDSHAKE ||
        c->state == WEIR_CONN_CONNECTING)
        count_handshake(&w->metrics, fault);
    if (c->state != WEIR_CONN_CONNECTING || fault.side != WEIR_SIDE_UPSTREAM)
        return;
    weir_count(&w->metrics, WEIR_C_UP_CONNECT_FAILED, 1);
    weir_lb_report(c->target->lb, c->endpoint, false, weir_worker_now(w));
}

void weir_conn_fail(struct weir_conn *c, struct weir_fault fault) {
    bool alone = weir_list_empty(&c->txns), relayed = c->peer != NULL;
    /* What is unfinished must not look finished: only a reset says so in HTTP/1 and in bytes we cannot read. */
    bool cut = relayed || (!alone && c->state == WEIR_CONN_HTTP && !weir_conn_is_h2(c));

    if (c->state == WEIR_CONN_CLOSED)
        return;
    fault.side = fault.side == WEIR_SIDE_LOCAL ? WEIR_SIDE_LOCAL
                 : c->is_up                    ? WEIR_SIDE_UPSTREAM
                                               : WEIR_SIDE_DOWNSTREAM;
    count_failed(c, fault);
    if (relayed && weir_relay_again(c, fault)) {
        shut(c, true);
        return;
    }
    if (relayed)
        weir_relay_fail(c, fault);
    else if (alone && !c->is_up && c->state != WEIR_CONN_LINGER)
        weir_count_fault(&c->worker->metrics, fault);
    shut(c, cut);
    tell_all(c, fault);
}

static void endpoint_unuse(struct weir_conn *c) {
    if (c->endpoint->users == 1)
        weir_pool_forget(c->endpoint);
    weir_lb_unuse(c->target->lb, c->endpoint);
    c->target->users--;
}

static void up_deinit(struct weir_conn *c) {
    if (c->endpoint)
        endpoint_unuse(c);
    weir_free(c->expect);
    weir_free(c->sni);
}

static void down_deinit(struct weir_conn *c) {
    weir_admit_over(c);
    if (c->parent_epoch)
        weir_epoch_unuse(c->parent_epoch);
    weir_relay_search_free(c);
    weir_free(c->name);
}

void weir_conn_closed(void *arg) {
    struct weir_conn *c = arg;
    struct weir_worker *w = c->worker;

    if (c->state != WEIR_CONN_CLOSED) { /* the loop is being stopped */
        w->stopped = true;
        weir_self_stop(w);
        weir_relay_fail(c, WEIR_FAULT(LOCAL, DRAINING));
        retire(c);
        tell_all(c, WEIR_FAULT(LOCAL, DRAINING));
    }
    weir_list_unlink(&c->node);
    weir_count(&w->metrics, c->is_up ? WEIR_C_UP_ACTIVE : WEIR_C_DOWN_ACTIVE, (uint64_t)-1);
    if (c->is_up)
        up_deinit(c);
    else
        down_deinit(c);
    if (c->codec)
        c->codec->ops->free(c->codec);
    weir_conn_held_free(c);
    weir_free(c->source);
    weir_free(c);
    if (w->draining && weir_list_empty(&w->downs) && weir_list_empty(&w->ups) && w->on_idle)
        w->on_idle(w->on_arg);
}
