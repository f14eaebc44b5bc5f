/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which objects of the cluster matter on this node (docs/adr/0021): what its pods use. Everything is in the store, compact;
 * only what is in scope becomes configuration, and only a change of that makes a new one.
 *
 *   Services    of the namespaces that have a pod here; that a route names; that a pod here has called; and, so that the
 *               first call is encrypted as well, of all meshed namespaces, as long as those are few (WEIR_KUBE_MESHED_MAX)
 *   slices      of those Services
 *   Pods        of this node; endpoints of those slices; that a policy of a namespace here can tell apart
 *   NetworkPolicies, AuthorizationPolicies and EgressPolicies
 *               of namespaces that have a pod here, and the mesh's own
 *   with an EgressPolicy
 *               the cluster's DNS, whose answers count; and, since no name may lead into the cluster, all Pods, and all
 *               Services as long as they are few
 *   the rest    all
 * Pure.
 */
#ifndef WEIR_KUBE_SCOPE_H
#define WEIR_KUBE_SCOPE_H

#include "conf/model.h"
#include "kube/store.h"

#define WEIR_KUBE_MESHED_MAX                                                                       \
    2000u /* Services of meshed namespaces (with names, of all) that are known before they are called */
#define WEIR_KUBE_CALLED_MAX 1000u /* Services kept because they were called; the oldest goes */

/* Sources of Pods in the store. */
enum { WEIR_KUBE_OTHERS, WEIR_KUBE_OWN };

struct weir_kube_scope {
    struct weir_kube_store *store;
    struct weir_htab here;       /* namespaces with a pod of this node */
    struct weir_htab meshed;     /* namespaces with weir.dev/mode, or with such a pod */
    struct weir_htab named;      /* Services that a route names: "namespace/name" */
    struct weir_htab endpoints;  /* Pods that are endpoints in scope: "namespace/name" */
    struct weir_htab peers;      /* namespaces whose pods a policy here can mean */
    struct weir_htab called;     /* Services: "namespace/name" */
    struct weir_list called_age; /* the oldest first */
    struct weir_htab addresses;  /* cluster address -> Service */
    uint32_t n_called, n_meshed_services;
    bool all_peers;  /* a policy here can mean the pods of any namespace */
    bool names;      /* there is an EgressPolicy here */
    bool all_meshed; /* the Services of meshed namespaces are in; with names, of all */
    bool dirty;      /* something in scope changed, or what is in scope did */
};

void weir_kube_scope_init(struct weir_kube_scope *s, struct weir_kube_store *store,
                          const uint64_t seed[2]);
void weir_kube_scope_deinit(struct weir_kube_scope *s);
/* The store's `changed`. */
void weir_kube_scope_changed(void *scope, const struct weir_kube_object *was,
                             struct weir_kube_object *now);
/* A pod here called that address. True: it is a Service's that was not in scope and is now. */
bool weir_kube_scope_call(struct weir_kube_scope *s, const struct weir_ip *ip);
/* Sets `used` of every object anew and clears dirty. 0, -ENOMEM. */
int weir_kube_scope_settle(struct weir_kube_scope *s);

#endif
