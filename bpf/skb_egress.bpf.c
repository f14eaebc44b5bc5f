/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets leaving a socket: nothing opens a flow that no decision has allowed. A SYN or datagram of
 * a cgroup not classified yet is dropped, so TCP asks again (decisions.md 5); once classified,
 * policy is asked here for what was started before: connect() in between, or before the programs
 * were attached. A SYN for a sidecar that does not listen is dropped as well, for a while. Fails closed for new flows; packets of established ones pass.
 */
#include "lib/call.bpf.h"
#include "lib/listener.bpf.h"

#define IPV4_DADDR  16
#define IPV6_DADDR  24
#define IPV6_NEXT   6
#define IPV6_HEADER 40
#define UDP_DPORT   2

static __always_inline int drop(struct weir_call *c) {
    weir_call_report(c);
    return 0;
}

/* A datagram may name another port than the one its socket is connected to. */
static __always_inline bool udp_port(struct __sk_buff *skb, __u32 at, __u16 *ret) {
    __be16 port;

    if (bpf_skb_load_bytes(skb, at + UDP_DPORT, &port, sizeof(port)))
        return false;
    *ret = bpf_ntohs(port);
    return true;
}

/* The destination of a flow nobody has decided yet. False: unreadable. */
static __always_inline bool destination(struct __sk_buff *skb, struct bpf_sock *sk,
                                        struct weir_call *c) {
    __u32 header = IPV6_HEADER;
    __u8 first = 0;
    __be32 w[4];

    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        if (bpf_skb_load_bytes(skb, IPV6_DADDR, w, 16) ||
            bpf_skb_load_bytes(skb, IPV6_NEXT, &first, 1))
            return false;
        weir_addr_set_v6(&c->dst, w[0], w[1], w[2], w[3]);
        /* Behind an extension header nothing is looked for. */
        if (first != c->proto)
            return false;
    } else {
        if (bpf_skb_load_bytes(skb, IPV4_DADDR, w, 4) || bpf_skb_load_bytes(skb, 0, &first, 1))
            return false;
        weir_addr_set_v4(&c->dst, w[0]);
        header = (first & 0xf) * 4;
    }
    if (c->proto == WEIR_IPPROTO_UDP)
        return udp_port(skb, header, &c->dport);
    c->dport = bpf_ntohs(sk->dst_port);
    return true;
}

/* Policy for a flow that began before its pod was known. */
static __always_inline int decide_late(struct __sk_buff *skb, struct bpf_sock *sk,
                                       struct weir_sock_value *s, struct weir_call *c) {
    struct weir_svc_value svc;

    if (!destination(skb, sk, c)) {
        weir_call_refuse(c, WEIR_DENY_UNDECIDED, -EPERM);
        return drop(c);
    }
    c->asked = c->dst;
    c->asked_port = c->dport;
    if (weir_addr_is_loopback(&c->dst))
        return 1;
    /* A service's own address leads nowhere, or around the sidecar. */
    if (weir_svc_get(&c->dst, c->dport, c->proto, &svc)) {
        weir_call_refuse(c, WEIR_DENY_EARLY_L7, -EPERM);
        return drop(c);
    }
    c->reason = WEIR_ALLOW_DIRECT;
    weir_call_police(c);
    if (c->error)
        return drop(c);
    /* A datagram to somewhere else says nothing about where the socket is connected to. */
    if (s && s->chosen_port == c->dport && weir_addr_equal(&s->chosen, &c->dst)) {
        s->state = (s->state & ~WEIR_SOCK_HELD) | WEIR_SOCK_DECIDED;
        s->role = c->role;
        s->facts.pod = c->pod;
        s->facts.identity = c->identity;
        s->facts.peer_identity = c->peer_identity;
    }
    return 1;
}

/* lint: size a row of early exits in the order of their cost */
/* A flow without a decision: whose is it now? */
static __always_inline int judge(struct __sk_buff *skb, struct bpf_sock *sk,
                                 struct weir_sock_value *s) {
    struct weir_cgroup_value owner;
    struct weir_call c = {};

    weir_cgroup_of(sk, &owner);
    if (owner.role == WEIR_ROLE_OUTSIDE)
        return 1;
    c.role = owner.role;
    c.pod = owner.pod;
    c.proto = sk->protocol;
    if (owner.role == WEIR_ROLE_NONE) {
        if (!weir_meta_holds())
            return 1;
        weir_count_one(WEIR_HELD);
        return 0;
    }
    if (owner.role == WEIR_ROLE_REFUSED) {
        weir_call_refuse(&c, WEIR_DENY_REFUSED_CGROUP, -EPERM);
        return drop(&c);
    }
    return decide_late(skb, sk, s, &c);
}

/*
 * A SYN for the pod's own sidecar, which did not listen at connect(). When the time is over it goes where nobody
 * listens and is answered with a reset: no packet hook can refuse (sk_lookup.bpf.c sees to it that nobody does).
 */
static __always_inline int await_sidecar(struct weir_sock_value *s) {
    struct weir_call c = { .asked = s->facts.original,
                           .dst = s->chosen,
                           .cookie = s->facts.cookie,
                           .asked_port = s->facts.original_port,
                           .dport = s->chosen_port,
                           .proto = WEIR_IPPROTO_TCP,
                           .role = s->role,
                           .pod = s->facts.pod,
                           .identity = s->facts.identity,
                           .service = s->facts.service,
                           .flags = s->facts.flags };
    __u8 family = weir_addr_is_v4(&s->chosen) ? 4 : 6;

    if (weir_listener_present(c.pod, WEIR_PORT_OUTBOUND, family)) {
        s->facts.reason = WEIR_ALLOW_STEERED;
        weir_count_one(WEIR_ALLOW_STEERED);
    } else if (weir_wait_holds(c.pod, true)) {
        return 0;
    } else {
        weir_call_refuse(&c, WEIR_DENY_NO_LISTENER, -ECONNREFUSED);
        weir_call_report(&c);
    }
    s->state = (s->state & ~WEIR_SOCK_WAITS) | WEIR_SOCK_DECIDED;
    return 1;
}

/* A datagram, or a SYN (which needs no look at the packet: nothing else leaves in SYN_SENT). */
static __always_inline bool opens(const struct bpf_sock *sk) {
    return sk->protocol == WEIR_IPPROTO_UDP ||
           (sk->protocol == WEIR_IPPROTO_TCP && sk->state == BPF_TCP_SYN_SENT);
}

SEC("cgroup_skb/egress")
int weir_skb_egress(struct __sk_buff *skb) {
    struct bpf_sock *sk = weir_ctx_sk(skb);
    struct weir_sock_value *s;

    if (!sk)
        return 1;
    sk = bpf_sk_fullsock(sk);
    if (!sk || !opens(sk))
        return 1;
    s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);
    if (s && (s->state & WEIR_SOCK_BROKEN))
        return 0;
    if (s && (s->state & WEIR_SOCK_DECIDED))
        return 1;
    if (s && (s->state & WEIR_SOCK_WAITS))
        return await_sidecar(s);
    return judge(skb, sk, s);
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
