/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maglev's lookup table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, 3.4), by weight. Pure.
 */
#ifndef WEIR_KERN_MAGLEV_H
#define WEIR_KERN_MAGLEV_H

#include <stdint.h>

#include "weir/abi/maps.h"

/*
 * Endpoints 0..n-1 share the slots in proportion to their weights; which slots are whose depends on the endpoints' addresses alone, so the same
 * set gives the same table everywhere and few slots change hands when one comes or goes. weights NULL = all equal; none may be 0. n from 1 to 65535;
 * beyond WEIR_MAGLEV_SLOTS some get none. 0, -ENOMEM.
 */
int weir_maglev_fill(const struct weir_ep_value *endpoints, const uint32_t *weights, uint32_t n,
                     struct weir_maglev_value *ret_table);

#endif
