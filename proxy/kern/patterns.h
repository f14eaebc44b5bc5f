/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of names ("api.example.com", "*.example.com") as weir_dns_pattern has them, and what a change of a pod's patterns leaves of the
 * addresses that were bound by the old ones. Pure.
 */
#ifndef WEIR_KERN_PATTERNS_H
#define WEIR_KERN_PATTERNS_H

#include "kern/mapset.h"

/* text: as an EgressPolicy has it, at most WEIR_DNS_NAME_BYTES - 1 bytes without a star. */
struct weir_dns_pattern_key weir_pattern_key(uint32_t pod, const char *text);
/* The narrowest pattern of the pod that means this name; 0 = none. As the kernel finds it. */
uint32_t weir_pattern_of(const struct weir_mapset *set, uint32_t pod, const char *name);
/* Has a pod's name another meaning in `desired` than in `installed`? */
bool weir_patterns_differ(const struct weir_mapset *installed, const struct weir_mapset *desired);
/*
 * An address bound for `asked` under a pattern of `installed` is bound, for as long, to the pattern that means it in `desired`; what it was
 * bound to stays until its time is over. What an earlier change left bound to a pattern that is gone goes. True: *v is changed.
 */
bool weir_bound_carry(struct weir_dns_bound_value *v, uint32_t pod,
                      const struct weir_mapset *installed, const struct weir_mapset *desired);

#endif
