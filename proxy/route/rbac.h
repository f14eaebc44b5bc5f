/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AuthorizationPolicy decided where the certificate and the HTTP request are known: at a server's sidecar and at a gateway. Istio's order:
 * a DENY that matches denies; without an ALLOW policy in force all is allowed; else an ALLOW has to match. Pure.
 *
 * An identity that is not proven by mTLS but known by the source address (the kernel's identity) counts against the caller
 * and never for it: a DENY by principal cannot be escaped by leaving TLS out. Namespaces are believed by address, as NetworkPolicy does.
 */
#ifndef WEIR_ROUTE_RBAC_H
#define WEIR_ROUTE_RBAC_H

#include "conf/snapshot.h"
#include "http/head.h"

struct weir_rbac;

/* What is protected: a local pod, a Gateway, or a Gateway that runs in a pod. */
struct weir_rbac_place {
    const struct weir_snapshot *snapshot; /* borrowed for the table's life */
    const struct weir_pod *pod;           /* NULL = none */
    const struct weir_gateway *gateway;   /* NULL = none: the pod's inbound side */
};
/* *ret_rbac NULL: no policy applies there. 0 or -ENOMEM. */
int weir_rbac_new(const struct weir_rbac_place *place, struct weir_rbac **ret_rbac);
/* Takes NULL; returns NULL. */
struct weir_rbac *weir_rbac_free(struct weir_rbac *rbac);

struct weir_rbac_flow {
    struct weir_ip source;                 /* who is connected */
    struct weir_ip client;                 /* whom a PROXY header names; else the same */
    struct weir_ip destination;            /* the local address */
    uint16_t port;                         /* and port */
    bool proven;                           /* the identity comes from mTLS */
    struct weir_slice domain, ns, account; /* of the SPIFFE id, when proven */
    const char *sni;                       /* NULL = none */
};

/* Names are "namespace/name", borrowed from the table; "" = none. */
struct weir_rbac_answer {
    bool allowed;
    const char *
        policy; /* that allowed or denied; for "no ALLOW matched", one of those that asked for it */
    const char *would_deny; /* allowed, but not if this policy were not in audit mode */
    const char *noted;      /* a policy with action AUDIT that matched */
};
/*
 * head NULL: no HTTP. As Istio does: an ALLOW rule with HTTP parts does not match then, a DENY rule is
 * judged by its other parts. The head's path has been normalised.
 */
void weir_rbac_decide(const struct weir_rbac *rbac, const struct weir_rbac_flow *flow,
                      const struct weir_head *head, struct weir_rbac_answer *ret_answer);

#endif
