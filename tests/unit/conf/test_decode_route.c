/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define SERVICE                                                                                    \
    "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {ports: [{port: 80}]}\n---\n"
#define ROUTE(rules)                                                                               \
    SERVICE "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\n"     \
            "spec:\n  parentRefs: [{kind: Service, group: \"\", name: api}]\n" rules "\n"

static struct weir_snapshot *route(const char *rules, const struct weir_http_route **ret_route) {
    char text[2048];

    snprintf(text, sizeof(text), ROUTE("%s"), rules);
    struct weir_snapshot *s = conf_build(text);
    assert_int_equal(s->n_routes, 1);
    *ret_route = &s->routes[0];
    return s;
}

static void a_rule_without_matches_matches_everything(void **state) {
    const struct weir_http_route *r;
    struct weir_snapshot *s = route("  rules: [{backendRefs: [{name: api, port: 80}]}]", &r);
    const struct weir_route_rule *rule = &r->rules[0];

    assert_int_equal(r->n_hostnames, 0);
    assert_int_equal(rule->n_matches, 1);
    assert_int_equal(rule->matches[0].path_type, WEIR_MATCH_PREFIX);
    assert_string_equal(rule->matches[0].path, "/");
    assert_string_equal(rule->matches[0].method, "");
    assert_string_equal(rule->name, "");
    assert_int_equal(rule->backends[0].weight, 1);
    assert_string_equal(rule->backends[0].namespace_, "default");
    assert_false(rule->has_timeout_request);
    weir_snapshot_unref(s);
}

static void a_route_without_rules_has_the_default_one(void **state) {
    const struct weir_http_route *r;
    struct weir_snapshot *s = route("  hostnames: [a.example.com, \"*.b.org\"]", &r);

    assert_int_equal(r->n_rules, 1);
    assert_int_equal(r->rules[0].n_matches, 1);
    assert_int_equal(r->rules[0].n_backends, 0);
    assert_int_equal(r->n_hostnames, 2);
    assert_string_equal(r->hostnames[1], "*.b.org");
    weir_snapshot_unref(s);
}

static void matches_are_read_in_full(void **state) {
    const struct weir_http_route *r;
    struct weir_snapshot *s =
        route("  rules:\n  - name: one\n    matches:\n"
              "    - {path: {type: Exact, value: /a}, method: GET, headers: [{name: X-V, value: "
              "v2}], queryParams: "
              "[{type: RegularExpression, name: q, value: \"[0-9]+\"}]}\n"
              "    - path: {value: /b}\n    - {path: {type: RegularExpression, value: \"/x.*\"}}\n"
              "    - headers: [{type: RegularExpression, name: a, value: b|c}]",
              &r);
    const struct weir_route_match *m = r->rules[0].matches;

    assert_string_equal(r->rules[0].name, "one");
    assert_int_equal(r->rules[0].n_matches, 4);
    assert_int_equal(m[0].path_type, WEIR_MATCH_EXACT);
    assert_string_equal(m[0].path, "/a");
    assert_string_equal(m[0].method, "GET");
    assert_string_equal(m[0].headers[0].name, "X-V");
    assert_string_equal(m[0].headers[0].value, "v2");
    assert_int_equal(m[0].headers[0].type, WEIR_MATCH_EXACT);
    assert_int_equal(m[0].queries[0].type, WEIR_MATCH_REGEX);
    assert_int_equal(m[1].path_type, WEIR_MATCH_PREFIX);
    assert_string_equal(m[1].path, "/b");
    assert_int_equal(m[2].path_type, WEIR_MATCH_REGEX);
    assert_int_equal(m[3].headers[0].type, WEIR_MATCH_REGEX);
    assert_string_equal(m[3].path, "/");
    weir_snapshot_unref(s);
}

static void header_filters_are_read_in_full(void **state) {
    const struct weir_http_route *r;
    struct weir_snapshot *s =
        route("  rules:\n  - filters:\n"
              "    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: "
              "b}], add: [{name: c, "
              "value: d}, {name: e, value: \"\"}], remove: [f, g]}}\n"
              "    - {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [h]}}",
              &r);
    const struct weir_filter *f = r->rules[0].filters;

    assert_int_equal(r->rules[0].n_filters, 2);
    assert_int_equal(f[0].type, WEIR_FILTER_REQUEST_HEADERS);
    assert_int_equal(f[0].headers.n_set, 1);
    assert_string_equal(f[0].headers.set[0].key, "a");
    assert_int_equal(f[0].headers.n_add, 2);
    assert_string_equal(f[0].headers.add[1].value, "");
    assert_int_equal(f[0].headers.n_remove, 2);
    assert_string_equal(f[0].headers.remove[1], "g");
    assert_int_equal(f[1].type, WEIR_FILTER_RESPONSE_HEADERS);
    assert_string_equal(f[1].headers.remove[0], "h");
    weir_snapshot_unref(s);
}

static void a_timeout_of_zero_differs_from_none(void **state) {
    const struct weir_http_route *r;
    struct weir_snapshot *s =
        route("  rules: [{timeouts: {request: 0s, backendRequest: 2s}}, {timeouts: {request: "
              "10s}}]",
              &r);

    assert_true(r->rules[0].has_timeout_request);
    assert_int_equal(r->rules[0].timeout_request_us, 0);
    assert_int_equal(r->rules[0].timeout_backend_us, 2000000);
    assert_true(r->rules[1].has_timeout_request);
    assert_false(r->rules[1].has_timeout_backend);
    weir_snapshot_unref(s);
}

/* Line 11 of the text is the first of the rules. */
static void impossible_matches_are_refused(void **state) {
    conf_refused(ROUTE("  rules:\n  - matches: [{path: {value: a}}, {path: {value: /a//b}}, {path: "
                       "{type: Exact, value: "
                       "/a?b}}, {path: {type: Exact, value: /..}}]"),
                 "t:12:30: error: spec.rules[0].matches[0].path.value: \"a\" must begin with '/'\n"
                 "t:12:50: error: spec.rules[0].matches[1].path.value: \"/a//b\" may not contain "
                 "\"//\", \"/./\", "
                 "\"/../\", \"%2f\" or '#'\n"
                 "t:12:87: error: spec.rules[0].matches[2].path.value: \"/a?b\" may not contain "
                 "'?'; match the query "
                 "with queryParams\n"
                 "t:12:123: error: spec.rules[0].matches[3].path.value: \"/..\" may not end with "
                 "\"/..\" or \"/.\"\n");
    conf_refused(
        ROUTE("  rules:\n  - matches: [{method: get, headers: [{name: \"a b\", value: c}, {name: "
              "a}, {name: b, "
              "value: \"(\", type: RegularExpression}]}]"),
        "t:12:24: error: spec.rules[0].matches[0].method: unknown value \"get\"; expected GET, "
        "HEAD, POST, PUT, "
        "DELETE, CONNECT, OPTIONS, TRACE or PATCH\n"
        "t:12:40: error: spec.rules[0].matches[0].headers[0].name: \"a b\" is not a name that can "
        "be matched\n"
        "t:12:64: error: spec.rules[0].matches[0].headers[1].value: required, but not given\n"
        "t:12:92: error: spec.rules[0].matches[0].headers[2].value: not a regular expression: "
        "missing closing "
        "parenthesis at offset 1\n");
}

static void what_this_version_cannot_do_is_refused_at_its_place(void **state) {
    conf_refused(
        ROUTE("  rules:\n  - retry: {attempts: 101}\n    sessionPersistence: {sessionName: \"a "
              "b\"}\n    "
              "filters:\n"
              "    - {type: ExtensionRef, extensionRef: {name: a}}\n"
              "    - {type: ExternalAuth, externalAuth: {protocol: HTTP}}\n    - {type: "
              "Nonsense}\n"
              "    backendRefs:\n    - {name: api, port: 80, filters: [{type: ExtensionRef}]}\n"
              "    - {name: api, kind: Bucket, group: x.io, port: 1}"),
        "t:12:23: error: spec.rules[0].retry.attempts: 101 is out of range; expected 0 to 100\n"
        "t:13:39: error: spec.rules[0].sessionPersistence.sessionName: \"a b\" is not the name of "
        "a "
        "cookie or header of up to 128 letters\n"
        "t:15:14: error: spec.rules[0].filters[0].type: ExtensionRef is not supported by this "
        "version\n"
        "t:15:42: error: spec.rules[0].filters[0].extensionRef: not supported by this version\n"
        "t:16:14: error: spec.rules[0].filters[1].type: ExternalAuth is not supported by this "
        "version\n"
        "t:16:42: error: spec.rules[0].filters[1].externalAuth: not supported by this version\n"
        "t:17:14: error: spec.rules[0].filters[2].type: unknown value \"Nonsense\"; expected "
        "RequestHeaderModifier, ResponseHeaderModifier, RequestRedirect, URLRewrite, "
        "RequestMirror, CORS, "
        "ExternalAuth or ExtensionRef\n"
        "t:19:46: error: spec.rules[0].backendRefs[0].filters[0].type: ExtensionRef is not "
        "supported by this version\n"
        "t:20:19: error: spec.rules[0].backendRefs[1].kind: a backend of kind Bucket.x.io is not "
        "supported by "
        "this version; only a Service\n");
}

static void a_filter_and_its_type_must_agree(void **state) {
    conf_refused(
        ROUTE("  rules:\n  - filters: [{type: RequestHeaderModifier}, {requestHeaderModifier: {}}, "
              "{type: "
              "ResponseHeaderModifier, responseHeaderModifier: {}, requestHeaderModifier: {}}]\n"
              "  - filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: "
              "a:b, value: "
              "\"x\\r\\ny\"}], remove: [\"\"]}}]"),
        "t:12:15: error: spec.rules[0].filters[0].requestHeaderModifier: required with type "
        "RequestHeaderModifier\n"
        "t:12:46: error: spec.rules[0].filters[1].type: required, but not given\n"
        "t:12:134: error: spec.rules[0].filters[2].requestHeaderModifier: not allowed with type "
        "ResponseHeaderModifier\n"
        "t:13:82: error: spec.rules[1].filters[0].requestHeaderModifier.set[0].name: \"a:b\" is "
        "not a header "
        "name\n"
        "t:13:94: error: spec.rules[1].filters[0].requestHeaderModifier.set[0].value: a header "
        "value may not "
        "contain control characters or blanks at its ends\n"
        "t:13:115: error: spec.rules[1].filters[0].requestHeaderModifier.remove[0]: \"\" is not a "
        "header "
        "name\n");
}

static void a_retry_is_read_in_full(void **state) {
    const struct weir_http_route *r;
    struct weir_snapshot *s = route(
        "  rules: [{retry: {codes: [500, 503], attempts: 3, backoff: 100ms}}, {retry: {}}, {}]",
        &r);

    assert_int_equal(r->rules[0].retry->n_codes, 2);
    assert_int_equal(r->rules[0].retry->codes[1], 503);
    assert_int_equal(r->rules[0].retry->attempts, 3);
    assert_int_equal(r->rules[0].retry->backoff_us, 100000);
    assert_int_equal(r->rules[1].retry->attempts, 1);
    assert_int_equal(r->rules[1].retry->backoff_us, 25000);
    assert_null(r->rules[2].retry);
    weir_snapshot_unref(s);
}

static void rules_have_names_of_their_own(void **state) {
    conf_refused(ROUTE("  rules: [{name: a}, {}, {name: b}, {}, {name: a}, {name: A b}]"),
                 "t:11:42: error: spec.rules[4].name: another rule has the name \"a\"\n"
                 "t:11:53: error: spec.rules[5].name: \"A b\" is not a name: lower case letters, "
                 "digits and '-'\n");
}

static void a_session_is_read_in_full(void **state) {
    const struct weir_http_route *r;
    struct weir_snapshot *s = route(
        "  rules: [{sessionPersistence: {sessionName: s, type: Header, idleTimeout: 1m}}, {name: "
        "n, "
        "sessionPersistence: {absoluteTimeout: 2h, cookieConfig: {lifetimeType: Permanent}}}, "
        "{sessionPersistence: {}}, {}]",
        &r);
    const struct weir_session *session = r->rules[0].session;

    assert_string_equal(session->name, "s");
    assert_string_equal(session->scope, "HTTPRoute default/r #0");
    assert_true(session->header);
    assert_int_equal(session->idle_us, 60000000);
    assert_int_equal(session->absolute_us, 0);
    session = r->rules[1].session;
    assert_string_equal(session->scope, "HTTPRoute default/r n");
    assert_false(session->header);
    assert_true(session->permanent);
    assert_int_equal(session->absolute_us, 7200000000);
    assert_int_equal(strlen(session->name), strlen("weir-01234567")); /* one of its own */
    assert_int_equal(strncmp(session->name, "weir-", 5), 0);
    assert_string_not_equal(session->name, r->rules[2].session->name);
    assert_false(r->rules[2].session->permanent);
    assert_null(r->rules[3].session);
    weir_snapshot_unref(s);
    conf_refused(
        ROUTE("  rules: [{sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}}]"),
        "t:11:32: error: spec.rules[0].sessionPersistence.absoluteTimeout: required with "
        "lifetimeType Permanent: how long the cookie lives\n");
    conf_refused(
        ROUTE("  rules: [{sessionPersistence: {type: Header, cookieConfig: {}}}]"),
        "t:11:47: error: spec.rules[0].sessionPersistence.cookieConfig: not allowed beside "
        "type: Header\n");
}

static void hosts_parents_and_timeouts_are_checked(void **state) {
    conf_refused(ROUTE("  hostnames: [\"*\", 10.0.0.1, Api.example.com, \"a:80\"]\n"
                       "  rules: [{timeouts: {request: 1s, backendRequest: 2s}, backendRefs: "
                       "[{name: api, port: 80, "
                       "weight: 1000001}]}]"),
                 "t:11:15: error: spec.hostnames[0]: \"*\" is not a host name: lower case, no "
                 "port, no address, \"*.\" "
                 "only in front\n"
                 "t:11:20: error: spec.hostnames[1]: \"10.0.0.1\" is not a host name: lower case, "
                 "no port, no address, "
                 "\"*.\" only in front\n"
                 "t:11:30: error: spec.hostnames[2]: \"Api.example.com\" is not a host name: lower "
                 "case, no port, no "
                 "address, \"*.\" only in front\n"
                 "t:11:47: error: spec.hostnames[3]: \"a:80\" is not a host name: lower case, no "
                 "port, no address, "
                 "\"*.\" only in front\n"
                 "t:12:36: error: spec.rules[0].timeouts.backendRequest: longer than request\n"
                 "t:12:101: error: spec.rules[0].backendRefs[0].weight: 1000001 is out of range; "
                 "expected 0 to "
                 "1000000\n");
    conf_refused(
        "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: HTTPRoute\nmetadata: {name: "
        "r}\nspec:\n"
        "  parentRefs: [{kind: Service, name: a}, {kind: ServiceImport, name: a}, {port: 80}]\n",
        "t:5:16: error: spec.parentRefs[0].group: a parent of kind Service needs group: \"\"\n"
        "t:5:43: error: spec.parentRefs[1].kind: a parent of kind ServiceImport is not supported "
        "by this "
        "version; only Gateway and Service\n"
        "t:5:74: error: spec.parentRefs[2].name: required, but not given\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_without_matches_matches_everything),
        cmocka_unit_test(a_route_without_rules_has_the_default_one),
        cmocka_unit_test(matches_are_read_in_full),
        cmocka_unit_test(header_filters_are_read_in_full),
        cmocka_unit_test(a_timeout_of_zero_differs_from_none),
        cmocka_unit_test(impossible_matches_are_refused),
        cmocka_unit_test(what_this_version_cannot_do_is_refused_at_its_place),
        cmocka_unit_test(a_filter_and_its_type_must_agree),
        cmocka_unit_test(a_retry_is_read_in_full),
        cmocka_unit_test(rules_have_names_of_their_own),
        cmocka_unit_test(a_session_is_read_in_full),
        cmocka_unit_test(hosts_parents_and_timeouts_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
