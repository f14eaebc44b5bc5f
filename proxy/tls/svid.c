/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X509-SVID sections 3 to 5 on a leaf: one URI SAN and it is a SPIFFE id with a path, not a CA, key
 * usage that signs handshakes and no certificates. The common name is never looked at. Who signed
 * the leaf is asked elsewhere (verify.c), over the bundle of the one trust domain this ctx serves.
 */
#include "tls/svid.h"

#include <openssl/x509v3.h>

#include "base/err.h"
#include "base/mem.h"

#define OUTCOME_BAD 1

static int bad(const char **ret_why, const char *why) {
    *ret_why = why;
    return OUTCOME_BAD;
}

/* The only URI among the names; NULL = none or several (then *ret_why is set). Borrowed from names.
 */
static const ASN1_IA5STRING *only_uri(const GENERAL_NAMES *names, const char **ret_why) {
    const ASN1_IA5STRING *uri = NULL;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) {
            continue;
        }
        if (uri != NULL) {
            *ret_why = "svid: more than one uri";
            return NULL;
        }
        uri = name->d.uniformResourceIdentifier;
    }
    if (uri == NULL) {
        *ret_why = "svid: no uri";
    }
    return uri;
}

static int read_identity(X509 *leaf, struct weir_identity **ret_id, const char **ret_why) {
    int critical = 0;
    /* Absent, present twice (critical -2) and malformed all answer NULL. */
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
    if (names == NULL) {
        return bad(ret_why, critical == -1 ? "svid: no uri" : "svid: bad subject alternative name");
    }
    int r = OUTCOME_BAD;
    const ASN1_IA5STRING *uri = only_uri(names, ret_why);
    if (uri != NULL) {
        /* By length, so that a NUL is a byte like others and refused as one. */
        r = weir_identity_new(weir_slice_make((const char *)ASN1_STRING_get0_data(uri),
                                              (size_t)ASN1_STRING_length(uri)),
                              ret_id);
        if (r == -EINVAL) {
            r = bad(ret_why, "svid: uri is not a spiffe id");
        }
    }
    GENERAL_NAMES_free(names);
    return r;
}

static const char *check_usage(X509 *leaf, enum weir_svid_role role) {
    uint32_t flags = X509_get_extension_flags(leaf);
    if (flags & EXFLAG_INVALID) {
        return "svid: bad extension";
    }
    if (flags & EXFLAG_CA) {
        return "svid: leaf is a ca";
    }
    int at = X509_get_ext_by_NID(leaf, NID_key_usage, -1);
    if (at < 0) {
        return "svid: no key usage";
    }
    if (!X509_EXTENSION_get_critical(X509_get_ext(leaf, at))) {
        return "svid: key usage is not critical";
    }
    uint32_t usage = X509_get_key_usage(leaf);
    if (!(usage & KU_DIGITAL_SIGNATURE)) {
        return "svid: key usage lacks digital signature";
    }
    if (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) {
        return "svid: key usage allows signing certificates";
    }
    uint32_t wanted = role == WEIR_SVID_SERVER ? XKU_SSL_SERVER : XKU_SSL_CLIENT;
    if ((flags & EXFLAG_XKUSAGE) && !(X509_get_extended_key_usage(leaf) & wanted)) {
        return "svid: extended key usage does not allow this role";
    }
    return NULL;
}

int weir_svid_check(X509 *leaf, enum weir_svid_role role, const char *trust_domain,
                    struct weir_identity **ret_id, const char **ret_why) {
    const char *why = check_usage(leaf, role);
    if (why != NULL) {
        return bad(ret_why, why);
    }
    WEIR_CLEANUP(weir_freep)
    struct weir_identity *id = NULL;
    int r = read_identity(leaf, &id, ret_why);
    if (r != 0) {
        return r;
    }
    if (strcmp(id->trust_domain, trust_domain) != 0) {
        return bad(ret_why, "trust domain mismatch");
    }
    /* A bare trust domain names a signer, never a workload. */
    if (strlen(id->uri) == strlen("spiffe://") + strlen(id->trust_domain)) {
        return bad(ret_why, "svid: spiffe id without a path");
    }
    *ret_id = id;
    id = NULL;
    return 0;
}
