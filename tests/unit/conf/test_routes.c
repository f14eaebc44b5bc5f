/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define SERVICE(name, ports)                                                                       \
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: " name "}\nspec: {ports: " ports "}\n"
#define ROUTE(name, parents, rest)                                                                 \
    "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: " name "}\n" \
    "spec:\n  parentRefs: " parents "\n" rest "\n"
#define GATEWAY(listeners)                                                                         \
    "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\n"          \
    "spec: {listeners: " listeners "}\n"

static void a_route_makes_the_ports_it_is_attached_to_http(void **state) {
    struct weir_snapshot *s = conf_build(SERVICE(
        "a", "[{name: x, port: 1}, {name: y, port: 2}, {name: grpc, port: 3}, {name: u, port: 4, "
             "protocol: UDP}]") ROUTE("r", "[{kind: Service, group: \"\", name: a, port: 1}]", ""));
    const struct weir_service_port *p = weir_snapshot_service(s, "default", "a")->ports;

    assert_int_equal(p[0].app, WEIR_APP_HTTP);
    assert_true(p[0].l7);
    assert_int_equal(p[1].app, WEIR_APP_TCP);
    assert_false(p[1].l7);
    assert_int_equal(p[2].app, WEIR_APP_HTTP2);
    assert_true(p[2].l7);
    weir_snapshot_unref(s);
    s = conf_build(SERVICE(
        "a",
        "[{name: x, port: 1}, {name: grpc, port: 3}, {name: https, port: 443}, {name: u, port: "
        "4, protocol: UDP}]") ROUTE("r", "[{kind: Service, group: \"\", name: a}]", ""));
    p = weir_snapshot_service(s, "default", "a")->ports;
    assert_true(p[0].l7);
    assert_int_equal(p[1].app, WEIR_APP_HTTP2);
    assert_false(p[2].l7);
    assert_false(p[3].l7);
    assert_int_equal(s->routes[0].n_parents, 1);
    assert_int_equal(s->routes[0].parents[0].port, 0);
    weir_snapshot_unref(s);
}

static void a_section_of_a_service_is_its_port(void **state) {
    struct weir_snapshot *s =
        conf_build(SERVICE("a", "[{name: x, port: 1}, {name: y, port: 2}]")
                       ROUTE("r", "[{kind: Service, group: core, name: a, sectionName: y}]", ""));
    const struct weir_parent_ref *ref = &s->routes[0].parents[0];

    assert_int_equal(ref->kind, WEIR_PARENT_SERVICE);
    assert_int_equal(ref->port, 2);
    assert_string_equal(ref->section, "");
    assert_string_equal(ref->namespace_, "default");
    assert_false(weir_snapshot_service(s, "default", "a")->ports[0].l7);
    assert_true(weir_snapshot_service(s, "default", "a")->ports[1].l7);
    weir_snapshot_unref(s);
}

static void parents_that_are_not_there_are_dropped_with_a_warning(void **state) {
    conf_warned(
        SERVICE("a", "[{name: x, port: 1, protocol: UDP}]")
            ROUTE("r",
                  "[{kind: Service, group: \"\", name: b}, {kind: Service, group: \"\", name: a, "
                  "port: 9}, {kind: "
                  "Service, group: \"\", name: a}, {name: g}]",
                  "") ROUTE("s", "[]", ""),
        "t:11:16: warning: spec.parentRefs[0]: Service default/b is not among the documents\n"
        "t:11:53: warning: spec.parentRefs[1]: Service default/a has no such port\n"
        "t:11:99: warning: spec.parentRefs[2]: Service default/a has only ports that cannot carry "
        "plain HTTP "
        "(UDP, or TLS of the application)\n"
        "t:11:136: warning: spec.parentRefs[3]: Gateway default/g is not among the documents\n"
        "t:14:1: warning: spec.parentRefs: none given: the route is attached to nothing\n");
}

static void backends_lead_to_their_service_port(void **state) {
    struct weir_snapshot *s =
        conf_build(SERVICE("a", "[{name: x, port: 1}, {name: y, port: 2}]")
                       ROUTE("r", "[{kind: Service, group: \"\", name: a}]",
                             "  rules: [{backendRefs: [{name: a, port: 2}]}]"));
    const struct weir_backend_ref *b = &s->routes[0].rules[0].backends[0];

    assert_ptr_equal(b->service, weir_snapshot_service(s, "default", "a"));
    assert_ptr_equal(b->service_port, &b->service->ports[1]);
    weir_snapshot_unref(s);
}

static void a_backend_that_is_not_there_keeps_its_share(void **state) {
    char *report;
    struct weir_snapshot *s =
        conf_try(SERVICE("a", "[{name: x, port: 1, protocol: UDP}, {name: y, port: 2}]")
                     ROUTE("r", "[{kind: Service, group: \"\", name: a}]",
                           "  rules:\n  - backendRefs: [{name: a, port: 2}]\n  - backendRefs:\n"
                           "    - {name: b, port: 2}\n    - {name: a, port: 1}\n"
                           "    - {name: a, namespace: other, port: 2}\n"
                           "    - {name: a, namespace: default, port: 2}"),
                 &report);

    assert_string_equal(
        report,
        "t:15:7: warning: spec.rules[1].backendRefs[0]: Service default/b is not among the "
        "documents; its share of requests is answered with 500\n"
        "t:16:7: warning: spec.rules[1].backendRefs[1]: Service default/a has no such TCP port; "
        "its share of requests is answered with 500\n"
        "t:17:7: warning: spec.rules[1].backendRefs[2]: Service other/a is not among the "
        "documents; its share of requests is answered with 500\n");
    free(report);
    const struct weir_backend_ref *b = s->routes[0].rules[1].backends;
    assert_int_equal(s->routes[0].rules[1].n_backends, 4);
    for (int i = 0; i < 3; i++) {
        assert_null(b[i].service);
        assert_null(b[i].service_port);
    }
    assert_non_null(b[3].service);
    weir_snapshot_unref(s);
}

#define GRANT(from, to)                                                                            \
    "---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: "  \
    "g, "                                                                                          \
    "namespace: other}\nspec: {from: [" from "], to: [" to "]}\n"
#define FROM(kind, ns) "{group: gateway.networking.k8s.io, kind: " kind ", namespace: " ns "}"

#define LISTENER "[{name: http, port: 80, protocol: HTTP}]"
#define OF_MESH  "{kind: Service, group: \"\", name: a}"

static bool reaches(const char *parents, const char *grant) {
    char text[2048], *report;

    snprintf(text, sizeof(text),
             SERVICE("a", "[{port: 1}]") GATEWAY(LISTENER)
                 ROUTE("r", "[%s]",
                       "  rules: [{backendRefs: [{name: b, namespace: other, port: "
                       "2}]}]") "%s---\napiVersion: v1\nkind: Service\nmetadata: "
                                "{name: b, namespace: other}\nspec: "
                                "{ports: [{port: 2}]}\n",
             parents, grant);
    struct weir_snapshot *s = conf_try(text, &report);
    bool found = s->routes[0].rules[0].backends[0].service != NULL;

    assert_true(found == (report[0] == '\0'));
    free(report);
    weir_snapshot_unref(s);
    return found;
}

static void a_backend_elsewhere_needs_a_grant_for_a_gateway(void **state) {
    assert_false(reaches("{name: g}", ""));
    assert_true(
        reaches("{name: g}", GRANT(FROM("HTTPRoute", "default"), "{group: \"\", kind: Service}")));
    assert_true(reaches(
        "{name: g}", GRANT(FROM("HTTPRoute", "default"), "{group: \"\", kind: Service, name: b}")));
    assert_true(
        reaches("{name: g}", GRANT(FROM("GRPCRoute", "x") ", " FROM("HTTPRoute", "default"),
                                   "{group: \"\", kind: Secret}, {group: \"\", kind: Service}")));
    assert_false(reaches(
        "{name: g}", GRANT(FROM("HTTPRoute", "default"), "{group: \"\", kind: Service, name: c}")));
    assert_false(reaches("{name: g}",
                         GRANT(FROM("HTTPRoute", "elsewhere"), "{group: \"\", kind: Service}")));
    assert_false(
        reaches("{name: g}", GRANT(FROM("GRPCRoute", "default"), "{group: \"\", kind: Service}")));
    assert_false(
        reaches("{name: g}", GRANT(FROM("HTTPRoute", "default"), "{group: \"\", kind: Secret}")));
    assert_false(reaches("{name: g}", GRANT("", "{group: \"\", kind: Service}")));
}

static void a_route_of_the_mesh_needs_none(void **state) {
    assert_true(reaches(OF_MESH, ""));
    assert_false(reaches(OF_MESH ", {name: g}", ""));
    assert_true(reaches(OF_MESH ", {name: g}",
                        GRANT(FROM("HTTPRoute", "default"), "{group: \"\", kind: Service}")));
}

static void routes_come_oldest_first(void **state) {
    struct weir_snapshot *s = conf_build(SERVICE("a", "[{port: 1}]") ROUTE(
        "z, creationTimestamp: \"2024-01-01T00:00:00Z\"", "[{kind: Service, group: \"\", name: a}]",
        "") ROUTE("b, creationTimestamp: \"2025-01-01T00:00:00Z\"",
                  "[{kind: Service, group: \"\", name: a}]", "")
                                             ROUTE("a, creationTimestamp: \"2025-01-01T00:00:00Z\"",
                                                   "[{kind: Service, group: \"\", name: a}]", ""));

    assert_string_equal(s->routes[0].meta.name, "z");
    assert_string_equal(s->routes[1].meta.name, "a");
    assert_string_equal(s->routes[2].meta.name, "b");
    weir_snapshot_unref(s);
}

static void of_one_age_the_first_in_order_of_namespace_slash_name(void **state) {
    struct weir_snapshot *s = conf_build(SERVICE("a", "[{port: 1}]") ROUTE(
        "x, namespace: a", "[{kind: Service, group: \"\", name: a, namespace: default}]",
        "") ROUTE("y, namespace: a-b",
                  "[{kind: Service, group: \"\", name: a, "
                  "namespace: default}]",
                  "") ROUTE("w, namespace: a",
                            "[{kind: Service, group: \"\", name: a, "
                            "namespace: default}]",
                            ""));

    assert_string_equal(s->routes[0].meta.name, "y"); /* "a-b/y" < "a/w" */
    assert_string_equal(s->routes[1].meta.name, "w");
    assert_string_equal(s->routes[2].meta.name, "x");
    weir_snapshot_unref(s);
}

/* "name name": the listeners a route of that namespace ends up attached to. */
static void assert_listeners(const struct weir_http_route *route, const char *expected) {
    char text[256] = "";
    size_t n = 0;

    for (uint32_t i = 0; i < route->n_parents; i++) {
        assert_int_equal(route->parents[i].kind, WEIR_PARENT_GATEWAY);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? " " : "",
                              route->parents[i].section);
    }
    assert_string_equal(text, expected);
}

#define LISTENERS                                                                                  \
    "[{name: same, port: 80, protocol: HTTP}, "                                                    \
    "{name: all, port: 81, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}, "            \
    "{name: labelled, port: 82, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, "     \
    "selector: {matchLabels: {kubernetes.io/metadata.name: team}}}}}, "                            \
    "{name: none, port: 83, protocol: HTTP, allowedRoutes: {namespaces: {from: None}}}, "          \
    "{name: grpc, port: 84, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}]"

static void a_gateways_listeners_say_who_may_attach(void **state) {
    struct weir_snapshot *s = conf_build(
        GATEWAY(LISTENERS) ROUTE("r1", "[{name: g}]", "")
            ROUTE("r2, namespace: team", "[{name: g, namespace: default}]", "")
                ROUTE("r3, namespace: other", "[{name: g, namespace: default}]", "")
                    ROUTE("r4", "[{name: g, port: 81}, {name: g, sectionName: same}]", ""));

    assert_listeners(&s->routes[0], "same all");
    assert_listeners(&s->routes[1], "all same");
    assert_listeners(&s->routes[2], "all");
    assert_listeners(&s->routes[3], "all labelled");
    weir_snapshot_unref(s);
}

static void a_session_beside_client_ip_affinity_rejects_the_route(void **state) {
    char *report;
    struct weir_snapshot *s = conf_try(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {sessionAffinity: ClientIP, "
        "ports: [{name: http, port: 80}]}\n" ROUTE(
            "r", "[{kind: Service, group: \"\", name: a}]",
            "  rules: [{sessionPersistence: {}, backendRefs: [{name: a, port: 80}]}]"),
        &report);

    assert_string_equal(report,
                        "t:11:32: warning: spec.rules[0].sessionPersistence: Service default/a has "
                        "sessionAffinity: ClientIP, which cannot hold beside it; the route is "
                        "attached to nothing\n");
    assert_int_equal(s->routes[0].n_parents, 0);
    free(report);
    weir_snapshot_unref(s);
}

static void a_refused_attachment_is_warned_about(void **state) {
    conf_warned(
        GATEWAY(LISTENERS) ROUTE(
            "r", "[{name: g, sectionName: none}, {name: g, sectionName: gone}, {name: h}]", ""),
        "t:11:16: warning: spec.parentRefs[0]: Gateway default/g does not allow this route to "
        "attach "
        "(protocol, allowedRoutes)\n"
        "t:11:46: warning: spec.parentRefs[1]: Gateway default/g has no such listener\n"
        "t:11:76: warning: spec.parentRefs[2]: Gateway default/h is not among the documents\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_makes_the_ports_it_is_attached_to_http),
        cmocka_unit_test(a_section_of_a_service_is_its_port),
        cmocka_unit_test(parents_that_are_not_there_are_dropped_with_a_warning),
        cmocka_unit_test(backends_lead_to_their_service_port),
        cmocka_unit_test(a_backend_that_is_not_there_keeps_its_share),
        cmocka_unit_test(a_backend_elsewhere_needs_a_grant_for_a_gateway),
        cmocka_unit_test(a_route_of_the_mesh_needs_none),
        cmocka_unit_test(routes_come_oldest_first),
        cmocka_unit_test(a_gateways_listeners_say_who_may_attach),
        cmocka_unit_test(of_one_age_the_first_in_order_of_namespace_slash_name),
        cmocka_unit_test(a_session_beside_client_ip_affinity_rejects_the_route),
        cmocka_unit_test(a_refused_attachment_is_warned_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
