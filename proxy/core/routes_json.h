/* SPDX-License-Identifier: Apache-2.0 */
/* How routes and their parts are written; shared by routes.c and routes_json.c only. */
#ifndef WEIR_CORE_ROUTES_JSON_H
#define WEIR_CORE_ROUTES_JSON_H

#include "obs/json.h"
#include "route/explain.h"

/* Members of an open object: which route, rule and match it is, and what it matches. */
void weir_routes_put_verdict(struct weir_json *j, const struct weir_route_verdict *v);
/* What the rule does with a request: backends, filters, times. */
void weir_routes_put_outcome(struct weir_json *j, const struct weir_route_rule *rule);
/* An object of the list `passed`: with why it did not match. */
void weir_routes_put_passed(struct weir_json *j, const struct weir_route_verdict *v,
                            const struct weir_head *head);
/* The object `read`. */
void weir_routes_put_parts(struct weir_json *j, const struct weir_route_parts *parts);
/* What one decision read besides another. 0, -ENOMEM. */
int weir_routes_join_parts(struct weir_route_parts *all, const struct weir_route_parts *more);
/* In a word, what a client gets. */
const char *weir_routes_answer(const struct weir_route_rule *rule);

#endif
