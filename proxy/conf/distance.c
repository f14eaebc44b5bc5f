/* SPDX-License-Identifier: Apache-2.0 */
/* Places compared by name; what is not known is no place. */
#include "conf/distance.h"

#include <string.h>

static bool same(const char *a, const char *b) {
    return a != NULL && b != NULL && a[0] != '\0' && strcmp(a, b) == 0;
}

static const char *node_of(const struct weir_endpoint *e) {
    if (e->node != NULL && e->node[0] != '\0') {
        return e->node;
    }
    return e->pod != NULL ? e->pod->node : "";
}

struct weir_locality weir_locality_of(const struct weir_snapshot *s, const char *node,
                                      const char *zone) {
    struct weir_locality here = { .node = node, .zone = zone };

    for (uint32_t i = 0; here.zone[0] == '\0' && node[0] != '\0' && i < s->n_services; i++) {
        for (uint32_t k = 0; k < s->services[i].n_ports; k++) {
            const struct weir_service_port *port = &s->services[i].ports[k];

            for (uint32_t n = 0; n < port->n_endpoints; n++) {
                const struct weir_endpoint *e = &port->endpoints[n];
                if (same(node_of(e), node) && e->zone != NULL && e->zone[0] != '\0') {
                    here.zone = e->zone;
                    return here;
                }
            }
        }
    }
    return here;
}

enum weir_distance weir_endpoint_distance(const struct weir_service *service,
                                          const struct weir_endpoint *endpoint,
                                          const struct weir_locality *here) {
    bool same_node = same(node_of(endpoint), here->node);

    if (service->local_only && !same_node) {
        return WEIR_DISTANCE_OUT;
    }
    if (service->near == WEIR_NEAR_NODE && same_node) {
        return WEIR_DISTANCE_NEAR;
    }
    if (service->near == WEIR_NEAR_ZONE && same(endpoint->zone, here->zone)) {
        return WEIR_DISTANCE_NEAR;
    }
    return WEIR_DISTANCE_FAR;
}

bool weir_endpoint_takes_part(const struct weir_endpoint *endpoint, bool terminating) {
    if (endpoint->weight == 0) {
        return false;
    }
    return terminating ? endpoint->serving && endpoint->terminating : endpoint->ready;
}
