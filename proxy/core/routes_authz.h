/* SPDX-License-Identifier: Apache-2.0 */
/* What AuthorizationPolicies say of a request that is only asked about; used by routes.c alone. */
#ifndef WEIR_CORE_ROUTES_AUTHZ_H
#define WEIR_CORE_ROUTES_AUTHZ_H

#include "conf/snapshot.h"
#include "http/head.h"
#include "obs/json.h"

struct weir_routes_authz {
    const struct weir_snapshot *snapshot;
    const struct weir_pod *client;      /* NULL = nobody in the mesh */
    const struct weir_head *head;       /* as it is forwarded: the path normalised */
    const struct weir_gateway *gateway; /* it comes to a listener of; NULL = it does not */
    uint16_t gateway_port;
    const struct weir_route_rule *rule; /* chosen; NULL = none */
    const struct weir_service_port
        *port; /* whose endpoints get it when no rule says otherwise; NULL = none */
};
/*
 * The list `authorization`: the Gateway and the first 16 meshed pods the request may be sent to, as far as any policy is for them. The client's identity counts as
 * proven where both ends are meshed. 0, -ENOMEM.
 */
int weir_routes_put_authz(struct weir_json *j, const struct weir_routes_authz *q);

#endif
