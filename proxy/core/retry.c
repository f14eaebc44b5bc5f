/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content that another attempt needs, and retries that a route asks for. These are bounded four ways:
 * by the route's attempts, by the time the request has left, by what was kept of its content (up to
 * limits.pipeBytes; beyond that it cannot be sent again), and by a budget of the worker that keeps retries
 * from multiplying an overload: a fifth of the requests under such routes, and ten a second. Nothing is tried
 * again once an answer has begun.
 */
#include "core/retry.h"

#define COST       5u   /* tokens of a retry; a request adds one */
#define PER_SECOND 50u  /* tokens */
#define TOKENS_MAX 500u /* saved up at most */

static void refill(struct weir_worker *w, uint64_t add) {
    uint64_t now = weir_worker_now(w), tokens;

    if (w->retry_filled == 0) /* a new worker starts with a second's worth */
        w->retry_filled = now > 1000000 ? now - 1000000 : 1;
    tokens = (now - w->retry_filled) * PER_SECOND / 1000000;
    w->retry_filled += tokens * 1000000 / PER_SECOND;
    w->retry_tokens += tokens + add;
    if (w->retry_tokens > TOKENS_MAX)
        w->retry_tokens = TOKENS_MAX;
}

static bool take(struct weir_worker *w) {
    refill(w, 0);
    if (w->retry_tokens < COST) {
        weir_count(&w->metrics, WEIR_C_RETRIES_DENIED, 1);
        return false;
    }
    w->retry_tokens -= COST;
    return true;
}

static void keep_begin(struct weir_txn *t) {
    t->kept = weir_arena_alloc(&t->arena, sizeof(*t->kept));
    if (t->kept)
        weir_bufq_init(t->kept, t->worker->pool, 0);
}

void weir_retry_begin(struct weir_txn *t) {
    refill(t->worker, 1);
    if (t->req.body != WEIR_BODY_NONE && !t->req.wants_upgrade)
        keep_begin(t);
}

/* Adds to `to` what is in `from`, by reference. 0, -ENOMEM. */
static int share(struct weir_bufq *to, const struct weir_bufq *from) {
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < from->count; i++) {
        const struct weir_seg *seg = &from->segs[(from->head + i) & (from->cap - 1)];

        r = weir_bufq_append_ref(to, seg->chunk, weir_slice_make(seg->ptr, seg->len));
    }
    return r;
}

void weir_retry_keep_held(struct weir_txn *t) {
    if (t->kept || t->is_mirror || t->req.wants_upgrade || t->held.len != t->out.bytes ||
        !(weir_conn_is_h2(t->up) || t->idempotent))
        return;
    keep_begin(t);
    if (t->kept &&
        (t->held.len > weir_worker_limits(t->worker)->pipe_bytes || share(t->kept, &t->held) < 0))
        weir_retry_end(t);
}

void weir_retry_end(struct weir_txn *t) {
    if (t->kept)
        weir_bufq_deinit(t->kept);
    t->kept = NULL;
}

void weir_retry_keep(struct weir_txn *t, struct weir_chunk *chunk, struct weir_slice bytes) {
    if (t->kept->len + bytes.len > weir_worker_limits(t->worker)->pipe_bytes ||
        weir_bufq_append_ref(t->kept, chunk, bytes) < 0)
        weir_retry_end(t);
}

bool weir_retry_safe(const struct weir_txn *t, struct weir_fault fault, bool reused) {
    if (t->res_started || t->attempts >= WEIR_TXN_TRIES || !t->down_cs || t->worker->stopped)
        return false;
    if (t->phase == WEIR_TXN_LEASE)
        return fault.kind != WEIR_FAULT_IDENTITY;
    if (t->out.bytes > 0 && !t->kept)
        return false;
    return fault.kind == WEIR_FAULT_GOAWAY ||
           (t->idempotent && reused &&
            (fault.kind == WEIR_FAULT_EOF || fault.kind == WEIR_FAULT_RESET));
}

bool weir_retry_wants(const struct weir_retry *retry, uint16_t status) {
    for (uint32_t i = 0; i < retry->n_codes; i++)
        if (retry->codes[i] == status)
            return true;
    return false;
}

int weir_retry_replay(struct weir_txn *t) {
    weir_bufq_clear(&t->held);
    return t->kept ? share(&t->held, t->kept) : 0;
}

/* Not before the backoff, and up to half of it later, so that clients do not come back in step. */
static uint64_t delay(struct weir_txn *t, const struct weir_retry *retry) {
    uint64_t half = retry->backoff_us / 2 + 1;

    return retry->backoff_us +
           (uint64_t)(((unsigned __int128)weir_worker_random(t->worker) * half) >> 64);
}

bool weir_retry_schedule(struct weir_txn *t, struct weir_fault why) {
    const struct weir_retry *retry = weir_retry_of(t);
    uint64_t due;

    if (!retry || t->retries >= retry->attempts || t->res_started || !t->down_cs ||
        t->worker->stopped || why.kind == WEIR_FAULT_IDENTITY || (t->out.bytes > 0 && !t->kept))
        return false;
    due = weir_worker_now(t->worker) + delay(t, retry);
    if (due >= t->request_due || !take(t->worker))
        return false;
    if (weir_retry_replay(t) < 0) {
        weir_bufq_clear(&t->held);
        return false;
    }
    if (t->endpoint)
        t->tried[(t->attempts - 1) % WEIR_TXN_TRIES] = t->endpoint;
    weir_txn_abort_upstream(t, why);
    t->retries++;
    t->phase = WEIR_TXN_LEASE;
    t->out.done = false;
    t->fresh = false;
    t->status = 0;
    t->t_response = 0;
    t->backend_due = WEIR_NEVER;
    t->retry_due = due;
    weir_count(&t->worker->metrics, WEIR_C_RETRIES, 1);
    weir_txn_arm(t);
    return true;
}
