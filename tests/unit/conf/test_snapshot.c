/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

/* One of everything, with a warning and a reference of each kind. */
static const char everything[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nspec: {pod: default/gone, to: [a, \"https://b\"], "
    "listen: \":80\"}\n---\n"
    "apiVersion: weir.dev/v1alpha1\nkind: Agent\nspec: {cgroup: pods, flowLog: \"-\"}\n---\n"
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {weir.dev/mode: "
    "sidecar}}\n---\n"
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels: {app: a}\n  annotations: "
    "{weir.dev/cgroup: pods/p}\n"
    "spec: {containers: [{name: c, ports: [{name: web, containerPort: 8080}]}], "
    "serviceAccountName: sa}\n"
    "status: {podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: \"True\"}]}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  clusterIP: 10.96.0.1\n  "
    "selector: {app: a}\n"
    "  ports: [{name: http, port: 80, targetPort: web}, {name: tcp, port: 90}]\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: [{port: 80}], "
    "sessionAffinity: ClientIP}\n---\n"
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
    "metadata: {name: b, labels: {kubernetes.io/service-name: b}}\naddressType: IPv4\nports: "
    "[{port: 80}]\n"
    "endpoints: [{addresses: [10.0.0.1, 10.0.0.2], targetRef: {kind: Pod, name: p}}]\n---\n"
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\n"
    "spec: {listeners: [{name: l, port: 80, protocol: HTTP}]}\n---\n"
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n"
    "  parentRefs: [{name: g}, {kind: Service, group: \"\", name: a}]\n  hostnames: "
    "[a.example.com]\n  rules:\n"
    "  - matches: [{path: {type: RegularExpression, value: \"/a.*\"}, headers: [{name: x, value: "
    "y}]}]\n"
    "    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x, value: "
    "y}]}}]\n"
    "    backendRefs: [{name: a, port: 80}, {name: nowhere, port: 80}]\n---\n"
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n}\nspec:\n"
    "  podSelector: {matchLabels: {app: a}}\n"
    "  ingress: [{from: [{podSelector: {matchExpressions: [{key: k, operator: In, values: [v]}]}}, "
    "{ipBlock: {cidr: "
    "10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 80, endPort: 90}]}]\n---\n"
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: m}\n"
    "spec: {selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {80: {mode: "
    "DISABLE}}}\n";

static void one_of_everything_is_linked(void **state) {
    char *report;
    struct weir_snapshot *s = conf_try(everything, &report);

    assert_string_equal(
        report,
        "t:1:1: warning: spec.pod: the Pod default/gone is not among the documents\n"
        "t:56:40: warning: spec.rules[0].backendRefs[1]: Service default/nowhere is not among the "
        "documents; its share of requests is answered with 500\n");
    free(report);
    assert_int_equal(s->n_services, 2);
    assert_int_equal(weir_snapshot_service(s, "default", "b")->ports[0].n_endpoints, 2);
    assert_int_equal(s->routes[0].n_parents, 2);
    assert_string_equal(s->routes[0].parents[0].section, "l");
    assert_int_equal(weir_snapshot_mtls(s, weir_snapshot_pod(s, "default", "p"), 80),
                     WEIR_MTLS_DISABLE);
    weir_snapshot_unref(s);
}

static void a_snapshot_lives_as_long_as_it_is_referred_to(void **state) {
    struct weir_snapshot *s = conf_build("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n");

    assert_ptr_equal(weir_snapshot_ref(s), s);
    assert_null(weir_snapshot_unref(s));
    assert_non_null(weir_snapshot_pod(s, "default", "a"));
    assert_null(weir_snapshot_unref(s));
    assert_null(weir_snapshot_unref(NULL));
}

static void a_snapshot_owes_nothing_to_its_sources(void **state) {
    char text[] = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {k: v}}\n",
         name[] = "file";
    struct weir_source source = { name, text, sizeof(text) - 1 };
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;

    assert_int_equal(weir_snapshot_build(&source, 1, &s, &problems), 0);
    memset(text, 'x', sizeof(text));
    memset(name, 'x', sizeof(name));
    assert_string_equal(s->pods[0].meta.labels[0].value, "v");
    assert_string_equal(s->pods[0].meta.place.file, "file");
    weir_problems_deinit(&problems);
    weir_snapshot_unref(s);
}

static void problems_of_several_sources_come_in_their_order(void **state) {
    static const char bad[] = "a: 1\n",
                      twice[] = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
    struct weir_source sources[] = { { "z.yaml", twice, sizeof(twice) - 1 },
                                     { "-", bad, sizeof(bad) - 1 },
                                     { "a.yaml", twice, sizeof(twice) - 1 } };
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;

    assert_int_equal(weir_snapshot_build(sources, 3, &s, &problems), WEIR_CONF_REFUSED);
    assert_null(s);
    char *report = conf_report(&problems);
    assert_string_equal(report,
                        "<stdin>:1:1: error: apiVersion: required, but not given\n"
                        "a.yaml:1:1: error: : Pod default/a is given twice; first at z.yaml:1:1\n");
    free(report);
    weir_problems_deinit(&problems);
}

static void no_source_is_a_configuration_too(void **state) {
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;

    assert_int_equal(weir_snapshot_build(NULL, 0, &s, &problems), 0);
    assert_int_equal(s->n_pods, 0);
    assert_string_equal(s->proxy.outbound, "127.0.0.1:15001");
    assert_string_equal(s->agent.pin_dir, "/sys/fs/bpf/weir");
    weir_problems_deinit(&problems);
    weir_snapshot_unref(s);
}

static void the_input_as_a_whole_is_bounded(void **state) {
    struct weir_source sources[2] = { { "a", "", 0 }, { "b", "", 0 } };
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;

    /* Never read: the size alone refuses it. */
    sources[1].len = (size_t)65 * 1024 * 1024;
    assert_int_equal(weir_snapshot_build(sources, 2, &s, &problems), WEIR_CONF_REFUSED);
    assert_int_equal(problems.n, 1);
    assert_string_equal(problems.items[0].message, "the input is larger than 64 MiB");
    weir_problems_deinit(&problems);
}

struct attempt {
    const char *text;
    int wanted;
};

static int build_once(void *arg) {
    const struct attempt *attempt = arg;
    struct weir_source source = { "t", attempt->text, strlen(attempt->text) };
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;
    int r = weir_snapshot_build(&source, 1, &s, &problems);

    /* Out of memory leaves neither a snapshot nor problems behind. */
    if (r == -ENOMEM && (s != NULL || problems.n != 0)) {
        return -EINVAL;
    }
    weir_problems_deinit(&problems);
    weir_snapshot_unref(s);
    return r == attempt->wanted ? 0 : r;
}

static void every_allocation_may_fail(void **state) {
    struct attempt accepted = { everything, 0 };
    struct attempt refused = {
        "apiVersion: v1\nkind: Pod\nmetadata: {nam: a}\nspec: {x: 1}\n---\na: 1\n",
        WEIR_CONF_REFUSED
    };

    assert_int_not_equal(weir_test_sweep(build_once, &accepted, 0), 0);
    assert_int_not_equal(weir_test_sweep(build_once, &accepted, 1), 0);
    assert_int_not_equal(weir_test_sweep(build_once, &refused, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_everything_is_linked),
        cmocka_unit_test(a_snapshot_lives_as_long_as_it_is_referred_to),
        cmocka_unit_test(a_snapshot_owes_nothing_to_its_sources),
        cmocka_unit_test(problems_of_several_sources_come_in_their_order),
        cmocka_unit_test(no_source_is_a_configuration_too),
        cmocka_unit_test(the_input_as_a_whole_is_bounded),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
