/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine against OpenSSL's own client, which can be told to do what our client never does: old
 * versions, tickets, renegotiation, key updates.
 */
#include "tls/tls.h"

#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/tickets.h"
#include "weir_mint.h"
#include "weir_tls_pair.h"

#define SITE "spiffe://mesh.test/site"
#define WEB  "spiffe://mesh.test/ns/shop/sa/web"

static struct mint ca, site, web;

struct raw {
    struct weir_chunk_pool pool;
    struct weir_bufq plain, cipher;
    struct weir_tls *server;
    int server_r;
    SSL *client;
};

static struct weir_tickets *tickets; /* of the servers that follow */

static struct weir_tls_ctx *make_server_with(enum weir_tls_mode mode, const char *bundle,
                                             const char *scope) {
    struct weir_tls_params params = {
        .mode = mode,
        .tickets = tickets,
        .ticket_lifetime_s = 3600,
        .scope = scope,
        .trust_domain = "mesh.test",
        .alpn = WEIR_SLICE("\x02h2\x08http/1.1"),
        .material = { weir_slice_from_str(site.cert_pem), weir_slice_from_str(site.key_pem),
                      WEIR_SLICE_NONE },
    };
    if (bundle != NULL)
        params.material.ca = weir_slice_from_str(bundle);
    struct weir_tls_ctx *ctx = NULL;
    const char *why = "";
    assert_int_equal(weir_tls_ctx_new(&params, &ctx, &why), 0);
    return ctx;
}

static struct weir_tls_ctx *make_server(enum weir_tls_mode mode, bool with_ca) {
    return make_server_with(mode, with_ca ? ca.cert_pem : NULL, "x");
}

static SSL_CTX *make_client(int min, int max) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(ctx, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, min), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, max), 1);
    assert_int_equal(SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2", 3), 0);
    SSL_CTX_use_certificate(ctx, web.cert);
    SSL_CTX_use_PrivateKey(ctx, web.key);
    return ctx;
}

static void raw_init(struct raw *t, SSL_CTX *client, struct weir_tls_ctx *server) {
    memset(t, 0, sizeof(*t));
    weir_chunk_pool_init(&t->pool, 8);
    weir_bufq_init(&t->plain, &t->pool, 0);
    weir_bufq_init(&t->cipher, &t->pool, 0);
    assert_int_equal(weir_tls_new(server, NULL, NULL, &t->server), 0);
    t->client = SSL_new(client);
    SSL_set_bio(t->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_tlsext_host_name(t->client, "www.test");
    SSL_set_connect_state(t->client);
}

static void raw_deinit(struct raw *t) {
    /* Without it OpenSSL takes the end for a failure and spoils the session for resumption. */
    SSL_set_shutdown(t->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->client);
    weir_tls_free(t->server);
    weir_bufq_deinit(&t->plain);
    weir_bufq_deinit(&t->cipher);
    weir_chunk_pool_deinit(&t->pool);
    ERR_clear_error();
}

/* Moves bytes until nothing moves; the client reads what it can into got. */
static void raw_pump(struct raw *t, char *got, size_t size) {
    bool moved = true;
    size_t used = 0;
    while (moved) {
        char bytes[4096];
        size_t n = 0;
        moved = false;
        if (!SSL_is_init_finished(t->client))
            SSL_do_handshake(t->client);
        else
            SSL_read_ex(t->client, bytes, sizeof(bytes), &n);
        for (size_t i = 0; i < n && used + 1 < size; i++)
            got[used++] = bytes[i];
        moved = n > 0;
        ERR_clear_error();
        int len;
        while ((len = BIO_read(SSL_get_wbio(t->client), bytes, sizeof(bytes))) > 0) {
            int r = weir_tls_feed(t->server, weir_slice_make(bytes, (size_t)len), &t->plain,
                                  &t->cipher);
            t->server_r = t->server_r != 0 ? t->server_r : r;
            moved = true;
        }
        struct iovec iov;
        while (weir_bufq_peek(&t->cipher, &iov, 1) == 1) {
            BIO_write(SSL_get_rbio(t->client), iov.iov_base, (int)iov.iov_len);
            weir_bufq_consume(&t->cipher, iov.iov_len);
            moved = true;
        }
    }
    if (size > 0)
        got[used] = '\0';
}

static void server_says(struct raw *t, const char *text) {
    struct weir_bufq q;
    weir_bufq_init(&q, &t->pool, 0);
    assert_int_equal(weir_bufq_append(&q, weir_slice_from_str(text)), 0);
    assert_int_equal(weir_tls_write(t->server, &q, &t->cipher), 0);
    weir_bufq_deinit(&q);
}

static void assert_talks(struct raw *t) {
    char got[64];
    weir_bufq_clear(&t->plain);
    assert_int_equal(SSL_write(t->client, "ping", 4), 4);
    server_says(t, "pong");
    raw_pump(t, got, sizeof(got));
    weir_assert_bufq(&t->plain, "ping");
    assert_string_equal(got, "pong");
}

/* The version, or NULL and the server's reason. */
static const char *try_version(enum weir_tls_mode mode, int version, char reason[64]) {
    struct raw t;
    struct weir_tls_ctx *server = make_server(mode, mode == WEIR_TLS_MESH_SERVER);
    SSL_CTX *client = make_client(version, version);
    raw_init(&t, client, server);
    raw_pump(&t, NULL, 0);
    const char *got = NULL;
    if (weir_tls_established(t.server)) {
        got = SSL_get_version(t.client);
        assert_talks(&t);
    }
    snprintf(reason, 64, "%s", weir_tls_fault_reason(t.server));
    raw_deinit(&t);
    SSL_CTX_free(client);
    weir_tls_ctx_unref(server);
    return got;
}

static void ordinary_servers_speak_1_2_and_1_3(void **state) {
    char reason[64];
    assert_string_equal(try_version(WEIR_TLS_SERVER, TLS1_2_VERSION, reason), "TLSv1.2");
    assert_string_equal(try_version(WEIR_TLS_SERVER, TLS1_3_VERSION, reason), "TLSv1.3");
    assert_null(try_version(WEIR_TLS_SERVER, TLS1_1_VERSION, reason));
    assert_string_equal(reason, "protocol version");
}

static void mesh_servers_speak_1_3_only(void **state) {
    char reason[64];
    assert_string_equal(try_version(WEIR_TLS_MESH_SERVER, TLS1_3_VERSION, reason), "TLSv1.3");
    assert_null(try_version(WEIR_TLS_MESH_SERVER, TLS1_2_VERSION, reason));
    assert_string_equal(reason, "protocol version");
}

static void ciphers_of_1_2_without_aead_or_forward_secrecy_are_refused(void **state) {
    static const char *const lists[] = { "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA",
                                         "AES128-GCM-SHA256" };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(lists); i++) {
        struct raw t;
        struct weir_tls_ctx *server = make_server(WEIR_TLS_SERVER, false);
        SSL_CTX *client = make_client(TLS1_2_VERSION, TLS1_2_VERSION);
        assert_int_equal(SSL_CTX_set_cipher_list(client, lists[i]), 1);
        raw_init(&t, client, server);
        raw_pump(&t, NULL, 0);
        assert_false(weir_tls_established(t.server));
        assert_string_equal(weir_tls_fault_reason(t.server), "no shared cipher");
        raw_deinit(&t);
        SSL_CTX_free(client);
        weir_tls_ctx_unref(server);
    }
}

static SSL_SESSION *last_session;

static int on_session(SSL *ssl, SSL_SESSION *session) {
    SSL_SESSION_free(last_session);
    last_session = session;
    return 1;
}

/* Connects twice, the second time offering what the first gave; true when it was taken. */
static bool resumes(struct weir_tls_ctx *server, int version) {
    SSL_CTX *client = make_client(version, version);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, on_session);
    bool reused = false;
    for (int i = 0; i < 2; i++) {
        struct raw t;
        raw_init(&t, client, server);
        if (last_session != NULL)
            SSL_set_session(t.client, last_session);
        raw_pump(&t, NULL, 0);
        if (!weir_tls_established(t.server))
            fail_msg("%s", weir_tls_fault_reason(t.server));
        assert_talks(&t);
        reused = SSL_session_reused(t.client) == 1;
        /* A resumed connection answers all the same questions. */
        assert_string_equal(weir_tls_sni(t.server), "www.test");
        weir_assert_slice(weir_tls_alpn(t.server), "h2");
        raw_deinit(&t);
    }
    SSL_SESSION_free(last_session);
    last_session = NULL;
    SSL_CTX_free(client);
    return reused;
}

static int tickets_setup(void **state) {
    return weir_tickets_new(&tickets);
}

static int tickets_teardown(void **state) {
    tickets = weir_tickets_unref(tickets);
    return 0;
}

static void servers_resume_by_ticket(void **state) {
    struct weir_tls_ctx *server = make_server(WEIR_TLS_SERVER, false);
    assert_true(resumes(server, TLS1_3_VERSION));
    assert_true(resumes(server, TLS1_2_VERSION));
    weir_tls_ctx_unref(server);
    server = make_server(WEIR_TLS_SERVER, true);
    assert_true(resumes(server, TLS1_3_VERSION));
    assert_true(resumes(server, TLS1_2_VERSION));
    weir_tls_ctx_unref(server);
    server = make_server(WEIR_TLS_MESH_SERVER, true);
    assert_true(resumes(server, TLS1_3_VERSION));
    weir_tls_ctx_unref(server);
}

static void without_keys_nothing_resumes(void **state) {
    struct weir_tickets *kept = tickets;
    tickets = NULL;
    for (int with_ca = 0; with_ca < 2; with_ca++) {
        struct weir_tls_ctx *server = make_server(WEIR_TLS_SERVER, with_ca);
        assert_false(resumes(server, TLS1_3_VERSION));
        assert_false(resumes(server, TLS1_2_VERSION));
        weir_tls_ctx_unref(server);
    }
    tickets = kept;
}

/* One connection to each, the second with what the first one gave; is it taken? The peer is who it was. */
static bool carries_over(struct weir_tls_ctx *from, struct weir_tls_ctx *to, int version,
                         const char *peer) {
    SSL_CTX *client = make_client(version, version);
    bool reused;
    struct raw t;
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, on_session);
    raw_init(&t, client, from);
    raw_pump(&t, NULL, 0);
    assert_true(weir_tls_established(t.server));
    assert_talks(&t);
    raw_deinit(&t);
    assert_non_null(last_session);
    raw_init(&t, client, to);
    SSL_set_session(t.client, last_session);
    raw_pump(&t, NULL, 0);
    reused = SSL_session_reused(t.client) == 1;
    assert_int_equal(weir_tls_resumed(t.server), reused);
    if (peer != NULL && weir_tls_established(t.server)) {
        assert_string_equal(weir_tls_peer(t.server)->uri, peer);
        assert_int_equal(strlen(weir_tls_peer_hash(t.server)), 64);
    }
    raw_deinit(&t);
    SSL_SESSION_free(last_session);
    last_session = NULL;
    SSL_CTX_free(client);
    return reused;
}

static void the_ctx_of_a_reload_takes_the_tickets_of_the_one_before(void **state) {
    struct weir_tls_ctx *one = make_server(WEIR_TLS_MESH_SERVER, true);
    struct weir_tls_ctx *two = make_server(WEIR_TLS_MESH_SERVER, true);
    assert_true(carries_over(one, two, TLS1_3_VERSION, WEB));
    weir_tls_ctx_unref(one);
    weir_tls_ctx_unref(two);
}

static void a_ticket_is_bound_to_listener_mode_and_bundle(void **state) {
    struct mint other = mint_ca("other");
    char both[8192];
    snprintf(both, sizeof(both), "%s%s", ca.cert_pem, other.cert_pem);
    struct weir_tls_ctx *from = make_server_with(WEIR_TLS_SERVER, ca.cert_pem, "x");
    struct weir_tls_ctx *to[] = {
        make_server_with(WEIR_TLS_SERVER, ca.cert_pem, "y"),
        make_server_with(WEIR_TLS_MESH_SERVER, ca.cert_pem, "x"),
        make_server_with(WEIR_TLS_SERVER, both, "x"),
        make_server_with(WEIR_TLS_SERVER, NULL, "x"),
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(to); i++) {
        if (carries_over(from, to[i], TLS1_3_VERSION, NULL))
            fail_msg("row %zu", i);
        weir_tls_ctx_unref(to[i]);
    }
    weir_tls_ctx_unref(from);
    mint_free(&other);
}

static void a_key_opens_for_one_more_period(void **state) {
    struct weir_tls_ctx *server = make_server(WEIR_TLS_SERVER, false);
    SSL_CTX *client = make_client(TLS1_3_VERSION, TLS1_3_VERSION);
    SSL_SESSION *first = NULL;
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, on_session);
    for (int i = 0; i < 3; i++) {
        struct raw t;
        raw_init(&t, client, server);
        if (first != NULL)
            SSL_set_session(t.client, first);
        raw_pump(&t, NULL, 0);
        assert_int_equal(SSL_session_reused(t.client), i == 1);
        if (first == NULL) {
            first = last_session;
            last_session = NULL;
        }
        raw_deinit(&t);
        assert_int_equal(weir_tickets_rotate(tickets), 0);
    }
    SSL_SESSION_free(first);
    SSL_SESSION_free(last_session);
    last_session = NULL;
    SSL_CTX_free(client);
    weir_tls_ctx_unref(server);
}

/* The certificate in the ticket must hold now, not when the ticket was made. */
static void a_certificate_that_has_ended_is_no_proof_again(void **state) {
    struct mint kept = web;
    static const enum weir_tls_mode modes[] = { WEIR_TLS_SERVER, WEIR_TLS_MESH_SERVER };
    struct weir_tls_ctx *servers[2];
    SSL_SESSION *sessions[2];
    web = mint_new(&(struct mint_spec){ .uris = { WEB }, .begins = -60, .ends = 6 }, &ca);
    SSL_CTX *client = make_client(TLS1_3_VERSION, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, on_session);
    struct raw t;
    for (int i = 0; i < 2; i++) {
        servers[i] = make_server(modes[i], true);
        raw_init(&t, client, servers[i]);
        raw_pump(&t, NULL, 0);
        assert_true(weir_tls_established(t.server));
        sessions[i] = last_session;
        last_session = NULL;
        raw_deinit(&t);
    }
    while (X509_cmp_current_time(X509_get0_notAfter(web.cert)) > 0)
        sleep(1);
    for (int i = 0; i < 2; i++) {
        raw_init(&t, client, servers[i]);
        SSL_set_session(t.client, sessions[i]);
        raw_pump(&t, NULL, 0);
        assert_false(weir_tls_established(t.server));
        assert_string_equal(weir_tls_fault_reason(t.server), "certificate expired");
        raw_deinit(&t);
        SSL_SESSION_free(sessions[i]);
        weir_tls_ctx_unref(servers[i]);
    }
    SSL_CTX_free(client);
    mint_free(&web);
    web = kept;
}

/* RFC 9149 */
static void a_mesh_client_is_given_no_ticket(void **state) {
    struct weir_tls_params params = {
        .mode = WEIR_TLS_MESH_CLIENT,
        .trust_domain = "mesh.test",
        .alpn = WEIR_SLICE("\x02h2"),
        .material = { weir_slice_from_str(web.cert_pem), weir_slice_from_str(web.key_pem),
                      weir_slice_from_str(ca.cert_pem) },
    };
    struct weir_tls_ctx *client = NULL, *server = make_server(WEIR_TLS_MESH_SERVER, true);
    const char *why = "";
    struct tls_pair p;
    size_t n;
    assert_int_equal(weir_tls_ctx_new(&params, &client, &why), 0);
    assert_int_equal(tls_pair_init(&p, client, server, NULL, SITE), 0);
    tls_pair_feed(p.server, &p.to_server, &p.server_plain, &p.to_client, 0, &p.server_r);
    tls_pair_feed(p.client, &p.to_client, &p.client_plain, &p.to_server, 0, &p.client_r);
    tls_pair_feed(p.server, &p.to_server, &p.server_plain, &p.to_client, 0, &p.server_r);
    assert_true(weir_tls_established(p.server));
    n = p.to_client.len; /* nothing behind its Finished */
    assert_int_equal(n, 0);
    tls_pair_deinit(&p);
    weir_tls_ctx_unref(client);
    weir_tls_ctx_unref(server);
}

static void no_early_data_is_offered(void **state) {
    struct weir_tls_ctx *server = make_server(WEIR_TLS_SERVER, false);
    SSL_CTX *client = make_client(TLS1_3_VERSION, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, on_session);
    struct raw t;
    raw_init(&t, client, server);
    raw_pump(&t, NULL, 0);
    assert_non_null(last_session);
    assert_int_equal(SSL_SESSION_get_max_early_data(last_session), 0);
    raw_deinit(&t);
    SSL_SESSION_free(last_session);
    last_session = NULL;
    SSL_CTX_free(client);
    weir_tls_ctx_unref(server);
}

static void renegotiation_is_refused(void **state) {
    struct raw t;
    struct weir_tls_ctx *server = make_server(WEIR_TLS_SERVER, false);
    SSL_CTX *client = make_client(TLS1_2_VERSION, TLS1_2_VERSION);
    raw_init(&t, client, server);
    raw_pump(&t, NULL, 0);
    assert_talks(&t);
    assert_int_equal(SSL_renegotiate(t.client), 1);
    SSL_do_handshake(t.client);
    ERR_clear_error();
    raw_pump(&t, NULL, 0);
    /* The server says no_renegotiation, which OpenSSL's client takes for the end. */
    assert_int_equal(t.server_r, WEIR_TLS_FAULT);
    assert_string_equal(weir_tls_fault_reason(t.server), "alert: handshake failure");
    raw_deinit(&t);
    SSL_CTX_free(client);
    weir_tls_ctx_unref(server);
}

static void key_updates_are_answered(void **state) {
    struct raw t;
    struct weir_tls_ctx *server = make_server(WEIR_TLS_SERVER, false);
    SSL_CTX *client = make_client(TLS1_3_VERSION, TLS1_3_VERSION);
    raw_init(&t, client, server);
    raw_pump(&t, NULL, 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(SSL_key_update(t.client, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_talks(&t);
    }
    assert_int_equal(t.server_r, 0);
    raw_deinit(&t);
    SSL_CTX_free(client);
    weir_tls_ctx_unref(server);
}

static void a_flood_of_key_updates_ends_the_connection(void **state) {
    struct raw t;
    struct weir_tls_ctx *server = make_server(WEIR_TLS_SERVER, false);
    SSL_CTX *client = make_client(TLS1_3_VERSION, TLS1_3_VERSION);
    raw_init(&t, client, server);
    raw_pump(&t, NULL, 0);
    int sent = 0;
    while (t.server_r == 0 && sent < 1000) {
        assert_int_equal(SSL_key_update(t.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        SSL_do_handshake(t.client);
        raw_pump(&t, NULL, 0);
        sent++;
    }
    assert_int_equal(sent, 33);
    assert_int_equal(t.server_r, WEIR_TLS_FAULT);
    assert_string_equal(weir_tls_fault_reason(t.server), "too many handshake messages");
    assert_int_equal(weir_tls_fault(t.server).kind, WEIR_FAULT_TLS);
    raw_deinit(&t);
    SSL_CTX_free(client);
    weir_tls_ctx_unref(server);
}

static void key_updates_among_much_data_are_no_flood(void **state) {
    struct raw t;
    struct weir_tls_ctx *server = make_server(WEIR_TLS_SERVER, false);
    SSL_CTX *client = make_client(TLS1_3_VERSION, TLS1_3_VERSION);
    char block[16384] = { 0 };
    raw_init(&t, client, server);
    raw_pump(&t, NULL, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(SSL_key_update(t.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_write(t.client, block, sizeof(block)), sizeof(block));
        raw_pump(&t, NULL, 0);
        weir_bufq_clear(&t.plain);
    }
    assert_int_equal(t.server_r, 0);
    raw_deinit(&t);
    SSL_CTX_free(client);
    weir_tls_ctx_unref(server);
}

static void messages_after_our_close_notify_are_passed_over(void **state) {
    struct raw t;
    struct weir_tls_ctx *server = make_server(WEIR_TLS_SERVER, false);
    SSL_CTX *client = make_client(TLS1_3_VERSION, TLS1_3_VERSION);
    raw_init(&t, client, server);
    raw_pump(&t, NULL, 0);
    weir_tls_shutdown(t.server, &t.cipher);
    assert_int_equal(SSL_key_update(t.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    assert_int_equal(SSL_write(t.client, "late", 4), 4);
    raw_pump(&t, NULL, 0);
    assert_true(t.server_r == 0 || t.server_r == WEIR_TLS_FAULT);
    raw_deinit(&t);
    SSL_CTX_free(client);
    weir_tls_ctx_unref(server);
}

static int set_up(void **state) {
    ca = mint_ca("mesh root");
    site = mint_new(
        &(struct mint_spec){ .uris = { "spiffe://mesh.test/site" }, .dns = { "www.test" } }, &ca);
    web = mint_svid("spiffe://mesh.test/ns/shop/sa/web", &ca);
    return 0;
}

static int tear_down(void **state) {
    mint_free(&ca);
    mint_free(&site);
    mint_free(&web);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_servers_speak_1_2_and_1_3),
        cmocka_unit_test(mesh_servers_speak_1_3_only),
        cmocka_unit_test(ciphers_of_1_2_without_aead_or_forward_secrecy_are_refused),
        cmocka_unit_test_setup_teardown(servers_resume_by_ticket, tickets_setup, tickets_teardown),
        cmocka_unit_test_setup_teardown(without_keys_nothing_resumes, tickets_setup,
                                        tickets_teardown),
        cmocka_unit_test_setup_teardown(the_ctx_of_a_reload_takes_the_tickets_of_the_one_before,
                                        tickets_setup, tickets_teardown),
        cmocka_unit_test_setup_teardown(a_ticket_is_bound_to_listener_mode_and_bundle,
                                        tickets_setup, tickets_teardown),
        cmocka_unit_test_setup_teardown(a_key_opens_for_one_more_period, tickets_setup,
                                        tickets_teardown),
        cmocka_unit_test_setup_teardown(a_certificate_that_has_ended_is_no_proof_again,
                                        tickets_setup, tickets_teardown),
        cmocka_unit_test_setup_teardown(a_mesh_client_is_given_no_ticket, tickets_setup,
                                        tickets_teardown),
        cmocka_unit_test_setup_teardown(no_early_data_is_offered, tickets_setup, tickets_teardown),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(key_updates_are_answered),
        cmocka_unit_test(a_flood_of_key_updates_ends_the_connection),
        cmocka_unit_test(key_updates_among_much_data_are_no_flood),
        cmocka_unit_test(messages_after_our_close_notify_are_passed_over),
    };
    return cmocka_run_group_tests_name("tls/protocol", tests, set_up, tear_down);
}
