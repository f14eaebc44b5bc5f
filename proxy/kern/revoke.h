/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that exist, asked again: every socket of a network namespace that belongs to a pod is
 * put to the kernel's decision over the maps as they are now, and what is no longer allowed is reset.
 */
#ifndef WEIR_KERN_REVOKE_H
#define WEIR_KERN_REVOKE_H

#include "kern/kern.h"
#include "weir/abi/revoke.h"

struct weir_revoke_params {
    int netns_fd;
    bool by_diag; /* as on a kernel without bpf_sock_destroy */
    /*
     * Is the endpoint of this flow, picked for a service, one no longer? NULL: not asked. The event
     * says service, original and remote.
     */
    bool (*gone)(void *arg, const struct weir_event *event);
    /* One connection that was reset (kind WEIR_EVENT_REVOKE). */
    void (*reset)(void *arg, const struct weir_event *event);
    /* Called now and then while records are read: the rings fill with what closes. May be NULL. */
    void (*breathe)(void *arg);
    void *arg;
};

struct weir_revoked {
    uint64_t checked, killed, kept;
    uint64_t failed; /* still there although they should not be */
};

/* Adds to *ret. 0 or -errno, then *ret holds what was done until then. */
int weir_kern_revoke(struct weir_kern *k, const struct weir_revoke_params *params,
                     struct weir_revoked *ret);

/* bpf_sock_destroy is there: since 6.5. Without it inet_diag resets. */
bool weir_kernel_destroys(void);
/*
 * How this machine resets connections: "bpf_sock_destroy", "inet_diag", or NULL and it cannot.
 * Asks the kernel.
 */
const char *weir_revoke_way(void);

#endif
