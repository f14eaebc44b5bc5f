/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who speaks first on a service port (docs/adr/0030): learnt by the sidecars of a node, kept for all
 * of them. Part of the contract of maps.h. Nothing here allows or denies: it only tells a sidecar
 * whether a connection whose client is silent is worth waiting for.
 */
#ifndef WEIR_ABI_FIRST_H
#define WEIR_ABI_FIRST_H

#include "weir/abi/types.h"

/*
 * weir_first: LRU, kernel. Of a call: the address and port that were asked for, whoever calls. Of an arrival: the
 * identity of the server's pod, so that its replicas share it and nobody else can say anything of it, and the port.
 * Examples: a call to 10.96.0.7:25 is {10.96.0.7, 0, 25}; what pods of identity 12 get at 8025 is {::, 12, 8025}.
 */
struct weir_first_key {
    struct weir_addr addr;
    __u32 identity;
    __u16 port;
    __u16 pad;
};
WEIR_ABI_SIZE(weir_first_key, 24);
WEIR_ABI_AT(weir_first_key, addr, 0);
WEIR_ABI_AT(weir_first_key, identity, 16);
WEIR_ABI_AT(weir_first_key, port, 20);
WEIR_ABI_AT(weir_first_key, pad, 22);

#define WEIR_FIRST_SERVER 0 /* index of the arrays below */
#define WEIR_FIRST_CLIENT 1
#define WEIR_FIRST_SIDES  2

/* What a connection has shown: a report is getsockopt(WEIR_SO_SPOKE + one of these) (flow.h). */
#define WEIR_SPOKE_NOBODY 0
#define WEIR_SPOKE_SERVER 1
#define WEIR_SPOKE_BYTES                                                                           \
    2 /* the client, in no protocol the sidecar knows; from here on the client */
#define WEIR_SPOKE_HTTP1  3
#define WEIR_SPOKE_HTTP2  4
#define WEIR_SPOKE_TLS    5
#define WEIR_SPOKE_COUNT_ 6

struct weir_first_value {
    __u64 at_ns[WEIR_FIRST_SIDES];   /* CLOCK_MONOTONIC of the last report of that side; 0 = none */
    __u32 reports[WEIR_FIRST_SIDES]; /* since it was first heard of; wraps */
    __u32 pod[WEIR_FIRST_SIDES];     /* whose sidecar made the last one */
    __u32 service;                   /* id, of a call to a service */
    __u8 speaks;                     /* WEIR_SPOKE_* of the client's last report */
    __u8 pad[3];
};
WEIR_ABI_SIZE(weir_first_value, 40);
WEIR_ABI_AT(weir_first_value, at_ns, 0);
WEIR_ABI_AT(weir_first_value, reports, 16);
WEIR_ABI_AT(weir_first_value, pod, 24);
WEIR_ABI_AT(weir_first_value, service, 32);
WEIR_ABI_AT(weir_first_value, speaks, 36);
WEIR_ABI_AT(weir_first_value, pad, 37);

/* What nobody has seen again for so long no longer counts, here and in a sidecar. */
#define WEIR_FIRST_SECONDS 3600u
#define WEIR_FIRST_NS      (WEIR_FIRST_SECONDS * 1000000000ull)

/* Which sides have spoken first lately, as bits 1 << WEIR_FIRST_*: both is a port to wait at. */
static inline __attribute__((always_inline, unused)) __u8
weir_first_sides(const struct weir_first_value *v, __u64 now_ns) {
    __u8 sides = 0;

    for (int i = 0; i < WEIR_FIRST_SIDES; i++)
        if (v->at_ns[i] != 0 && now_ns < v->at_ns[i] + WEIR_FIRST_NS)
            sides |= (__u8)(1u << i);
    return sides;
}

#endif
