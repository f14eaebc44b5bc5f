/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPRoute of gateway.networking.k8s.io: its tables, the defaults and the rules its CRD states in
 * CEL. Every field of the v1 type is named here; what this version cannot do (redirects, rewrites,
 * mirrors, retries, ...) is refused at its place. Whether a backend or a parent exists is the
 * matter of routes.c.
 */
#include "conf/decode_route.h"

#include <string.h>

#include "conf/regex.h"
#include "conf/syntax.h"

#define GATEWAY_GROUP "gateway.networking.k8s.io"

int weir_decode_match_type(struct weir_dec *d, const struct weir_node *n, void *out) {
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

int weir_check_regex(struct weir_dec *d, const struct weir_node *n, const char *pattern) {
    char message[128];
    size_t offset = 0;
    int r = weir_regex_check(pattern, message, sizeof(message), &offset);

    if (r == WEIR_REGEX_BAD) {
        return weir_dec_error(d, n, "not a regular expression: %s at offset %zu", message, offset);
    }
    return r;
}

static const struct weir_field path_fields[] = {
    WEIR_F("type", struct weir_typed_match, type, decode_path_type),
    WEIR_F("value", struct weir_typed_match, value, weir_dec_string),
};
static const struct weir_object path_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].matches[].path", path_fields);

static bool ends_with(const char *s, const char *end) {
    return weir_slice_ends_with(weir_slice_from_str(s), weir_slice_from_str(end));
}

/* The CRD's own rules for Exact and PathPrefix: a path that a normalised request could have. */
const char *weir_path_fault(const char *path) {
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
    struct weir_typed_match path = { .type = WEIR_MATCH_PREFIX, .value = "/" };
    int r = weir_dec_object(d, n, &path_object, &path);
    const struct weir_node *value = weir_node_get(n, "value");
    const char *fault = path.type != WEIR_MATCH_REGEX ? weir_path_fault(path.value) : NULL;

    match->path_type = (enum weir_match_type)path.type;
    match->path = path.value;
    if (r != 0 || value == NULL) {
        return r;
    }
    weir_dec_enter(d, "value", 0);
    if (fault != NULL) {
        r = weir_dec_error(d, value, "%s %s", WEIR_SHOW(value), fault);
    } else if (path.type == WEIR_MATCH_REGEX) {
        r = weir_check_regex(d, value, path.value);
    }
    weir_dec_leave(d);
    return r;
}

static const struct weir_field named_match_fields[] = {
    WEIR_F("type", struct weir_typed_match, type, weir_decode_match_type),
    WEIR_F_REQ("name", struct weir_typed_match, name, weir_dec_string),
    WEIR_F_REQ("value", struct weir_typed_match, value, weir_dec_string),
};
static const struct weir_object header_match_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].matches[].headers[]", named_match_fields);
static const struct weir_object query_match_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].matches[].queryParams[]", named_match_fields);

int weir_decode_named_match(struct weir_dec *d, const struct weir_node *n,
                            const struct weir_object *object, struct weir_named_match *out) {
    struct weir_typed_match match = { .type = WEIR_MATCH_EXACT, .name = "", .value = "" };
    int r = weir_dec_object(d, n, object, &match);
    const struct weir_node *name = weir_node_get(n, "name"), *value = weir_node_get(n, "value");

    *out = (struct weir_named_match){ (enum weir_match_type)match.type, match.name, match.value };
    if (r == 0 && name != NULL && name->type == WEIR_NODE_STRING && !weir_is_token(name->text)) {
        r = weir_dec_error_in(d, n, "name", "%s is not a name that can be matched",
                              WEIR_SHOW(name));
    }
    if (r == 0 && value != NULL && match.type == WEIR_MATCH_REGEX) {
        weir_dec_enter(d, "value", 0);
        r = weir_check_regex(d, value, match.value);
        weir_dec_leave(d);
    }
    return r;
}

static int decode_header_match(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_decode_named_match(d, n, &header_match_object, out);
}

static int decode_query_match(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_decode_named_match(d, n, &query_match_object, out);
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

int weir_decode_ref_namespace(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_dns_label(n->text)) {
        return weir_dec_error(d, n, "%s is not the name of a namespace", WEIR_SHOW(n));
    }
    return r;
}

int weir_decode_route_weight(struct weir_dec *d, const struct weir_node *n, void *out) {
    int64_t value = *(uint32_t *)out;
    int r = weir_dec_int(d, n, 0, 1000000, &value);

    *(uint32_t *)out = (uint32_t)value;
    return r;
}

static const struct weir_field backend_fields[] = {
    WEIR_F("group", struct weir_object_ref, group, weir_dec_string),
    WEIR_F("kind", struct weir_object_ref, kind, weir_dec_string),
    WEIR_F_REQ("name", struct weir_object_ref, backend.name, weir_dec_string),
    WEIR_F("namespace", struct weir_object_ref, backend.namespace_, weir_decode_ref_namespace),
    WEIR_F_REQ("port", struct weir_object_ref, backend.port, weir_dec_port),
    WEIR_F("weight", struct weir_object_ref, backend.weight, weir_decode_route_weight),
    WEIR_F_LIST("filters", struct weir_object_ref, backend.filters, backend.n_filters,
                weir_decode_http_filter),
};
static const struct weir_object backend_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].backendRefs[]", backend_fields);

/* "core" is what several meshes' examples call the group that is really "". */
static bool is_service(const struct weir_object_ref *ref) {
    return strcmp(ref->kind, "Service") == 0 &&
           (ref->group[0] == '\0' || strcmp(ref->group, "core") == 0);
}

int weir_decode_backend_ref(struct weir_dec *d, const struct weir_node *n,
                            const struct weir_object *object, struct weir_backend_ref *out) {
    struct weir_object_ref ref = { .group = "",
                                   .kind = "Service",
                                   .backend = { .name = "", .namespace_ = "", .weight = 1 } };
    int r = weir_dec_object(d, n, object, &ref);

    ref.backend.place = weir_dec_place(d, n);
    *out = ref.backend;
    if (r == 0 && !is_service(&ref)) {
        r = weir_dec_error_in(d, n, "kind",
                              "a backend of kind %.64s%s%.64s is not supported by this version; "
                              "only a Service",
                              ref.kind, ref.group[0] != '\0' ? "." : "", ref.group);
    }
    return r == 0 ? weir_check_filters(d, n, out->filters, out->n_filters) : r;
}

static int decode_backend(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_decode_backend_ref(d, n, &backend_object, out);
}

static const struct weir_field parent_fields[] = {
    WEIR_F("group", struct weir_object_ref, group, weir_dec_string),
    WEIR_F("kind", struct weir_object_ref, kind, weir_dec_string),
    WEIR_F_REQ("name", struct weir_object_ref, parent.name, weir_dec_string),
    WEIR_F("namespace", struct weir_object_ref, parent.namespace_, weir_decode_ref_namespace),
    WEIR_F("sectionName", struct weir_object_ref, parent.section, weir_dec_string),
    WEIR_F("port", struct weir_object_ref, parent.port, weir_dec_port),
};
static const struct weir_object parent_object =
    WEIR_OBJECT("HTTPRoute.spec.parentRefs[]", parent_fields);

int weir_decode_parent_ref(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_object_ref ref = { .group = GATEWAY_GROUP,
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

static int decode_retry_code(struct weir_dec *d, const struct weir_node *n, void *out) {
    int64_t value = 500;
    int r = weir_dec_int(d, n, 400, 599, &value);

    *(uint16_t *)out = (uint16_t)value;
    return r;
}

static int decode_attempts(struct weir_dec *d, const struct weir_node *n, void *out) {
    int64_t value = 1;
    int r = weir_dec_int(d, n, 0, 100, &value);

    *(uint32_t *)out = (uint32_t)value;
    return r;
}

static const struct weir_field retry_fields[] = {
    WEIR_F_LIST("codes", struct weir_retry, codes, n_codes, decode_retry_code),
    WEIR_F("attempts", struct weir_retry, attempts, decode_attempts),
    WEIR_F("backoff", struct weir_retry, backoff_us, weir_dec_duration),
};
static const struct weir_object retry_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].retry", retry_fields);

static int decode_retry(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_retry *retry = weir_arena_calloc(d->arena, 1, sizeof(*retry));

    if (retry == NULL) {
        return -ENOMEM;
    }
    retry->attempts = 1;
    retry->backoff_us = 25000;
    *(struct weir_retry **)out = retry;
    return weir_dec_object(d, n, &retry_object, retry);
}

static const struct weir_field rule_fields[] = {
    WEIR_F("name", struct weir_route_rule, name, weir_dec_string),
    WEIR_F_LIST("matches", struct weir_route_rule, matches, n_matches, decode_match),
    WEIR_F_LIST("filters", struct weir_route_rule, filters, n_filters, weir_decode_http_filter),
    WEIR_F_LIST("backendRefs", struct weir_route_rule, backends, n_backends, decode_backend),
    WEIR_F_SELF("timeouts", decode_timeouts),
    WEIR_F("retry", struct weir_route_rule, retry, decode_retry),
    WEIR_F("sessionPersistence", struct weir_route_rule, session, weir_decode_session),
};
static const struct weir_object rule_object = WEIR_OBJECT("HTTPRoute.spec.rules[]", rule_fields);

/* The one match of a rule that lists none. */
int weir_default_match(struct weir_dec *d, struct weir_route_rule *rule) {
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

static bool replaces_prefix(const struct weir_filter *filters, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if ((filters[i].type == WEIR_FILTER_REDIRECT || filters[i].type == WEIR_FILTER_REWRITE) &&
            filters[i].rewrite.change == WEIR_PATH_PREFIX) {
            return true;
        }
    }
    return false;
}

/* What filters ask of the rest of their rule. */
static int check_rule(struct weir_dec *d, const struct weir_node *n,
                      const struct weir_route_rule *rule) {
    bool prefix = replaces_prefix(rule->filters, rule->n_filters);

    for (uint32_t i = 0; i < rule->n_backends && !prefix; i++) {
        prefix = replaces_prefix(rule->backends[i].filters, rule->backends[i].n_filters);
    }
    if (prefix && (rule->n_matches != 1 || rule->matches[0].path_type != WEIR_MATCH_PREFIX)) {
        return weir_dec_error_in(d, n, "matches",
                                 "ReplacePrefixMatch needs exactly one match, with a PathPrefix");
    }
    if (rule->n_backends > 0 &&
        weir_has_filter(rule->filters, rule->n_filters, WEIR_FILTER_REDIRECT)) {
        return weir_dec_error_in(d, n, "backendRefs", "not allowed beside RequestRedirect");
    }
    return 0;
}

static int decode_rule(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_route_rule *rule = out;

    rule->name = "";
    rule->place = weir_dec_place(d, n);
    int r = weir_dec_object(d, n, &rule_object, rule);
    if (r == 0 && rule->n_matches == 0) {
        r = weir_default_match(d, rule);
    }
    if (r == 0) {
        r = weir_check_filters(d, n, rule->filters, rule->n_filters);
    }
    return r == 0 ? check_rule(d, n, rule) : r;
}

int weir_check_rule_names(struct weir_dec *d, const struct weir_node *spec,
                          const struct weir_route_rule *rules, uint32_t n) {
    const struct weir_node *list = weir_node_get(spec, "rules");
    uint32_t i = 0;
    int r = 0;

    if (list == NULL || list->type != WEIR_NODE_LIST) {
        return 0;
    }
    weir_dec_enter(d, "rules", 0);
    WEIR_NODE_FOREACH(it, list) {
        const char *name =
            i < n && rules[i].name != NULL ? rules[i].name : ""; /* null: a bad one */
        bool twice = false;

        for (uint32_t k = 0; k < i && name[0] != '\0' && !twice; k++) {
            twice = rules[k].name != NULL && strcmp(rules[k].name, name) == 0;
        }
        weir_dec_enter(d, NULL, i++);
        if (twice) {
            r = weir_dec_error_in(d, it, "name", "another rule has the name \"%.64s\"", name);
        } else if (name[0] != '\0' && !weir_is_dns_subdomain(name)) {
            r = weir_dec_error_in(
                d, it, "name", "\"%.64s\" is not a name: lower case letters, digits and '-'", name);
        }
        weir_dec_leave(d);
        if (r != 0) {
            break;
        }
    }
    weir_dec_leave(d);
    return r;
}

int weir_decode_route_host(struct weir_dec *d, const struct weir_node *n, void *out) {
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
                weir_decode_parent_ref),
    WEIR_F_LIST("hostnames", struct weir_draft_route, value.hostnames, value.n_hostnames,
                weir_decode_route_host),
    WEIR_F_LIST("rules", struct weir_draft_route, value.rules, value.n_rules, decode_rule),
    WEIR_F_UNSUP("useDefaultGateways"),
};
static const struct weir_object route_spec_object =
    WEIR_OBJECT("HTTPRoute.spec", route_spec_fields);

static int decode_route_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_http_route *route = &((struct weir_draft_route *)out)->value;
    int r = weir_dec_object(d, n, &route_spec_object, out);

    return r == 0 ? weir_check_rule_names(d, n, route->rules, route->n_rules) : r;
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
    route->rules[0].place = route->meta.place;
    return weir_default_match(d, &route->rules[0]);
}

int weir_decode_http_route(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_route *route = out;
    int r = weir_dec_object(d, n, &route_object, route);

    return r == 0 && route->value.n_rules == 0 ? default_rule(d, &route->value) : r;
}

const struct weir_object *const *weir_objects_route(void) {
    static const struct weir_object *const objects[] = {
        &route_object,   &route_spec_object, &parent_object,       &rule_object,
        &match_object,   &path_object,       &header_match_object, &query_match_object,
        &backend_object, &timeout_object,    &retry_object,        NULL,
    };
    return objects;
}
