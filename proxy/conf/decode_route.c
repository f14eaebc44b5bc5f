/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPRoute of gateway.networking.k8s.io: its tables, the defaults and the rules its CRD states in
 * CEL. Every field of the v1 type is named here; what this version cannot do (redirects, rewrites,
 * mirrors, retries, ...) is refused at its place. Whether a backend or a parent exists is the
 * matter of routes.c.
 */
#include <string.h>

#include "conf/build.h"
#include "conf/regex.h"
#include "conf/syntax.h"

#define GATEWAY_GROUP "gateway.networking.k8s.io"

struct typed_match { /* HTTPPathMatch, HTTPHeaderMatch, HTTPQueryParamMatch */
    unsigned type;
    const char *name, *value;
};

static int decode_match_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Exact", "RegularExpression", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(unsigned *)out = i == 1 ? WEIR_MATCH_REGEX : WEIR_MATCH_EXACT;
    return r;
}

static int decode_path_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Exact", "PathPrefix", "RegularExpression", NULL };
    static const unsigned types[] = { WEIR_MATCH_EXACT, WEIR_MATCH_PREFIX, WEIR_MATCH_REGEX };
    unsigned i = 1;
    int r = weir_dec_word(d, n, words, &i);

    *(unsigned *)out = types[i];
    return r;
}

static int check_regex(struct weir_dec *d, const struct weir_node *n, const char *pattern) {
    char message[128];
    size_t offset = 0;
    int r = weir_regex_check(pattern, message, sizeof(message), &offset);

    if (r == WEIR_REGEX_BAD) {
        return weir_dec_error(d, n, "not a regular expression: %s at offset %zu", message, offset);
    }
    return r;
}

static const struct weir_field path_fields[] = {
    WEIR_F("type", struct typed_match, type, decode_path_type),
    WEIR_F("value", struct typed_match, value, weir_dec_string),
};
static const struct weir_object path_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].matches[].path", path_fields);

static bool ends_with(const char *s, const char *end) {
    return weir_slice_ends_with(weir_slice_from_str(s), weir_slice_from_str(end));
}

/* The CRD's own rules for Exact and PathPrefix: a path that a normalised request could have. */
static const char *path_fault(const char *path) {
    static const char *const inside[] = { "//", "/./", "/../", "%2f", "%2F", "#" };

    if (path[0] != '/') {
        return "must begin with '/'";
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(inside); i++) {
        if (strstr(path, inside[i]) != NULL) {
            return "may not contain \"//\", \"/./\", \"/../\", \"%2f\" or '#'";
        }
    }
    if (ends_with(path, "/..") || ends_with(path, "/.")) {
        return "may not end with \"/..\" or \"/.\"";
    }
    if (strchr(path, '?') != NULL) {
        return "may not contain '?'; match the query with queryParams";
    }
    return NULL;
}

static int decode_path(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_route_match *match = out;
    struct typed_match path = { .type = WEIR_MATCH_PREFIX, .value = "/" };
    int r = weir_dec_object(d, n, &path_object, &path);
    const struct weir_node *value = weir_node_get(n, "value");
    const char *fault = path.type != WEIR_MATCH_REGEX ? path_fault(path.value) : NULL;

    match->path_type = (enum weir_match_type)path.type;
    match->path = path.value;
    if (r != 0 || value == NULL) {
        return r;
    }
    weir_dec_enter(d, "value", 0);
    if (fault != NULL) {
        r = weir_dec_error(d, value, "%s %s", WEIR_SHOW(value), fault);
    } else if (path.type == WEIR_MATCH_REGEX) {
        r = check_regex(d, value, path.value);
    }
    weir_dec_leave(d);
    return r;
}

static const struct weir_field named_match_fields[] = {
    WEIR_F("type", struct typed_match, type, decode_match_type),
    WEIR_F_REQ("name", struct typed_match, name, weir_dec_string),
    WEIR_F_REQ("value", struct typed_match, value, weir_dec_string),
};
static const struct weir_object header_match_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].matches[].headers[]", named_match_fields);
static const struct weir_object query_match_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].matches[].queryParams[]", named_match_fields);

static int decode_named_match(struct weir_dec *d, const struct weir_node *n,
                              const struct weir_object *object, struct weir_named_match *out) {
    struct typed_match match = { .type = WEIR_MATCH_EXACT, .name = "", .value = "" };
    int r = weir_dec_object(d, n, object, &match);
    const struct weir_node *name = weir_node_get(n, "name"), *value = weir_node_get(n, "value");

    *out = (struct weir_named_match){ (enum weir_match_type)match.type, match.name, match.value };
    if (r == 0 && name != NULL && name->type == WEIR_NODE_STRING && !weir_is_token(name->text)) {
        r = weir_dec_error_in(d, n, "name", "%s is not a name that can be matched",
                              WEIR_SHOW(name));
    }
    if (r == 0 && value != NULL && match.type == WEIR_MATCH_REGEX) {
        weir_dec_enter(d, "value", 0);
        r = check_regex(d, value, match.value);
        weir_dec_leave(d);
    }
    return r;
}

static int decode_header_match(struct weir_dec *d, const struct weir_node *n, void *out) {
    return decode_named_match(d, n, &header_match_object, out);
}

static int decode_query_match(struct weir_dec *d, const struct weir_node *n, void *out) {
    return decode_named_match(d, n, &query_match_object, out);
}

static int decode_method(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                         "CONNECT", "OPTIONS", "TRACE", "PATCH", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(const char **)out = words[i];
    return r;
}

static const struct weir_field match_fields[] = {
    WEIR_F_SELF("path", decode_path),
    WEIR_F("method", struct weir_route_match, method, decode_method),
    WEIR_F_LIST("headers", struct weir_route_match, headers, n_headers, decode_header_match),
    WEIR_F_LIST("queryParams", struct weir_route_match, queries, n_queries, decode_query_match),
};
static const struct weir_object match_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].matches[]", match_fields);

static int decode_match(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_route_match *match = out;

    match->path_type = WEIR_MATCH_PREFIX;
    match->path = "/";
    match->method = "";
    return weir_dec_object(d, n, &match_object, match);
}

static int decode_header_name(struct weir_dec *d, const struct weir_node *n, void *out) {
    *(const char **)out = "";
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_token(n->text)) {
        return weir_dec_error(d, n, "%s is not a header name", WEIR_SHOW(n));
    }
    return r;
}

static int decode_header_value(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_field_value(n->text)) {
        return weir_dec_error(
            d, n, "a header value may not contain control characters or blanks at its ends");
    }
    return r;
}

static const struct weir_field header_fields[] = {
    WEIR_F_REQ("name", struct weir_kv, key, decode_header_name),
    WEIR_F_REQ("value", struct weir_kv, value, decode_header_value),
};
static const struct weir_object header_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[].requestHeaderModifier.set[]", header_fields);

static int decode_header(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_kv *kv = out;

    kv->key = kv->value = "";
    return weir_dec_object(d, n, &header_object, kv);
}

static const struct weir_field header_mod_fields[] = {
    WEIR_F_LIST("set", struct weir_header_mod, set, n_set, decode_header),
    WEIR_F_LIST("add", struct weir_header_mod, add, n_add, decode_header),
    WEIR_F_LIST("remove", struct weir_header_mod, remove, n_remove, decode_header_name),
};
static const struct weir_object header_mod_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[].requestHeaderModifier", header_mod_fields);

static int decode_header_mod(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &header_mod_object, out);
}

/* type says which of the members must be there; those of other filters are refused by their own
 * entry. */
static const char *const filter_types[] = { "RequestHeaderModifier",
                                            "ResponseHeaderModifier",
                                            "RequestRedirect",
                                            "URLRewrite",
                                            "RequestMirror",
                                            "CORS",
                                            "ExternalAuth",
                                            "ExtensionRef",
                                            NULL };

struct filter_draft {
    unsigned type;
    struct weir_header_mod request, response;
};

static int decode_filter_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    unsigned i = 0;
    int r = weir_dec_word(d, n, filter_types, &i);

    if (r == 0 && i > 1) {
        return weir_dec_error(d, n, "%s is not supported by this version", filter_types[i]);
    }
    *(unsigned *)out = i;
    return r;
}

static const struct weir_field filter_fields[] = {
    WEIR_F_REQ("type", struct filter_draft, type, decode_filter_type),
    WEIR_F("requestHeaderModifier", struct filter_draft, request, decode_header_mod),
    WEIR_F("responseHeaderModifier", struct filter_draft, response, decode_header_mod),
    WEIR_F_UNSUP("requestMirror"),
    WEIR_F_UNSUP("requestRedirect"),
    WEIR_F_UNSUP("urlRewrite"),
    WEIR_F_UNSUP("cors"),
    WEIR_F_UNSUP("externalAuth"),
    WEIR_F_UNSUP("extensionRef"),
};
static const struct weir_object filter_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[]", filter_fields);

static int decode_filter(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const members[] = { "requestHeaderModifier", "responseHeaderModifier" };
    struct weir_filter *filter = out;
    struct filter_draft draft = { .type = 2 };
    uint32_t errors = d->problems->n_errors;
    int r = weir_dec_object(d, n, &filter_object, &draft);

    if (r != 0 || draft.type > 1 || errors != d->problems->n_errors) {
        return r;
    }
    filter->type = draft.type == 0 ? WEIR_FILTER_REQUEST_HEADERS : WEIR_FILTER_RESPONSE_HEADERS;
    filter->headers = draft.type == 0 ? draft.request : draft.response;
    if (weir_node_get(n, members[draft.type]) == NULL) {
        return weir_dec_error_in(d, n, members[draft.type], "required with type %s",
                                 filter_types[draft.type]);
    }
    if (weir_node_get(n, members[!draft.type]) != NULL) {
        return weir_dec_error_in(d, n, members[!draft.type], "not allowed with type %s",
                                 filter_types[draft.type]);
    }
    return 0;
}

struct object_ref { /* parentRef and backendRef */
    const char *group, *kind;
    union {
        struct weir_parent_ref parent;
        struct weir_backend_ref backend;
    };
};

static int decode_ref_namespace(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_dns_label(n->text)) {
        return weir_dec_error(d, n, "%s is not the name of a namespace", WEIR_SHOW(n));
    }
    return r;
}

static int decode_route_weight(struct weir_dec *d, const struct weir_node *n, void *out) {
    int64_t value = *(uint32_t *)out;
    int r = weir_dec_int(d, n, 0, 1000000, &value);

    *(uint32_t *)out = (uint32_t)value;
    return r;
}

static const struct weir_field backend_fields[] = {
    WEIR_F("group", struct object_ref, group, weir_dec_string),
    WEIR_F("kind", struct object_ref, kind, weir_dec_string),
    WEIR_F_REQ("name", struct object_ref, backend.name, weir_dec_string),
    WEIR_F("namespace", struct object_ref, backend.namespace_, decode_ref_namespace),
    WEIR_F_REQ("port", struct object_ref, backend.port, weir_dec_port),
    WEIR_F("weight", struct object_ref, backend.weight, decode_route_weight),
    WEIR_F_UNSUP("filters"),
};
static const struct weir_object backend_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].backendRefs[]", backend_fields);

/* "core" is what several meshes' examples call the group that is really "". */
static bool is_service(const struct object_ref *ref) {
    return strcmp(ref->kind, "Service") == 0 &&
           (ref->group[0] == '\0' || strcmp(ref->group, "core") == 0);
}

static int decode_backend(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct object_ref ref = { .group = "",
                              .kind = "Service",
                              .backend = { .name = "", .namespace_ = "", .weight = 1 } };
    int r = weir_dec_object(d, n, &backend_object, &ref);

    ref.backend.place = weir_dec_place(d, n);
    *(struct weir_backend_ref *)out = ref.backend;
    if (r == 0 && !is_service(&ref)) {
        return weir_dec_error_in(d, n, "kind",
                                 "a backend of kind %.64s%s%.64s is not supported by this version; "
                                 "only a Service",
                                 ref.kind, ref.group[0] != '\0' ? "." : "", ref.group);
    }
    return r;
}

static const struct weir_field parent_fields[] = {
    WEIR_F("group", struct object_ref, group, weir_dec_string),
    WEIR_F("kind", struct object_ref, kind, weir_dec_string),
    WEIR_F_REQ("name", struct object_ref, parent.name, weir_dec_string),
    WEIR_F("namespace", struct object_ref, parent.namespace_, decode_ref_namespace),
    WEIR_F("sectionName", struct object_ref, parent.section, weir_dec_string),
    WEIR_F("port", struct object_ref, parent.port, weir_dec_port),
};
static const struct weir_object parent_object =
    WEIR_OBJECT("HTTPRoute.spec.parentRefs[]", parent_fields);

static int decode_parent(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct object_ref ref = { .group = GATEWAY_GROUP,
                              .kind = "Gateway",
                              .parent = { .name = "", .namespace_ = "", .section = "" } };
    int r = weir_dec_object(d, n, &parent_object, &ref);

    ref.parent.place = weir_dec_place(d, n);
    if (strcmp(ref.kind, "Gateway") == 0 && strcmp(ref.group, GATEWAY_GROUP) == 0) {
        ref.parent.kind = WEIR_PARENT_GATEWAY;
    } else if (is_service(&ref)) {
        ref.parent.kind = WEIR_PARENT_SERVICE;
    } else if (r == 0 && strcmp(ref.kind, "Service") == 0) {
        r = weir_dec_error_in(d, n, "group", "a parent of kind Service needs group: \"\"");
    } else if (r == 0) {
        r = weir_dec_error_in(
            d, n, "kind",
            "a parent of kind %.64s is not supported by this version; only Gateway "
            "and Service",
            ref.kind);
    }
    *(struct weir_parent_ref *)out = ref.parent;
    return r;
}

static const struct weir_field timeout_fields[] = {
    WEIR_F("request", struct weir_route_rule, timeout_request_us, weir_dec_duration),
    WEIR_F("backendRequest", struct weir_route_rule, timeout_backend_us, weir_dec_duration),
};
static const struct weir_object timeout_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].timeouts", timeout_fields);

static bool has_value(const struct weir_node *n, const char *key) {
    const struct weir_node *member = weir_node_get(n, key);

    return member != NULL && member->type != WEIR_NODE_NULL;
}

static int decode_timeouts(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_route_rule *rule = out;
    int r = weir_dec_object(d, n, &timeout_object, rule);

    rule->has_timeout_request = has_value(n, "request");
    rule->has_timeout_backend = has_value(n, "backendRequest");
    if (r == 0 && rule->timeout_request_us != 0 &&
        rule->timeout_backend_us > rule->timeout_request_us) {
        return weir_dec_error_in(d, n, "backendRequest", "longer than request");
    }
    return r;
}

static const struct weir_field rule_fields[] = {
    WEIR_F("name", struct weir_route_rule, name, weir_dec_string),
    WEIR_F_LIST("matches", struct weir_route_rule, matches, n_matches, decode_match),
    WEIR_F_LIST("filters", struct weir_route_rule, filters, n_filters, decode_filter),
    WEIR_F_LIST("backendRefs", struct weir_route_rule, backends, n_backends, decode_backend),
    WEIR_F_SELF("timeouts", decode_timeouts),
    WEIR_F_UNSUP("retry"),
    WEIR_F_UNSUP("sessionPersistence"),
};
static const struct weir_object rule_object = WEIR_OBJECT("HTTPRoute.spec.rules[]", rule_fields);

/* The one match of a rule that lists none. */
static int default_match(struct weir_dec *d, struct weir_route_rule *rule) {
    rule->matches = weir_arena_calloc(d->arena, 1, sizeof(*rule->matches));
    if (rule->matches == NULL) {
        return -ENOMEM;
    }
    rule->matches[0].path_type = WEIR_MATCH_PREFIX;
    rule->matches[0].path = "/";
    rule->matches[0].method = "";
    rule->n_matches = 1;
    return 0;
}

static int decode_rule(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_route_rule *rule = out;

    rule->name = "";
    int r = weir_dec_object(d, n, &rule_object, rule);
    return r == 0 && rule->n_matches == 0 ? default_match(d, rule) : r;
}

static int decode_hostname(struct weir_dec *d, const struct weir_node *n, void *out) {
    *(const char **)out = "";
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_hostname(n->text, true)) {
        return weir_dec_error(
            d, n, "%s is not a host name: lower case, no port, no address, \"*.\" only in front",
            WEIR_SHOW(n));
    }
    return r;
}

static const struct weir_field route_spec_fields[] = {
    WEIR_F_LIST("parentRefs", struct weir_draft_route, value.parents, value.n_parents,
                decode_parent),
    WEIR_F_LIST("hostnames", struct weir_draft_route, value.hostnames, value.n_hostnames,
                decode_hostname),
    WEIR_F_LIST("rules", struct weir_draft_route, value.rules, value.n_rules, decode_rule),
    WEIR_F_UNSUP("useDefaultGateways"),
};
static const struct weir_object route_spec_object =
    WEIR_OBJECT("HTTPRoute.spec", route_spec_fields);

static int decode_route_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &route_spec_object, out);
}

static const struct weir_field route_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF_REQ("spec", decode_route_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object route_object = WEIR_OBJECT("HTTPRoute", route_fields);

/* A route without rules has the one that sends everything nowhere: the CRD's default, and a 500 for
 * its hosts. */
static int default_rule(struct weir_dec *d, struct weir_http_route *route) {
    route->rules = weir_arena_calloc(d->arena, 1, sizeof(*route->rules));
    if (route->rules == NULL) {
        return -ENOMEM;
    }
    route->n_rules = 1;
    route->rules[0].name = "";
    return default_match(d, &route->rules[0]);
}

int weir_decode_http_route(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_route *route = out;
    int r = weir_dec_object(d, n, &route_object, route);

    return r == 0 && route->value.n_rules == 0 ? default_rule(d, &route->value) : r;
}

const struct weir_object *const *weir_objects_route(void) {
    static const struct weir_object *const objects[] = {
        &route_object,        &route_spec_object,
        &parent_object,       &rule_object,
        &match_object,        &path_object,
        &header_match_object, &query_match_object,
        &filter_object,       &header_mod_object,
        &header_object,       &backend_object,
        &timeout_object,      NULL,
    };
    return objects;
}
