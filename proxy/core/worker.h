/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One data thread: its connections, pools, counters and its view of the configuration. Nothing here is shared; other threads hand over a
 * new runtime through weir_worker_offer and read the metrics.
 */
#ifndef WEIR_CORE_WORKER_H
#define WEIR_CORE_WORKER_H

#include <stdatomic.h>

#include "base/htab.h"
#include "core/deadline.h"
#include "core/detect.h"
#include "core/quota.h"
#include "core/runtime.h"
#include "io/net.h"
#include "lb/lb.h"
#include "obs/access.h"
#include "obs/metrics.h"

/* What an accept callback belongs to. */
struct weir_listener {
    enum weir_direction dir;
    uint16_t port; /* Gateways' */
};

/* A runtime as this worker uses it, with a count of its own. */
struct weir_epoch {
    struct weir_runtime *rt;
    uint32_t users; /* txns, and the worker itself while it is the current one */
};

/* A cluster's state in this worker; survives configuration changes by name. */
struct weir_target {
    struct weir_hnode node; /* key: name */
    struct weir_list link;  /* in worker->all_targets */
    char *name;
    struct weir_lb *lb;
    struct weir_cluster *conf; /* in the current epoch; NULL = vanished from the configuration */
    struct weir_cluster *next; /* in the epoch that is being taken */
    uint32_t users;            /* txns and upstream connections */
    struct weir_worker *worker;
};

struct weir_worker {
    struct weir_net *net;
    struct weir_chunk_pool *pool;
    struct weir_metrics metrics;
    struct weir_epoch *epoch;
    struct weir_target **targets; /* by cluster index of the current epoch */
    struct weir_htab target_by_name;
    struct weir_list all_targets;
    /* The same for connections of verified mesh peers, each of which speaks for many clients. */
    struct weir_codec_limits mesh_limits;
    struct weir_codec_limits
        limits; /* of the current runtime; codecs outlive runtimes and borrow these */
    struct weir_detect detect; /* who speaks first */
    struct weir_wheel wheel;
    bool ticking;
    bool turning; /* flushing: what becomes dirty now needs no wake */
    bool draining;
    bool patient; /* draining, and what is idle may stay */
    bool stopped;
    struct weir_list downs, ups;         /* struct weir_conn.node */
    struct weir_list dirty;              /* struct weir_conn.dirty */
    struct weir_list waited;             /* pool.c: endpoints whose connections are waited for */
    struct weir_list selves, selves_due; /* self.c: ends, and those with something to deliver */
    struct weir_list free_txns;
    uint32_t n_free_txns;
    struct weir_codec *spare_codecs[64]; /* HTTP/1, of connections that rest (conn.c) */
    uint32_t n_spare_codecs;
    struct weir_bufq out; /* what a connection is about to write; empty between two of them */
    struct weir_list
        handshakes_due;       /* struct weir_conn.pool_node: they wait for others to be done */
    struct weir_quota *quota; /* shared with the other workers */
    uint64_t rng;
    uint64_t retry_tokens,
        retry_filled; /* retry.c: fifths of a retry, and when time last added some */
    uint64_t seed[2];
    uint64_t next_id; /* connection ids; the top byte is the worker's number */
    struct weir_deadline drain_deadline;
    struct weir_bufq access; /* finished access lines */
    /* Takes what it can of the lines without blocking and leaves the rest; NULL = no access log. */
    void (*access_sink)(void *arg, struct weir_bufq *lines);
    void *access_arg;
    void (*on_idle)(void *arg);  /* drained: no connection is left */
    void (*on_taken)(void *arg); /* a new configuration is in force */
    void *on_arg;
    _Atomic(struct weir_runtime *) offered;
    atomic_int drain_wanted; /* enum weir_drain */
    atomic_uint n_posted;    /* how often the loop has come round to what was posted */
};

/* Takes over net's events. `number`: of this worker, for ids. `quota` must outlive it. 0 or -ENOMEM. */
int weir_worker_init(struct weir_worker *w, struct weir_net *net, struct weir_quota *quota,
                     const uint64_t seed[2], unsigned number);
/* After the net is stopped and every connection closed. */
void weir_worker_deinit(struct weir_worker *w);
/*
 * Any thread: hand over a reference of a new runtime; the worker takes it at its next `posted` event (the caller posts the loop). What was offered
 * before and not yet taken is dropped.
 */
void weir_worker_offer(struct weir_worker *w, struct weir_runtime *rt);
/* Own thread: put what was offered in force; on -ENOMEM the old one stays, and the offer, unless there is a newer one: the next tick tries again. */
int weir_worker_take(struct weir_worker *w);
/* Own thread: stop accepting, finish what runs, then on_idle; what is left after limits.drain_us is cut. */
void weir_worker_drain(struct weir_worker *w);
/* The same without closing a connection only because nothing runs on it: a kept one is told with its next answer. */
void weir_worker_leave(struct weir_worker *w, bool limited); /* limited: by limits.drain_us */

/* How another thread wants it to end, in drain_wanted. */
enum weir_drain { WEIR_DRAIN_NONE, WEIR_DRAIN_NOW, WEIR_DRAIN_GENTLY, WEIR_DRAIN_UNLIMITED };

struct weir_epoch *weir_epoch_use(struct weir_worker *w);
void weir_epoch_unuse(struct weir_epoch *e);
/* Target of a cluster of the current epoch. */
struct weir_target *weir_worker_target(struct weir_worker *w, const struct weir_cluster *c);

static inline uint64_t weir_worker_now(const struct weir_worker *w) {
    return w->net->ops->now(w->net);
}
static inline const struct weir_limits_spec *weir_worker_limits(const struct weir_worker *w) {
    return &w->epoch->rt->snapshot->proxy.limits;
}
uint64_t weir_worker_random(struct weir_worker *w);
/* Sets a deadline and keeps the tick running. */
void weir_worker_deadline(struct weir_worker *w, struct weir_deadline *d, uint64_t due);

#endif
