/* SPDX-License-Identifier: Apache-2.0 */
/* One of all agents writes the status of routes: who holds the Lease (kube/lease.h). */
#ifndef WEIR_KUBE_WRITER_H
#define WEIR_KUBE_WRITER_H

#include "kube/lease.h"
#include "kube/store.h"

#define WEIR_KUBE_LEASE "weir-status"

struct weir_kube_writer {
    struct weir_kube_lease lease;
    struct weir_kube_client *client;
    struct weir_kube_store *store;
    struct weir_loop *loop;
    int status;      /* of the answer under way */
    bool asking;     /* a question is under way, */
    uint64_t asked;  /* us: since then */
    uint64_t looked; /* the store's count of changes when no route was left to write */
    uint64_t look_due;
    bool again; /* a write failed: what was asked for is asked for once more */
    uint64_t n_written, n_conflicts, n_failed;
    char why[128]; /* why nothing can be written; "" = nothing is the matter */
};

/* 0, -ENOMEM, -errno. Deinit in each case. */
int weir_kube_writer_init(struct weir_kube_writer *w, const struct weir_kube_lease_params *lease,
                          struct weir_kube_store *store);
void weir_kube_writer_deinit(struct weir_kube_writer *w);
/* Asks what is due. synced: the store is whole. */
void weir_kube_writer_tick(struct weir_kube_writer *w, uint64_t now, bool synced);
/* us: when to tick next. */
uint64_t weir_kube_writer_due(const struct weir_kube_writer *w);

#endif
