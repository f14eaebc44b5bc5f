/* SPDX-License-Identifier: Apache-2.0 */
/* Material: what is accepted, and that each refusal says what is wrong. */
#include "tls/tls.h"

#include <openssl/err.h>

#include "weir_mint.h"
#include "weir_tls_pair.h"

#define WEB "spiffe://mesh.test/ns/shop/sa/web"

static struct mint ca, web, other;

static struct weir_tls_params mesh_params(void) {
    return (struct weir_tls_params){
        .mode = WEIR_TLS_MESH_SERVER,
        .trust_domain = "mesh.test",
        .alpn = WEIR_SLICE("\x07weir-h2"),
        .material = { weir_slice_from_str(web.cert_pem), weir_slice_from_str(web.key_pem),
                      weir_slice_from_str(ca.cert_pem) },
    };
}

static struct weir_tls_ctx *must(const struct weir_tls_params *params) {
    struct weir_tls_ctx *ctx = NULL;
    const char *why = "";
    int r = weir_tls_ctx_new(params, &ctx, &why);
    if (r != 0)
        fail_msg("%d: %s", r, why);
    assert_int_equal(weir_tls_ctx_mode(ctx), params->mode);
    return ctx;
}

static void must_not(const struct weir_tls_params *params, const char *expected) {
    struct weir_tls_ctx *ctx = NULL;
    const char *why = "";
    int r = weir_tls_ctx_new(params, &ctx, &why);
    assert_string_equal(why, expected);
    assert_int_equal(r, 1);
    assert_null(ctx);
    assert_int_equal(ERR_peek_error(), 0);
}

static void the_own_identity_and_end_are_known(void **state) {
    struct weir_tls_params params = mesh_params();
    struct weir_tls_ctx *ctx = must(&params);
    struct tm tm;
    assert_string_equal(weir_tls_ctx_identity(ctx)->uri, WEB);
    assert_string_equal(weir_tls_ctx_identity(ctx)->ns, "shop");
    assert_int_equal(ASN1_TIME_to_tm(X509_get0_notAfter(web.cert), &tm), 1);
    assert_int_equal(weir_tls_ctx_not_after(ctx), timegm(&tm));
    weir_tls_ctx_unref(ctx);
}

static void a_client_without_material_has_no_identity(void **state) {
    struct weir_tls_params params = { .mode = WEIR_TLS_CLIENT };
    struct weir_tls_ctx *ctx = must(&params); /* trusts the system's store */
    assert_string_equal(weir_tls_ctx_identity(ctx)->uri, "");
    assert_string_equal(weir_tls_ctx_identity(ctx)->account, "");
    assert_int_equal(weir_tls_ctx_not_after(ctx), 0);
    weir_tls_ctx_unref(ctx);
}

static void missing_material_is_named(void **state) {
    struct weir_tls_params params = mesh_params();
    params.material.cert_chain = WEIR_SLICE_NONE;
    must_not(&params, "certificate: none given");
    params = mesh_params();
    params.material.key = WEIR_SLICE_NONE;
    must_not(&params, "key: no readable, unencrypted PEM private key in it");
    params = mesh_params();
    params.material.ca = WEIR_SLICE_NONE;
    must_not(&params, "ca: none given");
    params = mesh_params();
    params.trust_domain = NULL;
    must_not(&params, "trust domain: none given");
    params.trust_domain = "";
    must_not(&params, "trust domain: none given");
    params = (struct weir_tls_params){ .mode = WEIR_TLS_SERVER };
    must_not(&params, "certificate: none given");
    params = (struct weir_tls_params){ .mode = WEIR_TLS_CLIENT };
    params.material.key = weir_slice_from_str(web.key_pem);
    must_not(&params, "key: given without a certificate");
}

static void a_key_of_another_certificate_is_told(void **state) {
    struct weir_tls_params params = mesh_params();
    params.material.key = weir_slice_from_str(other.key_pem);
    must_not(&params, "key: does not match the certificate");
}

static void certificate_and_key_may_come_in_one_text(void **state) {
    char bundle[8192];
    snprintf(bundle, sizeof(bundle), "%s%s", web.key_pem, web.cert_pem);
    struct weir_tls_params params = mesh_params();
    params.material.cert_chain = weir_slice_from_str(bundle);
    params.material.key = WEIR_SLICE_NONE;
    weir_tls_ctx_unref(must(&params));
}

static void texts_need_no_nul(void **state) {
    /* Exactly sized copies: a read beyond the end is seen by the sanitizer. */
    struct weir_tls_params params = mesh_params();
    struct weir_slice *slices[] = { &params.material.cert_chain, &params.material.key,
                                    &params.material.ca };
    for (size_t i = 0; i < 3; i++) {
        char *copy = malloc(slices[i]->len);
        memcpy(copy, slices[i]->ptr, slices[i]->len);
        slices[i]->ptr = copy;
    }
    weir_tls_ctx_unref(must(&params));
    for (size_t i = 0; i < 3; i++)
        free((char *)(uintptr_t)slices[i]->ptr);
}

static void text_that_is_not_pem_is_refused(void **state) {
    static const char broken[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    struct weir_tls_params params = mesh_params();
    params.material.cert_chain = WEIR_SLICE("hello");
    must_not(&params, "certificate: no PEM certificate in it");
    params.material.cert_chain = weir_slice_from_str(broken);
    must_not(&params, "certificate: cannot be parsed");
    params = mesh_params();
    params.material.key = WEIR_SLICE("hello");
    must_not(&params, "key: no readable, unencrypted PEM private key in it");
    params = mesh_params();
    params.material.ca = WEIR_SLICE("hello");
    must_not(&params, "ca: no PEM certificate in it");
    params.material.ca = weir_slice_from_str(broken);
    must_not(&params, "ca: cannot be parsed");
    char chain[8192];
    snprintf(chain, sizeof(chain), "%s%s", web.cert_pem, broken);
    params = mesh_params();
    params.material.cert_chain = weir_slice_from_str(chain);
    must_not(&params, "certificate: chain cannot be parsed");
}

static void material_cut_anywhere_never_loads(void **state) {
    size_t len = strlen(web.cert_pem);
    for (size_t n = 1; n < len - 1; n += 13) {
        struct weir_tls_params params = mesh_params();
        struct weir_tls_ctx *ctx = NULL;
        const char *why = "";
        params.material.cert_chain.len = n;
        assert_int_equal(weir_tls_ctx_new(&params, &ctx, &why), 1);
    }
}

static void an_encrypted_key_is_refused_without_asking_the_terminal(void **state) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    assert_int_equal(
        PEM_write_bio_PKCS8PrivateKey(bio, web.key, EVP_aes_128_cbc(), "pw", 2, NULL, NULL), 1);
    struct weir_tls_params params = mesh_params();
    params.material.key.len = (size_t)BIO_get_mem_data(bio, &text);
    params.material.key.ptr = text;
    must_not(&params, "key: no readable, unencrypted PEM private key in it");
    BIO_free(bio);
}

static void an_own_certificate_that_is_no_svid_is_refused_in_mesh_modes_only(void **state) {
    struct mint bad = mint_new(&(struct mint_spec){ .dns = { "a.test" } }, &ca);
    struct weir_tls_params params = mesh_params();
    params.material.cert_chain = weir_slice_from_str(bad.cert_pem);
    params.material.key = weir_slice_from_str(bad.key_pem);
    must_not(&params, "certificate: svid: no uri");
    params.mode = WEIR_TLS_SERVER;
    weir_tls_ctx_unref(must(&params));
    params = mesh_params();
    params.trust_domain = "other.test";
    must_not(&params, "certificate: trust domain mismatch");
    mint_free(&bad);
}

static void an_expired_certificate_loads_and_tells_its_end(void **state) {
    struct mint old =
        mint_new(&(struct mint_spec){ .uris = { WEB }, .begins = -7200, .ends = -3600 }, &ca);
    struct weir_tls_params params = mesh_params();
    params.material.cert_chain = weir_slice_from_str(old.cert_pem);
    params.material.key = weir_slice_from_str(old.key_pem);
    struct weir_tls_ctx *ctx = must(&params);
    assert_true(weir_tls_ctx_not_after(ctx) > 0 && weir_tls_ctx_not_after(ctx) < time(NULL));
    weir_tls_ctx_unref(ctx);
    mint_free(&old);
}

static void a_weak_key_is_refused(void **state) {
    struct mint weak = mint_new(&(struct mint_spec){ .uris = { WEB }, .rsa_bits = 1024 }, &ca);
    struct weir_tls_params params = mesh_params();
    params.material.cert_chain = weir_slice_from_str(weak.cert_pem);
    params.material.key = weir_slice_from_str(weak.key_pem);
    must_not(&params, "certificate: refused (key too weak?)");
    mint_free(&weak);
}

static void an_rsa_key_of_2048_bits_is_fine(void **state) {
    struct mint rsa = mint_new(&(struct mint_spec){ .uris = { WEB }, .rsa_bits = 2048 }, &ca);
    struct weir_tls_params params = mesh_params();
    params.material.cert_chain = weir_slice_from_str(rsa.cert_pem);
    params.material.key = weir_slice_from_str(rsa.key_pem);
    weir_tls_ctx_unref(must(&params));
    mint_free(&rsa);
}

static void a_malformed_protocol_list_is_refused(void **state) {
    static const struct weir_slice lists[] = {
        { "\0", 1 }, { "\x03h2", 3 }, { "\x02h2\x09http/1.1", 12 }, { "\x02h2\0", 4 }
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(lists); i++) {
        struct weir_tls_params params = mesh_params();
        params.alpn = lists[i];
        must_not(&params, "alpn: not a list of names");
    }
}

static void a_connection_outlives_its_callers_ctx(void **state) {
    struct weir_tls_params params = mesh_params();
    struct weir_tls_ctx *server = must(&params);
    params.mode = WEIR_TLS_MESH_CLIENT;
    struct weir_tls_ctx *client = must(&params);
    struct tls_pair p;
    assert_int_equal(tls_pair_init(&p, client, server, NULL, NULL), 0);
    assert_ptr_equal(weir_tls_ctx_ref(client), client);
    assert_null(weir_tls_ctx_unref(client));
    weir_tls_ctx_unref(client);
    weir_tls_ctx_unref(server);
    assert_null(weir_tls_ctx_unref(NULL));
    assert_int_equal(tls_pair_pump(&p), 0);
    assert_true(weir_tls_established(p.server));
    tls_pair_deinit(&p);
}

static void new_trust_does_not_touch_running_connections(void **state) {
    struct weir_tls_params params = mesh_params();
    struct weir_tls_ctx *server = must(&params);
    params.mode = WEIR_TLS_MESH_CLIENT;
    struct weir_tls_ctx *client = must(&params);
    struct tls_pair old_pair, new_pair;
    assert_int_equal(tls_pair_init(&old_pair, client, server, NULL, NULL), 0);
    assert_int_equal(tls_pair_pump(&old_pair), 0);
    weir_tls_ctx_unref(server);
    params = mesh_params();
    params.material.ca = weir_slice_from_str(other.cert_pem);
    server = must(&params);
    assert_int_equal(tls_pair_init(&new_pair, client, server, NULL, NULL), 0);
    assert_int_equal(tls_pair_pump(&new_pair), 0);
    assert_string_equal(weir_tls_fault_reason(new_pair.server), "unknown ca");
    assert_int_equal(tls_pair_send(&old_pair, true, WEIR_SLICE("still here")), 0);
    assert_int_equal(tls_pair_pump(&old_pair), 0);
    weir_assert_bufq(&old_pair.server_plain, "still here");
    tls_pair_deinit(&old_pair);
    tls_pair_deinit(&new_pair);
    weir_tls_ctx_unref(client);
    weir_tls_ctx_unref(server);
}

static int set_up(void **state) {
    ca = mint_ca("mesh root");
    web = mint_svid(WEB, &ca);
    other = mint_ca("other root");
    return 0;
}

static int tear_down(void **state) {
    mint_free(&ca);
    mint_free(&web);
    mint_free(&other);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_own_identity_and_end_are_known),
        cmocka_unit_test(a_client_without_material_has_no_identity),
        cmocka_unit_test(missing_material_is_named),
        cmocka_unit_test(a_key_of_another_certificate_is_told),
        cmocka_unit_test(certificate_and_key_may_come_in_one_text),
        cmocka_unit_test(texts_need_no_nul),
        cmocka_unit_test(text_that_is_not_pem_is_refused),
        cmocka_unit_test(material_cut_anywhere_never_loads),
        cmocka_unit_test(an_encrypted_key_is_refused_without_asking_the_terminal),
        cmocka_unit_test(an_own_certificate_that_is_no_svid_is_refused_in_mesh_modes_only),
        cmocka_unit_test(an_expired_certificate_loads_and_tells_its_end),
        cmocka_unit_test(a_weak_key_is_refused),
        cmocka_unit_test(an_rsa_key_of_2048_bits_is_fine),
        cmocka_unit_test(a_malformed_protocol_list_is_refused),
        cmocka_unit_test(a_connection_outlives_its_callers_ctx),
        cmocka_unit_test(new_trust_does_not_touch_running_connections),
    };
    return cmocka_run_group_tests_name("tls/ctx", tests, set_up, tear_down);
}
