/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on streams their sender has ended (RFC 9113 5.1), and those that only look like it. */
#include "h2_wire.h"

#define CLOSED   NGHTTP2_STREAM_CLOSED
#define PROTOCOL NGHTTP2_PROTOCOL_ERROR

static void headers_behind_end(struct wire *w) {
    wire_get(w, 3);
    wire_get(w, 3);
}
static void headers_behind_content(struct wire *w) {
    wire_headers(w, 3, 0, LIST(POST_HEAD));
    wire_data(w, 3, ES, "x");
    wire_headers(w, 3, ES, LIST({ "a", "b", 0 }));
}
static void data_behind_rst(struct wire *w) {
    wire_headers(w, 3, 0, LIST(POST_HEAD));
    wire_u32(w, NGHTTP2_RST_STREAM, 3, NGHTTP2_CANCEL);
    wire_data(w, 3, ES, "x");
}
static void headers_behind_rst(struct wire *w) {
    wire_headers(w, 3, 0, LIST(POST_HEAD));
    wire_u32(w, NGHTTP2_RST_STREAM, 3, NGHTTP2_CANCEL);
    wire_headers(w, 3, ES, LIST({ "a", "b", 0 }));
}
static void data_much_later(struct wire *w) {
    for (uint32_t id = 3; id < 203; id += 2)
        wire_get(w, id);
    wire_data(w, 3, 0, "x");
}
static void passed_over(struct wire *w) {
    wire_get(w, 9);
    wire_get(w, 7);
}
static void priority_of_zero(struct wire *w) {
    wire_frame(w, NGHTTP2_PRIORITY, 0, 0, "\0\0\0\1\x10", 5);
}
static void priority_on_itself(struct wire *w) {
    wire_frame(w, NGHTTP2_PRIORITY, 0, 5, "\x80\0\0\5\x10", 5);
}
static void padding_behind_rst(struct wire *w, const char *payload, size_t n) {
    wire_headers(w, 3, 0, LIST(POST_HEAD));
    wire_go(w);
    struct exchange *x = owner_find(&w->o, 3);
    w->o.codec->ops->reset(w->o.codec, x->cs, WEIR_FAULT(DOWNSTREAM, RESET));
    exchange_free(&w->o, x);
    wire_frame(w, NGHTTP2_DATA, PAD, 3, payload, n);
}
static void padding_too_long(struct wire *w) {
    padding_behind_rst(w, "\5abcd", 5);
}
static void padding_cut_off(struct wire *w) {
    padding_behind_rst(w, "", 0);
}
static void padding_in_order(struct wire *w) {
    padding_behind_rst(w, "\4abcd", 5);
}
static void priority_on_another(struct wire *w) {
    wire_frame(w, NGHTTP2_PRIORITY, 0, 5, "\0\0\0\3\x10", 5);
}
static void rst_behind_end(struct wire *w) {
    wire_get(w, 3);
    wire_u32(w, NGHTTP2_RST_STREAM, 3, NGHTTP2_CANCEL);
    wire_u32(w, NGHTTP2_RST_STREAM, 3, NGHTTP2_CANCEL);
    wire_u32(w, NGHTTP2_WINDOW_UPDATE, 3, 1);
    wire_frame(w, NGHTTP2_PRIORITY, 0, 3, "\0\0\0\1\x10", 5);
}
static void trailers(struct wire *w) {
    wire_headers(w, 3, 0, LIST(POST_HEAD));
    wire_data(w, 3, 0, "x");
    wire_headers(w, 3, ES, LIST({ "a", "b", 0 }));
}
static void far_apart(struct wire *w) {
    wire_get(w, 3);
    wire_u32(w, NGHTTP2_RST_STREAM, 3, NGHTTP2_CANCEL);
    wire_get(w, 0x7ffffff1);
    wire_data(w, 3, 0, "long forgotten");
}
static void interleaved(struct wire *w) {
    for (uint32_t id = 3; id < 63; id += 2)
        wire_headers(w, id, 0, LIST(POST_HEAD));
    for (uint32_t id = 61; id > 1; id -= 2)
        wire_data(w, id, ES, "x");
}

static const struct {
    const char *what;
    void (*put)(struct wire *w);
    uint32_t code; /* of the GOAWAY; 0 = in order */
} cases[] = {
    { "HEADERS behind END_STREAM", headers_behind_end, CLOSED },
    { "HEADERS behind the content's end", headers_behind_content, CLOSED },
    { "DATA behind RST_STREAM", data_behind_rst, CLOSED },
    { "HEADERS behind RST_STREAM", headers_behind_rst, CLOSED },
    { "DATA, a hundred streams later", data_much_later, CLOSED },
    { "a stream passed over", passed_over, PROTOCOL },
    { "PRIORITY of stream 0", priority_of_zero, PROTOCOL },
    { "PRIORITY on itself", priority_on_itself, PROTOCOL },
    { "padding as long as the frame, of a reset stream", padding_too_long, PROTOCOL },
    { "no padding where some was announced", padding_cut_off, NGHTTP2_FRAME_SIZE_ERROR },
    { "padding in order", padding_in_order, 0 },
    { "PRIORITY on another", priority_on_another, 0 },
    { "RST_STREAM and others behind the end", rst_behind_end, 0 },
    { "trailers", trailers, 0 },
    { "beyond what is remembered", far_apart, 0 },
    { "many streams in any order", interleaved, 0 },
};

/* Whether answered meanwhile or not, and however it is cut. */
static void what_a_client_may_not_send(void **state) {
    static const size_t steps[] = { WHOLE, 1, 7, 9, 13 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        for (size_t k = 0; k < WEIR_ARRAY_LEN(steps); k++) {
            struct wire w = { 0 };
            char want[32];
            wire_init(&w, WEIR_ROLE_SERVER);
            w.o.silent = true;
            wire_go(&w);
            cases[i].put(&w);
            w.step = steps[k];
            int r = wire_go(&w);
            snprintf(want, sizeof(want), " %u\n", cases[i].code);
            char *goaway = strstr(w.got, "GOAWAY ");
            if (cases[i].code == 0) {
                if (r || goaway)
                    fail_msg("%s: %s", cases[i].what, w.got);
            } else if (r != WEIR_CODEC_FAULT || !goaway || !strstr(goaway, want)) {
                fail_msg("%s: %d %s", cases[i].what, r, w.got);
            } else {
                assert_int_equal(w.o.codec->fault.kind, WEIR_FAULT_PROTOCOL);
                assert_true(w.o.codec->must_close);
            }
            wire_deinit(&w);
        }
    }
}

/* What was under way when we reset the stream is no mistake of the peer's. */
static void a_stream_we_reset_may_go_on_for_a_while(void **state) {
    struct wire w = { 0 };
    wire_init(&w, WEIR_ROLE_SERVER);
    w.o.silent = true;
    wire_headers(&w, 1, 0, LIST(POST_HEAD));
    wire_go(&w);
    struct exchange *x = w.o.exchanges;
    w.o.codec->ops->reset(w.o.codec, x->cs, WEIR_FAULT(DOWNSTREAM, RESET));
    exchange_free(&w.o, x);
    wire_data(&w, 1, 0, "under way");
    wire_headers(&w, 1, ES, LIST({ "trailer", "too", 0 }));
    assert_int_equal(wire_go(&w), 0);
    wire_data(&w, 1, 0, "but not behind its own end");
    assert_int_equal(wire_go(&w), WEIR_CODEC_FAULT);
    assert_non_null(strstr(w.got, "GOAWAY "));
    wire_deinit(&w);
}

static void a_server_that_goes_on_behind_its_end(void **state) {
    struct wire w = { 0 };
    for (unsigned i = 0; i < 2; i++) {
        wire_init(&w, WEIR_ROLE_CLIENT);
        w.o.silent = true;
        assert_non_null(owner_get(&w.o, "/"));
        wire_go(&w);
        wire_headers(&w, 1, ES, LIST({ ":status", "200", 0 }));
        if (i)
            wire_headers(&w, 1, ES, LIST({ ":status", "200", 0 }));
        else
            wire_data(&w, 1, 0, "more");
        assert_int_equal(wire_go(&w), WEIR_CODEC_FAULT);
        assert_int_equal(w.o.codec->fault.side, WEIR_SIDE_UPSTREAM);
        wire_deinit(&w);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_client_may_not_send),
        cmocka_unit_test(a_stream_we_reset_may_go_on_for_a_while),
        cmocka_unit_test(a_server_that_goes_on_behind_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
