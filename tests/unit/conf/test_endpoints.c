/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define SERVICE(name, spec)                                                                        \
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: " name "}\nspec: " spec "\n"
#define POD(name, labels, rest)                                                                    \
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name ", labels: " labels "}\n" rest "\n"
#define SLICE(name, service, rest)                                                                 \
    "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"                                  \
    "metadata: {name: " name ", labels: {kubernetes.io/service-name: " service                     \
    "}}\naddressType: IPv4\n" rest "\n"

/* "10.0.0.1:80 10.0.0.2:80!" ('!' = not ready) */
static void assert_endpoints(const struct weir_snapshot *s, const char *service, uint32_t port,
                             const char *expected) {
    const struct weir_service *svc = weir_snapshot_service(s, "default", service);
    char text[512] = "", buf[46];
    size_t n = 0;

    assert_non_null(svc);
    assert_true(port < svc->n_ports);
    for (uint32_t i = 0; i < svc->ports[port].n_endpoints; i++) {
        const struct weir_endpoint *e = &svc->ports[port].endpoints[i];
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s:%u%s", i > 0 ? " " : "",
                              weir_ip_format(&e->ip, buf, sizeof(buf)), e->port,
                              e->ready ? "" : "!");
    }
    assert_string_equal(text, expected);
}

static void slices_feed_the_port_of_their_name(void **state) {
    struct weir_snapshot *s = conf_build(
        SERVICE("a", "{ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}")
            SLICE("a-1", "a",
                  "ports: [{name: http, port: 8080}, {name: dns, port: 5353, protocol: UDP}, "
                  "{name: other, port: 1}]\n"
                  "endpoints: [{addresses: [10.0.0.2]}, {addresses: [10.0.0.1]}]")
                SLICE("a-2", "a",
                      "ports: [{name: http, port: 9090}]\nendpoints: [{addresses: [10.0.0.3]}]"));

    assert_endpoints(s, "a", 0, "10.0.0.1:8080 10.0.0.2:8080 10.0.0.3:9090");
    assert_endpoints(s, "a", 1, "10.0.0.1:5353 10.0.0.2:5353");
    weir_snapshot_unref(s);
}

static void an_endpoint_in_two_slices_counts_once_and_the_ready_one_wins(void **state) {
    struct weir_snapshot *s = conf_build(
        SERVICE("a", "{ports: [{port: 80}]}") SLICE(
            "a-1", "a",
            "ports: [{port: 80}]\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: false}}]")
            SLICE("a-2", "a", "ports: [{port: 80}]\nendpoints: [{addresses: [10.0.0.1]}]"));

    assert_endpoints(s, "a", 0, "10.0.0.1:80");
    weir_snapshot_unref(s);
}

static void an_endpoint_knows_its_pod_by_reference_or_address(void **state) {
    struct weir_snapshot *s =
        conf_build(SERVICE("a", "{ports: [{port: 80}]}") POD("p", "{}", "status: {podIP: 10.0.0.1}")
                       POD("q", "{}", "spec: {hostNetwork: true}\nstatus: {podIP: 192.168.0.1}")
                           SLICE("a-1", "a",
                                 "ports: [{port: 80}]\nendpoints: [{addresses: [10.0.0.1]}, "
                                 "{addresses: [192.168.0.1], targetRef: "
                                 "{kind: Pod, name: q}}, {addresses: [192.168.0.2]}, {addresses: "
                                 "[192.168.0.3], targetRef: {kind: "
                                 "Node, name: p}}]"));
    const struct weir_endpoint *e = weir_snapshot_service(s, "default", "a")->ports[0].endpoints;

    assert_ptr_equal(e[0].pod, weir_snapshot_pod(s, "default", "p"));
    assert_ptr_equal(e[1].pod, weir_snapshot_pod(s, "default", "q"));
    assert_null(e[2].pod);
    assert_null(e[3].pod);
    weir_snapshot_unref(s);
}

static void slices_of_no_service_are_warned_about(void **state) {
    conf_warned(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x}\naddressType: "
        "IPv4\n"
        "endpoints: []\n" SLICE("y", "gone", "endpoints: []"),
        "t:1:1: warning: metadata.labels: the label kubernetes.io/service-name is missing: the "
        "slice belongs to "
        "no service\n"
        "t:7:1: warning: metadata.labels: the Service default/gone is not among the documents\n");
}

static void a_selecting_service_without_slices_gets_its_pods(void **state) {
    struct weir_snapshot *s = conf_build(
        SERVICE("a", "{selector: {app: a, tier: x}, ports: [{name: n, port: 80, targetPort: web}, "
                     "{name: m, port: 81}, "
                     "{name: o, port: 82, targetPort: 8282}]}")
            POD("p1", "{app: a, tier: x}",
                "spec: {containers: [{ports: [{name: web, containerPort: 8080}]}]}\nstatus: "
                "{podIP: 10.0.0.1}") POD("p2", "{app: a, tier: x, more: y}",
                                         "spec: {nodeName: n2}\nstatus: {podIP: 10.0.0.2, "
                                         "conditions: [{type: Ready, status: \"False\"}]}")
                POD("p3", "{app: a}", "status: {podIP: 10.0.0.3}")
                    POD("p4", "{app: a, tier: x}", "status: {podIP: 10.0.0.4, phase: Failed}")
                        POD("p5", "{app: a, tier: x}", ""));

    assert_endpoints(s, "a", 0, "10.0.0.1:8080");
    assert_endpoints(s, "a", 1, "10.0.0.1:81 10.0.0.2:81!");
    assert_endpoints(s, "a", 2, "10.0.0.1:8282 10.0.0.2:8282!");
    const struct weir_endpoint *e =
        &weir_snapshot_service(s, "default", "a")->ports[1].endpoints[1];
    assert_string_equal(e->node, "n2");
    assert_ptr_equal(e->pod, weir_snapshot_pod(s, "default", "p2"));
    weir_snapshot_unref(s);
}

static void pods_of_other_namespaces_are_not_selected(void **state) {
    struct weir_snapshot *s =
        conf_build(SERVICE("a", "{selector: {app: a}, ports: [{port: 80}]}")
                       POD("p1, namespace: other", "{app: a}", "status: {podIP: 10.0.0.1}"));

    assert_endpoints(s, "a", 0, "");
    weir_snapshot_unref(s);
}

static void a_slice_silences_the_selector(void **state) {
    struct weir_snapshot *s =
        conf_build(SERVICE("a", "{selector: {app: a}, ports: [{port: 80}]}")
                       POD("p", "{app: a}", "status: {podIP: 10.0.0.1}")
                           SLICE("a-1", "a", "ports: [{port: 80}]\nendpoints: []"));

    assert_endpoints(s, "a", 0, "");
    weir_snapshot_unref(s);
}

static void an_empty_selector_of_a_service_selects_nothing(void **state) {
    struct weir_snapshot *s = conf_build(SERVICE("a", "{selector: {}, ports: [{port: 80}]}")
                                             POD("p", "{app: a}", "status: {podIP: 10.0.0.1}"));

    assert_endpoints(s, "a", 0, "");
    weir_snapshot_unref(s);
}

static void not_ready_addresses_are_published_when_asked_for(void **state) {
    struct weir_snapshot *s = conf_build(
        SERVICE("a", "{selector: {app: a}, publishNotReadyAddresses: true, ports: [{port: 80}]}")
            POD("p", "{app: a}",
                "status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: \"False\"}]}"));

    assert_endpoints(s, "a", 0, "10.0.0.1:80");
    weir_snapshot_unref(s);
}

static void the_family_of_the_service_decides_among_a_pods_addresses(void **state) {
    struct weir_snapshot *s = conf_build(
        SERVICE("four", "{clusterIP: 10.96.0.1, selector: {app: a}, ports: [{port: 80}]}") SERVICE(
            "both",
            "{clusterIPs: [10.96.0.2, fd00:96::2], selector: {app: a}, ports: [{port: 80}]}")
            SERVICE("headless", "{clusterIP: None, selector: {app: a}, ports: [{port: 80}]}")
                POD("p", "{app: a}", "status: {podIPs: [{ip: fd00::1}, {ip: 10.0.0.1}]}"));

    assert_endpoints(s, "four", 0, "10.0.0.1:80");
    assert_endpoints(s, "both", 0, "10.0.0.1:80 fd00::1:80");
    assert_endpoints(s, "headless", 0, "fd00::1:80");
    weir_snapshot_unref(s);
}

static void a_pod_may_state_its_weight(void **state) {
    struct weir_snapshot *s = conf_build(SERVICE(
        "a", "{selector: {app: a}, ports: [{port: 80}]}") "---\napiVersion: v1\nkind: Pod\n"
                                                          "metadata: {name: p, labels: {app: a}, "
                                                          "annotations: {weir.dev/weight: \"5\"}}\n"
                                                          "status: {podIP: 10.0.0.1}\n");

    assert_int_equal(weir_snapshot_service(s, "default", "a")->ports[0].endpoints[0].weight, 5);
    weir_snapshot_unref(s);
}

static void a_leaving_pod_is_not_ready(void **state) {
    struct weir_snapshot *s = conf_build(
        SERVICE("a", "{selector: {app: a}, ports: [{port: 80}]}") "---\napiVersion: v1\nkind: Pod\n"
                                                                  "metadata: {name: p, labels: "
                                                                  "{app: a}, deletionTimestamp: "
                                                                  "\"2024-05-01T12:00:00Z\"}\n"
                                                                  "status: {podIP: 10.0.0.1}\n");
    const struct weir_endpoint *e = weir_snapshot_service(s, "default", "a")->ports[0].endpoints;

    assert_true(!e->ready && e->serving && e->terminating);
    weir_snapshot_unref(s);
}

static void an_address_belongs_to_one_service(void **state) {
    struct weir_ip ip;
    const struct weir_service_port *port = NULL;
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;
    const char *text =
        SERVICE("b", "{clusterIP: 10.96.0.1, ports: [{name: x, port: 80}, {name: y, port: 81}]}")
            SERVICE("a", "{clusterIP: 10.96.0.1, ports: [{name: u, port: 80, protocol: UDP}, "
                         "{name: t, port: 80}]}");
    struct weir_source source = { "t", text, strlen(text) };

    assert_int_equal(weir_snapshot_build(&source, 1, &s, &problems), 0);
    assert_int_equal(problems.n, 1);
    assert_string_equal(problems.items[0].message,
                        "10.96.0.1 port 80 is also that of service default/a, which keeps it");
    weir_problems_deinit(&problems);
    assert_int_equal(weir_parse_ip("10.96.0.1", &ip), 0);
    assert_string_equal(weir_snapshot_service_by_ip(s, &ip, 80, &port)->meta.name, "a");
    assert_string_equal(port->name, "t");
    assert_string_equal(weir_snapshot_service_by_ip(s, &ip, 81, &port)->meta.name, "b");
    assert_null(weir_snapshot_service_by_ip(s, &ip, 82, &port));
    assert_non_null(weir_snapshot_service_by_ip(s, &ip, 80, NULL));
    weir_snapshot_unref(s);
}

static void endpoints_multiply_only_up_to_a_bound(void **state) {
    /* 2000 pods of 2 addresses, and one service of 1000 ports and 4 of 1: 4,000,000 and some more. */
    char *text = NULL, *report;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    assert_non_null(f);
    for (unsigned i = 0; i < 2000; i++) {
        fprintf(f, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%u, labels: {app: a}}\n", i);
        fprintf(f, "status: {podIPs: [{ip: 10.0.%u.%u}, {ip: \"fd00::%x\"}]}\n", i / 256, i % 256,
                i);
    }
    fprintf(f, "---\napiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {selector: {app: "
               "a}, ports: [");
    for (unsigned i = 0; i < 1000; i++) {
        fprintf(f, "{name: n%u, port: %u},", i, i + 1);
    }
    fprintf(f, "]}\n");
    for (unsigned i = 0; i < 4; i++) {
        fprintf(f, "---\napiVersion: v1\nkind: Service\nmetadata: {name: c%u}\n", i);
        fprintf(f, "spec: {selector: {app: a}, ports: [{port: 1}]}\n");
    }
    fclose(f);
    assert_null(conf_try(text, &report));
    assert_non_null(strstr(
        report, ": error: : the services up to this one have more than 4000000 endpoints\n"));
    free(report);
    free(text);
}

static void names_are_endpoints_of_their_own_kind(void **state) {
    struct weir_snapshot *s = conf_build(
        SERVICE("a", "{type: ExternalName, externalName: x.example., ports: [{name: http, port: "
                     "80, targetPort: 8080}, {name: tcp, port: 5}]}")
            SERVICE(
                "b",
                "{ports: [{name: http, port: 80}]}") "---\napiVersion: discovery.k8s.io/v1\nkind: "
                                                     "EndpointSlice\nmetadata: {name: b1, "
                                                     "labels: {kubernetes.io/service-name: "
                                                     "b}}\naddressType: FQDN\nports: [{name: http, "
                                                     "port: 81}]\nendpoints: [{addresses: "
                                                     "[y.example]}, {addresses: [z.example], "
                                                     "conditions: {ready: false}}]\n" SLICE(
                                                         "b2", "b",
                                                         "ports: [{name: http, port: 82}]\n"
                                                         "endpoints: [{addresses: [10.0.0.1]}]"));
    const struct weir_service_port *p = weir_snapshot_service(s, "default", "a")->ports;

    assert_int_equal(p[0].n_endpoints, 0);
    assert_int_equal(p[0].n_hosts, 1);
    assert_string_equal(p[0].hosts[0].host, "x.example");
    assert_int_equal(p[0].hosts[0].port, 8080);
    assert_true(p[0].hosts[0].ready);
    assert_int_equal(p[1].hosts[0].port, 5);
    p = weir_snapshot_service(s, "default", "b")->ports;
    assert_endpoints(s, "b", 0, "10.0.0.1:82");
    assert_int_equal(p[0].n_hosts, 2);
    assert_string_equal(p[0].hosts[0].host, "y.example");
    assert_int_equal(p[0].hosts[0].port, 81);
    assert_true(p[0].hosts[0].ready);
    assert_false(p[0].hosts[1].ready);
    weir_snapshot_unref(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_endpoints_of_their_own_kind),
        cmocka_unit_test(slices_feed_the_port_of_their_name),
        cmocka_unit_test(an_endpoint_in_two_slices_counts_once_and_the_ready_one_wins),
        cmocka_unit_test(an_endpoint_knows_its_pod_by_reference_or_address),
        cmocka_unit_test(slices_of_no_service_are_warned_about),
        cmocka_unit_test(a_selecting_service_without_slices_gets_its_pods),
        cmocka_unit_test(pods_of_other_namespaces_are_not_selected),
        cmocka_unit_test(a_slice_silences_the_selector),
        cmocka_unit_test(an_empty_selector_of_a_service_selects_nothing),
        cmocka_unit_test(not_ready_addresses_are_published_when_asked_for),
        cmocka_unit_test(the_family_of_the_service_decides_among_a_pods_addresses),
        cmocka_unit_test(a_pod_may_state_its_weight),
        cmocka_unit_test(a_leaving_pod_is_not_ready),
        cmocka_unit_test(an_address_belongs_to_one_service),
        cmocka_unit_test(endpoints_multiply_only_up_to_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
