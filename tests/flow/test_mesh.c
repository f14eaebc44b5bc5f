/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/1 message over the HTTP/2 between two sidecars is at the other end what it was. */
#include "weir_test.h"

#include "h2peer.h"
#include "pair.h"

#define HTTP "{name: http, port: 80}"

static void a_request_arrives_as_it_was_sent(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, HTTP, "");
    c = pair_client(&p);
    pair_send(&p, c,
              "GET /a?b HTTP/1.1\r\nHost: Api.Default\r\nX-CuStom: 1\r\nETag: 2\r\nx-lower: 3\r\n"
              "X-Request-ID: 4\r\n\r\n");
    s = pair_server(&p);
    flow_expect_starts(s, "GET /a?b HTTP/1.1\r\nHost: Api.Default\r\nX-CuStom: 1\r\nETag: 2\r\n"
                          "x-lower: 3\r\nX-Request-ID: 4\r\n");
    flow_expect_holds(s, "spiffe://cluster.local/ns/default/sa/web");
    flow_expect_lacks(s, "weir-h1");
    flow_expect_lacks(s, "Weir-H1");
    pair_end(&p);
}

static void an_answer_arrives_as_it_was_sent(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, HTTP, "");
    c = pair_client(&p);
    pair_send(&p, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    s = pair_server(&p);
    pair_send(&p, s,
              "HTTP/1.1 103 Hints\r\nLINK: </a>\r\n\r\n"
              "HTTP/1.1 200 Quite, alright; really\r\nset-cookie: a\r\nSet-Cookie: b\r\n"
              "x-b: 1\r\nWWW-X: 2\r\nContent-Length: 2\r\n\r\nhi");
    flow_expect_starts(c, "HTTP/1.1 103 Hints\r\nLINK: </a>\r\n\r\n"
                          "HTTP/1.1 200 Quite, alright; really\r\nset-cookie: a\r\n"
                          "Set-Cookie: b\r\nx-b: 1\r\nWWW-X: 2\r\nContent-Length: 2\r\n\r\nhi");
    flow_expect_lacks(c, "eir-");
    pair_end(&p);
}

static void http_1_0_without_host_stays_so(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, HTTP, "");
    c = pair_client(&p);
    pair_send(&p, c, "GET / HTTP/1.0\r\nUser-Agent: old\r\n\r\n");
    s = pair_server(&p);
    flow_expect_holds(s, "Host: \r\n");
    pair_send(&p, s, "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody");
    flow_expect_lacks(c, "103");
    mem_shutdown(s);
    pair_run(&p);
    flow_expect_holds(c, "body");
    assert_true(mem_got_eof(c));
    assert_non_null(strstr(flow_lines(&p.in), "HTTP/1.0"));
    pair_end(&p);
}

static void the_mark_of_an_outsider_is_nothing(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, HTTP, "");
    c = pair_client(&p);
    pair_send(&p, c,
              "GET / HTTP/1.1\r\nHost: api\r\nX-Weir-H1: 0tn,SMUGGLED\r\nSmuggled: 1\r\n\r\n");
    s = pair_server(&p);
    flow_expect_starts(s, "GET / HTTP/1.1\r\nHost: api\r\nSmuggled: 1\r\n");
    pair_send(&p, s,
              "HTTP/1.1 200 OK\r\nX-Weir-H1: 1t;Forged\r\nA: 1\r\nContent-Length: 0\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 200 OK\r\nA: 1\r\n");
    flow_expect_lacks(c, "Forged");
    pair_end(&p);
}

/* The same head at a listener without TLS: dropped there too, both ways. */
static void a_plain_proxy_drops_the_mark(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\nx_weir_h1: 1\r\nx-weir-h1: 0t,HOST\r\n\r\n");
    s = flow_server(&f);
    flow_expect_lacks(s, "weir");
    flow_send(&f, s, "HTTP/1.1 204 Fine\r\nx-weir-h1: 1t;No\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 204 Fine\r\n");
    flow_expect_lacks(c, "weir");
    flow_end(&f);
}

static void an_http_2_application_keeps_http_2(void **state) {
    struct pair p;
    struct mem_conn *c, *s;

    (void)state;
    pair_start(&p, "{name: http, port: 80, appProtocol: kubernetes.io/h2c}", "");
    c = pair_client(&p);
    pair_send(&p, c, "GET / HTTP/1.1\r\nHost: api\r\nX-Case: 1\r\n\r\n");
    s = pair_server(&p);
    flow_expect_starts(s, "PRI * HTTP/2.0\r\n");
    assert_memory_not_equal(mem_received(s), "GET", 3);
    pair_end(&p);
}

static void many_requests_share_one_connection(void **state) {
    struct pair p;
    struct mem_conn *c[3], *s;

    (void)state;
    pair_start(&p, HTTP, "");
    for (unsigned i = 0; i < 3; i++) {
        c[i] = pair_client(&p);
        pair_send(&p, c[i], "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    }
    for (unsigned i = 0; i < 3; i++) {
        s = pair_server(&p);
        pair_send(&p, s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        flow_expect_starts(c[i], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    }
    assert_int_equal(p.n_links, 1);
    pair_end(&p);
}

/* Clients that go away are resets on the connection that they share; other clients must not suffer. */
static void many_clients_may_give_up(void **state) {
    struct pair p;
    struct mem_conn *stays, *s;

    (void)state;
    pair_start(&p, HTTP, "");
    stays = pair_client(&p);
    pair_send(&p, stays, "GET /stays HTTP/1.1\r\nHost: api\r\n\r\n");
    s = pair_server(&p);
    for (unsigned i = 0; i < 1000; i++) {
        struct mem_conn *c = pair_client(&p);

        pair_send(&p, c, "GET /goes HTTP/1.1\r\nHost: api\r\n\r\n");
        mem_reset(c);
        pair_run(&p);
    }
    pair_send(&p, s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    flow_expect_starts(stays, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(p.n_links, 1);
    pair_end(&p);
}

/* An outsider may not do that. */
static void one_client_may_not_take_back_that_much(void **state) {
    struct flow f;
    struct h2_peer *c;

    (void)state;
    flow_reverse(&f, "");
    c = h2_client(&f, NULL);
    for (unsigned i = 0; i < 300; i++) {
        struct h2_msg *m = h2_get(c, "/");

        flow_run(&f);
        if (c->goaway)
            break;
        h2_rst(m, NGHTTP2_CANCEL);
        flow_run(&f);
    }
    assert_true(c->goaway);
    assert_int_equal(c->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_arrives_as_it_was_sent),
        cmocka_unit_test(an_answer_arrives_as_it_was_sent),
        cmocka_unit_test(http_1_0_without_host_stays_so),
        cmocka_unit_test(the_mark_of_an_outsider_is_nothing),
        cmocka_unit_test(a_plain_proxy_drops_the_mark),
        cmocka_unit_test(an_http_2_application_keeps_http_2),
        cmocka_unit_test(many_requests_share_one_connection),
        cmocka_unit_test(many_clients_may_give_up),
        cmocka_unit_test(one_client_may_not_take_back_that_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
