/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an endpoint has as many connections as it may, requests wait in order of arrival. Whoever makes room (an exchange
 * or a connection ends) only says so; those who wait are served at the end of the turn, from within no event.
 */
#include "core/pool_internal.h"

void weir_pool_room(struct weir_worker *w, struct weir_pool *p) {
    if (p->n_waiting == 0 || p->room)
        return;
    p->room = true;
    w->net->ops->wake(w->net);
}

static int await(struct weir_txn *t, struct weir_pool *p) {
    const struct weir_connection_spec *terms = weir_pool_terms(t->worker, t->target);

    if (p->n_waiting >= terms->pending)
        return WEIR_LEASE_FULL;
    if (p->n_waiting++ == 0)
        weir_list_push_back(&t->worker->waited, &p->node);
    weir_list_push_back(&p->waiting, &t->up_node);
    weir_count(&t->worker->metrics, WEIR_C_UP_WAITING, 1);
    t->waiting_due = weir_worker_now(t->worker) + terms->connect_us;
    weir_txn_arm(t);
    return 0;
}

void weir_pool_leave(struct weir_txn *t) {
    struct weir_pool *p;

    if (t->waiting_due == WEIR_NEVER)
        return;
    p = t->endpoint->pool;
    t->waiting_due = WEIR_NEVER;
    weir_list_unlink(&t->up_node);
    weir_count(&t->worker->metrics, WEIR_C_UP_WAITING, (uint64_t)-1);
    if (--p->n_waiting == 0)
        weir_list_unlink(&p->node);
}

int weir_pool_lease(struct weir_txn *t) {
    struct weir_pool *p = weir_pool_of(t->endpoint);
    struct weir_conn *c = NULL;
    int r;

    if (!p)
        return -ENOMEM;
    r = p->n_waiting > 0 ? WEIR_LEASE_FULL : weir_pool_obtain(t, &c);
    if (r == WEIR_LEASE_FULL)
        return await(t, p);
    if (r == 0)
        weir_pool_attach(t, c);
    return r;
}

/* What is done for one that waits may end others, and the endpoint would go with the last. */
static void hold(struct weir_target *target, struct weir_lb_endpoint *e) {
    target->users++;
    weir_lb_use(target->lb, e);
}

static void let_go(struct weir_target *target, struct weir_lb_endpoint *e) {
    if (e->users == 1)
        weir_pool_forget(e);
    weir_lb_unuse(target->lb, e);
    target->users--;
}

static struct weir_txn *first_waiting(const struct weir_pool *p) {
    return WEIR_CONTAINER_OF(p->waiting.next, struct weir_txn, up_node);
}

/* As many of those that wait as there is room for. */
static void serve(struct weir_pool *p) {
    struct weir_target *target = first_waiting(p)->target;
    struct weir_lb_endpoint *e = first_waiting(p)->endpoint;
    int r = 0;

    p->room = false;
    hold(target, e);
    while (r != WEIR_LEASE_FULL && p->n_waiting > 0) {
        struct weir_txn *t = first_waiting(p);
        struct weir_conn *c = NULL;

        r = weir_pool_obtain(t, &c);
        if (r == WEIR_LEASE_FULL)
            break;
        weir_pool_leave(t);
        if (r < 0)
            weir_txn_upstream_failed(t, WEIR_FAULT(UPSTREAM, CONNECT_FAILED), false);
        else
            weir_pool_attach(t, c);
    }
    let_go(target, e);
}

void weir_pool_serve(struct weir_worker *w) {
    for (struct weir_list *it = w->waited.next; it != &w->waited;) {
        struct weir_pool *p = WEIR_CONTAINER_OF(it, struct weir_pool, node);

        if (!p->room) {
            it = it->next;
            continue;
        }
        serve(p);
        it = w->waited.next; /* the list may have changed */
    }
}

/* Their endpoint is gone: they may have another. */
static void send_away(struct weir_pool *p) {
    struct weir_target *target = first_waiting(p)->target;
    struct weir_lb_endpoint *e = first_waiting(p)->endpoint;

    hold(target, e);
    while (p->n_waiting > 0)
        weir_txn_upstream_failed(first_waiting(p), WEIR_FAULT(UPSTREAM, CONNECT_FAILED), false);
    let_go(target, e);
}

void weir_pool_review_waiting(struct weir_worker *w) {
    for (struct weir_list *it = w->waited.next; it != &w->waited;) {
        struct weir_pool *p = WEIR_CONTAINER_OF(it, struct weir_pool, node);

        if (first_waiting(p)->endpoint->present) {
            weir_pool_room(w, p); /* the terms may have changed */
            it = it->next;
            continue;
        }
        send_away(p);
        it = w->waited.next;
    }
}
