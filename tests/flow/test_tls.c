/* SPDX-License-Identifier: Apache-2.0 */
/* TLS towards the client, the server, or both. A TLS stream delivers from within when reading is resumed; that is what is worn down here. */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"
#include "tlspeer.h"
#include "weir_mint.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static const char timeouts[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {headTimeout: 2s, idleTimeout: 5s, bodyTimeout: 3s, handshakeTimeout: 2s, "
    "upstreamIdleTimeout: 6s, pipeBytes: 16384, drainTimeout: 10s}\n";

struct world {
    struct mint ca, leaf;
    struct weir_tls_ctx *server, *client; /* whoever plays them */
};

static struct weir_tls_ctx *context(enum weir_tls_mode mode, const struct mint *leaf,
                                    const struct mint *ca, struct weir_slice alpn) {
    struct weir_tls_params params = { .mode = mode, .alpn = alpn };
    struct weir_tls_ctx *ctx = NULL;
    const char *why = "";

    if (leaf) {
        params.material.cert_chain = weir_slice_from_str(leaf->cert_pem);
        params.material.key = weir_slice_from_str(leaf->key_pem);
    }
    if (ca)
        params.material.ca = weir_slice_from_str(ca->cert_pem);
    if (weir_tls_ctx_new(&params, &ctx, &why) != 0)
        fail_msg("context: %s", why);
    return ctx;
}

static void world_init(struct world *w) {
    w->ca = mint_ca("test");
    w->leaf = mint_new(&(struct mint_spec){ .dns = { "server" } }, &w->ca);
    w->server = context(WEIR_TLS_SERVER, &w->leaf, NULL, WEIR_SLICE("\x02h2\x08http/1.1"));
    w->client = context(WEIR_TLS_CLIENT, NULL, &w->ca, WEIR_SLICE("\x08http/1.1"));
}

static void world_deinit(struct world *w) {
    weir_tls_ctx_unref(w->server);
    weir_tls_ctx_unref(w->client);
    mint_free(&w->leaf);
    mint_free(&w->ca);
}

/* The proxy has the certificate. */
static void flow_https(struct flow *f, struct world *w) {
    struct weir_tls_set set = { .server = weir_tls_ctx_ref(w->server) };

    flow_open(f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE, .yaml = timeouts, .tls = &set });
}

/* The server has it. */
static void flow_to_https(struct flow *f, struct world *w) {
    struct weir_tls_set set = { .to = weir_tls_ctx_ref(w->client) };

    flow_open(
        f, &(struct flow_options){
               .dir = WEIR_DIR_REVERSE, .yaml = timeouts, .scheme = WEIR_TO_HTTPS, .tls = &set });
}

static void a_request_over_tls_is_told_so(void **state) {
    struct world w;
    struct flow f;
    struct tls_peer *c;
    struct mem_conn *s;

    (void)state;
    world_init(&w);
    flow_https(&f, &w);
    c = tls_over(&f, flow_client(&f), w.client, "server");
    tls_say(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = flow_server(&f);
    flow_expect_holds(s, "x-forwarded-proto: https\r\n");
    flow_send(&f, s, OK);
    assert_string_equal(tls_text(c), OK);
    assert_int_equal(flow_count(&f, WEIR_C_TLS_HANDSHAKES), 1);
    flow_end(&f);
    world_deinit(&w);
}

static void an_upload_in_many_records_reaches_a_slow_server(void **state) {
    struct world w;
    struct flow f;
    struct tls_peer *c;
    struct mem_conn *s;
    static char body[400000];
    size_t n;

    (void)state;
    world_init(&w);
    flow_https(&f, &w);
    mem_buffer_size(f.net, 8192);
    c = tls_over(&f, flow_client(&f), w.client, "server");
    memset(body, 'u', sizeof(body));
    tls_say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n");
    flow_run(&f);
    tls_send(c, body, sizeof(body), 100);
    s = flow_server(&f);
    for (int i = 0; i < 400; i++) {
        mem_hold(s, i % 2 == 0);
        mem_turn(f.net);
        mem_turn(f.net);
    }
    mem_hold(s, false);
    flow_run(&f);
    n = mem_received_len(s);
    assert_true(n > sizeof(body));
    assert_string_equal(mem_received(s) + n - 5, "uuuuu");
    flow_send(&f, s, OK);
    assert_string_equal(tls_text(c), OK);
    flow_end(&f);
    world_deinit(&w);
}

/* The client's bytes are decrypted already and wait; what ends the exchange resumes them. */
static void an_upload_whose_server_breaks_is_answered(void **state) {
    static const int kinds[] = { 0, 1, 2 };

    (void)state;
    for (size_t k = 0; k < WEIR_ARRAY_LEN(kinds); k++) {
        struct world w;
        struct flow f;
        struct tls_peer *c;
        struct mem_conn *s;
        static char body[100000];

        world_init(&w);
        flow_https(&f, &w);
        mem_buffer_size(f.net, 8192);
        c = tls_over(&f, flow_client(&f), w.client, "server");
        tls_say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        flow_run(&f);
        tls_send(c, body, sizeof(body), 50);
        s = flow_server(&f);
        mem_hold(s, true);
        flow_run(&f);
        if (kinds[k] == 0)
            mem_reset(s);
        else if (kinds[k] == 1)
            mem_close(s);
        else
            mem_send(s, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
        flow_run(&f);
        flow_expect_text(tls_text(c), kinds[k] == 2 ? "HTTP/1.1 413 " : "HTTP/1.1 502 ");
        flow_wait(&f, 6000000);
        assert_true(mem_n_streams(f.net) == 0);
        flow_end(&f);
        world_deinit(&w);
    }
}

static void a_pipeline_in_many_records_is_answered(void **state) {
    struct world w;
    struct flow f;
    struct tls_peer *c;
    struct mem_conn *s;
    enum { N = 300 };
    static char text[N * 40];

    (void)state;
    world_init(&w);
    flow_https(&f, &w);
    c = tls_over(&f, flow_client(&f), w.client, "server");
    for (int i = 0; i < N; i++)
        strcat(text, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    flow_run(&f);
    tls_send(c, text, strlen(text), 13);
    s = flow_server(&f);
    for (int i = 0; i < N; i++)
        flow_send(&f, s, OK);
    assert_int_equal(tls_len(c), N * strlen(OK));
    flow_end(&f);
    world_deinit(&w);
}

static void a_download_to_a_slow_reader_is_complete(void **state) {
    struct world w;
    struct flow f;
    struct tls_peer *c;
    struct mem_conn *s;
    static char body[300000];

    (void)state;
    world_init(&w);
    flow_https(&f, &w);
    mem_buffer_size(f.net, 4096);
    c = tls_over(&f, flow_client(&f), w.client, "server");
    tls_say(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = flow_server(&f);
    tls_hold(c, true);
    mem_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
    mem_send_bytes(s, body, sizeof(body));
    flow_run(&f);
    assert_true(mem_unsent(s) > 100000);
    for (int i = 0; i < 60; i++) { /* slower than bodyTimeout for the whole, but never still */
        tls_hold(c, false);
        mem_turn(f.net);
        tls_hold(c, true);
        flow_wait(&f, 500000);
    }
    assert_true(tls_len(c) > 100000);
    assert_false(mem_is_closed(s));
    tls_hold(c, false);
    flow_run(&f);
    assert_true(tls_len(c) > sizeof(body));
    flow_end(&f);
    world_deinit(&w);
}

static void a_download_from_a_tls_server_waits_for_its_reader(void **state) {
    struct world w;
    struct flow f;
    struct mem_conn *c;
    struct tls_peer *s;
    static char body[300000];

    (void)state;
    world_init(&w);
    flow_to_https(&f, &w);
    mem_buffer_size(f.net, 8192);
    c = flow_client(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = tls_over(&f, flow_server(&f), w.server, NULL);
    flow_expect_text(tls_text(s), "GET / HTTP/1.1\r\n");
    mem_hold(c, true);
    tls_say(s, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
    tls_send(s, body, sizeof(body), 70);
    flow_run(&f);
    assert_true(mem_received_len(c) == 0);
    for (int i = 0; i < 400; i++) {
        mem_hold(c, i % 3 != 0);
        mem_turn(f.net);
    }
    mem_hold(c, false);
    flow_run(&f);
    assert_int_equal(mem_received_len(c),
                     sizeof(body) + strlen("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"));
    flow_end(&f);
    world_deinit(&w);
}

/* The response waits decrypted behind a paused reader when the client goes: nobody may be told of it any more. */
static void a_client_that_leaves_a_download_ends_it(void **state) {
    struct world w;
    struct flow f;
    struct mem_conn *c;
    struct tls_peer *s;
    static char body[300000];

    (void)state;
    world_init(&w);
    flow_to_https(&f, &w);
    mem_buffer_size(f.net, 8192);
    c = flow_client(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = tls_over(&f, flow_server(&f), w.server, NULL);
    mem_hold(c, true);
    tls_say(s, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
    tls_send(s, body, sizeof(body), 70);
    flow_run(&f);
    mem_reset(c);
    flow_run(&f);
    assert_int_equal(mem_n_streams(f.net), 0);
    flow_end(&f);
    world_deinit(&w);
}

static void a_server_of_another_name_is_503(void **state) {
    struct world w;
    struct flow f;
    struct mem_conn *c;
    struct mint other;
    struct weir_tls_ctx *ctx;

    (void)state;
    world_init(&w);
    other = mint_new(&(struct mint_spec){ .dns = { "somebody.else" } }, &w.ca);
    ctx = context(WEIR_TLS_SERVER, &other, NULL, WEIR_SLICE("\x08http/1.1"));
    flow_to_https(&f, &w);
    c = flow_client(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 3; i++)
        tls_over(&f, flow_server(&f), ctx, NULL);
    flow_expect_starts(c, "HTTP/1.1 503 ");
    flow_expect_holds(c, "certificate name mismatch");
    assert_int_equal(flow_count(&f, WEIR_C_TLS_FAILED), 3);
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECT_FAILED), 3);
    flow_wait(&f, 1000000);
    assert_non_null(
        strstr(flow_lines(&f), "certificate name mismatch")); /* its stream is gone by now */
    flow_end(&f);
    weir_tls_ctx_unref(ctx);
    mint_free(&other);
    world_deinit(&w);
}

static void a_handshake_that_does_not_end_is_given_up(void **state) {
    struct world w;
    struct flow f;
    struct mem_conn *c;

    (void)state;
    world_init(&w);
    flow_https(&f, &w);
    c = flow_client(&f);
    flow_send(&f, c, "\x16\x03\x01\x02");
    flow_wait(&f, 2200000);
    assert_true(mem_is_closed(c));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, TIMEOUT_HANDSHAKE)), 1);
    assert_int_equal(flow_count(&f, WEIR_C_TLS_FAILED), 1);
    flow_end(&f);
    world_deinit(&w);
}

static void a_connection_of_before_is_not_used_once_the_server_must_prove_itself(void **state) {
    struct world w;
    struct flow f;
    struct mem_conn *c, *s;
    struct tls_peer *t;

    (void)state;
    world_init(&w);
    flow_open(&f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE, .yaml = timeouts });
    c = flow_client(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = flow_server(&f);
    flow_send(&f, s, OK);
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 1);
    f.options.scheme = WEIR_TO_HTTPS; /* the same address */
    f.tls.to = weir_tls_ctx_ref(w.client);
    flow_reload(&f, timeouts);
    assert_true(mem_is_closed(s));
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    t = tls_over(&f, flow_server(&f), w.server, NULL);
    flow_expect_text(tls_text(t), "GET / HTTP/1.1\r\n");
    tls_say(t, OK);
    flow_run(&f);
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 1);
    flow_reload(&f, timeouts); /* the trust may be another: verified anew */
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 0);
    flow_end(&f);
    world_deinit(&w);
}

static void a_request_that_spans_a_reload_leaves_no_connection_of_before(void **state) {
    struct world w;
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    world_init(&w);
    flow_open(&f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE, .yaml = timeouts });
    c = flow_client(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = flow_server(&f);
    f.options.scheme = WEIR_TO_HTTPS;
    f.tls.to = weir_tls_ctx_ref(w.client);
    flow_reload(&f, timeouts);
    assert_false(mem_is_closed(s)); /* it serves out */
    flow_send(&f, s, OK);
    assert_string_equal(mem_received(c), OK);
    assert_true(mem_is_closed(s));
    flow_end(&f);
    world_deinit(&w);
}

static void a_handshake_begun_before_a_drain_is_served_once(void **state) {
    struct world w;
    struct flow f;
    struct tls_peer *c;
    struct mem_conn *conn, *s;

    (void)state;
    world_init(&w);
    flow_https(&f, &w);
    conn = flow_client(&f);
    flow_run(&f);
    weir_worker_drain(&f.worker);
    c = tls_over(&f, conn, w.client, "server");
    tls_say(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = flow_server(&f);
    flow_send(&f, s, OK);
    flow_expect_text(tls_text(c), "Connection: close\r\n");
    flow_wait(&f, 3000000);
    assert_true(mem_is_closed(conn));
    flow_end(&f);
    world_deinit(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_over_tls_is_told_so),
        cmocka_unit_test(an_upload_in_many_records_reaches_a_slow_server),
        cmocka_unit_test(an_upload_whose_server_breaks_is_answered),
        cmocka_unit_test(a_pipeline_in_many_records_is_answered),
        cmocka_unit_test(a_download_to_a_slow_reader_is_complete),
        cmocka_unit_test(a_download_from_a_tls_server_waits_for_its_reader),
        cmocka_unit_test(a_client_that_leaves_a_download_ends_it),
        cmocka_unit_test(a_server_of_another_name_is_503),
        cmocka_unit_test(a_handshake_that_does_not_end_is_given_up),
        cmocka_unit_test(a_connection_of_before_is_not_used_once_the_server_must_prove_itself),
        cmocka_unit_test(a_request_that_spans_a_reload_leaves_no_connection_of_before),
        cmocka_unit_test(a_handshake_begun_before_a_drain_is_served_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
