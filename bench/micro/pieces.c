/* SPDX-License-Identifier: Apache-2.0 */
/*
 * N decisions of one of weir's deciding parts, for callgrind (bench/micro/check.py): what each costs without the rest of a request.
 *
 *     pieces balancer N    an endpoint of 100, by the default balancer, and what a request then reports
 *     pieces policy N      the kernel's policy matcher as compiled for user space: 200 rules, the last one decides
 *
 * It ends with 1 when a decision is not the expected one.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lb/lb.h"
#include "weir/abi/maps.h"

/* ---- balancer ---- */

#define N_ENDPOINTS 100u

static bool balancer(unsigned long n) {
    static const uint64_t seed[2] = { 1, 2 };
    struct weir_endpoint endpoints[N_ENDPOINTS];
    unsigned long picked = 0;
    struct weir_lb *lb;

    memset(endpoints, 0, sizeof(endpoints));
    for (unsigned i = 0; i < N_ENDPOINTS; i++)
        endpoints[i] = (struct weir_endpoint){
            .ip = { { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(i + 1) } },
            .port = 8080,
            .ready = true,
            .weight = 1 + i % 3,
        };
    if (weir_lb_new(seed, &lb) < 0 || weir_lb_update(lb, endpoints, N_ENDPOINTS) < 0)
        return false;
    for (unsigned long i = 0; i < n; i++) {
        struct weir_lb_endpoint *e = weir_lb_pick(lb, i, NULL, 0);

        if (!e)
            break;
        picked++;
        weir_lb_use(lb, e);
        e->outstanding++;
        weir_lb_observe(e, 1000 + i % 500);
        e->outstanding--;
        weir_lb_report(lb, e, true, i);
        weir_lb_unuse(lb, e);
    }
    weir_lb_free(lb);
    return picked == n;
}

/* ---- policy matcher ---- */

#define N_BLOCKS     7u
#define N_RULES      200u
#define N_IDENTITIES 1024u

struct tables {
    struct weir_rule_block blocks[N_BLOCKS]; /* id - 1 */
    uint32_t member[N_IDENTITIES];           /* of the set that every rule asks for: its policy */
    struct weir_cidr_value in;
};

static const struct weir_rule_block *block_of(const struct tables *t, uint32_t id) {
    return id >= 1 && id <= N_BLOCKS ? &t->blocks[id - 1] : NULL;
}

/* Set i + 1 has the one identity 100 + i. */
static const uint32_t *in_set(const struct tables *t, uint32_t set, uint32_t identity) {
    return identity < N_IDENTITIES && identity == set + 99 ? &t->member[identity] : NULL;
}

static const struct weir_cidr_value *cidr_of(const struct tables *t, uint32_t set,
                                             const struct weir_addr *a) {
    return set != 0 && a ? &t->in : NULL;
}

#define WEIR_POLICY_BLOCK(env, id)             block_of(env, id)
#define WEIR_POLICY_IN_SET(env, set, identity) in_set(env, set, identity)
#define WEIR_POLICY_CIDR(env, set, addr)       cidr_of(env, set, addr)
/* No rule here speaks of names. */
#define WEIR_POLICY_NAMED(env, set, q) (-1)
#include "weir/abi/policy.h"

/* Rules as NetworkPolicies become: an identity set and a port, every fourth by address and another port. */
static void fill(struct tables *t) {
    memset(t, 0, sizeof(*t));
    t->in.verdict = WEIR_CIDR_IN;
    for (uint32_t i = 0; i < N_RULES; i++) {
        struct weir_rule_block *b = &t->blocks[i / WEIR_BLOCK_RULES];
        bool by_address = i % 4 == 3 && i + 1 < N_RULES;

        b->block = i / WEIR_BLOCK_RULES + 1;
        b->next = i / WEIR_BLOCK_RULES + 1 < N_BLOCKS ? b->block + 1 : 0;
        b->rules[b->count++] = (struct weir_rule_item){
            .set = i + 1,
            .cidr = 1,
            .policy = i + 1,
            .port_lo = by_address ? 9090 : 8080,
            .port_hi = by_address ? 9090 : 8080,
            .proto = 6,
            .peer = by_address ? WEIR_PEER_CIDR : WEIR_PEER_IDENTITY,
        };
    }
}

__attribute__((noinline)) static uint32_t decide(const struct tables *t,
                                                 const struct weir_policy_slot *slot,
                                                 const struct weir_policy_query *q) {
    struct weir_policy_answer a;

    weir_policy_decide(t, slot, q, &a);
    return a.verdict == WEIR_VERDICT_ALLOW ? a.rule : 0;
}

static bool policy(unsigned long n) {
    static struct tables t;
    struct weir_policy_slot slot = { .block = 1, .flags = WEIR_SLOT_ISOLATED };
    struct weir_policy_query q = { .peer_identity = 99 + N_RULES, .port = 8080, .proto = 6 };
    unsigned long right = 0;

    fill(&t);
    for (unsigned long i = 0; i < n; i++)
        right += decide(&t, &slot, &q) == N_RULES;
    q.peer_identity = 0; /* nobody: denied behind the last rule */
    return right == n && decide(&t, &slot, &q) == 0;
}

int main(int argc, char **argv) {
    unsigned long n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;

    if (n > 0 && strcmp(argv[1], "balancer") == 0)
        return balancer(n) ? 0 : 1;
    if (n > 0 && strcmp(argv[1], "policy") == 0)
        return policy(n) ? 0 : 1;
    fprintf(stderr, "usage: pieces balancer|policy N\n");
    return 2;
}
