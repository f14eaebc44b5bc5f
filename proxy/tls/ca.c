/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CA: builds certificates field by field through OpenSSL's structures, never from
 * configuration text, so that a name given by a user cannot become an extension. Time is an
 * argument; randomness (keys, serial numbers) is OpenSSL's.
 */
#include "tls/ca.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/err.h"
#include "base/mem.h"
#include "tls/csr_internal.h"
#include "tls/pem.h"
#include "tls/tls.h"

#define CLOCK_SKEW                                                                                 \
    60 /* seconds: peers whose clock is a little behind accept a fresh certificate                 \
        */
#define SERIAL_BYTES 16
#define DNS_MAX      253u

static int refused(const char **ret_why, const char *why) {
    ERR_clear_error();
    *ret_why = why;
    return WEIR_CA_REFUSED;
}

void weir_pem_deinit(struct weir_pem *pem) {
    if (pem->key != NULL) {
        OPENSSL_cleanse(pem->key, strlen(pem->key));
    }
    pem->cert = weir_free(pem->cert);
    pem->key = weir_free(pem->key);
}

/* --- pieces of a certificate; all answer false for "no memory" --- */

static bool set_serial(X509 *cert) {
    unsigned char bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return false;
    }
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive and of full length */
    BIGNUM *serial = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool ok = serial != NULL && BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL;
    BN_free(serial);
    return ok;
}

static bool set_times(X509 *cert, int64_t now, int64_t not_after) {
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(now - CLOCK_SKEW)) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)not_after) != NULL;
}

static bool set_subject(X509 *cert, const char *org, const char *name) {
    X509_NAME *subject = X509_get_subject_name(cert);
    /* 64 is the upper bound of both (RFC 5280 A.1); nobody reads them, the identity is the URI. */
    return X509_NAME_add_entry_by_NID(subject, NID_organizationName, MBSTRING_UTF8,
                                      (const unsigned char *)org, (int)strnlen(org, 64), -1,
                                      0) == 1 &&
           X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)name, (int)strnlen(name, 64), -1,
                                      0) == 1;
}

static bool add_basic_constraints(X509 *cert, bool is_ca) {
    BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
    bool ok = bc != NULL;
    if (ok && is_ca) {
        bc->ca = 0xff;
        bc->pathlen = ASN1_INTEGER_new();
        ok = bc->pathlen != NULL && ASN1_INTEGER_set(bc->pathlen, 0) == 1;
    }
    ok = ok && X509_add1_ext_i2d(cert, NID_basic_constraints, bc, 1, 0) == 1;
    BASIC_CONSTRAINTS_free(bc);
    return ok;
}

static bool add_key_usage(X509 *cert, const int *bits, size_t n_bits) {
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    bool ok = usage != NULL;
    for (size_t i = 0; ok && i < n_bits; i++) {
        ok = ASN1_BIT_STRING_set_bit(usage, bits[i], 1) == 1;
    }
    ok = ok && X509_add1_ext_i2d(cert, NID_key_usage, usage, 1, 0) == 1;
    ASN1_BIT_STRING_free(usage);
    return ok;
}

static bool add_extended_usage(X509 *cert) {
    EXTENDED_KEY_USAGE *usage = EXTENDED_KEY_USAGE_new();
    /* The OBJ_nid2obj objects are static; freeing the stack leaves them. */
    bool ok = usage != NULL && sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(NID_server_auth)) > 0 &&
              sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(NID_client_auth)) > 0 &&
              X509_add1_ext_i2d(cert, NID_ext_key_usage, usage, 0, 0) == 1;
    EXTENDED_KEY_USAGE_free(usage);
    return ok;
}

static bool push_name(GENERAL_NAMES *names, int type, const char *text) {
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    if (name == NULL || value == NULL || ASN1_STRING_set(value, text, -1) != 1) {
        GENERAL_NAME_free(name);
        ASN1_IA5STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        return false;
    }
    return true;
}

static bool add_names(X509 *cert, const char *uri, const char *const *dns, size_t n_dns) {
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool ok = names != NULL && push_name(names, GEN_URI, uri);
    for (size_t i = 0; ok && i < n_dns; i++) {
        ok = push_name(names, GEN_DNS, dns[i]);
    }
    ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool add_key_id(X509 *cert, X509 *issuer) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    ASN1_OCTET_STRING *own = ASN1_OCTET_STRING_new();
    bool ok = own != NULL && X509_pubkey_digest(cert, EVP_sha1(), digest, &len) == 1 &&
              ASN1_OCTET_STRING_set(own, digest, (int)len) == 1 &&
              X509_add1_ext_i2d(cert, NID_subject_key_identifier, own, 0, 0) == 1;
    ASN1_OCTET_STRING_free(own);
    const ASN1_OCTET_STRING *theirs = issuer != NULL ? X509_get0_subject_key_id(issuer) : NULL;
    if (!ok || theirs == NULL) {
        return ok;
    }
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    ok = authority != NULL && (authority->keyid = ASN1_OCTET_STRING_dup(theirs)) != NULL &&
         X509_add1_ext_i2d(cert, NID_authority_key_identifier, authority, 0, 0) == 1;
    AUTHORITY_KEYID_free(authority);
    return ok;
}

/* --- texts --- */

/* key: NULL = there is none of ours. */
static int write_pem(X509 *cert, EVP_PKEY *key, struct weir_pem *ret_pem) {
    BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_secmem());
    struct weir_pem pem = { NULL, NULL };
    if (cert_bio != NULL && key_bio != NULL && PEM_write_bio_X509(cert_bio, cert) == 1 &&
        (key == NULL ||
         PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1)) {
        pem.cert = weir_pem_of(cert_bio);
        pem.key = weir_pem_of(key_bio);
    }
    BIO_free(cert_bio);
    BIO_free(key_bio);
    if (pem.cert == NULL || (key != NULL && pem.key == NULL)) {
        weir_pem_deinit(&pem);
        return -ENOMEM;
    }
    *ret_pem = pem;
    return 0;
}

static X509 *read_cert(struct weir_slice text) {
    BIO *bio = weir_pem_open(text);
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, weir_pem_no_passphrase, NULL) : NULL;
    BIO_free(bio);
    return cert;
}

static EVP_PKEY *read_key(struct weir_slice text) {
    BIO *bio = weir_pem_open(text);
    EVP_PKEY *key =
        bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, weir_pem_no_passphrase, NULL) : NULL;
    BIO_free(bio);
    return key;
}

/* --- CA and leaf --- */

static bool fill_ca(X509 *cert, EVP_PKEY *key, const struct weir_identity *id, int64_t now,
                    int64_t end) {
    static const int usage[] = { 5, 6 }; /* keyCertSign, cRLSign: RFC 5280 4.2.1.3 */
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           set_times(cert, now, end) &&
           set_subject(cert, id->trust_domain, "weir development CA") &&
           X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
           X509_set_pubkey(cert, key) == 1 && add_basic_constraints(cert, true) &&
           add_key_usage(cert, usage, WEIR_ARRAY_LEN(usage)) && add_names(cert, id->uri, NULL, 0) &&
           add_key_id(cert, NULL) && X509_sign(cert, key, EVP_sha256()) > 0;
}

static int make_ca(const struct weir_identity *id, int64_t now, int64_t end,
                   struct weir_pem *ret_ca) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    int r = -ENOMEM;
    if (key != NULL && cert != NULL && fill_ca(cert, key, id, now, end)) {
        r = write_pem(cert, key, ret_ca);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return r;
}

int weir_ca_new(const char *trust_domain, int64_t now, int64_t lifetime, struct weir_pem *ret_ca,
                const char **ret_why) {
    char uri[sizeof("spiffe://") + 255];
    if (lifetime <= 0) {
        return refused(ret_why, "lifetime is not positive");
    }
    size_t len = strlen(trust_domain);
    if (len > 255) {
        return refused(ret_why, "trust domain is too long");
    }
    memcpy(uri, "spiffe://", 9);
    memcpy(uri + 9, trust_domain, len);
    WEIR_CLEANUP(weir_freep)
    struct weir_identity *id = NULL;
    int r = weir_identity_new(weir_slice_make(uri, 9 + len), &id);
    if (r == -EINVAL || (r == 0 && strcmp(id->trust_domain, trust_domain) != 0)) {
        return refused(ret_why, "trust domain: lower case letters, digits, '.', '-' and '_' only");
    }
    return r != 0 ? r : make_ca(id, now, now + lifetime, ret_ca);
}

static bool dns_ok(const char *name) {
    size_t len = strlen(name);
    if (len == 0 || len > DNS_MAX) {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*") ==
           len;
}

/* What is wrong with the request itself; NULL = nothing. */
static const char *check_request(const struct weir_ca_request *req, const struct weir_identity *id,
                                 X509 *ca, EVP_PKEY *ca_key) {
    if (strlen(id->uri) == 9 + strlen(id->trust_domain)) {
        return "spiffe id without a path";
    }
    for (size_t i = 0; i < req->n_dns_names; i++) {
        if (!dns_ok(req->dns_names[i])) {
            return "dns name is not one";
        }
    }
    if (req->lifetime <= 0) {
        return "lifetime is not positive";
    }
    if (X509_check_private_key(ca, ca_key) != 1) {
        return "ca key does not match the ca certificate";
    }
    if (X509_check_ca(ca) != 1) {
        return "ca certificate is not a ca";
    }
    time_t now = (time_t)req->now;
    return X509_cmp_time(X509_get0_notAfter(ca), &now) <= 0 ? "ca certificate has expired" : NULL;
}

/* The CA says in its own URI which trust domain it signs for; one without a URI signs for any. */
static bool same_domain(X509 *ca, const struct weir_identity *id) {
    GENERAL_NAMES *names = X509_get_ext_d2i(ca, NID_subject_alt_name, NULL, NULL);
    bool same = true;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) {
            continue;
        }
        const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
        size_t len = (size_t)ASN1_STRING_length(uri);
        same = same && len == 9 + strlen(id->trust_domain) &&
               memcmp(ASN1_STRING_get0_data(uri), id->uri, len) == 0;
    }
    GENERAL_NAMES_free(names);
    return same;
}

static bool fill_leaf(X509 *cert, EVP_PKEY *key, const struct weir_ca_request *req, X509 *ca,
                      const struct weir_identity *id) {
    static const int usage[] = { 0 }; /* digitalSignature */
    const char *name = id->account[0] != '\0' ? id->account : "workload";
    if (X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) ||
        !set_times(cert, req->now, req->now + req->lifetime) ||
        !set_subject(cert, id->trust_domain, name)) {
        return false;
    }
    if (ASN1_TIME_compare(X509_get0_notAfter(ca), X509_get0_notAfter(cert)) < 0 &&
        X509_set1_notAfter(cert, X509_get0_notAfter(ca)) != 1) {
        return false;
    }
    return X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
           X509_set_pubkey(cert, key) == 1 && add_basic_constraints(cert, false) &&
           add_key_usage(cert, usage, WEIR_ARRAY_LEN(usage)) && add_extended_usage(cert) &&
           add_names(cert, id->uri, req->dns_names, req->n_dns_names) && add_key_id(cert, ca);
}

static int make_leaf(const struct weir_ca_request *req, X509 *ca, EVP_PKEY *ca_key,
                     const struct weir_identity *id, struct weir_pem *ret_leaf) {
    EVP_PKEY *key = req->csr != NULL ? X509_REQ_get_pubkey(req->csr->req) : EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    int r = -ENOMEM;
    if (key != NULL && cert != NULL && fill_leaf(cert, key, req, ca, id) &&
        X509_sign(cert, ca_key, EVP_sha256()) > 0) {
        r = write_pem(cert, req->csr != NULL ? NULL : key, ret_leaf);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return r;
}

int weir_ca_issue(const struct weir_ca_request *req, struct weir_pem *ret_leaf,
                  const char **ret_why) {
    WEIR_CLEANUP(weir_freep)
    struct weir_identity *id = NULL;
    const char *uri = req->csr != NULL ? weir_csr_identity(req->csr)->uri : req->spiffe_id;
    int r = weir_identity_new(weir_slice_from_str(uri), &id);
    if (r != 0) {
        return r == -EINVAL ? refused(ret_why, "spiffe id is not one") : r;
    }
    X509 *ca = read_cert(req->ca_cert);
    EVP_PKEY *ca_key = read_key(req->ca_key);
    const char *why = NULL;
    if (ca == NULL) {
        why = "ca certificate cannot be read";
    } else if (ca_key == NULL) {
        why = "ca key cannot be read";
    } else {
        why = check_request(req, id, ca, ca_key);
    }
    if (why == NULL && !same_domain(ca, id)) {
        why = "spiffe id is not in the ca's trust domain";
    }
    r = why != NULL ? refused(ret_why, why) : make_leaf(req, ca, ca_key, id, ret_leaf);
    EVP_PKEY_free(ca_key);
    X509_free(ca);
    ERR_clear_error();
    return r;
}
