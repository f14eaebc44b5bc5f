/* SPDX-License-Identifier: Apache-2.0 */
/* Who calls whom between two sidecars: what is proven, what is demanded, what is refused and where it is counted. */
#include "weir_test.h"

#include "h2peer.h"
#include "pair.h"
#include "tlspeer.h"
#include "weir_mint.h"

#define HTTP "{name: http, port: 80}"
#define GET  "GET /a HTTP/1.1\r\nHost: api\r\n\r\n"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define ONLY(app)                                                                                  \
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"                                      \
    "metadata: {name: only, namespace: default}\n"                                                 \
    "spec: {podSelector: {matchLabels: {app: v1}}, ingress: [{from: [{podSelector: "               \
    "{matchLabels: {app: " app "}}}]}]}\n---\n"
#define STRICT                                                                                     \
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"                                 \
    "metadata: {name: default, namespace: default}\nspec: {mtls: {mode: STRICT}}\n---\n"

static void the_application_sees_who_called(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, HTTP, "");
    c = pair_client(&p);
    pair_send(&p, c,
              "GET /a HTTP/1.1\r\nHost: api\r\nX-Forwarded-Client-Cert: "
              "By=spiffe://evil/a;URI=spiffe://cluster.local/ns/default/sa/admin\r\n\r\n");
    s = pair_server(&p);
    flow_expect_holds(s,
                      "x-forwarded-client-cert: By=spiffe://cluster.local/ns/default/sa/v1;Hash=");
    flow_expect_holds(s, ";URI=spiffe://cluster.local/ns/default/sa/web\r\n");
    flow_expect_lacks(s, "evil"); /* what the application claimed stays at home */
    flow_expect_lacks(s, "admin");
    pair_send(&p, s, OK);
    assert_string_equal(mem_received(c), OK);
    assert_non_null(strstr(flow_lines(&p.in), "spiffe://cluster.local/ns/default/sa/web"));
    assert_int_equal(flow_count(&p.in, WEIR_C_TLS_HANDSHAKES), 1);
    pair_end(&p);
}

static void nothing_readable_is_on_the_wire(void **state) {
    struct pair p;
    struct mem_conn *c;

    (void)state;
    pair_start(&p, HTTP, "");
    c = pair_client(&p);
    mem_send(c, "GET /secret-path HTTP/1.1\r\nHost: api\r\n\r\n");
    mem_run(p.out.net);
    pair_run(&p);
    assert_int_equal(p.n_links, 1);
    /* The first bytes were a ClientHello; all that follows is encrypted: the two engines understood each other. */
    assert_int_equal(flow_count(&p.in, WEIR_C_TLS_HANDSHAKES), 1);
    assert_int_equal(flow_count(&p.in, WEIR_C_REQUESTS), 1);
    pair_end(&p);
}

/* By address the caller is web, which may call; its certificate is somebody else's. */
static void a_certificate_of_another_is_refused_by_the_server(void **state) {
    struct pair p;
    struct mem_conn *c;

    (void)state;
    pair_start_as(&p, HTTP, ONLY("web"), "intruder", "v1");
    c = pair_client(&p);
    pair_send(&p, c, GET);
    flow_expect_starts(c, "HTTP/1.1 403 ");
    flow_expect_holds(c, "default/only");
    assert_null(mem_next_dial(p.in.net));
    assert_int_equal(flow_count(&p.in, WEIR_C_IDENTITY_REFUSED), 1);
    assert_int_equal(flow_faults(&p.in, WEIR_FAULT(DOWNSTREAM, IDENTITY)), 1);
    pair_end(&p);
}

static void the_identity_that_is_allowed_passes(void **state) {
    struct pair p;
    struct mem_conn *c;

    (void)state;
    pair_start(&p, HTTP, ONLY("web"));
    c = pair_client(&p);
    pair_send(&p, c, GET);
    assert_non_null(pair_server(&p));
    assert_int_equal(flow_count(&p.in, WEIR_C_IDENTITY_REFUSED), 0);
    pair_end(&p);
}

static void a_server_that_is_somebody_else_gets_nothing(void **state) {
    struct pair p;
    struct mem_conn *c;

    (void)state;
    pair_start_as(&p, HTTP, "", "web", "intruder");
    c = pair_client(&p);
    pair_send(&p, c, GET);
    flow_expect_starts(c, "HTTP/1.1 503 ");
    flow_expect_holds(c, "x-weir-reason: upstream_identity\r\n");
    assert_int_equal(flow_count(&p.in, WEIR_C_REQUESTS), 0);
    assert_int_equal(flow_faults(&p.out, WEIR_FAULT(UPSTREAM, IDENTITY)), 1);
    assert_true(flow_count(&p.out, WEIR_C_IDENTITY_REFUSED) >= 1);
    assert_int_equal(flow_count(&p.out, WEIR_C_RETRIES),
                     0); /* asking again would not make it true */
    pair_end(&p);
}

static struct mem_conn *inbound(struct flow *f) {
    struct mem_conn *c = flow_client(f);

    weir_parse_ip("10.1.0.1", &mem_info(c)->remote);
    weir_parse_ip("10.1.0.2", &mem_info(c)->local);
    mem_info(c)->local_port = 8080;
    return c;
}

static void strict_takes_mesh_tls_only(void **state) {
    struct pair p;
    struct mem_conn *c;

    (void)state;
    pair_start(&p, HTTP, STRICT);
    c = pair_client(&p);
    pair_send(&p, c, GET);
    pair_send(&p, pair_server(&p), OK);
    assert_string_equal(mem_received(c), OK);
    c = inbound(&p.in);
    pair_send(&p, c, GET);
    assert_true(mem_is_closed(c));
    assert_int_equal(flow_faults(&p.in, WEIR_FAULT(DOWNSTREAM, IDENTITY)), 1);
    pair_end(&p);
}

static void permissive_takes_plaintext_and_believes_nothing_it_says(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, HTTP, "");
    c = inbound(&p.in);
    pair_send(&p, c,
              "GET / HTTP/1.1\r\nHost: api\r\nX-Forwarded-Client-Cert: "
              "URI=spiffe://cluster.local/ns/default/sa/web\r\n\r\n");
    s = pair_server(&p);
    flow_expect_lacks(s, "spiffe");
    pair_end(&p);
}

/* An ordinary TLS client: its handshake is with the application, not with us. */
static void the_applications_own_tls_passes_untouched(void **state) {
    struct mint ca = mint_ca("app"),
                leaf = mint_new(&(struct mint_spec){ .dns = { "server" } }, &ca);
    struct weir_tls_params params = { .mode = WEIR_TLS_SERVER,
                                      .alpn = WEIR_SLICE("\x08http/1.1"),
                                      .material = { weir_slice_from_str(leaf.cert_pem),
                                                    weir_slice_from_str(leaf.key_pem),
                                                    WEIR_SLICE_NONE } };
    struct weir_tls_ctx *server = NULL, *client = NULL;
    struct tls_peer *a, *b;
    struct mem_conn *c, *s;
    const char *why = "";
    struct pair p;

    (void)state;
    assert_int_equal(weir_tls_ctx_new(&params, &server, &why), 0);
    params = (struct weir_tls_params){ .mode = WEIR_TLS_CLIENT,
                                       .alpn = WEIR_SLICE("\x08http/1.1"),
                                       .material = { .ca = weir_slice_from_str(ca.cert_pem) } };
    assert_int_equal(weir_tls_ctx_new(&params, &client, &why), 0);
    pair_start(&p, HTTP, "");
    c = inbound(&p.in);
    a = tls_over(&p.in, c, client, "server");
    s = flow_server(&p.in);
    b = tls_over(&p.in, s, server, NULL);
    assert_true(tls_established(a));
    tls_say(a, "hello from afar");
    flow_run(&p.in);
    assert_string_equal(tls_text(b), "hello from afar");
    tls_say(b, "hello back");
    flow_run(&p.in);
    assert_string_equal(tls_text(a), "hello back");
    assert_int_equal(flow_count(&p.in, WEIR_C_RELAYS), 1);
    assert_int_equal(flow_count(&p.in, WEIR_C_TLS_HANDSHAKES), 0);
    pair_end(&p);
    weir_tls_ctx_unref(server);
    weir_tls_ctx_unref(client);
    mint_free(&leaf);
    mint_free(&ca);
}

#define FORGED "X-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/default/sa/admin\r\n\r\n"

/* Lines that we do not take for a request, but some servers do. */
static void what_a_lenient_server_would_serve_is_not_relayed(void **state) {
    static const char *const lines[] = {
        "GET\t/ HTTP/1.1\r\nHost: api\r\n" FORGED,
        "GET  / HTTP/1.1\r\nHost: api\r\n" FORGED,
        "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: api\r\n" FORGED,
        " GET / HTTP/1.1\r\nHost: api\r\n" FORGED,
        "GETGETGETGETGETGETGETGETGETGET / HTTP/1.1\r\nHost: api\r\n" FORGED,
        "GET relative HTTP/1.1\r\nHost: api\r\n" FORGED,
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(lines); i++) {
        struct pair p;
        struct mem_conn *c;

        pair_start(&p, HTTP, "");
        c = inbound(&p.in);
        pair_send(&p, c, lines[i]);
        assert_null(mem_next_dial(p.in.net));
        flow_expect_starts(c, "HTTP/1.1 ");
        flow_expect_lacks(c, "200");
        pair_end(&p);
    }
}

static void http_in_a_tunnel_for_other_bytes_is_read_all_the_same(void **state) {
    struct tls_peer *t;
    struct mem_conn *s;
    struct pair p;

    (void)state;
    pair_start(&p, HTTP, "");
    t = tls_over(&p.in, inbound(&p.in), p.out.tls.mesh_client_tcp,
                 "spiffe://cluster.local/ns/default/sa/v1");
    tls_say(t, "GET / HTTP/1.1\r\nHost: api\r\n" FORGED);
    s = flow_server(&p.in);
    flow_expect_holds(s, "URI=spiffe://cluster.local/ns/default/sa/web\r\n");
    flow_send(&p.in, s, OK);
    flow_expect_text(tls_text(t), OK);
    pair_end(&p);
}

/* A verified peer's word counts, but only where its own proxy would write it. */
static void a_mesh_peer_cannot_forge_a_caller_by_spelling(void **state) {
    struct tls_peer *t;
    struct mem_conn *s;
    struct pair p;

    (void)state;
    pair_start(&p, HTTP, "");
    t = tls_over(&p.in, inbound(&p.in), p.out.tls.mesh_client_tcp,
                 "spiffe://cluster.local/ns/default/sa/v1");
    tls_say(t, "GET / HTTP/1.1\r\nHost: api\r\nX_Forwarded_Client_Cert: URI=spiffe://a/1\r\n"
               "x-forwarded_client-cert: URI=spiffe://a/2\r\nX.Forwarded.Client.Cert: "
               "URI=spiffe://a/3\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n\r\n");
    s = flow_server(&p.in);
    flow_expect_holds(s, "URI=spiffe://cluster.local/ns/default/sa/web\r\n");
    flow_expect_holds(s, "7.7.7.7");
    flow_expect_lacks(s, "spiffe://a/");
    flow_expect_lacks(s, "6.6.6.6");
    flow_send(&p.in, s, OK);
    flow_expect_text(tls_text(t), OK);
    pair_end(&p);
}

static void other_bytes_pass_an_http_port(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, HTTP, STRICT);
    c = pair_client(&p);
    pair_send(&p, c, "\x01\x02 bytes");
    s = pair_server(&p);
    assert_string_equal(mem_received(s), "\x01\x02 bytes");
    pair_send(&p, s, "\x03 back");
    assert_string_equal(mem_received(c), "\x03 back");
    pair_end(&p);
}

static void a_broken_record_ends_the_requests_and_nothing_else(void **state) {
    static const char broken[] = "\x17\x03\x03\x00\x20 this is no ciphertext of ours..";
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, HTTP, "");
    c = pair_client(&p);
    pair_send(&p, c, GET);
    s = pair_server(&p);
    mem_send_bytes(p.links[0].b, broken, sizeof(broken) - 1);
    pair_run(&p);
    assert_true(mem_is_closed(p.links[0].b));
    assert_true(mem_is_closed(s));
    assert_non_null(strstr(flow_lines(&p.in), "spiffe://cluster.local/ns/default/sa/web"));
    flow_expect_starts(c, "HTTP/1.1 502 ");
    c = pair_client(&p);
    pair_send(&p, c, GET);
    pair_send(&p, pair_server(&p), OK);
    assert_string_equal(mem_received(c), OK);
    pair_end(&p);
}

static void a_mesh_connection_outlives_its_certificate(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, HTTP, "");
    c = pair_client(&p);
    pair_send(&p, c, GET);
    s = pair_server(&p);
    pair_send(&p, s, OK);
    mem_received_clear(c);
    mem_received_clear(s);
    weir_tls_set_deinit(&p.in.tls); /* identityDir is taken out of the configuration */
    flow_reload(&p.in, p.in_yaml);
    pair_send(&p, c, GET);
    flow_expect_starts(s, "GET /a HTTP/1.1\r\n");
    flow_expect_holds(s, "URI=spiffe://cluster.local/ns/default/sa/web");
    pair_send(&p, s, OK);
    assert_string_equal(mem_received(c), OK);
    pair_end(&p);
}

static void the_pod_behind_an_address_may_become_another(void **state) {
    struct pair p;
    struct mem_conn *c;
    char yaml[8192], *at;

    (void)state;
    pair_start(&p, HTTP, "");
    c = pair_client(&p);
    pair_send(&p, c, GET);
    pair_send(&p, pair_server(&p), OK);
    mem_received_clear(c);
    snprintf(yaml, sizeof(yaml), "%s", p.out_yaml);
    at = strstr(yaml, "serviceAccountName: v1"); /* the same address, another workload */
    assert_non_null(at);
    memcpy(at, "serviceAccountName: vX", 22);
    flow_reload(&p.out, yaml);
    pair_run(&p);
    assert_true(mem_is_closed(p.links[0].a));
    pair_send(&p, c, GET);
    flow_expect_starts(c, "HTTP/1.1 503 "); /* who answers there cannot prove to be vX */
    flow_expect_holds(c, "upstream_identity");
    pair_end(&p);
}

static void cut(struct pair *p) {
    mem_reset(p->links[0].a);
    mem_reset(p->links[0].b);
}

static void a_mesh_exchange_survives_every_cut(void **state) {
    (void)state;
    for (int when = 0; when < 4; when++) {
        struct pair p;
        struct mem_conn *c, *s;

        pair_start(&p, HTTP, "");
        c = pair_client(&p);
        pair_send(&p, c, GET);
        if (when == 0)
            cut(&p);
        pair_run(&p);
        s = when == 0 ? NULL : pair_server(&p);
        if (when == 1)
            cut(&p);
        if (when == 2)
            mem_reset(c);
        if (when == 3)
            mem_reset(s);
        pair_run(&p);
        assert_int_equal(flow_count(&p.out, WEIR_C_REQUESTS_ACTIVE), 0);
        assert_int_equal(flow_count(&p.in, WEIR_C_REQUESTS_ACTIVE), 0);
        if (s)
            assert_true(mem_is_closed(s));
        pair_end(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_application_sees_who_called),
        cmocka_unit_test(nothing_readable_is_on_the_wire),
        cmocka_unit_test(a_certificate_of_another_is_refused_by_the_server),
        cmocka_unit_test(the_identity_that_is_allowed_passes),
        cmocka_unit_test(a_server_that_is_somebody_else_gets_nothing),
        cmocka_unit_test(strict_takes_mesh_tls_only),
        cmocka_unit_test(permissive_takes_plaintext_and_believes_nothing_it_says),
        cmocka_unit_test(the_applications_own_tls_passes_untouched),
        cmocka_unit_test(what_a_lenient_server_would_serve_is_not_relayed),
        cmocka_unit_test(http_in_a_tunnel_for_other_bytes_is_read_all_the_same),
        cmocka_unit_test(a_mesh_peer_cannot_forge_a_caller_by_spelling),
        cmocka_unit_test(other_bytes_pass_an_http_port),
        cmocka_unit_test(a_broken_record_ends_the_requests_and_nothing_else),
        cmocka_unit_test(a_mesh_connection_outlives_its_certificate),
        cmocka_unit_test(the_pod_behind_an_address_may_become_another),
        cmocka_unit_test(a_mesh_exchange_survives_every_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
