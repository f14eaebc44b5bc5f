/* SPDX-License-Identifier: Apache-2.0 */
#include "weir_test.h"

#include "flow.h"

#define GET "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static const char timeouts[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {headTimeout: 2s, idleTimeout: 5s, bodyTimeout: 3s, requestTimeout: 4s, "
    "upstreamIdleTimeout: 6s, pipeBytes: 16384, drainTimeout: 10s}\n";

static void a_request_goes_up_and_its_answer_comes_down(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_expect_starts(s, "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\n");
    flow_expect_holds(s, "Accept: */*\r\n");
    flow_expect_holds(s, "x-forwarded-for: 192.0.2.7\r\n");
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    assert_non_null(strstr(flow_lines(&f), "\"GET /a?b=c HTTP/1.1\" 200 - 0 2 "));
    flow_end(&f);
}

static void a_connection_is_used_again_on_both_sides(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    for (int i = 0; i < 20; i++) {
        mem_received_clear(c);
        mem_received_clear(s);
        flow_send(&f, c, GET);
        flow_expect_starts(s, "GET /a?b=c");
        flow_send(&f, s, OK);
        assert_string_equal(mem_received(c), OK);
    }
    assert_null(mem_next_dial(f.net));
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECTIONS), 1);
    flow_end(&f);
}

static void pipelined_requests_are_answered_in_order_one_at_a_time(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c,
              "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 "
              "HTTP/1.1\r\nHost: a\r\n\r\n");
    s = flow_server(&f);
    flow_expect_holds(s, "GET /1 ");
    flow_expect_lacks(s, "GET /2 ");
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    flow_expect_holds(s, "GET /2 ");
    flow_expect_lacks(s, "GET /3 ");
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3");
    flow_expect_holds(c, "\r\n\r\n1HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2HTTP/1.1 200 "
                         "OK\r\nContent-Length: 1\r\n\r\n3");
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS), 3);
    flow_end(&f);
}

static void bodies_pass_both_ways_chunked_and_by_length(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c,
              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    s = flow_server(&f);
    flow_expect_holds(s, "\r\n\r\n3\r\nabc\r\n");
    flow_send(&f, c, "2\r\nde\r\n0\r\n\r\n");
    flow_expect_holds(s, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    flow_send(&f, s,
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\nz\r\n0\r\n\r\n");
    flow_expect_holds(c, "\r\n\r\n1\r\nz\r\n0\r\n\r\n");
    mem_received_clear(c);
    mem_received_clear(s);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    flow_expect_holds(s, "\r\n\r\nhello");
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    flow_end(&f);
}

static void a_slow_reader_pauses_the_server(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    static char body[1 << 20];

    (void)state;
    flow_reverse(&f, timeouts);
    mem_buffer_size(f.net, 16384);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    memset(body, 'x', sizeof(body));
    mem_hold(c, true);
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
    mem_send_bytes(s, body, sizeof(body));
    mem_run(f.net);
    assert_true(mem_unsent(s) > sizeof(body) / 2); /* the proxy did not take it all in */
    mem_hold(c, false);
    mem_run(f.net);
    assert_int_equal(mem_unsent(s), 0);
    assert_true(mem_received_len(c) > sizeof(body));
    flow_end(&f);
}

static void a_reader_that_never_reads_is_cut_off(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    static char body[1 << 20];

    (void)state;
    flow_reverse(&f, timeouts);
    mem_buffer_size(f.net, 16384);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    mem_hold(c, true);
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
    mem_send_bytes(s, body, sizeof(body));
    mem_run(f.net);
    mem_advance(f.net, 20000000);
    assert_true(mem_is_closed(c));
    assert_true(mem_is_closed(s));
    flow_end(&f);
}

static void a_refused_server_is_503_after_the_tries(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    for (int i = 0; i < 3; i++) {
        s = mem_next_dial(f.net);
        assert_non_null(s);
        mem_dial_refuse(s);
        mem_run(f.net);
    }
    assert_null(mem_next_dial(f.net));
    flow_expect_starts(c, "HTTP/1.1 503 ");
    flow_expect_holds(c, "x-weir-reason: connect_failed");
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 2);
    flow_end(&f);
}

static void the_keep_alive_race_is_retried_once_and_unseen(void **state) {
    struct flow f;
    struct mem_conn *c, *s, *s2;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    mem_received_clear(c);
    mem_send(c, GET);
    mem_close(s); /* the server's FIN crosses the request */
    s2 = flow_server(&f);
    flow_expect_starts(s2, "GET /a?b=c");
    flow_send(&f, s2, OK);
    assert_string_equal(mem_received(c), OK);
    flow_end(&f);
}

static void a_post_on_a_dead_connection_is_not_sent_twice(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    mem_received_clear(c);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    mem_reset(s);
    mem_run(f.net);
    assert_null(mem_next_dial(f.net));
    flow_expect_starts(c, "HTTP/1.1 502 ");
    flow_end(&f);
}

static void a_server_that_cuts_its_answer_cuts_ours(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal");
    mem_close(s);
    mem_run(f.net);
    flow_expect_holds(c, "hal");
    flow_expect_lacks(c, "502");
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

static void an_answer_until_close_is_chunked_down(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.0 200 OK\r\n\r\nold");
    mem_close(s);
    mem_run(f.net);
    flow_expect_holds(c, "ransfer-");
    flow_expect_holds(c, "3\r\nold\r\n0\r\n\r\n");
    flow_end(&f);
}

static void a_client_that_leaves_ends_the_upstream_exchange(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    mem_reset(c);
    mem_run(f.net);
    assert_true(mem_is_closed(s));
    flow_end(&f);
}

static void a_client_that_half_closes_still_gets_its_answer(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    mem_send(c, GET);
    mem_shutdown(c);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    flow_expect_starts(c, "HTTP/1.1 200 OK");
    mem_advance(f.net, 3000000);
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

static void a_client_that_leaves_in_silence_is_not_kept_for_ever(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    mem_send(c, GET);
    mem_shutdown(c);
    s = flow_server(&f);
    mem_advance(f.net, 29000000);
    assert_false(mem_is_closed(s));
    mem_advance(f.net, 2500000);
    assert_true(mem_is_closed(s));
    assert_true(mem_is_closed(c));
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS_ACTIVE), 0);
    flow_end(&f);
}

static void an_early_answer_reaches_the_client_and_ends_the_connection(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nstart");
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nbig");
    flow_expect_starts(c, "HTTP/1.1 413 No");
    flow_expect_holds(c, "big");
    assert_true(mem_got_eof(c));
    assert_true(mem_is_closed(s));
    flow_send(&f, c, "more and more");
    mem_advance(f.net, 5000000);
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

static void informational_heads_are_passed_on(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c,
              "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    s = flow_server(&f);
    flow_expect_holds(s, "100-continue");
    flow_send(&f, s, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 100 Continue\r\n");
    flow_expect_holds(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    flow_send(&f, c, "ok");
    flow_send(&f, s, OK);
    flow_expect_holds(c, OK);
    flow_end(&f);
}

static void an_upgrade_becomes_a_tunnel_and_half_closes(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c,
              "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    s = flow_server(&f);
    flow_expect_holds(s, "websocket");
    flow_send(&f, s,
              "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
              "websocket\r\n\r\nfrom server");
    flow_expect_starts(c, "HTTP/1.1 101 ");
    flow_expect_holds(c, "\r\n\r\nfrom server");
    flow_send(&f, c, "from client");
    flow_expect_holds(s, "\r\n\r\nfrom client");
    mem_shutdown(c);
    mem_run(f.net);
    assert_true(mem_got_eof(s));
    flow_send(&f, s, ", last words");
    flow_expect_holds(c, "from server, last words");
    mem_shutdown(s);
    mem_run(f.net);
    assert_true(mem_got_eof(c));
    mem_advance(f.net, 5000000);
    assert_true(mem_is_closed(c));
    assert_true(mem_is_closed(s));
    flow_end(&f);
}

static void a_head_that_does_not_come_is_408(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_reverse(&f, timeouts);
    c = flow_client(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHos");
    for (int i = 0; i < 8; i++) { /* a byte now and then buys no time */
        mem_advance(f.net, 300000);
        mem_send(c, "x");
    }
    mem_run(f.net);
    flow_expect_starts(c, "HTTP/1.1 408 ");
    mem_advance(f.net, 5000000);
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

static void an_idle_connection_is_closed(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, timeouts);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    mem_advance(f.net, 4800000);
    assert_false(mem_is_closed(c));
    mem_advance(f.net, 500000);
    assert_true(mem_is_closed(c));
    assert_false(mem_is_closed(s));
    mem_advance(f.net, 1000000);
    assert_true(mem_is_closed(s));
    assert_false(mem_ticking(f.net)); /* nothing is left to wait for */
    flow_end(&f);
}

static void a_server_too_slow_for_the_request_timeout_is_504(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, timeouts);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    mem_advance(f.net, 4200000);
    flow_expect_starts(c, "HTTP/1.1 504 ");
    assert_true(mem_is_closed(s));
    flow_end(&f);
}

static void ambiguous_framing_is_400_and_never_forwarded(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c,
              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: "
              "chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n");
    flow_expect_starts(c, "HTTP/1.1 400 ");
    flow_expect_holds(c, "\r\nConnection: close\r\n");
    assert_null(mem_next_dial(f.net));
    mem_advance(f.net, 5000000);
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

static void identity_claims_from_outside_are_stripped(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c,
              "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Client-Cert: "
              "URI=spiffe://a/b\r\n"
              "X_Forwarded_Client_Cert: x\r\nForwarded: for=6.6.6.6\r\nKeep-Alive: "
              "5\r\nConnection: X-Own\r\nX-Own: 1\r\n\r\n");
    s = flow_server(&f);
    flow_expect_lacks(s, "6.6.6.6");
    flow_expect_lacks(s, "spiffe");
    flow_expect_lacks(s, "X_Forwarded");
    flow_expect_lacks(s, "X-Own");
    flow_expect_lacks(s, "Keep-Alive");
    flow_end(&f);
}

#define FORWARDED(policy)                                                                          \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec: {forwardedHeaders: "   \
    "{listen: " policy "}}\n"
#define THROUGH_OTHERS                                                                             \
    "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7, "          \
    "8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nForwarded: for=6.6.6.6\r\n"     \
    "X-Forwarded-Client-Cert: URI=spiffe://a/b\r\nX_Forwarded_For: 9.9.9.9\r\n\r\n"

static void a_trusted_front_may_be_believed_and_appended_to(void **state) {
    struct flow f;
    struct mem_conn *s;

    (void)state;
    flow_reverse(&f, FORWARDED("append"));
    flow_send(&f, flow_client(&f), THROUGH_OTHERS);
    s = flow_server(&f);
    flow_expect_holds(s, "x-forwarded-for: 6.6.6.6, 7.7.7.7, 8.8.8.8, 192.0.2.7\r\n");
    flow_expect_lacks(s, "X-Forwarded-For: ");
    flow_expect_holds(s, "X-Forwarded-Proto: https\r\n");
    flow_expect_lacks(s, "x-forwarded-proto: http\r\n");
    flow_expect_holds(s, "X-Forwarded-Host: b\r\n");
    flow_expect_lacks(s, "Forwarded: for");
    flow_expect_lacks(s, "spiffe");
    flow_expect_lacks(s, "9.9.9.9");
    flow_send(&f, flow_client(&f), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = flow_server(&f);
    flow_expect_holds(s, "x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: http\r\n");
    flow_end(&f);
}

static void or_passed_on_as_it_is(void **state) {
    struct flow f;
    struct mem_conn *s;

    (void)state;
    flow_reverse(&f, FORWARDED("keep"));
    flow_send(&f, flow_client(&f), THROUGH_OTHERS);
    s = flow_server(&f);
    flow_expect_holds(s, "X-Forwarded-For: 6.6.6.6\r\n");
    flow_expect_holds(s, "X-Forwarded-For: 7.7.7.7, 8.8.8.8\r\n");
    flow_expect_holds(s, "Forwarded: for=6.6.6.6\r\n");
    flow_expect_lacks(s, "192.0.2.7");
    flow_expect_lacks(s, "spiffe");
    flow_expect_lacks(s, "9.9.9.9");
    flow_end(&f);
}

static void draining_answers_what_runs_and_closes_what_idles(void **state) {
    struct flow f;
    struct mem_conn *idle, *busy, *s;

    (void)state;
    flow_reverse(&f, timeouts);
    idle = flow_client(&f);
    flow_send(&f, idle, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    busy = flow_client(&f);
    flow_send(&f, busy, GET);
    weir_worker_drain(&f.worker);
    mem_run(f.net);
    assert_true(mem_is_closed(idle));
    assert_false(mem_is_closed(busy));
    flow_send(&f, s, OK);
    flow_expect_holds(busy, "Connection: close\r\n");
    flow_expect_holds(busy, "\r\n\r\nhi");
    mem_close(busy);
    mem_advance(f.net, 1000000);
    assert_true(mem_is_closed(busy));
    flow_end(&f);
}

static void a_reload_keeps_running_requests_and_connections(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_reload(&f, timeouts);
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    mem_received_clear(c);
    flow_send(&f, c, GET);
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    flow_end(&f);
}

static void an_http2_client_reaches_an_http1_server(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    /* preface, empty SETTINGS, HEADERS(1, END_STREAM|END_HEADERS) GET / http a */
    static const char bytes[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\x04\0\0\0\0\0"
                                "\0\0\x06\x01\x05\0\0\0\x01"
                                "\x82\x84\x86\x41\x01"
                                "a";

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    mem_send_bytes(c, bytes, sizeof(bytes) - 1);
    s = flow_server(&f);
    flow_expect_starts(s, "GET / HTTP/1.1\r\nHost: a\r\n");
    flow_send(&f, s, OK);
    assert_non_null(strstr(flow_lines(&f), "\"GET / HTTP/2\" 200"));
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_goes_up_and_its_answer_comes_down),
        cmocka_unit_test(a_connection_is_used_again_on_both_sides),
        cmocka_unit_test(pipelined_requests_are_answered_in_order_one_at_a_time),
        cmocka_unit_test(bodies_pass_both_ways_chunked_and_by_length),
        cmocka_unit_test(a_slow_reader_pauses_the_server),
        cmocka_unit_test(a_reader_that_never_reads_is_cut_off),
        cmocka_unit_test(a_refused_server_is_503_after_the_tries),
        cmocka_unit_test(the_keep_alive_race_is_retried_once_and_unseen),
        cmocka_unit_test(a_post_on_a_dead_connection_is_not_sent_twice),
        cmocka_unit_test(a_server_that_cuts_its_answer_cuts_ours),
        cmocka_unit_test(an_answer_until_close_is_chunked_down),
        cmocka_unit_test(a_client_that_leaves_ends_the_upstream_exchange),
        cmocka_unit_test(a_client_that_half_closes_still_gets_its_answer),
        cmocka_unit_test(a_client_that_leaves_in_silence_is_not_kept_for_ever),
        cmocka_unit_test(an_early_answer_reaches_the_client_and_ends_the_connection),
        cmocka_unit_test(informational_heads_are_passed_on),
        cmocka_unit_test(an_upgrade_becomes_a_tunnel_and_half_closes),
        cmocka_unit_test(a_head_that_does_not_come_is_408),
        cmocka_unit_test(an_idle_connection_is_closed),
        cmocka_unit_test(a_server_too_slow_for_the_request_timeout_is_504),
        cmocka_unit_test(ambiguous_framing_is_400_and_never_forwarded),
        cmocka_unit_test(identity_claims_from_outside_are_stripped),
        cmocka_unit_test(a_trusted_front_may_be_believed_and_appended_to),
        cmocka_unit_test(or_passed_on_as_it_is),
        cmocka_unit_test(draining_answers_what_runs_and_closes_what_idles),
        cmocka_unit_test(a_reload_keeps_running_requests_and_connections),
        cmocka_unit_test(an_http2_client_reaches_an_http1_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
