/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of rbac.c: does one rule match? */
#ifndef WEIR_ROUTE_RBAC_MATCH_H
#define WEIR_ROUTE_RBAC_MATCH_H

#include "route/rbac.h"

struct weir_rbac_who {
    bool known;
    struct weir_slice domain, ns, account;
};

struct weir_rbac_asking {
    const struct weir_rbac_flow *flow;
    const struct weir_head *head; /* NULL = no HTTP */
    struct weir_rbac_who proven;  /* by mTLS */
    struct weir_rbac_who claimed; /* proven, else by the source address */
    enum weir_authz_action action;
};
bool weir_rbac_rule_matches(const struct weir_authz_rule *rule, const struct weir_rbac_asking *a);

#endif
