/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policies in force at one place, each with the ports it is for, and the order in which they are
 * asked. What a policy in audit mode would do is found out after the real decision and changes nothing of it.
 */
#include "route/rbac.h"

#include "base/mem.h"
#include "route/rbac_match.h"

struct range {
    uint16_t first, last;
};

struct policy {
    const struct weir_authz_policy *conf;
    const char *name;
    struct range *ranges;
    uint32_t n_ranges;
};

struct weir_rbac {
    struct weir_arena arena;
    const struct weir_snapshot *snapshot;
    struct policy *policies;
    uint32_t n_policies;
};

/* A gateway's own policies are for all it listens on. */
static int find_ranges(struct weir_rbac *rbac, const struct weir_rbac_place *place,
                       struct policy *p) {
    uint16_t first, last;
    uint32_t n = 0;

    while (place->pod && weir_authz_scope(p->conf, place->pod, n, &first, &last))
        n++;
    p->ranges = weir_arena_calloc(&rbac->arena, n + 1UL, sizeof(*p->ranges));
    if (!p->ranges)
        return -ENOMEM;
    if (place->gateway && weir_authz_applies_gateway(p->conf, place->gateway->meta.namespace_,
                                                     place->gateway->meta.name)) {
        p->ranges[p->n_ranges++] = (struct range){ 0, 65535 };
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        (void)weir_authz_scope(p->conf, place->pod, i, &first, &last);
        p->ranges[p->n_ranges++] = (struct range){ first, last };
    }
    return 0;
}

static int build(struct weir_rbac *rbac, const struct weir_rbac_place *place) {
    const struct weir_snapshot *s = place->snapshot;

    rbac->policies = weir_arena_calloc(&rbac->arena, s->n_authz + 1UL, sizeof(*rbac->policies));
    if (!rbac->policies)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n_authz; i++) {
        struct policy p = { .conf = &s->authz[i] };
        int r = find_ranges(rbac, place, &p);

        if (r)
            return r;
        if (p.n_ranges == 0)
            continue;
        p.name =
            weir_arena_printf(&rbac->arena, "%s/%s", p.conf->meta.namespace_, p.conf->meta.name);
        if (!p.name)
            return -ENOMEM;
        rbac->policies[rbac->n_policies++] = p;
    }
    return 0;
}

int weir_rbac_new(const struct weir_rbac_place *place, struct weir_rbac **ret_rbac) {
    struct weir_rbac *rbac;
    int r;

    *ret_rbac = NULL;
    if (place->snapshot->n_authz == 0)
        return 0;
    rbac = weir_calloc(1, sizeof(*rbac));
    if (!rbac)
        return -ENOMEM;
    weir_arena_init(&rbac->arena, 1024);
    rbac->snapshot = place->snapshot;
    r = build(rbac, place);
    if (r || rbac->n_policies == 0) {
        weir_rbac_free(rbac);
        return r;
    }
    *ret_rbac = rbac;
    return 0;
}

struct weir_rbac *weir_rbac_free(struct weir_rbac *rbac) {
    if (!rbac)
        return NULL;
    weir_arena_deinit(&rbac->arena);
    return weir_free(rbac);
}

static bool in_force(const struct policy *p, uint16_t port) {
    for (uint32_t i = 0; i < p->n_ranges; i++)
        if (port >= p->ranges[i].first && port <= p->ranges[i].last)
            return true;
    return false;
}

struct search {
    const struct policy *matched; /* first of that action that matches */
    const struct policy *any;     /* first of that action in force */
};

static struct search look(const struct weir_rbac *rbac, struct weir_rbac_asking *a,
                          enum weir_authz_action action, bool audit) {
    struct search s = { NULL, NULL };

    a->action = action;
    for (uint32_t i = 0; i < rbac->n_policies && !s.matched; i++) {
        const struct policy *p = &rbac->policies[i];

        if (p->conf->action != action || p->conf->audit != audit || !in_force(p, a->flow->port))
            continue;
        if (!s.any)
            s.any = p;
        for (uint32_t k = 0; k < p->conf->n_rules && !s.matched; k++)
            if (weir_rbac_rule_matches(&p->conf->rules[k], a))
                s.matched = p;
    }
    return s;
}

static void find_out_who(const struct weir_rbac *rbac, struct weir_rbac_asking *a) {
    const struct weir_rbac_flow *f = a->flow;
    const struct weir_pod *pod;

    if (f->proven) {
        a->proven = (struct weir_rbac_who){ true, f->domain, f->ns, f->account };
        a->claimed = a->proven;
        return;
    }
    pod = weir_snapshot_pod_by_ip(rbac->snapshot, &f->source);
    if (pod)
        a->claimed =
            (struct weir_rbac_who){ true, weir_slice_from_str(rbac->snapshot->proxy.trust_domain),
                                    weir_slice_from_str(pod->meta.namespace_),
                                    weir_slice_from_str(pod->service_account) };
}

/* Would it be denied if the policies in audit mode were like the others? `allow`: what was found of those. */
static const char *would_deny(const struct weir_rbac *rbac, struct weir_rbac_asking *a,
                              const struct search *allow) {
    struct search s = look(rbac, a, WEIR_AUTHZ_DENY, true);

    if (s.matched)
        return s.matched->name;
    if (allow->any)
        return "";
    s = look(rbac, a, WEIR_AUTHZ_ALLOW, true);
    return s.any && !s.matched ? s.any->name : "";
}

void weir_rbac_decide(const struct weir_rbac *rbac, const struct weir_rbac_flow *flow,
                      const struct weir_head *head, struct weir_rbac_answer *ret_answer) {
    struct weir_rbac_asking a = { .flow = flow, .head = head };
    struct search noted, deny, allow = { NULL, NULL };

    find_out_who(rbac, &a);
    *ret_answer = (struct weir_rbac_answer){ .policy = "", .would_deny = "", .noted = "" };
    noted = look(rbac, &a, WEIR_AUTHZ_AUDIT, false);
    if (noted.matched)
        ret_answer->noted = noted.matched->name;
    deny = look(rbac, &a, WEIR_AUTHZ_DENY, false);
    if (deny.matched) {
        ret_answer->policy = deny.matched->name;
        return;
    }
    allow = look(rbac, &a, WEIR_AUTHZ_ALLOW, false);
    if (allow.any)
        ret_answer->policy = allow.matched ? allow.matched->name : allow.any->name;
    ret_answer->allowed = !allow.any || allow.matched;
    if (ret_answer->allowed)
        ret_answer->would_deny = would_deny(rbac, &a, &allow);
}
