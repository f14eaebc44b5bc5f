/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes: what a parentRef attaches to and what a backendRef leads to. A parent's
 * sectionName and a listener's allowedRoutes are settled here, so that who compiles routes finds
 * only attachments that are allowed. A reference to nothing stays in the snapshot (its share of
 * requests is answered with an error) and is warned about.
 */
#include <stdio.h>
#include <string.h>

#include "conf/decode_route.h"
#include "conf/link.h"

struct parent_walk {
    struct weir_link *l;
    const struct weir_draft *draft;  /* the route's */
    struct weir_parent_ref *parents; /* the new list */
    uint32_t n, index;               /* index of the parentRef at hand in the document */
    bool grpc, tls;
};

static int warn_parent(struct parent_walk *w, const struct weir_parent_ref *ref,
                       const char *message) {
    char field[64];

    snprintf(field, sizeof(field), "spec.parentRefs[%u]", w->index);
    return weir_link_warn(w->l, w->draft, &ref->place, field, "%s %s/%s %s",
                          ref->kind == WEIR_PARENT_SERVICE ? "Service" : "Gateway", ref->namespace_,
                          ref->name, message);
}

static bool allows(struct parent_walk *w, const struct weir_draft_listener *listener,
                   const char *gateway_ns) {
    const char *ns = w->draft->meta.namespace_;
    const struct weir_namespace *meta_ns;

    if (w->grpc  ? listener->no_grpc_routes
        : w->tls ? listener->no_tls_routes
                 : listener->no_http_routes) {
        return false;
    }
    switch (listener->from) {
    case WEIR_FROM_ALL:
        return true;
    case WEIR_FROM_SAME:
        return strcmp(ns, gateway_ns) == 0;
    case WEIR_FROM_SELECTOR:
        meta_ns = weir_snapshot_namespace(w->l->s, ns);
        return meta_ns != NULL && weir_selector_matches(&listener->namespaces, meta_ns->meta.labels,
                                                        meta_ns->meta.n_labels);
    case WEIR_FROM_NONE:
        break;
    }
    return false;
}

/* One reference to a Gateway becomes one per listener it names and is allowed on. */
static int expand_gateway(struct parent_walk *w, const struct weir_parent_ref *ref) {
    const struct weir_draft_gateway *gateway = (const struct weir_draft_gateway *)weir_link_find(
        w->l, "Gateway", ref->namespace_, ref->name);
    bool named = false, allowed = false;

    if (gateway == NULL) {
        return warn_parent(w, ref, "is not among the documents");
    }
    for (uint32_t i = 0; i < gateway->n_listeners; i++) {
        const struct weir_draft_listener *listener = &gateway->listeners[i];
        if ((ref->section[0] != '\0' && strcmp(ref->section, listener->value.name) != 0) ||
            (ref->port != 0 && ref->port != listener->value.port)) {
            continue;
        }
        named = true;
        if (allows(w, listener, gateway->head.meta.namespace_)) {
            allowed = true;
            w->parents[w->n] = *ref;
            w->parents[w->n].section = listener->value.name;
            w->n++;
        }
    }
    if (!named) {
        return warn_parent(w, ref, "has no such listener");
    }
    return allowed ? 0
                   : warn_parent(w, ref,
                                 "does not allow this route to attach (protocol, allowedRoutes)");
}

/* A route makes the ports it is attached to HTTP, unless the application has its own TLS
 * there. */
static bool make_l7(struct weir_service_port *port, bool grpc) {
    if (port->proto != WEIR_PROTO_TCP || port->app == WEIR_APP_TLS) {
        return false;
    }
    if (port->app == WEIR_APP_TCP) {
        port->app = grpc ? WEIR_APP_HTTP2 : WEIR_APP_HTTP;
    }
    port->l7 = true;
    return true;
}

static int attach_service(struct parent_walk *w, const struct weir_parent_ref *ref) {
    struct weir_snapshot *s = w->l->s;
    const struct weir_service *found = weir_snapshot_service(s, ref->namespace_, ref->name);
    struct weir_parent_ref *parent = &w->parents[w->n];
    bool named = false, l7 = false;

    if (found == NULL) {
        return warn_parent(w, ref, "is not among the documents");
    }
    *parent = *ref;
    struct weir_service *service = &s->services[found - s->services];
    for (uint32_t i = 0; i < service->n_ports; i++) {
        struct weir_service_port *port = &service->ports[i];
        if ((ref->section[0] != '\0' && strcmp(ref->section, port->name) != 0) ||
            (ref->port != 0 && ref->port != port->port)) {
            continue;
        }
        named = true;
        l7 = make_l7(port, w->grpc) || l7;
        if (ref->section[0] != '\0') {
            parent->port = port->port;
        }
    }
    if (!named) {
        return warn_parent(w, ref, "has no such port");
    }
    parent->section = "";
    w->n++;
    return l7 ? 0
              : warn_parent(
                    w, ref,
                    "has only ports that cannot carry plain HTTP (UDP, or TLS of the application)");
}

static uint32_t count_parents(struct weir_link *l, const struct weir_http_route *route) {
    uint32_t n = route->n_parents;

    for (uint32_t i = 0; i < route->n_parents; i++) {
        const struct weir_parent_ref *ref = &route->parents[i];
        const struct weir_draft_gateway *gateway =
            ref->kind != WEIR_PARENT_GATEWAY ? NULL
                                             : (const struct weir_draft_gateway *)weir_link_find(
                                                   l, "Gateway", ref->namespace_, ref->name);
        n += gateway != NULL ? gateway->n_listeners : 0;
    }
    return n;
}

static int link_parents(struct weir_link *l, const struct weir_draft *draft,
                        struct weir_http_route *route) {
    struct parent_walk w = { .l = l, .draft = draft, .grpc = route->grpc, .tls = route->tls };
    int r = 0;

    for (uint32_t i = 0; i < route->n_parents; i++) {
        if (route->parents[i].namespace_[0] == '\0') {
            route->parents[i].namespace_ = route->meta.namespace_;
        }
    }
    w.parents = weir_arena_calloc(&l->s->arena, count_parents(l, route), sizeof(*w.parents));
    if (route->n_parents > 0 && w.parents == NULL) {
        return -ENOMEM;
    }
    for (; w.index < route->n_parents && r == 0; w.index++) {
        const struct weir_parent_ref *ref = &route->parents[w.index];
        r = ref->kind == WEIR_PARENT_GATEWAY ? expand_gateway(&w, ref) : attach_service(&w, ref);
    }
    if (r == 0 && route->n_parents == 0) {
        r = weir_link_warn(l, draft, NULL, "spec.parentRefs",
                           "none given: the route is attached to nothing");
    }
    route->parents = w.parents;
    route->n_parents = w.n;
    return r;
}

struct backend_at {
    const struct weir_draft *draft;
    uint32_t rule, index;
    bool mirror, grpc, tls;
    bool guarded; /* a backend of another namespace needs a ReferenceGrant */
};

/* A route of the mesh alone sends a pod's requests only where that pod may call anyway, since policies are asked for the real
 * endpoint: no grant (GEP-1294). One of a Gateway opens what it names to the Gateway's clients. */
static bool is_of_mesh(const struct weir_http_route *route) {
    for (uint32_t i = 0; i < route->n_parents; i++) {
        if (route->parents[i].kind != WEIR_PARENT_SERVICE) {
            return false;
        }
    }
    return route->n_parents > 0;
}

static int warn_backend(struct weir_link *l, const struct backend_at *at,
                        const struct weir_backend_ref *ref, const char *message) {
    char field[80];

    snprintf(field, sizeof(field), "spec.rules[%u].%s[%u]", at->rule,
             at->mirror ? "filters" : "backendRefs", at->index);
    return weir_link_warn(l, at->draft, &ref->place, field, "Service %s/%s %s; %s", ref->namespace_,
                          ref->name, message,
                          at->mirror ? "nothing is mirrored to it"
                          : at->tls  ? "its share of connections is closed"
                                     : "its share of requests is answered with 500");
}

static bool granted(const struct weir_link *l, const struct backend_at *at,
                    const struct weir_backend_ref *ref) {
    return weir_link_granted(l, &(struct weir_reference){
                                    .from_kind = at->grpc  ? "GRPCRoute"
                                                 : at->tls ? "TLSRoute"
                                                           : "HTTPRoute",
                                    .from_namespace = at->draft->meta.namespace_,
                                    .kind = "Service",
                                    .namespace_ = ref->namespace_,
                                    .name = ref->name,
                                });
}

static int link_backend(struct weir_link *l, const struct backend_at *at,
                        struct weir_backend_ref *ref) {
    const char *route_ns = at->draft->meta.namespace_;
    const struct weir_service *service;

    if (ref->namespace_[0] == '\0') {
        ref->namespace_ = route_ns;
    }
    if (at->guarded && strcmp(ref->namespace_, route_ns) != 0 && !granted(l, at, ref)) {
        return warn_backend(l, at, ref, "is in another namespace without a ReferenceGrant for it");
    }
    service = weir_snapshot_service(l->s, ref->namespace_, ref->name);
    if (service == NULL) {
        return warn_backend(l, at, ref, "is not among the documents");
    }
    for (uint32_t i = 0; i < service->n_ports; i++) {
        if (service->ports[i].port == ref->port && service->ports[i].proto == WEIR_PROTO_TCP) {
            ref->service = service;
            ref->service_port = &service->ports[i];
            if (at->grpc && service->ports[i].app == WEIR_APP_TCP) { /* gRPC is HTTP/2 */
                l->s->services[service - l->s->services].ports[i].app = WEIR_APP_HTTP2;
            }
            return 0;
        }
    }
    return warn_backend(l, at, ref, "has no such TCP port");
}

static int link_mirrors(struct weir_link *l, struct backend_at at, struct weir_filter *filters,
                        uint32_t n) {
    int r = 0;

    at.mirror = true;
    for (at.index = 0; at.index < n && r == 0; at.index++) {
        if (filters[at.index].type == WEIR_FILTER_MIRROR) {
            r = link_backend(l, &at, filters[at.index].mirror.backend);
        }
    }
    return r;
}

static int link_backends(struct weir_link *l, const struct weir_draft_route *draft,
                         struct weir_http_route *route) {
    struct backend_at at = { .draft = &draft->head,
                             .grpc = route->grpc,
                             .tls = route->tls,
                             .guarded = !is_of_mesh(&draft->value) };
    int r = 0;

    for (; at.rule < route->n_rules && r == 0; at.rule++) {
        struct weir_route_rule *rule = &route->rules[at.rule];
        r = link_mirrors(l, at, rule->filters, rule->n_filters);
        for (at.index = 0; at.index < rule->n_backends && r == 0; at.index++) {
            struct weir_backend_ref *ref = &rule->backends[at.index];
            r = link_backend(l, &at, ref);
            if (r == 0) {
                r = link_mirrors(l, at, ref->filters, ref->n_filters);
            }
        }
    }
    return r;
}

/* FNV-1a: a name for what has none, the same on every replica. */
static uint32_t short_hash(const char *text) {
    uint32_t h = 0x811c9dc5;

    for (; *text != '\0'; text++) {
        h = (h ^ (uint8_t)*text) * 0x01000193;
    }
    return h;
}

/* Of two things that keep a client where it is neither can hold: GEP-1619 has the route rejected. */
static const struct weir_backend_ref *affine_backend(const struct weir_route_rule *rule) {
    for (uint32_t i = 0; i < rule->n_backends; i++) {
        const struct weir_service *service = rule->backends[i].service;
        if (service != NULL && service->affinity_client_ip) {
            return &rule->backends[i];
        }
    }
    return NULL;
}

/* Names the sessions of the route's rules; a route whose sessions cannot hold is attached to nothing. */
static int link_sessions(struct weir_link *l, const struct weir_draft *draft,
                         struct weir_http_route *route) {
    for (uint32_t i = 0; i < route->n_rules; i++) {
        struct weir_route_rule *rule = &route->rules[i];
        struct weir_session *session = rule->session;
        const struct weir_backend_ref *affine;
        char field[64];

        if (session == NULL) {
            continue;
        }
        session->scope = weir_arena_printf(&l->s->arena,
                                           rule->name[0] != '\0' ? "%s %s/%s %s" : "%s %s/%s %s#%u",
                                           route->grpc ? "GRPCRoute" : "HTTPRoute",
                                           route->meta.namespace_, route->meta.name, rule->name, i);
        if (session->scope != NULL && session->name[0] == '\0') {
            session->name =
                weir_arena_printf(&l->s->arena, "weir-%08x", short_hash(session->scope));
        }
        if (session->scope == NULL || session->name == NULL) {
            return -ENOMEM;
        }
        affine = affine_backend(rule);
        if (affine == NULL) {
            continue;
        }
        route->n_parents = 0;
        snprintf(field, sizeof(field), "spec.rules[%u].sessionPersistence", i);
        return weir_link_warn(l, draft, &session->place, field,
                              "Service %s/%s has sessionAffinity: ClientIP, which cannot hold "
                              "beside it; the route is attached to nothing",
                              affine->namespace_, affine->name);
    }
    return 0;
}

static int link_route(struct weir_link *l, const struct weir_draft *draft,
                      struct weir_http_route *route) {
    *route = ((const struct weir_draft_route *)draft)->value;
    route->meta = draft->meta;
    int r = link_parents(l, draft, route);
    if (r == 0) {
        r = link_backends(l, (const struct weir_draft_route *)draft, route);
    }
    return r == 0 ? link_sessions(l, draft, route) : r;
}

static int link_tls_routes(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    uint32_t n = l->b->drafts[WEIR_KIND_TLS_ROUTE].n;
    int r = 0;

    s->tls_routes = weir_arena_calloc(&s->arena, n, sizeof(*s->tls_routes));
    if (n > 0 && s->tls_routes == NULL) {
        return -ENOMEM;
    }
    while (r == 0 && s->n_tls_routes < n) {
        uint32_t i = s->n_tls_routes++;
        r = link_route(l, l->sorted[WEIR_KIND_TLS_ROUTE][i], &s->tls_routes[i]);
    }
    return r;
}

/* HTTPRoutes and GRPCRoutes in one list, by age and name; of equals the HTTPRoute first. */
int weir_link_routes(struct weir_link *l) {
    struct weir_snapshot *s = l->s;
    uint32_t n_http = l->b->drafts[WEIR_KIND_HTTP_ROUTE].n;
    uint32_t n_grpc = l->b->drafts[WEIR_KIND_GRPC_ROUTE].n, h = 0, g = 0;
    int r = 0;

    s->routes = weir_arena_calloc(&s->arena, (size_t)n_http + n_grpc, sizeof(*s->routes));
    if (n_http + n_grpc > 0 && s->routes == NULL) {
        return -ENOMEM;
    }
    while (r == 0 && (h < n_http || g < n_grpc)) {
        struct weir_draft **http = &l->sorted[WEIR_KIND_HTTP_ROUTE][h];
        struct weir_draft **grpc = &l->sorted[WEIR_KIND_GRPC_ROUTE][g];
        bool first = g == n_grpc || (h < n_http && weir_link_compare_age(http, grpc) <= 0);
        h += first;
        g += !first;
        r = link_route(l, first ? *http : *grpc, &s->routes[s->n_routes++]);
    }
    return r == 0 ? link_tls_routes(l) : r;
}
