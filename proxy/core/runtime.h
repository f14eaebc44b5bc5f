/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot compiled for the data threads: who listens for what, route tables, clusters, TLS contexts. Immutable, shared by
 * all workers by reference. Each worker wraps it in an epoch (worker.h) so that requests count references without atomics.
 */
#ifndef WEIR_CORE_RUNTIME_H
#define WEIR_CORE_RUNTIME_H

#include "base/htab.h"
#include "base/ref.h"
#include "conf/snapshot.h"
#include "core/endpoints.h"
#include "http/codec.h"
#include "route/authz.h"
#include "route/hosts.h"
#include "route/rbac.h"
#include "route/route.h"
#include "tls/seal.h"
#include "tls/tls.h"

/* Which way a connection came in; decides trust, steering and what the access line says. */
enum weir_direction { WEIR_DIR_REVERSE, WEIR_DIR_GATEWAY, WEIR_DIR_OUTBOUND, WEIR_DIR_INBOUND };
const char *weir_direction_name(enum weir_direction dir);

/* What is spoken to the endpoints of a cluster. */
enum weir_upstream_proto { WEIR_UP_H1 = 1, WEIR_UP_H2, WEIR_UP_ALPN /* TLS decides */ };

/* One set of endpoints a request can be sent to. */
struct weir_cluster {
    const char *name; /* "namespace/name:port", "inbound:port" or the --to list */
    uint32_t index;   /* in runtime->clusters */
    const struct weir_endpoint *endpoints;
    uint32_t n_endpoints;
    enum weir_balancer balancer;
    enum weir_upstream_proto proto;
    struct weir_tls_ctx *tls;     /* TLS to every endpoint, or NULL; borrowed from the runtime */
    struct weir_tls_ctx *tls_tcp; /* the same for bytes that are no HTTP */
    const char *sni;              /* name sent and verified with tls; NULL = the endpoint's host */
    struct weir_connection_spec connection; /* complete */
    uint8_t proxy_send; /* version of the PROXY header that begins each connection; 0 = none */
    bool mesh;          /* endpoints whose pod is meshed are called with mesh mTLS */
};

/* What requests of one listener (or one original destination) are routed by. */
struct weir_parent {
    struct weir_hnode node; /* outbound: key is ip and port (weir_addr_key) */
    uint8_t addr_key[18];
    const char *name; /* "namespace/name:port" for logs */
    enum weir_direction dir;
    struct weir_route_table *routes; /* NULL = no table: everything goes to `own` */
    struct weir_route_table
        *near; /* outbound: routes of the client's namespace, asked first; NULL = none */
    struct weir_cluster *own; /* backend of last resort; NULL = only routes */
    struct weir_tls_ctx *tls; /* gateway listener's certificate; borrowed from `tls_owned` */
    struct weir_tls_ctx *tls_owned;
    bool opaque;              /* protocol TLS: what is within goes on as it is... */
    bool passthrough;         /* ... or TLS and all */
    struct weir_hosts names;  /* opaque: SNI -> struct weir_tls_choice */
    enum weir_mtls_mode mtls; /* inbound */
    const struct weir_rbac
        *rbac; /* inbound, gateway: AuthorizationPolicies in force; NULL = none */
    struct weir_rbac *rbac_owned; /* gateway */
    bool http;                    /* declared to be HTTP: the client speaks first, however late */
    bool bytes; /* sidecars: no HTTP is looked for (weir.dev/opaque-ports); then not http either */
    uint16_t port;        /* inbound, gateway: local port; outbound: the Service's */
    struct weir_port *at; /* gateway listeners: where, with which others; else NULL */
};

/* Contexts built from files; each may be NULL. The set owns one reference of each. */
struct weir_tls_set {
    struct weir_tls_ctx *server;                    /* --cert/--key on the listener */
    struct weir_tls_ctx *to;                        /* --to https:// */
    struct weir_tls_ctx *mesh_server, *mesh_client; /* one identity */
    struct weir_tls_ctx *mesh_client_tcp;           /* the same, for bytes that are no HTTP */
    struct weir_seal *sessions;                     /* of persistent sessions */
    struct weir_tickets *tickets; /* keys of TLS session tickets; NULL = none are given */
};
void weir_tls_set_deinit(struct weir_tls_set *set);
/* The same with references of its own. */
struct weir_tls_set weir_tls_set_ref(const struct weir_tls_set *set);

struct weir_runtime {
    struct weir_ref ref;
    struct weir_arena arena;
    struct weir_snapshot *snapshot; /* one reference */
    struct weir_tls_set tls;
    struct weir_codec_limits limits;
    struct weir_cluster *clusters;
    uint32_t n_clusters;
    struct weir_cluster **cluster_of_port; /* by weir_service_port.index; NULL = not TCP */
    struct weir_parent *reverse;           /* NULL = no --listen */
    struct weir_parent *outbound, *inbound, *gateways;
    uint32_t n_outbound, n_inbound, n_gateways;
    struct weir_port *ports; /* core/gateway.h */
    uint32_t n_ports;
    struct weir_tls_ctx **backend_tls; /* owned, of BackendTLSPolicies */
    uint32_t n_backend_tls;
    struct weir_htab outbound_by_addr;
    const struct weir_pod *pod;           /* the sidecar's pod, or NULL */
    struct weir_authz *authz;             /* for pod */
    struct weir_rbac *rbac;               /* for pod; NULL = no AuthorizationPolicy is */
    struct weir_attachments *attachments; /* only while it is built */
};

struct weir_runtime_params {
    struct weir_snapshot *snapshot; /* a reference is taken */
    struct weir_tls_set tls;        /* taken over, also on failure */
    struct weir_lookup names;
    const char *pod; /* "namespace/name"; NULL = the Proxy document's */
    /* Gateway certificates: reads a PEM file; NULL on failure. Freed with weir_free. Called off the data threads. */
    char *(*read_file)(const char *path, size_t *ret_len);
};

/* Positive outcomes: it cannot be put in force; *ret_why says why (weir_free). */
enum {
    WEIR_RUNTIME_REFUSED = 1,
    WEIR_RUNTIME_CERTIFICATE = 2 /* because of a certificate, key or CA */
};
/* 0, -ENOMEM or one of these. */
int weir_runtime_new(const struct weir_runtime_params *params, struct weir_runtime **ret_runtime,
                     char **ret_why);
struct weir_runtime *weir_runtime_ref(struct weir_runtime *rt);
struct weir_runtime *weir_runtime_unref(struct weir_runtime *rt);

/* NULL = that address is no service port known here. */
struct weir_parent *weir_runtime_outbound(struct weir_runtime *rt, const struct weir_ip *ip,
                                          uint16_t port);
struct weir_parent *weir_runtime_inbound(struct weir_runtime *rt, uint16_t port);
/* The cluster of a Service's port, or NULL when it is none of TCP. The port is one of rt->snapshot. */
struct weir_cluster *weir_runtime_cluster(const struct weir_runtime *rt,
                                          const struct weir_service_port *port);

#endif
