/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a decision, shared by match.c (decides) and explain.c (says why). */
#ifndef WEIR_ROUTE_MATCH_H
#define WEIR_ROUTE_MATCH_H

#include "route/explain.h"
#include "route/table.h"

struct weir_route_request {
    const struct weir_route_table *t;
    const struct weir_head *head;
    struct weir_slice path;
    struct weir_route_parts *parts; /* what is read is noted there; NULL = is not */
};

/* The host that routes are asked for, without port and trailing dot, in lower case; len 0: none, or longer than any hostname. */
struct weir_slice weir_route_host(const struct weir_route_table *t, const struct weir_head *head,
                                  char buf[WEIR_ROUTE_HOST_MAX]);
bool weir_route_listener_admits(const struct weir_route_table *t, struct weir_slice host);
/* The most specific hostname that covers the host; its parents follow. */
uint32_t weir_route_group_of(const struct weir_route_table *t, struct weir_slice host);
/* Why a choice whose hostname and path match does not; *ret_pred (may be NULL): the header or parameter. */
enum weir_route_miss weir_route_choice_miss(const struct weir_route_request *q,
                                            const struct weir_route_choice *c,
                                            const struct weir_route_pred **ret_pred);
/* Adds a name unless it is there. */
void weir_route_note_header(struct weir_route_parts *parts, const struct weir_route_pred *p);
void weir_route_note_query(struct weir_route_parts *parts, const struct weir_route_pred *p);

#endif
