/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of linking, in the order weir_build_link runs them. Each: 0 or -ENOMEM. */
#ifndef WEIR_CONF_LINK_H
#define WEIR_CONF_LINK_H

#include "conf/build.h"
#include "conf/index.h"

struct weir_link {
    struct weir_build *b;
    struct weir_snapshot *s;
    struct weir_draft **sorted[WEIR_KINDS]; /* same order as the snapshot's arrays */
    uint32_t n_endpoints;                   /* of all services so far */
    struct weir_htab
        targets; /* what policies were attached to: "Policy Kind/namespace/name/section" */
};

/* At the draft's, or the given, place. */
int weir_link_warn(struct weir_link *l, const struct weir_draft *draft,
                   const struct weir_place *place, const char *field, const char *fmt, ...)
    WEIR_PRINTF(5, 6);
/* The draft of that kind and name; NULL = not among the documents. */
struct weir_draft *weir_link_find(struct weir_link *l, const char *kind, const char *ns,
                                  const char *name);

/* Gateway API precedence, of two struct weir_draft *: the oldest first, then by namespace and name. */
int weir_link_compare_age(const void *a, const void *b);
/* Namespaces, those implied by other objects included. */
int weir_link_namespaces(struct weir_link *l);
int weir_link_pods(struct weir_link *l);
/* Services with the endpoints of their slices, or of the pods they select. */
int weir_link_services(struct weir_link *l);
int weir_link_endpoints(struct weir_link *l);
int weir_link_gateways(struct weir_link *l);
/* Why two listeners cannot both be served; NULL = they can. */
const char *weir_listener_conflict(const struct weir_gateway_listener *a,
                                   const struct weir_gateway_listener *b);
/* A reference from one namespace into another. */
struct weir_reference {
    const char *from_kind, *from_namespace; /* of gateway.networking.k8s.io */
    const char *kind, *namespace_, *name;   /* of the core group */
};
/* Does a ReferenceGrant of the namespace that is referred to allow it? */
bool weir_link_granted(const struct weir_link *l, const struct weir_reference *ref);
/* BackendTLSPolicies to the Service ports they are for, after the services. */
int weir_link_backend_tls(struct weir_link *l);
/* BackendPolicies to the Service ports they are for. */
int weir_link_backend_policies(struct weir_link *l);
/* Parents and backends; marks the service ports that a route makes L7. */
int weir_link_routes(struct weir_link *l);
/* What RoutePolicies say of rules, after the routes. */
int weir_link_route_policies(struct weir_link *l);

#endif
