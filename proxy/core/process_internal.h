/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by process.c, reload.c and listen.c only. */
#ifndef WEIR_CORE_PROCESS_INTERNAL_H
#define WEIR_CORE_PROCESS_INTERNAL_H

#include <pthread.h>

#include "core/admin.h"
#include "core/names.h"
#include "core/process.h"
#include "core/process_agent.h"
#include "core/process_successor.h"
#include "core/process_svid.h"
#include "core/process_workload.h"
#include "core/worker.h"
#include "io/events.h"
#include "io/handed.h"
#include "sys/outlet.h"
#include "sys/texts.h"
#include "sys/watch.h"

#define WEIR_CONFIG_MAX (256u * 1024u * 1024u) /* bytes of all documents */

/* A listening address of a data thread. */
struct weir_listening {
    struct weir_listening *next;
    struct weir_listener listener;
    char *key;   /* direction and address */
    bool wanted; /* by the configuration that is being taken */
};

struct weir_thread {
    struct weir_process *process;
    unsigned number;
    pthread_t id;
    struct weir_chunk_pool pool;
    struct weir_loop *loop;
    struct weir_worker worker;
    struct weir_listening *listening;
    bool started;
    atomic_bool ended;
    /* process_tenant.c */
    char pod[344]; /* whose alone it is; "" = the process's */
    struct weir_listener tenant_listeners[2];
    unsigned serial, pinged, posted_then;
};

/* Of `weir proxy --tenant`. Descriptors: -1 = none yet. */
struct weir_tenancy {
    const char *name;
    int control_fd, documents_fd;
    struct weir_event *on_control, *on_second;
    unsigned n_ever; /* threads */
    uint64_t done;   /* requests and relays of threads that have ended */
};
#define WEIR_TENANT_PODS  256u
#define WEIR_TENANT_STACK (1024u * 1024u)

struct weir_process {
    const struct weir_process_params *params;
    struct weir_chunk_pool pool; /* the control thread's */
    struct weir_loop *loop;
    struct weir_admin admin;
    struct weir_thread **threads;
    unsigned n_threads, n_wanted; /* so far; when all are there */
    struct weir_tenancy *tenancy; /* NULL = not a tenant's */
    struct weir_link *link;       /* NULL = not an agent's sidecar */
    _Atomic unsigned n_ended;
    struct weir_runtime *runtime;   /* in force; one reference */
    struct weir_workload *workload; /* NULL = identity is not of a Workload API */
    struct weir_snapshot *next;     /* checked, waits for its names to be answered; or NULL */
    struct weir_names *names;
    struct weir_texts standard_input; /* of --config -, read once */
    struct weir_watch *watch;
    struct weir_event *on_watch, *on_hup, *on_term, *on_int, *on_usr2, *on_ticket;
    struct weir_handed *handed; /* while it starts */
    struct weir_successor successor;
    struct weir_process_svid identity;
    struct weir_tickets *tickets; /* of the process as long as it lives */
    uint64_t ticket_us;           /* period of on_ticket */
    uint64_t ticket_rotations;
    struct weir_outlet outlet;
    uint64_t generation, reloads, reload_failures, start_s;
    uint64_t cert_failures;  /* reloads refused because of a certificate, key or CA */
    bool cert_refused;       /* the last load was */
    uint16_t fixed_port;     /* of --listen ADDR:0, chosen by the first thread */
    char session_secret[65]; /* hex; "" = not made yet */
    struct weir_quota quota;
    bool draining;
};

/* process.c: a data thread, from its loop to its listening. 0 or -errno; deinit takes one that failed half-way. */
int weir_thread_init(struct weir_thread *t, struct weir_process *p, unsigned number);
int weir_thread_start(struct weir_thread *t, size_t stack); /* 0 = the usual */
void weir_thread_join(struct weir_thread *t);
void weir_thread_deinit(struct weir_thread *t);
/* Any thread. */
uint64_t weir_thread_connections(const struct weir_thread *t);
uint64_t weir_thread_requests(const struct weir_thread *t); /* and relays, so far */
void weir_process_drain(struct weir_process *p);
/* process_tenant.c: until there are documents; then, when the loop is there. 0 or -errno. */
int weir_tenancy_begin(struct weir_process *p);
int weir_tenancy_open(struct weir_process *p);
void weir_tenancy_close(struct weir_process *p);
/* A thread has come to its end. True: the process goes on. */
bool weir_tenancy_posted(struct weir_process *p);
/* A configuration was put in force, or refused. */
void weir_tenancy_said(struct weir_process *p, bool in_force);
/* The documents. weir_free. 0 or -errno. */
int weir_tenancy_read(const struct weir_process *p, char **ret_text, size_t *ret_len);

/* process.c: puts what the runtime says of the whole process in force: limits.memory and logLevel. */
void weir_process_settle(struct weir_process *p);

/* Keys of TLS session tickets: made when they are first asked for, rotated as the configuration in force says. 0, -errno. */
int weir_process_tickets(struct weir_process *p, uint64_t period_us);

/* reload.c */
/* Reads, checks and compiles the configuration. 0, -errno, 1 = refused; what is wrong has been said on stderr. */
int weir_process_load(struct weir_process *p, struct weir_runtime **ret_runtime);
/* The configuration in force compiled for one pod. 0, -errno, 1 = refused, and said. */
int weir_process_runtime_of(struct weir_process *p, const char *pod,
                            struct weir_runtime **ret_runtime);
/* Loads again and offers the result to every thread, at once or when its names are known; on failure everything stays as it is. */
void weir_process_reload(struct weir_process *p);
/* The snapshot in force with other contexts, which are taken over, and with the addresses its names have now. */
void weir_process_renew(struct weir_process *p, struct weir_tls_set *tls);
/* Of weir_names. */
void weir_process_names_changed(void *arg);
/* Watches the configuration and every file it names. */
int weir_process_watch(struct weir_process *p);

/* listen.c */
/* Opens what the runtime asks for and this thread does not listen on yet, closes what it no longer asks for. 0 or the first -errno; each is said on stderr. */
int weir_thread_listen(struct weir_thread *t, struct weir_runtime *rt);
void weir_thread_forget_listening(struct weir_thread *t);
/* The control thread's admin, metrics and health addresses. */
int weir_process_listen_admin(struct weir_process *p);

#endif
