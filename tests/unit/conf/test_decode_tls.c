/* SPDX-License-Identifier: Apache-2.0 */
/* TLSRoute and BackendTLSPolicy. */
#include "conf_test.h"

#define GATEWAY                                                                                    \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec:\n"        \
    "  listeners:\n  - {name: pass, port: 443, protocol: TLS, tls: {mode: Passthrough}}\n"         \
    "  - {name: http, port: 80, protocol: HTTP}\n---\n"
#define SERVICE(ns)                                                                                \
    "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: " ns                            \
    "}\nspec: {clusterIP: 10.0.0.1, ports: [{name: a, port: 1}, {name: b, port: 2}]}\n---\n"
#define ROUTE(spec)                                                                                \
    "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TLSRoute\nmetadata: {name: r}\n"        \
    "spec:\n  " spec "\n---\n"
#define POLICY_OF(name, meta, targets, validation)                                                 \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: " name     \
        meta "}\nspec:\n  targetRefs: [" targets "]\n  validation: {" validation "}\n---\n"
#define POLICY(validation) POLICY_OF("p", "", "{group: \"\", kind: Service, name: s}", validation)
#define CONFIG_MAP(name, text)                                                                     \
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " name "}\ndata: {ca.crt: " text "}\n---\n"
#define CA "caCertificateRefs: [{group: \"\", kind: ConfigMap, name: ca}]"

static void a_tls_route_is_one_rule_for_names(void **state) {
    struct weir_snapshot *s = conf_build(SERVICE("default") GATEWAY ROUTE(
        "parentRefs: [{name: g}]\n  hostnames: [a.test, \"*.b.test\"]\n  rules: "
        "[{name: n, backendRefs: [{name: s, port: 1, weight: 7}, {name: s, port: 2}]}]"));
    const struct weir_http_route *r = s->tls_routes;

    assert_int_equal(s->n_tls_routes, 1);
    assert_int_equal(s->n_routes, 0);
    assert_int_equal(r->n_parents, 1); /* the listener for HTTP does not take it */
    assert_string_equal(r->parents[0].section, "pass");
    assert_int_equal(r->n_hostnames, 2);
    assert_int_equal(r->rules[0].n_backends, 2);
    assert_int_equal(r->rules[0].backends[0].weight, 7);
    assert_ptr_equal(r->rules[0].backends[1].service_port, &s->services[0].ports[1]);
    assert_false(s->services[0].ports[0].l7);
    weir_snapshot_unref(s);
}

static void what_a_tls_route_cannot_say_is_refused(void **state) {
    conf_refused(ROUTE("parentRefs: [{name: g}]\n  rules: [{}, {}]"),
                 "t:6:3: error: spec.rules: exactly one is needed: nothing but the host name could "
                 "tell two apart\n");
    conf_refused(ROUTE("rules: [{matches: [{path: {value: /}}]}]"),
                 "t:5:12: error: spec.rules[0].matches: unknown field \"matches\"\n");
    conf_refused(ROUTE("parentRefs: [{group: \"\", kind: Service, name: s}]\n  rules: [{}]"),
                 "t:5:28: error: spec.parentRefs[0].kind: a TLSRoute is for a Gateway, not for a "
                 "Service\n");
    conf_refused(
        ROUTE("hostnames: [10.0.0.1]\n  rules: [{}]"),
        "t:5:15: error: spec.hostnames[0]: \"10.0.0.1\" is not a host name: lower case, no "
        "port, no address, \"*.\" only in front\n");
}

static void another_namespace_must_grant_it(void **state) {
#define FAR                                                                                        \
    SERVICE("far")                                                                                 \
    GATEWAY ROUTE(                                                                                 \
        "parentRefs: [{name: g}]\n  rules: [{backendRefs: [{name: s, namespace: far, port: 1}]}]")
#define GRANT(kind)                                                                                \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: x, "         \
    "namespace: "                                                                                  \
    "far}\nspec: {from: [{group: gateway.networking.k8s.io, kind: " kind                           \
    ", namespace: default}], to: [{group: \"\", kind: Service}]}\n"
    static const char warning[] =
        "t:19:26: warning: spec.rules[0].backendRefs[0]: Service far/s is in another namespace "
        "without a ReferenceGrant for it; its share of connections is closed\n";

    conf_warned(FAR, warning);
    conf_warned(FAR GRANT("HTTPRoute"), warning);
    weir_snapshot_unref(conf_build(FAR GRANT("TLSRoute")));
}

static void a_policy_gives_its_service_tls(void **state) {
    struct weir_snapshot *s =
        conf_build(SERVICE("default") CONFIG_MAP("ca", "ONE") CONFIG_MAP("two", "TWO") POLICY(
            "hostname: a.test, caCertificateRefs: [{group: \"\", kind: ConfigMap, name: ca}, "
            "{group: "
            "\"\", kind: ConfigMap, name: two}], subjectAltNames: [{type: Hostname, hostname: "
            "\"*.a.test\"}, {type: URI, uri: \"spiffe://x/y\"}]"));
    const struct weir_backend_tls *tls = s->services[0].ports[1].tls;

    assert_ptr_equal(tls, &s->backend_tls[0]);
    assert_ptr_equal(tls, s->services[0].ports[0].tls);
    assert_string_equal(tls->hostname, "a.test");
    assert_string_equal(tls->ca, "ONE\nTWO\n");
    assert_int_equal(tls->n_sans, 2);
    assert_false(tls->sans[0].uri);
    assert_true(tls->sans[1].uri);
    assert_string_equal(tls->sans[1].value, "spiffe://x/y");
    assert_false(tls->broken);
    weir_snapshot_unref(s);
}

static void a_bundle_that_is_not_there_breaks_the_policy(void **state) {
    char *report;
    struct weir_snapshot *s = conf_try(SERVICE("default") POLICY("hostname: a.test, " CA), &report);

    assert_string_equal(report,
                        "t:11:54: warning: spec.validation.caCertificateRefs[0]: ConfigMap "
                        "default/ca is not among the documents; the endpoints are not called\n");
    assert_true(s->services[0].ports[0].tls->broken);
    free(report);
    weir_snapshot_unref(s);
}

static void the_port_s_policy_and_the_older_one_hold(void **state) {
    char *report;
    struct weir_snapshot *s = conf_try(
        SERVICE("default") CONFIG_MAP("ca", "ONE")
            POLICY_OF("young", ", creationTimestamp: \"2024-01-01T00:00:00Z\"",
                      "{group: \"\", kind: Service, name: s}", "hostname: young.test, " CA)
                POLICY_OF("old", ", creationTimestamp: \"2020-01-01T00:00:00Z\"",
                          "{group: \"\", kind: Service, name: s}", "hostname: old.test, " CA)
                    POLICY_OF("port", ", creationTimestamp: \"2025-01-01T00:00:00Z\"",
                              "{group: \"\", kind: Service, name: s, sectionName: b}",
                              "hostname: port.test, " CA),
        &report);

    assert_string_equal(s->services[0].ports[0].tls->hostname, "old.test");
    assert_string_equal(s->services[0].ports[1].tls->hostname, "port.test");
    assert_non_null(strstr(report, "warning: spec.targetRefs[0]: Service default/s has an older "
                                   "BackendTLSPolicy, which holds\n"));
    free(report);
    weir_snapshot_unref(s);
}

static void a_policy_needs_a_name_and_one_source_of_trust(void **state) {
    static const char sources[] = "t:6:3: error: spec.validation: needs one of caCertificateRefs, "
                                  "wellKnownCACertificates: System and options "
                                  "\"weir.dev/ca-file\"\n";

    conf_refused(POLICY("hostname: a.test"), sources);
    conf_refused(POLICY("hostname: a.test, wellKnownCACertificates: System, " CA), sources);
    conf_refused(POLICY("wellKnownCACertificates: System"),
                 "t:6:15: error: spec.validation.hostname: required, but not given\n");
    conf_refused(POLICY("hostname: \"*.a.test\", wellKnownCACertificates: System"),
                 "t:6:26: error: spec.validation.hostname: \"*.a.test\" is not a host name: lower "
                 "case, no port, no address, no '*'\n");
    conf_refused(
        POLICY("hostname: a.test, wellKnownCACertificates: Mozilla"),
        "t:6:59: error: spec.validation.wellKnownCACertificates: unknown value \"Mozilla\"; "
        "expected System\n");
    conf_refused(POLICY_OF("p", "", "{group: apps, kind: Deployment, name: s}",
                           "hostname: a.test, wellKnownCACertificates: System"),
                 "t:5:30: error: spec.targetRefs[0].kind: a BackendTLSPolicy is for a Service of "
                 "group \"\", not for a Deployment of \"apps\"\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tls_route_is_one_rule_for_names),
        cmocka_unit_test(what_a_tls_route_cannot_say_is_refused),
        cmocka_unit_test(another_namespace_must_grant_it),
        cmocka_unit_test(a_policy_gives_its_service_tls),
        cmocka_unit_test(a_bundle_that_is_not_there_breaks_the_policy),
        cmocka_unit_test(the_port_s_policy_and_the_older_one_hold),
        cmocka_unit_test(a_policy_needs_a_name_and_one_source_of_trust),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
