/* SPDX-License-Identifier: Apache-2.0 */
/* Which share of requests goes where, and what is answered for backends that are not there. */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"
#include "world.h"

#define ROUTE(kind, rule)                                                                          \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: " kind "\nmetadata: {name: r}\n"              \
    "spec:\n  parentRefs: [{kind: Service, group: \"\", name: api, port: 80}]\n"                   \
    "  rules: [" rule "]\n"
#define WORLD(kind, rule)                                                                          \
    PODS PROXY("web") SERVICE("api", "10.96.0.10") SLICE("api", "10.1.0.2")                        \
        SERVICE("empty", "10.96.0.11") ROUTE(kind, rule)

static struct mem_conn *client(struct flow *f) {
    struct mem_conn *c = flow_client(f);

    mem_info(c)->has_original = true;
    weir_parse_ip("10.96.0.10", &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

static void a_backend_that_is_not_there_is_500_for_its_share(void **state) {
    struct flow f;
    struct mem_conn *c, *s = NULL;
    unsigned served = 0, failed = 0;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND,
               WORLD("HTTPRoute", "{backendRefs: [{name: api, port: 80, weight: 3}, {name: gone, "
                                  "port: 80, weight: 1}]}"));
    c = client(&f);
    for (unsigned i = 0; i < 400; i++) {
        mem_received_clear(c);
        flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
        if (mem_received_len(c) > 0) {
            flow_expect_starts(c, "HTTP/1.1 500 ");
            flow_expect_holds(c, "x-weir-reason: no_backend");
            failed++;
            continue;
        }
        if (!s)
            s = flow_server(&f);
        flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        flow_expect_starts(c, "HTTP/1.1 200 ");
        served++;
    }
    assert_int_equal(served + failed, 400);
    assert_in_range(failed, 70, 130); /* a quarter; the generator's seed is fixed */
    flow_end(&f);
}

static void rules_that_lead_nowhere_are_500_and_503(void **state) {
    static const struct {
        const char *yaml, *answer;
    } cases[] = {
        { WORLD("HTTPRoute", "{backendRefs: [{name: api, port: 80, weight: 0}, {name: gone, port: "
                             "80, weight: 0}]}"),
          "HTTP/1.1 500 " },
        { WORLD("HTTPRoute", "{backendRefs: [{name: gone, port: 80}]}"), "HTTP/1.1 500 " },
        { WORLD("HTTPRoute", "{backendRefs: [{name: api, port: 81}]}"), "HTTP/1.1 500 " },
        { WORLD("HTTPRoute", "{backendRefs: [{name: api, namespace: other, port: 80}]}"),
          "HTTP/1.1 500 " },
        { WORLD("HTTPRoute", "{}"), "HTTP/1.1 500 " },
        { WORLD("HTTPRoute", "{backendRefs: [{name: empty, port: 80}]}"), "HTTP/1.1 503 " },
        { WORLD("HTTPRoute", "{matches: [{path: {value: /else}}]}"), "HTTP/1.1 404 " },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct flow f;
        struct mem_conn *c;

        flow_start(&f, WEIR_DIR_OUTBOUND, cases[i].yaml);
        c = client(&f);
        flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
        flow_expect_starts(c, cases[i].answer);
        assert_null(mem_next_dial(f.net));
        flow_end(&f);
    }
}

static void a_grpc_call_to_nowhere_is_unavailable(void **state) {
    static const char *const worlds[] = {
        WORLD("GRPCRoute", "{backendRefs: [{name: gone, port: 80}]}"),
        WORLD("GRPCRoute", "{backendRefs: [{name: empty, port: 80}]}"),
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(worlds); i++) {
        static const char *const fields[] = { "content-type", "application/grpc", "te", "trailers",
                                              NULL };
        struct flow f;
        struct h2_peer *p;
        struct h2_msg *m;

        flow_start(&f, WEIR_DIR_OUTBOUND, worlds[i]);
        p = h2_over(&f, client(&f), false, NULL);
        m = h2_ask(p, "POST", "/s.S/M", fields, true);
        flow_run(&f);
        assert_string_equal(h2_field(m, ":status"), "200");
        assert_string_equal(h2_field(m, "grpc-status"), "14");
        flow_end(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backend_that_is_not_there_is_500_for_its_share),
        cmocka_unit_test(rules_that_lead_nowhere_are_500_and_503),
        cmocka_unit_test(a_grpc_call_to_nowhere_is_unavailable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
