/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `weir proxy` as a process: a control thread (configuration, signals, admin) and one data thread per core. The control thread builds
 * runtimes and offers them; the data threads never wait for it.
 */
#ifndef WEIR_CORE_PROCESS_H
#define WEIR_CORE_PROCESS_H

#include "conf/snapshot.h"

struct weir_process_params {
    const char *const *config; /* files, directories or "-"; none = flags only */
    unsigned n_config;
    /* Lays the command line's flags over what the documents say; called for each load, before anything uses it. */
    void (*overlay)(struct weir_snapshot *snapshot, void *arg);
    void *arg;
    /* The worker of a tenant: everything comes by way of control_fd (core/tenant.h). NULL = none. */
    const char *tenant; /* "namespace/account" */
    int control_fd;
    /* The sidecar of a pod: everything comes from the agent at this ADDR:PORT (core/door.h). NULL = none. */
    const char *agent;
    bool own_identity; /* whose identity comes from elsewhere all the same */
    /* The unix socket of a SPIFFE Workload API that gives the identity in the mesh. NULL = none. */
    const char *workload_api;
};

/* Runs until SIGTERM or SIGINT and the drain that follows. The exit code: 0, 1 = could not start (said on stderr). */
int weir_process_run(const struct weir_process_params *params);

#endif
