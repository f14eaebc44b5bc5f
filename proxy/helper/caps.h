/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up privileges for good. */
#ifndef WEIR_HELPER_CAPS_H
#define WEIR_HELPER_CAPS_H

#include <stdbool.h>
#include <stdint.h>

/* What the agent keeps after start-up: BPF, NET_ADMIN, PERFMON. */
uint64_t weir_caps_agent(void);
/*
 * What the helper keeps: SYS_ADMIN to enter namespaces, SYS_PTRACE to find them by process, SETUID
 * and SETGID to be nobody inside of a pod, KILL to end what hangs there; with diag NET_ADMIN too,
 * because inet_diag asks it of the one who made the socket.
 */
uint64_t weir_caps_helper(bool diag);
/*
 * Keeps at most the capabilities of the mask that the process has now, empties the inheritable,
 * ambient and bounding sets of all others and forbids gaining any by exec. 0 or -errno.
 */
int weir_caps_keep(uint64_t mask);

#endif
