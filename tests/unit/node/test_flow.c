/* SPDX-License-Identifier: Apache-2.0 */
#include "node/flow.h"
#include "weir/abi/revoke.h"

#include "kern/plan.h"
#include "weir_test.h"

#define TIME_US 1767323045000678ULL /* 2026-01-02T03:04:05.000678Z */

static const char cluster[] =
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: web, namespace: front, annotations: {weir.dev/cgroup: t/web}}\n"
    "spec: {serviceAccountName: web}\nstatus: {podIP: 10.0.0.1}\n---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {name: api, namespace: back}\n"
    "spec: {serviceAccountName: api}\nstatus: {podIP: 10.0.0.2}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: back}\n"
    "spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n---\n"
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: "
    "front}\n"
    "spec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n";

static struct weir_snapshot *snapshot;
static struct weir_mapset *installed;

static int setup(void **state) {
    struct weir_source source = { "cluster", cluster, sizeof(cluster) - 1 };
    struct weir_problems problems = { 0 };
    struct weir_plan_report report;
    struct weir_plan_pod pod = { .netns = 1, .cgroup = 2 };
    struct weir_plan_input input = { .pods = &pod, .n_pods = 1 };
    int r = weir_snapshot_build(&source, 1, &snapshot, &problems);

    weir_problems_deinit(&problems);
    if (r)
        return -1;
    pod.pod = weir_snapshot_pod(snapshot, "front", "web");
    input.snapshot = snapshot;
    return weir_plan_build(&input, &installed, &report);
}

static int teardown(void **state) {
    weir_mapset_free(installed);
    weir_snapshot_unref(snapshot);
    return 0;
}

static struct weir_addr addr(const char *text) {
    struct weir_addr a = { 0 };
    struct weir_ip ip;

    if (text[0]) {
        assert_int_equal(weir_parse_ip(text, &ip), 0);
        memcpy(&a, &ip, sizeof(a));
    }
    return a;
}

static void assert_line(const struct weir_event *e, enum weir_flow_format format,
                        const char *want) {
    const struct weir_flow_names names = { snapshot, installed };
    struct weir_textbuf t = { 0 };

    weir_flow_write(&t, format, e, &names, TIME_US);
    weir_assert_slice(weir_slice_make(t.ptr, t.len), want);
    weir_textbuf_deinit(&t);
}

static struct weir_event event(uint8_t kind, uint8_t direction, uint8_t reason) {
    return (struct weir_event){ .kind = kind,
                                .direction = direction,
                                .reason = reason,
                                .proto = WEIR_IPPROTO_TCP,
                                .pod = weir_plan_id(installed, WEIR_NAME_POD, "front/web") };
}

static void a_refused_arrival_names_both_pods_and_the_policy(void **state) {
    struct weir_event e = event(WEIR_EVENT_DENY, WEIR_INGRESS, WEIR_DENY_INGRESS);

    e.local = e.original = addr("10.0.0.1");
    e.local_port = e.original_port = 80;
    e.remote = addr("10.0.0.2");
    e.remote_port = 4444;
    e.policy = weir_plan_id(installed, WEIR_NAME_POLICY, "front/deny");
    assert_int_not_equal(e.policy, 0);
    assert_line(&e, WEIR_FLOW_TEXT,
                "2026-01-02T03:04:05.000678Z event=deny verdict=deny direction=ingress "
                "reason=deny_ingress policy=front/deny protocol=tcp source=back/api "
                "source_ip=10.0.0.2 source_port=4444 destination=front/web "
                "destination_ip=10.0.0.1 destination_port=80\n");
    assert_line(
        &e, WEIR_FLOW_JSON,
        "{\"time\":\"2026-01-02T03:04:05.000678Z\",\"event\":\"deny\",\"verdict\":\"deny\","
        "\"direction\":\"ingress\",\"reason\":\"deny_ingress\",\"policy\":\"front/deny\","
        "\"protocol\":\"tcp\",\"source\":\"back/api\",\"source_ip\":\"10.0.0.2\","
        "\"source_port\":4444,\"destination\":\"front/web\",\"destination_ip\":\"10.0.0.1\","
        "\"destination_port\":80}\n");
}

static void a_connect_refused_by_the_other_sides_policy_still_comes_from_here(void **state) {
    struct weir_event e = event(WEIR_EVENT_DENY, WEIR_INGRESS, WEIR_DENY_INGRESS);

    e.cookie = 9;
    e.remote = addr("10.0.0.2");
    e.remote_port = 8080;
    e.original = addr("10.96.0.1");
    e.original_port = 80;
    e.service = weir_plan_id(installed, WEIR_NAME_SERVICE, "back/api");
    assert_line(&e, WEIR_FLOW_TEXT,
                "2026-01-02T03:04:05.000678Z event=deny verdict=deny direction=ingress "
                "reason=deny_ingress protocol=tcp source=front/web source_ip=10.0.0.1 "
                "destination=back/api destination_ip=10.0.0.2 destination_port=8080 "
                "original_ip=10.96.0.1 original_port=80 service=back/api\n");
}

static void a_close_says_how_much_and_how_long(void **state) {
    struct weir_event e = event(WEIR_EVENT_CLOSE, WEIR_EGRESS, WEIR_ALLOW_DIRECT);

    e.local = addr("10.0.0.1");
    e.local_port = 5000;
    e.remote = e.original = addr("8.8.8.8");
    e.remote_port = e.original_port = 53;
    e.proto = WEIR_IPPROTO_UDP;
    e.bytes_in = 10;
    e.bytes_out = 20;
    e.duration_ns = 3000999;
    e.srtt_us = 7;
    e.flags = WEIR_FLOW_STEERED | WEIR_FLOW_FAILED;
    assert_line(&e, WEIR_FLOW_TEXT,
                "2026-01-02T03:04:05.000678Z event=close verdict=allow direction=egress "
                "reason=allow_direct protocol=udp source=front/web source_ip=10.0.0.1 "
                "source_port=5000 destination_ip=8.8.8.8 destination_port=53 steered=yes "
                "established=no bytes_in=10 bytes_out=20 duration_us=3000 srtt_us=7 "
                "retransmits=0\n");
}

static uint32_t identity_of(const char *ip) {
    const struct weir_addr at = addr(ip);
    const struct weir_ip_value *v = weir_mapset_get(installed, WEIR_MAP_IP, &at);

    assert_non_null(v);
    return v->identity;
}

static void both_identities_are_told_on_the_side_they_are_on(void **state) {
    static const uint8_t directions[] = { WEIR_EGRESS, WEIR_INGRESS };
    const struct weir_flow_names names = { snapshot, installed };
    struct weir_event e = event(WEIR_EVENT_OPEN, WEIR_EGRESS, WEIR_ALLOW_DIRECT);
    char web[512], api[512];

    e.local = addr("10.0.0.1");
    e.remote = e.original = addr("10.0.0.2");
    e.identity = identity_of("10.0.0.1");
    e.peer_identity = identity_of("10.0.0.2");
    assert_int_not_equal(e.identity, e.peer_identity);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(directions); i++) {
        bool caller = directions[i] == WEIR_EGRESS;
        struct weir_textbuf t = { 0 };

        snprintf(web, sizeof(web), " %s_identity=%s ", caller ? "source" : "destination",
                 weir_plan_name(installed, WEIR_NAME_IDENTITY, e.identity));
        snprintf(api, sizeof(api), " %s_identity=%s", caller ? "destination" : "source",
                 weir_plan_name(installed, WEIR_NAME_IDENTITY, e.peer_identity));
        e.direction = directions[i];
        e.flags = WEIR_FLOW_STEERED; /* so that something follows */
        weir_flow_write(&t, WEIR_FLOW_TEXT, &e, &names, TIME_US);
        weir_textbuf_add(&t, "", 1);
        assert_non_null(strstr(t.ptr, web));
        assert_non_null(strstr(t.ptr, api));
        weir_textbuf_deinit(&t);
    }
}

static void a_reset_names_the_caller_whichever_end_was_reset(void **state) {
    struct weir_event e = event(WEIR_EVENT_REVOKE, WEIR_INGRESS, WEIR_DENY_INGRESS);

    e.cookie = 9;
    e.local = e.original = addr("10.0.0.1");
    e.local_port = e.original_port = 80;
    e.remote = addr("10.0.0.2");
    e.remote_port = 4444;
    e.policy = weir_plan_id(installed, WEIR_NAME_POLICY, "front/deny");
    assert_line(&e, WEIR_FLOW_TEXT,
                "2026-01-02T03:04:05.000678Z event=revoke verdict=deny direction=ingress "
                "reason=deny_ingress policy=front/deny protocol=tcp source=back/api "
                "source_ip=10.0.0.2 source_port=4444 destination=front/web "
                "destination_ip=10.0.0.1 destination_port=80\n");
    e.direction = WEIR_EGRESS;
    e.remote_port = 8080;
    e.local_port = 5000;
    e.original = addr("10.96.0.1");
    e.reason = WEIR_DENY_ENDPOINT_GONE;
    e.policy = 0;
    assert_line(&e, WEIR_FLOW_TEXT,
                "2026-01-02T03:04:05.000678Z event=revoke verdict=deny direction=egress "
                "reason=deny_endpoint_gone protocol=tcp source=front/web source_ip=10.0.0.1 "
                "source_port=5000 destination=back/api destination_ip=10.0.0.2 "
                "destination_port=8080 original_ip=10.96.0.1 original_port=80\n");
}

static void verdicts_tell_audit_from_denial(void **state) {
    struct weir_event e = event(WEIR_EVENT_DENY, WEIR_EGRESS, WEIR_ALLOW_AUDIT);

    assert_string_equal(weir_flow_verdict(&e), "audit");
    e.reason = WEIR_DENY_EGRESS;
    assert_string_equal(weir_flow_verdict(&e), "deny");
    e.kind = WEIR_EVENT_OPEN;
    assert_string_equal(weir_flow_verdict(&e), "allow");
    e.kind = WEIR_EVENT_LISTEN;
    assert_string_equal(weir_flow_verdict(&e), "none");
    e.kind = 200;
    assert_string_equal(weir_flow_verdict(&e), "none");
}

static void an_exchange_has_its_line_and_the_flows_addresses(void **state) {
    const struct weir_flow_names names = { snapshot, installed };
    struct weir_http_event e = { .flow = { .cookie = 5,
                                           .local = addr("10.0.0.1"),
                                           .remote = addr("10.0.0.2"),
                                           .original = addr("10.96.0.1"),
                                           .local_port = 40000,
                                           .remote_port = 8080,
                                           .original_port = 80,
                                           .direction = WEIR_EGRESS },
                                 .exchange = { .began_ns = 1000,
                                               .answered_ns = 43000,
                                               .status = 200,
                                               .version = 1,
                                               .n_method = 3,
                                               .n_path = 7,
                                               .method = "GET",
                                               .path = "/a\x80\"b\x1b\n" } };
    struct weir_textbuf t = { 0 };

    e.flow.pod = weir_plan_id(installed, WEIR_NAME_POD, "front/web");
    e.flow.service = weir_plan_id(installed, WEIR_NAME_SERVICE, "back/api");
    weir_flow_write_http(&t, WEIR_FLOW_TEXT, &e, &names, TIME_US);
    weir_assert_slice(
        weir_slice_make(t.ptr, t.len),
        "2026-01-02T03:04:05.000678Z event=http direction=egress source=front/web "
        "source_ip=10.0.0.1 "
        "source_port=40000 destination=back/api destination_ip=10.0.0.2 destination_port=8080 "
        "original_ip=10.96.0.1 original_port=80 service=back/api method=GET path=/a%80\"b%1B%0A "
        "http=1.1 status=200 latency_us=42\n");
    t.len = 0;
    e.flow.cookie = 0;
    e.exchange.status = 0;
    e.exchange.flags = WEIR_HTTP_IS_CUT | WEIR_HTTP_IS_TLS;
    weir_flow_write_http(&t, WEIR_FLOW_JSON, &e, &names, TIME_US);
    weir_assert_slice(
        weir_slice_make(t.ptr, t.len),
        "{\"time\":\"2026-01-02T03:04:05.000678Z\",\"event\":\"http\",\"pod\":\"front/web\","
        "\"addresses\":\"unknown\",\"service\":\"back/api\",\"method\":\"GET\",\"path\":\"/"
        "a%80\\\"b%1B%0A\","
        "\"path_cut\":\"yes\",\"http\":\"1.1\",\"answered\":\"no\",\"latency_us\":42,\"tls\":"
        "\"yes\"}\n");
    weir_textbuf_deinit(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exchange_has_its_line_and_the_flows_addresses),
        cmocka_unit_test(a_refused_arrival_names_both_pods_and_the_policy),
        cmocka_unit_test(a_connect_refused_by_the_other_sides_policy_still_comes_from_here),
        cmocka_unit_test(a_close_says_how_much_and_how_long),
        cmocka_unit_test(both_identities_are_told_on_the_side_they_are_on),
        cmocka_unit_test(a_reset_names_the_caller_whichever_end_was_reset),
        cmocka_unit_test(verdicts_tell_audit_from_denial),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
