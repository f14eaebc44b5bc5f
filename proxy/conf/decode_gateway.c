/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gateway of gateway.networking.k8s.io: listeners, their certificates and who may attach to them.
 * Certificates come from a Secret among the documents or from files named in tls.options. What a reference leads to is
 * linked in gateways.c, whether a route is allowed to attach in routes.c.
 */
#include <string.h>

#include "conf/link.h"
#include "conf/syntax.h"

#define GATEWAY_GROUP "gateway.networking.k8s.io"
#define MAX_LISTENERS 64 /* as in the CRD */

static int decode_tls_mode(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Terminate", "Passthrough", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(int *)out = i == 1 ? WEIR_TLS_MODE_PASSTHROUGH : WEIR_TLS_MODE_TERMINATE;
    return r;
}

static const struct weir_field cert_ref_fields[] = {
    WEIR_F("group", struct weir_draft_ref, group, weir_dec_string),
    WEIR_F("kind", struct weir_draft_ref, kind, weir_dec_string),
    WEIR_F_REQ("name", struct weir_draft_ref, name, weir_dec_string),
    WEIR_F("namespace", struct weir_draft_ref, namespace_, weir_dec_string),
};
static const struct weir_object cert_ref_object =
    WEIR_OBJECT("Gateway.spec.listeners[].tls.certificateRefs[]", cert_ref_fields);

static int decode_cert_ref(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_ref *ref = out;

    *ref = (struct weir_draft_ref){ .group = "", .kind = "Secret", .name = "", .namespace_ = "" };
    int r = weir_decode_pem_ref(d, n, &cert_ref_object, ref);
    if (r == 0 && (ref->group[0] != '\0' || strcmp(ref->kind, "Secret") != 0)) {
        return weir_dec_error_in(
            d, n, "kind",
            "a certificate comes from a Secret of group \"\", not from a %.64s "
            "of \"%.64s\"",
            ref->kind, ref->group);
    }
    return r;
}

static const struct weir_field tls_option_fields[] = {
    WEIR_F("weir.dev/cert-file", struct weir_draft_listener, value.cert_file, weir_dec_string),
    WEIR_F("weir.dev/key-file", struct weir_draft_listener, value.key_file, weir_dec_string),
};
static const struct weir_object tls_options_object =
    WEIR_OBJECT("Gateway.spec.listeners[].tls.options", tls_option_fields);

static int decode_tls_options(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &tls_options_object, out);
}

static const struct weir_field tls_fields[] = {
    WEIR_F("mode", struct weir_draft_listener, tls_mode, decode_tls_mode),
    WEIR_F_SELF("options", decode_tls_options),
    WEIR_F_LIST("certificateRefs", struct weir_draft_listener, certs, n_certs, decode_cert_ref),
    WEIR_F_UNSUP("frontendValidation"),
};
static const struct weir_object tls_object =
    WEIR_OBJECT("Gateway.spec.listeners[].tls", tls_fields);

static int decode_tls(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &tls_object, out);
}

static int decode_from(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Same", "All", "None", "Selector", NULL };
    static const unsigned from[] = { WEIR_FROM_SAME, WEIR_FROM_ALL, WEIR_FROM_NONE,
                                     WEIR_FROM_SELECTOR };
    struct weir_draft_listener *listener = out;
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    listener->from = from[i];
    return r;
}

static const struct weir_field from_fields[] = {
    WEIR_F_SELF("from", decode_from),
    WEIR_F("selector", struct weir_draft_listener, namespaces, weir_decode_selector),
};
static const struct weir_object from_object =
    WEIR_OBJECT("Gateway.spec.listeners[].allowedRoutes.namespaces", from_fields);

static int decode_namespaces(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_listener *listener = out;
    int r = weir_dec_object(d, n, &from_object, listener);

    if (r == 0 && listener->from == WEIR_FROM_SELECTOR && !listener->namespaces.given) {
        return weir_dec_error_in(d, n, "selector", "required with from Selector");
    }
    return r;
}

struct route_kind {
    const char *group, *kind;
};

static const struct weir_field route_kind_fields[] = {
    WEIR_F("group", struct route_kind, group, weir_dec_string),
    WEIR_F_REQ("kind", struct route_kind, kind, weir_dec_string),
};
static const struct weir_object route_kind_object =
    WEIR_OBJECT("Gateway.spec.listeners[].allowedRoutes.kinds[]", route_kind_fields);

static int decode_kinds(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_listener *listener = out;
    uint32_t i = 0;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_LIST, &r)) {
        return r;
    }
    listener->no_http_routes = listener->no_grpc_routes = listener->no_tls_routes = n->n > 0;
    WEIR_NODE_FOREACH(it, n) {
        struct route_kind kind = { GATEWAY_GROUP, "" };
        weir_dec_enter(d, NULL, i++);
        r = weir_dec_object(d, it, &route_kind_object, &kind);
        weir_dec_leave(d);
        if (r != 0) {
            return r;
        }
        if (strcmp(kind.group, GATEWAY_GROUP) == 0 && strcmp(kind.kind, "HTTPRoute") == 0) {
            listener->no_http_routes = false;
        }
        if (strcmp(kind.group, GATEWAY_GROUP) == 0 && strcmp(kind.kind, "GRPCRoute") == 0) {
            listener->no_grpc_routes = false;
        }
        if (strcmp(kind.group, GATEWAY_GROUP) == 0 && strcmp(kind.kind, "TLSRoute") == 0) {
            listener->no_tls_routes = false;
        }
    }
    return 0;
}

static const struct weir_field allowed_fields[] = {
    WEIR_F_SELF("namespaces", decode_namespaces),
    WEIR_F_SELF("kinds", decode_kinds),
};
static const struct weir_object allowed_object =
    WEIR_OBJECT("Gateway.spec.listeners[].allowedRoutes", allowed_fields);

static int decode_allowed(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &allowed_object, out);
}

static int decode_protocol(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "HTTP", "HTTPS", "TLS", "TCP", "UDP", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(enum weir_listener_protocol *)out =
        i < 3 ? (enum weir_listener_protocol)i : WEIR_LISTENER_HTTP;
    return r == 0 && i > 2 ? weir_dec_error(d, n, "%s is not supported by this version", words[i])
                           : r;
}

static int decode_section(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_dns_subdomain(n->text)) {
        return weir_dec_error(d, n, "%s is not the name of a listener", WEIR_SHOW(n));
    }
    return r;
}

static int decode_listener_hostname(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && n->text[0] != '\0' &&
        !weir_is_hostname(n->text, true)) {
        return weir_dec_error(
            d, n, "%s is not a host name: lower case, no port, no address, \"*.\" only in front",
            WEIR_SHOW(n));
    }
    return r;
}

static const struct weir_field listener_fields[] = {
    WEIR_F_REQ("name", struct weir_draft_listener, value.name, decode_section),
    WEIR_F("hostname", struct weir_draft_listener, value.hostname, decode_listener_hostname),
    WEIR_F_REQ("port", struct weir_draft_listener, value.port, weir_dec_port),
    WEIR_F_REQ("protocol", struct weir_draft_listener, value.protocol, decode_protocol),
    WEIR_F_SELF("tls", decode_tls),
    WEIR_F_SELF("allowedRoutes", decode_allowed),
};
static const struct weir_object listener_object =
    WEIR_OBJECT("Gateway.spec.listeners[]", listener_fields);

/* Of what its protocol has TLS for. */
static int check_tls(struct weir_dec *d, const struct weir_node *n,
                     const struct weir_draft_listener *listener) {
    const struct weir_gateway_listener *value = &listener->value;
    bool cert = value->cert_file[0] != '\0', key = value->key_file[0] != '\0';

    if (value->protocol == WEIR_LISTENER_HTTP) {
        return weir_node_get(n, "tls") == NULL
                   ? 0
                   : weir_dec_error_in(d, n, "tls", "not allowed with protocol HTTP");
    }
    if (value->protocol == WEIR_LISTENER_HTTPS && value->passthrough) {
        return weir_dec_error_in(d, n, "tls", "mode Passthrough needs protocol TLS");
    }
    if (value->protocol == WEIR_LISTENER_TLS && listener->tls_mode == WEIR_TLS_MODE_NONE) {
        return weir_dec_error_in(d, n, "tls", "protocol TLS needs mode Terminate or Passthrough");
    }
    if (value->passthrough) {
        return cert || key || listener->n_certs > 0
                   ? weir_dec_error_in(d, n, "tls", "mode Passthrough shows no certificate")
                   : 0;
    }
    if (listener->n_certs > 1) {
        return weir_dec_error_in(
            d, n, "tls", "more than one of certificateRefs is not supported by this version");
    }
    if (listener->n_certs == 1 ? cert || key : !cert || !key) {
        return weir_dec_error_in(d, n, "tls",
                                 "needs certificateRefs, or options \"weir.dev/cert-file\" and "
                                 "\"weir.dev/key-file\"");
    }
    return 0;
}

static int decode_listener(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_listener *listener = out;
    struct weir_gateway_listener *value = &listener->value;
    uint32_t errors = d->problems->n_errors;

    value->name = value->hostname = value->cert_file = value->key_file = "";
    value->secret = value->cert = value->key = "";
    listener->from = WEIR_FROM_SAME;
    listener->place = weir_dec_place(d, n);
    int r = weir_dec_object(d, n, &listener_object, listener);
    if (r != 0 || errors != d->problems->n_errors) {
        return r;
    }
    value->passthrough = listener->tls_mode == WEIR_TLS_MODE_PASSTHROUGH;
    if (value->protocol == WEIR_LISTENER_TLS) {
        listener->no_http_routes = listener->no_grpc_routes = true;
    } else {
        listener->no_tls_routes = true;
    }
    return check_tls(d, n, listener);
}

static const struct weir_field gateway_spec_fields[] = {
    WEIR_F("gatewayClassName", struct weir_draft_gateway, class_name, weir_dec_string),
    WEIR_F_LIST("listeners", struct weir_draft_gateway, listeners, n_listeners, decode_listener),
    WEIR_F_NONE("infrastructure"),
    WEIR_F_UNSUP("addresses"),
    WEIR_F_UNSUP("allowedListeners"),
    WEIR_F_UNSUP("backendTLS"),
    WEIR_F_UNSUP("defaultScope"),
    WEIR_F_UNSUP("tls"),
};
static const struct weir_object gateway_spec_object =
    WEIR_OBJECT("Gateway.spec", gateway_spec_fields);

/* Beside those before it. */
static int check_listener(struct weir_dec *d, const struct weir_node *n,
                          const struct weir_draft_gateway *gateway, uint32_t index) {
    const struct weir_gateway_listener *listener = &gateway->listeners[index].value;

    for (uint32_t i = 0; i < index; i++) {
        const struct weir_gateway_listener *other = &gateway->listeners[i].value;
        const char *why = weir_listener_conflict(other, listener);

        if (strcmp(other->name, listener->name) == 0) {
            return weir_dec_error_in(d, n, "name", "two listeners have the same name");
        }
        if (why != NULL) {
            return weir_dec_error_in(d, n, "port", "the listener %.64s %s", other->name, why);
        }
    }
    return 0;
}

static int decode_gateway_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_gateway *gateway = out;
    const struct weir_node *listeners = weir_node_get(n, "listeners");
    uint32_t errors = d->problems->n_errors, i = 0;
    int r = weir_dec_object(d, n, &gateway_spec_object, gateway);

    if (r != 0 || errors != d->problems->n_errors || listeners == NULL) {
        return r;
    }
    if (gateway->n_listeners > MAX_LISTENERS) {
        return weir_dec_error_in(d, n, "listeners", "more than %d listeners", MAX_LISTENERS);
    }
    weir_dec_enter(d, "listeners", 0);
    WEIR_NODE_FOREACH(it, listeners) {
        weir_dec_enter(d, NULL, i);
        r = check_listener(d, it, gateway, i);
        weir_dec_leave(d);
        if (r != 0) {
            break;
        }
        i++;
    }
    weir_dec_leave(d);
    return r;
}

static const struct weir_field gateway_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF_REQ("spec", decode_gateway_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object gateway_object = WEIR_OBJECT("Gateway", gateway_fields);

int weir_decode_gateway(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_gateway *gateway = out;
    int r;

    gateway->class_name = WEIR_GATEWAY_CLASS;
    r = weir_dec_object(d, n, &gateway_object, gateway);
    if (r != 0 || gateway->n_listeners == 0) {
        return r;
    }
    gateway->value.listeners =
        weir_arena_calloc(d->arena, gateway->n_listeners, sizeof(*gateway->value.listeners));
    if (gateway->value.listeners == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < gateway->n_listeners; i++) {
        gateway->value.listeners[i] = gateway->listeners[i].value;
    }
    gateway->value.n_listeners = gateway->n_listeners;
    return 0;
}

const struct weir_object *const *weir_objects_gateway(void) {
    static const struct weir_object *const objects[] = {
        &gateway_object,     &gateway_spec_object,
        &listener_object,    &tls_object,
        &tls_options_object, &allowed_object,
        &from_object,        &route_kind_object,
        &cert_ref_object,    NULL,
    };
    return objects;
}
