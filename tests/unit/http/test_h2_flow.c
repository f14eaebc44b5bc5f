/* SPDX-License-Identifier: Apache-2.0 */
/* Windows, GOAWAY, resets and limits as a peer of bare frames sees them. */
#include "h2_wire.h"

static void setting(struct wire *w, uint8_t id, uint32_t value) {
    uint8_t p[6] = {
        0, id, (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value
    };
    wire_frame(w, NGHTTP2_SETTINGS, 0, 0, p, sizeof(p));
}

static void goaway(struct wire *w, uint32_t last, uint32_t code) {
    uint8_t p[8] = {
        (uint8_t)(last >> 24), (uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last, 0, 0, 0,
        (uint8_t)code
    };
    wire_frame(w, NGHTTP2_GOAWAY, 0, 0, p, sizeof(p));
}

static void expect_reset(struct wire *w, const char *before, unsigned id, int kind) {
    char want[256];
    snprintf(want, sizeof(want), "%sreset %u U %d\n", before, id, kind);
    assert_string_equal(w->o.log, want);
    owner_forget(&w->o);
}

/* A client whose request with content is under way; the codec's exchange. */
static struct exchange *upload(struct wire *w) {
    struct weir_arena arena;
    struct weir_head head;
    weir_arena_init(&arena, 512);
    head_request(&head, &arena, "POST", "/");
    head.body = WEIR_BODY_STREAM;
    struct exchange *x = owner_request(&w->o, &head, false);
    weir_arena_deinit(&arena);
    assert_non_null(x);
    return x;
}

static void the_settings_say_what_is_enforced(void **state) {
    static const uint8_t want_server[] = {
        0, 0, 30, 4, 0,   0, 0, 0, 0, 0,
        3, 0, 0,  0, 100, 0, 4, 0, 4, 0,
        0, 0, 6,  0, 1,   0, 0, 0, 8, 0,
        0, 0, 1,  0, 9,   0, 0, 0, 1, /* connection window: 4 * 262144 - 65535 */ 0,
        0, 4, 8,  0, 0,   0, 0, 0, 0, 15,
        0, 1,
    };
    static const uint8_t want_client[] = {
        0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4, 0,  4, 0,
        0, 0, 6,  0, 1, 0, 0, 0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 15, 0, 1,
    };
    for (unsigned role = 0; role < 2; role++) {
        struct owner o = { 0 };
        struct weir_bufq q;
        size_t at = role == WEIR_ROLE_CLIENT ? 24 : 0;
        assert_int_equal(owner_init(&o, role), 0);
        assert_true(o.codec->want_pull);
        weir_bufq_init(&q, &o.pool, 0);
        assert_int_equal(o.codec->ops->pull(o.codec, &q), 0);
        char *got = weir_test_bufq_text(&q);
        size_t n = role == WEIR_ROLE_CLIENT ? sizeof(want_client) : sizeof(want_server);
        assert_int_equal(q.len, at + n);
        assert_memory_equal(got, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", at);
        assert_memory_equal(got + at, role == WEIR_ROLE_CLIENT ? want_client : want_server, n);
        free(got);
        weir_bufq_deinit(&q);
        owner_deinit(&o);
    }
}

static void a_closed_window_holds_content_back(void **state) {
    struct wire w = { 0 };
    wire_init(&w, WEIR_ROLE_SERVER);
    setting(&w, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    wire_get(&w, 1);
    assert_int_equal(wire_go(&w), 0);
    struct exchange *x = owner_find(&w.o, 1);
    assert_int_equal(owner_respond(&w.o, x, 200, "0123456789"), 0);
    assert_int_equal(wire_pull(&w), 0);
    assert_string_equal(w.got, "HEADERS 1 :status=200 content-length=10\n");
    assert_int_equal(w.o.codec->ops->pending(w.o.codec, x->cs), 10);
    assert_false(w.o.codec->want_pull);
    for (unsigned i = 0; i < 3; i++) {
        wire_u32(&w, NGHTTP2_WINDOW_UPDATE, 1, 1);
        assert_int_equal(wire_go(&w), 0);
        assert_string_equal(w.got, "DATA 1 1\n");
    }
    assert_int_equal(w.o.codec->ops->pending(w.o.codec, x->cs), 7);
    setting(&w, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 100);
    assert_int_equal(wire_go(&w), 0);
    assert_string_equal(w.got, "DATA 1 7 end\n");
    wire_deinit(&w);
}

static void a_closed_connection_window_holds_all_streams_back(void **state) {
    static char content[65536];
    struct wire w = { 0 };
    memset(content, 'x', sizeof(content) - 1);
    wire_init(&w, WEIR_ROLE_SERVER);
    setting(&w, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000000);
    wire_get(&w, 1);
    wire_get(&w, 3);
    assert_int_equal(wire_go(&w), 0);
    owner_respond(&w.o, owner_find(&w.o, 1), 200, content);
    assert_int_equal(wire_pull(&w), 0);
    owner_respond(&w.o, owner_find(&w.o, 3), 200, "abc");
    assert_int_equal(wire_pull(&w), 0);
    assert_string_equal(w.got, "HEADERS 3 :status=200 content-length=3\n");
    assert_false(w.o.codec->want_pull);
    wire_u32(&w, NGHTTP2_WINDOW_UPDATE, 0, 10);
    assert_int_equal(wire_go(&w), 0);
    assert_string_equal(w.got, "DATA 3 3 end\n");
    wire_deinit(&w);
}

static void credit_follows_consumption(void **state) {
    static char block[16385];
    struct wire w = { 0 };
    memset(block, 'x', sizeof(block) - 1);
    wire_init(&w, WEIR_ROLE_SERVER);
    w.with_windows = w.o.hoard = true;
    wire_go(&w);
    wire_headers(&w, 1, 0, LIST(POST_HEAD));
    for (unsigned i = 0; i < 16; i++)
        wire_data(&w, 1, 0, block);
    assert_int_equal(wire_go(&w), 0);
    assert_string_equal(w.got, "");
    struct exchange *x = owner_find(&w.o, 1);
    assert_int_equal(x->received, 262144);
    w.o.codec->ops->consumed(w.o.codec, x->cs, 131071);
    assert_int_equal(wire_pull(&w), 0);
    assert_string_equal(w.got, "");
    w.o.codec->ops->consumed(w.o.codec, x->cs, 1);
    assert_int_equal(wire_pull(&w), 0);
    assert_string_equal(w.got, "WINDOW 1 131072\n");
    /* More than was received is not believed. */
    w.o.codec->ops->consumed(w.o.codec, x->cs, 1000000);
    assert_int_equal(wire_pull(&w), 0);
    assert_string_equal(w.got, "WINDOW 1 131072\n");
    /* Half the connection's window is gone only now. */
    for (unsigned i = 0; i < 16; i++)
        wire_data(&w, 1, 0, block);
    assert_int_equal(wire_go(&w), 0);
    w.o.codec->ops->consumed(w.o.codec, x->cs, 262144);
    assert_int_equal(wire_pull(&w), 0);
    assert_non_null(strstr(w.got, "WINDOW 0 524288\n"));
    /* One byte more than the window. */
    for (unsigned i = 0; i < 16; i++)
        wire_data(&w, 1, 0, block);
    wire_data(&w, 1, 0, "x");
    wire_go(&w);
    assert_non_null(strstr(w.got, "RST 1 3\n"));
    assert_null(w.o.exchanges);
    wire_deinit(&w);
}

static void padding_and_content_for_nobody_are_credited(void **state) {
    static char p[16384];
    struct wire w = { 0 };
    uint64_t back = 0;
    p[0] = (char)200;
    wire_init(&w, WEIR_ROLE_SERVER);
    w.with_windows = w.o.silent = true;
    wire_go(&w);
    for (unsigned i = 0; i < 400; i++) {
        uint32_t id = 2 * i + 1;
        wire_headers(&w, id, 0, LIST(POST_HEAD));
        wire_frame(&w, NGHTTP2_DATA, PAD, id, p, sizeof(p));
        assert_int_equal(owner_feed(&w.o, (const char *)w.buf, w.len, WHOLE), 0);
        w.len = 0;
        struct exchange *x = owner_find(&w.o, id);
        assert_int_equal(x->received, sizeof(p) - 201);
        if (i % 2)
            owner_drop(&w.o, x, WEIR_FAULT(LOCAL, TIMEOUT_REQUEST));
        else
            assert_int_equal(owner_respond(&w.o, x, 200, NULL), 0);
        wire_frame(&w, NGHTTP2_DATA, i % 2 ? PAD : PAD | ES, id, p, sizeof(p));
        assert_int_equal(wire_go(&w), 0);
        for (const char *at = w.got; (at = strstr(at, "WINDOW 0 ")); at++)
            back += strtoull(at + 9, NULL, 10);
    }
    assert_true(back > 400ull * 2 * sizeof(p) - 1048576);
    assert_null(w.o.exchanges);
    wire_deinit(&w);
}

static void goaway_parts_what_was_processed_from_what_was_not(void **state) {
    struct wire w = { 0 };
    wire_init(&w, WEIR_ROLE_CLIENT);
    owner_get(&w.o, "/1");
    owner_get(&w.o, "/3");
    assert_int_equal(wire_go(&w), 0);
    owner_get(&w.o, "/5"); /* has not left: safe to send elsewhere */
    goaway(&w, 0x7fffffff, 0);
    assert_int_equal(wire_go(&w), 0);
    assert_string_equal(w.got, "");
    expect_reset(&w, "draining\n", 5, WEIR_FAULT_GOAWAY);
    goaway(&w, 1, 0);
    assert_int_equal(wire_go(&w), 0);
    expect_reset(&w, "", 3, WEIR_FAULT_GOAWAY);
    assert_null(owner_get(&w.o, "/7"));
    assert_false(w.o.codec->must_close);
    wire_headers(&w, 1, ES, LIST({ ":status", "200", 0 }));
    assert_int_equal(wire_go(&w), 0);
    owner_expect(&w.o, "head 1 200 none\nend 1\nclosed 1\n");
    assert_true(w.o.codec->must_close);
    wire_deinit(&w);
}

static void a_goaway_with_an_error_is_only_draining(void **state) {
    struct wire w = { 0 };
    wire_init(&w, WEIR_ROLE_CLIENT);
    owner_get(&w.o, "/1");
    wire_go(&w);
    goaway(&w, 1, NGHTTP2_ENHANCE_YOUR_CALM);
    wire_headers(&w, 1, ES, LIST({ ":status", "200", 0 }));
    assert_int_equal(wire_go(&w), 0);
    owner_expect(&w.o, "draining\nhead 1 200 none\nend 1\nclosed 1\n");
    wire_deinit(&w);
}

static void the_peer_may_change_how_many_streams_it_wants(void **state) {
    struct wire w = { 0 };
    wire_init(&w, WEIR_ROLE_CLIENT);
    assert_int_equal(w.o.codec->max_active, 100);
    setting(&w, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0);
    assert_int_equal(wire_go(&w), 0);
    assert_null(owner_get(&w.o, "/"));
    setting(&w, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1);
    assert_int_equal(wire_go(&w), 0);
    struct exchange *x = owner_get(&w.o, "/");
    assert_non_null(x);
    assert_null(owner_get(&w.o, "/"));
    /* Abandoned: the slot is free as soon as the reset has left. */
    wire_pull(&w);
    owner_drop(&w.o, x, WEIR_FAULT(DOWNSTREAM, RESET));
    assert_non_null(owner_get(&w.o, "/"));
    wire_pull(&w);
    assert_non_null(strstr(w.got, "RST 1 8\nHEADERS 3"));
    wire_deinit(&w);
}

static void resets_of_an_upstream_say_whether_to_try_again(void **state) {
    static const struct {
        uint32_t code;
        int kind;
    } cases[] = {
        { NGHTTP2_REFUSED_STREAM, WEIR_FAULT_GOAWAY }, { NGHTTP2_CANCEL, WEIR_FAULT_RESET },
        { NGHTTP2_INTERNAL_ERROR, WEIR_FAULT_RESET },  { NGHTTP2_NO_ERROR, WEIR_FAULT_RESET },
        { NGHTTP2_PROTOCOL_ERROR, WEIR_FAULT_RESET },
    };
    struct wire w = { 0 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        wire_init(&w, WEIR_ROLE_CLIENT);
        owner_get(&w.o, "/");
        wire_go(&w);
        wire_u32(&w, NGHTTP2_RST_STREAM, 1, cases[i].code);
        assert_int_equal(wire_go(&w), 0);
        expect_reset(&w, "", 1, cases[i].kind);
        owner_get(&w.o, "/");
        wire_pull(&w);
        wire_headers(&w, 3, 0, LIST({ ":status", "200", 0 }));
        wire_u32(&w, NGHTTP2_RST_STREAM, 3, cases[i].code);
        assert_int_equal(wire_go(&w), 0);
        expect_reset(&w, "head 3 200 stream\n", 3, cases[i].kind);
        wire_deinit(&w);
    }
}

static void an_answer_before_the_end_of_the_request_is_complete(void **state) {
    for (unsigned with_reset = 0; with_reset < 2; with_reset++) {
        struct wire w = { 0 };
        wire_init(&w, WEIR_ROLE_CLIENT);
        struct exchange *x = upload(&w);
        owner_send(&w.o, x, "abc", 3);
        wire_go(&w);
        wire_headers(&w, 1, ES, LIST({ ":status", "413", 0 }));
        if (with_reset)
            wire_u32(&w, NGHTTP2_RST_STREAM, 1, NGHTTP2_NO_ERROR);
        assert_int_equal(wire_go(&w), 0);
        if (with_reset) {
            owner_expect(&w.o, "head 1 413 none\nend 1\nclosed 1\n");
        } else {
            owner_expect(&w.o, "head 1 413 none\nend 1\n");
            owner_finish(&w.o, x);
            assert_int_equal(wire_pull(&w), 0);
            assert_string_equal(w.got, "DATA 1 0 end\n");
            owner_expect(&w.o, "closed 1\n");
        }
        assert_int_equal(w.o.codec->n_active, 0);
        wire_deinit(&w);
    }
}

static void a_client_may_give_up_after_the_answer_has_gone(void **state) {
    struct wire w = { 0 };
    wire_init(&w, WEIR_ROLE_SERVER);
    wire_headers(&w, 1, 0, LIST(POST_HEAD));
    wire_go(&w);
    owner_respond(&w.o, owner_find(&w.o, 1), 200, "ok");
    wire_pull(&w);
    owner_forget(&w.o);
    wire_u32(&w, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
    assert_int_equal(wire_go(&w), 0);
    char want[32];
    snprintf(want, sizeof(want), "reset 1 D %d\n", WEIR_FAULT_RESET);
    owner_expect(&w.o, want);
    wire_deinit(&w);
}

static void what_is_sent_to_a_stream_that_is_gone_is_dropped(void **state) {
    struct wire w = { 0 };
    struct weir_head head;
    wire_init(&w, WEIR_ROLE_SERVER);
    wire_get(&w, 1);
    wire_get(&w, 3);
    wire_go(&w);
    struct exchange *x = owner_find(&w.o, 1);
    head_response(&head, &x->arena, 200);
    head.body = WEIR_BODY_STREAM;
    w.o.codec->ops->send_head(w.o.codec, x->cs, &head, false);
    owner_send(&w.o, x, "abc", 3);
    wire_u32(&w, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
    wire_go(&w);
    assert_string_equal(w.got, "");
    assert_null(owner_find(&w.o, 1));
    assert_int_equal(w.o.pool.n_live, 0);
    /* A head larger than the other side's patience ends its own stream only. */
    x = owner_find(&w.o, 3);
    head_response(&head, &x->arena, 200);
    char *big = weir_arena_alloc(&x->arena, 300000);
    memset(big, 'x', 300000);
    weir_head_add(&head, WEIR_SLICE("big"), weir_slice_make(big, 300000));
    assert_int_equal(w.o.codec->ops->send_head(w.o.codec, x->cs, &head, true), 0);
    assert_int_equal(wire_pull(&w), 0);
    assert_string_equal(w.got, "RST 3 2\n");
    char want[32];
    snprintf(want, sizeof(want), "reset 3 L %d\n", WEIR_FAULT_HEAD_TOO_LARGE);
    assert_non_null(strstr(w.o.log, want));
    wire_get(&w, 5);
    assert_int_equal(wire_go(&w), 0);
    assert_non_null(owner_find(&w.o, 5));
    wire_deinit(&w);
}

/* Owners that pass a chunk on keep it alive; the codec keeps none. */
static void content_is_neither_copied_nor_kept(void **state) {
    struct wire w = { 0 };
    struct weir_bufq q, out;
    struct weir_head head;
    wire_init(&w, WEIR_ROLE_SERVER);
    wire_get(&w, 1);
    wire_go(&w);
    struct exchange *x = owner_find(&w.o, 1);
    head_response(&head, &x->arena, 200);
    head.body = WEIR_BODY_STREAM;
    w.o.codec->ops->send_head(w.o.codec, x->cs, &head, false);
    wire_pull(&w);
    struct weir_chunk *chunk = weir_chunk_get(&w.o.pool);
    weir_bufq_init(&q, &w.o.pool, 0);
    weir_bufq_init(&out, &w.o.pool, 0);
    memset(chunk->data, 'c', 4000);
    weir_bufq_append_ref(&q, chunk, weir_slice_make(chunk->data, 4000));
    assert_int_equal(w.o.codec->ops->send_data(w.o.codec, x->cs, &q), 0);
    assert_int_equal(q.len, 0);
    assert_int_equal(w.o.codec->ops->pull(w.o.codec, &out), 0);
    assert_int_equal(out.len, 4009);
    struct iovec iov[4];
    assert_int_equal(weir_bufq_peek(&out, iov, 4), 2);
    assert_ptr_equal(iov[1].iov_base, chunk->data);
    weir_bufq_deinit(&out);
    assert_int_equal(chunk->refs, 1);
    weir_chunk_unref(chunk);
    wire_deinit(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_settings_say_what_is_enforced),
        cmocka_unit_test(a_closed_window_holds_content_back),
        cmocka_unit_test(a_closed_connection_window_holds_all_streams_back),
        cmocka_unit_test(credit_follows_consumption),
        cmocka_unit_test(padding_and_content_for_nobody_are_credited),
        cmocka_unit_test(goaway_parts_what_was_processed_from_what_was_not),
        cmocka_unit_test(a_goaway_with_an_error_is_only_draining),
        cmocka_unit_test(the_peer_may_change_how_many_streams_it_wants),
        cmocka_unit_test(resets_of_an_upstream_say_whether_to_try_again),
        cmocka_unit_test(an_answer_before_the_end_of_the_request_is_complete),
        cmocka_unit_test(a_client_may_give_up_after_the_answer_has_gone),
        cmocka_unit_test(what_is_sent_to_a_stream_that_is_gone_is_dropped),
        cmocka_unit_test(content_is_neither_copied_nor_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
