/* SPDX-License-Identifier: Apache-2.0 */
#include "weir_test.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/ca.h"
#include "tls/csr.h"

#define ID "spiffe://cluster.local/ns/default/sa/web"

static struct weir_slice text(const char *s) {
    return weir_slice_from_str(s);
}

/* A request as somebody else might make one. */
struct odd {
    EVP_PKEY *key;
    X509_REQ *req;
    STACK_OF(X509_EXTENSION) * extensions;
};

static void odd_begin(struct odd *o, EVP_PKEY *key) {
    o->key = key;
    o->req = X509_REQ_new();
    o->extensions = NULL;
    assert_int_equal(X509_REQ_set_pubkey(o->req, key), 1);
}

static void odd_add(struct odd *o, int nid, const char *value) {
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(e);
    assert_non_null(X509v3_add_ext(&o->extensions, e, -1));
    X509_EXTENSION_free(e);
}

static char *odd_end(struct odd *o, EVP_PKEY *signer) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *pem;
    long len;

    if (o->extensions)
        assert_int_equal(X509_REQ_add_extensions(o->req, o->extensions), 1);
    assert_true(X509_REQ_sign(o->req, signer ? signer : o->key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509_REQ(bio, o->req), 1);
    len = BIO_get_mem_data(bio, &data);
    pem = strndup(data, (size_t)len);
    BIO_free(bio);
    sk_X509_EXTENSION_pop_free(o->extensions, X509_EXTENSION_free);
    X509_REQ_free(o->req);
    EVP_PKEY_free(o->key);
    return pem;
}

static void expect(char *pem, const char *why_not) {
    struct weir_csr *csr = NULL;
    const char *why = "";

    assert_int_equal(weir_csr_parse(text(pem), "cluster.local", &csr, &why), WEIR_CSR_REFUSED);
    assert_string_equal(why, why_not);
    assert_null(csr);
    free(pem);
}

static void a_request_says_key_and_identity_and_is_read_back(void **state) {
    struct weir_tls_key *key = NULL;
    struct weir_csr *csr = NULL;
    const char *why = NULL;
    char *pem = NULL;

    assert_int_equal(weir_tls_key_new(&key), 0);
    assert_int_equal(weir_csr_new(key, "spiffe://cluster.local", &pem), -EINVAL);
    assert_int_equal(weir_csr_new(key, "https://x/y", &pem), -EINVAL);
    assert_int_equal(weir_csr_new(key, ID, &pem), 0);
    assert_null(strstr(pem, "PRIVATE"));
    assert_int_equal(weir_csr_parse(text(pem), "cluster.local", &csr, &why), 0);
    assert_string_equal(weir_csr_identity(csr)->uri, ID);
    assert_string_equal(weir_csr_identity(csr)->account, "web");
    weir_csr_free(csr);
    csr = NULL;
    assert_int_equal(weir_csr_parse(text(pem), "other.domain", &csr, &why), WEIR_CSR_REFUSED);
    assert_string_equal(why, "the SPIFFE id is of another trust domain");
    pem[strlen(pem) / 2] ^= 1;
    assert_int_equal(weir_csr_parse(text(pem), "cluster.local", &csr, &why), WEIR_CSR_REFUSED);
    weir_free(pem);
    weir_tls_key_free(key);
}

static void what_a_signer_must_not_be_led_to_sign_is_refused(void **state) {
    struct odd o;
    EVP_PKEY *other = EVP_EC_gen("P-256");
    char *long_one = malloc(5000);

    memset(long_one, 'x', 4999);
    long_one[4999] = '\0';
    expect(long_one, "it is longer than 4096 bytes");
    expect(strdup(""), "it is not a PEM certificate request");
    odd_begin(&o, EVP_RSA_gen(2048));
    odd_add(&o, NID_subject_alt_name, "URI:" ID);
    expect(odd_end(&o, NULL), "the key is not ECDSA on P-256 or P-384");
    odd_begin(&o, EVP_EC_gen("P-256"));
    odd_add(&o, NID_subject_alt_name, "URI:" ID);
    expect(odd_end(&o, other), "it is not signed by its own key");
    odd_begin(&o, EVP_EC_gen("P-384"));
    expect(odd_end(&o, NULL), "no name is asked for");
    odd_begin(&o, EVP_EC_gen("P-256"));
    odd_add(&o, NID_subject_alt_name, "URI:" ID ",DNS:api.example");
    expect(odd_end(&o, NULL), "the names are not one URI and nothing else");
    odd_begin(&o, EVP_EC_gen("P-256"));
    odd_add(&o, NID_subject_alt_name, "URI:" ID);
    odd_add(&o, NID_subject_alt_name, "URI:" ID "2");
    expect(odd_end(&o, NULL), "names are given twice");
    odd_begin(&o, EVP_EC_gen("P-256"));
    odd_add(&o, NID_subject_alt_name, "URI:" ID);
    odd_add(&o, NID_basic_constraints, "CA:TRUE");
    expect(odd_end(&o, NULL), "an extension beside names and usages is asked for");
    odd_begin(&o, EVP_EC_gen("P-256"));
    odd_add(&o, NID_subject_alt_name, "URI:https://cluster.local/ns/a/sa/b");
    expect(odd_end(&o, NULL), "the URI is not a SPIFFE id");
    odd_begin(&o, EVP_EC_gen("P-256"));
    odd_add(&o, NID_subject_alt_name, "URI:spiffe://cluster.local");
    expect(odd_end(&o, NULL), "the SPIFFE id has no path");
    EVP_PKEY_free(other);
}

static void a_request_is_signed_and_the_key_fits(void **state) {
    struct weir_tls_key *key = NULL, *other = NULL;
    struct weir_pem ca = { 0 }, leaf = { 0 };
    struct weir_csr *csr = NULL;
    struct weir_tls_ctx *ctx = NULL;
    const char *why = NULL;
    char *pem = NULL;

    assert_int_equal(weir_tls_key_new(&key), 0);
    assert_int_equal(weir_tls_key_new(&other), 0);
    assert_int_equal(weir_csr_new(key, ID, &pem), 0);
    assert_int_equal(weir_csr_parse(text(pem), "cluster.local", &csr, &why), 0);
    assert_int_equal(weir_ca_new("cluster.local", time(NULL), 3600, &ca, &why), 0);
    assert_int_equal(weir_ca_issue(&(struct weir_ca_request){ .csr = csr,
                                                              .ca_cert = text(ca.cert),
                                                              .ca_key = text(ca.key),
                                                              .now = time(NULL),
                                                              .lifetime = 60 },
                                   &leaf, &why),
                     0);
    assert_null(leaf.key);
    struct weir_tls_params params = {
        .mode = WEIR_TLS_MESH_SERVER,
        .trust_domain = "cluster.local",
        .material = { .cert_chain = text(leaf.cert), .ca = text(ca.cert), .own_key = key }
    };
    assert_int_equal(weir_tls_ctx_new(&params, &ctx, &why), 0);
    assert_string_equal(weir_tls_ctx_identity(ctx)->uri, ID);
    weir_tls_ctx_unref(ctx);
    params.material.own_key = other;
    assert_int_equal(weir_tls_ctx_new(&params, &ctx, &why), 1);
    assert_string_equal(why, "key: does not match the certificate");
    weir_csr_free(csr);
    weir_pem_deinit(&ca);
    weir_pem_deinit(&leaf);
    weir_free(pem);
    weir_tls_key_free(key);
    weir_tls_key_free(other);
}

static void a_key_in_der_is_read_and_nothing_behind_it(void **state) {
    EVP_PKEY *made = EVP_EC_gen("P-256");
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(made);
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    struct weir_tls_key *key = NULL;

    assert_true(len > 0);
    assert_int_equal(weir_tls_key_from_der(weir_slice_make((char *)der, (size_t)len), &key), 0);
    weir_tls_key_free(key);
    assert_int_equal(weir_tls_key_from_der(weir_slice_make((char *)der, (size_t)len - 1), &key),
                     -EINVAL);
    assert_int_equal(weir_tls_key_from_der(WEIR_SLICE("nonsense"), &key), -EINVAL);
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_says_key_and_identity_and_is_read_back),
        cmocka_unit_test(what_a_signer_must_not_be_led_to_sign_is_refused),
        cmocka_unit_test(a_request_is_signed_and_the_key_fits),
        cmocka_unit_test(a_key_in_der_is_read_and_nothing_behind_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
