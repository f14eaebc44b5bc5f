/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CORS filter: what the API server would check of its lists. An origin loses the port its scheme
 * has anyway, because browsers do not send it.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/decode_route.h"
#include "conf/syntax.h"

static bool is_star(const char *s) {
    return s[0] == '*' && s[1] == '\0';
}

/* Port behind `colon`, 0 = none that is valid. */
static unsigned port_of(const char *colon) {
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);

    return colon[1] >= '0' && colon[1] <= '9' && *end == '\0' && port <= 65535 ? (unsigned)port : 0;
}

/* "http[s]://HOST[:PORT]" with HOST a name, an IPv4 address, "*" or "*.name". Cuts a default port. */
static bool origin_settle(char *origin) {
    bool tls = strncmp(origin, "https://", 8) == 0;
    char *host = origin + (tls ? 8 : 7), *colon;
    struct weir_ip ip;
    bool ok;

    if (!tls && strncmp(origin, "http://", 7) != 0) {
        return false;
    }
    colon = strchr(host, ':');
    if (colon != NULL) {
        unsigned port = port_of(colon);
        if (port == 0) {
            return false;
        }
        *colon = '\0';
        ok = is_star(host) || weir_is_hostname(host, true) || weir_parse_ip(host, &ip) == 0;
        if (port != (tls ? 443U : 80U)) {
            *colon = ':';
        }
        return ok;
    }
    return is_star(host) || weir_is_hostname(host, true) || weir_parse_ip(host, &ip) == 0;
}

static int decode_origin(struct weir_dec *d, const struct weir_node *n, void *out) {
    const char **origin = out;
    int r;

    *origin = "";
    r = weir_dec_string(d, n, out);
    if (r != 0 || n->type != WEIR_NODE_STRING || is_star(*origin)) {
        return r;
    }
    struct weir_slice copy = weir_arena_dup(d->arena, weir_slice_from_str(*origin));
    if (copy.ptr == NULL) {
        return -ENOMEM;
    }
    *origin = copy.ptr;
    return origin_settle((char *)copy.ptr)
               ? 0
               : weir_dec_error(d, n,
                                "%s is not an origin: \"*\", or http:// or https://, a host in "
                                "lower case that may begin with \"*\", and a port",
                                WEIR_SHOW(n));
}

static int decode_cors_method(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "GET",     "HEAD",  "POST",  "PUT", "DELETE", "CONNECT",
                                         "OPTIONS", "TRACE", "PATCH", "*",   NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(const char **)out = words[i];
    return r;
}

static int decode_cors_header(struct weir_dec *d, const struct weir_node *n, void *out) {
    *(const char **)out = "";
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_token(n->text)) {
        return weir_dec_error(d, n, "%s is not a header name", WEIR_SHOW(n));
    }
    return r;
}

static int decode_max_age(struct weir_dec *d, const struct weir_node *n, void *out) {
    int64_t value = 5;
    int r = weir_dec_int(d, n, 1, INT32_MAX, &value);

    *(uint32_t *)out = (uint32_t)value;
    return r;
}

static const struct weir_field cors_fields[] = {
    WEIR_F_LIST("allowOrigins", struct weir_cors, origins, n_origins, decode_origin),
    WEIR_F("allowCredentials", struct weir_cors, credentials, weir_dec_bool),
    WEIR_F_LIST("allowMethods", struct weir_cors, methods, n_methods, decode_cors_method),
    WEIR_F_LIST("allowHeaders", struct weir_cors, headers, n_headers, decode_cors_header),
    WEIR_F_LIST("exposeHeaders", struct weir_cors, expose, n_expose, decode_cors_header),
    WEIR_F("maxAge", struct weir_cors, max_age, decode_max_age),
};
static const struct weir_object cors_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].filters[].cors", cors_fields);

static int star_alone(struct weir_dec *d, const struct weir_node *n, const char *key,
                      const char *const *list, uint32_t n_list) {
    for (uint32_t i = 0; i < n_list && n_list > 1; i++) {
        if (is_star(list[i])) {
            return weir_dec_error_in(d, n, key, "\"*\" stands alone or not at all");
        }
    }
    return 0;
}

int weir_decode_cors(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_cors *c = out;
    int r = weir_dec_object(d, n, &cors_object, c);

    if (r == 0) {
        r = star_alone(d, n, "allowOrigins", c->origins, c->n_origins);
    }
    if (r == 0) {
        r = star_alone(d, n, "allowMethods", c->methods, c->n_methods);
    }
    if (r == 0) {
        r = star_alone(d, n, "allowHeaders", c->headers, c->n_headers);
    }
    return r == 0 ? star_alone(d, n, "exposeHeaders", c->expose, c->n_expose) : r;
}

const struct weir_object *const *weir_objects_cors(void) {
    static const struct weir_object *const objects[] = { &cors_object, NULL };
    return objects;
}
