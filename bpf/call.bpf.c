/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The decision about one outgoing call (lib/call.bpf.h): own pod, service or address, sidecar or
 * endpoint, policy. No hook of its own, no context; what it cannot decide it refuses.
 */
#include "lib/call.bpf.h"
#include "lib/arrival.bpf.h"
#include "lib/listener.bpf.h"

/* One side's policy. True: denied, and c says so. */
static __always_inline bool denied(struct weir_call *c, const struct weir_policy_slot *slot,
                                   const struct weir_policy_query *q, __u8 reason) {
    struct weir_policy_answer a = {};

    if (slot->block == 0 && !(slot->flags & WEIR_SLOT_ISOLATED))
        return false;
    weir_verdict(slot, q, &a);
    if (a.audited) {
        c->audited = a.audited;
        c->reason = WEIR_ALLOW_AUDIT;
    }
    if (a.verdict == WEIR_VERDICT_ALLOW)
        return false;
    c->policy = a.policy;
    weir_call_refuse(c, a.verdict == WEIR_VERDICT_DENY ? reason : WEIR_DENY_UNDECIDED, -EPERM);
    return true;
}

/*
 * The receiving side, when that pod is on this node and our own address is known (a->q.peer): an
 * early answer, its own sk_lookup program decides again and tells what is only to be told.
 */
static __always_inline void police_receiver(struct weir_call *c, struct weir_admission *a) {
    if (weir_addr_is_any(&a->q.peer))
        return;
    weir_admit(a);
    if (a->reason == WEIR_REASON_NONE || a->reason == WEIR_DENY_NO_POD)
        return;
    c->policy = a->policy;
    weir_call_refuse(c, a->reason, -EPERM);
}

int weir_call_police(struct weir_call *c) {
    struct weir_admission a = {}; /* its question is that of our own side first: stack is scarce */
    struct weir_policy_slot slot = {};
    struct weir_pod_value *self = NULL;
    struct weir_ip_value peer;

    if (!c)
        return 0;
    for (int i = 0; i < WEIR_READS; i++) {
        self = weir_pod_find(c->pod);
        if (!self)
            break;
        slot = self->policy[WEIR_EGRESS];
        c->identity = self->identity;
        if (weir_pod_is(self, c->pod))
            break;
        self = NULL;
    }
    if (!self) {
        weir_call_refuse(c, WEIR_DENY_NO_POD, -EPERM);
        return 0;
    }
    if (weir_ip_get(&c->dst, &peer)) {
        c->peer_identity = peer.identity;
        a.pod = peer.pod;
    }
    if (a.pod == c->pod || weir_addr_equal(&c->dst, &self->addr[0]) ||
        weir_addr_equal(&c->dst, &self->addr[1])) {
        c->flags |= WEIR_FLOW_LOCAL;
        c->reason = WEIR_ALLOW_LOCAL;
        return 0;
    }
    if (c->answer)
        return 0;
    a.q.peer = c->dst;
    a.q.peer_identity = c->peer_identity;
    a.q.port = c->dport;
    a.q.proto = c->proto;
    a.q.socket = c->socket;
    a.q.pod = c->pod;
    if (denied(c, &slot, &a.q, WEIR_DENY_EGRESS))
        return 0;
    /* A datagram may be an answer, which only the receiver can tell. */
    if (a.pod && c->proto == WEIR_IPPROTO_TCP) {
        a.q.peer = weir_addr_is_v4(&c->dst) ? self->addr[0] : self->addr[1];
        a.q.peer_identity = c->identity;
        a.q.pod = 0;
        police_receiver(c, &a);
    }
    return 0;
}

/* An endpoint of a plain service becomes the destination; a UDP socket stays with the one it has.
 */
static __always_inline bool pick(struct weir_call *c, const struct weir_svc_value *svc) {
    struct weir_pick p = { .svc = *svc,
                           .pod = c->pod,
                           .asked_port = c->asked_port,
                           .proto = c->proto,
                           .v6 = !weir_addr_is_v4(&c->asked) };

    c->service = svc->service;
    if (svc->count == 0) {
        weir_call_refuse(c, WEIR_DENY_NO_ENDPOINT, -ECONNREFUSED);
        return false;
    }
    c->set = svc->set;
    c->flags |= WEIR_FLOW_SERVICE;
    c->reason = WEIR_ALLOW_SERVICE;
    if (c->sticky_set == svc->set && c->sticky_set) {
        c->dst = c->sticky;
        c->dport = c->sticky_port;
        return true;
    }
    if (!weir_svc_choose(&p) || weir_addr_is_v4(&p.addr) == p.v6) {
        weir_call_refuse(c, WEIR_DENY_UNDECIDED, -EPERM);
        return false;
    }
    c->dst = p.addr;
    c->dport = p.port;
    return true;
}

/* A port of services that this pod does without its sidecar for (weir.dev/skip-outbound-ports). */
static __always_inline bool skips(const struct weir_call *c, __u32 flags) {
    struct weir_port_key key = {
        .pod = c->pod, .port = c->asked_port, .proto = WEIR_IPPROTO_TCP, .outbound = 1
    };

    return (flags & WEIR_POD_SKIPS) && weir_port_get(&key) == WEIR_PORT_PLAIN;
}

enum steering { STEER_NO, STEER_YES, STEER_REFUSED };

/* What the caller's pod is now; c->identity as well. */
static __always_inline bool own_flags(struct weir_call *c, __u32 *ret_flags) {
    for (int i = 0; i < WEIR_READS; i++) {
        struct weir_pod_value *pod = weir_pod_find(c->pod);

        if (!pod)
            return false;
        *ret_flags = pod->flags;
        c->identity = pod->identity;
        if (weir_pod_is(pod, c->pod))
            return true;
    }
    return false;
}

/* Must this call go to the pod's sidecar? */
static __always_inline enum steering steer(struct weir_call *c, const struct weir_svc_value *svc) {
    bool v4 = weir_addr_is_v4(&c->dst);
    __u32 flags;

    if (!(svc->flags & WEIR_SVC_L7) || c->proto != WEIR_IPPROTO_TCP)
        return STEER_NO;
    if (!own_flags(c, &flags)) {
        weir_call_refuse(c, WEIR_DENY_NO_POD, -EPERM);
        return STEER_REFUSED;
    }
    if (!(flags & WEIR_POD_MESHED) || skips(c, flags))
        return STEER_NO;
    c->reason = WEIR_ALLOW_STEERED;
    if (!weir_listener_present(c->pod, WEIR_PORT_OUTBOUND, v4 ? 4 : 6)) {
        if (flags & WEIR_POD_FAIL_OPEN) {
            weir_count_one(WEIR_ALLOW_FAIL_OPEN);
            return STEER_NO;
        }
        /* A mere question (no socket) begins nothing. */
        if (!weir_wait_holds(c->pod, c->cookie != 0)) {
            weir_call_refuse(c, WEIR_DENY_NO_LISTENER, -ECONNREFUSED);
            return STEER_REFUSED;
        }
        c->state = WEIR_SOCK_WAITS;
        c->reason = WEIR_HELD_SIDECAR;
    }
    weir_addr_set_loopback(&c->dst, v4);
    c->dport = WEIR_PORT_OUTBOUND;
    c->service = svc->service;
    c->flags |= WEIR_FLOW_STEERED;
    return STEER_YES;
}

/* Not classified yet: go on, the packet is held back and policy asked when it may leave
 * (skb_egress.bpf.c). */
static __always_inline void decide_unclassified(struct weir_call *c) {
    struct weir_svc_value svc;

    if (!weir_meta_holds()) {
        c->reason = WEIR_ALLOW_OUTSIDE;
        c->state = WEIR_SOCK_DECIDED;
        return;
    }
    c->state = WEIR_SOCK_HELD;
    c->reason = WEIR_HELD;
    if (!weir_svc_get(&c->dst, c->dport, c->proto, &svc))
        return;
    /* Whether this pod has a sidecar is not known: neither the sidecar nor an endpoint would be
     * right. */
    if (svc.flags & WEIR_SVC_L7)
        weir_call_refuse(c, WEIR_DENY_EARLY_L7, -EAGAIN);
    else
        pick(c, &svc);
}

static __always_inline void decide_app(struct weir_call *c) {
    struct weir_svc_value svc;

    c->reason = WEIR_ALLOW_DIRECT;
    if (weir_svc_get(&c->dst, c->dport, c->proto, &svc)) {
        if (steer(c, &svc) != STEER_NO)
            return;
        if (!pick(c, &svc))
            return;
    }
    c->policed = 1;
}

int weir_call_decide(struct weir_call *c) {
    if (!c)
        return 0;
    c->state = WEIR_SOCK_DECIDED;
    if (c->role == WEIR_ROLE_OUTSIDE) {
        c->reason = WEIR_ALLOW_OUTSIDE;
        return 0;
    }
    if (c->role == WEIR_ROLE_REFUSED) {
        weir_call_refuse(c, WEIR_DENY_REFUSED_CGROUP, -EPERM);
        return 0;
    }
    /* 0.0.0.0 and :: mean loopback to connect(); what stays inside the pod is nobody's policy. */
    if (weir_addr_is_loopback(&c->dst) || weir_addr_is_any(&c->dst)) {
        c->reason = WEIR_ALLOW_LOCAL;
        c->flags |= WEIR_FLOW_LOCAL;
        return 0;
    }
    if (c->role == WEIR_ROLE_NONE) {
        decide_unclassified(c);
    } else if (c->role == WEIR_ROLE_PROXY) {
        c->reason = WEIR_ALLOW_PROXY;
        c->flags |= WEIR_FLOW_PROXY;
        c->policed = 1;
    } else if (c->role == WEIR_ROLE_APP) {
        decide_app(c);
    } else {
        weir_call_refuse(c, WEIR_DENY_UNDECIDED, -EPERM);
    }
    return 0;
}

int weir_call_report(const struct weir_call *c) {
    if (!c)
        return 0;
    struct weir_event e = {};

    weir_count_one(c->reason);
    if (!c->error && c->reason != WEIR_ALLOW_AUDIT && c->reason != WEIR_HELD_SIDECAR)
        return 0;
    e.kind = c->reason == WEIR_HELD_SIDECAR ? WEIR_EVENT_HELD : WEIR_EVENT_DENY;
    e.cookie = c->cookie;
    e.direction = c->reason == WEIR_DENY_INGRESS || c->reason == WEIR_DENY_UNPROVEN ? WEIR_INGRESS
                                                                                    : WEIR_EGRESS;
    e.original = c->asked;
    e.original_port = c->asked_port;
    e.remote = c->dst;
    e.remote_port = c->dport;
    e.pod = c->pod;
    e.identity = c->identity;
    e.peer_identity = c->peer_identity;
    e.policy = c->reason == WEIR_ALLOW_AUDIT ? c->audited : c->policy;
    e.service = c->service;
    e.flags = c->flags;
    e.reason = c->reason;
    e.proto = c->proto;
    e.role = c->role;
    weir_event_send(&e);
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
