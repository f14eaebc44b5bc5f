/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define SERVICE(spec) "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: " spec "\n"
#define SLICE(rest)                                                                                \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"                                       \
    "metadata: {name: a, labels: {kubernetes.io/service-name: a}}\n" rest "\n"

static struct weir_snapshot *service(const char *spec, const struct weir_service **ret_service) {
    char text[1024];

    snprintf(text, sizeof(text), SERVICE("%s"), spec);
    struct weir_snapshot *s = conf_build(text);
    *ret_service = weir_snapshot_service(s, "default", "a");
    assert_non_null(*ret_service);
    return s;
}

static enum weir_app_protocol app_of(const char *port) {
    const struct weir_service *svc;
    char spec[256];

    snprintf(spec, sizeof(spec), "{ports: [{port: 80, %s}]}", port);
    struct weir_snapshot *s = service(spec, &svc);
    enum weir_app_protocol app = svc->ports[0].app;
    assert_int_equal(svc->ports[0].l7, app == WEIR_APP_HTTP || app == WEIR_APP_HTTP2);
    weir_snapshot_unref(s);
    return app;
}

static void app_protocol_beats_the_name_and_the_name_beats_nothing(void **state) {
    assert_int_equal(app_of("appProtocol: http"), WEIR_APP_HTTP);
    assert_int_equal(app_of("appProtocol: kubernetes.io/ws"), WEIR_APP_HTTP);
    assert_int_equal(app_of("appProtocol: kubernetes.io/h2c"), WEIR_APP_HTTP2);
    assert_int_equal(app_of("appProtocol: grpc"), WEIR_APP_HTTP2);
    assert_int_equal(app_of("appProtocol: https"), WEIR_APP_TLS);
    assert_int_equal(app_of("appProtocol: mysql, name: http"), WEIR_APP_TCP);
    assert_int_equal(app_of("name: http"), WEIR_APP_HTTP);
    assert_int_equal(app_of("name: http-web"), WEIR_APP_HTTP);
    assert_int_equal(app_of("name: http2"), WEIR_APP_HTTP2);
    assert_int_equal(app_of("name: http2-x"), WEIR_APP_HTTP2);
    assert_int_equal(app_of("name: grpc-x"), WEIR_APP_HTTP2);
    assert_int_equal(app_of("name: https"), WEIR_APP_TLS);
    assert_int_equal(app_of("name: httpx"), WEIR_APP_TCP);
    assert_int_equal(app_of("name: web"), WEIR_APP_TCP);
    assert_int_equal(app_of("appProtocol: \"\", name: http"), WEIR_APP_HTTP);
    assert_int_equal(app_of("protocol: UDP, name: http"), WEIR_APP_TCP);
}

static void cluster_addresses_come_from_the_list_first(void **state) {
    const struct weir_service *svc;
    char buf[46];
    struct weir_snapshot *s =
        service("{clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, fd00::1]}", &svc);

    assert_int_equal(svc->n_ips, 2);
    assert_string_equal(weir_ip_format(&svc->ips[1], buf, sizeof(buf)), "fd00::1");
    assert_false(svc->headless);
    weir_snapshot_unref(s);
    s = service("{clusterIP: 10.0.0.1}", &svc);
    assert_int_equal(svc->n_ips, 1);
    weir_snapshot_unref(s);
}

static void a_headless_service_has_no_address(void **state) {
    const struct weir_service *svc;
    struct weir_snapshot *s = service("{clusterIP: None, clusterIPs: [None]}", &svc);

    assert_true(svc->headless);
    assert_int_equal(svc->n_ips, 0);
    weir_snapshot_unref(s);
    s = service("{ports: []}", &svc);
    assert_false(svc->headless);
    assert_int_equal(svc->n_ips, 0);
    weir_snapshot_unref(s);
}

static void session_affinity_has_the_documented_default(void **state) {
    const struct weir_service *svc;
    struct weir_snapshot *s = service("{sessionAffinity: ClientIP}", &svc);

    assert_true(svc->affinity_client_ip);
    assert_int_equal(svc->affinity_seconds, 10800);
    weir_snapshot_unref(s);
    s = service(
        "{sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}}",
        &svc);
    assert_int_equal(svc->affinity_seconds, 60);
    weir_snapshot_unref(s);
}

static void what_a_service_cannot_be_is_refused(void **state) {
    conf_refused(SERVICE("{type: ExternalName, externalName: 10.0.0.1}"),
                 "t:4:42: error: spec.externalName: \"10.0.0.1\" is not a DNS name\n");
    conf_refused(SERVICE("{type: ExternalName}"),
                 "t:4:7: error: spec.externalName: required with type ExternalName\n");
    conf_refused(SERVICE("{externalName: x.org}"),
                 "t:4:8: error: spec.externalName: needs type ExternalName\n");
    conf_refused(SERVICE("{type: ExternalName, externalName: x.org, clusterIP: 10.0.0.1}"),
                 "t:4:49: error: spec.clusterIP: not with type ExternalName\n");
    conf_refused(SERVICE("{internalTrafficPolicy: local, trafficDistribution: PreferFar}"),
                 "t:4:31: error: spec.internalTrafficPolicy: unknown value \"local\"; expected "
                 "Cluster or Local\n"
                 "t:4:59: error: spec.trafficDistribution: unknown value \"PreferFar\"; expected "
                 "PreferClose, PreferSameZone or "
                 "PreferSameNode\n");
    conf_refused(SERVICE("{ports: [{port: 5, protocol: SCTP}]}"),
                 "t:4:36: error: spec.ports[0].protocol: SCTP is not supported by this version\n");
    conf_refused(SERVICE("{clusterIP: none}"),
                 "t:4:19: error: spec.clusterIP: \"none\" is not an IP address (or None)\n");
    conf_refused(SERVICE("{ports: [{name: a, port: 1}, {port: 2}, {name: a, port: 3}]}"),
                 "t:4:36: error: spec.ports[1]: a service of several ports needs a name for each\n"
                 "t:4:47: error: spec.ports[2]: two ports have the same name\n");
    conf_refused(
        SERVICE("{ports: [{port: 1, targetPort: \"80\"}, {name: x, port: 2, targetPort: 0}]}"),
        "t:4:16: error: spec.ports[0]: a service of several ports needs a name for each\n"
        "t:4:38: error: spec.ports[0].targetPort: \"80\" is neither a port number nor a port's "
        "name\n"
        "t:4:76: error: spec.ports[1].targetPort: 0 is out of range; expected 1 to 65535\n");
}

static void a_slice_is_strict_about_its_family_and_ports(void **state) {
    conf_refused(SLICE("endpoints: []"), "t:1:1: error: addressType: required, but not given\n");
    conf_refused(SLICE("addressType: FQDN\nendpoints: [{addresses: [10.0.0.1]}]"),
                 "t:5:14: error: endpoints[0].addresses: not of addressType FQDN\n");
    conf_refused(SLICE("addressType: IPv4\nendpoints: [{addresses: [a.example]}]"),
                 "t:5:14: error: endpoints[0].addresses: not of addressType IPv4\n");
    conf_refused(SLICE("addressType: FQDN\nendpoints: [{addresses: [a_b]}]"),
                 "t:5:26: error: endpoints[0].addresses[0]: \"a_b\" is not a DNS name\n");
    conf_refused(SLICE("addressType: IPv4\nendpoints: [{addresses: [fd00::1]}]"),
                 "t:5:14: error: endpoints[0].addresses: not of addressType IPv4\n");
    conf_refused(SLICE("addressType: IPv4\nendpoints: [{nodeName: x}]\nports: [{name: http}]"),
                 "t:5:13: error: endpoints[0].addresses: required, but not given\n"
                 "t:6:9: error: ports[0].port: required, but not given (a slice of every port is "
                 "not supported)\n");
}

static void conditions_have_the_documented_defaults(void **state) {
    struct weir_snapshot *s = conf_build(SERVICE("{ports: [{port: 80}]}") "---\n" SLICE(
        "addressType: IPv4\nports: [{port: 8080}]\nendpoints:\n"
        "- addresses: [10.0.0.1]\n"
        "- {addresses: [10.0.0.2], conditions: {ready: false}}\n"
        "- {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}, "
        "zone: z, "
        "nodeName: n}\n"
        "- {addresses: [10.0.0.4], conditions: {ready: null}}"));
    const struct weir_endpoint *e = weir_snapshot_service(s, "default", "a")->ports[0].endpoints;

    assert_int_equal(weir_snapshot_service(s, "default", "a")->ports[0].n_endpoints, 4);
    assert_true(e[0].ready && e[0].serving && !e[0].terminating);
    assert_int_equal(e[0].weight, 1);
    assert_int_equal(e[0].port, 8080);
    assert_true(!e[1].ready && !e[1].serving && !e[1].terminating);
    assert_true(!e[2].ready && e[2].serving && e[2].terminating);
    assert_string_equal(e[2].zone, "z");
    assert_string_equal(e[2].node, "n");
    assert_string_equal(e[0].zone, "");
    assert_true(e[3].ready);
    weir_snapshot_unref(s);
}

static void a_namespace_says_mode_and_fail_mode(void **state) {
    struct weir_snapshot *s = conf_build(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {weir.dev/mode: "
        "sidecar}}\n---\n"
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: b\n  labels: {weir.dev/mode: node}\n"
        "  annotations: {weir.dev/mode: \"off\", weir.dev/fail-mode: open}\n---\n"
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: c}\nspec: {finalizers: [kubernetes]}\n");

    assert_int_equal(weir_snapshot_namespace(s, "a")->mode, WEIR_MESH_SIDECAR);
    assert_false(weir_snapshot_namespace(s, "a")->fail_open);
    assert_int_equal(weir_snapshot_namespace(s, "b")->mode, WEIR_MESH_OFF);
    assert_true(weir_snapshot_namespace(s, "b")->fail_open);
    assert_int_equal(weir_snapshot_namespace(s, "c")->mode, -1);
    assert_null(weir_snapshot_namespace(s, "d"));
    weir_snapshot_unref(s);
    conf_refused(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels: {weir.dev/mode: on}\n"
        "  annotations: {weir.dev/fail-mode: Open}\n",
        "t:5:27: error: metadata.labels[\"weir.dev/mode\"]: unknown value \"on\"; expected off, "
        "sidecar, node or kernel\n"
        "t:6:37: error: metadata.annotations[\"weir.dev/fail-mode\"]: unknown value \"Open\"; "
        "expected closed "
        "or open\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(app_protocol_beats_the_name_and_the_name_beats_nothing),
        cmocka_unit_test(cluster_addresses_come_from_the_list_first),
        cmocka_unit_test(a_headless_service_has_no_address),
        cmocka_unit_test(session_affinity_has_the_documented_default),
        cmocka_unit_test(what_a_service_cannot_be_is_refused),
        cmocka_unit_test(a_slice_is_strict_about_its_family_and_ports),
        cmocka_unit_test(conditions_have_the_documented_defaults),
        cmocka_unit_test(a_namespace_says_mode_and_fail_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
