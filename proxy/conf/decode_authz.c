/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AuthorizationPolicy: its tables and what Istio's own validation asks. A policy is never read more
 * widely than it was written: an empty from, to, source, operation or element is an error, as is
 * whatever would need something weir has not got (JWTs, CUSTOM).
 */
#include <stdio.h>
#include <string.h>

#include "conf/build.h"
#include "conf/draft_authz.h"
#include "conf/mode.h"
#include "conf/parse.h"
#include "conf/syntax.h"

/* One element of a list of names. */
static int decode_text(struct weir_dec *d, const struct weir_node *n, void *out) {
    *(const char **)out = "";
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && n->text[0] == '\0') {
        r = weir_dec_error(d, n, "an empty text matches nothing");
    }
    return r;
}

static int decode_path_text(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = decode_text(d, n, out);

    if (r == 0 && !weir_authz_template_ok(*(const char **)out)) {
        r = weir_dec_error(
            d, n,
            "%s is not a path template: {*} and {**} are whole segments, {**} is the "
            "last of them, and \"*\" does not stand beside them",
            WEIR_SHOW(n));
    }
    return r;
}

static int decode_principal(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = decode_text(d, n, out);

    if (r == 0 && strncmp(*(const char **)out, "spiffe://", 9) == 0) {
        r = weir_dec_error(d, n, "a principal is written without \"spiffe://\"");
    }
    return r;
}

/* "ACCOUNT" is of the policy's own namespace, which is not known yet here: see settle_accounts. */
static int decode_account(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = decode_text(d, n, out);
    const char *text = *(const char **)out, *slash = strchr(text, '/');

    if (r == 0 && (strchr(text, '*') != NULL || (slash != NULL && (strchr(slash + 1, '/') != NULL ||
                                                                   slash == text || !slash[1])))) {
        r = weir_dec_error(d, n,
                           "%s is not a service account: \"NAMESPACE/NAME\" or \"NAME\", without "
                           "wildcards",
                           WEIR_SHOW(n));
    }
    return r;
}

/* A range, or one address. */
static int decode_range(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_cidr *cidr = out;
    int r;

    if (n->type == WEIR_NODE_STRING && weir_parse_ip(n->text, &cidr->ip) == 0) {
        cidr->prefix = 128;
        return 0;
    }
    r = weir_dec_cidr(d, n, out);
    weir_cidr_mask(cidr);
    return r;
}

/* Istio writes ports as strings. */
static int decode_port_text(struct weir_dec *d, const struct weir_node *n, void *out) {
    uint64_t number = 0;

    if (n->type == WEIR_NODE_STRING &&
        (weir_slice_to_u64(weir_slice_from_str(n->text), &number) != 0 || number == 0 ||
         number > 65535)) {
        return weir_dec_error(d, n, "%s is not a port number", WEIR_SHOW(n));
    }
    *(uint16_t *)out = (uint16_t)number;
    return n->type == WEIR_NODE_STRING ? 0 : weir_dec_port(d, n, out);
}

#define TEXTS(key, type, member, fn) WEIR_F_LIST(key, struct type, member.v, member.n, fn)

static const struct weir_field source_fields[] = {
    TEXTS("principals", weir_authz_source, principals, decode_principal),
    TEXTS("notPrincipals", weir_authz_source, not_principals, decode_principal),
    TEXTS("serviceAccounts", weir_authz_source, accounts, decode_account),
    TEXTS("notServiceAccounts", weir_authz_source, not_accounts, decode_account),
    TEXTS("namespaces", weir_authz_source, namespaces, decode_text),
    TEXTS("notNamespaces", weir_authz_source, not_namespaces, decode_text),
    TEXTS("ipBlocks", weir_authz_source, ips, decode_range),
    TEXTS("notIpBlocks", weir_authz_source, not_ips, decode_range),
    TEXTS("remoteIpBlocks", weir_authz_source, remote_ips, decode_range),
    TEXTS("notRemoteIpBlocks", weir_authz_source, not_remote_ips, decode_range),
    WEIR_F_UNSUP("requestPrincipals"),
    WEIR_F_UNSUP("notRequestPrincipals"),
};
static const struct weir_object source_object =
    WEIR_OBJECT("AuthorizationPolicy.spec.rules[].from[].source", source_fields);

static int decode_source(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_authz_source *s = out;
    uint32_t errors = d->problems->n_errors;
    int r = weir_dec_object(d, n, &source_object, s);
    bool accounts = s->accounts.n + s->not_accounts.n > 0;
    bool given = weir_authz_source_proven(s) || s->namespaces.n + s->not_namespaces.n > 0 ||
                 s->ips.n + s->not_ips.n + s->remote_ips.n + s->not_remote_ips.n > 0;

    if (r != 0 || errors != d->problems->n_errors) {
        return r;
    }
    if (!given) {
        return weir_dec_error(d, n, "a source needs at least one list that is not empty");
    }
    if (accounts &&
        s->principals.n + s->not_principals.n + s->namespaces.n + s->not_namespaces.n > 0) {
        return weir_dec_error(d, n,
                              "serviceAccounts may not stand beside principals or namespaces");
    }
    return 0;
}

static const struct weir_field from_fields[] = {
    { .key = "source", .use = WEIR_FIELD_DECODED, .required = true, .fn = decode_source },
};
static const struct weir_object from_object =
    WEIR_OBJECT("AuthorizationPolicy.spec.rules[].from[]", from_fields);

static int decode_from(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &from_object, out);
}

static const struct weir_field operation_fields[] = {
    TEXTS("hosts", weir_authz_operation, hosts, decode_text),
    TEXTS("notHosts", weir_authz_operation, not_hosts, decode_text),
    TEXTS("ports", weir_authz_operation, ports, decode_port_text),
    TEXTS("notPorts", weir_authz_operation, not_ports, decode_port_text),
    TEXTS("methods", weir_authz_operation, methods, decode_text),
    TEXTS("notMethods", weir_authz_operation, not_methods, decode_text),
    TEXTS("paths", weir_authz_operation, paths, decode_path_text),
    TEXTS("notPaths", weir_authz_operation, not_paths, decode_path_text),
};
static const struct weir_object operation_object =
    WEIR_OBJECT("AuthorizationPolicy.spec.rules[].to[].operation", operation_fields);

static int decode_operation(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_authz_operation *o = out;
    uint32_t errors = d->problems->n_errors;
    int r = weir_dec_object(d, n, &operation_object, o);

    if (r == 0 && errors == d->problems->n_errors && !weir_authz_operation_http(o) &&
        o->ports.n + o->not_ports.n == 0) {
        r = weir_dec_error(d, n, "an operation needs at least one list that is not empty");
    }
    return r;
}

static const struct weir_field to_fields[] = {
    { .key = "operation", .use = WEIR_FIELD_DECODED, .required = true, .fn = decode_operation },
};
static const struct weir_object to_object =
    WEIR_OBJECT("AuthorizationPolicy.spec.rules[].to[]", to_fields);

static int decode_to(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &to_object, out);
}

static int decode_header_key(struct weir_dec *d, const struct weir_node *n,
                             struct weir_authz_condition *c) {
    static const char prefix[] = "request.headers[";
    size_t skip = sizeof(prefix) - 1, len = strlen(n->text);
    char name[256];

    if (len <= skip + 1 || n->text[len - 1] != ']' || len - skip - 1 >= sizeof(name)) {
        return weir_dec_error(d, n, "%s names no field: request.headers[NAME]", WEIR_SHOW(n));
    }
    memcpy(name, n->text + skip, len - skip - 1);
    name[len - skip - 1] = '\0';
    c->key = WEIR_AUTHZ_HEADER;
    if (!weir_is_token(name)) {
        return weir_dec_error(d, n, "%s names no field that HTTP could carry", WEIR_SHOW(n));
    }
    return weir_dec_copy(d, name, &c->header);
}

static int decode_key(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const struct {
        const char *name;
        enum weir_authz_key key;
    } keys[] = {
        { "source.ip", WEIR_AUTHZ_SOURCE_IP },
        { "remote.ip", WEIR_AUTHZ_REMOTE_IP },
        { "source.namespace", WEIR_AUTHZ_SOURCE_NAMESPACE },
        { "source.principal", WEIR_AUTHZ_SOURCE_PRINCIPAL },
        { "source.serviceAccount", WEIR_AUTHZ_SOURCE_ACCOUNT },
        { "destination.ip", WEIR_AUTHZ_DESTINATION_IP },
        { "destination.port", WEIR_AUTHZ_DESTINATION_PORT },
        { "connection.sni", WEIR_AUTHZ_SNI },
    };
    struct weir_authz_condition *c = out;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(keys); i++) {
        if (strcmp(keys[i].name, n->text) == 0) {
            c->key = keys[i].key;
            return 0;
        }
    }
    if (strncmp(n->text, "request.headers[", 16) == 0) {
        return decode_header_key(d, n, c);
    }
    if (strncmp(n->text, "request.auth.", 13) == 0 || strncmp(n->text, "experimental.", 13) == 0) {
        return weir_dec_error(
            d, n, "%s is not supported by this version: it needs %s", WEIR_SHOW(n),
            n->text[0] == 'r' ? "RequestAuthentication (JWT)" : "Envoy's filters");
    }
    return weir_dec_error(d, n,
                          "unknown key %s; expected request.headers[NAME], source.ip, remote.ip, "
                          "source.namespace, source.principal, source.serviceAccount, "
                          "destination.ip, destination.port or connection.sni",
                          WEIR_SHOW(n));
}

static bool is_address_key(enum weir_authz_key key) {
    return key == WEIR_AUTHZ_SOURCE_IP || key == WEIR_AUTHZ_REMOTE_IP ||
           key == WEIR_AUTHZ_DESTINATION_IP;
}

/* What the elements are depends on the key, which may stand behind them. */
static int decode_values(struct weir_dec *d, const struct weir_node *n, void *out, bool negative) {
    static const struct weir_field texts[2] = {
        TEXTS("values", weir_authz_condition, values, decode_text),
        TEXTS("notValues", weir_authz_condition, not_values, decode_text),
    };
    static const struct weir_field principals[2] = {
        TEXTS("values", weir_authz_condition, values, decode_principal),
        TEXTS("notValues", weir_authz_condition, not_values, decode_principal),
    };
    static const struct weir_field accounts[2] = {
        TEXTS("values", weir_authz_condition, values, decode_account),
        TEXTS("notValues", weir_authz_condition, not_values, decode_account),
    };
    static const struct weir_field ranges[2] = {
        TEXTS("values", weir_authz_condition, ips, decode_range),
        TEXTS("notValues", weir_authz_condition, not_ips, decode_range),
    };
    static const struct weir_field ports[2] = {
        TEXTS("values", weir_authz_condition, ports, decode_port_text),
        TEXTS("notValues", weir_authz_condition, not_ports, decode_port_text),
    };
    const struct weir_authz_condition *c = out;
    const struct weir_field *field = is_address_key(c->key)                  ? ranges
                                     : c->key == WEIR_AUTHZ_DESTINATION_PORT ? ports
                                     : c->key == WEIR_AUTHZ_SOURCE_PRINCIPAL ? principals
                                     : c->key == WEIR_AUTHZ_SOURCE_ACCOUNT   ? accounts
                                                                             : texts;

    return weir_dec_list(d, n, &field[negative], out);
}

static int decode_positive(struct weir_dec *d, const struct weir_node *n, void *out) {
    return decode_values(d, n, out, false);
}

static int decode_negative(struct weir_dec *d, const struct weir_node *n, void *out) {
    return decode_values(d, n, out, true);
}

/* The key first, whatever the order in the document: the table is gone through in its own. */
static const struct weir_field condition_fields[] = {
    WEIR_F_SELF_REQ("key", decode_key),
    WEIR_F_SELF("values", weir_dec_nothing),
    WEIR_F_SELF("notValues", weir_dec_nothing),
};
static const struct weir_object condition_object =
    WEIR_OBJECT("AuthorizationPolicy.spec.rules[].when[]", condition_fields);

static int decode_condition(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct weir_node *values = weir_node_get(n, "values"),
                           *not_values = weir_node_get(n, "notValues");
    struct weir_authz_condition *c = out;
    uint32_t errors = d->problems->n_errors;
    int r;

    c->header = "";
    r = weir_dec_object(d, n, &condition_object, c);
    if (r != 0 || errors != d->problems->n_errors) {
        return r;
    }
    if (values != NULL && values->type != WEIR_NODE_NULL) {
        weir_dec_enter(d, "values", 0);
        r = decode_positive(d, values, c);
        weir_dec_leave(d);
    }
    if (r == 0 && not_values != NULL && not_values->type != WEIR_NODE_NULL) {
        weir_dec_enter(d, "notValues", 0);
        r = decode_negative(d, not_values, c);
        weir_dec_leave(d);
    }
    if (r == 0 && errors == d->problems->n_errors &&
        c->values.n + c->not_values.n + c->ips.n + c->not_ips.n + c->ports.n + c->not_ports.n ==
            0) {
        r = weir_dec_error(d, n, "needs values or notValues");
    }
    return r;
}

static const struct weir_field rule_fields[] = {
    WEIR_F_LIST("from", struct weir_authz_rule, sources, n_sources, decode_from),
    WEIR_F_LIST("to", struct weir_authz_rule, operations, n_operations, decode_to),
    WEIR_F_LIST("when", struct weir_authz_rule, conditions, n_conditions, decode_condition),
};
static const struct weir_object rule_object =
    WEIR_OBJECT("AuthorizationPolicy.spec.rules[]", rule_fields);

static int decode_rule(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const lists[] = { "from", "to" };
    int r = weir_dec_object(d, n, &rule_object, out);

    for (size_t i = 0; r == 0 && i < WEIR_ARRAY_LEN(lists); i++) {
        const struct weir_node *list = weir_node_get(n, lists[i]);

        if (list != NULL && list->type == WEIR_NODE_LIST && list->n == 0) {
            r = weir_dec_error_in(d, n, lists[i], "may not be empty: leave it out for \"any\"");
        }
    }
    return r;
}

struct target_draft {
    const char *group, *kind, *name, *namespace_;
};

static const struct weir_field target_fields[] = {
    WEIR_F("group", struct target_draft, group, weir_dec_string),
    WEIR_F_REQ("kind", struct target_draft, kind, weir_dec_string),
    WEIR_F_REQ("name", struct target_draft, name, weir_dec_string),
    WEIR_F("namespace", struct target_draft, namespace_, weir_dec_string),
};
static const struct weir_object target_object =
    WEIR_OBJECT("AuthorizationPolicy.spec.targetRefs[]", target_fields);

static int decode_target(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct target_draft draft = { .group = "", .kind = "", .name = "", .namespace_ = "" };
    struct weir_authz_target *target = out;
    uint32_t errors = d->problems->n_errors;
    int r = weir_dec_object(d, n, &target_object, &draft);
    bool core = draft.group[0] == '\0' || strcmp(draft.group, "core") == 0;

    target->name = draft.name;
    target->gateway = strcmp(draft.kind, "Gateway") == 0;
    if (r != 0 || errors != d->problems->n_errors) {
        return r;
    }
    if (draft.namespace_[0] != '\0') {
        return weir_dec_error_in(d, n, "namespace", "a target is in the policy's own namespace");
    }
    if (target->gateway ? strcmp(draft.group, "gateway.networking.k8s.io") != 0
                        : strcmp(draft.kind, "Service") != 0 || !core) {
        return weir_dec_error_in(d, n, "kind",
                                 "expected Service of group \"\" or Gateway of group "
                                 "\"gateway.networking.k8s.io\"");
    }
    return 0;
}

static const struct weir_field workload_fields[] = {
    WEIR_F_SELF("matchLabels", weir_decode_match_labels),
};
static const struct weir_object workload_object =
    WEIR_OBJECT("AuthorizationPolicy.spec.selector", workload_fields);

static int decode_workload(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &workload_object, out);
}

static int decode_action(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "ALLOW", "DENY", "AUDIT", NULL };
    unsigned i = WEIR_AUTHZ_ALLOW;
    int r;

    if (n->type == WEIR_NODE_STRING && strcmp(n->text, "CUSTOM") == 0) {
        return weir_dec_error(d, n,
                              "CUSTOM (external authorization) is not supported by this "
                              "version; expected ALLOW, DENY or AUDIT");
    }
    r = weir_dec_word(d, n, words, &i);
    *(enum weir_authz_action *)out = (enum weir_authz_action)i;
    return r;
}

static const struct weir_field spec_fields[] = {
    WEIR_F("selector", struct weir_authz_policy, pods, decode_workload),
    WEIR_F_LIST("targetRefs", struct weir_authz_policy, targets, n_targets, decode_target),
    WEIR_F("action", struct weir_authz_policy, action, decode_action),
    WEIR_F_LIST("rules", struct weir_authz_policy, rules, n_rules, decode_rule),
    WEIR_F_UNSUP("provider"),
    WEIR_F_UNSUP("targetRef"),
};
static const struct weir_object spec_object = WEIR_OBJECT("AuthorizationPolicy.spec", spec_fields);

static int decode_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_authz_policy *policy = out;
    int r = weir_dec_object(d, n, &spec_object, policy);

    if (r == 0 && policy->n_targets > 0 && weir_node_get(n, "selector") != NULL) {
        r = weir_dec_error_in(d, n, "targetRefs", "may not stand beside selector");
    }
    return r;
}

static const struct weir_field authz_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F("spec", struct weir_draft_authz, value, decode_spec),
    WEIR_F_NONE("status"),
};
static const struct weir_object authz_object = WEIR_OBJECT("AuthorizationPolicy", authz_fields);

/* An account without a namespace is of the policy's. */
static int settle_accounts(struct weir_dec *d, struct weir_strings *list, const char *ns) {
    for (uint32_t i = 0; i < list->n; i++) {
        if (list->v[i] == NULL || strchr(list->v[i], '/') != NULL) {
            continue;
        }
        list->v[i] = weir_arena_printf(d->arena, "%s/%s", ns, list->v[i]);
        if (list->v[i] == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int settle_rule(struct weir_dec *d, struct weir_authz_rule *rule, const char *ns) {
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < rule->n_sources; i++) {
        r = settle_accounts(d, &rule->sources[i].accounts, ns);
        if (r == 0) {
            r = settle_accounts(d, &rule->sources[i].not_accounts, ns);
        }
    }
    for (uint32_t i = 0; r == 0 && i < rule->n_conditions; i++) {
        struct weir_authz_condition *c = &rule->conditions[i];
        if (c->key == WEIR_AUTHZ_SOURCE_ACCOUNT) {
            r = settle_accounts(d, &c->values, ns);
        }
        if (r == 0 && c->key == WEIR_AUTHZ_SOURCE_ACCOUNT) {
            r = settle_accounts(d, &c->not_values, ns);
        }
    }
    return r;
}

int weir_decode_authz(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_authz *draft = out;
    const char *ns;
    int r = weir_dec_object(d, n, &authz_object, draft);

    ns = draft->head.meta.namespace_ && draft->head.meta.namespace_[0] ? draft->head.meta.namespace_
                                                                       : "default";
    for (uint32_t i = 0; r == 0 && i < draft->value.n_rules; i++) {
        r = settle_rule(d, &draft->value.rules[i], ns);
    }
    if (r == 0) {
        r = weir_decode_annotation_bool(d, n, "istio.io/dry-run", &draft->value.audit);
    }
    return r == 0 ? weir_decode_annotation_bool(d, n, "weir.dev/audit", &draft->value.audit) : r;
}

const struct weir_object *const *weir_objects_authz(void) {
    static const struct weir_object *const objects[] = {
        &authz_object, &spec_object,   &workload_object, &target_object,    &rule_object,
        &from_object,  &source_object, &to_object,       &operation_object, &condition_object,
        NULL,
    };
    return objects;
}
