/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/signing.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/radix.h"
#include "kube/resource.h"
#include "tls/csr.h"

#define NODE_NAME "authentication.kubernetes.io/node-name"

static int64_t clamp(int64_t v, int64_t least, int64_t most) {
    return v < least ? least : v > most ? most : v;
}

char *weir_kube_csr_new(const char *signer, struct weir_slice pem, int64_t lifetime_s) {
    char *request = weir_base64_text(pem.ptr, pem.len), *text = NULL;
    json_t *object =
        request ? json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:s, s:I, s:[s,s,s]}}", "apiVersion",
                            "certificates.k8s.io/v1", "kind", "CertificateSigningRequest",
                            "metadata", "generateName", "weir-", "spec", "request", request,
                            "signerName", signer, "expirationSeconds",
                            (json_int_t)clamp(lifetime_s, WEIR_KUBE_CSR_SHORTEST_S, INT32_MAX),
                            "usages", "digital signature", "server auth", "client auth")
                : NULL;

    if (object)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    weir_free(request);
    return text;
}

/* ---- reading ---- */

/* The condition of that type, if it is true. */
static const json_t *condition(const json_t *object, const char *type) {
    const json_t *it;
    size_t i;

    json_array_foreach(weir_kube_get(object, "status", "conditions", NULL), i, it) {
        if (strcmp(weir_kube_text(it, "type", NULL), type) == 0 &&
            strcmp(weir_kube_text(it, "status", NULL), "False") != 0)
            return it;
    }
    return NULL;
}

/* Base64 of a text; NULL = no memory, "" = it is none. */
static char *decode(const char *base64) {
    char *text = weir_malloc(strlen(base64) + 1);
    long len = text ? weir_base64_decode(base64, text) : 0;

    if (text)
        text[len < 0 ? 0 : len] = '\0';
    return text;
}

int weir_kube_csr_read(const json_t *object, enum weir_kube_csr_state *ret_state, char **ret_text) {
    const json_t *no = condition(object, "Denied");
    const char *certificate = weir_kube_text(object, "status", "certificate"), *why;

    *ret_text = NULL;
    no = no ? no : condition(object, "Failed");
    if (no) {
        why = weir_kube_text(no, "message", NULL);
        *ret_state = WEIR_KUBE_CSR_REFUSED;
        *ret_text = weir_asprintf("%.180s", why[0] ? why : "the signer refuses");
        return *ret_text ? 0 : -ENOMEM;
    }
    if (!certificate[0]) {
        *ret_state = condition(object, "Approved") ? WEIR_KUBE_CSR_APPROVED : WEIR_KUBE_CSR_WAITS;
        return 0;
    }
    *ret_state = WEIR_KUBE_CSR_SIGNED;
    *ret_text = decode(certificate);
    return *ret_text ? 0 : -ENOMEM;
}

/* ---- checking ---- */

static bool usages_ok(const json_t *usages) {
    static const char *const allowed[] = { "digital signature", "server auth", "client auth" };
    const json_t *it;
    size_t i;
    bool digital = false;

    json_array_foreach(usages, i, it) {
        const char *text = json_is_string(it) ? json_string_value(it) : "";
        bool known = false;

        for (size_t k = 0; k < WEIR_ARRAY_LEN(allowed); k++)
            known |= strcmp(text, allowed[k]) == 0;
        if (!known)
            return false;
        digital |= strcmp(text, allowed[0]) == 0;
    }
    return digital;
}

/* Who asks, and how. NULL = as an agent does. */
static const char *check_spec(const json_t *spec, const struct weir_kube_csr_policy *policy) {
    const json_t *extra = json_object_get(spec, "extra"), *node = json_object_get(extra, NODE_NAME);

    if (strcmp(weir_kube_text(spec, "signerName", NULL), policy->signer) != 0)
        return "it is for another signer";
    if (strcmp(weir_kube_text(spec, "username", NULL), policy->requester) != 0)
        return "who asks is not the agents' service account";
    if (json_array_size(node) != 1 || !json_is_string(json_array_get(node, 0)))
        return "the token of who asks is not bound to a node";
    if (!usages_ok(json_object_get(spec, "usages")))
        return "usages: digital signature, server auth and client auth only, the first one needed";
    return NULL;
}

int weir_kube_csr_check(const json_t *object, const struct weir_kube_csr_policy *policy,
                        struct weir_kube_csr_asked *ret_asked, const char **ret_why) {
    const json_t *spec = json_object_get(object, "spec");
    json_int_t lifetime = json_integer_value(json_object_get(spec, "expirationSeconds"));
    const char *why = check_spec(spec, policy);
    struct weir_kube_csr_asked asked = { NULL };
    WEIR_CLEANUP(weir_freep)
    char *pem = NULL;
    int r;

    if (why) {
        *ret_why = why;
        return 1;
    }
    pem = decode(weir_kube_text(spec, "request", NULL));
    if (!pem)
        return -ENOMEM;
    r = weir_csr_parse(weir_slice_from_str(pem), policy->trust_domain, &asked.csr, ret_why);
    if (r)
        return r;
    if (weir_csr_identity(asked.csr)->ns[0] == '\0') {
        weir_csr_free(asked.csr);
        *ret_why = "the SPIFFE id has not the form spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT";
        return 1;
    }
    asked.node = json_string_value(
        json_array_get(json_object_get(json_object_get(spec, "extra"), NODE_NAME), 0));
    asked.lifetime_s = lifetime > 0 && lifetime < policy->longest_s ? lifetime : policy->longest_s;
    *ret_asked = asked;
    return 0;
}

bool weir_kube_csr_has_pod(const json_t *list, const char *node, const char *account) {
    const json_t *pod;
    size_t i;

    json_array_foreach(json_object_get(list, "items"), i, pod) {
        const char *phase = weir_kube_text(pod, "status", "phase");
        const char *own = weir_kube_text(pod, "spec", "serviceAccountName");

        if (strcmp(weir_kube_text(pod, "spec", "nodeName"), node) == 0 &&
            strcmp(own[0] ? own : "default", account) == 0 && strcmp(phase, "Succeeded") != 0 &&
            strcmp(phase, "Failed") != 0)
            return true;
    }
    return false;
}

/* ---- writing ---- */

static json_t *status_of(json_t *object) {
    json_t *status = json_object_get(object, "status");

    if (status)
        return status;
    return json_object_set_new(object, "status", json_object()) == 0
               ? json_object_get(object, "status")
               : NULL;
}

/* `object` is taken over. */
static char *dump(json_t *object) {
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

    json_decref(object);
    return text;
}

char *weir_kube_csr_condition(const json_t *object, const char *type, const char *reason,
                              const char *message) {
    json_t *copy = json_deep_copy(object), *status = copy ? status_of(copy) : NULL;
    json_t *conditions = json_object_get(status, "conditions");
    json_t *fresh = json_pack("{s:s, s:s, s:s, s:s}", "type", type, "status", "True", "reason",
                              reason, "message", message);

    if (status && !conditions &&
        json_object_set_new(status, "conditions", conditions = json_array()) != 0)
        conditions = NULL;
    if (!conditions || json_array_append_new(conditions, fresh) != 0) {
        json_decref(copy);
        return NULL;
    }
    return dump(copy);
}

char *weir_kube_csr_signed(const json_t *object, struct weir_slice pem) {
    json_t *copy = json_deep_copy(object), *status = copy ? status_of(copy) : NULL;
    WEIR_CLEANUP(weir_freep)
    char *base64 = weir_base64_text(pem.ptr, pem.len);

    if (!status || !base64 ||
        json_object_set_new(status, "certificate", json_string(base64)) != 0) {
        json_decref(copy);
        return NULL;
    }
    return dump(copy);
}
