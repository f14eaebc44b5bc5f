/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opaque TCP between a downstream connection and one endpoint: bytes both ways, half-close kept, a slow side slows the other. Used for what a sidecar
 * was handed and must not read (the application's own TLS, protocols that are not HTTP).
 */
#include "core/relay.h"

#include "base/mem.h"
#include "core/detect.h"
#include "core/pool.h"
#include "core/txn.h"

static bool relaying(const struct weir_conn *c) {
    return c && c->state != WEIR_CONN_CLOSED;
}

/* Both directions have ended and everything has left. */
static void maybe_done(struct weir_conn *c) {
    struct weir_conn *peer = c->peer;

    if (!c->fin_sent || !peer->fin_sent || weir_stream_pending(c->stream) ||
        weir_stream_pending(peer->stream))
        return;
    weir_relay_fail(c, (struct weir_fault){ 0, WEIR_FAULT_NONE });
    weir_conn_close(c);
}

/* Runs on the upstream connection: both FINs queued, waiting for the last bytes; or both silent. */
void weir_relay_deadline(struct weir_conn *up) {
    struct weir_conn *down = up->peer;
    uint64_t now = weir_worker_now(up->worker);
    bool moved = up->stream->bytes_in + up->stream->bytes_out != up->mark_out;

    if (!down)
        return;
    if (up->fin_sent && down->fin_sent &&
        weir_stream_pending(up->stream) + weir_stream_pending(down->stream) == 0) {
        maybe_done(up);
        return;
    }
    up->mark_out = up->stream->bytes_in + up->stream->bytes_out;
    if (moved)
        up->since = now;
    else if (now - up->since > weir_worker_limits(up->worker)->tunnel_timeout_us) {
        weir_conn_fail(up, WEIR_FAULT(LOCAL, TIMEOUT_IDLE));
        return;
    }
    weir_worker_deadline(up->worker, &up->deadline, now + 1000000);
}

static void send(struct weir_conn *to, struct weir_bufq *q) {
    struct weir_conn *from = to->peer;

    weir_count(&to->worker->metrics, to->is_up ? WEIR_C_UP_BYTES_OUT : WEIR_C_DOWN_BYTES_OUT,
               q->len);
    if (weir_stream_write(to->stream, q) < 0) {
        weir_conn_fail(to, WEIR_FAULT(LOCAL, INTERNAL));
        return;
    }
    if (weir_stream_pending(to->stream) > WEIR_STREAM_LOW_MARK && from->paused == 0)
        weir_conn_pause(from);
}

/* From here on it is a relay for good. */
static void commit(struct weir_conn *down) {
    down->tentative = false;
    weir_count(&down->worker->metrics, WEIR_C_RELAYS, 1);
}

/* The client has spoken first: the server never hears of it, unless that is what the bytes say. */
static void retract(struct weir_conn *down) {
    struct weir_conn *up = down->peer;

    down->tentative = false;
    weir_relay_search_free(down);
    down->peer = up->peer = NULL;
    down->state = WEIR_CONN_SNIFF;
    down->since = weir_worker_now(down->worker);
    weir_conn_close(up);
    weir_detect_contrary(down);
}

void weir_relay_read(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct weir_bufq q;

    if (c->tentative) {
        retract(c);
        weir_down_read(c, chunk, bytes);
        return;
    }
    if (!relaying(c->peer))
        return;
    if (c->is_up && c->peer->tentative) {
        weir_detect_spoke(c->peer, WEIR_SPOKE_SERVER);
        commit(c->peer);
    }
    if (c->peer->state == WEIR_CONN_CONNECTING) {
        if (weir_conn_hold(c, chunk, bytes) < 0)
            weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
        else if (c->held->len >= weir_worker_limits(c->worker)->pipe_bytes && c->paused == 0)
            weir_conn_pause(c);
        return;
    }
    weir_bufq_init(&q, c->worker->pool, 0);
    if (weir_bufq_append_ref(&q, chunk, bytes) < 0)
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
    else
        send(c->peer, &q);
    weir_bufq_deinit(&q);
}

void weir_relay_eof(struct weir_conn *c) {
    struct weir_conn *peer = c->peer;
    struct weir_conn *down = c->is_up ? peer : c;

    if (down && down->tentative)
        commit(down);
    if (!relaying(peer) || peer->state == WEIR_CONN_CONNECTING || peer->fin_sent)
        return;
    peer->fin_sent = true;
    weir_stream_shutdown(peer->stream);
    maybe_done(c);
}

void weir_relay_open(struct weir_conn *up) {
    struct weir_conn *down = up->peer;

    up->state = WEIR_CONN_RELAY;
    weir_relay_search_free(down);
    weir_lb_report(up->target->lb, up->endpoint, true, weir_worker_now(up->worker));
    up->since = weir_worker_now(up->worker);
    weir_worker_deadline(up->worker, &up->deadline, up->since + 1000000);
    if (down->held) {
        send(up, down->held);
        weir_bufq_deinit(down->held);
        down->held = weir_free(down->held);
    }
    if (up->state != WEIR_CONN_RELAY || down->state != WEIR_CONN_RELAY)
        return;
    if (down->paused && weir_stream_pending(up->stream) <= WEIR_STREAM_LOW_MARK)
        weir_conn_unpause(down);
    if (down->eof)
        weir_relay_eof(down);
    weir_conn_update_reading(up);
}

void weir_relay_drain(struct weir_conn *c) {
    if (!relaying(c->peer))
        return;
    if (c->peer->paused > 0)
        weir_conn_unpause(c->peer);
    maybe_done(c);
}

/* The downstream side carries the record; it is written once. */
void weir_relay_fail(struct weir_conn *c, struct weir_fault fault) {
    struct weir_conn *peer = c->peer;
    struct weir_conn *down = c->is_up ? peer : c;

    if (!peer)
        return;
    if (down->tentative)
        commit(down);
    weir_relay_log(down, fault, "");
    if (fault.kind != WEIR_FAULT_NONE)
        weir_count_fault(&c->worker->metrics, fault);
    c->peer = NULL;
    peer->peer = NULL;
    if (fault.kind == WEIR_FAULT_NONE)
        weir_conn_close(peer);
    else
        weir_conn_cut(peer); /* bytes are missing: it must not look like their end */
}

/*
 * As whom the other side must prove itself; "" = plaintext. What the application has encrypted itself goes as it is, unless the
 * server's pod wants to know who calls.
 */
static int wanted(const struct weir_conn *down, const struct weir_target *target,
                  struct weir_lb_endpoint *e, const char **ret_expect) {
    const struct weir_runtime *rt = down->worker->epoch->rt;
    const struct weir_pod *pod = e->conf ? e->conf->pod : NULL;

    *ret_expect = "";
    if (!target->conf || !pod || !rt->tls.mesh_client_tcp)
        return 0;
    if (down->own_tls && weir_snapshot_mtls(rt->snapshot, pod, e->port) != WEIR_MTLS_STRICT)
        return 0;
    return weir_pool_expect(down->worker, target->conf, e, ret_expect);
}

void weir_relay_search_free(struct weir_conn *down) {
    if (down->search)
        down->search->target->users--;
    down->search = weir_free(down->search);
}

static bool was_tried(const struct weir_relay_search *s, const struct weir_lb_endpoint *e) {
    for (uint32_t i = 0; i < s->n_tried; i++)
        if (s->tried[i] == e)
            return true;
    return false;
}

/* NULL = none that was not tried. */
static struct weir_lb_endpoint *pick(const struct weir_conn *down) {
    struct weir_relay_search *s = down->search;
    struct weir_lb_endpoint *e =
        weir_lb_pick(s->target->lb, weir_worker_now(down->worker), s->tried, s->n_tried);

    return e && !was_tried(s, e) ? e : NULL;
}

/* A try behind which there may be another leaves it half of the time. As weir_pool_dial. */
static int dial(struct weir_conn *down, struct weir_lb_endpoint *e, struct weir_conn **ret_up) {
    struct weir_relay_search *s = down->search;
    struct weir_pool_dial how = { .target = s->target,
                                  .endpoint = e,
                                  .connect_us = s->due - weir_worker_now(down->worker) };
    int r = wanted(down, s->target, e, &how.expect);

    if (r < 0)
        return r;
    s->tried[s->n_tried++] = e;
    if (s->n_tried < WEIR_TXN_TRIES && pick(down))
        how.connect_us = how.connect_us / 2 + 1;
    if (how.expect[0]) {
        how.tls = down->worker->epoch->rt->tls.mesh_client_tcp;
    } else if (!down->own_tls && s->target->conf && s->target->conf->tls_tcp) {
        how.tls = s->target->conf->tls_tcp;
        how.sni = s->target->conf->sni;
    }
    return weir_pool_dial(down->worker, &how, ret_up);
}

/* 0 = under way, -errno, WEIR_LEASE_FULL, WEIR_LEASE_NONE. */
static int search(struct weir_conn *down) {
    struct weir_relay_search *s = down->search;
    int r = WEIR_LEASE_NONE;

    while (s->n_tried < WEIR_TXN_TRIES && weir_worker_now(down->worker) < s->due) {
        struct weir_lb_endpoint *e = pick(down);
        struct weir_conn *up = NULL;

        if (!e)
            break;
        weir_lb_use(s->target->lb, e);
        r = dial(down, e, &up);
        if (e->users == 1)
            weir_pool_forget(e);
        weir_lb_unuse(s->target->lb, e);
        if (r == 0) {
            up->peer = down;
            down->peer = up;
            return 0;
        }
    }
    return r;
}

bool weir_relay_again(struct weir_conn *up, struct weir_fault fault) {
    struct weir_conn *down = up->peer;

    if (!up->is_up || up->state != WEIR_CONN_CONNECTING || !down->search ||
        fault.kind == WEIR_FAULT_IDENTITY || fault.side != WEIR_SIDE_UPSTREAM)
        return false;
    down->peer = NULL;
    if (search(down) == 0) {
        up->peer = NULL;
        weir_count(&up->worker->metrics, WEIR_C_RETRIES, 1);
        return true;
    }
    down->peer = up;
    return false;
}

static void refuse(struct weir_conn *down, struct weir_fault fault) {
    weir_relay_log(down, fault, "");
    weir_count_fault(&down->worker->metrics, fault);
    weir_conn_cut(down);
}

static void start(struct weir_conn *down, struct weir_target *target, bool tentative) {
    struct weir_worker *w = down->worker;
    int r = -ENOMEM;

    if (!tentative)
        weir_count(&w->metrics, WEIR_C_RELAYS, 1);
    if (weir_mem_high()) {
        refuse(down, WEIR_FAULT(LOCAL, LIMIT_MEMORY));
        return;
    }
    down->search = weir_calloc(1, sizeof(*down->search));
    if (down->search) {
        down->search->target = target;
        target->users++;
        down->search->due = weir_worker_now(w) + weir_pool_terms(w, target)->connect_us;
        r = search(down);
    }
    if (r != 0) {
        refuse(down, r == WEIR_LEASE_NONE   ? WEIR_FAULT(LOCAL, NO_ENDPOINT)
                     : r == WEIR_LEASE_FULL ? WEIR_FAULT(UPSTREAM, LIMIT_CONNECTIONS)
                                            : WEIR_FAULT(UPSTREAM, CONNECT_FAILED));
        return;
    }
    down->state = WEIR_CONN_RELAY;
    down->tentative = tentative;
    weir_deadline_clear(&down->deadline);
    weir_conn_update_reading(down);
}

void weir_relay_start(struct weir_conn *down, struct weir_target *target) {
    start(down, target, false);
}

void weir_relay_start_tentative(struct weir_conn *down, struct weir_target *target) {
    start(down, target, true);
}
