/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data thread's own affairs: turns, ticks, taking a new configuration, draining. A turn flushes every connection that has something
 * to send, so that all output of one loop turn leaves in one write per connection.
 */
#include "core/worker.h"
#include "core/self.h"

#include "base/mem.h"
#include "core/admit.h"
#include "core/gateway.h"
#include "core/pool.h"
#include "core/txn.h"

/* A connection between sidecars speaks for many clients, of whom each may give up its requests: so many times what one may do. */
#define MESH_CLIENTS 50u

/* Bytes a connection gathers before they are written. */
#define OUT_LIMIT (128u * 1024u)

uint64_t weir_worker_random(struct weir_worker *w) {
    /* splitmix64: for spreading load and request ids, nothing secret */
    uint64_t z = (w->rng += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static void keep_ticking(struct weir_worker *w) {
    if (w->ticking)
        return;
    w->ticking = true;
    w->net->ops->tick(w->net, true);
}

void weir_worker_deadline(struct weir_worker *w, struct weir_deadline *d, uint64_t due) {
    weir_deadline_set(&w->wheel, d, due);
    if (w->wheel.linked != 0)
        keep_ticking(w);
}

/* ---- epochs ---- */

struct weir_epoch *weir_epoch_use(struct weir_worker *w) {
    w->epoch->users++;
    return w->epoch;
}

void weir_epoch_unuse(struct weir_epoch *e) {
    if (--e->users > 0)
        return;
    weir_runtime_unref(e->rt);
    weir_free(e);
}

struct weir_target *weir_worker_target(struct weir_worker *w, const struct weir_cluster *c) {
    struct weir_hnode *n;

    /* A txn that began under an older configuration still finds its target by name. */
    if (c->index < w->epoch->rt->n_clusters && &w->epoch->rt->clusters[c->index] == c)
        return w->targets[c->index];
    n = weir_htab_find(&w->target_by_name, weir_slice_from_str(c->name));
    return n ? WEIR_CONTAINER_OF(n, struct weir_target, node) : NULL;
}

static struct weir_target *target_new(struct weir_worker *w, const struct weir_cluster *c) {
    uint64_t seed[2] = { weir_worker_random(w), w->seed[1] };
    struct weir_target *t = weir_calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    weir_list_init(&t->link);
    t->worker = w;
    t->name = weir_strndup(c->name, strlen(c->name));
    if (!t->name || weir_lb_new(seed, &t->lb) < 0)
        goto fail;
    t->node.key = weir_slice_from_str(t->name);
    if (weir_htab_add(&w->target_by_name, &t->node) < 0)
        goto fail;
    weir_list_push_back(&w->all_targets, &t->link);
    return t;
fail:
    weir_lb_free(t->lb);
    weir_free(t->name);
    weir_free(t);
    return NULL;
}

static void drain_orphans(struct weir_worker *w);

static struct weir_target *target_at(struct weir_list *it) {
    return WEIR_CONTAINER_OF(it, struct weir_target, link);
}

static void target_free(struct weir_target *t) {
    weir_list_unlink(&t->link);
    weir_htab_remove(&t->worker->target_by_name, &t->node);
    weir_lb_free(t->lb);
    weir_free(t->name);
    weir_free(t);
}

/* Everything that can fail for want of memory; what was staged before the failure stays staged. */
static int stage(struct weir_worker *w, struct weir_runtime *rt, struct weir_target **targets) {
    int r = 0;

    for (uint32_t i = 0; i < rt->n_clusters; i++) {
        struct weir_hnode *n =
            weir_htab_find(&w->target_by_name, weir_slice_from_str(rt->clusters[i].name));

        targets[i] =
            n ? WEIR_CONTAINER_OF(n, struct weir_target, node) : target_new(w, &rt->clusters[i]);
        if (!targets[i])
            return -ENOMEM;
        targets[i]->next = &rt->clusters[i];
    }
    for (struct weir_list *it = w->all_targets.next; r == 0 && it != &w->all_targets;
         it = it->next) {
        const struct weir_cluster *c = target_at(it)->next;

        r = weir_lb_stage(target_at(it)->lb, c ? c->endpoints : NULL, c ? c->n_endpoints : 0);
    }
    return r;
}

/* All endpoints of all clusters change together, or nothing does. A cluster that vanished loses its endpoints and, unused, its state. */
static int adopt(struct weir_worker *w, struct weir_runtime *rt) {
    struct weir_target **targets = weir_calloc(rt->n_clusters + 1, sizeof(struct weir_target *));
    int r = targets ? stage(w, rt, targets) : -ENOMEM;

    WEIR_LIST_FOREACH_SAFE (it, following, &w->all_targets) {
        struct weir_target *t = target_at(it);

        if (r < 0) {
            weir_lb_unstage(t->lb);
        } else {
            weir_lb_commit(t->lb);
            t->conf = t->next;
            weir_lb_balance(t->lb, t->conf ? t->conf->balancer : WEIR_BALANCER_UNSET);
        }
        t->next = NULL;
        if (!t->conf && t->users == 0)
            target_free(t);
    }
    if (r < 0) {
        weir_free(targets);
        return r;
    }
    weir_free(w->targets);
    w->targets = targets;
    return 0;
}

void weir_worker_offer(struct weir_worker *w, struct weir_runtime *rt) {
    weir_runtime_unref(atomic_exchange(&w->offered, rt));
}

int weir_worker_take(struct weir_worker *w) {
    struct weir_runtime *rt = atomic_exchange(&w->offered, NULL);
    struct weir_runtime *none = NULL;
    struct weir_epoch *e, *old = w->epoch;

    if (!rt)
        return 0;
    e = weir_calloc(1, sizeof(*e));
    if (!e || adopt(w, rt) < 0) {
        weir_free(e);
        if (!atomic_compare_exchange_strong(&w->offered, &none, rt))
            weir_runtime_unref(rt); /* there is a newer one */
        return -ENOMEM;
    }
    e->rt = rt;
    e->users = 1;
    w->epoch = e;
    w->limits = w->mesh_limits = rt->limits;
    w->mesh_limits.reset_burst *= MESH_CLIENTS;
    w->mesh_limits.reset_per_s *= MESH_CLIENTS;
    if (old) {
        weir_pool_review(w);
        drain_orphans(w);
        weir_epoch_unuse(old);
    }
    return 0;
}

/* ---- draining ---- */

static void cut_all(struct weir_list *conns) {
    WEIR_LIST_FOREACH_SAFE (it, next, conns) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, node);

        weir_conn_fail(c, WEIR_FAULT(LOCAL, DRAINING));
    }
}

static void drain_over(struct weir_deadline *d) {
    struct weir_worker *w = WEIR_CONTAINER_OF(d, struct weir_worker, drain_deadline);

    w->stopped = true;
    cut_all(&w->downs);
    cut_all(&w->ups);
}

/* It finishes what runs, and begins nothing more. */
static void drain_down(struct weir_conn *c) {
    bool silent = (c->state == WEIR_CONN_SNIFF || c->state == WEIR_CONN_HELLO) && !c->held &&
                  (c->dir == WEIR_DIR_REVERSE || c->dir == WEIR_DIR_GATEWAY);

    if (silent && !c->worker->patient)
        weir_conn_close(c);
    if (c->state != WEIR_CONN_HTTP)
        return;
    if (weir_list_empty(&c->txns) && !c->held && !weir_conn_is_h2(c)) {
        if (!c->worker->patient)
            weir_conn_close(c);
        return;
    }
    /* A client that was told that it may ask again may; the next answer tells it that it may not. */
    if (c->worker->patient && !weir_conn_is_h2(c) && weir_h1_has_answered(c->codec))
        return;
    c->codec->ops->drain(c->codec);
    weir_conn_dirty(c);
}

/* Connections of a Gateway's port that the new configuration has not. */
static void drain_orphans(struct weir_worker *w) {
    WEIR_LIST_FOREACH_SAFE (it, next, &w->downs) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, node);

        if (c->dir == WEIR_DIR_GATEWAY && !weir_runtime_port(w->epoch->rt, c->port))
            drain_down(c);
    }
}

static void drain(struct weir_worker *w, bool limited) {
    w->draining = true;
    w->net->ops->stop_listening(w->net);
    WEIR_LIST_FOREACH_SAFE (it, next, &w->downs) {
        drain_down(WEIR_CONTAINER_OF(it, struct weir_conn, node));
    }
    WEIR_LIST_FOREACH_SAFE (it, next, &w->ups) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, node);

        if (c->state == WEIR_CONN_HTTP && weir_list_empty(&c->txns))
            weir_conn_close(c);
    }
    if (limited)
        weir_worker_deadline(w, &w->drain_deadline,
                             weir_worker_now(w) + w->epoch->rt->snapshot->proxy.limits.drain_us);
    if (weir_list_empty(&w->downs) && weir_list_empty(&w->ups) && w->on_idle)
        w->on_idle(w->on_arg);
}

void weir_worker_drain(struct weir_worker *w) {
    if (!w->draining)
        drain(w, true);
}

void weir_worker_leave(struct weir_worker *w, bool limited) {
    if (w->draining)
        return;
    w->patient = true;
    drain(w, limited);
}

/* ---- net events ---- */

static void on_accept(void *arg, struct weir_stream *s, void *user) {
    weir_down_accept(arg, s, user);
}

static void write_access(struct weir_worker *w) {
    if (w->access.len > 0)
        w->access_sink(w->access_arg, &w->access);
    if (w->access.len > 0)
        keep_ticking(w); /* its reader is slow */
}

static void on_turn(void *arg) {
    struct weir_worker *w = arg;
    struct weir_list batch;

    weir_self_turn(w);
    w->turning = true;
    weir_pool_serve(w);
    if (!weir_list_empty(&w->handshakes_due))
        weir_handshake_next(w);
    /* Connections made dirty while flushing are flushed in the same turn: their bytes are ready now. */
    for (unsigned round = 0; round < 8 && !weir_list_empty(&w->dirty); round++) {
        weir_list_init(&batch);
        batch.next = w->dirty.next;
        batch.prev = w->dirty.prev;
        batch.next->prev = batch.prev->next = &batch;
        weir_list_init(&w->dirty);
        while (!weir_list_empty(&batch))
            weir_conn_flush(WEIR_CONTAINER_OF(batch.next, struct weir_conn, dirty));
    }
    w->turning = false;
    if (!weir_list_empty(&w->dirty))
        w->net->ops->wake(w->net);
    write_access(w);
}

static void take_offer(struct weir_worker *w) {
    struct weir_epoch *before = w->epoch;

    if (weir_worker_take(w) < 0)
        keep_ticking(w);
    if (w->epoch == before)
        return;
    weir_judge_again(w);
    if (w->on_taken)
        w->on_taken(w->on_arg);
}

static void on_tick(void *arg) {
    struct weir_worker *w = arg;
    bool filed;

    if (atomic_load_explicit(&w->offered, memory_order_relaxed)) /* found no memory before */
        take_offer(w);
    write_access(w);
    weir_handshake_next(w);
    weir_relieve(w);
    filed = weir_wheel_turn(&w->wheel, weir_worker_now(w));
    if (filed || w->access.len > 0 || atomic_load_explicit(&w->offered, memory_order_relaxed))
        return;
    w->ticking = false;
    w->net->ops->tick(w->net, false);
    if (weir_mem_limit_get() != 0 && weir_mem_used() > weir_mem_limit_get() / 2)
        weir_relieve_spare(w); /* nothing is connected here; others may need it */
}

static void on_posted(void *arg) {
    struct weir_worker *w = arg;
    int how;

    atomic_fetch_add(&w->n_posted, 1);
    take_offer(w);
    how = atomic_load(&w->drain_wanted);
    if (how == WEIR_DRAIN_NOW)
        weir_worker_drain(w);
    else if (how != WEIR_DRAIN_NONE)
        weir_worker_leave(w, how == WEIR_DRAIN_GENTLY);
}

int weir_worker_init(struct weir_worker *w, struct weir_net *net, struct weir_quota *quota,
                     const uint64_t seed[2], unsigned number) {
    static const struct weir_net_events events = {
        .accept = on_accept, .turn = on_turn, .tick = on_tick, .posted = on_posted
    };

    memset(w, 0, sizeof(*w));
    w->net = net;
    w->pool = net->pool;
    w->seed[0] = seed[0];
    w->seed[1] = seed[1];
    w->rng = seed[0] ^ number;
    w->next_id = ((uint64_t)number << 56) + 1;
    w->quota = quota;
    weir_htab_init(&w->target_by_name, w->seed);
    weir_wheel_init(&w->wheel, WEIR_TICK_US, net->ops->now(net));
    weir_list_init(&w->all_targets);
    weir_list_init(&w->downs);
    weir_list_init(&w->ups);
    weir_list_init(&w->dirty);
    weir_list_init(&w->waited);
    weir_list_init(&w->selves);
    weir_list_init(&w->selves_due);
    weir_list_init(&w->free_txns);
    weir_list_init(&w->handshakes_due);
    weir_bufq_init(&w->access, w->pool, 0);
    weir_bufq_init(&w->out, w->pool, OUT_LIMIT);
    weir_deadline_init(&w->drain_deadline, drain_over);
    atomic_init(&w->offered, NULL);
    atomic_init(&w->drain_wanted, WEIR_DRAIN_NONE);
    atomic_init(&w->n_posted, 0);
    net->events = &events;
    net->arg = w;
    return 0;
}

void weir_worker_deinit(struct weir_worker *w) {
    weir_self_stop(w);
    while (!weir_list_empty(&w->selves_due))
        weir_self_turn(w);
    weir_relieve_spare(w);
    while (!weir_list_empty(&w->all_targets))
        target_free(target_at(w->all_targets.next));
    weir_htab_deinit(&w->target_by_name);
    weir_free(w->targets);
    weir_bufq_deinit(&w->access);
    weir_bufq_deinit(&w->out);
    if (w->epoch)
        weir_epoch_unuse(w->epoch);
    weir_runtime_unref(atomic_exchange(&w->offered, NULL));
}
