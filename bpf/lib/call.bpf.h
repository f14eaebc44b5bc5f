/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One attempt of a local process to reach a destination: connect() or sendto(), either family. The
 * SEC function fills it from its context, weir_call_decide() decides without seeing a context, the
 * SEC function applies.
 */
#ifndef WEIR_BPF_CALL_H
#define WEIR_BPF_CALL_H

#include "lib/addr.bpf.h"
#include "lib/cgroup.bpf.h"
#include "lib/count.bpf.h"
#include "lib/policy.bpf.h"
#include "lib/svc.bpf.h"

struct weir_call {
    struct weir_addr asked; /* by the application */
    struct weir_addr dst;   /* what to dial; decide() changes it */
    __u64 cookie;           /* of the socket */
    __u16 asked_port, dport;
    __u8 proto, role, reason, state; /* state: WEIR_SOCK_* to remember */
    __u32 pod, identity, peer_identity, service, set, policy, flags;
    __s32 error;      /* 0 = go on; else negative errno */
    __u32 sticky_set; /* UDP: the set, and below the endpoint, this socket has used for `asked`
                         before */
    struct weir_addr sticky;
    __u16 sticky_port;
    __u8 answer;   /* UDP, to a peer that policy let ask us */
    __u8 passing;  /* UDP with an address on a connected socket: says nothing about the socket */
    __u32 audited; /* with WEIR_ALLOW_AUDIT: the policy that would have denied */
    __u8 policed;  /* answered by weir_call_decide: weir_call_police has to be asked as well */
    __u8 socket;   /* WEIR_SOCKET_* (weir/abi/policy.h) */
};

/*
 * Fails closed: whatever cannot be decided sets error and a reason. Reads role and pod, sets the
 * rest. Policy is not part of it (the verifier adds up the stack of all that call each other): see weir_call_judge. Returns 0.
 */
int weir_call_decide(struct weir_call *c);
/* Policy only: c->dst of c->pod as it stands, on both sides as far as known here. Returns 0. */
int weir_call_police(struct weir_call *c);

/* All of the decision. */
static __always_inline void weir_call_judge(struct weir_call *c) {
    weir_call_decide(c);
    if (c->policed && !c->error)
        weir_call_police(c);
}

static __always_inline void weir_call_refuse(struct weir_call *c, __u8 reason, __s32 error) {
    c->reason = reason;
    c->error = error;
}

/* Counts, and reports a denial (or an allowed flow that audit mode would have denied). Returns 0.
 */
int weir_call_report(const struct weir_call *c);

#endif
