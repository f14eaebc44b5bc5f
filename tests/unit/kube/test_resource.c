/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/resource.h"

#include "weir_test.h"

static void check(enum weir_kube_kind kind, bool own, const char *text, const char *pruned) {
    json_t *object = json_loads(text, 0, NULL), *kept;
    const char *why;
    char *got;

    assert_non_null(object);
    kept = weir_kube_prune(kind, own, object, &why);
    assert_non_null(kept);
    got = json_dumps(kept, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(got, pruned);
    free(got);
    json_decref(kept);
    json_decref(object);
}

static void of_a_pod_elsewhere_little_is_kept(void **state) {
    check(WEIR_KUBE_POD, false,
          "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"uid\":\"u\",\"labels\":{\"a\":\"b\"}"
          ",\"managedFields\":[{}],"
          "\"annotations\":{\"other\":\"x\",\"weir.dev/mode\":\"sidecar\",\"weir.dev/cgroup\":\"/"
          "\",\"weir.dev/netns\":\"/proc/1/ns/net\","
          "\"weir.dev/proxy-cgroup\":\"x\"}},"
          "\"spec\":{\"nodeName\":\"o\",\"volumes\":[1],\"containers\":[{\"name\":\"c\",\"image\":"
          "\"i\",\"ports\":[{\"name\":\"h\","
          "\"containerPort\":80,\"hostPort\":1}],\"livenessProbe\":{\"httpGet\":{\"port\":1}}}]},"
          "\"status\":{\"podIP\":\"10.0.0.1\",\"hostIP\":\"10.9.9.9\",\"conditions\":[{\"type\":"
          "\"Ready\",\"status\":\"True\"}]}}",
          "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"annotations\":{\"weir.dev/"
          "mode\":\"sidecar\"},\"labels\":{\"a\":\"b\"},"
          "\"name\":\"p\",\"namespace\":\"n\"},\"spec\":{\"containers\":[{\"ports\":[{"
          "\"containerPort\":80,\"name\":\"h\"}]}],"
          "\"nodeName\":\"o\"},\"status\":{\"podIP\":\"10.0.0.1\"}}");
}

static void of_a_pod_here_more_is_kept(void **state) {
    check(
        WEIR_KUBE_POD, true,
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"uid\":\"u\",\"annotations\":{"
        "\"kubernetes.io/config.mirror\":\"hash\"}},"
        "\"spec\":{\"containers\":[{\"name\":\"c\",\"livenessProbe\":{\"httpGet\":{\"port\":1,"
        "\"path\":\"/\"},\"periodSeconds\":3}}]},"
        "\"status\":{\"conditions\":[{\"type\":\"Initialized\",\"status\":\"True\"},{\"type\":"
        "\"Ready\",\"status\":\"False\",\"reason\":\"r\"}],"
        "\"initContainerStatuses\":[{\"name\":\"weir-proxy\",\"containerID\":\"containerd://"
        "1\",\"image\":\"i\"}]}}",
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":\"n\","
        "\"uid\":\"hash\"},"
        "\"spec\":{\"containers\":[{\"livenessProbe\":{\"httpGet\":{\"port\":1}},\"name\":\"c\"}]},"
        "\"status\":{\"conditions\":[{\"status\":\"False\",\"type\":\"Ready\"}],"
        "\"initContainerStatuses\":[{\"containerID\":\"containerd://"
        "1\",\"name\":\"weir-proxy\"}]}}");
}

static void
a_service_keeps_no_selector_but_what_it_asks_of_weir_and_a_slice_one_label(void **state) {
    check(WEIR_KUBE_SERVICE, false,
          "{\"metadata\":{\"name\":\"s\",\"namespace\":\"n\",\"labels\":{\"a\":\"b\"},"
          "\"annotations\":{\"a\":\"b\",\"weir.dev/http-telemetry\":\"true\"}},\"spec\":{"
          "\"clusterIP\":\"10.1.1.1\","
          "\"selector\":{\"a\":\"b\"},\"ports\":[{\"port\":80,\"nodePort\":30000}],"
          "\"sessionAffinity\":null}}",
          "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"annotations\":{"
          "\"weir.dev/http-telemetry\":\"true\"},\"name\":\"s\",\"namespace\":\"n\"},"
          "\"spec\":{\"clusterIP\":\"10.1.1.1\",\"ports\":[{\"port\":80}]}}");
    check(WEIR_KUBE_SLICE, false,
          "{\"metadata\":{\"name\":\"s\",\"namespace\":\"n\",\"labels\":{\"kubernetes.io/"
          "service-name\":\"s\",\"x\":\"y\"}},"
          "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.0.0.1\"],\"conditions\":{"
          "\"ready\":true},\"hints\":{},"
          "\"targetRef\":{\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"u\"}}],\"ports\":null}",
          "{\"addressType\":\"IPv4\",\"apiVersion\":\"discovery.k8s.io/"
          "v1\",\"endpoints\":[{\"addresses\":[\"10.0.0.1\"],"
          "\"conditions\":{\"ready\":true},\"targetRef\":{\"kind\":\"Pod\",\"name\":\"p\"}}],"
          "\"kind\":\"EndpointSlice\","
          "\"metadata\":{\"labels\":{\"kubernetes.io/"
          "service-name\":\"s\"},\"name\":\"s\",\"namespace\":\"n\"}}");
}

static void a_route_keeps_all_of_its_spec(void **state) {
    check(WEIR_KUBE_HTTP_ROUTE, false,
          "{\"metadata\":{\"name\":\"r\",\"namespace\":\"n\",\"generation\":2},\"spec\":{\"rules\":"
          "[{\"x\":1}]},\"status\":{\"parents\":[]}}",
          "{\"apiVersion\":\"gateway.networking.k8s.io/"
          "v1\",\"kind\":\"HTTPRoute\",\"metadata\":{\"name\":\"r\",\"namespace\":\"n\"},"
          "\"spec\":{\"rules\":[{\"x\":1}]}}");
}

static void an_object_without_a_name_is_none(void **state) {
    json_t *object = json_loads("{\"metadata\":{\"namespace\":\"n\"}}", 0, NULL);
    const char *why;

    assert_null(weir_kube_prune(WEIR_KUBE_POD, false, object, &why));
    assert_string_equal(why, "it has no metadata.name");
    json_object_set_new(json_object_get(object, "metadata"), "name", json_string("x"));
    json_object_del(json_object_get(object, "metadata"), "namespace");
    assert_null(weir_kube_prune(WEIR_KUBE_POD, false, object, &why));
    assert_string_equal(why, "it has no metadata.namespace");
    json_decref(object);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_pod_elsewhere_little_is_kept),
        cmocka_unit_test(of_a_pod_here_more_is_kept),
        cmocka_unit_test(
            a_service_keeps_no_selector_but_what_it_asks_of_weir_and_a_slice_one_label),
        cmocka_unit_test(a_route_keeps_all_of_its_spec),
        cmocka_unit_test(an_object_without_a_name_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
