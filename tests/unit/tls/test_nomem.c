/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running out of memory anywhere, our allocations first and then every one of OpenSSL as well: the
 * answer is -ENOMEM or a fault, never a crash, a hang or a peer taken for verified.
 */
#include "tls/tls.h"

#include <openssl/crypto.h>

#include "weir_mint.h"
#include "weir_tls_pair.h"

#define WEB   "spiffe://mesh.test/ns/shop/sa/web"
#define STORE "spiffe://mesh.test/ns/shop/sa/store"

static struct mint ca, web, store;
static bool openssl_too;

static void *openssl_malloc(size_t n, const char *file, int line) {
    return openssl_too ? weir_malloc(n) : malloc(n);
}

static void *openssl_realloc(void *p, size_t n, const char *file, int line) {
    return openssl_too ? weir_reallocarray(p, 1, n) : realloc(p, n);
}

static void openssl_free(void *p, const char *file, int line) {
    free(p);
}

static int make(enum weir_tls_mode mode, const struct mint *own, struct weir_tls_ctx **ret_ctx) {
    struct weir_tls_params params = {
        .mode = mode,
        .trust_domain = "mesh.test",
        .alpn = WEIR_SLICE("\x07weir-h2"),
        .material = { weir_slice_from_str(own->cert_pem), weir_slice_from_str(own->key_pem),
                      weir_slice_from_str(ca.cert_pem) },
    };
    const char *why = "";
    return weir_tls_ctx_new(&params, ret_ctx, &why);
}

struct contexts {
    struct weir_tls_ctx *client, *server;
};

static int make_once(void *arg) {
    struct weir_tls_ctx *ctx = NULL;
    int r = make(WEIR_TLS_MESH_SERVER, &store, &ctx);
    weir_tls_ctx_unref(ctx);
    return r;
}

/* Everything a connection does. Sets *ret_done when it got to its end. */
static int talk(struct contexts *c, const char *expect, bool *ret_done) {
    struct tls_pair p;
    int r = tls_pair_init(&p, c->client, c->server, "store.test", expect);
    if (r == 0)
        r = tls_pair_pump(&p);
    if (r == 0 && weir_tls_established(p.client) && weir_tls_established(p.server)) {
        *ret_done = true;
        r = tls_pair_send(&p, true, WEIR_SLICE("question"));
        if (r == 0)
            r = tls_pair_pump(&p);
        if (r == 0) {
            weir_tls_peer_hash(p.server);
            weir_tls_shutdown(p.client, &p.to_server);
            r = tls_pair_pump(&p);
        }
    }
    tls_pair_deinit(&p);
    return r;
}

static int talk_once(void *arg) {
    bool done = false;
    int r = talk(arg, STORE, &done);
    return r == 0 && !done ? -ENOMEM : r;
}

static void our_own_allocations(void **state) {
    struct contexts c = { NULL, NULL };
    assert_true(weir_test_sweep(make_once, NULL, 0) > 2);
    assert_int_equal(make(WEIR_TLS_MESH_CLIENT, &web, &c.client), 0);
    assert_int_equal(make(WEIR_TLS_MESH_SERVER, &store, &c.server), 0);
    assert_true(weir_test_sweep(talk_once, &c, 0) > 4);
    assert_true(weir_test_sweep(talk_once, &c, 1) > 4);
    weir_tls_ctx_unref(c.client);
    weir_tls_ctx_unref(c.server);
}

static void openssls_allocations_too(void **state) {
    struct contexts c = { NULL, NULL };
    assert_int_equal(make(WEIR_TLS_MESH_CLIENT, &web, &c.client), 0);
    assert_int_equal(make(WEIR_TLS_MESH_SERVER, &store, &c.server), 0);
    bool done = false;
    assert_int_equal(talk(&c, STORE, &done), 0); /* what is made once is made now */
    openssl_too = true;
    unsigned refused = 0;
    bool met = true;
    for (unsigned long n = 1; met; n += n < 200 ? 1 : 13) {
        done = false;
        weir_mem_fail_at(n, 0);
        int r = talk(&c, STORE, &done);
        met = weir_mem_failed();
        weir_mem_fail_at(0, 0);
        refused += r != 0 || !done;
        if (r < 0)
            assert_int_equal(r, -ENOMEM);
    }
    assert_true(refused > 50);
    /* A peer that must be refused is refused whatever fails. */
    met = true;
    for (unsigned long n = 1; met; n += 29) {
        done = false;
        weir_mem_fail_at(n, 0);
        talk(&c, WEB, &done);
        met = weir_mem_failed();
        weir_mem_fail_at(0, 0);
        assert_false(done);
    }
    openssl_too = false;
    weir_tls_ctx_unref(c.client);
    weir_tls_ctx_unref(c.server);
}

static int set_up(void **state) {
    ca = mint_ca("mesh root");
    web = mint_svid(WEB, &ca);
    store = mint_svid(STORE, &ca);
    return 0;
}

static int tear_down(void **state) {
    mint_free(&ca);
    mint_free(&web);
    mint_free(&store);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_allocations),
        cmocka_unit_test(openssls_allocations_too),
    };
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
        return 1;
    return cmocka_run_group_tests_name("tls/nomem", tests, set_up, tear_down);
}
