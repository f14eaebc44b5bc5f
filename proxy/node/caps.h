/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up privileges for good. */
#ifndef WEIR_NODE_CAPS_H
#define WEIR_NODE_CAPS_H

#include <stdint.h>

/*
 * What the agent keeps after start-up: BPF, NET_ADMIN, PERFMON for the programs; SYS_ADMIN and
 * SYS_PTRACE because it still enters pods' network namespaces itself (the privileged helper of
 * decisions.md 1 takes them away).
 */
uint64_t weir_caps_agent(void);
/*
 * Keeps at most the capabilities of the mask that the process has now, empties the inheritable,
 * ambient and bounding sets of all others and forbids gaining any by exec. 0 or -errno.
 */
int weir_caps_keep(uint64_t mask);

#endif
