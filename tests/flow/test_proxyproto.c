/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol in front of a listener and of an upstream. */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"

#define FROM                                                                                       \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\n"                            \
    "spec: {proxyProtocol: {from: [192.0.2.0/24]}}\n"
#define SEND(version)                                                                              \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\n"                            \
    "spec: {proxyProtocol: {send: " version "}}\n"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static void a_listed_proxy_says_who_calls(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, FROM);
    c = flow_client(&f); /* 192.0.2.7 */
    flow_send(&f, c, "PROXY TCP4 203.0.113.9 198.51.100.7 5");
    flow_send(&f, c, "6324 443\r\n" GET);
    s = flow_server(&f);
    flow_expect_starts(s, "GET / HTTP/1.1\r\n");
    flow_expect_holds(s, "x-forwarded-for: 203.0.113.9\r\n");
    flow_expect_lacks(s, "PROXY");
    flow_send(&f, s, OK);
    flow_send(&f, c, GET); /* it holds for the whole connection */
    flow_expect_holds(s, "203.0.113.9");
    assert_non_null(strstr(flow_lines(&f), "203.0.113.9"));
    flow_end(&f);
}

static void version_2_and_http2_behind_it(void **state) {
    static const char header[] =
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\xc6\x33\x64\x07"
        "\xdc\x04\x01\xbb";
    struct flow f;
    struct mem_conn *c;
    struct h2_peer *p;

    (void)state;
    flow_reverse(&f, FROM);
    c = flow_client(&f);
    mem_send_bytes(c, header, sizeof(header) - 1);
    p = h2_over(&f, c, false, NULL);
    h2_get(p, "/");
    flow_expect_holds(flow_server(&f), "x-forwarded-for: 203.0.113.9\r\n");
    flow_end(&f);
}

static void a_local_connection_of_the_proxy_is_its_own(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_reverse(&f, FROM);
    c = flow_client(&f);
    flow_send(&f, c, "PROXY UNKNOWN\r\n" GET);
    flow_expect_holds(flow_server(&f), "x-forwarded-for: 192.0.2.7\r\n");
    flow_end(&f);
}

static void a_listed_proxy_must_say_it_and_to_the_letter(void **state) {
    static const char *const wrong[] = { GET, "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n" GET,
                                         "PROXY TCP4 1.2.3.4 5.6.7.8 01 1\r\n" GET };
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_reverse(&f, FROM);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(wrong); i++) {
        c = flow_client(&f);
        flow_send(&f, c, wrong[i]);
        assert_true(mem_is_closed(c));
        assert_string_equal(mem_received(c), "");
    }
    c = flow_client(&f); /* and in time */
    flow_send(&f, c, "PROXY TC");
    mem_advance(f.net, 11000000);
    assert_true(mem_is_closed(c));
    assert_null(mem_next_dial(f.net));
    flow_end(&f);
}

static void nobody_else_is_believed(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_reverse(&f, FROM);
    c = flow_client(&f);
    weir_parse_ip("198.51.100.1", &mem_info(c)->remote);
    flow_send(&f, c, "PROXY TCP4 203.0.113.9 198.51.100.7 56324 443\r\n" GET);
    flow_expect_starts(c, "HTTP/1.1 501 "); /* a method nobody knows */
    c = flow_client(&f);
    weir_parse_ip("198.51.100.1", &mem_info(c)->remote);
    flow_send(&f, c, GET);
    flow_expect_holds(flow_server(&f), "x-forwarded-for: 198.51.100.1\r\n");
    flow_end(&f);
}

static void an_upstream_is_told_who_calls(void **state) {
    struct flow f;
    struct mem_conn *a, *b, *s, *t;

    (void)state;
    flow_reverse(&f, SEND("v1"));
    a = flow_client(&f);
    flow_send(&f, a, GET);
    s = flow_server(&f);
    flow_expect_starts(s, "PROXY TCP4 192.0.2.7 ");
    flow_expect_holds(s, " 4711 8080\r\nGET / HTTP/1.1\r\n");
    flow_send(&f, s, OK);
    mem_received_clear(s);
    flow_send(&f, a, GET); /* the same client: the same connection, told once */
    flow_expect_starts(s, "GET / HTTP/1.1\r\n");
    flow_send(&f, s, OK);
    b = flow_client(&f);
    mem_info(b)->remote_port = 4712;
    flow_send(&f, b, GET); /* another: one of its own */
    t = flow_server(&f);
    flow_expect_starts(t, "PROXY TCP4 192.0.2.7 ");
    flow_expect_holds(t, " 4712 8080\r\n");
    flow_reload(&f, SEND("v1")); /* what is idle stays of use */
    mem_received_clear(s);
    flow_send(&f, a, GET);
    flow_expect_starts(s, "GET / HTTP/1.1\r\n");
    flow_end(&f);
}

static void version_2_is_sent(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, SEND("v2"));
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    assert_memory_equal(mem_received(s), "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07",
                        20);
    assert_memory_equal(mem_received(s) + 28, "GET / ", 6);
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listed_proxy_says_who_calls),
        cmocka_unit_test(version_2_and_http2_behind_it),
        cmocka_unit_test(a_local_connection_of_the_proxy_is_its_own),
        cmocka_unit_test(a_listed_proxy_must_say_it_and_to_the_letter),
        cmocka_unit_test(nobody_else_is_believed),
        cmocka_unit_test(an_upstream_is_told_who_calls),
        cmocka_unit_test(version_2_is_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
