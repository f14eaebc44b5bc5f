/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLSRoute and BackendTLSPolicy of gateway.networking.k8s.io. A TLSRoute is a route with one rule that has no matches: the host name is
 * all there is to match. Who a policy is for and what its references lead to is linked in backend_tls.c.
 */
#include <string.h>

#include "conf/decode_route.h"
#include "conf/syntax.h"

/* ---- TLSRoute ---- */

static const struct weir_field backend_fields[] = {
    WEIR_F("group", struct weir_object_ref, group, weir_dec_string),
    WEIR_F("kind", struct weir_object_ref, kind, weir_dec_string),
    WEIR_F_REQ("name", struct weir_object_ref, backend.name, weir_dec_string),
    WEIR_F("namespace", struct weir_object_ref, backend.namespace_, weir_decode_ref_namespace),
    WEIR_F_REQ("port", struct weir_object_ref, backend.port, weir_dec_port),
    WEIR_F("weight", struct weir_object_ref, backend.weight, weir_decode_route_weight),
};
static const struct weir_object backend_object =
    WEIR_OBJECT("TLSRoute.spec.rules[].backendRefs[]", backend_fields);

static int decode_backend(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_decode_backend_ref(d, n, &backend_object, out);
}

static const struct weir_field rule_fields[] = {
    WEIR_F("name", struct weir_route_rule, name, weir_dec_string),
    WEIR_F_LIST("backendRefs", struct weir_route_rule, backends, n_backends, decode_backend),
};
static const struct weir_object rule_object = WEIR_OBJECT("TLSRoute.spec.rules[]", rule_fields);

static int decode_rule(struct weir_dec *d, const struct weir_node *n, void *out) {
    ((struct weir_route_rule *)out)->name = "";
    return weir_dec_object(d, n, &rule_object, out);
}

static int decode_parent(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_parent_ref *ref = out;
    int r = weir_decode_parent_ref(d, n, out);

    if (r == 0 && ref->kind == WEIR_PARENT_SERVICE) {
        return weir_dec_error_in(d, n, "kind", "a TLSRoute is for a Gateway, not for a Service");
    }
    return r;
}

static const struct weir_field route_spec_fields[] = {
    WEIR_F_LIST("parentRefs", struct weir_draft_route, value.parents, value.n_parents,
                decode_parent),
    WEIR_F_LIST("hostnames", struct weir_draft_route, value.hostnames, value.n_hostnames,
                weir_decode_route_host),
    WEIR_F_LIST("rules", struct weir_draft_route, value.rules, value.n_rules, decode_rule),
    WEIR_F_UNSUP("useDefaultGateways"),
};
static const struct weir_object route_spec_object = WEIR_OBJECT("TLSRoute.spec", route_spec_fields);

static int decode_route_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_http_route *route = &((struct weir_draft_route *)out)->value;
    int r = weir_dec_object(d, n, &route_spec_object, out);

    if (r == 0 && route->n_rules != 1) {
        return weir_dec_error_in(d, n, "rules",
                                 "exactly one is needed: nothing but the host name could tell two "
                                 "apart");
    }
    return r;
}

static const struct weir_field route_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF_REQ("spec", decode_route_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object route_object = WEIR_OBJECT("TLSRoute", route_fields);

int weir_decode_tls_route(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_route *route = out;

    route->value.tls = true;
    return weir_dec_object(d, n, &route_object, route);
}

/* ---- BackendTLSPolicy ---- */

static const struct weir_field target_fields[] = {
    WEIR_F("group", struct weir_policy_target, group, weir_dec_string),
    WEIR_F_REQ("kind", struct weir_policy_target, kind, weir_dec_string),
    WEIR_F_REQ("name", struct weir_policy_target, name, weir_dec_string),
    WEIR_F("sectionName", struct weir_policy_target, section, weir_dec_string),
};
static const struct weir_object target_object =
    WEIR_OBJECT("BackendTLSPolicy.spec.targetRefs[]", target_fields);

static int decode_target(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_policy_target *target = out;
    int r = weir_decode_policy_target(d, n, &target_object, target);

    if (r == 0 && target->kind[0] != '\0' &&
        (strcmp(target->kind, "Service") != 0 || target->group[0] != '\0')) {
        return weir_dec_error_in(d, n, "kind",
                                 "a BackendTLSPolicy is for a Service of group \"\", not for a "
                                 "%.64s of \"%.64s\"",
                                 target->kind, target->group);
    }
    return r;
}

static const struct weir_field ca_fields[] = {
    WEIR_F("group", struct weir_draft_ref, group, weir_dec_string),
    WEIR_F_REQ("kind", struct weir_draft_ref, kind, weir_dec_string),
    WEIR_F_REQ("name", struct weir_draft_ref, name, weir_dec_string),
};
static const struct weir_object ca_object =
    WEIR_OBJECT("BackendTLSPolicy.spec.validation.caCertificateRefs[]", ca_fields);

static int decode_ca(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_ref *ref = out;

    *ref = (struct weir_draft_ref){ .group = "", .kind = "", .name = "", .namespace_ = "" };
    int r = weir_decode_pem_ref(d, n, &ca_object, ref);
    if (r == 0 && ref->kind[0] != '\0' &&
        (ref->group[0] != '\0' ||
         (strcmp(ref->kind, "ConfigMap") != 0 && strcmp(ref->kind, "Secret") != 0))) {
        return weir_dec_error_in(d, n, "kind",
                                 "certificates come from a ConfigMap or a Secret, not from a %.64s "
                                 "of \"%.64s\"",
                                 ref->kind, ref->group);
    }
    return r;
}

static int decode_system(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "System", NULL };
    unsigned i = 1;
    int r = weir_dec_word(d, n, words, &i);

    *(bool *)out = i == 0;
    return r;
}

static int decode_hostname(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_hostname(n->text, false)) {
        return weir_dec_error(
            d, n, "%s is not a host name: lower case, no port, no address, no '*'", WEIR_SHOW(n));
    }
    return r;
}

struct san {
    unsigned type; /* index of `words` below */
    const char *hostname, *uri;
};

static int decode_san_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Hostname", "URI", NULL };

    return weir_dec_word(d, n, words, out);
}

static const struct weir_field san_fields[] = {
    WEIR_F_REQ("type", struct san, type, decode_san_type),
    WEIR_F("hostname", struct san, hostname, weir_dec_string),
    WEIR_F("uri", struct san, uri, weir_dec_string),
};
static const struct weir_object san_object =
    WEIR_OBJECT("BackendTLSPolicy.spec.validation.subjectAltNames[]", san_fields);

static int decode_san(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct san san = { .hostname = "", .uri = "" };
    int r = weir_dec_object(d, n, &san_object, &san);
    bool uri = san.type == 1;

    *(struct weir_san *)out = (struct weir_san){ uri, uri ? san.uri : san.hostname };
    if (r == 0 && (uri ? san.hostname : san.uri)[0] != '\0') {
        return weir_dec_error(d, n, "of type %s, so only its %s counts", uri ? "URI" : "Hostname",
                              uri ? "uri" : "hostname");
    }
    if (r == 0 && uri && strchr(san.uri, ':') == NULL) {
        return weir_dec_error_in(d, n, "uri", "needs a URI with a scheme");
    }
    if (r == 0 && !uri && !weir_is_hostname(san.hostname, true)) {
        return weir_dec_error_in(d, n, "hostname", "needs a host name");
    }
    return r;
}

static const struct weir_field validation_fields[] = {
    WEIR_F_LIST("caCertificateRefs", struct weir_draft_backend_tls, cas, n_cas, decode_ca),
    WEIR_F("wellKnownCACertificates", struct weir_draft_backend_tls, system, decode_system),
    WEIR_F_REQ("hostname", struct weir_draft_backend_tls, value.hostname, decode_hostname),
    WEIR_F_LIST("subjectAltNames", struct weir_draft_backend_tls, value.sans, value.n_sans,
                decode_san),
};
static const struct weir_object validation_object =
    WEIR_OBJECT("BackendTLSPolicy.spec.validation", validation_fields);

static int decode_validation(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &validation_object, out);
}

static const struct weir_field option_fields[] = {
    WEIR_F("weir.dev/ca-file", struct weir_draft_backend_tls, value.ca_file, weir_dec_string),
};
static const struct weir_object option_object =
    WEIR_OBJECT("BackendTLSPolicy.spec.options", option_fields);

static int decode_options(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &option_object, out);
}

static const struct weir_field policy_spec_fields[] = {
    WEIR_F_LIST("targetRefs", struct weir_draft_backend_tls, value.targets, value.n_targets,
                decode_target),
    WEIR_F_SELF_REQ("validation", decode_validation),
    WEIR_F_SELF("options", decode_options),
};
static const struct weir_object policy_spec_object =
    WEIR_OBJECT("BackendTLSPolicy.spec", policy_spec_fields);

/* One source of trust, no more and no less. */
static int decode_policy_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_draft_backend_tls *policy = out;
    uint32_t errors = d->problems->n_errors;
    int r = weir_dec_object(d, n, &policy_spec_object, out);

    if (r != 0 || errors != d->problems->n_errors) {
        return r;
    }
    if (policy->value.n_targets == 0) {
        return weir_dec_error_in(d, n, "targetRefs", "required, but not given");
    }
    if ((policy->n_cas > 0) + policy->system + (policy->value.ca_file[0] != '\0') != 1) {
        return weir_dec_error_in(d, n, "validation",
                                 "needs one of caCertificateRefs, wellKnownCACertificates: System "
                                 "and options \"weir.dev/ca-file\"");
    }
    return 0;
}

static const struct weir_field policy_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF_REQ("spec", decode_policy_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object policy_object = WEIR_OBJECT("BackendTLSPolicy", policy_fields);

int weir_decode_backend_tls(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_backend_tls *policy = out;

    policy->value.hostname = policy->value.ca = policy->value.ca_file = "";
    return weir_dec_object(d, n, &policy_object, policy);
}

const struct weir_object *const *weir_objects_tls(void) {
    static const struct weir_object *const objects[] = {
        &route_object,  &route_spec_object,  &rule_object,   &backend_object,
        &policy_object, &policy_spec_object, &target_object, &validation_object,
        &ca_object,     &san_object,         &option_object, NULL,
    };
    return objects;
}
