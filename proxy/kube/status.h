/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a route's status says of its Service parents (Gateway API, GEP-1426): Accepted and ResolvedRefs, under weir's own
 * controller name. Entries of other controllers are copied as they are. Pure.
 */
#ifndef WEIR_KUBE_STATUS_H
#define WEIR_KUBE_STATUS_H

#include "kube/store.h"

#define WEIR_KUBE_CONTROLLER "weir.dev/mesh"

/*
 * The merge patch that makes the status what it should be, bound to the version of the route it was made from; json_dumps'
 * memory, free(3). *ret_patch NULL: it is that already. now: RFC 3339, for what changes with it. 0, -ENOMEM.
 */
int weir_kube_status_patch(const struct weir_kube_store *store,
                           const struct weir_kube_object *route, const char *now, char **ret_patch);

#endif
