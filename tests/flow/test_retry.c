/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPRoute's retry: what is tried again, with what content, how often and until when. */
#include "weir_test.h"

#include "flow.h"

#define CONFIG(rule)                                                                               \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: default}\n"                       \
    "spec: {containers: [{name: c}]}\nstatus: {podIP: 10.1.0.1}\n---\n"                            \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\n"                            \
    "spec: {pod: default/web, limits: {pipeBytes: 16384}}\n---\n"                                  \
    "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: default}\n"                   \
    "spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}\n---\n"                        \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: api-1, namespace: "    \
    "default, labels: {kubernetes.io/service-name: api}}\naddressType: IPv4\n"                     \
    "ports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.1.0.2]}, {addresses: "         \
    "[10.1.0.3]}]\n---\n"                                                                          \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: api}\n"           \
    "spec:\n  parentRefs: [{kind: Service, group: \"\", name: api}]\n  rules:\n"                   \
    "  - backendRefs: [{name: api, port: 80}]\n    " rule "\n"
#define GET  "GET /a HTTP/1.1\r\nHost: api\r\n\r\n"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define BUSY "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
#define MS   1000

static struct mem_conn *client(struct flow *f, const char *config) {
    struct mem_conn *c;

    flow_start(f, WEIR_DIR_OUTBOUND, config);
    c = flow_client(f);
    mem_info(c)->has_original = true;
    weir_parse_ip("10.96.0.10", &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

static bool same_endpoint(struct mem_conn *a, struct mem_conn *b) {
    return memcmp(&mem_dial(a)->ip, &mem_dial(b)->ip, sizeof(struct weir_ip)) == 0;
}

static void wait_ms(struct flow *f, unsigned ms) {
    mem_advance(f->net, (uint64_t)ms * MS);
    mem_run(f->net);
}

static void a_listed_status_is_tried_again_elsewhere_after_the_backoff(void **state) {
    struct flow f;
    struct mem_conn *c = client(&f,
                                CONFIG("retry: {codes: [500, 503], attempts: 2, backoff: 400ms}")),
                    *s, *s2;

    flow_send(&f, c, "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\n\r\nhello");
    s = flow_server(&f);
    flow_expect_holds(s, "\r\n\r\nhello");
    flow_send(&f, s, BUSY);
    assert_null(mem_next_dial(f.net));
    wait_ms(&f, 300);
    assert_null(mem_next_dial(f.net));
    wait_ms(&f, 900);
    s2 = flow_server(&f);
    assert_false(same_endpoint(s, s2));
    flow_expect_starts(s2, "POST /a HTTP/1.1\r\n");
    flow_expect_holds(s2, "\r\n\r\nhello");
    flow_send(&f, s2, OK);
    assert_string_equal(mem_received(c), OK);
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 1);
    flow_end(&f);
}

static void other_statuses_and_the_last_answer_are_passed_on(void **state) {
    struct flow f;
    struct mem_conn *c = client(&f, CONFIG("retry: {codes: [503], backoff: 1ms}")), *s;

    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 500 No");
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 0);
    flow_end(&f);
    c = client(&f, CONFIG("retry: {codes: [503], backoff: 1ms}"));
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, BUSY);
    wait_ms(&f, 500);
    s = flow_server(&f);
    flow_send(&f, s, BUSY);
    flow_expect_starts(c, "HTTP/1.1 503 Busy");
    flow_expect_holds(c, "\r\n\r\nbusy");
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 1);
    flow_end(&f);
}

static void content_that_still_comes_reaches_the_next_attempt_whole(void **state) {
    struct flow f;
    struct mem_conn *c = client(&f, CONFIG("retry: {codes: [503], backoff: 400ms}")), *s;

    flow_send(&f, c,
              "POST /a HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    s = flow_server(&f);
    flow_send(&f, s, BUSY);
    flow_send(&f, c, "2\r\nde\r\n");
    wait_ms(&f, 900);
    s = flow_server(&f);
    flow_expect_holds(s, "abc");
    flow_expect_holds(s, "de\r\n");
    flow_send(&f, c, "1\r\nf\r\n0\r\n\r\n");
    flow_expect_holds(s, "1\r\nf\r\n0\r\n\r\n");
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    flow_end(&f);
}

static void content_that_was_too_much_to_keep_is_not_sent_again(void **state) {
    struct flow f;
    struct mem_conn *c = client(&f, CONFIG("retry: {codes: [503], backoff: 1ms}")), *s;
    static char body[40000];

    memset(body, 'x', sizeof(body));
    flow_send(&f, c, "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 40000\r\n\r\n");
    s = flow_server(&f);
    mem_send_bytes(c, body, sizeof(body));
    mem_run(f.net);
    flow_send(&f, s, BUSY);
    flow_expect_starts(c, "HTTP/1.1 503 Busy");
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 0);
    flow_end(&f);
}

static void a_reset_and_a_late_backend_are_tried_again(void **state) {
    struct flow f;
    struct mem_conn *c = client(&f, CONFIG("timeouts: {request: 10s, backendRequest: 1s}\n"
                                           "    retry: {attempts: 5, backoff: 10ms}")),
                    *s;

    flow_send(&f, c, "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 2\r\n\r\nab");
    s = flow_server(&f);
    mem_reset(s);
    wait_ms(&f, 500);
    s = flow_server(&f);
    flow_expect_holds(s, "\r\n\r\nab");
    wait_ms(&f, 1300); /* backendRequest of this attempt, then the backoff */
    s = flow_server(&f);
    flow_expect_holds(s, "\r\n\r\nab");
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 2);
    flow_end(&f);
}

static void the_request_timeout_bounds_all_attempts(void **state) {
    struct flow f;
    struct mem_conn *c = client(&f, CONFIG("timeouts: {request: 2s}\n"
                                           "    retry: {codes: [503], attempts: 9, backoff: 3s}")),
                    *s;

    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, BUSY); /* the backoff would end behind the timeout */
    flow_expect_starts(c, "HTTP/1.1 503 Busy");
    flow_end(&f);
    c = client(&f,
               CONFIG("timeouts: {request: 2s}\n    retry: {codes: [503], attempts: 9, backoff: "
                      "1s}"));
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, BUSY);
    wait_ms(&f, 1700);
    s = flow_server(&f);
    wait_ms(&f, 3000);
    flow_expect_starts(c, "HTTP/1.1 504 ");
    flow_end(&f);
}

static void a_client_that_leaves_during_the_backoff_leaves_nothing(void **state) {
    struct flow f;
    struct mem_conn *c = client(&f, CONFIG("retry: {codes: [503], backoff: 1s}")), *s;

    flow_send(&f, c, "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\n\r\nhe");
    s = flow_server(&f);
    flow_send(&f, s, BUSY);
    mem_close(c);
    mem_run(f.net);
    wait_ms(&f, 3000);
    assert_null(mem_next_dial(f.net));
    flow_end(&f);
}

static void the_budget_bounds_all_retries(void **state) {
    enum { N = 40 };
    struct flow f;
    struct mem_conn *c[N], *s[N];
    unsigned refused = 0;

    c[0] = client(&f, CONFIG("retry: {codes: [503], attempts: 100, backoff: 100ms}"));
    for (int i = 0; i < N; i++) {
        if (i > 0) {
            c[i] = flow_client(&f);
            *mem_info(c[i]) = *mem_info(c[0]);
        }
        flow_send(&f, c[i], GET);
        s[i] = flow_server(&f);
    }
    for (int i = 0; i < N; i++)
        flow_send(&f, s[i], BUSY);
    for (int i = 0; i < N; i++)
        refused += strncmp(mem_received(c[i]), "HTTP/1.1 503 Busy", 17) == 0;
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 10 + N / 5);
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES_DENIED), refused);
    assert_int_equal(refused, N - 10 - N / 5);
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listed_status_is_tried_again_elsewhere_after_the_backoff),
        cmocka_unit_test(other_statuses_and_the_last_answer_are_passed_on),
        cmocka_unit_test(content_that_still_comes_reaches_the_next_attempt_whole),
        cmocka_unit_test(content_that_was_too_much_to_keep_is_not_sent_again),
        cmocka_unit_test(a_reset_and_a_late_backend_are_tried_again),
        cmocka_unit_test(the_request_timeout_bounds_all_attempts),
        cmocka_unit_test(a_client_that_leaves_during_the_backoff_leaves_nothing),
        cmocka_unit_test(the_budget_bounds_all_retries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
