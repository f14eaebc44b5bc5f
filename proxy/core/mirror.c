/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RequestMirror: a copy of a request goes to another backend and its answer is thrown away. The copy
 * is a txn without a downstream: it is written to by the original and otherwise lives alone. It never
 * holds the original back: content it cannot send waits in `held`, by reference, up to a bound, and
 * beyond that the copy is given up. What was lost in any way is counted; nothing is retried.
 */
#include "core/filter.h"

#define HELD_MAX   (1024u * 1024u)
#define MIRROR_DUE (15ull * 1000 * 1000) /* us, for routes without a request timeout */

static struct weir_txn *mirror_at(struct weir_list *node) {
    return WEIR_CONTAINER_OF(node, struct weir_txn, down_node);
}

void weir_mirror_drop(struct weir_txn *m) {
    weir_count(&m->worker->metrics, WEIR_C_MIRRORS_LOST, 1);
    weir_txn_abort_upstream(m, WEIR_FAULT(DOWNSTREAM, RESET));
    weir_txn_free(m);
}

/* Its exchange is over, and let go of. */
void weir_mirror_done(struct weir_txn *m) {
    weir_txn_free(m);
}

static bool dup(struct weir_arena *arena, struct weir_slice *s) {
    if (!s->ptr)
        return true;
    *s = weir_arena_dup(arena, *s);
    return s->ptr != NULL;
}

/* The original's head may go before the copy has been sent. */
static int copy_head(struct weir_txn *m, const struct weir_head *from) {
    struct weir_head *to = &m->req;

    *to = *from;
    to->arena = &m->arena;
    to->fields = NULL;
    to->n_fields = to->cap_fields = 0;
    if (!dup(&m->arena, &to->method_name) || !dup(&m->arena, &to->scheme) ||
        !dup(&m->arena, &to->authority) || !dup(&m->arena, &to->target) ||
        !dup(&m->arena, &to->protocol))
        return -ENOMEM;
    for (uint16_t i = 0; i < from->n_fields; i++) {
        struct weir_slice name = from->fields[i].name, value = from->fields[i].value;

        /* Nobody would wait for the interim answer. */
        if (from->fields[i].dropped || from->fields[i].id == WEIR_FIELD_EXPECT)
            continue;
        if (!dup(&m->arena, &name) || !dup(&m->arena, &value) || weir_head_add(to, name, value))
            return -ENOMEM;
    }
    to->expect_continue = false;
    return 0;
}

static bool drawn(struct weir_txn *t, const struct weir_mirror *mirror) {
    uint64_t random = weir_worker_random(t->worker);

    return (uint64_t)(((unsigned __int128)random * mirror->denominator) >> 64) < mirror->numerator;
}

static uint64_t due_of(const struct weir_txn *t) {
    const struct weir_route_rule *rule = t->decision.rule;
    uint64_t us = rule->has_timeout_request ? rule->timeout_request_us : 0;

    return weir_worker_now(t->worker) + (us ? us : MIRROR_DUE);
}

void weir_mirror_start(struct weir_txn *t, const struct weir_mirror *mirror) {
    const struct weir_backend_ref *backend = mirror->backend;
    struct weir_worker *w = t->worker;
    struct weir_txn *m;

    if (!drawn(t, mirror) || t->req.wants_upgrade)
        return;
    weir_count(&w->metrics, WEIR_C_MIRRORS, 1);
    m = weir_txn_new_detached(w, t->epoch);
    if (!m) {
        weir_count(&w->metrics, WEIR_C_MIRRORS_LOST, 1);
        return;
    }
    m->is_mirror = true;
    m->parent = t->parent;
    if (backend->service && backend->service_port)
        m->cluster = weir_runtime_cluster(t->epoch->rt, backend->service_port);
    if (m->cluster)
        weir_txn_aim(m);
    if (!m->target || copy_head(m, &t->req) < 0) {
        weir_mirror_drop(m);
        return;
    }
    m->req_end = m->req.body == WEIR_BODY_NONE;
    weir_list_push_back(&t->mirrors, &m->down_node);
    m->request_due = due_of(t);
    weir_worker_deadline(w, &m->deadline, m->request_due);
    if (weir_txn_lease(m) != 0)
        weir_mirror_drop(m);
}

/* Sends what is held, unless the connection has enough to do; the end behind it. May free m. */
static void send_held(struct weir_txn *m) {
    struct weir_codec *codec = m->up->codec;
    int r = 0;

    if (m->held.len > 0 && weir_conn_full(m->up, m->up_cs)) {
        if (weir_list_empty(&m->out.blocked))
            weir_list_push_back(&m->up->blocked, &m->out.blocked);
        return;
    }
    if (m->held.len > 0)
        r = codec->ops->send_data(codec, m->up_cs, &m->held);
    if (r == 0 && m->req_end && !m->out.done) {
        m->out.done = true;
        r = codec->ops->send_end(codec, m->up_cs, NULL);
    }
    weir_conn_dirty(m->up);
    if (r < 0)
        weir_mirror_drop(m);
}

void weir_mirror_data(struct weir_txn *t, struct weir_chunk *chunk, struct weir_slice bytes) {
    WEIR_LIST_FOREACH_SAFE (it, next, &t->mirrors) {
        struct weir_txn *m = mirror_at(it);

        if (weir_bufq_append_ref(&m->held, chunk, bytes) < 0 || m->held.len > HELD_MAX)
            weir_mirror_drop(m);
        else if (m->up_cs)
            send_held(m);
    }
}

void weir_mirror_end(struct weir_txn *t) {
    WEIR_LIST_FOREACH_SAFE (it, next, &t->mirrors) {
        struct weir_txn *m = mirror_at(it);

        m->req_end = true;
        weir_list_unlink(&m->down_node);
        if (m->up_cs && !m->out.done)
            send_held(m);
    }
}

void weir_mirror_leave(struct weir_txn *t) {
    WEIR_LIST_FOREACH_SAFE (it, next, &t->mirrors) {
        struct weir_txn *m = mirror_at(it);

        weir_list_unlink(&m->down_node);
        if (!m->req_end)
            weir_mirror_drop(m);
    }
}

void weir_mirror_unblock(struct weir_txn *m) {
    weir_list_unlink(&m->out.blocked);
    if (m->up_cs)
        send_held(m);
}

/* An answer, or its end, of which nothing is wanted but that it came. */
void weir_mirror_response(struct weir_txn *m, bool end) {
    if (m->res.status < 200 && m->res.status != 101)
        return;
    m->phase = WEIR_TXN_RELAY;
    m->t_response = weir_worker_now(m->worker);
    if (m->res.body == WEIR_BODY_TUNNEL || (end && !m->out.done))
        weir_mirror_drop(m); /* the rest of the request has nowhere to go */
}
