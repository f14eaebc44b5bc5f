/* SPDX-License-Identifier: Apache-2.0 */
/* Both copies of the matcher behind one shape of question. Knows no names. */
#include "kern/explain.h"

#include <bpf/bpf.h>
#include <string.h>

#include "kern/priv.h"
#include "kern/skel.h"
#include "sys/clock.h"

static const struct weir_rule_block *block_get(const struct weir_mapset *set, __u32 id) {
    return weir_mapset_get(set, WEIR_MAP_RULE, &id);
}

static const __u32 *in_set(const struct weir_mapset *set, __u32 id, __u32 identity) {
    const struct weir_idset_key key = { id, identity };

    return weir_mapset_get(set, WEIR_MAP_IDSET, &key);
}

/* The longest prefix that holds the address, as the LPM trie finds it. */
static const struct weir_cidr_value *cidr_get(const struct weir_mapset *set, __u32 id,
                                              const struct weir_addr *addr) {
    struct weir_cidr_key key = { .set = id };

    for (unsigned prefix = 128;; prefix--) {
        const struct weir_cidr_value *value;

        memset(&key.addr, 0, sizeof(key.addr));
        memcpy(&key.addr, addr, prefix / 8);
        if (prefix % 8)
            ((__u8 *)&key.addr)[prefix / 8] =
                (__u8)(((const __u8 *)addr)[prefix / 8] & (0xffU << (8 - prefix % 8)));
        key.prefix = 32 + prefix;
        value = weir_mapset_get(set, WEIR_MAP_CIDR, &key);
        if (value || prefix == 0)
            return value;
    }
}

struct weir_policy_query;
static __s64 named(const struct weir_mapset *set, __u32 id, const struct weir_policy_query *q);

#define WEIR_POLICY_BLOCK(env, id)             block_get(env, id)
#define WEIR_POLICY_IN_SET(env, set, identity) in_set(env, set, identity)
#define WEIR_POLICY_CIDR(env, set, addr)       cidr_get(env, set, addr)
#define WEIR_POLICY_NAMED(env, set, q)         named(env, set, q)
#include "weir/abi/policy.h"

/* As weir_dns_named (bpf/dns.bpf.c). */
static __s64 named(const struct weir_mapset *set, __u32 id, const struct weir_policy_query *q) {
    const struct weir_dns_bound_key key = { q->peer, q->pod };
    const struct weir_dns_bound_value *v = weir_mapset_get(set, WEIR_MAP_DNS_BOUND, &key);
    uint64_t now_us = weir_clock_mono_us();

    for (unsigned i = 0; v && q->pod != 0 && i < WEIR_DNS_SLOTS; i++) {
        const __u32 *policy;

        if (!weir_dns_slot_holds(v, &v->slots[i], q->socket == WEIR_SOCKET_LIVES, now_us * 1000))
            continue;
        policy = in_set(set, id, v->slots[i].pattern | WEIR_DNS_MEMBER);
        if (policy)
            return *policy;
    }
    return -1;
}

void weir_mapset_verdict(const struct weir_mapset *set, struct weir_explain *x) {
    const struct weir_policy_query q = {
        .peer = x->peer,
        .peer_identity = x->peer_identity,
        .port = x->port,
        .proto = x->proto,
        .socket = WEIR_SOCKET_NONE,
        .pod = x->pod,
    };
    struct weir_policy_answer a;

    weir_policy_decide(set, &x->slot, &q, &a);
    x->verdict = a.verdict;
    x->policy = a.policy;
    x->audited = a.audited;
    x->noted = a.noted;
    x->proxy = a.proxy;
    x->rule = a.rule;
    x->answered = 1;
}

int weir_kern_explain(struct weir_kern *k, struct weir_explain *x) {
    struct weir_explain out = { 0 };
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = x, .data_size_in = sizeof(*x), .data_out = &out,
                .data_size_out = sizeof(out), .repeat = 1);
    int r;

    memset(x->frame, 0, sizeof(x->frame));
    x->answered = 0;
    r = bpf_prog_test_run_opts(bpf_program__fd(k->bpf->progs.weir_explain), &run);
    if (r < 0)
        return r;
    if (run.data_size_out != sizeof(out) || !out.answered)
        return -EINVAL;
    *x = out;
    return 0;
}
