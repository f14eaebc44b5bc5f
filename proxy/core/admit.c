/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admission. Beyond nine tenths of limits.connections each new connection costs an old one its place: one on which nothing runs, else one that
 * has not said anything complete for longest. Which is the oldest is looked for among the first of the worker's list; those that are busy go to
 * its end, so that the next look finds others (the clock algorithm, not a full scan).
 *
 * Near limits.memory (base/mem.h) nothing new is taken on, heads that are not complete may not grow, idle connections are closed, and what was kept for reuse is given back, so that
 * work under way can finish; then everything is as before.
 */
#include "core/admit.h"

#include "base/mem.h"
#include "core/down.h"
#include "core/txn.h"

#define LOOKED_AT     64u
#define SPEECHLESS_US (1000u * 1000u) /* a connection younger than that is given its time */
#define RELIEF        16u             /* idle connections closed in one tick */

/* ---- shedding ---- */

/* Nothing runs on it: it is kept for what may come. */
static bool is_idle(const struct weir_conn *c) {
    return c->state == WEIR_CONN_HTTP && weir_list_empty(&c->txns) && !c->held;
}

/* Since when nothing complete has been heard of it; WEIR_NEVER = something has. */
static uint64_t speechless_since(const struct weir_conn *c) {
    const struct weir_txn *t;

    if (c->state == WEIR_CONN_SNIFF || c->state == WEIR_CONN_HELLO ||
        c->state == WEIR_CONN_HANDSHAKE)
        return c->since;
    if (c->state != WEIR_CONN_HTTP || c->heads_open == 0 || weir_list_empty(&c->txns))
        return WEIR_NEVER;
    t = WEIR_CONTAINER_OF(c->txns.next, struct weir_txn, down_node);
    return t->phase == WEIR_TXN_HEAD ? t->t_begin : WEIR_NEVER;
}

static void end_speechless(struct weir_conn *c, struct weir_fault why) {
    if (c->state == WEIR_CONN_HTTP && !weir_conn_is_h2(c))
        weir_txn_reply_fault(WEIR_CONTAINER_OF(c->txns.next, struct weir_txn, down_node), why, "");
    else
        weir_conn_fail(c, why);
}

/* Ends the connection that has been idle for longest, or, when `speechless` may go too and none is idle, the one that has kept us waiting
 * for longest; among the first of the list. False: neither is there. */
static bool shed(struct weir_worker *w, bool speechless) {
    uint64_t idle_since = WEIR_NEVER, quiet_since = WEIR_NEVER;
    struct weir_conn *idle = NULL, *quiet = NULL;
    struct weir_list *it = w->downs.next;

    for (unsigned i = 0; i < LOOKED_AT && it != &w->downs; i++) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, node);
        uint64_t since = speechless_since(c);

        it = it->next;
        if (is_idle(c)) {
            if (c->since < idle_since) {
                idle = c;
                idle_since = c->since;
            }
        } else if (since != WEIR_NEVER) {
            if (since < quiet_since) {
                quiet = c;
                quiet_since = since;
            }
        } else {
            weir_list_unlink(&c->node);
            weir_list_push_back(&w->downs, &c->node);
        }
    }
    if (!idle && (!quiet || !speechless || weir_worker_now(w) - quiet_since < SPEECHLESS_US))
        return false;
    weir_count(&w->metrics, WEIR_C_DOWN_SHED, 1);
    if (idle)
        weir_down_goodbye(idle);
    else
        end_speechless(quiet, WEIR_FAULT(LOCAL, LIMIT_CONNECTIONS));
    return true;
}

/* ---- memory ---- */

void weir_relieve_spare(struct weir_worker *w) {
    weir_chunk_pool_trim(w->pool);
    while (!weir_list_empty(&w->free_txns))
        weir_txn_give_back(weir_txn_take_free(w));
    while (w->n_spare_codecs > 0) {
        struct weir_codec *codec = w->spare_codecs[--w->n_spare_codecs];

        codec->ops->free(codec);
    }
}

static void close_idle_upstreams(struct weir_worker *w) {
    WEIR_LIST_FOREACH_SAFE (it, next, &w->ups) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, node);

        if (is_idle(c) && c->codec->n_active == 0)
            weir_conn_close(c);
    }
}

void weir_relieve(struct weir_worker *w) {
    if (!weir_mem_high()) {
        w->pool->keep = true;
        return;
    }
    w->pool->keep = false;
    for (unsigned i = 0; i < RELIEF && shed(w, false); i++)
        ;
    close_idle_upstreams(w);
    weir_relieve_spare(w);
}

void weir_admit_head(struct weir_conn *c) {
    if (!weir_mem_high() || speechless_since(c) == WEIR_NEVER)
        return;
    end_speechless(c, WEIR_FAULT(LOCAL, LIMIT_MEMORY));
    weir_conn_flush(
        c); /* not at the end of the turn: what has come is given back before the next one reads */
}

/* ---- connections ---- */

struct weir_conn *weir_admit(struct weir_worker *w, struct weir_stream *s) {
    uint64_t max = weir_quota_connections(w->quota, weir_worker_limits(w)), n;
    struct weir_fault why = WEIR_FAULT(LOCAL, LIMIT_MEMORY);
    struct weir_conn *c = NULL;

    if (weir_mem_high()) {
        weir_relieve(w);
    } else if (!weir_quota_take(&w->quota->connections, max, &n)) {
        why = WEIR_FAULT(LOCAL, LIMIT_CONNECTIONS);
        shed(w, true);
    } else {
        c = weir_conn_new(w, s, false);
        if (!c)
            weir_quota_give(&w->quota->connections);
        else if (max != 0 && n >= max - max / 10)
            shed(w, true);
    }
    if (!c) {
        weir_count_fault(&w->metrics, why);
        weir_conn_refuse_stream(s);
    }
    return c;
}

bool weir_admit_source(struct weir_conn *c) {
    struct weir_quota *q = c->worker->quota;
    const struct weir_limits_spec *limits = weir_worker_limits(c->worker);
    uint64_t max = limits->source_connections;
    int r;

    if (max == 0)
        max = (weir_quota_connections(q, limits) + 1) / 2;
    if (c->dir == WEIR_DIR_OUTBOUND || weir_quota_exempt(&c->info.remote))
        return true;
    r = weir_quota_source_take(q, &c->info.remote, max, &c->counted_for);
    if (r == 0)
        return true;
    weir_count_fault(&c->worker->metrics,
                     r < 0 ? WEIR_FAULT(LOCAL, LIMIT_MEMORY) : WEIR_FAULT(LOCAL, LIMIT_SOURCE));
    weir_conn_cut(c);
    return false;
}

void weir_admit_peer(struct weir_conn *c) {
    weir_quota_source_give(c->worker->quota, c->counted_for);
    c->counted_for = NULL;
}

void weir_admit_over(struct weir_conn *c) {
    weir_admit_peer(c);
    weir_quota_give(&c->worker->quota->connections);
}

/* ---- handshakes ---- */

/* Puts TLS between the connection and its stream; what is held goes through it. */
static int begin(struct weir_conn *c) {
    struct weir_tls_stream_params params = { .lower = c->stream,
                                             .pool = c->worker->pool,
                                             .ctx = c->tls_due,
                                             .server = true,
                                             .lower_open = true,
                                             .first = c->held };
    const struct weir_stream_events *events = c->stream->events;
    struct weir_stream *tls;
    int r = weir_tls_stream_new(&params, &tls);

    if (r < 0)
        return r;
    c->tls_due = weir_tls_ctx_unref(c->tls_due);
    tls->events = events;
    tls->arg = c;
    c->stream = tls;
    weir_conn_held_free(c);
    c->paused = 0;
    c->reading = true;
    weir_stream_read_start(tls);
    return 0;
}

static bool take_slot(struct weir_conn *c) {
    uint64_t n;

    c->handshaking = weir_quota_take(&c->worker->quota->handshakes,
                                     weir_worker_limits(c->worker)->handshakes, &n);
    return c->handshaking;
}

/* Its turn, or to the end of those that wait for one. */
static int queue(struct weir_conn *c) {
    struct weir_worker *w = c->worker;

    if (weir_list_empty(&w->handshakes_due) && take_slot(c))
        return begin(c);
    weir_count(&w->metrics, WEIR_C_HANDSHAKES_WAITED, 1);
    weir_list_push_back(&w->handshakes_due, &c->pool_node);
    weir_conn_pause(c);
    return 0;
}

int weir_handshake_start(struct weir_conn *c, struct weir_tls_ctx *ctx) {
    c->state = WEIR_CONN_HANDSHAKE;
    c->tls_due = weir_tls_ctx_ref(ctx);
    weir_worker_deadline(c->worker, &c->deadline,
                         c->since + weir_worker_limits(c->worker)->handshake_timeout_us);
    if (c->held)
        return queue(c);
    weir_conn_update_reading(c);
    return 0;
}

void weir_handshake_read(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes) {
    int r = weir_conn_hold(c, chunk, bytes);

    if (r == 0 && weir_list_empty(&c->pool_node))
        r = queue(c);
    if (r < 0)
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
}

void weir_handshake_over(struct weir_conn *c) {
    struct weir_worker *w = c->worker;

    c->tls_due = weir_tls_ctx_unref(c->tls_due);
    if (!c->handshaking)
        return;
    c->handshaking = false;
    weir_quota_give(&w->quota->handshakes);
    if (!weir_list_empty(&w->handshakes_due))
        w->net->ops->wake(w->net);
}

void weir_handshake_next(struct weir_worker *w) {
    while (!weir_list_empty(&w->handshakes_due)) {
        struct weir_conn *c =
            WEIR_CONTAINER_OF(w->handshakes_due.next, struct weir_conn, pool_node);

        if (!take_slot(c))
            return;
        weir_list_unlink(&c->pool_node);
        if (begin(c) < 0)
            weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
    }
}
