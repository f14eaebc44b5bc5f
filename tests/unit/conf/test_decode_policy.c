/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define NETPOL(spec)                                                                               \
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: " spec "\n"
#define PEERAUTH(spec)                                                                             \
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec: " spec \
    "\n"

static struct weir_snapshot *policy(const char *spec, const struct weir_netpol **ret_policy) {
    char text[1024];

    snprintf(text, sizeof(text), NETPOL("%s"), spec);
    struct weir_snapshot *s = conf_build(text);
    assert_int_equal(s->n_netpols, 1);
    *ret_policy = &s->netpols[0];
    return s;
}

static void policy_types_default_as_documented(void **state) {
    static const struct {
        const char *spec;
        bool ingress, egress;
    } cases[] = {
        { "{podSelector: {}}", true, false },
        { "{podSelector: {}, ingress: []}", true, false },
        { "{podSelector: {}, egress: []}", true, false },
        { "{podSelector: {}, egress: [{}]}", true, true },
        { "{podSelector: {}, policyTypes: [Egress]}", false, true },
        { "{podSelector: {}, policyTypes: [Ingress, Egress]}", true, true },
        { "{podSelector: {}, policyTypes: []}", true, false },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        const struct weir_netpol *p;
        struct weir_snapshot *s = policy(cases[i].spec, &p);
        assert_int_equal(p->ingress, cases[i].ingress);
        assert_int_equal(p->egress, cases[i].egress);
        assert_true(p->pods.given);
        weir_snapshot_unref(s);
    }
}

static void an_absent_selector_differs_from_an_empty_one(void **state) {
    const struct weir_netpol *p;
    struct weir_snapshot *s =
        policy("{podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {}}, "
               "{namespaceSelector: {}}, {podSelector: {matchLabels: {x: y}}, "
               "namespaceSelector: {matchExpressions: [{key: k, operator: NotIn, values: "
               "[v, w]}, {key: e, operator: Exists}]}}]}]}",
               &p);
    const struct weir_netpol_peer *peers = p->ingress_rules[0].peers;

    assert_int_equal(p->ingress_rules[0].n_peers, 3);
    assert_true(peers[0].pods.given && !peers[0].namespaces.given);
    assert_true(!peers[1].pods.given && peers[1].namespaces.given);
    assert_true(peers[2].pods.given && peers[2].namespaces.given);
    assert_int_equal(peers[2].namespaces.n_terms, 2);
    assert_int_equal(peers[2].namespaces.terms[0].op, WEIR_OP_NOT_IN);
    assert_int_equal(peers[2].namespaces.terms[0].n_values, 2);
    assert_string_equal(peers[2].namespaces.terms[0].values[1], "w");
    assert_int_equal(peers[2].namespaces.terms[1].op, WEIR_OP_EXISTS);
    assert_string_equal(p->pods.terms[0].key, "app");
    weir_snapshot_unref(s);
}

static void labels_and_expressions_add_up(void **state) {
    const struct weir_netpol *p;
    struct weir_snapshot *s =
        policy("{podSelector: {matchExpressions: [{key: a, operator: DoesNotExist}], "
               "matchLabels: {b: c, d: e}}}",
               &p);

    assert_int_equal(p->pods.n_terms, 3);
    assert_string_equal(p->pods.terms[0].key, "a");
    assert_string_equal(p->pods.terms[2].values[0], "e");
    weir_snapshot_unref(s);
}

static void ports_have_ranges_names_and_defaults(void **state) {
    const struct weir_netpol *p;
    struct weir_snapshot *s =
        policy("{egress: [{to: [], ports: [{}, {protocol: UDP, port: 53}, {port: http}, "
               "{port: 100, endPort: 200}]}]}",
               &p);
    const struct weir_netpol_rule *rule = &p->egress_rules[0];

    assert_int_equal(rule->n_peers, 0);
    assert_int_equal(rule->n_ports, 4);
    assert_int_equal(rule->ports[0].proto, WEIR_PROTO_TCP);
    assert_int_equal(rule->ports[0].first, 0);
    assert_int_equal(rule->ports[0].last, 65535);
    assert_string_equal(rule->ports[0].name, "");
    assert_int_equal(rule->ports[1].proto, WEIR_PROTO_UDP);
    assert_int_equal(rule->ports[1].first, 53);
    assert_int_equal(rule->ports[1].last, 53);
    assert_string_equal(rule->ports[2].name, "http");
    assert_int_equal(rule->ports[3].first, 100);
    assert_int_equal(rule->ports[3].last, 200);
    weir_snapshot_unref(s);
}

static void blocks_are_masked(void **state) {
    const struct weir_netpol *p;
    struct weir_snapshot *s =
        policy("{ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8, except: [10.2.3.4/16]}}]}]}", &p);
    const struct weir_netpol_peer *peer = &p->ingress_rules[0].peers[0];
    char buf[46];

    assert_true(peer->is_block);
    assert_string_equal(weir_ip_format(&peer->block.ip, buf, sizeof(buf)), "10.0.0.0");
    assert_int_equal(peer->block.prefix, 104);
    assert_int_equal(peer->n_except, 1);
    assert_string_equal(weir_ip_format(&peer->except[0].ip, buf, sizeof(buf)), "10.2.0.0");
    weir_snapshot_unref(s);
}

static void a_doubtful_policy_is_refused_not_widened(void **state) {
    conf_refused(NETPOL("{ingress: [{from: [{namespaceSelector: null}]}]}"),
                 "t:4:26: error: spec.ingress[0].from[0]: a peer needs podSelector, "
                 "namespaceSelector or ipBlock (null "
                 "is not a selector; {} selects everything)\n");
    conf_refused(NETPOL("{ingress: [null]}"),
                 "t:4:18: error: spec.ingress[0]: an element of a list may not be null\n");
    conf_refused(
        NETPOL("{ingress: [{form: []}], egress: [{from: []}]}"),
        "t:4:19: error: spec.ingress[0].form: unknown field \"form\"; did you mean \"from\"?\n"
        "t:4:41: error: spec.egress[0].from: unknown field \"from\"\n");
    conf_refused(
        NETPOL("{ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}"),
        "t:4:26: error: spec.ingress[0].from[0]: ipBlock may not stand beside podSelector or "
        "namespaceSelector\n");
    conf_refused(
        NETPOL("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}"),
        "t:4:55: error: spec.ingress[0].from[0].ipBlock.except: every range must lie strictly "
        "within cidr\n");
    conf_refused(
        NETPOL("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}"),
        "t:4:55: error: spec.ingress[0].from[0].ipBlock.except: every range must lie strictly "
        "within cidr\n");
    conf_refused(NETPOL("{ingress: [{from: [{ipBlock: {except: [10.0.0.0/8]}}]}]}"),
                 "t:4:36: error: spec.ingress[0].from[0].ipBlock.cidr: required, but not given\n");
    conf_refused(
        NETPOL("{ingress: [{ports: [{port: 80, protocol: SCTP}, {port: 90, endPort: 80}, {endPort: "
               "5}, "
               "{port: http, endPort: 7}]}]}"),
        "t:4:48: error: spec.ingress[0].ports[0].protocol: SCTP is not supported by this version\n"
        "t:4:66: error: spec.ingress[0].ports[1].endPort: less than port\n"
        "t:4:81: error: spec.ingress[0].ports[2].endPort: needs a port that is a number\n"
        "t:4:107: error: spec.ingress[0].ports[3].endPort: needs a port that is a number\n");
    conf_refused(NETPOL("{policyTypes: [ingress]}"),
                 "t:4:22: error: spec.policyTypes[0]: unknown value \"ingress\"; expected Ingress "
                 "or Egress\n");
    conf_refused(
        NETPOL("{podSelector: {matchExpressions: [{key: a, operator: In}, {key: b, operator: "
               "Exists, values: "
               "[c]}, {operator: Is}]}}"),
        "t:4:41: error: spec.podSelector.matchExpressions[0].values: required with In and NotIn\n"
        "t:4:92: error: spec.podSelector.matchExpressions[1].values: not allowed with Exists and "
        "DoesNotExist\n"
        "t:4:106: error: spec.podSelector.matchExpressions[2].key: required, but not given\n"
        "t:4:117: error: spec.podSelector.matchExpressions[2].operator: unknown value \"Is\"; "
        "expected In, "
        "NotIn, Exists or DoesNotExist\n");
    conf_refused(NETPOL("{podSelector: {app: x}}"),
                 "t:4:22: error: spec.podSelector.app: unknown field \"app\"\n");
}

static void peer_authentication_is_decoded(void **state) {
    struct weir_snapshot *s =
        conf_build(PEERAUTH("{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, "
                            "portLevelMtls: {8080: {mode: DISABLE}, "
                            "\"90\": {}}}"));
    const struct weir_peer_auth *auth = &s->peer_auths[0];

    assert_true(auth->pods.given);
    assert_int_equal(auth->mode, WEIR_MTLS_STRICT);
    assert_int_equal(auth->n_ports, 2);
    assert_int_equal(auth->ports[0].port, 8080);
    assert_int_equal(auth->ports[0].mode, WEIR_MTLS_DISABLE);
    assert_int_equal(auth->ports[1].mode, WEIR_MTLS_UNSET);
    weir_snapshot_unref(s);
}

static void an_empty_peer_authentication_is_of_the_whole_namespace(void **state) {
    struct weir_snapshot *s = conf_build(PEERAUTH("{selector: {matchLabels: {}}}"));

    assert_false(s->peer_auths[0].pods.given);
    assert_int_equal(s->peer_auths[0].mode, WEIR_MTLS_UNSET);
    weir_snapshot_unref(s);
}

static void a_wrong_peer_authentication_is_refused(void **state) {
    conf_refused(PEERAUTH("{mtls: {mode: strict}, portLevelMtls: {http: {mode: STRICT}}}"),
                 "t:4:21: error: spec.mtls.mode: unknown value \"strict\"; expected UNSET, "
                 "DISABLE, PERMISSIVE or "
                 "STRICT\n"
                 "t:4:30: error: spec.portLevelMtls: needs a selector with matchLabels\n"
                 "t:4:46: error: spec.portLevelMtls.http: \"http\" is not a port number\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_types_default_as_documented),
        cmocka_unit_test(an_absent_selector_differs_from_an_empty_one),
        cmocka_unit_test(labels_and_expressions_add_up),
        cmocka_unit_test(ports_have_ranges_names_and_defaults),
        cmocka_unit_test(blocks_are_masked),
        cmocka_unit_test(a_doubtful_policy_is_refused_not_widened),
        cmocka_unit_test(peer_authentication_is_decoded),
        cmocka_unit_test(an_empty_peer_authentication_is_of_the_whole_namespace),
        cmocka_unit_test(a_wrong_peer_authentication_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
