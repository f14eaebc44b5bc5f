/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

/* Line 9 of the text is the first of the rules. */
#define ROUTE(rules)                                                                               \
    "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {ports: [{port: 80}]}\n---\n"     \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: r}\n"             \
    "spec: {parentRefs: [{kind: Service, group: \"\", name: api}], rules: [\n" rules "\n]}\n"

static void a_call_becomes_a_path(void **state) {
    struct weir_snapshot *s = conf_build(ROUTE(
        "{matches: [{method: {service: a.B, method: C}}, {method: {service: a.B}}, {method: "
        "{method: C}}, {method: {type: RegularExpression, service: \"a|b\", method: \"c.*\"}},\n"
        "{method: {type: RegularExpression, method: d}}, {headers: [{name: x, value: y}, {name: z, "
        "type: RegularExpression, value: \"w+\"}]}], name: n,\n"
        "backendRefs: [{name: api, port: 80}]}, {}"));
    const struct weir_http_route *r = &s->routes[0];
    const struct weir_route_match *m = r->rules[0].matches;

    assert_true(r->grpc);
    assert_int_equal(r->n_rules, 2);
    assert_string_equal(r->rules[0].name, "n");
    assert_int_equal(r->rules[0].n_matches, 6);
    assert_int_equal(m[0].path_type, WEIR_MATCH_EXACT);
    assert_string_equal(m[0].path, "/a.B/C");
    assert_null(m[0].rpc);
    assert_int_equal(m[1].path_type, WEIR_MATCH_PREFIX);
    assert_string_equal(m[1].path, "/a.B");
    assert_int_equal(m[2].path_type, WEIR_MATCH_PREFIX);
    assert_string_equal(m[2].path, "/");
    assert_string_equal(m[2].rpc, "C");
    assert_int_equal(m[3].path_type, WEIR_MATCH_REGEX);
    assert_string_equal(m[3].path, "/(?:a|b)/(?:c.*)");
    assert_string_equal(m[4].path, "/(?:[^/]+)/(?:d)");
    assert_int_equal(m[5].n_headers, 2);
    assert_int_equal(m[5].headers[1].type, WEIR_MATCH_REGEX);
    assert_string_equal(m[5].path, "/");
    assert_int_equal(r->rules[1].n_matches, 1);
    assert_int_equal(s->services[0].ports[0].app, WEIR_APP_HTTP2);
    assert_true(s->services[0].ports[0].l7);
    weir_snapshot_unref(s);
}

static void impossible_calls_are_refused(void **state) {
    conf_refused(
        ROUTE("{matches: [{method: {}}, {method: {service: a/b}}, {method: {method: \"1x\"}},\n"
              "{method: {type: RegularExpression, service: \"(\"}}],\n"
              "filters: [{type: URLRewrite}], sessionPersistence: {type: Body}, timeouts: {}}"),
        "t:10:21: error: spec.rules[0].matches[0].method: names neither a service nor a method\n"
        "t:10:45: error: spec.rules[0].matches[1].method.service: \"a/b\" is not the name of a "
        "gRPC "
        "service\n"
        "t:10:70: error: spec.rules[0].matches[2].method.method: \"1x\" is not the name of a gRPC "
        "method\n"
        "t:11:45: error: spec.rules[0].matches[3].method.service: not a regular expression: "
        "missing "
        "closing parenthesis at offset 1\n"
        "t:12:18: error: spec.rules[0].filters[0].type: URLRewrite is not a filter of a GRPCRoute\n"
        "t:12:59: error: spec.rules[0].sessionPersistence.type: unknown value \"Body\"; expected "
        "Cookie or Header\n"
        "t:12:66: error: spec.rules[0].timeouts: unknown field \"timeouts\"\n");
}

static void both_kinds_are_one_list_by_age(void **state) {
    struct weir_snapshot *s = conf_build(
        "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {ports: [{port: 80}]}\n---\n"
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: b}\n"
        "spec: {parentRefs: [{kind: Service, group: \"\", name: api}]}\n---\n"
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: b}\n"
        "spec: {parentRefs: [{kind: Service, group: \"\", name: api}]}\n---\n"
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: a}\n"
        "spec: {parentRefs: [{kind: Service, group: \"\", name: api}]}\n");

    assert_int_equal(s->n_routes, 3);
    assert_true(s->routes[0].grpc);
    assert_string_equal(s->routes[0].meta.name, "a");
    assert_false(s->routes[1].grpc);
    assert_true(s->routes[2].grpc);
    weir_snapshot_unref(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_becomes_a_path),
        cmocka_unit_test(impossible_calls_are_refused),
        cmocka_unit_test(both_kinds_are_one_list_by_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
