/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret and ConfigMap: only the PEM texts that Gateways and BackendTLSPolicies refer to are read, under Kubernetes' own keys for them
 * (kubernetes.io/tls); whatever else such an object holds is passed over. No value ever stands in a message.
 */
#include <string.h>

#include "base/radix.h"
#include "conf/build.h"

/* As weir_dec_string, but what stands there instead is not told. */
static int decode_text(struct weir_dec *d, const struct weir_node *n, void *out) {
    return n->type == WEIR_NODE_STRING ? weir_dec_string(d, n, out)
                                       : weir_dec_error(d, n, "expected a string");
}

static int decode_base64(struct weir_dec *d, const struct weir_node *n, void *out) {
    const char *text = "";
    int r = decode_text(d, n, &text);
    bool stated = (*(const char **)out)[0] != '\0'; /* by stringData, which counts */
    char *bytes = r == 0 ? weir_arena_alloc(d->arena, strlen(text) + 1) : NULL;
    long len;

    if (r != 0 || bytes == NULL) {
        return r != 0 ? r : -ENOMEM;
    }
    len = weir_base64_decode(text, bytes);
    if (len < 0) {
        return weir_dec_error(d, n, "not a text in base64");
    }
    bytes[len] = '\0';
    *(const char **)out = stated ? *(const char **)out : bytes;
    return 0;
}

#define HOLDER(object_name, table)                                                                 \
    { .name = (object_name), .fields = (table), .n_fields = WEIR_ARRAY_LEN(table), .lenient = true }

static const struct weir_field data_fields[] = {
    WEIR_F("tls.crt", struct weir_draft_pem, cert, decode_base64),
    WEIR_F("tls.key", struct weir_draft_pem, key, decode_base64),
    WEIR_F("ca.crt", struct weir_draft_pem, ca, decode_base64),
};
static const struct weir_object data_object = HOLDER("Secret.data", data_fields);

static const struct weir_field text_fields[] = {
    WEIR_F("tls.crt", struct weir_draft_pem, cert, decode_text),
    WEIR_F("tls.key", struct weir_draft_pem, key, decode_text),
    WEIR_F("ca.crt", struct weir_draft_pem, ca, decode_text),
};
static const struct weir_object text_object = HOLDER("Secret.stringData", text_fields);

static int decode_data(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &data_object, out);
}

static int decode_string_data(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &text_object, out);
}

static const struct weir_field secret_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF("data", decode_data),
    WEIR_F_SELF("stringData", decode_string_data),
    WEIR_F_NONE("type"),
    WEIR_F_NONE("immutable"),
};
static const struct weir_object secret_object = WEIR_OBJECT("Secret", secret_fields);

static const struct weir_field map_data_fields[] = {
    WEIR_F("ca.crt", struct weir_draft_pem, ca, decode_text),
};
static const struct weir_object map_data_object = HOLDER("ConfigMap.data", map_data_fields);

static int decode_map_data(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &map_data_object, out);
}

static const struct weir_field map_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),
    WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta),
    WEIR_F_SELF("data", decode_map_data),
    WEIR_F_NONE("binaryData"),
    WEIR_F_NONE("immutable"),
};
static const struct weir_object map_object = WEIR_OBJECT("ConfigMap", map_fields);

static int decode_pem(struct weir_dec *d, const struct weir_node *n,
                      const struct weir_object *object, void *out) {
    struct weir_draft_pem *pem = out;

    pem->cert = pem->key = pem->ca = "";
    return weir_dec_object(d, n, object, pem);
}

int weir_decode_secret(struct weir_dec *d, const struct weir_node *n, void *out) {
    return decode_pem(d, n, &secret_object, out);
}

int weir_decode_config_map(struct weir_dec *d, const struct weir_node *n, void *out) {
    return decode_pem(d, n, &map_object, out);
}

int weir_decode_pem_ref(struct weir_dec *d, const struct weir_node *n,
                        const struct weir_object *object, struct weir_draft_ref *out) {
    int r = weir_dec_object(d, n, object, out);

    out->place = weir_dec_place(d, n);
    return r;
}

const struct weir_object *const *weir_objects_secret(void) {
    static const struct weir_object *const objects[] = { &secret_object,   &data_object,
                                                         &text_object,     &map_object,
                                                         &map_data_object, NULL };
    return objects;
}
