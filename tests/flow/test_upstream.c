/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to endpoints: how many, how long, how much each carries, and who waits for one. */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"
#include "tlspeer.h"
#include "weir_mint.h"

#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define FULL WEIR_FAULT(UPSTREAM, LIMIT_CONNECTIONS)
#define LIMITS(text)                                                                               \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n  limits: {"          \
    "bodyTimeout: 3s, idleTimeout: 3600s, " text "}\n"
#define SECOND 1000000u

static struct mem_conn *ask(struct flow *f) {
    struct mem_conn *c = flow_client(f);

    flow_send(f, c, GET);
    return c;
}

static void beyond_the_limit_requests_wait_and_are_served_in_order(void **state) {
    struct flow f;
    struct mem_conn *c[3], *s;

    flow_reverse(&f, LIMITS("upstreamConnections: 1"));
    for (int i = 0; i < 3; i++) {
        char text[64];

        c[i] = flow_client(&f);
        snprintf(text, sizeof(text), "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
        flow_send(&f, c[i], text);
    }
    s = flow_server(&f);
    assert_null(mem_next_dial(f.net));
    assert_int_equal(flow_count(&f, WEIR_C_UP_WAITING), 2);
    for (int i = 0; i < 3; i++) {
        char text[16];

        snprintf(text, sizeof(text), "GET /%d ", i);
        flow_expect_starts(s, text);
        mem_received_clear(s);
        flow_send(&f, s, OK);
        assert_string_equal(mem_received(c[i]), OK);
    }
    assert_int_equal(flow_count(&f, WEIR_C_UP_WAITING), 0);
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECTIONS), 1);
    flow_end(&f);
}

static void the_queue_is_bounded_and_says_so(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    flow_reverse(&f, LIMITS("upstreamConnections: 1, upstreamPending: 1"));
    ask(&f);
    s = flow_server(&f);
    ask(&f);
    c = ask(&f);
    flow_expect_starts(c, "HTTP/1.1 503 ");
    flow_expect_holds(c, "x-weir-reason: upstream_limit_connections\r\n");
    assert_int_equal(flow_faults(&f, FULL), 1);
    flow_expect_text(flow_lines(&f), " 503 UO ");
    flow_send(&f, s, OK);
    assert_int_equal(flow_count(&f, WEIR_C_UP_WAITING), 0);
    flow_end(&f);
}

static void who_waits_longer_than_a_connect_may_take_is_answered(void **state) {
    struct flow f;
    struct mem_conn *c;

    flow_reverse(&f, LIMITS("upstreamConnections: 1, connectTimeout: 2s"));
    ask(&f);
    flow_server(&f);
    c = ask(&f);
    flow_wait(&f, SECOND + SECOND / 2);
    assert_string_equal(mem_received(c), "");
    flow_wait(&f, SECOND);
    flow_expect_starts(c, "HTTP/1.1 503 ");
    assert_int_equal(flow_faults(&f, FULL), 1);
    assert_int_equal(flow_count(&f, WEIR_C_UP_WAITING), 0);
    flow_end(&f);
}

static void a_client_that_leaves_the_queue_is_no_longer_waited_for(void **state) {
    struct flow f;
    struct mem_conn *c, *last, *s;

    flow_reverse(&f, LIMITS("upstreamConnections: 1"));
    ask(&f);
    s = flow_server(&f);
    c = ask(&f);
    last = ask(&f);
    mem_reset(c);
    flow_run(&f);
    assert_int_equal(flow_count(&f, WEIR_C_UP_WAITING), 1);
    flow_send(&f, s, OK);
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(last), OK);
    flow_end(&f);
}

static void a_connection_that_dies_makes_room(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    flow_reverse(&f, LIMITS("upstreamConnections: 1"));
    ask(&f);
    s = flow_server(&f);
    c = ask(&f);
    mem_reset(s);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    flow_end(&f);
}

static void streams_beyond_what_the_server_allows_wait_for_one(void **state) {
    struct flow f;
    struct h2_peer *s;
    struct mem_conn *a, *b;
    struct h2_msg *m;

    flow_open(&f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE,
                                          .yaml = LIMITS("upstreamConnections: 1"),
                                          .scheme = WEIR_TO_H2C });
    a = ask(&f);
    s = h2_server(&f, &(struct h2_config){ .max_streams = 1 });
    b = ask(&f);
    m = h2_take(s);
    assert_non_null(m);
    assert_null(h2_take(s));
    assert_int_equal(flow_count(&f, WEIR_C_UP_WAITING), 1);
    h2_answer(m, "200", "one");
    flow_run(&f);
    flow_expect_holds(a, "one");
    m = h2_take(s);
    assert_non_null(m);
    h2_answer(m, "200", "two");
    flow_run(&f);
    flow_expect_holds(b, "two");
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECTIONS), 1);
    flow_end(&f);
}

static void a_connection_carries_no_more_requests_than_allowed(void **state) {
    struct flow f;
    struct mem_conn *s;

    flow_reverse(&f, LIMITS("upstreamRequests: 2"));
    ask(&f);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    ask(&f);
    assert_null(mem_next_dial(f.net));
    flow_send(&f, s, OK);
    assert_true(mem_is_closed(s));
    ask(&f);
    flow_send(&f, flow_server(&f), OK);
    assert_int_equal(flow_count(&f, WEIR_C_UP_WORN_OUT), 1);
    flow_end(&f);
}

static void an_http2_connection_gives_its_last_stream_and_drains(void **state) {
    struct flow f;
    struct h2_peer *s, *s2;
    struct mem_conn *c;
    struct h2_msg *m;

    flow_open(&f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE,
                                          .yaml = LIMITS("upstreamRequests: 2"),
                                          .scheme = WEIR_TO_H2C });
    c = ask(&f);
    s = h2_server(&f, NULL);
    ask(&f);
    ask(&f);
    s2 = h2_server(&f, NULL);
    assert_non_null(h2_take(s2));
    m = h2_take(s);
    h2_answer(m, "200", "one");
    h2_answer(h2_take(s), "200", "two");
    flow_run(&f);
    flow_expect_holds(c, "one");
    assert_true(mem_is_closed(s->conn));
    assert_int_equal(flow_count(&f, WEIR_C_UP_WORN_OUT), 1);
    flow_end(&f);
}

static void past_its_lifetime_a_connection_takes_no_further_request(void **state) {
    struct flow f;
    struct mem_conn *s;

    flow_reverse(&f, LIMITS("upstreamLifetime: 100s, upstreamIdleTimeout: 3600s"));
    ask(&f);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    mem_advance(f.net, 89 * SECOND);
    ask(&f);
    assert_null(mem_next_dial(f.net));
    flow_send(&f, s, OK);
    mem_advance(f.net, 12 * SECOND);
    ask(&f);
    flow_server(&f);
    assert_true(mem_is_closed(s));
    assert_int_equal(flow_count(&f, WEIR_C_UP_WORN_OUT), 1);
    flow_end(&f);
}

static void an_old_http2_connection_finishes_what_it_has(void **state) {
    struct flow f;
    struct h2_peer *s;
    struct mem_conn *c;

    flow_open(&f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE,
                                          .yaml = LIMITS("upstreamLifetime: 100s"),
                                          .scheme = WEIR_TO_H2C });
    c = ask(&f);
    s = h2_server(&f, NULL);
    mem_advance(f.net, 101 * SECOND);
    ask(&f);
    h2_server(&f, NULL);
    assert_false(mem_is_closed(s->conn));
    h2_answer(h2_take(s), "200", "late");
    flow_run(&f);
    flow_expect_holds(c, "late");
    assert_true(mem_is_closed(s->conn));
    flow_end(&f);
}

static void an_idle_connection_is_closed_in_time(void **state) {
    struct flow f;
    struct mem_conn *s;

    flow_reverse(&f, LIMITS("upstreamIdleTimeout: 6s"));
    ask(&f);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    flow_wait(&f, 5 * SECOND);
    assert_false(mem_is_closed(s));
    flow_wait(&f, 2 * SECOND);
    assert_true(mem_is_closed(s));
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 0);
    flow_end(&f);
}

static void an_answer_that_does_not_begin_is_given_up(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    flow_reverse(&f, LIMITS("upstreamHeadTimeout: 2s"));
    c = flow_client(&f);
    flow_send(&f, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
    s = flow_server(&f);
    flow_wait(&f, 2 * SECOND + SECOND / 2); /* the request is not complete: it is not late */
    assert_string_equal(mem_received(c), "");
    flow_send(&f, c, "c");
    flow_send(&f, s, "HTTP/1.1 103 Early Hints\r\n\r\n");
    mem_received_clear(c);
    flow_wait(&f, 3 * SECOND);
    flow_expect_starts(c, "HTTP/1.1 504 ");
    flow_expect_holds(c, "x-weir-reason: upstream_timeout_head\r\n");
    assert_int_equal(flow_faults(&f, WEIR_FAULT(UPSTREAM, TIMEOUT_HEAD)), 1);
    c = ask(&f);
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    flow_wait(&f, 2 * SECOND + SECOND / 2); /* the head is there: its content may take longer */
    flow_send(&f, s, "hi");
    assert_string_equal(mem_received(c), OK);
    flow_end(&f);
}

static void an_endpoint_that_cannot_be_connected_in_time_is_504_after_three_tries(void **state) {
    struct flow f;
    struct mem_conn *c;

    flow_reverse(&f, LIMITS("connectTimeout: 1s"));
    c = ask(&f);
    for (int i = 0; i < 3; i++) {
        assert_non_null(mem_next_dial(f.net));
        assert_null(mem_next_dial(f.net));
        assert_string_equal(mem_received(c), "");
        flow_wait(&f, SECOND + SECOND / 5);
    }
    flow_expect_starts(c, "HTTP/1.1 504 ");
    flow_expect_holds(c, "x-weir-reason: timeout_connect\r\n");
    assert_int_equal(flow_faults(&f, WEIR_FAULT(UPSTREAM, TIMEOUT_CONNECT)), 1);
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECT_FAILED), 3);
    flow_end(&f);
}

/* ---- names ---- */

static void flow_host(struct flow *f, const char *const *addresses) {
    struct flow_options options = { .dir = WEIR_DIR_REVERSE,
                                    .yaml = LIMITS(""),
                                    .host = "api.example" };

    flow_open(f, &options);
    for (; *addresses; addresses++)
        flow_address(f, *addresses);
    flow_reload(f, LIMITS(""));
}

static void assert_dialled(struct mem_conn *s, const char *ip) {
    char text[46];

    assert_string_equal(weir_ip_format(&mem_dial(s)->ip, text, sizeof(text)), ip);
}

static void a_name_without_an_address_has_no_endpoint(void **state) {
    struct flow f;

    flow_host(&f, (const char *const[]){ NULL });
    flow_expect_holds(ask(&f), "x-weir-reason: no_endpoint\r\n");
    flow_end(&f);
}

static void both_families_of_a_name_are_dialled_together(void **state) {
    struct flow f;
    struct mem_conn *s;

    flow_host(&f, (const char *const[]){ "192.0.2.1", "2001:db8::1", NULL });
    ask(&f);
    s = flow_server(&f);
    assert_dialled(s, "2001:db8::1");
    assert_int_equal(mem_dial(s)->n_others, 1);
    assert_null(mem_next_dial(f.net));
    flow_send(&f, s, OK);
    flow_expect_text(flow_lines(&f), "2001:db8::1");
    flow_end(&f);
}

static void a_connection_to_an_address_the_name_has_no_more_is_let_go(void **state) {
    struct flow f;
    struct mem_conn *c, *busy, *idle;

    flow_host(&f, (const char *const[]){ "192.0.2.1", "2001:db8::1", NULL });
    c = ask(&f);
    busy = flow_server(&f);
    ask(&f);
    idle = flow_server(&f);
    flow_send(&f, idle, OK);
    flow_reload(&f, LIMITS("")); /* nothing changed */
    assert_false(mem_is_closed(idle));
    f.n_addresses = 0;
    flow_address(&f, "192.0.2.1");
    flow_address(&f, "2001:db8::2");
    flow_reload(&f, LIMITS(""));
    assert_true(mem_is_closed(idle));
    assert_false(mem_is_closed(busy));
    flow_send(&f, busy, OK);
    assert_string_equal(mem_received(c), OK);
    assert_true(mem_is_closed(busy));
    ask(&f);
    assert_dialled(flow_server(&f), "2001:db8::2");
    flow_end(&f);
}

/* ---- ALPN ---- */

struct keys {
    struct mint ca, leaf;
    struct weir_tls_ctx *client;
};

static struct weir_tls_ctx *context(enum weir_tls_mode mode, const struct keys *k,
                                    struct weir_slice alpn) {
    struct weir_tls_params params = { .mode = mode, .alpn = alpn };
    struct weir_tls_ctx *ctx = NULL;
    const char *why = "";

    if (mode == WEIR_TLS_SERVER) {
        params.material.cert_chain = weir_slice_from_str(k->leaf.cert_pem);
        params.material.key = weir_slice_from_str(k->leaf.key_pem);
    } else {
        params.material.ca = weir_slice_from_str(k->ca.cert_pem);
    }
    if (weir_tls_ctx_new(&params, &ctx, &why) != 0)
        fail_msg("context: %s", why);
    return ctx;
}

static void flow_https(struct flow *f, struct keys *k, const char *yaml) {
    struct weir_tls_set set = { 0 };

    k->ca = mint_ca("test");
    k->leaf = mint_new(&(struct mint_spec){ .dns = { "server" } }, &k->ca);
    k->client = context(WEIR_TLS_CLIENT, k, WEIR_SLICE("\x02h2\x08http/1.1"));
    set.to = weir_tls_ctx_ref(k->client);
    flow_open(f, &(struct flow_options){
                     .dir = WEIR_DIR_REVERSE, .yaml = yaml, .scheme = WEIR_TO_HTTPS, .tls = &set });
}

static void keys_deinit(struct keys *k) {
    weir_tls_ctx_unref(k->client);
    mint_free(&k->leaf);
    mint_free(&k->ca);
}

static void requests_to_an_unknown_tls_server_wait_for_one_handshake(void **state) {
    struct keys k;
    struct flow f;
    struct weir_tls_ctx *server;
    struct mem_conn *s;
    struct tls_peer *peer;

    flow_https(&f, &k, LIMITS(""));
    server = context(WEIR_TLS_SERVER, &k, WEIR_SLICE("\x02h2"));
    for (int i = 0; i < 5; i++)
        ask(&f);
    s = mem_next_dial(f.net);
    assert_non_null(s);
    assert_null(mem_next_dial(f.net));
    mem_dial_accept(s);
    peer = tls_over(&f, s, server, NULL);
    flow_run(&f);
    assert_null(mem_next_dial(f.net));
    assert_true(tls_established(peer));
    assert_non_null(strstr(tls_text(peer), "PRI * HTTP/2.0"));
    flow_end(&f);
    weir_tls_ctx_unref(server);
    keys_deinit(&k);
}

static void where_it_is_http1_each_has_a_connection_and_it_is_remembered(void **state) {
    struct keys k;
    struct flow f;
    struct weir_tls_ctx *server;
    struct mem_conn *c[3], *s;
    struct tls_peer *peer[3];

    flow_https(&f, &k, LIMITS(""));
    server = context(WEIR_TLS_SERVER, &k, WEIR_SLICE("\x08http/1.1"));
    for (int i = 0; i < 3; i++)
        c[i] = ask(&f);
    for (int i = 0; i < 3; i++) {
        s = mem_next_dial(f.net);
        assert_non_null(s);
        if (i == 0)
            assert_null(mem_next_dial(f.net));
        mem_dial_accept(s);
        peer[i] = tls_over(&f, s, server, NULL);
        flow_run(&f);
    }
    assert_null(mem_next_dial(f.net));
    for (int i = 0; i < 3; i++)
        tls_say(peer[i], OK);
    flow_run(&f);
    for (int i = 0; i < 3; i++)
        assert_string_equal(mem_received(c[i]), OK);
    /* Known now: those that come together do not wait for one another. */
    for (int i = 0; i < 5; i++)
        ask(&f);
    assert_non_null(mem_next_dial(f.net));
    assert_non_null(mem_next_dial(f.net));
    assert_null(mem_next_dial(f.net));
    flow_end(&f);
    weir_tls_ctx_unref(server);
    keys_deinit(&k);
}

static void a_handshake_that_fails_is_told_to_all_who_wait(void **state) {
    struct keys k;
    struct flow f;
    struct mem_conn *c[3], *s;

    flow_https(&f, &k, LIMITS(""));
    for (int i = 0; i < 3; i++)
        c[i] = ask(&f);
    for (int tries = 0; tries < 3; tries++) {
        s = mem_next_dial(f.net);
        assert_non_null(s);
        mem_dial_refuse(s);
        flow_run(&f);
    }
    for (int i = 0; i < 3; i++)
        flow_expect_starts(c[i], "HTTP/1.1 503 ");
    flow_end(&f);
    keys_deinit(&k);
}

/* ---- never another's connection ---- */

/* A server_name of a ClientHello lies in it as text. */
static bool hello_names(struct mem_conn *s, const char *name) {
    return memmem(mem_received(s), mem_received_len(s), name, strlen(name)) != NULL;
}

static void a_connection_is_never_used_under_another_server_name(void **state) {
    struct keys k;
    struct flow f;
    struct weir_tls_ctx *server;
    struct tls_peer *peer;
    struct mem_conn *s;

    flow_https(&f, &k, LIMITS(""));
    server = context(WEIR_TLS_SERVER, &k, WEIR_SLICE("\x08http/1.1"));
    ask(&f);
    s = mem_next_dial(f.net);
    mem_dial_accept(s);
    flow_run(&f);
    assert_true(hello_names(s, "server"));
    peer = tls_over(&f, s, server, NULL);
    flow_run(&f);
    tls_say(peer, OK);
    flow_run(&f);
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 1);
    f.options.sni = "other";
    flow_reload(&f, LIMITS(""));
    assert_true(mem_is_closed(s));
    ask(&f);
    s = mem_next_dial(f.net);
    assert_non_null(s);
    mem_dial_accept(s);
    flow_run(&f);
    assert_true(hello_names(s, "other"));
    flow_end(&f);
    weir_tls_ctx_unref(server);
    keys_deinit(&k);
}

/* One address, known first by one name and then by another: no configuration changes, only what DNS says. */
static void an_address_that_gets_another_name_gets_another_connection(void **state) {
    struct weir_tls_set set = { 0 };
    struct weir_tls_ctx *server;
    struct tls_peer *peer;
    struct mem_conn *s;
    struct keys k;
    struct flow f;

    k.ca = mint_ca("test");
    k.leaf = mint_new(&(struct mint_spec){ .dns = { "one.example", "two.example" } }, &k.ca);
    k.client = context(WEIR_TLS_CLIENT, &k, WEIR_SLICE("\x02h2\x08http/1.1"));
    server = context(WEIR_TLS_SERVER, &k, WEIR_SLICE("\x08http/1.1"));
    set.to = weir_tls_ctx_ref(k.client);
    flow_open(&f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE,
                                          .yaml = LIMITS(""),
                                          .scheme = WEIR_TO_HTTPS,
                                          .host = "one.example",
                                          .tls = &set });
    flow_address(&f, "192.0.2.1");
    flow_reload(&f, LIMITS(""));
    ask(&f);
    s = mem_next_dial(f.net);
    mem_dial_accept(s);
    flow_run(&f);
    assert_true(hello_names(s, "one.example"));
    peer = tls_over(&f, s, server, NULL);
    flow_run(&f);
    tls_say(peer, OK);
    flow_run(&f);
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 1);
    f.options.host = "two.example";
    f.generation--; /* as a change of addresses: the same configuration */
    flow_reload(&f, LIMITS(""));
    assert_true(mem_is_closed(s));
    ask(&f);
    s = mem_next_dial(f.net);
    mem_dial_accept(s);
    flow_run(&f);
    assert_true(hello_names(s, "two.example"));
    flow_end(&f);
    weir_tls_ctx_unref(server);
    keys_deinit(&k);
}

static void a_removed_endpoint_finishes_its_streams_and_gets_no_more(void **state) {
    struct flow f;
    struct flow_options options = {
        .dir = WEIR_DIR_REVERSE, .yaml = LIMITS(""), .scheme = WEIR_TO_H2C, .host = "api.example"
    };
    struct h2_peer *s, *s2;
    struct mem_conn *c, *d;

    flow_open(&f, &options);
    flow_address(&f, "192.0.2.1");
    flow_reload(&f, LIMITS(""));
    c = ask(&f);
    s = h2_server(&f, NULL);
    f.n_addresses = 0;
    flow_address(&f, "192.0.2.2");
    flow_reload(&f, LIMITS(""));
    d = ask(&f);
    s2 = h2_server(&f, NULL);
    assert_dialled(s2->conn, "192.0.2.2");
    h2_answer(h2_take(s2), "200", "new");
    assert_false(mem_is_closed(s->conn));
    h2_answer(h2_take(s), "200", "old");
    flow_run(&f);
    flow_expect_holds(c, "old");
    flow_expect_holds(d, "new");
    assert_true(mem_is_closed(s->conn));
    assert_false(mem_is_closed(s2->conn));
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beyond_the_limit_requests_wait_and_are_served_in_order),
        cmocka_unit_test(the_queue_is_bounded_and_says_so),
        cmocka_unit_test(who_waits_longer_than_a_connect_may_take_is_answered),
        cmocka_unit_test(a_client_that_leaves_the_queue_is_no_longer_waited_for),
        cmocka_unit_test(a_connection_that_dies_makes_room),
        cmocka_unit_test(streams_beyond_what_the_server_allows_wait_for_one),
        cmocka_unit_test(a_connection_carries_no_more_requests_than_allowed),
        cmocka_unit_test(an_http2_connection_gives_its_last_stream_and_drains),
        cmocka_unit_test(past_its_lifetime_a_connection_takes_no_further_request),
        cmocka_unit_test(an_old_http2_connection_finishes_what_it_has),
        cmocka_unit_test(an_idle_connection_is_closed_in_time),
        cmocka_unit_test(an_answer_that_does_not_begin_is_given_up),
        cmocka_unit_test(an_endpoint_that_cannot_be_connected_in_time_is_504_after_three_tries),
        cmocka_unit_test(a_name_without_an_address_has_no_endpoint),
        cmocka_unit_test(both_families_of_a_name_are_dialled_together),
        cmocka_unit_test(a_connection_to_an_address_the_name_has_no_more_is_let_go),
        cmocka_unit_test(requests_to_an_unknown_tls_server_wait_for_one_handshake),
        cmocka_unit_test(where_it_is_http1_each_has_a_connection_and_it_is_remembered),
        cmocka_unit_test(a_handshake_that_fails_is_told_to_all_who_wait),
        cmocka_unit_test(a_connection_is_never_used_under_another_server_name),
        cmocka_unit_test(an_address_that_gets_another_name_gets_another_connection),
        cmocka_unit_test(a_removed_endpoint_finishes_its_streams_and_gets_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
