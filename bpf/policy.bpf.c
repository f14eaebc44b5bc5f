/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The policy matcher of include/weir/abi/policy.h over the live maps. No hook of its own. */
#include "lib/policy.bpf.h"

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

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
