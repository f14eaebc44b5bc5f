/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AuthorizationPolicy -> rules of one pod, in the order in which Istio asks: DENY, ALLOW, and "denied unless allowed" at the ports that an
 * ALLOW policy is for; then the same of policies in audit mode, which only tell. One rule is one source with one
 * operation. Its conditions that are about identity, addresses and ports narrow it here; what only a certificate or HTTP can answer is left to
 * the sidecar (WEIR_RULE_PROXY): as far as is known here the rule matches.
 *
 * A port whose flows do not enter the sidecar is plain TCP, where an ALLOW with such parts never matches and a DENY is judged by its
 * other parts: both are what the kernel does with a flow that may only go into the sidecar and does not.
 */
#include "kern/plan_build.h"

#include <string.h>

#include "conf/netpol.h"

enum stage {
    STAGE_NOTE,
    STAGE_DENY,
    STAGE_ALLOW,
    STAGE_ALLOW_PROXY,
    STAGE_REST,
    STAGE_AUDIT_ALLOW,
    STAGE_AUDIT_REST
};

#define PORT_WORDS (65536 / 64)

struct compile {
    struct weir_plan_chain chain;
    const struct weir_authz_policy *conf;
    const struct weir_authz_rule *rule;
    uint64_t *ports; /* scratch */
    bool proxy;      /* a condition that only the sidecar can judge, whatever the source */
};

/* --- who --- */

static bool names(const struct weir_strings *list, enum weir_authz_key kind, const char *domain,
                  const struct weir_pod *pod) {
    struct weir_slice ns = weir_slice_from_str(pod->meta.namespace_);
    struct weir_slice account = weir_slice_from_str(pod->service_account);

    for (uint32_t i = 0; i < list->n; i++) {
        const char *pattern = list->v[i];

        if (kind == WEIR_AUTHZ_SOURCE_PRINCIPAL
                ? weir_authz_principal_matches(pattern, domain, ns, account)
            : kind == WEIR_AUTHZ_SOURCE_ACCOUNT ? weir_authz_account_matches(pattern, ns, account)
                                                : weir_authz_text_matches(pattern, ns, false))
            return true;
    }
    return false;
}

/* One pair of lists about identity. */
struct naming {
    const struct weir_strings *yes, *no;
    enum weir_authz_key kind;
};

/* Calls for each pair of lists that the source and the rule's conditions have. */
static uint32_t namings(const struct weir_authz_rule *rule, const struct weir_authz_source *s,
                        uint32_t i, struct naming *ret) {
    uint32_t n = 0;

    if (s) {
        const struct naming of_source[] = {
            { &s->principals, &s->not_principals, WEIR_AUTHZ_SOURCE_PRINCIPAL },
            { &s->accounts, &s->not_accounts, WEIR_AUTHZ_SOURCE_ACCOUNT },
            { &s->namespaces, &s->not_namespaces, WEIR_AUTHZ_SOURCE_NAMESPACE },
        };

        for (size_t k = 0; k < WEIR_ARRAY_LEN(of_source); k++)
            if (of_source[k].yes->n + of_source[k].no->n > 0 && n++ == i)
                *ret = of_source[k];
    }
    for (uint32_t k = 0; k < rule->n_conditions; k++) {
        const struct weir_authz_condition *c = &rule->conditions[k];

        if ((c->key == WEIR_AUTHZ_SOURCE_PRINCIPAL || c->key == WEIR_AUTHZ_SOURCE_ACCOUNT ||
             c->key == WEIR_AUTHZ_SOURCE_NAMESPACE) &&
            n++ == i)
            *ret = (struct naming){ &c->values, &c->not_values, c->key };
    }
    return n;
}

struct who {
    struct weir_plan_ids *ids;
    uint8_t peer;  /* WEIR_PEER_*; 0 = anybody */
    bool proven;   /* asks for a certificate */
    bool positive; /* names somebody, and not only whom it does not mean */
};

/*
 * Whether the pod is meant; with only exceptions (`positive` false), whether it is one. Its address does not prove that a
 * DENY excepts it: that is for the sidecar to find.
 */
static bool is_meant(const struct compile *c, const struct weir_authz_source *s,
                     const struct weir_pod *pod, bool positive) {
    const char *domain = c->chain.b->snapshot->proxy.trust_domain;
    uint32_t n = namings(c->rule, s, UINT32_MAX, NULL);
    bool excepted = false, meant = true;

    for (uint32_t i = 0; i < n; i++) {
        struct naming naming = { 0 };

        (void)namings(c->rule, s, i, &naming);
        meant = meant && (naming.yes->n == 0 || names(naming.yes, naming.kind, domain, pod));
        if (c->conf->action != WEIR_AUTHZ_DENY || naming.kind == WEIR_AUTHZ_SOURCE_NAMESPACE)
            excepted = excepted || names(naming.no, naming.kind, domain, pod);
    }
    return positive ? meant && !excepted : excepted;
}

static int find_ids(struct compile *c, const struct weir_authz_source *s, bool positive,
                    struct weir_plan_ids **known) {
    struct weir_plan_builder *b = c->chain.b;
    int r = 0;

    for (uint32_t i = 0; !*known && r == 0 && i < b->snapshot->n_pods; i++)
        if (is_meant(c, s, &b->snapshot->pods[i], positive))
            r = weir_plan_find(b, i);
    return *known || r ? r : weir_plan_found(b, known);
}

static int find_who(struct compile *c, const struct weir_authz_source *s,
                    struct weir_plan_ids **known, struct who *ret) {
    uint32_t n = namings(c->rule, s, UINT32_MAX, NULL);
    int r;

    *ret = (struct who){ 0 };
    for (uint32_t i = 0; i < n; i++) {
        struct naming naming = { 0 };

        (void)namings(c->rule, s, i, &naming);
        ret->positive = ret->positive || naming.yes->n > 0;
        ret->proven = ret->proven || naming.kind != WEIR_AUTHZ_SOURCE_NAMESPACE;
    }
    if (n == 0)
        return 0;
    r = find_ids(c, s, ret->positive, known);
    ret->ids = *known;
    ret->peer = ret->positive ? WEIR_PEER_IDENTITY : WEIR_PEER_NOT_IDENTITY;
    return r;
}

/* --- where from --- */

struct ranges {
    struct weir_plan_cidrs *sets[16];
    uint32_t n;
    bool too_many;
};

static int add_ranges(struct compile *c, struct ranges *all, const struct weir_cidrs *yes,
                      const struct weir_cidrs *no) {
    static const struct weir_cidr v4 = { { { [10] = 0xff, [11] = 0xff } }, 96 }, everything = { 0 };
    struct weir_plan_builder *b = c->chain.b;
    struct weir_plan_cidrs *lists[2] = { NULL, NULL };

    if (yes->n + no->n == 0)
        return 0;
    if (all->n + 2 > WEIR_ARRAY_LEN(all->sets)) {
        all->too_many = true;
        return 0;
    }
    for (int k = 0; k < 2; k++) {
        const struct weir_cidrs *list = k ? no : yes;
        uint32_t in = k ? WEIR_CIDR_OUT : WEIR_CIDR_IN;

        if (list->n == 0)
            continue;
        lists[k] = weir_arena_calloc(&b->arena, 1, sizeof(*lists[k]));
        if (!lists[k])
            return -ENOMEM;
        lists[k]->v = weir_arena_calloc(&b->arena, list->n + 2UL, sizeof(*lists[k]->v));
        if (!lists[k]->v)
            return -ENOMEM;
        for (uint32_t i = 0; i < list->n; i++)
            lists[k]->v[lists[k]->n++] = weir_plan_cidr(&list->v[i], in);
        /* An IPv6 range wide enough to hold the v4-mapped addresses does not mean them. */
        lists[k]->v[lists[k]->n++] = weir_plan_cidr(&v4, k ? WEIR_CIDR_IN : WEIR_CIDR_OUT);
        if (k)
            lists[k]->v[lists[k]->n++] = weir_plan_cidr(&everything, WEIR_CIDR_IN);
        /* Of two on one prefix the written one counts. */
        for (uint32_t i = 0; i < list->n; i++)
            if (list->v[i].prefix == (k ? 0 : 96) || list->v[i].prefix == 96)
                for (uint32_t m = list->n; m < lists[k]->n; m++)
                    if (weir_cidr_item_compare(&lists[k]->v[i], &lists[k]->v[m]) == 0)
                        lists[k]->v[m] = lists[k]->v[i];
        weir_plan_cidrs_settle(lists[k]);
        all->sets[all->n++] = lists[k];
    }
    return 0;
}

/* destination.ip: the pod's addresses are known; where it is for one family only, the peer's family says which. */
static int add_destination(struct compile *c, struct ranges *all,
                           const struct weir_authz_condition *cond) {
    struct weir_cidr v4 = { { { [10] = 0xff, [11] = 0xff } }, 96 };
    const struct weir_pod *pod = c->chain.pod;
    bool in[2] = { false, false }, out[2] = { false, false };
    struct weir_cidrs only = { .v = &v4, .n = 1 }, none = { 0 };

    for (uint32_t i = 0; i < pod->n_ips; i++) {
        bool match = cond->ips.n == 0;

        for (uint32_t k = 0; k < cond->ips.n; k++)
            match = match || weir_cidr_covers(&cond->ips.v[k], &pod->ips[i]);
        for (uint32_t k = 0; k < cond->not_ips.n; k++)
            match = match && !weir_cidr_covers(&cond->not_ips.v[k], &pod->ips[i]);
        (match ? in : out)[weir_ip_is_v4(&pod->ips[i])] = true;
    }
    if (!out[0] && !out[1])
        return 0;
    if (!in[0] && !in[1])
        return 1;
    if ((in[0] && out[0]) || (in[1] && out[1])) {
        all->too_many = true;
        return 0;
    }
    return in[1] ? add_ranges(c, all, &only, &none) : add_ranges(c, all, &none, &only);
}

/* 1: no pod's address meets the conditions. */
static int find_ranges(struct compile *c, const struct weir_authz_source *s, struct ranges *all,
                       struct weir_plan_cidrs **ret_cidrs) {
    int r = 0;

    if (s) {
        r = add_ranges(c, all, &s->ips, &s->not_ips);
        if (r == 0)
            r = add_ranges(c, all, &s->remote_ips, &s->not_remote_ips);
    }
    for (uint32_t i = 0; r == 0 && i < c->rule->n_conditions; i++) {
        const struct weir_authz_condition *cond = &c->rule->conditions[i];

        if (cond->key == WEIR_AUTHZ_SOURCE_IP || cond->key == WEIR_AUTHZ_REMOTE_IP)
            r = add_ranges(c, all, &cond->ips, &cond->not_ips);
        else if (cond->key == WEIR_AUTHZ_DESTINATION_IP)
            r = add_destination(c, all, cond);
    }
    *ret_cidrs = NULL;
    if (r || all->n == 0)
        return r;
    *ret_cidrs = all->sets[0];
    return all->n == 1 ? 0 : weir_plan_cidrs_join(c->chain.b, all->sets, all->n, false, ret_cidrs);
}

/* --- which ports --- */

static void keep_ports(struct compile *c, const struct weir_port_list *yes,
                       const struct weir_port_list *no) {
    if (yes->n > 0) {
        uint64_t keep[PORT_WORDS] = { 0 };

        for (uint32_t i = 0; i < yes->n; i++)
            keep[yes->v[i] / 64] |= 1ULL << (yes->v[i] % 64);
        for (size_t i = 0; i < PORT_WORDS; i++)
            c->ports[i] &= keep[i];
    }
    for (uint32_t i = 0; i < no->n; i++)
        c->ports[no->v[i] / 64] &= ~(1ULL << (no->v[i] % 64));
}

static void find_ports(struct compile *c, const struct weir_authz_operation *o, uint16_t first,
                       uint16_t last) {
    memset(c->ports, first == 0 && last == 65535 ? 0xff : 0, PORT_WORDS * sizeof(*c->ports));
    if (first == last)
        c->ports[first / 64] |= 1ULL << (first % 64);
    if (o)
        keep_ports(c, &o->ports, &o->not_ports);
    for (uint32_t i = 0; i < c->rule->n_conditions; i++)
        if (c->rule->conditions[i].key == WEIR_AUTHZ_DESTINATION_PORT)
            keep_ports(c, &c->rule->conditions[i].ports, &c->rule->conditions[i].not_ports);
}

static bool port_in(const struct compile *c, uint32_t port) {
    return c->ports[port / 64] >> (port % 64) & 1;
}

/* The next run of ports from *from on. */
static bool next_range(const struct compile *c, uint32_t *from, struct weir_rule_item *item) {
    uint32_t p = *from;

    while (p < 65536 && !port_in(c, p))
        p = c->ports[p / 64] == 0 ? (p / 64 + 1) * 64 : p + 1;
    if (p >= 65536)
        return false;
    item->port_lo = (uint16_t)p;
    while (p < 65536 && port_in(c, p))
        p = c->ports[p / 64] == UINT64_MAX ? (p / 64 + 1) * 64 : p + 1;
    item->port_hi = (uint16_t)(p - 1);
    *from = p;
    return true;
}

/* --- rules --- */

static int put_ranges(struct compile *c, struct weir_plan_rule rule) {
    uint32_t from = 0;
    int r = 0;

    while (r == 0 && next_range(c, &from, &rule.item))
        r = weir_plan_chain_add(&c->chain, &rule);
    return r;
}

/* One source, one operation, at the ports already found. */
static int put_match(struct compile *c, const struct who *who, struct weir_plan_cidrs *cidrs,
                     bool proxy) {
    bool audit = c->conf->audit;
    struct weir_plan_rule rule = { .item = { .proto = WEIR_IPPROTO_TCP, .peer = who->peer },
                                   .ids = who->ids,
                                   .cidrs = cidrs };
    int r;

    if (cidrs)
        rule.item.peer |= WEIR_PEER_CIDR;
    if (proxy)
        rule.item.flags |= WEIR_RULE_PROXY;
    if (c->conf->action == WEIR_AUTHZ_AUDIT) {
        rule.item.flags |= WEIR_RULE_NOTE;
        rule.stage = STAGE_NOTE;
        return proxy || audit ? 0 : put_ranges(c, rule); /* the sidecar tells what it finds */
    }
    if (audit)
        rule.item.flags |= WEIR_RULE_AUDIT;
    if (c->conf->action == WEIR_AUTHZ_DENY) {
        rule.item.flags |= WEIR_RULE_DENY;
        rule.stage = STAGE_DENY;
        return put_ranges(c, rule);
    }
    rule.stage = audit ? STAGE_AUDIT_ALLOW : proxy ? STAGE_ALLOW_PROXY : STAGE_ALLOW;
    r = put_ranges(c, rule);
    /* A namespace that is not known by the address may yet be proven. */
    if (r == 0 && !proxy && !audit && who->positive) {
        rule.item.flags |= WEIR_RULE_PROXY;
        rule.stage = STAGE_ALLOW_PROXY;
        r = put_ranges(c, rule);
    }
    return r;
}

static int compile_source(struct compile *c, const struct weir_authz_source *s,
                          struct weir_plan_ids **known) {
    struct weir_plan_cidrs *cidrs;
    struct ranges ranges = { 0 };
    struct who who;
    bool proxy;
    int r = find_who(c, s, known, &who);

    if (r == 0)
        r = find_ranges(c, s, &ranges, &cidrs);
    if (r)
        return r > 0 ? 0 : r;
    proxy = who.proven || ranges.too_many || c->proxy;
    for (uint32_t i = 0; r == 0 && i < (c->rule->n_operations ? c->rule->n_operations : 1); i++) {
        const struct weir_authz_operation *o =
            c->rule->n_operations ? &c->rule->operations[i] : NULL;
        bool http = o && weir_authz_operation_http(o);
        uint16_t first, last;

        for (uint32_t k = 0; r == 0 && weir_authz_scope(c->conf, c->chain.pod, k, &first, &last);
             k++) {
            find_ports(c, o, first, last);
            r = put_match(c, &who, cidrs, proxy || http);
        }
    }
    return r;
}

static bool asks_the_proxy(const struct weir_authz_rule *rule) {
    for (uint32_t i = 0; i < rule->n_conditions; i++)
        if (rule->conditions[i].key == WEIR_AUTHZ_HEADER ||
            rule->conditions[i].key == WEIR_AUTHZ_SNI)
            return true;
    return false;
}

static int compile_rules(struct compile *c) {
    struct weir_plan_ids **known = c->chain.b->authz_ids[c->conf - c->chain.b->snapshot->authz];
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < c->conf->n_rules; i++) {
        c->rule = &c->conf->rules[i];
        c->proxy = asks_the_proxy(c->rule);
        if (c->rule->n_sources == 0)
            r = compile_source(c, NULL, known);
        for (uint32_t k = 0; r == 0 && k < c->rule->n_sources; k++)
            r = compile_source(c, &c->rule->sources[k], known + k);
        known += c->rule->n_sources + 1UL;
    }
    return r;
}

/* What no ALLOW rule allows at the policy's ports is denied. */
static int put_rest(struct compile *c) {
    struct weir_plan_rule rest = { .item = { .proto = WEIR_IPPROTO_TCP, .flags = WEIR_RULE_DENY },
                                   .stage = STAGE_REST };
    uint16_t first, last;
    int r = 0;

    if (c->conf->action != WEIR_AUTHZ_ALLOW)
        return 0;
    if (c->conf->audit) {
        rest.item.flags |= WEIR_RULE_AUDIT;
        rest.stage = STAGE_AUDIT_REST;
    }
    for (uint32_t i = 0; r == 0 && weir_authz_scope(c->conf, c->chain.pod, i, &first, &last); i++) {
        rest.item.port_lo = first;
        rest.item.port_hi = last;
        r = weir_plan_chain_add(&c->chain, &rest);
    }
    return r;
}

int weir_plan_authz(struct weir_plan_builder *b, const struct weir_pod *pod,
                    struct weir_policy_slot *slot) {
    struct compile c = { .chain = { .b = b, .pod = pod } };
    const struct weir_snapshot *s = b->snapshot;
    uint16_t first, last;
    int r = 0;

    if (s->n_authz == 0)
        return 0;
    c.ports = weir_arena_alloc(&b->arena, PORT_WORDS * sizeof(*c.ports));
    if (!c.ports)
        return -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < s->n_authz; i++) {
        const char *name;

        c.conf = &s->authz[i];
        if (!weir_authz_scope(c.conf, pod, 0, &first, &last))
            continue;
        name = weir_arena_printf(&b->arena, "%s/%s", c.conf->meta.namespace_, c.conf->meta.name);
        c.chain.meta = &c.conf->meta;
        r = name ? weir_plan_put_name(b, WEIR_NAME_POLICY, name, &c.chain.policy) : -ENOMEM;
        if (r == 0)
            r = compile_rules(&c);
        if (r == 0)
            r = put_rest(&c);
    }
    return r ? r : weir_plan_chain_put(&c.chain, &slot->block);
}
