/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP in what applications hand to OpenSSL (docs/adr/0018): probes on a libssl, by file, for whichever
 * process runs it; the programs look only into pods that are marked (WEIR_POD_HTTP). Nothing is pinned: the probes end with the agent.
 */
#ifndef WEIR_KERN_TLS_H
#define WEIR_KERN_TLS_H

#include <sys/types.h>

#include "kern/kern.h"

struct weir_tls_probe;

/* Why this kernel cannot, or NULL. */
const char *weir_kern_tls_possible(void);
#define WEIR_TLS_LIBRARY "libssl.so"
/*
 * On the calls of OpenSSL in an open library (weir_helper_code), borrowed, that the process runs; the helper makes the probes. 0; -ENOENT: it
 * has no SSL_read and SSL_write by that name; -EMEDIUMTYPE: as weir_code_open; -EOPNOTSUPP: not on this kernel; -errno.
 */
int weir_kern_tls_attach(struct weir_kern *k, pid_t pid, int fd, struct weir_tls_probe **ret_probe);
/* Takes NULL; returns NULL. */
struct weir_tls_probe *weir_tls_probe_free(struct weir_tls_probe *probe);
/* The program that finds out whose socket it is, which sees every read of a TCP socket: while there are probes. 0 or -errno. */
int weir_kern_tls_sockets(struct weir_kern *k, bool on);

#endif
