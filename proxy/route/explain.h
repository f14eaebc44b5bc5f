/* SPDX-License-Identifier: Apache-2.0 */
/* What a decision looked at, and why the rules before it were passed over. For people and for tests: not for the request path. */
#ifndef WEIR_ROUTE_EXPLAIN_H
#define WEIR_ROUTE_EXPLAIN_H

#include "route/route.h"

/*
 * The parts of a request that one decision depended on: whatever else is changed in the request, added to it or taken from it,
 * the decision stays. Names are borrowed from the snapshot, lists lie in the arena. A decision never depends on who asks: where that
 * matters (consumer routes of the mesh), it is another table that is asked.
 */
struct weir_route_parts {
    struct weir_arena *arena;
    bool host; /* the authority */
    bool path;
    bool method;
    bool grpc;                                  /* content-type, as far as it says gRPC */
    const struct weir_slice *headers, *queries; /* names */
    uint32_t n_headers, n_queries;
    bool failed; /* no memory: incomplete */
};
/* As weir_route_decide. *ret_parts.arena is given by the caller. 0, -ENOMEM. */
int weir_route_decide_noting(const struct weir_route_table *t, const struct weir_head *head,
                             struct weir_route_decision *ret_decision,
                             struct weir_route_parts *ret_parts);

enum weir_route_miss {
    WEIR_MISS_NONE, /* it matches */
    WEIR_MISS_LISTENER,
    WEIR_MISS_HOST,
    WEIR_MISS_PATH,
    WEIR_MISS_GRPC, /* no gRPC request */
    WEIR_MISS_RPC,
    WEIR_MISS_METHOD,
    WEIR_MISS_HEADER,
    WEIR_MISS_QUERY,
};

/* One match of one rule under one hostname. */
struct weir_route_verdict {
    const struct weir_http_route *route;
    const struct weir_route_rule *rule;
    const struct weir_route_match *match;
    struct weir_slice host; /* as the table has it: without "*."; len 0 = any */
    bool wildcard;
    enum weir_route_miss miss;
    struct weir_slice name; /* of the header or parameter that does not match */
};
/*
 * Every match of the table in order of precedence, so that the first without a miss is the decision. head: NULL = no request, nothing
 * is compared. fn returns nonzero to stop (forwarded). 0, -ENOMEM.
 */
int weir_route_each(const struct weir_route_table *t, const struct weir_head *head,
                    int (*fn)(void *arg, const struct weir_route_verdict *verdict), void *arg);

#endif
