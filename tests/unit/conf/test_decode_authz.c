/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define AUTHZ(spec)                                                                                \
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: "               \
    "a}\nspec: " spec "\n"
#define RULE(rule) AUTHZ("{rules: [" rule "]}")

static void what_is_written_is_read(void **state) {
    struct weir_snapshot *s = conf_build(AUTHZ(
        "{action: DENY, selector: {matchLabels: {app: a}}, rules: [{from: [{source: {principals: "
        "['*'], notNamespaces: [x, 'y*'], ipBlocks: [10.1.2.3, 10.9.9.9/8], remoteIpBlocks: "
        "['fd00::/8']}}, {source: "
        "{serviceAccounts: [web, other/api]}}], to: [{operation: {ports: ['80', '443'], methods: "
        "[GET], paths: "
        "['/a/{*}/{**}']}}], when: [{values: ['80'], key: destination.port}, {key: "
        "'request.headers[X-A]', "
        "notValues: ['b']}]}]}"));
    const struct weir_authz_policy *p = &s->authz[0];
    const struct weir_authz_rule *r = &p->rules[0];

    assert_int_equal(s->n_authz, 1);
    assert_int_equal(p->action, WEIR_AUTHZ_DENY);
    assert_int_equal(p->pods.n_terms, 1);
    assert_int_equal(r->n_sources, 2);
    assert_string_equal(r->sources[0].not_namespaces.v[1], "y*");
    assert_int_equal(r->sources[0].ips.v[0].prefix, 128);
    assert_int_equal(r->sources[0].ips.v[1].prefix, 104);
    assert_int_equal(r->sources[0].ips.v[1].ip.b[13], 0);
    assert_string_equal(r->sources[1].accounts.v[0], "default/web");
    assert_string_equal(r->sources[1].accounts.v[1], "other/api");
    assert_int_equal(r->operations[0].ports.v[1], 443);
    assert_int_equal(r->conditions[0].ports.v[0], 80);
    assert_int_equal(r->conditions[1].key, WEIR_AUTHZ_HEADER);
    assert_string_equal(r->conditions[1].header, "X-A");
    weir_snapshot_unref(s);
}

static void a_policy_without_rules_and_an_empty_rule_differ(void **state) {
    struct weir_snapshot *s =
        conf_build(AUTHZ("{}") "---\n"
                               "apiVersion: security.istio.io/v1beta1\nkind: "
                               "AuthorizationPolicy\nmetadata: {name: b}\nspec: {rules: [{}]}\n");

    assert_int_equal(s->authz[0].n_rules, 0);
    assert_int_equal(s->authz[1].n_rules, 1);
    assert_int_equal(s->authz[1].rules[0].n_sources, 0);
    weir_snapshot_unref(s);
}

static void audit_mode_is_an_annotation(void **state) {
    static const struct {
        const char *annotation;
        bool audit;
    } cases[] = { { "a: b", false },
                  { "weir.dev/audit: 'true'", true },
                  { "weir.dev/audit: 'false'", false },
                  { "istio.io/dry-run: 'true'", true } };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        char text[512];

        snprintf(text, sizeof(text),
                 "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, "
                 "annotations: {%s}}\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
                 "metadata: {name: a, annotations: {%s}}\nspec: {podSelector: {}}\n",
                 cases[i].annotation, cases[i].annotation);
        struct weir_snapshot *s = conf_build(text);

        assert_int_equal(s->authz[0].audit, cases[i].audit);
        assert_int_equal(s->netpols[0].audit, cases[i].audit && i == 1);
        weir_snapshot_unref(s);
    }
}

static void what_is_not_supported_is_refused_at_its_place(void **state) {
    conf_refused(
        AUTHZ("{action: CUSTOM}"),
        "t:4:16: error: spec.action: CUSTOM (external authorization) is not supported by this "
        "version; expected ALLOW, DENY or AUDIT\n");
    conf_refused(RULE("{when: [{key: 'request.auth.claims[iss]', values: [a]}]}"),
                 "t:4:30: error: spec.rules[0].when[0].key: \"request.auth.claims[iss]\" is not "
                 "supported by this "
                 "version: it needs RequestAuthentication (JWT)\n");
    conf_refused(RULE("{from: [{source: {requestPrincipals: ['*']}}]}"),
                 "t:4:53: error: spec.rules[0].from[0].source.requestPrincipals: not supported by "
                 "this version\n");
}

static void what_could_be_read_too_widely_is_refused(void **state) {
    conf_refused(RULE("{from: []}"),
                 "t:4:17: error: spec.rules[0].from: may not be empty: leave it out for \"any\"\n");
    conf_refused(RULE("{from: [{source: {}}]}"),
                 "t:4:33: error: spec.rules[0].from[0].source: a source "
                 "needs at least one list that is not empty\n");
    conf_refused(
        RULE("{to: [{operation: {methods: ['']}}]}"),
        "t:4:45: error: spec.rules[0].to[0].operation.methods[0]: an empty text matches nothing\n");
    conf_refused(
        RULE("{to: [{operation: {ports: ['0']}}]}"),
        "t:4:43: error: spec.rules[0].to[0].operation.ports[0]: \"0\" is not a port number\n");
    conf_refused(RULE("{to: [{operation: {paths: ['/a/b{*}']}}]}"),
                 "t:4:43: error: spec.rules[0].to[0].operation.paths[0]: \"/a/b{*}\" is not a path "
                 "template: {*} and "
                 "{**} are whole segments, {**} is the last of them, and \"*\" does not stand "
                 "beside them\n");
    conf_refused(RULE("{when: [{key: source.ip}]}"),
                 "t:4:24: error: spec.rules[0].when[0]: needs values or notValues\n");
    conf_refused(AUTHZ("{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: x}]}"),
                 "t:4:41: error: spec.targetRefs: may not stand beside selector\n");
}

static void a_target_that_is_not_there_is_told(void **state) {
    conf_warned(AUTHZ("{targetRefs: [{group: '', kind: Service, name: x}]}"),
                "t:1:1: warning: spec.targetRefs: there is no Service default/x\n");
    conf_refused(AUTHZ("{targetRefs: [{group: apps, kind: Deployment, name: x}]}"),
                 "t:4:35: error: spec.targetRefs[0].kind: expected Service of group \"\" or "
                 "Gateway of group "
                 "\"gateway.networking.k8s.io\"\n");
}

static void patterns_match_as_istio_says(void **state) {
    static const struct {
        const char *pattern, *path;
        bool matches;
    } cases[] = {
        { "/a", "/a", true },
        { "/a", "/a/", false },
        { "/a*", "/ab/c", true },
        { "*/c", "/ab/c", true },
        { "*", "/", true },
        { "/a/{*}", "/a/b", true },
        { "/a/{*}", "/a/b/c", false },
        { "/a/{*}", "/a/", false },
        { "/a/{*}/c", "/a/b/c", true },
        { "/a/{**}", "/a/b/c", true },
        { "/a/{**}", "/a/", true },
        { "/a/{**}", "/ab", false },
        { "/{*}/b/{**}", "/x/b/", true },
        { "/{*}/b/{**}/z", "/x/b/y/z", true },
        { "/{**}/z", "/x/y/zz", false },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++)
        if (weir_authz_path_matches(cases[i].pattern, weir_slice_from_str(cases[i].path)) !=
            cases[i].matches)
            fail_msg("%s on %s", cases[i].pattern, cases[i].path);
    assert_true(weir_authz_principal_matches("cluster.local/ns/a/sa/b", "other.org",
                                             WEIR_SLICE("a"), WEIR_SLICE("b")));
    assert_true(weir_authz_principal_matches("other.org/ns/a/*", "other.org", WEIR_SLICE("a"),
                                             WEIR_SLICE("b")));
    assert_false(weir_authz_principal_matches("third.org/ns/a/sa/b", "other.org", WEIR_SLICE("a"),
                                              WEIR_SLICE("b")));
    assert_false(weir_authz_template_ok("/{**}/{*}"));
    assert_false(weir_authz_template_ok("/a{*}"));
    assert_false(weir_authz_template_ok("/a/*/{*}"));
    assert_true(weir_authz_template_ok("/a/*"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_policy_without_rules_and_an_empty_rule_differ),
        cmocka_unit_test(audit_mode_is_an_annotation),
        cmocka_unit_test(what_is_not_supported_is_refused_at_its_place),
        cmocka_unit_test(what_could_be_read_too_widely_is_refused),
        cmocka_unit_test(a_target_that_is_not_there_is_told),
        cmocka_unit_test(patterns_match_as_istio_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
