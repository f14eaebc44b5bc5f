/* SPDX-License-Identifier: Apache-2.0 */
/* Two HTTP/2 codecs, a client and a server, back to back in memory. */
#include "h2_owner.h"

#define WHOLE ((size_t)1 << 20)

struct pair {
    struct owner client, server;
    struct weir_arena arena;
    struct weir_head head;
    struct weir_head trailers;
};

static void setup(struct pair *p) {
    memset(p, 0, sizeof(*p));
    assert_int_equal(owner_init(&p->client, WEIR_ROLE_CLIENT), 0);
    assert_int_equal(owner_init(&p->server, WEIR_ROLE_SERVER), 0);
    weir_arena_init(&p->arena, 4096);
}

static void teardown(struct pair *p) {
    owner_deinit(&p->client);
    owner_deinit(&p->server);
    weir_arena_deinit(&p->arena);
}

static void talk(struct pair *p) {
    assert_int_equal(owners_talk(&p->client, &p->server, WHOLE), 0);
}

static struct exchange *served(struct pair *p, uint64_t id) {
    struct exchange *x = owner_find(&p->server, id);
    assert_non_null(x);
    return x;
}

static void a_get_and_its_answer(void **state) {
    struct pair p;
    setup(&p);
    head_request(&p.head, &p.arena, "GET", "/x?y=1");
    head_field(&p.head, "User-Agent", "t");
    head_field(&p.head, "X-Odd", "");
    assert_non_null(owner_request(&p.client, &p.head, true));
    assert_int_equal(p.client.codec->n_active, 1);
    talk(&p);
    owner_expect(&p.server, "begin 1\nhead 1 GET http a.example /x?y=1 none|user-agent: t|x-odd: \n"
                            "end 1\n");
    assert_int_equal(owner_respond(&p.server, served(&p, 1), 200, "hello"), 0);
    talk(&p);
    owner_expect(&p.server, "closed 1\n");
    owner_expect(&p.client, "head 1 200 5|content-length: 5\ndata 1 hello\nend 1\nclosed 1\n");
    assert_int_equal(p.client.codec->n_active, 0);
    assert_int_equal(p.server.codec->n_active, 0);
    assert_false(p.client.codec->must_close || p.server.codec->must_close);
    teardown(&p);
}

static void content_and_trailers_go_both_ways(void **state) {
    struct pair p;
    struct exchange *c, *s;
    setup(&p);
    head_request(&p.head, &p.arena, "POST", "/up");
    p.head.body = WEIR_BODY_STREAM;
    p.head.te_trailers = true;
    c = owner_request(&p.client, &p.head, false);
    assert_int_equal(owner_send(&p.client, c, "ab", 2), 0);
    talk(&p);
    s = served(&p, 1);
    owner_expect(&p.server, "begin 1\nhead 1 POST http a.example /up stream te\ndata 1 ab\n");
    assert_int_equal(owner_send(&p.client, c, "cd", 2), 0);
    weir_head_init(&p.trailers, &p.arena);
    head_field(&p.trailers, "X-Sum", "7");
    head_field(&p.trailers, "Content-Length", "3");
    head_field(&p.trailers, "Authorization", "me");
    head_field(&p.trailers, "X-Forwarded-For", "me");
    assert_int_equal(p.client.codec->ops->send_end(p.client.codec, c->cs, &p.trailers), 0);
    talk(&p);
    owner_expect(&p.server, "data 1 cd\nend 1|x-sum: 7\n");
    head_response(&p.head, &p.arena, 200);
    p.head.body = WEIR_BODY_STREAM;
    assert_int_equal(p.server.codec->ops->send_head(p.server.codec, s->cs, &p.head, false), 0);
    weir_head_init(&p.trailers, &p.arena);
    head_field(&p.trailers, "grpc-status", "0");
    talk(&p);
    /* Nothing but trailers is left to send. */
    assert_int_equal(p.server.codec->ops->send_end(p.server.codec, s->cs, &p.trailers), 0);
    talk(&p);
    owner_expect(&p.server, "closed 1\n");
    owner_expect(&p.client, "head 1 200 stream\nend 1|grpc-status: 0\nclosed 1\n");
    teardown(&p);
}

static void interim_responses_come_first(void **state) {
    struct pair p;
    struct exchange *s;
    setup(&p);
    owner_get(&p.client, "/");
    talk(&p);
    s = served(&p, 1);
    assert_int_equal(owner_respond(&p.server, s, 103, NULL), 0);
    talk(&p);
    assert_int_equal(owner_respond(&p.server, s, 100, NULL), 0);
    assert_int_equal(owner_respond(&p.server, s, 204, NULL), 0);
    talk(&p);
    owner_expect(&p.client, "head 1 103 none\nhead 1 100 none\nhead 1 204 none\nend 1\nclosed 1\n");
    teardown(&p);
}

static void too_many_interim_responses_end_the_exchange(void **state) {
    struct pair p;
    struct exchange *s;
    setup(&p);
    owner_get(&p.client, "/");
    talk(&p);
    s = served(&p, 1);
    for (unsigned i = 0; i <= p.client.limits.informational; i++)
        assert_int_equal(owner_respond(&p.server, s, 103, NULL), 0);
    p.client.silent = true;
    assert_int_equal(owner_carry(&p.server, &p.client, WHOLE), 1);
    assert_int_equal(p.client.n_heads, p.client.limits.informational);
    assert_null(p.client.exchanges);
    talk(&p);
    assert_null(p.server.exchanges);
    teardown(&p);
}

static void a_head_request_announces_but_carries_no_content(void **state) {
    struct pair p;
    setup(&p);
    head_request(&p.head, &p.arena, "HEAD", "/");
    owner_request(&p.client, &p.head, true);
    talk(&p);
    head_response(&p.head, &p.arena, 200);
    p.head.content_length = 1234;
    p.server.codec->ops->send_head(p.server.codec, served(&p, 1)->cs, &p.head, true);
    talk(&p);
    owner_expect(&p.client, "head 1 200 none(1234)|content-length: 1234\nend 1\nclosed 1\n");
    teardown(&p);
}

static void announced_lengths_are_held(void **state) {
    struct pair p;
    struct exchange *c;
    setup(&p);
    head_request(&p.head, &p.arena, "PUT", "/");
    p.head.body = WEIR_BODY_LENGTH;
    p.head.content_length = 3;
    assert_null(owner_request(&p.client, &p.head, true));
    c = owner_request(&p.client, &p.head, false);
    assert_int_equal(owner_send(&p.client, c, "abcd", 4), -EPROTO);
    assert_int_equal(owner_send(&p.client, c, "ab", 2), 0);
    assert_int_equal(owner_finish(&p.client, c), -EPROTO);
    assert_int_equal(owner_send(&p.client, c, "c", 1), 0);
    assert_int_equal(owner_finish(&p.client, c), 0);
    assert_int_equal(owner_finish(&p.client, c), -EPROTO);
    talk(&p);
    owner_expect(&p.server, "begin 1\nhead 1 PUT http a.example / 3|content-length: 3\n"
                            "data 1 abc\nend 1\n");
    teardown(&p);
}

static void nothing_unfit_is_written(void **state) {
    static const struct {
        const char *name, *value;
    } bad[] = {
        { "a b", "1" }, { "a:", "1" }, { "", "1" },       { "a", "x\r\ny: z" },
        { "a", "\n" },  { "a\n", "" }, { ":path", "/x" }, { "a", "\x7f" },
    };
    static const char *const fine[] = {
        "connection",
        "Keep-Alive",
        "transfer-encoding",
        "upgrade",
        "proxy-connection",
        "http2-settings",
        "te",
        "host",
        "Content-Length",
    };
    struct pair p;
    setup(&p);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        head_request(&p.head, &p.arena, "GET", "/");
        head_field(&p.head, bad[i].name, bad[i].value);
        assert_null(owner_request(&p.client, &p.head, true));
    }
    head_request(&p.head, &p.arena, "GET", "/a b");
    assert_null(owner_request(&p.client, &p.head, true));
    head_request(&p.head, &p.arena, "G ET", "/");
    assert_null(owner_request(&p.client, &p.head, true));
    head_request(&p.head, &p.arena, "GET", "/");
    p.head.authority = WEIR_SLICE("a,b");
    assert_null(owner_request(&p.client, &p.head, true));
    /* Hop-by-hop fields are left out whoever forgot to strip them. */
    head_request(&p.head, &p.arena, "GET", "/");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(fine); i++)
        head_field(&p.head, fine[i], "1");
    assert_non_null(owner_request(&p.client, &p.head, true));
    talk(&p);
    owner_expect(&p.server, "begin 1\nhead 1 GET http a.example / none\nend 1\n");
    teardown(&p);
}

static void a_full_window_stalls_and_credit_resumes(void **state) {
    struct pair p;
    struct exchange *c, *s;
    char block[16384];
    size_t sent = 0;
    setup(&p);
    memset(block, 'x', sizeof(block));
    p.server.hoard = true;
    head_request(&p.head, &p.arena, "POST", "/");
    p.head.body = WEIR_BODY_STREAM;
    c = owner_request(&p.client, &p.head, false);
    talk(&p);
    while (sent < 2 * p.server.limits.stream_window) {
        assert_int_equal(owner_send(&p.client, c, block, sizeof(block)), 0);
        sent += sizeof(block);
    }
    talk(&p);
    s = served(&p, 1);
    assert_int_equal(s->received, p.server.limits.stream_window);
    assert_int_equal(p.client.codec->ops->pending(p.client.codec, c->cs), sent - s->received);
    assert_false(p.client.codec->want_pull);
    p.server.codec->ops->consumed(p.server.codec, s->cs, s->received);
    talk(&p);
    assert_int_equal(s->received, sent);
    assert_int_equal(p.client.codec->ops->pending(p.client.codec, c->cs), 0);
    teardown(&p);
}

/* Each request nearly fills its window and is left unread: without credit the fifth would starve.
 */
static void a_reset_stream_leaves_no_hole_in_the_connection_window(void **state) {
    struct pair p;
    char block[16384];
    setup(&p);
    memset(block, 'x', sizeof(block));
    p.server.hoard = p.server.silent = true;
    for (unsigned round = 0; round < 24; round++) {
        struct exchange *c;
        head_request(&p.head, &p.arena, "POST", "/");
        p.head.body = WEIR_BODY_STREAM;
        c = owner_request(&p.client, &p.head, false);
        talk(&p);
        for (size_t n = p.server.limits.stream_window / sizeof(block); n > 1; n--)
            assert_int_equal(owner_send(&p.client, c, block, sizeof(block)), 0);
        talk(&p);
        assert_int_equal(p.server.exchanges->received,
                         p.server.limits.stream_window - sizeof(block));
        if (round % 3 == 0) {
            owner_drop(&p.client, c, WEIR_FAULT(DOWNSTREAM, RESET));
        } else if (round % 3 == 1) {
            owner_drop(&p.server, p.server.exchanges, WEIR_FAULT(LOCAL, TIMEOUT_REQUEST));
        } else { /* complete, and never reported as consumed */
            assert_int_equal(owner_finish(&p.client, c), 0);
            assert_int_equal(owner_respond(&p.server, p.server.exchanges, 200, NULL), 0);
        }
        talk(&p);
        assert_null(p.server.exchanges);
        assert_null(p.client.exchanges);
    }
    teardown(&p);
}

static void many_responses_share_the_way_out(void **state) {
    struct pair p;
    char block[16384];
    unsigned order[12], n = 0;
    setup(&p);
    memset(block, 'x', sizeof(block));
    for (unsigned i = 0; i < 3; i++)
        owner_get(&p.client, "/");
    talk(&p);
    for (uint64_t id = 1; id <= 5; id += 2) {
        head_response(&p.head, &p.arena, 200);
        p.head.body = WEIR_BODY_STREAM;
        struct exchange *s = served(&p, id);
        p.server.codec->ops->send_head(p.server.codec, s->cs, &p.head, false);
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(owner_send(&p.server, s, block, sizeof(block)), 0);
    }
    struct weir_bufq q;
    weir_bufq_init(&q, &p.server.pool, 0);
    assert_int_equal(p.server.codec->ops->pull(p.server.codec, &q), 0);
    char *wire = weir_test_bufq_text(&q);
    for (size_t at = 0; at + 9 <= q.len && n < 12;) {
        const uint8_t *f = (const uint8_t *)wire + at;
        if (f[3] == 0)
            order[n++] = f[8];
        at += 9u + ((unsigned)f[0] << 16 | (unsigned)f[1] << 8 | f[2]);
    }
    free(wire);
    assert_int_equal(n, 12);
    for (unsigned i = 0; i < 12; i += 3) /* each round has each stream once */
        assert_int_equal(order[i] + order[i + 1] + order[i + 2], 9);
    assert_int_not_equal(order[0], order[1]);
    weir_bufq_deinit(&q);
    teardown(&p);
}

static void pull_stops_soon_after_the_queue_is_full(void **state) {
    struct pair p;
    struct weir_bufq q;
    char block[16384];
    setup(&p);
    memset(block, 'x', sizeof(block));
    owner_get(&p.client, "/");
    talk(&p);
    head_response(&p.head, &p.arena, 200);
    p.head.body = WEIR_BODY_STREAM;
    struct exchange *s = served(&p, 1);
    p.server.codec->ops->send_head(p.server.codec, s->cs, &p.head, false);
    for (unsigned i = 0; i < 8; i++)
        owner_send(&p.server, s, block, sizeof(block));
    weir_bufq_init(&q, &p.server.pool, 20000);
    assert_int_equal(p.server.codec->ops->pull(p.server.codec, &q), 0);
    assert_true(q.len >= 20000 && q.len < 20000 + 16384 + 9);
    assert_true(p.server.codec->want_pull);
    size_t len = q.len;
    assert_int_equal(p.server.codec->ops->pull(p.server.codec, &q), 0);
    assert_int_equal(q.len, len);
    weir_bufq_deinit(&q);
    teardown(&p);
}

static void an_early_answer_with_a_reset_behind_it_is_an_end(void **state) {
    struct pair p;
    struct exchange *c;
    setup(&p);
    head_request(&p.head, &p.arena, "POST", "/");
    p.head.body = WEIR_BODY_STREAM;
    c = owner_request(&p.client, &p.head, false);
    owner_send(&p.client, c, "ab", 2);
    talk(&p);
    owner_forget(&p.server);
    struct exchange *s = served(&p, 1);
    assert_int_equal(owner_respond(&p.server, s, 413, "no"), 0);
    /* The rest of the request is not wanted: the answer is delivered all the same. */
    owner_drop(&p.server, s, (struct weir_fault){ WEIR_SIDE_LOCAL, WEIR_FAULT_NONE });
    talk(&p);
    owner_expect(&p.client, "head 1 413 2|content-length: 2\ndata 1 no\nend 1\nclosed 1\n");
    owner_expect(&p.server, "");
    assert_int_equal(p.client.codec->n_active, 0);
    owner_get(&p.client, "/next");
    talk(&p);
    owner_expect(&p.server, "begin 3\nhead 3 GET http a.example /next none\nend 3\n");
    teardown(&p);
}

static void a_reset_tells_the_other_side(void **state) {
    struct pair p;
    char want[64];
    setup(&p);
    struct exchange *c = owner_get(&p.client, "/1");
    talk(&p);
    owner_forget(&p.server);
    owner_drop(&p.client, c, WEIR_FAULT(DOWNSTREAM, RESET));
    talk(&p);
    snprintf(want, sizeof(want), "reset 1 D %d\n", WEIR_FAULT_RESET);
    owner_expect(&p.server, want);

    owner_get(&p.client, "/3");
    talk(&p);
    owner_drop(&p.server, served(&p, 3), WEIR_FAULT(LOCAL, DRAINING));
    talk(&p);
    /* Refused before processing: safe to try elsewhere. */
    snprintf(want, sizeof(want), "reset 3 U %d\n", WEIR_FAULT_GOAWAY);
    owner_expect(&p.client, want);

    owner_get(&p.client, "/5");
    talk(&p);
    owner_drop(&p.server, served(&p, 5), WEIR_FAULT(LOCAL, INTERNAL));
    talk(&p);
    snprintf(want, sizeof(want), "reset 5 U %d\n", WEIR_FAULT_RESET);
    owner_expect(&p.client, want);
    teardown(&p);
}

static void a_request_taken_back_before_it_left_leaves_no_trace(void **state) {
    struct pair p;
    setup(&p);
    talk(&p);
    struct exchange *x = owner_get(&p.client, "/");
    owner_drop(&p.client, x, WEIR_FAULT(DOWNSTREAM, RESET));
    talk(&p);
    owner_expect(&p.server, "");
    assert_int_equal(p.client.codec->n_active, 0);
    teardown(&p);
}

static void an_owner_may_refuse_to_begin(void **state) {
    struct pair p;
    char want[64];
    setup(&p);
    p.server.refuse = true;
    owner_get(&p.client, "/");
    talk(&p);
    snprintf(want, sizeof(want), "reset 1 U %d\n", WEIR_FAULT_GOAWAY);
    owner_expect(&p.client, want);
    owner_expect(&p.server, "");
    p.server.refuse = false;
    owner_get(&p.client, "/");
    talk(&p);
    owner_expect(&p.server, "begin 3\nhead 3 GET http a.example / none\nend 3\n");
    teardown(&p);
}

static void open_keeps_to_the_peers_limit(void **state) {
    struct pair p;
    struct exchange *x = NULL;
    memset(&p, 0, sizeof(p));
    p.server.limits = weir_codec_limits_default;
    p.server.limits.streams = 2;
    assert_int_equal(owner_init(&p.client, WEIR_ROLE_CLIENT), 0);
    assert_int_equal(owner_init(&p.server, WEIR_ROLE_SERVER), 0);
    weir_arena_init(&p.arena, 4096);
    talk(&p);
    assert_int_equal(p.client.codec->max_active, 2);
    owner_get(&p.client, "/");
    owner_get(&p.client, "/");
    struct weir_cstream *cs;
    struct weir_head incoming = { .arena = &p.arena };
    assert_int_equal(p.client.codec->ops->open(p.client.codec, NULL, &incoming, &cs), -EAGAIN);
    talk(&p);
    x = served(&p, 1);
    owner_respond(&p.server, x, 200, NULL);
    talk(&p);
    assert_non_null(owner_get(&p.client, "/"));
    talk(&p);
    assert_int_equal(p.server.codec->n_active, 2);
    teardown(&p);
}

static void draining_finishes_what_has_begun(void **state) {
    struct pair p;
    setup(&p);
    owner_get(&p.client, "/1");
    talk(&p);
    owner_forget(&p.server);
    p.server.codec->ops->drain(p.server.codec);
    /* Crosses the notice on its way. */
    owner_get(&p.client, "/3");
    talk(&p);
    owner_expect(&p.server, "begin 3\nhead 3 GET http a.example /3 none\nend 3\n");
    owner_expect(&p.client, "draining\n");
    struct weir_cstream *cs;
    struct weir_head incoming = { .arena = &p.arena };
    assert_int_equal(p.client.codec->ops->open(p.client.codec, NULL, &incoming, &cs), -EPIPE);
    assert_false(p.server.codec->must_close || p.client.codec->must_close);
    owner_respond(&p.server, served(&p, 1), 200, NULL);
    owner_respond(&p.server, served(&p, 3), 200, NULL);
    talk(&p);
    owner_expect(&p.client, "head 1 200 none\nend 1\nclosed 1\n"
                            "head 3 200 none\nend 3\nclosed 3\n");
    assert_true(p.server.codec->must_close && p.client.codec->must_close);
    assert_false(p.server.codec->want_pull || p.client.codec->want_pull);
    teardown(&p);
}

static void a_second_drain_does_not_wait(void **state) {
    struct pair p;
    setup(&p);
    talk(&p);
    p.server.codec->ops->drain(p.server.codec);
    p.server.codec->ops->drain(p.server.codec);
    assert_int_equal(owner_carry(&p.server, &p.client, WHOLE), 1);
    assert_true(p.server.codec->must_close);
    owner_expect(&p.client, "draining\n");
    teardown(&p);
}

static void a_client_drains_too(void **state) {
    struct pair p;
    setup(&p);
    owner_get(&p.client, "/");
    talk(&p);
    p.client.codec->ops->drain(p.client.codec);
    assert_null(owner_get(&p.client, "/"));
    talk(&p);
    owner_respond(&p.server, served(&p, 1), 200, NULL);
    talk(&p);
    assert_true(p.client.codec->must_close);
    teardown(&p);
}

static void the_end_of_the_connection_ends_all_exchanges(void **state) {
    struct pair p;
    char want[64];
    setup(&p);
    owner_get(&p.client, "/");
    talk(&p);
    owner_get(&p.client, "/unsent");
    assert_int_equal(p.client.codec->ops->eof(p.client.codec), 0);
    snprintf(want, sizeof(want), "reset 1 U %d\nreset 3 U %d\n", WEIR_FAULT_EOF, WEIR_FAULT_GOAWAY);
    owner_expect(&p.client, want);
    assert_true(p.client.codec->must_close);
    owner_forget(&p.server);
    assert_int_equal(p.server.codec->ops->eof(p.server.codec), 0);
    snprintf(want, sizeof(want), "reset 1 D %d\n", WEIR_FAULT_EOF);
    owner_expect(&p.server, want);
    teardown(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_and_its_answer),
        cmocka_unit_test(content_and_trailers_go_both_ways),
        cmocka_unit_test(interim_responses_come_first),
        cmocka_unit_test(too_many_interim_responses_end_the_exchange),
        cmocka_unit_test(a_head_request_announces_but_carries_no_content),
        cmocka_unit_test(announced_lengths_are_held),
        cmocka_unit_test(nothing_unfit_is_written),
        cmocka_unit_test(a_full_window_stalls_and_credit_resumes),
        cmocka_unit_test(a_reset_stream_leaves_no_hole_in_the_connection_window),
        cmocka_unit_test(many_responses_share_the_way_out),
        cmocka_unit_test(pull_stops_soon_after_the_queue_is_full),
        cmocka_unit_test(an_early_answer_with_a_reset_behind_it_is_an_end),
        cmocka_unit_test(a_reset_tells_the_other_side),
        cmocka_unit_test(a_request_taken_back_before_it_left_leaves_no_trace),
        cmocka_unit_test(an_owner_may_refuse_to_begin),
        cmocka_unit_test(open_keeps_to_the_peers_limit),
        cmocka_unit_test(draining_finishes_what_has_begun),
        cmocka_unit_test(a_second_drain_does_not_wait),
        cmocka_unit_test(a_client_drains_too),
        cmocka_unit_test(the_end_of_the_connection_ends_all_exchanges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
