/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds that are read from an API server: where they are listed, and what of each object is kept. Everything the decoder
 * (conf) does not read goes at once, and so does what only its own node may say: annotations that bind a Pod to a place.
 * Pure; jansson stands for the JSON.
 */
#ifndef WEIR_KUBE_RESOURCE_H
#define WEIR_KUBE_RESOURCE_H

#include <jansson.h>

#include "base/err.h"

enum weir_kube_kind {
    WEIR_KUBE_NAMESPACE,
    WEIR_KUBE_POD,
    WEIR_KUBE_SERVICE,
    WEIR_KUBE_SLICE,
    WEIR_KUBE_NETPOL,
    WEIR_KUBE_HTTP_ROUTE,
    WEIR_KUBE_GRPC_ROUTE,
    WEIR_KUBE_TLS_ROUTE,
    WEIR_KUBE_GATEWAY,
    WEIR_KUBE_GRANT,
    WEIR_KUBE_BACKEND_TLS,
    WEIR_KUBE_AUTHZ,
    WEIR_KUBE_EGRESS_POLICY,
    WEIR_KUBE_PEER_AUTH,
    WEIR_KUBE_BACKEND_POLICY,
    WEIR_KUBE_ROUTE_POLICY,
    WEIR_KUBE_KINDS,
};

struct weir_kube_resource {
    const char *kind;
    const char *version;     /* apiVersion */
    const char *path;        /* "/apis/GROUP/VERSION/PLURAL" */
    const char *keep;        /* resource.c */
    bool cluster_scoped;     /* no namespace */
    bool optional;           /* of a custom resource definition that need not be installed */
    bool status;             /* weir writes into its status */
    const char *keep_labels; /* the one label that is kept; NULL = all of them, "" = none */
    const char *
        selector; /* of a policy that says what its pods may do: the member of spec that selects them; NULL = none */
};

const struct weir_kube_resource *weir_kube_resource(enum weir_kube_kind kind);

/*
 * A new object with what is kept of `object`, apiVersion and kind included. own: a Pod of this node, of which more is needed.
 * NULL: no memory, or not an object with metadata.name. *ret_why says which: NULL = no memory.
 */
json_t *weir_kube_prune(enum weir_kube_kind kind, bool own, const json_t *object,
                        const char **ret_why);
/* Member of members: weir_kube_get(o, "metadata", "name", NULL). Borrowed; NULL = not there. */
const json_t *weir_kube_get(const json_t *object, ...) __attribute__((sentinel));
/* The same as a text; "" = not there or not a text. */
const char *weir_kube_text(const json_t *object, const char *first, const char *second);

#endif
