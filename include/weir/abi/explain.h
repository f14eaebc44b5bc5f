/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lint: size each struct with its offsets asserted */
/*
 * A question to the kernel's own decision, asked without a socket: the agent runs the program
 * weir_explain (BPF_PROG_RUN) with one of these as its packet and finds the answer in it. Nothing
 * is reported by asking.
 */
#ifndef WEIR_ABI_EXPLAIN_H
#define WEIR_ABI_EXPLAIN_H

#include "weir/abi/maps.h"

/*
 * VERDICT: `slot`, `peer`, `peer_identity`, `port`, `proto`, egress `pod` -> `verdict` and what follows it.
 * CALL: a process of `pod` in `role` connects to `peer`:`port` -> `reason`, `error`, `dst`, `dport`,
 * `flags`, `service`, `set`, `policy`, identities. The endpoint of a service is picked anew.
 * ARRIVAL: `peer` has reached `port` of `pod` -> `reason`, `verdict`..., `flags`
 * (WEIR_FLOW_STEERED: the sidecar gets it), identities.
 */
#define WEIR_EXPLAIN_VERDICT 1u
#define WEIR_EXPLAIN_CALL    2u
#define WEIR_EXPLAIN_ARRIVAL 3u

struct weir_explain {
    __u8 frame[16]; /* zero: where a packet has its Ethernet header */
    __u32 what;     /* WEIR_EXPLAIN_* */
    __u32 pod;
    struct weir_addr peer;
    __u16 port;  /* the destination's */
    __u8 proto;  /* WEIR_IPPROTO_* */
    __u8 role;   /* CALL: WEIR_ROLE_APP, WEIR_ROLE_PROXY */
    __u8 reason; /* enum weir_reason */
    __u8 pad[3];
    struct weir_policy_slot slot; /* ARRIVAL: answered */
    __u32 identity;               /* of `pod` */
    __u32 peer_identity;
    struct weir_addr dst;
    __u32 flags; /* WEIR_FLOW_* */
    __u32 service;
    __u32 set;
    __s32 error; /* CALL: 0 or a negative errno */
    __u32 verdict;
    __u32 policy;
    __u32 audited;
    __u32 noted;
    __u32 proxy;
    __u32 rule;
    __u16 dport;
    __u8 answered; /* 1 when the program understood the question */
    __u8 pad2[5];
    struct weir_policy_slot
        authz; /* ARRIVAL: answered; TCP: what VERDICT says of it counts as well */
};
WEIR_ABI_SIZE(weir_explain, 152);
WEIR_ABI_AT(weir_explain, frame, 0);
WEIR_ABI_AT(weir_explain, what, 16);
WEIR_ABI_AT(weir_explain, pod, 20);
WEIR_ABI_AT(weir_explain, peer, 24);
WEIR_ABI_AT(weir_explain, port, 40);
WEIR_ABI_AT(weir_explain, proto, 42);
WEIR_ABI_AT(weir_explain, role, 43);
WEIR_ABI_AT(weir_explain, reason, 44);
WEIR_ABI_AT(weir_explain, pad, 45);
WEIR_ABI_AT(weir_explain, slot, 48);
WEIR_ABI_AT(weir_explain, identity, 64);
WEIR_ABI_AT(weir_explain, peer_identity, 68);
WEIR_ABI_AT(weir_explain, dst, 72);
WEIR_ABI_AT(weir_explain, flags, 88);
WEIR_ABI_AT(weir_explain, service, 92);
WEIR_ABI_AT(weir_explain, set, 96);
WEIR_ABI_AT(weir_explain, error, 100);
WEIR_ABI_AT(weir_explain, verdict, 104);
WEIR_ABI_AT(weir_explain, policy, 108);
WEIR_ABI_AT(weir_explain, audited, 112);
WEIR_ABI_AT(weir_explain, noted, 116);
WEIR_ABI_AT(weir_explain, proxy, 120);
WEIR_ABI_AT(weir_explain, rule, 124);
WEIR_ABI_AT(weir_explain, dport, 128);
WEIR_ABI_AT(weir_explain, answered, 130);
WEIR_ABI_AT(weir_explain, pad2, 131);
WEIR_ABI_AT(weir_explain, authz, 136);

#endif
