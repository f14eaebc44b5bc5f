/* SPDX-License-Identifier: Apache-2.0 */
/* Routes for people: the list, and one request tried. */
#include "core/routes.h"

#include <jansson.h>

#include "weir_test.h"

static const char yaml[] =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\n"
    "spec: {containers: [{name: c}]}\nstatus: {podIP: 10.1.0.1}\n---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {name: other, namespace: team}\n"
    "spec: {containers: [{name: c}]}\nstatus: {podIP: 10.1.0.2}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\n"
    "spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}, {name: http-two, port: 81}]}\n"
    "---\n"
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: "
    "shop}\nspec:\n  listeners:\n"
    "  - {name: all, port: 8080, protocol: HTTP}\n"
    "  - {name: shop, port: 8080, protocol: HTTP, hostname: \"*.shop.example\"}\n---\n"
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: "
    "shop}\nspec:\n"
    "  parentRefs: [{kind: Service, group: \"\", name: api, port: 80}, {name: edge, sectionName: "
    "shop}]\n"
    "  rules:\n"
    "  - name: exact\n    matches: [{path: {type: Exact, value: /a}, method: POST}]\n"
    "    backendRefs: [{name: gone, port: 80}]\n"
    "  - matches: [{path: {value: /a}, headers: [{name: X-V, value: \"2\"}]}, {path: {value: /a}, "
    "queryParams: [{name: q, type: RegularExpression, value: \"[0-9]+\"}]}]\n"
    "    backendRefs: [{name: api, port: 81, weight: 3}, {name: gone, port: 80}]\n"
    "  - filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]\n---\n"
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: near, namespace: "
    "team}\nspec:\n"
    "  parentRefs: [{kind: Service, group: \"\", name: api, namespace: shop, port: 80}]\n"
    "  rules: [{matches: [{path: {value: /near}}]}]\n";

static struct weir_snapshot *snapshot(const char *text) {
    struct weir_source source = { "t", text, strlen(text) };
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;

    assert_int_equal(weir_snapshot_build(&source, 1, &s, &problems), 0);
    weir_problems_deinit(&problems);
    return s;
}

/* The answer to a query string about these documents, parsed. */
static json_t *ask_of(const char *documents, const char *query, int outcome) {
    struct weir_snapshot *s = snapshot(documents);
    struct weir_chunk_pool pool;
    struct weir_bufq out;
    json_t *j;
    char *text;

    weir_chunk_pool_init(&pool, 4);
    weir_bufq_init(&out, &pool, 0);
    assert_int_equal(weir_routes_query(s, weir_slice_from_str(query), &out), outcome);
    text = weir_test_bufq_text(&out);
    j = json_loads(text, 0, NULL);
    if (!j)
        fail_msg("no JSON: %s", text);
    free(text);
    weir_bufq_deinit(&out);
    weir_chunk_pool_deinit(&pool);
    weir_snapshot_unref(s);
    return j;
}

static json_t *ask(const char *query, int outcome) {
    return ask_of(yaml, query, outcome);
}

static const char *text_of(const json_t *j, const char *key) {
    const char *text = json_string_value(json_object_get(j, key));

    return text ? text : "-";
}

/* "part why; " of each rule passed over. */
static const char *passed(const json_t *j) {
    static char text[2048];
    const json_t *one;
    size_t i;

    text[0] = '\0';
    json_array_foreach(json_object_get(j, "passed"), i, one) {
        strcat(strcat(strcat(text, text_of(one, "rule")), " "), text_of(one, "why"));
        strcat(text, "; ");
    }
    return text;
}

static void every_match_is_listed_where_it_is_attached(void **state) {
    json_t *j = ask("", 0), *list = json_object_get(j, "routes"), *one;
    char text[2048] = "";
    size_t i;

    (void)state;
    json_array_foreach(list, i, one) {
        strcat(strcat(text, text_of(one, "parent")), " ");
        strcat(strcat(text, text_of(one, "routesOf")), " ");
        strcat(strcat(text, text_of(one, "route")), " ");
        strcat(strcat(text, text_of(one, "rule")), "; ");
    }
    assert_string_equal(
        text, "Gateway shop/edge/shop - shop/r exact; Gateway shop/edge/shop - shop/r #1; "
              "Gateway shop/edge/shop - shop/r #1; Gateway shop/edge/shop - shop/r #2; "
              "Service shop/api:80 team team/near #0; "
              "Service shop/api:80 shop shop/r exact; Service shop/api:80 shop shop/r #1; "
              "Service shop/api:80 shop shop/r #1; Service shop/api:80 shop shop/r #2; ");
    json_decref(j);
}

static void a_request_is_decided_and_the_nearer_rules_say_why_not(void **state) {
    json_t *j = ask("url=http%3A%2F%2Fapi.shop%2Fa%2Fb%3Fq%3Dx&method=GET&header=x-v:+1", 0);
    const json_t *decision = json_object_get(j, "decision"), *read = json_object_get(j, "read");

    (void)state;
    assert_string_equal(text_of(j, "parent"), "Service shop/api:80");
    assert_string_equal(passed(j),
                        "exact path is not Exact /a; #1 header X-V is not \"2\"; #1 query "
                        "parameter q is not like \"[0-9]+\"; ");
    assert_string_equal(text_of(decision, "rule"), "#2");
    assert_string_equal(text_of(decision, "place"), "t:37:5");
    assert_string_equal(text_of(j, "answer"), "a redirect");
    assert_true(json_is_true(json_object_get(read, "path")));
    assert_true(json_is_false(json_object_get(read, "method"))); /* never got there */
    assert_int_equal(json_array_size(json_object_get(read, "headers")), 1);
    assert_int_equal(json_array_size(json_object_get(read, "queryParams")), 1);
    json_decref(j);
    j = ask("url=http://10.96.0.1/a?q=12&method=PUT", 0);
    assert_string_equal(passed(j), "exact method is not POST; #1 there is no header X-V; ");
    decision = json_object_get(j, "decision");
    assert_string_equal(text_of(decision, "rule"), "#1");
    assert_int_equal(json_integer_value(json_object_get(decision, "match")), 1);
    assert_string_equal(text_of(j, "answer"),
                        "of a backend; 500 for the share of those that are not there");
    json_decref(j);
    j = ask("url=http://api.shop/a&method=POST", 0);
    assert_string_equal(text_of(json_object_get(j, "decision"), "rule"), "exact");
    assert_string_equal(text_of(j, "answer"), "500: no backend of the rule is there");
    json_decref(j);
}

static void where_it_comes_to_is_as_for_the_proxies(void **state) {
    static const struct {
        const char *query, *parent, *answer;
    } cases[] = {
        { "url=http://x.shop.example:8080/", "Gateway shop/edge/shop", "a redirect" },
        { "url=http://X.SHOP.example:8080/", "Gateway shop/edge/shop", "a redirect" },
        { "url=http://x.shop.example/", "Gateway shop/edge/shop",
          "a redirect" }, /* no port given */
        { "url=http://shop.example:8080/", "Gateway shop/edge/all", "404: no route matches" },
        { "url=http://10.96.0.1:81/", "Service shop/api:81",
          "no route is attached: the Service's own endpoints" },
        { "url=http://api:81/&from=shop/web", "Service shop/api:81",
          "no route is attached: the Service's own endpoints" },
        { "url=http://api.shop.svc.cluster.local/near&from=team/other", "Service shop/api:80",
          "500: the rule has no backend with a weight" },
        { "url=http://api.shop/else&from=team/other", "Service shop/api:80", "a redirect" },
        { "url=http://api.shop/near&from=shop/web", "Service shop/api:80", "a redirect" },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        json_t *j = ask(cases[i].query, 0);

        if (strcmp(text_of(j, "parent"), cases[i].parent) != 0 ||
            strcmp(text_of(j, "answer"), cases[i].answer) != 0)
            fail_msg("%s: %s, %s", cases[i].query, text_of(j, "parent"), text_of(j, "answer"));
        json_decref(j);
    }
}

static void what_cannot_be_asked_says_why(void **state) {
    static const char *const cases[][2] = {
        { "url=ftp://a/", "the URL begins with neither http:// nor https://" },
        { "url=http:///x", "the URL names no host" },
        { "url=http://a%20b/", "the URL names no host" },
        { "url=http://api.shop/%20", "the URL's path is not one" },
        { "url=http://api.shop/a%252fb", "the path is refused with 400: it has escapes or dot "
                                         "segments that servers disagree about" },
        { "url=http://nowhere:81/", "no Gateway listener is for that host and port, and no Service "
                                    "has that name or address" },
        { "url=https://x.shop.example/", "no Gateway listener is for that host and port, and no "
                                         "Service has that name or address" },
        { "url=http://api/&from=shop/none", "the pod that asks is not among the documents: "
                                            "NAMESPACE/POD" },
        { "url=http://api.shop/&method=G%20T", "that is no method" },
        { "url=http://api.shop/&header=nonsense", "a header is not name: value" },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        json_t *j = ask(cases[i][0], 1);

        if (strcmp(text_of(j, "error"), cases[i][1]) != 0)
            fail_msg("%s: %s", cases[i][0], text_of(j, "error"));
        json_decref(j);
    }
}

struct sweep {
    struct weir_snapshot *s;
    const char *query;
};

static int ask_with_failures(void *arg) {
    struct sweep *sweep = arg;
    struct weir_chunk_pool pool;
    struct weir_bufq out;
    int r;

    weir_chunk_pool_init(&pool, 4);
    weir_bufq_init(&out, &pool, 0);
    r = weir_routes_query(sweep->s, weir_slice_from_str(sweep->query), &out);
    weir_bufq_deinit(&out);
    weir_chunk_pool_deinit(&pool);
    return r == 1 ? -ENOMEM : r; /* a question that memory was missing for is an error, too */
}

static void survives_every_failing_allocation(void **state) {
    struct sweep list = { snapshot(yaml), "" },
                 try = { list.s, "url=http://api.shop/a/b?q=x&header=x-v:1&from=team/other" };

    (void)state;
    assert_int_not_equal(weir_test_sweep(ask_with_failures, &list, 0), 0);
    assert_int_not_equal(weir_test_sweep(ask_with_failures, &try, 0), 0);
    weir_snapshot_unref(list.s);
}

#define GUARDED_POD(name, account, ip)                                                             \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: shop, labels: {app: " name   \
    "}, annotations: {weir.dev/mode: sidecar}}\n"                                                  \
    "spec: {serviceAccountName: " account ", containers: [{name: c}]}\nstatus: {podIP: " ip        \
    "}\n---\n"
static const char guarded[] =
    GUARDED_POD("web", "web", "10.1.0.1") GUARDED_POD("evil", "evil", "10.1.0.2") GUARDED_POD(
        "api", "api",
        "10.1.0.3") "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\n"
                    "spec: {clusterIP: 10.96.0.1, selector: {app: api}, ports: [{name: http, port: "
                    "80}]}\n---\n"
                    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
                    "metadata: {name: readers, namespace: shop}\n"
                    "spec:\n  selector: {matchLabels: {app: api}}\n"
                    "  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}], "
                    "to: [{operation: "
                    "{methods: [GET], paths: [/a*]}}]}]\n---\n"
                    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
                    "metadata: {name: trial, namespace: shop, annotations: {weir.dev/audit: "
                    "\"true\"}}\n"
                    "spec: {selector: {matchLabels: {app: api}}, action: DENY, rules: [{to: "
                    "[{operation: {paths: "
                    "[/ab]}}]}]}\n";

static void policies_have_their_word_where_the_request_goes(void **state) {
    static const struct {
        const char *query;
        bool allowed;
        const char *policy, *would_deny;
    } cases[] = {
        { "url=http://api/a&from=shop/web", true, "shop/readers", "-" },
        { "url=http://api/x/../ab&from=shop/web", true, "shop/readers", "shop/trial" },
        { "url=http://api/b&from=shop/web", false, "shop/readers", "-" },
        { "url=http://api/a&method=POST&from=shop/web", false, "shop/readers", "-" },
        { "url=http://api/a&from=shop/evil", false, "shop/readers", "-" },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        json_t *j = ask_of(guarded, cases[i].query, 0), *list = json_object_get(j, "authorization"),
               *one = json_array_get(list, 0);

        assert_int_equal(json_array_size(list), 1);
        assert_string_equal(text_of(one, "at"), "Pod shop/api");
        if (json_is_true(json_object_get(one, "allowed")) != cases[i].allowed)
            fail_msg("%s", cases[i].query);
        assert_string_equal(text_of(one, "policy"), cases[i].policy);
        assert_string_equal(text_of(one, "wouldDeny"), cases[i].would_deny);
        json_decref(j);
    }
    json_t *j = ask("url=http://api/near&from=shop/web", 0);
    assert_int_equal(json_array_size(json_object_get(j, "authorization")), 0);
    json_decref(j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_have_their_word_where_the_request_goes),
        cmocka_unit_test(every_match_is_listed_where_it_is_attached),
        cmocka_unit_test(a_request_is_decided_and_the_nearer_rules_say_why_not),
        cmocka_unit_test(where_it_comes_to_is_as_for_the_proxies),
        cmocka_unit_test(what_cannot_be_asked_says_why),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
