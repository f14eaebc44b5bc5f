/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drafts -> the snapshot's arrays, sorted so that the same objects give the same snapshot in
 * whatever order their files were read; namespaces, pods, policies and the bootstrap documents are
 * settled here, services' endpoints in endpoints.c, gateways in gateways.c, routes in routes.c. Runs only when
 * no document had an error: what it finds (a reference to nothing, an address held twice) is a
 * warning, since objects of a cluster come and go independently.
 */
#include "conf/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/draft_authz.h"

#define NAME_LABEL "kubernetes.io/metadata.name"

int weir_link_warn(struct weir_link *l, const struct weir_draft *draft,
                   const struct weir_place *place, const char *field, const char *fmt, ...) {
    struct weir_problem_at at = {
        .severity = WEIR_SEVERITY_WARNING,
        .source = draft->source,
        .place = place != NULL ? *place : draft->meta.place,
        .field = field,
    };
    va_list ap;

    va_start(ap, fmt);
    int r = weir_problem_addv(&l->b->problems, &at, fmt, ap);
    va_end(ap);
    return r;
}

struct weir_draft *weir_link_find(struct weir_link *l, const char *kind, const char *ns,
                                  const char *name) {
    char key[400];
    int len = snprintf(key, sizeof(key), "%s/%s/%s", kind, ns, name);

    if (len < 0 || (size_t)len >= sizeof(key)) {
        return NULL;
    }
    struct weir_hnode *node = weir_htab_find(&l->b->seen, weir_slice_make(key, (size_t)len));
    return node == NULL ? NULL : WEIR_CONTAINER_OF(node, struct weir_draft, seen);
}

static int compare_names(const void *va, const void *vb) {
    const struct weir_draft *a = *(struct weir_draft *const *)va,
                            *b = *(struct weir_draft *const *)vb;
    int r = strcmp(a->meta.namespace_, b->meta.namespace_);

    return r != 0 ? r : strcmp(a->meta.name, b->meta.name);
}

/* In the order of "namespace/name" as one text: '-' comes before '/', so "a-b/x" does before "a/x". */
static int compare_full_names(const struct weir_draft *a, const struct weir_draft *b) {
    const char *x = a->meta.namespace_, *y = b->meta.namespace_;

    while (*x != '\0' && *x == *y) {
        x++;
        y++;
    }
    int r = (*x != '\0' ? *x : '/') - (*y != '\0' ? *y : '/');
    return r != 0 ? r : strcmp(a->meta.name, b->meta.name);
}

/* Gateway API precedence: the oldest first, then by "namespace/name". */
int weir_link_compare_age(const void *va, const void *vb) {
    const struct weir_draft *a = *(struct weir_draft *const *)va,
                            *b = *(struct weir_draft *const *)vb;

    if (a->meta.created != b->meta.created) {
        return a->meta.created < b->meta.created ? -1 : 1;
    }
    return compare_full_names(a, b);
}

static int compare_namespace_age(const void *va, const void *vb) {
    const struct weir_draft *a = *(struct weir_draft *const *)va,
                            *b = *(struct weir_draft *const *)vb;
    int r = strcmp(a->meta.namespace_, b->meta.namespace_);

    return r != 0 ? r : weir_link_compare_age(va, vb);
}

/* Where age decides between two objects of a kind, the oldest first. */
static int (*order_of(enum weir_kind_id kind))(const void *, const void *) {
    switch (kind) {
    case WEIR_KIND_HTTP_ROUTE:
    case WEIR_KIND_GRPC_ROUTE:
    case WEIR_KIND_TLS_ROUTE:
    case WEIR_KIND_BACKEND_TLS:
    case WEIR_KIND_GATEWAY:
    case WEIR_KIND_ROUTE_POLICY:
    case WEIR_KIND_BACKEND_POLICY:
    case WEIR_KIND_AUTHZ:
        return weir_link_compare_age;
    case WEIR_KIND_PEER_AUTH:
        return compare_namespace_age;
    default:
        return compare_names;
    }
}

static int sort_drafts(struct weir_link *l, enum weir_kind_id kind) {
    const struct weir_draft_list *list = &l->b->drafts[kind];
    struct weir_draft **sorted;
    uint32_t i = 0;

    if (list->n == 0) {
        return 0;
    }
    sorted = weir_arena_calloc(&l->b->arena, list->n, sizeof(*sorted));
    if (sorted == NULL) {
        return -ENOMEM;
    }
    for (struct weir_draft *draft = list->first; draft != NULL; draft = draft->next) {
        sorted[i++] = draft;
    }
    qsort(sorted, list->n, sizeof(*sorted), order_of(kind));
    l->sorted[kind] = sorted;
    return 0;
}

static int compare_strings(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every namespace that is an object or holds one, once, sorted. */
static int namespace_names(struct weir_link *l, const char ***ret_names, uint32_t *ret_n) {
    uint32_t total = 0, n = 0, unique = 0;

    for (unsigned k = 0; k < WEIR_KIND_PROXY; k++) {
        total += l->b->drafts[k].n;
    }
    const char **names = weir_arena_calloc(&l->b->arena, total + 1, sizeof(*names));
    if (names == NULL) {
        return -ENOMEM;
    }
    for (unsigned k = 0; k < WEIR_KIND_PROXY; k++) {
        for (struct weir_draft *draft = l->b->drafts[k].first; draft != NULL; draft = draft->next) {
            names[n++] = k == WEIR_KIND_NAMESPACE ? draft->meta.name : draft->meta.namespace_;
        }
    }
    qsort(names, n, sizeof(*names), compare_strings);
    for (uint32_t i = 0; i < n; i++) {
        if (unique == 0 || strcmp(names[unique - 1], names[i]) != 0) {
            names[unique++] = names[i];
        }
    }
    *ret_names = names;
    *ret_n = unique;
    return 0;
}

/* The API server labels every namespace with its own name, and policies rely on it. */
static int add_name_label(struct weir_snapshot *s, struct weir_namespace *ns) {
    struct weir_meta *meta = &ns->meta;

    if (weir_meta_label(meta, NAME_LABEL)[0] != '\0') {
        return 0;
    }
    struct weir_kv *labels = weir_arena_calloc(&s->arena, meta->n_labels + 1, sizeof(*labels));
    if (labels == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < meta->n_labels; i++) {
        labels[i] = meta->labels[i];
    }
    labels[meta->n_labels] = (struct weir_kv){ .key = NAME_LABEL, .value = meta->name };
    meta->labels = labels;
    meta->n_labels++;
    return 0;
}

int weir_link_namespaces(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    const char **names;
    uint32_t n;
    int r = namespace_names(l, &names, &n);

    if (r != 0) {
        return r;
    }
    s->namespaces = weir_arena_calloc(&s->arena, n, sizeof(*s->namespaces));
    if (n > 0 && s->namespaces == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n && r == 0; i++) {
        struct weir_namespace *ns = &s->namespaces[i];
        const struct weir_draft *draft = weir_link_find(l, "Namespace", "", names[i]);
        if (draft != NULL) {
            *ns = ((const struct weir_draft_namespace *)draft)->value;
            ns->meta = draft->meta;
        } else {
            *ns = (struct weir_namespace){
                .meta = { .name = names[i], .namespace_ = "", .place = { .file = "" } }, .mode = -1
            };
        }
        s->n_namespaces = i + 1;
        r = add_name_label(s, ns);
        if (r == 0) {
            r = weir_index_add_namespace(s, ns);
        }
    }
    return r;
}

/* A newer pod's claim on an address is the true one: the older is on its way out. */
static int claim_address(struct weir_link *l, const struct weir_draft_pod *draft,
                         const struct weir_pod *pod, const struct weir_ip *ip) {
    struct weir_index_entry *entry;
    char text[46];
    int r = weir_index_add_pod_ip(l->s, pod, ip, &entry);

    if (r != -EEXIST) {
        return r;
    }
    const struct weir_pod *other = entry->value;
    bool newer = pod->meta.created > other->meta.created;
    if (newer) {
        entry->value = pod;
    }
    return weir_link_warn(l, &draft->head, NULL, "status.podIPs",
                          "the address %s is also that of pod %s/%s; the %s",
                          weir_ip_format(ip, text, sizeof(text)), other->meta.namespace_,
                          other->meta.name, newer ? "newer pod has it" : "other keeps it");
}

int weir_link_pods(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    uint32_t n = l->b->drafts[WEIR_KIND_POD].n;
    int r = 0;

    s->pods = weir_arena_calloc(&s->arena, n, sizeof(*s->pods));
    if (n > 0 && s->pods == NULL) {
        return -ENOMEM;
    }
    s->n_pods = n;
    for (uint32_t i = 0; i < n && r == 0; i++) {
        const struct weir_draft_pod *draft =
            (const struct weir_draft_pod *)l->sorted[WEIR_KIND_POD][i];
        struct weir_pod *pod = &s->pods[i];
        *pod = draft->value;
        pod->meta = draft->head.meta;
        pod->ns = weir_snapshot_namespace(s, pod->meta.namespace_);
        int mode = draft->mode >= 0 ? draft->mode : pod->ns->mode;
        pod->mode_given = mode >= 0;
        pod->mode = mode >= 0 ? (enum weir_mesh_mode)mode : WEIR_MESH_KERNEL;
        r = weir_index_add_pod(s, pod);
        for (uint32_t j = 0; j < pod->n_ips && r == 0 && !pod->host_network && !draft->ended; j++) {
            r = claim_address(l, draft, pod, &pod->ips[j]);
        }
    }
    return r;
}

static int link_netpols(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    uint32_t n = l->b->drafts[WEIR_KIND_NETPOL].n;

    s->netpols = weir_arena_calloc(&s->arena, n, sizeof(*s->netpols));
    if (n > 0 && s->netpols == NULL) {
        return -ENOMEM;
    }
    s->n_netpols = n;
    for (uint32_t i = 0; i < n; i++) {
        const struct weir_draft *draft = l->sorted[WEIR_KIND_NETPOL][i];
        s->netpols[i] = ((const struct weir_draft_netpol *)draft)->value;
        s->netpols[i].meta = draft->meta;
    }
    return 0;
}

static int link_egress_policies(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    uint32_t n = l->b->drafts[WEIR_KIND_EGRESS_POLICY].n;

    s->egress_policies = weir_arena_calloc(&s->arena, n, sizeof(*s->egress_policies));
    if (n > 0 && s->egress_policies == NULL) {
        return -ENOMEM;
    }
    s->n_egress_policies = n;
    for (uint32_t i = 0; i < n; i++) {
        const struct weir_draft *draft = l->sorted[WEIR_KIND_EGRESS_POLICY][i];
        s->egress_policies[i] = ((const struct weir_draft_egress_policy *)draft)->value;
        s->egress_policies[i].meta = draft->meta;
    }
    return 0;
}

static int link_peer_auths(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    uint32_t n = l->b->drafts[WEIR_KIND_PEER_AUTH].n, first = 0;
    int r = 0;

    s->peer_auths = weir_arena_calloc(&s->arena, n, sizeof(*s->peer_auths));
    if (n > 0 && s->peer_auths == NULL) {
        return -ENOMEM;
    }
    s->n_peer_auths = n;
    for (uint32_t i = 0; i < n; i++) {
        const struct weir_draft *draft = l->sorted[WEIR_KIND_PEER_AUTH][i];
        s->peer_auths[i] = ((const struct weir_draft_peer_auth *)draft)->value;
        s->peer_auths[i].meta = draft->meta;
    }
    for (uint32_t i = 1; i <= n && r == 0; i++) {
        if (i < n &&
            strcmp(s->peer_auths[i].meta.namespace_, s->peer_auths[first].meta.namespace_) == 0) {
            continue;
        }
        r = weir_index_add_peer_auths(s, &s->peer_auths[first], i - first);
        first = i;
    }
    return r;
}

/* A target that is not there protects nothing yet, which is told. */
static int link_target(struct weir_link *l, const struct weir_draft *draft,
                       struct weir_authz_target *target) {
    const char *ns = draft->meta.namespace_;

    if (!target->gateway) {
        target->service = weir_snapshot_service(l->s, ns, target->name);
        if (target->service != NULL) {
            return 0;
        }
    } else if (weir_link_find(l, "Gateway", ns, target->name) != NULL) {
        return 0;
    }
    return weir_link_warn(l, draft, NULL, "spec.targetRefs", "there is no %s %s/%s",
                          target->gateway ? "Gateway" : "Service", ns, target->name);
}

static int link_authz(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    uint32_t n = l->b->drafts[WEIR_KIND_AUTHZ].n;
    int r = 0;

    s->authz = weir_arena_calloc(&s->arena, n, sizeof(*s->authz));
    if (n > 0 && s->authz == NULL) {
        return -ENOMEM;
    }
    s->n_authz = n;
    for (uint32_t i = 0; i < n; i++) {
        const struct weir_draft *draft = l->sorted[WEIR_KIND_AUTHZ][i];
        struct weir_authz_policy *policy = &s->authz[i];

        *policy = ((const struct weir_draft_authz *)draft)->value;
        policy->meta = draft->meta;
        for (uint32_t k = 0; k < policy->n_rules; k++) {
            policy->proven = policy->proven || weir_authz_rule_proven(&policy->rules[k]);
        }
        for (uint32_t t = 0; t < policy->n_targets && r == 0; t++) {
            r = link_target(l, draft, &policy->targets[t]);
        }
    }
    return r;
}

static int link_bootstrap(struct weir_link *l) {
    const struct weir_draft *proxy = l->b->drafts[WEIR_KIND_PROXY].first,
                            *agent = l->b->drafts[WEIR_KIND_AGENT].first;
    const char *pod, *slash;

    if (agent != NULL) {
        l->s->agent = ((const struct weir_draft_agent *)agent)->value;
    }
    if (proxy == NULL) {
        return 0;
    }
    l->s->proxy = ((const struct weir_draft_proxy *)proxy)->value;
    pod = l->s->proxy.pod;
    slash = strchr(pod, '/');
    if (slash == NULL) {
        return 0;
    }
    const char *ns = weir_arena_printf(&l->b->arena, "%.*s", (int)(slash - pod), pod);
    if (ns == NULL) {
        return -ENOMEM;
    }
    if (weir_snapshot_pod(l->s, ns, slash + 1) != NULL) {
        return 0;
    }
    return weir_link_warn(l, proxy, NULL, "spec.pod", "the Pod %s is not among the documents", pod);
}

int weir_build_link(struct weir_build *b) {
    static int (*const steps[])(struct weir_link *) = {
        weir_link_namespaces, weir_link_pods,   weir_link_services,         weir_link_endpoints,
        weir_link_gateways,   weir_link_routes, weir_link_route_policies,   link_netpols,
        link_egress_policies, link_peer_auths,  weir_link_backend_policies, weir_link_backend_tls,
        link_authz,           link_bootstrap,
    };
    struct weir_link l = { .b = b, .s = b->snapshot };
    int r = 0;

    for (unsigned i = 0; i < WEIR_KINDS && r == 0; i++) {
        r = sort_drafts(&l, (enum weir_kind_id)i);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(steps) && r == 0; i++) {
        r = steps[i](&l);
    }
    return r;
}
