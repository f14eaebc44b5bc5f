/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for tests, right and wrong ones: every field that a rule looks at can be set to what
 * no honest issuer would write. Header only; needs OpenSSL.
 */
#ifndef WEIR_MINT_H
#define WEIR_MINT_H

#include <time.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "weir_test.h"

struct mint {
    EVP_PKEY *key;
    X509 *cert;
    char *cert_pem, *key_pem;
};

struct mint_spec {
    const char *cn;
    const char *uris[3]; /* URI SANs */
    size_t nul_at;       /* byte of the first URI to overwrite with NUL; 0 = none */
    const char *dns[3];
    const char *ip;
    const char *key_usage; /* extension text; NULL = critical,digitalSignature; "" = absent */
    const char *ext_usage; /* NULL = serverAuth,clientAuth; "" = absent */
    bool is_ca;            /* basic constraints CA:TRUE */
    bool two_sans;         /* the extension twice */
    int64_t begins, ends;  /* seconds from now; both 0 = an hour ago to an hour ahead */
    int rsa_bits;          /* 0 = P-256 */
};

static WEIR_UNUSED void mint_ext(X509 *cert, int nid, const char *text) {
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, (char *)(uintptr_t)text);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static WEIR_UNUSED void mint_name(GENERAL_NAMES *names, int type, const void *bytes, size_t len) {
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value =
        ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    assert_int_equal(ASN1_STRING_set(value, bytes, (int)len), 1);
    GENERAL_NAME_set0_value(name, type, value);
    assert_true(sk_GENERAL_NAME_push(names, name) > 0);
}

static WEIR_UNUSED void mint_sans(X509 *cert, const struct mint_spec *spec) {
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    for (size_t i = 0; i < 3 && spec->uris[i] != NULL; i++) {
        char uri[4096];
        size_t len = strlen(spec->uris[i]);
        memcpy(uri, spec->uris[i], len);
        if (i == 0 && spec->nul_at != 0)
            uri[spec->nul_at] = '\0';
        mint_name(names, GEN_URI, uri, len);
    }
    for (size_t i = 0; i < 3 && spec->dns[i] != NULL; i++)
        mint_name(names, GEN_DNS, spec->dns[i], strlen(spec->dns[i]));
    if (spec->ip != NULL) {
        ASN1_OCTET_STRING *ip = a2i_IPADDRESS(spec->ip);
        mint_name(names, GEN_IPADD, ASN1_STRING_get0_data(ip), (size_t)ASN1_STRING_length(ip));
        ASN1_OCTET_STRING_free(ip);
    }
    if (sk_GENERAL_NAME_num(names) > 0) {
        for (int i = 0; i < (spec->two_sans ? 2 : 1); i++)
            assert_int_equal(
                X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND), 1);
    }
    GENERAL_NAMES_free(names);
}

static WEIR_UNUSED char *mint_pem(X509 *cert, EVP_PKEY *key) {
    BIO *bio = BIO_new(BIO_s_mem());
    if (cert != NULL)
        assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
    else
        assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)len);
    BIO_free(bio);
    return text;
}

/* issuer NULL: signed by itself. */
static WEIR_UNUSED struct mint mint_new(const struct mint_spec *spec, const struct mint *issuer) {
    static long serial = 1;
    struct mint m = { 0 };
    m.key = spec->rsa_bits ? EVP_RSA_gen((unsigned)spec->rsa_bits) : EVP_EC_gen("P-256");
    m.cert = X509_new();
    assert_non_null(m.key);
    X509_set_version(m.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(m.cert), serial++);
    bool dated = spec->begins != 0 || spec->ends != 0;
    X509_gmtime_adj(X509_getm_notBefore(m.cert), dated ? spec->begins : -3600);
    X509_gmtime_adj(X509_getm_notAfter(m.cert), dated ? spec->ends : 3600);
    const char *cn = spec->cn != NULL ? spec->cn : spec->is_ca ? "test ca" : "test leaf";
    X509_NAME_add_entry_by_NID(X509_get_subject_name(m.cert), NID_commonName, MBSTRING_UTF8,
                               (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(m.cert, X509_get_subject_name(issuer != NULL ? issuer->cert : m.cert));
    X509_set_pubkey(m.cert, m.key);
    mint_ext(m.cert, NID_basic_constraints, spec->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    const char *usage = spec->key_usage != NULL ? spec->key_usage
                        : spec->is_ca           ? "critical,keyCertSign,cRLSign"
                                                : "critical,digitalSignature";
    if (usage[0] != '\0')
        mint_ext(m.cert, NID_key_usage, usage);
    const char *ext = spec->ext_usage != NULL ? spec->ext_usage
                      : spec->is_ca           ? ""
                                              : "serverAuth,clientAuth";
    if (ext[0] != '\0')
        mint_ext(m.cert, NID_ext_key_usage, ext);
    mint_sans(m.cert, spec);
    assert_true(X509_sign(m.cert, issuer != NULL ? issuer->key : m.key, EVP_sha256()) > 0);
    m.cert_pem = mint_pem(m.cert, NULL);
    m.key_pem = mint_pem(NULL, m.key);
    return m;
}

static WEIR_UNUSED struct mint mint_ca(const char *cn) {
    return mint_new(&(struct mint_spec){ .cn = cn, .is_ca = true }, NULL);
}

/* An ordinary, correct SVID. */
static WEIR_UNUSED struct mint mint_svid(const char *uri, const struct mint *ca) {
    return mint_new(&(struct mint_spec){ .uris = { uri } }, ca);
}

static WEIR_UNUSED void mint_free(struct mint *m) {
    EVP_PKEY_free(m->key);
    X509_free(m->cert);
    free(m->cert_pem);
    free(m->key_pem);
}

#endif
