/* SPDX-License-Identifier: Apache-2.0 */
/*
 * include/weir/abi/policy.h compiled for user space, over tables of this file's own: each rule of the matcher by example,
 * then random policies against a second, naive reading of what a NetworkPolicy says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/abi/maps.h"

#define BLOCKS 20
#define SETS   8
#define NETS   4

struct net {
    struct weir_addr addr;
    unsigned prefix;
    int in;
};

struct tables {
    struct weir_rule_block blocks[BLOCKS];
    unsigned n_blocks;
    uint32_t identities[SETS][NETS]; /* set id = index + 1; 0 = unused */
    struct net nets[SETS][NETS];
    unsigned n_nets[SETS];
    uint32_t member_policy[SETS]; /* of what is in the set; 0 = the rule's */
};

static const struct weir_rule_block *block_get(const struct tables *t, uint32_t id) {
    for (unsigned i = 0; i < t->n_blocks; i++)
        if (t->blocks[i].block == id)
            return &t->blocks[i];
    return NULL;
}

static int has(const struct tables *t, uint32_t set, uint32_t identity) {
    for (unsigned i = 0; set >= 1 && set <= SETS && i < NETS; i++)
        if (t->identities[set - 1][i] == identity)
            return 1;
    return 0;
}

/* A member may stand for a policy of its own. */
static const uint32_t *in_set(const struct tables *t, uint32_t set, uint32_t identity) {
    return has(t, set, identity) ? &t->member_policy[set - 1] : NULL;
}

static int prefix_holds(const struct net *n, const struct weir_addr *a) {
    const unsigned char *x = (const unsigned char *)&n->addr, *y = (const unsigned char *)a;

    for (unsigned bit = 0; bit < n->prefix; bit++)
        if (((x[bit / 8] ^ y[bit / 8]) >> (7 - bit % 8)) & 1)
            return 0;
    return 1;
}

/* As the LPM trie answers: the longest prefix that holds the address. */
static int cidr_get(const struct tables *t, uint32_t set, const struct weir_addr *a) {
    int best = -1, answer = 0;

    for (unsigned i = 0; set >= 1 && set <= SETS && i < t->n_nets[set - 1]; i++) {
        const struct net *n = &t->nets[set - 1][i];

        if ((int)n->prefix > best && prefix_holds(n, a)) {
            best = (int)n->prefix;
            answer = n->in ? WEIR_CIDR_IN : WEIR_CIDR_OUT;
        }
    }
    return answer;
}

#define WEIR_POLICY_BLOCK(env, id)             block_get(env, id)
#define WEIR_POLICY_IN_SET(env, set, identity) in_set(env, set, identity)
static const struct weir_cidr_value *cidr_value(const struct tables *t, uint32_t set,
                                                const struct weir_addr *a) {
    static const struct weir_cidr_value values[] = { { .verdict = 0 },
                                                     { .verdict = WEIR_CIDR_OUT },
                                                     { .verdict = WEIR_CIDR_IN } };
    int verdict = cidr_get(t, set, a);

    return verdict ? &values[verdict] : NULL;
}

#define WEIR_POLICY_CIDR(env, set, addr) cidr_value(env, set, addr)
/* One address is bound: to a name in set 2 whose member names policy 77, for pod 5. */
#define WEIR_POLICY_NAMED(env, set, q) named_in(set, q)
struct weir_policy_query;
static int64_t named_in(uint32_t set, const struct weir_policy_query *q);
#include "weir/abi/policy.h"

static int64_t named_in(uint32_t set, const struct weir_policy_query *q) {
    return set == 2 && q->pod == 5 && weir_addr_first(q->peer.w[3]) == 198 ? 77 : -1;
}

static struct weir_addr v4(unsigned a, unsigned b, unsigned c, unsigned d) {
    unsigned char bytes[16] = { [10] = 0xff,
                                [11] = 0xff,
                                [12] = (unsigned char)a,
                                [13] = (unsigned char)b,
                                [14] = (unsigned char)c,
                                [15] = (unsigned char)d };
    struct weir_addr addr;

    memcpy(&addr, bytes, sizeof(addr));
    return addr;
}

static struct tables fresh(void) {
    struct tables t;

    memset(&t, 0, sizeof(t));
    return t;
}

static void add_block(struct tables *t, uint32_t id, uint32_t next,
                      const struct weir_rule_item *rules, unsigned n) {
    struct weir_rule_block *b = &t->blocks[t->n_blocks++];

    b->block = id;
    b->next = next;
    b->count = n;
    memcpy(b->rules, rules, n * sizeof(*rules));
}

static struct weir_policy_answer ask(const struct tables *t, struct weir_policy_slot slot,
                                     struct weir_policy_query q) {
    struct weir_policy_answer a;

    memset(&a, 0xee, sizeof(a));
    weir_policy_decide(t, &slot, &q, &a);
    return a;
}

static const struct weir_policy_slot isolated = { .block = 1,
                                                  .policy = 9,
                                                  .flags = WEIR_SLOT_ISOLATED };

static struct weir_policy_query from(struct weir_addr peer, uint32_t identity, uint16_t port) {
    return (struct weir_policy_query){
        .peer = peer, .peer_identity = identity, .port = port, .proto = WEIR_IPPROTO_TCP
    };
}

static void a_pod_no_policy_selects_is_open(void **state) {
    struct tables t = fresh();
    struct weir_policy_slot slot = { 0 };
    struct weir_policy_answer a = ask(&t, slot, from(v4(10, 0, 0, 1), 0, 80));

    assert_int_equal(a.verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(a.policy, 0);
    assert_int_equal(a.rule, 0);
}

static void an_isolated_pod_denies_by_default_and_names_the_slots_policy(void **state) {
    struct tables t = fresh();
    struct weir_policy_slot slot = { .policy = 9, .flags = WEIR_SLOT_ISOLATED };
    struct weir_policy_answer a = ask(&t, slot, from(v4(10, 0, 0, 1), 5, 80));

    assert_int_equal(a.verdict, WEIR_VERDICT_DENY);
    assert_int_equal(a.policy, 9);
}

static void audit_allows_what_the_default_would_deny(void **state) {
    struct tables t = fresh();
    struct weir_policy_slot slot = { .policy = 9, .flags = WEIR_SLOT_ISOLATED | WEIR_SLOT_AUDIT };
    struct weir_policy_answer a = ask(&t, slot, from(v4(10, 0, 0, 1), 5, 80));

    assert_int_equal(a.verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(a.audited, 9);
}

static void an_identity_rule_wants_a_known_identity(void **state) {
    struct tables t = fresh();
    const struct weir_rule_item rule = {
        .set = 1, .policy = 3, .port_hi = 65535, .peer = WEIR_PEER_IDENTITY
    };

    t.identities[0][0] = 5;
    add_block(&t, 1, 0, &rule, 1);
    assert_int_equal(ask(&t, isolated, from(v4(10, 0, 0, 1), 5, 80)).verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(ask(&t, isolated, from(v4(10, 0, 0, 1), 5, 80)).policy, 3);
    assert_int_equal(ask(&t, isolated, from(v4(10, 0, 0, 1), 6, 80)).verdict, WEIR_VERDICT_DENY);
    /* Unidentified: not even where the set's unused places hold zero. */
    assert_int_equal(ask(&t, isolated, from(v4(10, 0, 0, 1), 0, 80)).verdict, WEIR_VERDICT_DENY);
}

static void ports_are_inclusive_and_the_protocol_counts(void **state) {
    struct tables t = fresh();
    const struct weir_rule_item rule = {
        .policy = 3, .port_lo = 8080, .port_hi = 8090, .proto = WEIR_IPPROTO_TCP
    };
    struct weir_policy_query udp = from(v4(10, 0, 0, 1), 0, 8080);

    add_block(&t, 1, 0, &rule, 1);
    assert_int_equal(ask(&t, isolated, from(v4(1, 2, 3, 4), 0, 8079)).verdict, WEIR_VERDICT_DENY);
    assert_int_equal(ask(&t, isolated, from(v4(1, 2, 3, 4), 0, 8080)).verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(ask(&t, isolated, from(v4(1, 2, 3, 4), 0, 8090)).verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(ask(&t, isolated, from(v4(1, 2, 3, 4), 0, 8091)).verdict, WEIR_VERDICT_DENY);
    udp.proto = WEIR_IPPROTO_UDP;
    assert_int_equal(ask(&t, isolated, udp).verdict, WEIR_VERDICT_DENY);
}

static void an_exception_narrows_its_block(void **state) {
    struct tables t = fresh();
    const struct weir_rule_item rule = {
        .cidr = 1, .policy = 3, .port_hi = 65535, .peer = WEIR_PEER_CIDR
    };

    t.nets[0][0] = (struct net){ v4(10, 0, 0, 0), 104, 1 };
    t.nets[0][1] = (struct net){ v4(10, 1, 0, 0), 112, 0 };
    t.n_nets[0] = 2;
    add_block(&t, 1, 0, &rule, 1);
    assert_int_equal(ask(&t, isolated, from(v4(10, 2, 0, 1), 0, 80)).verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(ask(&t, isolated, from(v4(10, 1, 0, 1), 0, 80)).verdict, WEIR_VERDICT_DENY);
    assert_int_equal(ask(&t, isolated, from(v4(11, 0, 0, 1), 0, 80)).verdict, WEIR_VERDICT_DENY);
}

static void the_first_match_decides_and_audited_denials_are_passed_over(void **state) {
    struct tables t = fresh();
    const struct weir_rule_item rules[] = {
        { .policy = 4, .port_hi = 65535, .flags = WEIR_RULE_DENY | WEIR_RULE_AUDIT },
        { .policy = 5, .port_lo = 22, .port_hi = 22, .flags = WEIR_RULE_DENY },
        { .policy = 6, .port_hi = 65535 },
    };
    struct weir_policy_answer a;

    add_block(&t, 1, 0, rules, 3);
    a = ask(&t, isolated, from(v4(1, 2, 3, 4), 0, 22));
    assert_int_equal(a.verdict, WEIR_VERDICT_DENY);
    assert_int_equal(a.policy, 5);
    assert_int_equal(a.audited, 4);
    assert_int_equal(a.rule, 2);
    a = ask(&t, isolated, from(v4(1, 2, 3, 4), 0, 80));
    assert_int_equal(a.verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(a.rule, 3);
}

static void a_chain_is_followed_to_its_bound_and_no_further(void **state) {
    const struct weir_rule_item never = { .policy = 3, .port_lo = 1, .port_hi = 1 };
    const struct weir_rule_item always = { .policy = 7, .port_hi = 65535 };
    struct tables t = fresh();
    struct weir_policy_answer a;

    for (uint32_t id = 1; id < WEIR_BLOCK_CHAIN; id++)
        add_block(&t, id, id + 1, &never, 1);
    add_block(&t, WEIR_BLOCK_CHAIN, 0, &always, 1);
    a = ask(&t, isolated, from(v4(1, 2, 3, 4), 0, 80));
    assert_int_equal(a.verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(a.rule, (WEIR_BLOCK_CHAIN - 1) * WEIR_BLOCK_RULES + 1);
    /* One block more than is followed: undecided, even where a later block would allow. */
    t.blocks[WEIR_BLOCK_CHAIN - 1].rules[0] = never;
    t.blocks[WEIR_BLOCK_CHAIN - 1].next = WEIR_BLOCK_CHAIN + 1;
    add_block(&t, WEIR_BLOCK_CHAIN + 1, 0, &always, 1);
    a = ask(&t, isolated, from(v4(1, 2, 3, 4), 0, 80));
    assert_int_equal(a.verdict, WEIR_VERDICT_UNDECIDED);
}

static void a_missing_or_reused_block_is_undecided(void **state) {
    const struct weir_rule_item always = { .policy = 7, .port_hi = 65535 };
    struct tables t = fresh();
    struct weir_policy_slot slot = isolated;

    assert_int_equal(ask(&t, slot, from(v4(1, 2, 3, 4), 0, 80)).verdict, WEIR_VERDICT_UNDECIDED);
    add_block(&t, 1, 2, &(struct weir_rule_item){ .port_lo = 1, .port_hi = 1 }, 1);
    assert_int_equal(ask(&t, slot, from(v4(1, 2, 3, 4), 0, 80)).verdict, WEIR_VERDICT_UNDECIDED);
    /* Not isolated changes nothing: rules that cannot be read are not rules that allow. */
    slot.flags = 0;
    assert_int_equal(ask(&t, slot, from(v4(1, 2, 3, 4), 0, 80)).verdict, WEIR_VERDICT_UNDECIDED);
    add_block(&t, 2, 0, &always, 1);
    assert_int_equal(ask(&t, slot, from(v4(1, 2, 3, 4), 0, 80)).verdict, WEIR_VERDICT_ALLOW);
}

/* Random policies against a naive reading. */

static uint64_t seed;

static unsigned dice(unsigned n) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % n);
}

static struct weir_addr some_addr(void) {
    return v4(10, dice(2), dice(2), dice(4));
}

static void random_tables(struct tables *t, struct weir_rule_item *rules, unsigned n) {
    *t = fresh();
    for (unsigned s = 0; s < SETS; s++) {
        for (unsigned i = 0; i < NETS; i++)
            t->identities[s][i] = dice(3) ? 1 + dice(6) : 0;
        t->member_policy[s] = dice(2) ? 50 + s : 0;
        /* One block and its exceptions, each inside it. */
        t->nets[s][0] = (struct net){ some_addr(), 96 + 8 * dice(4), 1 };
        t->n_nets[s] = 1 + dice(NETS);
        for (unsigned i = 1; i < t->n_nets[s]; i++)
            t->nets[s][i] = (struct net){ t->nets[s][0].addr, t->nets[s][0].prefix + i, 0 };
    }
    for (unsigned i = 0; i < n; i++) {
        uint16_t lo = (uint16_t)dice(5), hi = (uint16_t)(lo + dice(3));

        rules[i] = (struct weir_rule_item){
            .set = 1 + dice(SETS),
            .cidr = 1 + dice(SETS),
            .policy = 100 + i,
            .port_lo = lo,
            .port_hi = hi,
            .proto = (__u8)(dice(3) == 0 ? 0 : (dice(2) ? WEIR_IPPROTO_TCP : WEIR_IPPROTO_UDP)),
            .peer = (__u8)(dice(2) ? dice(4) : WEIR_PEER_NOT_IDENTITY | dice(2) * WEIR_PEER_CIDR),
            .flags = (__u8)(dice(3) == 0   ? dice(16)
                            : dice(6) == 0 ? WEIR_RULE_DENY
                                           : 0)
        };
    }
    for (unsigned i = 0, id = 1; i < n; i += WEIR_BLOCK_RULES, id++) {
        unsigned here = n - i < WEIR_BLOCK_RULES ? n - i : WEIR_BLOCK_RULES;

        add_block(t, id, i + here < n ? id + 1 : 0, rules + i, here);
    }
}

static bool in_block(const struct tables *t, uint32_t set, const struct weir_addr *a) {
    bool inside = prefix_holds(&t->nets[set - 1][0], a);

    for (unsigned i = 1; i < t->n_nets[set - 1]; i++)
        inside = inside && !prefix_holds(&t->nets[set - 1][i], a);
    return inside;
}

static bool naive_peer(const struct tables *t, const struct weir_rule_item *r,
                       const struct weir_policy_query *q) {
    bool known = q->peer_identity != 0, member = known && has(t, r->set, q->peer_identity);
    bool maybe = !known && (r->flags & WEIR_RULE_PROXY) && !(r->flags & WEIR_RULE_DENY);

    if ((r->peer & WEIR_PEER_IDENTITY) && !member && !maybe)
        return false;
    if ((r->peer & WEIR_PEER_NOT_IDENTITY) && member)
        return false;
    return !(r->peer & WEIR_PEER_CIDR) || in_block(t, r->cidr, &q->peer);
}

static uint32_t naive_policy(const struct tables *t, const struct weir_rule_item *r,
                             const struct weir_policy_query *q) {
    bool member =
        (r->peer & WEIR_PEER_IDENTITY) && q->peer_identity && has(t, r->set, q->peer_identity);

    return member && t->member_policy[r->set - 1] ? t->member_policy[r->set - 1] : r->policy;
}

/* Everything at once: who would note it, who would deny it in audit mode, whom the sidecar has to ask. */
static struct weir_policy_answer naive(const struct tables *t, const struct weir_rule_item *rules,
                                       unsigned n, const struct weir_policy_query *q) {
    struct weir_policy_answer a = { .verdict = WEIR_VERDICT_DENY, .policy = 9 };

    for (unsigned i = 0; i < n; i++) {
        const struct weir_rule_item *r = &rules[i];
        bool deny = r->flags & WEIR_RULE_DENY, audit = r->flags & WEIR_RULE_AUDIT;
        bool proxy = r->flags & WEIR_RULE_PROXY;
        uint32_t policy = naive_policy(t, r, q);

        if (r->port_lo > q->port || q->port > r->port_hi || (r->proto && r->proto != q->proto) ||
            !naive_peer(t, r, q))
            continue;
        if (r->flags & WEIR_RULE_NOTE) {
            a.noted = policy;
        } else if (deny && audit) {
            a.audited = proxy ? a.audited : policy;
        } else if (deny && proxy) {
            a.proxy = policy;
        } else {
            a.policy = policy;
            a.rule = i + 1;
            a.verdict = deny              ? WEIR_VERDICT_DENY
                        : proxy && !audit ? WEIR_VERDICT_PROXY
                                          : WEIR_VERDICT_ALLOW;
            if (a.verdict == WEIR_VERDICT_ALLOW && a.proxy)
                a.verdict = WEIR_VERDICT_PROXY;
            break;
        }
    }
    return a;
}

static void random_policies_mean_what_they_say(void **state) {
    static struct weir_rule_item rules[WEIR_BLOCK_RULES * 3];
    static struct tables t;
    unsigned seen[4] = { 0 };

    seed = 0x9e3779b97f4a7c15u;
    for (unsigned round = 0; round < 3000; round++) {
        unsigned n = 1 + dice(dice(8) ? 6 : WEIR_BLOCK_RULES * 3);

        random_tables(&t, rules, n);
        for (unsigned flow = 0; flow < 20; flow++) {
            struct weir_policy_query q = from(some_addr(), dice(8), (uint16_t)dice(8));
            struct weir_policy_answer a, want;

            q.proto = dice(2) ? WEIR_IPPROTO_TCP : WEIR_IPPROTO_UDP;
            want = naive(&t, rules, n, &q);
            a = ask(&t, isolated, q);
            assert_memory_equal(&a, &want, sizeof(a));
            seen[a.verdict]++;
        }
    }
    /* Or the dice tested nothing. */
    assert_true(seen[WEIR_VERDICT_ALLOW] > 4000 && seen[WEIR_VERDICT_DENY] > 4000 &&
                seen[WEIR_VERDICT_PROXY] > 300);
}

static void addresses_know_their_kind(void **state) {
    struct weir_addr any = { { 0 } }, a = v4(127, 1, 2, 3);
    unsigned char one[16] = { [15] = 1 };

    assert_true(weir_addr_is_v4(&a) && weir_addr_is_loopback(&a));
    a = v4(126, 0, 0, 1);
    assert_false(weir_addr_is_loopback(&a));
    assert_true(weir_addr_is_any(&any) && !weir_addr_is_v4(&any));
    a = v4(0, 0, 0, 0);
    assert_true(weir_addr_is_any(&a));
    memcpy(&a, one, sizeof(a));
    assert_true(weir_addr_is_loopback(&a) && !weir_addr_is_any(&a) && !weir_addr_is_v4(&a));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_no_policy_selects_is_open),
        cmocka_unit_test(an_isolated_pod_denies_by_default_and_names_the_slots_policy),
        cmocka_unit_test(audit_allows_what_the_default_would_deny),
        cmocka_unit_test(an_identity_rule_wants_a_known_identity),
        cmocka_unit_test(ports_are_inclusive_and_the_protocol_counts),
        cmocka_unit_test(an_exception_narrows_its_block),
        cmocka_unit_test(the_first_match_decides_and_audited_denials_are_passed_over),
        cmocka_unit_test(a_chain_is_followed_to_its_bound_and_no_further),
        cmocka_unit_test(a_missing_or_reused_block_is_undecided),
        cmocka_unit_test(random_policies_mean_what_they_say),
        cmocka_unit_test(addresses_know_their_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
