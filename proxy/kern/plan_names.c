/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EgressPolicy -> rules of one pod whose peers are sets of names, the patterns that its DNS answers are matched with,
 * and the servers they may come from (docs/adr/0017). An answer is bound to the narrowest pattern of the pod that means
 * its name, so a rule's set has every pattern of the pod that one of the rule's covers. Asking the servers is allowed.
 */
#include "kern/plan_build.h"

#include <string.h>

#include "conf/netpol.h"
#include "kern/patterns.h"

#define DNS_PORT 53

struct pattern {
    const char *text;
    uint32_t id;
};

struct servers {
    struct weir_dns_server *v;
    uint32_t n, cap;
};

struct names {
    struct weir_plan_chain *chain;
    uint32_t pod; /* local id */
    struct pattern *patterns;
    uint32_t n_patterns;
};

/* --- servers --- */

static int servers_add(struct weir_plan_builder *b, struct servers *s, const struct weir_ip *ip,
                       uint16_t port) {
    for (uint32_t i = 0; i < s->n; i++)
        if (s->v[i].port == port && memcmp(&s->v[i].ip, ip, sizeof(*ip)) == 0)
            return 0;
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 8;
        struct weir_dns_server *v = weir_arena_calloc(&b->arena, cap, sizeof(*v));

        if (!v)
            return -ENOMEM;
        if (s->n)
            memcpy(v, s->v, s->n * sizeof(*v));
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n].ip = *ip;
    s->v[s->n++].port = port;
    return 0;
}

/* The endpoints of a service's port: where it is balanced in connect(), answers come from them. */
static int servers_add_endpoints(struct weir_plan_builder *b, struct servers *s,
                                 const struct weir_service *service, uint16_t number) {
    int r = 0;

    for (uint32_t i = 0; i < service->n_ports; i++) {
        const struct weir_service_port *port = &service->ports[i];

        for (uint32_t k = 0; r == 0 && port->port == number && k < port->n_endpoints; k++)
            r = servers_add(b, s, &port->endpoints[k].ip, port->endpoints[k].port);
    }
    return r;
}

static int servers_add_listed(struct weir_plan_builder *b, struct servers *s,
                              const struct weir_dns_server *listed, uint32_t n) {
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        const struct weir_service_port *port;
        const struct weir_service *service =
            weir_snapshot_service_by_ip(b->snapshot, &listed[i].ip, listed[i].port, &port);

        r = servers_add(b, s, &listed[i].ip, listed[i].port);
        if (r == 0 && service)
            r = servers_add_endpoints(b, s, service, listed[i].port);
    }
    return r;
}

/* What pods are given to ask where nothing else is said: the cluster's DNS, or the node's. */
static int servers_add_default(struct weir_plan_builder *b, struct servers *s) {
    const struct weir_names_spec *spec = &b->snapshot->agent.dns;
    const struct weir_service *service =
        weir_snapshot_service(b->snapshot, WEIR_DNS_NAMESPACE, WEIR_DNS_SERVICE);
    int r = 0;

    if (spec->n_servers)
        return servers_add_listed(b, s, spec->servers, spec->n_servers);
    for (uint32_t i = 0; service && r == 0 && i < service->n_ips; i++)
        r = servers_add(b, s, &service->ips[i], DNS_PORT);
    if (r == 0 && service)
        r = servers_add_endpoints(b, s, service, DNS_PORT);
    for (uint32_t i = 0; r == 0 && i < b->input->n_dns; i++)
        r = servers_add(b, s, &b->input->dns[i], DNS_PORT);
    return r;
}

/* One port of them, both protocols. */
static int allow_port(struct names *n, const struct servers *s, uint16_t port) {
    static const uint8_t protos[] = { WEIR_IPPROTO_UDP, WEIR_IPPROTO_TCP };
    struct weir_arena *arena = &n->chain->b->arena;
    struct weir_plan_cidrs *cidrs = weir_arena_calloc(arena, 1, sizeof(*cidrs));
    int r = 0;

    if (!cidrs)
        return -ENOMEM;
    cidrs->v = weir_arena_calloc(arena, s->n + 1UL, sizeof(*cidrs->v));
    if (!cidrs->v)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct weir_cidr one = { s->v[i].ip, 128 };

        if (s->v[i].port == port)
            cidrs->v[cidrs->n++] = weir_plan_cidr(&one, WEIR_CIDR_IN);
    }
    weir_plan_cidrs_settle(cidrs);
    for (size_t i = 0; r == 0 && i < WEIR_ARRAY_LEN(protos); i++) {
        const struct weir_plan_rule rule = { .item = { .proto = protos[i],
                                                       .peer = WEIR_PEER_CIDR,
                                                       .port_lo = port,
                                                       .port_hi = port },
                                             .cidrs = cidrs };

        r = weir_plan_chain_add(n->chain, &rule);
    }
    return r;
}

static int put_servers(struct names *n, const struct weir_egress_policy *policy) {
    static const uint8_t one = 1;
    struct weir_plan_builder *b = n->chain->b;
    struct servers s = { 0 };
    int r = policy->n_servers ? servers_add_listed(b, &s, policy->servers, policy->n_servers)
                              : servers_add_default(b, &s);

    for (uint32_t i = 0; r == 0 && i < s.n; i++) {
        const struct weir_dns_server_key key = { .addr = weir_plan_addr(&s.v[i].ip),
                                                 .pod = n->pod,
                                                 .port = s.v[i].port };
        bool seen = false;

        r = weir_mapset_put(b->out, WEIR_MAP_DNS_SERVER, &key, &one);
        for (uint32_t k = 0; k < i; k++)
            seen = seen || s.v[k].port == s.v[i].port;
        if (r == 0 && !seen)
            r = allow_port(n, &s, s.v[i].port);
    }
    if (r == 0 && s.n == 0)
        b->report.no_dns_servers = n->chain->pod;
    return r;
}

/* --- names --- */

static bool is_known(const struct names *n, const char *text) {
    for (uint32_t i = 0; i < n->n_patterns; i++)
        if (strcmp(n->patterns[i].text, text) == 0)
            return true;
    return false;
}

static int put_pattern(struct names *n, const struct pattern *p) {
    const struct weir_dns_pattern_key key = weir_pattern_key(n->pod, p->text);

    return weir_mapset_put(n->chain->b->out, WEIR_MAP_DNS_PATTERN, &key, &p->id);
}

static int number_names(struct names *n, const struct weir_egress_rule *rule) {
    struct weir_plan_builder *b = n->chain->b;
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < rule->n_names; i++) {
        struct pattern *p = &n->patterns[n->n_patterns];

        if (is_known(n, rule->names[i]))
            continue;
        p->text = rule->names[i];
        r = weir_plan_put_name(b, WEIR_NAME_DNS, p->text, &p->id);
        if (r == 0)
            r = put_pattern(n, p);
        n->n_patterns++;
    }
    return r;
}

static struct weir_plan_ids *set_of(struct names *n, const struct weir_egress_rule *rule) {
    struct weir_arena *arena = &n->chain->b->arena;
    struct weir_plan_ids *ids = weir_arena_calloc(arena, 1, sizeof(*ids));

    if (!ids)
        return NULL;
    ids->v = weir_arena_calloc(arena, n->n_patterns + 1UL, sizeof(*ids->v));
    if (!ids->v)
        return NULL;
    for (uint32_t i = 0; i < n->n_patterns; i++) {
        bool covered = false;

        for (uint32_t k = 0; k < rule->n_names && !covered; k++)
            covered = weir_egress_name_covers(rule->names[k], n->patterns[i].text);
        if (covered)
            ids->v[ids->n++].identity = n->patterns[i].id | WEIR_DNS_MEMBER;
    }
    weir_plan_ids_settle(ids);
    return ids;
}

static int put_rule(struct names *n, const struct weir_egress_rule *rule) {
    struct weir_plan_rule item = { .item = { .peer = WEIR_PEER_NAME, .port_hi = 65535 } };
    int r = 0;

    item.ids = set_of(n, rule);
    if (!item.ids)
        return -ENOMEM;
    if (rule->n_ports == 0)
        return weir_plan_chain_add(n->chain, &item);
    for (uint32_t i = 0; r == 0 && i < rule->n_ports; i++) {
        item.item.proto = rule->ports[i].proto;
        item.item.port_lo = rule->ports[i].first;
        item.item.port_hi = rule->ports[i].last;
        r = weir_plan_chain_add(n->chain, &item);
    }
    return r;
}

static int put_policy(struct names *n, const struct weir_egress_policy *policy,
                      struct weir_policy_slot *slot) {
    struct weir_plan_chain *c = n->chain;
    const char *name =
        weir_arena_printf(&c->b->arena, "%s/%s", policy->meta.namespace_, policy->meta.name);
    int r = name ? weir_plan_put_name(c->b, WEIR_NAME_POLICY, name, &c->policy) : -ENOMEM;

    c->meta = &policy->meta;
    if (!(slot->flags & WEIR_SLOT_ISOLATED))
        slot->policy = c->policy;
    slot->flags |= WEIR_SLOT_ISOLATED | (policy->audit ? WEIR_SLOT_AUDIT : 0);
    if (r == 0)
        r = put_servers(n, policy);
    for (uint32_t i = 0; r == 0 && i < policy->n_rules; i++)
        r = put_rule(n, &policy->rules[i]);
    return r;
}

static bool concerns(const struct weir_egress_policy *policy, const struct weir_pod *pod,
                     bool enforced) {
    return policy->audit != enforced && weir_egress_selects(policy, pod);
}

bool weir_plan_names_enforced(const struct weir_snapshot *s, const struct weir_pod *pod) {
    for (uint32_t i = 0; i < s->n_egress_policies; i++)
        if (concerns(&s->egress_policies[i], pod, true))
            return true;
    return false;
}

/* The patterns of all policies first: each rule's set is taken from them. */
int weir_plan_names(struct weir_plan_chain *chain, bool enforced, struct weir_policy_slot *slot) {
    struct weir_plan_builder *b = chain->b;
    const struct weir_snapshot *s = b->snapshot;
    struct names n = { .chain = chain, .pod = b->local[chain->pod - s->pods] };
    size_t n_names = 0;
    int r = 0;

    for (uint32_t i = 0; i < s->n_egress_policies; i++)
        for (uint32_t k = 0; k < s->egress_policies[i].n_rules; k++)
            if (concerns(&s->egress_policies[i], chain->pod, enforced))
                n_names += s->egress_policies[i].rules[k].n_names;
    n.patterns = weir_arena_calloc(&b->arena, n_names + 1, sizeof(*n.patterns));
    if (!n.patterns)
        return -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < s->n_egress_policies; i++)
        for (uint32_t k = 0; r == 0 && k < s->egress_policies[i].n_rules; k++)
            if (concerns(&s->egress_policies[i], chain->pod, enforced))
                r = number_names(&n, &s->egress_policies[i].rules[k]);
    for (uint32_t i = 0; r == 0 && i < s->n_egress_policies; i++)
        if (concerns(&s->egress_policies[i], chain->pod, enforced))
            r = put_policy(&n, &s->egress_policies[i], slot);
    b->n_named += n.n_patterns > 0;
    return r;
}

/* Up, so that a grace of less than a second is one; the map has whole seconds. */
static uint32_t seconds(uint64_t us) {
    return (uint32_t)((us + 999999) / 1000000);
}

int weir_plan_names_setting(struct weir_plan_builder *b) {
    const struct weir_names_spec *spec = &b->snapshot->agent.dns;
    const struct weir_dns_setting setting = { .pods = b->n_named,
                                              .min_ttl_s = seconds(spec->min_ttl_us),
                                              .max_ttl_s = seconds(spec->max_ttl_us),
                                              .grace_s = seconds(spec->grace_us),
                                              .addresses = spec->addresses };
    static const uint32_t zero = 0;

    return weir_mapset_put(b->out, WEIR_MAP_DNS_SETTING, &zero, &setting);
}
