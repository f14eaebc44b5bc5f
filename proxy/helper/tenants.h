/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the helper: what it keeps of tenants (tenants.c), for who hands it over (succession.c). */
#ifndef WEIR_HELPER_TENANTS_H
#define WEIR_HELPER_TENANTS_H

#include "helper/serve_internal.h"

#define WEIR_HELPER_WORKERS  4u /* of one tenant: one serves, others finish */
#define WEIR_HELPER_KEPT_FDS 2

struct weir_helper_worker {
    pid_t pid; /* 0 = none */
    int control_fd;
    int pidfd; /* of a child of the helper before this one; -1: our own */
};

struct weir_helper_tenant {
    struct weir_list link;
    char *name;
    uint32_t uid;
    int fd; /* its directory */
    uint32_t limits;
    struct weir_helper_worker workers[WEIR_HELPER_WORKERS]; /* the newest first */
};

/* Listeners of one cgroup and port. */
struct weir_helper_kept {
    struct weir_list link;
    uint64_t cgroup;
    uint32_t port;
    int fds[WEIR_HELPER_KEPT_FDS];
    unsigned n;
};

/* Is it "namespace/account"? */
bool weir_helper_is_tenant(const char *name);
/* By name, or by uid when name is NULL. */
struct weir_helper_tenant *weir_helper_tenant_find(struct weir_helper_server *s, const char *name,
                                                   uint32_t uid);
/* Makes and opens PARENT/weir-tenants, if that was not done. 0 or -errno. */
int weir_helper_tenants_dir(struct weir_helper_server *s);
/* uid 0: one that is free. Its directories are made, or are there. 0 or -errno. */
int weir_helper_tenant_new(struct weir_helper_server *s, const char *name, uint32_t uid,
                           struct weir_helper_tenant **ret);
/* Forgets it; its processes and directories stay. */
void weir_helper_tenant_free(struct weir_helper_tenant *t);
/* As the newest; there must be a place. The descriptors are the tenant's from now on. */
void weir_helper_worker_add(struct weir_helper_tenant *t, const struct weir_helper_worker *w);
void weir_helper_worker_drop(struct weir_helper_tenant *t, unsigned i);
/* A copy; its descriptors are the copy's unless this fails. 0 or -errno. */
int weir_helper_keep(struct weir_helper_server *s, const struct weir_helper_kept *k);
void weir_helper_kept_free(struct weir_helper_kept *k);

#endif
