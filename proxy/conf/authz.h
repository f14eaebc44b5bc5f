/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AuthorizationPolicy security.istio.io/v1: what it says, and what its parts select. The kernel's compiled
 * form (kern/plan_authz.c) and the sidecar's (route/rbac.c) are both made from these few questions.
 * Lists of names are Istio's: exact, "prefix*", "*suffix", or "*" for anything that is there.
 */
#ifndef WEIR_CONF_AUTHZ_H
#define WEIR_CONF_AUTHZ_H

#include "base/slice.h"
#include "conf/model.h"

struct weir_snapshot;

#define WEIR_ROOT_NAMESPACE "weir-system" /* policies there are of the whole mesh */

struct weir_strings {
    const char **v;
    uint32_t n;
};
struct weir_cidrs {
    struct weir_cidr *v;
    uint32_t n;
};
struct weir_port_list {
    uint16_t *v;
    uint32_t n;
};

/* Every list that is given must hold; of one list, one element. not_*: none. */
struct weir_authz_source {
    struct weir_strings principals, not_principals; /* "TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT" */
    struct weir_strings accounts, not_accounts;     /* "NAMESPACE/ACCOUNT", no wildcards */
    struct weir_strings namespaces, not_namespaces;
    struct weir_cidrs ips, not_ips, remote_ips, not_remote_ips;
};

struct weir_authz_operation {
    struct weir_strings hosts, not_hosts, methods, not_methods, paths, not_paths;
    struct weir_port_list ports, not_ports;
};

enum weir_authz_key {
    WEIR_AUTHZ_HEADER,
    WEIR_AUTHZ_SOURCE_IP,
    WEIR_AUTHZ_REMOTE_IP,
    WEIR_AUTHZ_SOURCE_NAMESPACE,
    WEIR_AUTHZ_SOURCE_PRINCIPAL,
    WEIR_AUTHZ_SOURCE_ACCOUNT,
    WEIR_AUTHZ_DESTINATION_IP,
    WEIR_AUTHZ_DESTINATION_PORT,
    WEIR_AUTHZ_SNI,
};

/* The key says which of the three kinds of lists is filled. */
struct weir_authz_condition {
    enum weir_authz_key key;
    const char *header; /* WEIR_AUTHZ_HEADER: the field's name */
    struct weir_strings values, not_values;
    struct weir_cidrs ips, not_ips;
    struct weir_port_list ports, not_ports;
};

struct weir_authz_rule {
    struct weir_authz_source *sources; /* none = any */
    uint32_t n_sources;
    struct weir_authz_operation *operations; /* none = any */
    uint32_t n_operations;
    struct weir_authz_condition *conditions; /* all must hold */
    uint32_t n_conditions;
};

enum weir_authz_action { WEIR_AUTHZ_ALLOW, WEIR_AUTHZ_DENY, WEIR_AUTHZ_AUDIT };

struct weir_authz_target {
    bool gateway; /* else a Service */
    const char *name;
    const struct weir_service *service; /* NULL = a Gateway, or there is none of that name */
};

struct weir_authz_policy {
    struct weir_meta meta;
    enum weir_authz_action action;
    bool audit;  /* weir.dev/audit or istio.io/dry-run: what it would deny is told, not denied */
    bool proven; /* a rule of it asks for a proven identity */
    struct weir_selector pods;
    struct weir_authz_target *targets; /* any: then `pods` is absent */
    uint32_t n_targets;
    struct weir_authz_rule *rules; /* none: it never matches */
    uint32_t n_rules;
};

/*
 * Where it applies at a pod: everywhere (first 0, last 65535), at the ports that its target Services lead to there, or nowhere. Asked
 * with i from 0 until it is false.
 */
bool weir_authz_scope(const struct weir_authz_policy *policy, const struct weir_pod *pod,
                      uint32_t i, uint16_t *ret_first, uint16_t *ret_last);
/* Does it apply at that port of the pod? */
bool weir_authz_applies(const struct weir_authz_policy *policy, const struct weir_pod *pod,
                        uint16_t port);
bool weir_authz_applies_gateway(const struct weir_authz_policy *policy, const char *ns,
                                const char *name);

/* Parts that only a certificate answers, and parts that only an HTTP request does. */
bool weir_authz_source_proven(const struct weir_authz_source *s);
bool weir_authz_rule_proven(const struct weir_authz_rule *r);
bool weir_authz_operation_http(const struct weir_authz_operation *o);
bool weir_authz_rule_http(const struct weir_authz_rule *r);
/* Does a policy in force at that port ask for a proven identity? Then the flow has to enter the proxies. */
bool weir_authz_wants_proof(const struct weir_snapshot *s, const struct weir_pod *pod,
                            uint16_t port);

/* Does what arrives at that port of the pod have to prove who it is: STRICT mTLS, or such a policy? */
bool weir_pod_wants_proof(const struct weir_snapshot *s, const struct weir_pod *pod, uint16_t port);
/* Is that port behind the pod's proxy, to whom mTLS may be spoken? Not one that the pod keeps out of it
 * (weir.dev/skip-inbound-ports), unless a proof is asked for there: policy is not skipped. */
bool weir_pod_enters(const struct weir_snapshot *s, const struct weir_pod *pod, uint16_t port);
/* Are bytes all that is to be seen of what arrives there (weir.dev/opaque-ports)? */
bool weir_pod_opaque(const struct weir_pod *pod, uint16_t port);

/* Istio's wildcards. `fold`: letters of either case are alike. */
bool weir_authz_text_matches(const char *pattern, struct weir_slice text, bool fold);
/* A principal of the pod; "cluster.local" in the pattern is the mesh's own trust domain. */
bool weir_authz_principal_matches(const char *pattern, const char *trust_domain,
                                  struct weir_slice ns, struct weir_slice account);
/* "NAMESPACE/ACCOUNT" as written in serviceAccounts. */
bool weir_authz_account_matches(const char *pattern, struct weir_slice ns,
                                struct weir_slice account);
/* A path pattern: the wildcards, or a template with {*} (one segment) and {**} (any number, last). */
bool weir_authz_path_matches(const char *pattern, struct weir_slice path);
/* Is a path pattern with braces well formed? Those without are. */
bool weir_authz_template_ok(const char *pattern);

#endif
