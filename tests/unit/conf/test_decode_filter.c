/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

/* Line 10 of the text is the first of `filters`. */
#define RULE(text)                                                                                 \
    "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {ports: [{port: 80}]}\n---\n"     \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\n"             \
    "spec: {parentRefs: [{kind: Service, group: \"\", name: api}], rules: [{\n" text "\n}]}\n"
#define FILTERS(text) RULE("filters: [" text "]")

static struct weir_snapshot *rule(const char *text, const struct weir_route_rule **ret_rule) {
    struct weir_snapshot *s = conf_build(text);

    *ret_rule = &s->routes[0].rules[0];
    return s;
}

static void a_redirect_is_read_in_full(void **state) {
    const struct weir_route_rule *r;
    struct weir_snapshot *s = rule(
        FILTERS("{type: RequestRedirect, requestRedirect: {scheme: https, hostname: b.example, "
                "port: 8443, statusCode: 308, path: {type: ReplaceFullPath, replaceFullPath: "
                "/new}}}"),
        &r);
    const struct weir_rewrite *rw = &r->filters[0].rewrite;

    assert_int_equal(r->filters[0].type, WEIR_FILTER_REDIRECT);
    assert_string_equal(rw->scheme, "https");
    assert_string_equal(rw->hostname, "b.example");
    assert_int_equal(rw->port, 8443);
    assert_int_equal(rw->status, 308);
    assert_int_equal(rw->change, WEIR_PATH_FULL);
    assert_string_equal(rw->path, "/new");
    weir_snapshot_unref(s);
    s = rule(FILTERS("{type: RequestRedirect, requestRedirect: {}}"), &r);
    rw = &r->filters[0].rewrite;
    assert_string_equal(rw->scheme, "");
    assert_string_equal(rw->hostname, "");
    assert_int_equal(rw->port, 0);
    assert_int_equal(rw->status, 302);
    assert_int_equal(rw->change, WEIR_PATH_KEEP);
    weir_snapshot_unref(s);
}

static void a_rewrite_and_a_mirror_are_read_on_rules_and_backends(void **state) {
    const struct weir_route_rule *r;
    struct weir_snapshot *s = rule(
        RULE("matches: [{path: {value: /a}}], filters: [{type: RequestMirror, requestMirror: "
             "{backendRef: {name: api, port: 80}}}, {type: RequestMirror, requestMirror: "
             "{backendRef: {name: api, port: 80}, fraction: {numerator: 3, denominator: 1000}}}], "
             "backendRefs: [{name: api, port: 80, filters: [{type: URLRewrite, urlRewrite: "
             "{hostname: h, path: {type: ReplacePrefixMatch, replacePrefixMatch: \"\"}}}, {type: "
             "RequestMirror, requestMirror: {backendRef: {name: api, port: 80}, percent: 7}}]}]"),
        &r);
    const struct weir_backend_ref *b = &r->backends[0];

    assert_int_equal(r->filters[0].mirror.numerator, r->filters[0].mirror.denominator);
    assert_non_null(r->filters[0].mirror.backend->service_port);
    assert_int_equal(r->filters[1].mirror.numerator, 3);
    assert_int_equal(r->filters[1].mirror.denominator, 1000);
    assert_int_equal(b->filters[0].type, WEIR_FILTER_REWRITE);
    assert_int_equal(b->filters[0].rewrite.change, WEIR_PATH_PREFIX);
    assert_string_equal(b->filters[0].rewrite.path, "");
    assert_string_equal(b->filters[0].rewrite.hostname, "h");
    assert_int_equal(b->filters[1].mirror.numerator, 7);
    assert_int_equal(b->filters[1].mirror.denominator, 100);
    assert_non_null(b->filters[1].mirror.backend->service);
    weir_snapshot_unref(s);
}

static void cors_is_read_in_full_and_origins_lose_their_default_port(void **state) {
    const struct weir_route_rule *r;
    struct weir_snapshot *s =
        rule(FILTERS("{type: CORS, cors: {allowOrigins: [\"https://a.example:443\", "
                     "\"http://*.b.example:8080\", \"https://*\", \"http://10.0.0.1:80\"], "
                     "allowMethods: [GET, PUT], allowHeaders: [x-a], exposeHeaders: [\"*\"], "
                     "allowCredentials: true, maxAge: 60}}, {type: ResponseHeaderModifier, "
                     "responseHeaderModifier: {}}"),
             &r);
    const struct weir_cors *c = &r->filters[0].cors;

    assert_int_equal(c->n_origins, 4);
    assert_string_equal(c->origins[0], "https://a.example");
    assert_string_equal(c->origins[1], "http://*.b.example:8080");
    assert_string_equal(c->origins[2], "https://*");
    assert_string_equal(c->origins[3], "http://10.0.0.1");
    assert_int_equal(c->n_methods, 2);
    assert_string_equal(c->headers[0], "x-a");
    assert_string_equal(c->expose[0], "*");
    assert_true(c->credentials);
    assert_int_equal(c->max_age, 60);
    weir_snapshot_unref(s);
    s = rule(FILTERS("{type: CORS, cors: {}}"), &r);
    assert_int_equal(r->filters[0].cors.max_age, 5);
    weir_snapshot_unref(s);
}

static void what_a_filter_may_not_say_is_refused_at_its_place(void **state) {
    conf_refused(
        FILTERS("{type: RequestRedirect, requestRedirect: {scheme: ftp, hostname: \"*.a\",\n"
                "port: 0, statusCode: 304, path: {type: ReplaceFullPath, replaceFullPath: x}}}"),
        "t:10:61: error: spec.rules[0].filters[0].requestRedirect.scheme: unknown value \"ftp\"; "
        "expected http or https\n"
        "t:10:76: error: spec.rules[0].filters[0].requestRedirect.hostname: \"*.a\" is not a host "
        "name: lower case, no port, no address, no '*'\n"
        "t:11:7: error: spec.rules[0].filters[0].requestRedirect.port: 0 is out of range; expected "
        "1 to 65535\n"
        "t:11:22: error: spec.rules[0].filters[0].requestRedirect.statusCode: 304 is not a "
        "redirection; expected 301, 302, 303, 307 or 308\n"
        "t:11:74: error: spec.rules[0].filters[0].requestRedirect.path.replaceFullPath: \"x\" must "
        "begin with '/'\n");
    conf_refused(FILTERS("{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath,\n"
                         "replaceFullPath: /a\\b, replacePrefixMatch: /b}}}"),
                 "t:11:18: error: spec.rules[0].filters[0].urlRewrite.path.replaceFullPath: "
                 "\"/a\\b\" has characters that a path may not have\n"
                 "t:11:24: error: spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch: not "
                 "allowed with this type\n");
    conf_refused(FILTERS("{type: RequestMirror, requestMirror: {percent: 101}}, {type: "
                         "RequestMirror,\nrequestMirror: {backendRef: {name: api, port: 80}, "
                         "fraction: {numerator: 2, denominator: 1}}}"),
                 "t:10:48: error: spec.rules[0].filters[0].requestMirror.backendRef: required, but "
                 "not given\n"
                 "t:10:58: error: spec.rules[0].filters[0].requestMirror.percent: 101 is out of "
                 "range; expected 0 to 100\n"
                 "t:11:63: error: spec.rules[0].filters[1].requestMirror.fraction.numerator: "
                 "greater than denominator\n");
    conf_refused(
        FILTERS("{type: CORS, cors: {allowOrigins: [\"a.example\", \"http://a:0\"],\n"
                "allowMethods: [FETCH], allowHeaders: [\"a b\"], maxAge: 0}}"),
        "t:10:46: error: spec.rules[0].filters[0].cors.allowOrigins[0]: \"a.example\" is "
        "not an origin: \"*\", or http:// or https://, a host in lower case that may begin "
        "with \"*\", and a port\n"
        "t:10:59: error: spec.rules[0].filters[0].cors.allowOrigins[1]: \"http://a:0\" is "
        "not an origin: \"*\", or http:// or https://, a host in lower case that may begin "
        "with \"*\", and a port\n"
        "t:11:16: error: spec.rules[0].filters[0].cors.allowMethods[0]: unknown value "
        "\"FETCH\"; expected GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH "
        "or *\n"
        "t:11:39: error: spec.rules[0].filters[0].cors.allowHeaders[0]: \"a b\" is not a "
        "header name\n"
        "t:11:55: error: spec.rules[0].filters[0].cors.maxAge: 0 is out of range; expected "
        "1 to 2147483647\n");
}

static void filters_that_contradict_each_other_are_refused(void **state) {
    conf_refused(
        FILTERS("{type: CORS, cors: {allowOrigins: [\"*\", \"http://a\"]}}"),
        "t:10:31: error: spec.rules[0].filters[0].cors.allowOrigins: \"*\" stands alone or "
        "not at all\n");
    conf_refused(FILTERS("{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, "
                         "urlRewrite: {}}"),
                 "t:10:1: error: spec.rules[0].filters: RequestRedirect and URLRewrite together\n");
    conf_refused(FILTERS("{type: CORS, cors: {}}, {type: CORS, cors: {}}"),
                 "t:10:1: error: spec.rules[0].filters: CORS more than once\n");
    conf_refused(RULE("filters: [{type: RequestRedirect, requestRedirect: {}}],\n"
                      "backendRefs: [{name: api, port: 80}]"),
                 "t:11:1: error: spec.rules[0].backendRefs: not allowed beside RequestRedirect\n");
    conf_refused(
        RULE("matches: [{path: {value: /a}}, {path: {value: /b}}],\nfilters: [{type: "
             "URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, "
             "replacePrefixMatch: /c}}}]"),
        "t:10:1: error: spec.rules[0].matches: ReplacePrefixMatch needs exactly one match, "
        "with a PathPrefix\n");
}

static void a_mirror_to_nowhere_is_warned_about(void **state) {
    conf_warned(
        FILTERS("{type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}"),
        "t:10:61: warning: spec.rules[0].filters[0]: Service default/gone is not among the "
        "documents; nothing is mirrored to it\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_redirect_is_read_in_full),
        cmocka_unit_test(a_rewrite_and_a_mirror_are_read_on_rules_and_backends),
        cmocka_unit_test(cors_is_read_in_full_and_origins_lose_their_default_port),
        cmocka_unit_test(what_a_filter_may_not_say_is_refused_at_its_place),
        cmocka_unit_test(filters_that_contradict_each_other_are_refused),
        cmocka_unit_test(a_mirror_to_nowhere_is_warned_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
