/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NetworkPolicy -> rule blocks of one pod (EgressPolicy: plan_names.c). Every policy of the pod's namespace that selects it adds
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

struct compile {
    struct weir_plan_chain chain;
    const struct weir_pod *pod;
    int direction;
    uint32_t policy; /* id of the policy at hand */
    const struct weir_netpol *conf;
};

static int put_item(struct compile *c, struct weir_rule_item item, struct weir_plan_ids *ids,
                    struct weir_plan_cidrs *cidrs) {
    const struct weir_plan_rule rule = { .item = item, .ids = ids, .cidrs = cidrs };

    return weir_plan_chain_add(&c->chain, &rule);
}

static struct weir_plan_cidrs *cidrs_new(struct weir_plan_builder *b, size_t n) {
    struct weir_plan_cidrs *cidrs = weir_arena_calloc(&b->arena, 1, sizeof(*cidrs));

    if (!cidrs)
        return NULL;
    cidrs->v = weir_arena_calloc(&b->arena, n + 1, sizeof(*cidrs->v));
    return cidrs->v ? cidrs : NULL;
}

/* ipBlock with its exceptions. An IPv6 block wide enough to hold the v4-mapped addresses does not
 * mean them. */
static struct weir_plan_cidrs *block_of(struct weir_plan_builder *b,
                                        const struct weir_netpol_peer *peer) {
    static const struct weir_cidr v4 = { { { [10] = 0xff, [11] = 0xff } }, 96 };
    struct weir_plan_cidrs *set = cidrs_new(b, peer->n_except + 2UL);
    bool emptied = false;

    if (!set)
        return NULL;
    for (uint32_t i = 0; i < peer->n_except; i++) {
        const struct weir_cidr *except = &peer->except[i];

        set->v[set->n++] = weir_plan_cidr(except, WEIR_CIDR_OUT);
        emptied = emptied || (except->prefix <= peer->block.prefix &&
                              weir_cidr_covers(except, &peer->block.ip));
    }
    if (peer->block.prefix < 96)
        set->v[set->n++] = weir_plan_cidr(&v4, WEIR_CIDR_OUT);
    set->v[set->n++] = weir_plan_cidr(&peer->block, emptied ? WEIR_CIDR_OUT : WEIR_CIDR_IN);
    weir_plan_cidrs_settle(set);
    return set;
}

static bool is_selected(const struct weir_netpol *policy, const struct weir_netpol_rule *rule,
                        const struct weir_pod *pod) {
    for (uint32_t i = 0; i < rule->n_peers; i++)
        if (weir_netpol_peer_selects(policy, &rule->peers[i], pod))
            return true;
    return false;
}

/* A label that every pod the peer selects has; NULL = it names none. */
static const struct weir_selector_term *sure_label(const struct weir_netpol_peer *peer) {
    for (uint32_t i = 0; i < peer->pods.n_terms; i++)
        if (peer->pods.terms[i].op == WEIR_OP_IN && peer->pods.terms[i].n_values == 1)
            return &peer->pods.terms[i];
    return NULL;
}

static int find_peer(struct compile *c, const struct weir_netpol_peer *peer) {
    struct weir_plan_builder *b = c->chain.b;
    const struct weir_selector_term *label = sure_label(peer);
    uint32_t first = 0, n = b->snapshot->n_pods;
    int r = label ? weir_plan_labelled(b, label->key, label->values[0], &first, &n) : 0;

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        uint32_t pod = label ? b->labels[first + i].pod : i;

        if (weir_netpol_peer_selects(c->conf, peer, &b->snapshot->pods[pod]))
            r = weir_plan_find(b, pod);
    }
    return r;
}

/* The identities that a rule's selectors name, the same for every pod the policy selects: made
 * once. NULL = no memory. */
static struct weir_plan_ids *rule_ids(struct compile *c, const struct weir_netpol_rule *rule) {
    struct weir_plan_builder *b = c->chain.b;
    const struct weir_netpol_rule *first =
        c->direction == WEIR_INGRESS ? c->conf->ingress_rules : c->conf->egress_rules;
    struct weir_plan_ids **known =
        &b->rule_ids[c->direction][c->conf - b->snapshot->netpols][rule - first];
    int r = 0;

    for (uint32_t i = 0; !*known && r == 0 && i < rule->n_peers; i++)
        if (!rule->peers[i].is_block)
            r = find_peer(c, &rule->peers[i]);
    if (!*known && (r || weir_plan_found(b, known)))
        return NULL;
    return *known;
}

/* One port range of a rule (`item` has ports and protocol) with each of its peers. */
static int compile_peers(struct compile *c, const struct weir_netpol_rule *rule,
                         struct weir_rule_item item) {
    struct weir_plan_ids *ids;
    int r = 0;

    if (rule->n_peers == 0) {
        item.peer = WEIR_PEER_ANY;
        return put_item(c, item, NULL, NULL);
    }
    ids = rule_ids(c, rule);
    if (!ids)
        return -ENOMEM;
    item.peer = WEIR_PEER_IDENTITY;
    if (ids->n > 0)
        r = put_item(c, item, ids, NULL);
    item.peer = WEIR_PEER_CIDR;
    for (uint32_t i = 0; r == 0 && i < rule->n_peers; i++) {
        struct weir_plan_cidrs *block;

        if (!rule->peers[i].is_block)
            continue;
        block = block_of(c->chain.b, &rule->peers[i]);
        r = block ? put_item(c, item, NULL, block) : -ENOMEM;
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
    struct weir_plan_builder *b = c->chain.b;
    const struct weir_snapshot *s = b->snapshot;
    struct weir_rule_item item = { .proto = port->proto, .port_lo = number, .port_hi = number };
    struct weir_plan_ids *ids;
    struct weir_plan_cidrs *cidrs;
    uint32_t n_addresses = 0;
    uint16_t other;
    int r = 0;

    for (uint32_t i = 0; i < s->n_pods; i++)
        n_addresses += s->pods[i].n_ips;
    cidrs = cidrs_new(b, n_addresses);
    if (!cidrs)
        return -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < s->n_pods; i++) {
        const struct weir_pod *pod = &s->pods[i];

        if (!named_number(port, pod, &other) || other != number)
            continue;
        if (rule->n_peers == 0 || is_selected(c->conf, rule, pod))
            r = weir_plan_find(b, i);
        for (uint32_t a = 0; a < pod->n_ips; a++) {
            struct weir_cidr one = { pod->ips[a], 128 };

            for (uint32_t p = 0; p < rule->n_peers; p++) {
                if (weir_netpol_peer_covers(&rule->peers[p], &pod->ips[a])) {
                    cidrs->v[cidrs->n++] = weir_plan_cidr(&one, WEIR_CIDR_IN);
                    break;
                }
            }
        }
    }
    if (r == 0)
        r = weir_plan_found(b, &ids);
    if (r)
        return r;
    weir_plan_cidrs_settle(cidrs);
    item.peer = WEIR_PEER_IDENTITY;
    if (ids->n > 0)
        r = put_item(c, item, ids, NULL);
    item.peer = WEIR_PEER_CIDR;
    return r || cidrs->n == 0 ? r : put_item(c, item, NULL, cidrs);
}

static int compile_named_egress(struct compile *c, const struct weir_netpol_rule *rule,
                                const struct weir_netpol_port *port) {
    const struct weir_snapshot *s = c->chain.b->snapshot;
    uint8_t *seen = weir_arena_calloc(&c->chain.b->arena, 65536 / 8, 1);

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

static bool concerns(const struct weir_netpol *policy, const struct weir_pod *pod, bool in) {
    return (in ? policy->ingress : policy->egress) && weir_netpol_selects(policy, pod);
}

/* One policy that concerns the pod. */
static int compile_policy(struct compile *c, const struct weir_netpol *policy,
                          struct weir_policy_slot *slot) {
    struct weir_plan_builder *b = c->chain.b;
    bool in = c->direction == WEIR_INGRESS;
    const struct weir_netpol_rule *rules = in ? policy->ingress_rules : policy->egress_rules;
    uint32_t n_rules = in ? policy->n_ingress_rules : policy->n_egress_rules;
    const char *name =
        weir_arena_printf(&b->arena, "%s/%s", policy->meta.namespace_, policy->meta.name);
    int r = name ? weir_plan_put_name(b, WEIR_NAME_POLICY, name, &c->policy) : -ENOMEM;

    c->conf = policy;
    c->chain.policy = c->policy;
    c->chain.meta = &policy->meta;
    if (!(slot->flags & WEIR_SLOT_ISOLATED))
        slot->policy = c->policy;
    slot->flags |= WEIR_SLOT_ISOLATED | (policy->audit ? WEIR_SLOT_AUDIT : 0);
    for (uint32_t k = 0; r == 0 && k < n_rules; k++)
        r = compile_rule(c, &rules[k]);
    return r;
}

/* Policies in audit mode count only where none is enforced: rules of theirs only add to what is allowed, so beside
 * an enforced one they could deny nothing. */
static int compile_direction(struct weir_plan_builder *b, const struct weir_pod *pod, int direction,
                             struct weir_policy_slot *slot) {
    struct compile c = { .chain = { .b = b, .pod = pod }, .pod = pod, .direction = direction };
    const struct weir_snapshot *s = b->snapshot;
    bool in = direction == WEIR_INGRESS, enforced = false;
    int r = 0;

    for (uint32_t i = 0; i < s->n_netpols && !enforced; i++)
        enforced = !s->netpols[i].audit && concerns(&s->netpols[i], pod, in);
    if (!in)
        enforced = enforced || weir_plan_names_enforced(s, pod);
    for (uint32_t i = 0; r == 0 && i < s->n_netpols; i++)
        if (s->netpols[i].audit != enforced && concerns(&s->netpols[i], pod, in))
            r = compile_policy(&c, &s->netpols[i], slot);
    if (r == 0 && !in)
        r = weir_plan_names(&c.chain, enforced, slot);
    return r ? r : weir_plan_chain_put(&c.chain, &slot->block);
}

int weir_plan_policy(struct weir_plan_builder *b, const struct weir_pod *pod,
                     struct weir_policy_slot slots[2]) {
    int r = compile_direction(b, pod, WEIR_INGRESS, &slots[WEIR_INGRESS]);

    return r ? r : compile_direction(b, pod, WEIR_EGRESS, &slots[WEIR_EGRESS]);
}
