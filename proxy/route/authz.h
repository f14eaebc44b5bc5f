/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May this proven identity call this port? NetworkPolicy ingress rules read at the level of identities (namespace and
 * service account of the pods a rule selects), for the server's sidecar: the kernel decided on addresses, the sidecar
 * decides again on the certificate.
 */
#ifndef WEIR_ROUTE_AUTHZ_H
#define WEIR_ROUTE_AUTHZ_H

#include "base/slice.h"
#include "conf/snapshot.h"

struct weir_authz;

/* For one local pod. The table borrows from the snapshot. 0 or -ENOMEM. */
int weir_authz_new(const struct weir_snapshot *snapshot, const struct weir_pod *pod,
                   struct weir_authz **ret_authz);
struct weir_authz *weir_authz_free(struct weir_authz *a);

struct weir_authz_flow {
    struct weir_ip source;
    uint16_t port;
    bool proven;                   /* identity comes from mTLS */
    struct weir_slice ns, account; /* of the SPIFFE id, when proven */
};
/*
 * True = allowed. *ret_policy (may be NULL) = "namespace/name" of the policy that decided, "" when none selects the
 * pod. A proven identity must be that of a pod some rule admits AND, when the source address is that of a known
 * pod, that very pod's identity.
 */
bool weir_authz_allows(const struct weir_authz *a, const struct weir_authz_flow *flow,
                       const char **ret_policy);

#endif
