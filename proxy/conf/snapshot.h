/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One immutable configuration: built off the data threads from documents, published whole or not at
 * all, shared by reference. References between resources (backend -> service -> endpoint -> pod ->
 * namespace) are resolved.
 */
#ifndef WEIR_CONF_SNAPSHOT_H
#define WEIR_CONF_SNAPSHOT_H

#include "base/arena.h"
#include "base/ref.h"
#include "conf/authz.h"
#include "conf/model.h"

struct weir_snapshot {
    struct weir_ref ref;
    uint64_t generation; /* given by the publisher, from 1 */
    struct weir_arena arena;
    struct weir_proxy_spec proxy;
    struct weir_agent_spec agent;
    struct weir_namespace *namespaces;
    struct weir_pod *pods;
    struct weir_service *services;
    uint32_t n_service_ports; /* of all services */
    struct weir_http_route
        *routes; /* oldest first, then by namespace/name (Gateway API precedence) */
    struct weir_http_route *tls_routes; /* TLSRoutes, in the same order */
    struct weir_gateway *gateways;
    struct weir_netpol *netpols;
    struct weir_egress_policy *egress_policies;
    struct weir_peer_auth *peer_auths;
    struct weir_backend_policy *backend_policies; /* oldest first */
    uint32_t n_namespaces, n_pods, n_services, n_routes, n_gateways, n_netpols, n_peer_auths;
    uint32_t n_egress_policies;
    struct weir_authz_policy *authz;      /* oldest first, then by namespace/name */
    struct weir_backend_tls *backend_tls; /* oldest first */
    uint32_t n_backend_policies, n_authz, n_tls_routes, n_backend_tls;
    struct weir_index *index; /* private: what the lookups below use */
};

/* One input text, already read: conf itself opens no file. */
struct weir_source {
    const char *name; /* file name for messages; "-" reads as <stdin> */
    const char *text;
    size_t len;
};

/* What is wrong with the input. An error refuses it; a warning does not. */
enum weir_severity { WEIR_SEVERITY_ERROR, WEIR_SEVERITY_WARNING };
struct weir_problem {
    enum weir_severity severity;
    struct weir_place place; /* file is owned by the problem, unlike elsewhere */
    char *field;             /* "spec.rules[0].matches[1].path.type"; may be "" */
    char *message;           /* what is wrong, what would be right, the nearest known key */
};
/*
 * In order of place: at most 100 errors and 100 warnings, then one that counts the rest. All texts
 * are valid UTF-8 without control characters.
 */
struct weir_problems {
    struct weir_problem *items;
    uint32_t n;
};
/* Takes a zeroed one as well. */
void weir_problems_deinit(struct weir_problems *problems);

/* Positive outcome: the input was refused whole; *ret_problems says why (all problems found, in
 * order of place). */
enum { WEIR_CONF_REFUSED = 1 };

/*
 * 0, -ENOMEM or WEIR_CONF_REFUSED. On 0 the caller holds one reference. *ret_problems is filled on
 * 0 (warnings only) and on WEIR_CONF_REFUSED, and the caller deinits it in both cases; on -ENOMEM
 * it is left empty.
 */
int weir_snapshot_build(const struct weir_source *sources, size_t n_sources,
                        struct weir_snapshot **ret_snapshot, struct weir_problems *ret_problems);
struct weir_snapshot *weir_snapshot_ref(struct weir_snapshot *s);
/* Takes NULL; returns NULL. */
struct weir_snapshot *weir_snapshot_unref(struct weir_snapshot *s);

/* Lookups; NULL = none. Borrowed. */
const struct weir_service *weir_snapshot_service(const struct weir_snapshot *s, const char *ns,
                                                 const char *name);
const struct weir_service *weir_snapshot_service_by_ip(const struct weir_snapshot *s,
                                                       const struct weir_ip *ip, uint16_t port,
                                                       const struct weir_service_port **ret_port);
const struct weir_pod *weir_snapshot_pod(const struct weir_snapshot *s, const char *ns,
                                         const char *name);
/* Pods on the host network and pods that have ended hold no address of their own and are not found
 * here. */
const struct weir_pod *weir_snapshot_pod_by_ip(const struct weir_snapshot *s,
                                               const struct weir_ip *ip);
const struct weir_namespace *weir_snapshot_namespace(const struct weir_snapshot *s,
                                                     const char *name);
/* PeerAuthentication in force for a pod's port: workload beats namespace beats mesh (weir-system);
 * default PERMISSIVE. */
enum weir_mtls_mode weir_snapshot_mtls(const struct weir_snapshot *s, const struct weir_pod *pod,
                                       uint16_t port);

/* Defaults, as if an empty document had been given. */
void weir_proxy_spec_default(struct weir_proxy_spec *spec);
void weir_limits_spec_default(struct weir_limits_spec *limits);
/*
 * Settles the fields whose default depends on others (admin, access_log) unless they were given. A
 * snapshot's spec is settled already; call it again after command line flags were laid over it.
 */
void weir_proxy_spec_settle(struct weir_proxy_spec *spec);
void weir_agent_spec_default(struct weir_agent_spec *spec);

/* "ADDR:PORT", "[v6]:PORT", ":PORT" (all addresses). 0 or -EINVAL. */
int weir_parse_hostport(const char *text, struct weir_ip *ret_ip, uint16_t *ret_port);
/* "http://h:p", "h2c://h:p", "https://h:p", bare "h:p" or "h" (port 80/443). 0 or -EINVAL. Strings
 * in the arena. */
int weir_parse_to(struct weir_arena *arena, const char *text, struct weir_to *ret_to);
int weir_parse_ip(const char *text, struct weir_ip *ret_ip);
bool weir_ip_is_v4(const struct weir_ip *ip);
/* Without brackets; at least 46 bytes. */
const char *weir_ip_format(const struct weir_ip *ip, char *buf, size_t size);

#endif
