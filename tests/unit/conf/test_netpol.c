/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/netpol.h"

#include "conf_test.h"

#define PODS                                                                                       \
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: team, labels: {t: x}}\n---\n"               \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: api, labels: {app: api}}\n"                       \
    "spec: {containers: [{ports: [{name: http, containerPort: 8080}, {name: http, containerPort: " \
    "9090, protocol: UDP}]}]}\n---\n"                                                              \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\n---\n"                  \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: team, labels: {app: web}}\n---\n" \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: host, labels: {app: api}}\n"                      \
    "spec: {hostNetwork: true}\n---\n"

static struct weir_snapshot *policy(const char *spec) {
    char text[2048];

    snprintf(
        text, sizeof(text),
        PODS
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: %s\n",
        spec);
    return conf_build(text);
}

static void a_policy_selects_pods_of_its_namespace_that_have_an_address_of_their_own(void **state) {
    struct weir_snapshot *s = policy("{podSelector: {matchLabels: {app: api}}}");

    assert_true(weir_netpol_selects(&s->netpols[0], weir_snapshot_pod(s, "default", "api")));
    assert_false(weir_netpol_selects(&s->netpols[0], weir_snapshot_pod(s, "default", "web")));
    assert_false(weir_netpol_selects(&s->netpols[0], weir_snapshot_pod(s, "default", "host")));
    weir_snapshot_unref(s);
    s = policy("{podSelector: {}}");
    assert_true(weir_netpol_selects(&s->netpols[0], weir_snapshot_pod(s, "default", "web")));
    assert_false(weir_netpol_selects(&s->netpols[0], weir_snapshot_pod(s, "team", "web")));
    weir_snapshot_unref(s);
}

/* Which of default/web, team/web and default/api the peer names, as three letters. */
static void assert_peer(const char *peer, const char *expected) {
    static const char *const pods[][2] = { { "default", "web" },
                                           { "team", "web" },
                                           { "default", "api" } };
    char spec[512], seen[4] = "---";

    snprintf(spec, sizeof(spec), "{ingress: [{from: [%s]}]}", peer);
    struct weir_snapshot *s = policy(spec);
    for (int i = 0; i < 3; i++) {
        const struct weir_pod *pod = weir_snapshot_pod(s, pods[i][0], pods[i][1]);
        if (weir_netpol_peer_selects(&s->netpols[0], &s->netpols[0].ingress_rules[0].peers[0],
                                     pod)) {
            seen[i] = 'y';
        }
    }
    weir_snapshot_unref(s);
    assert_string_equal(seen, expected);
}

static void a_peer_without_a_namespace_selector_is_of_the_policys_namespace(void **state) {
    assert_peer("{podSelector: {matchLabels: {app: web}}}", "y--");
    assert_peer("{podSelector: {}}", "y-y");
    assert_peer("{namespaceSelector: {}}", "yyy");
    assert_peer("{namespaceSelector: {matchLabels: {t: x}}}", "-y-");
    assert_peer("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}}",
                "y-y");
    assert_peer("{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}", "yy-");
    assert_peer("{ipBlock: {cidr: 0.0.0.0/0}}", "---");
}

static bool covers(const struct weir_snapshot *s, const char *address) {
    struct weir_ip ip;

    assert_int_equal(weir_parse_ip(address, &ip), 0);
    return weir_netpol_peer_covers(&s->netpols[0].ingress_rules[0].peers[0], &ip);
}

static void a_block_covers_what_its_exceptions_leave(void **state) {
    struct weir_snapshot *s =
        policy("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/9, except: [10.1.0.0/17]}}]}]}");

    assert_true(covers(s, "10.0.0.1"));
    assert_true(covers(s, "10.127.255.255"));
    assert_false(covers(s, "10.128.0.0"));
    assert_false(covers(s, "10.1.127.1"));
    assert_true(covers(s, "10.1.128.1"));
    assert_false(covers(s, "fd00::1"));
    weir_snapshot_unref(s);
}

static void every_ipv6_address_is_no_ipv4_one(void **state) {
    struct weir_snapshot *s = policy("{ingress: [{from: [{ipBlock: {cidr: \"::/0\"}}]}]}");

    assert_true(covers(s, "fd00::1"));
    assert_false(covers(s, "10.0.0.1"));
    weir_snapshot_unref(s);
    s = policy("{ingress: [{from: [{podSelector: {}}]}]}");
    assert_false(covers(s, "10.0.0.1"));
    weir_snapshot_unref(s);
}

static void a_named_port_is_the_destinations_and_of_its_protocol(void **state) {
    struct weir_snapshot *s =
        policy("{ingress: [{ports: [{port: http}, {port: http, protocol: UDP}, {port: gone}, {}, "
               "{port: 5, endPort: 7}]}]}");
    const struct weir_netpol_port *ports = s->netpols[0].ingress_rules[0].ports;
    const struct weir_pod *api = weir_snapshot_pod(s, "default", "api");
    uint16_t first = 1, last = 2;

    assert_true(weir_netpol_port_range(&ports[0], api, &first, &last));
    assert_int_equal(first, 8080);
    assert_int_equal(last, 8080);
    assert_true(weir_netpol_port_range(&ports[1], api, &first, &last));
    assert_int_equal(first, 9090);
    assert_false(weir_netpol_port_range(&ports[2], api, &first, &last));
    assert_false(weir_netpol_port_range(&ports[0], NULL, &first, &last));
    assert_true(weir_netpol_port_range(&ports[3], NULL, &first, &last));
    assert_int_equal(first, 0);
    assert_int_equal(last, 65535);
    assert_true(weir_netpol_port_range(&ports[4], NULL, &first, &last));
    assert_int_equal(first, 5);
    assert_int_equal(last, 7);
    weir_snapshot_unref(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_selects_pods_of_its_namespace_that_have_an_address_of_their_own),
        cmocka_unit_test(a_peer_without_a_namespace_selector_is_of_the_policys_namespace),
        cmocka_unit_test(a_block_covers_what_its_exceptions_leave),
        cmocka_unit_test(every_ipv6_address_is_no_ipv4_one),
        cmocka_unit_test(a_named_port_is_the_destinations_and_of_its_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
