/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sendto() and sendmsg() with an address, UDP. Fails closed, as connect() does. A service's
 * endpoint stays with the socket; the peer asked is remembered so that its answer passes ingress
 * policy.
 */
#include "lib/sock.bpf.h"

/* An isolated pod admits answers only to what it asked. Full map or not: an unremembered answer is
 * dropped, not let in. */
static __always_inline void remember_peer(struct bpf_sock_addr *ctx, const struct weir_call *c) {
    struct bpf_sock *sk = weir_ctx_sk(ctx);
    struct weir_tuple key = { .dst = c->dst, .dport = c->dport };
    __u64 now = bpf_ktime_get_ns();

    if (c->role != WEIR_ROLE_APP && c->role != WEIR_ROLE_PROXY)
        return;
    key.netns = bpf_get_netns_cookie(ctx);
    key.sport = sk->src_port;
    bpf_map_update_elem(&weir_udp_peer, &key, &now, BPF_ANY);
}

SEC("cgroup/sendmsg4")
int weir_sendmsg4(struct bpf_sock_addr *ctx) {
    struct weir_call c = {};

    weir_addr_set_v4(&c.asked, ctx->user_ip4);
    c.asked_port = bpf_ntohs((__u16)ctx->user_port);
    c.dst = c.asked;
    c.dport = c.asked_port;
    c.proto = WEIR_IPPROTO_UDP;
    if (!weir_sock_call(ctx, &c))
        return 0;
    remember_peer(ctx, &c);
    ctx->user_ip4 = c.dst.w[3];
    ctx->user_port = bpf_htons(c.dport);
    return 1;
}

SEC("cgroup/sendmsg6")
int weir_sendmsg6(struct bpf_sock_addr *ctx) {
    struct weir_call c = {};

    weir_addr_set_v6(&c.asked, ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
                     ctx->user_ip6[3]);
    c.asked_port = bpf_ntohs((__u16)ctx->user_port);
    c.dst = c.asked;
    c.dport = c.asked_port;
    c.proto = WEIR_IPPROTO_UDP;
    if (!weir_sock_call(ctx, &c))
        return 0;
    remember_peer(ctx, &c);
    ctx->user_ip6[0] = c.dst.w[0];
    ctx->user_ip6[1] = c.dst.w[1];
    ctx->user_ip6[2] = c.dst.w[2];
    ctx->user_ip6[3] = c.dst.w[3];
    ctx->user_port = bpf_htons(c.dport);
    return 1;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
