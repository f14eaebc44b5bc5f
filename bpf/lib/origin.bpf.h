/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an application asked for, shown back to it where the kernel would show what was really
 * dialled. */
#ifndef WEIR_BPF_ORIGIN_H
#define WEIR_BPF_ORIGIN_H

#include "lib/addr.bpf.h"
#include "maps.bpf.h"

/* If this socket's `addr`:`port` stands for something else the application asked for: that, else
 * NULL. */
static __always_inline struct weir_facts *weir_origin_of(struct bpf_sock *sk,
                                                         const struct weir_addr *addr, __u16 port) {
    struct weir_sock_value *s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);

    if (!s || s->facts.direction != WEIR_EGRESS || s->role == WEIR_ROLE_PROXY)
        return NULL;
    if (!(s->facts.flags & (WEIR_FLOW_SERVICE | WEIR_FLOW_STEERED)))
        return NULL;
    if (s->chosen_port != port || !weir_addr_equal(&s->chosen, addr))
        return NULL;
    return &s->facts;
}

static __always_inline void weir_origin_show4(struct bpf_sock_addr *ctx) {
    struct weir_addr addr;
    struct weir_facts *f;

    weir_addr_set_v4(&addr, ctx->user_ip4);
    f = weir_origin_of(weir_ctx_sk(ctx), &addr, bpf_ntohs((__u16)ctx->user_port));
    if (!f)
        return;
    ctx->user_ip4 = f->original.w[3];
    ctx->user_port = bpf_htons(f->original_port);
}

static __always_inline void weir_origin_show6(struct bpf_sock_addr *ctx) {
    struct weir_addr addr;
    struct weir_facts *f;

    weir_addr_set_v6(&addr, ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]);
    f = weir_origin_of(weir_ctx_sk(ctx), &addr, bpf_ntohs((__u16)ctx->user_port));
    if (!f)
        return;
    ctx->user_ip6[0] = f->original.w[0];
    ctx->user_ip6[1] = f->original.w[1];
    ctx->user_ip6[2] = f->original.w[2];
    ctx->user_ip6[3] = f->original.w[3];
    ctx->user_port = bpf_htons(f->original_port);
}

#endif
