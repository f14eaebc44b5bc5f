/* SPDX-License-Identifier: Apache-2.0 */
/* The life of exchanges on an HTTP/1 connection. What heads and chunks look like is tested by the cases. */
#include "http/h1_internal.h"

#include "h1_owner.h"

#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"

static int feed_text(struct owner *o, const char *text, size_t *ret_used) {
    return owner_feed(o, text, strlen(text), ret_used);
}

static void feed_is(struct owner *o, const char *text, int want, size_t used) {
    size_t got;
    assert_int_equal(feed_text(o, text, &got), want);
    assert_int_equal(got, used);
}

static void feed_ok(struct owner *o, const char *text) {
    feed_is(o, text, 0, strlen(text));
}

static void log_forget(struct log *log) {
    log->len = 0;
    if (log->text)
        log->text[0] = '\0';
}

static void log_is(struct owner *o, const char *want) {
    flush_data(o);
    assert_string_equal(o->log.text ? o->log.text : "", want);
    log_forget(&o->log);
}

static void sent_is(struct owner *o, const char *want) {
    assert_int_equal(owner_pull(o), 0);
    assert_string_equal(o->sent.text ? o->sent.text : "", want);
    log_forget(&o->sent);
}

static int reply(struct owner *o, unsigned status, enum weir_body body, uint64_t length, bool end) {
    struct weir_head head = response_head(status, body, length);
    return o->codec->ops->send_head(o->codec, o->cs, &head, end);
}

static int send_text(struct owner *o, const char *text) {
    struct weir_bufq q;
    weir_bufq_init(&q, &o->pool, 0);
    int r = weir_bufq_append(&q, weir_slice_from_str(text));
    if (r == 0)
        r = o->codec->ops->send_data(o->codec, o->cs, &q);
    if (r == 0)
        assert_true(q.len == 0);
    weir_bufq_deinit(&q);
    return r;
}

static int send_end(struct owner *o) {
    return o->codec->ops->send_end(o->codec, o->cs, NULL);
}

static int ask(struct owner *o, const char *method, enum weir_body body, uint64_t length,
               bool end) {
    struct weir_head head = request_head(method, "/", body, length);
    weir_head_init(&o->head, &o->arena);
    int r = o->codec->ops->open(o->codec, o, &o->head, &o->cs);
    return r ? r : o->codec->ops->send_head(o->codec, o->cs, &head, end);
}

#define HEAD_GET "begin\nhead GET / 1.1 authority=a body=none keep-alive\n"
#define HEAD_POST                                                                                  \
    "begin\nhead POST / 1.1 authority=a body=length:5 keep-alive\n  Content-Length: 5\n"

static void an_idle_connection_is_small_and_holds_no_chunk(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    assert_true(sizeof(struct weir_h1) <= 304);
    for (int i = 0; i < 3; i++) {
        feed_ok(&o, GET);
        assert_int_equal(reply(&o, 200, WEIR_BODY_LENGTH, 0, true), 0);
        assert_int_equal(owner_pull(&o), 0);
        assert_null(((struct weir_h1 *)o.codec)->out);
        assert_int_equal(o.pool.n_live, 0);
    }
    assert_int_equal(o.n_closed, 3);
    owner_deinit(&o);
}

static void an_exchange_ends_when_its_response_has_been_pulled(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_is(&o, GET GET, 0, strlen(GET));
    assert_int_equal(o.cs->id, 1);
    assert_int_equal(o.codec->n_active, 1);
    assert_int_equal(reply(&o, 200, WEIR_BODY_LENGTH, 2, false), 0);
    assert_int_equal(send_text(&o, "ok"), 0);
    assert_int_equal(owner_pull(&o), 0);
    log_is(&o, HEAD_GET "end\n");
    assert_int_equal(send_end(&o), 0);
    log_is(&o, "");
    assert_true(o.codec->want_pull);
    feed_is(&o, GET, 0, 0);
    sent_is(&o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    log_is(&o, "closed\n");
    assert_int_equal(o.codec->n_active, 0);
    feed_ok(&o, GET);
    assert_int_equal(o.cs->id, 2);
    log_is(&o, HEAD_GET "end\n");
    owner_deinit(&o);
}

static void an_error_before_the_content_has_come_costs_the_connection(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, POST "ab");
    assert_int_equal(reply(&o, 413, WEIR_BODY_LENGTH, 0, true), 0);
    assert_true(o.codec->must_close);
    feed_ok(&o, "c");
    sent_is(&o, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    log_is(&o, HEAD_POST "data abc\nclosed\n");
    feed_ok(&o, "de" GET);
    log_is(&o, "");
    assert_int_equal(o.codec->ops->eof(o.codec), 0);
    owner_deinit(&o);
}

static void eof_does_not_cut_an_answer_that_is_complete(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, POST "ab");
    assert_int_equal(reply(&o, 403, WEIR_BODY_LENGTH, 0, true), 0);
    assert_int_equal(owner_eof(&o), 0);
    sent_is(&o, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    log_is(&o, HEAD_POST "data ab\nclosed\n");
    owner_deinit(&o);
}

static void a_response_may_begin_before_the_request_ends(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, POST "ab");
    assert_int_equal(reply(&o, 200, WEIR_BODY_STREAM, UINT64_MAX, false), 0);
    assert_int_equal(send_text(&o, "one"), 0);
    sent_is(&o, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    feed_ok(&o, "cde");
    assert_int_equal(send_end(&o), 0);
    sent_is(&o, "0\r\n\r\n");
    log_is(&o, HEAD_POST "data abcde\nend\nclosed\n");
    assert_false(o.codec->must_close);
    owner_deinit(&o);
}

static void a_response_that_ends_before_the_request_costs_the_connection(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, POST "ab");
    assert_int_equal(reply(&o, 200, WEIR_BODY_STREAM, UINT64_MAX, false), 0);
    assert_false(o.codec->must_close);
    assert_int_equal(send_end(&o), 0);
    assert_true(o.codec->must_close);
    sent_is(&o, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    log_is(&o, HEAD_POST "data ab\nclosed\n");
    owner_deinit(&o);
}

static void a_refused_begin_is_our_fault(void **state) {
    struct owner o;
    size_t used;
    owner_init(&o, WEIR_ROLE_SERVER);
    o.refuse = true;
    assert_int_equal(feed_text(&o, GET, &used), WEIR_CODEC_FAULT);
    assert_int_equal(o.codec->fault.side, WEIR_SIDE_LOCAL);
    assert_int_equal(o.codec->fault.kind, WEIR_FAULT_LIMIT_STREAMS);
    assert_int_equal(o.codec->n_active, 0);
    owner_deinit(&o);
}

static void a_fault_can_still_be_answered(void **state) {
    static const char *const wrong[] = {
        "\x16\x03\x01",
        "\n",
        "GET / HTTP/3.7\r\n",
        "GET / HTTP/1.1\r\nHost: a,b\r\n",
        POST "ab\0" /* eof below */,
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(wrong); i++) {
        struct owner o;
        size_t used;
        owner_init(&o, WEIR_ROLE_SERVER);
        if (feed_text(&o, wrong[i], &used) == 0)
            assert_int_equal(owner_eof(&o), WEIR_CODEC_FAULT);
        assert_true(o.codec->must_close);
        assert_int_equal(o.codec->n_active, 1);
        assert_int_equal(o.codec->fault.side, WEIR_SIDE_DOWNSTREAM);
        assert_int_equal(reply(&o, 400, WEIR_BODY_LENGTH, 3, false), 0);
        assert_int_equal(send_text(&o, "no\n"), 0);
        assert_int_equal(send_end(&o), 0);
        sent_is(&o,
                "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n");
        assert_int_equal(o.n_closed, 1);
        feed_ok(&o, GET);
        assert_int_equal(o.codec->n_active, 0);
        owner_deinit(&o);
    }
}

static void draining_is_announced_in_the_next_response(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, GET);
    o.codec->ops->drain(o.codec);
    assert_false(o.codec->must_close);
    assert_false(weir_h1_has_answered(o.codec));
    assert_int_equal(reply(&o, 204, WEIR_BODY_NONE, UINT64_MAX, true), 0);
    assert_true(weir_h1_has_answered(o.codec));
    sent_is(&o, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert_true(o.codec->must_close);
    owner_deinit(&o);

    owner_init(&o, WEIR_ROLE_SERVER);
    o.codec->ops->drain(o.codec);
    assert_true(o.codec->must_close);
    owner_deinit(&o);
}

static void a_client_that_drains_opens_no_more(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_CLIENT);
    assert_int_equal(ask(&o, "GET", WEIR_BODY_NONE, UINT64_MAX, true), 0);
    o.codec->ops->drain(o.codec);
    assert_int_equal(owner_pull(&o), 0);
    feed_ok(&o, "HTTP/1.1 204 N\r\n\r\n");
    assert_int_equal(o.n_closed, 1);
    assert_true(o.codec->must_close);
    assert_int_equal(ask(&o, "GET", WEIR_BODY_NONE, UINT64_MAX, true), -EPIPE);
    owner_deinit(&o);
}

static void one_connection_carries_one_request_after_another(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_CLIENT);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(ask(&o, "GET", WEIR_BODY_NONE, UINT64_MAX, true), 0);
        assert_int_equal(o.cs->id, i);
        assert_int_equal(ask(&o, "GET", WEIR_BODY_NONE, UINT64_MAX, true), -EAGAIN);
        sent_is(&o, "GET / HTTP/1.1\r\nHost: up.test\r\n\r\n");
        feed_ok(&o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        feed_ok(&o, "ok");
        assert_int_equal(o.n_closed, i);
        assert_false(o.codec->must_close);
    }
    assert_int_equal(o.codec->ops->eof(o.codec), 0);
    assert_int_equal(ask(&o, "GET", WEIR_BODY_NONE, UINT64_MAX, true), -EPIPE);
    owner_deinit(&o);
}

static void bytes_nobody_asked_for_never_answer_the_next_request(void **state) {
    struct owner o;
    size_t used;
    /* between two requests */
    owner_init(&o, WEIR_ROLE_CLIENT);
    assert_int_equal(feed_text(&o, "HTTP/1.1 200 OK\r\n", &used), WEIR_CODEC_FAULT);
    assert_true(o.codec->must_close);
    assert_int_equal(ask(&o, "GET", WEIR_BODY_NONE, UINT64_MAX, true), -EPIPE);
    owner_deinit(&o);
    /* before any byte of the request has left */
    owner_init(&o, WEIR_ROLE_CLIENT);
    assert_int_equal(ask(&o, "GET", WEIR_BODY_NONE, UINT64_MAX, true), 0);
    assert_int_equal(feed_text(&o, "HTTP/1.1 200 OK\r\n", &used), WEIR_CODEC_FAULT);
    owner_deinit(&o);
}

/* The owner that would reuse the connection the moment it is free. */
static void reuse_at_closed(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    owner_closed(arg, cs);
    o->result = ask(o, "GET", WEIR_BODY_NONE, UINT64_MAX, true);
}

static void a_connection_with_bytes_left_over_is_not_free_when_it_is_told_closed(void **state) {
    struct owner o;
    struct weir_codec_events events = owner_events;
    size_t used;
    events.closed = reuse_at_closed;
    owner_init(&o, WEIR_ROLE_CLIENT);
    o.codec->events = &events;
    assert_int_equal(ask(&o, "GET", WEIR_BODY_NONE, UINT64_MAX, true), 0);
    assert_int_equal(owner_pull(&o), 0);
    assert_int_equal(feed_text(&o, "HTTP/1.1 204 N\r\n\r\nHTTP/1.1 200 OK\r\n", &used),
                     WEIR_CODEC_FAULT);
    assert_int_equal(o.result, -EPIPE);
    owner_deinit(&o);
    /* and with none left it is */
    owner_init(&o, WEIR_ROLE_CLIENT);
    o.codec->events = &events;
    assert_int_equal(ask(&o, "GET", WEIR_BODY_NONE, UINT64_MAX, true), 0);
    assert_int_equal(owner_pull(&o), 0);
    feed_ok(&o, "HTTP/1.1 204 N\r\n\r\n");
    assert_int_equal(o.result, 0);
    sent_is(&o, "GET / HTTP/1.1\r\nHost: up.test\r\n\r\nGET / HTTP/1.1\r\nHost: up.test\r\n\r\n");
    owner_deinit(&o);
}

static void an_early_answer_from_upstream_ends_the_exchange(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_CLIENT);
    assert_int_equal(ask(&o, "POST", WEIR_BODY_LENGTH, 10, false), 0);
    assert_int_equal(send_text(&o, "01234"), 0);
    assert_int_equal(owner_pull(&o), 0);
    feed_ok(&o, "HTTP/1.1 413 C\r\nContent-Length: 0\r\n\r\n");
    log_is(&o,
           "head 413 1.1 reason=C body=length:0 keep-alive\n  Content-Length: 0\nend\nclosed\n");
    assert_true(o.codec->must_close);
    owner_deinit(&o);
}

static void a_request_whose_length_has_left_is_whole(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_CLIENT);
    assert_int_equal(ask(&o, "POST", WEIR_BODY_LENGTH, 5, false), 0);
    assert_int_equal(send_text(&o, "01234"), 0);
    assert_int_equal(owner_pull(&o), 0);
    feed_ok(&o, "HTTP/1.1 200 C\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(o.n_closed, 1);
    assert_false(o.codec->must_close);
    owner_deinit(&o);
}

static void reset_gives_the_connection_up_without_an_event(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, POST "a");
    assert_int_equal(reply(&o, 200, WEIR_BODY_LENGTH, 9, false), 0);
    o.codec->ops->reset(o.codec, o.cs, WEIR_FAULT(UPSTREAM, RESET));
    assert_true(o.codec->must_close);
    assert_int_equal(o.codec->n_active, 0);
    feed_ok(&o, "bcde" GET);
    sent_is(&o, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    log_is(&o, HEAD_POST "data a\n");
    owner_deinit(&o);
}

static void reset_at_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                          struct weir_slice bytes) {
    struct owner *o = arg;
    o->codec->ops->reset(o->codec, cs, WEIR_FAULT(DOWNSTREAM, RESET));
    log_text(&o->log, "reset it\n");
}

static void reset_at_end(void *arg, struct weir_cstream *cs) {
    reset_at_data(arg, cs, NULL, WEIR_SLICE_NONE);
}

static void an_exchange_may_be_reset_from_within_its_events(void **state) {
    static const char *const bodies[] = { "Content-Length: 2\r\n\r\nab", "\r\nab",
                                          "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                                          "Content-Length: 0\r\n\r\n" };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bodies); i++) {
        struct owner o;
        struct weir_codec_events events = owner_events;
        char text[128];
        events.data = reset_at_data;
        events.end = reset_at_end;
        owner_init(&o, WEIR_ROLE_CLIENT);
        o.codec->events = &events;
        assert_int_equal(ask(&o, "GET", WEIR_BODY_NONE, UINT64_MAX, true), 0);
        assert_int_equal(owner_pull(&o), 0);
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s", bodies[i]);
        feed_ok(&o, text);
        assert_true(o.codec->must_close);
        assert_int_equal(o.n_closed, 0);
        assert_non_null(strstr(o.log.text, "reset it\n"));
        assert_null(strstr(strstr(o.log.text, "reset it\n") + 1, "reset it\n"));
        owner_deinit(&o);
    }
}

/* An owner that answers as soon as it knows the head. */
static void answer_at_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct owner *o = arg;
    struct weir_head head = response_head(404, WEIR_BODY_LENGTH, 0);
    owner_head(arg, cs, chunk);
    o->result = o->codec->ops->send_head(o->codec, cs, &head, true);
}

static void a_request_without_content_is_complete_when_its_head_is_told(void **state) {
    struct owner o;
    struct weir_codec_events events = owner_events;
    events.head = answer_at_head;
    owner_init(&o, WEIR_ROLE_SERVER);
    o.codec->events = &events;
    feed_ok(&o, GET);
    assert_int_equal(o.result, 0);
    assert_false(o.codec->must_close);
    sent_is(&o, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    log_is(&o, HEAD_GET "end\nclosed\n");
    feed_ok(&o, POST);
    assert_true(o.codec->must_close);
    sent_is(&o, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    owner_deinit(&o);
}

static void expect_is_answered_by_an_interim_head(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_true(o.head.expect_continue);
    assert_int_equal(reply(&o, 100, WEIR_BODY_NONE, UINT64_MAX, false), 0);
    sent_is(&o, "HTTP/1.1 100 Continue\r\n\r\n");
    feed_ok(&o, "ab");
    assert_int_equal(reply(&o, 103, WEIR_BODY_NONE, UINT64_MAX, false), 0);
    assert_int_equal(reply(&o, 200, WEIR_BODY_LENGTH, 0, true), 0);
    sent_is(&o, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(o.n_closed, 1);
    owner_deinit(&o);
}

static void http10_gets_no_interim_heads_and_no_chunks(void **state) {
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_int_equal(reply(&o, 103, WEIR_BODY_NONE, UINT64_MAX, false), 0);
    assert_int_equal(reply(&o, 200, WEIR_BODY_STREAM, UINT64_MAX, false), 0);
    assert_int_equal(send_text(&o, "until close"), 0);
    assert_int_equal(send_end(&o), 0);
    sent_is(&o, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil close");
    assert_true(o.codec->must_close);
    owner_deinit(&o);

    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_int_equal(reply(&o, 200, WEIR_BODY_LENGTH, 0, true), 0);
    sent_is(&o, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    assert_false(o.codec->must_close);
    owner_deinit(&o);
}

#define UPGRADE "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

static void switching(struct owner *o) {
    struct weir_head head = response_head(101, WEIR_BODY_TUNNEL, UINT64_MAX);
    head.protocol = WEIR_SLICE("websocket");
    feed_ok(o, UPGRADE);
    feed_is(o, "early", 0, 0);
    assert_int_equal(o->codec->ops->send_head(o->codec, o->cs, &head, false), 0);
    sent_is(o, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
               "\r\n");
    log_forget(&o->log);
}

static void a_tunnel_ends_when_both_directions_have(void **state) {
    for (int eof_first = 0; eof_first < 2; eof_first++) {
        struct owner o;
        owner_init(&o, WEIR_ROLE_SERVER);
        switching(&o);
        assert_false(o.cs->recv_done || o.cs->send_done);
        feed_ok(&o, "early\0");
        assert_int_equal(send_text(&o, "out"), 0);
        if (eof_first) {
            assert_int_equal(owner_eof(&o), 0);
            assert_int_equal(owner_eof(&o), 0);
            sent_is(&o, "out");
            log_is(&o, "data early\nend\n");
            assert_int_equal(send_text(&o, "more"), 0);
            assert_int_equal(send_end(&o), 0);
            sent_is(&o, "more");
            log_is(&o, "closed\n");
        } else {
            assert_int_equal(send_end(&o), 0);
            sent_is(&o, "out");
            log_is(&o, "data early\n");
            feed_ok(&o, "late");
            assert_int_equal(owner_eof(&o), 0);
            log_is(&o, "data late\nend\nclosed\n");
        }
        assert_true(o.codec->must_close);
        owner_deinit(&o);
    }
}

static void a_client_tunnels_behind_101_in_the_same_read(void **state) {
    struct owner o;
    struct weir_head head = request_head("GET", "/ws", WEIR_BODY_NONE, UINT64_MAX);
    head.wants_upgrade = true;
    head.protocol = WEIR_SLICE("websocket");
    owner_init(&o, WEIR_ROLE_CLIENT);
    weir_head_init(&o.head, &o.arena);
    assert_int_equal(o.codec->ops->open(o.codec, &o, &o.head, &o.cs), 0);
    assert_int_equal(o.codec->ops->send_head(o.codec, o.cs, &head, true), 0);
    sent_is(&o, "GET /ws HTTP/1.1\r\nHost: up.test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                "\r\n");
    feed_ok(&o, "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw");
    assert_int_equal(o.head.body, WEIR_BODY_TUNNEL);
    assert_int_equal(send_text(&o, "out"), 0);
    sent_is(&o, "out");
    assert_int_equal(owner_eof(&o), 0);
    assert_int_equal(send_end(&o), 0);
    assert_int_equal(o.n_closed, 0);
    sent_is(&o, "");
    assert_int_equal(o.n_closed, 1);
    owner_deinit(&o);
}

static void a_switch_that_was_not_asked_for_is_not_written(void **state) {
    struct owner o;
    struct weir_head head = response_head(101, WEIR_BODY_TUNNEL, UINT64_MAX);
    head.protocol = WEIR_SLICE("websocket");
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, GET);
    assert_int_equal(o.codec->ops->send_head(o.codec, o.cs, &head, false), -EPROTO);
    assert_int_equal(reply(&o, 200, WEIR_BODY_TUNNEL, UINT64_MAX, false), -EPROTO);
    assert_false(o.codec->want_pull);
    assert_int_equal(reply(&o, 200, WEIR_BODY_LENGTH, 0, true), 0);
    owner_deinit(&o);
}

static void pull_stops_at_the_limit_of_the_queue(void **state) {
    struct owner o;
    struct weir_bufq out;
    char content[3000];
    owner_init(&o, WEIR_ROLE_SERVER);
    memset(content, 'x', sizeof(content) - 1);
    content[sizeof(content) - 1] = '\0';
    feed_ok(&o, GET);
    assert_int_equal(reply(&o, 200, WEIR_BODY_LENGTH, sizeof(content) - 1, false), 0);
    assert_int_equal(send_text(&o, content), 0);
    assert_int_equal(send_end(&o), 0);
    weir_bufq_init(&out, &o.pool, 1000);
    unsigned rounds = 0;
    while (o.codec->want_pull) {
        assert_int_equal(o.n_closed, 0);
        assert_true(o.codec->ops->pending(o.codec, o.cs) > 0);
        assert_int_equal(o.codec->ops->pull(o.codec, &out), 0);
        assert_true(out.len > 0 && out.len <= 1000);
        assert_int_equal(o.codec->ops->pull(o.codec, &out), 0);
        assert_true(out.len <= 1000);
        weir_bufq_clear(&out);
        rounds++;
    }
    assert_int_equal(rounds, 4);
    assert_int_equal(o.n_closed, 1);
    weir_bufq_deinit(&out);
    owner_deinit(&o);
}

static void bytes_without_a_chunk_are_copied_into_the_arena(void **state) {
    struct owner o;
    char text[] = "GET http://b.test/x HTTP/1.1\r\nHost: a\r\nName: value\r\n\r\n";
    size_t used;
    owner_init(&o, WEIR_ROLE_SERVER);
    assert_int_equal(
        o.codec->ops->feed(o.codec, NULL, weir_slice_make(text, sizeof(text) - 1), &used), 0);
    memset(text, '#', sizeof(text));
    owner_reread(&o);
    log_is(&o, "begin\nhead GET /x 1.1 scheme=http authority=b.test body=none keep-alive\n"
               "  Name: value\nend\n");
    owner_deinit(&o);
}

static void a_head_that_comes_byte_by_byte_costs_little_more_than_its_size(void **state) {
    static const struct {
        const char *name;
        size_t times;
    } rows[] = { { "A: v\r\n", 90 }, { "x", 60000 } };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct owner o;
        size_t used, total = 0;
        owner_init(&o, WEIR_ROLE_SERVER);
        feed_ok(&o, "GET / HTTP/1.1\r\nHost: a\r\n");
        if (i == 1)
            feed_ok(&o, "Big: ");
        for (size_t k = 0; k < rows[i].times; k++)
            for (const char *p = rows[i].name; *p; p++, total++)
                assert_int_equal(owner_feed(&o, p, 1, &used), 0);
        assert_true(weir_arena_size(&o.arena) < 3 * total + 32768);
        owner_deinit(&o);
    }
}

static void operations_out_of_turn_are_refused(void **state) {
    struct owner o;
    struct weir_head request = request_head("GET", "/", WEIR_BODY_NONE, UINT64_MAX);
    owner_init(&o, WEIR_ROLE_SERVER);
    feed_ok(&o, GET);
    assert_int_equal(send_text(&o, "x"), -EPROTO);
    assert_int_equal(send_end(&o), -EPROTO);
    assert_int_equal(o.codec->ops->send_head(o.codec, o.cs, &request, true), -EPROTO);
    assert_int_equal(reply(&o, 200, WEIR_BODY_LENGTH, 3, true), -EPROTO);
    assert_int_equal(reply(&o, 200, WEIR_BODY_LENGTH, 3, false), 0);
    assert_int_equal(reply(&o, 200, WEIR_BODY_LENGTH, 3, false), -EPROTO);
    assert_int_equal(send_text(&o, "abcd"), -EPROTO);
    assert_int_equal(send_text(&o, "ab"), 0);
    assert_int_equal(send_end(&o), -EPROTO);
    assert_int_equal(send_text(&o, "c"), 0);
    assert_int_equal(send_end(&o), 0);
    assert_int_equal(send_end(&o), 0);
    assert_int_equal(send_text(&o, "d"), -EPROTO);
    sent_is(&o, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    owner_deinit(&o);
}

/* ---- allocation failures ---- */

static int serve_one(void *arg) {
    static const char request[] = "POST /a HTTP/1.1\r\nHost: a\r\nX: y\r\nTransfer-Encoding: "
                                  "chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n";
    size_t step = *(size_t *)arg, used;
    struct owner o;
    owner_init(&o, WEIR_ROLE_SERVER);
    int r = o.result;
    for (size_t at = 0; r == 0 && at < sizeof(request) - 1; at += step) {
        size_t n = sizeof(request) - 1 - at < step ? sizeof(request) - 1 - at : step;
        r = owner_feed(&o, request + at, n, &used);
        if (r == 0 && used != n)
            r = -EINVAL;
    }
    if (r == 0)
        r = reply(&o, 200, WEIR_BODY_STREAM, UINT64_MAX, false);
    for (int i = 0; r == 0 && i < 8; i++)
        r = send_text(&o, "content");
    if (r == 0)
        r = send_end(&o);
    if (r == 0)
        r = owner_pull(&o);
    if (r == 0 && o.n_closed != 1)
        r = -EINVAL;
    owner_deinit(&o);
    return r;
}

static int ask_one(void *arg) {
    static const char response[] =
        "HTTP/1.1 103 E\r\nL: x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n";
    size_t step = *(size_t *)arg, used;
    struct owner o;
    owner_init(&o, WEIR_ROLE_CLIENT);
    int r = o.result;
    if (r == 0)
        r = ask(&o, "POST", WEIR_BODY_STREAM, UINT64_MAX, false);
    for (int i = 0; r == 0 && i < 8; i++)
        r = send_text(&o, "content");
    if (r == 0)
        r = send_end(&o);
    if (r == 0)
        r = owner_pull(&o);
    for (size_t at = 0; r == 0 && at < sizeof(response) - 1; at += step) {
        size_t n = sizeof(response) - 1 - at < step ? sizeof(response) - 1 - at : step;
        r = owner_feed(&o, response + at, n, &used);
    }
    if (r == 0 && o.n_closed != 1)
        r = -EINVAL;
    owner_deinit(&o);
    return r;
}

static void every_failed_allocation_is_reported_and_leaks_nothing(void **state) {
    for (size_t step = 1; step < 200; step = step * 7) {
        assert_true(weir_test_sweep(serve_one, &step, 0) > 3);
        assert_true(weir_test_sweep(serve_one, &step, 1) > 3);
        assert_true(weir_test_sweep(ask_one, &step, 0) > 3);
        assert_true(weir_test_sweep(ask_one, &step, 1) > 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_connection_is_small_and_holds_no_chunk),
        cmocka_unit_test(an_exchange_ends_when_its_response_has_been_pulled),
        cmocka_unit_test(an_error_before_the_content_has_come_costs_the_connection),
        cmocka_unit_test(eof_does_not_cut_an_answer_that_is_complete),
        cmocka_unit_test(a_response_may_begin_before_the_request_ends),
        cmocka_unit_test(a_response_that_ends_before_the_request_costs_the_connection),
        cmocka_unit_test(a_refused_begin_is_our_fault),
        cmocka_unit_test(a_fault_can_still_be_answered),
        cmocka_unit_test(draining_is_announced_in_the_next_response),
        cmocka_unit_test(a_client_that_drains_opens_no_more),
        cmocka_unit_test(one_connection_carries_one_request_after_another),
        cmocka_unit_test(bytes_nobody_asked_for_never_answer_the_next_request),
        cmocka_unit_test(a_connection_with_bytes_left_over_is_not_free_when_it_is_told_closed),
        cmocka_unit_test(an_early_answer_from_upstream_ends_the_exchange),
        cmocka_unit_test(a_request_whose_length_has_left_is_whole),
        cmocka_unit_test(reset_gives_the_connection_up_without_an_event),
        cmocka_unit_test(an_exchange_may_be_reset_from_within_its_events),
        cmocka_unit_test(a_request_without_content_is_complete_when_its_head_is_told),
        cmocka_unit_test(expect_is_answered_by_an_interim_head),
        cmocka_unit_test(http10_gets_no_interim_heads_and_no_chunks),
        cmocka_unit_test(a_tunnel_ends_when_both_directions_have),
        cmocka_unit_test(a_client_tunnels_behind_101_in_the_same_read),
        cmocka_unit_test(a_switch_that_was_not_asked_for_is_not_written),
        cmocka_unit_test(pull_stops_at_the_limit_of_the_queue),
        cmocka_unit_test(bytes_without_a_chunk_are_copied_into_the_arena),
        cmocka_unit_test(a_head_that_comes_byte_by_byte_costs_little_more_than_its_size),
        cmocka_unit_test(operations_out_of_turn_are_refused),
        cmocka_unit_test(every_failed_allocation_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
