/* SPDX-License-Identifier: Apache-2.0 */
/* What the decoders of HTTPRoute and GRPCRoute share: references, filters, name and path checks. */
#ifndef WEIR_CONF_DECODE_ROUTE_H
#define WEIR_CONF_DECODE_ROUTE_H

#include "conf/build.h"

struct weir_object_ref { /* parentRef and backendRef */
    const char *group, *kind;
    union {
        struct weir_parent_ref parent;
        struct weir_backend_ref backend;
    };
};

/* One element of `filters` into a struct weir_filter. */
int weir_decode_http_filter(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_grpc_filter(struct weir_dec *d, const struct weir_node *n, void *out);
/* sessionPersistence, into a struct weir_session *. */
int weir_decode_session(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_cors(struct weir_dec *d, const struct weir_node *n, void *out);
/* The filters of one list together: what may not stand twice or beside another. n: their owner. */
int weir_check_filters(struct weir_dec *d, const struct weir_node *n,
                       const struct weir_filter *filters, uint32_t n_filters);
bool weir_has_filter(const struct weir_filter *filters, uint32_t n, enum weir_filter_type type);

/* One element of `backendRefs`, by the table of its kind, into a struct weir_backend_ref. */
int weir_decode_backend_ref(struct weir_dec *d, const struct weir_node *n,
                            const struct weir_object *object, struct weir_backend_ref *out);
/* One element of `parentRefs` into a struct weir_parent_ref. */
int weir_decode_parent_ref(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_ref_namespace(struct weir_dec *d, const struct weir_node *n, void *out);
/* A host name a route may list, into a const char *. */
int weir_decode_route_host(struct weir_dec *d, const struct weir_node *n, void *out);

int weir_decode_route_weight(struct weir_dec *d, const struct weir_node *n, void *out);
/* Of all rules below a route's spec: each name stands once, and is one. */
int weir_check_rule_names(struct weir_dec *d, const struct weir_node *spec,
                          const struct weir_route_rule *rules, uint32_t n);
/* The one match of a rule that lists none. */
int weir_default_match(struct weir_dec *d, struct weir_route_rule *rule);
int weir_check_regex(struct weir_dec *d, const struct weir_node *n, const char *pattern);
/* One element of a list of header matches, by the table of its kind, into a struct weir_named_match. */
int weir_decode_named_match(struct weir_dec *d, const struct weir_node *n,
                            const struct weir_object *object, struct weir_named_match *out);
struct weir_typed_match { /* HTTPPathMatch, HTTPHeaderMatch, HTTPQueryParamMatch, GRPCHeaderMatch */
    unsigned type;
    const char *name, *value;
};
int weir_decode_match_type(struct weir_dec *d, const struct weir_node *n, void *out);

/* Why no normalised request could have this path; NULL = it could. */
const char *weir_path_fault(const char *path);

/* RoutePolicy: linking settles the rules it is for. */
struct weir_draft_route_policy {
    struct weir_draft head;
    struct weir_policy_target *targets;
    uint32_t n_targets;
    struct weir_route_policy value;
};

/* ReferenceGrant: only needed while backends are linked. */
struct weir_grant_from {
    const char *group, *kind, *namespace_;
};
struct weir_grant_to {
    const char *group, *kind, *name; /* name "" = every object of the kind */
};
struct weir_draft_grant {
    struct weir_draft head;
    struct weir_grant_from *from;
    struct weir_grant_to *to;
    uint32_t n_from, n_to;
};

#endif
