/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an AuthorizationPolicy to the letter of security.istio.io/v1: where it applies, which of its parts need
 * a certificate or an HTTP request, and what its patterns match. Decides nothing.
 */
#include "conf/authz.h"

#include <stdio.h>
#include <string.h>

#include "conf/ports.h"
#include "conf/snapshot.h"

#define PRINCIPAL_MAX 640
#define LOCAL_DOMAIN  "cluster.local"

static bool selects(const struct weir_authz_policy *policy, const struct weir_pod *pod) {
    const char *ns = policy->meta.namespace_;

    if (pod->host_network ||
        (strcmp(ns, pod->meta.namespace_) != 0 && strcmp(ns, WEIR_ROOT_NAMESPACE) != 0))
        return false;
    return weir_selector_matches(&policy->pods, pod->meta.labels, pod->meta.n_labels);
}

bool weir_authz_scope(const struct weir_authz_policy *policy, const struct weir_pod *pod,
                      uint32_t i, uint16_t *ret_first, uint16_t *ret_last) {
    if (policy->n_targets == 0) {
        *ret_first = 0;
        *ret_last = 65535;
        return i == 0 && selects(policy, pod);
    }
    for (uint32_t t = 0; t < policy->n_targets; t++) {
        const struct weir_service *service = policy->targets[t].service;

        for (uint32_t p = 0; service && p < service->n_ports; p++) {
            const struct weir_service_port *port = &service->ports[p];

            for (uint32_t e = 0; port->proto == WEIR_PROTO_TCP && e < port->n_endpoints; e++) {
                if (port->endpoints[e].pod != pod || pod->host_network || i-- > 0)
                    continue;
                *ret_first = *ret_last = port->endpoints[e].port;
                return true;
            }
        }
    }
    return false;
}

bool weir_authz_applies(const struct weir_authz_policy *policy, const struct weir_pod *pod,
                        uint16_t port) {
    uint16_t first, last;

    for (uint32_t i = 0; weir_authz_scope(policy, pod, i, &first, &last); i++)
        if (port >= first && port <= last)
            return true;
    return false;
}

bool weir_authz_applies_gateway(const struct weir_authz_policy *policy, const char *ns,
                                const char *name) {
    if (strcmp(policy->meta.namespace_, ns) != 0)
        return false;
    for (uint32_t i = 0; i < policy->n_targets; i++)
        if (policy->targets[i].gateway && strcmp(policy->targets[i].name, name) == 0)
            return true;
    return false;
}

bool weir_authz_source_proven(const struct weir_authz_source *s) {
    return s->principals.n + s->not_principals.n + s->accounts.n + s->not_accounts.n > 0;
}

bool weir_authz_rule_proven(const struct weir_authz_rule *r) {
    for (uint32_t i = 0; i < r->n_sources; i++)
        if (weir_authz_source_proven(&r->sources[i]))
            return true;
    for (uint32_t i = 0; i < r->n_conditions; i++)
        if (r->conditions[i].key == WEIR_AUTHZ_SOURCE_PRINCIPAL ||
            r->conditions[i].key == WEIR_AUTHZ_SOURCE_ACCOUNT ||
            r->conditions[i].key == WEIR_AUTHZ_SNI)
            return true;
    return false;
}

bool weir_authz_operation_http(const struct weir_authz_operation *o) {
    return o->hosts.n + o->not_hosts.n + o->methods.n + o->not_methods.n + o->paths.n +
               o->not_paths.n >
           0;
}

bool weir_authz_rule_http(const struct weir_authz_rule *r) {
    for (uint32_t i = 0; i < r->n_operations; i++)
        if (weir_authz_operation_http(&r->operations[i]))
            return true;
    for (uint32_t i = 0; i < r->n_conditions; i++)
        if (r->conditions[i].key == WEIR_AUTHZ_HEADER)
            return true;
    return false;
}

bool weir_authz_wants_proof(const struct weir_snapshot *s, const struct weir_pod *pod,
                            uint16_t port) {
    for (uint32_t i = 0; i < s->n_authz; i++)
        if (s->authz[i].proven && weir_authz_applies(&s->authz[i], pod, port))
            return true;
    return false;
}

bool weir_pod_wants_proof(const struct weir_snapshot *s, const struct weir_pod *pod,
                          uint16_t port) {
    return weir_snapshot_mtls(s, pod, port) == WEIR_MTLS_STRICT ||
           weir_authz_wants_proof(s, pod, port);
}

bool weir_pod_enters(const struct weir_snapshot *s, const struct weir_pod *pod, uint16_t port) {
    return weir_pod_meshed(pod) &&
           (!pod->skip_inbound || !weir_port_ranges_have(pod->skip_inbound, port) ||
            weir_pod_wants_proof(s, pod, port));
}

bool weir_pod_opaque(const struct weir_pod *pod, uint16_t port) {
    return pod->opaque && weir_port_ranges_have(pod->opaque, port);
}

static bool equal(struct weir_slice a, struct weir_slice b, bool fold) {
    return fold ? weir_slice_ieq(a, b) : weir_slice_eq(a, b);
}

bool weir_authz_text_matches(const char *pattern, struct weir_slice text, bool fold) {
    struct weir_slice p = weir_slice_from_str(pattern);

    if (p.len == 1 && p.ptr[0] == '*')
        return text.len > 0;
    if (p.len > 0 && p.ptr[0] == '*') {
        p = weir_slice_make(p.ptr + 1, p.len - 1);
        return text.len >= p.len &&
               equal(weir_slice_make(text.ptr + text.len - p.len, p.len), p, fold);
    }
    if (p.len > 0 && p.ptr[p.len - 1] == '*') {
        p.len--;
        return text.len >= p.len && equal(weir_slice_make(text.ptr, p.len), p, fold);
    }
    return equal(text, p, fold);
}

static bool principal_in(const char *pattern, const char *domain, struct weir_slice ns,
                         struct weir_slice account) {
    char text[PRINCIPAL_MAX];
    int n = snprintf(text, sizeof(text), "%s/ns/%.*s/sa/%.*s", domain, WEIR_SLICE_ARG(ns),
                     WEIR_SLICE_ARG(account));

    return n > 0 && (size_t)n < sizeof(text) &&
           weir_authz_text_matches(pattern, weir_slice_make(text, (size_t)n), false);
}

bool weir_authz_principal_matches(const char *pattern, const char *trust_domain,
                                  struct weir_slice ns, struct weir_slice account) {
    /* What most patterns are, and most pods fail at. */
    if (!strchr(pattern, '*') && !weir_slice_ends_with(weir_slice_from_str(pattern), account))
        return false;
    return principal_in(pattern, trust_domain, ns, account) ||
           principal_in(pattern, LOCAL_DOMAIN, ns, account);
}

bool weir_authz_account_matches(const char *pattern, struct weir_slice ns,
                                struct weir_slice account) {
    struct weir_slice rest = weir_slice_from_str(pattern), first;

    return weir_slice_split(&rest, '/', &first) && weir_slice_eq(first, ns) &&
           weir_slice_eq(rest, account);
}

/* A template without its operators in front: literal text up to the next brace. */
static size_t literal(const char *pattern) {
    return strcspn(pattern, "{");
}

static bool template_matches(const char *p, struct weir_slice path) {
    for (;;) {
        size_t n = literal(p);

        if (path.len < n || memcmp(path.ptr, p, n) != 0)
            return false;
        path = weir_slice_make(path.ptr + n, path.len - n);
        p += n;
        if (*p == '\0')
            return path.len == 0;
        if (strncmp(p, "{**}", 4) == 0) { /* the last operator: what is behind it is literal */
            n = strlen(p + 4);
            return path.len >= n && memcmp(path.ptr + path.len - n, p + 4, n) == 0;
        }
        n = weir_slice_index(path, '/');
        if (n == 0)
            return false;
        path = weir_slice_make(path.ptr + n, path.len - n);
        p += 3;
    }
}

bool weir_authz_path_matches(const char *pattern, struct weir_slice path) {
    return strchr(pattern, '{') ? template_matches(pattern, path)
                                : weir_authz_text_matches(pattern, path, false);
}

/* An operator is a whole segment, {**} the last one. */
bool weir_authz_template_ok(const char *pattern) {
    bool rest = false;

    if (strpbrk(pattern, "{}") == NULL)
        return true;
    if (pattern[0] != '/')
        return false;
    for (const char *p = pattern; *p;) {
        size_t n = strcspn(++p, "/");

        if (memchr(p, '{', n) || memchr(p, '}', n)) {
            bool one = n == 3 && strncmp(p, "{*}", 3) == 0;
            bool many = n == 4 && strncmp(p, "{**}", 4) == 0;

            if (rest || (!one && !many))
                return false;
            rest = many;
        } else if (memchr(p, '*', n)) {
            return false;
        }
        p += n;
    }
    return true;
}
