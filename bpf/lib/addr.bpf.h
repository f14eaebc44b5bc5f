/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses out of each context, always as the one 16-byte form. */
#ifndef WEIR_BPF_ADDR_H
#define WEIR_BPF_ADDR_H

#include "lib/kernel.bpf.h"

static __always_inline void weir_addr_set_v4(struct weir_addr *a, __be32 ip4) {
    a->w[0] = 0;
    a->w[1] = 0;
    a->w[2] = WEIR_V4_MARK;
    a->w[3] = ip4;
}

static __always_inline void weir_addr_set_v6(struct weir_addr *a, __be32 w0, __be32 w1, __be32 w2,
                                             __be32 w3) {
    a->w[0] = w0;
    a->w[1] = w1;
    a->w[2] = w2;
    a->w[3] = w3;
}

static __always_inline void weir_addr_set_loopback(struct weir_addr *a, bool v4) {
    if (v4)
        weir_addr_set_v4(a, bpf_htonl(0x7f000001));
    else
        weir_addr_set_v6(a, 0, 0, 0, bpf_htonl(1));
}

/*
 * The address of a context's fields PREFIX_ip4 and PREFIX_ip6, by its family. The barriers keep the
 * compiler from merging the loads of both branches through one computed pointer into the context,
 * which the verifier refuses.
 */
#define WEIR_ADDR_FROM(a, ctx, prefix)                                                             \
    do {                                                                                           \
        if ((ctx)->family == AF_INET) {                                                            \
            __be32 ip4_ = (ctx)->prefix##_ip4;                                                     \
            weir_barrier();                                                                        \
            weir_addr_set_v4(a, ip4_);                                                             \
        } else {                                                                                   \
            __be32 w0_ = (ctx)->prefix##_ip6[0], w1_ = (ctx)->prefix##_ip6[1],                     \
                   w2_ = (ctx)->prefix##_ip6[2], w3_ = (ctx)->prefix##_ip6[3];                     \
            weir_barrier();                                                                        \
            weir_addr_set_v6(a, w0_, w1_, w2_, w3_);                                               \
        }                                                                                          \
    } while (0)

#endif
