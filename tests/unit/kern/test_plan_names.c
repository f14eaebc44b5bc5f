/* SPDX-License-Identifier: Apache-2.0 */
/* EgressPolicies as entries: patterns, servers, and what a rule's names let through once an answer has bound an address. */
#include "kern/patterns.h"

#include "cluster.h"

#define CLUSTER                                                                                    \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: n, labels: {app: web}, "          \
    "annotations: {weir.dev/cgroup: t/web}}\nstatus: {podIP: 10.0.0.1}\n---\n"                     \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: api, namespace: n, labels: {app: api}, "          \
    "annotations: {weir.dev/cgroup: t/api}}\nstatus: {podIP: 10.0.0.2}\n---\n"
#define SERVERS "dnsServers: [10.9.9.9], "
#define POLICY(name, more, spec)                                                                   \
    "apiVersion: weir.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: " name                    \
    ", namespace: n" more "}\nspec: {podSelector: {matchLabels: {app: web}}, " spec "}\n---\n"

struct world {
    struct weir_snapshot *snapshot;
    struct weir_mapset *set;
    struct weir_plan_report report;
    uint32_t web, api;
};

static struct world world_of(const char *policies) {
    char text[4096];
    struct world w = { 0 };

    snprintf(text, sizeof(text), "%s%s", CLUSTER, policies);
    w.snapshot = snapshot_of(text);
    w.set = plan_of(w.snapshot, NULL, &w.report);
    w.web = pod_id(w.set, weir_snapshot_pod(w.snapshot, "n", "web"));
    w.api = pod_id(w.set, weir_snapshot_pod(w.snapshot, "n", "api"));
    return w;
}

static void world_end(struct world *w) {
    weir_mapset_free(w->set);
    weir_snapshot_unref(w->snapshot);
}

static struct weir_ip ip_of(const char *text) {
    struct weir_ip ip;

    assert_int_equal(weir_parse_ip(text, &ip), 0);
    return ip;
}

/* As the kernel does with an answer for that name. False: none of the pod's patterns means it. */
static bool answered(struct world *w, const char *name, const char *ip) {
    const struct weir_ip at = ip_of(ip);
    const struct weir_dns_bound_key key = { .addr = addr_of(&at), .pod = w->web };
    struct weir_dns_bound_value v = { .slots = { { weir_pattern_of(w->set, w->web, name), 60 } } };

    assert_int_equal(weir_mapset_put(w->set, WEIR_MAP_DNS_BOUND, &key, &v), 0);
    return v.slots[0].pattern != 0;
}

static struct weir_policy_answer asks(struct world *w, const char *ip, uint8_t proto,
                                      uint16_t port) {
    const struct weir_ip to = ip_of(ip);

    return answer_of(w->set, w->web, WEIR_EGRESS, &to, proto, port);
}

static bool may(struct world *w, const char *ip, uint8_t proto, uint16_t port) {
    return asks(w, ip, proto, port).verdict == WEIR_VERDICT_ALLOW;
}

static bool is_server(const struct world *w, uint32_t pod, const char *ip, uint16_t port) {
    const struct weir_ip at = ip_of(ip);
    const struct weir_dns_server_key key = { .addr = addr_of(&at), .pod = pod, .port = port };

    return weir_mapset_get(w->set, WEIR_MAP_DNS_SERVER, &key) != NULL;
}

static void a_rule_lets_out_to_what_its_names_were_answered_with(void **state) {
    struct world w = world_of(POLICY(
        "out", "", SERVERS "egress: [{names: [api.x.io, \"*.y.io\"], ports: [{port: 443}]}]"));

    assert_false(may(&w, "198.51.100.1", WEIR_IPPROTO_TCP, 443));
    assert_true(answered(&w, "api.x.io", "198.51.100.1"));
    assert_true(answered(&w, "a.b.y.io", "198.51.100.2"));
    assert_false(answered(&w, "www.x.io", "198.51.100.3"));
    assert_true(may(&w, "198.51.100.1", WEIR_IPPROTO_TCP, 443));
    assert_true(may(&w, "198.51.100.2", WEIR_IPPROTO_TCP, 443));
    assert_false(may(&w, "198.51.100.3", WEIR_IPPROTO_TCP, 443));
    assert_false(may(&w, "198.51.100.1", WEIR_IPPROTO_TCP, 80));
    assert_false(may(&w, "198.51.100.1", WEIR_IPPROTO_UDP, 443));
    world_end(&w);
}

static void without_ports_it_is_every_port_and_protocol(void **state) {
    struct world w = world_of(POLICY("out", "", SERVERS "egress: [{names: [api.x.io]}]"));

    assert_true(answered(&w, "api.x.io", "198.51.100.1"));
    assert_true(may(&w, "198.51.100.1", WEIR_IPPROTO_TCP, 1) &&
                may(&w, "198.51.100.1", WEIR_IPPROTO_UDP, 65535));
    world_end(&w);
}

/* An answer is bound to the narrowest pattern of all policies; a wider rule must go on meaning it. */
static void a_wide_rule_means_what_is_bound_to_a_narrow_one(void **state) {
    struct world w = world_of(
        POLICY("wide", "", SERVERS "egress: [{names: [\"*.x.io\"], ports: [{port: 443}]}]")
            POLICY("narrow", "", SERVERS "egress: [{names: [api.x.io], ports: [{port: 8443}]}]"));

    assert_true(answered(&w, "api.x.io", "198.51.100.1"));
    assert_true(answered(&w, "www.x.io", "198.51.100.2"));
    assert_true(may(&w, "198.51.100.1", WEIR_IPPROTO_TCP, 443) &&
                may(&w, "198.51.100.1", WEIR_IPPROTO_TCP, 8443));
    assert_true(may(&w, "198.51.100.2", WEIR_IPPROTO_TCP, 443));
    assert_false(may(&w, "198.51.100.2", WEIR_IPPROTO_TCP, 8443));
    world_end(&w);
}

static void whoever_is_not_selected_is_not_concerned(void **state) {
    struct world w = world_of(POLICY("out", "", SERVERS "egress: [{names: [api.x.io]}]"));
    const struct weir_pod_value *web = weir_mapset_get(w.set, WEIR_MAP_POD, &w.web),
                                *api = weir_mapset_get(w.set, WEIR_MAP_POD, &w.api);

    assert_true(web->flags & WEIR_POD_NAMES && web->policy[WEIR_EGRESS].flags & WEIR_SLOT_ISOLATED);
    assert_false(api->flags & WEIR_POD_NAMES ||
                 api->policy[WEIR_EGRESS].flags & WEIR_SLOT_ISOLATED);
    assert_int_equal(weir_pattern_of(w.set, w.api, "api.x.io"), 0);
    assert_true(is_server(&w, w.web, "10.9.9.9", 53));
    assert_false(is_server(&w, w.api, "10.9.9.9", 53));
    world_end(&w);
}

static void the_servers_may_be_asked_and_nobody_else(void **state) {
    struct world w = world_of(POLICY("out", "",
                                     "dnsServers: [10.9.9.9, \"10.9.9.8:5353\"], egress: [{names: "
                                     "[api.x.io], ports: [{port: 443}]}]"));

    assert_true(may(&w, "10.9.9.9", WEIR_IPPROTO_UDP, 53) &&
                may(&w, "10.9.9.9", WEIR_IPPROTO_TCP, 53));
    assert_true(may(&w, "10.9.9.8", WEIR_IPPROTO_UDP, 5353));
    assert_false(may(&w, "10.9.9.8", WEIR_IPPROTO_UDP, 53));
    assert_false(may(&w, "10.9.9.7", WEIR_IPPROTO_UDP, 53));
    assert_true(is_server(&w, w.web, "10.9.9.8", 5353) && !is_server(&w, w.web, "10.9.9.8", 53));
    assert_null(w.report.no_dns_servers);
    world_end(&w);
}

static void a_service_is_asked_by_its_address_and_answers_from_its_endpoints(void **state) {
    struct world w =
        world_of("apiVersion: v1\nkind: Service\nmetadata: {name: kube-dns, namespace: "
                 "kube-system}\nspec: {clusterIP: 10.96.0.10, "
                 "selector: {app: api}, ports: [{name: dns, protocol: UDP, port: 53, targetPort: "
                 "1053}]}\n---\n"
                 "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: d, "
                 "namespace: kube-system, labels: "
                 "{kubernetes.io/service-name: kube-dns}}\naddressType: IPv4\nports: [{name: dns, "
                 "protocol: UDP, port: 1053}]\n"
                 "endpoints: [{addresses: [10.0.7.7]}]\n---\n" POLICY(
                     "out", "", "egress: [{names: [api.x.io], ports: [{port: 443}]}]"));

    assert_true(is_server(&w, w.web, "10.96.0.10", 53));
    assert_true(is_server(&w, w.web, "10.0.7.7", 1053));
    assert_true(may(&w, "10.0.7.7", WEIR_IPPROTO_UDP, 1053));
    assert_null(w.report.no_dns_servers);
    world_end(&w);
}

static void without_a_server_it_is_said_who_has_none(void **state) {
    struct world w = world_of(POLICY("out", "", "egress: [{names: [api.x.io]}]"));

    assert_non_null(w.report.no_dns_servers);
    assert_string_equal(w.report.no_dns_servers->meta.name, "web");
    world_end(&w);
}

static void audit_lets_out_and_names_the_policy(void **state) {
    struct world w =
        world_of(POLICY("out", ", annotations: {weir.dev/audit: \"true\"}",
                        SERVERS "egress: [{names: [api.x.io], ports: [{port: 443}]}]"));
    const struct weir_pod_value *web = weir_mapset_get(w.set, WEIR_MAP_POD, &w.web);
    struct weir_policy_answer answer = asks(&w, "198.51.100.1", WEIR_IPPROTO_TCP, 443);

    assert_true(web->policy[WEIR_EGRESS].flags & WEIR_SLOT_AUDIT);
    assert_int_equal(answer.verdict, WEIR_VERDICT_ALLOW);
    assert_string_equal(weir_plan_name(w.set, WEIR_NAME_POLICY, answer.audited), "n/out");
    world_end(&w);
}

static void no_rule_is_nobody(void **state) {
    struct world w = world_of(POLICY("out", "", SERVERS "egress: []"));

    assert_false(may(&w, "198.51.100.1", WEIR_IPPROTO_TCP, 443));
    assert_string_equal(weir_plan_name(w.set, WEIR_NAME_POLICY,
                                       asks(&w, "198.51.100.1", WEIR_IPPROTO_TCP, 443).policy),
                        "n/out");
    world_end(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_lets_out_to_what_its_names_were_answered_with),
        cmocka_unit_test(without_ports_it_is_every_port_and_protocol),
        cmocka_unit_test(a_wide_rule_means_what_is_bound_to_a_narrow_one),
        cmocka_unit_test(whoever_is_not_selected_is_not_concerned),
        cmocka_unit_test(the_servers_may_be_asked_and_nobody_else),
        cmocka_unit_test(a_service_is_asked_by_its_address_and_answers_from_its_endpoints),
        cmocka_unit_test(without_a_server_it_is_said_who_has_none),
        cmocka_unit_test(audit_lets_out_and_names_the_policy),
        cmocka_unit_test(no_rule_is_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
