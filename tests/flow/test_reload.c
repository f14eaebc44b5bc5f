/* SPDX-License-Identifier: Apache-2.0 */
/* A new configuration in the middle of everything: what began under the old one ends well, what begins now obeys the new. */
#include "weir_test.h"

#include "core/conn.h"
#include "flow.h"
#include "h2peer.h"
#include "world.h"

#define BASE                                                                                       \
    PODS SERVICE("api", "10.96.0.10") SERVICE("one", "10.96.0.11") SERVICE("two", "10.96.0.12")    \
        SLICE("api", "10.1.0.2") SLICE("one", "10.1.0.2") SLICE("two", "10.1.0.3")
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static struct mem_conn *outbound(struct flow *f, const char *ip) {
    struct mem_conn *c = flow_client(f);

    mem_info(c)->has_original = true;
    weir_parse_ip(ip, &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

static struct mem_conn *inbound(struct flow *f, const char *source) {
    struct mem_conn *c = flow_client(f);

    weir_parse_ip(source, &mem_info(c)->remote);
    weir_parse_ip("10.1.0.2", &mem_info(c)->local);
    mem_info(c)->local_port = 8080;
    return c;
}

static const char *dialled(struct mem_conn *s) {
    static char text[64];

    return weir_ip_format(&mem_dial(s)->ip, text, sizeof(text));
}

/* The routes that chose the backend must live until the answer was changed by them, whatever came between. */
static void a_head_that_spans_a_reload_is_decided_by_one_configuration(void **state) {
    /* HEADERS without END_HEADERS, and the CONTINUATION that ends it: GET / http api */
    static const char begin[] = "\0\0\3\x01\x01\0\0\0\x01\x82\x84\x86";
    static const char rest[] = "\0\0\5\x09\x04\0\0\0\x01\x41\x03"
                               "api";
    struct flow f;
    struct h2_peer *c;
    struct h2_msg *m;
    struct mem_conn *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, BASE PROXY("web") ROUTE_TO("one"));
    c = h2_over(&f, outbound(&f, "10.96.0.10"), false, NULL);
    h2_raw(c, begin, sizeof(begin) - 1);
    flow_run(&f);
    flow_reload(&f, BASE PROXY("web") ROUTE_TO("two"));
    h2_raw(c, rest, sizeof(rest) - 1);
    s = flow_server(&f);
    assert_string_equal(dialled(s), "10.1.0.3");
    flow_reload(&f, BASE PROXY("web") ROUTE_TO("one"));
    /* Another request makes the connection forget the configuration in between. */
    nghttp2_session_set_next_stream_id(c->session, 3);
    m = h2_get(c, "/");
    flow_run(&f);
    flow_reload(&f, BASE PROXY("web") ROUTE_TO("one"));
    flow_send(&f, s, OK);
    s = flow_server(&f);
    assert_string_equal(dialled(s), "10.1.0.2");
    flow_send(&f, s, OK);
    assert_string_equal(h2_field(m, "x-route"), "one");
    flow_end(&f);
}

static void a_backend_new_in_the_reload_is_found_by_a_head_that_spans_it(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND,
               PODS SERVICE("api", "10.96.0.10") SLICE("api", "10.1.0.2") PROXY("web"));
    c = outbound(&f, "10.96.0.10");
    flow_send(&f, c, "GET / HTTP/1.1\r\nHo");
    flow_reload(&f, BASE PROXY("web") ROUTE_TO("two"));
    flow_send(&f, c, "st: api\r\n\r\n");
    s = flow_server(&f);
    assert_string_equal(dialled(s), "10.1.0.3");
    flow_send(&f, s, OK);
    flow_expect_holds(c, "x-route: two");
    flow_end(&f);
}

static void an_exchange_ends_though_its_service_is_gone(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, BASE PROXY("web"));
    c = outbound(&f, "10.96.0.12");
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: two\r\n\r\n");
    s = flow_server(&f);
    flow_reload(&f, PODS SERVICE("api", "10.96.0.10") SLICE("api", "10.1.0.2") PROXY("web"));
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    assert_true(mem_is_closed(s)); /* nobody will use it again */
    mem_received_clear(c);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: two\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 404 ");
    flow_end(&f);
}

static void clusters_that_come_and_go_leave_nothing_behind(void **state) {
    struct flow f;
    unsigned n = 0;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, BASE PROXY("web"));
    for (int i = 0; i < 50; i++) {
        char yaml[8192];
        struct mem_conn *c;

        snprintf(yaml, sizeof(yaml),
                 PODS "apiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: default}\n"
                      "spec: {clusterIP: 10.96.1.1, ports: [{name: http, port: 80}]}\n---\n"
                      "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s%d, "
                      "namespace: default, labels: {kubernetes.io/service-name: s%d}}\n"
                      "addressType: IPv4\nports: [{name: http, port: 8080}]\n"
                      "endpoints: [{addresses: [10.1.0.2]}]\n---\n" PROXY("web"),
                 i, i, i);
        flow_reload(&f, yaml);
        c = outbound(&f, "10.96.1.1");
        flow_send(&f, c, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
        flow_send(&f, flow_server(&f), OK);
        assert_string_equal(mem_received(c), OK);
    }
    flow_reload(&f, BASE PROXY("web"));
    flow_reload(&f, BASE PROXY("web"));
    WEIR_LIST_FOREACH (it, &f.worker.all_targets)
        n++;
    assert_int_equal(n, f.worker.epoch->rt->n_clusters);
    flow_end(&f);
}

static void an_endpoint_that_left_is_not_called_again(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, BASE PROXY("web"));
    c = outbound(&f, "10.96.0.12");
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: two\r\n\r\n");
    s = flow_server(&f);
    flow_send(&f, s, OK);
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 1);
    flow_reload(&f, PODS SERVICE("two", "10.96.0.12") SLICE("two", "10.1.0.2") PROXY("web"));
    assert_true(mem_is_closed(s));
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 0);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: two\r\n\r\n");
    assert_string_equal(dialled(flow_server(&f)), "10.1.0.2");
    flow_end(&f);
}

static void strict_holds_for_connections_that_were_there_before(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, BASE PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    s = flow_server(&f);
    flow_send(&f, s, OK);
    mem_received_clear(c);
    flow_reload(&f, BASE PROXY("v1") STRICT);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 403 ");
    flow_expect_holds(c, "x-weir-reason: identity");
    flow_end(&f);
}

static void a_policy_holds_for_connections_that_were_there_before(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, BASE PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    s = flow_server(&f);
    flow_send(&f, s, OK);
    mem_received_clear(c);
    flow_reload(&f, BASE PROXY("v1") ONLY_V2);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 403 ");
    assert_int_equal(flow_count(&f, WEIR_C_IDENTITY_REFUSED), 0); /* no certificate was looked at */
    flow_end(&f);
}

static void limits_of_the_new_configuration_hold_at_once(void **state) {
    struct flow f;
    struct mem_conn *c, *d;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, BASE PROXY("web"));
    c = outbound(&f, "10.96.0.10");
    flow_run(&f);
    flow_reload(&f, BASE "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec: "
                         "{pod: default/web, limits: {connections: 1}}\n");
    d = outbound(&f, "10.96.0.10");
    flow_run(&f);
    assert_false(mem_is_closed(c));
    assert_true(mem_is_closed(d));
    flow_end(&f);
}

static void the_newest_of_many_offers_is_taken(void **state) {
    struct flow f;
    uint64_t last;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, BASE PROXY("web"));
    for (int i = 0; i < 5; i++)
        weir_worker_offer(&f.worker, flow_runtime(&f, BASE PROXY("web")));
    last = f.generation;
    mem_post(f.net);
    flow_run(&f);
    assert_int_equal(f.worker.epoch->rt->snapshot->generation, last);
    assert_null(atomic_load(&f.worker.offered));
    flow_end(&f);
}

static void an_offer_nobody_took_is_freed(void **state) {
    struct flow f;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, BASE PROXY("web"));
    weir_worker_offer(&f.worker, flow_runtime(&f, BASE PROXY("web")));
    flow_end(&f); /* a leak is LeakSanitizer's to find */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_that_spans_a_reload_is_decided_by_one_configuration),
        cmocka_unit_test(a_backend_new_in_the_reload_is_found_by_a_head_that_spans_it),
        cmocka_unit_test(an_exchange_ends_though_its_service_is_gone),
        cmocka_unit_test(clusters_that_come_and_go_leave_nothing_behind),
        cmocka_unit_test(an_endpoint_that_left_is_not_called_again),
        cmocka_unit_test(strict_holds_for_connections_that_were_there_before),
        cmocka_unit_test(a_policy_holds_for_connections_that_were_there_before),
        cmocka_unit_test(limits_of_the_new_configuration_hold_at_once),
        cmocka_unit_test(the_newest_of_many_offers_is_taken),
        cmocka_unit_test(an_offer_nobody_took_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
