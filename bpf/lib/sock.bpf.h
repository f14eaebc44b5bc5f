/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is remembered of one socket (weir_sock), written by the decision and read by every later
 * hook. */
#ifndef WEIR_BPF_SOCK_H
#define WEIR_BPF_SOCK_H

#include "lib/call.bpf.h"
#include "lib/canary.bpf.h"

/* Writes the decision down. */
static __always_inline void weir_sock_fill(struct weir_sock_value *s, const struct weir_call *c) {
    s->facts.size = sizeof(s->facts);
    s->facts.flags = c->flags;
    s->facts.original = c->asked;
    s->facts.original_port = c->asked_port;
    s->facts.direction = WEIR_EGRESS;
    s->facts.reason = c->reason;
    s->facts.pod = c->pod;
    s->facts.identity = c->identity;
    s->facts.peer_identity = c->peer_identity;
    s->facts.service = c->service;
    s->facts.policy = c->policy;
    s->facts.epoch = weir_meta_epoch();
    s->facts.cookie = c->cookie;
    s->facts.at_ns = bpf_ktime_get_ns();
    s->chosen = c->dst;
    s->chosen_port = c->dport;
    s->role = c->role;
    s->state = c->state;
    s->set = c->set;
}

/* A service's endpoint stays with the UDP socket that has used it for the same address before. */
static __always_inline void weir_sock_stick(const struct weir_sock_value *s, struct weir_call *c) {
    if (!s || s->facts.original_port != c->asked_port ||
        !weir_addr_equal(&s->facts.original, &c->asked))
        return;
    c->sticky_set = s->set;
    c->sticky = s->chosen;
    c->sticky_port = s->chosen_port;
}

/* The common path of connect() and sendto(), after the caller has filled asked and dst. True: go on
 * to c->dst. */
static __always_inline bool weir_sock_call(struct bpf_sock_addr *ctx, struct weir_call *c) {
    struct bpf_sock *sk = weir_ctx_sk(ctx);
    struct weir_cgroup_value owner;
    struct weir_sock_value *s;

    c->cookie = bpf_get_socket_cookie(ctx);
    if (c->proto == WEIR_IPPROTO_UDP)
        weir_sock_stick(bpf_sk_storage_get(&weir_sock, sk, NULL, 0), c);
    weir_cgroup_of(sk, &owner);
    c->role = owner.role;
    c->pod = owner.pod;
    if (weir_canary_take(c)) {
        bpf_set_retval(-EPERM);
        return false;
    }
    weir_call_judge(c);
    if (!c->error && !c->passing) {
        s = bpf_sk_storage_get(&weir_sock, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
        if (s)
            weir_sock_fill(s, c);
        else
            weir_call_refuse(c, WEIR_DENY_MAP_FULL, -EPERM);
    }
    weir_call_report(c);
    if (c->error)
        bpf_set_retval(c->error);
    return !c->error;
}

#endif
