/* SPDX-License-Identifier: Apache-2.0 */
/* An API server followed: a reflector and a connection per kind of object, the store they fill, what the matter is. */
#ifndef WEIR_KUBE_CLUSTER_H
#define WEIR_KUBE_CLUSTER_H

#include "kube/client.h"
#include "kube/reflector.h"
#include "kube/scope.h"
#include "kube/writer.h"

#define WEIR_CLUSTER_FEEDS (WEIR_KUBE_KINDS + 1) /* Pods: those here, and the others */

struct weir_cluster;

struct weir_cluster_feed {
    struct weir_cluster *cluster;
    struct weir_reflector reflector;
    struct weir_kube_client *client;
    bool told; /* that it is in trouble, or that its kind is absent */
};

struct weir_cluster {
    struct weir_loop *loop;
    struct weir_dns *dns;
    struct weir_kube_access access;
    struct weir_kube_store store;
    struct weir_kube_scope scope;
    struct weir_kube_writer writer;
    struct weir_cluster_feed feeds[WEIR_CLUSTER_FEEDS];
    char *own_selector, *others_selector;
    uint64_t refreshed; /* us: when credentials were read last */
    uint64_t away;      /* us: since when something is not current; 0 = all is */
    bool synced;        /* everything was listed once */
};

struct weir_cluster_params {
    struct weir_loop *loop;
    const char *kubeconfig; /* as weir_kube_access_init */
    const char *node;       /* this one's name; never "" */
    uint32_t watch_s;
};

/* 0, -ENOMEM, -errno, WEIR_KUBE_REFUSED (logged). Nothing is asked before the first tick. */
int weir_cluster_new(const struct weir_cluster_params *params, struct weir_cluster **ret_cluster);
/* Before the loop is stopped. Takes NULL, returns NULL. */
struct weir_cluster *weir_cluster_free(struct weir_cluster *c);
/* Asks what is due and gives up what is overdue. */
void weir_cluster_tick(struct weir_cluster *c);
/* us, the loop's clock: when to tick next. */
uint64_t weir_cluster_due(const struct weir_cluster *c);
/* Why not all is current; NULL = it is. The kind it is about in *ret_kind. */
const char *weir_cluster_trouble(const struct weir_cluster *c, const char **ret_kind);
/* Sums over all feeds. */
struct weir_reflector_counts weir_cluster_counts(const struct weir_cluster *c);

#endif
