/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NetworkPolicy and PeerAuthentication, and the LabelSelector they share with Service. Owns their
 * tables and the defaults their API documents state; a policy is never read more widely than it was
 * written: whatever is doubtful (a null element, an empty peer, an unknown protocol) is an error.
 */
#include <string.h>

#include "conf/build.h"
#include "conf/mode.h"
#include "conf/netpol.h"
#include "conf/parse.h"
#include "conf/syntax.h"

static int check_label_key(struct weir_dec *d, const struct weir_node *n, const char *key) {
    if (!weir_is_label_key(key)) {
        return weir_dec_error(d, n, "\"%.64s\" is not the name of a label", key);
    }
    return 0;
}

/* The terms of a selector grow: matchLabels and matchExpressions may both be there. */
static int more_terms(struct weir_dec *d, struct weir_selector *s, uint32_t n,
                      struct weir_selector_term **ret_first) {
    struct weir_selector_term *terms = weir_arena_calloc(d->arena, s->n_terms + n, sizeof(*terms));

    if (s->n_terms + n > 0 && terms == NULL) {
        return -ENOMEM;
    }
    if (s->n_terms > 0) {
        memcpy(terms, s->terms, s->n_terms * sizeof(*terms));
    }
    *ret_first = terms + s->n_terms;
    s->terms = terms;
    s->n_terms += n;
    return 0;
}

static int decode_match_label(struct weir_dec *d, const struct weir_node *n,
                              struct weir_selector_term *term) {
    const char **values = weir_arena_calloc(d->arena, 1, sizeof(*values));
    int r;

    if (values == NULL) {
        return -ENOMEM;
    }
    *term =
        (struct weir_selector_term){ .key = "", .op = WEIR_OP_IN, .values = values, .n_values = 1 };
    values[0] = "";
    r = check_label_key(d, n, n->key);
    if (r == 0) {
        r = weir_dec_copy(d, n->key, &term->key);
    }
    if (r == 0) {
        r = weir_dec_string(d, n, &values[0]);
    }
    if (r == 0 && !weir_is_label_value(values[0])) {
        r = weir_dec_error(d, n, "%s is not the value of a label", WEIR_SHOW(n));
    }
    return r;
}

int weir_decode_match_labels(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_selector *s = out;
    struct weir_selector_term *term;
    int r;

    s->given = true;
    if (!weir_dec_expect(d, n, WEIR_NODE_MAP, &r)) {
        return r;
    }
    r = more_terms(d, s, n->n, &term);
    WEIR_NODE_FOREACH(it, n) {
        if (r != 0) {
            break;
        }
        weir_dec_enter(d, it->key, 0);
        r = decode_match_label(d, it, term++);
        weir_dec_leave(d);
    }
    return r;
}

static int decode_operator(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "In", "NotIn", "Exists", "DoesNotExist", NULL };
    unsigned i = WEIR_OP_IN;
    int r = weir_dec_word(d, n, words, &i);

    *(enum weir_selector_op *)out = (enum weir_selector_op)i;
    return r;
}

static int decode_label_key(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    return r == 0 && n->type == WEIR_NODE_STRING ? check_label_key(d, n, n->text) : r;
}

static const struct weir_field expression_fields[] = {
    WEIR_F_REQ("key", struct weir_selector_term, key, decode_label_key),
    WEIR_F_REQ("operator", struct weir_selector_term, op, decode_operator),
    WEIR_F_LIST("values", struct weir_selector_term, values, n_values, weir_dec_string),
};
static const struct weir_object expression_object =
    WEIR_OBJECT("LabelSelector.matchExpressions[]", expression_fields);

static int decode_expression(struct weir_dec *d, const struct weir_node *n,
                             struct weir_selector_term *term) {
    uint32_t errors = d->problems->n_errors;

    term->key = "";
    int r = weir_dec_object(d, n, &expression_object, term);
    bool wants_values = term->op == WEIR_OP_IN || term->op == WEIR_OP_NOT_IN;

    /* A value that was no string has been reported; it must not stay NULL. */
    for (uint32_t i = 0; i < term->n_values; i++) {
        term->values[i] = term->values[i] != NULL ? term->values[i] : "";
    }
    if (r == 0 && errors == d->problems->n_errors && wants_values != (term->n_values > 0)) {
        r = weir_dec_error_in(d, n, "values",
                              wants_values ? "required with In and NotIn"
                                           : "not allowed with Exists and DoesNotExist");
    }
    return r;
}

static int decode_expressions(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_selector_term *term;
    uint32_t i = 0;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_LIST, &r)) {
        return r;
    }
    r = more_terms(d, out, n->n, &term);
    WEIR_NODE_FOREACH(it, n) {
        if (r != 0) {
            break;
        }
        weir_dec_enter(d, NULL, i++);
        r = decode_expression(d, it, term++);
        weir_dec_leave(d);
    }
    return r;
}

static const struct weir_field selector_fields[] = {
    WEIR_F_SELF("matchLabels", weir_decode_match_labels),
    WEIR_F_SELF("matchExpressions", decode_expressions),
};
static const struct weir_object selector_object = WEIR_OBJECT("LabelSelector", selector_fields);

int weir_decode_selector(struct weir_dec *d, const struct weir_node *n, void *out) {
    ((struct weir_selector *)out)->given = true;
    return weir_dec_object(d, n, &selector_object, out);
}

struct block {
    struct weir_cidr cidr;
    struct weir_cidr *except;
    uint32_t n_except;
};

static const struct weir_field block_fields[] = {
    WEIR_F_REQ("cidr", struct block, cidr, weir_dec_cidr),
    WEIR_F_LIST("except", struct block, except, n_except, weir_dec_cidr),
};
static const struct weir_object block_object =
    WEIR_OBJECT("NetworkPolicy.spec.ingress[].from[].ipBlock", block_fields);

static int decode_block(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_netpol_peer *peer = out;
    struct block block = { 0 };
    uint32_t errors = d->problems->n_errors;
    int r = weir_dec_object(d, n, &block_object, &block);

    peer->is_block = true;
    weir_cidr_mask(&block.cidr);
    for (uint32_t i = 0; i < block.n_except; i++) {
        struct weir_cidr *hole = &block.except[i];
        weir_cidr_mask(hole);
        bool inside = hole->prefix > block.cidr.prefix && weir_cidr_covers(&block.cidr, &hole->ip);
        if (r == 0 && errors == d->problems->n_errors && !inside) {
            r = weir_dec_error_in(d, n, "except", "every range must lie strictly within cidr");
        }
    }
    peer->block = block.cidr;
    peer->except = block.except;
    peer->n_except = block.n_except;
    return r;
}

static const struct weir_field peer_fields[] = {
    WEIR_F("podSelector", struct weir_netpol_peer, pods, weir_decode_selector),
    WEIR_F("namespaceSelector", struct weir_netpol_peer, namespaces, weir_decode_selector),
    WEIR_F_SELF("ipBlock", decode_block),
};
static const struct weir_object peer_object =
    WEIR_OBJECT("NetworkPolicy.spec.ingress[].from[]", peer_fields);

static int decode_peer(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_netpol_peer *peer = out;
    int r = weir_dec_object(d, n, &peer_object, peer);
    bool selects = peer->pods.given || peer->namespaces.given;

    if (r != 0 || n->type != WEIR_NODE_MAP) {
        return r;
    }
    if (!selects && !peer->is_block) {
        return weir_dec_error(
            d, n,
            "a peer needs podSelector, namespaceSelector or ipBlock (null is not a selector; {} "
            "selects everything)");
    }
    if (selects && peer->is_block) {
        return weir_dec_error(d, n,
                              "ipBlock may not stand beside podSelector or namespaceSelector");
    }
    return 0;
}

struct port_draft {
    struct weir_netpol_port value;
    uint16_t number, end;
};

static int decode_port(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct port_draft *port = out;

    if (n->type != WEIR_NODE_STRING) {
        return weir_dec_port(d, n, &port->number);
    }
    if (!weir_is_port_name(n->text)) {
        return weir_dec_error(d, n, "%s is neither a port number nor a port's name", WEIR_SHOW(n));
    }
    return weir_dec_copy(d, n->text, &port->value.name);
}

static const struct weir_field port_fields[] = {
    WEIR_F("protocol", struct port_draft, value.proto, weir_decode_proto),
    WEIR_F_SELF("port", decode_port),
    WEIR_F("endPort", struct port_draft, end, weir_dec_port),
};
static const struct weir_object port_object =
    WEIR_OBJECT("NetworkPolicy.spec.ingress[].ports[]", port_fields);

int weir_decode_policy_port(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct port_draft port = { .value = { .proto = WEIR_PROTO_TCP, .name = "", .last = 65535 } };
    int r = weir_dec_object(d, n, &port_object, &port);

    if (port.number != 0) {
        port.value.first = port.number;
        port.value.last = port.end != 0 ? port.end : port.number;
    }
    if (r == 0 && port.end != 0 && port.end < port.number) {
        r = weir_dec_error_in(d, n, "endPort", "less than port");
    } else if (r == 0 && port.end != 0 && port.number == 0) {
        r = weir_dec_error_in(d, n, "endPort", "needs a port that is a number");
    }
    *(struct weir_netpol_port *)out = port.value;
    return r;
}

static const struct weir_field ingress_fields[] = {
    WEIR_F_LIST("from", struct weir_netpol_rule, peers, n_peers, decode_peer),
    WEIR_F_LIST("ports", struct weir_netpol_rule, ports, n_ports, weir_decode_policy_port),
};
static const struct weir_object ingress_object =
    WEIR_OBJECT("NetworkPolicy.spec.ingress[]", ingress_fields);

static const struct weir_field egress_fields[] = {
    WEIR_F_LIST("to", struct weir_netpol_rule, peers, n_peers, decode_peer),
    WEIR_F_LIST("ports", struct weir_netpol_rule, ports, n_ports, weir_decode_policy_port),
};
static const struct weir_object egress_object =
    WEIR_OBJECT("NetworkPolicy.spec.egress[]", egress_fields);

static int decode_ingress_rule(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &ingress_object, out);
}

static int decode_egress_rule(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &egress_object, out);
}

static int decode_policy_types(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Ingress", "Egress", NULL };
    struct weir_draft_netpol *policy = out;
    uint32_t index = 0;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_LIST, &r)) {
        return r;
    }
    policy->types_given = n->n > 0;
    WEIR_NODE_FOREACH(it, n) {
        unsigned i = 2;
        weir_dec_enter(d, NULL, index++);
        r = weir_dec_word(d, it, words, &i);
        weir_dec_leave(d);
        if (r != 0) {
            return r;
        }
        policy->value.ingress = policy->value.ingress || i == 0;
        policy->value.egress = policy->value.egress || i == 1;
    }
    return 0;
}

static const struct weir_field netpol_spec_fields[] = {
    WEIR_F("podSelector", struct weir_draft_netpol, value.pods, weir_decode_selector),
    WEIR_F_SELF("policyTypes", decode_policy_types),
    WEIR_F_LIST("ingress", struct weir_draft_netpol, value.ingress_rules, value.n_ingress_rules,
                decode_ingress_rule),
    WEIR_F_LIST("egress", struct weir_draft_netpol, value.egress_rules, value.n_egress_rules,
                decode_egress_rule),
};
static const struct weir_object netpol_spec_object =
    WEIR_OBJECT("NetworkPolicy.spec", netpol_spec_fields);

static int decode_netpol_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &netpol_spec_object, out);
}

static const struct weir_field netpol_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF_REQ("spec", decode_netpol_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object netpol_object = WEIR_OBJECT("NetworkPolicy", netpol_fields);

int weir_decode_netpol(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_netpol *policy = out;
    int r = weir_dec_object(d, n, &netpol_object, policy);

    /* As documented: Ingress always, Egress when there is an egress rule. */
    if (!policy->types_given) {
        policy->value.ingress = true;
        policy->value.egress = policy->value.n_egress_rules > 0;
    }
    /* podSelector is not a pointer in the API: absent is the empty selector. */
    policy->value.pods.given = true;
    return r == 0 ? weir_decode_annotation_bool(d, n, "weir.dev/audit", &policy->value.audit) : r;
}

static int decode_mtls_mode(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "UNSET", "DISABLE", "PERMISSIVE", "STRICT", NULL };
    unsigned i = WEIR_MTLS_UNSET;
    int r = weir_dec_word(d, n, words, &i);

    *(enum weir_mtls_mode *)out = (enum weir_mtls_mode)i;
    return r;
}

static const struct weir_field mtls_fields[] = {
    { .key = "mode", .use = WEIR_FIELD_DECODED, .fn = decode_mtls_mode },
};
static const struct weir_object mtls_object =
    WEIR_OBJECT("PeerAuthentication.spec.mtls", mtls_fields);

static int decode_mtls(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &mtls_object, out);
}

static int decode_port_mtls(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_peer_auth *value = out;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_MAP, &r)) {
        return r;
    }
    value->ports = weir_arena_calloc(d->arena, n->n, sizeof(*value->ports));
    if (n->n > 0 && value->ports == NULL) {
        return -ENOMEM;
    }
    WEIR_NODE_FOREACH(it, n) {
        struct weir_port_mtls *port = &value->ports[value->n_ports++];
        uint64_t number = 0;
        if (weir_slice_to_u64(weir_slice_from_str(it->key), &number) != 0 || number == 0 ||
            number > 65535) {
            r = weir_dec_error_in(d, n, it->key, "\"%.64s\" is not a port number", it->key);
        }
        port->port = (uint16_t)number;
        weir_dec_enter(d, it->key, 0);
        if (r == 0) {
            r = decode_mtls(d, it, &port->mode);
        }
        weir_dec_leave(d);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static const struct weir_field workload_fields[] = {
    WEIR_F_SELF("matchLabels", weir_decode_match_labels),
};
static const struct weir_object workload_object =
    WEIR_OBJECT("PeerAuthentication.spec.selector", workload_fields);

static int decode_workload(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &workload_object, out);
}

static const struct weir_field peer_auth_spec_fields[] = {
    WEIR_F("selector", struct weir_peer_auth, pods, decode_workload),
    WEIR_F("mtls", struct weir_peer_auth, mode, decode_mtls),
    WEIR_F_SELF("portLevelMtls", decode_port_mtls),
};
static const struct weir_object peer_auth_spec_object =
    WEIR_OBJECT("PeerAuthentication.spec", peer_auth_spec_fields);

static int decode_peer_auth_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_peer_auth *value = out;
    int r = weir_dec_object(d, n, &peer_auth_spec_object, value);

    if (r == 0 && value->n_ports > 0 && value->pods.n_terms == 0) {
        return weir_dec_error_in(d, n, "portLevelMtls", "needs a selector with matchLabels");
    }
    return r;
}

static const struct weir_field peer_auth_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F("spec", struct weir_draft_peer_auth, value, decode_peer_auth_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object peer_auth_object =
    WEIR_OBJECT("PeerAuthentication", peer_auth_fields);

int weir_decode_peer_auth(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_peer_auth *auth = out;
    int r = weir_dec_object(d, n, &peer_auth_object, auth);

    /* A selector without labels is the whole namespace. */
    auth->value.pods.given = auth->value.pods.n_terms > 0;
    return r;
}

const struct weir_object *const *weir_objects_policy(void) {
    static const struct weir_object *const objects[] = {
        &selector_object, &expression_object,
        &netpol_object,   &netpol_spec_object,
        &ingress_object,  &egress_object,
        &peer_object,     &block_object,
        &port_object,     &peer_auth_object,
        &workload_object, &peer_auth_spec_object,
        &mtls_object,     NULL,
    };
    return objects;
}
