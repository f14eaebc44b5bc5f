/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define GATEWAY(spec)                                                                              \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec:\n" spec   \
    "\n"

static void listeners_are_read_in_full(void **state) {
    struct weir_snapshot *s = conf_build(GATEWAY(
        "  gatewayClassName: weir\n  listeners:\n  - {name: plain, port: 80, protocol: HTTP}\n"
        "  - name: tls\n    hostname: \"*.example.com\"\n    port: 443\n    protocol: HTTPS\n"
        "    tls: {mode: Terminate, options: {weir.dev/cert-file: c.pem, weir.dev/key-file: "
        "k.pem}}\n"
        "    allowedRoutes: {namespaces: {from: All}, kinds: [{kind: HTTPRoute}]}"));
    const struct weir_gateway_listener *l = s->gateways[0].listeners;

    assert_int_equal(s->n_gateways, 1);
    assert_string_equal(s->gateways[0].meta.name, "g");
    assert_int_equal(s->gateways[0].n_listeners, 2);
    assert_string_equal(l[0].name, "plain");
    assert_string_equal(l[0].hostname, "");
    assert_int_equal(l[0].port, 80);
    assert_int_equal(l[0].protocol, WEIR_LISTENER_HTTP);
    assert_int_equal(l[1].protocol, WEIR_LISTENER_HTTPS);
    assert_string_equal(l[1].hostname, "*.example.com");
    assert_string_equal(l[1].cert_file, "c.pem");
    assert_string_equal(l[1].key_file, "k.pem");
    weir_snapshot_unref(s);
}

static void another_controllers_gateway_is_left_out(void **state) {
    conf_warned(
        GATEWAY("  gatewayClassName: nginx\n  listeners: [{name: a, port: 80, protocol: HTTP}]"),
        "t:1:1: warning: spec.gatewayClassName: \"nginx\" is another controller's class; only "
        "\"weir\" is "
        "served\n");
}

static void impossible_listeners_are_refused(void **state) {
    conf_refused(
        GATEWAY("  listeners:\n  - {name: a, port: 80, protocol: TCP}\n  - {name: b, port: 443, "
                "protocol: "
                "HTTPS}\n  - {name: c, port: 443, protocol: HTTP, tls: {}}\n"
                "  - {name: d, port: 443, protocol: HTTPS, tls: {mode: Passthrough, "
                "certificateRefs: [{name: "
                "x}]}}\n  - {name: e, port: 1, protocol: HTTP, allowedRoutes: {namespaces: {from: "
                "Selector}}}"),
        "t:6:35: error: spec.listeners[0].protocol: TCP is not supported by this version\n"
        "t:7:5: error: spec.listeners[1].tls: protocol HTTPS needs tls.options with "
        "\"weir.dev/cert-file\" "
        "and \"weir.dev/key-file\"\n"
        "t:8:42: error: spec.listeners[2].tls: not allowed with protocol HTTP\n"
        "t:9:55: error: spec.listeners[3].tls.mode: Passthrough is not supported by this version\n"
        "t:9:85: error: spec.listeners[3].tls.certificateRefs: not supported by this version\n"
        "t:10:68: error: spec.listeners[4].allowedRoutes.namespaces.selector: required with from "
        "Selector\n");
    conf_refused(GATEWAY("  listeners: [{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, "
                         "protocol: HTTP}]"),
                 "t:5:53: error: spec.listeners[1].name: two listeners have the same name\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_are_read_in_full),
        cmocka_unit_test(another_controllers_gateway_is_left_out),
        cmocka_unit_test(impossible_listeners_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
