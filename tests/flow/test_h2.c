/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 on either side or both: many exchanges on one connection, each with a fate of its own. */
#include "weir_test.h"

#include "core/conn.h"
#include "flow.h"
#include "h2peer.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static const char timeouts[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {headTimeout: 2s, idleTimeout: 5s, bodyTimeout: 3s, requestTimeout: 0s, "
    "upstreamIdleTimeout: 6s, pipeBytes: 16384, drainTimeout: 10s}\n";

static void flow_h2(struct flow *f, const char *yaml) {
    flow_open(
        f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE, .yaml = yaml, .scheme = WEIR_TO_H2C });
}

static struct h2_msg *take(struct h2_peer *s) {
    struct h2_msg *m = h2_take(s);

    assert_non_null(m);
    return m;
}

/* ---- what passes ---- */

static void a_request_passes_from_http2_to_http2(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m, *r;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "GET", "/x?y=z", (const char *const[]){ "x-a", "1", NULL }, true);
    s = h2_server(&f, NULL);
    r = take(s);
    assert_string_equal(h2_field(r, ":method"), "GET");
    assert_string_equal(h2_field(r, ":path"), "/x?y=z");
    assert_string_equal(h2_field(r, ":authority"), "example.com");
    assert_string_equal(h2_field(r, "x-a"), "1");
    assert_string_equal(h2_field(r, "x-forwarded-for"), "192.0.2.7");
    assert_true(r->end);
    h2_answer(r, "200", "hello");
    flow_run(&f);
    assert_string_equal(h2_field(m, ":status"), "200");
    assert_string_equal(h2_text(m), "hello");
    assert_true(m->closed);
    assert_int_equal(m->code, 0);
    assert_int_equal(c->error, 0);
    assert_int_equal(s->error, 0);
    assert_non_null(strstr(flow_lines(&f), "\"GET /x?y=z HTTP/2\" 200 - 0 5 "));
    flow_end(&f);
}

static void an_http1_client_reaches_an_http2_server(void **state) {
    struct flow f;
    struct mem_conn *c;
    struct h2_peer *s;
    struct h2_msg *r;

    (void)state;
    flow_h2(&f, "");
    c = flow_client(&f);
    flow_send(&f, c,
              "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: "
              "chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n");
    s = h2_server(&f, NULL);
    r = take(s);
    assert_string_equal(h2_text(r), "abc");
    assert_string_equal(r->trailers, "x-sum: 9\n");
    assert_string_equal(h2_field(r, "te"), "trailers");
    assert_true(r->end);
    h2_head(r, "200", NULL, false);
    h2_data(r, "xyz", 3, false);
    h2_trailers(r, (const char *const[]){ "grpc-status", "0", NULL });
    flow_run(&f);
    flow_expect_starts(c, "HTTP/1.1 200 OK\r\n");
    flow_expect_holds(c, "\r\n\r\n3\r\nxyz\r\n0\r\ngrpc-status: 0\r\n\r\n");
    assert_int_equal(s->error, 0);
    flow_end(&f);
}

static void an_http2_client_reaches_an_http1_server(void **state) {
    struct flow f;
    struct mem_conn *s;
    struct h2_peer *c;
    struct h2_msg *m;

    (void)state;
    flow_reverse(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "POST", "/", (const char *const[]){ "te", "trailers", NULL }, false);
    h2_data(m, "abc", 3, false);
    h2_trailers(m, (const char *const[]){ "x-sum", "9", NULL });
    s = flow_server(&f);
    flow_expect_starts(s, "POST / HTTP/1.1\r\nHost: example.com\r\n");
    flow_expect_holds(s, "ransfer-");
    flow_expect_holds(s, "\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n");
    flow_send(&f, s,
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n"
              "2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n");
    assert_string_equal(h2_text(m), "hi");
    assert_string_equal(m->trailers, "x-t: 1\n");
    assert_null(h2_field(m, "transfer-encoding"));
    assert_true(m->closed);
    assert_int_equal(c->error, 0);
    flow_end(&f);
}

static void interim_heads_and_head_requests_pass(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m, *r;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "HEAD", "/", NULL, true);
    s = h2_server(&f, NULL);
    r = take(s);
    h2_head(r, "103", (const char *const[]){ "link", "</x>", NULL }, false);
    flow_run(&f);
    assert_string_equal(h2_field(m, ":status"), "103");
    h2_head(r, "200", (const char *const[]){ "content-length", "77", NULL }, true);
    flow_run(&f);
    assert_non_null(strstr(m->head, ":status: 200\n"));
    assert_string_equal(h2_field(m, "content-length"), "77");
    assert_true(m->closed);
    assert_int_equal(m->code, 0);
    assert_int_equal(c->error, 0);
    flow_end(&f);
}

static void many_streams_share_one_connection_to_the_server(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m[50], *r;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    for (int i = 0; i < 50; i++)
        m[i] = h2_get(c, "/");
    s = h2_server(&f, NULL);
    for (int i = 0; i < 50; i++) {
        r = take(s);
        h2_answer(r, "200", "ok");
    }
    flow_run(&f);
    for (int i = 0; i < 50; i++) {
        assert_true(m[i]->closed);
        assert_string_equal(h2_text(m[i]), "ok");
    }
    assert_null(mem_next_dial(f.net));
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECTIONS), 1);
    flow_end(&f);
}

static void streams_to_an_http1_server_get_a_connection_each(void **state) {
    struct flow f;
    struct h2_peer *c;
    struct h2_msg *m[4];
    struct mem_conn *s[4];

    (void)state;
    flow_reverse(&f, "");
    c = h2_client(&f, NULL);
    for (int i = 0; i < 4; i++)
        m[i] = h2_get(c, "/");
    for (int i = 0; i < 4; i++)
        s[i] = flow_server(&f);
    for (int i = 3; i >= 0; i--)
        flow_send(&f, s[i], OK);
    for (int i = 0; i < 4; i++)
        assert_true(m[i]->closed);
    assert_int_equal(flow_count(&f, WEIR_C_UP_IDLE), 4);
    flow_end(&f);
}

static void no_more_streams_are_opened_than_the_server_allows(void **state) {
    struct flow f;
    struct h2_peer *c, *s, *s2;
    struct h2_msg *m[6];

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m[0] = h2_get(c, "/");
    s = h2_server(&f, &(struct h2_config){ .max_streams = 2 });
    for (int i = 1; i < 6; i++)
        m[i] = h2_get(c, "/");
    s2 = h2_server(&f, &(struct h2_config){ .max_streams = 100 });
    for (struct h2_msg *r; (r = h2_take(s)) || (r = h2_take(s2)); flow_run(&f))
        h2_answer(r, "200", "ok");
    for (int i = 0; i < 6; i++)
        assert_true(m[i]->closed && m[i]->code == 0);
    assert_int_equal(s->n_rst + s2->n_rst, 0);
    flow_end(&f);
}

/* ---- flow control ---- */

static void a_stalled_stream_does_not_stall_the_others(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m[3], *r[3];
    static char body[1 << 20];
    size_t high = 0;

    (void)state;
    flow_h2(&f, timeouts);
    c = h2_client(&f, &(struct h2_config){ .manual_window = true });
    for (int i = 0; i < 3; i++)
        m[i] = h2_get(c, "/");
    s = h2_server(&f, NULL);
    for (int i = 0; i < 3; i++) {
        r[i] = take(s);
        h2_head(r[i], "200", NULL, false);
    }
    h2_data(r[0], body, sizeof(body), true); /* the client will not read this one */
    flow_run(&f);
    assert_int_equal(m[0]->len, 65535); /* the whole window of the connection, too */
    nghttp2_session_consume_connection(c->session, 65535);
    flow_run(&f);
    assert_int_equal(m[0]->len, 65535);
    assert_true(r[0]->out_len > sizeof(body) / 2); /* the proxy keeps a bounded part */
    for (int k = 0; k < 10; k++) {
        h2_data(r[1], body, 20000, k == 9);
        h2_data(r[2], body, 20000, k == 9);
        flow_run(&f);
        nghttp2_session_consume(c->session, m[1]->id, m[1]->len - (size_t)k * 20000);
        nghttp2_session_consume(c->session, m[2]->id, m[2]->len - (size_t)k * 20000);
        flow_run(&f);
        if (mem_net(f.net)->pool->n_live > high)
            high = mem_net(f.net)->pool->n_live;
    }
    assert_int_equal(m[1]->len, 200000);
    assert_int_equal(m[2]->len, 200000);
    assert_true(m[1]->closed && m[2]->closed);
    assert_true(high < 60); /* chunks of 16 KiB */
    flow_end(&f);
}

/* Two requests with content to a server that gives stream 0 no more window than the first; `m` at the client, `r` at the server. */
static struct h2_peer *two_uploads(struct flow *f, struct h2_msg *m[2], struct h2_msg *r[2]) {
    static char body[1 << 20];
    struct h2_peer *c = h2_client(f, NULL), *s;

    m[0] = h2_ask(c, "POST", "/0", NULL, false);
    m[1] = h2_ask(c, "POST", "/1", NULL, false);
    s = h2_server(f, &(struct h2_config){ .manual_window = true });
    r[0] = take(s);
    r[1] = take(s);
    h2_data(m[0], body, sizeof(body), true);
    flow_run(f);
    nghttp2_session_consume_connection(s->session, r[0]->len);
    return s;
}

static void a_stalled_upload_does_not_stall_the_others(void **state) {
    struct flow f;
    struct h2_peer *s;
    struct h2_msg *m[2], *r[2];
    static char body[1 << 20];

    (void)state;
    flow_h2(&f, timeouts);
    s = two_uploads(&f, m, r);
    flow_run(&f);
    assert_true(m[0]->out_len > sizeof(body) / 2);
    h2_data(m[1], body, 50000, true);
    flow_run(&f);
    assert_int_equal(r[1]->len, 50000);
    assert_true(r[1]->end);
    h2_answer(r[1], "200", "ok");
    flow_run(&f);
    assert_true(m[1]->closed);
    for (int i = 0; i < 1000 && !r[0]->end; i++) {
        h2_credit(r[0], i == 0 ? 0 : 20000);
        nghttp2_submit_window_update(s->session, 0, r[0]->id, 20000);
        nghttp2_submit_window_update(s->session, 0, 0, 20000);
        flow_run(&f);
    }
    assert_int_equal(r[0]->len, sizeof(body));
    flow_end(&f);
}

static void a_client_that_gives_no_window_is_reset_alone(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m[2], *r[2];
    static char body[1 << 20];

    (void)state;
    flow_h2(&f, timeouts);
    c = h2_client(&f, &(struct h2_config){ .manual_window = true });
    m[0] = h2_get(c, "/0");
    m[1] = h2_get(c, "/1");
    s = h2_server(&f, NULL);
    r[0] = take(s);
    r[1] = take(s);
    h2_head(r[0], "200", NULL, false);
    h2_data(r[0], body, sizeof(body), true);
    flow_run(&f);
    nghttp2_session_consume_connection(c->session, 65535);
    h2_head(r[1], "200", NULL, false);
    for (int i = 0; i < 12; i++) { /* the other stream lives */
        h2_data(r[1], "x", 1, false);
        flow_wait(&f, 1000000);
        nghttp2_session_consume(c->session, m[1]->id, 1);
    }
    assert_true(m[0]->closed);
    assert_int_equal(m[0]->code, NGHTTP2_CANCEL);
    assert_true(r[0]->closed);
    assert_false(m[1]->closed);
    assert_int_equal(m[1]->len, 12);
    flow_end(&f);
}

static void an_upload_that_stops_is_ended_alone(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m[2], *r[2];

    (void)state;
    flow_h2(&f, timeouts);
    c = h2_client(&f, NULL);
    m[0] = h2_ask(c, "POST", "/0", (const char *const[]){ "content-length", "10", NULL }, false);
    m[1] = h2_ask(c, "POST", "/1", NULL, false);
    h2_data(m[0], "half", 4, false);
    s = h2_server(&f, NULL);
    r[0] = take(s);
    r[1] = take(s);
    for (int i = 0; i < 12; i++) {
        h2_data(m[1], "x", 1, false);
        flow_wait(&f, 1000000);
    }
    assert_true(r[0]->closed);
    assert_string_equal(h2_field(m[0], ":status"), "408");
    assert_true(m[0]->closed);
    assert_false(m[1]->closed);
    assert_int_equal(r[1]->len, 12);
    flow_end(&f);
}

static void a_server_that_gives_no_window_is_reset_alone(void **state) {
    struct flow f;
    struct h2_peer *s;
    struct h2_msg *m[2], *r[2];

    (void)state;
    flow_h2(&f, timeouts);
    s = two_uploads(&f, m, r);
    for (int i = 0; i < 12; i++) {
        h2_data(m[1], "x", 1, false);
        flow_wait(&f, 1000000);
        nghttp2_session_consume(s->session, r[1]->id, 1);
    }
    assert_true(r[0]->closed);
    assert_string_equal(h2_field(m[0], ":status"), "504");
    assert_false(m[1]->closed);
    assert_int_equal(r[1]->len, 12);
    flow_end(&f);
}

/* ---- refusals and retries ---- */

static void a_stream_behind_a_goaway_is_asked_elsewhere(void **state) {
    struct flow f;
    struct h2_peer *c, *s, *s2;
    struct h2_msg *m[2], *r;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m[0] = h2_get(c, "/0");
    m[1] = h2_ask(c, "POST", "/1", NULL, true);
    s = h2_server(&f, NULL);
    r = take(s);
    h2_goaway(s, r->id, NGHTTP2_NO_ERROR); /* the second was not processed */
    s2 = h2_server(&f, NULL);
    assert_string_equal(h2_field(take(s2), ":path"), "/1");
    h2_answer(r, "200", "first");
    h2_answer(s2->msgs, "200", "second");
    flow_run(&f);
    assert_string_equal(h2_text(m[0]), "first");
    assert_string_equal(h2_text(m[1]), "second");
    assert_true(mem_is_closed(s->conn)); /* drained */
    assert_false(mem_is_closed(s2->conn));
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 1);
    flow_end(&f);
}

static void content_goes_along_with_a_stream_that_was_not_looked_at(void **state) {
    struct flow f;
    struct h2_peer *c, *s, *s2;
    struct h2_msg *m, *r;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "POST", "/", NULL, false);
    h2_data(m, "one ", 4, false);
    s = h2_server(&f, NULL);
    r = take(s);
    h2_data(m, "two ", 4, false);
    flow_run(&f);
    assert_string_equal(h2_text(r), "one two ");
    h2_goaway(s, 0, NGHTTP2_NO_ERROR);
    s2 = h2_server(&f, NULL);
    h2_data(m, "three", 5, true);
    flow_run(&f);
    r = take(s2);
    assert_true(r->end);
    assert_string_equal(h2_text(r), "one two three");
    h2_answer(r, "200", "all of it");
    flow_run(&f);
    assert_string_equal(h2_text(m), "all of it");
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 1);
    flow_end(&f);
}

static void content_beyond_what_is_kept_is_not_sent_again(void **state) {
    static char body[20000];
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m;

    (void)state;
    flow_h2(&f, "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec: {limits: "
                "{pipeBytes: 16384}}\n");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "POST", "/", NULL, false);
    s = h2_server(&f, NULL);
    h2_data(m, body, sizeof(body), false);
    flow_run(&f);
    assert_int_equal(take(s)->len, sizeof(body));
    h2_goaway(s, 0, NGHTTP2_NO_ERROR);
    flow_run(&f);
    assert_null(mem_next_dial(f.net));
    assert_string_equal(h2_field(m, "x-weir-reason"), "upstream_goaway");
    flow_end(&f);
}

static void content_once_answered_is_no_longer_kept(void **state) {
    static char body[20000];
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m, *r;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "POST", "/", NULL, false);
    s = h2_server(&f, NULL);
    h2_data(m, body, 1000, false);
    r = take(s);
    h2_head(r, "200", NULL, false);
    flow_run(&f);
    h2_data(m, body, sizeof(body), true);
    flow_run(&f);
    h2_data(r, "done", 4, true);
    flow_run(&f);
    assert_string_equal(h2_text(m), "done");
    assert_int_equal(r->len, sizeof(body) + 1000);
    flow_end(&f);
}

static void a_refused_stream_is_asked_again_and_not_for_ever(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m, *r;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "POST", "/", NULL, true);
    s = h2_server(&f, NULL);
    for (int i = 0; i < 3; i++) {
        r = take(s);
        h2_rst(r, NGHTTP2_REFUSED_STREAM);
        flow_run(&f);
    }
    assert_null(h2_take(s));
    assert_string_equal(h2_field(m, ":status"), "503");
    assert_string_equal(h2_field(m, "x-weir-reason"), "upstream_goaway");
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 2);
    flow_end(&f);
}

static void a_reset_by_the_server_is_its_answer(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m, *r;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    h2_get(c, "/");
    s = h2_server(&f, NULL);
    h2_answer(take(s), "200", "ok");
    flow_run(&f);
    m = h2_get(c, "/"); /* the connection has served before */
    flow_run(&f);
    r = take(s);
    h2_rst(r, NGHTTP2_INTERNAL_ERROR);
    flow_run(&f);
    assert_null(h2_take(s));
    assert_string_equal(h2_field(m, ":status"), "502");
    assert_int_equal(flow_count(&f, WEIR_C_RETRIES), 0);
    flow_end(&f);
}

static void a_dying_connection_is_not_asked_again(void **state) {
    static const char data_on_zero[] = "\0\0\1\0\0\0\0\0\0x";
    struct flow f;
    struct h2_peer *c, *s, *s2;
    struct h2_msg *m[3];

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m[0] = h2_get(c, "/0");
    s = h2_server(&f, &(struct h2_config){ .max_streams = 1 });
    take(s);
    m[1] = h2_get(c, "/1"); /* opens another */
    s2 = h2_server(&f, NULL);
    take(s2);
    h2_raw(s2, data_on_zero, 10);
    m[2] = h2_get(c, "/2");
    flow_run(&f);
    assert_string_equal(h2_field(m[1], ":status"), "502");
    assert_true(mem_is_closed(s2->conn));
    s2 = h2_server(&f, NULL);
    h2_answer(take(s2), "200", "ok");
    flow_run(&f);
    assert_string_equal(h2_text(m[2]), "ok");
    flow_end(&f);
}

static void streams_that_wait_for_a_dying_connection_go_elsewhere(void **state) {
    static const char data_on_zero[] = "\0\0\1\0\0\0\0\0\0x";
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m[3];
    struct mem_conn *conn;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    for (int i = 0; i < 3; i++)
        m[i] = h2_get(c, "/");
    flow_run(&f);
    conn = mem_next_dial(f.net);
    mem_dial_accept(conn);
    /* One stream only, then nonsense: two requests have not left when the connection dies. */
    mem_send_bytes(conn, "\0\0\6\4\0\0\0\0\0\0\3\0\0\0\1", 15);
    mem_send_bytes(conn, data_on_zero, 10);
    s = h2_server(&f, NULL);
    for (struct h2_msg *r; (r = h2_take(s)); flow_run(&f))
        h2_answer(r, "200", "ok");
    assert_true(mem_is_closed(conn));
    for (int i = 0, ok = 0; i < 3; i++) {
        assert_true(m[i]->closed);
        ok += strcmp(h2_field(m[i], ":status"), "200") == 0;
        if (i == 2)
            assert_true(ok >= 2);
    }
    flow_end(&f);
}

static void one_failed_dial_counts_once_however_many_waited(void **state) {
    struct flow f;
    struct h2_peer *c;
    struct mem_conn *s;

    (void)state;
    flow_open(&f, &(struct flow_options){
                      .dir = WEIR_DIR_REVERSE, .yaml = "", .scheme = WEIR_TO_H2C, .n_to = 1 });
    c = h2_client(&f, NULL);
    for (int i = 0; i < 10; i++)
        h2_get(c, "/");
    flow_run(&f);
    s = mem_next_dial(f.net);
    mem_dial_refuse(s);
    flow_run(&f);
    assert_int_equal(flow_count(&f, WEIR_C_UP_CONNECT_FAILED), 1);
    s = mem_next_dial(f.net); /* the ten share the next one, to an endpoint with one failure */
    assert_non_null(s);
    assert_null(mem_next_dial(f.net));
    assert_int_equal(f.worker.ups.next == &f.worker.ups, 0);
    assert_int_equal(
        WEIR_CONTAINER_OF(f.worker.ups.next, struct weir_conn, node)->endpoint->failures, 1);
    flow_end(&f);
}

/* ---- ends ---- */

static void a_reset_by_the_client_cancels_upstream(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m[2], *r[2];

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m[0] = h2_get(c, "/0");
    m[1] = h2_get(c, "/1");
    s = h2_server(&f, NULL);
    r[0] = take(s);
    r[1] = take(s);
    h2_rst(m[0], NGHTTP2_CANCEL);
    flow_run(&f);
    assert_true(r[0]->closed);
    assert_int_equal(r[0]->code, NGHTTP2_CANCEL);
    assert_false(r[1]->closed);
    h2_answer(r[1], "200", "ok");
    flow_run(&f);
    assert_string_equal(h2_text(m[1]), "ok");
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS_ACTIVE), 0);
    flow_end(&f);
}

static void a_client_gone_before_the_dial_is_done_leaves_a_usable_connection(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m;

    (void)state;
    flow_h2(&f, timeouts);
    c = h2_client(&f, NULL);
    m = h2_get(c, "/0");
    flow_run(&f);
    h2_rst(m, NGHTTP2_CANCEL);
    flow_run(&f);
    s = h2_server(&f, NULL);
    assert_null(h2_take(s));
    m = h2_get(c, "/1");
    flow_run(&f);
    h2_answer(take(s), "200", "ok");
    flow_run(&f);
    assert_string_equal(h2_text(m), "ok");
    flow_end(&f);
}

static void an_abandoned_stream_lets_an_unwanted_connection_go(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m;
    int idles = 0;

    (void)state;
    (void)idles;
    flow_h2(&f, timeouts);
    c = h2_client(&f, NULL);
    m = h2_get(c, "/");
    s = h2_server(&f, NULL);
    take(s);
    f.options.scheme = WEIR_TO_HTTP; /* another protocol: this connection serves out */
    flow_reload(&f, timeouts);
    assert_false(mem_is_closed(s->conn));
    h2_rst(m, NGHTTP2_CANCEL);
    flow_run(&f);
    assert_true(mem_is_closed(s->conn));
    flow_end(&f);
}

static void an_idle_connection_to_the_server_is_closed_in_time(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m;

    (void)state;
    flow_h2(&f, timeouts);
    c = h2_client(&f, NULL);
    m = h2_get(c, "/");
    s = h2_server(&f, NULL);
    take(s);
    h2_rst(m, NGHTTP2_CANCEL); /* the only exchange it ever had did not complete */
    flow_run(&f);
    flow_wait(&f, 7000000);
    assert_true(mem_is_closed(s->conn));
    assert_true(mem_got_eof(c->conn));
    flow_end(&f);
}

static void an_early_answer_ends_the_upload(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m, *r;
    static char body[1 << 20];

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "POST", "/", NULL, false);
    h2_data(m, body, sizeof(body), false);
    s = h2_server(&f, &(struct h2_config){ .manual_window = true });
    r = take(s);
    h2_answer(r, "413", "big");
    flow_run(&f);
    assert_string_equal(h2_field(m, ":status"), "413");
    assert_string_equal(h2_text(m), "big");
    assert_true(m->closed); /* RST_STREAM(NO_ERROR) behind the answer */
    assert_int_equal(m->code, NGHTTP2_NO_ERROR);
    assert_true(r->closed);
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS_ACTIVE), 0);
    assert_non_null(strstr(flow_lines(&f), " 413 - "));
    flow_end(&f);
}

static void an_answer_of_our_own_ends_the_upload(void **state) {
    struct flow f;
    struct h2_peer *c;
    struct h2_msg *m;
    static char body[1 << 20];

    (void)state;
    flow_h2(&f, timeouts);
    c = h2_client(&f, NULL);
    m = h2_ask(c, "POST", "/", NULL, false);
    h2_data(m, body, sizeof(body), false);
    flow_run(&f);
    for (int i = 0; i < 3; i++) {
        mem_dial_refuse(mem_next_dial(f.net));
        flow_run(&f);
    }
    assert_string_equal(h2_field(m, ":status"), "503");
    assert_true(m->closed);
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS_ACTIVE), 0);
    flow_end(&f);
}

static void a_drain_says_goaway_and_finishes_what_runs(void **state) {
    struct flow f;
    struct h2_peer *c, *idle, *s;
    struct h2_msg *m, *late;

    (void)state;
    flow_h2(&f, timeouts);
    idle = h2_client(&f, NULL);
    c = h2_client(&f, NULL);
    m = h2_get(c, "/0");
    s = h2_server(&f, NULL);
    late = h2_get(c, "/1"); /* under way before the client can have read the notice */
    h2_push(c);
    weir_worker_drain(&f.worker);
    flow_run(&f);
    assert_true(idle->goaway && c->goaway);
    assert_int_equal(c->goaway_code, NGHTTP2_NO_ERROR);
    h2_answer(take(s), "200", "first");
    flow_run(&f);
    h2_answer(take(s), "200", "second");
    flow_run(&f);
    assert_string_equal(h2_text(m), "first");
    assert_string_equal(h2_text(late), "second");
    assert_int_equal(c->goaway_last, late->id);
    assert_true(mem_got_eof(c->conn));
    assert_true(mem_got_eof(idle->conn));
    flow_wait(&f, 3000000);
    assert_true(mem_is_closed(c->conn));
    assert_true(mem_is_closed(idle->conn));
    assert_true(mem_is_closed(s->conn));
    flow_end(&f);
}

static void a_request_that_crosses_a_drain_is_served_or_known_unserved(void **state) {
    struct flow f;
    struct h2_peer *c;
    struct h2_msg *m;

    (void)state;
    flow_h2(&f, timeouts);
    c = h2_client(&f, NULL);
    flow_run(&f);
    m = h2_get(c, "/");
    h2_push(c);
    weir_worker_drain(&f.worker); /* the connection is idle */
    flow_run(&f);
    h2_answer(take(h2_server(&f, NULL)), "200", "ok");
    flow_run(&f);
    assert_string_equal(h2_text(m), "ok");
    flow_end(&f);
}

static void an_idle_client_is_told_the_last_stream_served(void **state) {
    struct flow f;
    struct h2_peer *c;
    struct h2_msg *m;

    (void)state;
    flow_h2(&f, timeouts);
    c = h2_client(&f, NULL);
    m = h2_get(c, "/");
    h2_answer(take(h2_server(&f, NULL)), "200", "ok");
    flow_wait(&f, 6000000);
    assert_true(c->goaway);
    assert_int_equal(c->goaway_last, m->id);
    flow_wait(&f, 3000000);
    assert_true(mem_is_closed(c->conn));
    flow_end(&f);
}

static void a_protocol_error_is_told_before_the_end(void **state) {
    static const char data_on_zero[] = "\0\0\1\0\0\0\0\0\0x";
    struct flow f;
    struct h2_peer *c;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    h2_get(c, "/");
    flow_run(&f);
    h2_raw(c, data_on_zero, 10);
    for (int i = 0; i < 100; i++)
        h2_raw(c, "\0\0\1\0\0\0\0\0\1x", 10); /* and more behind it, unread */
    flow_run(&f);
    assert_true(c->goaway);
    assert_int_equal(c->goaway_code, NGHTTP2_PROTOCOL_ERROR);
    assert_false(mem_got_reset(c->conn));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, PROTOCOL)), 2); /* it and its stream */
    flow_wait(&f, 3000000);
    assert_true(mem_is_closed(c->conn));
    flow_end(&f);
}

static const char requested[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {requestTimeout: 4s}\n";

static void a_request_timeout_ends_one_stream(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m[2], *r[2];

    (void)state;
    flow_h2(&f, requested);
    c = h2_client(&f, NULL);
    m[0] = h2_get(c, "/0");
    s = h2_server(&f, NULL);
    r[0] = take(s);
    flow_wait(&f, 3000000);
    m[1] = h2_get(c, "/1");
    flow_wait(&f, 1300000);
    r[1] = take(s);
    assert_string_equal(h2_field(m[0], ":status"), "504");
    assert_true(r[0]->closed);
    assert_false(r[1]->closed);
    h2_head(r[1], "200", NULL, false);
    h2_data(r[1], "part", 4, false);
    flow_wait(&f, 4200000); /* in the middle of an answer: cut, not completed */
    assert_true(m[1]->closed);
    assert_int_not_equal(m[1]->code, NGHTTP2_NO_ERROR);
    assert_true(r[1]->closed);
    flow_end(&f);
}

static void an_answer_the_server_breaks_off_is_reset(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m, *r;

    (void)state;
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m = h2_get(c, "/");
    s = h2_server(&f, NULL);
    r = take(s);
    h2_head(r, "200", NULL, false);
    h2_data(r, "part", 4, false);
    flow_run(&f);
    mem_close(s->conn);
    flow_run(&f);
    assert_true(m->closed);
    assert_int_equal(m->code, NGHTTP2_INTERNAL_ERROR);
    flow_end(&f);
}

static void a_head_in_many_fields_passes(void **state) {
    struct flow f;
    struct h2_peer *c, *s;
    struct h2_msg *m, *r;
    static char value[20000];
    const char *const fields[] = { "x-big", value, NULL };

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    flow_h2(&f, "");
    c = h2_client(&f, NULL);
    m = h2_ask(c, "GET", "/", fields, true);
    s = h2_server(&f, NULL);
    r = take(s);
    assert_true(strlen(r->head) > 15000);
    h2_head(r, "200", (const char *const[]){ "x-more", value, NULL }, true);
    flow_run(&f);
    assert_true(m->closed);
    assert_true(strlen(m->head) > 15000);
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_passes_from_http2_to_http2),
        cmocka_unit_test(an_http1_client_reaches_an_http2_server),
        cmocka_unit_test(an_http2_client_reaches_an_http1_server),
        cmocka_unit_test(interim_heads_and_head_requests_pass),
        cmocka_unit_test(many_streams_share_one_connection_to_the_server),
        cmocka_unit_test(streams_to_an_http1_server_get_a_connection_each),
        cmocka_unit_test(no_more_streams_are_opened_than_the_server_allows),
        cmocka_unit_test(a_stalled_stream_does_not_stall_the_others),
        cmocka_unit_test(a_stalled_upload_does_not_stall_the_others),
        cmocka_unit_test(a_client_that_gives_no_window_is_reset_alone),
        cmocka_unit_test(an_upload_that_stops_is_ended_alone),
        cmocka_unit_test(a_server_that_gives_no_window_is_reset_alone),
        cmocka_unit_test(a_stream_behind_a_goaway_is_asked_elsewhere),
        cmocka_unit_test(content_goes_along_with_a_stream_that_was_not_looked_at),
        cmocka_unit_test(content_beyond_what_is_kept_is_not_sent_again),
        cmocka_unit_test(content_once_answered_is_no_longer_kept),
        cmocka_unit_test(a_refused_stream_is_asked_again_and_not_for_ever),
        cmocka_unit_test(a_reset_by_the_server_is_its_answer),
        cmocka_unit_test(a_dying_connection_is_not_asked_again),
        cmocka_unit_test(streams_that_wait_for_a_dying_connection_go_elsewhere),
        cmocka_unit_test(one_failed_dial_counts_once_however_many_waited),
        cmocka_unit_test(a_reset_by_the_client_cancels_upstream),
        cmocka_unit_test(a_client_gone_before_the_dial_is_done_leaves_a_usable_connection),
        cmocka_unit_test(an_abandoned_stream_lets_an_unwanted_connection_go),
        cmocka_unit_test(an_idle_connection_to_the_server_is_closed_in_time),
        cmocka_unit_test(an_early_answer_ends_the_upload),
        cmocka_unit_test(an_answer_of_our_own_ends_the_upload),
        cmocka_unit_test(a_drain_says_goaway_and_finishes_what_runs),
        cmocka_unit_test(a_request_that_crosses_a_drain_is_served_or_known_unserved),
        cmocka_unit_test(an_idle_client_is_told_the_last_stream_served),
        cmocka_unit_test(a_protocol_error_is_told_before_the_end),
        cmocka_unit_test(a_request_timeout_ends_one_stream),
        cmocka_unit_test(an_answer_the_server_breaks_off_is_reset),
        cmocka_unit_test(a_head_in_many_fields_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
