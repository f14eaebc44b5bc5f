/* SPDX-License-Identifier: Apache-2.0 */
/* Private to pool.c and queue.c: the connections to one endpoint, and who waits for one. */
#ifndef WEIR_CORE_POOL_INTERNAL_H
#define WEIR_CORE_POOL_INTERNAL_H

#include "core/pool.h"
#include "core/timeout.h"

struct weir_pool {
    struct weir_list idle, shared;
    struct weir_list waiting; /* txns, by up_node */
    struct weir_list node;    /* in worker->waited while there are any */
    uint32_t n_idle, n_waiting;
    uint32_t n_open;     /* connections to the endpoint, relays included */
    bool room;           /* one of those that wait may be served now */
    char *expect;        /* the identity to demand of the endpoint, "" = none; as of `generation` */
    uint64_t generation; /* 0 = not yet known */
};

/* NULL = no memory. */
struct weir_pool *weir_pool_of(struct weir_lb_endpoint *e);
/* An open or connecting connection for the txn. 0, -errno, WEIR_LEASE_FULL. */
int weir_pool_obtain(struct weir_txn *t, struct weir_conn **ret_conn);
/* May end the txn. */
void weir_pool_attach(struct weir_txn *t, struct weir_conn *c);

/* queue.c: one of those that wait may find what it needs now. */
void weir_pool_room(struct weir_worker *w, struct weir_pool *p);
/* A new configuration: those whose endpoint is gone ask for another. */
void weir_pool_review_waiting(struct weir_worker *w);

#endif
