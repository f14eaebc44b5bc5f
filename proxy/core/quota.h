/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process as a whole may hold, counted by all its workers together: downstream connections, those of one source, TLS
 * handshakes in progress. One atomic operation when a connection or handshake begins and one when it ends, a lock of one
 * of many shards where sources are told apart; nothing per request.
 */
#ifndef WEIR_CORE_QUOTA_H
#define WEIR_CORE_QUOTA_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/htab.h"
#include "conf/model.h"

#define WEIR_QUOTA_SHARDS 32u

/* One source that has connections now: an IPv4 address, or the /64 of an IPv6 address. */
struct weir_quota_source {
    struct weir_hnode node;
    uint8_t key[8];
    uint32_t connections;
};

struct weir_quota {
    _Alignas(64) atomic_uint_fast64_t connections;
    atomic_uint_fast64_t handshakes;
    uint64_t connections_default; /* where the configuration states none; 0 = unlimited */
    uint64_t seed[2];
    struct {
        pthread_mutex_t lock;
        struct weir_htab table;
    } shards[WEIR_QUOTA_SHARDS];
};

void weir_quota_init(struct weir_quota *q, const uint64_t seed[2], uint64_t connections_default);
/* Nothing may be held any more. */
void weir_quota_deinit(struct weir_quota *q);

static inline uint64_t weir_quota_connections(const struct weir_quota *q,
                                              const struct weir_limits_spec *limits) {
    return limits->connections ? limits->connections : q->connections_default;
}
/* One more, unless there are `max` (0 = unlimited). *ret_n: how many there were. */
static inline bool weir_quota_take(atomic_uint_fast64_t *n, uint64_t max, uint64_t *ret_n) {
    *ret_n = atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
    if (max == 0 || *ret_n < max)
        return true;
    atomic_fetch_sub_explicit(n, 1, memory_order_relaxed);
    return false;
}
static inline void weir_quota_give(atomic_uint_fast64_t *n) {
    atomic_fetch_sub_explicit(n, 1, memory_order_relaxed);
}

/* Loopback: whoever is on this host or in this pod may have all there is. */
bool weir_quota_exempt(const struct weir_ip *ip);
/*
 * One more connection of that source, unless it has `max` (0 = unlimited): 0, 1 = it has, -ENOMEM. *ret_source is given back with
 * weir_quota_source_give. Any thread.
 */
int weir_quota_source_take(struct weir_quota *q, const struct weir_ip *ip, uint64_t max,
                           struct weir_quota_source **ret_source);
/* Takes NULL. */
void weir_quota_source_give(struct weir_quota *q, struct weir_quota_source *s);

#endif
