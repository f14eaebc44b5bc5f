/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One build of a snapshot: the drafts collected so far, the decoder of each kind, and the steps that
 * lead from a document to linked drafts.
 */
#ifndef WEIR_CONF_BUILD_H
#define WEIR_CONF_BUILD_H

#include "conf/draft.h"

struct weir_draft_list {
    struct weir_draft *first, **tail;
    uint32_t n;
};

struct weir_build {
    struct weir_snapshot *snapshot;
    struct weir_arena arena; /* of the drafts and of what linking needs */
    struct weir_problem_sink problems;
    struct weir_htab seen;
    struct weir_draft_list drafts[WEIR_KINDS];
};

/* What weir_build_document needs to know of one kind. */
struct weir_kind {
    const char *name;
    const char *versions[3]; /* the first one is the one to write */
    size_t draft_size;
    weir_decode_fn *decode; /* out: the whole draft */
    bool namespaced, nameless;
};

int weir_decode_namespace(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_pod(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_service(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_slice(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_http_route(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_grpc_route(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_tls_route(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_secret(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_config_map(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_backend_tls(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_gateway(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_grant(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_route_policy(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_netpol(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_egress_policy(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_peer_auth(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_backend_policy(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_authz(struct weir_dec *d, const struct weir_node *n, void *out); /* draft_authz.h */
int weir_decode_proxy(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_limits(struct weir_dec *d, const struct weir_node *n, void *out);
extern const struct weir_object weir_limit_object;
int weir_decode_agent(struct weir_dec *d, const struct weir_node *n, void *out);

/* metadata, into the struct weir_draft at out. */
int weir_decode_meta(struct weir_dec *d, const struct weir_node *n, void *out);
/* LabelSelector, and its matchLabels alone (Service, PeerAuthentication), into a struct
 * weir_selector. */
int weir_decode_selector(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_match_labels(struct weir_dec *d, const struct weir_node *n, void *out);
/* One element of a policy's ports, into a struct weir_netpol_port. */
int weir_decode_policy_port(struct weir_dec *d, const struct weir_node *n, void *out);
/* "ADDR" or "ADDR:PORT" into a struct weir_dns_server that a pod's answers may come from. */
int weir_decode_dns_server(struct weir_dec *d, const struct weir_node *n, void *out);
/* TCP or UDP into a uint8_t; SCTP is refused. */
int weir_decode_proto(struct weir_dec *d, const struct weir_node *n, void *out);
/* A clean absolute path; the same below the cgroup2 mount, where the leading slash may be left out.
 */
int weir_decode_path(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_decode_cgroup(struct weir_dec *d, const struct weir_node *n, void *out);
/* As weir_dec_duration, longer than 0: a timeout of zero would end everything at once. */
int weir_dec_timeout(struct weir_dec *d, const struct weir_node *n, void *out);
/* Bytes as a number or with Ki, Mi, Gi, Ti, into a uint64_t. */
int weir_dec_size(struct weir_dec *d, const struct weir_node *n, void *out);
/* A number from min to max into *out, which is left alone when it is none. */
int weir_dec_ranged(struct weir_dec *d, const struct weir_node *n, uint32_t min, uint32_t max,
                    uint32_t *out);
/* One element of the targetRefs of a policy into a struct weir_policy_target; its group and kind are the caller's to check. */
int weir_decode_policy_target(struct weir_dec *d, const struct weir_node *n,
                              const struct weir_object *object, struct weir_policy_target *out);
/* One reference to an object that holds certificates, by the table of its place, into a struct weir_draft_ref. */
int weir_decode_pem_ref(struct weir_dec *d, const struct weir_node *n,
                        const struct weir_object *object, struct weir_draft_ref *out);
/* "" when the key is absent. */
const char *weir_meta_annotation(const struct weir_meta *meta, const char *key);
const char *weir_meta_label(const struct weir_meta *meta, const char *key);

/* One document, or the items of one List. 0 or -ENOMEM. */
int weir_build_document(struct weir_build *b, struct weir_dec *d, const struct weir_node *root);
/* Resolves references and fills the snapshot from the drafts; only when there was no error. 0 or
 * -ENOMEM. */
int weir_build_link(struct weir_build *b);

/* All tables there are, for the test that compares them with the documentation. Ends with NULL. */
const struct weir_object *const *weir_objects_core(void);
const struct weir_object *const *weir_objects_pod(void);
const struct weir_object *const *weir_objects_route(void);
const struct weir_object *const *weir_objects_filter(void);
const struct weir_object *const *weir_objects_session(void);
const struct weir_object *const *weir_objects_cors(void);
const struct weir_object *const *weir_objects_grpc(void);
const struct weir_object *const *weir_objects_tls(void);
const struct weir_object *const *weir_objects_secret(void);
const struct weir_object *const *weir_objects_gateway(void);
const struct weir_object *const *weir_objects_grant(void);
const struct weir_object *const *weir_objects_route_policy(void);
const struct weir_object *const *weir_objects_policy(void);
const struct weir_object *const *weir_objects_egress(void);
const struct weir_object *const *weir_objects_backend(void);
const struct weir_object *const *weir_objects_authz(void);
const struct weir_object *const *weir_objects_weir(void);
const struct weir_object *const *weir_objects_meta(void);

#endif
