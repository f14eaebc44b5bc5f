/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which routes are attached where: an index from parents to the routes that name them, so that the table of one Service port or
 * Gateway listener is compiled without looking at the routes of all others.
 */
#ifndef WEIR_ROUTE_ATTACH_H
#define WEIR_ROUTE_ATTACH_H

#include "route/route.h"

struct weir_attachments;

/* Borrows from the snapshot. 0, -ENOMEM. */
int weir_attachments_new(const struct weir_snapshot *s, struct weir_attachments **ret_attachments);
/* Takes NULL; returns NULL. */
struct weir_attachments *weir_attachments_free(struct weir_attachments *a);

/* What routes attach to. */
struct weir_attach {
    enum weir_parent_kind kind;
    const struct weir_meta *meta;
    const char *section, *hostname; /* of a Gateway's listener; "" for a Service */
    uint16_t port;
    const char *ns; /* only routes of that namespace; NULL = of every one */
};
/* Does one of the route's parentRefs name that place? Of a list that is not in the index (TLSRoutes). */
bool weir_attach_names(const struct weir_http_route *route, const struct weir_attach *at);
/* The table of the routes attached there; NULL for a Service without any. 0, -ENOMEM, -EINVAL. */
int weir_attach_table(const struct weir_attachments *a, const struct weir_attach *at,
                      struct weir_route_table **ret_table);
/*
 * The namespaces but the Service's own whose routes are attached to that Service port, each once: clients there have routes of their
 * own. fn returns nonzero to stop (forwarded). 0, -ENOMEM.
 */
int weir_attach_consumers(const struct weir_attachments *a, const struct weir_attach *at,
                          int (*fn)(void *arg, const char *ns), void *arg);

#endif
