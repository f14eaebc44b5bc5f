/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AuthorizationPolicy in its two compiled forms, the kernel's rules and the sidecar's table: over random policies and callers they never
 * contradict each other. What the kernel decides by itself the sidecar would decide as well, whatever certificate or request came; what it
 * leaves to the sidecar and cannot go there is refused.
 */
#include "route/rbac.h"

#include "cluster.h"

static uint64_t seed;

static uint32_t below(uint32_t n) {
    return rnd_below(&seed, n);
}

#define POD(name, ns, ip, more)                                                                    \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: " ns ", labels: {app: " name \
    "}" more "}\nspec: {serviceAccountName: " name "}\nstatus: {podIP: " ip "}\n---\n"
#define HERE ", annotations: {weir.dev/cgroup: /a, weir.dev/netns: /n}"
#define POLICY(name, meta, spec)                                                                   \
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {namespace: back, "    \
    "name: " name meta "}\nspec: " spec "\n---\n"

static const char cluster[] =
    POD("api", "back", "10.0.0.1", HERE) POD("web", "front", "10.0.0.2", "")
        POD("job", "back", "10.0.0.3",
            "") "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: back}\nspec: "
                "{clusterIP: 10.96.0.1, selector: "
                "{app: api}, ports: [{name: tcp, port: 80, targetPort: 8080}]}\n---\n";

struct world {
    struct weir_snapshot *snapshot;
    struct weir_mapset *set;
    struct weir_plan_report report;
    const struct weir_pod *api;
    uint32_t id;
};

static struct world world_new(const char *policies) {
    struct weir_source sources[2] = { { "cluster", cluster, strlen(cluster) },
                                      { "policies", policies, strlen(policies) } };
    struct weir_problems problems = { 0 };
    struct world w = { 0 };

    if (weir_snapshot_build(sources, 2, &w.snapshot, &problems))
        fail_msg("%s: %s\n%s", problems.n ? problems.items[0].field : "?",
                 problems.n ? problems.items[0].message : "?", policies);
    weir_problems_deinit(&problems);
    w.set = plan_of(w.snapshot, NULL, &w.report);
    w.api = weir_snapshot_pod(w.snapshot, "back", "api");
    w.id = pod_id(w.set, w.api);
    return w;
}

static void world_free(struct world *w) {
    weir_mapset_free(w->set);
    weir_snapshot_unref(w->snapshot);
}

static struct weir_policy_answer kernel(const struct world *w, const char *source, uint16_t port) {
    struct weir_ip ip;

    assert_int_equal(weir_parse_ip(source, &ip), 0);
    return answer_of(w->set, w->id, WEIR_AUTHZ, &ip, WEIR_IPPROTO_TCP, port);
}

static void ports_and_addresses_are_the_kernels_to_decide(void **state) {
    struct world w = world_new(POLICY("a", "",
                                      "{rules: [{from: [{source: {ipBlocks: [10.0.0.0/30, "
                                      "'fd00::/8'], notIpBlocks: [10.0.0.3]}}], to: [{operation: "
                                      "{ports: ['80', '81', '90']}}]}]}"));

    assert_int_equal(kernel(&w, "10.0.0.2", 80).verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(kernel(&w, "10.0.0.2", 81).verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(kernel(&w, "fd00::1", 90).verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(kernel(&w, "10.0.0.2", 82).verdict, WEIR_VERDICT_DENY);
    assert_int_equal(kernel(&w, "10.0.0.3", 80).verdict, WEIR_VERDICT_DENY);
    assert_int_equal(kernel(&w, "10.0.0.9", 80).verdict, WEIR_VERDICT_DENY);
    world_free(&w);
    w = world_new(
        POLICY("d", "", "{action: DENY, rules: [{from: [{source: {notIpBlocks: [0.0.0.0/0]}}]}]}"));
    assert_int_equal(kernel(&w, "10.0.0.2", 80).verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(kernel(&w, "fd00::1", 80).verdict, WEIR_VERDICT_DENY);
    world_free(&w);
}

static void a_principal_is_let_into_the_sidecar_alone(void **state) {
    struct world w = world_new(POLICY(
        "p", "", "{rules: [{from: [{source: {principals: [cluster.local/ns/front/sa/web]}}]}]}"));

    assert_int_equal(kernel(&w, "10.0.0.2", 80).verdict, WEIR_VERDICT_PROXY);
    assert_int_equal(kernel(&w, "172.16.0.1", 80).verdict,
                     WEIR_VERDICT_PROXY); /* may yet be proven */
    assert_int_equal(kernel(&w, "10.0.0.3", 80).verdict, WEIR_VERDICT_DENY);
    world_free(&w);
    w = world_new(POLICY("n", "", "{rules: [{from: [{source: {namespaces: [front]}}]}]}"));
    assert_int_equal(kernel(&w, "10.0.0.2", 80).verdict, WEIR_VERDICT_ALLOW);
    assert_int_equal(kernel(&w, "10.0.0.3", 80).verdict, WEIR_VERDICT_DENY);
    assert_int_equal(kernel(&w, "172.16.0.1", 80).verdict, WEIR_VERDICT_PROXY);
    world_free(&w);
}

static void a_service_as_target_closes_its_own_ports_only(void **state) {
    struct world w =
        world_new(POLICY("s", "", "{targetRefs: [{group: '', kind: Service, name: api}]}"));

    assert_int_equal(kernel(&w, "10.0.0.2", 8080).verdict, WEIR_VERDICT_DENY);
    assert_int_equal(kernel(&w, "10.0.0.2", 8081).verdict, WEIR_VERDICT_ALLOW);
    world_free(&w);
}

static void audit_mode_and_action_audit_only_tell(void **state) {
    struct world w = world_new(
        POLICY("a", ", annotations: {weir.dev/audit: 'true'}",
               "{rules: [{from: [{source: {ipBlocks: [10.0.0.2]}}]}]}")
            POLICY("n", "", "{action: AUDIT, rules: [{to: [{operation: {ports: ['80']}}]}]}"));
    struct weir_policy_answer a = kernel(&w, "10.0.0.3", 80);

    assert_int_equal(a.verdict, WEIR_VERDICT_ALLOW);
    assert_string_equal(weir_plan_name(w.set, WEIR_NAME_POLICY, a.audited), "back/a");
    assert_string_equal(weir_plan_name(w.set, WEIR_NAME_POLICY, a.noted), "back/n");
    a = kernel(&w, "10.0.0.2", 81);
    assert_int_equal(a.audited, 0);
    assert_int_equal(a.noted, 0);
    world_free(&w);
}

/* --- random policies --- */

static const char *const lists[][4] = {
    { "namespaces: [front]", "namespaces: ['*']", "notNamespaces: [front]",
      "notNamespaces: [back]" },
    { "principals: ['*/sa/web']", "principals: ['*']", "notPrincipals: ['*/sa/job']",
      "serviceAccounts: [front/web]" },
    { "ipBlocks: [10.0.0.0/30]", "ipBlocks: [10.0.0.2, 172.16.0.0/12]", "notIpBlocks: [10.0.0.3]",
      "remoteIpBlocks: [0.0.0.0/0]" },
};
static const char *const operations[] = {
    "ports: ['8080']",   "notPorts: ['8080']",
    "methods: [GET]",    "paths: ['/a*'], ports: ['8080', '9']",
    "notMethods: [PUT]",
};
static const char *const conditions[] = {
    "key: source.ip, notValues: [10.0.0.2]",          "key: destination.port, values: ['8080']",
    "key: 'request.headers[x-a]', values: ['*']",     "key: source.namespace, values: [front]",
    "key: destination.ip, values: [10.0.0.1]",        "key: destination.ip, notValues: [10.0.0.1]",
    "key: source.principal, notValues: ['*/sa/web']",
};

static void put_source(FILE *f) {
    uint32_t a = below(3), b = below(3), i = below(4);

    fprintf(f, "from: [{source: {%s", lists[a][i]);
    /* Accounts stand alone. */
    if (b != a && !(a == 1 && i == 3))
        fprintf(f, ", %s", lists[b][below(3)]);
    fprintf(f, "}}]");
}

static char *random_policies(void) {
    static const char *const actions[] = { "ALLOW", "DENY", "ALLOW", "DENY", "AUDIT" };
    uint32_t n = 1 + below(3);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    for (uint32_t i = 0; i < n; i++) {
        fprintf(f,
                "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: "
                "{namespace: back, name: p%u, "
                "annotations: {weir.dev/audit: '%s'}}\nspec: {action: %s, %srules: [",
                i, below(5) ? "false" : "true", actions[below(5)],
                below(4) ? "" : "targetRefs: [{group: '', kind: Service, name: api}], ");
        for (uint32_t k = below(3); k > 0; k--) {
            const char *sep = "";

            fprintf(f, "{");
            if (below(2)) {
                put_source(f);
                sep = ", ";
            }
            if (below(2)) {
                fprintf(f, "%sto: [{operation: {%s}}]", sep, operations[below(5)]);
                sep = ", ";
            }
            if (below(3) == 0)
                fprintf(f, "%swhen: [{%s}]", sep, conditions[below(7)]);
            fprintf(f, "}%s", k > 1 ? ", " : "");
        }
        fprintf(f, "]}\n---\n");
    }
    fclose(f);
    return text;
}

struct sidecar {
    struct weir_rbac *rbac;
    struct weir_arena arena;
};

/* cert: 0 none, 1 the caller's own, if it is a pod. request: 0 none. */
static struct weir_rbac_answer asked(struct sidecar *s, const struct world *w, const char *source,
                                     uint16_t port, bool cert, unsigned request) {
    static const char *const methods[] = { "GET", "PUT" };
    struct weir_rbac_flow f = { .port = port };
    struct weir_rbac_answer a = { true, "", "", "" };
    const struct weir_pod *pod;
    struct weir_head head;

    assert_int_equal(weir_parse_ip(source, &f.source), 0);
    f.client = f.source;
    f.destination = w->api->ips[0];
    pod = weir_snapshot_pod_by_ip(w->snapshot, &f.source);
    if (cert && pod) {
        f.proven = true;
        f.domain = WEIR_SLICE("cluster.local");
        f.ns = weir_slice_from_str(pod->meta.namespace_);
        f.account = weir_slice_from_str(pod->service_account);
    }
    if (request) {
        weir_head_init(&head, &s->arena);
        head.method_name = weir_slice_from_str(methods[request & 1]);
        head.target = request & 2 ? WEIR_SLICE("/a") : WEIR_SLICE("/b");
        head.authority = WEIR_SLICE("api");
        if (request & 4)
            weir_head_add(&head, WEIR_SLICE("x-a"), WEIR_SLICE("1"));
    }
    if (s->rbac)
        weir_rbac_decide(s->rbac, &f, request ? &head : NULL, &a);
    return a;
}

static void the_kernel_and_the_sidecar_do_not_contradict_each_other(void **state) {
    static const char *const sources[] = { "10.0.0.2", "10.0.0.3", "10.0.0.9", "172.16.0.1" };
    static const uint16_t ports[] = { 8080, 9, 7 };
    unsigned seen[4] = { 0 }, stricter = 0, told = 0;

    seed = 20261121;
    for (unsigned round = 0; round < 1500; round++) {
        char *text = random_policies();
        struct world w = world_new(text);
        struct weir_rbac_place place = { w.snapshot, w.api, NULL };
        struct sidecar s = { 0 };

        weir_arena_init(&s.arena, 1024);
        assert_int_equal(weir_rbac_new(&place, &s.rbac), 0);
        for (unsigned i = 0; i < 12; i++) {
            const char *source = sources[i % 4];
            uint16_t port = ports[i / 4];
            struct weir_policy_answer k = kernel(&w, source, port);
            struct weir_rbac_answer plain = asked(&s, &w, source, port, false, 0);

            seen[k.verdict]++;
            if (k.verdict == WEIR_VERDICT_PROXY) {
                /* Refused where it does not enter a sidecar. So it is as plain TCP, unless it is about who is no certain
                 * principal: what would need a proof is not given the benefit of the doubt. */
                stricter += plain.allowed;
                if (plain.allowed && !strstr(text, "rincipal") && !strstr(text, "serviceAccounts"))
                    fail_msg("%s:%u\n%s", source, port, text);
                continue;
            }
            if (plain.allowed != (k.verdict == WEIR_VERDICT_ALLOW))
                fail_msg("plain %s:%u: kernel %u\n%s", source, port, k.verdict, text);
            for (unsigned request = 0; request < 16; request++)
                if (asked(&s, &w, source, port, request & 8, request & 7).allowed != plain.allowed)
                    fail_msg("%s:%u request %u: kernel %u\n%s", source, port, request, k.verdict,
                             text);
            if (k.verdict == WEIR_VERDICT_ALLOW && k.audited && !plain.would_deny[0])
                fail_msg("audit %s:%u\n%s", source, port, text);
            told += k.audited != 0;
        }
        weir_rbac_free(s.rbac);
        weir_arena_deinit(&s.arena);
        world_free(&w);
        free(text);
    }
    assert_true(seen[WEIR_VERDICT_ALLOW] > 2000 && seen[WEIR_VERDICT_DENY] > 2000 &&
                seen[WEIR_VERDICT_PROXY] > 1000 && stricter > 10 && told > 100);
}

/* Ten thousand policies for one pod: as many rules as different ports, and every member says whose it is. */
static void many_policies_become_few_rules(void **state) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    struct weir_policy_answer a;
    struct world w;

    for (unsigned i = 0; i < 2000; i++)
        fprintf(f,
                "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: "
                "{namespace: back, name: p%u}\nspec: "
                "{rules: [{from: [{source: {ipBlocks: [10.%u.%u.0/24]}}], to: [{operation: {ports: "
                "['%u']}}]}]}\n---\n",
                i, 1 + i / 250, i % 250, 8000 + i % 3);
    fclose(f);
    w = world_new(text);
    free(text);
    assert_null(w.report.too_many_rules);
    assert_true(w.report.n_rules < 8);
    a = kernel(&w, "10.1.7.7", 8001);
    assert_int_equal(a.verdict, WEIR_VERDICT_ALLOW);
    assert_string_equal(weir_plan_name(w.set, WEIR_NAME_POLICY, a.policy), "back/p7");
    assert_int_equal(kernel(&w, "10.1.7.7", 8002).verdict, WEIR_VERDICT_DENY);
    assert_int_equal(kernel(&w, "10.9.7.7", 8001).verdict, WEIR_VERDICT_DENY);
    world_free(&w);
}

static void too_many_different_rules_are_said_with_their_place(void **state) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    struct weir_plan_report report = { 0 };
    struct weir_problems problems = { 0 };
    struct world w;

    for (unsigned i = 0; i < 600; i++)
        fprintf(f,
                "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: "
                "{namespace: back, name: p%u}\nspec: "
                "{rules: [{to: [{operation: {ports: ['%u']}}]}]}\n---\n",
                i, 1 + 2 * i);
    fclose(f);
    w = world_new(text);
    free(text);
    assert_int_equal(weir_plan_check(w.snapshot, WEIR_PLAN_HERE, &report), 0);
    assert_ptr_equal(report.too_many_rules, w.api);
    assert_int_equal(strncmp(report.too_many_at->name, "p", 1), 0);
    assert_true(report.too_many_at->place.line > 1000);
    assert_int_equal(weir_plan_fits(w.snapshot, WEIR_PLAN_HERE, &problems), WEIR_CONF_REFUSED);
    assert_int_equal(problems.n, 1);
    assert_int_equal(problems.items[0].place.line, report.too_many_at->place.line);
    assert_non_null(strstr(problems.items[0].message, "more than 512 rules"));
    weir_problems_deinit(&problems);
    world_free(&w);
}

/* Asking a server of the node's takes two rules more, wherever the check is made; and a Pod may have no place yet. */
static void rules_with_names_count_as_on_a_node_that_knows_a_server(void **state) {
    for (unsigned n = 510; n <= 511; n++) {
        struct weir_plan_report report = { 0 };
        struct weir_snapshot *s;
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        fprintf(f, "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {}\n"
                   "status: {podIP: 10.0.0.1}\n---\napiVersion: weir.dev/v1alpha1\n"
                   "kind: EgressPolicy\nmetadata: {name: out}\nspec: {egress: [");
        for (unsigned i = 0; i < n; i++)
            fprintf(f, "{names: [a.example.com], ports: [{port: %u}]},", 1 + 2 * i);
        fprintf(f, "]}\n");
        fclose(f);
        s = snapshot_of(text);
        free(text);
        assert_int_equal(weir_plan_check(s, WEIR_PLAN_ANYWHERE, &report), 0);
        assert_int_equal(report.too_many_rules != NULL, n + 2 > WEIR_PLAN_RULES);
        assert_int_equal(weir_plan_check(s, WEIR_PLAN_HERE, &report), 0);
        assert_null(report.too_many_rules);
        weir_snapshot_unref(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_and_addresses_are_the_kernels_to_decide),
        cmocka_unit_test(a_principal_is_let_into_the_sidecar_alone),
        cmocka_unit_test(a_service_as_target_closes_its_own_ports_only),
        cmocka_unit_test(audit_mode_and_action_audit_only_tell),
        cmocka_unit_test(the_kernel_and_the_sidecar_do_not_contradict_each_other),
        cmocka_unit_test(many_policies_become_few_rules),
        cmocka_unit_test(too_many_different_rules_are_said_with_their_place),
        cmocka_unit_test(rules_with_names_count_as_on_a_node_that_knows_a_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
