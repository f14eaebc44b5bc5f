/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define POD(rest) "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n" rest "\n"

static void a_bare_pod_has_the_defaults(void **state) {
    struct weir_snapshot *s = conf_build(POD(""));
    const struct weir_pod *pod = weir_snapshot_pod(s, "default", "a");

    assert_string_equal(pod->service_account, "default");
    assert_string_equal(pod->node, "");
    assert_string_equal(pod->cgroup, "");
    assert_string_equal(pod->netns, "");
    assert_int_equal(pod->n_ips, 0);
    assert_int_equal(pod->n_ports, 0);
    assert_true(pod->ready);
    assert_false(pod->host_network);
    assert_int_equal(pod->mode, WEIR_MESH_KERNEL);
    assert_string_equal(pod->ns->meta.name, "default");
    weir_snapshot_unref(s);
}

static void a_pod_tells_account_node_addresses_and_ports(void **state) {
    struct weir_snapshot *s =
        conf_build(POD("spec:\n  serviceAccountName: web\n  serviceAccount: old\n  nodeName: n1\n"
                       "  containers:\n  - {name: x, image: i, anything: {goes: [here]}, ports: "
                       "[{containerPort: 80, "
                       "name: http}, {containerPort: 53, protocol: UDP}]}\n"
                       "  initContainers:\n  - {name: side, ports: [{containerPort: 15020}]}\n"
                       "status: {podIP: 10.0.0.9, podIPs: [{ip: 10.0.0.1}, {ip: fd00::1}]}"));
    const struct weir_pod *pod = weir_snapshot_pod(s, "default", "a");
    char buf[46];

    assert_string_equal(pod->service_account, "web");
    assert_string_equal(pod->node, "n1");
    assert_int_equal(pod->n_ips, 2);
    assert_string_equal(weir_ip_format(&pod->ips[0], buf, sizeof(buf)), "10.0.0.1");
    assert_int_equal(pod->n_ports, 3);
    assert_string_equal(pod->ports[0].name, "http");
    assert_int_equal(pod->ports[1].proto, WEIR_PROTO_UDP);
    assert_string_equal(pod->ports[1].name, "");
    assert_int_equal(pod->ports[2].port, 15020);
    assert_ptr_equal(weir_snapshot_pod_by_ip(s, &pod->ips[1]), pod);
    weir_snapshot_unref(s);
}

static void the_old_spellings_are_read_too(void **state) {
    struct weir_snapshot *s =
        conf_build(POD("spec: {serviceAccount: old}\nstatus: {podIP: 10.0.0.9}"));
    const struct weir_pod *pod = weir_snapshot_pod(s, "default", "a");

    assert_string_equal(pod->service_account, "old");
    assert_int_equal(pod->n_ips, 1);
    weir_snapshot_unref(s);
}

static void readiness_is_the_condition_of_that_name(void **state) {
    struct weir_snapshot *s =
        conf_build(POD("status: {conditions: [{type: Initialized, status: \"False\"}, "
                       "{type: Ready, status: \"False\", reason: x}]}"));

    assert_false(weir_snapshot_pod(s, "default", "a")->ready);
    weir_snapshot_unref(s);
}

static void a_pod_that_has_ended_is_not_ready_and_holds_no_address(void **state) {
    struct weir_snapshot *s = conf_build(POD("status: {phase: Succeeded, podIP: 10.0.0.1}"));
    const struct weir_pod *pod = weir_snapshot_pod(s, "default", "a");

    assert_false(pod->ready);
    assert_null(weir_snapshot_pod_by_ip(s, &pod->ips[0]));
    weir_snapshot_unref(s);
}

static void a_pod_on_the_host_network_holds_no_address(void **state) {
    struct weir_snapshot *s =
        conf_build(POD("spec: {hostNetwork: true}\nstatus: {podIP: 10.0.0.1}"));
    const struct weir_pod *pod = weir_snapshot_pod(s, "default", "a");

    assert_true(pod->host_network);
    assert_null(weir_snapshot_pod_by_ip(s, &pod->ips[0]));
    weir_snapshot_unref(s);
}

static void annotations_bind_a_pod_to_this_machine(void **state) {
    struct weir_snapshot *s = conf_build(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {weir.dev/mode: node}\n"
        "  annotations: {weir.dev/cgroup: demo/web/, weir.dev/netns: /run/netns/web, "
        "weir.dev/mode: sidecar}\n");
    const struct weir_pod *pod = weir_snapshot_pod(s, "default", "a");

    assert_string_equal(pod->cgroup, "/demo/web");
    assert_string_equal(pod->netns, "/run/netns/web");
    assert_int_equal(pod->mode, WEIR_MESH_SIDECAR);
    weir_snapshot_unref(s);
}

static void a_pod_says_whether_its_sockets_are_joined(void **state) {
    static const char *const words[] = { "\"off\"", "auto", "\"on\"" };

    for (int i = 0; i < 3; i++) {
        char text[200];
        struct weir_snapshot *s;

        snprintf(text, sizeof(text),
                 "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n"
                 "  annotations: {weir.dev/join: %s}\n",
                 words[i]);
        s = conf_build(text);
        assert_int_equal(weir_snapshot_pod(s, "default", "a")->join, i);
        weir_snapshot_unref(s);
    }
    conf_refused("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n"
                 "  annotations: {weir.dev/join: yes please}\n",
                 "t:5:32: error: metadata.annotations[\"weir.dev/join\"]: unknown value \"yes "
                 "please\"; expected off, auto or on\n");
}

static void http_telemetry_is_asked_for_by_a_service_or_a_pod(void **state) {
    struct weir_snapshot *s = conf_build(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {weir.dev/http-telemetry: "
        "\"true\"}}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: s, annotations: {weir.dev/http-telemetry: "
        "\"true\"}}\nspec: {ports: [{port: 80}]}\n");

    assert_true(weir_snapshot_pod(s, "default", "a")->http_telemetry);
    assert_false(weir_snapshot_pod(s, "default", "b")->http_telemetry);
    assert_true(s->services[0].http_telemetry);
    weir_snapshot_unref(s);
    conf_refused("apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n"
                 "  annotations: {weir.dev/http-telemetry: maybe}\nspec: {ports: [{port: 80}]}\n",
                 "t:5:42: error: metadata.annotations[\"weir.dev/http-telemetry\"]: unknown value "
                 "\"maybe\"; expected false or true\n");
}

static void a_pod_takes_its_namespaces_mode(void **state) {
    struct weir_snapshot *s = conf_build(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {weir.dev/mode: "
        "sidecar}}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: b, labels: {weir.dev/mode: \"off\"}}\n");

    assert_int_equal(weir_snapshot_pod(s, "default", "a")->mode, WEIR_MESH_SIDECAR);
    assert_int_equal(weir_snapshot_pod(s, "default", "b")->mode, WEIR_MESH_OFF);
    weir_snapshot_unref(s);
}

static void a_cgroup_is_never_the_root_nor_outside(void **state) {
    static const char *const paths[] = { "/", "", "..", "/a/../..", "//", "a//b" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(paths); i++) {
        char text[256], *report;
        snprintf(text, sizeof(text),
                 "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {weir.dev/cgroup: "
                 "\"%s\"}}\n",
                 paths[i]);
        struct weir_snapshot *s = conf_try(text, &report);
        assert_null(s);
        assert_non_null(
            strstr(report, "t:3:52: error: metadata.annotations[\"weir.dev/cgroup\"]: "));
        free(report);
    }
}

static void misspelt_fields_of_a_pod_are_found(void **state) {
    conf_refused(
        POD("spec: {serviceAcountName: x, containers: [{ports: [{containerPort: 0, hostport: "
            "1}]}]}\n"
            "status: {podIp: 10.0.0.1, podIPs: [{ip: 1}], phase: Up}"),
        "t:4:8: error: spec.serviceAcountName: unknown field \"serviceAcountName\"; did you mean "
        "\"serviceAccountName\"?\n"
        "t:4:68: error: spec.containers[0].ports[0].containerPort: 0 is out of range; expected 1 "
        "to 65535\n"
        "t:4:71: error: spec.containers[0].ports[0].hostport: unknown field \"hostport\"; did you "
        "mean "
        "\"hostPort\"?\n"
        "t:5:10: error: status.podIp: unknown field \"podIp\"; did you mean \"podIP\"?\n"
        "t:5:41: error: status.podIPs[0].ip: expected a string, not an integer 1; write it in "
        "quotes\n"
        "t:5:53: error: status.phase: unknown value \"Up\"; expected Pending, Running, Succeeded, "
        "Failed or "
        "Unknown\n");
}

static void ports_that_probes_knock_at_are_known_once_each(void **state) {
    struct weir_snapshot *s = conf_build(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: c\n    "
        "ports: [{name: web, "
        "containerPort: 8080}]\n    livenessProbe: {httpGet: {path: /x, port: web}, periodSeconds: "
        "3}\n    "
        "readinessProbe: {tcpSocket: {port: 8080}}\n    startupProbe: {grpc: {port: 9090}}\n  - "
        "name: d\n    "
        "livenessProbe: {exec: {command: [x]}}\n    readinessProbe: {httpGet: {port: 8081}}\n");

    assert_int_equal(s->pods[0].n_probe_ports, 3);
    assert_int_equal(s->pods[0].probe_ports[0], 8080);
    assert_int_equal(s->pods[0].probe_ports[1], 9090);
    assert_int_equal(s->pods[0].probe_ports[2], 8081);
    weir_snapshot_unref(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_that_probes_knock_at_are_known_once_each),
        cmocka_unit_test(a_bare_pod_has_the_defaults),
        cmocka_unit_test(a_pod_tells_account_node_addresses_and_ports),
        cmocka_unit_test(the_old_spellings_are_read_too),
        cmocka_unit_test(readiness_is_the_condition_of_that_name),
        cmocka_unit_test(a_pod_that_has_ended_is_not_ready_and_holds_no_address),
        cmocka_unit_test(a_pod_on_the_host_network_holds_no_address),
        cmocka_unit_test(annotations_bind_a_pod_to_this_machine),
        cmocka_unit_test(a_pod_says_whether_its_sockets_are_joined),
        cmocka_unit_test(a_pod_takes_its_namespaces_mode),
        cmocka_unit_test(http_telemetry_is_asked_for_by_a_service_or_a_pod),
        cmocka_unit_test(a_cgroup_is_never_the_root_nor_outside),
        cmocka_unit_test(misspelt_fields_of_a_pod_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
