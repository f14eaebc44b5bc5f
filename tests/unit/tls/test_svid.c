/* SPDX-License-Identifier: Apache-2.0 */
/* The rules on their own; tests/unit/tls/test_engine.c breaks each of them inside a handshake. */
#include "tls/svid.h"

#include "weir_mint.h"

#define WEB "spiffe://mesh.test/ns/shop/sa/web"

static int check(const struct mint_spec *spec, enum weir_svid_role role, const char **ret_why) {
    struct mint m = mint_new(spec, NULL);
    struct weir_identity *id = NULL;
    *ret_why = "";
    int r = weir_svid_check(m.cert, role, "mesh.test", &id, ret_why);
    if (r == 0)
        assert_string_equal(id->uri, WEB);
    else
        assert_null(id);
    weir_free(id);
    mint_free(&m);
    return r;
}

static void a_right_leaf_passes_in_both_roles(void **state) {
    const char *why;
    struct mint_spec spec = { .uris = { WEB }, .dns = { "web.shop", "web" } };
    assert_int_equal(check(&spec, WEIR_SVID_SERVER, &why), 0);
    assert_int_equal(check(&spec, WEIR_SVID_CLIENT, &why), 0);
}

static void no_extended_key_usage_allows_both_roles(void **state) {
    const char *why;
    struct mint_spec spec = { .uris = { WEB }, .ext_usage = "" };
    assert_int_equal(check(&spec, WEIR_SVID_SERVER, &why), 0);
    assert_int_equal(check(&spec, WEIR_SVID_CLIENT, &why), 0);
}

static void an_extended_key_usage_must_name_the_role(void **state) {
    const char *why;
    struct mint_spec server = { .uris = { WEB }, .ext_usage = "serverAuth" };
    struct mint_spec client = { .uris = { WEB }, .ext_usage = "clientAuth" };
    assert_int_equal(check(&server, WEIR_SVID_SERVER, &why), 0);
    assert_int_equal(check(&server, WEIR_SVID_CLIENT, &why), 1);
    assert_string_equal(why, "svid: extended key usage does not allow this role");
    assert_int_equal(check(&client, WEIR_SVID_CLIENT, &why), 0);
    assert_int_equal(check(&client, WEIR_SVID_SERVER, &why), 1);
}

static void the_extension_twice_is_refused(void **state) {
    const char *why;
    assert_int_equal(
        check(&(struct mint_spec){ .uris = { WEB }, .two_sans = true }, WEIR_SVID_CLIENT, &why), 1);
}

static void further_key_usages_that_sign_no_certificates_are_fine(void **state) {
    const char *why;
    assert_int_equal(
        check(&(struct mint_spec){ .uris = { WEB },
                                   .key_usage = "critical,digitalSignature,keyEncipherment,"
                                                "keyAgreement" },
              WEIR_SVID_SERVER, &why),
        0);
}

static void no_memory_is_said_and_leaks_nothing(void **state) {
    struct mint m = mint_new(&(struct mint_spec){ .uris = { WEB } }, NULL);
    struct weir_identity *id = NULL;
    const char *why = "";
    weir_mem_fail_at(1, 0);
    int r = weir_svid_check(m.cert, WEIR_SVID_CLIENT, "mesh.test", &id, &why);
    weir_mem_fail_at(0, 0);
    assert_int_equal(r, -ENOMEM);
    mint_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_leaf_passes_in_both_roles),
        cmocka_unit_test(no_extended_key_usage_allows_both_roles),
        cmocka_unit_test(an_extended_key_usage_must_name_the_role),
        cmocka_unit_test(the_extension_twice_is_refused),
        cmocka_unit_test(further_key_usages_that_sign_no_certificates_are_fine),
        cmocka_unit_test(no_memory_is_said_and_leaks_nothing),
    };
    return cmocka_run_group_tests_name("tls/svid", tests, NULL, NULL);
}
