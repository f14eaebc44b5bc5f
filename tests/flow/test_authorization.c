/* SPDX-License-Identifier: Apache-2.0 */
/* AuthorizationPolicy at the server's sidecar and at a gateway: what is refused, how it is said, and what is told of it. */
#include "weir_test.h"

#include "h2peer.h"
#include "pair.h"

#define HTTP "{name: http, port: 80}"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define POLICY(meta, spec)                                                                         \
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: only, "         \
    "namespace: default" meta "}\nspec: " spec "\n---\n"
#define READ_ONLY                                                                                  \
    "{selector: {matchLabels: {app: v1}}, rules: [{from: [{source: {principals: "                  \
    "[cluster.local/ns/default/sa/web]}}], to: [{operation: {methods: [GET], paths: [/a]}}]}]}"

static void ask(struct pair *p, struct mem_conn **ret_c, const char *request) {
    *ret_c = pair_client(p);
    pair_send(p, *ret_c, request);
}

static void the_identity_and_the_request_have_to_match(void **state) {
    struct mem_conn *c, *s;
    struct pair p;

    (void)state;
    pair_start(&p, HTTP, POLICY("", READ_ONLY));
    ask(&p, &c, "GET /a HTTP/1.1\r\nHost: api\r\n\r\n");
    s = pair_server(&p);
    assert_non_null(s);
    pair_send(&p, s, OK);
    assert_string_equal(mem_received(c), OK);
    mem_received_clear(c);
    pair_send(&p, c, "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 0\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 403 ");
    flow_expect_holds(c, "RBAC: access denied.: default/only");
    assert_non_null(strstr(flow_lines(&p.in), " 403 UAEX "));
    assert_non_null(strstr(flow_lines(&p.in), "detail=\"default/only\""));
    assert_int_equal(flow_count(&p.in, WEIR_C_AUTHZ_DENIED), 1);
    pair_end(&p);
}

/* What is judged is what would be forwarded: no spelling of a path gets around a policy. */
static void the_path_is_judged_as_it_is_forwarded(void **state) {
    static const char *const spellings[] = {
        "/b", "/x/../b", "/./b", "/%62", "//b", "/a/../b?x=/a"
    };
    struct mem_conn *c;
    struct pair p;

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(spellings); i++) {
        char request[128];

        pair_start(&p, HTTP,
                   POLICY("", "{action: DENY, rules: [{to: [{operation: {paths: [/b]}}]}]}"));
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: api\r\n\r\n", spellings[i]);
        ask(&p, &c, request);
        flow_expect_starts(c, "HTTP/1.1 403 ");
        assert_null(mem_next_dial(p.in.net));
        pair_end(&p);
    }
}

static struct mem_conn *plain(struct flow *f) {
    struct mem_conn *c = flow_client(f);

    weir_parse_ip("10.1.0.1", &mem_info(c)->remote);
    weir_parse_ip("10.1.0.2", &mem_info(c)->local);
    mem_info(c)->local_port = 8080;
    return c;
}

static void without_a_certificate_no_principal_is_believed(void **state) {
    struct mem_conn *c;
    struct pair p;

    (void)state;
    pair_start(&p, HTTP, POLICY("", READ_ONLY));
    c = plain(&p.in);
    flow_send(&p.in, c, "GET /a HTTP/1.1\r\nHost: api\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 403 ");
    assert_null(mem_next_dial(p.in.net));
    pair_end(&p);
}

static void grpc_is_told_permission_denied(void **state) {
    struct mem_conn *c;
    struct pair p;

    (void)state;
    pair_start(&p, HTTP, POLICY("", "{rules: [{to: [{operation: {paths: [/pkg.Svc/Get]}}]}]}"));
    ask(&p, &c,
        "POST /pkg.Svc/Put HTTP/1.1\r\nHost: api\r\nContent-Type: "
        "application/grpc\r\nContent-Length: 0\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 200 ");
    flow_expect_holds(c, "grpc-status: 7\r\n");
    flow_expect_holds(c, "grpc-message: weir: RBAC: access denied.: default/only\r\n");
    pair_end(&p);
}

static void bytes_that_are_no_http_are_judged_by_the_rest(void **state) {
    struct mem_conn *c;
    struct pair p;

    (void)state;
    pair_start(&p, "{name: tcp, port: 80}",
               POLICY("", "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}"));
    c = plain(&p.in);
    flow_send(&p.in, c, "\x01\x02\x03\x04\x05\x06\x07\x08");
    assert_true(mem_got_reset(c));
    assert_null(mem_next_dial(p.in.net));
    assert_int_equal(flow_count(&p.in, WEIR_C_AUTHZ_DENIED), 1);
    assert_non_null(strstr(flow_lines(&p.in), "detail=\"default/only\""));
    pair_end(&p);
    pair_start(&p, "{name: tcp, port: 80}",
               POLICY("", "{rules: [{from: [{source: {ipBlocks: [10.1.0.1]}}]}]}"));
    c = plain(&p.in);
    flow_send(&p.in, c, "\x01\x02\x03\x04\x05\x06\x07\x08");
    assert_non_null(mem_next_dial(p.in.net));
    pair_end(&p);
}

static void audit_mode_passes_and_tells(void **state) {
    struct mem_conn *c, *s;
    struct pair p;

    (void)state;
    pair_start(&p, HTTP, POLICY(", annotations: {weir.dev/audit: 'true'}", READ_ONLY));
    ask(&p, &c, "GET /secret HTTP/1.1\r\nHost: api\r\n\r\n");
    s = pair_server(&p);
    assert_non_null(s);
    pair_send(&p, s, OK);
    assert_string_equal(mem_received(c), OK);
    assert_non_null(strstr(flow_lines(&p.in), " would_deny=default/only "));
    assert_int_equal(flow_count(&p.in, WEIR_C_AUTHZ_WOULD_DENY), 1);
    assert_int_equal(flow_count(&p.in, WEIR_C_AUTHZ_DENIED), 0);
    pair_end(&p);
    pair_start(&p, HTTP, POLICY("", "{action: AUDIT, rules: [{}]}"));
    ask(&p, &c, "GET /secret HTTP/1.1\r\nHost: api\r\n\r\n");
    s = pair_server(&p);
    assert_non_null(s);
    pair_send(&p, s, OK);
    assert_non_null(strstr(flow_lines(&p.in), " audited=default/only "));
    assert_int_equal(flow_count(&p.in, WEIR_C_AUTHZ_AUDITED), 1);
    pair_end(&p);
}

static void a_gateway_decides_by_the_policies_that_name_it(void **state) {
    static const char yaml[] =
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, "
        "namespace: default}\n"
        "spec: {gatewayClassName: weir, listeners: [{name: http, port: 8000, protocol: "
        "HTTP}]}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: default}\n"
        "spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}\n---\n"
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: api-1, namespace: default, labels: {kubernetes.io/service-name: api}}\n"
        "addressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: "
        "[10.1.0.2]}]\n---\n"
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: "
        "default}\n"
        "spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: api, port: 80}]}]}\n---\n"
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: edge, "
        "namespace: default}\n"
        "spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}], "
        "rules: [{from: [{source: "
        "{remoteIpBlocks: [192.0.2.0/24]}}], to: [{operation: {hosts: [shop.example]}}]}]}\n";
    struct mem_conn *c;
    struct flow f;

    (void)state;
    flow_start(&f, WEIR_DIR_GATEWAY, yaml);
    f.listener.port = 8000;
    c = flow_client(&f);
    weir_parse_ip("192.0.2.7", &mem_info(c)->remote);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: SHOP.example\r\n\r\n");
    assert_non_null(mem_next_dial(f.net));
    c = flow_client(&f);
    weir_parse_ip("198.51.100.7", &mem_info(c)->remote);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 403 ");
    flow_expect_holds(c, "default/edge");
    flow_end(&f);
}

/* What is relayed already is asked again when policies change; what they still allow goes on. */
static void a_relay_that_is_no_longer_allowed_is_reset(void **state) {
    static const char allowed[] =
        POLICY("", "{rules: [{from: [{source: {principals: ['*/sa/web']}}]}]}");
    static const char other[] =
        POLICY("", "{rules: [{from: [{source: {principals: ['*/sa/job']}}]}]}");
    static char text[9000];
    struct mem_conn *c, *s;
    struct pair p;

    (void)state;
    pair_start(&p, "{name: tcp, port: 80}", allowed);
    c = pair_client(&p);
    pair_send(&p, c, "\x01\x02\x03\x04\x05\x06\x07\x08");
    s = pair_server(&p);
    flow_reload(&p.in, p.in_yaml);
    pair_send(&p, s, "\x09");
    flow_expect_holds(c, "\x09");
    snprintf(text, sizeof(text), "%.*s%s", (int)(strlen(p.in_yaml) - strlen(allowed)), p.in_yaml,
             other);
    flow_reload(&p.in, text);
    pair_run(&p);
    assert_true(mem_got_reset(s));
    assert_true(mem_got_reset(c) || mem_got_eof(c));
    assert_int_equal(flow_count(&p.in, WEIR_C_AUTHZ_DENIED), 1);
    pair_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_identity_and_the_request_have_to_match),
        cmocka_unit_test(the_path_is_judged_as_it_is_forwarded),
        cmocka_unit_test(without_a_certificate_no_principal_is_believed),
        cmocka_unit_test(grpc_is_told_permission_denied),
        cmocka_unit_test(bytes_that_are_no_http_are_judged_by_the_rest),
        cmocka_unit_test(audit_mode_passes_and_tells),
        cmocka_unit_test(a_relay_that_is_no_longer_allowed_is_reset),
        cmocka_unit_test(a_gateway_decides_by_the_policies_that_name_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
