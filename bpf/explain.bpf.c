/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers a question (weir/abi/explain.h) with the very functions the hooks call, over the live maps.
 * Never attached: run by the agent with BPF_PROG_RUN. A tc program, because a syscall program must
 * be sleepable and a sleepable one may not look into an LPM trie, nor hold a listener's socket.
 */
#include "weir/abi/explain.h"
#include "lib/addr.bpf.h"
#include "lib/arrival.bpf.h"
#include "lib/call.bpf.h"

/* Not on the stack, where 6.1 has no room for it beside the decision's own. One question at a time. */
static struct weir_explain question;

/* A function of its own, also so that the struct is in the type information (tests/lint/abi.py). */
static __noinline int explain_verdict(struct weir_explain *x) {
    struct weir_policy_query q = {
        .peer = x->peer,
        .peer_identity = x->peer_identity,
        .port = x->port,
        .proto = x->proto,
        .socket = WEIR_SOCKET_NONE,
        .pod = x->pod,
    };
    struct weir_policy_answer a = {};
    struct weir_policy_slot slot = x->slot;

    weir_verdict(&slot, &q, &a);
    x->verdict = a.verdict;
    x->policy = a.policy;
    x->audited = a.audited;
    x->noted = a.noted;
    x->proxy = a.proxy;
    x->rule = a.rule;
    return 0;
}

static __always_inline void explain_call(struct weir_explain *x) {
    struct weir_call c = { .asked = x->peer,
                           .dst = x->peer,
                           .asked_port = x->port,
                           .dport = x->port,
                           .proto = x->proto,
                           .role = x->role,
                           .socket = WEIR_SOCKET_NONE,
                           .pod = x->pod };

    weir_call_judge(&c);
    x->dst = c.dst;
    x->dport = c.dport;
    x->reason = c.reason;
    x->error = c.error;
    x->flags = c.flags;
    x->service = c.service;
    x->set = c.set;
    x->policy = c.policy;
    x->identity = c.identity;
    x->peer_identity = c.peer_identity;
}

static __always_inline void explain_arrival(struct weir_explain *x) {
    struct weir_ip_value peer;
    struct weir_pod_value *pod = weir_pod_find(x->pod);
    struct weir_admission a = { .q = { .peer = x->peer, .port = x->port, .proto = x->proto },
                                .pod = x->pod };
    __u32 flags = 0, port;

    if (pod) {
        x->slot = pod->policy[WEIR_INGRESS];
        x->authz = pod->policy[WEIR_AUTHZ];
        flags = pod->flags;
    }
    weir_ip_get(&x->peer, &peer);
    a.q.peer_identity = peer.identity;
    weir_admit(&a);
    x->identity = a.identity;
    x->peer_identity = a.q.peer_identity;
    x->policy = a.policy;
    x->audited = a.audited;
    x->noted = a.noted;
    port = weir_port_flags(x->pod, flags, x->port, x->proto);
    if ((a.reason != WEIR_REASON_NONE || a.proxy_only || (port & WEIR_PORT_PROOF)) &&
        x->proto == WEIR_IPPROTO_TCP && weir_probe_covers(x->pod, &x->peer, x->port)) {
        x->reason = WEIR_ALLOW_PROBE;
        return;
    }
    if (port & WEIR_PORT_STEER)
        x->flags |= WEIR_FLOW_STEERED;
    if (a.reason == WEIR_REASON_NONE)
        x->reason = x->flags & WEIR_FLOW_STEERED ? WEIR_ALLOW_INGRESS_PROXY : WEIR_ALLOW_INGRESS;
    else
        x->reason = a.reason;
}

SEC("tc")
int weir_explain(struct __sk_buff *skb) {
    struct weir_explain *x = &question;

    if (bpf_skb_load_bytes(skb, 0, x, sizeof(*x)))
        return 0;
    if (x->what == WEIR_EXPLAIN_VERDICT)
        explain_verdict(x);
    else if (x->what == WEIR_EXPLAIN_CALL)
        explain_call(x);
    else if (x->what == WEIR_EXPLAIN_ARRIVAL)
        explain_arrival(x);
    else
        return 0;
    x->answered = 1;
    bpf_skb_store_bytes(skb, 0, x, sizeof(*x), 0);
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
