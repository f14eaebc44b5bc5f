/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessionPersistence of HTTPRoute and GRPCRoute rules (GEP-1619): how long a client stays with the endpoint it was given, and
 * what it shows to be known by.
 */
#include "conf/decode_route.h"

#include <string.h>

#include "conf/syntax.h"

#define NAME_MAX_LEN 128

static int decode_name(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING &&
        (!weir_is_token(n->text) || strlen(n->text) > NAME_MAX_LEN)) {
        return weir_dec_error(d, n, "%s is not the name of a cookie or header of up to %u letters",
                              WEIR_SHOW(n), NAME_MAX_LEN);
    }
    return r;
}

static int decode_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Cookie", "Header", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(bool *)out = i == 1;
    return r;
}

static int decode_lifetime(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Session", "Permanent", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(bool *)out = i == 1;
    return r;
}

static const struct weir_field cookie_fields[] = {
    WEIR_F("lifetimeType", struct weir_session, permanent, decode_lifetime),
};
static const struct weir_object cookie_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].sessionPersistence.cookieConfig", cookie_fields);

static int decode_cookie(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &cookie_object, out);
}

static const struct weir_field session_fields[] = {
    WEIR_F("sessionName", struct weir_session, name, decode_name),
    WEIR_F("absoluteTimeout", struct weir_session, absolute_us, weir_dec_duration),
    WEIR_F("idleTimeout", struct weir_session, idle_us, weir_dec_duration),
    WEIR_F("type", struct weir_session, header, decode_type),
    WEIR_F_SELF("cookieConfig", decode_cookie),
};
static const struct weir_object session_object =
    WEIR_OBJECT("HTTPRoute.spec.rules[].sessionPersistence", session_fields);

int weir_decode_session(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_session *session = weir_arena_calloc(d->arena, 1, sizeof(*session));
    int r;

    if (session == NULL) {
        return -ENOMEM;
    }
    session->name = session->scope = "";
    *(struct weir_session **)out = session;
    r = weir_dec_object(d, n, &session_object, session);
    session->place = weir_dec_place(d, n);
    if (r != 0) {
        return r;
    }
    if (session->permanent && session->absolute_us == 0) {
        return weir_dec_error_in(d, n, "absoluteTimeout",
                                 "required with lifetimeType Permanent: how long the cookie lives");
    }
    if (session->header && weir_node_get(n, "cookieConfig") != NULL) {
        return weir_dec_error_in(d, n, "cookieConfig", "not allowed beside type: Header");
    }
    return 0;
}

const struct weir_object *const *weir_objects_session(void) {
    static const struct weir_object *const objects[] = { &session_object, &cookie_object, NULL };
    return objects;
}
