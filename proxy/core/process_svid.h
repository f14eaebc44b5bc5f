/* SPDX-License-Identifier: Apache-2.0 */
/* The process's identity in the mesh, from files or asked for. Shared by process.c and reload.c, and by who has a way to ask. */
#ifndef WEIR_CORE_PROCESS_SVID_H
#define WEIR_CORE_PROCESS_SVID_H

#include "core/runtime.h"
#include "core/svid.h"
#include "io/events.h"

struct weir_process;

struct weir_process_svid {
    struct weir_svid *svid; /* NULL = none is asked for */
    int (*ask)(void *arg, struct weir_slice csr);
    void *arg;
    struct weir_event *on_second;
};

/*
 * From now on the mesh identity is asked for by way of `ask` (struct weir_svid_ops); what comes back is told
 * to p->identity.svid. NULL: it is given instead, key and all (core/process_workload.h). Once; 0, -ENOMEM.
 */
int weir_process_svid_new(struct weir_process *p, int (*ask)(void *arg, struct weir_slice csr),
                          void *arg);
/* Its clock, when the loop is there; 0, -errno. */
int weir_process_svid_open(struct weir_process *p);
void weir_process_svid_close(struct weir_process *p);
/* A member of the status, with a comma behind it; "" = none is asked for. */
void weir_process_svid_status(const struct weir_process *p, char *buf, size_t size);
/* Runs the loop until the first SVID is held, a few seconds at most. */
void weir_process_svid_await(struct weir_process *p);
/* Makes the contexts of the mesh, if there is an identity. 0, -errno, 1 = refused, and said. */
int weir_process_mesh(const struct weir_process *p, const struct weir_snapshot *s,
                      struct weir_tls_set *set);

#endif
