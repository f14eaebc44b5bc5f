/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One document -> one draft: finds the kind by apiVersion and kind, unfolds a List, skips what is
 * marked ignorable, decodes metadata, refuses a second object of the same name. Owns the table of
 * kinds; what stands below spec is the matter of decode_core, decode_gateway, decode_policy and
 * decode_weir.
 */
#include <stdio.h>
#include <string.h>

#include "conf/decode_route.h"
#include "conf/draft_authz.h"
#include "conf/parse.h"
#include "conf/suggest.h"
#include "conf/syntax.h"

#define IGNORE_ANNOTATION "weir.dev/ignore"
/* kubectl's copy of the whole object: of no use here and often larger than the rest. */
#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

static const struct weir_kind kinds[WEIR_KINDS] = {
    [WEIR_KIND_NAMESPACE] = { "Namespace",
                              { "v1" },
                              sizeof(struct weir_draft_namespace),
                              weir_decode_namespace,
                              .namespaced = false },
    [WEIR_KIND_POD] = { "Pod",
                        { "v1" },
                        sizeof(struct weir_draft_pod),
                        weir_decode_pod,
                        .namespaced = true },
    [WEIR_KIND_SERVICE] = { "Service",
                            { "v1" },
                            sizeof(struct weir_draft_service),
                            weir_decode_service,
                            .namespaced = true },
    [WEIR_KIND_SLICE] = { "EndpointSlice",
                          { "discovery.k8s.io/v1" },
                          sizeof(struct weir_draft_slice),
                          weir_decode_slice,
                          .namespaced = true },
    [WEIR_KIND_HTTP_ROUTE] = { "HTTPRoute",
                               { "gateway.networking.k8s.io/v1",
                                 "gateway.networking.k8s.io/v1beta1" },
                               sizeof(struct weir_draft_route),
                               weir_decode_http_route,
                               .namespaced = true },
    [WEIR_KIND_GRPC_ROUTE] = { "GRPCRoute",
                               { "gateway.networking.k8s.io/v1" },
                               sizeof(struct weir_draft_route),
                               weir_decode_grpc_route,
                               .namespaced = true },
    [WEIR_KIND_TLS_ROUTE] = { "TLSRoute",
                              { "gateway.networking.k8s.io/v1",
                                "gateway.networking.k8s.io/v1alpha3",
                                "gateway.networking.k8s.io/v1alpha2" },
                              sizeof(struct weir_draft_route),
                              weir_decode_tls_route,
                              .namespaced = true },
    [WEIR_KIND_SECRET] = { "Secret",
                           { "v1" },
                           sizeof(struct weir_draft_pem),
                           weir_decode_secret,
                           .namespaced = true },
    [WEIR_KIND_CONFIG_MAP] = { "ConfigMap",
                               { "v1" },
                               sizeof(struct weir_draft_pem),
                               weir_decode_config_map,
                               .namespaced = true },
    [WEIR_KIND_BACKEND_TLS] = { "BackendTLSPolicy",
                                { "gateway.networking.k8s.io/v1",
                                  "gateway.networking.k8s.io/v1alpha3" },
                                sizeof(struct weir_draft_backend_tls),
                                weir_decode_backend_tls,
                                .namespaced = true },
    [WEIR_KIND_GATEWAY] = { "Gateway",
                            { "gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1" },
                            sizeof(struct weir_draft_gateway),
                            weir_decode_gateway,
                            .namespaced = true },
    [WEIR_KIND_GRANT] = { "ReferenceGrant",
                          { "gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1" },
                          sizeof(struct weir_draft_grant),
                          weir_decode_grant,
                          .namespaced = true },
    [WEIR_KIND_ROUTE_POLICY] = { "RoutePolicy",
                                 { "weir.dev/v1alpha1" },
                                 sizeof(struct weir_draft_route_policy),
                                 weir_decode_route_policy,
                                 .namespaced = true },
    [WEIR_KIND_NETPOL] = { "NetworkPolicy",
                           { "networking.k8s.io/v1" },
                           sizeof(struct weir_draft_netpol),
                           weir_decode_netpol,
                           .namespaced = true },
    [WEIR_KIND_EGRESS_POLICY] = { "EgressPolicy",
                                  { "weir.dev/v1alpha1" },
                                  sizeof(struct weir_draft_egress_policy),
                                  weir_decode_egress_policy,
                                  .namespaced = true },
    [WEIR_KIND_PEER_AUTH] = { "PeerAuthentication",
                              { "security.istio.io/v1", "security.istio.io/v1beta1" },
                              sizeof(struct weir_draft_peer_auth),
                              weir_decode_peer_auth,
                              .namespaced = true },
    [WEIR_KIND_BACKEND_POLICY] = { "BackendPolicy",
                                   { "weir.dev/v1alpha1" },
                                   sizeof(struct weir_draft_backend_policy),
                                   weir_decode_backend_policy,
                                   .namespaced = true },
    [WEIR_KIND_AUTHZ] = { "AuthorizationPolicy",
                          { "security.istio.io/v1", "security.istio.io/v1beta1" },
                          sizeof(struct weir_draft_authz),
                          weir_decode_authz,
                          .namespaced = true },
    [WEIR_KIND_PROXY] = { "Proxy",
                          { "weir.dev/v1alpha1" },
                          sizeof(struct weir_draft_proxy),
                          weir_decode_proxy,
                          .nameless = true },
    [WEIR_KIND_AGENT] = { "Agent",
                          { "weir.dev/v1alpha1" },
                          sizeof(struct weir_draft_agent),
                          weir_decode_agent,
                          .nameless = true },
};

/* Kinds that a later version will read: refused like any other, but not as if they were misspelt.
 */
static const char *const known_kinds[] = { "TCPRoute", "UDPRoute" };

static int decode_created(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    if (weir_parse_time(n->text, out) != 0) {
        return weir_dec_error(d, n,
                              "%s is not a time; expected something like \"2024-05-01T12:00:00Z\"",
                              WEIR_SHOW(n));
    }
    return 0;
}

static int decode_deleted(struct weir_dec *d, const struct weir_node *n, void *out) {
    *(bool *)out = true;
    return 0;
}

static int decode_labels(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const struct weir_field field = { .offset = offsetof(struct weir_meta, labels),
                                             .n_offset = offsetof(struct weir_meta, n_labels),
                                             .elem_size = sizeof(struct weir_kv) };
    struct weir_draft *draft = out;
    int r = weir_dec_strings(d, n, &field, &draft->meta);

    WEIR_NODE_FOREACH(it, n) {
        if (r != 0 || n->type != WEIR_NODE_MAP) {
            break;
        }
        if (!weir_is_label_key(it->key)) {
            r = weir_dec_error_in(d, n, it->key, "\"%.64s\" is not the name of a label", it->key);
        } else if (it->type == WEIR_NODE_STRING && !weir_is_label_value(it->text)) {
            weir_dec_enter(d, it->key, 0);
            r = weir_dec_error(
                d, it, "%s is not the value of a label: up to 63 letters, digits, '-', '_' and '.'",
                WEIR_SHOW(it));
            weir_dec_leave(d);
        }
    }
    return r;
}

static int decode_annotations(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft *draft = out;
    struct weir_meta *meta = &draft->meta;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_MAP, &r)) {
        return r;
    }
    meta->annotations = weir_arena_calloc(d->arena, n->n, sizeof(struct weir_kv));
    if (n->n > 0 && meta->annotations == NULL) {
        return -ENOMEM;
    }
    WEIR_NODE_FOREACH(it, n) {
        struct weir_kv *kv = &meta->annotations[meta->n_annotations];
        if (strcmp(it->key, LAST_APPLIED) == 0) {
            continue;
        }
        kv->value = "";
        r = weir_dec_copy(d, it->key, &kv->key);
        if (r == 0) {
            weir_dec_enter(d, it->key, 0);
            r = weir_dec_string(d, it, &kv->value);
            weir_dec_leave(d);
        }
        if (r != 0) {
            return r;
        }
        meta->n_annotations++;
    }
    return 0;
}

static const struct weir_field meta_fields[] = {
    WEIR_F("name", struct weir_draft, meta.name, weir_dec_string),
    WEIR_F("namespace", struct weir_draft, meta.namespace_, weir_dec_string),
    WEIR_F_SELF("labels", decode_labels),
    WEIR_F_SELF("annotations", decode_annotations),
    WEIR_F("creationTimestamp", struct weir_draft, meta.created, decode_created),
    WEIR_F("deletionTimestamp", struct weir_draft, deleting, decode_deleted),
    WEIR_F_NONE("deletionGracePeriodSeconds"),
    WEIR_F_NONE("finalizers"),
    WEIR_F_NONE("generateName"),
    WEIR_F_NONE("generation"),
    WEIR_F_NONE("managedFields"),
    WEIR_F_NONE("ownerReferences"),
    WEIR_F_NONE("resourceVersion"),
    WEIR_F_NONE("selfLink"),
    WEIR_F_NONE("uid"),
};
static const struct weir_object meta_object = WEIR_OBJECT("metadata", meta_fields);

const struct weir_object *const *weir_objects_meta(void) {
    static const struct weir_object *const objects[] = { &meta_object, NULL };
    return objects;
}

int weir_decode_meta(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &meta_object, out);
}

static const char *kv_find(const struct weir_kv *list, uint32_t n, const char *key) {
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(list[i].key, key) == 0) {
            return list[i].value;
        }
    }
    return "";
}

const char *weir_meta_annotation(const struct weir_meta *meta, const char *key) {
    return kv_find(meta->annotations, meta->n_annotations, key);
}

const char *weir_meta_label(const struct weir_meta *meta, const char *key) {
    return kv_find(meta->labels, meta->n_labels, key);
}

/* Name and namespace as the kind wants them; false when no object can be made of them. */
static bool check_names(struct weir_dec *d, const struct weir_node *n, const struct weir_kind *kind,
                        struct weir_draft *draft, int *ret_r) {
    const struct weir_node *meta = weir_node_get(n, "metadata"),
                           *name = weir_node_get(meta, "name");
    const struct weir_node *ns = weir_node_get(meta, "namespace");
    bool ok = true;

    *ret_r = 0;
    weir_dec_enter(d, "metadata", 0);
    if (draft->meta.name[0] == '\0') {
        ok = kind->nameless;
        if (!ok &&
            (name == NULL || name->type == WEIR_NODE_NULL || name->type == WEIR_NODE_STRING)) {
            *ret_r =
                weir_dec_error_in(d, meta != NULL ? meta : n, "name", "required, but not given");
        }
    } else if (kind->namespaced || kind->nameless ? !weir_is_dns_subdomain(draft->meta.name)
                                                  : !weir_is_dns_label(draft->meta.name)) {
        ok = false;
        *ret_r = weir_dec_error_in(d, meta, "name",
                                   "\"%.64s\" is not a name: lower case letters, digits and '-'",
                                   draft->meta.name);
    }
    if (*ret_r == 0 && draft->meta.namespace_[0] != '\0') {
        if (!weir_is_dns_label(draft->meta.namespace_)) {
            ok = false;
            *ret_r = weir_dec_error_in(d, meta, "namespace", "%s is not the name of a namespace",
                                       WEIR_SHOW(ns));
        } else if (!kind->namespaced && !kind->nameless) {
            *ret_r =
                weir_dec_error_in(d, meta, "namespace", "a %s is not in a namespace", kind->name);
        }
    } else if (kind->namespaced) {
        draft->meta.namespace_ = "default";
    }
    weir_dec_leave(d);
    return ok && *ret_r == 0;
}

/* Enters the draft among those seen; a second of the same name is reported with the place of the
 * first. */
static int check_twice(struct weir_build *b, struct weir_dec *d, const struct weir_node *n,
                       const struct weir_kind *kind, struct weir_draft *draft) {
    const char *name = kind->nameless ? "" : draft->meta.name;
    const char *key =
        weir_arena_printf(&b->arena, "%s/%s/%s", kind->name, draft->meta.namespace_, name);

    if (key == NULL) {
        return -ENOMEM;
    }
    draft->seen.key = weir_slice_from_str(key);
    int r = weir_htab_add(&b->seen, &draft->seen);
    if (r != -EEXIST) {
        return r;
    }
    const struct weir_draft *first =
        WEIR_CONTAINER_OF(weir_htab_find(&b->seen, draft->seen.key), struct weir_draft, seen);
    const struct weir_place *at = &first->meta.place;
    if (kind->nameless) {
        return weir_dec_error(d, n, "a second %s document; the first is at %s:%u:%u", kind->name,
                              at->file, at->line, at->col);
    }
    return weir_dec_error(d, n, "%s %s%s%s is given twice; first at %s:%u:%u", kind->name,
                          draft->meta.namespace_, draft->meta.namespace_[0] != '\0' ? "/" : "",
                          name, at->file, at->line, at->col);
}

static int decode_object(struct weir_build *b, struct weir_dec *d, const struct weir_node *n,
                         unsigned id) {
    const struct weir_kind *kind = &kinds[id];
    struct weir_draft *draft = weir_arena_calloc(&b->arena, 1, kind->draft_size);
    struct weir_draft_list *list = &b->drafts[id];
    int r;

    if (draft == NULL) {
        return -ENOMEM;
    }
    draft->source = d->source;
    draft->meta = (struct weir_meta){ .name = "", .namespace_ = "", .place = weir_dec_place(d, n) };
    r = kind->decode(d, n, draft);
    if (r != 0 || !check_names(d, n, kind, draft, &r)) {
        return r;
    }
    *list->tail = draft;
    list->tail = &draft->next;
    list->n++;
    return check_twice(b, d, n, kind, draft);
}

static int unknown_kind(struct weir_dec *d, const struct weir_node *n, const struct weir_node *kind,
                        const char *version) {
    static const char hint[] =
        "annotate it with " IGNORE_ANNOTATION ": \"true\" to have it skipped";
    struct weir_suggest suggest;

    weir_suggest_init(&suggest, kind->text);
    for (unsigned i = 0; i < WEIR_KINDS; i++) {
        if (strcmp(kinds[i].name, kind->text) == 0) {
            return weir_dec_error_in(d, n, "apiVersion", "%s is of %s, not of \"%.64s\"; %s",
                                     kinds[i].name, kinds[i].versions[0], version, hint);
        }
        weir_suggest_offer(&suggest, kinds[i].name);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(known_kinds); i++) {
        if (strcmp(known_kinds[i], kind->text) == 0) {
            return weir_dec_error_in(d, n, "kind", "%s is not supported by this version; %s",
                                     kind->text, hint);
        }
    }
    if (suggest.best != NULL) {
        return weir_dec_error_in(d, n, "kind", "unknown kind %s; did you mean %s? If not, %s",
                                 WEIR_SHOW(kind), suggest.best, hint);
    }
    return weir_dec_error_in(d, n, "kind", "unknown kind %s of %.64s; %s", WEIR_SHOW(kind), version,
                             hint);
}

static bool is_ignored(const struct weir_node *n) {
    const struct weir_node *annotations =
        weir_node_get(weir_node_get(n, "metadata"), "annotations");
    const struct weir_node *mark = weir_node_get(annotations, IGNORE_ANNOTATION);

    return mark != NULL && mark->type == WEIR_NODE_STRING && strcmp(mark->text, "true") == 0;
}

/* A member that must be there as a string; NULL with a report otherwise. */
static const struct weir_node *need_string(struct weir_dec *d, const struct weir_node *n,
                                           const char *key, int *ret_r) {
    const struct weir_node *member = weir_node_get(n, key);
    bool ok = false;

    if (member == NULL) {
        *ret_r = weir_dec_error_in(d, n, key, "required, but not given");
        return NULL;
    }
    weir_dec_enter(d, key, 0);
    ok = weir_dec_expect(d, member, WEIR_NODE_STRING, ret_r);
    weir_dec_leave(d);
    return ok ? member : NULL;
}

static int build_object(struct weir_build *b, struct weir_dec *d, const struct weir_node *n) {
    const struct weir_node *version, *kind;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_MAP, &r) || is_ignored(n)) {
        return r;
    }
    version = need_string(d, n, "apiVersion", &r);
    if (version == NULL) {
        return r;
    }
    kind = need_string(d, n, "kind", &r);
    if (kind == NULL) {
        return r;
    }
    for (unsigned i = 0; i < WEIR_KINDS; i++) {
        if (strcmp(kinds[i].name, kind->text) != 0) {
            continue;
        }
        for (unsigned j = 0; j < WEIR_ARRAY_LEN(kinds[i].versions) && kinds[i].versions[j] != NULL;
             j++) {
            if (strcmp(kinds[i].versions[j], version->text) == 0) {
                return decode_object(b, d, n, i);
            }
        }
    }
    return unknown_kind(d, n, kind, version->text);
}

static bool has_text(const struct weir_node *n, const char *text) {
    return n != NULL && n->type == WEIR_NODE_STRING && strcmp(n->text, text) == 0;
}

static int list_items(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_build *b = out;
    uint32_t i = 0;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_LIST, &r)) {
        return r;
    }
    WEIR_NODE_FOREACH(it, n) {
        weir_dec_enter(d, NULL, i++);
        r = build_object(b, d, it);
        weir_dec_leave(d);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

int weir_build_document(struct weir_build *b, struct weir_dec *d, const struct weir_node *root) {
    static const struct weir_field fields[] = {
        WEIR_F_NONE("apiVersion"),
        WEIR_F_NONE("kind"),
        WEIR_F_NONE("metadata"),
        WEIR_F_SELF_REQ("items", list_items),
    };
    static const struct weir_object list = WEIR_OBJECT("List", fields);

    if (has_text(weir_node_get(root, "kind"), "List") &&
        has_text(weir_node_get(root, "apiVersion"), "v1")) {
        return weir_dec_object(d, root, &list, b);
    }
    return build_object(b, d, root);
}
