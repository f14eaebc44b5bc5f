/* SPDX-License-Identifier: Apache-2.0 */
#include "route/authz.h"

#include "weir_test.h"

static const char cluster[] =
    "apiVersion: v1\nkind: Namespace\n"
    "metadata: {name: front, labels: {team: web}}\n---\n"
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: api, namespace: back, labels: {app: api}}\n"
    "spec: {serviceAccountName: api, containers: [{name: c, ports: [{name: http, containerPort: "
    "8080},"
    " {name: dns, containerPort: 53, protocol: UDP}]}]}\n"
    "status: {podIP: 10.0.0.1}\n---\n"
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: web, namespace: front, labels: {app: web}}\n"
    "spec: {serviceAccountName: web}\nstatus: {podIP: 10.0.0.2}\n---\n"
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: job, namespace: back, labels: {app: job}}\n"
    "spec: {serviceAccountName: job}\nstatus: {podIP: 10.0.0.3}\n---\n"
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: intruder, namespace: other, labels: {app: web}}\n"
    "spec: {serviceAccountName: intruder}\nstatus: {podIP: 10.0.0.4}\n---\n"
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: host, namespace: back, labels: {app: job}}\n"
    "spec: {serviceAccountName: host, hostNetwork: true}\nstatus: {podIP: 10.9.9.9}\n---\n";

static const char web_only[] =
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
    "metadata: {name: web-only, namespace: back}\n"
    "spec:\n  podSelector: {matchLabels: {app: api}}\n  policyTypes: [Ingress]\n"
    "  ingress:\n"
    "  - from:\n    - namespaceSelector: {matchLabels: {team: web}}\n"
    "      podSelector: {matchLabels: {app: web}}\n"
    "    ports: [{port: http}]\n---\n";

static const char job_and_block[] =
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
    "metadata: {name: job, namespace: back}\n"
    "spec:\n  podSelector: {}\n  policyTypes: [Ingress]\n"
    "  ingress:\n"
    "  - from: [{podSelector: {matchLabels: {app: job}}}]\n"
    "    ports: [{port: 9000, endPort: 9010}, {protocol: UDP, port: 7}]\n"
    "  - from: [{ipBlock: {cidr: 192.168.0.0/16, except: [192.168.9.0/24]}}]\n---\n";

static const char deny_all[] = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
                               "metadata: {name: deny, namespace: back}\n"
                               "spec: {podSelector: {}, policyTypes: [Ingress]}\n---\n";

static const char other_namespace[] = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
                                      "metadata: {name: deny, namespace: front}\n"
                                      "spec: {podSelector: {}, policyTypes: [Ingress]}\n---\n";

static const char egress_only[] = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
                                  "metadata: {name: out, namespace: back}\n"
                                  "spec: {podSelector: {}, policyTypes: [Egress]}\n---\n";

struct world {
    struct weir_snapshot *snapshot;
    struct weir_authz *authz;
};

static struct world world_new(const char *first, const char *second) {
    struct weir_source sources[3] = { { "cluster", cluster, strlen(cluster) },
                                      { "first", first, strlen(first) },
                                      { "second", second, strlen(second) } };
    struct weir_problems problems = { 0 };
    struct world w = { 0 };
    int r = weir_snapshot_build(sources, 3, &w.snapshot, &problems);

    if (r)
        fail_msg("%s: %s", problems.n ? problems.items[0].field : "?",
                 problems.n ? problems.items[0].message : "?");
    weir_problems_deinit(&problems);
    r = weir_authz_new(w.snapshot, weir_snapshot_pod(w.snapshot, "back", "api"), &w.authz);
    assert_int_equal(r, 0);
    return w;
}

static void world_free(struct world *w) {
    assert_null(weir_authz_free(w->authz));
    weir_snapshot_unref(w->snapshot);
}

/* id: "namespace/account", or NULL for a flow without mTLS. Returns the policy, with '!' before it
 * when refused. */
static const char *asked(const struct world *w, const char *source, uint16_t port, const char *id) {
    static char text[128];
    struct weir_authz_flow flow = { .port = port, .proven = id != NULL };
    const char *policy = NULL;
    bool allowed;

    assert_int_equal(weir_parse_ip(source, &flow.source), 0);
    if (id) {
        flow.account = weir_slice_from_str(id);
        assert_true(weir_slice_split(&flow.account, '/', &flow.ns));
    }
    allowed = weir_authz_allows(w->authz, &flow, &policy);
    assert_true(allowed == weir_authz_allows(w->authz, &flow, NULL));
    snprintf(text, sizeof(text), "%s%s", allowed ? "" : "!", policy);
    return text;
}

static void without_a_selecting_policy_everything_is_allowed(void **state) {
    struct world w = world_new(other_namespace, egress_only);

    assert_string_equal(asked(&w, "10.0.0.4", 8080, NULL), "");
    assert_string_equal(asked(&w, "8.8.8.8", 1, "x/y"), "");
    world_free(&w);
}

static void a_policy_without_rules_refuses_everybody_else(void **state) {
    struct world w = world_new(deny_all, "");

    assert_string_equal(asked(&w, "10.0.0.2", 8080, "front/web"), "!back/deny");
    assert_string_equal(asked(&w, "10.0.0.2", 8080, NULL), "!back/deny");
    assert_string_equal(asked(&w, "8.8.8.8", 8080, NULL), "!back/deny");
    world_free(&w);
}

static void a_pod_can_always_reach_itself(void **state) {
    struct world w = world_new(deny_all, "");

    assert_string_equal(asked(&w, "10.0.0.1", 8080, "back/api"), "");
    assert_string_equal(asked(&w, "127.0.0.7", 8080, NULL), "");
    assert_string_equal(asked(&w, "::1", 8080, NULL), "");
    world_free(&w);
}

static void a_selected_peer_with_its_own_identity_is_allowed_on_the_ports_named(void **state) {
    struct world w = world_new(web_only, "");

    assert_string_equal(asked(&w, "10.0.0.2", 8080, "front/web"), "back/web-only");
    assert_string_equal(asked(&w, "10.0.0.2", 8080, NULL), "back/web-only");
    assert_string_equal(asked(&w, "10.0.0.2", 8081, "front/web"), "!back/web-only");
    assert_string_equal(asked(&w, "10.0.0.3", 8080, "back/job"), "!back/web-only");
    assert_string_equal(asked(&w, "10.0.0.4", 8080, "other/intruder"), "!back/web-only");
    world_free(&w);
}

static void a_certificate_of_somebody_else_is_refused(void **state) {
    struct world w = world_new(web_only, "");

    assert_string_equal(asked(&w, "10.0.0.4", 8080, "front/web"), "!back/web-only");
    assert_string_equal(asked(&w, "10.0.0.2", 8080, "other/intruder"), "!back/web-only");
    assert_string_equal(asked(&w, "10.0.0.2", 8080, "front/we"), "!back/web-only");
    assert_string_equal(asked(&w, "10.0.0.2", 8080, "front/webb"), "!back/web-only");
    world_free(&w);
}

static void from_an_address_that_is_no_pod_the_certificate_speaks(void **state) {
    struct world w = world_new(web_only, job_and_block);

    assert_string_equal(asked(&w, "172.16.0.1", 8080, "front/web"), "back/web-only");
    assert_string_equal(asked(&w, "172.16.0.1", 8080, "other/intruder"), "!back/job");
    assert_string_equal(asked(&w, "172.16.0.1", 8080, NULL), "!back/job");
    assert_string_equal(asked(&w, "10.9.9.9", 9005, "back/job"), "back/job");
    assert_string_equal(asked(&w, "10.9.9.9", 9005, NULL), "!back/job");
    world_free(&w);
}

static void policies_add_up(void **state) {
    struct world w = world_new(web_only, job_and_block);

    assert_string_equal(asked(&w, "10.0.0.2", 8080, "front/web"), "back/web-only");
    assert_string_equal(asked(&w, "10.0.0.3", 9000, "back/job"), "back/job");
    assert_string_equal(asked(&w, "10.0.0.3", 9010, "back/job"), "back/job");
    assert_string_equal(asked(&w, "10.0.0.3", 9011, "back/job"), "!back/job");
    assert_string_equal(asked(&w, "10.0.0.3", 7, "back/job"), "!back/job");
    world_free(&w);
}

static void blocks_are_about_addresses(void **state) {
    struct world w = world_new(job_and_block, "");

    assert_string_equal(asked(&w, "192.168.1.1", 1, NULL), "back/job");
    assert_string_equal(asked(&w, "192.168.1.1", 1, "who/ever"), "back/job");
    assert_string_equal(asked(&w, "192.168.9.1", 1, NULL), "!back/job");
    assert_string_equal(asked(&w, "192.169.0.1", 1, NULL), "!back/job");
    assert_string_equal(asked(&w, "c0a8::1", 1, NULL), "!back/job");
    world_free(&w);
}

static int build_one(void *arg) {
    struct world *w = arg;
    struct weir_authz *a = NULL;
    int r = weir_authz_new(w->snapshot, weir_snapshot_pod(w->snapshot, "back", "api"), &a);

    weir_authz_free(a);
    return r;
}

static void survives_every_failing_allocation(void **state) {
    struct world w = world_new(web_only, job_and_block);

    assert_int_not_equal(weir_test_sweep(build_one, &w, 0), 0);
    world_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_selecting_policy_everything_is_allowed),
        cmocka_unit_test(a_policy_without_rules_refuses_everybody_else),
        cmocka_unit_test(a_pod_can_always_reach_itself),
        cmocka_unit_test(a_selected_peer_with_its_own_identity_is_allowed_on_the_ports_named),
        cmocka_unit_test(a_certificate_of_somebody_else_is_refused),
        cmocka_unit_test(from_an_address_that_is_no_pod_the_certificate_speaks),
        cmocka_unit_test(policies_add_up),
        cmocka_unit_test(blocks_are_about_addresses),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
