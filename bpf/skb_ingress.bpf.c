/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets reaching a socket: one that carries the receiver's own address (or a loopback one) as its
 * source and did not come through lo is forged; IPv4 drops it by itself, IPv6 does not
 * (decisions.md 9). Fails open for what cannot be read: policy is sk_lookup's, this closes one hole
 * before it. And a SYN that only the pod's sidecar may answer gets no further at anybody else's listener: sk_lookup
 * lets it come here while the sidecar is away, so that its sender repeats it. That fails closed.
 * On the way, DNS answers are looked at (lib/dns.bpf.h); what comes over lo is the pod's own saying.
 */
#include "lib/addr.bpf.h"
#include "lib/arrival.bpf.h"
#include "lib/cgroup.bpf.h"
#include "lib/count.bpf.h"
#include "lib/dns.bpf.h"

#define IPV4_SADDR 12
#define IPV6_SADDR 8
#define IPV6_NEXT  6
#define TCP_FLAGS  13
#define TCP_SYN    0x02
#define TCP_ACK    0x10

/* True when this begins a connection, or cannot be read; *ret_port: the sender's. What follows an answered SYN comes to the listener
 * as well, and was judged with it. */
static __always_inline bool begins(struct __sk_buff *skb, __u16 *ret_port) {
    __u32 header = 40;
    __be16 port;
    __u8 first, flags;

    if (skb->protocol != bpf_htons(ETH_P_IPV6)) {
        if (bpf_skb_load_bytes(skb, 0, &first, 1))
            return true;
        header = (first & 0xf) * 4;
    } else if (bpf_skb_load_bytes(skb, IPV6_NEXT, &first, 1) || first != WEIR_IPPROTO_TCP) {
        return true;
    }
    if (bpf_skb_load_bytes(skb, header, &port, sizeof(port)) ||
        bpf_skb_load_bytes(skb, header + TCP_FLAGS, &flags, 1))
        return true;
    *ret_port = bpf_ntohs(port);
    return (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Its sidecar alone may have what it asks for. */
static __always_inline bool may_steer(const struct weir_pod_value *pod) {
    return pod && (pod->flags & WEIR_POD_MESHED) && !(pod->flags & WEIR_POD_FAIL_OPEN);
}

/* As sk_lookup.bpf.c delivers: is this the sidecar's alone, and this is not the sidecar? With a stack of its own. */
static __noinline bool is_sidecars(struct __sk_buff *skb, struct bpf_sock *sk,
                                   const struct weir_addr *src, const struct weir_addr *dst) {
    struct weir_ip_value here;
    struct weir_tuple key = { .src = *src, .dst = *dst, .dport = sk->src_port };
    struct weir_cgroup_value owner;
    struct weir_pod_value *pod;
    __u32 id;

    /* Most listeners are of pods whose address is known and that have no sidecar: they are done here. */
    weir_ip_get(dst, &here);
    if (weir_addr_is_loopback(src) || (here.pod && !may_steer(weir_pod_find(here.pod))) ||
        !begins(skb, &key.sport))
        return false;
    weir_cgroup_of(sk, &owner);
    id = here.pod ? here.pod : owner.pod;
    pod = owner.role == WEIR_ROLE_PROXY ? NULL : weir_pod_find(id);
    if (!may_steer(pod) || !weir_port_steered(id, pod->flags, key.dport, WEIR_IPPROTO_TCP) ||
        weir_probe_covers(id, src, key.dport))
        return false;
    key.netns = pod->netns;
    return !bpf_map_lookup_elem(&weir_app_tuple, &key) &&
           !weir_probe_recorded(src, key.sport, dst, key.dport);
}

SEC("cgroup_skb/ingress")
int weir_skb_ingress(struct __sk_buff *skb) {
    struct bpf_sock *sk = weir_ctx_sk(skb);
    struct weir_addr src, dst;
    __be32 w[8];

    if (sk && skb->ifindex != LO_IFINDEX && weir_dns_setting_get(NULL))
        weir_dns_see(skb);
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
    if (sk && sk->state == BPF_TCP_LISTEN && is_sidecars(skb, sk, &src, &dst))
        return 0;
    if (skb->ifindex == LO_IFINDEX ||
        (!weir_addr_equal(&src, &dst) && !weir_addr_is_loopback(&src)))
        return 1;
    weir_count_one(WEIR_DENY_SPOOFED);
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
