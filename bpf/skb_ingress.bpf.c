/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets reaching a socket: one that carries the receiver's own address (or a loopback one) as its
 * source and did not come through lo is forged; IPv4 drops it by itself, IPv6 does not
 * (decisions.md 9). Fails open for what cannot be read: policy is sk_lookup's, this closes one hole
 * before it.
 */
#include "lib/addr.bpf.h"
#include "lib/count.bpf.h"

#define IPV4_SADDR 12
#define IPV6_SADDR 8

SEC("cgroup_skb/ingress")
int weir_skb_ingress(struct __sk_buff *skb) {
    struct bpf_sock *sk = weir_ctx_sk(skb);
    struct weir_addr src, dst;
    __be32 w[8];

    if (skb->ifindex == LO_IFINDEX)
        return 1;
    /* An established flow was judged when it began: only what is looking for a listener or an
     * unconnected socket (which is in state CLOSE) is read. */
    if (sk && sk->state != BPF_TCP_LISTEN && sk->state != BPF_TCP_CLOSE)
        return 1;
    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        if (bpf_skb_load_bytes(skb, IPV6_SADDR, w, 32))
            return 1;
        weir_addr_set_v6(&src, w[0], w[1], w[2], w[3]);
        weir_addr_set_v6(&dst, w[4], w[5], w[6], w[7]);
    } else {
        if (bpf_skb_load_bytes(skb, IPV4_SADDR, w, 8))
            return 1;
        weir_addr_set_v4(&src, w[0]);
        weir_addr_set_v4(&dst, w[1]);
    }
    if (!weir_addr_equal(&src, &dst) && !weir_addr_is_loopback(&src))
        return 1;
    weir_count_one(WEIR_DENY_SPOOFED);
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
