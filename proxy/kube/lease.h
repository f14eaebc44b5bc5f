/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One of several is chosen by a Lease (coordination.k8s.io). Taken when nobody has renewed it for as long as it lasts, by this
 * machine's own clock (other clocks are never compared); a conflict is somebody else's win. Whoever could not renew it in
 * time stops leading before another one begins.
 */
#ifndef WEIR_KUBE_LEASE_H
#define WEIR_KUBE_LEASE_H

#include "kube/client.h"

#define WEIR_KUBE_LEASE_S 15u

struct weir_kube_lease {
    struct weir_kube_client *client;
    struct weir_loop *loop;
    const char *name; /* borrowed, for good */
    char ns[64], holder[300];
    char *body; /* of the answer under way */
    size_t n_body;
    int status, doing;    /* lease.c */
    uint64_t asked, due;  /* us: the question under way; when to look again */
    uint64_t leads_until; /* us; 0 = it does not lead */
    char seen[128];       /* holder and renewal as seen last, */
    uint64_t seen_at;     /* and since when */
    uint64_t n_conflicts, n_failed;
    char why[128]; /* the API server says no; "" = nothing is the matter */
};

struct weir_kube_lease_params {
    struct weir_loop *loop;
    struct weir_dns *dns; /* as weir_kube_client_new */
    struct weir_kube_access *access;
    const char *ns;     /* where the Lease is */
    const char *name;   /* its name; borrowed for good */
    const char *member; /* who wants it: another start of the same member is another holder */
};

/* 0, -ENOMEM, -errno. Deinit in each case. */
int weir_kube_lease_init(struct weir_kube_lease *l, const struct weir_kube_lease_params *params);
void weir_kube_lease_deinit(struct weir_kube_lease *l);
/* Asks what is due. us, the loop's clock. */
void weir_kube_lease_tick(struct weir_kube_lease *l, uint64_t now);
/* us: when to tick next. */
uint64_t weir_kube_lease_due(const struct weir_kube_lease *l);
bool weir_kube_lease_leads(const struct weir_kube_lease *l, uint64_t now);

#define WEIR_KUBE_DATE 40
/* "2026-11-21T22:00:00.000000Z", now; without the fraction where the API takes whole seconds only. */
const char *weir_kube_date(char buf[static WEIR_KUBE_DATE], bool fraction);

#endif
