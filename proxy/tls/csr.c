/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and requests for SVIDs. A request is built field by field through OpenSSL's structures, and one that is read is held
 * to a list of what is allowed: what a signer does not look at it must not be led to sign.
 */
#include "tls/csr.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/err.h"
#include "base/mem.h"
#include "tls/csr_internal.h"
#include "tls/pem.h"

/* ---- keys ---- */

static int key_hold(EVP_PKEY *pkey, struct weir_tls_key **ret_key) {
    struct weir_tls_key *key = weir_calloc(1, sizeof(*key));

    if (!key) {
        EVP_PKEY_free(pkey);
        return -ENOMEM;
    }
    key->pkey = pkey;
    *ret_key = key;
    return 0;
}

int weir_tls_key_new(struct weir_tls_key **ret_key) {
    EVP_PKEY *pkey = EVP_EC_gen("P-256");

    ERR_clear_error();
    return pkey ? key_hold(pkey, ret_key) : -ENOMEM;
}

int weir_tls_key_from_der(struct weir_slice der, struct weir_tls_key **ret_key) {
    const unsigned char *at = (const unsigned char *)der.ptr;
    PKCS8_PRIV_KEY_INFO *info =
        der.len <= LONG_MAX ? d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len) : NULL;
    EVP_PKEY *pkey =
        info && at == (const unsigned char *)der.ptr + der.len ? EVP_PKCS82PKEY(info) : NULL;

    PKCS8_PRIV_KEY_INFO_free(info);
    ERR_clear_error();
    return pkey ? key_hold(pkey, ret_key) : -EINVAL;
}

struct weir_tls_key *weir_tls_key_free(struct weir_tls_key *key) {
    if (key)
        EVP_PKEY_free(key->pkey);
    return weir_free(key);
}

/* ---- asking ---- */

/* Is it an id with a path? 0, -EINVAL, -ENOMEM. */
static int check_id(const char *spiffe_id) {
    WEIR_CLEANUP(weir_freep)
    struct weir_identity *id = NULL;
    int r = weir_identity_new(weir_slice_from_str(spiffe_id), &id);

    if (r == 0 && strlen(id->uri) == strlen("spiffe://") + strlen(id->trust_domain))
        r = -EINVAL;
    return r;
}

/* The extension request with the one name; false: no memory. */
static bool add_uri(X509_REQ *req, const char *uri) {
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    bool ok = names && name && value && ASN1_STRING_set(value, uri, -1) == 1;

    if (ok) {
        GENERAL_NAME_set0_value(name, GEN_URI, value);
        value = NULL;
        ok = sk_GENERAL_NAME_push(names, name) > 0;
    }
    if (ok) {
        name = NULL;
        /* Critical, since there is no subject (RFC 5280 4.2.1.6). */
        ok = X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 1, 0) == 1 &&
             X509_REQ_add_extensions(req, extensions) == 1;
    }
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    ASN1_IA5STRING_free(value);
    GENERAL_NAME_free(name);
    GENERAL_NAMES_free(names);
    return ok;
}

int weir_csr_new(const struct weir_tls_key *key, const char *spiffe_id, char **ret_pem) {
    X509_REQ *req = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    int r = check_id(spiffe_id);

    if (r == 0 && req && bio && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 &&
        X509_REQ_set_pubkey(req, key->pkey) == 1 && add_uri(req, spiffe_id) &&
        X509_REQ_sign(req, key->pkey, EVP_sha256()) > 0 && PEM_write_bio_X509_REQ(bio, req) == 1)
        pem = weir_pem_of(bio);
    BIO_free(bio);
    X509_REQ_free(req);
    ERR_clear_error();
    if (r == 0 && !pem)
        r = -ENOMEM;
    if (r == 0)
        *ret_pem = pem;
    return r;
}

/* ---- being asked ---- */

static int refused(const char **ret_why, const char *why) {
    *ret_why = why;
    return WEIR_CSR_REFUSED;
}

/* NULL = the key is one that is signed. */
static const char *check_key(X509_REQ *req) {
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    char group[32];
    size_t len;

    if (!key)
        return "the key cannot be read";
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_group_name(key, group, sizeof(group), &len) != 1 ||
        (strcmp(group, "prime256v1") != 0 && strcmp(group, "secp384r1") != 0))
        return "the key is not ECDSA on P-256 or P-384";
    return X509_REQ_verify(req, key) == 1 ? NULL : "it is not signed by its own key";
}

/* NULL = no extension is asked for but names and usages of a leaf. */
static const char *check_extensions(const STACK_OF(X509_EXTENSION) * extensions) {
    bool named = false;

    for (int i = 0; i < sk_X509_EXTENSION_num(extensions); i++) {
        X509_EXTENSION *extension = sk_X509_EXTENSION_value(extensions, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));

        if (nid == NID_subject_alt_name) {
            if (named)
                return "names are given twice";
            named = true;
        } else if (nid != NID_key_usage && nid != NID_ext_key_usage) {
            return "an extension beside names and usages is asked for";
        }
    }
    return named ? NULL : "no name is asked for";
}

/* The one URI. 0, -ENOMEM, WEIR_CSR_REFUSED. */
static int read_id(const STACK_OF(X509_EXTENSION) * extensions, struct weir_identity **ret_id,
                   const char **ret_why) {
    GENERAL_NAMES *names = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    const GENERAL_NAME *name =
        sk_GENERAL_NAME_num(names) == 1 ? sk_GENERAL_NAME_value(names, 0) : NULL;
    int r;

    if (!name || name->type != GEN_URI) {
        r = refused(ret_why, "the names are not one URI and nothing else");
    } else {
        const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;

        /* By length, so that a NUL is a byte like others and refused as one. */
        r = weir_identity_new(weir_slice_make((const char *)ASN1_STRING_get0_data(uri),
                                              (size_t)ASN1_STRING_length(uri)),
                              ret_id);
        if (r == -EINVAL)
            r = refused(ret_why, "the URI is not a SPIFFE id");
    }
    GENERAL_NAMES_free(names);
    return r;
}

static int check(struct weir_csr *csr, const char *trust_domain, const char **ret_why) {
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(csr->req);
    const char *why = check_key(csr->req);
    int r;

    if (!why)
        why = check_extensions(extensions);
    r = why ? refused(ret_why, why) : read_id(extensions, &csr->id, ret_why);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    if (r == 0 && strcmp(csr->id->trust_domain, trust_domain) != 0)
        r = refused(ret_why, "the SPIFFE id is of another trust domain");
    if (r == 0 && strlen(csr->id->uri) == strlen("spiffe://") + strlen(csr->id->trust_domain))
        r = refused(ret_why, "the SPIFFE id has no path");
    return r;
}

int weir_csr_parse(struct weir_slice pem, const char *trust_domain, struct weir_csr **ret_csr,
                   const char **ret_why) {
    BIO *bio = pem.len <= WEIR_CSR_MAX ? weir_pem_open(pem) : NULL;
    struct weir_csr *csr;
    int r;

    if (!bio)
        return pem.len > WEIR_CSR_MAX ? refused(ret_why, "it is longer than 4096 bytes") : -ENOMEM;
    csr = weir_calloc(1, sizeof(*csr));
    if (!csr) {
        BIO_free(bio);
        return -ENOMEM;
    }
    csr->req = PEM_read_bio_X509_REQ(bio, NULL, weir_pem_no_passphrase, NULL);
    BIO_free(bio);
    r = csr->req ? check(csr, trust_domain, ret_why)
                 : refused(ret_why, "it is not a PEM certificate request");
    ERR_clear_error();
    if (r)
        weir_csr_free(csr);
    else
        *ret_csr = csr;
    return r;
}

struct weir_csr *weir_csr_free(struct weir_csr *csr) {
    if (csr) {
        X509_REQ_free(csr->req);
        weir_free(csr->id);
    }
    return weir_free(csr);
}

const struct weir_identity *weir_csr_identity(const struct weir_csr *csr) {
    return csr->id;
}
