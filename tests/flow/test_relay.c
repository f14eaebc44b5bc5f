/* SPDX-License-Identifier: Apache-2.0 */
/* Connections a sidecar must not read: when they are taken for that, who may open them, how they end. */
#include "weir_test.h"

#include "base/mem.h"
#include "core/conn.h"
#include "flow.h"
#include "world.h"

#define TCP_WORLD                                                                                  \
    PODS SERVICE_OF("db", "10.96.0.20", "tcp-db") SLICE_OF("db", "10.1.0.2", "tcp-db")             \
        SLICE_OF("web", "10.1.0.1", "tcp-db")
#define HTTP_WORLD PODS SERVICE("api", "10.96.0.10") SLICE("api", "10.1.0.2")

/* A ClientHello without ALPN, as openssl s_client sends it, cut short behind its legal minimum. */
static const unsigned char hello[] = { 0x16, 0x03, 0x01, 0x00, 0x31, 0x01, 0x00, 0x00, 0x2d,
                                       0x03, 0x03, 1,    2,    3,    4,    5,    6,    7,
                                       8,    9,    10,   11,   12,   13,   14,   15,   16,
                                       17,   18,   19,   20,   21,   22,   23,   24,   25,
                                       26,   27,   28,   29,   30,   31,   32,   0x00, 0x00,
                                       0x02, 0x13, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00 };

static struct mem_conn *inbound(struct flow *f, const char *source) {
    struct mem_conn *c = flow_client(f);

    weir_parse_ip(source, &mem_info(c)->remote);
    weir_parse_ip("10.1.0.2", &mem_info(c)->local);
    mem_info(c)->local_port = 8080;
    return c;
}

static struct mem_conn *outbound(struct flow *f, const char *ip) {
    struct mem_conn *c = flow_client(f);

    mem_info(c)->has_original = true;
    weir_parse_ip(ip, &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

static void a_hello_in_two_pieces_is_waited_for(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    mem_send_bytes(c, hello, 20);
    flow_wait(&f, 500000); /* longer than a client that says nothing is waited for */
    assert_false(mem_is_closed(c));
    assert_null(mem_next_dial(f.net));
    mem_send_bytes(c, hello + 20, sizeof(hello) - 20);
    s = flow_server(&f);
    assert_int_equal(mem_received_len(s), sizeof(hello));
    assert_memory_equal(mem_received(s), hello, sizeof(hello));
    flow_end(&f);
}

static void a_hello_that_does_not_end_is_given_up(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    mem_send_bytes(c, hello, 20);
    flow_wait(&f, 2300000);
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

static void strict_passes_no_tls_of_the_application(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1") STRICT);
    c = inbound(&f, "10.1.0.1");
    mem_send_bytes(c, hello, sizeof(hello));
    flow_run(&f);
    assert_true(mem_is_closed(c));
    c = inbound(&f, "10.1.0.1"); /* nor one who says nothing; a ClientHello may be slow to come */
    flow_wait(&f, 300000);
    assert_false(mem_is_closed(c));
    flow_wait(&f, 10000000);
    assert_true(mem_is_closed(c));
    assert_null(mem_next_dial(f.net));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, IDENTITY)), 1);
    assert_int_equal(flow_count(&f, WEIR_C_TLS_FAILED), 0); /* there was no handshake */
    flow_end(&f);
}

static void policy_is_asked_before_a_relay(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1") ONLY_V2);
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "\x01\x02 bytes");
    assert_true(mem_is_closed(c));
    c = inbound(&f, "10.1.0.1");
    flow_wait(&f, 300000);
    assert_true(mem_is_closed(c));
    assert_null(mem_next_dial(f.net));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, DENIED)), 2);
    c = inbound(&f, "10.1.0.3");
    flow_send(&f, c, "\x01\x02 bytes");
    assert_non_null(flow_server(&f));
    flow_end(&f);
}

static void a_client_that_connects_early_is_still_routed(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, HTTP_WORLD PROXY("web"));
    c = outbound(&f, "10.96.0.10");
    flow_wait(&f, 1000000); /* a connection made ahead, as pools do */
    assert_null(mem_next_dial(f.net));
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    s = flow_server(&f);
    flow_expect_holds(s, "x-request-id: "); /* read, not relayed */
    flow_end(&f);
}

static void a_relay_counts_each_end_once(void **state) {
    static const int ends[] = { 0, 1, 2 };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(ends); i++) {
        struct flow f;
        struct mem_conn *c, *s;
        uint64_t faults = 0;

        flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1"));
        c = inbound(&f, "10.1.0.1");
        flow_send(&f, c, "\x01\x02 hello");
        s = flow_server(&f);
        flow_send(&f, s, "some of it");
        if (ends[i] == 0)
            mem_reset(s);
        else if (ends[i] == 1)
            mem_reset(c);
        else
            mem_shutdown(s);
        flow_run(&f);
        if (ends[i] == 2) {
            assert_true(mem_got_eof(c));
            mem_shutdown(c);
            flow_wait(&f, 2000000);
        }
        assert_true(mem_is_closed(c));
        assert_true(mem_is_closed(s));
        if (ends[i] == 0)
            assert_true(mem_got_reset(c)); /* or it would take what it has for all */
        if (ends[i] == 1)
            assert_true(mem_got_reset(s));
        for (int side = 0; side < 3; side++)
            for (int kind = 0; kind < WEIR_FAULT_KINDS; kind++)
                faults += flow_faults(&f, (struct weir_fault){ (uint8_t)side, (uint8_t)kind });
        assert_int_equal(faults, ends[i] == 2 ? 0 : 1);
        assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECT_FAILED), 0);
        assert_int_equal(flow_count(&f, WEIR_C_RELAYS), 1);
        flow_end(&f);
    }
}

static void a_client_that_leaves_a_dialling_relay_is_no_failed_dial(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "\x01\x02 hello");
    s = mem_next_dial(f.net);
    assert_non_null(s);
    mem_reset(c);
    flow_run(&f);
    assert_true(mem_is_closed(c));
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECT_FAILED), 0);
    assert_int_equal(mem_n_streams(f.net), 0);
    flow_end(&f);
}

static void a_refused_relay_counts_against_the_endpoint(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "\x01\x02 hello");
    s = mem_next_dial(f.net);
    mem_dial_refuse(s);
    flow_run(&f);
    assert_true(mem_is_closed(c));
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECT_FAILED), 1);
    assert_int_equal(flow_faults(&f, WEIR_FAULT(UPSTREAM, CONNECT_FAILED)), 1);
    flow_end(&f);
}

static void a_slow_end_slows_the_other(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    static char bytes[500000];

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1"));
    mem_buffer_size(f.net, 8192);
    c = inbound(&f, "10.1.0.1");
    bytes[0] = 1;
    mem_send_bytes(c, bytes, sizeof(bytes));
    flow_run(&f);
    assert_true(mem_unsent(c) > 400000); /* a pipe's worth waits for the dial */
    s = flow_server(&f);
    flow_run(&f);
    assert_int_equal(mem_received_len(s), sizeof(bytes));
    mem_received_clear(s);
    mem_hold(c, true);
    mem_send_bytes(s, bytes, sizeof(bytes));
    flow_run(&f);
    assert_true(mem_unsent(s) > 400000);
    for (int i = 0; i < 2000 && mem_received_len(c) < sizeof(bytes); i++) {
        mem_hold(c, i % 2);
        mem_turn(f.net);
    }
    mem_hold(c, false);
    flow_run(&f);
    assert_int_equal(mem_received_len(c), sizeof(bytes));
    flow_end(&f);
}

static void the_end_waits_for_the_last_bytes(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    static char bytes[100000];

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1"));
    mem_buffer_size(f.net, 8192);
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "\x01 hi");
    s = flow_server(&f);
    mem_hold(c, true);
    mem_send_bytes(s, bytes, 30000);
    mem_shutdown(s);
    mem_shutdown(c);
    flow_wait(&f, 5000000);
    assert_false(mem_is_closed(c));
    mem_hold(c, false);
    flow_wait(&f, 2000000);
    assert_int_equal(mem_received_len(c), 30000);
    assert_true(mem_got_eof(c));
    assert_true(mem_is_closed(c));
    assert_true(mem_is_closed(s));
    flow_end(&f);
}

static void a_relay_that_is_silent_for_an_hour_is_closed(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "\x01 hi");
    s = flow_server(&f);
    mem_advance(f.net, 3500ull * 1000000);
    assert_false(mem_is_closed(c));
    flow_send(&f, s, "x");
    mem_advance(f.net, 3500ull * 1000000);
    assert_false(mem_is_closed(c));
    mem_advance(f.net, 200ull * 1000000);
    assert_true(mem_is_closed(c));
    assert_true(mem_is_closed(s));
    flow_end(&f);
}

static void a_relay_ends_with_the_drain(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_INBOUND, TCP_WORLD PROXY("v1"));
    c = inbound(&f, "10.1.0.1");
    flow_send(&f, c, "\x01 hi");
    s = flow_server(&f);
    weir_worker_drain(&f.worker);
    flow_wait(&f, 20000000);
    assert_false(mem_is_closed(c)); /* it may finish */
    flow_wait(&f, 11000000);
    assert_true(mem_is_closed(c));
    assert_true(mem_is_closed(s));
    flow_end(&f);
}

#define THREE(policy)                                                                              \
    PODS SERVICE_OF("db", "10.96.0.20", "tcp-db")                                                  \
        SLICE_OF("db", "10.9.0.2, 10.9.0.3, 10.9.0.4", "tcp-db") policy

static void another_endpoint_is_tried_in_place_of_one_that_refuses(void **state) {
    struct flow f;
    struct mem_conn *c, *a, *b, *d;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, THREE("") PROXY("web"));
    c = outbound(&f, "10.96.0.20");
    flow_send(&f, c, "\x01hello");
    a = mem_next_dial(f.net);
    mem_dial_refuse(a);
    flow_run(&f);
    b = mem_next_dial(f.net);
    assert_non_null(b);
    mem_dial_refuse(b);
    d = flow_server(&f);
    assert_true(memcmp(&mem_dial(a)->ip, &mem_dial(b)->ip, 16) != 0);
    assert_true(memcmp(&mem_dial(a)->ip, &mem_dial(d)->ip, 16) != 0);
    assert_true(memcmp(&mem_dial(b)->ip, &mem_dial(d)->ip, 16) != 0);
    assert_string_equal(mem_received(d), "\x01hello");
    flow_send(&f, d, "bye");
    assert_string_equal(mem_received(c), "bye");
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 2);
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECT_FAILED), 2);
    assert_int_equal(flow_count(&f, WEIR_C_RELAYS), 1);
    flow_end(&f);
}

static void when_all_refuse_the_relay_is_reset_and_told_once(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, THREE("") PROXY("web"));
    c = outbound(&f, "10.96.0.20");
    flow_send(&f, c, "\x01hello");
    for (int i = 0; i < 3; i++) {
        mem_dial_refuse(mem_next_dial(f.net));
        flow_run(&f);
    }
    assert_null(mem_next_dial(f.net));
    assert_true(mem_got_reset(c));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(UPSTREAM, CONNECT_FAILED)), 1);
    flow_end(&f);
}

/* PROXY sets connectTimeout to 2 s: that is for all tries together. */
static void an_endpoint_that_drops_leaves_time_for_another(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, THREE("") PROXY("web"));
    c = outbound(&f, "10.96.0.20");
    flow_send(&f, c, "\x01hello");
    assert_non_null(mem_next_dial(f.net));
    flow_wait(&f, 1200000);
    s = flow_server(&f);
    assert_string_equal(mem_received(s), "\x01hello");
    flow_end(&f);
    flow_start(&f, WEIR_DIR_OUTBOUND, THREE("") PROXY("web"));
    c = outbound(&f, "10.96.0.20");
    flow_send(&f, c, "\x01hello");
    flow_wait(&f, 2400000);
    assert_true(mem_got_reset(c));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(UPSTREAM, TIMEOUT_CONNECT)), 1);
    flow_end(&f);
}

static void the_search_for_an_endpoint_survives_without_memory(void **state) {
    unsigned long n, met = 0;

    (void)state;
    for (n = 1; n < 200; n++) {
        struct flow f;
        struct mem_conn *s;
        bool failed;

        flow_start(&f, WEIR_DIR_OUTBOUND, THREE("") PROXY("web"));
        weir_mem_fail_at(n, false);
        mem_send(outbound(&f, "10.96.0.20"), "\x01hello");
        flow_run(&f);
        s = mem_next_dial(f.net);
        if (s)
            mem_dial_refuse(s);
        flow_run(&f);
        s = mem_next_dial(f.net);
        if (s)
            mem_dial_accept(s);
        flow_run(&f);
        failed = weir_mem_failed();
        weir_mem_fail_at(0, false);
        met += failed;
        flow_end(&f);
        if (!failed)
            break;
    }
    assert_true(met > 5);
}

static void a_relay_beyond_the_limit_of_connections_is_refused(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND,
               PODS SERVICE_OF("db", "10.96.0.20", "tcp-db") SLICE_OF("db", "10.9.0.2", "tcp-db")
                   PROXY("web") "apiVersion: weir.dev/v1alpha1\nkind: BackendPolicy\n"
                                "metadata: {name: b}\nspec: {targetRefs: [{kind: Service, name: "
                                "db}], connection: {maxConnections: 1}}\n");
    c = outbound(&f, "10.96.0.20");
    flow_send(&f, c, "\x01");
    flow_server(&f);
    c = outbound(&f, "10.96.0.20");
    flow_send(&f, c, "\x01");
    assert_true(mem_got_reset(c));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(UPSTREAM, LIMIT_CONNECTIONS)), 1);
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_in_two_pieces_is_waited_for),
        cmocka_unit_test(a_hello_that_does_not_end_is_given_up),
        cmocka_unit_test(strict_passes_no_tls_of_the_application),
        cmocka_unit_test(policy_is_asked_before_a_relay),
        cmocka_unit_test(a_client_that_connects_early_is_still_routed),
        cmocka_unit_test(a_relay_counts_each_end_once),
        cmocka_unit_test(a_client_that_leaves_a_dialling_relay_is_no_failed_dial),
        cmocka_unit_test(a_refused_relay_counts_against_the_endpoint),
        cmocka_unit_test(another_endpoint_is_tried_in_place_of_one_that_refuses),
        cmocka_unit_test(when_all_refuse_the_relay_is_reset_and_told_once),
        cmocka_unit_test(an_endpoint_that_drops_leaves_time_for_another),
        cmocka_unit_test(the_search_for_an_endpoint_survives_without_memory),
        cmocka_unit_test(a_relay_beyond_the_limit_of_connections_is_refused),
        cmocka_unit_test(a_slow_end_slows_the_other),
        cmocka_unit_test(the_end_waits_for_the_last_bytes),
        cmocka_unit_test(a_relay_that_is_silent_for_an_hour_is_closed),
        cmocka_unit_test(a_relay_ends_with_the_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
