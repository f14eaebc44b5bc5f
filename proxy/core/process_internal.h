/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by process.c, reload.c and listen.c only. */
#ifndef WEIR_CORE_PROCESS_INTERNAL_H
#define WEIR_CORE_PROCESS_INTERNAL_H

#include <pthread.h>

#include "core/admin.h"
#include "core/names.h"
#include "core/process.h"
#include "core/worker.h"
#include "io/events.h"
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
};

struct weir_process {
    const struct weir_process_params *params;
    struct weir_chunk_pool pool; /* the control thread's */
    struct weir_loop *loop;
    struct weir_admin admin;
    struct weir_thread *threads;
    unsigned n_threads;
    _Atomic unsigned n_ended;
    struct weir_runtime *runtime; /* in force; one reference */
    struct weir_snapshot *next;   /* checked, waits for its names to be answered; or NULL */
    struct weir_names *names;
    struct weir_texts standard_input; /* of --config -, read once */
    struct weir_watch *watch;
    struct weir_event *on_watch, *on_hup, *on_term, *on_int, *on_ticket;
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

/* process.c: puts what the runtime says of the whole process in force: limits.memory and logLevel. */
void weir_process_settle(struct weir_process *p);

/* Keys of TLS session tickets: made when they are first asked for, rotated as the configuration in force says. 0, -errno. */
int weir_process_tickets(struct weir_process *p, uint64_t period_us);

/* reload.c */
/* Reads, checks and compiles the configuration. 0, -errno, 1 = refused; what is wrong has been said on stderr. */
int weir_process_load(struct weir_process *p, struct weir_runtime **ret_runtime);
/* Loads again and offers the result to every thread, at once or when its names are known; on failure everything stays as it is. */
void weir_process_reload(struct weir_process *p);
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
