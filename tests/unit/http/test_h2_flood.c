/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that work against the connection instead of on it: attacks.md 2, and RFC 9113's connection
 * errors. */
#include "h2_wire.h"

#define CALM     NGHTTP2_ENHANCE_YOUR_CALM
#define PROTOCOL NGHTTP2_PROTOCOL_ERROR

static const char ping[] = "12345678";

/* The codec gave up on the peer: fault, GOAWAY with that code, no exchange left, and it stays so.
 */
static void assert_gone(struct wire *w, int kind, uint32_t code) {
    char want[32];
    size_t used;
    snprintf(want, sizeof(want), " %u\n", code);
    char *at = strstr(w->got, "GOAWAY ");
    assert_non_null(at);
    assert_non_null(strstr(at, want));
    assert_int_equal(w->o.codec->fault.kind, kind);
    assert_int_equal(w->o.codec->fault.side, w->o.codec->role == WEIR_ROLE_SERVER
                                                 ? WEIR_SIDE_DOWNSTREAM
                                                 : WEIR_SIDE_UPSTREAM);
    assert_true(w->o.codec->must_close);
    assert_false(w->o.codec->want_pull);
    assert_null(w->o.exchanges);
    assert_int_equal(w->o.codec->n_active, 0);
    assert_int_equal(w->o.codec->ops->feed(w->o.codec, NULL, WEIR_SLICE("x"), &used),
                     WEIR_CODEC_FAULT);
}

static void silent(struct wire *w, enum weir_role role) {
    wire_init(w, role);
    w->o.silent = true;
    if (role == WEIR_ROLE_CLIENT)
        assert_non_null(owner_get(&w->o, "/"));
    wire_go(w);
}

static void put_ping(struct wire *w) {
    wire_frame(w, NGHTTP2_PING, 0, 0, ping, 8);
}
static void put_settings(struct wire *w) {
    static const uint8_t table_size[6] = { 0, 1, 0, 0, 0, 0 };
    wire_frame(w, NGHTTP2_SETTINGS, 0, 0, table_size, 6);
}
static void put_empty_settings(struct wire *w) {
    wire_frame(w, NGHTTP2_SETTINGS, 0, 0, "", 0);
}
static void put_priority(struct wire *w) {
    wire_frame(w, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\0\x10", 5);
}
static void put_window(struct wire *w) {
    wire_u32(w, NGHTTP2_WINDOW_UPDATE, 0, 1);
}
static void put_empty_data(struct wire *w) {
    wire_data(w, 1, 0, "");
}
static void put_padding(struct wire *w) {
    uint8_t p[201] = { 200 };
    wire_frame(w, NGHTTP2_DATA, PAD, 1, p, sizeof(p));
}
static void put_unknown(struct wire *w) {
    wire_frame(w, 0xbe, 0xff, 1, ping, 8);
}
static void put_altsvc(struct wire *w) {
    wire_frame(w, 10, 0, 1, ping, 8);
}
static void put_rst_of_old(struct wire *w) {
    wire_u32(w, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
}
static void put_old_window(struct wire *w) {
    wire_u32(w, NGHTTP2_WINDOW_UPDATE, 1, 1);
}

static const struct {
    const char *what;
    void (*put)(struct wire *w);
    bool open; /* stream 1 is open: a request whose content is to come, or a response */
} floods[] = {
    { "PING", put_ping, false },
    { "SETTINGS", put_settings, false },
    { "empty SETTINGS", put_empty_settings, false },
    { "PRIORITY", put_priority, false },
    { "WINDOW_UPDATE", put_window, false },
    { "empty DATA", put_empty_data, true },
    { "DATA of padding", put_padding, true },
    { "unknown frames", put_unknown, false },
    { "ALTSVC", put_altsvc, false },
    { "RST_STREAM of a closed stream", put_rst_of_old, false },
    { "WINDOW_UPDATE of a closed stream", put_old_window, false },
};

/* Reads of 16 KiB with a pull behind each; how many frames it stood. */
static unsigned frames_endured(struct wire *w, enum weir_role role, size_t i) {
    unsigned n = 0;
    int r = 0;
    silent(w, role);
    if (role == WEIR_ROLE_CLIENT)
        wire_headers(w, 1, floods[i].open ? 0 : ES, LIST({ ":status", "200", 0 }));
    else if (floods[i].open)
        wire_headers(w, 1, 0, LIST(POST_HEAD));
    else
        wire_get(w, 1);
    assert_int_equal(wire_go(w), 0);
    if (role == WEIR_ROLE_SERVER && !floods[i].open)
        assert_int_equal(owner_respond(&w->o, w->o.exchanges, 200, NULL), 0);
    while (r == 0 && n < 100000) {
        for (; w->len < 16000; n++)
            floods[i].put(w);
        r = wire_go(w);
    }
    assert_int_equal(r, WEIR_CODEC_FAULT);
    assert_gone(w, WEIR_FAULT_FLOOD, CALM);
    wire_deinit(w);
    return n;
}

static void frames_without_progress_end_the_connection(void **state) {
    struct wire w = { 0 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(floods); i++) {
        unsigned server = frames_endured(&w, WEIR_ROLE_SERVER, i);
        unsigned client = frames_endured(&w, WEIR_ROLE_CLIENT, i);
        print_message("  %s: at most %u and %u\n", floods[i].what, server, client);
        assert_true(server < 4000 && client < 4000);
    }
}

/* 100 frames without progress a second, of which a PING is two: 50 pings a second for ever, and no more however they are cut into reads. */
static void an_idle_connection_may_ping_for_ever(void **state) {
    struct wire w = { 0 };
    silent(&w, WEIR_ROLE_SERVER);
    for (unsigned i = 0; i < 5000; i++) {
        w.o.codec->now += 20000;
        put_ping(&w);
        assert_int_equal(wire_go(&w), 0);
        assert_string_equal(w.got, "frame 6 0\n");
    }
    wire_deinit(&w);
}

static void faster_pings_end_it_one_a_read_or_not(void **state) {
    struct wire w = { 0 };
    unsigned n = 0;
    silent(&w, WEIR_ROLE_SERVER);
    for (int r = 0; r == 0 && n < 5000; n++) {
        w.o.codec->now += 15000;
        put_ping(&w);
        r = wire_go(&w);
    }
    assert_true(n > 1000 && n < 3000);
    assert_gone(&w, WEIR_FAULT_FLOOD, CALM);
    assert_int_equal(w.o.codec->flood, WEIR_FLOOD_PINGS);
    wire_deinit(&w);
}

static void answer(struct owner *o, struct exchange *x) {
    owner_respond(o, x, 200, "ok");
}

static void resets_come_back_with_time(void **state) {
    struct wire w = { 0 };
    uint32_t id = 1;
    silent(&w, WEIR_ROLE_SERVER);
    w.o.on_end = answer;
    for (unsigned s = 0; s < 10; s++) { /* 200 at once, then 20 a second, each behind an answer */
        for (unsigned i = 0; i < (s == 0 ? 200 : 20); i++, id += 2) {
            wire_get(&w, id);
            assert_int_equal(wire_go(&w), 0);
            wire_u32(&w, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
            assert_int_equal(wire_go(&w), 0);
        }
        w.o.codec->now += 1000000;
    }
    for (unsigned i = 0; i < 21; i++, id += 2) {
        wire_get(&w, id);
        assert_int_equal(wire_go(&w), 0);
        wire_u32(&w, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
        assert_int_equal(wire_go(&w), i < 20 ? 0 : WEIR_CODEC_FAULT);
    }
    assert_int_equal(w.o.codec->flood, WEIR_FLOOD_RESETS);
    wire_deinit(&w);
}

static void honest_traffic_is_never_a_flood(void **state) {
    struct wire w = { 0 };
    unsigned id = 1;
    silent(&w, WEIR_ROLE_SERVER);
    w.o.on_end = answer;
    /* Long upload in tiny messages, packed into big reads. */
    wire_headers(&w, id, 0, LIST(POST_HEAD));
    for (unsigned i = 0; i < 20000; i++) {
        wire_data(&w, id, 0, "abcde");
        if (w.len > 16000)
            assert_int_equal(wire_go(&w), 0);
    }
    wire_data(&w, id, ES, "");
    assert_int_equal(wire_go(&w), 0);
    /* Many short requests, each with a PING and two WINDOW_UPDATEs. */
    for (unsigned i = 0; i < 3000; i++) {
        id += 2;
        wire_get(&w, id);
        put_ping(&w);
        put_window(&w);
        put_window(&w);
        if (i % 50 == 49)
            assert_int_equal(wire_go(&w), 0);
    }
    assert_int_equal(w.o.n_heads, 3001);
    wire_deinit(&w);
}

/* 16 KiB responses acknowledged by a client that sends eight window updates for each. */
static void eager_window_updates_are_paid_by_content(void **state) {
    struct wire w = { 0 };
    static char block[16384];
    struct weir_head head;
    silent(&w, WEIR_ROLE_SERVER);
    wire_get(&w, 1);
    assert_int_equal(wire_go(&w), 0);
    head_response(&head, &w.o.exchanges->arena, 200);
    head.body = WEIR_BODY_STREAM;
    w.o.codec->ops->send_head(w.o.codec, w.o.exchanges->cs, &head, false);
    for (unsigned i = 0; i < 2000; i++) {
        owner_send(&w.o, w.o.exchanges, block, sizeof(block));
        for (unsigned k = 0; k < 4; k++) {
            wire_u32(&w, NGHTTP2_WINDOW_UPDATE, 0, 4096);
            wire_u32(&w, NGHTTP2_WINDOW_UPDATE, 1, 4096);
        }
        if (i % 3 == 2)
            assert_int_equal(wire_go(&w), 0);
    }
    assert_true(w.o.codec->ops->pending(w.o.codec, w.o.exchanges->cs) < 65536);
    wire_deinit(&w);
}

static void rapid_reset_is_cut_short(void **state) {
    struct wire w = { 0 };
    silent(&w, WEIR_ROLE_SERVER);
    for (uint32_t id = 1; id < 4000; id += 2) {
        wire_get(&w, id);
        wire_u32(&w, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
    }
    assert_int_equal(wire_go(&w), WEIR_CODEC_FAULT);
    assert_gone(&w, WEIR_FAULT_FLOOD, CALM);
    assert_true(w.o.n_begun <= 201);
    wire_deinit(&w);
}

/* A proxy that speaks for many clients may take back more; and not without end. */
static void how_many_resets_are_too_many_is_a_limit(void **state) {
    for (uint32_t n = 900; n <= 1100; n += 200) {
        struct wire w = { 0 };
        w.o.limits = weir_codec_limits_default;
        w.o.limits.reset_burst = 1000;
        w.o.limits.reset_per_s = 1;
        silent(&w, WEIR_ROLE_SERVER);
        for (uint32_t i = 0; i < n; i++) {
            wire_get(&w, 2 * i + 1);
            wire_u32(&w, NGHTTP2_RST_STREAM, 2 * i + 1, NGHTTP2_CANCEL);
        }
        assert_int_equal(wire_go(&w), n > 1000 ? WEIR_CODEC_FAULT : 0);
        assert_true(n > 1000 ? w.o.n_begun <= 1001 : w.o.n_begun == n);
        wire_deinit(&w);
    }
}

/* Streams that end within one read never add up to more than may be open. */
static unsigned most_open;
static void count_open(struct owner *o, struct exchange *x) {
    if (o->codec->n_active > most_open)
        most_open = o->codec->n_active;
}

static void no_more_streams_are_open_than_announced(void **state) {
    struct wire w = { 0 };
    silent(&w, WEIR_ROLE_SERVER);
    w.o.on_head = count_open;
    for (uint32_t id = 1; id < 300; id += 2) {
        wire_get(&w, id);
        wire_u32(&w, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
    }
    assert_int_equal(wire_go(&w), 0);
    assert_int_equal(most_open, 1);
    for (uint32_t id = 301; id < 301 + 2 * 101; id += 2)
        wire_get(&w, id);
    wire_go(&w);
    assert_int_equal(most_open, 100);
    assert_gone(&w, WEIR_FAULT_LIMIT_STREAMS, PROTOCOL);
    wire_deinit(&w);
}

/* SETTINGS that are never acknowledged bind nobody, and each stream too many is refused by itself. */
static void streams_refused_for_their_number_are_counted(void **state) {
    struct wire w = { 0 };
    uint32_t id = 1;
    int r = 0;
    wire_init(&w, WEIR_ROLE_SERVER);
    w.o.silent = true;
    w.len -= 9; /* the acknowledgement */
    assert_int_equal(wire_go(&w), 0);
    for (; r == 0 && id < 2000; id += 2) {
        wire_headers(&w, id, 0, LIST(POST_HEAD));
        r = wire_go(&w);
    }
    assert_int_equal(r, WEIR_CODEC_FAULT);
    assert_gone(&w, WEIR_FAULT_FLOOD, CALM);
    assert_int_equal(w.o.n_begun, 100);
    assert_in_range(id / 2, 300, 302);
    wire_deinit(&w);
}

static void reset_by_window(struct wire *w, uint32_t id) {
    wire_headers(w, id, 0, LIST(POST_HEAD));
    wire_u32(w, NGHTTP2_WINDOW_UPDATE, id, 0x7fffffff);
}
static void reset_by_length(struct wire *w, uint32_t id) {
    wire_headers(w, id, 0, LIST(POST_HEAD, { "content-length", "2", 0 }));
    wire_data(w, id, ES, "x");
}
static void reset_by_excess(struct wire *w, uint32_t id) {
    wire_headers(w, id, 0, LIST(POST_HEAD, { "content-length", "2", 0 }));
    wire_data(w, id, 0, "xyz");
}
static void reset_by_field(struct wire *w, uint32_t id) {
    wire_headers(w, id, ES, LIST(GET_HEAD, { "connection", "x", 0 }));
}
static void reset_by_empty_name(struct wire *w, uint32_t id) {
    wire_headers(w, id, ES, LIST(GET_HEAD, { "", "x", 0 }));
}
static void reset_by_target(struct wire *w, uint32_t id) {
    wire_headers(w, id, ES, LIST(METHOD("GET"), SCHEME, AUTHORITY, { ":path", "/#", 0 }));
}
static void reset_by_trailers(struct wire *w, uint32_t id) {
    wire_headers(w, id, 0, LIST(POST_HEAD));
    wire_headers(w, id, 0, LIST({ "no", "end", 0 }));
}

static void streams_made_to_be_reset_are_counted(void **state) {
    static void (*const ways[])(struct wire * w, uint32_t id) = {
        reset_by_window, reset_by_length,     reset_by_excess,   reset_by_field,
        reset_by_target, reset_by_empty_name, reset_by_trailers,
    };
    struct wire w = { 0 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(ways); i++) {
        uint32_t id = 1;
        silent(&w, WEIR_ROLE_SERVER);
        while (!w.o.codec->must_close && id < 2000) {
            for (unsigned k = 0; k < 10; k++, id += 2)
                ways[i](&w, id);
            wire_go(&w);
        }
        assert_gone(&w, WEIR_FAULT_FLOOD, CALM);
        assert_true(w.o.n_begun <= 110);
        wire_deinit(&w);
    }
}

/* HEADERS and so many CONTINUATION frames; the last one ends the block. */
static int continued(struct wire *w, unsigned n, size_t step) {
    uint8_t block[512];
    silent(w, WEIR_ROLE_SERVER);
    size_t len = wire_block(w, LIST(GET_HEAD), block, sizeof(block));
    wire_frame(w, NGHTTP2_HEADERS, ES, 1, block, len);
    for (unsigned i = 1; i <= n; i++)
        wire_frame(w, NGHTTP2_CONTINUATION, i == n ? EH : 0, 1, "", 0);
    w->step = step;
    return wire_go(w);
}

static void continuation_frames_are_few(void **state) {
    struct wire w = { 0 };
    for (size_t step = 1; step < 100; step += 13) {
        assert_int_equal(continued(&w, 8, step), 0);
        assert_int_equal(w.o.n_heads, 1);
        wire_deinit(&w);
        assert_int_equal(continued(&w, 9, step), WEIR_CODEC_FAULT);
        assert_int_equal(w.o.n_heads, 0);
        assert_gone(&w, WEIR_FAULT_FLOOD, CALM);
        wire_deinit(&w);
    }
}

/* A value of 3000 bytes enters the table once and is then named by one byte each time. */
static void an_hpack_bomb_does_not_go_off(void **state) {
    struct wire w = { 0 };
    uint8_t block[16384];
    char value[3000];
    for (unsigned role = 0; role < 2; role++) {
        silent(&w, role ? WEIR_ROLE_CLIENT : WEIR_ROLE_SERVER);
        memset(value, 'v', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        const struct nv *list = role ? LIST({ ":status", "200", 0 }, { "bomb", value, 0 })
                                     : LIST(GET_HEAD, { "bomb", value, 0 });
        size_t len = wire_block(&w, list, block, sizeof(block));
        memset(block + len, 0x80 | 62, sizeof(block) - len); /* the newest entry */
        wire_frame(&w, NGHTTP2_HEADERS, ES | EH, 1, block, sizeof(block));
        assert_int_equal(wire_go(&w), WEIR_CODEC_FAULT);
        assert_int_equal(w.o.n_heads, 0);
        assert_gone(&w, WEIR_FAULT_FLOOD, CALM);
        wire_deinit(&w);
    }
}

/* The peer reads nothing: what we owe it must not pile up. */
static void unsent_acknowledgements_are_bounded(void **state) {
    struct wire w = { 0 };
    int r = 0;
    unsigned n = 0;
    silent(&w, WEIR_ROLE_SERVER);
    for (; r == 0 && n < 10000; n++) { /* one a read: no flood by count */
        put_ping(&w);
        r = owner_feed(&w.o, (const char *)w.buf, w.len, WHOLE);
        w.len = 0;
    }
    assert_int_equal(r, WEIR_CODEC_FAULT);
    assert_true(n <= 101);
    assert_int_equal(wire_pull(&w), 0);
    assert_gone(&w, WEIR_FAULT_FLOOD, CALM);
    wire_deinit(&w);
}

static void raw(struct wire *w, const char *bytes, size_t n) {
    wire_bytes(w, bytes, n);
}
static void data_on_zero(struct wire *w) {
    wire_data(w, 0, 0, "x");
}
static void data_on_idle(struct wire *w) {
    wire_data(w, 9, 0, "x");
}
static void data_behind_end(struct wire *w) {
    wire_get(w, 3);
    wire_data(w, 3, 0, "x");
}
static void even_stream(struct wire *w) {
    wire_get(w, 2);
}
static void headers_on_zero(struct wire *w) {
    wire_get(w, 0);
}
static void lone_continuation(struct wire *w) {
    wire_frame(w, NGHTTP2_CONTINUATION, EH, 1, "", 0);
}
static void interrupted_block(struct wire *w) {
    wire_frame(w, NGHTTP2_HEADERS, ES, 3, "\x82", 1);
    put_ping(w);
}
static void zero_increment(struct wire *w) {
    wire_u32(w, NGHTTP2_WINDOW_UPDATE, 0, 0);
}
static void padding_too_long(struct wire *w) {
    wire_frame(w, NGHTTP2_DATA, PAD, 1, "\xff\x00", 2);
}
static void push_promise(struct wire *w) {
    wire_frame(w, NGHTTP2_PUSH_PROMISE, EH, 1, "\0\0\0\x02\x82", 5);
}
static void bad_window_setting(struct wire *w) {
    wire_frame(w, NGHTTP2_SETTINGS, 0, 0, "\0\x04\xff\xff\xff\xff", 6);
}
static void window_overflow(struct wire *w) {
    wire_u32(w, NGHTTP2_WINDOW_UPDATE, 0, 0x7fffffff);
}
static void unasked_ack(struct wire *w) {
    wire_frame(w, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0);
}
static void odd_settings(struct wire *w) {
    wire_frame(w, NGHTTP2_SETTINGS, 0, 0, "\0\x04\0\0\0", 5);
}
static void short_ping(struct wire *w) {
    wire_frame(w, NGHTTP2_PING, 0, 0, ping, 7);
}
static void too_long_frame(struct wire *w) {
    raw(w, "\x00\x40\x01\x00\x00\x00\x00\x00\x01", 9);
}
static void bad_hpack(struct wire *w) {
    wire_frame(w, NGHTTP2_HEADERS, ES | EH, 3, "\xff\xff\xff\xff\x7f", 5);
}
static void table_too_large(struct wire *w) {
    wire_frame(w, NGHTTP2_HEADERS, ES | EH, 3, "\x3f\xe2\x1f", 3); /* 4097 */
}

static void connection_errors_end_all_exchanges(void **state) {
    static const struct {
        void (*put)(struct wire *w);
        uint32_t code;
    } cases[] = {
        { data_on_zero, PROTOCOL },
        { data_on_idle, PROTOCOL },
        { data_behind_end, NGHTTP2_STREAM_CLOSED },
        { even_stream, PROTOCOL },
        { headers_on_zero, PROTOCOL },
        { lone_continuation, PROTOCOL },
        { interrupted_block, PROTOCOL },
        { zero_increment, PROTOCOL },
        { padding_too_long, PROTOCOL },
        { push_promise, PROTOCOL },
        { bad_window_setting, NGHTTP2_FLOW_CONTROL_ERROR },
        { window_overflow, NGHTTP2_FLOW_CONTROL_ERROR },
        { unasked_ack, PROTOCOL },
        { odd_settings, NGHTTP2_FRAME_SIZE_ERROR },
        { short_ping, NGHTTP2_FRAME_SIZE_ERROR },
        { too_long_frame, NGHTTP2_FRAME_SIZE_ERROR },
        { bad_hpack, NGHTTP2_COMPRESSION_ERROR },
        { table_too_large, NGHTTP2_COMPRESSION_ERROR },
    };
    struct wire w = { 0 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        for (size_t step = 1; step <= WHOLE; step += WHOLE - 1) {
            silent(&w, WEIR_ROLE_SERVER);
            wire_headers(&w, 1, 0, LIST(POST_HEAD));
            assert_int_equal(wire_go(&w), 0);
            assert_non_null(w.o.exchanges);
            w.step = step;
            cases[i].put(&w);
            wire_go(&w);
            assert_gone(&w, WEIR_FAULT_PROTOCOL, cases[i].code);
            wire_deinit(&w);
        }
    }
}

static void what_is_not_http2_is_a_fault(void **state) {
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r0123456789",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        struct owner o = { 0 };
        assert_int_equal(owner_init(&o, WEIR_ROLE_SERVER), 0);
        struct weir_bufq q;
        weir_bufq_init(&q, &o.pool, 0);
        owner_feed(&o, texts[i], strlen(texts[i]), WHOLE);
        assert_int_equal(o.codec->ops->pull(o.codec, &q), 0);
        assert_int_equal(o.codec->fault.kind, WEIR_FAULT_PROTOCOL);
        assert_true(o.codec->must_close);
        weir_bufq_deinit(&q);
        owner_deinit(&o);
    }
}

static void a_hostile_upstream_is_cut_off(void **state) {
    static void (*const ways[])(struct wire * w) = { push_promise, data_on_idle, even_stream,
                                                     zero_increment };
    struct wire w = { 0 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(ways); i++) {
        silent(&w, WEIR_ROLE_CLIENT);
        ways[i](&w);
        wire_go(&w);
        assert_gone(&w, WEIR_FAULT_PROTOCOL, PROTOCOL);
        assert_null(owner_get(&w.o, "/"));
        wire_deinit(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_without_progress_end_the_connection),
        cmocka_unit_test(an_idle_connection_may_ping_for_ever),
        cmocka_unit_test(faster_pings_end_it_one_a_read_or_not),
        cmocka_unit_test(resets_come_back_with_time),
        cmocka_unit_test(honest_traffic_is_never_a_flood),
        cmocka_unit_test(eager_window_updates_are_paid_by_content),
        cmocka_unit_test(rapid_reset_is_cut_short),
        cmocka_unit_test(how_many_resets_are_too_many_is_a_limit),
        cmocka_unit_test(no_more_streams_are_open_than_announced),
        cmocka_unit_test(streams_refused_for_their_number_are_counted),
        cmocka_unit_test(streams_made_to_be_reset_are_counted),
        cmocka_unit_test(continuation_frames_are_few),
        cmocka_unit_test(an_hpack_bomb_does_not_go_off),
        cmocka_unit_test(unsent_acknowledgements_are_bounded),
        cmocka_unit_test(connection_errors_end_all_exchanges),
        cmocka_unit_test(what_is_not_http2_is_a_fault),
        cmocka_unit_test(a_hostile_upstream_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
