/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A SYN, or a datagram for an unconnected socket, arriving in one pod's network namespace: policy
 * first, then who gets it. One instance per namespace, since this hook cannot ask which namespace
 * it runs in (decisions.md 8). Fails closed: what cannot be decided is dropped, and the client sees
 * a refusal.
 */
#include "lib/addr.bpf.h"
#include "lib/arrival.bpf.h"
#include "lib/count.bpf.h"
#include "lib/listener.bpf.h"
#include "lib/policy.bpf.h"

/* Set before load. */
const volatile __u32 weir_lookup_pod = 0;
const volatile __u64 weir_lookup_netns = 0;

struct arrival {
    struct weir_addr remote, local;
    __u16 rport, lport;
    __u8 proto;
    __u8 proxy_only; /* the sidecar has to judge it */
    __u8 probe; /* a declared probe that the sidecar or policy would refuse: to the application */
    __u32 identity;
    struct weir_pod_value pod;
};

static __noinline int refuse(const struct arrival *a, __u8 reason, __u32 policy) {
    struct weir_event e = {};

    weir_count_one(reason);
    e.kind = reason == WEIR_HELD_SIDECAR ? WEIR_EVENT_HELD : WEIR_EVENT_DENY;
    e.direction = WEIR_INGRESS;
    e.local = a->local;
    e.original = a->local;
    e.local_port = a->lport;
    e.original_port = a->lport;
    e.remote = a->remote;
    e.remote_port = a->rport;
    e.pod = weir_lookup_pod;
    e.identity = a->pod.identity;
    e.peer_identity = a->identity;
    e.policy = policy;
    e.reason = reason;
    e.proto = a->proto;
    weir_event_send(&e);
    return SK_DROP;
}

static __always_inline void read_arrival(struct bpf_sk_lookup *ctx, struct arrival *a) {
    __builtin_memset(a, 0, sizeof(*a));
    WEIR_ADDR_FROM(&a->remote, ctx, remote);
    WEIR_ADDR_FROM(&a->local, ctx, local);
    a->rport = bpf_ntohs(ctx->remote_port);
    a->lport = ctx->local_port;
    a->proto = ctx->protocol;
}

/* The sidecar's own connection to its application. */
static __always_inline bool app_bound(const struct arrival *a) {
    struct weir_tuple key = { .netns = weir_lookup_netns,
                              .src = a->remote,
                              .dst = a->local,
                              .sport = a->rport,
                              .dport = a->lport };

    return bpf_map_lookup_elem(&weir_app_tuple, &key) != NULL;
}

static __always_inline void udp_key(const struct arrival *a, __u32 kind, struct weir_tuple *ret) {
    __builtin_memset(ret, 0, sizeof(*ret));
    ret->netns = weir_lookup_netns;
    ret->dst = a->remote;
    ret->sport = a->lport;
    ret->dport = a->rport;
    ret->kind = kind;
}

/* An answer to a datagram this pod has sent from that port. */
static __always_inline bool udp_answer(const struct arrival *a) {
    struct weir_tuple key;

    if (a->proto != WEIR_IPPROTO_UDP)
        return false;
    udp_key(a, WEIR_UDP_WE_ASKED, &key);
    return weir_udp_remembers(&key);
}

/* A datagram that policy let in may be answered, whatever egress policy says. */
static __always_inline void remember_asker(const struct arrival *a) {
    struct weir_tuple key;

    if (a->proto != WEIR_IPPROTO_UDP || !(a->pod.policy[WEIR_EGRESS].flags & WEIR_SLOT_ISOLATED))
        return;
    udp_key(a, WEIR_UDP_THEY_ASKED, &key);
    weir_udp_remember(&key);
}

/* What is only to be told of an arrival. */
static __always_inline void tell(const struct arrival *a, const struct weir_admission *adm) {
    if (adm->audited)
        refuse(a, WEIR_ALLOW_AUDIT, adm->audited);
    if (adm->noted)
        refuse(a, WEIR_ALLOW_NOTED, adm->noted);
}

static __always_inline bool unpoliced(const struct weir_policy_slot *slot) {
    return slot->block == 0 && !(slot->flags & WEIR_SLOT_ISOLATED);
}

static __always_inline bool is_probe(struct arrival *a) {
    a->probe =
        a->proto == WEIR_IPPROTO_TCP && weir_probe_covers(weir_lookup_pod, &a->remote, a->lport);
    return a->probe;
}

/* False: refused, and said so. */
static __always_inline bool admitted(struct arrival *a) {
    struct weir_admission adm = {
        .q = { .peer = a->remote,
               .peer_identity = a->identity,
               .port = a->lport,
               .proto = a->proto },
        .pod = weir_lookup_pod,
    };

    if (unpoliced(&a->pod.policy[WEIR_INGRESS]) && unpoliced(&a->pod.policy[WEIR_AUTHZ])) {
        remember_asker(a);
        return true;
    }
    weir_admit(&adm);
    a->proxy_only = adm.proxy_only;
    if ((adm.reason != WEIR_REASON_NONE || adm.proxy_only) && is_probe(a))
        return true;
    if (adm.reason == WEIR_REASON_NONE) {
        tell(a, &adm);
        remember_asker(a);
        return true;
    }
    if (udp_answer(a)) {
        weir_count_one(WEIR_ALLOW_UDP_ANSWER);
        return true;
    }
    refuse(a, adm.reason, adm.policy);
    return false;
}

/* The kernel spreads over the SO_REUSEPORT group of the listener found; any living member will do.
 */
static __always_inline bool assign(struct bpf_sk_lookup *ctx, __u8 family) {
    struct weir_listener_key key = { .pod = weir_lookup_pod,
                                     .port = WEIR_PORT_INBOUND,
                                     .family = family };

    for (int i = 0; i < (int)WEIR_LISTENER_SLOTS; i++) {
        struct bpf_sock *sk;
        long err;

        key.slot = i;
        sk = bpf_map_lookup_elem(&weir_listener, &key);
        if (!sk)
            continue;
        err = bpf_sk_assign(ctx, sk, 0);
        bpf_sk_release(sk);
        if (!err)
            return true;
    }
    return false;
}

/*
 * No sidecar listens: may the client ask again? This hook can only refuse with a reset, so the SYN goes on to the application's own
 * listener, at which skb_ingress.bpf.c drops it. Where that would let it pass it is not held.
 */
static __always_inline bool held(struct arrival *a) {
    if ((a->pod.flags & WEIR_POD_FAIL_OPEN) || is_probe(a) ||
        !weir_wait_holds(weir_lookup_pod, true))
        return false;
    refuse(a, WEIR_HELD_SIDECAR, 0);
    return true;
}

static __always_inline int deliver(struct bpf_sk_lookup *ctx, struct arrival *a) {
    __u32 port = weir_port_flags(weir_lookup_pod, a->pod.flags, a->lport, a->proto);

    if (a->probe || ((port & WEIR_PORT_PROOF) && is_probe(a))) {
        weir_count_one(WEIR_ALLOW_PROBE);
        return SK_PASS;
    }
    if (!(port & WEIR_PORT_STEER)) {
        weir_count_one(WEIR_ALLOW_INGRESS);
        return SK_PASS;
    }
    if (assign(ctx, ctx->family == AF_INET ? 4 : 6)) {
        weir_count_one(WEIR_ALLOW_INGRESS_PROXY);
        return SK_PASS;
    }
    if ((a->pod.flags & WEIR_POD_FAIL_OPEN) && !a->proxy_only) {
        weir_count_one(WEIR_ALLOW_FAIL_OPEN);
        return SK_PASS;
    }
    return held(a) ? SK_PASS : refuse(a, WEIR_DENY_NO_LISTENER, 0);
}

/* What stays in the pod; but calls to its sidecar that did not come in time end with nobody else. */
static __always_inline int deliver_inside(const struct arrival *a) {
    if (a->proto == WEIR_IPPROTO_TCP && a->lport == WEIR_PORT_OUTBOUND) {
        struct weir_pod_value *pod = weir_pod_find(weir_lookup_pod);

        if (pod && (pod->flags & WEIR_POD_MESHED) &&
            !weir_listener_present(weir_lookup_pod, WEIR_PORT_OUTBOUND,
                                   weir_addr_is_v4(&a->local) ? 4 : 6)) {
            weir_count_one(WEIR_DENY_PROXY_PORT);
            return SK_DROP;
        }
    }
    weir_count_one(WEIR_ALLOW_LOCAL);
    return SK_PASS;
}

SEC("sk_lookup")
int weir_sk_lookup(struct bpf_sk_lookup *ctx) {
    struct weir_ip_value peer;
    struct arrival a;

    read_arrival(ctx, &a);
    if (weir_addr_is_loopback(&a.remote))
        return deliver_inside(&a);
    if (app_bound(&a)) {
        weir_count_one(WEIR_ALLOW_APP_BOUND);
        return SK_PASS;
    }
    if (a.proto == WEIR_IPPROTO_TCP && weir_probe_recorded(&a.remote, a.rport, &a.local, a.lport)) {
        weir_count_one(WEIR_ALLOW_PROBE);
        return SK_PASS;
    }
    if (!weir_pod_get(weir_lookup_pod, &a.pod))
        return refuse(&a, WEIR_DENY_NO_POD, 0);
    weir_ip_get(&a.remote, &peer);
    a.identity = peer.identity;
    if ((a.pod.flags & WEIR_POD_MESHED) && a.proto == WEIR_IPPROTO_TCP &&
        (a.lport == WEIR_PORT_INBOUND || a.lport == WEIR_PORT_OUTBOUND))
        return refuse(&a, WEIR_DENY_PROXY_PORT, 0);
    /* The pod may always reach itself; its own inbound side still gets the flow (decisions.md 9).
     */
    if (!weir_addr_equal(&a.remote, &a.local) && !admitted(&a))
        return SK_DROP;
    return deliver(ctx, &a);
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
