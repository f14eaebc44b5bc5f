/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots, plans and policy answers for the kern tests. Header only. */
#ifndef WEIR_TEST_KERN_CLUSTER_H
#define WEIR_TEST_KERN_CLUSTER_H

#include "kern/plan.h"
#include "weir_test.h"

static WEIR_UNUSED uint64_t rnd(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static WEIR_UNUSED uint32_t rnd_below(uint64_t *state, uint32_t n) {
    return (uint32_t)(rnd(state) % n);
}

static WEIR_UNUSED struct weir_snapshot *snapshot_of(const char *text) {
    struct weir_source source = { "cluster", text, strlen(text) };
    struct weir_problems problems = { 0 };
    struct weir_snapshot *s = NULL;

    if (weir_snapshot_build(&source, 1, &s, &problems) != 0)
        fail_msg("line %u: %s: %s\n%s", problems.n ? problems.items[0].place.line : 0,
                 problems.n ? problems.items[0].field : "?",
                 problems.n ? problems.items[0].message : "?", text);
    weir_problems_deinit(&problems);
    return s;
}

/* Every pod with a cgroup is here, with made-up places. */
static WEIR_UNUSED struct weir_mapset *plan_of(const struct weir_snapshot *s,
                                               const struct weir_mapset *installed,
                                               struct weir_plan_report *report) {
    struct weir_plan_pod *pods = calloc(s->n_pods + 1UL, sizeof(*pods));
    struct weir_plan_input input = { .snapshot = s, .installed = installed, .pods = pods };
    struct weir_plan_report unused;
    struct weir_mapset *set = NULL;

    for (uint32_t i = 0; i < s->n_pods; i++)
        if (s->pods[i].cgroup[0])
            pods[input.n_pods++] =
                (struct weir_plan_pod){ &s->pods[i], 1000 + i, 2000 + i,
                                        3000 + i,    0,        weir_pod_meshed(&s->pods[i]) };
    assert_int_equal(weir_plan_build(&input, &set, report ? report : &unused), 0);
    free(pods);
    return set;
}

/* --- the kernel's matcher over a mapset --- */

static WEIR_UNUSED const uint32_t *set_has(const struct weir_mapset *set, uint32_t id,
                                           uint32_t identity) {
    struct weir_idset_key key = { id, identity };

    return weir_mapset_get(set, WEIR_MAP_IDSET, &key);
}

static WEIR_UNUSED const struct weir_cidr_value *
cidr_says(const struct weir_mapset *set, uint32_t id, const struct weir_addr *addr) {
    for (int prefix = 128; prefix >= 0; prefix--) {
        struct weir_cidr_key key = { 32 + (uint32_t)prefix, id, *addr };
        uint8_t *bytes = (uint8_t *)&key.addr;
        const struct weir_cidr_value *value;

        for (int i = prefix; i < 128; i++)
            bytes[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
        value = weir_mapset_get(set, WEIR_MAP_CIDR, &key);
        if (value)
            return value;
    }
    return NULL;
}

static WEIR_UNUSED const struct weir_rule_block *block_of(const struct weir_mapset *set,
                                                          uint32_t id) {
    return weir_mapset_get(set, WEIR_MAP_RULE, &id);
}

#define WEIR_POLICY_BLOCK(env, id)             block_of(env, id)
#define WEIR_POLICY_IN_SET(env, set, identity) set_has(env, set, identity)
#define WEIR_POLICY_CIDR(env, set, addr)       cidr_says(env, set, addr)
#define WEIR_POLICY_NAMED(env, set, q)         named_in(env, set, q)
struct weir_policy_query;
static WEIR_UNUSED int64_t named_in(const struct weir_mapset *set, uint32_t id,
                                    const struct weir_policy_query *q);
#include "weir/abi/policy.h"

/* As the kernel reads a binding, were it always in time. */
static WEIR_UNUSED int64_t named_in(const struct weir_mapset *set, uint32_t id,
                                    const struct weir_policy_query *q) {
    const struct weir_dns_bound_key key = { q->peer, q->pod };
    const struct weir_dns_bound_value *v = weir_mapset_get(set, WEIR_MAP_DNS_BOUND, &key);

    for (unsigned i = 0; v && i < WEIR_DNS_SLOTS; i++) {
        const uint32_t *member =
            v->slots[i].pattern ? set_has(set, id, v->slots[i].pattern | WEIR_DNS_MEMBER) : NULL;

        if (member)
            return *member;
    }
    return -1;
}

static WEIR_UNUSED struct weir_addr addr_of(const struct weir_ip *ip) {
    struct weir_addr addr;

    memcpy(&addr, ip, sizeof(addr));
    return addr;
}

/* What the kernel would answer for that pod: a WEIR_VERDICT_*. */
static WEIR_UNUSED struct weir_policy_answer answer_of(const struct weir_mapset *set, uint32_t pod,
                                                       int direction, const struct weir_ip *peer,
                                                       uint8_t proto, uint16_t port) {
    struct weir_policy_query q = {
        .peer = addr_of(peer), .proto = proto, .port = port, .pod = pod
    };
    const struct weir_pod_value *value = weir_mapset_get(set, WEIR_MAP_POD, &pod);
    const struct weir_ip_value *who = weir_mapset_get(set, WEIR_MAP_IP, &q.peer);
    struct weir_policy_answer answer;

    assert_non_null(value);
    q.peer_identity = who ? who->identity : 0;
    weir_policy_decide(set, &value->policy[direction], &q, &answer);
    return answer;
}

static WEIR_UNUSED uint32_t pod_id(const struct weir_mapset *set, const struct weir_pod *pod) {
    char name[128];

    snprintf(name, sizeof(name), "%s/%s", pod->meta.namespace_, pod->meta.name);
    return weir_plan_id(set, WEIR_NAME_POD, name);
}

#endif
