/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ReferenceGrant: who of another namespace may refer to objects of this one. Looked at for references from routes to
 * Services and from Gateways to Secrets; grants for other kinds are read and do nothing.
 */
#include "conf/decode_route.h"
#include "conf/syntax.h"

static int decode_namespace(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r = weir_dec_string(d, n, out);

    if (r == 0 && n->type == WEIR_NODE_STRING && !weir_is_dns_label(n->text)) {
        return weir_dec_error(d, n, "%s is not the name of a namespace", WEIR_SHOW(n));
    }
    return r;
}

static const struct weir_field from_fields[] = {
    WEIR_F_REQ("group", struct weir_grant_from, group, weir_dec_string),
    WEIR_F_REQ("kind", struct weir_grant_from, kind, weir_dec_string),
    WEIR_F_REQ("namespace", struct weir_grant_from, namespace_, decode_namespace),
};
static const struct weir_object from_object =
    WEIR_OBJECT("ReferenceGrant.spec.from[]", from_fields);

static int decode_from(struct weir_dec *d, const struct weir_node *n, void *out) {
    *(struct weir_grant_from *)out = (struct weir_grant_from){ "", "", "" };
    return weir_dec_object(d, n, &from_object, out);
}

static const struct weir_field to_fields[] = {
    WEIR_F_REQ("group", struct weir_grant_to, group, weir_dec_string),
    WEIR_F_REQ("kind", struct weir_grant_to, kind, weir_dec_string),
    WEIR_F("name", struct weir_grant_to, name, weir_dec_string),
};
static const struct weir_object to_object = WEIR_OBJECT("ReferenceGrant.spec.to[]", to_fields);

static int decode_to(struct weir_dec *d, const struct weir_node *n, void *out) {
    *(struct weir_grant_to *)out = (struct weir_grant_to){ "", "", "" };
    return weir_dec_object(d, n, &to_object, out);
}

static const struct weir_field spec_fields[] = {
    WEIR_F_LIST("from", struct weir_draft_grant, from, n_from, decode_from),
    WEIR_F_LIST("to", struct weir_draft_grant, to, n_to, decode_to),
};
static const struct weir_object spec_object = WEIR_OBJECT("ReferenceGrant.spec", spec_fields);

static int decode_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &spec_object, out);
}

static const struct weir_field grant_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF_REQ("spec", decode_spec),
};
static const struct weir_object grant_object = WEIR_OBJECT("ReferenceGrant", grant_fields);

int weir_decode_grant(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &grant_object, out);
}

const struct weir_object *const *weir_objects_grant(void) {
    static const struct weir_object *const objects[] = { &grant_object, &spec_object, &from_object,
                                                         &to_object, NULL };
    return objects;
}
