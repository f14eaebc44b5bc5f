/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods in node mode and the workers that serve them (docs/adr/0022). A tenant is a workload identity, namespace and
 * service account; its worker is a process that serves all of its pods here. The sockets that listen in the pods outlive
 * the workers: a worker is started by the first connection, ended when it has been idle, and started again when it dies.
 */
#ifndef WEIR_NODE_TENANTS_H
#define WEIR_NODE_TENANTS_H

#include <sys/types.h>

#include "core/documents.h"
#include "core/tenant.h"
#include "node/sign.h"
#include "node/state.h"

struct weir_tenant;

/* A process. Serving is the tenant's newest; the others finish what they have. */
struct weir_tenant_worker {
    struct weir_list link;
    struct weir_tenant *tenant;
    struct weir_agent_source source; /* what it is told by */
    pid_t pid;
    bool draining, ready; /* ready: it has said so of some pod */
    bool replaces;        /* the one before it drains when it is ready */
    uint64_t started_us, pinged_us, active_us;
    unsigned unanswered; /* PINGs in a row */
    unsigned pongs;
    uint64_t pings, connections, requests, resident; /* as its last PONG said */
    unsigned wants, csrs;                            /* in this second */
    struct weir_sign_request sign;                   /* its CSR under way */
    uint64_t told_trust;                             /* generation of the trust bundle */
    bool waits; /* for its certificate: it is not told its pods yet */
};

enum weir_tenant_step {
    WEIR_TENANT_NEW,       /* no listeners yet */
    WEIR_TENANT_SERVED,    /* they are there: flows are steered to them */
    WEIR_TENANT_RELEASING, /* it is not to be served any more, but peers may not know yet */
    WEIR_TENANT_UNSTEERED, /* nothing new is steered; what is on its way arrives */
};

struct weir_tenant_pod {
    struct weir_list link; /* of the tenant */
    struct weir_tenant *tenant;
    char *name;                            /* "namespace/pod" */
    const struct weir_place_of_pod *place; /* NULL = gone */
    uint64_t pod_cgroup, netns;            /* of the place it was made for */
    char *cgroup;                          /* of its sockets */
    uint64_t cgroup_id;
    enum weir_tenant_step step;
    uint64_t due_us;                       /* end of the step; of NEW: when to try again */
    const char *why;                       /* it is not served; NULL = nothing is wrong */
    struct weir_agent_source listeners[4]; /* outbound first */
    unsigned n_listeners, n_outbound;
    bool untold;  /* its workers do not know of it yet */
    bool refused; /* its worker could not serve it: it is told again */
};

struct weir_tenant {
    struct weir_list link;
    struct weir_agent *agent;
    char *name; /* "namespace/account" */
    uint32_t uid, limits;
    struct weir_list pods, workers;   /* the newest worker first */
    bool polled;                      /* its listeners wait for a first connection */
    unsigned failures;                /* in a row */
    uint64_t retry_us;                /* no worker is started before */
    uint64_t starts, restarts, stuck; /* so far; restarts: after a death */
    uint64_t start_took_us;           /* the last one, from the connection to READY */
};

/* tenant_worker.c */
/* The one that serves; NULL = none. */
struct weir_tenant_worker *weir_tenant_serving(const struct weir_tenant *t);
/* Polls the listeners while there is nobody to serve them. */
void weir_tenant_await(struct weir_tenant *t);
/* Tells the workers of a pod that is served from now on, or no more. */
void weir_tenant_tell_pod(struct weir_tenant *t, const struct weir_tenant_pod *pod, bool served);
void weir_tenant_tick(struct weir_tenant *t, uint64_t now);
/* Starts a worker for what waits, or beside the one that serves (`replaces`). */
void weir_tenant_start(struct weir_tenant *t, bool replaces);
/* A worker that a helper kept from an agent before this one goes on. */
void weir_tenant_adopt(struct weir_tenant *t);
void weir_tenant_drain(struct weir_tenant *t);
void weir_tenant_publish(struct weir_tenant *t); /* the documents in force */
void weir_tenant_worker_free(struct weir_tenant_worker *w);

/* To one worker; a descriptor stays the caller's. */
void weir_tenant_say(struct weir_tenant_worker *w, struct weir_tenant_packet *packet,
                     const int *fds, unsigned n);
void weir_tenant_tell_worker(struct weir_tenant_worker *w, const struct weir_tenant_pod *pod,
                             bool served);

/* tenant_svid.c */
void weir_tenant_on_csr(struct weir_tenant_worker *w, const struct weir_tenant_packet *q);
/* Tells a new worker its pods, at once or when it has its certificate. */
void weir_tenant_introduce(struct weir_tenant_worker *w);
void weir_tenant_svid_tick(struct weir_tenant_worker *w, uint64_t now);

/* tenants.c: before the maps are planned; when they are in force (true: they have to follow again); once a second. */
void weir_tenants_look(struct weir_agent *a);
bool weir_tenants_listen(struct weir_agent *a);
void weir_tenants_tick(struct weir_agent *a);
/* After a sync: a new configuration to all workers, then the pods that are new in it. */
void weir_tenants_publish(struct weir_agent *a);
/* A new process, of the program as it is now, for the tenant of that name or "all"; false: there is none. */
bool weir_tenants_replace(struct weir_agent *a, const char *name);
void weir_tenants_close(struct weir_agent *a);
void weir_tenants_status(const struct weir_agent *a, struct weir_textbuf *out);
struct weir_tenants_figures {
    uint64_t tenants, running, pods, unserved, starts, restarts, stuck;
};
void weir_tenants_figures(const struct weir_agent *a, struct weir_tenants_figures *ret);
/* How far a pod in node mode is; NULL = it is none. */
const char *weir_tenants_step(struct weir_agent *a, const char *pod);

/* Removes what tenants have left below the pods' parent (absolute path), as far as no process is in it. */
void weir_tenants_sweep(const char *parent);

/* documents.c: all documents but those with keys and those of the node. 0, -ENOMEM, -E2BIG. */
int weir_documents_build(const struct weir_source *sources, size_t n,
                         struct weir_documents **ret_list);
/* A list, sealed, to be sent; -errno or a descriptor that is the caller's. */
int weir_documents_open(const struct weir_documents *list);

#endif
