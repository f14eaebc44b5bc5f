/* SPDX-License-Identifier: Apache-2.0 */
/* Joining of sockets (docs/adr/0008, 0019): what this kernel can, and how much is joined. */
#ifndef WEIR_KERN_JOIN_H
#define WEIR_KERN_JOIN_H

#include "kern/kern.h"

/*
 * Joining sockets on this very kernel, tried over loopback with the programs themselves in a cgroup
 * made below `cgroup` (absolute path; NULL = below the cgroup2 mount) and removed again: order,
 * bound, FIONREAD, edges of epoll, half-close. Takes a few hundred milliseconds, in a child. What
 * fails is in ret_report, never in the result: joining stays off then. 0 or -errno.
 */
#define WEIR_JOIN_WHY_BYTES 192u
struct weir_join_report {
    bool readers; /* a declared application may be handed bytes, by its sidecar and by others */
    bool writers; /* any application may be joined towards its sidecar, declared or not */
    char why_readers[WEIR_JOIN_WHY_BYTES]; /* not: what is missing or went wrong */
    char why_writers[WEIR_JOIN_WHY_BYTES];
};
static inline bool weir_join_passed(const struct weir_join_report *report) {
    return report->readers || report->writers;
}
int weir_kern_join_test(const char *cgroup, struct weir_join_report *ret_report);
/* What is joined now, and unread. All zero where the kernel cannot join. 0 or -errno. */
int weir_kern_join_look(struct weir_kern *k, struct weir_join_look *ret_look);

#endif
