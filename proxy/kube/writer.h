/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One of all agents writes the status of routes: who holds the Lease. Taken when nobody has renewed it for as long as it
 * lasts, by this machine's own clock (other clocks are never compared); a conflict is somebody else's win. Whoever could not
 * renew it in time stops writing before another one begins.
 */
#ifndef WEIR_KUBE_WRITER_H
#define WEIR_KUBE_WRITER_H

#include "kube/client.h"
#include "kube/store.h"

#define WEIR_KUBE_LEASE   "weir-status"
#define WEIR_KUBE_LEASE_S 15u

struct weir_kube_writer {
    struct weir_kube_client *client;
    struct weir_kube_store *store;
    struct weir_loop *loop;
    char ns[64], holder[300];
    char *body; /* of the answer under way */
    size_t n_body;
    int status, doing;    /* writer.c */
    uint64_t asked, due;  /* us: the question under way; when to look at the Lease */
    uint64_t leads_until; /* us; 0 = it does not lead */
    char seen[128];       /* holder and renewal of the Lease as seen last, */
    uint64_t seen_at;     /* and since when */
    uint64_t looked;      /* the store's count of changes when no route was left to write */
    uint64_t look_due;
    bool again; /* a write failed: what was asked for is asked for once more */
    uint64_t n_written, n_conflicts, n_failed;
    char why[128]; /* why nothing can be written; "" = nothing is the matter */
};

/* The client is made by it. ns: where the Lease is. 0, -ENOMEM. */
int weir_kube_writer_init(struct weir_kube_writer *w, struct weir_loop *loop, struct weir_dns *dns,
                          struct weir_kube_access *access, struct weir_kube_store *store);
void weir_kube_writer_deinit(struct weir_kube_writer *w);
/* Asks what is due. node: of this agent. synced: the store is whole. */
void weir_kube_writer_tick(struct weir_kube_writer *w, uint64_t now, bool synced);
/* us: when to tick next. */
uint64_t weir_kube_writer_due(const struct weir_kube_writer *w);
bool weir_kube_writer_leads(const struct weir_kube_writer *w, uint64_t now);

#endif
