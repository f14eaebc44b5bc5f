/* SPDX-License-Identifier: Apache-2.0 */
/* What connect() chooses among: near endpoints first, balancers, and Maglev's table for affinity. */
#include "cluster.h"

#include "kern/maglev.h"

#define SERVICE(spec)                                                                              \
    "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: n}\n"                           \
    "spec: {clusterIP: 10.96.0.1, ports: [{name: p, port: 80}]" spec "}\n---\n"                    \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"                                       \
    "metadata: {name: s-1, namespace: n, labels: {kubernetes.io/service-name: s}}\n"               \
    "addressType: IPv4\nports: [{name: p, port: 8080}]\nendpoints:\n"                              \
    "- {addresses: [10.0.0.1], nodeName: far, zone: z2}\n"                                         \
    "- {addresses: [10.0.0.2], nodeName: here, zone: z1}\n"                                        \
    "- {addresses: [10.0.0.3], nodeName: next, zone: z1}\n---\n"

static struct weir_mapset *plan_at(const char *text, const char *node) {
    struct weir_snapshot *s = snapshot_of(text);
    struct weir_plan_input input = { .snapshot = s, .node = node };
    struct weir_plan_report report;
    struct weir_mapset *set = NULL;

    assert_int_equal(weir_plan_build(&input, &set, &report), 0);
    weir_snapshot_unref(s);
    return set;
}

static struct weir_svc_value service_of(const struct weir_mapset *set) {
    struct weir_svc_key key = { .port = 80, .proto = WEIR_IPPROTO_TCP };
    const struct weir_svc_value *value;
    struct weir_ip ip;

    assert_int_equal(weir_parse_ip("10.96.0.1", &ip), 0);
    memcpy(&key.addr, &ip, sizeof(ip));
    value = weir_mapset_get(set, WEIR_MAP_SVC, &key);
    assert_non_null(value);
    return *value;
}

/* Last bytes of the endpoints' addresses, in the set's order. */
static void assert_order(const struct weir_mapset *set, const struct weir_svc_value *svc,
                         const char *order) {
    assert_int_equal(svc->count, strlen(order));
    for (uint32_t i = 0; i < svc->count; i++) {
        struct weir_ep_key key = { svc->set, i };
        const struct weir_ep_value *ep = weir_mapset_get(set, WEIR_MAP_EP, &key);

        assert_non_null(ep);
        assert_int_equal(((const uint8_t *)&ep->addr)[15], order[i] - '0');
    }
}

static void near_endpoints_come_first(void **state) {
    static const struct {
        const char *spec, *node, *order;
        uint32_t near;
    } cases[] = {
        { "", "here", "123", 0 },
        { ", trafficDistribution: PreferClose", "here", "231", 2 },
        { ", trafficDistribution: PreferSameZone", "here", "231", 2 },
        { ", trafficDistribution: PreferSameNode", "here", "213", 1 },
        { ", trafficDistribution: PreferSameNode", "nowhere", "123", 0 },
        { ", trafficDistribution: PreferSameZone", "", "123", 0 },
        { ", internalTrafficPolicy: Local", "next", "3", 0 },
        { ", internalTrafficPolicy: Local", "nowhere", "", 0 },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        char text[2048];
        /* The format is a literal with one hole. */
        snprintf(text, sizeof(text), SERVICE("%s"), cases[i].spec);
        struct weir_mapset *set = plan_at(text, cases[i].node);
        struct weir_svc_value svc = service_of(set);

        assert_order(set, &svc, cases[i].order);
        assert_int_equal(svc.near, cases[i].near);
        assert_int_equal(svc.weight, 0);
        weir_mapset_free(set);
    }
}

/* What is ready elsewhere does not count where only the own node's endpoints may be called. */
static void a_node_of_its_own_ends_gracefully_too(void **state) {
    static const char text[] =
        "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: n}\n"
        "spec: {clusterIP: 10.96.0.1, internalTrafficPolicy: Local, ports: [{name: p, port: "
        "80}]}\n---\n"
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: s-1, namespace: n, labels: {kubernetes.io/service-name: s}}\n"
        "addressType: IPv4\nports: [{name: p, port: 8080}]\nendpoints:\n"
        "- {addresses: [10.0.0.1], nodeName: far}\n"
        "- {addresses: [10.0.0.2], nodeName: here, conditions: {ready: false, serving: true, "
        "terminating: true}}\n";
    struct weir_mapset *set = plan_at(text, "here");
    struct weir_svc_value svc = service_of(set);

    assert_order(set, &svc, "2");
    weir_mapset_free(set);
}

static void a_zone_that_is_stated_beats_the_one_found(void **state) {
    struct weir_mapset *set = plan_at(
        SERVICE(
            ", trafficDistribution: PreferSameZone") "apiVersion: weir.dev/v1alpha1\nkind: Agent\n"
                                                     "spec: {cgroup: /t, zone: z2}\n",
        "here");
    struct weir_svc_value svc = service_of(set);

    assert_order(set, &svc, "123");
    assert_int_equal(svc.near, 1);
    weir_mapset_free(set);
}

static void a_policy_names_the_balancer(void **state) {
    static const struct {
        const char *word;
        uint32_t balance;
    } cases[] = { { "Random", WEIR_BALANCE_RANDOM },
                  { "LeastConnections", WEIR_BALANCE_LEAST },
                  { "Latency", WEIR_BALANCE_LATENCY } };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        char text[2048];
        snprintf(text, sizeof(text),
                 SERVICE("") "apiVersion: weir.dev/v1alpha1\nkind: BackendPolicy\n"
                             "metadata: {name: s, namespace: n}\n"
                             "spec: {targetRefs: [{kind: Service, name: s}], balancer: %s}\n",
                 cases[i].word);
        struct weir_mapset *set = plan_at(text, "");

        assert_int_equal(service_of(set).balance, cases[i].balance);
        weir_mapset_free(set);
    }
}

static void affinity_comes_with_a_table_of_the_endpoints_in_question(void **state) {
    struct weir_mapset *set =
        plan_at(SERVICE(", trafficDistribution: PreferSameNode, sessionAffinity: ClientIP,"
                        " sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}"),
                "here");
    struct weir_svc_value svc = service_of(set);
    struct weir_maglev_key key = { svc.set, 1 };
    const struct weir_maglev_value *table = weir_mapset_get(set, WEIR_MAP_MAGLEV, &key);

    assert_int_equal(svc.affinity_s, 60);
    assert_non_null(table);
    for (uint32_t i = 0; i < WEIR_MAGLEV_SLOTS; i++)
        assert_int_equal(table->index[i], 0);
    assert_int_equal(weir_mapset_count(set, WEIR_MAP_MAGLEV), 1);
    weir_mapset_free(set);
}

static void make(struct weir_ep_value *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        list[i] = (struct weir_ep_value){ .addr = { { 0, 0, WEIR_V4_MARK, i * 2654435761u } },
                                          .port = (uint16_t)(8000 + i) };
}

static void the_table_is_shared_by_weight(void **state) {
    struct weir_ep_value list[100];
    uint32_t weights[100], got[100] = { 0 };
    struct weir_maglev_value table;

    make(list, 100);
    for (uint32_t i = 0; i < 100; i++)
        weights[i] = i < 50 ? 1 : 3;
    assert_int_equal(weir_maglev_fill(list, weights, 100, &table), 0);
    for (uint32_t i = 0; i < WEIR_MAGLEV_SLOTS; i++)
        got[table.index[i]]++;
    for (uint32_t i = 0; i < 100; i++) /* 2039 / 200 = 10.2 slots for weight 1 */
        assert_in_range(got[i], weights[i] * 10 - 2, weights[i] * 10 + 3);
}

static void few_slots_change_hands_when_an_endpoint_goes(void **state) {
    struct weir_ep_value list[20], fewer[19];
    struct weir_maglev_value before, after, again;
    uint32_t moved = 0;

    make(list, 20);
    memcpy(fewer, list, 7 * sizeof(*list));
    memcpy(fewer + 7, list + 8, 12 * sizeof(*list));
    assert_int_equal(weir_maglev_fill(list, NULL, 20, &before), 0);
    assert_int_equal(weir_maglev_fill(list, NULL, 20, &again), 0);
    assert_memory_equal(&before, &again, sizeof(before));
    assert_int_equal(weir_maglev_fill(fewer, NULL, 19, &after), 0);
    for (uint32_t i = 0; i < WEIR_MAGLEV_SLOTS; i++) {
        uint32_t was = before.index[i], is = after.index[i];
        if (was != 7 && was != (is < 7 ? is : is + 1))
            moved++;
    }
    /* The gone one's own twentieth apart, the paper's experience is a few per cent. */
    assert_true(moved < WEIR_MAGLEV_SLOTS / 8);
}

static void more_endpoints_than_slots_end(void **state) {
    static struct weir_ep_value list[5000];
    struct weir_maglev_value table;

    make(list, 5000);
    assert_int_equal(weir_maglev_fill(list, NULL, 5000, &table), 0);
    for (uint32_t i = 0; i < WEIR_MAGLEV_SLOTS; i++)
        assert_true(table.index[i] < 5000);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_endpoints_come_first),
        cmocka_unit_test(a_node_of_its_own_ends_gracefully_too),
        cmocka_unit_test(a_zone_that_is_stated_beats_the_one_found),
        cmocka_unit_test(a_policy_names_the_balancer),
        cmocka_unit_test(affinity_comes_with_a_table_of_the_endpoints_in_question),
        cmocka_unit_test(the_table_is_shared_by_weight),
        cmocka_unit_test(few_slots_change_hands_when_an_endpoint_goes),
        cmocka_unit_test(more_endpoints_than_slots_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
