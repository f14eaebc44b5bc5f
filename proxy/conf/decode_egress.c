/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EgressPolicy of weir.dev/v1alpha1: what pods may call by name, which no NetworkPolicy can say (docs/adr/0017). As
 * a NetworkPolicy's, its rules only allow, and a pod it selects may call nothing else.
 */
#include <string.h>

#include "conf/build.h"
#include "conf/mode.h"
#include "conf/netpol.h"
#include "conf/parse.h"
#include "conf/syntax.h"

#define DNS_PORT 53

int weir_decode_dns_server(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const struct weir_cidr loopback[] = {
        { { { [10] = 0xff, [11] = 0xff, [12] = 127 } }, 104 },
        { { { [15] = 1 } }, 128 },
    };
    struct weir_dns_server *server = out;
    int r;

    server->port = DNS_PORT;
    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    if (weir_parse_ip(n->text, &server->ip) != 0 &&
        (n->text[0] == ':' || weir_parse_hostport(n->text, &server->ip, &server->port) != 0 ||
         server->port == 0)) {
        return weir_dec_error(d, n, "%s is not a server; expected \"ADDR\" or \"ADDR:PORT\"",
                              WEIR_SHOW(n));
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(loopback); i++) {
        if (weir_cidr_covers(&loopback[i], &server->ip)) {
            return weir_dec_error(d, n,
                                  "%s is the pod itself, which could answer whatever it likes; "
                                  "name the server it asks in turn",
                                  WEIR_SHOW(n));
        }
    }
    return 0;
}

static int decode_name(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r;

    *(const char **)out = "";
    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    if (!weir_is_hostname(n->text, true) || strlen(n->text) > WEIR_EGRESS_NAME_MAX) {
        return weir_dec_error(
            d, n,
            "%s is not a name; expected \"api.example.com\" or \"*.example.com\", in lower "
            "case, without a dot at the end (addresses are for a NetworkPolicy's ipBlock)",
            WEIR_SHOW(n));
    }
    return weir_dec_copy(d, n->text, out);
}

static int decode_port(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_netpol_port *port = out;
    int r = weir_decode_policy_port(d, n, port);

    if (r == 0 && port->name[0] != '\0') {
        r = weir_dec_error_in(d, n, "port",
                              "must be a number: a port's name is known of pods only");
    }
    return r;
}

static const struct weir_field rule_fields[] = {
    WEIR_F_LIST("names", struct weir_egress_rule, names, n_names, decode_name),
    WEIR_F_LIST("ports", struct weir_egress_rule, ports, n_ports, decode_port),
};
static const struct weir_object rule_object =
    WEIR_OBJECT("EgressPolicy.spec.egress[]", rule_fields);

static int decode_rule(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_egress_rule *rule = out;
    int r = weir_dec_object(d, n, &rule_object, out);

    /* In a NetworkPolicy no peers are everybody; here that could only be a mistake. */
    if (r == 0 && n->type == WEIR_NODE_MAP && rule->n_names == 0) {
        r = weir_dec_error_in(d, n, "names", "required: at least one name");
    }
    return r;
}

static const struct weir_field spec_fields[] = {
    WEIR_F("podSelector", struct weir_egress_policy, pods, weir_decode_selector),
    WEIR_F_LIST("dnsServers", struct weir_egress_policy, servers, n_servers,
                weir_decode_dns_server),
    WEIR_F_LIST("egress", struct weir_egress_policy, rules, n_rules, decode_rule),
};
static const struct weir_object spec_object = WEIR_OBJECT("EgressPolicy.spec", spec_fields);

static int decode_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &spec_object, out);
}

static const struct weir_field policy_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_REQ("spec", struct weir_draft_egress_policy, value, decode_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object policy_object = WEIR_OBJECT("EgressPolicy", policy_fields);

int weir_decode_egress_policy(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_egress_policy *policy = out;
    int r = weir_dec_object(d, n, &policy_object, policy);

    policy->value.pods.given = true; /* absent is the empty selector, as in a NetworkPolicy */
    return r == 0 ? weir_decode_annotation_bool(d, n, "weir.dev/audit", &policy->value.audit) : r;
}

const struct weir_object *const *weir_objects_egress(void) {
    static const struct weir_object *const objects[] = { &policy_object, &spec_object, &rule_object,
                                                         NULL };
    return objects;
}
