/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Asking the one policy matcher over the live maps, and reading a pod. */
#ifndef WEIR_BPF_POLICY_H
#define WEIR_BPF_POLICY_H

#include "lib/pod.bpf.h"

struct weir_policy_query;
struct weir_policy_answer;
/* weir_policy_block_decide (weir/abi/policy.h) as a function of its own: the verifier walks it
 * once. */
int weir_verdict_block(const struct weir_rule_block *block, const struct weir_policy_query *query,
                       __u32 before, struct weir_policy_answer *ret);

/* weir_policy_peer_decide, for the same reason. An address bound to a name that a socket is to is kept. */
__s64 weir_verdict_peer(const struct weir_rule_item *rule, const struct weir_policy_query *query);

#define WEIR_POLICY_BLOCK(env, id)             weir_policy_block_get(id)
#define WEIR_POLICY_IN_SET(env, set, identity) weir_policy_in_set(set, identity)
#define WEIR_POLICY_CIDR(env, set, addr)       weir_policy_cidr(set, addr)
#define WEIR_POLICY_NAMED(env, set, q)         weir_policy_named(set, q)

static __always_inline __s64 weir_policy_named(__u32 set, const struct weir_policy_query *q);

static __always_inline const struct weir_rule_block *weir_policy_block_get(__u32 id) {
    return bpf_map_lookup_elem(&weir_rule, &id);
}

static __always_inline const __u32 *weir_policy_in_set(__u32 set, __u32 identity) {
    struct weir_idset_key key = { .set = set, .identity = identity };

    return bpf_map_lookup_elem(&weir_idset, &key);
}

static __always_inline const struct weir_cidr_value *
weir_policy_cidr(__u32 set, const struct weir_addr *addr) {
    struct weir_cidr_key key = { .prefix = 32 + 128, .set = set, .addr = *addr };

    return bpf_map_lookup_elem(&weir_cidr, &key);
}

#define WEIR_POLICY_PEER(env, rule, q)             weir_verdict_peer(rule, q)
#define WEIR_POLICY_IN_BLOCK(env, b, q, before, a) weir_verdict_block(b, q, before, a)

#include "weir/abi/policy.h"

/* At the end of the longest chain of calls there is, so it has to do with little stack: the time is asked for each
 * slot. */
static __always_inline __s64 weir_policy_named(__u32 set, const struct weir_policy_query *q) {
    struct weir_dns_bound_key key = { .addr = q->peer, .pod = q->pod };
    struct weir_idset_key member = { .set = set };
    struct weir_dns_bound_value *v;

    if (q->pod == 0)
        return -1;
    v = bpf_map_lookup_elem(&weir_dns_bound, &key);
    if (!v)
        return -1;
    for (__u32 i = 0; i < WEIR_DNS_SLOTS; i++) {
        __u32 *policy;

        if (!weir_dns_slot_holds(v, &v->slots[i], q->socket == WEIR_SOCKET_LIVES,
                                 bpf_ktime_get_ns()))
            continue;
        member.identity = v->slots[i].pattern | WEIR_DNS_MEMBER;
        policy = bpf_map_lookup_elem(&weir_idset, &member);
        if (!policy)
            continue;
        if (q->socket != WEIR_SOCKET_NONE)
            v->kept_ns = bpf_ktime_get_ns();
        return *policy;
    }
    return -1;
}

/* weir_policy_decide over the live maps, as a function of its own: verified once, whoever calls it.
 * Returns 0. */
int weir_verdict(const struct weir_policy_slot *slot, const struct weir_policy_query *query,
                 struct weir_policy_answer *ret);

/* Did the conversation of this key take place within the last minute? */
static __always_inline bool weir_udp_remembers(const struct weir_tuple *key) {
    __u64 *at = bpf_map_lookup_elem(&weir_udp_peer, key);

    return at && bpf_ktime_get_ns() - *at < WEIR_UDP_MEMORY_NS;
}

static __always_inline void weir_udp_remember(const struct weir_tuple *key) {
    __u64 now = bpf_ktime_get_ns();

    bpf_map_update_elem(&weir_udp_peer, key, &now, BPF_ANY);
}

static __always_inline __u64 weir_meta_epoch(void) {
    __u32 zero = 0;
    struct weir_meta_value *m = bpf_map_lookup_elem(&weir_meta, &zero);

    return m ? m->epoch : 0;
}

static __always_inline bool weir_meta_holds(void) {
    __u32 zero = 0;
    struct weir_meta_value *m = bpf_map_lookup_elem(&weir_meta, &zero);

    return m && (m->flags & WEIR_META_HOLD);
}

#endif
