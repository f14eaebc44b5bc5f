/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#define POD(name, extra, ip)                                                                       \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: n" extra "}\n"               \
    "spec: {serviceAccountName: s}\nstatus: {podIP: " ip "}\n---\n"
#define HERE(name) ", annotations: {weir.dev/cgroup: t/" name "}"
#define SERVICE(name, ip, app, endpoints)                                                          \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: n}\n"                    \
    "spec: {clusterIP: " ip ", ports: [{name: p, port: 80" app "}]}\n---\n"                        \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"                                       \
    "metadata: {name: " name "-1, namespace: n, labels: {kubernetes.io/service-name: " name        \
    "}}\naddressType: IPv4\nports: [{name: p, port: 8080}]\nendpoints: [" endpoints "]\n---\n"

static struct weir_svc_value service_at(const struct weir_mapset *set, const char *ip) {
    struct weir_svc_key key = { .port = 80, .proto = WEIR_IPPROTO_TCP };
    const struct weir_svc_value *value;
    struct weir_ip parsed;

    assert_int_equal(weir_parse_ip(ip, &parsed), 0);
    key.addr = addr_of(&parsed);
    value = weir_mapset_get(set, WEIR_MAP_SVC, &key);
    assert_non_null(value);
    return *value;
}

static struct weir_ep_value endpoint_at(const struct weir_mapset *set, uint32_t id,
                                        uint32_t index) {
    struct weir_ep_key key = { id, index };
    const struct weir_ep_value *value = weir_mapset_get(set, WEIR_MAP_EP, &key);

    assert_non_null(value);
    return *value;
}

static uint32_t identity_at(const struct weir_mapset *set, const char *ip) {
    const struct weir_ip_value *value;
    struct weir_addr addr;
    struct weir_ip parsed;

    assert_int_equal(weir_parse_ip(ip, &parsed), 0);
    addr = addr_of(&parsed);
    value = weir_mapset_get(set, WEIR_MAP_IP, &addr);
    return value ? value->identity : 0;
}

static uint32_t port_flag(const struct weir_mapset *set, uint32_t pod, uint16_t port) {
    struct weir_port_key key = { .pod = pod, .port = port, .proto = WEIR_IPPROTO_TCP };
    const uint32_t *value = weir_mapset_get(set, WEIR_MAP_PORT, &key);

    return value ? *value : 0;
}

static void identities_differ_by_whatever_a_policy_can_tell_apart(void **state) {
    struct weir_snapshot *s = snapshot_of(
        POD("a", ", labels: {x: '1', y: '2'}", "10.0.0.1")
            POD("b", ", labels: {y: '2', x: '1'}", "10.0.0.2") POD("c", ", labels: {x: '1'}",
                                                                   "10.0.0.3")
                POD("d", ", labels: {x: '1', y: '3'}",
                    "10.0.0.4") "apiVersion: v1\nkind: Pod\n"
                                "metadata: {name: e, namespace: n, labels: {x: '1', y: '2'}}\n"
                                "spec: {serviceAccountName: s, containers: [{name: c, ports: "
                                "[{name: w, containerPort: 1}]}]}\n"
                                "status: {podIP: 10.0.0.5}\n---\n"
                                "apiVersion: v1\nkind: Pod\n"
                                "metadata: {name: f, namespace: n, labels: {x: '1', y: '2'}}\n"
                                "spec: {serviceAccountName: s, hostNetwork: true}\nstatus: {podIP: "
                                "10.0.0.6}\n---\n"
                                "apiVersion: v1\nkind: Pod\n"
                                "metadata: {name: g, namespace: n, labels: {x: '1', y: '2'}}\n"
                                "spec: {serviceAccountName: other}\nstatus: {podIP: 10.0.0.7}\n");
    struct weir_mapset *set = plan_of(s, NULL, NULL);
    uint32_t a = identity_at(set, "10.0.0.1");

    assert_int_not_equal(a, 0);
    assert_int_equal(identity_at(set, "10.0.0.2"), a);
    assert_int_not_equal(identity_at(set, "10.0.0.3"), a);
    assert_int_not_equal(identity_at(set, "10.0.0.4"), a);
    assert_int_not_equal(identity_at(set, "10.0.0.5"), a);
    assert_int_equal(identity_at(set, "10.0.0.6"), 0);
    assert_int_not_equal(identity_at(set, "10.0.0.7"), a);
    assert_int_equal(identity_at(set, "10.0.0.8"), 0);
    assert_int_equal(strncmp(weir_plan_name(set, WEIR_NAME_IDENTITY, a), "n/s#", 4), 0);
    weir_mapset_free(set);
    weir_snapshot_unref(s);
}

static void only_pods_that_are_here_have_entries_of_their_own(void **state) {
    struct weir_snapshot *s = snapshot_of(POD("a", HERE("a"), "10.0.0.1") POD("b", "", "10.0.0.2"));
    struct weir_mapset *set = plan_of(s, NULL, NULL);
    uint32_t id = pod_id(set, weir_snapshot_pod(s, "n", "a"));
    const struct weir_pod_value *pod = weir_mapset_get(set, WEIR_MAP_POD, &id);
    uint64_t app = 2000 + (uint64_t)(weir_snapshot_pod(s, "n", "a") - s->pods), proxy = app + 1000;
    const struct weir_cgroup_value *role;

    assert_int_equal(weir_mapset_count(set, WEIR_MAP_POD), 1);
    assert_non_null(pod);
    assert_int_equal(pod->pod, id);
    assert_int_equal(pod->identity, identity_at(set, "10.0.0.1"));
    assert_true(weir_addr_is_v4(&pod->addr[0]));
    assert_int_equal(pod->policy[0].flags, 0);
    role = weir_mapset_get(set, WEIR_MAP_CGROUP, &app);
    assert_int_equal(role->role, WEIR_ROLE_APP);
    assert_int_equal(role->pod, id);
    role = weir_mapset_get(set, WEIR_MAP_CGROUP, &proxy);
    assert_int_equal(role->role, WEIR_ROLE_PROXY);
    weir_mapset_free(set);
    weir_snapshot_unref(s);
}

static void services_have_the_ready_endpoints_with_summed_weights(void **state) {
    struct weir_snapshot *s = snapshot_of(
        POD("a", HERE("a"), "10.0.0.1") SERVICE(
            "one", "10.96.0.1", "",
            "{addresses: [10.0.0.1]}, {addresses: [10.0.0.2], conditions: {ready: false}},"
            "{addresses: [10.0.0.3]}")
            SERVICE("none", "10.96.0.2", "", "{addresses: [10.0.0.9], conditions: {ready: false}}")
                SERVICE("ending", "10.96.0.3", "",
                        "{addresses: [10.0.0.9], conditions: {ready: false, serving: true, "
                        "terminating: true}}")
                    SERVICE("web", "10.96.0.4", ", appProtocol: http", "{addresses: [10.0.0.1]}"));
    struct weir_mapset *set = plan_of(s, NULL, NULL);
    struct weir_svc_value one = service_at(set, "10.96.0.1");

    assert_int_equal(one.count, 2);
    assert_int_equal(one.weight, 0);
    assert_int_equal(one.flags, 0);
    assert_int_equal(endpoint_at(set, one.set, 0).pod, 1);
    assert_int_equal(endpoint_at(set, one.set, 0).port, 8080);
    assert_int_equal(endpoint_at(set, one.set, 1).pod, 0);
    assert_string_equal(weir_plan_name(set, WEIR_NAME_SERVICE, one.service), "n/one");
    assert_int_equal(service_at(set, "10.96.0.2").count, 0);
    assert_int_equal(service_at(set, "10.96.0.3").count, 1);
    assert_int_equal(service_at(set, "10.96.0.4").flags, WEIR_SVC_L7);
    /* The pod has no sidecar: its port is not steered. */
    assert_int_equal(port_flag(set, 1, 8080), 0);
    weir_mapset_free(set);
    weir_snapshot_unref(s);
}

static void l7_ports_and_strict_ports_of_a_meshed_pod_are_steered(void **state) {
    struct weir_snapshot *s = snapshot_of(
        POD("a", ", annotations: {weir.dev/cgroup: t/a, weir.dev/mode: sidecar}, labels: {k: a}",
            "10.0.0.1") POD("b",
                            ", annotations: {weir.dev/cgroup: t/b, weir.dev/mode: sidecar}, "
                            "labels: {k: b}",
                            "10.0.0.2") SERVICE("web", "10.96.0.4", ", appProtocol: http",
                                                "{addresses: [10.0.0.1]}, {addresses: "
                                                "[10.0.0.2]}") "apiVersion: "
                                                               "security.istio.io/v1\nkind: "
                                                               "PeerAuthentication\nmetadata: "
                                                               "{name: b, namespace: n}\n"
                                                               "spec: {selector: {matchLabels: "
                                                               "{k: b}}, mtls: {mode: STRICT},"
                                                               " portLevelMtls: {9000: {mode: "
                                                               "DISABLE}, 8080: {mode: "
                                                               "PERMISSIVE}}}\n---\n"
                                                               "apiVersion: "
                                                               "security.istio.io/v1\nkind: "
                                                               "PeerAuthentication\nmetadata: "
                                                               "{name: a, namespace: n}\n"
                                                               "spec: {selector: {matchLabels: "
                                                               "{k: a}}, portLevelMtls: {7000: "
                                                               "{mode: STRICT}}}\n");
    struct weir_mapset *set = plan_of(s, NULL, NULL);
    uint32_t a = pod_id(set, weir_snapshot_pod(s, "n", "a"));
    uint32_t b = pod_id(set, weir_snapshot_pod(s, "n", "b"));
    const struct weir_pod_value *pod = weir_mapset_get(set, WEIR_MAP_POD, &a);

    assert_int_equal(pod->flags, WEIR_POD_MESHED | WEIR_POD_JOIN);
    assert_int_equal(port_flag(set, a, 8080), WEIR_PORT_STEER);
    assert_int_equal(port_flag(set, a, 7000), WEIR_PORT_STEER | WEIR_PORT_PROOF);
    assert_int_equal(port_flag(set, a, 0), 0);
    assert_int_equal(port_flag(set, a, 9000), 0);
    assert_int_equal(port_flag(set, b, 0), WEIR_PORT_STEER | WEIR_PORT_PROOF);
    assert_int_equal(port_flag(set, b, 9000), WEIR_PORT_PLAIN);
    assert_int_equal(port_flag(set, b, 8080), WEIR_PORT_STEER);
    weir_mapset_free(set);
    weir_snapshot_unref(s);
}

static uint32_t pod_flags(const struct weir_snapshot *s, const struct weir_mapset *set,
                          const char *name) {
    uint32_t id = pod_id(set, weir_snapshot_pod(s, "n", name));

    return ((const struct weir_pod_value *)weir_mapset_get(set, WEIR_MAP_POD, &id))->flags;
}

#define JOIN(name, mode) ", annotations: {weir.dev/cgroup: t/" name ", weir.dev/join: \"" mode "\"}"

static void a_pod_is_joined_as_it_or_else_the_agent_says(void **state) {
    static const char agent[] = "apiVersion: weir.dev/v1alpha1\nkind: Agent\nmetadata: {name: a}\n"
                                "spec: {cgroup: t, join: \"on\"}\n---\n";
    static const char pods[] =
        POD("a", HERE("a"), "10.0.0.1") POD("b", JOIN("b", "off"), "10.0.0.2")
            POD("c", JOIN("c", "auto"), "10.0.0.3") POD("d", JOIN("d", "on"), "10.0.0.4");

    for (int given = 0; given < 2; given++) {
        char text[2048];
        struct weir_snapshot *s;
        struct weir_mapset *set;

        snprintf(text, sizeof(text), "%s%s", given ? agent : "", pods);
        s = snapshot_of(text);
        set = plan_of(s, NULL, NULL);
        assert_int_equal(pod_flags(s, set, "a"),
                         given ? WEIR_POD_JOIN | WEIR_POD_JOIN_READER : WEIR_POD_JOIN);
        assert_int_equal(pod_flags(s, set, "b"), 0);
        assert_int_equal(pod_flags(s, set, "c"), WEIR_POD_JOIN);
        assert_int_equal(pod_flags(s, set, "d"), WEIR_POD_JOIN | WEIR_POD_JOIN_READER);
        weir_mapset_free(set);
        weir_snapshot_unref(s);
    }
}

static void a_plain_service_of_a_strict_pod_goes_through_the_callers_sidecar(void **state) {
    struct weir_snapshot *s = snapshot_of(
        POD("a", ", annotations: {weir.dev/cgroup: t/a, weir.dev/mode: sidecar}", "10.0.0.1")
            POD("b", HERE("b"), "10.0.0.2")
                SERVICE("db", "10.96.0.4", "", "{addresses: [10.0.0.1]}")
                    SERVICE("other", "10.96.0.5", "",
                            "{addresses: [10.0.0.2]}") "apiVersion: security.istio.io/v1\nkind: "
                                                       "PeerAuthentication\n"
                                                       "metadata: {name: all, namespace: n}\nspec: "
                                                       "{mtls: {mode: STRICT}}\n");
    struct weir_mapset *set = plan_of(s, NULL, NULL);

    assert_int_equal(service_at(set, "10.96.0.4").flags, WEIR_SVC_L7);
    assert_int_equal(service_at(set, "10.96.0.5").flags, 0); /* its pod has no sidecar */
    weir_mapset_free(set);
    weir_snapshot_unref(s);
}

static int put_name(void *arg, const void *key, const void *value) {
    const struct weir_name_key *k = key;
    const struct weir_name_value *v = value;

    /* Whatever both plans name has the same id in both. */
    if (weir_plan_id(arg, k->kind, v->text) != 0)
        assert_int_equal(weir_plan_id(arg, k->kind, v->text), k->id);
    return 0;
}

static void ids_stay_when_other_things_come_and_go(void **state) {
    struct weir_snapshot *s = snapshot_of(
        POD("b", HERE("b"), "10.0.0.2") SERVICE("one", "10.96.0.1", "", "{addresses: [10.0.0.1]}"));
    struct weir_mapset *first = plan_of(s, NULL, NULL), *second;
    struct weir_svc_value before = service_at(first, "10.96.0.1");

    weir_snapshot_unref(s);
    s = snapshot_of(POD("a", HERE("a") ", labels: {z: '1'}", "10.0.0.9")
                        POD("b", HERE("b"), "10.0.0.2")
                            SERVICE("another", "10.96.0.7", "", "{addresses: [10.0.0.8]}")
                                SERVICE("one", "10.96.0.1", "", "{addresses: [10.0.0.1]}"));
    second = plan_of(s, first, NULL);
    assert_int_equal(weir_mapset_each(first, WEIR_MAP_NAME, put_name, second), 0);
    assert_int_equal(service_at(second, "10.96.0.1").set, before.set);
    assert_int_equal(service_at(second, "10.96.0.1").service, before.service);
    assert_int_not_equal(service_at(second, "10.96.0.7").set, before.set);
    assert_int_equal(identity_at(second, "10.0.0.2"), identity_at(first, "10.0.0.2"));
    weir_mapset_free(first);
    weir_mapset_free(second);
    weir_snapshot_unref(s);
}

static void of_two_pods_with_one_address_the_younger_or_local_one_has_it(void **state) {
    struct weir_snapshot *s = snapshot_of(
        POD("old", ", labels: {k: old}, creationTimestamp: '2020-01-01T00:00:00Z'", "10.0.0.1")
            POD("young", ", labels: {k: young}, creationTimestamp: '2021-01-01T00:00:00Z'",
                "10.0.0.1") POD("only", ", labels: {k: young}", "10.0.0.2"));
    struct weir_mapset *set = plan_of(s, NULL, NULL);

    assert_int_equal(identity_at(set, "10.0.0.1"), identity_at(set, "10.0.0.2"));
    weir_mapset_free(set);
    weir_snapshot_unref(s);
}

static int plan_one(void *arg) {
    const struct weir_snapshot *s = arg;
    struct weir_plan_pod pods[2] = {
        { &s->pods[0], 1, 2, 3, 0, weir_pod_meshed(&s->pods[0]) },
        { &s->pods[1], 4, 5, 6, 0, weir_pod_meshed(&s->pods[1]) },
    };
    struct weir_plan_input input = { .snapshot = s, .pods = pods, .n_pods = 2 };
    struct weir_mapset *set = NULL, *again = NULL;
    struct weir_plan_report report;
    int r = weir_plan_build(&input, &set, &report);

    input.installed = set;
    if (r == 0)
        r = weir_plan_build(&input, &again, &report);
    weir_mapset_free(set);
    weir_mapset_free(again);
    return r;
}

static void survives_every_failing_allocation(void **state) {
    struct text *t = calloc(1, sizeof(*t));
    struct weir_snapshot *s;
    uint64_t seed = 3;

    put_pods(t, &seed, 5);
    put_policies(t, &seed, 5);
    s = snapshot_of(t->bytes);
    assert_int_not_equal(weir_test_sweep(plan_one, s, 0), 0);
    weir_snapshot_unref(s);
    free(t);
}

static void http_telemetry_is_in_the_entries_of_the_service_and_of_its_pods_here(void **state) {
    static const char ask[] = "a, namespace: n, annotations: {weir.dev/http-telemetry: \"true\"}}";
    char text[4096];
    struct weir_port_key key = { .pod = 1, .port = 8080, .proto = WEIR_IPPROTO_TCP };
    struct weir_snapshot *s;
    struct weir_mapset *set;
    const uint32_t *service;
    const struct weir_pod_value *pod;
    uint32_t id = 1;

    snprintf(text, sizeof(text),
             "%s"
             "apiVersion: v1\nkind: Service\nmetadata: {name: %s\n"
             "spec: {clusterIP: 10.96.0.1, ports: [{name: p, port: 80}]}\n---\n"
             "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
             "metadata: {name: a-1, namespace: n, labels: {kubernetes.io/service-name: a}}\n"
             "addressType: IPv4\nports: [{name: p, port: 8080}]\n"
             "endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.3]}]\n",
             POD("a", HERE("a"), "10.0.0.1") POD("b", HERE("b"), "10.0.0.2")
                 POD("c", "", "10.0.0.3")
                     SERVICE("other", "10.96.0.2", "", "{addresses: [10.0.0.2]}"),
             ask);
    s = snapshot_of(text);
    set = plan_of(s, NULL, NULL);
    assert_int_equal(service_at(set, "10.96.0.1").flags, WEIR_SVC_HTTP);
    assert_int_equal(service_at(set, "10.96.0.2").flags, 0);
    assert_int_equal(weir_mapset_count(set, WEIR_MAP_HTTP), 1);
    service = weir_mapset_get(set, WEIR_MAP_HTTP, &key);
    assert_non_null(service);
    assert_string_equal(weir_plan_name(set, WEIR_NAME_SERVICE, *service), "n/a");
    pod = weir_mapset_get(set, WEIR_MAP_POD, &id);
    assert_true(pod->flags & WEIR_POD_HTTP);
    id = 2;
    pod = weir_mapset_get(set, WEIR_MAP_POD, &id);
    assert_false(pod->flags & WEIR_POD_HTTP);
    weir_mapset_free(set);
    weir_snapshot_unref(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_telemetry_is_in_the_entries_of_the_service_and_of_its_pods_here),
        cmocka_unit_test(identities_differ_by_whatever_a_policy_can_tell_apart),
        cmocka_unit_test(only_pods_that_are_here_have_entries_of_their_own),
        cmocka_unit_test(services_have_the_ready_endpoints_with_summed_weights),
        cmocka_unit_test(l7_ports_and_strict_ports_of_a_meshed_pod_are_steered),
        cmocka_unit_test(a_pod_is_joined_as_it_or_else_the_agent_says),
        cmocka_unit_test(a_plain_service_of_a_strict_pod_goes_through_the_callers_sidecar),
        cmocka_unit_test(ids_stay_when_other_things_come_and_go),
        cmocka_unit_test(of_two_pods_with_one_address_the_younger_or_local_one_has_it),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
