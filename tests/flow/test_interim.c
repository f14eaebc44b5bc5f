/* SPDX-License-Identifier: Apache-2.0 */
/* Expect: 100-continue and other interim answers, forwarded and answered here. */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"
#include "world.h"

#define ROUTE(name, path, service)                                                                 \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: " name "}\n"      \
    "spec:\n  parentRefs: [{kind: Service, group: \"\", name: api, port: 80}]\n"                   \
    "  rules:\n  - name: first\n    matches: [{path: {value: " path "}}]\n"                        \
    "    retry: {codes: [503], backoff: 1ms}\n"                                                    \
    "    backendRefs: [{name: " service ", port: 80}]\n---\n"
#define WORLD(expect)                                                                              \
    PODS PROXY("web") SERVICE("api", "10.96.0.10") SLICE("api", "10.1.0.2")                        \
        SERVICE("grpc", "10.96.0.11") SLICE("grpc", "10.1.0.3") ROUTE("r", "/local", "api")        \
            ROUTE("other", "/", "api") "apiVersion: weir.dev/v1alpha1\nkind: RoutePolicy\n"        \
                                       "metadata: {name: p}\nspec:\n  targetRefs: [{group: "       \
                                       "gateway.networking.k8s.io, kind: HTTPRoute, name: r, "     \
                                       "sectionName: first}]\n  expectContinue: " expect "\n"
#define POST(path)                                                                                 \
    "POST " path " HTTP/1.1\r\nHost: api\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define GO  "HTTP/1.1 100 Continue\r\n\r\n"
#define OUT WEIR_DIR_OUTBOUND

static struct mem_conn *client(struct flow *f) {
    struct mem_conn *c = flow_client(f);

    mem_info(c)->has_original = true;
    weir_parse_ip("10.96.0.10", &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

static void a_route_that_says_so_answers_at_once_and_only_once(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, OUT, WORLD("local"));
    c = client(&f);
    flow_send(&f, c, POST("/local"));
    assert_string_equal(mem_received(c), GO); /* before there is a connection to a server */
    s = flow_server(&f);
    flow_expect_starts(s, "POST /local HTTP/1.1\r\n");
    flow_expect_lacks(s, "xpect");
    flow_send(&f, s, GO); /* a server may say it unasked: the client has been told */
    assert_string_equal(mem_received(c), GO);
    flow_send(&f, s, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    flow_expect_holds(c, GO "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    flow_send(&f, c, "hello");
    flow_expect_holds(s, "\r\n\r\nhello");
    flow_send(&f, s, OK);
    flow_expect_holds(c, "\r\n\r\n" OK);
    mem_received_clear(c);
    mem_received_clear(s);
    flow_send(&f, c,
              POST("/local") "again"); /* one that does not wait; and the connection goes on */
    flow_expect_holds(s, "\r\n\r\nagain");
    assert_string_equal(mem_received(c), GO);
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), GO OK);
    flow_end(&f);
}

static void other_routes_leave_it_to_the_server(void **state) {
    static const char *const worlds[] = { WORLD("local"), WORLD("forward") };
    static const char *const posts[] = { POST("/x"), POST("/local") };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(worlds); i++) {
        struct flow f;
        struct mem_conn *c, *s;

        flow_start(&f, OUT, worlds[i]);
        c = client(&f);
        flow_send(&f, c, posts[i]);
        s = flow_server(&f);
        flow_expect_holds(s, "Expect: 100-continue\r\n");
        assert_int_equal(mem_received_len(c), 0);
        flow_send(&f, s, GO);
        assert_string_equal(mem_received(c), GO);
        flow_send(&f, c, "hello");
        flow_expect_holds(s, "\r\n\r\nhello");
        flow_send(&f, s, OK);
        assert_string_equal(mem_received(c), GO OK);
        flow_end(&f);
    }
}

static void the_server_of_a_second_attempt_is_not_heard_twice(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, OUT, WORLD("forward"));
    c = client(&f);
    flow_send(&f, c, POST("/local"));
    s = flow_server(&f);
    flow_send(&f, s, GO);
    flow_send(&f, c, "hello");
    flow_send(&f, s, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    flow_wait(&f, 100000);
    s = flow_server(&f);
    flow_expect_holds(s, "\r\n\r\nhello");
    flow_send(&f, s, GO OK);
    assert_string_equal(mem_received(c), GO OK);
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 1);
    flow_end(&f);
}

static void an_http2_client_is_told_as_well(void **state) {
    struct flow f;
    struct h2_peer *p;
    struct h2_msg *m;
    struct mem_conn *s;

    (void)state;
    flow_start(&f, OUT, WORLD("local"));
    p = h2_over(&f, client(&f), false, NULL);
    m = h2_ask(p, "POST", "/local", (const char *const[]){ "expect", "100-continue", NULL }, false);
    flow_run(&f);
    assert_string_equal(h2_field(m, ":status"), "100");
    assert_false(m->has_head);
    s = flow_server(&f);
    flow_expect_lacks(s, "xpect");
    flow_send(&f, s, GO);
    h2_data(m, "hello", 5, true);
    flow_run(&f);
    flow_expect_holds(s, "5\r\nhello\r\n0\r\n\r\n");
    flow_send(&f, s, OK);
    assert_string_equal(h2_text(m), "hi");
    assert_null(strstr(strstr(m->head, ":status: 100") + 1, ":status: 100"));
    assert_non_null(strstr(m->head, ":status: 200"));
    assert_int_equal(p->error, 0);
    flow_end(&f);
}

static void without_content_there_is_nothing_to_wait_for(void **state) {
    struct flow f;
    struct h2_peer *p;
    struct h2_msg *m;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, OUT, WORLD("local"));
    p = h2_over(&f, client(&f), false, NULL);
    m = h2_ask(p, "POST", "/local", (const char *const[]){ "expect", "100-continue", NULL }, true);
    s = flow_server(&f);
    flow_expect_lacks(s, "xpect");
    assert_null(h2_field(m, ":status"));
    flow_send(&f, s, OK);
    assert_string_equal(h2_field(m, ":status"), "200");
    mem_received_clear(s);
    c = client(&f);
    flow_send(&f, c, "GET /local HTTP/1.1\r\nHost: api\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(mem_received_len(c), 0);
    flow_expect_starts(s, "GET /local ");
    flow_expect_lacks(s, "xpect");
    flow_end(&f);
}

static void another_expectation_is_417(void **state) {
    struct flow f;
    struct h2_peer *p;
    struct h2_msg *m;
    struct mem_conn *c;

    (void)state;
    flow_start(&f, OUT, WORLD("local"));
    c = client(&f);
    flow_send(&f, c,
              "POST /local HTTP/1.1\r\nHost: api\r\nExpect: payment\r\nContent-Length: 5\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 417 ");
    p = h2_over(&f, client(&f), false, NULL);
    m = h2_ask(p, "POST", "/local", (const char *const[]){ "expect", "payment", NULL }, false);
    flow_run(&f);
    assert_string_equal(h2_field(m, ":status"), "417");
    assert_null(mem_next_dial(f.net));
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_that_says_so_answers_at_once_and_only_once),
        cmocka_unit_test(other_routes_leave_it_to_the_server),
        cmocka_unit_test(the_server_of_a_second_attempt_is_not_heard_twice),
        cmocka_unit_test(an_http2_client_is_told_as_well),
        cmocka_unit_test(without_content_there_is_nothing_to_wait_for),
        cmocka_unit_test(another_expectation_is_417),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
