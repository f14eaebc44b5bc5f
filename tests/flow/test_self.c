/* SPDX-License-Identifier: Apache-2.0 */
/* A pod that calls itself through its own service: its sidecar picks its own pod and hands the request to its inbound side in process. */
#include "weir_test.h"

#include "pair.h"

#define HTTP "{name: http, port: 80}"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define DENY                                                                                       \
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: no, "           \
    "namespace: default}\n"                                                                        \
    "spec: {action: DENY, selector: {matchLabels: {app: v1}}, rules: [{from: [{source: "           \
    "{principals: "                                                                                \
    "['*/sa/v1']}}], to: [{operation: {paths: [/secret]}}]}]}\n---\n"
#define STRICT                                                                                     \
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, "       \
    "namespace: default}\nspec: {mtls: {mode: STRICT}}\n---\n"

/* v1's sidecar; what its application calls, the service `api` whose one endpoint is v1, comes in on the outbound side. */
static struct flow *start(struct pair *p, const char *port, const char *more) {
    pair_start(p, port, more);
    p->in.listener.dir = WEIR_DIR_OUTBOUND;
    return &p->in;
}

static struct mem_conn *call_self(struct flow *f) {
    struct mem_conn *c = flow_client(f);

    weir_parse_ip("127.0.0.1", &mem_info(c)->remote);
    mem_info(c)->has_original = true;
    weir_parse_ip("10.96.0.10", &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

static void the_inbound_side_serves_it_and_names_the_caller(void **state) {
    struct mem_conn *c, *s;
    struct flow *f;
    struct pair p;

    (void)state;
    f = start(&p, HTTP, STRICT);
    c = call_self(f);
    flow_send(f, c,
              "GET /a HTTP/1.1\r\nHost: api\r\nX-Forwarded-Client-Cert: URI=spiffe://evil\r\n\r\n");
    s = flow_server(f); /* one dial: the application's */
    flow_run(f);
    flow_expect_holds(s, "GET /a HTTP/1.1\r\n");
    flow_expect_holds(s, ";URI=spiffe://cluster.local/ns/default/sa/v1\r\n");
    flow_expect_lacks(s, "evil");
    flow_send(f, s, OK);
    assert_string_equal(mem_received(c), OK);
    assert_null(mem_next_dial(f->net));
    assert_int_equal(flow_count(f, WEIR_C_REQUESTS), 2);
    assert_non_null(strstr(flow_lines(f), "direction=outbound"));
    assert_non_null(strstr(flow_lines(f), "direction=inbound"));
    /* The connection is kept, as any other. */
    mem_received_clear(c);
    flow_send(f, c, "GET /b HTTP/1.1\r\nHost: api\r\n\r\n");
    flow_expect_holds(s, "GET /b HTTP/1.1\r\n");
    flow_send(f, s, OK);
    assert_string_equal(mem_received(c), OK);
    pair_end(&p);
}

static void its_own_policies_are_for_it_as_well(void **state) {
    struct mem_conn *c;
    struct flow *f;
    struct pair p;

    (void)state;
    f = start(&p, HTTP, DENY);
    c = call_self(f);
    flow_send(f, c, "GET /secret HTTP/1.1\r\nHost: api\r\n\r\n");
    flow_run(f);
    flow_expect_starts(c, "HTTP/1.1 403 ");
    flow_expect_holds(c, "default/no");
    assert_null(mem_next_dial(f->net));
    assert_int_equal(flow_count(f, WEIR_C_AUTHZ_DENIED), 1);
    pair_end(&p);
}

static void much_content_goes_both_ways_and_waits_for_a_slow_reader(void **state) {
    static char body[200000];
    struct mem_conn *c, *s;
    char head[128];
    struct flow *f;
    struct pair p;

    (void)state;
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (char)('a' + i % 23);
    f = start(&p, HTTP, "");
    c = call_self(f);
    snprintf(head, sizeof(head), "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: %zu\r\n\r\n",
             sizeof(body));
    flow_send(f, c, head);
    s = flow_server(f);
    mem_send_bytes(c, body, sizeof(body));
    flow_run(f);
    assert_true(mem_received_len(s) > sizeof(body));
    assert_memory_equal(mem_received(s) + mem_received_len(s) - sizeof(body), body, sizeof(body));
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", sizeof(body));
    flow_send(f, s, head);
    mem_send_bytes(s, body, sizeof(body));
    flow_run(f);
    assert_int_equal(mem_received_len(c), strlen(head) + sizeof(body));
    assert_memory_equal(mem_received(c) + strlen(head), body, sizeof(body));
    pair_end(&p);
}

static void either_side_may_leave(void **state) {
    struct mem_conn *c, *s;
    struct flow *f;
    struct pair p;

    (void)state;
    f = start(&p, HTTP, "");
    c = call_self(f);
    flow_send(f, c, "GET /a HTTP/1.1\r\nHost: api\r\n\r\n");
    s = flow_server(f);
    flow_run(f);
    mem_reset(s);
    flow_run(f);
    flow_expect_starts(c, "HTTP/1.1 502 ");
    c = call_self(f);
    flow_send(f, c, "GET /b HTTP/1.1\r\nHost: api\r\n\r\n");
    s = flow_server(f);
    flow_run(f);
    mem_reset(c);
    flow_run(f);
    assert_true(mem_got_reset(s) || mem_got_eof(s));
    pair_end(&p);
}

static void bytes_that_are_no_http_take_the_same_way(void **state) {
    struct mem_conn *c, *s;
    struct flow *f;
    struct pair p;

    (void)state;
    f = start(&p, "{name: tcp, port: 80}", "");
    c = call_self(f);
    flow_send(f, c, "\x01\x02\x03\x04\x05\x06\x07\x08");
    s = flow_server(f);
    flow_run(f);
    flow_expect_holds(s, "\x01\x02\x03\x04\x05\x06\x07\x08");
    flow_send(f, s, "\x09\x0a");
    flow_expect_holds(c, "\x09\x0a");
    assert_int_equal(flow_count(f, WEIR_C_RELAYS), 2);
    mem_shutdown(c);
    flow_run(f);
    assert_true(mem_got_eof(s));
    mem_shutdown(s);
    flow_run(f);
    assert_true(mem_got_eof(c));
    pair_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_inbound_side_serves_it_and_names_the_caller),
        cmocka_unit_test(its_own_policies_are_for_it_as_well),
        cmocka_unit_test(much_content_goes_both_ways_and_waits_for_a_slow_reader),
        cmocka_unit_test(either_side_may_leave),
        cmocka_unit_test(bytes_that_are_no_http_take_the_same_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
