/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy matcher of include/weir/abi/policy.h over the live maps. No hook of its own. */
#include "lib/arrival.bpf.h"

__s64 weir_verdict_peer(const struct weir_rule_item *rule, const struct weir_policy_query *query) {
    if (!rule || !query)
        return -1;
    return weir_policy_peer_decide(NULL, rule, query);
}

int weir_verdict_block(const struct weir_rule_block *block, const struct weir_policy_query *query,
                       __u32 before, struct weir_policy_answer *ret) {
    if (!block || !query || !ret)
        return 0;
    return weir_policy_block_decide(NULL, block, query, before, ret);
}

int weir_verdict(const struct weir_policy_slot *slot, const struct weir_policy_query *query,
                 struct weir_policy_answer *ret) {
    if (!slot || !query || !ret)
        return 0;
    weir_policy_decide(NULL, slot, query, ret);
    return 0;
}

/* One slot's word. True: it does not refuse. */
static __always_inline bool allows(struct weir_admission *a, const struct weir_policy_slot *slot) {
    struct weir_policy_answer answer = {};

    if (slot->block == 0 && !(slot->flags & WEIR_SLOT_ISOLATED))
        return true;
    weir_verdict(slot, &a->q, &answer);
    if (answer.audited)
        a->audited = answer.audited;
    if (answer.noted)
        a->noted = answer.noted;
    if (answer.policy)
        a->policy = answer.policy;
    if (answer.verdict == WEIR_VERDICT_ALLOW)
        return true;
    if (answer.verdict == WEIR_VERDICT_PROXY) {
        a->proxy_only = 1;
        if (answer.proxy)
            a->policy = answer.proxy;
        return true;
    }
    a->reason = answer.verdict == WEIR_VERDICT_DENY ? WEIR_DENY_INGRESS : WEIR_DENY_UNDECIDED;
    return false;
}

/* One kind of policies; the slot is copied before the pod is checked (WEIR_READS). */
static __always_inline bool admits(struct weir_admission *a, struct weir_pod_value *pod,
                                   __u32 kind) {
    struct weir_policy_slot slot =
        kind == WEIR_AUTHZ ? pod->policy[WEIR_AUTHZ] : pod->policy[WEIR_INGRESS];

    if (!weir_pod_is(pod, a->pod)) {
        a->reason = WEIR_DENY_NO_POD;
        return false;
    }
    return allows(a, &slot);
}

static __always_inline void admit_once(struct weir_admission *a) {
    struct weir_pod_value *pod = weir_pod_find(a->pod);

    a->reason = WEIR_DENY_NO_POD;
    if (!pod)
        return;
    a->reason = WEIR_REASON_NONE;
    a->identity = pod->identity;
    if (!admits(a, pod, WEIR_INGRESS) || a->q.proto != WEIR_IPPROTO_TCP ||
        !admits(a, pod, WEIR_AUTHZ))
        return;
    if (a->proxy_only && !weir_port_steered(a->pod, pod->flags, a->q.port, a->q.proto))
        a->reason = WEIR_DENY_UNPROVEN;
}

int weir_admit(struct weir_admission *a) {
    if (!a)
        return 0;
    for (int i = 0; i < WEIR_READS; i++) {
        a->proxy_only = 0;
        admit_once(a);
        if (a->reason != WEIR_DENY_NO_POD)
            break;
    }
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
