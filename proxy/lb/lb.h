/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which endpoint of a service port next. Endpoint state (outstanding requests, failures, ejection) belongs to one worker and
 * survives a snapshot change by address.
 */
#ifndef WEIR_LB_LB_H
#define WEIR_LB_LB_H

#include "base/htab.h"
#include "base/list.h"
#include "conf/model.h"

struct weir_lb_endpoint {
    struct weir_hnode node; /* key: ip and port */
    struct weir_ip ip;
    uint16_t port;
    uint32_t weight;
    uint32_t outstanding;   /* requests in flight from this worker */
    uint32_t failures;      /* consecutive connect failures */
    uint32_t latency_us;    /* smoothed, from request to the head of its answer; 0 = not known */
    uint64_t ejected_until; /* us; 0 = not ejected */
    bool present;           /* in the current set; false: no new requests */
    uint32_t users;         /* pooled connections and txns that point here */
    const struct weir_endpoint *conf; /* in the snapshot this set was last updated from */
    uint8_t alpn;                     /* core's: what TLS last settled on; 0 = not known */
    void *pool;                       /* core's: the connections to this endpoint */
};

struct weir_lb;

/* seed: for the hash table and the random choice. 0 or -ENOMEM. */
int weir_lb_new(const uint64_t seed[2], struct weir_lb **ret_lb);
/* Every endpoint must have users == 0. */
struct weir_lb *weir_lb_free(struct weir_lb *lb);
/*
 * Replace the set; endpoints kept by address keep their state, vanished ones are freed now or when their last user goes.
 * Only ready endpoints take part; if none is ready, serving-and-terminating ones do (as kube-proxy). 0 or -ENOMEM.
 */
int weir_lb_update(struct weir_lb *lb, const struct weir_endpoint *endpoints, uint32_t n);
/*
 * The same in two steps, so that many sets change together or not at all: staging may fail with -ENOMEM (nothing is staged then),
 * committing cannot. Between the two, nothing else may be done with lb but weir_lb_unstage, which forgets what was staged (if anything).
 */
int weir_lb_stage(struct weir_lb *lb, const struct weir_endpoint *endpoints, uint32_t n);
void weir_lb_commit(struct weir_lb *lb);
void weir_lb_unstage(struct weir_lb *lb);
/* From now on; UNSET = LEAST. */
void weir_lb_balance(struct weir_lb *lb, enum weir_balancer balancer);
/*
 * Of two drawn by weight the lighter one, by outstanding/weight or outstanding * latency/weight (or the first, with RANDOM), among endpoints
 * that are near, not ejected and not in `tried`. What is left otherwise, in this order: far ones, ejected ones, tried ones. NULL = empty. The
 * caller takes a user reference with weir_lb_use.
 */
struct weir_lb_endpoint *weir_lb_pick(struct weir_lb *lb, uint64_t now_us,
                                      struct weir_lb_endpoint *const *tried, uint32_t n_tried);
/* The endpoint of that address, if a request may be sent to it now: in the set and not ejected. NULL = none. */
struct weir_lb_endpoint *weir_lb_find(struct weir_lb *lb, const struct weir_ip *ip, uint16_t port,
                                      uint64_t now_us);
void weir_lb_use(struct weir_lb *lb, struct weir_lb_endpoint *e);
void weir_lb_unuse(struct weir_lb *lb, struct weir_lb_endpoint *e);
/* Report a connection attempt's outcome: after 3 consecutive failures ejected for 1 s, doubling to 30 s. */
void weir_lb_report(struct weir_lb *lb, struct weir_lb_endpoint *e, bool ok, uint64_t now_us);
/* An answer's head came so long after its request was sent. */
void weir_lb_observe(struct weir_lb_endpoint *e, uint64_t latency_us);
void weir_lb_foreach(struct weir_lb *lb, void (*fn)(struct weir_lb_endpoint *e, void *arg),
                     void *arg);

#endif
