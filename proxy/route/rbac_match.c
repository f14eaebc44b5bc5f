/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rule against one request. Where knowledge is not certain (an identity that only the address tells, a
 * field that is there twice) a rule that allows takes the narrow reading and a rule that denies the wide one.
 */
#include "route/rbac_match.h"

#include <stdio.h>

#include "conf/netpol.h"

/* The wide reading: of what a DENY must not miss, and of what an ALLOW excepts. */
static bool wide(const struct weir_rbac_asking *a, bool negative) {
    return (a->action != WEIR_AUTHZ_ALLOW) != negative;
}

static const struct weir_rbac_who *who(const struct weir_rbac_asking *a, bool negative) {
    return wide(a, negative) ? &a->claimed : &a->proven;
}

enum kind { PRINCIPAL, ACCOUNT, NAMESPACE };

static bool is_named(const struct weir_strings *list, enum kind kind,
                     const struct weir_rbac_who *w) {
    for (uint32_t i = 0; w->known && i < list->n; i++) {
        const char *pattern = list->v[i];
        char domain[256];

        if (kind == PRINCIPAL) {
            snprintf(domain, sizeof(domain), "%.*s", WEIR_SLICE_ARG(w->domain));
            if (weir_authz_principal_matches(pattern, domain, w->ns, w->account))
                return true;
        } else if (kind == ACCOUNT ? weir_authz_account_matches(pattern, w->ns, w->account)
                                   : weir_authz_text_matches(pattern, w->ns, false)) {
            return true;
        }
    }
    return false;
}

static bool named(const struct weir_strings *yes, const struct weir_strings *no, enum kind kind,
                  const struct weir_rbac_asking *a) {
    const struct weir_rbac_who *for_yes = kind == NAMESPACE ? &a->claimed : who(a, false);
    const struct weir_rbac_who *for_no = kind == NAMESPACE ? &a->claimed : who(a, true);

    return (yes->n == 0 || is_named(yes, kind, for_yes)) && !is_named(no, kind, for_no);
}

static bool covers(const struct weir_cidrs *list, const struct weir_ip *ip) {
    for (uint32_t i = 0; i < list->n; i++)
        if (weir_cidr_covers(&list->v[i], ip))
            return true;
    return false;
}

static bool within(const struct weir_cidrs *yes, const struct weir_cidrs *no,
                   const struct weir_ip *ip) {
    return (yes->n == 0 || covers(yes, ip)) && !covers(no, ip);
}

static bool holds_port(const struct weir_port_list *list, uint16_t port) {
    for (uint32_t i = 0; i < list->n; i++)
        if (list->v[i] == port)
            return true;
    return false;
}

static bool at_port(const struct weir_port_list *yes, const struct weir_port_list *no,
                    uint16_t port) {
    return (yes->n == 0 || holds_port(yes, port)) && !holds_port(no, port);
}

static bool source_matches(const struct weir_authz_source *s, const struct weir_rbac_asking *a) {
    return named(&s->principals, &s->not_principals, PRINCIPAL, a) &&
           named(&s->accounts, &s->not_accounts, ACCOUNT, a) &&
           named(&s->namespaces, &s->not_namespaces, NAMESPACE, a) &&
           within(&s->ips, &s->not_ips, &a->flow->source) &&
           within(&s->remote_ips, &s->not_remote_ips, &a->flow->client);
}

static bool text_in(const struct weir_strings *list, struct weir_slice text, bool fold) {
    for (uint32_t i = 0; i < list->n; i++)
        if (weir_authz_text_matches(list->v[i], text, fold))
            return true;
    return false;
}

static bool path_in(const struct weir_strings *list, struct weir_slice path) {
    for (uint32_t i = 0; i < list->n; i++)
        if (weir_authz_path_matches(list->v[i], path))
            return true;
    return false;
}

static bool operation_matches(const struct weir_authz_operation *o,
                              const struct weir_rbac_asking *a) {
    const struct weir_head *h = a->head;
    struct weir_slice path;

    if (!at_port(&o->ports, &o->not_ports, a->flow->port))
        return false;
    if (!h || !weir_authz_operation_http(o))
        return true; /* without HTTP only for a DENY: rule_matches has seen to that */
    path = weir_head_path(h);
    return (o->hosts.n == 0 || text_in(&o->hosts, h->authority, true)) &&
           !text_in(&o->not_hosts, h->authority, true) &&
           (o->methods.n == 0 || text_in(&o->methods, h->method_name, false)) &&
           !text_in(&o->not_methods, h->method_name, false) &&
           (o->paths.n == 0 || path_in(&o->paths, path)) && !path_in(&o->not_paths, path);
}

/* All fields of the name as one list (RFC 9110 5.3). ptr NULL = none, or no memory. */
static struct weir_slice joined(const struct weir_head *h, struct weir_slice name,
                                unsigned *ret_n) {
    struct weir_slice all = WEIR_SLICE_NONE;

    *ret_n = 0;
    for (unsigned i = 0; i < h->n_fields; i++) {
        const struct weir_field *f = &h->fields[i];
        char *text;

        if (f->dropped || !weir_slice_ieq(f->name, name))
            continue;
        if ((*ret_n)++ == 0) {
            all = f->value.ptr ? f->value : WEIR_SLICE("");
            continue;
        }
        text =
            weir_arena_printf(h->arena, "%.*s,%.*s", WEIR_SLICE_ARG(all), WEIR_SLICE_ARG(f->value));
        all = text ? weir_slice_from_str(text) : WEIR_SLICE_NONE;
    }
    return all;
}

/* "*" is any value, an empty one as well. */
static bool value_in(const struct weir_strings *list, struct weir_slice value) {
    for (uint32_t i = 0; i < list->n; i++)
        if (strcmp(list->v[i], "*") == 0 || weir_authz_text_matches(list->v[i], value, false))
            return true;
    return false;
}

/* One of several fields of that name is enough for the wide reading. */
static bool field_in(const struct weir_strings *list, const struct weir_authz_condition *c,
                     const struct weir_rbac_asking *a, bool is_wide) {
    struct weir_slice name = weir_slice_from_str(c->header), all;
    const struct weir_head *h = a->head;
    unsigned n;

    if (list->n == 0)
        return false;
    if (weir_slice_ieq(name, WEIR_SLICE("host")))
        return h->authority.len > 0 && value_in(list, h->authority);
    all = joined(h, name, &n);
    if (n > 0 && !all.ptr)
        return is_wide;
    if (n > 0 && value_in(list, all))
        return true;
    for (unsigned i = 0; is_wide && n > 1 && i < h->n_fields; i++)
        if (!h->fields[i].dropped && weir_slice_ieq(h->fields[i].name, name) &&
            value_in(list, h->fields[i].value))
            return true;
    return false;
}

static bool field_matches(const struct weir_authz_condition *c, const struct weir_rbac_asking *a) {
    if (!a->head)
        return true; /* as in operation_matches */
    return (c->values.n == 0 || field_in(&c->values, c, a, wide(a, false))) &&
           !field_in(&c->not_values, c, a, wide(a, true));
}

static bool condition_matches(const struct weir_authz_condition *c,
                              const struct weir_rbac_asking *a) {
    struct weir_slice sni = a->flow->sni ? weir_slice_from_str(a->flow->sni) : WEIR_SLICE("");

    switch (c->key) {
    case WEIR_AUTHZ_HEADER:
        return field_matches(c, a);
    case WEIR_AUTHZ_SOURCE_IP:
        return within(&c->ips, &c->not_ips, &a->flow->source);
    case WEIR_AUTHZ_REMOTE_IP:
        return within(&c->ips, &c->not_ips, &a->flow->client);
    case WEIR_AUTHZ_DESTINATION_IP:
        return within(&c->ips, &c->not_ips, &a->flow->destination);
    case WEIR_AUTHZ_DESTINATION_PORT:
        return at_port(&c->ports, &c->not_ports, a->flow->port);
    case WEIR_AUTHZ_SOURCE_NAMESPACE:
        return named(&c->values, &c->not_values, NAMESPACE, a);
    case WEIR_AUTHZ_SOURCE_PRINCIPAL:
        return named(&c->values, &c->not_values, PRINCIPAL, a);
    case WEIR_AUTHZ_SOURCE_ACCOUNT:
        return named(&c->values, &c->not_values, ACCOUNT, a);
    case WEIR_AUTHZ_SNI:
        return (c->values.n == 0 || text_in(&c->values, sni, true)) &&
               !text_in(&c->not_values, sni, true);
    }
    return false;
}

bool weir_rbac_rule_matches(const struct weir_authz_rule *rule, const struct weir_rbac_asking *a) {
    bool from = rule->n_sources == 0, to = rule->n_operations == 0;

    if (!a->head && a->action != WEIR_AUTHZ_DENY && weir_authz_rule_http(rule))
        return false;
    for (uint32_t i = 0; !from && i < rule->n_sources; i++)
        from = source_matches(&rule->sources[i], a);
    for (uint32_t i = 0; from && !to && i < rule->n_operations; i++)
        to = operation_matches(&rule->operations[i], a);
    if (!from || !to)
        return false;
    for (uint32_t i = 0; i < rule->n_conditions; i++)
        if (!condition_matches(&rule->conditions[i], a))
            return false;
    return true;
}
