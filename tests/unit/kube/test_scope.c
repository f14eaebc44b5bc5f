/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/scope.h"

#include "conf/snapshot.h"
#include "kube_test.h"

static struct weir_kube_store store;
static struct weir_kube_scope scope;

static int setup(void **state) {
    weir_kube_store_init(&store, kube_seed);
    weir_kube_scope_init(&scope, &store, kube_seed);
    store.changed = weir_kube_scope_changed;
    store.arg = &scope;
    return 0;
}

static int teardown(void **state) {
    weir_kube_scope_deinit(&scope);
    weir_kube_store_deinit(&store);
    return 0;
}

static void put(enum weir_kube_kind kind, uint8_t source, const char *text) {
    assert_int_equal(
        kube_put(&store, (struct weir_kube_put){ .kind = kind, .source = source, .own = source },
                 text),
        0);
}

static void pod(const char *ns, const char *name, bool own, const char *mode) {
    char text[512];

    snprintf(text, sizeof(text),
             "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"annotations\":{\"weir.dev/"
             "mode\":\"%s\"}}}",
             name, ns, mode);
    put(WEIR_KUBE_POD, own ? WEIR_KUBE_OWN : WEIR_KUBE_OTHERS, text);
}

static void service(const char *ns, const char *name, const char *ip) {
    char text[512];

    snprintf(
        text, sizeof(text),
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"},\"spec\":{\"clusterIP\":\"%s\"}}",
        name, ns, ip);
    put(WEIR_KUBE_SERVICE, 0, text);
}

static void slice(const char *ns, const char *of, const char *target, const char *ip) {
    char text[512];

    snprintf(text, sizeof(text),
             "{\"metadata\":{\"name\":\"%s-1\",\"namespace\":\"%s\",\"labels\":{\"kubernetes.io/"
             "service-name\":\"%s\"}},"
             "\"endpoints\":[{\"addresses\":[\"%s\"],\"targetRef\":{\"kind\":\"Pod\",\"name\":\"%"
             "s\"}}]}",
             of, ns, of, ip, target);
    put(WEIR_KUBE_SLICE, 0, text);
}

static bool used(enum weir_kube_kind kind, const char *ns, const char *name) {
    const struct weir_kube_object *o = weir_kube_store_find(&store, kind, ns, name);

    assert_non_null(o);
    return o->used;
}

static void settle(void) {
    assert_int_equal(weir_kube_scope_settle(&scope), 0);
    assert_false(scope.dirty);
}

static void services_of_namespaces_with_a_pod_here_are_in_with_all_that_is_theirs(void **state) {
    pod("here", "mine", true, "off");
    pod("here", "elsewhere", false, "off");
    pod("there", "other", false, "off");
    service("here", "a", "10.0.0.1");
    slice("here", "a", "elsewhere", "10.1.0.1");
    service("there", "b", "10.0.0.2");
    slice("there", "b", "other", "10.1.0.2");
    settle();
    assert_true(used(WEIR_KUBE_POD, "here", "mine"));
    assert_true(used(WEIR_KUBE_SERVICE, "here", "a"));
    assert_true(used(WEIR_KUBE_SLICE, "here", "a-1"));
    assert_true(used(WEIR_KUBE_POD, "here", "elsewhere"));
    assert_false(used(WEIR_KUBE_SERVICE, "there", "b"));
    assert_false(used(WEIR_KUBE_SLICE, "there", "b-1"));
    assert_false(used(WEIR_KUBE_POD, "there", "other"));
}

static void what_is_not_in_scope_changes_nothing(void **state) {
    pod("here", "mine", true, "off");
    service("there", "b", "10.0.0.2");
    settle();
    slice("there", "b", "other", "10.1.0.2");
    pod("there", "other", false, "off");
    service("there", "c", "10.0.0.3");
    assert_false(scope.dirty);
    service("here", "a", "10.0.0.1");
    assert_true(scope.dirty);
}

static void a_service_that_is_called_comes_in(void **state) {
    struct weir_ip ip;

    pod("here", "mine", true, "off");
    service("there", "b", "10.0.0.2");
    slice("there", "b", "other", "10.1.0.2");
    settle();
    assert_int_equal(weir_parse_ip("10.0.0.9", &ip), 0);
    assert_false(weir_kube_scope_call(&scope, &ip));
    assert_int_equal(weir_parse_ip("10.0.0.2", &ip), 0);
    assert_true(weir_kube_scope_call(&scope, &ip));
    assert_true(scope.dirty);
    settle();
    assert_true(used(WEIR_KUBE_SERVICE, "there", "b"));
    assert_true(used(WEIR_KUBE_SLICE, "there", "b-1"));
    assert_false(weir_kube_scope_call(&scope, &ip));
    slice("there", "b", "other", "10.1.0.3");
    assert_true(scope.dirty);
}

static void what_a_route_names_is_in(void **state) {
    service("there", "front", "10.0.0.1");
    service("there", "v2", "10.0.0.2");
    service("there", "v3", "10.0.0.3");
    put(WEIR_KUBE_HTTP_ROUTE, 0,
        "{\"metadata\":{\"name\":\"r\",\"namespace\":\"mine\"},\"spec\":{\"parentRefs\":[{"
        "\"group\":\"\",\"kind\":\"Service\",\"name\":"
        "\"front\",\"namespace\":\"there\"}],\"rules\":[{\"backendRefs\":[{\"name\":\"v2\","
        "\"namespace\":\"there\",\"port\":80}]}]}}");
    settle();
    assert_true(used(WEIR_KUBE_SERVICE, "there", "front"));
    assert_true(used(WEIR_KUBE_SERVICE, "there", "v2"));
    assert_false(used(WEIR_KUBE_SERVICE, "there", "v3"));
}

static void meshed_namespaces_are_known_as_long_as_they_are_few(void **state) {
    put(WEIR_KUBE_NAMESPACE, 0,
        "{\"metadata\":{\"name\":\"meshed\",\"labels\":{\"weir.dev/mode\":\"sidecar\"}}}");
    put(WEIR_KUBE_NAMESPACE, 0,
        "{\"metadata\":{\"name\":\"off\",\"labels\":{\"weir.dev/mode\":\"off\"}}}");
    service("meshed", "a", "10.0.0.1");
    service("off", "b", "10.0.0.2");
    settle();
    assert_true(used(WEIR_KUBE_SERVICE, "meshed", "a"));
    assert_false(used(WEIR_KUBE_SERVICE, "off", "b"));
    for (unsigned i = 0; i < WEIR_KUBE_MESHED_MAX; i++) {
        char name[16], ip[32];

        snprintf(name, sizeof(name), "s%u", i);
        snprintf(ip, sizeof(ip), "10.1.%u.%u", i / 250, i % 250);
        service("meshed", name, ip);
    }
    settle();
    assert_false(scope.all_meshed);
    assert_false(used(WEIR_KUBE_SERVICE, "meshed", "a"));
}

static void peers_of_policies_here_are_in(void **state) {
    pod("here", "mine", true, "off");
    pod("here", "neighbour", false, "off");
    pod("there", "other", false, "off");
    settle();
    assert_false(used(WEIR_KUBE_POD, "here", "neighbour"));
    put(WEIR_KUBE_NETPOL, 0,
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"here\"},\"spec\":{\"ingress\":[{\"from\":[{"
        "\"podSelector\":{}}]}]}}");
    put(WEIR_KUBE_NETPOL, 0, "{\"metadata\":{\"name\":\"q\",\"namespace\":\"there\"},\"spec\":{}}");
    assert_true(scope.dirty);
    settle();
    assert_true(used(WEIR_KUBE_POD, "here", "neighbour"));
    assert_false(used(WEIR_KUBE_POD, "there", "other"));
    assert_false(used(WEIR_KUBE_NETPOL, "there", "q"));
    put(WEIR_KUBE_NETPOL, 0,
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"here\"},\"spec\":{\"ingress\":[{\"from\":[{"
        "\"namespaceSelector\":{}}]}]}}");
    settle();
    assert_true(used(WEIR_KUBE_POD, "there", "other"));
}

static void an_egress_policy_brings_the_dns_and_whatever_no_name_may_lead_to(void **state) {
    pod("here", "mine", true, "off");
    pod("there", "other", false, "off");
    service("kube-system", WEIR_DNS_SERVICE, "10.0.0.10");
    slice("kube-system", WEIR_DNS_SERVICE, "coredns", "10.1.0.10");
    service("there", "b", "10.0.0.2");
    put(WEIR_KUBE_EGRESS_POLICY, 0,
        "{\"metadata\":{\"name\":\"q\",\"namespace\":\"there\"},\"spec\":{}}");
    settle();
    assert_false(used(WEIR_KUBE_EGRESS_POLICY, "there", "q"));
    assert_false(used(WEIR_KUBE_SERVICE, WEIR_DNS_NAMESPACE, WEIR_DNS_SERVICE));
    put(WEIR_KUBE_EGRESS_POLICY, 0,
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"here\"},\"spec\":{}}");
    assert_true(scope.dirty);
    settle();
    assert_true(used(WEIR_KUBE_EGRESS_POLICY, "here", "p"));
    assert_true(used(WEIR_KUBE_SERVICE, WEIR_DNS_NAMESPACE, WEIR_DNS_SERVICE));
    assert_true(used(WEIR_KUBE_SLICE, WEIR_DNS_NAMESPACE, WEIR_DNS_SERVICE "-1"));
    assert_true(used(WEIR_KUBE_POD, "there", "other"));
    assert_true(used(WEIR_KUBE_SERVICE, "there", "b"));
    for (unsigned i = 0; i < WEIR_KUBE_MESHED_MAX; i++) {
        char name[16], ip[32];

        snprintf(name, sizeof(name), "s%u", i);
        snprintf(ip, sizeof(ip), "10.2.%u.%u", i / 250, i % 250);
        service("there", name, ip);
    }
    settle();
    assert_false(used(WEIR_KUBE_SERVICE, "there", "b"));
    assert_true(used(WEIR_KUBE_SERVICE, WEIR_DNS_NAMESPACE, WEIR_DNS_SERVICE));
}

static void a_status_is_no_change(void **state) {
    settle();
    put(WEIR_KUBE_HTTP_ROUTE, 0,
        "{\"metadata\":{\"name\":\"r\",\"namespace\":\"n\",\"generation\":1},\"spec\":{}}");
    settle();
    put(WEIR_KUBE_HTTP_ROUTE, 0,
        "{\"metadata\":{\"name\":\"r\",\"namespace\":\"n\",\"generation\":1},\"spec\":{},"
        "\"status\":{\"parents\":[{}]}}");
    assert_false(scope.dirty);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(services_of_namespaces_with_a_pod_here_are_in_with_all_that_is_theirs),
        TEST(what_is_not_in_scope_changes_nothing),
        TEST(a_service_that_is_called_comes_in),
        TEST(what_a_route_names_is_in),
        TEST(meshed_namespaces_are_known_as_long_as_they_are_few),
        TEST(peers_of_policies_here_are_in),
        TEST(an_egress_policy_brings_the_dns_and_whatever_no_name_may_lead_to),
        TEST(a_status_is_no_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
