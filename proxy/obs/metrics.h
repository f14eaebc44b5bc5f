/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters, gauges and histograms of one worker. Written by that worker only (relaxed stores), read
 * by the admin thread, merged at scrape time. The set is fixed at compile time (metrics_table in
 * metrics.c: name, help, type, labels); what has label values that come from the configuration
 * (service) lives in a bounded table with an overflow entry.
 */
#ifndef WEIR_OBS_METRICS_H
#define WEIR_OBS_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/bufq.h"
#include "base/fault.h"

enum weir_counter {
    WEIR_C_DOWN_CONNECTIONS, /* accepted */
    WEIR_C_DOWN_ACTIVE,      /* gauge */
    WEIR_C_DOWN_BYTES_IN,
    WEIR_C_DOWN_BYTES_OUT,
    WEIR_C_UP_CONNECTIONS, /* dialled */
    WEIR_C_UP_ACTIVE,      /* gauge */
    WEIR_C_UP_IDLE,        /* gauge: pooled */
    WEIR_C_UP_WAITING,     /* gauge: requests that wait for a connection */
    WEIR_C_UP_WORN_OUT,    /* connections retired for their lifetime or number of requests */
    WEIR_C_UP_CONNECT_FAILED,
    WEIR_C_UP_BYTES_IN,
    WEIR_C_UP_BYTES_OUT,
    WEIR_C_REQUESTS,
    WEIR_C_REQUESTS_ACTIVE, /* gauge */
    WEIR_C_RETRIES,
    WEIR_C_RETRIES_DENIED, /* by the retry budget */
    WEIR_C_RELAYS,         /* opaque TCP connections relayed */
    WEIR_C_DETECT_WAITS,   /* connections whose client had not spoken within limits.detectTimeout */
    WEIR_C_DETECT_KNOWN, /* connections to ports known for servers that speak first: not waited for */
    WEIR_C_DETECT_CONTRARY, /* such a server expected, and the client spoke first */
    WEIR_C_DETECT_TOLD,     /* this worker did not know it, and the node did */
    WEIR_C_TLS_HANDSHAKES,
    WEIR_C_TLS_FAILED,
    WEIR_C_TLS_RESUMED,      /* of the handshakes: by a session ticket */
    WEIR_C_TLS_UNKNOWN_NAME, /* of these: no listener of the port has the name asked for */
    WEIR_C_LISTEN_FAILED,
    WEIR_C_IDENTITY_REFUSED,
    WEIR_C_AUTHZ_DENIED,     /* requests and relays, by AuthorizationPolicies */
    WEIR_C_AUTHZ_WOULD_DENY, /* allowed, by policies in audit mode not */
    WEIR_C_AUTHZ_AUDITED,    /* matched by a policy with action AUDIT */
    WEIR_C_MIRRORS,          /* copies of requests begun */
    WEIR_C_MIRRORS_LOST,
    WEIR_C_DOWN_SHED,         /* closed to make room: limits.connections, limits.memory */
    WEIR_C_DOWN_IDLE_CLOSED,  /* limits.idleTimeout */
    WEIR_C_HANDSHAKES_WAITED, /* limits.handshakes */
    WEIR_C_PIPELINES_HELD,    /* reading stopped behind a request that others were sent behind */
    WEIR_C_PIPES_FULL,        /* sources held back: limits.pipeBytes */
    WEIR_C_CONNS_FULL,        /* sources held back: limits.connectionBytes */
    WEIR_C_FLOOD_RESETS,      /* HTTP/2 connections ended, by the frames that broke the budget; */
    WEIR_C_FLOOD_PINGS,       /* in the order of enum weir_flood */
    WEIR_C_FLOOD_SETTINGS,
    WEIR_C_FLOOD_EMPTY,
    WEIR_C_FLOOD_CONTINUATIONS,
    WEIR_C_FLOOD_OTHER,
    WEIR_C_ACCESS_LOST, /* access lines dropped because standard output is slow */
    WEIR_COUNTERS,
};

enum weir_histogram_id {
    WEIR_H_REQUEST_US,  /* first request byte to last response byte */
    WEIR_H_UPSTREAM_US, /* request sent to response head */
    WEIR_H_CONNECT_US,  /* dial to open, TLS included */
    WEIR_HISTOGRAMS,
};

#define WEIR_BUCKETS 15 /* OpenTelemetry's http.server.request.duration bounds, and +Inf */

struct weir_metrics {
    atomic_uint_fast64_t counters[WEIR_COUNTERS];
    atomic_uint_fast64_t responses[6]; /* by class: [1]=1xx ... [5]=5xx; [0] = none sent */
    atomic_uint_fast64_t faults[3][WEIR_FAULT_KINDS]; /* by side and kind */
    struct {
        atomic_uint_fast64_t buckets[WEIR_BUCKETS];
        atomic_uint_fast64_t sum_us;
    } histograms[WEIR_HISTOGRAMS];
};

static inline void weir_count(struct weir_metrics *m, enum weir_counter c, uint64_t n) {
    atomic_store_explicit(&m->counters[c],
                          atomic_load_explicit(&m->counters[c], memory_order_relaxed) + n,
                          memory_order_relaxed);
}
static inline void weir_count_fault(struct weir_metrics *m, struct weir_fault f) {
    atomic_uint_fast64_t *c = &m->faults[f.side][f.kind];
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}
void weir_count_response(struct weir_metrics *m, unsigned status);
void weir_observe(struct weir_metrics *m, enum weir_histogram_id h, uint64_t us);

/* Values that are not per worker. */
struct weir_process_metrics {
    uint64_t generation; /* of the snapshot in force */
    uint64_t reloads, reload_failures;
    uint64_t start_time_s;
    uint64_t open_fds, max_fds, resident_bytes, cpu_us;
    bool has_svid, svid_held;           /* an SVID is asked for; one that is valid is held */
    uint64_t svid_arrived, svid_failed; /* requests for one */
    int64_t cert_not_after_s;           /* 0 = no certificate */
    uint64_t cert_reloads, cert_reload_failures;
    uint64_t ticket_rotations;
    bool draining;
    uint64_t dns_ok, dns_none, dns_failed; /* answers, by what they said */
    uint64_t dns_names, dns_stale;         /* with addresses; with those of before a failure */
    bool has_agent, agent_up;              /* of `weir proxy --agent`, and what follows */
    uint64_t agent_connects, agent_failures, agent_snapshots, agent_snapshots_refused, agent_bytes;
    uint64_t unknown_original;
    uint64_t no_descriptor;                             /* clients sent away for want of one */
    uint64_t handshakes;                                /* in progress */
    uint64_t memory_used, memory_limit, memory_refused; /* base/mem.h; limit 0 = none */
};

/* process_*: the part of it that any process has: times, descriptors, memory. */
struct weir_pen;
void weir_metrics_expose_process(struct weir_pen *pen, const struct weir_process_metrics *process);
/* Prometheus text exposition format 0.0.4 of all workers merged. 0 or -ENOMEM. */
int weir_metrics_expose(struct weir_metrics *const *workers, unsigned n_workers,
                        const struct weir_process_metrics *process, struct weir_bufq *out);

#endif
