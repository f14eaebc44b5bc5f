/* SPDX-License-Identifier: Apache-2.0 */
/* Building a runtime: shared by runtime.c and gateway.c only. */
#ifndef WEIR_CORE_RUNTIME_BUILD_H
#define WEIR_CORE_RUNTIME_BUILD_H

#include "core/runtime.h"
#include "route/attach.h"

/* gateway.c: the listeners of all Gateways, by port. 0, -ENOMEM, 1 = cannot be put in force, *ret_why says it. */
int weir_runtime_gateways(struct weir_runtime *rt, const struct weir_runtime_params *params,
                          char **ret_why);

/* backend_tls.c: TLS to the endpoints of a Service's port as its BackendTLSPolicy says, if it has one. As above. */
int weir_runtime_backend_tls(struct weir_runtime *rt, const struct weir_runtime_params *params,
                             const struct weir_service_port *port, struct weir_cluster *c,
                             char **ret_why);

#endif
