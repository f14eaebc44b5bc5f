/* SPDX-License-Identifier: Apache-2.0 */
/* The hash tables behind the lookups of a snapshot. Made while it is linked, read-only afterwards.
 */
#ifndef WEIR_CONF_INDEX_H
#define WEIR_CONF_INDEX_H

#include "base/htab.h"
#include "conf/snapshot.h"

struct weir_index_entry {
    struct weir_hnode node;
    const void *value;
    const struct weir_service_port *port; /* service_ips */
    uint32_t n;                           /* peer_auths: how many from value on */
};

struct weir_index {
    struct weir_htab namespaces;  /* name */
    struct weir_htab services;    /* namespace/name */
    struct weir_htab pods;        /* namespace/name */
    struct weir_htab service_ips; /* address and port */
    struct weir_htab pod_ips;     /* address */
    struct weir_htab peer_auths;  /* namespace -> its policies, oldest first */
};

/* Allocates in the snapshot's arena. NULL = no memory. */
struct weir_index *weir_index_new(struct weir_snapshot *s);
/* Frees what the arena does not hold. Takes NULL. */
void weir_index_deinit(struct weir_index *index);

/* Each: 0, -ENOMEM, or -EEXIST with *ret_entry (may be NULL) the one that has the key already. */
int weir_index_add_namespace(struct weir_snapshot *s, const struct weir_namespace *ns);
int weir_index_add_service(struct weir_snapshot *s, const struct weir_service *service);
int weir_index_add_pod(struct weir_snapshot *s, const struct weir_pod *pod);
int weir_index_add_service_ip(struct weir_snapshot *s, const struct weir_service *service,
                              const struct weir_ip *ip, const struct weir_service_port *port,
                              struct weir_index_entry **ret_entry);
int weir_index_add_pod_ip(struct weir_snapshot *s, const struct weir_pod *pod,
                          const struct weir_ip *ip, struct weir_index_entry **ret_entry);
int weir_index_add_peer_auths(struct weir_snapshot *s, const struct weir_peer_auth *first,
                              uint32_t n);

#endif
