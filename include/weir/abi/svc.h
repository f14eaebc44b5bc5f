/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lint: size each struct with its offsets asserted */
/*
 * Services and their endpoints: what is balanced, how, and what is remembered of it. Part of the contract of maps.h, which says
 * who writes what when.
 */
#ifndef WEIR_ABI_SVC_H
#define WEIR_ABI_SVC_H

#include "weir/abi/types.h"

/* weir_svc: HASH. */
struct weir_svc_key {
    struct weir_addr addr;
    __u16 port;
    __u8 proto;
    __u8 pad;
};
struct weir_svc_value {
    __u32 service; /* id, for events */
    __u32 set;     /* backend set in weir_ep */
    __u32 count;   /* endpoints in it, indices 0..count-1; 0 = connect() is refused */
    __u32 weight;  /* sum of weights; 0 = all equal */
    __u32 flags;   /* WEIR_SVC_* */
    __u32 near;    /* endpoints 0..near-1 come first, the others when none of those answers; 0 = no
                      preference */
    __u32 near_weight; /* sum of their weights; 0 = all equal */
    __u32
        affinity_s; /* a pod keeps its endpoint until it has not called for so long; 0 = no affinity */
    __u32 balance; /* WEIR_BALANCE_* */
};
#define WEIR_BALANCE_RANDOM  0u
#define WEIR_BALANCE_LEAST   1u /* of two drawn, the one with fewer connections from this node */
#define WEIR_BALANCE_LATENCY 2u /* the same, connections times smoothed round-trip time */
#define WEIR_SVC_L7                                                                                \
    1u /* must pass the caller's sidecar, if the caller has one (decisions.md 11)                  \
        */
#define WEIR_SVC_HTTP 2u /* connections to it that the kernel carries are looked at for HTTP */
WEIR_ABI_SIZE(weir_svc_key, 20);
WEIR_ABI_AT(weir_svc_key, addr, 0);
WEIR_ABI_AT(weir_svc_key, port, 16);
WEIR_ABI_AT(weir_svc_key, proto, 18);
WEIR_ABI_AT(weir_svc_key, pad, 19);
WEIR_ABI_SIZE(weir_svc_value, 36);
WEIR_ABI_AT(weir_svc_value, service, 0);
WEIR_ABI_AT(weir_svc_value, set, 4);
WEIR_ABI_AT(weir_svc_value, count, 8);
WEIR_ABI_AT(weir_svc_value, weight, 12);
WEIR_ABI_AT(weir_svc_value, flags, 16);
WEIR_ABI_AT(weir_svc_value, near, 20);
WEIR_ABI_AT(weir_svc_value, near_weight, 24);
WEIR_ABI_AT(weir_svc_value, affinity_s, 28);
WEIR_ABI_AT(weir_svc_value, balance, 32);
struct weir_svc_entry {
    struct weir_svc_key key;
    struct weir_svc_value value;
};
WEIR_ABI_SIZE(weir_svc_entry, 56);
WEIR_ABI_AT(weir_svc_entry, key, 0);
WEIR_ABI_AT(weir_svc_entry, value, 20);

/* weir_ep: HASH. Endpoints of one backend set. */
struct weir_ep_key {
    __u32 set;
    __u32 index;
};
struct weir_ep_value {
    struct weir_addr addr;
    __u32 upto; /* sum of the weights of endpoints 0..index; weights 90, 10 are 90, 100. Unused when
                   all are equal */
    __u32 pod;  /* local pod id, else 0 */
    __u16 port;
    __u16 pad[3];
};
WEIR_ABI_SIZE(weir_ep_key, 8);
WEIR_ABI_AT(weir_ep_key, set, 0);
WEIR_ABI_AT(weir_ep_key, index, 4);
WEIR_ABI_SIZE(weir_ep_value, 32);
WEIR_ABI_AT(weir_ep_value, addr, 0);
WEIR_ABI_AT(weir_ep_value, upto, 16);
WEIR_ABI_AT(weir_ep_value, pod, 20);
WEIR_ABI_AT(weir_ep_value, port, 24);
WEIR_ABI_AT(weir_ep_value, pad, 26);

/*
 * weir_maglev: HASH. Which endpoint a pod without a record in weir_affinity gets: the one at its address's hash, of the whole set or of
 * the endpoints that are near (Eisenbud et al., NSDI 2016, 3.4). Few pods move when endpoints come and go.
 */
#define WEIR_MAGLEV_SLOTS 2039u /* a prime */
struct weir_maglev_key {
    __u32 set;
    __u32 near; /* as in the service */
};
struct weir_maglev_value {
    __u16 index[WEIR_MAGLEV_SLOTS]; /* in the set */
    __u16 pad;
};
WEIR_ABI_SIZE(weir_maglev_key, 8);
WEIR_ABI_AT(weir_maglev_key, set, 0);
WEIR_ABI_AT(weir_maglev_key, near, 4);
WEIR_ABI_SIZE(weir_maglev_value, 4080);
WEIR_ABI_AT(weir_maglev_value, index, 0);
WEIR_ABI_AT(weir_maglev_value, pad, 4078);

/* weir_affinity: LRU, kernel. The endpoint a pod has for a service. */
struct weir_affinity_key {
    __u32 service;
    __u32 pod;
    __u16 port; /* of the service */
    __u8 proto;
    __u8 v6;
};
struct weir_affinity_value {
    struct weir_addr addr;
    __u32 set; /* it was found in */
    __u16 port;
    __u16 pad;
    __u64 at_ns; /* last call */
};
WEIR_ABI_SIZE(weir_affinity_key, 12);
WEIR_ABI_AT(weir_affinity_key, service, 0);
WEIR_ABI_AT(weir_affinity_key, pod, 4);
WEIR_ABI_AT(weir_affinity_key, port, 8);
WEIR_ABI_AT(weir_affinity_key, proto, 10);
WEIR_ABI_AT(weir_affinity_key, v6, 11);
WEIR_ABI_SIZE(weir_affinity_value, 32);
WEIR_ABI_AT(weir_affinity_value, addr, 0);
WEIR_ABI_AT(weir_affinity_value, set, 16);
WEIR_ABI_AT(weir_affinity_value, port, 20);
WEIR_ABI_AT(weir_affinity_value, pad, 22);
WEIR_ABI_AT(weir_affinity_value, at_ns, 24);

/* weir_ep_load: LRU, kernel. Key: struct weir_svc_key of the endpoint. What this node's connections to it are like. */
struct weir_ep_load_value {
    __u32 active;  /* begun and not closed */
    __u32 srtt_us; /* smoothed over connections; 0 = not known */
};
WEIR_ABI_SIZE(weir_ep_load_value, 8);
WEIR_ABI_AT(weir_ep_load_value, active, 0);
WEIR_ABI_AT(weir_ep_load_value, srtt_us, 4);

/*
 * weir_ep_fail: LRU, kernel. Connections of one pod to one endpoint that failed in a row; WEIR_EJECT_AFTER of them, and the pod's calls
 * go elsewhere for a second, doubling up to half a minute. By pod, so that one that may not reach an endpoint takes it from nobody else.
 */
struct weir_ep_fail_key {
    struct weir_addr addr;
    __u32 pod;
    __u16 port;
    __u16 pad;
};
struct weir_ep_fail_value {
    __u64 until_ns; /* CLOCK_MONOTONIC; ejected before */
    __u32 failures;
    __u32 pad;
};
#define WEIR_EJECT_AFTER 3u
#define WEIR_EJECT_NS    1000000000ull
#define WEIR_EJECT_SHIFT 5u /* 32 s at most */
WEIR_ABI_SIZE(weir_ep_fail_key, 24);
WEIR_ABI_AT(weir_ep_fail_key, addr, 0);
WEIR_ABI_AT(weir_ep_fail_key, pod, 16);
WEIR_ABI_AT(weir_ep_fail_key, port, 20);
WEIR_ABI_AT(weir_ep_fail_key, pad, 22);
WEIR_ABI_SIZE(weir_ep_fail_value, 16);
WEIR_ABI_AT(weir_ep_fail_value, until_ns, 0);
WEIR_ABI_AT(weir_ep_fail_value, failures, 8);
WEIR_ABI_AT(weir_ep_fail_value, pad, 12);

#endif
