/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRPCRoute, turned into what an HTTPRoute could say: a call of service S, method M is a POST of path
 * /S/M. Both exact: an exact path. A service alone: a prefix. A method alone: the prefix "/" with a
 * condition on the last element. Expressions: one expression over the path. Only gRPC requests match
 * such a route at all.
 */
#include "conf/decode_route.h"

#include <string.h>

struct rpc_match { /* GRPCMethodMatch */
    bool regex;
    const char *service, *method;
};

struct grpc_match {
    struct rpc_match rpc;
    struct weir_named_match *headers;
    uint32_t n_headers;
};

static int decode_rpc_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Exact", "RegularExpression", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(bool *)out = i == 1;
    return r;
}

static const struct weir_field rpc_fields[] = {
    WEIR_F("type", struct rpc_match, regex, decode_rpc_type),
    WEIR_F("service", struct rpc_match, service, weir_dec_string),
    WEIR_F("method", struct rpc_match, method, weir_dec_string),
};
static const struct weir_object rpc_object =
    WEIR_OBJECT("GRPCRoute.spec.rules[].matches[].method", rpc_fields);

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Identifiers of protobuf, joined by dots where `dots`. */
static bool is_rpc_name(const char *s, bool dots) {
    bool start = true;

    for (; *s != '\0'; s++) {
        if (*s == '.' && dots && !start) {
            start = true;
        } else if (is_letter(*s) || (!start && *s >= '0' && *s <= '9')) {
            start = false;
        } else {
            return false;
        }
    }
    return !start;
}

static int check_rpc_name(struct weir_dec *d, const struct weir_node *n, const char *key,
                          const struct rpc_match *m) {
    const struct weir_node *name = weir_node_get(n, key);
    bool dots = key[0] == 's';
    int r = 0;

    if (name == NULL || name->type != WEIR_NODE_STRING) {
        return 0;
    }
    weir_dec_enter(d, key, 0);
    if (m->regex) {
        r = weir_check_regex(d, name, name->text);
    } else if (!is_rpc_name(name->text, dots)) {
        r = weir_dec_error(d, name, "%s is not the name of a gRPC %s", WEIR_SHOW(name), key);
    }
    weir_dec_leave(d);
    return r;
}

static int decode_rpc(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct rpc_match *m = out;
    int r = weir_dec_object(d, n, &rpc_object, m);

    if (r == 0 && m->service[0] == '\0' && m->method[0] == '\0') {
        return weir_dec_error(d, n, "names neither a service nor a method");
    }
    if (r == 0) {
        r = check_rpc_name(d, n, "service", m);
    }
    return r == 0 ? check_rpc_name(d, n, "method", m) : r;
}

static const struct weir_field header_fields[] = {
    WEIR_F("type", struct weir_typed_match, type, weir_decode_match_type),
    WEIR_F_REQ("name", struct weir_typed_match, name, weir_dec_string),
    WEIR_F_REQ("value", struct weir_typed_match, value, weir_dec_string),
};
static const struct weir_object header_object =
    WEIR_OBJECT("GRPCRoute.spec.rules[].matches[].headers[]", header_fields);

static int decode_header(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_decode_named_match(d, n, &header_object, out);
}

static const struct weir_field match_fields[] = {
    WEIR_F("method", struct grpc_match, rpc, decode_rpc),
    WEIR_F_LIST("headers", struct grpc_match, headers, n_headers, decode_header),
};
static const struct weir_object match_object =
    WEIR_OBJECT("GRPCRoute.spec.rules[].matches[]", match_fields);

static int set_path(struct weir_arena *arena, const struct rpc_match *m,
                    struct weir_route_match *out) {
    bool service = m->service[0] != '\0', method = m->method[0] != '\0';
    const char *path = "/";

    out->path_type = WEIR_MATCH_PREFIX;
    if (m->regex && (service || method)) {
        out->path_type = WEIR_MATCH_REGEX;
        path = weir_arena_printf(arena, "/(?:%s)/(?:%s)", service ? m->service : "[^/]+",
                                 method ? m->method : "[^/]+");
    } else if (service && method) {
        out->path_type = WEIR_MATCH_EXACT;
        path = weir_arena_printf(arena, "/%s/%s", m->service, m->method);
    } else if (service) {
        path = weir_arena_printf(arena, "/%s", m->service);
    } else if (method) {
        out->rpc = m->method;
    }
    out->path = path;
    return path != NULL ? 0 : -ENOMEM;
}

static int decode_match(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct grpc_match match = { .rpc = { .service = "", .method = "" } };
    struct weir_route_match *m = out;
    int r = weir_dec_object(d, n, &match_object, &match);

    m->method = "";
    m->path = "/";
    m->headers = match.headers;
    m->n_headers = match.n_headers;
    return r == 0 ? set_path(d->arena, &match.rpc, m) : r;
}

static const struct weir_field backend_fields[] = {
    WEIR_F("group", struct weir_object_ref, group, weir_dec_string),
    WEIR_F("kind", struct weir_object_ref, kind, weir_dec_string),
    WEIR_F_REQ("name", struct weir_object_ref, backend.name, weir_dec_string),
    WEIR_F("namespace", struct weir_object_ref, backend.namespace_, weir_decode_ref_namespace),
    WEIR_F_REQ("port", struct weir_object_ref, backend.port, weir_dec_port),
    WEIR_F("weight", struct weir_object_ref, backend.weight, weir_decode_route_weight),
    WEIR_F_LIST("filters", struct weir_object_ref, backend.filters, backend.n_filters,
                weir_decode_grpc_filter),
};
static const struct weir_object backend_object =
    WEIR_OBJECT("GRPCRoute.spec.rules[].backendRefs[]", backend_fields);

static int decode_backend(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_decode_backend_ref(d, n, &backend_object, out);
}

static const struct weir_field rule_fields[] = {
    WEIR_F("name", struct weir_route_rule, name, weir_dec_string),
    WEIR_F_LIST("matches", struct weir_route_rule, matches, n_matches, decode_match),
    WEIR_F_LIST("filters", struct weir_route_rule, filters, n_filters, weir_decode_grpc_filter),
    WEIR_F_LIST("backendRefs", struct weir_route_rule, backends, n_backends, decode_backend),
    WEIR_F("sessionPersistence", struct weir_route_rule, session, weir_decode_session),
};
static const struct weir_object rule_object = WEIR_OBJECT("GRPCRoute.spec.rules[]", rule_fields);

static int decode_rule(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_route_rule *rule = out;

    rule->name = "";
    rule->place = weir_dec_place(d, n);
    int r = weir_dec_object(d, n, &rule_object, rule);
    if (r == 0 && rule->n_matches == 0) {
        r = weir_default_match(d, rule);
    }
    return r == 0 ? weir_check_filters(d, n, rule->filters, rule->n_filters) : r;
}

static const struct weir_field spec_fields[] = {
    WEIR_F_LIST("parentRefs", struct weir_draft_route, value.parents, value.n_parents,
                weir_decode_parent_ref),
    WEIR_F_LIST("hostnames", struct weir_draft_route, value.hostnames, value.n_hostnames,
                weir_decode_route_host),
    WEIR_F_LIST("rules", struct weir_draft_route, value.rules, value.n_rules, decode_rule),
    WEIR_F_UNSUP("useDefaultGateways"),
};
static const struct weir_object spec_object = WEIR_OBJECT("GRPCRoute.spec", spec_fields);

static int decode_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_http_route *route = &((struct weir_draft_route *)out)->value;
    int r = weir_dec_object(d, n, &spec_object, out);

    return r == 0 ? weir_check_rule_names(d, n, route->rules, route->n_rules) : r;
}

static const struct weir_field route_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF_REQ("spec", decode_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object route_object = WEIR_OBJECT("GRPCRoute", route_fields);

/* Without rules it matches nothing: unlike HTTPRoute it has no default. */
int weir_decode_grpc_route(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_route *route = out;

    route->value.grpc = true;
    return weir_dec_object(d, n, &route_object, route);
}

const struct weir_object *const *weir_objects_grpc(void) {
    static const struct weir_object *const objects[] = {
        &route_object, &spec_object,   &rule_object,    &match_object,
        &rpc_object,   &header_object, &backend_object, NULL,
    };
    return objects;
}
