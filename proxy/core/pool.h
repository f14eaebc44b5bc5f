/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upstream connections of one worker, by endpoint: which of them a request may use, and how long an idle one is kept.
 */
#ifndef WEIR_CORE_POOL_H
#define WEIR_CORE_POOL_H

#include "core/txn.h"

/* Why there is no connection to be had, and none coming. */
enum weir_lease {
    WEIR_LEASE_NONE = 1, /* there is no endpoint */
    WEIR_LEASE_FULL,     /* the endpoint has as many connections, and waiting requests, as it may */
};

/* What connections to the endpoints of a target may do; of one that vanished from the configuration as by default. */
static inline const struct weir_connection_spec *weir_pool_terms(const struct weir_worker *w,
                                                                 const struct weir_target *target) {
    return target->conf ? &target->conf->connection : &weir_worker_limits(w)->upstream;
}

/* A new upstream connection, connecting: where to, and as whom it must prove itself. */
struct weir_pool_dial {
    struct weir_target *target;
    struct weir_lb_endpoint *endpoint;
    struct weir_tls_ctx *tls;         /* NULL = plaintext */
    const char *sni;                  /* or NULL */
    const char *expect;               /* SPIFFE id; "" = none */
    const struct weir_origin *source; /* said in a PROXY header, or NULL */
    unsigned proxy_version;
    uint64_t connect_us; /* 0 = as the target's terms say */
};
/* 0, -errno, WEIR_LEASE_FULL. */
int weir_pool_dial(struct weir_worker *w, const struct weir_pool_dial *how,
                   struct weir_conn **ret_conn);
/* The SPIFFE id that mesh TLS demands of an endpoint that is in use; "" = it is not called so. Borrowed. 0, -ENOMEM. */
int weir_pool_expect(const struct weir_worker *w, const struct weir_cluster *c,
                     struct weir_lb_endpoint *e, const char **ret_expect);
/*
 * Finds or dials a connection to the txn's endpoint; weir_txn_upstream_open is called for it now or later, weir_txn_upstream_failed if it cannot be
 * had. Where the endpoint has as many connections as it may, the txn waits up to connectTimeout. 0 = under way or done, -errno, WEIR_LEASE_FULL.
 */
int weir_pool_lease(struct weir_txn *t);
/* The exchange on an upstream connection is over: keep it for the next or close it. */
void weir_pool_release(struct weir_conn *up);
/* A txn that waits for a connection, if it does, no longer wants one. */
void weir_pool_leave(struct weir_txn *t);
/* End of a turn: serves those that wait where there is room now. */
void weir_pool_serve(struct weir_worker *w);
/* What it speaks is known: with HTTP/2 other txns may share it, without those that have joined it find others. */
void weir_pool_opened(struct weir_conn *up, bool h2);
/* Frees the pool memory of an endpoint without connections; before the last weir_lb_unuse. */
void weir_pool_forget(struct weir_lb_endpoint *e);
/* Takes it out of the pool for good (it is draining or dying). */
void weir_pool_remove(struct weir_conn *up);
/* It is over. */
void weir_pool_closed(struct weir_conn *up);
/* A new configuration: closes idle connections whose expected identity or presence has changed. */
void weir_pool_review(struct weir_worker *w);

#endif
