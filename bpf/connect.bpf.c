/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * connect(), TCP and UDP. Fails closed: any call that cannot be decided is refused with EPERM and a
 * reason. Only a cgroup below the pods' parent that has no entry yet goes on: its packets are held
 * in skb_egress.bpf.c.
 */
#include "lib/sock.bpf.h"

/* Ping sockets connect as well; ICMP is not policy's business (NetworkPolicy knows TCP, UDP and
 * SCTP). */
static __always_inline bool ours(struct bpf_sock_addr *ctx) {
    return ctx->protocol == WEIR_IPPROTO_TCP || ctx->protocol == WEIR_IPPROTO_UDP;
}

SEC("cgroup/connect4")
int weir_connect4(struct bpf_sock_addr *ctx) {
    struct weir_call c = {};

    if (!ours(ctx))
        return 1;
    weir_addr_set_v4(&c.asked, ctx->user_ip4);
    c.asked_port = bpf_ntohs((__u16)ctx->user_port);
    c.dst = c.asked;
    c.dport = c.asked_port;
    c.proto = ctx->protocol;
    if (!weir_sock_call(ctx, &c))
        return 0;
    ctx->user_ip4 = c.dst.w[3];
    ctx->user_port = bpf_htons(c.dport);
    return 1;
}

SEC("cgroup/connect6")
int weir_connect6(struct bpf_sock_addr *ctx) {
    struct weir_call c = {};

    if (!ours(ctx))
        return 1;
    weir_addr_set_v6(&c.asked, ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
                     ctx->user_ip6[3]);
    c.asked_port = bpf_ntohs((__u16)ctx->user_port);
    c.dst = c.asked;
    c.dport = c.asked_port;
    c.proto = ctx->protocol;
    if (!weir_sock_call(ctx, &c))
        return 0;
    ctx->user_ip6[0] = c.dst.w[0];
    ctx->user_ip6[1] = c.dst.w[1];
    ctx->user_ip6[2] = c.dst.w[2];
    ctx->user_ip6[3] = c.dst.w[3];
    ctx->user_port = bpf_htons(c.dport);
    return 1;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
