/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that are no HTTP between two sidecars: over mTLS of their own, with half-close, counted, and asked for by policy. */
#include "weir_test.h"

#include "pair.h"

#define TCP "{name: tcp, port: 80}"
#define STRICT                                                                                     \
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"                                 \
    "metadata: {name: default, namespace: default}\nspec: {mtls: {mode: STRICT}}\n---\n"
/* A ClientHello with ALPN "h2" and no extension else, as an application's own TLS begins. */
#define HELLO                                                                                      \
    "\x16\x03\x01\x00\x3e\x01\x00\x00\x3a\x03\x03"                                                 \
    "0123456789abcdef0123456789abcdef"                                                             \
    "\x00\x00\x02\x13\x01\x01\x00\x00\x0f\x00\x10\x00\x05\x00\x03\x02h2\x00\x0a\x00\x02\x00\x00"

static void bytes_travel_encrypted_and_half_close(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, TCP, STRICT);
    p.needle = "secret";
    c = pair_client(&p);
    pair_send(&p, c, "\x01 secret");
    s = pair_server(&p);
    assert_string_equal(mem_received(s), "\x01 secret");
    pair_send(&p, s, "secrets");
    assert_string_equal(mem_received(c), "secrets");
    mem_shutdown(c);
    pair_run(&p);
    assert_true(mem_got_eof(s));
    assert_false(mem_got_eof(c));
    pair_send(&p, s, " and more");
    assert_string_equal(mem_received(c), "secrets and more");
    mem_shutdown(s);
    pair_run(&p);
    assert_true(mem_got_eof(c));
    pair_advance(&p, 3000000);
    assert_true(mem_is_closed(c) && mem_is_closed(s));
    assert_false(p.found);
    assert_int_equal(p.n_links, 1);
    /* bytes in and out, and who it was */
    assert_non_null(strstr(flow_lines(&p.out), " 8 16 "));
    assert_non_null(strstr(flow_lines(&p.in), " 8 16 "));
    assert_non_null(strstr(flow_lines(&p.in), "spiffe://cluster.local/ns/default/sa/web"));
    pair_end(&p);
}

static void a_server_that_speaks_first_is_heard(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, TCP, STRICT);
    p.needle = "ready";
    c = pair_client(&p);
    pair_run(&p);
    pair_advance(&p, 250000);
    pair_advance(&p, 250000); /* the server's sidecar waits as well: what comes may be HTTP */
    s = pair_server(&p);
    pair_send(&p, s, "220 ready\r\n");
    assert_string_equal(mem_received(c), "220 ready\r\n");
    assert_false(p.found);
    pair_end(&p);
}

static void in_the_mesh_it_is_waited_for_once(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, TCP, ""); /* PERMISSIVE: a caller without TLS might come as well */
    c = pair_client(&p);
    pair_run(&p);
    pair_advance(&p, 250000);
    pair_advance(&p, 250000);
    s = pair_server(&p);
    pair_send(&p, s, "220 ready\r\n");
    assert_string_equal(mem_received(c), "220 ready\r\n");
    for (int i = 0; i < 2; i++) {
        c = pair_client(&p);
        pair_run(&p);
        s = pair_server(&p);
        pair_send(&p, s, "220 again\r\n");
        assert_string_equal(mem_received(c), "220 again\r\n");
    }
    assert_int_equal(flow_count(&p.out, WEIR_C_DETECT_WAITS), 1);
    assert_int_equal(flow_count(&p.in, WEIR_C_DETECT_WAITS), 1);
    assert_int_equal(flow_count(&p.in, WEIR_C_DETECT_CONTRARY), 0);
    pair_end(&p);
}

static void much_passes_slowly_without_loss(void **state) {
    static char much[300000];
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    for (size_t i = 0; i < sizeof(much); i++)
        much[i] = (char)(i * 7 + i / 251);
    much[0] = 1;
    pair_start(&p, TCP, "");
    c = pair_client(&p);
    mem_send_bytes(c, much, sizeof(much));
    s = pair_server(&p);
    mem_hold(s, true);
    mem_send_bytes(c, much, sizeof(much));
    pair_run(&p);
    mem_hold(s, false);
    pair_run(&p);
    assert_int_equal(mem_received_len(s), 2 * sizeof(much));
    assert_memory_equal(mem_received(s), much, sizeof(much));
    assert_memory_equal(mem_received(s) + sizeof(much), much, sizeof(much));
    pair_end(&p);
}

static void a_reset_is_a_reset_at_the_other_end(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, TCP, "");
    c = pair_client(&p);
    pair_send(&p, c, "\x01");
    s = pair_server(&p);
    mem_reset(s);
    pair_run(&p);
    assert_true(mem_got_reset(c));
    pair_end(&p);
}

static void an_application_s_own_tls_passes_as_it_is(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, TCP, "");
    p.needle = "0123456789abcdef";
    c = pair_client(&p);
    mem_send_bytes(c, HELLO, sizeof(HELLO) - 1);
    s = pair_server(&p);
    assert_int_equal(mem_received_len(s), sizeof(HELLO) - 1);
    assert_true(p.found);
    pair_end(&p);
}

/* A pod that accepts nothing but proven callers gets the same bytes inside mTLS. */
static void strict_wraps_even_an_application_s_own_tls(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, TCP, STRICT);
    p.needle = "0123456789abcdef";
    c = pair_client(&p);
    mem_send_bytes(c, HELLO, sizeof(HELLO) - 1);
    s = pair_server(&p);
    assert_int_equal(mem_received_len(s), sizeof(HELLO) - 1);
    assert_false(p.found);
    pair_end(&p);
}

static void policy_is_asked_about_the_proven_caller(void **state) {
    struct pair p;
    struct mem_conn *c;

    (void)state;
    pair_start(&p, TCP,
               "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
               "metadata: {name: only-v2, namespace: default}\nspec: {podSelector: {matchLabels: "
               "{app: v1}}, ingress: [{from: [{podSelector: {matchLabels: {app: v2}}}]}]}\n");
    c = pair_client(&p);
    pair_send(&p, c, "\x01 hello");
    assert_null(mem_next_dial(p.in.net));
    assert_true(mem_got_reset(c));
    assert_non_null(strstr(flow_lines(&p.in), "default/only-v2"));
    assert_non_null(strstr(flow_lines(&p.in), "spiffe://cluster.local/ns/default/sa/web"));
    pair_end(&p);
}

static void http_on_a_port_of_no_name_is_still_http(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, TCP, STRICT);
    c = pair_client(&p);
    pair_send(&p, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = pair_server(&p);
    flow_expect_holds(s, "spiffe://cluster.local/ns/default/sa/web");
    pair_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_travel_encrypted_and_half_close),
        cmocka_unit_test(a_server_that_speaks_first_is_heard),
        cmocka_unit_test(in_the_mesh_it_is_waited_for_once),
        cmocka_unit_test(much_passes_slowly_without_loss),
        cmocka_unit_test(a_reset_is_a_reset_at_the_other_end),
        cmocka_unit_test(an_application_s_own_tls_passes_as_it_is),
        cmocka_unit_test(strict_wraps_even_an_application_s_own_tls),
        cmocka_unit_test(policy_is_asked_about_the_proven_caller),
        cmocka_unit_test(http_on_a_port_of_no_name_is_still_http),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
