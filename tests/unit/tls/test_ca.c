/* SPDX-License-Identifier: Apache-2.0 */
/* The development CA, in the program and by script: what both make passes a mutual mesh handshake.
 */
#include "tls/ca.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "weir_mint.h"
#include "weir_tls_pair.h"

#define WEB   "spiffe://mesh.test/ns/shop/sa/web"
#define STORE "spiffe://mesh.test/ns/shop/sa/store"

static int64_t now;

static struct weir_pem new_ca(const char *trust_domain) {
    struct weir_pem pem;
    const char *why = "";
    assert_int_equal(weir_ca_new(trust_domain, now, 86400, &pem, &why), 0);
    return pem;
}

static struct weir_ca_request request(const struct weir_pem *ca, const char *id) {
    return (struct weir_ca_request){ .ca_cert = weir_slice_from_str(ca->cert),
                                     .ca_key = weir_slice_from_str(ca->key),
                                     .spiffe_id = id,
                                     .now = now,
                                     .lifetime = 3600 };
}

static struct weir_pem issue(const struct weir_pem *ca, const char *id) {
    struct weir_ca_request req = request(ca, id);
    struct weir_pem pem;
    const char *why = "";
    assert_int_equal(weir_ca_issue(&req, &pem, &why), 0);
    return pem;
}

static X509 *parse(const char *pem) {
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static struct weir_tls_ctx *mesh_ctx(enum weir_tls_mode mode, const char *cert, const char *key,
                                     const char *ca) {
    struct weir_tls_params params = {
        .mode = mode,
        .trust_domain = "mesh.test",
        .alpn = WEIR_SLICE("\x07weir-h2"),
        .material = { weir_slice_from_str(cert), weir_slice_from_str(key),
                      weir_slice_from_str(ca) },
    };
    struct weir_tls_ctx *ctx = NULL;
    const char *why = "";
    if (weir_tls_ctx_new(&params, &ctx, &why) != 0)
        fail_msg("%s", why);
    return ctx;
}

static void assert_handshake(struct weir_tls_ctx *client, struct weir_tls_ctx *server) {
    struct tls_pair p;
    assert_int_equal(tls_pair_init(&p, client, server, NULL, STORE), 0);
    assert_int_equal(tls_pair_pump(&p), 0);
    if (!weir_tls_established(p.client) || !weir_tls_established(p.server))
        fail_msg("client: %s; server: %s", weir_tls_fault_reason(p.client),
                 weir_tls_fault_reason(p.server));
    assert_string_equal(weir_tls_peer(p.client)->uri, STORE);
    assert_string_equal(weir_tls_peer(p.server)->uri, WEB);
    tls_pair_deinit(&p);
    weir_tls_ctx_unref(client);
    weir_tls_ctx_unref(server);
}

static void issued_identities_pass_a_mutual_handshake(void **state) {
    struct weir_pem ca = new_ca("mesh.test"), web = issue(&ca, WEB), store = issue(&ca, STORE);
    assert_handshake(mesh_ctx(WEIR_TLS_MESH_CLIENT, web.cert, web.key, ca.cert),
                     mesh_ctx(WEIR_TLS_MESH_SERVER, store.cert, store.key, ca.cert));
    weir_pem_deinit(&ca);
    weir_pem_deinit(&web);
    weir_pem_deinit(&store);
}

static void a_leaf_ends_with_its_ca_at_the_latest(void **state) {
    struct weir_pem ca = new_ca("mesh.test"), leaf;
    struct weir_ca_request req = request(&ca, WEB);
    const char *why = "";
    req.lifetime = 10 * 86400;
    assert_int_equal(weir_ca_issue(&req, &leaf, &why), 0);
    X509 *ca_cert = parse(ca.cert), *cert = parse(leaf.cert);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(ca_cert)), 0);
    assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notBefore(cert), (time_t)now), -1);
    X509_free(ca_cert);
    X509_free(cert);
    weir_pem_deinit(&ca);
    weir_pem_deinit(&leaf);
}

static void dns_names_are_carried(void **state) {
    struct weir_pem ca = new_ca("mesh.test"), leaf;
    static const char *const names[] = { "store.shop.svc", "*.store.test" };
    struct weir_ca_request req = request(&ca, STORE);
    const char *why = "";
    req.dns_names = names;
    req.n_dns_names = 2;
    assert_int_equal(weir_ca_issue(&req, &leaf, &why), 0);
    X509 *cert = parse(leaf.cert);
    assert_int_equal(X509_check_host(cert, "store.shop.svc", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "a.store.test", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "store", 0, 0, NULL), 0); /* the common name */
    X509_free(cert);
    weir_pem_deinit(&ca);
    weir_pem_deinit(&leaf);
}

static void no_two_certificates_share_key_or_serial(void **state) {
    struct weir_pem ca = new_ca("mesh.test"), a = issue(&ca, WEB), b = issue(&ca, WEB);
    X509 *x = parse(a.cert), *y = parse(b.cert);
    assert_string_not_equal(a.key, b.key);
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(x), X509_get0_serialNumber(y)), 0);
    X509_free(x);
    X509_free(y);
    weir_pem_deinit(&ca);
    weir_pem_deinit(&a);
    weir_pem_deinit(&b);
}

static void refuse(const struct weir_ca_request *req, const char *reason) {
    struct weir_pem pem = { NULL, NULL };
    const char *why = "";
    int r = weir_ca_issue(req, &pem, &why);
    assert_string_equal(why, reason);
    assert_int_equal(r, WEIR_CA_REFUSED);
    assert_null(pem.cert);
}

static void a_wrong_request_is_told_what_is_wrong(void **state) {
    struct weir_pem ca = new_ca("mesh.test"), other = new_ca("other.test"), web = issue(&ca, WEB);
    struct weir_ca_request req = request(&ca, "spiffe://mesh.test/a/");
    refuse(&req, "spiffe id is not one");
    req = request(&ca, "spiffe://mesh.test");
    refuse(&req, "spiffe id without a path");
    req = request(&ca, "spiffe://other.test/ns/shop/sa/web");
    refuse(&req, "spiffe id is not in the ca's trust domain");
    req = request(&ca, "spiffe://mesh.test.evil/ns/shop/sa/web");
    refuse(&req, "spiffe id is not in the ca's trust domain");
    req = request(&ca, WEB);
    req.lifetime = 0;
    refuse(&req, "lifetime is not positive");
    req = request(&ca, WEB);
    req.now = now + 2 * 86400;
    refuse(&req, "ca certificate has expired");
    req = request(&ca, WEB);
    req.ca_key = weir_slice_from_str(other.key);
    refuse(&req, "ca key does not match the ca certificate");
    req = request(&web, WEB);
    refuse(&req, "ca certificate is not a ca");
    req = request(&ca, WEB);
    req.ca_cert = WEIR_SLICE("");
    refuse(&req, "ca certificate cannot be read");
    req = request(&ca, WEB);
    req.ca_key = WEIR_SLICE("x");
    refuse(&req, "ca key cannot be read");
    static const char *const bad[] = { "a b", "", "a,URI:spiffe://mesh.test/admin", "a\nb" };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        req = request(&ca, WEB);
        req.dns_names = &bad[i];
        req.n_dns_names = 1;
        refuse(&req, "dns name is not one");
    }
    weir_pem_deinit(&ca);
    weir_pem_deinit(&other);
    weir_pem_deinit(&web);
}

static void a_trust_domain_that_is_none_gets_no_ca(void **state) {
    static const char *const domains[] = { "", "Mesh", "a/b", "a b", "a:1", "a/" };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(domains); i++) {
        struct weir_pem pem = { NULL, NULL };
        const char *why = "";
        assert_int_equal(weir_ca_new(domains[i], now, 3600, &pem, &why), WEIR_CA_REFUSED);
        assert_string_not_equal(why, "");
    }
    char longest[257];
    memset(longest, 'a', 256);
    longest[256] = '\0';
    struct weir_pem pem = { NULL, NULL };
    const char *why = "";
    assert_int_equal(weir_ca_new(longest, now, 3600, &pem, &why), WEIR_CA_REFUSED);
    longest[255] = '\0';
    assert_int_equal(weir_ca_new(longest, now, 3600, &pem, &why), 0);
    weir_pem_deinit(&pem);
}

static int issue_once(void *arg) {
    const struct weir_ca_request *req = arg;
    struct weir_pem ca = { NULL, NULL }, leaf = { NULL, NULL };
    const char *why = "";
    int r = weir_ca_new("mesh.test", now, 3600, &ca, &why);
    if (r == 0)
        r = weir_ca_issue(req, &leaf, &why);
    weir_pem_deinit(&ca);
    weir_pem_deinit(&leaf);
    return r;
}

static void running_out_of_memory_leaves_nothing_behind(void **state) {
    struct weir_pem ca = new_ca("mesh.test");
    struct weir_ca_request req = request(&ca, WEB);
    assert_true(weir_test_sweep(issue_once, &req, 0) >= 6);
    assert_true(weir_test_sweep(issue_once, &req, 1) >= 6);
    weir_pem_deinit(&ca);
}

/* --- certs/make.sh --- */

static char *slurp(const char *dir, const char *name) {
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        fail_msg("%s is missing", path);
    char *text = calloc(1, 16384);
    assert_true(fread(text, 1, 16383, f) > 0);
    fclose(f);
    return text;
}

static int make(const char *dir, const char *arguments) {
    char command[1024];
    snprintf(command, sizeof(command), "%s/certs/make.sh -o %s %s >/dev/null 2>&1",
             WEIR_SOURCE_ROOT, dir, arguments);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_script_makes_identities_that_pass_too(void **state) {
    char dir[64], path[128];
    weir_test_tmpdir(dir);
    assert_int_equal(make(dir, "-t mesh.test shop/web shop/store,store.shop.svc"), 0);
    char *ca = slurp(dir, "ca.crt");
    char *web = slurp(dir, "shop/web/tls.crt"), *web_key = slurp(dir, "shop/web/tls.key");
    char *store = slurp(dir, "shop/store/tls.crt"), *store_key = slurp(dir, "shop/store/tls.key");
    char *copy = slurp(dir, "shop/web/ca.crt");
    assert_string_equal(copy, ca);
    assert_handshake(mesh_ctx(WEIR_TLS_MESH_CLIENT, web, web_key, ca),
                     mesh_ctx(WEIR_TLS_MESH_SERVER, store, store_key, ca));
    static const char *const keys[] = { "ca.key", "shop/web/tls.key", "shop/store/tls.key" };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(keys); i++) {
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", dir, keys[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    /* Again: everything stays as it is. */
    assert_int_equal(make(dir, "-t mesh.test shop/web shop/store,store.shop.svc"), 0);
    char *again = slurp(dir, "shop/store/tls.crt"), *ca_again = slurp(dir, "ca.crt");
    assert_string_equal(again, store);
    assert_string_equal(ca_again, ca);
    char *all[] = { ca, web, web_key, store, store_key, copy, again, ca_again };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(all); i++)
        free(all[i]);
    weir_test_rmdir(dir);
}

static void the_program_can_issue_from_the_scripts_ca(void **state) {
    char dir[64];
    weir_test_tmpdir(dir);
    assert_int_equal(make(dir, "-t mesh.test shop/web"), 0);
    struct weir_pem ca = { slurp(dir, "ca.crt"), slurp(dir, "ca.key") };
    struct weir_pem store = issue(&ca, STORE);
    char *web = slurp(dir, "shop/web/tls.crt"), *web_key = slurp(dir, "shop/web/tls.key");
    assert_handshake(mesh_ctx(WEIR_TLS_MESH_CLIENT, web, web_key, ca.cert),
                     mesh_ctx(WEIR_TLS_MESH_SERVER, store.cert, store.key, ca.cert));
    free(web);
    free(web_key);
    weir_pem_deinit(&ca);
    weir_pem_deinit(&store);
    weir_test_rmdir(dir);
}

static void the_script_refuses_names_that_are_none(void **state) {
    static const char *const arguments[] = {
        "-t Mesh", "-t ''", "-d 0", "-d x", "shop", "'shop/a b'", "shop/a/b", "../x", "'a/b,c d'",
    };
    char dir[64];
    weir_test_tmpdir(dir);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(arguments); i++) {
        if (make(dir, arguments[i]) == 0)
            fail_msg("accepted: %s", arguments[i]);
    }
    weir_test_rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(issued_identities_pass_a_mutual_handshake),
        cmocka_unit_test(a_leaf_ends_with_its_ca_at_the_latest),
        cmocka_unit_test(dns_names_are_carried),
        cmocka_unit_test(no_two_certificates_share_key_or_serial),
        cmocka_unit_test(a_wrong_request_is_told_what_is_wrong),
        cmocka_unit_test(a_trust_domain_that_is_none_gets_no_ca),
        cmocka_unit_test(running_out_of_memory_leaves_nothing_behind),
        cmocka_unit_test(the_script_makes_identities_that_pass_too),
        cmocka_unit_test(the_program_can_issue_from_the_scripts_ca),
        cmocka_unit_test(the_script_refuses_names_that_are_none),
    };
    now = (int64_t)time(NULL);
    return cmocka_run_group_tests_name("tls/ca", tests, NULL, NULL);
}
