/* SPDX-License-Identifier: Apache-2.0 */
/* What idle HTTP/1 connections hold, and that they are as good as before when something comes. */
#include "weir_test.h"

#include "core/conn.h"
#include "flow.h"

#define GET       "GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n"
#define OK        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define N_CLIENTS 100 /* more than a worker keeps codecs for */

static unsigned with_codec(struct flow *f) {
    unsigned n = 0;

    WEIR_LIST_FOREACH (it, &f->worker.downs) {
        if (WEIR_CONTAINER_OF(it, struct weir_conn, node)->codec)
            n++;
    }
    return n;
}

static struct mem_conn *first(struct flow *f, struct mem_conn **ret_server) {
    struct mem_conn *c = flow_client(f);

    flow_send(f, c, GET);
    *ret_server = flow_server(f);
    flow_send(f, *ret_server, OK);
    assert_string_equal(mem_received(c), OK);
    mem_received_clear(c);
    mem_received_clear(*ret_server);
    return c;
}

static void answer(struct flow *f, struct mem_conn *c, struct mem_conn *s) {
    flow_expect_starts(s, "GET /a HTTP/1.1\r\n");
    flow_send(f, s, OK);
    assert_string_equal(mem_received(c), OK);
    mem_received_clear(c);
    mem_received_clear(s);
}

static void an_idle_connection_has_no_codec_and_gets_one_again(void **state) {
    struct mem_conn *c[N_CLIENTS], *s;
    struct flow f;

    (void)state;
    /* 0.8 KiB of resident memory (bench/README.md) are this, io's stream of 360 bytes and what malloc adds. */
    assert_true(sizeof(struct weir_conn) <= 392);
    flow_reverse(&f, "");
    c[0] = first(&f, &s);
    for (unsigned i = 1; i < N_CLIENTS; i++) {
        c[i] = flow_client(&f);
        flow_send(&f, c[i], GET);
        answer(&f, c[i], s);
    }
    assert_int_equal(with_codec(&f), 0);
    for (unsigned i = 0; i < N_CLIENTS; i++)
        mem_send(c[i], "GET /a HT");
    flow_run(&f);
    assert_int_equal(with_codec(&f), N_CLIENTS);
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        flow_send(&f, c[i], "TP/1.1\r\nHost: example.com\r\n\r\n");
        answer(&f, c[i], s);
    }
    assert_int_equal(with_codec(&f), 0);
    assert_int_equal(flow_count(&f, WEIR_C_DOWN_ACTIVE), N_CLIENTS);
    flow_end(&f);
}

static void what_comes_at_rest_is_met_as_before(void **state) {
    struct mem_conn *c, *s;
    struct flow f;

    (void)state;
    flow_reverse(&f, "");
    c = first(&f, &s);
    flow_send(&f, c, "\r");
    flow_send(&f, c, "\n" GET);
    answer(&f, c, s);
    flow_send(&f, c, "\r");
    flow_send(&f, c, GET); /* a blank line cut in two must not be forgotten */
    flow_expect_starts(c, "HTTP/1.1 400 ");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    answer(&f, c, s);
    flow_send(&f, c, "GET\t/ HTTP/1.1\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 400 ");
    flow_end(&f);
}

static void it_ends_well_at_rest(void **state) {
    struct mem_conn *a, *b, *c, *s;
    struct flow f;

    (void)state;
    flow_reverse(&f, "");
    a = first(&f, &s);
    b = flow_client(&f);
    flow_send(&f, b, GET);
    answer(&f, b, s);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    answer(&f, c, s);
    mem_shutdown(a);
    mem_reset(b);
    flow_run(&f);
    assert_true(mem_got_eof(a));
    assert_int_equal(flow_count(&f, WEIR_C_DOWN_ACTIVE), 1);
    weir_worker_drain(&f.worker);
    flow_run(&f);
    assert_int_equal(flow_count(&f, WEIR_C_DOWN_ACTIVE), 0);
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_connection_has_no_codec_and_gets_one_again),
        cmocka_unit_test(what_comes_at_rest_is_met_as_before),
        cmocka_unit_test(it_ends_well_at_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
