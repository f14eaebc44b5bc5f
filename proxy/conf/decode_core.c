/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Service, EndpointSlice and Namespace: their tables and the values only they have. Decides no
 * reference: which slice feeds which service is the matter of endpoints.c. What an API server adds
 * to these objects and a data plane has no use for is listed as such, so that a dump of a cluster
 * is accepted as it is.
 */
#include <string.h>

#include "conf/build.h"
#include "conf/mode.h"
#include "conf/syntax.h"

/* Far beyond what an API server lets through; they keep the work of checking and linking in bounds.
 */
#define MAX_PORTS       1000
#define MAX_CLUSTER_IPS 16

int weir_decode_proto(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "TCP", "UDP", "SCTP", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    if (r == 0 && i == 2) {
        return weir_dec_error(d, n, "SCTP is not supported by this version");
    }
    *(uint8_t *)out = i == 1 ? WEIR_PROTO_UDP : WEIR_PROTO_TCP;
    return r;
}

static int decode_port_name(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    /* Service port names are DNS labels, longer than a container's port name may be. */
    if (r == 0 && n->type == WEIR_NODE_STRING && n->text[0] != '\0' &&
        !weir_is_dns_label(n->text)) {
        return weir_dec_error(d, n, "%s is not a port name: lower case letters, digits and '-'",
                              WEIR_SHOW(n));
    }
    return r;
}

static bool is_any(const char *text, const char *const *words) {
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_prefix(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* A protocol of somebody else's ("mysql", "example.com/x") is carried as it is. */
static enum weir_app_protocol app_by_name(const char *text) {
    static const char *const http[] = { "http", "kubernetes.io/ws", NULL };
    static const char *const http2[] = { "http2", "h2c", "grpc", "kubernetes.io/h2c", NULL };
    static const char *const tls[] = { "https", "tls", "kubernetes.io/wss", NULL };

    return is_any(text, http)    ? WEIR_APP_HTTP
           : is_any(text, http2) ? WEIR_APP_HTTP2
           : is_any(text, tls)   ? WEIR_APP_TLS
                                 : WEIR_APP_TCP;
}

static enum weir_app_protocol app_by_port_name(const char *name) {
    static const char *const http2[] = { "http2", "grpc", NULL };

    if (is_any(name, http2) || has_prefix(name, "http2-") || has_prefix(name, "grpc-")) {
        return WEIR_APP_HTTP2;
    }
    if (strcmp(name, "http") == 0 || has_prefix(name, "http-")) {
        return WEIR_APP_HTTP;
    }
    return strcmp(name, "https") == 0 || has_prefix(name, "https-") ? WEIR_APP_TLS : WEIR_APP_TCP;
}

static int decode_app(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_port *port = out;
    int r;

    if (weir_dec_expect(d, n, WEIR_NODE_STRING, &r) && n->text[0] != '\0') {
        port->value.app = app_by_name(n->text);
        port->has_app = true;
    }
    return r;
}

/* A number, or the name of a container's port. */
static int decode_target(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_port *port = out;

    if (n->type != WEIR_NODE_STRING) {
        return weir_dec_port(d, n, &port->target);
    }
    if (!weir_is_port_name(n->text)) {
        return weir_dec_error(d, n, "%s is neither a port number nor a port's name", WEIR_SHOW(n));
    }
    return weir_dec_copy(d, n->text, &port->target_name);
}

static const struct weir_field service_port_fields[] = {
    WEIR_F("name", struct weir_draft_port, value.name, decode_port_name),
    WEIR_F("protocol", struct weir_draft_port, value.proto, weir_decode_proto),
    WEIR_F_REQ("port", struct weir_draft_port, value.port, weir_dec_port),
    WEIR_F_SELF("targetPort", decode_target),
    WEIR_F_SELF("appProtocol", decode_app),
    WEIR_F_NONE("nodePort"),
};
static const struct weir_object service_port_object =
    WEIR_OBJECT("Service.spec.ports[]", service_port_fields);

static int decode_service_port(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_port *port = out;

    port->value.name = "";
    port->value.proto = WEIR_PROTO_TCP;
    port->target_name = "";
    int r = weir_dec_object(d, n, &service_port_object, port);
    if (port->value.proto != WEIR_PROTO_TCP) {
        port->value.app = WEIR_APP_TCP;
    } else if (!port->has_app) {
        port->value.app = app_by_port_name(port->value.name);
    }
    port->value.l7 = port->value.app == WEIR_APP_HTTP || port->value.app == WEIR_APP_HTTP2;
    return r;
}

static int decode_service_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName",
                                         NULL };
    struct weir_draft_service *s = out;
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    s->is_external = i == 3;
    return r;
}

/* Kubernetes takes a final dot off, and so does whoever compares names of certificates. */
static int decode_host(struct weir_dec *d, const struct weir_node *n, void *out) {
    char name[WEIR_HOST_MAX + 1];
    struct weir_ip ip;
    size_t len;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    len = strlen(n->text);
    if (len > 1 && n->text[len - 1] == '.') {
        len--;
    }
    if (len <= WEIR_HOST_MAX) {
        memcpy(name, n->text, len);
        name[len] = '\0';
        if (weir_is_dns_subdomain(name) && weir_parse_ip(name, &ip) != 0) {
            return weir_dec_copy(d, name, out);
        }
    }
    return weir_dec_error(d, n, "%s is not a DNS name", WEIR_SHOW(n));
}

static int decode_affinity(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "None", "ClientIP", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(bool *)out = i == 1;
    return r;
}

static int decode_affinity_seconds(struct weir_dec *d, const struct weir_node *n, void *out) {
    int64_t value = *(uint32_t *)out;
    int r = weir_dec_int(d, n, 1, 86400, &value);

    *(uint32_t *)out = (uint32_t)value;
    return r;
}

static const struct weir_field client_ip_fields[] = {
    WEIR_F("timeoutSeconds", struct weir_draft_service, value.affinity_seconds,
           decode_affinity_seconds),
};
static const struct weir_object client_ip_object =
    WEIR_OBJECT("Service.spec.sessionAffinityConfig.clientIP", client_ip_fields);

static int decode_client_ip(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &client_ip_object, out);
}

static const struct weir_field affinity_config_fields[] = {
    WEIR_F_SELF("clientIP", decode_client_ip),
};
static const struct weir_object affinity_config_object =
    WEIR_OBJECT("Service.spec.sessionAffinityConfig", affinity_config_fields);

static int decode_affinity_config(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &affinity_config_object, out);
}

static int decode_internal_policy(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Cluster", "Local", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(bool *)out = i == 1;
    return r;
}

/* PreferClose is the older name of PreferSameZone. */
static int decode_distribution(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "PreferClose", "PreferSameZone", "PreferSameNode", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(enum weir_nearness *)out = i == 2 ? WEIR_NEAR_NODE : WEIR_NEAR_ZONE;
    return r;
}

static int decode_cluster_ip(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_ip ip;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    if (n->text[0] != '\0' && strcmp(n->text, "None") != 0 && weir_parse_ip(n->text, &ip) != 0) {
        return weir_dec_error(d, n, "%s is not an IP address (or None)", WEIR_SHOW(n));
    }
    return weir_dec_copy(d, n->text, out);
}

static const struct weir_field service_spec_fields[] = {
    WEIR_F_LIST("ports", struct weir_draft_service, ports, n_ports, decode_service_port),
    WEIR_F("selector", struct weir_draft_service, selector, weir_decode_match_labels),
    WEIR_F("clusterIP", struct weir_draft_service, cluster_ip, decode_cluster_ip),
    WEIR_F_LIST("clusterIPs", struct weir_draft_service, cluster_ips, n_cluster_ips,
                decode_cluster_ip),
    WEIR_F_SELF("type", decode_service_type),
    WEIR_F("externalName", struct weir_draft_service, value.external_name, decode_host),
    WEIR_F("sessionAffinity", struct weir_draft_service, value.affinity_client_ip, decode_affinity),
    WEIR_F_SELF("sessionAffinityConfig", decode_affinity_config),
    WEIR_F("publishNotReadyAddresses", struct weir_draft_service, publish_not_ready, weir_dec_bool),
    WEIR_F("internalTrafficPolicy", struct weir_draft_service, value.local_only,
           decode_internal_policy),
    WEIR_F("trafficDistribution", struct weir_draft_service, value.near, decode_distribution),
    WEIR_F_NONE("allocateLoadBalancerNodePorts"),
    WEIR_F_NONE("externalTrafficPolicy"),
    WEIR_F_NONE("healthCheckNodePort"),
    WEIR_F_NONE("ipFamilies"),
    WEIR_F_NONE("ipFamilyPolicy"),
    WEIR_F_NONE("loadBalancerClass"),
    WEIR_F_NONE("loadBalancerIP"),
    WEIR_F_NONE("loadBalancerSourceRanges"),
    WEIR_F_UNSUP("externalIPs"),
};
static const struct weir_object service_spec_object =
    WEIR_OBJECT("Service.spec", service_spec_fields);

static int decode_service_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &service_spec_object, out);
}

static const struct weir_field service_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF_REQ("spec", decode_service_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object service_object = WEIR_OBJECT("Service", service_fields);

/* Names tell the ports of a service apart: required when there are several, and unique. */
static int check_port_names(struct weir_dec *d, const struct weir_node *n,
                            const struct weir_draft_service *s) {
    const struct weir_node *ports = weir_node_get(weir_node_get(n, "spec"), "ports");
    uint32_t i = 0;
    int r = 0;

    if (s->n_ports > MAX_PORTS) {
        return weir_dec_error(d, ports, "more than %d ports", MAX_PORTS);
    }
    if (s->n_ports < 2) {
        return 0;
    }
    WEIR_NODE_FOREACH(it, ports) {
        const char *name = s->ports[i].value.name;
        bool twice = false;
        for (uint32_t j = 0; j < i && !twice; j++) {
            twice = strcmp(s->ports[j].value.name, name) == 0;
        }
        weir_dec_enter(d, NULL, i);
        if (name[0] == '\0' || twice) {
            r = weir_dec_error(d, it,
                               name[0] == '\0' ? "a service of several ports needs a name for each"
                                               : "two ports have the same name");
        }
        weir_dec_leave(d);
        if (r != 0) {
            return r;
        }
        i++;
    }
    return 0;
}

/* clusterIPs, else clusterIP; both may be "None". */
static int settle_cluster_ips(struct weir_dec *d, struct weir_draft_service *s) {
    const char **texts = s->n_cluster_ips > 0 ? s->cluster_ips : &s->cluster_ip;
    uint32_t n = s->n_cluster_ips > 0 ? s->n_cluster_ips : 1;
    struct weir_ip *ips = weir_arena_calloc(d->arena, n, sizeof(*ips));

    if (ips == NULL) {
        return -ENOMEM;
    }
    s->value.ips = ips;
    for (uint32_t i = 0; i < n; i++) {
        const char *text = texts[i] != NULL ? texts[i] : "";
        if (strcmp(text, "None") == 0) {
            s->value.headless = true;
        } else if (text[0] != '\0' && weir_parse_ip(text, &ips[s->value.n_ips]) == 0) {
            s->value.n_ips++;
        }
    }
    return 0;
}

/* Of a service of type ExternalName its name alone counts, of any other all but that. */
static int check_external(struct weir_dec *d, const struct weir_node *n,
                          struct weir_draft_service *s) {
    const struct weir_node *spec = weir_node_get(n, "spec");
    int r = 0;

    weir_dec_enter(d, "spec", 0);
    if (s->is_external && s->value.external_name[0] == '\0') {
        r = weir_dec_error_in(d, spec, "externalName", "required with type ExternalName");
    } else if (!s->is_external && s->value.external_name[0] != '\0') {
        r = weir_dec_error_in(d, spec, "externalName", "needs type ExternalName");
    } else if (s->is_external && s->value.n_ips > 0) {
        r = weir_dec_error_in(d, spec, "clusterIP", "not with type ExternalName");
    }
    weir_dec_leave(d);
    return r;
}

int weir_decode_service(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_service *s = out;

    s->cluster_ip = "";
    s->value.external_name = "";
    s->value.affinity_seconds = 10800;
    int r = weir_dec_object(d, n, &service_object, s);
    if (r == 0) {
        r = weir_decode_annotation_bool(d, n, WEIR_HTTP_TELEMETRY, &s->value.http_telemetry);
    }
    if (r == 0 && s->n_cluster_ips > MAX_CLUSTER_IPS) {
        return weir_dec_error(d, n, "more than %d clusterIPs", MAX_CLUSTER_IPS);
    }
    if (r == 0) {
        r = settle_cluster_ips(d, s);
    }
    if (r == 0 && d->problems->n_errors == 0) {
        r = check_external(d, n, s);
    }
    if (r == 0) {
        weir_dec_enter(d, "spec", 0);
        weir_dec_enter(d, "ports", 0);
        r = check_port_names(d, n, s);
        weir_dec_leave(d);
        weir_dec_leave(d);
    }
    /* A selector without terms selects nothing here, unlike in a policy. */
    s->selector.given = s->selector.given && s->selector.n_terms > 0;
    return r;
}

static int decode_tristate(struct weir_dec *d, const struct weir_node *n, void *out) {
    bool value = false;
    int r;

    if (weir_dec_expect(d, n, WEIR_NODE_BOOL, &r)) {
        r = weir_dec_bool(d, n, &value);
        *(int *)out = value;
    }
    return r;
}

static const struct weir_field condition_fields[] = {
    WEIR_F("ready", struct weir_slice_endpoint, ready, decode_tristate),
    WEIR_F("serving", struct weir_slice_endpoint, serving, decode_tristate),
    WEIR_F("terminating", struct weir_slice_endpoint, terminating, decode_tristate),
};
static const struct weir_object condition_object =
    WEIR_OBJECT("EndpointSlice.endpoints[].conditions", condition_fields);

static int decode_conditions(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &condition_object, out);
}

struct target_ref {
    const char *kind, *name, *namespace_;
};

static const struct weir_field target_ref_fields[] = {
    WEIR_F("kind", struct target_ref, kind, weir_dec_string),
    WEIR_F("name", struct target_ref, name, weir_dec_string),
    WEIR_F("namespace", struct target_ref, namespace_, weir_dec_string),
    WEIR_F_NONE("apiVersion"),
    WEIR_F_NONE("fieldPath"),
    WEIR_F_NONE("resourceVersion"),
    WEIR_F_NONE("uid"),
};
static const struct weir_object target_ref_object =
    WEIR_OBJECT("EndpointSlice.endpoints[].targetRef", target_ref_fields);

static int decode_target_ref(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_slice_endpoint *e = out;
    struct target_ref ref = { "", "", "" };
    int r = weir_dec_object(d, n, &target_ref_object, &ref);

    if (strcmp(ref.kind, "Pod") == 0) {
        e->pod = ref.name;
        e->pod_namespace = ref.namespace_;
    }
    return r;
}

/* Which of the two it must be is known with addressType. */
static int decode_slice_address(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_slice_address *address = out;
    int r;

    if (weir_dec_expect(d, n, WEIR_NODE_STRING, &r) && weir_parse_ip(n->text, &address->ip) != 0) {
        return decode_host(d, n, &address->host);
    }
    return r;
}

static const struct weir_field endpoint_fields[] = {
    WEIR_F_LIST("addresses", struct weir_slice_endpoint, addresses, n_addresses,
                decode_slice_address),
    WEIR_F_SELF("conditions", decode_conditions),
    WEIR_F_SELF("targetRef", decode_target_ref),
    WEIR_F("nodeName", struct weir_slice_endpoint, node, weir_dec_string),
    WEIR_F("zone", struct weir_slice_endpoint, zone, weir_dec_string),
    WEIR_F_NONE("deprecatedTopology"),
    WEIR_F_NONE("hints"),
    WEIR_F_NONE("hostname"),
};
static const struct weir_object endpoint_object =
    WEIR_OBJECT("EndpointSlice.endpoints[]", endpoint_fields);

static int decode_endpoint(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_slice_endpoint *e = out;

    *e = (struct weir_slice_endpoint){ .ready = -1,
                                       .serving = -1,
                                       .terminating = -1,
                                       .node = "",
                                       .zone = "",
                                       .pod = "",
                                       .pod_namespace = "" };
    int r = weir_dec_object(d, n, &endpoint_object, e);
    if (r == 0 && n->type == WEIR_NODE_MAP && weir_node_get(n, "addresses") == NULL) {
        return weir_dec_error_in(d, n, "addresses", "required, but not given");
    }
    return r;
}

static const struct weir_field slice_port_fields[] = {
    WEIR_F("name", struct weir_slice_port, name, decode_port_name),
    WEIR_F("port", struct weir_slice_port, port, weir_dec_port),
    WEIR_F("protocol", struct weir_slice_port, proto, weir_decode_proto),
    WEIR_F_NONE("appProtocol"),
};
static const struct weir_object slice_port_object =
    WEIR_OBJECT("EndpointSlice.ports[]", slice_port_fields);

static int decode_slice_port(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_slice_port *port = out;

    *port = (struct weir_slice_port){ .name = "", .proto = WEIR_PROTO_TCP };
    int r = weir_dec_object(d, n, &slice_port_object, port);
    if (r == 0 && n->type == WEIR_NODE_MAP && weir_node_get(n, "port") == NULL) {
        return weir_dec_error_in(
            d, n, "port", "required, but not given (a slice of every port is not supported)");
    }
    return r;
}

static int decode_address_type(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "IPv4", "IPv6", "FQDN", NULL };
    struct weir_draft_slice *slice = out;
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    slice->type = i == 0 ? WEIR_SLICE_IPV4 : i == 1 ? WEIR_SLICE_IPV6 : WEIR_SLICE_FQDN;
    return r;
}

static const struct weir_field slice_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF_REQ("addressType", decode_address_type),
    WEIR_F_LIST("endpoints", struct weir_draft_slice, endpoints, n_endpoints, decode_endpoint),
    WEIR_F_LIST("ports", struct weir_draft_slice, ports, n_ports, decode_slice_port),
};
static const struct weir_object slice_object = WEIR_OBJECT("EndpointSlice", slice_fields);

static bool is_of_type(const struct weir_slice_address *address,
                       const struct weir_draft_slice *slice) {
    if (address->host != NULL || slice->type == WEIR_SLICE_FQDN) {
        return address->host != NULL && slice->type == WEIR_SLICE_FQDN;
    }
    return weir_ip_is_v4(&address->ip) == (slice->type == WEIR_SLICE_IPV4);
}

/* Every address is what addressType says. */
static int check_families(struct weir_dec *d, const struct weir_node *n,
                          const struct weir_draft_slice *slice) {
    const struct weir_node *endpoints = weir_node_get(n, "endpoints");
    uint32_t i = 0;
    int r = 0;

    if (slice->n_endpoints == 0) {
        return 0;
    }
    weir_dec_enter(d, "endpoints", 0);
    WEIR_NODE_FOREACH(it, endpoints) {
        const struct weir_slice_endpoint *e = &slice->endpoints[i];
        weir_dec_enter(d, NULL, i++);
        for (uint32_t j = 0; j < e->n_addresses && r == 0; j++) {
            if (!is_of_type(&e->addresses[j], slice)) {
                r = weir_dec_error_in(d, it, "addresses", "not of addressType %s",
                                      slice->type == WEIR_SLICE_IPV4   ? "IPv4"
                                      : slice->type == WEIR_SLICE_IPV6 ? "IPv6"
                                                                       : "FQDN");
                break;
            }
        }
        weir_dec_leave(d);
    }
    weir_dec_leave(d);
    return r;
}

int weir_decode_slice(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_object(d, n, &slice_object, out);

    /* Only when the addresses themselves could be read. */
    return r == 0 && d->problems->n_errors == 0 ? check_families(d, n, out) : r;
}

static const struct weir_field namespace_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_NONE("spec"),
    WEIR_F_NONE("status"),
};
static const struct weir_object namespace_object = WEIR_OBJECT("Namespace", namespace_fields);

int weir_decode_namespace(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "closed", "open", NULL };
    struct weir_draft_namespace *ns = out;
    unsigned open = 0;
    int r = weir_dec_object(d, n, &namespace_object, ns);

    ns->value.mode = -1;
    if (r == 0) {
        r = weir_decode_mode(d, n, &ns->head.meta, &ns->value.mode);
    }
    if (r == 0) {
        r = weir_decode_annotation_word(d, n, "weir.dev/fail-mode", words, &open);
    }
    ns->value.fail_open = open == 1;
    return r;
}

const struct weir_object *const *weir_objects_core(void) {
    static const struct weir_object *const objects[] = {
        &namespace_object,       &service_object,    &service_spec_object, &service_port_object,
        &affinity_config_object, &client_ip_object,  &slice_object,        &endpoint_object,
        &condition_object,       &target_ref_object, &slice_port_object,   NULL,
    };
    return objects;
}
