/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of a compiled route table, shared by table.c (builds) and match.c (asks).
 *
 *   groups   one per distinct hostname. `parent` is the next less specific hostname that covers it,
 * down to "any host". nodes    one per distinct (group, exact path) and (group, prefix), found
 * through `paths`. A prefix node's `parent` is the next shorter prefix of the same group. patterns
 * one per distinct (group, regular expression), longest first. choices  one per (hostname, match),
 * those of a node or pattern side by side and in order of precedence.
 */
#ifndef WEIR_ROUTE_TABLE_H
#define WEIR_ROUTE_TABLE_H

#include "route/index.h"
#include "route/regex.h"
#include "route/route.h"

#define WEIR_ROUTE_HOST_MAX 255

enum { WEIR_HOST_ANY, WEIR_HOST_WILD, WEIR_HOST_EXACT };

struct weir_route_group {
    uint32_t parent; /* WEIR_INDEX_NONE for "any host" */
    uint32_t root;   /* node of the prefix "/", or NONE */
    uint32_t first_pattern, n_patterns;
    size_t max_exact, max_prefix; /* longest text in bytes; longer requests need no lookup */
    uint64_t
        prefix_lengths; /* weir_length_bit of every prefix: what is not there needs no lookup either */
    bool has_exact;
};

struct weir_route_pred {
    struct weir_slice name, value;
    const struct weir_regex *regex; /* NULL = exact */
    uint8_t field;                  /* enum weir_field_id of a header */
};

struct weir_route_choice {
    const struct weir_http_route *route;
    const struct weir_route_rule *rule;
    const struct weir_route_match *match;
    const struct weir_route_pred *preds; /* headers, then queries */
    uint32_t n_headers, n_queries;
    bool plain; /* hostname and path are all it asks for */
    bool any_method;
    bool grpc;             /* for gRPC requests only */
    struct weir_slice rpc; /* the path's last element; len 0 = any */
    uint8_t method;        /* enum weir_method */
    struct weir_slice method_name;
};

struct weir_route_node {
    uint32_t parent;
    uint32_t first, n; /* choices */
};

struct weir_route_pattern {
    const struct weir_regex *regex;
    uint32_t first, n;
};

struct weir_route_table {
    struct weir_arena arena;
    struct weir_regex_set *regexes; /* NULL = none used */
    struct weir_slice listener;     /* lower case, without "*." */
    uint8_t listener_kind;          /* WEIR_HOST_* */
    bool empty;
    struct weir_index hosts, paths;
    uint64_t wild_lengths;           /* weir_length_bit of every wildcard's suffix */
    struct weir_route_group *groups; /* [0] is "any host" */
    struct weir_route_node *nodes;
    struct weir_route_pattern *patterns;
    struct weir_route_choice *choices;
    uint32_t n_groups, n_nodes, n_patterns, n_choices;
};

static inline uint64_t weir_length_bit(size_t length) {
    return 1ULL << (length < 63 ? length : 63);
}

/* Spaces of `paths`. */
static inline uint32_t weir_route_space(uint32_t group, bool prefix) {
    return group * 2 + prefix;
}

#endif
