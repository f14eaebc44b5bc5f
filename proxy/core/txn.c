/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of events in one request. Downstream events drive it forward, upstream events drive the answer back; the only way back is to
 * another attempt (retry). A txn is freed by weir_txn_finish alone, so whoever calls a function that may end the txn
 * (reply_fault, finish) returns right after.
 *
 *   HEAD --routed--> LEASE --connection--> SENT --response head--> RELAY
 *     \                 \  ^----retry-------/
 *      `--- fault -------`--- fault --> LOCAL
 */
#include "core/txn.h"

#include "base/asan.h"
#include "base/mem.h"
#include "core/filter.h"
#include "core/interim.h"
#include "core/pipe.h"
#include "core/pool.h"
#include "core/retry.h"
#include "core/session.h"
#include "core/timeout.h"
#include "core/upgrade.h"
#include "http/hop.h"

#define ARENA_BLOCK 4096u
#define FREE_TXNS   1024u

/* ---- birth and death ---- */

static const struct weir_fault no_fault = { 0, WEIR_FAULT_NONE };

static void side_init(struct weir_flow_side *s, bool is_request) {
    memset(s, 0, sizeof(*s));
    weir_list_init(&s->blocked);
    s->is_request = is_request;
}

/* Whoever still looks at a freed one is found out by AddressSanitizer. */
static void give_free(struct weir_txn *t) {
    struct weir_worker *w = t->worker;
    size_t behind = offsetof(struct weir_txn, up_node) + sizeof(t->up_node);

    weir_list_push_front(&w->free_txns, &t->up_node);
    w->n_free_txns++;
    WEIR_POISON(t, offsetof(struct weir_txn, up_node));
    WEIR_POISON((char *)t + behind, sizeof(*t) - behind);
}

struct weir_txn *weir_txn_take_free(struct weir_worker *w) {
    struct weir_txn *t = WEIR_CONTAINER_OF(w->free_txns.next, struct weir_txn, up_node);

    WEIR_UNPOISON(t, sizeof(*t));
    weir_list_unlink(&t->up_node);
    w->n_free_txns--;
    return t;
}

void weir_txn_give_back(struct weir_txn *t) {
    weir_arena_deinit(&t->arena);
    weir_free(t);
}

struct weir_txn *weir_txn_new_detached(struct weir_worker *w, struct weir_epoch *epoch) {
    struct weir_arena arena;
    struct weir_txn *t;

    if (!weir_list_empty(&w->free_txns)) {
        t = weir_txn_take_free(w);
        arena = t->arena;
    } else {
        t = weir_malloc(sizeof(*t));
        if (!t)
            return NULL;
        weir_arena_init(&arena, ARENA_BLOCK);
    }
    memset(t, 0, sizeof(*t));
    t->arena = arena;
    t->worker = w;
    t->epoch = epoch;
    epoch->users++;
    weir_list_init(&t->up_node);
    weir_list_init(&t->down_node);
    weir_list_init(&t->mirrors);
    weir_bufq_init(&t->held, w->pool, 0);
    weir_head_init(&t->req, &t->arena);
    weir_head_init(&t->res, &t->arena);
    side_init(&t->out, true);
    side_init(&t->in, false);
    weir_deadline_init(&t->deadline, weir_txn_deadline);
    t->request_due = t->backend_due = t->retry_due = t->head_due = t->waiting_due = WEIR_NEVER;
    t->t_begin = weir_worker_now(w);
    t->fault_detail = "";
    return t;
}

struct weir_txn *weir_txn_new(struct weir_conn *down, struct weir_cstream *cs) {
    struct weir_worker *w = down->worker;
    struct weir_txn *t = weir_txn_new_detached(w, w->epoch);

    if (!t)
        return NULL;
    t->down = down;
    t->down_cs = cs;
    t->identified = down->info.peer != NULL && down->dir == WEIR_DIR_INBOUND;
    weir_list_push_back(&down->txns, &t->down_node);
    t->wall_begin = w->net->ops->wall(w->net);
    weir_count(&w->metrics, WEIR_C_REQUESTS, 1);
    weir_count(&w->metrics, WEIR_C_REQUESTS_ACTIVE, 1);
    return t;
}

void weir_txn_free(struct weir_txn *t) {
    struct weir_worker *w = t->worker;

    weir_list_unlink(&t->down_node);
    weir_list_unlink(&t->up_node);
    weir_deadline_deinit(&w->wheel, &t->deadline);
    weir_bufq_deinit(&t->held);
    if (t->kept)
        weir_retry_end(t);
    weir_chunk_unref(t->req_chunk);
    weir_chunk_unref(t->res_chunk);
    if (t->target)
        t->target->users--;
    weir_epoch_unuse(t->epoch);
    if (!t->is_mirror && !t->left)
        weir_count(&w->metrics, WEIR_C_REQUESTS_ACTIVE, (uint64_t)-1);
    if (w->n_free_txns >= FREE_TXNS || !w->pool->keep) {
        weir_txn_give_back(t);
        return;
    }
    weir_arena_reset(&t->arena);
    give_free(t);
}

void weir_txn_aim(struct weir_txn *t) {
    t->target = weir_worker_target(t->worker, t->cluster);
    if (t->target)
        t->target->users++;
}

static void release_endpoint(struct weir_txn *t) {
    if (!t->endpoint)
        return;
    weir_pool_leave(t);
    t->endpoint->outstanding--;
    if (t->endpoint->users == 1)
        weir_pool_forget(t->endpoint);
    weir_lb_unuse(t->target->lb, t->endpoint);
    t->endpoint = NULL;
}

struct weir_conn *weir_txn_detach(struct weir_txn *t) {
    struct weir_conn *up = t->up;

    weir_pipe_unpause(&t->in, up);
    weir_list_unlink(&t->out.blocked);
    weir_list_unlink(&t->up_node);
    t->up = NULL;
    t->up_cs = NULL;
    t->backend_due = t->head_due = WEIR_NEVER;
    release_endpoint(t);
    return up;
}

/* Ends a running upstream exchange from our side. */
void weir_txn_abort_upstream(struct weir_txn *t, struct weir_fault why) {
    struct weir_cstream *cs = t->up_cs;
    struct weir_conn *up = t->up;

    if (!up) {
        release_endpoint(t);
        return;
    }
    weir_txn_detach(t);
    if (!cs || up->state == WEIR_CONN_CLOSED)
        return; /* still connecting: the connection goes to the pool when it opens */
    up->codec->ops->reset(up->codec, cs, why);
    if (weir_conn_is_h2(up)) {
        weir_conn_dirty(up);
        weir_pool_release(up);
    } else {
        weir_conn_close(up);
    }
}

/* Both sides of a tunnel have said all, but what the server has still to take is queued: its connection goes on without us. */
static void leave_tunnel(struct weir_txn *t) {
    t->up_cs->user = NULL;
    weir_conn_dirty(weir_txn_detach(t));
}

/* One stream of a connection goes on with us: it takes a place there until the server has done or takes nothing for too long. */
static void leave_stream(struct weir_txn *t) {
    weir_pipe_unpause(&t->in, t->up);
    weir_list_unlink(&t->down_node);
    t->left = true;
    t->down = NULL;
    weir_count(&t->worker->metrics, WEIR_C_REQUESTS_ACTIVE, (uint64_t)-1);
    weir_conn_watch(t->up);
    weir_conn_dirty(t->up);
}

void weir_txn_finish(struct weir_txn *t, struct weir_fault fault) {
    bool left =
        t->tunnel && fault.kind == WEIR_FAULT_NONE && t->up_cs && t->up->state == WEIR_CONN_HTTP;
    bool stream = left && weir_conn_is_h2(t->up);

    if (fault.kind != WEIR_FAULT_NONE && t->fault.kind == WEIR_FAULT_NONE) {
        t->fault = fault;
        weir_count_fault(&t->worker->metrics, fault);
    }
    if (left && !stream)
        leave_tunnel(t);
    else if (!left && (t->up || t->endpoint))
        weir_txn_abort_upstream(t, fault.kind ? fault : WEIR_FAULT(DOWNSTREAM, RESET));
    weir_pipe_unpause(&t->out, t->down);
    if (!weir_list_empty(&t->mirrors))
        weir_mirror_leave(t);
    weir_txn_log(t);
    if (stream)
        leave_stream(t);
    else
        weir_txn_free(t);
}

/* ---- the way up ---- */

int weir_txn_lease(struct weir_txn *t) {
    struct weir_worker *w = t->worker;

    t->endpoint = t->session ? weir_session_endpoint(t) : NULL;
    if (!t->endpoint)
        t->endpoint = weir_lb_pick(t->target->lb, weir_worker_now(w), t->tried,
                                   t->attempts < WEIR_TXN_TRIES ? t->attempts : WEIR_TXN_TRIES);
    if (!t->endpoint)
        return WEIR_LEASE_NONE;
    weir_lb_use(t->target->lb, t->endpoint);
    t->endpoint->outstanding++;
    t->up_ip = t->endpoint->ip;
    t->up_port = t->endpoint->port;
    t->phase = WEIR_TXN_LEASE;
    t->attempts++;
    return weir_pool_lease(t);
}

void weir_txn_attempt(struct weir_txn *t) {
    const struct weir_route_rule *rule = t->decision.rule;
    int r;

    if (rule && rule->has_timeout_backend && rule->timeout_backend_us) {
        t->backend_due = weir_worker_now(t->worker) + rule->timeout_backend_us;
        weir_txn_arm(t);
    }
    r = weir_txn_lease(t);
    if (r < 0)
        weir_txn_upstream_failed(t, WEIR_FAULT(UPSTREAM, CONNECT_FAILED), false);
    else if (r == WEIR_LEASE_FULL)
        weir_txn_upstream_failed(t, WEIR_FAULT(UPSTREAM, LIMIT_CONNECTIONS), false);
    else if (r > 0)
        weir_txn_reply_fault(t, WEIR_FAULT(LOCAL, NO_ENDPOINT), t->target->name);
}

static bool idempotent(enum weir_method m) {
    return m == WEIR_METHOD_GET || m == WEIR_METHOD_HEAD || m == WEIR_METHOD_OPTIONS ||
           m == WEIR_METHOD_PUT || m == WEIR_METHOD_DELETE || m == WEIR_METHOD_TRACE;
}

/* All that is decided about it is decided by the configuration in force now, though its first byte may be older. */
static void renew_epoch(struct weir_txn *t) {
    struct weir_epoch *old = t->epoch;

    if (old == t->worker->epoch)
        return;
    t->epoch = weir_epoch_use(t->worker);
    weir_epoch_unuse(old);
}

void weir_txn_request_head(struct weir_txn *t, struct weir_chunk *chunk) {
    struct weir_fault fault;

    if (chunk)
        t->req_chunk = weir_chunk_ref(chunk);
    if (t->phase != WEIR_TXN_HEAD)
        return; /* it came too late and was answered */
    renew_epoch(t);
    if (t->identified && weir_mesh_take_request(t) < 0) {
        weir_txn_reply_fault(t, WEIR_FAULT(LOCAL, INTERNAL), "");
        return;
    }
    t->idempotent = idempotent(t->req.method);
    fault = weir_mem_high() ? WEIR_FAULT(LOCAL, LIMIT_MEMORY) : weir_txn_decide(t);
    if (fault.kind == WEIR_FAULT_NONE)
        fault = weir_pipe_limit(t);
    if (fault.kind == WEIR_FAULT_NONE && t->answer) {
        weir_filter_answer(t);
        return;
    }
    if (fault.kind == WEIR_FAULT_NONE && weir_fields_request(t) < 0)
        fault = WEIR_FAULT(LOCAL, INTERNAL);
    if (fault.kind != WEIR_FAULT_NONE) {
        weir_txn_reply_fault(t, fault, t->fault_detail);
        return;
    }
    if (t->req.body != WEIR_BODY_NONE) {
        weir_conn_watch(t->down);
        if (weir_interim_request(t) < 0) {
            weir_txn_reply_fault(t, WEIR_FAULT(LOCAL, INTERNAL), "");
            return;
        }
    }
    weir_txn_aim(t);
    weir_txn_set_timeouts(t);
    if (weir_retry_of(t))
        weir_retry_begin(t);
    weir_txn_attempt(t);
}

void weir_txn_request_data(struct weir_txn *t, struct weir_chunk *chunk, struct weir_slice bytes) {
    bool full;
    int r;

    if (weir_pipe_beyond(t, bytes.len)) {
        weir_txn_reply_fault(t, WEIR_FAULT(DOWNSTREAM, BODY_TOO_LARGE), "");
        return;
    }
    if (!weir_list_empty(&t->mirrors))
        weir_mirror_data(t, chunk, bytes);
    if (t->kept)
        weir_retry_keep(t, chunk, bytes);
    if (t->phase == WEIR_TXN_LEASE) {
        r = weir_bufq_append_ref(&t->held, chunk, bytes);
        full = t->held.len >= weir_worker_limits(t->worker)->pipe_bytes;
    } else if (t->up_cs) {
        r = weir_pipe_pass(t->up, t->up_cs, chunk, bytes);
        full = r == 0 && weir_conn_full(t->up, t->up_cs);
        if (full && weir_list_empty(&t->out.blocked))
            weir_list_push_back(&t->up->blocked, &t->out.blocked);
    } else {
        r = 0; /* answered already: thrown away */
        full = false;
    }
    if (r < 0) {
        weir_txn_reply_fault(
            t, r == -EPROTO ? WEIR_FAULT(DOWNSTREAM, BAD_FRAMING) : WEIR_FAULT(LOCAL, INTERNAL),
            "");
        return;
    }
    weir_pipe_flow(&t->out, bytes.len, t->down, t->down_cs, full);
}

/* Passes the end of the request on. May end the txn. */
static void send_request_end(struct weir_txn *t) {
    int r = 0;

    weir_txn_await_head(t);
    if (t->req.body != WEIR_BODY_NONE || t->tunnel)
        r = t->up->codec->ops->send_end(t->up->codec, t->up_cs,
                                        t->down_cs ? t->down_cs->trailers : NULL);
    if (t->tunnel && !weir_conn_is_h2(t->up))
        t->up->fin_after_flush = true;
    weir_conn_dirty(t->up);
    if (r < 0)
        weir_txn_reply_fault(
            t, r == -EPROTO ? WEIR_FAULT(DOWNSTREAM, BAD_FRAMING) : WEIR_FAULT(LOCAL, INTERNAL),
            "");
}

void weir_txn_request_end(struct weir_txn *t) {
    t->req_end = true;
    if (!weir_list_empty(&t->mirrors))
        weir_mirror_end(t);
    if (t->up_cs && !t->out.done)
        send_request_end(t);
}

void weir_txn_upstream_open(struct weir_txn *t) {
    struct weir_codec *codec = t->up->codec;
    bool end = t->req.body == WEIR_BODY_NONE;
    int r;

    weir_head_init(&t->res, &t->arena);
    r = codec->ops->open(codec, t, &t->res, &t->up_cs);
    if (r < 0) {
        weir_txn_upstream_failed(t, WEIR_FAULT(UPSTREAM, GOAWAY), false);
        return;
    }
    if (t->endpoint->conf && t->endpoint->conf->n_ips > 0)
        t->up_ip = t->up->info.remote;
    t->phase = WEIR_TXN_SENT;
    t->t_sent = weir_worker_now(t->worker);
    weir_conn_watch(t->up);
    r = t->req.wants_upgrade ? weir_upgrade_request(t) : 0;
    if (r == 0 && (t->marked || weir_conn_is_h2(t->up)))
        r = weir_mesh_send_request(t, end);
    else if (r == 0)
        r = codec->ops->send_head(codec, t->up_cs, &t->req, end);
    if (r == 0 && !end)
        weir_retry_keep_held(t);
    if (r == 0 && t->held.len > 0)
        r = codec->ops->send_data(codec, t->up_cs, &t->held);
    weir_conn_dirty(t->up);
    if (r < 0) {
        weir_txn_reply_fault(
            t, r == -EPROTO ? WEIR_FAULT(DOWNSTREAM, BAD_FIELD) : WEIR_FAULT(LOCAL, INTERNAL), "");
        return;
    }
    if (end) {
        weir_txn_await_head(t);
        return;
    }
    weir_pipe_resume(&t->out, t->down, t->down_cs);
    if (t->req_end)
        send_request_end(t);
}

/* ---- the way down ---- */

/* An upstream answer we cannot pass on. */
static void bad_response(struct weir_txn *t, int r) {
    weir_txn_reply_fault(
        t, r == -EPROTO ? WEIR_FAULT(UPSTREAM, BAD_RESPONSE) : WEIR_FAULT(LOCAL, INTERNAL), "");
}

/* Both directions are open again, for as long as they like. */
static void begin_tunnel(struct weir_txn *t) {
    t->tunnel = true;
    t->req_end = t->out.done = false;
    t->request_due = t->backend_due = WEIR_NEVER;
    weir_upgrade_watch(t);
}

void weir_txn_response_head(struct weir_txn *t, struct weir_chunk *chunk) {
    bool informational = t->res.status < 200 && t->res.status != 101;
    struct weir_codec *codec;
    int r = 0;

    if (t->is_mirror) {
        weir_mirror_response(t, false);
        return;
    }
    codec = t->down->codec;
    if (t->phase != WEIR_TXN_SENT || !t->down_cs)
        return;
    if (t->marked)
        r = weir_mesh_take_response(t);
    weir_hop_strip(&t->res);
    if (t->carried && r == 0)
        r = weir_mesh_mark_response(t);
    if (r < 0) {
        bad_response(t, r);
        return;
    }
    if (informational) {
        weir_interim_response(t);
        return;
    }
    if (weir_retry_of(t) && weir_retry_wants(weir_retry_of(t), t->res.status) &&
        weir_retry_schedule(t, WEIR_FAULT(UPSTREAM, RESET)))
        return;
    if (chunk)
        t->res_chunk = weir_chunk_ref(chunk);
    t->head_due = WEIR_NEVER;
    t->t_response = weir_worker_now(t->worker);
    weir_lb_observe(t->endpoint, t->t_response - t->t_sent);
    t->status = t->res.status;
    if (t->req.wants_upgrade) {
        struct weir_fault fault = weir_upgrade_response(t);

        if (fault.kind != WEIR_FAULT_NONE) {
            weir_txn_reply_fault(t, fault, "");
            return;
        }
    }
    if (t->res.body == WEIR_BODY_CLOSE)
        t->res.body = WEIR_BODY_STREAM;
    r = weir_fields_response(t);
    if (r == 0)
        r = codec->ops->send_head(codec, t->down_cs, &t->res, t->res.body == WEIR_BODY_NONE);
    if (r < 0) {
        bad_response(t, r);
        return;
    }
    t->phase = WEIR_TXN_RELAY;
    t->res_started = true;
    weir_retry_end(t);
    if (t->res.body == WEIR_BODY_TUNNEL)
        begin_tunnel(t);
    weir_conn_dirty(t->down);
}

void weir_txn_response_data(struct weir_txn *t, struct weir_chunk *chunk, struct weir_slice bytes) {
    bool full;
    int r;

    if (t->is_mirror && t->up_cs)
        t->up->codec->ops->consumed(t->up->codec, t->up_cs, bytes.len);
    if (t->phase != WEIR_TXN_RELAY || !t->down_cs)
        return;
    r = weir_pipe_pass(t->down, t->down_cs, chunk, bytes);
    if (r < 0) {
        bad_response(t, r);
        return;
    }
    full = weir_conn_full(t->down, t->down_cs);
    if (full && weir_list_empty(&t->in.blocked)) {
        weir_list_push_back(&t->down->blocked, &t->in.blocked);
        weir_conn_watch(t->down);
    }
    weir_pipe_flow(&t->in, bytes.len, t->up, t->up_cs, full);
}

void weir_txn_response_end(struct weir_txn *t) {
    struct weir_codec *codec;
    int r = 0;

    if (t->is_mirror) {
        weir_mirror_response(t, true);
        return;
    }
    if (t->phase != WEIR_TXN_RELAY || !t->down_cs)
        return;
    codec = t->down->codec;
    if (t->res.body != WEIR_BODY_NONE)
        r = codec->ops->send_end(codec, t->down_cs, t->up_cs ? t->up_cs->trailers : NULL);
    if (r < 0) {
        bad_response(t, r);
        return;
    }
    t->in.done = true;
    if (t->tunnel && !weir_conn_is_h2(t->down))
        t->down->fin_after_flush = true;
    weir_conn_dirty(t->down);
    if (t->out.done || t->tunnel)
        return;
    /* An early answer: the rest of the request has nowhere to go. */
    weir_txn_abort_upstream(t, WEIR_FAULT(DOWNSTREAM, RESET));
    weir_txn_stop_upload(t);
}

void weir_txn_stop_upload(struct weir_txn *t) {
    if (t->req_end || t->req.body == WEIR_BODY_NONE || !t->down_cs || !weir_conn_is_h2(t->down))
        return;
    t->down->codec->ops->reset(t->down->codec, t->down_cs, no_fault);
    t->down_cs = NULL;
    weir_conn_dirty(t->down);
    weir_txn_finish(t, no_fault);
}

void weir_txn_upstream_closed(struct weir_txn *t) {
    struct weir_conn *up = weir_txn_detach(t);

    up->used_before = true;
    if (t->is_mirror)
        weir_mirror_done(t);
    else if (t->left)
        weir_txn_free(t);
    weir_pool_release(up);
}

void weir_txn_upstream_failed(struct weir_txn *t, struct weir_fault fault, bool reused) {
    bool retry = weir_retry_safe(t, fault, reused);
    bool connecting = t->phase == WEIR_TXN_LEASE;
    const char *detail = t->up && t->up->info.fault_reason ? t->up->info.fault_reason : "";

    if (t->endpoint && ((connecting && fault.kind != WEIR_FAULT_GOAWAY) || weir_retry_of(t)))
        t->tried[(t->attempts - 1) % WEIR_TXN_TRIES] = t->endpoint;
    weir_txn_detach(t);
    if (!retry) {
        if (!weir_retry_schedule(t, fault))
            weir_txn_reply_fault(t, fault, detail);
        return;
    }
    if (!connecting && weir_retry_replay(t) < 0) {
        weir_txn_reply_fault(t, WEIR_FAULT(LOCAL, INTERNAL), "");
        return;
    }
    t->fresh = reused;
    t->out.done = false;
    weir_count(&t->worker->metrics, WEIR_C_RETRIES, 1);
    weir_txn_attempt(t);
}
