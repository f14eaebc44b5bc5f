/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to switch protocols through every pairing of HTTP versions, and what becomes of them where nobody switches. */
#include "weir_test.h"

#include "h2peer.h"
#include "http/websocket.h"
#include "pair.h"

#define ASK                                                                                        \
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"               \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define AGREE                                                                                      \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"            \
    "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n"

static const char *const websocket[] = { ":protocol", "websocket", "sec-websocket-version", "13",
                                         NULL };
static const struct h2_config extended = { .extended = true };

static void flow_h2(struct flow *f) {
    flow_open(f,
              &(struct flow_options){ .dir = WEIR_DIR_REVERSE, .yaml = "", .scheme = WEIR_TO_H2C });
}

static struct h2_msg *take(struct h2_peer *s) {
    struct h2_msg *m = h2_take(s);

    assert_non_null(m);
    return m;
}

/* ---- H2 to H1 ---- */

/* The accept that belongs to the key the proxy made: taken from the request by the rules of RFC 6455, with the proxy's own code. */
static void agree_to(struct flow *f, struct mem_conn *s, bool rightly) {
    const char *key = strstr(mem_received(s), "Sec-WebSocket-Key: ");
    struct weir_slice value;
    char answer[512], accept[28];

    assert_non_null(key);
    value = weir_slice_make(key + 19, strcspn(key + 19, "\r"));
    assert_int_equal(value.len, 24);
    weir_websocket_accept(value, accept);
    if (!rightly)
        accept[0] ^= 1;
    snprintf(answer, sizeof(answer),
             "HTTP/1.1 101 Fine\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Accept: %.28s\r\n\r\n",
             accept);
    flow_send(f, s, answer);
}

static void a_client_of_http2_talks_to_a_server_of_http1(void **state) {
    struct flow f;
    struct h2_peer *c;
    struct h2_msg *m;
    struct mem_conn *s;

    (void)state;
    flow_reverse(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "CONNECT", "/chat", websocket, false);
    s = flow_server(&f);
    flow_expect_starts(s, "GET /chat HTTP/1.1\r\nHost: example.com\r\n");
    flow_expect_holds(s, "Upgrade: websocket\r\n");
    flow_expect_holds(s, "onnection: upgrade\r\n");
    agree_to(&f, s, true);
    mem_received_clear(s);
    assert_string_equal(h2_field(m, ":status"), "200");
    assert_null(h2_field(m, "sec-websocket-accept"));
    assert_null(h2_field(m, "upgrade"));
    assert_false(m->end);
    h2_data(m, "ping", 4, false);
    flow_run(&f);
    assert_string_equal(mem_received(s), "ping");
    flow_send(&f, s, "pong");
    assert_string_equal(h2_text(m), "pong");
    /* each direction ends by itself */
    mem_shutdown(s);
    flow_run(&f);
    assert_true(m->end);
    assert_false(m->closed);
    h2_data(m, "last", 4, true);
    flow_run(&f);
    assert_string_equal(mem_received(s), "pinglast");
    assert_true(mem_got_eof(s));
    assert_true(m->closed);
    assert_int_equal(m->code, 0);
    assert_int_equal(c->error, 0);
    assert_non_null(strstr(flow_lines(&f), "\"GET /chat HTTP/2\" 101 - 8 4 "));
    flow_end(&f);
}

static void an_accept_that_does_not_fit_the_key_is_no_agreement(void **state) {
    struct flow f;
    struct h2_msg *m;
    struct mem_conn *s;

    (void)state;
    flow_reverse(&f, "");
    m = h2_ask(h2_client(&f, NULL), "CONNECT", "/chat", websocket, false);
    s = flow_server(&f);
    agree_to(&f, s, false);
    assert_string_equal(h2_field(m, ":status"), "502");
    flow_end(&f);
}

static void a_server_that_does_not_switch_says_501_to_http2(void **state) {
    struct flow f;
    struct h2_peer *c;
    struct h2_msg *m;
    struct mem_conn *s;

    (void)state;
    flow_reverse(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "CONNECT", "/chat", websocket, false);
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    assert_string_equal(h2_field(m, ":status"), "501");
    assert_string_equal(h2_field(m, "x-weir-reason"), "no_upgrade");
    assert_true(m->closed);
    /* a refusal is passed on as it is */
    m = h2_ask(c, "CONNECT", "/chat", websocket, false);
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
    assert_string_equal(h2_field(m, ":status"), "403");
    assert_string_equal(h2_text(m), "no");
    assert_true(m->closed);
    assert_int_equal(m->code, 0);
    assert_int_equal(c->error, 0);
    flow_end(&f);
}

static void a_reset_server_resets_the_stream(void **state) {
    struct flow f;
    struct h2_peer *c;
    struct h2_msg *m;
    struct mem_conn *s;

    (void)state;
    flow_reverse(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "CONNECT", "/chat", websocket, false);
    s = flow_server(&f);
    agree_to(&f, s, true);
    mem_reset(s);
    flow_run(&f);
    assert_true(m->closed);
    assert_int_not_equal(m->code, 0);
    m = h2_ask(c, "CONNECT", "/chat", websocket, false); /* the connection goes on */
    s = flow_server(&f);
    agree_to(&f, s, true);
    h2_rst(m, NGHTTP2_CANCEL);
    flow_run(&f);
    assert_true(mem_got_eof(s));
    flow_end(&f);
}

static void a_slow_server_slows_the_client(void **state) {
    static char much[400000];
    struct flow f;
    struct h2_msg *m;
    struct mem_conn *s;

    (void)state;
    flow_reverse(&f, "");
    m = h2_ask(h2_client(&f, NULL), "CONNECT", "/chat", websocket, false);
    s = flow_server(&f);
    agree_to(&f, s, true);
    mem_received_clear(s);
    mem_hold(s, true);
    memset(much, 'x', sizeof(much));
    for (unsigned i = 0; i < 5; i++)
        h2_data(m, much, sizeof(much), false);
    flow_run(&f);
    assert_true(m->out_len > 1000000); /* no credit for it */
    mem_hold(s, false);
    flow_run(&f);
    assert_int_equal(mem_received_len(s), 5 * sizeof(much));
    flow_end(&f);
}

/* ---- H1 to H2 ---- */

static void a_client_of_http1_talks_to_a_server_of_http2(void **state) {
    struct flow f;
    struct mem_conn *c;
    struct h2_peer *s;
    struct h2_msg *r;

    (void)state;
    flow_h2(&f);
    c = flow_client(&f);
    flow_send(&f, c, ASK);
    s = h2_server(&f, &extended);
    r = take(s);
    assert_string_equal(h2_field(r, ":method"), "CONNECT");
    assert_string_equal(h2_field(r, ":protocol"), "websocket");
    assert_string_equal(h2_field(r, ":path"), "/chat");
    assert_false(r->end);
    h2_head(r, "200", NULL, false);
    flow_run(&f);
    flow_expect_starts(c, "HTTP/1.1 101 Switching Protocols\r\n");
    flow_expect_holds(c, "Sec-WebSocket-Accept: " ACCEPT "\r\n");
    flow_expect_holds(c, "Upgrade: websocket\r\n");
    mem_received_clear(c);
    flow_send(&f, c, "ping");
    assert_string_equal(h2_text(r), "ping");
    h2_data(r, "pong", 4, true);
    flow_run(&f);
    assert_string_equal(mem_received(c), "pong");
    assert_true(mem_got_eof(c));
    mem_shutdown(c);
    flow_run(&f);
    assert_true(r->closed);
    assert_int_equal(r->code, 0);
    flow_end(&f);
}

static void a_server_of_http2_that_knows_no_tunnels_is_not_asked(void **state) {
    struct flow f;
    struct mem_conn *c;
    struct h2_peer *s;

    (void)state;
    flow_h2(&f);
    c = flow_client(&f);
    flow_send(&f, c, ASK);
    s = h2_server(&f, NULL);
    assert_null(h2_take(s));
    flow_expect_starts(c, "HTTP/1.1 501 ");
    flow_expect_holds(c, "x-weir-reason: no_upgrade");
    flow_end(&f);
}

static void other_upgrades_are_ignored_towards_http2(void **state) {
    struct flow f;
    struct mem_conn *c;
    struct h2_msg *r;

    (void)state;
    flow_h2(&f);
    c = flow_client(&f);
    flow_send(&f, c,
              "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n");
    r = take(h2_server(&f, NULL));
    assert_string_equal(h2_field(r, ":method"), "GET");
    assert_true(r->end);
    h2_answer(r, "200", "hi");
    flow_run(&f);
    flow_expect_starts(c, "HTTP/1.1 200 OK\r\n");
    flow_end(&f);
}

static void an_offer_of_h2c_is_not_passed_on(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c,
              "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
              "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n");
    s = flow_server(&f);
    flow_expect_lacks(s, "h2c");
    flow_expect_lacks(s, "HTTP2-Settings");
    flow_end(&f);
}

/* ---- H2 to H2 ---- */

static void http2_to_http2(void **state) {
    struct flow f;
    struct h2_msg *m, *r;

    (void)state;
    flow_h2(&f);
    m = h2_ask(h2_client(&f, NULL), "CONNECT", "/chat", websocket, false);
    r = take(h2_server(&f, &extended));
    assert_string_equal(h2_field(r, ":protocol"), "websocket");
    assert_string_equal(h2_field(r, "sec-websocket-version"), "13");
    assert_null(h2_field(r, "sec-websocket-key"));
    h2_head(r, "200", (const char *const[]){ "sec-websocket-protocol", "x", NULL }, false);
    flow_run(&f);
    assert_string_equal(h2_field(m, ":status"), "200");
    assert_string_equal(h2_field(m, "sec-websocket-protocol"), "x");
    h2_data(m, "a", 1, true);
    h2_data(r, "b", 1, true);
    flow_run(&f);
    assert_string_equal(h2_text(r), "a");
    assert_string_equal(h2_text(m), "b");
    assert_true(m->closed && r->closed);
    flow_end(&f);
}

/* ---- through the mesh ---- */

static void the_mesh_carries_a_handshake_untouched(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, "{name: http, port: 80}", "");
    c = pair_client(&p);
    pair_send(&p, c, ASK);
    s = pair_server(&p);
    flow_expect_starts(s, "GET /chat HTTP/1.1\r\nHost: a\r\n");
    flow_expect_holds(s, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    pair_send(&p, s, AGREE "hello");
    flow_expect_starts(c, "HTTP/1.1 101 Switching Protocols\r\n");
    flow_expect_holds(c, "Sec-WebSocket-Accept: " ACCEPT "\r\n");
    flow_expect_holds(c, "\r\n\r\nhello");
    mem_received_clear(s);
    pair_send(&p, c, "to you");
    assert_string_equal(mem_received(s), "to you");
    mem_shutdown(c);
    pair_run(&p);
    assert_true(mem_got_eof(s));
    mem_received_clear(c);
    pair_send(&p, s, "and back");
    assert_string_equal(mem_received(c), "and back");
    mem_shutdown(s);
    pair_run(&p);
    assert_true(mem_got_eof(c));
    assert_non_null(strstr(flow_lines(&p.out), " 101 "));
    assert_non_null(strstr(flow_lines(&p.in), " 101 "));
    pair_end(&p);
}

static void the_mesh_keeps_the_method_and_an_answer_that_is_no_tunnel(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, "{name: http, port: 80}", "");
    c = pair_client(&p);
    pair_send(&p, c,
              "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
    s = pair_server(&p);
    flow_expect_starts(s, "POST /exec HTTP/1.1\r\n");
    flow_expect_holds(s, "Upgrade: SPDY/3.1\r\n");
    pair_send(&p, s, "HTTP/1.1 200 Not Today\r\nContent-Length: 2\r\n\r\nhi");
    flow_expect_starts(c, "HTTP/1.1 200 Not Today\r\n");
    flow_expect_holds(c, "hi");
    mem_received_clear(c);
    pair_send(&p, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); /* the connection is as good as before */
    mem_received_clear(s);
    pair_run(&p);
    pair_end(&p);
}

static void a_quiet_tunnel_lives_and_a_dead_one_does_not(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, "{name: http, port: 80}", "");
    c = pair_client(&p);
    pair_send(&p, c, ASK);
    s = pair_server(&p);
    pair_send(&p, s, AGREE);
    pair_advance(&p, 50ull * 60 * 1000 * 1000);
    mem_received_clear(c);
    pair_send(&p, s, "there");
    assert_string_equal(mem_received(c), "there");
    pair_advance(&p, 50ull * 60 * 1000 * 1000);
    assert_false(mem_is_closed(c));
    pair_advance(&p, 80ull * 60 * 1000 * 1000);
    assert_true(mem_is_closed(c));
    assert_true(mem_is_closed(s));
    pair_end(&p);
}

static void a_plain_connect_is_refused(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 405 ");
    flow_expect_holds(c, "x-weir-reason: connect_refused");
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_of_http2_talks_to_a_server_of_http1),
        cmocka_unit_test(an_accept_that_does_not_fit_the_key_is_no_agreement),
        cmocka_unit_test(a_server_that_does_not_switch_says_501_to_http2),
        cmocka_unit_test(a_reset_server_resets_the_stream),
        cmocka_unit_test(a_slow_server_slows_the_client),
        cmocka_unit_test(a_client_of_http1_talks_to_a_server_of_http2),
        cmocka_unit_test(a_server_of_http2_that_knows_no_tunnels_is_not_asked),
        cmocka_unit_test(other_upgrades_are_ignored_towards_http2),
        cmocka_unit_test(an_offer_of_h2c_is_not_passed_on),
        cmocka_unit_test(http2_to_http2),
        cmocka_unit_test(the_mesh_carries_a_handshake_untouched),
        cmocka_unit_test(the_mesh_keeps_the_method_and_an_answer_that_is_no_tunnel),
        cmocka_unit_test(a_quiet_tunnel_lives_and_a_dead_one_does_not),
        cmocka_unit_test(a_plain_connect_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
