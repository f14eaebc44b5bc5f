/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#define EGRESS(spec)                                                                               \
    "apiVersion: weir.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: out, namespace: shop}\n"  \
    "spec: " spec "\n"

static void all_of_it_is_read(void **state) {
    struct weir_snapshot *s = conf_build(EGRESS(
        "{podSelector: {matchLabels: {app: web}}, dnsServers: [10.96.0.10, \"10.96.0.11:5353\", "
        "\"fd00::a\", \"[fd00::b]:5353\"], egress: [{names: [api.example.com, \"*.example.org\"], "
        "ports: [{port: 443}, {protocol: UDP, port: 443}, {port: 8000, endPort: 8100}]}, {names: "
        "[x-1.example.net]}]}"));
    const struct weir_egress_policy *p = &s->egress_policies[0];

    assert_int_equal(s->n_egress_policies, 1);
    assert_string_equal(p->meta.namespace_, "shop");
    assert_true(p->pods.given && p->pods.n_terms == 1 && !p->audit);
    assert_int_equal(p->n_servers, 4);
    assert_int_equal(p->servers[0].port, 53);
    assert_int_equal(p->servers[1].port, 5353);
    assert_int_equal(p->servers[2].port, 53);
    assert_int_equal(p->servers[3].port, 5353);
    assert_int_equal(p->servers[2].ip.b[15], 0x0a);
    assert_int_equal(p->n_rules, 2);
    assert_int_equal(p->rules[0].n_names, 2);
    assert_string_equal(p->rules[0].names[1], "*.example.org");
    assert_int_equal(p->rules[0].n_ports, 3);
    assert_int_equal(p->rules[0].ports[0].proto, WEIR_PROTO_TCP);
    assert_int_equal(p->rules[0].ports[1].proto, WEIR_PROTO_UDP);
    assert_int_equal(p->rules[0].ports[2].first, 8000);
    assert_int_equal(p->rules[0].ports[2].last, 8100);
    assert_int_equal(p->rules[1].n_ports, 0);
    weir_snapshot_unref(s);
}

static void what_is_absent_has_the_meaning_of_a_network_policy(void **state) {
    struct weir_snapshot *s = conf_build(EGRESS("{}"));
    const struct weir_egress_policy *p = &s->egress_policies[0];

    assert_true(p->pods.given && p->pods.n_terms == 0); /* every pod of its namespace */
    assert_int_equal(p->n_rules, 0);                    /* which may call nothing */
    assert_int_equal(p->n_servers, 0);
    weir_snapshot_unref(s);
}

static void audit_is_an_annotation(void **state) {
    struct weir_snapshot *s = conf_build(
        "apiVersion: weir.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: out, annotations: "
        "{weir.dev/audit: \"true\"}}\nspec: {}\n");

    assert_true(s->egress_policies[0].audit);
    weir_snapshot_unref(s);
}

static void what_is_wrong_is_said_with_its_place(void **state) {
    static const struct {
        const char *spec, *field, *message;
    } cases[] = {
        { "{egress: [{names: [Example.com]}]}", "spec.egress[0].names[0]", "in lower case" },
        { "{egress: [{names: [example.com.]}]}", "spec.egress[0].names[0]",
          "without a dot at the end" },
        { "{egress: [{names: [10.1.2.3]}]}", "spec.egress[0].names[0]", "ipBlock" },
        { "{egress: [{names: [\"*\"]}]}", "spec.egress[0].names[0]", "is not a name" },
        { "{egress: [{names: [\"a.*.com\"]}]}", "spec.egress[0].names[0]", "is not a name" },
        { "{egress: [{names: [\"\"]}]}", "spec.egress[0].names[0]", "is not a name" },
        { "{egress: [{names: [7]}]}", "spec.egress[0].names[0]", "" },
        { "{egress: [{names: []}]}", "spec.egress[0].names", "at least one name" },
        { "{egress: [{ports: [{port: 443}]}]}", "spec.egress[0].names", "at least one name" },
        { "{egress: [{names: [a.io], ports: [{port: https}]}]}", "spec.egress[0].ports[0].port",
          "must be a number" },
        { "{egress: [{names: [a.io], ports: [{port: 9, endPort: 8}]}]}",
          "spec.egress[0].ports[0].endPort", "" },
        { "{egress: [{names: [a.io], ports: [{protocol: SCTP, port: 1}]}]}",
          "spec.egress[0].ports[0].protocol", "SCTP" },
        { "{dnsServers: [127.0.0.53]}", "spec.dnsServers[0]", "is the pod itself" },
        { "{dnsServers: [\"::1\"]}", "spec.dnsServers[0]", "is the pod itself" },
        { "{dnsServers: [\"10.0.0.1:0\"]}", "spec.dnsServers[0]", "is not a server" },
        { "{dnsServers: [\":53\"]}", "spec.dnsServers[0]", "is not a server" },
        { "{dnsServers: [dns.example.com]}", "spec.dnsServers[0]", "is not a server" },
        { "{egres: []}", "spec.egres", "egress" },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        char text[512], *report;

        snprintf(text, sizeof(text), EGRESS("%s"), cases[i].spec);
        assert_null(conf_try(text, &report));
        if (!strstr(report, "t:4:") || !strstr(report, cases[i].field) ||
            !strstr(report, cases[i].message))
            fail_msg("%s\nexpected %s: %s\ngot      %s", cases[i].spec, cases[i].field,
                     cases[i].message, report);
        free(report);
    }
}

static void a_name_is_as_long_as_the_kernel_takes(void **state) {
    char name[WEIR_EGRESS_NAME_MAX + 8], text[1024], *report;
    struct weir_snapshot *s;

    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 50 == 49 ? '.' : 'a';
    name[WEIR_EGRESS_NAME_MAX] = '\0';
    snprintf(text, sizeof(text), EGRESS("{egress: [{names: [%s]}]}"), name);
    s = conf_build(text);
    assert_string_equal(s->egress_policies[0].rules[0].names[0], name);
    weir_snapshot_unref(s);
    name[WEIR_EGRESS_NAME_MAX] = 'a';
    name[WEIR_EGRESS_NAME_MAX + 1] = '\0';
    snprintf(text, sizeof(text), EGRESS("{egress: [{names: [%s]}]}"), name);
    assert_null(conf_try(text, &report));
    assert_non_null(strstr(report, "is not a name"));
    free(report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_read),
        cmocka_unit_test(what_is_absent_has_the_meaning_of_a_network_policy),
        cmocka_unit_test(audit_is_an_annotation),
        cmocka_unit_test(what_is_wrong_is_said_with_its_place),
        cmocka_unit_test(a_name_is_as_long_as_the_kernel_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
