/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of one pod in one direction -> sets and a chain of blocks. A handful of rules stays as it was written, so that pods
 * selected by the same policies share the sets of those. More than one block of them is made shorter: rules that
 * differ in nothing but their peers become one, whose set is the union, each member with the policy it is from. So a
 * pod may be selected by ten thousand policies, and what a connect() costs depends on how many different ports they
 * name.
 */
#include "kern/plan_build.h"

#include <stdlib.h>
#include <string.h>

#define PLAIN_RULES WEIR_BLOCK_RULES /* up to so many, no rules are joined */
#define NEAR        8u               /* rules looked at for a repetition */

static int identity_compare(const void *pa, const void *pb) {
    const struct weir_idset_item *a = pa, *b = pb;

    return (a->identity > b->identity) - (a->identity < b->identity);
}

/* Of equal identities the one with the least policy first, for the result not to depend on the sort. */
static int member_compare(const void *pa, const void *pb) {
    const struct weir_idset_item *a = pa, *b = pb;
    int r = identity_compare(a, b);

    return r ? r : (a->policy > b->policy) - (a->policy < b->policy);
}

void weir_plan_ids_settle(struct weir_plan_ids *ids) {
    uint32_t kept = 0;

    if (ids->n > 1)
        qsort(ids->v, ids->n, sizeof(*ids->v), member_compare);
    for (uint32_t i = 0; i < ids->n; i++)
        if (ids->v[i].identity != 0 &&
            (kept == 0 || ids->v[i].identity != ids->v[kept - 1].identity))
            ids->v[kept++] = ids->v[i];
    ids->n = kept;
}

static int cidr_compare(const void *pa, const void *pb) {
    const struct weir_cidr_item *a = pa, *b = pb;
    int r = weir_cidr_item_compare(a, b);

    return r ? r : (a->policy > b->policy) - (a->policy < b->policy);
}

void weir_plan_cidrs_settle(struct weir_plan_cidrs *cidrs) {
    uint32_t kept = 0;

    if (cidrs->n > 1)
        qsort(cidrs->v, cidrs->n, sizeof(*cidrs->v), cidr_compare);
    for (uint32_t i = 0; i < cidrs->n; i++) {
        if (kept == 0 || weir_cidr_item_compare(&cidrs->v[kept - 1], &cidrs->v[i]) != 0)
            cidrs->v[kept++] = cidrs->v[i];
        else if (cidrs->v[i].value == WEIR_CIDR_OUT)
            cidrs->v[kept - 1].value = WEIR_CIDR_OUT;
    }
    cidrs->n = kept;
}

struct weir_cidr_item weir_plan_cidr(const struct weir_cidr *cidr, uint32_t value) {
    struct weir_cidr_item item = { .prefix = cidr->prefix, .value = value };
    struct weir_ip ip = cidr->ip;

    /* A trie key has no bits behind its prefix. */
    for (unsigned i = 0; i < 128; i++)
        if (i >= cidr->prefix)
            ip.b[i / 8] &= (uint8_t) ~(0x80U >> (i % 8));
    memcpy(&item.addr, &ip, sizeof(item.addr));
    return item;
}

/* --- sets of addresses as wholes --- */

static bool holds(const struct weir_cidr_item *outer, const struct weir_cidr_item *inner) {
    const uint8_t *a = (const uint8_t *)&outer->addr, *b = (const uint8_t *)&inner->addr;
    uint32_t whole = outer->prefix / 8, rest = outer->prefix % 8;

    return outer->prefix <= inner->prefix && memcmp(a, b, whole) == 0 &&
           (rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0);
}

/* What the set says of everything in `at` that no longer prefix of any set at hand is about: its own longest
 * prefix decides, as in the trie. */
static bool says_in(const struct weir_plan_cidrs *set, const struct weir_cidr_item *at,
                    uint32_t *ret_policy) {
    const struct weir_cidr_item *best = NULL;

    for (uint32_t i = 0; i < set->n; i++)
        if (holds(&set->v[i], at) && (!best || set->v[i].prefix > best->prefix))
            best = &set->v[i];
    if (!best || best->value != WEIR_CIDR_IN)
        return false;
    *ret_policy = best->policy;
    return true;
}

static void decide_prefix(struct weir_plan_cidrs *const *sets, uint32_t n, bool any,
                          struct weir_cidr_item *at) {
    uint32_t policy = 0;

    /* Where one says in, the union does. */
    if (any && at->value == WEIR_CIDR_IN)
        return;
    at->value = any ? WEIR_CIDR_OUT : WEIR_CIDR_IN;
    for (uint32_t i = 0; i < n; i++) {
        if (says_in(sets[i], at, &policy) != any)
            continue;
        at->value = any ? WEIR_CIDR_IN : WEIR_CIDR_OUT;
        at->policy = policy;
        return;
    }
}

/* The borders of all sets are borders of the result: each prefix is decided by itself. */
int weir_plan_cidrs_join(struct weir_plan_builder *b, struct weir_plan_cidrs *const *sets,
                         uint32_t n, bool any, struct weir_plan_cidrs **ret_joined) {
    struct weir_plan_cidrs *joined = weir_arena_calloc(&b->arena, 1, sizeof(*joined));
    size_t total = 0;

    for (uint32_t i = 0; i < n; i++)
        total += sets[i]->n;
    if (!joined)
        return -ENOMEM;
    joined->v = weir_arena_calloc(&b->arena, total + 1, sizeof(*joined->v));
    if (!joined->v)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(joined->v + joined->n, sets[i]->v, sets[i]->n * sizeof(*joined->v));
        joined->n += sets[i]->n;
    }
    for (uint32_t i = 0; i < joined->n; i++)
        decide_prefix(sets, n, any, &joined->v[i]);
    weir_plan_cidrs_settle(joined);
    *ret_joined = joined;
    return 0;
}

/* --- rules --- */

static bool is_repeated(const struct weir_plan_chain *c, const struct weir_plan_rule *rule) {
    for (uint32_t i = c->n; i > 0 && i + NEAR > c->n; i--) {
        const struct weir_plan_rule *r = &c->rules[i - 1];

        if (r->ids == rule->ids && r->cidrs == rule->cidrs && r->stage == rule->stage &&
            memcmp(&r->item, &rule->item, sizeof(r->item)) == 0)
            return true;
    }
    return false;
}

int weir_plan_chain_add(struct weir_plan_chain *c, const struct weir_plan_rule *rule) {
    struct weir_plan_rule copy = *rule;

    copy.item.policy = c->policy;
    copy.meta = c->meta;
    if (is_repeated(c, &copy))
        return 0;
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : PLAIN_RULES;
        struct weir_plan_rule *rules = weir_arena_calloc(&c->b->arena, cap, sizeof(*rules));

        if (!rules)
            return -ENOMEM;
        if (c->n)
            memcpy(rules, c->rules, c->n * sizeof(*rules));
        c->rules = rules;
        c->cap = cap;
    }
    c->rules[c->n++] = copy;
    return 0;
}

/* Are they one rule but for whom they name? A rule with two kinds of peers is not to be taken apart. */
static int kind_compare(const struct weir_plan_rule *a, const struct weir_plan_rule *b) {
    if (a->stage != b->stage)
        return a->stage < b->stage ? -1 : 1;
    if (a->item.flags != b->item.flags)
        return a->item.flags < b->item.flags ? -1 : 1;
    if (a->item.peer != b->item.peer)
        return a->item.peer < b->item.peer ? -1 : 1;
    if (a->item.proto != b->item.proto)
        return a->item.proto < b->item.proto ? -1 : 1;
    if (a->item.port_lo != b->item.port_lo)
        return a->item.port_lo < b->item.port_lo ? -1 : 1;
    return (a->item.port_hi > b->item.port_hi) - (a->item.port_hi < b->item.port_hi);
}

static int rule_compare(const void *pa, const void *pb) {
    const struct weir_plan_rule *a = pa, *b = pb;
    int r = kind_compare(a, b);

    return r ? r : (a->item.policy > b->item.policy) - (a->item.policy < b->item.policy);
}

static bool joins(const struct weir_plan_rule *r) {
    return r->item.peer == WEIR_PEER_ANY || r->item.peer == WEIR_PEER_IDENTITY ||
           r->item.peer == WEIR_PEER_CIDR || r->item.peer == WEIR_PEER_NAME;
}

static int join_ids(struct weir_plan_builder *b, struct weir_plan_rule *rules, uint32_t n) {
    struct weir_plan_ids *all = weir_arena_calloc(&b->arena, 1, sizeof(*all));
    size_t total = 0;

    for (uint32_t i = 0; i < n; i++)
        total += rules[i].ids->n;
    if (!all)
        return -ENOMEM;
    all->v = weir_arena_calloc(&b->arena, total + 1, sizeof(*all->v));
    if (!all->v)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < rules[i].ids->n; k++)
            all->v[all->n++] =
                (struct weir_idset_item){ rules[i].ids->v[k].identity, rules[i].item.policy };
    weir_plan_ids_settle(all);
    rules[0].ids = all;
    return 0;
}

static int join_cidrs(struct weir_plan_builder *b, struct weir_plan_rule *rules, uint32_t n) {
    struct weir_plan_cidrs **sets =
        weir_arena_calloc(&b->arena, n, sizeof(struct weir_plan_cidrs *));

    if (!sets)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        sets[i] = weir_arena_calloc(&b->arena, 1, sizeof(*sets[i]));
        if (!sets[i])
            return -ENOMEM;
        sets[i]->v = weir_arena_calloc(&b->arena, rules[i].cidrs->n + 1UL, sizeof(*sets[i]->v));
        if (!sets[i]->v)
            return -ENOMEM;
        for (; sets[i]->n < rules[i].cidrs->n; sets[i]->n++) {
            sets[i]->v[sets[i]->n] = rules[i].cidrs->v[sets[i]->n];
            sets[i]->v[sets[i]->n].policy = rules[i].item.policy;
        }
    }
    return weir_plan_cidrs_join(b, sets, n, true, &rules[0].cidrs);
}

/* Rules that are one but for their peers become one. */
static int shorten(struct weir_plan_chain *c) {
    uint32_t kept = 0, end;

    qsort(c->rules, c->n, sizeof(*c->rules), rule_compare);
    for (uint32_t i = 0; i < c->n; i = end) {
        int r = 0;

        for (end = i + 1; end < c->n && joins(&c->rules[i]); end++)
            if (kind_compare(&c->rules[i], &c->rules[end]) != 0)
                break;
        if (end - i > 1 && (c->rules[i].item.peer & (WEIR_PEER_IDENTITY | WEIR_PEER_NAME)))
            r = join_ids(c->b, &c->rules[i], end - i);
        else if (end - i > 1 && c->rules[i].item.peer == WEIR_PEER_CIDR)
            r = join_cidrs(c->b, &c->rules[i], end - i);
        if (r)
            return r;
        c->rules[kept++] = c->rules[i];
    }
    c->n = kept;
    return 0;
}

/* --- into the maps --- */

static int put_ids(struct weir_plan_builder *b, struct weir_plan_ids *ids) {
    int r = 0;

    if (ids->set || ids->n == 0)
        return 0;
    r = weir_ids_content(b->ids, WEIR_CONTENT_IDSET, ids->v, ids->n * sizeof(*ids->v), &ids->set);
    for (uint32_t i = 0; r == 0 && i < ids->n; i++) {
        struct weir_idset_key key = { ids->set, ids->v[i].identity };

        r = weir_mapset_put(b->out, WEIR_MAP_IDSET, &key, &ids->v[i].policy);
    }
    return r;
}

static int put_cidrs(struct weir_plan_builder *b, struct weir_plan_cidrs *cidrs) {
    int r = 0;

    if (cidrs->set || cidrs->n == 0)
        return 0;
    r = weir_ids_content(b->ids, WEIR_CONTENT_CIDR, cidrs->v, cidrs->n * sizeof(*cidrs->v),
                         &cidrs->set);
    for (uint32_t i = 0; r == 0 && i < cidrs->n; i++) {
        struct weir_cidr_key key = { 32 + cidrs->v[i].prefix, cidrs->set, cidrs->v[i].addr };
        struct weir_cidr_value value = { .policy = cidrs->v[i].policy,
                                         .verdict = (uint8_t)cidrs->v[i].value };

        r = weir_mapset_put(b->out, WEIR_MAP_CIDR, &key, &value);
    }
    return r;
}

static int put_sets(struct weir_plan_builder *b, struct weir_plan_rule *rule) {
    int r = rule->ids ? put_ids(b, rule->ids) : 0;

    if (r == 0 && rule->cidrs)
        r = put_cidrs(b, rule->cidrs);
    rule->item.set = rule->ids ? rule->ids->set : 0;
    rule->item.cidr = rule->cidrs ? rule->cidrs->set : 0;
    return r;
}

/* Last block first, because a block names the next one. */
static int put_blocks(struct weir_plan_chain *c, uint32_t *ret_block) {
    struct weir_plan_builder *b = c->b;
    uint32_t next = 0;

    for (uint32_t n_blocks = (c->n + WEIR_BLOCK_RULES - 1) / WEIR_BLOCK_RULES; n_blocks > 0;
         n_blocks--) {
        uint32_t first = (n_blocks - 1) * WEIR_BLOCK_RULES;
        struct weir_rule_block block = { .next = next };
        int r;

        block.count = c->n - first < WEIR_BLOCK_RULES ? c->n - first : WEIR_BLOCK_RULES;
        for (uint32_t i = 0; i < block.count; i++)
            block.rules[i] = c->rules[first + i].item;
        r = weir_ids_content(b->ids, WEIR_CONTENT_RULE, &block, sizeof(block), &next);
        if (r)
            return r;
        block.block = next;
        r = weir_mapset_put(b->out, WEIR_MAP_RULE, &next, &block);
        if (r)
            return r;
    }
    *ret_block = next;
    return 0;
}

/* By insertion: few rules, nearly always in order already, and the order within a stage stays. */
static void sort_stages(struct weir_plan_chain *c) {
    for (uint32_t i = 1; i < c->n; i++) {
        struct weir_plan_rule rule = c->rules[i];
        uint32_t k = i;

        for (; k > 0 && c->rules[k - 1].stage > rule.stage; k--)
            c->rules[k] = c->rules[k - 1];
        c->rules[k] = rule;
    }
}

int weir_plan_chain_put(struct weir_plan_chain *c, uint32_t *ret_block) {
    struct weir_plan_report *report = &c->b->report;
    int r = 0;

    if (c->n > PLAIN_RULES)
        r = shorten(c);
    else
        sort_stages(c);
    if (r == 0 && c->n > WEIR_PLAN_RULES) {
        report->too_many_rules = c->pod;
        report->too_many_at = c->rules[WEIR_PLAN_RULES].meta;
        c->n = WEIR_PLAN_RULES + 1; /* one more than the kernel follows is a denial */
    }
    report->n_rules += c->n;
    for (uint32_t i = 0; r == 0 && i < c->n; i++)
        r = put_sets(c->b, &c->rules[i]);
    return r ? r : put_blocks(c, ret_block);
}
