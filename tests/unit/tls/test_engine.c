/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls.h"

#include "weir_mint.h"
#include "weir_tls_pair.h"

#define WEB   "spiffe://mesh.test/ns/shop/sa/web"
#define STORE "spiffe://mesh.test/ns/shop/sa/store"

#define MESH_ALPN WEIR_SLICE("\x07weir-h2\x08weir-tcp")

static struct mint ca, other_ca, web, store, site;

static struct weir_tls_ctx *make_ctx(enum weir_tls_mode mode, const struct mint *own,
                                     const struct mint *trust, struct weir_slice alpn) {
    struct weir_tls_params params = { .mode = mode, .trust_domain = "mesh.test", .alpn = alpn };
    if (own != NULL) {
        params.material.cert_chain = weir_slice_from_str(own->cert_pem);
        params.material.key = weir_slice_from_str(own->key_pem);
    }
    if (trust != NULL)
        params.material.ca = weir_slice_from_str(trust->cert_pem);
    struct weir_tls_ctx *ctx = NULL;
    const char *why = "";
    int r = weir_tls_ctx_new(&params, &ctx, &why);
    if (r != 0)
        fail_msg("ctx: %d %s", r, why);
    return ctx;
}

static void open_pair(struct tls_pair *p, struct weir_tls_ctx *client, struct weir_tls_ctx *server,
                      const char *sni, const char *expect, size_t step) {
    assert_int_equal(tls_pair_init(p, client, server, sni, expect), 0);
    weir_tls_ctx_unref(client);
    weir_tls_ctx_unref(server);
    p->step = step;
    assert_int_equal(tls_pair_pump(p), 0);
}

static void open_mesh(struct tls_pair *p, size_t step) {
    open_pair(p, make_ctx(WEIR_TLS_MESH_CLIENT, &web, &ca, MESH_ALPN),
              make_ctx(WEIR_TLS_MESH_SERVER, &store, &ca, MESH_ALPN), NULL, STORE, step);
}

static void open_plain_tls(struct tls_pair *p) {
    open_pair(p, make_ctx(WEIR_TLS_CLIENT, NULL, &ca, WEIR_SLICE_NONE),
              make_ctx(WEIR_TLS_SERVER, &site, NULL, WEIR_SLICE_NONE), "www.test", NULL, 0);
}

static void assert_open(const struct tls_pair *p) {
    if (!weir_tls_established(p->client) || !weir_tls_established(p->server) || p->client_r != 0 ||
        p->server_r != 0)
        fail_msg("client: %s; server: %s", weir_tls_fault_reason(p->client),
                 weir_tls_fault_reason(p->server));
}

static void assert_fault(const struct weir_tls *tls, int side, int kind, const char *reason) {
    assert_string_equal(weir_tls_fault_reason(tls), reason);
    assert_int_equal(weir_tls_fault(tls).kind, kind);
    assert_int_equal(weir_tls_fault(tls).side, side);
}

/* Both ends of a mesh handshake; `own` is the client's certificate, `trust` what the client trusts.
 */
static void try_mesh(struct tls_pair *p, const struct mint *own, const struct mint *trust,
                     const char *expect) {
    open_pair(p, make_ctx(WEIR_TLS_MESH_CLIENT, own, trust, MESH_ALPN),
              make_ctx(WEIR_TLS_MESH_SERVER, &store, &ca, MESH_ALPN), NULL, expect, 0);
}

/* --- mesh --- */

static void mesh_peers_learn_each_others_identity(void **state) {
    struct tls_pair p;
    open_mesh(&p, 0);
    assert_open(&p);
    assert_string_equal(weir_tls_peer(p.client)->uri, STORE);
    assert_string_equal(weir_tls_peer(p.server)->uri, WEB);
    assert_string_equal(weir_tls_peer(p.server)->ns, "shop");
    assert_string_equal(weir_tls_peer(p.server)->account, "web");
    weir_assert_slice(weir_tls_alpn(p.client), "weir-h2");
    weir_assert_slice(weir_tls_alpn(p.server), "weir-h2");
    assert_string_equal(weir_tls_sni(p.server), "");
    tls_pair_deinit(&p);
}

static void the_peer_hash_is_sha256_of_the_certificate(void **state) {
    struct tls_pair p;
    unsigned char digest[32];
    char hex[65];
    open_mesh(&p, 0);
    assert_int_equal(X509_digest(web.cert, EVP_sha256(), digest, NULL), 1);
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(weir_tls_peer_hash(p.server), hex);
    assert_ptr_equal(weir_tls_peer_hash(p.server), weir_tls_peer_hash(p.server));
    tls_pair_deinit(&p);
}

static void text_goes_both_ways(void **state) {
    struct tls_pair p;
    open_mesh(&p, 0);
    assert_int_equal(tls_pair_send(&p, true, WEIR_SLICE("question")), 0);
    assert_int_equal(tls_pair_pump(&p), 0);
    weir_assert_bufq(&p.server_plain, "question");
    assert_int_equal(tls_pair_send(&p, false, WEIR_SLICE("answer")), 0);
    assert_int_equal(tls_pair_pump(&p), 0);
    weir_assert_bufq(&p.client_plain, "answer");
    tls_pair_deinit(&p);
}

static void everything_works_one_byte_at_a_time(void **state) {
    struct tls_pair p;
    open_mesh(&p, 1);
    assert_open(&p);
    assert_int_equal(tls_pair_send(&p, true, WEIR_SLICE("question")), 0);
    assert_int_equal(tls_pair_send(&p, false, WEIR_SLICE("answer")), 0);
    weir_tls_shutdown(p.client, &p.to_server);
    assert_int_equal(tls_pair_pump(&p), 0);
    weir_assert_bufq(&p.server_plain, "question");
    weir_assert_bufq(&p.client_plain, "answer");
    assert_int_equal(p.server_r, WEIR_TLS_EOF);
    /* Small messages share chunks, however they arrive. */
    assert_true(p.server_plain.count <= 2);
    tls_pair_deinit(&p);
}

static void wrong_expected_identity_is_a_mismatch(void **state) {
    struct tls_pair p;
    try_mesh(&p, &web, &ca, "spiffe://mesh.test/ns/shop/sa/other");
    assert_int_equal(p.client_r, WEIR_TLS_FAULT);
    assert_fault(p.client, WEIR_SIDE_UPSTREAM, WEIR_FAULT_IDENTITY,
                 "identity mismatch: expected spiffe://mesh.test/ns/shop/sa/other, got " STORE);
    assert_null(weir_tls_peer(p.client));
    /* The server hears why in the alert. */
    assert_int_equal(p.server_r, WEIR_TLS_FAULT);
    assert_fault(p.server, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "alert: bad certificate");
    tls_pair_deinit(&p);
}

static void no_expectation_accepts_any_id_of_the_trust_domain(void **state) {
    struct tls_pair p;
    try_mesh(&p, &web, &ca, NULL);
    assert_open(&p);
    tls_pair_deinit(&p);
}

static void the_clients_unknown_ca_is_refused_by_the_server(void **state) {
    struct tls_pair p;
    struct mint stranger = mint_svid(WEB, &other_ca);
    try_mesh(&p, &stranger, &ca, STORE);
    assert_fault(p.server, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "unknown ca");
    assert_fault(p.client, WEIR_SIDE_UPSTREAM, WEIR_FAULT_TLS, "alert: unknown ca");
    assert_null(weir_tls_peer(p.server));
    tls_pair_deinit(&p);
    mint_free(&stranger);
}

static void the_servers_unknown_ca_is_refused_by_the_client(void **state) {
    struct tls_pair p;
    try_mesh(&p, &web, &other_ca, STORE);
    assert_fault(p.client, WEIR_SIDE_UPSTREAM, WEIR_FAULT_TLS, "unknown ca");
    tls_pair_deinit(&p);
}

static void an_expired_certificate_loads_but_convinces_nobody(void **state) {
    struct tls_pair p;
    struct mint old =
        mint_new(&(struct mint_spec){ .uris = { WEB }, .begins = -7200, .ends = -3600 }, &ca);
    try_mesh(&p, &old, &ca, STORE);
    assert_fault(p.server, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "certificate expired");
    assert_fault(p.client, WEIR_SIDE_UPSTREAM, WEIR_FAULT_TLS, "alert: certificate expired");
    tls_pair_deinit(&p);
    mint_free(&old);
}

static void a_certificate_of_tomorrow_is_refused(void **state) {
    struct tls_pair p;
    struct mint early =
        mint_new(&(struct mint_spec){ .uris = { WEB }, .begins = 3600, .ends = 7200 }, &ca);
    try_mesh(&p, &early, &ca, STORE);
    assert_fault(p.server, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "certificate not yet valid");
    tls_pair_deinit(&p);
    mint_free(&early);
}

/*
 * A client that would not be let make a mesh context with such a certificate: an ordinary one,
 * whose material is not looked at. The mesh server must refuse it by itself.
 */
static void refuse_client(const struct mint_spec *spec, const struct mint *issuer, int kind,
                          const char *reason) {
    struct tls_pair p;
    struct mint leaf = mint_new(spec, issuer);
    struct weir_tls_params params = {
        .mode = WEIR_TLS_CLIENT,
        .alpn = MESH_ALPN,
        .material = { weir_slice_from_str(leaf.cert_pem), weir_slice_from_str(leaf.key_pem),
                      weir_slice_from_str(ca.cert_pem) },
    };
    struct weir_tls_ctx *client = NULL;
    const char *why = "";
    assert_int_equal(weir_tls_ctx_new(&params, &client, &why), 0);
    open_pair(&p, client, make_ctx(WEIR_TLS_MESH_SERVER, &site, &ca, MESH_ALPN), "www.test", NULL,
              0);
    assert_int_equal(p.server_r, WEIR_TLS_FAULT);
    assert_fault(p.server, WEIR_SIDE_DOWNSTREAM, kind, reason);
    assert_false(weir_tls_established(p.server));
    assert_null(weir_tls_peer(p.server));
    assert_string_equal(weir_tls_peer_hash(p.server), "");
    tls_pair_deinit(&p);
    mint_free(&leaf);
}

static void every_broken_svid_rule_ends_the_handshake(void **state) {
    static const struct {
        struct mint_spec spec;
        const char *reason;
    } cases[] = {
        { { .cn = WEB }, "svid: no uri" },
        { { .cn = WEB, .dns = { "mesh.test" } }, "svid: no uri" },
        { { .uris = { WEB, STORE } }, "svid: more than one uri" },
        { { .uris = { WEB, WEB } }, "svid: more than one uri" },
        { { .uris = { WEB, "https://mesh.test/" } }, "svid: more than one uri" },
        { { .uris = { "https://mesh.test/ns/shop/sa/web" } }, "svid: uri is not a spiffe id" },
        { { .uris = { WEB "/" } }, "svid: uri is not a spiffe id" },
        { { .uris = { WEB "X.evil.test" }, .nul_at = sizeof(WEB) - 1 },
          "svid: uri is not a spiffe id" },
        { { .uris = { "spiffe://other.test/ns/shop/sa/web" } }, "trust domain mismatch" },
        { { .uris = { "spiffe://mesh.test.evil/ns/shop/sa/web" } }, "trust domain mismatch" },
        { { .uris = { "spiffe://mesh.tes/ns/shop/sa/web" } }, "trust domain mismatch" },
        { { .uris = { "spiffe://mesh.test" } }, "svid: spiffe id without a path" },
        { { .uris = { WEB }, .is_ca = true, .key_usage = "critical,digitalSignature" },
          "svid: leaf is a ca" },
        { { .uris = { WEB }, .key_usage = "" }, "svid: no key usage" },
        { { .uris = { WEB }, .key_usage = "digitalSignature" }, "svid: key usage is not critical" },
        { { .uris = { WEB }, .key_usage = "critical,keyAgreement" },
          "svid: key usage lacks digital signature" },
        { { .uris = { WEB }, .key_usage = "critical,keyEncipherment" },
          "svid: key usage lacks digital signature" },
        { { .uris = { WEB }, .key_usage = "critical,digitalSignature,keyCertSign" },
          "svid: key usage allows signing certificates" },
        { { .uris = { WEB }, .key_usage = "critical,digitalSignature,cRLSign" },
          "svid: key usage allows signing certificates" },
        { { .uris = { WEB }, .ext_usage = "serverAuth" },
          "svid: extended key usage does not allow this role" },
        { { .uris = { WEB }, .ext_usage = "codeSigning" },
          "svid: extended key usage does not allow this role" },
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++)
        refuse_client(&cases[i].spec, &ca, WEIR_FAULT_IDENTITY, cases[i].reason);
    /* An extension twice: OpenSSL finds no issuer for so broken a thing before the rules are asked.
     */
    refuse_client(&(struct mint_spec){ .uris = { WEB }, .two_sans = true }, &ca, WEIR_FAULT_TLS,
                  "unknown ca");
}

static void a_leaf_cannot_issue(void **state) {
    struct mint evil_ca = web; /* an honest SVID's holder signs another identity */
    refuse_client(&(struct mint_spec){ .uris = { STORE } }, &evil_ca, WEIR_FAULT_TLS, "unknown ca");
}

static void a_chain_through_an_svid_is_refused(void **state) {
    struct tls_pair p;
    struct mint forged = mint_svid("spiffe://mesh.test/ns/kube-system/sa/admin", &web);
    char chain[8192];
    snprintf(chain, sizeof(chain), "%s%s", forged.cert_pem, web.cert_pem);
    struct mint own = forged;
    own.cert_pem = chain;
    try_mesh(&p, &own, &ca, STORE);
    assert_int_equal(p.server_r, WEIR_TLS_FAULT);
    assert_int_equal(weir_tls_fault(p.server).kind, WEIR_FAULT_TLS);
    assert_string_equal(weir_tls_fault_reason(p.server), "unknown ca");
    tls_pair_deinit(&p);
    mint_free(&forged);
}

static void a_chain_through_an_intermediate_is_accepted(void **state) {
    struct tls_pair p;
    struct mint middle = mint_new(&(struct mint_spec){ .cn = "middle", .is_ca = true }, &ca);
    struct mint leaf = mint_svid(WEB, &middle);
    char chain[8192];
    snprintf(chain, sizeof(chain), "%s%s", leaf.cert_pem, middle.cert_pem);
    struct mint own = leaf;
    own.cert_pem = chain;
    try_mesh(&p, &own, &ca, STORE);
    assert_open(&p);
    assert_string_equal(weir_tls_peer(p.server)->uri, WEB);
    tls_pair_deinit(&p);
    /* The intermediate alone is no anchor: no partial chains. */
    try_mesh(&p, &web, &middle, STORE);
    assert_string_equal(weir_tls_fault_reason(p.client), "unknown ca");
    tls_pair_deinit(&p);
    mint_free(&leaf);
    mint_free(&middle);
}

static void the_servers_svid_is_held_to_the_same_rules(void **state) {
    struct tls_pair p;
    struct mint bad = mint_new(
        &(struct mint_spec){ .uris = { STORE, "spiffe://mesh.test/b" }, .dns = { "x" } }, &ca);
    open_pair(&p, make_ctx(WEIR_TLS_MESH_CLIENT, &web, &ca, MESH_ALPN),
              make_ctx(WEIR_TLS_SERVER, &bad, NULL, MESH_ALPN), NULL, STORE, 0);
    assert_fault(p.client, WEIR_SIDE_UPSTREAM, WEIR_FAULT_IDENTITY, "svid: more than one uri");
    tls_pair_deinit(&p);
    mint_free(&bad);
}

static void a_mesh_server_wants_a_certificate(void **state) {
    struct tls_pair p;
    open_pair(&p, make_ctx(WEIR_TLS_CLIENT, NULL, &ca, MESH_ALPN),
              make_ctx(WEIR_TLS_MESH_SERVER, &site, &ca, MESH_ALPN), "www.test", NULL, 0);
    assert_fault(p.server, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "no client certificate");
    assert_fault(p.client, WEIR_SIDE_UPSTREAM, WEIR_FAULT_TLS, "alert: certificate required");
    tls_pair_deinit(&p);
}

/* --- application protocols --- */

static void the_servers_order_decides_the_protocol(void **state) {
    struct tls_pair p;
    open_pair(&p, make_ctx(WEIR_TLS_CLIENT, NULL, &ca, WEIR_SLICE("\x08http/1.1\x02h2")),
              make_ctx(WEIR_TLS_SERVER, &site, NULL, WEIR_SLICE("\x02h2\x08http/1.1")), "www.test",
              NULL, 0);
    assert_open(&p);
    weir_assert_slice(weir_tls_alpn(p.server), "h2");
    weir_assert_slice(weir_tls_alpn(p.client), "h2");
    tls_pair_deinit(&p);
}

static void no_common_protocol_is_a_fault(void **state) {
    struct tls_pair p;
    open_pair(&p, make_ctx(WEIR_TLS_CLIENT, NULL, &ca, WEIR_SLICE("\x03xyz")),
              make_ctx(WEIR_TLS_SERVER, &site, NULL, WEIR_SLICE("\x02h2\x08http/1.1")), "www.test",
              NULL, 0);
    assert_fault(p.server, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "no application protocol");
    assert_fault(p.client, WEIR_SIDE_UPSTREAM, WEIR_FAULT_TLS, "alert: no application protocol");
    tls_pair_deinit(&p);
}

static void an_ordinary_client_may_offer_none(void **state) {
    struct tls_pair p;
    open_pair(&p, make_ctx(WEIR_TLS_CLIENT, NULL, &ca, WEIR_SLICE_NONE),
              make_ctx(WEIR_TLS_SERVER, &site, NULL, WEIR_SLICE("\x02h2")), "www.test", NULL, 0);
    assert_open(&p);
    assert_int_equal(weir_tls_alpn(p.server).len, 0);
    tls_pair_deinit(&p);
}

static void mesh_peers_must_agree_on_a_protocol(void **state) {
    struct tls_pair p;
    open_pair(&p, make_ctx(WEIR_TLS_MESH_CLIENT, &web, &ca, WEIR_SLICE_NONE),
              make_ctx(WEIR_TLS_MESH_SERVER, &store, &ca, MESH_ALPN), NULL, STORE, 0);
    assert_fault(p.server, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "no application protocol");
    tls_pair_deinit(&p);
    open_pair(&p, make_ctx(WEIR_TLS_MESH_CLIENT, &web, &ca, MESH_ALPN),
              make_ctx(WEIR_TLS_MESH_SERVER, &store, &ca, WEIR_SLICE_NONE), NULL, STORE, 0);
    assert_fault(p.client, WEIR_SIDE_UPSTREAM, WEIR_FAULT_TLS, "no application protocol");
    tls_pair_deinit(&p);
}

/* --- ordinary modes --- */

static void the_servers_name_is_sent_and_verified(void **state) {
    struct tls_pair p;
    open_plain_tls(&p);
    assert_open(&p);
    assert_string_equal(weir_tls_sni(p.server), "www.test");
    assert_null(weir_tls_peer(p.server));
    assert_string_equal(weir_tls_peer_hash(p.server), "");
    tls_pair_deinit(&p);
}

static void try_name(const char *name, const char *reason) {
    struct tls_pair p;
    open_pair(&p, make_ctx(WEIR_TLS_CLIENT, NULL, &ca, WEIR_SLICE_NONE),
              make_ctx(WEIR_TLS_SERVER, &site, NULL, WEIR_SLICE_NONE), name, NULL, 0);
    if (reason == NULL)
        assert_open(&p);
    else
        assert_fault(p.client, WEIR_SIDE_UPSTREAM, WEIR_FAULT_TLS, reason);
    tls_pair_deinit(&p);
}

static void names_are_matched_in_the_alternative_names_only(void **state) {
    try_name("www.test", NULL);
    try_name("a.wild.test", NULL);
    try_name("192.0.2.7", NULL);
    try_name("site.test", "certificate name mismatch"); /* its common name */
    try_name("a.b.wild.test", "certificate name mismatch");
    try_name("192.0.2.8", "certificate name mismatch");
}

static void an_address_is_not_sent_as_a_name(void **state) {
    struct tls_pair p;
    open_pair(&p, make_ctx(WEIR_TLS_CLIENT, NULL, &ca, WEIR_SLICE_NONE),
              make_ctx(WEIR_TLS_SERVER, &site, NULL, WEIR_SLICE_NONE), "192.0.2.7", NULL, 0);
    assert_open(&p);
    assert_string_equal(weir_tls_sni(p.server), "");
    tls_pair_deinit(&p);
}

static void a_client_without_a_name_is_not_made(void **state) {
    struct weir_tls_ctx *ctx = make_ctx(WEIR_TLS_CLIENT, NULL, &ca, WEIR_SLICE_NONE);
    struct weir_tls *tls = NULL;
    assert_int_equal(weir_tls_new(ctx, NULL, NULL, &tls), -EINVAL);
    assert_int_equal(weir_tls_new(ctx, "", NULL, &tls), -EINVAL);
    assert_null(tls);
    weir_tls_ctx_unref(ctx);
}

static void a_client_ca_makes_the_certificate_required(void **state) {
    struct tls_pair p;
    open_pair(&p, make_ctx(WEIR_TLS_CLIENT, NULL, &ca, WEIR_SLICE_NONE),
              make_ctx(WEIR_TLS_SERVER, &site, &ca, WEIR_SLICE_NONE), "www.test", NULL, 0);
    assert_fault(p.server, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "no client certificate");
    tls_pair_deinit(&p);
    open_pair(&p, make_ctx(WEIR_TLS_CLIENT, &web, &ca, WEIR_SLICE_NONE),
              make_ctx(WEIR_TLS_SERVER, &site, &ca, WEIR_SLICE_NONE), "www.test", NULL, 0);
    assert_open(&p);
    /* Known by its hash; an identity is a matter of the mesh modes alone. */
    assert_int_equal(strlen(weir_tls_peer_hash(p.server)), 64);
    assert_null(weir_tls_peer(p.server));
    tls_pair_deinit(&p);
}

/* --- the end --- */

static void close_notify_is_eof_and_writing_goes_on(void **state) {
    struct tls_pair p;
    open_mesh(&p, 0);
    assert_int_equal(tls_pair_send(&p, true, WEIR_SLICE("last words")), 0);
    weir_tls_shutdown(p.client, &p.to_server);
    weir_tls_shutdown(p.client, &p.to_server); /* once is enough */
    assert_int_equal(tls_pair_pump(&p), 0);
    assert_int_equal(p.server_r, WEIR_TLS_EOF);
    weir_assert_bufq(&p.server_plain, "last words");
    assert_int_equal(tls_pair_send(&p, false, WEIR_SLICE("heard")), 0);
    assert_int_equal(tls_pair_pump(&p), 0);
    weir_assert_bufq(&p.client_plain, "heard");
    assert_int_equal(p.client_r, 0);
    assert_int_equal(tls_pair_send(&p, true, WEIR_SLICE("more")), WEIR_TLS_FAULT);
    tls_pair_deinit(&p);
}

static void garbage_instead_of_a_handshake_is_a_fault_with_an_alert(void **state) {
    struct tls_pair p;
    struct weir_tls_ctx *server = make_ctx(WEIR_TLS_SERVER, &site, NULL, WEIR_SLICE_NONE);
    struct weir_tls_ctx *client = make_ctx(WEIR_TLS_CLIENT, NULL, &ca, WEIR_SLICE_NONE);
    static const struct weir_slice inputs[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27 },
        { "SSH-2.0-OpenSSH_9.2\r\n", 21 },
        { "\x16\x03\x01\xff\xff\x01\0\0\0\0\0\0\0\0\0\0", 16 },
        { "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
        { "\x17\x03\x03\0\x05hello", 10 },
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(inputs); i++) {
        assert_int_equal(tls_pair_init(&p, client, server, "www.test", NULL), 0);
        int r = weir_tls_feed(p.server, inputs[i], &p.server_plain, &p.to_client);
        assert_int_equal(r, WEIR_TLS_FAULT);
        assert_int_equal(weir_tls_fault(p.server).kind, WEIR_FAULT_TLS);
        assert_string_not_equal(weir_tls_fault_reason(p.server), "");
        assert_int_equal(p.server_plain.len, 0);
        /* Dead stays dead, and says the same. */
        assert_int_equal(weir_tls_feed(p.server, inputs[i], &p.server_plain, &p.to_client),
                         WEIR_TLS_FAULT);
        assert_int_equal(tls_pair_send(&p, false, WEIR_SLICE("x")), WEIR_TLS_FAULT);
        tls_pair_deinit(&p);
    }
    assert_int_equal(tls_pair_init(&p, client, server, "www.test", NULL), 0);
    weir_tls_feed(p.server, inputs[0], &p.server_plain, &p.to_client);
    assert_string_equal(weir_tls_fault_reason(p.server), "not tls");
    tls_pair_deinit(&p);
    weir_tls_ctx_unref(server);
    weir_tls_ctx_unref(client);
}

static void a_flipped_bit_is_a_fault_and_yields_nothing(void **state) {
    struct tls_pair p;
    char *wire;
    open_mesh(&p, 0);
    assert_int_equal(tls_pair_send(&p, true, WEIR_SLICE("genuine")), 0);
    wire = weir_test_bufq_text(&p.to_server);
    size_t len = p.to_server.len;
    wire[len - 1] ^= 1;
    weir_bufq_clear(&p.to_server);
    assert_int_equal(
        weir_tls_feed(p.server, weir_slice_make(wire, len), &p.server_plain, &p.to_client),
        WEIR_TLS_FAULT);
    assert_fault(p.server, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "bad record mac");
    assert_int_equal(p.server_plain.len, 0);
    assert_true(p.to_client.len > 0);
    assert_int_equal(tls_pair_pump(&p), 0);
    assert_fault(p.client, WEIR_SIDE_UPSTREAM, WEIR_FAULT_TLS, "alert: bad record mac");
    free(wire);
    tls_pair_deinit(&p);
}

static void a_handshake_cut_anywhere_only_waits(void **state) {
    struct weir_tls_ctx *client = make_ctx(WEIR_TLS_MESH_CLIENT, &web, &ca, MESH_ALPN);
    struct weir_tls_ctx *server = make_ctx(WEIR_TLS_MESH_SERVER, &store, &ca, MESH_ALPN);
    struct tls_pair p;
    for (size_t cut = 1;; cut += 7) {
        assert_int_equal(tls_pair_init(&p, client, server, NULL, STORE), 0);
        char *hello = weir_test_bufq_text(&p.to_server);
        bool whole = cut >= p.to_server.len;
        size_t n = whole ? p.to_server.len : cut;
        assert_int_equal(
            weir_tls_feed(p.server, weir_slice_make(hello, n), &p.server_plain, &p.to_client), 0);
        assert_false(weir_tls_established(p.server));
        assert_int_equal(p.to_client.len > 0, whole);
        free(hello);
        tls_pair_deinit(&p);
        if (whole)
            break;
    }
    weir_tls_ctx_unref(client);
    weir_tls_ctx_unref(server);
}

static void writing_before_the_handshake_takes_nothing(void **state) {
    struct weir_tls_ctx *ctx = make_ctx(WEIR_TLS_CLIENT, NULL, &ca, WEIR_SLICE_NONE);
    struct weir_tls *tls = NULL;
    struct weir_chunk_pool pool;
    struct weir_bufq q, out;
    weir_chunk_pool_init(&pool, 4);
    weir_bufq_init(&q, &pool, 0);
    weir_bufq_init(&out, &pool, 0);
    assert_int_equal(weir_tls_new(ctx, "www.test", NULL, &tls), 0);
    assert_int_equal(weir_bufq_append(&q, WEIR_SLICE("early")), 0);
    assert_int_equal(weir_tls_write(tls, &q, &out), 0);
    weir_assert_bufq(&q, "early");
    weir_tls_shutdown(tls, &out);
    assert_int_equal(out.len, 0);
    weir_tls_free(tls);
    weir_bufq_deinit(&q);
    weir_bufq_deinit(&out);
    weir_chunk_pool_deinit(&pool);
    weir_tls_ctx_unref(ctx);
}

/* --- volume --- */

static void fill(struct weir_bufq *q, size_t n, size_t piece) {
    char bytes[4096];
    for (size_t at = 0; at < n;) {
        size_t len = n - at < piece ? n - at : piece;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)((at + i) * 31 + ((at + i) >> 11));
        assert_int_equal(weir_bufq_append(q, weir_slice_make(bytes, len)), 0);
        at += len;
    }
}

static void assert_filled(const struct weir_bufq *q, size_t n) {
    assert_int_equal(q->len, n);
    char *bytes = weir_test_bufq_text(q);
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != (char)(i * 31 + (i >> 11)))
            fail_msg("byte %zu differs", i);
    }
    free(bytes);
}

static void a_megabyte_arrives_in_both_directions(void **state) {
    enum { N = 1024 * 1024 + 3 };
    struct tls_pair p;
    struct weir_bufq q;
    open_mesh(&p, 1000);
    weir_bufq_init(&q, &p.pool, 0);
    fill(&q, N, 4096);
    assert_int_equal(weir_tls_write(p.client, &q, &p.to_server), 0);
    assert_int_equal(q.len, 0);
    fill(&q, N, 777);
    assert_int_equal(weir_tls_write(p.server, &q, &p.to_client), 0);
    /* Whole records: 22 bytes for each 16 KiB. */
    assert_true(p.to_client.len <= N + 22 * (N / 16384 + 1));
    assert_int_equal(tls_pair_pump(&p), 0);
    assert_filled(&p.server_plain, N);
    assert_filled(&p.client_plain, N);
    weir_bufq_deinit(&q);
    tls_pair_deinit(&p);
}

static void small_segments_leave_as_one_record(void **state) {
    struct tls_pair p;
    struct weir_bufq q;
    open_mesh(&p, 0);
    weir_bufq_init(&q, &p.pool, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(weir_bufq_append_ref(&q, NULL, WEIR_SLICE("0123456789")), 0);
    assert_int_equal(weir_tls_write(p.client, &q, &p.to_server), 0);
    assert_int_equal(p.to_server.len, 1000 + 22);
    assert_int_equal(tls_pair_pump(&p), 0);
    assert_int_equal(p.server_plain.len, 1000);
    weir_bufq_deinit(&q);
    tls_pair_deinit(&p);
}

static int set_up(void **state) {
    ca = mint_ca("mesh root");
    other_ca = mint_ca("another root");
    web = mint_svid(WEB, &ca);
    store = mint_svid(STORE, &ca);
    site = mint_new(&(struct mint_spec){ .cn = "site.test",
                                         .uris = { "spiffe://mesh.test/site" },
                                         .dns = { "www.test", "*.wild.test" },
                                         .ip = "192.0.2.7" },
                    &ca);
    return 0;
}

static int tear_down(void **state) {
    mint_free(&ca);
    mint_free(&other_ca);
    mint_free(&web);
    mint_free(&store);
    mint_free(&site);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mesh_peers_learn_each_others_identity),
        cmocka_unit_test(the_peer_hash_is_sha256_of_the_certificate),
        cmocka_unit_test(text_goes_both_ways),
        cmocka_unit_test(everything_works_one_byte_at_a_time),
        cmocka_unit_test(wrong_expected_identity_is_a_mismatch),
        cmocka_unit_test(no_expectation_accepts_any_id_of_the_trust_domain),
        cmocka_unit_test(the_clients_unknown_ca_is_refused_by_the_server),
        cmocka_unit_test(the_servers_unknown_ca_is_refused_by_the_client),
        cmocka_unit_test(an_expired_certificate_loads_but_convinces_nobody),
        cmocka_unit_test(a_certificate_of_tomorrow_is_refused),
        cmocka_unit_test(every_broken_svid_rule_ends_the_handshake),
        cmocka_unit_test(a_leaf_cannot_issue),
        cmocka_unit_test(a_chain_through_an_svid_is_refused),
        cmocka_unit_test(a_chain_through_an_intermediate_is_accepted),
        cmocka_unit_test(the_servers_svid_is_held_to_the_same_rules),
        cmocka_unit_test(a_mesh_server_wants_a_certificate),
        cmocka_unit_test(the_servers_order_decides_the_protocol),
        cmocka_unit_test(no_common_protocol_is_a_fault),
        cmocka_unit_test(an_ordinary_client_may_offer_none),
        cmocka_unit_test(mesh_peers_must_agree_on_a_protocol),
        cmocka_unit_test(the_servers_name_is_sent_and_verified),
        cmocka_unit_test(names_are_matched_in_the_alternative_names_only),
        cmocka_unit_test(an_address_is_not_sent_as_a_name),
        cmocka_unit_test(a_client_without_a_name_is_not_made),
        cmocka_unit_test(a_client_ca_makes_the_certificate_required),
        cmocka_unit_test(close_notify_is_eof_and_writing_goes_on),
        cmocka_unit_test(garbage_instead_of_a_handshake_is_a_fault_with_an_alert),
        cmocka_unit_test(a_flipped_bit_is_a_fault_and_yields_nothing),
        cmocka_unit_test(a_handshake_cut_anywhere_only_waits),
        cmocka_unit_test(writing_before_the_handshake_takes_nothing),
        cmocka_unit_test(a_megabyte_arrives_in_both_directions),
        cmocka_unit_test(small_segments_leave_as_one_record),
    };
    return cmocka_run_group_tests_name("tls/engine", tests, set_up, tear_down);
}
