/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * THE policy decision: one function, compiled by clang for the kernel and by the host compiler for
 * `weir explain`, unit tests and fuzzing. It knows rules, sets and a flow; it does not know pods,
 * services, sockets or where the tables live.
 *
 * The tables are supplied by whoever includes this header, as three macros over an opaque `env`
 * pointer: WEIR_POLICY_BLOCK(env, id)             const struct weir_rule_block *, NULL = no such
 * block WEIR_POLICY_IN_SET(env, set, identity) 1 or 0 WEIR_POLICY_CIDR(env, set, addr)
 * WEIR_CIDR_IN, WEIR_CIDR_OUT, 0 = no prefix holds it
 */
#ifndef WEIR_ABI_POLICY_H
#define WEIR_ABI_POLICY_H

#include "weir/abi/maps.h"

/* One flow seen from one direction of one pod: ingress, the peer is the source; egress, the
 * destination. */
struct weir_policy_query {
    struct weir_addr peer;
    __u32 peer_identity; /* 0 = unidentified: in no identity set */
    __u16 port;          /* destination port, host order */
    __u8 proto;          /* WEIR_IPPROTO_* */
    __u8 pad;
};

/* verdict: WEIR_VERDICT_* (maps.h). policy: the rule's, or the slot's for a default deny; 0 when no
 * policy applies. */
struct weir_policy_answer {
    __u32 verdict;
    __u32 policy;
    __u32 audited; /* a policy that would have denied, had it not been in audit mode; 0 = none */
    __u32 rule;    /* 1-based place of the deciding rule along the chain; 0 = no rule decided */
};

#ifndef WEIR_POLICY_IN_BLOCK
#define WEIR_POLICY_IN_BLOCK(env, b, q, before, a) weir_policy_block_decide(env, b, q, before, a)
#endif
#define WEIR_POLICY_INLINE static inline __attribute__((always_inline, unused))

WEIR_POLICY_INLINE int weir_policy_rule_matches(const void *env, const struct weir_rule_item *rule,
                                                const struct weir_policy_query *q) {
    (void)env;
    if (rule->proto != 0 && rule->proto != q->proto)
        return 0;
    if (q->port < rule->port_lo || q->port > rule->port_hi)
        return 0;
    if (rule->peer == WEIR_PEER_ANY)
        return 1;
    if (rule->peer == WEIR_PEER_IDENTITY)
        return q->peer_identity != 0 && WEIR_POLICY_IN_SET(env, rule->set, q->peer_identity);
    if (rule->peer == WEIR_PEER_CIDR)
        return WEIR_POLICY_CIDR(env, rule->set, &q->peer) == WEIR_CIDR_IN;
    return 0;
}

/* The rules of one block. 1: *a is decided; 0: go on with the next block. */
WEIR_POLICY_INLINE int weir_policy_block_decide(const void *env, const struct weir_rule_block *b,
                                                const struct weir_policy_query *q, __u32 before,
                                                struct weir_policy_answer *a) {
    for (__u32 i = 0; i < WEIR_BLOCK_RULES; i++) {
        const struct weir_rule_item *rule = &b->rules[i];

        if (i >= b->count)
            break;
        if (!weir_policy_rule_matches(env, rule, q))
            continue;
        if ((rule->flags & WEIR_RULE_DENY) && (rule->flags & WEIR_RULE_AUDIT)) {
            a->audited = rule->policy;
            continue;
        }
        a->verdict = rule->flags & WEIR_RULE_DENY ? WEIR_VERDICT_DENY : WEIR_VERDICT_ALLOW;
        a->policy = rule->policy;
        a->rule = before + i + 1;
        return 1;
    }
    return 0;
}

/*
 * Deny rules stand first in the chain, so the first match decides. No rule matches: denied if the
 * slot is isolated, else allowed. *a is wholly written.
 */
WEIR_POLICY_INLINE void weir_policy_decide(const void *env, const struct weir_policy_slot *slot,
                                           const struct weir_policy_query *q,
                                           struct weir_policy_answer *a) {
    __u32 id = slot->block;

    a->verdict = WEIR_VERDICT_UNDECIDED;
    a->policy = 0;
    a->audited = 0;
    a->rule = 0;
    for (__u32 n = 0; n < WEIR_BLOCK_CHAIN && id != 0; n++) {
        const struct weir_rule_block *b = WEIR_POLICY_BLOCK(env, id);

        if (!b || b->block != id)
            return;
        if (WEIR_POLICY_IN_BLOCK(env, b, q, n * WEIR_BLOCK_RULES, a))
            return;
        id = b->next;
    }
    if (id != 0)
        return;
    if (!(slot->flags & WEIR_SLOT_ISOLATED)) {
        a->verdict = WEIR_VERDICT_ALLOW;
        return;
    }
    a->policy = slot->policy;
    if (slot->flags & WEIR_SLOT_AUDIT) {
        a->audited = slot->policy;
        a->verdict = WEIR_VERDICT_ALLOW;
        return;
    }
    a->verdict = WEIR_VERDICT_DENY;
}

#endif
