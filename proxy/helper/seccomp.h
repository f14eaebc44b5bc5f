/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls a process may still make: a list for each, everything else is EPERM, for good
 * and for all children. no_new_privs must be set. 0 or -errno.
 */
#ifndef WEIR_HELPER_SECCOMP_H
#define WEIR_HELPER_SECCOMP_H

/* The helper: its deeds and no more; setns for network namespaces only, bpf to look at a link and to
 * make an iterator, no memory that is both new and executable but mapped files, exec of a descriptor only. */
int weir_seccomp_helper(void);
/* A tenant's worker: connections, threads, files that are open; no exec, no namespaces, no change of identity, no bpf. */
int weir_seccomp_worker(void);
/* The agent: files, sockets, its loop, bpf and perf events; no exec, ptrace, mount, namespaces,
 * modules, or change of identity. */
int weir_seccomp_agent(void);

#endif
