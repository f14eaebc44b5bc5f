/* SPDX-License-Identifier: Apache-2.0 */
#include "weir_test.h"

#include "flow.h"

#define POD(name, ip, mode)                                                                        \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: " name                                            \
    ", namespace: default, labels: {app: " name "}, annotations: "                                 \
    "{weir.dev/mode: \"" mode "\"}}\nspec: {serviceAccountName: " name                             \
    ", containers: [{name: c, ports: "                                                             \
    "[{containerPort: 8080}]}]}\nstatus: {podIP: " ip "}\n---\n"
#define SERVICE(name, ip)                                                                          \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name                                        \
    ", namespace: default}\nspec: {clusterIP: " ip ", ports: [{name: http, port: 80}]}\n---\n"
#define SLICE(service, ip)                                                                         \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " service              \
    "-1, namespace: default, "                                                                     \
    "labels: {kubernetes.io/service-name: " service                                                \
    "}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\n"                                   \
    "endpoints: [{addresses: [" ip "]}]\n---\n"
#define PROXY(pod)                                                                                 \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec: {pod: default/" pod    \
    "}\n---\n"

#define MESH                                                                                       \
    POD("web", "10.1.0.1", "sidecar")                                                              \
    POD("v1", "10.1.0.2", "sidecar")                                                               \
    POD("v2", "10.1.0.3", "sidecar")                                                               \
    SERVICE("api", "10.96.0.10")                                                                   \
    SERVICE("api-v1", "10.96.0.11")                                                                \
    SERVICE("api-v2", "10.96.0.12")                                                                \
    SERVICE("empty", "10.96.0.13")                                                                 \
    SLICE("api", "10.1.0.2") SLICE("api-v1", "10.1.0.2") SLICE("api-v2", "10.1.0.3")

#define ROUTE(weight1, weight2)                                                                    \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: api, namespace: " \
    "default}\n"                                                                                   \
    "spec:\n  parentRefs: [{kind: Service, group: \"\", name: api, port: 80}]\n  rules:\n"         \
    "  - matches: [{path: {type: PathPrefix, value: /api}, headers: [{name: x-version, value: "    \
    "v2}]}]\n    backendRefs: [{name: api-v2, port: 80}]\n"                                        \
    "  - matches: [{path: {type: PathPrefix, value: /gone}}]\n    backendRefs: [{name: nowhere, "  \
    "port: 80}]\n"                                                                                 \
    "  - matches: [{path: {type: PathPrefix, value: /empty}}]\n    backendRefs: [{name: empty, "   \
    "port: 80}]\n"                                                                                 \
    "  - matches: [{path: {type: PathPrefix, value: /api}}]\n    backendRefs:\n"                   \
    "    - {name: api-v1, port: 80, weight: " #weight1                                             \
    "}\n    - {name: api-v2, port: 80, weight: " #weight2 "}\n"

static struct mem_conn *outbound(struct flow *f, const char *ip) {
    struct mem_conn *c = flow_client(f);

    mem_info(c)->has_original = true;
    weir_parse_ip(ip, &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

static void expect_dial(struct mem_conn *s, const char *ip, uint16_t port) {
    char got[64];

    assert_string_equal(weir_ip_format(&mem_dial(s)->ip, got, sizeof(got)), ip);
    assert_int_equal(mem_dial(s)->port, port);
}

static void a_header_chooses_the_backend(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, MESH PROXY("web") ROUTE(1, 0));
    c = outbound(&f, "10.96.0.10");
    flow_send(&f, c, "GET /api/x HTTP/1.1\r\nHost: api\r\nX-Version: v2\r\n\r\n");
    s = flow_server(&f);
    expect_dial(s, "10.1.0.3", 8080);
    flow_send(&f, s, "HTTP/1.1 204 No Content\r\n\r\n");
    flow_send(&f, c, "GET /api/x HTTP/1.1\r\nHost: api\r\n\r\n");
    s = flow_server(&f);
    expect_dial(s, "10.1.0.2", 8080);
    flow_end(&f);
}

static void what_the_own_application_forwards_for_others_passes(void **state) {
    static const char get[] = "GET / HTTP/1.1\r\nHost: api\r\nX-Forwarded-For: 203.0.113.5\r\n"
                              "X-Forwarded-Client-Cert: URI=spiffe://a/b\r\nX-Weir-Peer: x\r\n\r\n";
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, MESH PROXY("web"));
    c = outbound(&f, "10.96.0.12");
    flow_send(&f, c, get);
    s = flow_server(&f);
    flow_expect_holds(s, "X-Forwarded-For: 203.0.113.5\r\n");
    flow_expect_lacks(s, "192.0.2.7");
    flow_expect_lacks(s, "spiffe");
    flow_expect_lacks(s, "X-Weir-Peer");
    flow_end(&f);
    flow_start(&f, WEIR_DIR_OUTBOUND, MESH PROXY("web"));
    f.worker.epoch->rt->snapshot->proxy.forwarded_outbound = WEIR_FORWARDED_STRIP;
    c = outbound(&f, "10.96.0.12");
    flow_send(&f, c, get);
    flow_expect_lacks(flow_server(&f), "203.0.113.5");
    flow_end(&f);
}

static void what_no_route_or_backend_takes_says_so(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, MESH PROXY("web") ROUTE(1, 1));
    c = outbound(&f, "10.96.0.10");
    flow_send(&f, c, "GET /other HTTP/1.1\r\nHost: api\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 404 ");
    mem_received_clear(c);
    flow_send(&f, c, "GET /gone HTTP/1.1\r\nHost: api\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 500 ");
    mem_received_clear(c);
    flow_send(&f, c, "GET /empty HTTP/1.1\r\nHost: api\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 503 ");
    flow_expect_holds(c, "x-weir-reason: no_endpoint");
    flow_end(&f);
}

static void a_service_without_routes_goes_to_its_endpoints(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, MESH PROXY("web") ROUTE(1, 1));
    c = outbound(&f, "10.96.0.12");
    flow_send(&f, c, "GET /%2e%2e/odd HTTP/1.1\r\nHost: anything\r\n\r\n");
    expect_dial(flow_server(&f), "10.1.0.3", 8080);
    flow_end(&f);
}

static void an_unknown_destination_is_closed(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, MESH PROXY("web"));
    c = outbound(&f, "10.96.0.99");
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    assert_true(mem_is_closed(c));
    assert_null(mem_next_dial(f.net));
    flow_end(&f);
}

static void a_route_edit_takes_the_next_request_of_an_open_connection(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, MESH PROXY("web") ROUTE(1, 0));
    c = outbound(&f, "10.96.0.10");
    flow_send(&f, c, "GET /api HTTP/1.1\r\nHost: api\r\n\r\n");
    s = flow_server(&f);
    expect_dial(s, "10.1.0.2", 8080);
    flow_reload(&f, MESH PROXY("web") ROUTE(0, 1));
    flow_send(&f, s, "HTTP/1.1 204 No Content\r\n\r\n");
    flow_send(&f, c, "GET /api HTTP/1.1\r\nHost: api\r\n\r\n");
    expect_dial(flow_server(&f), "10.1.0.3", 8080);
    flow_end(&f);
}

static void a_dot_segment_cannot_step_around_a_route(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, MESH PROXY("web") ROUTE(1, 0));
    c = outbound(&f, "10.96.0.10");
    flow_send(&f, c, "GET /gone/../api/y?q HTTP/1.1\r\nHost: api\r\n\r\n");
    s = flow_server(&f);
    flow_expect_starts(s, "GET /api/y?q HTTP/1.1\r\n"); /* what was decided on is what is sent */
    flow_send(&f, s, "HTTP/1.1 204 No Content\r\n\r\n");
    mem_received_clear(c);
    flow_send(&f, c, "GET /api%2f..%2fgone HTTP/1.1\r\nHost: api\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 400 ");
    flow_end(&f);
}

static struct mem_conn *inbound(struct flow *f, const char *source) {
    struct mem_conn *c = flow_client(f);

    weir_parse_ip(source, &mem_info(c)->remote);
    weir_parse_ip("10.1.0.2", &mem_info(c)->local);
    mem_info(c)->local_port = 8080;
    return c;
}

static void inbound_plaintext_reaches_the_application(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, MESH PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c,
              "GET / HTTP/1.1\r\nHost: api\r\nX-Forwarded-Client-Cert: URI=spiffe://x/y\r\n\r\n");
    s = flow_server(&f);
    expect_dial(s, "10.1.0.2", 8080);
    flow_expect_lacks(s, "spiffe");
    flow_end(&f);
}

static void strict_refuses_plaintext(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(
        &f, WEIR_DIR_INBOUND,
        MESH PROXY(
            "v1") "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
                  "metadata: {name: default, namespace: default}\nspec: {mtls: {mode: STRICT}}\n");
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    assert_true(mem_is_closed(c));
    assert_null(mem_next_dial(f.net));
    flow_end(&f);
}

static void a_network_policy_is_asked_again_by_the_sidecar(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(
        &f, WEIR_DIR_INBOUND,
        MESH PROXY(
            "v1") "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
                  "metadata: {name: only-v2, namespace: default}\n"
                  "spec: {podSelector: {matchLabels: {app: v1}}, ingress: [{from: [{podSelector: "
                  "{matchLabels: {app: v2}}}]}]}\n");
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 403 ");
    flow_expect_holds(c, "default/only-v2");
    c = inbound(&f, "10.1.0.3");
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    assert_non_null(flow_server(&f));
    flow_end(&f);
}

static void bytes_that_are_no_http_are_relayed_with_half_close(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, MESH PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "\x01\x02 hello");
    s = flow_server(&f);
    assert_string_equal(mem_received(s), "\x01\x02 hello");
    mem_shutdown(c);
    mem_run(f.net);
    assert_true(mem_got_eof(s));
    flow_send(&f, s, "bye");
    assert_string_equal(mem_received(c), "bye");
    mem_shutdown(s);
    mem_run(f.net);
    mem_advance(f.net, 3000000);
    assert_true(mem_is_closed(c));
    assert_true(mem_is_closed(s));
    assert_non_null(strstr(flow_lines(&f), "TCP"));
    flow_end(&f);
}

static void a_server_that_speaks_first_is_not_kept_waiting(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND,
               POD("web", "10.1.0.1", "sidecar") POD("v1", "10.1.0.2", "sidecar") PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    mem_run(f.net);
    assert_null(mem_next_dial(f.net));
    mem_advance(f.net, 250000);
    s = flow_server(&f);
    flow_send(&f, s, "220 ready\r\n");
    assert_string_equal(mem_received(c), "220 ready\r\n");
    flow_end(&f);
}

static void a_relay_whose_server_refuses_resets_the_client(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, MESH PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "\x01\x02");
    s = mem_next_dial(f.net);
    mem_dial_refuse(s);
    mem_run(f.net);
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

static struct mem_conn *on_port(struct flow *f) {
    struct mem_conn *c = inbound(f, "10.1.0.1");

    mem_run(f->net);
    return c;
}

static void who_speaks_first_is_learnt_per_port(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND,
               POD("web", "10.1.0.1", "sidecar") POD("v1", "10.1.0.2", "sidecar") PROXY("v1"));
    c = on_port(&f);
    assert_null(mem_next_dial(f.net));
    mem_advance(f.net, 250000);
    s = flow_server(&f);
    flow_send(&f, s, "220 ready\r\n");
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_WAITS), 1);
    c = on_port(&f); /* without a wait */
    s = flow_server(&f);
    flow_send(&f, s, "220 again\r\n");
    assert_string_equal(mem_received(c), "220 again\r\n");
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_WAITS), 1);
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_KNOWN), 1);
    assert_int_equal(flow_count(&f, WEIR_C_RELAYS), 2);
    /* A client that speaks HTTP there is served as HTTP, and the port is waited for again. */
    c = on_port(&f);
    s = flow_server(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(mem_got_eof(s));
    assert_string_equal(mem_received(s), "");
    s = flow_server(&f);
    flow_expect_starts(s, "GET / HTTP/1.1\r\n");
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_CONTRARY), 1);
    assert_int_equal(flow_count(&f, WEIR_C_RELAYS), 2);
    on_port(&f);
    assert_null(mem_next_dial(f.net));
    flow_end(&f);
}

#define NODE_SAYS_SERVER (1u << WEIR_FIRST_SERVER)

static struct mem_conn *on_port_known(struct flow *f, uint8_t first) {
    struct mem_conn *c = inbound(f, "10.1.0.1");

    mem_first(c, first);
    mem_run(f->net);
    return c;
}

static void what_the_node_knows_of_a_port_is_not_waited_for(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND,
               POD("web", "10.1.0.1", "sidecar") POD("v1", "10.1.0.2", "sidecar") PROXY("v1"));
    c = on_port_known(&f, NODE_SAYS_SERVER);
    s = flow_server(&f);
    flow_send(&f, s, "220 ready\r\n");
    assert_string_equal(mem_received(c), "220 ready\r\n");
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_WAITS), 0);
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_TOLD), 1);
    assert_int_equal(mem_spoke(c), WEIR_SPOKE_SERVER);
    /* From here on the worker has seen it itself: it does not ask, and does not say it again. */
    c = on_port_known(&f, 0);
    s = flow_server(&f);
    flow_send(&f, s, "220 ready\r\n");
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_TOLD), 1);
    assert_int_equal(mem_spoke(c), WEIR_SPOKE_NOBODY);
    flow_end(&f);
}

static void a_node_that_was_lied_to_is_believed_once(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND,
               POD("web", "10.1.0.1", "sidecar") POD("v1", "10.1.0.2", "sidecar") PROXY("v1"));
    c = on_port_known(&f, NODE_SAYS_SERVER);
    s = flow_server(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(mem_received(s), "");
    s = flow_server(&f);
    flow_expect_starts(s, "GET / HTTP/1.1\r\n");
    assert_int_equal(mem_spoke(c), WEIR_SPOKE_HTTP1);
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_CONTRARY), 1);
    on_port_known(&f, NODE_SAYS_SERVER);
    assert_null(mem_next_dial(f.net));
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_TOLD), 1);
    flow_end(&f);
}

/* The other way round: no lie makes anybody wait longer than it would have without one. */
static void a_port_said_to_be_the_clients_is_waited_at_once(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND,
               POD("web", "10.1.0.1", "sidecar") POD("v1", "10.1.0.2", "sidecar") PROXY("v1"));
    on_port_known(&f, 1u << WEIR_FIRST_CLIENT);
    mem_advance(f.net, 250000);
    s = flow_server(&f);
    flow_send(&f, s, "220 ready\r\n");
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_WAITS), 1);
    c = on_port_known(&f, 1u << WEIR_FIRST_CLIENT);
    s = flow_server(&f);
    flow_send(&f, s, "220 ready\r\n");
    assert_string_equal(mem_received(c), "220 ready\r\n");
    assert_int_equal(flow_count(&f, WEIR_C_DETECT_WAITS), 1);
    flow_end(&f);
}

static void what_a_client_speaks_is_reported_where_nobody_declared_it(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
        uint8_t spoke;
    } say[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, WEIR_SPOKE_HTTP1 },
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, WEIR_SPOKE_HTTP2 },
        { "\x01\x02", 2, WEIR_SPOKE_BYTES },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(say); i++) {
        struct flow f;
        struct mem_conn *c;

        flow_start(&f, WEIR_DIR_INBOUND,
                   POD("web", "10.1.0.1", "sidecar") POD("v1", "10.1.0.2", "sidecar") PROXY("v1"));
        c = on_port(&f);
        mem_send_bytes(c, say[i].bytes, say[i].len);
        flow_run(&f);
        assert_int_equal(mem_spoke(c), say[i].spoke);
        flow_end(&f);
    }
}

static void a_client_later_than_the_wait_is_still_read(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND,
               POD("web", "10.1.0.1", "sidecar") POD("v1", "10.1.0.2", "sidecar") PROXY("v1"));
    c = on_port(&f);
    mem_advance(f.net, 250000);
    s = mem_next_dial(f.net); /* not even connected yet */
    assert_non_null(s);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = flow_server(&f);
    flow_expect_starts(s, "GET / HTTP/1.1\r\n");
    flow_end(&f);
}

static void the_wait_is_configured(void **state) {
    struct flow f;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND,
               POD("web", "10.1.0.1", "sidecar") POD(
                   "v1", "10.1.0.2",
                   "sidecar") "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\n"
                              "spec: {pod: default/v1, limits: {detectTimeout: 1s}}\n");
    on_port(&f);
    mem_advance(f.net, 800000);
    assert_null(mem_next_dial(f.net));
    mem_advance(f.net, 400000);
    assert_non_null(mem_next_dial(f.net));
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_chooses_the_backend),
        cmocka_unit_test(what_the_own_application_forwards_for_others_passes),
        cmocka_unit_test(what_no_route_or_backend_takes_says_so),
        cmocka_unit_test(a_service_without_routes_goes_to_its_endpoints),
        cmocka_unit_test(an_unknown_destination_is_closed),
        cmocka_unit_test(a_route_edit_takes_the_next_request_of_an_open_connection),
        cmocka_unit_test(a_dot_segment_cannot_step_around_a_route),
        cmocka_unit_test(inbound_plaintext_reaches_the_application),
        cmocka_unit_test(strict_refuses_plaintext),
        cmocka_unit_test(a_network_policy_is_asked_again_by_the_sidecar),
        cmocka_unit_test(bytes_that_are_no_http_are_relayed_with_half_close),
        cmocka_unit_test(a_server_that_speaks_first_is_not_kept_waiting),
        cmocka_unit_test(who_speaks_first_is_learnt_per_port),
        cmocka_unit_test(what_the_node_knows_of_a_port_is_not_waited_for),
        cmocka_unit_test(a_node_that_was_lied_to_is_believed_once),
        cmocka_unit_test(a_port_said_to_be_the_clients_is_waited_at_once),
        cmocka_unit_test(what_a_client_speaks_is_reported_where_nobody_declared_it),
        cmocka_unit_test(a_client_later_than_the_wait_is_still_read),
        cmocka_unit_test(the_wait_is_configured),
        cmocka_unit_test(a_relay_whose_server_refuses_resets_the_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
