/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Gateways that are ours, oldest first, and which of their listeners can be served together: those that share a port are told
 * apart by host name, so two of the same name cannot be, nor can plaintext and TLS. The older Gateway's listener stays.
 */
#include <stdio.h>
#include <string.h>

#include "conf/link.h"

const char *weir_listener_conflict(const struct weir_gateway_listener *a,
                                   const struct weir_gateway_listener *b) {
    if (a->port != b->port) {
        return NULL;
    }
    if ((a->protocol == WEIR_LISTENER_HTTP) != (b->protocol == WEIR_LISTENER_HTTP)) {
        return "has the same port, and only one of the two has TLS";
    }
    return strcmp(a->hostname, b->hostname) == 0 ? "has the same port and hostname" : NULL;
}

/* The listener, among those already taken, beside which this one cannot be. */
static int find_conflict(struct weir_link *l, const struct weir_draft *draft, uint32_t index,
                         bool *ret_conflict) {
    const struct weir_snapshot *s = l->s;
    const struct weir_draft_gateway *gateway = (const struct weir_draft_gateway *)draft;
    char field[48];

    for (uint32_t i = 0; i + 1 < s->n_gateways; i++) {
        const struct weir_gateway *other = &s->gateways[i];

        for (uint32_t k = 0; k < other->n_listeners; k++) {
            const char *why =
                weir_listener_conflict(&other->listeners[k], &gateway->listeners[index].value);

            if (why == NULL) {
                continue;
            }
            *ret_conflict = true;
            snprintf(field, sizeof(field), "spec.listeners[%u]", index);
            return weir_link_warn(l, draft, &gateway->listeners[index].place, field,
                                  "%s of the older Gateway %s/%s %s: this one is not served",
                                  other->listeners[k].name, other->meta.namespace_,
                                  other->meta.name, why);
        }
    }
    return 0;
}

/* The certificate of certificateRefs. *ret_found false: the listener cannot be served; it has been warned about. */
static int link_secret(struct weir_link *l, const struct weir_draft *draft, uint32_t index,
                       struct weir_gateway_listener *to, bool *ret_found) {
    const struct weir_draft_listener *listener =
        &((const struct weir_draft_gateway *)draft)->listeners[index];
    const struct weir_draft_ref *ref = listener->certs;
    const char *ns = ref->namespace_[0] != '\0' ? ref->namespace_ : draft->meta.namespace_;
    const struct weir_draft_pem *pem =
        (const struct weir_draft_pem *)weir_link_find(l, "Secret", ns, ref->name);
    const struct weir_reference from = { "Gateway", draft->meta.namespace_, "Secret", ns,
                                         ref->name };
    const char *why = NULL;
    char field[64];

    if (strcmp(ns, draft->meta.namespace_) != 0 && !weir_link_granted(l, &from)) {
        why = "is in another namespace without a ReferenceGrant for it";
    } else if (pem == NULL) {
        why = "is not among the documents";
    } else if (pem->cert[0] == '\0' || pem->key[0] == '\0') {
        why = "does not have tls.crt and tls.key";
    }
    *ret_found = why == NULL;
    if (why != NULL) {
        snprintf(field, sizeof(field), "spec.listeners[%u].tls.certificateRefs[0]", index);
        return weir_link_warn(l, draft, &ref->place, field,
                              "Secret %s/%s %s; the listener is not served", ns, ref->name, why);
    }
    to->cert = pem->cert;
    to->key = pem->key;
    to->secret = weir_arena_printf(&l->s->arena, "%s/%s", ns, ref->name);
    return to->secret != NULL ? 0 : -ENOMEM;
}

static int link_listeners(struct weir_link *l, const struct weir_draft *draft,
                          struct weir_gateway *to) {
    const struct weir_draft_gateway *gateway = (const struct weir_draft_gateway *)draft;
    int r = 0;

    to->n_listeners = 0;
    for (uint32_t i = 0; i < gateway->n_listeners && r == 0; i++) {
        struct weir_gateway_listener *listener = &to->listeners[to->n_listeners];
        bool conflict = false, found = true;

        *listener = gateway->listeners[i].value;
        r = find_conflict(l, draft, i, &conflict);
        if (r == 0 && !conflict && gateway->listeners[i].n_certs > 0) {
            r = link_secret(l, draft, i, listener, &found);
        }
        to->n_listeners += !conflict && found;
    }
    return r;
}

int weir_link_gateways(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    uint32_t n = l->b->drafts[WEIR_KIND_GATEWAY].n;
    int r = 0;

    s->gateways = weir_arena_calloc(&s->arena, n, sizeof(*s->gateways));
    if (n > 0 && s->gateways == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n && r == 0; i++) {
        const struct weir_draft *draft = l->sorted[WEIR_KIND_GATEWAY][i];
        const struct weir_draft_gateway *gateway = (const struct weir_draft_gateway *)draft;
        if (strcmp(gateway->class_name, WEIR_GATEWAY_CLASS) != 0) {
            r = weir_link_warn(l, draft, NULL, "spec.gatewayClassName",
                               "\"%.64s\" is another controller's class; only \"" WEIR_GATEWAY_CLASS
                               "\" is served",
                               gateway->class_name);
            continue;
        }
        s->gateways[s->n_gateways] = gateway->value;
        s->gateways[s->n_gateways].meta = draft->meta;
        s->n_gateways++;
        r = link_listeners(l, draft, &s->gateways[s->n_gateways - 1]);
    }
    return r;
}
