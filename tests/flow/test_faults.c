/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 on both sides: what goes wrong, when, and what must come of it. */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"

#define GET "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static const char timeouts[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {headTimeout: 2s, idleTimeout: 5s, bodyTimeout: 3s, requestTimeout: 0s, "
    "upstreamIdleTimeout: 6s, pipeBytes: 16384, drainTimeout: 10s}\n";

/* ---- time ---- */

static void a_head_that_completes_behind_its_408_goes_nowhere(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, timeouts);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    mem_received_clear(c);
    mem_received_clear(s);
    flow_send(&f, c, "GET /late HTTP/1.1\r\nHos");
    flow_wait(&f, 1950000);
    assert_int_equal(mem_received_len(c), 0);
    mem_send(c, "t: a\r\n\r\n");
    mem_clock(f.net, 200000); /* the tick is told first, then the bytes */
    flow_run(&f);
    flow_expect_starts(c, "HTTP/1.1 408 ");
    assert_int_equal(mem_received_len(s), 0);
    assert_false(mem_is_closed(s)); /* it was not even leased */
    flow_wait(&f, 5000000);
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

static void a_server_that_stalls_in_its_answer_is_given_up(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, timeouts);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f); /* a new connection: nothing has armed its deadline before */
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal");
    flow_wait(&f, 2500000);
    assert_false(mem_is_closed(c));
    flow_wait(&f, 5000000);
    assert_true(mem_is_closed(s));
    assert_true(mem_is_closed(c));
    assert_true(mem_got_reset(c)); /* not to be taken for a complete answer */
    assert_int_equal(flow_faults(&f, WEIR_FAULT(UPSTREAM, TIMEOUT_BODY)), 1);
    flow_end(&f);
}

static void a_server_that_does_not_take_the_request_is_given_up(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    static char body[1 << 20];

    (void)state;
    flow_reverse(&f, timeouts);
    mem_buffer_size(f.net, 16384);
    c = flow_client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
    s = flow_server(&f);
    mem_hold(s, true);
    mem_send_bytes(c, body, sizeof(body));
    flow_run(&f);
    assert_true(mem_unsent(c) > sizeof(body) / 2);
    flow_wait(&f, 10000000);
    assert_true(mem_is_closed(s));
    flow_expect_starts(c, "HTTP/1.1 504 ");
    flow_end(&f);
}

static void a_client_that_stalls_in_its_request_is_408(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, timeouts);
    c = flow_client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhal");
    s = flow_server(&f);
    flow_wait(&f, 2500000);
    assert_int_equal(mem_received_len(c), 0);
    flow_wait(&f, 5000000);
    flow_expect_starts(c, "HTTP/1.1 408 ");
    assert_true(mem_is_closed(s));
    flow_end(&f);
}

static const char requested[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {requestTimeout: 4s}\n";

static void a_tunnel_outlives_the_request_timeout(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, requested);
    c = flow_client(&f);
    flow_send(&f, c,
              "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    s = flow_server(&f);
    flow_send(&f, s,
              "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
              "websocket\r\n\r\n");
    flow_wait(&f, 10000000);
    flow_send(&f, s, "still here");
    flow_expect_holds(c, "still here");
    flow_end(&f);
}

static void the_last_bytes_of_a_tunnel_reach_a_slow_server(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    static char body[60000];

    (void)state;
    flow_reverse(&f, timeouts);
    mem_buffer_size(f.net, 4096);
    c = flow_client(&f);
    flow_send(&f, c,
              "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    s = flow_server(&f);
    flow_send(&f, s,
              "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
              "websocket\r\n\r\nbye");
    mem_shutdown(s); /* it has said all, and reads on */
    flow_run(&f);
    assert_true(mem_got_eof(c));
    mem_received_clear(s);
    mem_hold(s, true);
    memset(body, 'x', sizeof(body));
    mem_send_bytes(c, body, 20000);
    mem_shutdown(c);
    flow_run(&f);
    mem_hold(s, false);
    flow_wait(&f, 4000000);
    assert_int_equal(mem_received_len(s), 20000);
    assert_true(mem_got_eof(s));
    assert_true(mem_is_closed(s));
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

/* ---- back-pressure ---- */

static void output_that_stops_exactly_at_the_low_mark_goes_on(void **state) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    struct flow f;
    struct mem_conn *c, *s;
    static char body[65536];
    size_t left;

    (void)state;
    flow_reverse(&f, "");
    mem_buffer_size(f.net, 16384);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    mem_hold(c, true);
    flow_send(&f, s, head);
    memset(body, 'x', sizeof(body));
    /* Fill the client's kernel, then the stream up to WEIR_STREAM_LOW_MARK, not one byte more. */
    left = 16384 + WEIR_STREAM_LOW_MARK - strlen(head);
    for (size_t n; left > 0; left -= n) {
        n = left < 1000 ? left : 1000;
        mem_send_bytes(s, body, n);
        flow_run(&f);
    }
    mem_send_bytes(s, body, 100);
    flow_run(&f);
    mem_hold(c, false);
    flow_run(&f);
    assert_int_equal(mem_received_len(c), 16384 + WEIR_STREAM_LOW_MARK + 100);
    flow_end(&f);
}

static void a_pipeliner_that_does_not_read_costs_nothing(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    static char body[100000];
    unsigned turns;

    (void)state;
    flow_reverse(&f, timeouts);
    mem_buffer_size(f.net, 8192);
    c = flow_client(&f);
    flow_send(&f, c, GET GET);
    s = flow_server(&f);
    mem_hold(c, true);
    mem_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    mem_send_bytes(s, body, sizeof(body));
    turns = mem_n_turns(f.net);
    flow_run(&f);
    assert_true(mem_n_turns(f.net) - turns < 100); /* and not one for each look at the full pipe */
    mem_hold(c, false);
    flow_run(&f);
    flow_send(&f, s, OK);
    assert_int_equal(mem_received_len(c),
                     strlen("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n") + sizeof(body) +
                         strlen(OK));
    flow_end(&f);
}

/* ---- bytes nobody asked for ---- */

static void bytes_on_an_idle_connection_close_it(void **state) {
    struct flow f;
    struct mem_conn *c, *s, *s2;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    mem_received_clear(c);
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    assert_true(mem_is_closed(s));
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 0);
    flow_send(&f, c, GET);
    s2 = flow_server(&f);
    flow_send(&f, s2, OK);
    assert_string_equal(mem_received(c), OK);
    flow_end(&f);
}

static void bytes_behind_an_answer_are_not_the_next_ones(void **state) {
    struct flow f;
    struct mem_conn *c, *s, *s2;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET GET);
    s = flow_server(&f);
    flow_send(&f, s, OK "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    s2 = flow_server(&f);
    assert_true(mem_is_closed(s));
    flow_send(&f, s2, OK);
    assert_string_equal(mem_received(c), OK OK);
    flow_end(&f);
}

static void malformed_answers_are_502(void **state) {
    static const char *const answers[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: folded\r\nContent-Length: 0\r\n\r\n",
        "\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(answers); i++) {
        struct flow f;
        struct mem_conn *c, *s;

        flow_reverse(&f, "");
        c = flow_client(&f);
        flow_send(&f, c, GET);
        s = flow_server(&f);
        flow_send(&f, s, answers[i]);
        if (strncmp(mem_received(c), "HTTP/1.1 502 ", 13) != 0)
            fail_msg("%s\n-> %s", answers[i], mem_received(c));
        assert_true(mem_is_closed(s));
        assert_null(mem_next_dial(f.net)); /* not asked again */
        flow_end(&f);
    }
}

static void a_header_too_large_from_the_server_is_502(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    static char value[100000];

    (void)state;
    flow_reverse(&f, "");
    mem_buffer_size(f.net, 1 << 20);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    memset(value, 'v', sizeof(value) - 1);
    mem_send(s, "HTTP/1.1 200 OK\r\nX: ");
    mem_send(s, value);
    flow_send(&f, s, "\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 502 ");
    flow_end(&f);
}

static void a_head_too_large_from_the_client_is_431(void **state) {
    struct flow f;
    struct mem_conn *c;
    static char value[100000];

    (void)state;
    flow_reverse(&f, "");
    mem_buffer_size(f.net, 1 << 20);
    c = flow_client(&f);
    memset(value, 'v', sizeof(value) - 1);
    mem_send(c, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    mem_send(c, value);
    flow_send(&f, c, "\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 431 ");
    assert_null(mem_next_dial(f.net));
    flow_end(&f);
}

static void a_head_of_nearly_the_limit_passes_both_ways(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    static char value[60001];

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    memset(value, 'v', sizeof(value) - 1);
    mem_send(c, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    mem_send(c, value);
    flow_send(&f, c, "\r\n\r\n");
    s = flow_server(&f);
    flow_expect_holds(s, value);
    mem_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: ");
    mem_send(s, value);
    flow_send(&f, s, "\r\n\r\nhi");
    flow_expect_holds(c, value);
    flow_expect_holds(c, "\r\n\r\nhi");
    flow_end(&f);
}

/* ---- pipelines ---- */

static void an_error_in_a_pipeline_is_answered_in_its_turn(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, GET "GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" GET);
    s = flow_server(&f);
    flow_expect_lacks(c, "400");
    flow_send(&f, s, OK);
    flow_expect_starts(c, OK "HTTP/1.1 400 ");
    flow_wait(&f, 5000000);
    assert_true(mem_is_closed(c));
    assert_null(mem_next_dial(f.net));
    flow_end(&f);
}

static void a_pipeline_behind_connection_close_is_dropped(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    flow_expect_holds(c, "Connection: close\r\n");
    flow_expect_lacks(s, "/a?b=c");
    assert_true(mem_got_eof(c));
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS), 1);
    flow_end(&f);
}

static void a_long_pipeline_is_bounded_and_complete(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    enum { N = 3000 };

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    for (int i = 0; i < N; i++)
        mem_send(c, GET);
    s = flow_server(&f);
    assert_true(mem_unsent(c) > 0); /* not all taken in */
    for (int i = 0; i < N; i++)
        flow_send(&f, s, OK);
    assert_int_equal(mem_received_len(c), N * strlen(OK));
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECTIONS), 1);
    flow_end(&f);
}

/* ---- splitting ---- */

static void no_byte_of_a_field_can_begin_a_line(void **state) {
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\nInjected: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rInjected: 1\r\n\r\n",
        "GET /%0d%0aInjected:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x0bx HTTP/1.1\r\nHost: a\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(heads); i++) {
        struct flow f;
        struct mem_conn *c, *s;

        flow_reverse(&f, "");
        c = flow_client(&f);
        flow_send(&f, c, heads[i]);
        s = mem_next_dial(f.net);
        if (s) {
            mem_dial_accept(s);
            flow_run(&f);
            flow_expect_lacks(s, "\nInjected");
            flow_expect_lacks(s, "\rInjected");
        } else {
            flow_expect_starts(c, "HTTP/1.1 400 ");
        }
        flow_end(&f);
    }
}

/* ---- connections and pools ---- */

static void a_connection_over_the_limit_is_refused_and_counted(void **state) {
    struct flow f;
    struct mem_conn *c[3];

    (void)state;
    flow_reverse(&f, "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec: "
                     "{limits: {connections: 2, sourceConnections: 2}}\n");
    for (int i = 0; i < 3; i++)
        c[i] = flow_client(&f);
    flow_run(&f);
    assert_false(mem_is_closed(c[0]));
    assert_false(mem_is_closed(c[1]));
    assert_true(mem_is_closed(c[2]));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(LOCAL, LIMIT_CONNECTIONS)), 1);
    mem_close(c[0]);
    flow_wait(&f, 3000000);
    c[2] = flow_client(&f);
    flow_run(&f);
    assert_false(mem_is_closed(c[2]));
    flow_end(&f);
}

static void no_more_connections_wait_in_the_pool_than_allowed(void **state) {
    struct flow f;
    struct mem_conn *c[5], *s[5];
    int open = 0;

    (void)state;
    flow_reverse(&f, "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec: "
                     "{limits: {poolIdle: 2}}\n");
    for (int i = 0; i < 5; i++) {
        c[i] = flow_client(&f);
        flow_send(&f, c[i], GET);
        s[i] = flow_server(&f);
    }
    for (int i = 0; i < 5; i++)
        flow_send(&f, s[i], OK);
    for (int i = 0; i < 5; i++)
        open += !mem_is_closed(s[i]);
    assert_int_equal(open, 2);
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 2);
    flow_end(&f);
}

/* On a connection that had served before: with that method, and then a server that closes it. */
static struct mem_conn *kept_alive_race(struct flow *f, const char *method) {
    char request[128];
    struct mem_conn *c, *s;

    flow_reverse(f, "");
    c = flow_client(f);
    flow_send(f, c, GET);
    s = flow_server(f);
    flow_send(f, s, OK);
    mem_received_clear(c);
    snprintf(request, sizeof(request), "%s / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
             method);
    flow_send(f, c, request);
    mem_close(s);
    flow_run(f);
    return c;
}

static void content_that_may_be_repeated_is_sent_to_another_connection(void **state) {
    struct flow f;
    struct mem_conn *c = kept_alive_race(&f, "PUT"), *s;

    (void)state;
    s = flow_server(&f);
    flow_send(&f, c, "c");
    flow_expect_starts(s, "PUT / HTTP/1.1\r\n");
    flow_expect_holds(s, "\r\n\r\nabc");
    mem_close(s); /* that one was new: no race */
    flow_run(&f);
    assert_null(mem_next_dial(f.net));
    flow_expect_starts(c, "HTTP/1.1 502 ");
    flow_end(&f);
}

static void a_post_is_never_sent_twice(void **state) {
    struct flow f;
    struct mem_conn *c = kept_alive_race(&f, "POST");

    (void)state;
    assert_null(mem_next_dial(f.net));
    flow_expect_starts(c, "HTTP/1.1 502 ");
    flow_end(&f);
}

static void a_body_that_waited_for_a_connection_is_sent_to_the_next_server(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    s = mem_next_dial(f.net);
    mem_dial_refuse(s);
    s = flow_server(&f);
    flow_expect_holds(s, "\r\n\r\nabc");
    flow_send(&f, s, OK);
    flow_expect_holds(c, "hi");
    flow_end(&f);
}

static void an_answer_larger_than_the_pipe_waits_for_a_connection_it_is_uploaded_to(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    static char body[300000];

    (void)state;
    flow_reverse(&f, timeouts);
    c = flow_client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    memset(body, 'u', sizeof(body));
    mem_send_bytes(c, body, sizeof(body));
    flow_run(&f);
    assert_true(mem_unsent(c) > 200000); /* held: a pipe's worth */
    s = flow_server(&f);
    assert_true(mem_received_len(s) > sizeof(body));
    flow_send(&f, s, OK);
    flow_expect_holds(c, "hi");
    flow_end(&f);
}

static void a_refused_request_with_a_waiting_body_is_answered(void **state) {
    struct flow f;
    struct mem_conn *c;
    static char body[300000];

    (void)state;
    flow_reverse(&f, timeouts);
    c = flow_client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    mem_send_bytes(c, body, sizeof(body));
    flow_run(&f);
    for (int i = 0; i < 3; i++) {
        mem_dial_refuse(mem_next_dial(f.net));
        flow_run(&f);
    }
    flow_expect_starts(c, "HTTP/1.1 503 ");
    assert_true(mem_got_eof(c));
    assert_false(mem_got_reset(c)); /* the rest was read, so that the answer is not cut */
    flow_wait(&f, 5000000);
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

static void an_answer_to_head_has_no_content(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    c = flow_client(&f);
    flow_send(&f, c, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_string_equal(mem_received(c), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    mem_received_clear(c);
    flow_send(&f, c, GET);
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    flow_end(&f);
}

/* ---- ends ---- */

static void a_connection_that_says_nothing_is_closed_by_a_drain(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_reverse(&f, timeouts);
    c = flow_client(&f);
    flow_run(&f);
    weir_worker_drain(&f.worker);
    flow_run(&f);
    assert_true(mem_is_closed(c));
    flow_end(&f);
}

static void idle(void *arg) {
    ++*(int *)arg;
}

static void a_drain_ends_when_the_last_connection_has_gone(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    int idles = 0;

    (void)state;
    flow_reverse(&f, timeouts);
    f.worker.on_idle = idle;
    f.worker.on_arg = &idles;
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    weir_worker_drain(&f.worker);
    flow_wait(&f, 1000000);
    assert_int_equal(idles, 0);
    flow_send(&f, s, OK);
    flow_wait(&f, 4000000);
    assert_true(idles > 0);
    assert_true(mem_is_closed(c));
    assert_true(mem_is_closed(s));
    flow_end(&f);
}

static void a_drain_that_takes_too_long_is_cut(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    int idles = 0;

    (void)state;
    flow_reverse(&f, timeouts);
    f.worker.on_idle = idle;
    f.worker.on_arg = &idles;
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    weir_worker_drain(&f.worker);
    flow_wait(&f, 9900000);
    assert_int_equal(idles, 0);
    flow_wait(&f, 300000);
    assert_true(idles > 0);
    assert_true(mem_is_closed(c));
    assert_true(mem_is_closed(s));
    flow_end(&f);
}

/* ---- memory ---- */

static void a_configuration_that_finds_no_memory_is_taken_later(void **state) {
    unsigned met = 0;

    (void)state;
    for (unsigned long n = 1; n < 1000; n++) {
        struct flow f;
        struct mem_conn *c, *s;
        struct weir_runtime *rt;
        bool failed;

        flow_open(&f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE, .yaml = "", .n_to = 2 });
        c = flow_client(&f);
        flow_send(&f, c, GET);
        s = flow_server(&f);
        flow_send(&f, s, OK);
        f.options.n_to = 3;
        rt = flow_runtime(&f, timeouts);
        weir_worker_offer(&f.worker, rt);
        mem_post(f.net);
        weir_mem_fail_at(n, 0);
        flow_run(&f);
        failed = weir_mem_failed();
        weir_mem_fail_at(0, 0);
        met += failed;
        mem_received_clear(c);
        flow_send(&f, c, GET); /* under whichever is in force, with memory that exists */
        s = mem_next_dial(f.net);
        if (s) {
            mem_dial_accept(s);
            flow_run(&f);
            flow_send(&f, s, OK);
            assert_string_equal(mem_received(c), OK);
        }
        flow_wait(&f, 200000);
        assert_ptr_equal(f.worker.epoch->rt, rt);
        flow_end(&f);
        if (!failed)
            break;
    }
    assert_true(met > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_that_completes_behind_its_408_goes_nowhere),
        cmocka_unit_test(a_server_that_stalls_in_its_answer_is_given_up),
        cmocka_unit_test(a_server_that_does_not_take_the_request_is_given_up),
        cmocka_unit_test(a_client_that_stalls_in_its_request_is_408),
        cmocka_unit_test(a_tunnel_outlives_the_request_timeout),
        cmocka_unit_test(the_last_bytes_of_a_tunnel_reach_a_slow_server),
        cmocka_unit_test(output_that_stops_exactly_at_the_low_mark_goes_on),
        cmocka_unit_test(a_pipeliner_that_does_not_read_costs_nothing),
        cmocka_unit_test(bytes_on_an_idle_connection_close_it),
        cmocka_unit_test(bytes_behind_an_answer_are_not_the_next_ones),
        cmocka_unit_test(malformed_answers_are_502),
        cmocka_unit_test(a_header_too_large_from_the_server_is_502),
        cmocka_unit_test(a_head_too_large_from_the_client_is_431),
        cmocka_unit_test(a_head_of_nearly_the_limit_passes_both_ways),
        cmocka_unit_test(an_error_in_a_pipeline_is_answered_in_its_turn),
        cmocka_unit_test(a_pipeline_behind_connection_close_is_dropped),
        cmocka_unit_test(a_long_pipeline_is_bounded_and_complete),
        cmocka_unit_test(no_byte_of_a_field_can_begin_a_line),
        cmocka_unit_test(a_connection_over_the_limit_is_refused_and_counted),
        cmocka_unit_test(no_more_connections_wait_in_the_pool_than_allowed),
        cmocka_unit_test(content_that_may_be_repeated_is_sent_to_another_connection),
        cmocka_unit_test(a_post_is_never_sent_twice),
        cmocka_unit_test(a_body_that_waited_for_a_connection_is_sent_to_the_next_server),
        cmocka_unit_test(an_answer_larger_than_the_pipe_waits_for_a_connection_it_is_uploaded_to),
        cmocka_unit_test(a_refused_request_with_a_waiting_body_is_answered),
        cmocka_unit_test(an_answer_to_head_has_no_content),
        cmocka_unit_test(a_connection_that_says_nothing_is_closed_by_a_drain),
        cmocka_unit_test(a_drain_ends_when_the_last_connection_has_gone),
        cmocka_unit_test(a_drain_that_takes_too_long_is_cut),
        cmocka_unit_test(a_configuration_that_finds_no_memory_is_taken_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
