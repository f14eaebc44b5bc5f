/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request head -> rule and backend. The HTTPRoutes attached to one parent (a Service port for the mesh, a Gateway
 * listener) are compiled once per snapshot into one table; a decision is a pure function of method, authority, path,
 * query and the header fields that some match names (route/explain.h says which parts one decision read). Gateway API
 * precedence. 10,000 routes cost a request as 10 do.
 */
#ifndef WEIR_ROUTE_ROUTE_H
#define WEIR_ROUTE_ROUTE_H

#include "conf/snapshot.h"
#include "http/head.h"

struct weir_route_table;

/* Everything a decision needs; the table borrows from the snapshot, which must outlive it. */
struct weir_route_table_params {
    const struct weir_snapshot *snapshot;
    const struct weir_http_route *const
        *routes; /* those attached to this parent, in snapshot order */
    uint32_t n_routes;
    const char *listener_hostname; /* Gateway listener's hostname; "" = any */
};
/* 0, -ENOMEM, -EINVAL (a regular expression that does not compile; check finds it before). */
int weir_route_table_new(const struct weir_route_table_params *params,
                         struct weir_route_table **ret_table);
/* Takes NULL; returns NULL. */
struct weir_route_table *weir_route_table_free(struct weir_route_table *t);
/* Nothing attached: the parent Service's own endpoints are the default backend. */
bool weir_route_table_empty(const struct weir_route_table *t);

struct weir_route_decision {
    const struct weir_http_route *route;
    const struct weir_route_rule *rule;
    const struct weir_route_match *match;
};
/* NULL rule in the decision = no route matches (404). */
void weir_route_decide(const struct weir_route_table *t, const struct weir_head *head,
                       struct weir_route_decision *ret_decision);
/*
 * Weighted choice among a rule's backends by a random number. NULL = no backend can be chosen (all weights 0, or none
 * listed): 500. A chosen backend whose service is NULL does not exist: 500 as well.
 */
const struct weir_backend_ref *weir_route_backend(const struct weir_route_rule *rule,
                                                  uint64_t random);
/* Applies the list's header modifiers of that kind to the head. 0, -ENOMEM. */
int weir_route_modify(const struct weir_filter *filters, uint32_t n, enum weir_filter_type type,
                      struct weir_head *head);
/* The first filter of that type, or NULL. */
const struct weir_filter *weir_route_filter(const struct weir_filter *filters, uint32_t n,
                                            enum weir_filter_type type);
/* URLRewrite: changes authority and target of the head, whose path the match chose. 0, -ENOMEM. */
int weir_route_rewrite(const struct weir_rewrite *rw, const struct weir_route_match *match,
                       struct weir_head *head);
/* How the request came in, for a Location. */
struct weir_route_origin {
    bool tls;
    uint16_t port; /* of the listener, or of the Service */
};
/* RequestRedirect: the Location, in the head's arena. 0, -ENOMEM, 1 = the request names no host. */
int weir_route_location(const struct weir_rewrite *rw, const struct weir_route_match *match,
                        const struct weir_head *head, const struct weir_route_origin *from,
                        struct weir_slice *ret_location);

/* CORS (Fetch 3.2). Is this a preflight request, which the filter answers itself? */
bool weir_cors_is_preflight(const struct weir_head *head);
/* The fields the filter adds to an answer: to a preflight's, or to any other. 0, -ENOMEM. */
int weir_cors_preflight(const struct weir_cors *cors, const struct weir_head *req,
                        struct weir_head *res);
/* `origin`: of the request; empty = it had none. */
int weir_cors_response(const struct weir_cors *cors, struct weir_slice origin,
                       struct weir_head *res);

/*
 * Canonical path for matching and forwarding: dot segments and empty segments resolved, %XX of unreserved characters
 * decoded. *ret_path is `path` itself when nothing changes, else in the arena. 0, -ENOMEM, or 1 = refuse (%2f, %5c,
 * %00, malformed %, '\', above root).
 */
int weir_path_normalize(struct weir_arena *arena, struct weir_slice path,
                        struct weir_slice *ret_path);
/* The same for the path of a request's target; a target that is no path stays. 0, -ENOMEM, or 1 = refuse. */
int weir_path_normalize_target(struct weir_head *head);
/* host[:port] of an authority: host in lower case in the arena, port 0 if none. 0, -ENOMEM, 1 = malformed. */
int weir_authority_parse(struct weir_arena *arena, struct weir_slice authority,
                         struct weir_slice *ret_host, uint16_t *ret_port);

#endif
