/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoints of a Service a caller may use, and which it should use first: internalTrafficPolicy and trafficDistribution. Pure. */
#ifndef WEIR_CONF_DISTANCE_H
#define WEIR_CONF_DISTANCE_H

#include "conf/snapshot.h"

struct weir_locality {
    const char *node; /* "" = not known */
    const char *zone; /* "" = not known */
};

/* `node` and `zone` as stated; a zone that is not is that of the endpoints on the same node. */
struct weir_locality weir_locality_of(const struct weir_snapshot *s, const char *node,
                                      const char *zone);

enum weir_distance {
    WEIR_DISTANCE_NEAR, /* first */
    WEIR_DISTANCE_FAR, /* when none of those takes calls; all are far where the Service has no preference */
    WEIR_DISTANCE_OUT, /* never: the Service is for callers on the endpoint's own node */
};
enum weir_distance weir_endpoint_distance(const struct weir_service *service,
                                          const struct weir_endpoint *endpoint,
                                          const struct weir_locality *here);

/*
 * Which of a Service's endpoints take calls: those that are ready; if none is, those that still serve while they terminate (as kube-proxy).
 * `terminating` says that it has come to that.
 */
bool weir_endpoint_takes_part(const struct weir_endpoint *endpoint, bool terminating);

#endif
