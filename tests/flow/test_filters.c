/* SPDX-License-Identifier: Apache-2.0 */
/* What a route's filters do to requests and answers on their way through a sidecar. */
#include "weir_test.h"

#include "flow.h"

#define SERVICE(name, ip, endpoint)                                                                \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name                                        \
    ", namespace: default}\nspec: {clusterIP: " ip ", ports: [{name: http, port: 80}]}\n---\n"     \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " name                 \
    "-1, namespace: default, labels: {kubernetes.io/service-name: " name                           \
    "}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\n"                                   \
    "endpoints: [{addresses: [" endpoint "]}]\n---\n"
#define CONFIG(rule)                                                                               \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: default}\n"                       \
    "spec: {containers: [{name: c}]}\nstatus: {podIP: 10.1.0.1}\n---\n"                            \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\n"                            \
    "spec: {pod: default/web}\n---\n" SERVICE("api", "10.96.0.10", "10.1.0.2") SERVICE(            \
        "copy", "10.96.0.11", "10.1.0.3") "apiVersion: gateway.networking.k8s.io/v1\nkind: "       \
                                          "HTTPRoute\nmetadata: {name: api}\n"                     \
                                          "spec:\n  parentRefs: [{kind: Service, group: \"\", "    \
                                          "name: api}]\n  rules:\n  - " rule "\n"
#define BACKEND "backendRefs: [{name: api, port: 80}]"
#define MIRROR(more)                                                                               \
    CONFIG(BACKEND "\n    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: "     \
                   "copy, port: 80}" more "}}]")
#define GET "GET /a/b?c=d HTTP/1.1\r\nHost: api:80\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static struct mem_conn *client(struct flow *f) {
    struct mem_conn *c = flow_client(f);

    mem_info(c)->has_original = true;
    weir_parse_ip("10.96.0.10", &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

static bool dialled(struct mem_conn *s, const char *ip) {
    char got[64];

    return strcmp(weir_ip_format(&mem_dial(s)->ip, got, sizeof(got)), ip) == 0;
}

static void a_redirect_is_answered_here(void **state) {
    struct flow f;
    struct mem_conn *c;

    flow_start(&f, WEIR_DIR_OUTBOUND,
               CONFIG("filters: [{type: RequestRedirect, requestRedirect: {scheme: https, "
                      "statusCode: 301}}, {type: ResponseHeaderModifier, responseHeaderModifier: "
                      "{set: [{name: x-r, value: y}]}}]"));
    c = client(&f);
    flow_send(&f, c, GET GET);
    flow_expect_starts(c, "HTTP/1.1 301 ");
    flow_expect_holds(c, "location: https://api/a/b?c=d\r\n");
    flow_expect_holds(c, "x-r: y\r\n");
    flow_expect_holds(c, "x-weir-reason: redirect\r\n");
    flow_expect_holds(c, "weir: The route redirects this request. (RD redirect)\n");
    assert_null(mem_next_dial(f.net));
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS), 2); /* the connection goes on */
    assert_non_null(strstr(flow_lines(&f), "\" 301 RD "));
    flow_end(&f);
}

static void a_redirect_without_a_host_is_a_bad_request(void **state) {
    struct flow f;
    struct mem_conn *c;

    flow_start(&f, WEIR_DIR_OUTBOUND,
               CONFIG("filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]"));
    c = client(&f);
    flow_send(&f, c, "GET / HTTP/1.0\r\n\r\n");
    flow_expect_holds(c, " 400 ");
    flow_end(&f);
}

static void a_rewrite_changes_what_the_backend_sees_and_not_the_log(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    flow_start(&f, WEIR_DIR_OUTBOUND,
               CONFIG(BACKEND "\n    matches: [{path: {value: /a}}]\n    filters: [{type: "
                              "URLRewrite, urlRewrite: {hostname: new.example, path: {type: "
                              "ReplacePrefixMatch, replacePrefixMatch: /x}}}]"));
    c = client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_expect_starts(s, "GET /x/b?c=d HTTP/1.1\r\nHost: new.example\r\n");
    flow_send(&f, s, OK);
    assert_non_null(strstr(flow_lines(&f), "\"GET /a/b?c=d HTTP/1.1\" 200 "));
    flow_end(&f);
}

static void
a_backend_s_filters_come_after_the_rule_s_and_before_them_on_the_way_back(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    flow_start(&f, WEIR_DIR_OUTBOUND,
               CONFIG("filters:\n"
                      "    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: q, "
                      "value: rule}, {name: only-rule, value: \"1\"}]}}\n"
                      "    - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: "
                      "s, value: rule}]}}\n"
                      "    backendRefs:\n    - name: api\n      port: 80\n      filters:\n"
                      "      - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: "
                      "q, value: backend}]}}\n"
                      "      - {type: ResponseHeaderModifier, responseHeaderModifier: {set: "
                      "[{name: s, value: backend}, {name: t, value: backend}]}}"));
    c = client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_expect_holds(s, "q: backend\r\n");
    flow_expect_lacks(s, "q: rule\r\n");
    flow_expect_holds(s, "only-rule: 1\r\n");
    flow_send(&f, s, OK);
    flow_expect_holds(c, "s: rule\r\n");
    flow_expect_holds(c, "t: backend\r\n");
    flow_expect_lacks(c, "s: backend\r\n");
    flow_end(&f);
}

static void cors_answers_the_preflight_and_marks_the_answer(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    flow_start(&f, WEIR_DIR_OUTBOUND,
               CONFIG(BACKEND
                      "\n    filters: [{type: CORS, cors: {allowOrigins: "
                      "[\"https://*.example\"], allowMethods: [PUT]}}, {type: "
                      "RequestHeaderModifier, requestHeaderModifier: {remove: [origin]}}]"));
    c = client(&f);
    flow_send(&f, c,
              "OPTIONS /a HTTP/1.1\r\nHost: api\r\nOrigin: https://a.example\r\n"
              "Access-Control-Request-Method: PUT\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 204 ");
    flow_expect_holds(c, "access-control-allow-origin: https://a.example\r\n");
    flow_expect_holds(c, "access-control-allow-methods: PUT\r\n");
    flow_expect_lacks(c, "ontent-Length");
    assert_null(mem_next_dial(f.net));
    mem_received_clear(c);
    flow_send(&f, c, "PUT /a HTTP/1.1\r\nHost: api\r\nOrigin: https://a.example\r\n\r\n");
    s = flow_server(&f);
    flow_expect_lacks(s, "rigin: ");
    flow_send(&f, s,
              "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n");
    flow_expect_holds(c, "access-control-allow-origin: https://a.example\r\n");
    flow_expect_lacks(c, "Origin: *");
    flow_end(&f);
}

/* Takes the two dials of a request with a mirror, in whatever order. */
static void two_servers(struct flow *f, struct mem_conn **ret_main, struct mem_conn **ret_copy) {
    struct mem_conn *a = flow_server(f), *b = flow_server(f);

    *ret_main = dialled(a, "10.1.0.2") ? a : b;
    *ret_copy = dialled(a, "10.1.0.2") ? b : a;
    assert_true(dialled(*ret_main, "10.1.0.2") && dialled(*ret_copy, "10.1.0.3"));
}

static void a_mirror_gets_the_request_and_its_answer_is_thrown_away(void **state) {
    struct flow f;
    struct mem_conn *c, *s, *m;

    flow_start(&f, WEIR_DIR_OUTBOUND, MIRROR(""));
    c = client(&f);
    flow_send(&f, c,
              "POST /p?q HTTP/1.1\r\nHost: api\r\nX-A: b\r\nExpect: 100-continue\r\n"
              "Content-Length: 5\r\n\r\nhe");
    two_servers(&f, &s, &m);
    flow_expect_starts(m, "POST /p?q HTTP/1.1\r\nHost: api\r\n");
    flow_expect_holds(m, "X-A: b\r\n");
    flow_expect_lacks(m, "Expect");
    flow_expect_holds(s, "Expect: 100-continue\r\n");
    flow_send(&f, c, "llo");
    flow_expect_holds(m, "\r\n\r\nhello");
    flow_expect_holds(s, "\r\n\r\nhello");
    flow_send(&f, m, "HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad");
    assert_int_equal(mem_received_len(c), 0);
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    mem_received_clear(c);
    mem_received_clear(m);
    mem_received_clear(s);
    /* Both connections are used again; this time the answer comes first. */
    flow_send(&f, c, GET);
    flow_expect_starts(s, "GET /a/b?c=d ");
    flow_expect_starts(m, "GET /a/b?c=d ");
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    flow_send(&f, m, OK);
    assert_string_equal(mem_received(c), OK);
    assert_int_equal(flow_count(&f, WEIR_C_MIRRORS), 2);
    assert_int_equal(flow_count(&f, WEIR_C_MIRRORS_LOST), 0);
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS), 2);
    flow_end(&f);
}

static void a_mirror_that_fails_changes_nothing(void **state) {
    struct flow f;
    struct mem_conn *c, *s, *m;

    flow_start(&f, WEIR_DIR_OUTBOUND, MIRROR(""));
    c = client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\n\r\nhe");
    two_servers(&f, &s, &m);
    mem_close(m);
    mem_run(f.net);
    flow_send(&f, c, "llo");
    flow_expect_holds(s, "\r\n\r\nhello");
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    assert_int_equal(flow_count(&f, WEIR_C_MIRRORS_LOST), 1);
    flow_end(&f);
}

static void a_mirror_that_does_not_read_is_given_up_and_holds_nothing_back(void **state) {
    struct flow f;
    struct mem_conn *c, *s, *m;
    static char body[3 << 20];

    flow_start(&f, WEIR_DIR_OUTBOUND, MIRROR(""));
    mem_buffer_size(f.net, 16384);
    c = client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 3145728\r\n\r\n");
    two_servers(&f, &s, &m);
    mem_hold(m, true);
    memset(body, 'x', sizeof(body));
    mem_send_bytes(c, body, sizeof(body));
    mem_run(f.net);
    assert_true(mem_received_len(s) > sizeof(body));
    assert_int_equal(flow_count(&f, WEIR_C_MIRRORS_LOST), 1);
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    flow_end(&f);
}

static void a_slow_mirror_gets_all_of_it(void **state) {
    struct flow f;
    struct mem_conn *c, *s, *m;
    static char body[600000];

    flow_start(&f, WEIR_DIR_OUTBOUND, MIRROR(""));
    mem_buffer_size(f.net, 16384);
    c = client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n927c0\r\n");
    two_servers(&f, &s, &m);
    mem_hold(m, true);
    memset(body, 'x', sizeof(body));
    mem_send_bytes(c, body, sizeof(body));
    mem_run(f.net);
    flow_send(&f, c, "\r\n0\r\n\r\n");
    assert_true(mem_received_len(m) < sizeof(body));
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK); /* the original is done; the copy goes on alone */
    mem_hold(m, false);
    mem_run(f.net);
    assert_true(mem_received_len(m) > sizeof(body));
    assert_string_equal(mem_received(m) + mem_received_len(m) - 7, "\r\n0\r\n\r\n");
    flow_send(&f, m, OK);
    assert_int_equal(flow_count(&f, WEIR_C_MIRRORS_LOST), 0);
    flow_end(&f);
}

static void a_request_that_ends_early_ends_its_mirror(void **state) {
    struct flow f;
    struct mem_conn *c, *s, *m;

    flow_start(&f, WEIR_DIR_OUTBOUND, MIRROR(""));
    c = client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\n\r\nhe");
    two_servers(&f, &s, &m);
    mem_close(c);
    mem_run(f.net);
    assert_int_equal(flow_count(&f, WEIR_C_MIRRORS_LOST), 1);
    flow_end(&f);
}

static void a_mirror_that_never_answers_is_given_up(void **state) {
    struct flow f;
    struct mem_conn *c, *s, *m;

    flow_start(&f, WEIR_DIR_OUTBOUND, MIRROR(""));
    c = client(&f);
    flow_send(&f, c, GET);
    two_servers(&f, &s, &m);
    flow_send(&f, s, OK);
    mem_advance(f.net, 17 * 1000 * 1000);
    mem_run(f.net);
    assert_int_equal(flow_count(&f, WEIR_C_MIRRORS_LOST), 1);
    flow_end(&f);
}

static void a_share_of_requests_is_mirrored(void **state) {
    struct flow f;
    struct mem_conn *c, *s = NULL, *m = NULL;

    flow_start(&f, WEIR_DIR_OUTBOUND, MIRROR(", percent: 0"));
    c = client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    assert_true(dialled(s, "10.1.0.2"));
    flow_send(&f, s, OK);
    assert_int_equal(flow_count(&f, WEIR_C_MIRRORS), 0);
    flow_reload(&f, MIRROR(", fraction: {numerator: 1, denominator: 4}"));
    for (int i = 0; i < 400; i++) {
        uint64_t before = flow_count(&f, WEIR_C_MIRRORS);

        mem_received_clear(c);
        flow_send(&f, c, GET);
        if (flow_count(&f, WEIR_C_MIRRORS) > before) {
            if (!m)
                m = flow_server(&f);
            flow_send(&f, m, OK);
        }
        flow_send(&f, s, OK);
        assert_string_equal(mem_received(c), OK);
    }
    assert_in_range(flow_count(&f, WEIR_C_MIRRORS), 60, 140);
    flow_end(&f);
}

#define TEAM_ROUTE(name, ns, parent_ns, path, backend_ns)                                          \
    "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: " name       \
    ", namespace: " ns                                                                             \
    "}\nspec:\n  parentRefs: [{kind: Service, group: \"\", name: shop, namespace: " parent_ns      \
    "}]\n  rules: [{name: only, matches: [{path: {value: " path                                    \
    "}}], backendRefs: [{name: copy, namespace: " backend_ns ", port: 80}]}]\n"

static void a_consumer_s_routes_come_before_the_producer_s(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    flow_start(
        &f, WEIR_DIR_OUTBOUND,
        CONFIG(BACKEND) "---\napiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: "
                        "team}\nspec: {clusterIP: 10.96.0.20, ports: [{name: http, port: 80}]}\n"
                        "---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n"
                        "metadata: {name: g}\nspec: {from: [{group: gateway.networking.k8s.io, "
                        "kind: HTTPRoute, namespace: team}], to: [{group: \"\", kind: "
                        "Service}]}\n" TEAM_ROUTE("producer", "team", "team", "/a", "default")
                            TEAM_ROUTE("consumer", "default", "team", "/a/b", "default")
                                TEAM_ROUTE("stranger", "foreign", "team", "/a/b/c", "foreign"));
    c = client(&f);
    weir_parse_ip("10.96.0.20", &mem_info(c)->original);
    flow_send(&f, c, "GET /a/b/c HTTP/1.1\r\nHost: shop\r\n\r\n");
    s = flow_server(&f);
    assert_true(dialled(s, "10.1.0.3"));
    flow_send(&f, s, OK);
    assert_non_null(strstr(flow_lines(&f), "default/consumer/only"));
    flow_send(&f, c, "GET /a HTTP/1.1\r\nHost: shop\r\n\r\n");
    flow_send(&f, s, OK);
    assert_non_null(strstr(flow_lines(&f), "team/producer/only"));
    mem_received_clear(c);
    flow_send(&f, c, "GET /x HTTP/1.1\r\nHost: shop\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 404 ");
    assert_null(strstr(flow_lines(&f), "stranger"));
    flow_end(&f);
}

static void a_rule_without_weight_is_an_error(void **state) {
    struct flow f;
    struct mem_conn *c;

    flow_start(&f, WEIR_DIR_OUTBOUND, CONFIG("backendRefs: [{name: api, port: 80, weight: 0}]"));
    c = client(&f);
    flow_send(&f, c, GET);
    flow_expect_starts(c, "HTTP/1.1 500 ");
    flow_end(&f);
}

static void a_grpc_request_gets_its_answer_in_grpc_s_words(void **state) {
    struct flow f;
    struct mem_conn *c;

    flow_start(&f, WEIR_DIR_OUTBOUND, CONFIG("matches: [{path: {value: /only}}]"));
    c = client(&f);
    flow_send(&f, c,
              "POST /a.B/C HTTP/1.1\r\nHost: api\r\nContent-Type: application/grpc\r\n"
              "TE: trailers\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 200 ");
    flow_expect_holds(c, "content-type: application/grpc\r\n");
    flow_expect_holds(c, "grpc-status: 12\r\n");
    flow_expect_holds(c, "grpc-message: weir: No route matches the request.\r\n");
    flow_expect_holds(c, "x-weir-reason: no_route\r\n");
    mem_received_clear(c);
    flow_send(&f, c,
              "POST /only HTTP/1.1\r\nHost: api\r\nContent-Type: application/grpc+x\r\n\r\n");
    flow_expect_holds(c, "grpc-status: 14\r\n");
    assert_non_null(strstr(flow_lines(&f), "no_route"));
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_redirect_is_answered_here),
        cmocka_unit_test(a_redirect_without_a_host_is_a_bad_request),
        cmocka_unit_test(a_rewrite_changes_what_the_backend_sees_and_not_the_log),
        cmocka_unit_test(a_backend_s_filters_come_after_the_rule_s_and_before_them_on_the_way_back),
        cmocka_unit_test(cors_answers_the_preflight_and_marks_the_answer),
        cmocka_unit_test(a_mirror_gets_the_request_and_its_answer_is_thrown_away),
        cmocka_unit_test(a_mirror_that_fails_changes_nothing),
        cmocka_unit_test(a_mirror_that_does_not_read_is_given_up_and_holds_nothing_back),
        cmocka_unit_test(a_slow_mirror_gets_all_of_it),
        cmocka_unit_test(a_request_that_ends_early_ends_its_mirror),
        cmocka_unit_test(a_mirror_that_never_answers_is_given_up),
        cmocka_unit_test(a_share_of_requests_is_mirrored),
        cmocka_unit_test(a_consumer_s_routes_come_before_the_producer_s),
        cmocka_unit_test(a_rule_without_weight_is_an_error),
        cmocka_unit_test(a_grpc_request_gets_its_answer_in_grpc_s_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
