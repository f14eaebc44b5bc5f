/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filters of HTTPRoute and GRPCRoute, on rules and on backends. Each is a union in the API:
 * `type` says which one of its members must be there, and the others may not. What a filter asks of
 * the rest of its rule is the matter of decode_route.c.
 */
#include <stdio.h>
#include <string.h>

#include "conf/decode_route.h"
#include "conf/syntax.h"

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

struct path_draft { /* HTTPPathModifier */
    unsigned type;
    const char *full, *prefix;
};

static int decode_change_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "ReplaceFullPath", "ReplacePrefixMatch", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(unsigned *)out = i == 1 ? WEIR_PATH_PREFIX : WEIR_PATH_FULL;
    return r;
}

/* A path is sent as it stands: what no normalised request has is not written either. */
static int check_new_path(struct weir_dec *d, const struct weir_node *n, const char *path) {
    const char *fault = weir_path_fault(path);

    if (fault != NULL) {
        return weir_dec_error(d, n, "%s %s", WEIR_SHOW(n), fault);
    }
    for (const char *c = path; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || *c == '\\' || *c == '"') {
            return weir_dec_error(d, n, "%s has characters that a path may not have", WEIR_SHOW(n));
        }
    }
    return 0;
}

static int decode_full_path(struct weir_dec *d, const struct weir_node *n, void *out) {
    const char **path = out;
    int r = weir_dec_string(d, n, out);

    return r == 0 && n->type == WEIR_NODE_STRING ? check_new_path(d, n, *path) : r;
}

static int decode_prefix_path(struct weir_dec *d, const struct weir_node *n, void *out) {
    const char **path = out;
    int r = weir_dec_string(d, n, out);

    return r == 0 && n->type == WEIR_NODE_STRING && (*path)[0] != '\0' ? check_new_path(d, n, *path)
                                                                       : r;
}

static const struct weir_field new_path_fields[] = {
    WEIR_F_REQ("type", struct path_draft, type, decode_change_type),
    WEIR_F("replaceFullPath", struct path_draft, full, decode_full_path),
    WEIR_F("replacePrefixMatch", struct path_draft, prefix, decode_prefix_path),
};
static const struct weir_object new_path_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[].urlRewrite.path", new_path_fields);

static int decode_new_path(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const members[] = { "replaceFullPath", "replacePrefixMatch" };
    struct weir_rewrite *rewrite = out;
    struct path_draft draft = { .type = WEIR_PATH_KEEP, .full = "/", .prefix = "" };
    int r = weir_dec_object(d, n, &new_path_object, &draft);

    if (r != 0 || draft.type == WEIR_PATH_KEEP) {
        return r;
    }
    bool prefix = draft.type == WEIR_PATH_PREFIX;
    rewrite->change = (enum weir_path_change)draft.type;
    rewrite->path = prefix ? draft.prefix : draft.full;
    if (weir_node_get(n, members[prefix]) == NULL) {
        return weir_dec_error_in(d, n, members[prefix], "required with this type");
    }
    if (weir_node_get(n, members[!prefix]) != NULL) {
        return weir_dec_error_in(d, n, members[!prefix], "not allowed with this type");
    }
    return 0;
}

static int decode_new_host(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_hostname(n->text, false)) {
        return weir_dec_error(
            d, n, "%s is not a host name: lower case, no port, no address, no '*'", WEIR_SHOW(n));
    }
    return r;
}

static int decode_scheme(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "http", "https", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(const char **)out = words[i];
    return r;
}

static int decode_redirect_status(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const uint16_t allowed[] = { 301, 302, 303, 307, 308 };
    int64_t value = 302;
    int r = weir_dec_int(d, n, 300, 399, &value);

    *(uint16_t *)out = 302;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(allowed); i++) {
        if (allowed[i] == value) {
            *(uint16_t *)out = allowed[i];
            return r;
        }
    }
    return weir_dec_error(d, n, "%s is not a redirection; expected 301, 302, 303, 307 or 308",
                          WEIR_SHOW(n));
}

static const struct weir_field rewrite_fields[] = {
    WEIR_F("hostname", struct weir_rewrite, hostname, decode_new_host),
    WEIR_F_SELF("path", decode_new_path),
};
static const struct weir_object rewrite_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[].urlRewrite", rewrite_fields);

static const struct weir_field redirect_fields[] = {
    WEIR_F("scheme", struct weir_rewrite, scheme, decode_scheme),
    WEIR_F("hostname", struct weir_rewrite, hostname, decode_new_host),
    WEIR_F_SELF("path", decode_new_path),
    WEIR_F("port", struct weir_rewrite, port, weir_dec_port),
    WEIR_F("statusCode", struct weir_rewrite, status, decode_redirect_status),
};
static const struct weir_object redirect_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[].requestRedirect", redirect_fields);

static int decode_rewrite(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &rewrite_object, out);
}

static int decode_redirect(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &redirect_object, out);
}

/* ---- RequestMirror ---- */

static const struct weir_field mirror_ref_fields[] = {
    WEIR_F("group", struct weir_object_ref, group, weir_dec_string),
    WEIR_F("kind", struct weir_object_ref, kind, weir_dec_string),
    WEIR_F_REQ("name", struct weir_object_ref, backend.name, weir_dec_string),
    WEIR_F("namespace", struct weir_object_ref, backend.namespace_, weir_decode_ref_namespace),
    WEIR_F_REQ("port", struct weir_object_ref, backend.port, weir_dec_port),
};
static const struct weir_object mirror_ref_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[].requestMirror.backendRef", mirror_ref_fields);

static int decode_mirror_ref(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_mirror *mirror = out;

    mirror->backend = weir_arena_calloc(d->arena, 1, sizeof(*mirror->backend));
    return mirror->backend != NULL
               ? weir_decode_backend_ref(d, n, &mirror_ref_object, mirror->backend)
               : -ENOMEM;
}

static int decode_u31(struct weir_dec *d, const struct weir_node *n, void *out) {
    int64_t value = 0;
    int r = weir_dec_int(d, n, 0, INT32_MAX, &value);

    *(uint32_t *)out = (uint32_t)value;
    return r;
}

static int decode_denominator(struct weir_dec *d, const struct weir_node *n, void *out) {
    int64_t value = 100;
    int r = weir_dec_int(d, n, 1, INT32_MAX, &value);

    *(uint32_t *)out = (uint32_t)value;
    return r;
}

static int decode_percent(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_mirror *mirror = out;
    int64_t value = 100;
    int r = weir_dec_int(d, n, 0, 100, &value);

    mirror->numerator = (uint32_t)value;
    return r;
}

static const struct weir_field fraction_fields[] = {
    WEIR_F_REQ("numerator", struct weir_mirror, numerator, decode_u31),
    WEIR_F("denominator", struct weir_mirror, denominator, decode_denominator),
};
static const struct weir_object fraction_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[].requestMirror.fraction", fraction_fields);

static int decode_fraction(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_mirror *mirror = out;
    int r = weir_dec_object(d, n, &fraction_object, mirror);

    if (r == 0 && mirror->numerator > mirror->denominator) {
        return weir_dec_error_in(d, n, "numerator", "greater than denominator");
    }
    return r;
}

static const struct weir_field mirror_fields[] = {
    WEIR_F_SELF_REQ("backendRef", decode_mirror_ref),
    WEIR_F_SELF("percent", decode_percent),
    WEIR_F_SELF("fraction", decode_fraction),
};
static const struct weir_object mirror_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[].requestMirror", mirror_fields);

static int decode_mirror(struct weir_dec *d, const struct weir_node *n, void *out) {
    if (weir_node_get(n, "percent") != NULL && weir_node_get(n, "fraction") != NULL) {
        return weir_dec_error_in(d, n, "fraction", "not allowed beside percent");
    }
    return weir_dec_object(d, n, &mirror_object, out);
}

/* ---- the union ---- */

static const char *const filter_types[] = {
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestRedirect",
    "URLRewrite",
    "RequestMirror",
    "CORS",
    "ExternalAuth",
    "ExtensionRef",
    NULL,
};
static const char *const filter_members[] = {
    "requestHeaderModifier", "responseHeaderModifier",
    "requestRedirect",       "urlRewrite",
    "requestMirror",         "cors",
};
#define N_FILTERS WEIR_ARRAY_LEN(filter_members)

struct filter_draft {
    unsigned type;
    struct weir_header_mod request, response;
    struct weir_rewrite redirect, rewrite;
    struct weir_mirror mirror;
    struct weir_cors cors;
};

static int decode_filter_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    unsigned i = 0;
    int r = weir_dec_word(d, n, filter_types, &i);

    if (r == 0 && i >= N_FILTERS) {
        return weir_dec_error(d, n, "%s is not supported by this version", filter_types[i]);
    }
    *(unsigned *)out = i;
    return r;
}

static const struct weir_field filter_fields[] = {
    WEIR_F_REQ("type", struct filter_draft, type, decode_filter_type),
    WEIR_F("requestHeaderModifier", struct filter_draft, request, decode_header_mod),
    WEIR_F("responseHeaderModifier", struct filter_draft, response, decode_header_mod),
    WEIR_F("requestRedirect", struct filter_draft, redirect, decode_redirect),
    WEIR_F("urlRewrite", struct filter_draft, rewrite, decode_rewrite),
    WEIR_F("requestMirror", struct filter_draft, mirror, decode_mirror),
    WEIR_F("cors", struct filter_draft, cors, weir_decode_cors),
    WEIR_F_UNSUP("externalAuth"),
    WEIR_F_UNSUP("extensionRef"),
};
static const struct weir_object filter_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[]", filter_fields);

/* GRPCRoute knows fewer; the words are the same. */
static int decode_grpc_filter_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    unsigned *type = out;
    int r = decode_filter_type(d, n, out);

    if (r == 0 && (*type == WEIR_FILTER_REDIRECT || *type == WEIR_FILTER_REWRITE ||
                   *type == WEIR_FILTER_CORS)) {
        r = weir_dec_error(d, n, "%s is not a filter of a GRPCRoute", filter_types[*type]);
        *type = N_FILTERS;
    }
    return r;
}

static const struct weir_field grpc_filter_fields[] = {
    WEIR_F_REQ("type", struct filter_draft, type, decode_grpc_filter_type),
    WEIR_F("requestHeaderModifier", struct filter_draft, request, decode_header_mod),
    WEIR_F("responseHeaderModifier", struct filter_draft, response, decode_header_mod),
    WEIR_F("requestMirror", struct filter_draft, mirror, decode_mirror),
    WEIR_F_UNSUP("extensionRef"),
};
static const struct weir_object grpc_filter_object =
    WEIR_OBJECT("GRPCRoute.spec.rules[].filters[]", grpc_filter_fields);

static void filter_set(struct weir_filter *filter, const struct filter_draft *draft) {
    filter->type = (enum weir_filter_type)draft->type;
    switch (filter->type) {
    case WEIR_FILTER_REQUEST_HEADERS:
        filter->headers = draft->request;
        break;
    case WEIR_FILTER_RESPONSE_HEADERS:
        filter->headers = draft->response;
        break;
    case WEIR_FILTER_REDIRECT:
        filter->rewrite = draft->redirect;
        break;
    case WEIR_FILTER_REWRITE:
        filter->rewrite = draft->rewrite;
        break;
    case WEIR_FILTER_MIRROR:
        filter->mirror = draft->mirror;
        break;
    case WEIR_FILTER_CORS:
        filter->cors = draft->cors;
        break;
    }
}

static int decode_filter(struct weir_dec *d, const struct weir_node *n,
                         const struct weir_object *object, struct weir_filter *filter) {
    static const struct weir_rewrite as_asked = {
        .hostname = "", .path = "", .scheme = "", .status = 302
    };
    struct filter_draft draft = { .type = N_FILTERS,
                                  .redirect = as_asked,
                                  .rewrite = as_asked,
                                  .mirror = { .numerator = 100, .denominator = 100 },
                                  .cors = { .max_age = 5 } };
    uint32_t errors = d->problems->n_errors;
    int r = weir_dec_object(d, n, object, &draft);

    if (r != 0 || draft.type >= N_FILTERS || errors != d->problems->n_errors) {
        return r;
    }
    filter_set(filter, &draft);
    for (unsigned i = 0; i < N_FILTERS && r == 0; i++) {
        bool given = weir_node_get(n, filter_members[i]) != NULL;
        if (given != (i == draft.type)) {
            r = weir_dec_error_in(d, n, filter_members[i], "%s with type %s",
                                  given ? "not allowed" : "required", filter_types[draft.type]);
        }
    }
    return r;
}

int weir_decode_http_filter(struct weir_dec *d, const struct weir_node *n, void *out) {
    return decode_filter(d, n, &filter_object, out);
}

int weir_decode_grpc_filter(struct weir_dec *d, const struct weir_node *n, void *out) {
    return decode_filter(d, n, &grpc_filter_object, out);
}

bool weir_has_filter(const struct weir_filter *filters, uint32_t n, enum weir_filter_type type) {
    for (uint32_t i = 0; i < n; i++) {
        if (filters[i].type == type) {
            return true;
        }
    }
    return false;
}

int weir_check_filters(struct weir_dec *d, const struct weir_node *n,
                       const struct weir_filter *filters, uint32_t n_filters) {
    bool redirect = weir_has_filter(filters, n_filters, WEIR_FILTER_REDIRECT);
    int r = 0;

    if (d->problems->n_errors > 0) { /* a filter that was refused is no filter of any type */
        return 0;
    }
    if (redirect && weir_has_filter(filters, n_filters, WEIR_FILTER_REWRITE)) {
        return weir_dec_error_in(d, n, "filters", "RequestRedirect and URLRewrite together");
    }
    for (uint32_t i = 1; i < n_filters && r == 0; i++) {
        if (filters[i].type != WEIR_FILTER_MIRROR && weir_has_filter(filters, i, filters[i].type)) {
            r = weir_dec_error_in(d, n, "filters", "%s more than once",
                                  filter_types[filters[i].type]);
        }
    }
    return r;
}

const struct weir_object *const *weir_objects_filter(void) {
    static const struct weir_object *const objects[] = {
        &filter_object,
        &grpc_filter_object,
        &header_mod_object,
        &header_object,
        &redirect_object,
        &rewrite_object,
        &new_path_object,
        &mirror_object,
        &mirror_ref_object,
        &fraction_object,
        NULL,
    };
    return objects;
}
