/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted choice among the backends of a rule. A backend that does not exist keeps its share: that
 * share gets 500. */
#include "route/route.h"

const struct weir_backend_ref *weir_route_backend(const struct weir_route_rule *rule,
                                                  uint64_t random) {
    uint64_t total = 0, point;

    for (uint32_t i = 0; i < rule->n_backends; i++)
        total += rule->backends[i].weight;
    if (total == 0)
        return NULL;
    /* Multiply and shift: unlike %, no low bits of the generator, and no bias one could measure. */
    point = (uint64_t)(((unsigned __int128)random * total) >> 64);
    for (uint32_t i = 0; i < rule->n_backends; i++) {
        if (point < rule->backends[i].weight)
            return &rule->backends[i];
        point -= rule->backends[i].weight;
    }
    return NULL;
}
