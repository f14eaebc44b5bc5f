/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sendto() and sendmsg() with an address, UDP. Fails closed, as connect() does. A service's
 * endpoint stays with the socket; the peer asked is remembered so that its answer passes ingress
 * policy.
 */
#include "lib/sock.bpf.h"

/* Who asked whom on this socket, WEIR_UDP_*: did they, or remember that we do. A stack of its own: the decision takes the rest. */
static __noinline bool asked(struct bpf_sock_addr *ctx, const struct weir_call *c, __u8 kind) {
    struct bpf_sock *sk = weir_ctx_sk(ctx);
    struct weir_tuple key = { .dst = c->dst, .dport = c->dport, .kind = kind };

    key.netns = bpf_get_netns_cookie(ctx);
    key.sport = sk->src_port;
    if (kind == WEIR_UDP_THEY_ASKED)
        return weir_udp_remembers(&key);
    weir_udp_remember(&key);
    return true;
}

/*
 * The common path of both families. What the peer asked first may be answered whatever egress
 * policy says; what we ask is remembered, so that an isolated pod admits the answer and nothing
 * else. A forgotten one is dropped, not let in.
 */
static __always_inline bool send(struct bpf_sock_addr *ctx, struct weir_call *c) {
    c->proto = WEIR_IPPROTO_UDP;
    c->passing = weir_ctx_sk(ctx)->dst_port != 0;
    c->answer = asked(ctx, c, WEIR_UDP_THEY_ASKED);
    if (!weir_sock_call(ctx, c))
        return false;
    if (!c->answer && (c->role == WEIR_ROLE_APP || c->role == WEIR_ROLE_PROXY))
        asked(ctx, c, WEIR_UDP_WE_ASKED);
    return true;
}

SEC("cgroup/sendmsg4")
int weir_sendmsg4(struct bpf_sock_addr *ctx) {
    struct weir_call c = {};

    weir_addr_set_v4(&c.asked, ctx->user_ip4);
    c.asked_port = bpf_ntohs((__u16)ctx->user_port);
    c.dst = c.asked;
    c.dport = c.asked_port;
    if (!send(ctx, &c))
        return 0;
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
    if (!send(ctx, &c))
        return 0;
    ctx->user_ip6[0] = c.dst.w[0];
    ctx->user_ip6[1] = c.dst.w[1];
    ctx->user_ip6[2] = c.dst.w[2];
    ctx->user_ip6[3] = c.dst.w[3];
    ctx->user_port = bpf_htons(c.dport);
    return 1;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
