/* SPDX-License-Identifier: Apache-2.0 */
/* lint: size one draft per kind, in one place */
/*
 * What the decoders make of the documents before anything is cross-checked: the model's structs
 * with what only the linking needs beside them. Drafts live in the build's own arena, what they
 * point to in the snapshot's.
 */
#ifndef WEIR_CONF_DRAFT_H
#define WEIR_CONF_DRAFT_H

#include "base/htab.h"
#include "conf/dec.h"

#define WEIR_GATEWAY_CLASS "weir" /* Gateways of another class are another controller's */

enum weir_kind_id {
    WEIR_KIND_NAMESPACE,
    WEIR_KIND_POD,
    WEIR_KIND_SERVICE,
    WEIR_KIND_SLICE,
    WEIR_KIND_HTTP_ROUTE,
    WEIR_KIND_GRPC_ROUTE,
    WEIR_KIND_TLS_ROUTE,
    WEIR_KIND_GATEWAY,
    WEIR_KIND_SECRET,
    WEIR_KIND_CONFIG_MAP,
    WEIR_KIND_BACKEND_TLS,
    WEIR_KIND_GRANT,
    WEIR_KIND_ROUTE_POLICY,
    WEIR_KIND_NETPOL,
    WEIR_KIND_EGRESS_POLICY,
    WEIR_KIND_PEER_AUTH,
    WEIR_KIND_BACKEND_POLICY,
    WEIR_KIND_AUTHZ,
    WEIR_KIND_PROXY,
    WEIR_KIND_AGENT,
    WEIR_KINDS,
};

/* First member of every draft. */
struct weir_draft {
    struct weir_draft *next;
    struct weir_hnode seen; /* "Kind/namespace/name" */
    struct weir_meta meta;
    uint32_t source;
    bool deleting; /* has a deletionTimestamp */
};

struct weir_draft_namespace {
    struct weir_draft head;
    struct weir_namespace value;
};

struct weir_draft_pod {
    struct weir_draft head;
    struct weir_pod value;
    int mode;        /* enum weir_mesh_mode; -1 = not given */
    uint32_t weight; /* annotation weir.dev/weight */
    bool ended;      /* phase Succeeded or Failed: its address may be another's by now */
    const char *service_account_old;
    struct weir_ip ip; /* status.podIP, used when podIPs is absent */
    bool has_ip;
    struct weir_container_list {
        struct weir_container_ports {
            struct weir_container_port *ports;
            uint32_t n_ports;
            struct weir_probe_port {
                const char *name; /* "" = by number */
                uint16_t port;    /* 0 = no such probe */
            } probes[3];          /* liveness, readiness, startup */
        } * containers;
        uint32_t n_containers;
    } main, init;
};

struct weir_draft_port {
    struct weir_service_port value;
    bool has_app;
    uint16_t target;         /* 0 = by name, or the port itself */
    const char *target_name; /* "" = by number */
};

struct weir_draft_service {
    struct weir_draft head;
    struct weir_service value;
    struct weir_draft_port *ports;
    uint32_t n_ports;
    struct weir_selector selector; /* given = false: endpoints come from slices only */
    bool publish_not_ready;
    bool is_external;       /* type ExternalName */
    const char *cluster_ip; /* "None", "", or an address */
    const char **cluster_ips;
    uint32_t n_cluster_ips;
    struct weir_draft_slice *slices; /* linked by check */
};

struct weir_slice_port {
    const char *name;
    uint16_t port; /* 0 = not stated */
    uint8_t proto;
};

struct weir_slice_address {
    struct weir_ip ip;
    const char *host; /* addressType FQDN; else NULL */
};

struct weir_slice_endpoint {
    struct weir_slice_address *addresses;
    uint32_t n_addresses;
    int ready, serving, terminating; /* -1 = not stated */
    const char *node, *zone;
    const char *pod, *pod_namespace; /* targetRef of kind Pod; "" = none */
};

struct weir_draft_slice {
    struct weir_draft head;
    struct weir_slice_endpoint *endpoints;
    uint32_t n_endpoints;
    struct weir_slice_port *ports;
    uint32_t n_ports;
    enum { WEIR_SLICE_IPV4, WEIR_SLICE_IPV6, WEIR_SLICE_FQDN } type;
    struct weir_draft_slice *next_of_service;
};

struct weir_draft_route {
    struct weir_draft head;
    struct weir_http_route value;
};

/* A reference to a Secret or ConfigMap. */
struct weir_draft_ref {
    const char *group, *kind, *name, *namespace_;
    struct weir_place place;
};

/* Secret and ConfigMap: the PEM texts in them, "" = none; nothing else of them is kept. */
struct weir_draft_pem {
    struct weir_draft head;
    const char *cert, *key, *ca;
};

struct weir_draft_backend_tls {
    struct weir_draft head;
    struct weir_backend_tls value;
    struct weir_draft_ref *cas;
    uint32_t n_cas;
    bool system;
};

enum weir_draft_tls_mode { WEIR_TLS_MODE_NONE, WEIR_TLS_MODE_TERMINATE, WEIR_TLS_MODE_PASSTHROUGH };

/* Who may attach to a Gateway's listener. */
struct weir_draft_listener {
    struct weir_gateway_listener value;
    struct weir_place place;
    enum { WEIR_FROM_SAME, WEIR_FROM_ALL, WEIR_FROM_NONE, WEIR_FROM_SELECTOR } from;
    struct weir_selector namespaces;
    bool no_http_routes, no_grpc_routes,
        no_tls_routes;            /* by protocol, or kinds does not name that one */
    struct weir_draft_ref *certs; /* certificateRefs */
    uint32_t n_certs;
    int tls_mode; /* enum weir_draft_tls_mode */
};

struct weir_draft_gateway {
    struct weir_draft head;
    struct weir_gateway value;
    struct weir_draft_listener *listeners;
    uint32_t n_listeners;
    const char *class_name;
};

struct weir_draft_netpol {
    struct weir_draft head;
    struct weir_netpol value;
    bool types_given, egress_given;
};

struct weir_draft_egress_policy {
    struct weir_draft head;
    struct weir_egress_policy value;
};

struct weir_draft_peer_auth {
    struct weir_draft head;
    struct weir_peer_auth value;
};

struct weir_draft_backend_policy {
    struct weir_draft head;
    struct weir_backend_policy value;
};

struct weir_draft_proxy {
    struct weir_draft head;
    struct weir_proxy_spec value;
};

struct weir_draft_agent {
    struct weir_draft head;
    struct weir_agent_spec value;
};

#endif
