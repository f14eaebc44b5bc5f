/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NetworkPolicy -> rule blocks of one pod. Every policy of the pod's namespace that selects it adds
 * its rules: they only allow, so their order does not matter, and one policy is enough to make the
 * direction isolated. One item of a block is one port range and one kind of peer: no peers anybody
 *   selector peers       one identity set per rule, the union of them
 *   ipBlock peers        one address set each, exceptions included
 * A named port of an egress rule is a different number at different destinations: there is one item
 * per number, for the pods that use it. Pods whose named ports differ never share an identity
 * (plan.c), so this is exact. A block with a named port means the addresses of those pods that lie
 * in it.
 */
#include "kern/plan_build.h"

#include <stdlib.h>
#include <string.h>

#include "conf/netpol.h"

#define MAX_RULES (WEIR_BLOCK_RULES * WEIR_BLOCK_CHAIN)

struct compile {
    struct weir_plan_builder *b;
    const struct weir_pod *pod;
    int direction;
    uint32_t policy; /* id of the policy at hand */
    const struct weir_netpol *conf;
    struct weir_rule_item *items;
    uint32_t n, cap;
};

static int put_item(struct compile *c, struct weir_rule_item item) {
    if (c->n > MAX_RULES) /* one more than the kernel follows is already a denial */
        return 0;
    item.policy = c->policy;
    for (uint32_t i = 0; i < c->n; i++) {
        struct weir_rule_item same = c->items[i];

        same.policy = item.policy;
        if (memcmp(&same, &item, sizeof(item)) == 0)
            return 0;
    }
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 32;
        struct weir_rule_item *items = weir_arena_calloc(&c->b->arena, cap, sizeof(*items));

        if (!items)
            return -ENOMEM;
        if (c->n)
            memcpy(items, c->items, c->n * sizeof(*items));
        c->items = items;
        c->cap = cap;
    }
    c->items[c->n++] = item;
    return 0;
}

static int u32_compare(const void *pa, const void *pb) {
    const uint32_t *a = pa, *b = pb;

    return (*a > *b) - (*a < *b);
}

/* Sorts the identities, drops repeats and zeros; the set's id in *ret_set, 0 when nobody is left.
 */
static int put_idset(struct weir_plan_builder *b, uint32_t *list, uint32_t n, uint32_t *ret_set) {
    static const uint8_t one = 1;
    uint32_t kept = 0;
    int r;

    if (n > 1)
        qsort(list, n, sizeof(*list), u32_compare);
    for (uint32_t i = 0; i < n; i++)
        if (list[i] != 0 && (kept == 0 || list[i] != list[kept - 1]))
            list[kept++] = list[i];
    *ret_set = 0;
    if (kept == 0)
        return 0;
    r = weir_ids_content(b->ids, WEIR_CONTENT_IDSET, list, kept * sizeof(*list), ret_set);
    for (uint32_t i = 0; r == 0 && i < kept; i++) {
        struct weir_idset_key key = { *ret_set, list[i] };

        r = weir_mapset_put(b->out, WEIR_MAP_IDSET, &key, &one);
    }
    return r;
}

/* Sorts the items; of two on the same prefix the exception stays. */
static int put_cidr(struct weir_plan_builder *b, struct weir_cidr_item *list, uint32_t n,
                    uint32_t *ret_set) {
    uint32_t kept = 0;
    int r;

    if (n > 1)
        qsort(list, n, sizeof(*list), weir_cidr_item_compare);
    for (uint32_t i = 0; i < n; i++) {
        if (kept == 0 || weir_cidr_item_compare(&list[kept - 1], &list[i]) != 0)
            list[kept++] = list[i];
        else if (list[i].value == WEIR_CIDR_OUT)
            list[kept - 1].value = WEIR_CIDR_OUT;
    }
    r = weir_ids_content(b->ids, WEIR_CONTENT_CIDR, list, kept * sizeof(*list), ret_set);
    for (uint32_t i = 0; r == 0 && i < kept; i++) {
        struct weir_cidr_key key = { 32 + list[i].prefix, *ret_set, list[i].addr };
        uint8_t value = (uint8_t)list[i].value;

        r = weir_mapset_put(b->out, WEIR_MAP_CIDR, &key, &value);
    }
    return r;
}

static struct weir_cidr_item cidr_item(const struct weir_cidr *cidr, uint32_t value) {
    struct weir_cidr_item item = { .prefix = cidr->prefix, .value = value };
    struct weir_ip ip = cidr->ip;

    /* A trie key has no bits behind its prefix. */
    for (unsigned i = 0; i < 128; i++)
        if (i >= cidr->prefix)
            ip.b[i / 8] &= (uint8_t) ~(0x80U >> (i % 8));
    memcpy(&item.addr, &ip, sizeof(item.addr));
    return item;
}

/* ipBlock with its exceptions. An IPv6 block wide enough to hold the v4-mapped addresses does not
 * mean them. */
static int put_block(struct weir_plan_builder *b, const struct weir_netpol_peer *peer,
                     uint32_t *ret_set) {
    static const struct weir_cidr v4 = { { { [10] = 0xff, [11] = 0xff } }, 96 };
    struct weir_cidr_item *list = weir_arena_calloc(&b->arena, peer->n_except + 2UL, sizeof(*list));
    uint32_t n = 0;
    bool emptied = false;

    if (!list)
        return -ENOMEM;
    for (uint32_t i = 0; i < peer->n_except; i++) {
        const struct weir_cidr *except = &peer->except[i];

        list[n++] = cidr_item(except, WEIR_CIDR_OUT);
        emptied = emptied || (except->prefix <= peer->block.prefix &&
                              weir_cidr_covers(except, &peer->block.ip));
    }
    if (peer->block.prefix < 96)
        list[n++] = cidr_item(&v4, WEIR_CIDR_OUT);
    list[n++] = cidr_item(&peer->block, emptied ? WEIR_CIDR_OUT : WEIR_CIDR_IN);
    return put_cidr(b, list, n, ret_set);
}

static bool is_selected(const struct weir_netpol *policy, const struct weir_netpol_rule *rule,
                        const struct weir_pod *pod) {
    for (uint32_t i = 0; i < rule->n_peers; i++)
        if (weir_netpol_peer_selects(policy, &rule->peers[i], pod))
            return true;
    return false;
}

/* The identities that a rule's selectors name, the same for every pod the policy selects: made
 * once. */
static int rule_set(struct compile *c, const struct weir_netpol_rule *rule, uint32_t *ret_set) {
    struct weir_plan_builder *b = c->b;
    const struct weir_snapshot *s = b->snapshot;
    const struct weir_netpol_rule *first =
        c->direction == WEIR_INGRESS ? c->conf->ingress_rules : c->conf->egress_rules;
    uint32_t *known = &b->rule_sets[c->direction][c->conf - s->netpols][rule - first];
    uint32_t *list, n = 0;
    int r;

    if (*known == WEIR_SET_UNKNOWN) {
        list = weir_arena_calloc(&b->arena, s->n_pods + 1UL, sizeof(*list));
        if (!list)
            return -ENOMEM;
        for (uint32_t i = 0; i < s->n_pods; i++)
            if (is_selected(c->conf, rule, &s->pods[i]))
                list[n++] = b->identities[i];
        r = put_idset(b, list, n, known);
        if (r)
            return r;
    }
    *ret_set = *known;
    return 0;
}

/* One port range of a rule (`item` has ports and protocol) with each of its peers. */
static int compile_peers(struct compile *c, const struct weir_netpol_rule *rule,
                         struct weir_rule_item item) {
    int r;

    if (rule->n_peers == 0) {
        item.peer = WEIR_PEER_ANY;
        return put_item(c, item);
    }
    r = rule_set(c, rule, &item.set);
    if (r == 0 && item.set != 0) {
        item.peer = WEIR_PEER_IDENTITY;
        r = put_item(c, item);
    }
    item.peer = WEIR_PEER_CIDR;
    for (uint32_t i = 0; r == 0 && i < rule->n_peers; i++) {
        if (!rule->peers[i].is_block)
            continue;
        r = put_block(c->b, &rule->peers[i], &item.set);
        if (r == 0)
            r = put_item(c, item);
    }
    return r;
}

/* Whether the destination pod calls `port` by that number, which goes to *ret_number. */
static bool named_number(const struct weir_netpol_port *port, const struct weir_pod *pod,
                         uint16_t *ret_number) {
    uint16_t last;

    return !pod->host_network && weir_netpol_port_range(port, pod, ret_number, &last);
}

/* Pods that call the port `number`: those the selectors name as identities, those in a block as
 * addresses. */
static int compile_number(struct compile *c, const struct weir_netpol_rule *rule,
                          const struct weir_netpol_port *port, uint16_t number) {
    struct weir_plan_builder *b = c->b;
    const struct weir_snapshot *s = b->snapshot;
    struct weir_rule_item item = { .proto = port->proto, .port_lo = number, .port_hi = number };
    uint32_t *list = weir_arena_calloc(&b->arena, s->n_pods + 1UL, sizeof(*list)), n = 0;
    uint32_t n_addresses = 0, n_cidr = 0;
    struct weir_cidr_item *cidr;
    uint16_t other;
    int r;

    for (uint32_t i = 0; i < s->n_pods; i++)
        n_addresses += s->pods[i].n_ips;
    cidr = weir_arena_calloc(&b->arena, n_addresses + 1UL, sizeof(*cidr));
    if (!list || !cidr)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n_pods; i++) {
        const struct weir_pod *pod = &s->pods[i];

        if (!named_number(port, pod, &other) || other != number)
            continue;
        if (rule->n_peers == 0 || is_selected(c->conf, rule, pod))
            list[n++] = b->identities[i];
        for (uint32_t a = 0; a < pod->n_ips; a++) {
            struct weir_cidr one = { pod->ips[a], 128 };

            for (uint32_t p = 0; p < rule->n_peers; p++) {
                if (weir_netpol_peer_covers(&rule->peers[p], &pod->ips[a])) {
                    cidr[n_cidr++] = cidr_item(&one, WEIR_CIDR_IN);
                    break;
                }
            }
        }
    }
    r = put_idset(b, list, n, &item.set);
    item.peer = WEIR_PEER_IDENTITY;
    if (r == 0 && item.set != 0)
        r = put_item(c, item);
    if (r || n_cidr == 0)
        return r;
    item.peer = WEIR_PEER_CIDR;
    r = put_cidr(b, cidr, n_cidr, &item.set);
    return r ? r : put_item(c, item);
}

static int compile_named_egress(struct compile *c, const struct weir_netpol_rule *rule,
                                const struct weir_netpol_port *port) {
    const struct weir_snapshot *s = c->b->snapshot;
    uint8_t *seen = weir_arena_calloc(&c->b->arena, 65536 / 8, 1);

    if (!seen)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n_pods; i++) {
        uint16_t number;
        int r;

        if (!named_number(port, &s->pods[i], &number) || (seen[number / 8] >> (number % 8) & 1))
            continue;
        seen[number / 8] |= (uint8_t)(1U << (number % 8));
        r = compile_number(c, rule, port, number);
        if (r)
            return r;
    }
    return 0;
}

static int compile_rule(struct compile *c, const struct weir_netpol_rule *rule) {
    if (rule->n_ports == 0)
        return compile_peers(c, rule, (struct weir_rule_item){ .port_hi = 65535 });
    for (uint32_t i = 0; i < rule->n_ports; i++) {
        const struct weir_netpol_port *port = &rule->ports[i];
        struct weir_rule_item item = { .proto = port->proto };
        int r;

        if (port->name[0] != '\0' && c->direction == WEIR_EGRESS) {
            r = compile_named_egress(c, rule, port);
        } else {
            if (!weir_netpol_port_range(port, c->pod, &item.port_lo, &item.port_hi))
                continue;
            r = compile_peers(c, rule, item);
        }
        if (r)
            return r;
    }
    return 0;
}

/* The items in blocks, last block first because a block names the next one. */
static int put_chain(struct compile *c, uint32_t *ret_block) {
    struct weir_plan_builder *b = c->b;
    uint32_t next = 0;

    for (uint32_t n_blocks = (c->n + WEIR_BLOCK_RULES - 1) / WEIR_BLOCK_RULES; n_blocks > 0;
         n_blocks--) {
        uint32_t first = (n_blocks - 1) * WEIR_BLOCK_RULES;
        struct weir_rule_block block = { .next = next };
        int r;

        block.count = c->n - first < WEIR_BLOCK_RULES ? c->n - first : WEIR_BLOCK_RULES;
        memcpy(block.rules, c->items + first, block.count * sizeof(*block.rules));
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

static int compile_direction(struct weir_plan_builder *b, const struct weir_pod *pod, int direction,
                             struct weir_policy_slot *slot) {
    struct compile c = { .b = b, .pod = pod, .direction = direction };
    const struct weir_snapshot *s = b->snapshot;
    bool in = direction == WEIR_INGRESS;

    for (uint32_t i = 0; i < s->n_netpols; i++) {
        const struct weir_netpol *policy = &s->netpols[i];
        const struct weir_netpol_rule *rules = in ? policy->ingress_rules : policy->egress_rules;
        uint32_t n_rules = in ? policy->n_ingress_rules : policy->n_egress_rules;
        const char *name;
        int r;

        if (!(in ? policy->ingress : policy->egress) || !weir_netpol_selects(policy, pod))
            continue;
        name = weir_arena_printf(&b->arena, "%s/%s", policy->meta.namespace_, policy->meta.name);
        r = name ? weir_plan_put_name(b, WEIR_NAME_POLICY, name, &c.policy) : -ENOMEM;
        c.conf = policy;
        if (!(slot->flags & WEIR_SLOT_ISOLATED))
            slot->policy = c.policy;
        slot->flags |= WEIR_SLOT_ISOLATED;
        for (uint32_t k = 0; r == 0 && k < n_rules; k++)
            r = compile_rule(&c, &rules[k]);
        if (r)
            return r;
    }
    b->report.n_rules += c.n;
    if (c.n > MAX_RULES)
        b->report.too_many_rules = pod;
    return put_chain(&c, &slot->block);
}

int weir_plan_policy(struct weir_plan_builder *b, const struct weir_pod *pod,
                     struct weir_policy_slot slots[2]) {
    int r = compile_direction(b, pod, WEIR_INGRESS, &slots[WEIR_INGRESS]);

    return r ? r : compile_direction(b, pod, WEIR_EGRESS, &slots[WEIR_EGRESS]);
}
