/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BackendTLSPolicies to the ports of Services, with the certificates their references lead to. One that names a port beats one for the
 * whole Service; of two of a kind the older holds. A reference to nothing leaves the policy in force without anybody to trust: its
 * ports are then not called at all, since plaintext is what the policy forbids.
 */
#include <stdio.h>
#include <string.h>

#include "conf/link.h"

struct walk {
    struct weir_link *l;
    const struct weir_draft_backend_tls *draft;
    struct weir_backend_tls *policy;
    uint32_t index; /* of the reference at hand */
};

static int warn(struct walk *w, const char *list, const struct weir_place *place, const char *what,
                const char *message) {
    char field[96];

    snprintf(field, sizeof(field), "spec.%s[%u]", list, w->index);
    return weir_link_warn(w->l, &w->draft->head, place, field, "%s %s", what, message);
}

/* The bundle of one reference, behind those before it. */
static int add_ca(struct walk *w, const struct weir_draft_ref *ref) {
    const struct weir_draft_pem *pem = (const struct weir_draft_pem *)weir_link_find(
        w->l, ref->kind, w->policy->meta.namespace_, ref->name);
    char what[400];

    snprintf(what, sizeof(what), "%s %s/%s", ref->kind, w->policy->meta.namespace_, ref->name);
    if (pem == NULL || pem->ca[0] == '\0') {
        w->policy->broken = true;
        return warn(w, "validation.caCertificateRefs", &ref->place, what,
                    pem == NULL ? "is not among the documents; the endpoints are not called"
                                : "has no ca.crt; the endpoints are not called");
    }
    w->policy->ca = weir_arena_printf(&w->l->s->arena, "%s%s\n", w->policy->ca, pem->ca);
    return w->policy->ca != NULL ? 0 : -ENOMEM;
}

static bool names_port(const struct weir_backend_tls *policy, const struct weir_service *service,
                       const char *section) {
    for (uint32_t i = 0; i < policy->n_targets; i++) {
        if (strcmp(policy->targets[i].name, service->meta.name) == 0 &&
            strcmp(policy->targets[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

/* True: an older policy of the same rank holds it. */
static bool is_held(const struct walk *w, const struct weir_service *service, bool exact,
                    struct weir_service_port *port) {
    bool holder_exact =
        port->tls != NULL && port->name[0] != '\0' && names_port(port->tls, service, port->name);

    if (port->tls == NULL || (exact && !holder_exact)) {
        port->tls = w->policy;
    }
    return port->tls != w->policy && exact == holder_exact;
}

static int attach(struct walk *w, const struct weir_policy_target *target) {
    struct weir_snapshot *s = w->l->s;
    const struct weir_service *found =
        weir_snapshot_service(s, w->policy->meta.namespace_, target->name);
    bool named = false, held = false;
    char what[400];

    snprintf(what, sizeof(what), "Service %s/%s", w->policy->meta.namespace_, target->name);
    if (found == NULL) {
        return warn(w, "targetRefs", &target->place, what, "is not among the documents");
    }
    for (uint32_t i = 0; i < found->n_ports; i++) {
        struct weir_service_port *port = &s->services[found - s->services].ports[i];

        if (target->section[0] == '\0' || strcmp(target->section, port->name) == 0) {
            named = true;
            held = is_held(w, found, target->section[0] != '\0', port) || held;
        }
    }
    if (!named) {
        return warn(w, "targetRefs", &target->place, what, "has no port of that name");
    }
    return held ? warn(w, "targetRefs", &target->place, what,
                       "has an older BackendTLSPolicy, which holds")
                : 0;
}

int weir_link_backend_tls(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    uint32_t n = l->b->drafts[WEIR_KIND_BACKEND_TLS].n;
    int r = 0;

    s->backend_tls = weir_arena_calloc(&s->arena, n, sizeof(*s->backend_tls));
    if (n > 0 && s->backend_tls == NULL) {
        return -ENOMEM;
    }
    s->n_backend_tls = n;
    for (uint32_t i = 0; i < n && r == 0; i++) {
        struct walk w = {
            .l = l,
            .draft = (const struct weir_draft_backend_tls *)l->sorted[WEIR_KIND_BACKEND_TLS][i],
            .policy = &s->backend_tls[i],
        };

        *w.policy = w.draft->value;
        w.policy->meta = w.draft->head.meta;
        for (; w.index < w.draft->n_cas && r == 0; w.index++) {
            r = add_ca(&w, &w.draft->cas[w.index]);
        }
        for (w.index = 0; w.index < w.policy->n_targets && r == 0; w.index++) {
            r = attach(&w, &w.policy->targets[w.index]);
        }
    }
    return r;
}
