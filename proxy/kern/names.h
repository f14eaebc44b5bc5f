/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses that names are bound to (weir/abi/dns.h), as the agent keeps them: the kernel enters them and makes them
 * last, here goes what has run out and has no socket.
 */
#ifndef WEIR_KERN_NAMES_H
#define WEIR_KERN_NAMES_H

#include "kern/mapset.h"

/* Something bound to an address holds at that time (CLOCK_MONOTONIC): in time, or kept by a socket. */
bool weir_bound_holds(const struct weir_dns_bound_value *bound, uint64_t now_us);
/* Every pattern of it has run out at that time; sockets do not count. */
bool weir_bound_ran_out(const struct weir_dns_bound_value *bound, uint64_t now_us);

/*
 * Before a plan with other patterns is put in force: addresses stay bound for the name that was asked, by the pattern that means it then
 * (weir_bound_carry). An answer that comes in the same instant may be forgotten; the next one is not. 0 or -errno.
 */
int weir_kern_names_carry(struct weir_kern *k, const struct weir_mapset *installed,
                          const struct weir_mapset *desired);

struct weir_names_swept {
    uint32_t addresses; /* left */
    uint32_t kept;      /* of them, only because of a socket */
    uint32_t expired;   /* deleted */
};
/*
 * Deletes what holds no longer, and what is of a pod that is not `wanted`; sets weir_dns_used right. Only after a walk
 * that has seen the sockets of whatever ran out (weir_kern_revoke). 0, -ENOMEM or -errno.
 */
int weir_kern_names_sweep(struct weir_kern *k, bool (*wanted)(void *arg, uint32_t pod), void *arg,
                          uint64_t now_us, struct weir_names_swept *ret_swept);

#endif
