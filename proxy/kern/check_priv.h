/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind weir_kern_check share. */
#ifndef WEIR_KERN_CHECK_PRIV_H
#define WEIR_KERN_CHECK_PRIV_H

#include "kern/kern.h"

struct weir_check_report {
    weir_kern_check_fn *fn;
    void *arg;
};

/* One line; fix is left out when all is well. */
void weir_check_say(const struct weir_check_report *r, enum weir_check_state state,
                    const char *what, const char *found, const char *fix);
/* check_peers.c */
void weir_check_order(const struct weir_check_report *r, const char *cgroup);
void weir_check_sockmaps(const struct weir_check_report *r);
/* check_uprobes.c: what applications hand to OpenSSL, a probe tried. */
void weir_check_uprobes(const struct weir_check_report *r);
/* check_tls.c: kernel TLS, tried. */
void weir_check_tls(const struct weir_check_report *r);
/* check_host.c: capabilities of agent and helper, system calls, what the kernel may lack. */
void weir_check_capabilities(const struct weir_check_report *r);
void weir_check_calls(const struct weir_check_report *r);
void weir_check_fallbacks(const struct weir_check_report *r);

#endif
