/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define SERVICE                                                                                    \
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n"                                    \
    "spec: {ports: [{name: http, port: 80}]}\n"
#define ROUTE(kind, name)                                                                          \
    "---\napiVersion: gateway.networking.k8s.io/v1\nkind: " kind "\nmetadata: {name: " name "}\n"  \
    "spec:\n  parentRefs: [{kind: Service, group: \"\", name: a}]\n"                               \
    "  rules: [{name: x}, {name: y}, {}]\n"
#define POLICY(meta, spec)                                                                         \
    "---\napiVersion: weir.dev/v1alpha1\nkind: RoutePolicy\nmetadata: {" meta "}\n"                \
    "spec: {" spec "}\n"
#define TARGET(more)  "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r" more "}"
#define SECTION(name) TARGET(", sectionName: " name)

static void expect_rules(const char *text, const char *report, int x, int y, int rest) {
    char *got;
    struct weir_snapshot *s = conf_try(text, &got);

    assert_string_equal(got, report);
    free(got);
    assert_non_null(s);
    assert_int_equal(s->n_routes, 1);
    assert_int_equal(s->routes[0].rules[0].policy.expect, x);
    assert_int_equal(s->routes[0].rules[1].policy.expect, y);
    assert_int_equal(s->routes[0].rules[2].policy.expect, rest);
    weir_snapshot_unref(s);
}

enum { UNSET = WEIR_EXPECT_UNSET, FORWARD = WEIR_EXPECT_FORWARD, LOCAL = WEIR_EXPECT_LOCAL };

static void a_policy_is_for_its_route_or_for_the_rule_it_names(void **state) {
    (void)state;
    expect_rules(SERVICE ROUTE("HTTPRoute", "r"), "", UNSET, UNSET, UNSET);
    expect_rules(SERVICE ROUTE("HTTPRoute", "r")
                     POLICY("name: p", "targetRefs: [" TARGET("") "], expectContinue: local"),
                 "", LOCAL, LOCAL, LOCAL);
    expect_rules(SERVICE ROUTE("HTTPRoute", "r")
                     POLICY("name: p", "targetRefs: [" SECTION("y") "], expectContinue: local"),
                 "", UNSET, LOCAL, UNSET);
    expect_rules(POLICY("name: p", "targetRefs: [{group: gateway.networking.k8s.io, kind: "
                                   "GRPCRoute, name: r}], expectContinue: local")
                     SERVICE ROUTE("GRPCRoute", "r"),
                 "", LOCAL, LOCAL, LOCAL);
}

static void what_is_said_of_a_rule_beats_what_is_said_of_its_route(void **state) {
    (void)state;
    expect_rules(SERVICE ROUTE("HTTPRoute", "r")
                     POLICY("name: a, creationTimestamp: \"2020-01-01T00:00:00Z\"",
                            "targetRefs: [" TARGET("") "], expectContinue: local")
                         POLICY("name: b, creationTimestamp: \"2021-01-01T00:00:00Z\"",
                                "targetRefs: [" SECTION("y") "], expectContinue: forward"),
                 "", LOCAL, FORWARD, LOCAL);
    /* One that does not say it leaves it to the route's. */
    expect_rules(SERVICE ROUTE("HTTPRoute", "r")
                     POLICY("name: a", "targetRefs: [" TARGET("") "], expectContinue: local")
                         POLICY("name: b", "targetRefs: [" SECTION("y") "]"),
                 "", LOCAL, LOCAL, LOCAL);
}

static void of_two_policies_on_one_target_the_older_counts(void **state) {
    (void)state;
    expect_rules(SERVICE ROUTE("HTTPRoute", "r")
                     POLICY("name: a, creationTimestamp: \"2021-01-01T00:00:00Z\"",
                            "targetRefs: [" SECTION("x") "], expectContinue: local")
                         POLICY("name: b, creationTimestamp: \"2020-01-01T00:00:00Z\"",
                                "targetRefs: [" SECTION("x") "], expectContinue: forward"),
                 "t:17:21: warning: spec.targetRefs[0]: HTTPRoute default/r rule x has an older "
                 "RoutePolicy, "
                 "which counts: b\n",
                 FORWARD, UNSET, UNSET);
    expect_rules(
        SERVICE ROUTE("HTTPRoute", "r")
            POLICY("name: b", "targetRefs: [" TARGET("") "], expectContinue: local")
                POLICY("name: a", "targetRefs: [" TARGET("") "], expectContinue: forward"),
        "t:17:21: warning: spec.targetRefs[0]: HTTPRoute default/r has an older RoutePolicy, which "
        "counts: a\n",
        FORWARD, FORWARD, FORWARD);
}

static void a_target_that_is_not_there_is_a_warning(void **state) {
    (void)state;
    conf_warned(SERVICE ROUTE("HTTPRoute", "r")
                    POLICY("name: p, namespace: other", "targetRefs: [" TARGET("") "]")
                        POLICY("name: p", "targetRefs: [" SECTION("z") "]"),
                "t:17:21: warning: spec.targetRefs[0]: HTTPRoute other/r is not among the "
                "documents\n"
                "t:22:21: warning: spec.targetRefs[0]: HTTPRoute default/r rule z is not among its "
                "rules\n");
}

static void what_a_policy_cannot_be_for_or_say_is_refused(void **state) {
    (void)state;
    conf_refused(POLICY("name: p", "expectContinue: local"),
                 "t:5:7: error: spec.targetRefs: required: the routes it is for\n");
    conf_refused(POLICY("name: p", "targetRefs: [{group: \"\", kind: Service, name: r}]"),
                 "t:5:33: error: spec.targetRefs[0].kind: a RoutePolicy is attached to an "
                 "HTTPRoute or GRPCRoute of gateway.networking.k8s.io, not to a Service of "
                 "\"\"\n");
    conf_refused(POLICY("name: p", "targetRefs: [{group: gateway.networking.k8s.io, kind: "
                                   "HTTPRoute}]"),
                 "t:5:21: error: spec.targetRefs[0].name: required, but not given\n");
    conf_refused(
        POLICY("name: p", "targetRefs: [" TARGET("") "], expectContinue: never"),
        "t:5:100: error: spec.expectContinue: unknown value \"never\"; expected forward or "
        "local\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_is_for_its_route_or_for_the_rule_it_names),
        cmocka_unit_test(what_is_said_of_a_rule_beats_what_is_said_of_its_route),
        cmocka_unit_test(of_two_policies_on_one_target_the_older_counts),
        cmocka_unit_test(a_target_that_is_not_there_is_a_warning),
        cmocka_unit_test(what_a_policy_cannot_be_for_or_say_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
