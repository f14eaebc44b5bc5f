/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lint: size the one decision is read in one place */
/*
 * THE policy decision: one function, compiled by clang for the kernel and by the host compiler for
 * `weir explain`, unit tests and fuzzing. It knows rules, sets and a flow; it does not know pods,
 * services, sockets or where the tables live.
 *
 * The tables are supplied by whoever includes this header, as three macros over an opaque `env` pointer:
 * WEIR_POLICY_BLOCK(env, id)             const struct weir_rule_block *, NULL = no such block
 * WEIR_POLICY_IN_SET(env, set, identity) const __u32 *, the member's policy; NULL = no member
 * WEIR_POLICY_CIDR(env, set, addr)       const struct weir_cidr_value *, NULL = no prefix holds it
 * WEIR_POLICY_NAMED(env, set, q)         __s64: was q->peer answered to q->pod for a name in the set? The
 *                                        member's policy as in IN_SET; negative = no
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
    __u8 socket;         /* WEIR_SOCKET_*: for names that have run out */
    __u32 pod;           /* whose policy it is: names are bound for it; 0 = none are */
};
#define WEIR_SOCKET_NEW   0 /* is about to be made */
#define WEIR_SOCKET_LIVES 1 /* exists: an address does not run out under it */
#define WEIR_SOCKET_NONE  2 /* nobody's: it is only asked */

/* verdict: WEIR_VERDICT_* (maps.h). policy: the rule's, or the slot's for a default deny; 0 when no
 * policy applies. */
struct weir_policy_answer {
    __u32 verdict;
    __u32 policy;
    __u32 audited; /* a policy that would have denied, had it not been in audit mode; 0 = none */
    __u32 noted;   /* a policy with action AUDIT that matched; 0 = none */
    __u32 proxy;   /* a policy that would deny if the sidecar finds that it matches; 0 = none */
    __u32 rule;    /* 1-based place of the deciding rule along the chain; 0 = no rule decided */
};

#ifndef WEIR_POLICY_IN_BLOCK
#define WEIR_POLICY_IN_BLOCK(env, b, q, before, a) weir_policy_block_decide(env, b, q, before, a)
#endif
#ifndef WEIR_POLICY_PEER
#define WEIR_POLICY_PEER(env, rule, q) weir_policy_peer_decide(env, rule, q)
#endif
#define WEIR_POLICY_INLINE static inline __attribute__((always_inline, unused))

/* Is the peer one of those the rule speaks of, as far as is known here? Negative: no; else the policy in whose name, 0 =
 * the rule's own. */
WEIR_POLICY_INLINE __s64 weir_policy_peer_decide(const void *env, const struct weir_rule_item *rule,
                                                 const struct weir_policy_query *q) {
    __s64 policy = 0;

    (void)env;
    if (rule->peer &
        ~(WEIR_PEER_IDENTITY | WEIR_PEER_CIDR | WEIR_PEER_NOT_IDENTITY | WEIR_PEER_NAME))
        return -1;
    if (rule->peer & (WEIR_PEER_IDENTITY | WEIR_PEER_NOT_IDENTITY)) {
        if (q->peer_identity != 0) {
            const __u32 *member = WEIR_POLICY_IN_SET(env, rule->set, q->peer_identity);

            if (!member != !(rule->peer & WEIR_PEER_IDENTITY))
                return -1;
            if (member)
                policy = *member;
        } else if ((rule->peer & WEIR_PEER_IDENTITY) &&
                   (rule->flags & (WEIR_RULE_PROXY | WEIR_RULE_DENY)) != WEIR_RULE_PROXY) {
            return -1;
        }
    }
    if (rule->peer & WEIR_PEER_CIDR) {
        const struct weir_cidr_value *v = WEIR_POLICY_CIDR(env, rule->cidr, &q->peer);

        if (!v || v->verdict != WEIR_CIDR_IN)
            return -1;
        if (v->policy)
            policy = v->policy;
    }
    /* Who is known by identity is spoken of by identity: no name leads to a pod. */
    if (rule->peer & WEIR_PEER_NAME) {
        __s64 member = q->peer_identity ? -1 : WEIR_POLICY_NAMED(env, rule->set, q);

        if (member)
            policy = member;
    }
    return policy;
}

/* 1: it matches, as far as is known here, in the name of *ret_policy. */
WEIR_POLICY_INLINE int weir_policy_rule_matches(const void *env, const struct weir_rule_item *rule,
                                                const struct weir_policy_query *q,
                                                __u32 *ret_policy) {
    __s64 policy;

    (void)env;
    if (rule->proto != 0 && rule->proto != q->proto)
        return 0;
    if (q->port < rule->port_lo || q->port > rule->port_hi)
        return 0;
    policy = WEIR_POLICY_PEER(env, rule, q);
    if (policy < 0)
        return 0;
    *ret_policy = policy ? (__u32)policy : rule->policy;
    return 1;
}

/* One rule that matches. 1: *a is decided; 0: go on. */
WEIR_POLICY_INLINE int weir_policy_rule_decide(const struct weir_rule_item *rule, __u32 policy,
                                               struct weir_policy_answer *a) {
    if (rule->flags & WEIR_RULE_NOTE) {
        a->noted = policy;
        return 0;
    }
    if (!(rule->flags & WEIR_RULE_DENY)) {
        a->verdict = (rule->flags & (WEIR_RULE_PROXY | WEIR_RULE_AUDIT)) == WEIR_RULE_PROXY
                         ? WEIR_VERDICT_PROXY
                         : WEIR_VERDICT_ALLOW;
    } else if (!(rule->flags & (WEIR_RULE_AUDIT | WEIR_RULE_PROXY))) {
        a->verdict = WEIR_VERDICT_DENY;
    } else {
        if (!(rule->flags & WEIR_RULE_AUDIT))
            a->proxy = policy;
        else if (!(rule->flags & WEIR_RULE_PROXY))
            a->audited = policy;
        return 0;
    }
    a->policy = policy;
    return 1;
}

/* The rules of one block. 1: *a is decided; 0: go on with the next block. */
WEIR_POLICY_INLINE int weir_policy_block_decide(const void *env, const struct weir_rule_block *b,
                                                const struct weir_policy_query *q, __u32 before,
                                                struct weir_policy_answer *a) {
    for (__u32 i = 0; i < WEIR_BLOCK_RULES; i++) {
        const struct weir_rule_item *rule = &b->rules[i];
        __u32 policy;

        if (i >= b->count)
            break;
        if (!weir_policy_rule_matches(env, rule, q, &policy) ||
            !weir_policy_rule_decide(rule, policy, a))
            continue;
        a->rule = before + i + 1;
        return 1;
    }
    return 0;
}

/* The end of all rules. */
WEIR_POLICY_INLINE void weir_policy_default(const struct weir_policy_slot *slot,
                                            struct weir_policy_answer *a) {
    a->verdict = WEIR_VERDICT_ALLOW;
    if (!(slot->flags & WEIR_SLOT_ISOLATED))
        return;
    a->policy = slot->policy;
    if (slot->flags & WEIR_SLOT_AUDIT)
        a->audited = slot->policy;
    else
        a->verdict = WEIR_VERDICT_DENY;
}

/*
 * Deny rules stand first in the chain, so the first match decides. No rule matches: denied if the
 * slot is isolated, else allowed. *a is wholly written.
 */
WEIR_POLICY_INLINE void weir_policy_decide(const void *env, const struct weir_policy_slot *slot,
                                           const struct weir_policy_query *q,
                                           struct weir_policy_answer *a) {
    __u32 id = slot->block;
    __u32 decided = 0;

    __builtin_memset(a, 0, sizeof(*a));
    for (__u32 n = 0; n < WEIR_BLOCK_CHAIN && id != 0 && !decided; n++) {
        const struct weir_rule_block *b = WEIR_POLICY_BLOCK(env, id);

        if (!b || b->block != id)
            return;
        decided = WEIR_POLICY_IN_BLOCK(env, b, q, n * WEIR_BLOCK_RULES, a);
        id = b->next;
    }
    if (!decided && id != 0)
        return;
    if (!decided)
        weir_policy_default(slot, a);
    if (a->verdict == WEIR_VERDICT_ALLOW && a->proxy)
        a->verdict = WEIR_VERDICT_PROXY;
}

#endif
