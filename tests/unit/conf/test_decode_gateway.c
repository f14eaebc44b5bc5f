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
        "t:7:5: error: spec.listeners[1].tls: needs certificateRefs, or options "
        "\"weir.dev/cert-file\" "
        "and \"weir.dev/key-file\"\n"
        "t:8:42: error: spec.listeners[2].tls: not allowed with protocol HTTP\n"
        "t:9:43: error: spec.listeners[3].tls: mode Passthrough needs protocol TLS\n"
        "t:10:68: error: spec.listeners[4].allowedRoutes.namespaces.selector: required with from "
        "Selector\n");
    conf_refused(GATEWAY("  listeners: [{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, "
                         "protocol: HTTP}]"),
                 "t:5:53: error: spec.listeners[1].name: two listeners have the same name\n");
}

#define TLS(name, host, tls)                                                                       \
    "  - {name: " name ", port: 443, hostname: " host ", protocol: TLS, tls: {" tls "}}\n"

static void what_cannot_share_a_port_is_refused(void **state) {
    conf_refused(
        GATEWAY("  listeners:\n" TLS("a", "a.test", "mode: Passthrough")
                    TLS("b", "a.test", "mode: Passthrough") "  - {name: c, port: 80, protocol: "
                                                            "HTTP}\n"),
        "t:7:15: error: spec.listeners[1].port: the listener a has the same port and hostname\n");
    conf_refused(
        GATEWAY("  listeners:\n" TLS("a", "a.test", "mode: Passthrough") "  - {name: c, port: 443, "
                                                                         "protocol: HTTP}\n"),
        "t:7:15: error: spec.listeners[1].port: the listener a has the same port, and only one of "
        "the two has TLS\n");
    conf_refused(GATEWAY("  listeners:\n" TLS("a", "a.test",
                                              "mode: Passthrough, certificateRefs: "
                                              "[{name: s}]")),
                 "t:6:59: error: spec.listeners[0].tls: mode Passthrough shows no certificate\n");
}

static void the_older_gateways_listener_stays(void **state) {
    char *report;
    struct weir_snapshot *s = conf_try(
        GATEWAY("  listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 81, protocol: "
                "HTTP}]") "\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
                          "metadata: {name: h, creationTimestamp: \"2020-01-01T00:00:00Z\"}\nspec: "
                          "{listeners: [{name: x, port: 81, protocol: HTTP}]}\n",
        &report);

    assert_string_equal(report,
                        "t:11:20: warning: spec.listeners[0]: b of the older Gateway default/g "
                        "has the same port and hostname: this one is not served\n");
    free(report);
    assert_int_equal(s->gateways[0].n_listeners, 2); /* without a time it is the oldest */
    assert_int_equal(s->gateways[1].n_listeners, 0);
    weir_snapshot_unref(s);
}

#define SECRET(name, ns, data)                                                                     \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: " name ", namespace: " ns "}\n" data "\n---\n"
#define REF(where)                                                                                 \
    GATEWAY("  listeners:\n" TLS("a", "a.test", "mode: Terminate, certificateRefs: [" where "]"))

static void a_certificate_comes_from_a_secret(void **state) {
    struct weir_snapshot *s = conf_build(
        SECRET("s", "default", "data: {tls.crt: \"Q0VS\\nVA==\", tls.key: S0VZ, other: 1}")
            REF("{name: s}"));
    const struct weir_gateway_listener *l = s->gateways[0].listeners;

    assert_string_equal(l->cert, "CERT");
    assert_string_equal(l->key, "KEY");
    assert_string_equal(l->secret, "default/s");
    assert_string_equal(l->cert_file, "");
    weir_snapshot_unref(s);
    s = conf_build(
        SECRET("s", "default", "stringData: {tls.crt: C, tls.key: K}\ndata: {tls.key: S0VZ}")
            REF("{name: s}"));
    assert_string_equal(s->gateways[0].listeners->key, "K");
    weir_snapshot_unref(s);
}

static void a_secret_that_cannot_be_had_closes_the_listener(void **state) {
    conf_warned(
        REF("{name: s}"),
        "t:6:100: warning: spec.listeners[0].tls.certificateRefs[0]: Secret default/s is not "
        "among the documents; the listener is not served\n");
    conf_warned(REF("{name: s}") "\n---\n" SECRET("s", "default", "data: {tls.crt: Q0VSVA==}"),
                "t:6:100: warning: spec.listeners[0].tls.certificateRefs[0]: Secret default/s does "
                "not have tls.crt and tls.key; the listener is not served\n");
    conf_warned(REF("{name: s, namespace: far}") "\n---\n" SECRET(
                    "s", "far", "stringData: {tls.crt: C, tls.key: K}"),
                "t:6:100: warning: spec.listeners[0].tls.certificateRefs[0]: Secret far/s is in "
                "another namespace without a ReferenceGrant for it; the listener is not served\n");
    weir_snapshot_unref(conf_build(REF("{name: s, namespace: far}") "\n---\n" SECRET(
        "s", "far",
        "stringData: {tls.crt: C, tls.key: K}") "apiVersion: "
                                                "gateway.networking.k8s.io/v1\nkind: "
                                                "ReferenceGrant\nmetadata: {name: g, namespace: "
                                                "far}\nspec: {from: [{group: "
                                                "gateway.networking.k8s.io, kind: Gateway, "
                                                "namespace: default}], to: [{group: \"\", kind: "
                                                "Secret}]}\n"));
}

/* Whatever is wrong with it. */
static void no_value_of_a_secret_is_told(void **state) {
    static const char *const rows[] = {
        "data: {tls.key: \"hush!\"}",    "data: {tls.key: 77777}",
        "stringData: {tls.key: 77777}",  "data: {tls.key: aGFsbG8}",
        "data: {tls.key: \"aGE=bG8=\"}", "data: {tls.key: [hush]}",
        "data: {tls.key: AAAA}",
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char text[256], *report;

        snprintf(text, sizeof(text), "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n%s\n",
                 rows[i]);
        assert_null(conf_try(text, &report));
        if (strstr(report, "hush") || strstr(report, "777") || strstr(report, "aG") ||
            strstr(report, "AAAA"))
            fail_msg("%s", report);
        free(report);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_are_read_in_full),
        cmocka_unit_test(another_controllers_gateway_is_left_out),
        cmocka_unit_test(impossible_listeners_are_refused),
        cmocka_unit_test(what_cannot_share_a_port_is_refused),
        cmocka_unit_test(the_older_gateways_listener_stays),
        cmocka_unit_test(a_certificate_comes_from_a_secret),
        cmocka_unit_test(a_secret_that_cannot_be_had_closes_the_listener),
        cmocka_unit_test(no_value_of_a_secret_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
