/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NetworkPolicy compiled to rule blocks and decided by the kernel's own matcher, against a reference that reads
 * the API's documentation one sentence after the other and shares no code with the compiler.
 */
#include "random.h"

/* --- the reference --- */

static const char *ref_label(const struct weir_meta *m, const char *key) {
    for (uint32_t i = 0; i < m->n_labels; i++)
        if (strcmp(m->labels[i].key, key) == 0)
            return m->labels[i].value;
    return NULL;
}

static bool ref_selector(const struct weir_selector *s, const struct weir_meta *m) {
    for (uint32_t i = 0; i < s->n_terms; i++) {
        const struct weir_selector_term *term = &s->terms[i];
        const char *value = ref_label(m, term->key);
        bool among = false;

        for (uint32_t k = 0; value && k < term->n_values; k++)
            among = among || strcmp(value, term->values[k]) == 0;
        if ((term->op == WEIR_OP_IN && !among) || (term->op == WEIR_OP_NOT_IN && among) ||
            (term->op == WEIR_OP_EXISTS && !value) || (term->op == WEIR_OP_NOT_EXISTS && value))
            return false;
    }
    return true;
}

static bool ref_cidr(const struct weir_cidr *c, const struct weir_ip *ip) {
    if (weir_ip_is_v4(ip) != (c->prefix >= 96 && weir_ip_is_v4(&c->ip)))
        return false;
    for (uint32_t i = 0; i < c->prefix; i++)
        if (((c->ip.b[i / 8] ^ ip->b[i / 8]) >> (7 - i % 8)) & 1)
            return false;
    return true;
}

/* One flow as one pod sees it. */
struct ref_flow {
    const struct weir_pod *pod, *peer; /* peer NULL: no pod has the address */
    struct weir_ip peer_ip;
    int direction;
    uint8_t proto;
    uint16_t port;
};

static bool ref_peer(const struct weir_netpol *policy, const struct weir_netpol_peer *peer,
                     const struct ref_flow *f) {
    if (peer->is_block) {
        if (!ref_cidr(&peer->block, &f->peer_ip))
            return false;
        for (uint32_t i = 0; i < peer->n_except; i++)
            if (ref_cidr(&peer->except[i], &f->peer_ip))
                return false;
        return true;
    }
    if (!f->peer)
        return false;
    if (peer->namespaces.given ? !ref_selector(&peer->namespaces, &f->peer->ns->meta)
                               : strcmp(policy->meta.namespace_, f->peer->meta.namespace_) != 0)
        return false;
    return !peer->pods.given || ref_selector(&peer->pods, &f->peer->meta);
}

static bool ref_port(const struct weir_netpol_port *port, const struct ref_flow *f) {
    const struct weir_pod *destination = f->direction == WEIR_INGRESS ? f->pod : f->peer;

    if (port->proto != f->proto)
        return false;
    if (port->name[0] == '\0')
        return f->port >= port->first && f->port <= port->last;
    for (uint32_t i = 0; destination && i < destination->n_ports; i++)
        if (strcmp(destination->ports[i].name, port->name) == 0 &&
            destination->ports[i].proto == f->proto)
            return destination->ports[i].port == f->port;
    return false;
}

static bool ref_rule(const struct weir_netpol *policy, const struct weir_netpol_rule *rule,
                     const struct ref_flow *f) {
    bool peer = rule->n_peers == 0, port = rule->n_ports == 0;

    for (uint32_t i = 0; i < rule->n_peers; i++)
        peer = peer || ref_peer(policy, &rule->peers[i], f);
    for (uint32_t i = 0; i < rule->n_ports; i++)
        port = port || ref_port(&rule->ports[i], f);
    return peer && port;
}

static bool ref_allows(const struct weir_snapshot *s, const struct ref_flow *f) {
    bool isolated = false, in = f->direction == WEIR_INGRESS;

    if (f->pod->host_network)
        return true;
    for (uint32_t i = 0; i < s->n_netpols; i++) {
        const struct weir_netpol *p = &s->netpols[i];

        if (!(in ? p->ingress : p->egress) ||
            strcmp(p->meta.namespace_, f->pod->meta.namespace_) != 0 ||
            !ref_selector(&p->pods, &f->pod->meta))
            continue;
        isolated = true;
        for (uint32_t r = 0; r < (in ? p->n_ingress_rules : p->n_egress_rules); r++)
            if (ref_rule(p, in ? &p->ingress_rules[r] : &p->egress_rules[r], f))
                return true;
    }
    return !isolated;
}

/* --- random clusters --- */

static void random_flow(uint64_t *seed, const struct weir_snapshot *s, struct ref_flow *f) {
    static const char *const outside[] = { "192.168.7.7", "8.8.8.8", "fd00::77", "10.0.1.250" };

    f->pod = &s->pods[rnd_below(seed, s->n_pods)];
    f->direction = (int)rnd_below(seed, 2);
    f->proto = rnd_below(seed, 3) ? WEIR_IPPROTO_TCP : WEIR_IPPROTO_UDP;
    f->port = (uint16_t)(79 + rnd_below(seed, 5));
    if (rnd_below(seed, 4)) {
        f->peer = &s->pods[rnd_below(seed, s->n_pods)];
        f->peer_ip = f->peer->ips[rnd_below(seed, f->peer->n_ips)];
        /* The host network is not a pod's: its address says nothing. */
        if (f->peer->host_network)
            f->peer = NULL;
    } else {
        f->peer = NULL;
        assert_int_equal(weir_parse_ip(outside[rnd_below(seed, 4)], &f->peer_ip), 0);
    }
}

static void compiled_policies_decide_as_the_reference_does(void **state) {
    unsigned denied = 0, total = 0;

    for (uint64_t cluster = 1; cluster <= 250; cluster++) {
        uint64_t seed = cluster;
        struct text *t = calloc(1, sizeof(*t));
        struct weir_snapshot *s;
        struct weir_mapset *set;

        put_pods(t, &seed, 4 + rnd_below(&seed, 8));
        put_policies(t, &seed, 1 + rnd_below(&seed, 6));
        s = snapshot_of(t->bytes);
        set = plan_of(s, NULL, NULL);
        for (int i = 0; i < 200; i++) {
            struct weir_policy_answer answer;
            struct ref_flow f;
            bool want;

            random_flow(&seed, s, &f);
            want = ref_allows(s, &f);
            answer = answer_of(set, pod_id(set, f.pod), f.direction, &f.peer_ip, f.proto, f.port);
            if (answer.verdict != (want ? WEIR_VERDICT_ALLOW : WEIR_VERDICT_DENY))
                fail_msg(
                    "cluster %u flow %d: %s %s/%s peer %s proto %u port %u: %u, reference %d\n%s",
                    (unsigned)cluster, i, f.direction ? "egress of" : "ingress of",
                    f.pod->meta.namespace_, f.pod->meta.name,
                    f.peer ? f.peer->meta.name : "outside", f.proto, f.port, answer.verdict, want,
                    t->bytes);
            denied += !want;
            total++;
        }
        weir_mapset_free(set);
        weir_snapshot_unref(s);
        free(t);
    }
    assert_in_range(denied, total / 10, total - total / 10);
}

static void a_denial_names_a_policy_that_isolates_the_pod(void **state) {
    struct weir_snapshot *s = snapshot_of(
        "apiVersion: v1\nkind: Pod\n"
        "metadata: {name: a, namespace: n, annotations: {weir.dev/cgroup: t/a}}\n"
        "status: {podIP: 10.0.0.1}\n---\n"
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: "
        "n}\n"
        "spec: {podSelector: {}, policyTypes: [Ingress]}\n---\n"
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: "
        "n}\n"
        "spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: 80}]}]}\n");
    struct weir_mapset *set = plan_of(s, NULL, NULL);
    struct weir_policy_answer answer;
    struct weir_ip peer;

    assert_int_equal(weir_parse_ip("1.2.3.4", &peer), 0);
    answer = answer_of(set, pod_id(set, &s->pods[0]), WEIR_INGRESS, &peer, 6, 81);
    assert_int_equal(answer.verdict, WEIR_VERDICT_DENY);
    assert_string_equal(weir_plan_name(set, WEIR_NAME_POLICY, answer.policy), "n/deny");
    answer = answer_of(set, pod_id(set, &s->pods[0]), WEIR_INGRESS, &peer, 6, 80);
    assert_int_equal(answer.verdict, WEIR_VERDICT_ALLOW);
    assert_string_equal(weir_plan_name(set, WEIR_NAME_POLICY, answer.policy), "n/web");
    answer = answer_of(set, pod_id(set, &s->pods[0]), WEIR_EGRESS, &peer, 6, 81);
    assert_int_equal(answer.verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(answer.policy, 0);
    weir_mapset_free(set);
    weir_snapshot_unref(s);
}

/* n different ports in one rule. */
static struct weir_snapshot *many_rules(unsigned n) {
    struct text *t = calloc(1, sizeof(*t));
    struct weir_snapshot *s;

    put(t,
        "apiVersion: v1\nkind: Pod\n"
        "metadata: {name: a, namespace: n, annotations: {weir.dev/cgroup: t/a}}\n"
        "status: {podIP: 10.0.0.1}\n---\n"
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: n}\n"
        "spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [");
    for (unsigned i = 0; i < n; i++)
        put(t, "{port: %u},", 1000 + 2 * i);
    put(t, "]}]}\n");
    s = snapshot_of(t->bytes);
    free(t);
    return s;
}

static void a_chain_of_blocks_holds_512_rules_and_one_more_is_a_denial(void **state) {
    struct weir_plan_report report;
    struct weir_snapshot *s = many_rules(512);
    struct weir_mapset *set = plan_of(s, NULL, &report);
    struct weir_ip peer;

    assert_int_equal(weir_parse_ip("1.2.3.4", &peer), 0);
    assert_null(report.too_many_rules);
    assert_int_equal(report.n_rules, 512);
    for (uint16_t i = 0; i < 512; i++) {
        uint16_t port = (uint16_t)(1000 + 2 * i);

        assert_int_equal(answer_of(set, 1, WEIR_INGRESS, &peer, 6, port).verdict,
                         WEIR_VERDICT_ALLOW);
        assert_int_equal(answer_of(set, 1, WEIR_INGRESS, &peer, 6, port + 1).verdict,
                         WEIR_VERDICT_DENY);
    }
    weir_mapset_free(set);
    weir_snapshot_unref(s);
    s = many_rules(513);
    set = plan_of(s, NULL, &report);
    assert_ptr_equal(report.too_many_rules, &s->pods[0]);
    assert_int_equal(answer_of(set, 1, WEIR_INGRESS, &peer, 6, 1).verdict, WEIR_VERDICT_UNDECIDED);
    weir_mapset_free(set);
    weir_snapshot_unref(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compiled_policies_decide_as_the_reference_does),
        cmocka_unit_test(a_denial_names_a_policy_that_isolates_the_pod),
        cmocka_unit_test(a_chain_of_blocks_holds_512_rules_and_one_more_is_a_denial),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
