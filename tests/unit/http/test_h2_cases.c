/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 conversations, both roles, whole, one byte at a time and cut at every offset: whatever reads the bytes come in, and
 * whether or not the codec may write in between, each exchange is told the same.
 */
#include "h2_wire.h"

#define TEXT_MAX 65536

struct one_case {
    const char *name;
    void (*build)(struct wire *w);
    const char *holds; /* a line of the log */
};

#define RESPONSE                                                                                   \
    { ":status", "200", 0 }

/* ---- what clients say ---- */

static void plain(struct wire *w) {
    wire_get(w, 1);
    wire_get(w, 3);
}

static void content(struct wire *w) {
    wire_headers(w, 1, 0, LIST(POST_HEAD, { "content-length", "9", 0 }));
    wire_data(w, 1, 0, "abc");
    wire_data(w, 1, 0, "");
    wire_data(w, 1, ES, "defghi");
}

static void trailers(struct wire *w) {
    wire_headers(w, 1, 0, LIST(POST_HEAD, { "te", "trailers", 0 }));
    wire_data(w, 1, 0, "abc");
    wire_headers(w, 1, ES, LIST({ "x-sum", "7", 0 }, { "authorization", "x", 0 }));
}

static void interleaved(struct wire *w) {
    wire_headers(w, 1, 0, LIST(POST_HEAD));
    wire_headers(w, 3, 0, LIST(POST_HEAD, { "cookie", "a=b", 0 }, { "cookie", "c=d", 0 }));
    wire_data(w, 3, 0, "three");
    wire_data(w, 1, 0, "one");
    wire_get(w, 5);
    wire_data(w, 3, ES, "more");
    wire_data(w, 1, ES, "more");
}

static void split_list(struct wire *w, const struct nv *list, uint8_t flags) {
    uint8_t block[4096];
    size_t n = wire_block(w, list, block, sizeof(block));
    wire_frame(w, NGHTTP2_HEADERS, flags, 1, block, 1);
    wire_frame(w, NGHTTP2_CONTINUATION, 0, 1, block + 1, 0);
    wire_frame(w, NGHTTP2_CONTINUATION, EH, 1, block + 1, n - 1);
}

static void continued(struct wire *w) {
    split_list(w, LIST(GET_HEAD, { "x-long", "a value of some length", 0 }), ES);
}

static void padded(struct wire *w) {
    uint8_t block[256] = { 7, 0, 0, 0, 0, 15 };
    size_t n = wire_block(w, LIST(POST_HEAD), block + 6, 200);
    memset(block + 6 + n, 0, 7);
    wire_frame(w, NGHTTP2_HEADERS, EH | PAD | NGHTTP2_FLAG_PRIORITY, 1, block, 6 + n + 7);
    wire_frame(w, NGHTTP2_DATA, PAD, 1, "\3abc\0\0\0", 7);
    wire_frame(w, NGHTTP2_DATA, PAD | ES, 1, "\0", 1);
}

static void between(struct wire *w) {
    wire_headers(w, 1, 0, LIST(POST_HEAD));
    wire_frame(w, NGHTTP2_PING, 0, 0, "12345678", 8);
    wire_frame(w, NGHTTP2_SETTINGS, 0, 0, "\0\4\0\0\1\0", 6);
    wire_frame(w, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\0\1", 5);
    wire_frame(w, 200, 0xff, 1, "unknown", 7);
    wire_u32(w, NGHTTP2_WINDOW_UPDATE, 0, 1000);
    wire_u32(w, NGHTTP2_WINDOW_UPDATE, 1, 1000);
    wire_data(w, 1, ES, "abc");
}

static void taken_back(struct wire *w) {
    wire_headers(w, 1, 0, LIST(POST_HEAD));
    wire_data(w, 1, 0, "abc");
    wire_u32(w, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
    wire_get(w, 3);
}

static void malformed_then_good(struct wire *w) {
    wire_headers(w, 1, ES, LIST(GET_HEAD, { "connection", "x", 0 }));
    wire_headers(w, 3, ES, LIST(GET_HEAD, { "x", "a\r\nb", 0 }));
    wire_headers(w, 5, ES, LIST(METHOD("GET"), SCHEME, AUTHORITY, { ":path", "/#", 0 }));
    wire_get(w, 7);
}

/* How much of a frame has been told when its excess is seen is the one thing that depends on the reads. */
static void length_lies(struct wire *w) {
    wire_headers(w, 1, 0, LIST(POST_HEAD, { "content-length", "2", 0 }));
    wire_data(w, 1, 0, "ab");
    wire_data(w, 1, ES, "c");
    wire_headers(w, 3, 0, LIST(POST_HEAD, { "content-length", "9", 0 }));
    wire_data(w, 3, ES, "abc");
    wire_headers(w, 5, ES, LIST(POST_HEAD, { "content-length", "9", 0 }));
    wire_get(w, 7);
}

static void list_too_large(struct wire *w) {
    static char value[9000];
    memset(value, 'v', sizeof(value) - 1);
    for (unsigned i = 0; i < 9; i++)
        wire_headers(w, 2 * i + 1, ES, LIST(GET_HEAD, { "x", value, 0 }));
}

static void upgrade(struct wire *w) {
    wire_headers(w, 1, 0,
                 LIST(METHOD("CONNECT"), { ":protocol", "websocket", 0 }, SCHEME, AUTHORITY, PATH));
    wire_data(w, 1, 0, "early");
}

static void goaway(struct wire *w) {
    wire_get(w, 1);
    wire_frame(w, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
}

static void on_stream_zero(struct wire *w) {
    wire_get(w, 1);
    wire_data(w, 0, 0, "abc");
    wire_get(w, 3);
}

static void broken_block(struct wire *w) {
    wire_headers(w, 1, 0, LIST(POST_HEAD));
    wire_frame(w, NGHTTP2_HEADERS, EH | ES, 3, "\xff\xff\xff\xff\xff\xff\xff", 7);
}

static void interrupted_block(struct wire *w) {
    wire_frame(w, NGHTTP2_HEADERS, ES, 1, "\x82", 1);
    wire_frame(w, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void too_long(struct wire *w) {
    static const char zeros[16385];
    wire_get(w, 1);
    wire_frame(w, 200, 0, 0, zeros, sizeof(zeros));
}

static const struct one_case requests[] = {
    { "plain", plain, "head 3 GET http a.example / none" },
    { "content", content, "data 1 abcdefghi" },
    { "trailers", trailers, "end 1|x-sum: 7" },
    { "interleaved", interleaved, "data 3 threemore" },
    { "continued", continued, "x-long: a value of some length" },
    { "padded", padded, "data 1 abc" },
    { "between", between, "end 1" },
    { "taken back", taken_back, "reset 1" },
    { "malformed then good", malformed_then_good, "head 7" },
    { "length lies", length_lies, "head 7" },
    { "list too large", list_too_large, "begin 1" },
    { "upgrade", upgrade, "head 1" },
    { "goaway", goaway, "draining" },
    { "on stream zero", on_stream_zero, "must_close" },
    { "broken block", broken_block, "must_close" },
    { "interrupted block", interrupted_block, "must_close" },
    { "too long", too_long, "must_close" },
};

/* ---- what servers say, to GETs on streams 1 and 3 ---- */

static void answers(struct wire *w) {
    wire_headers(w, 3, 0, LIST(RESPONSE, { "x-a", "b", 0 }));
    wire_headers(w, 1, 0, LIST(RESPONSE, { "content-length", "3", 0 }));
    wire_data(w, 3, 0, "three");
    wire_data(w, 1, ES, "one");
    wire_data(w, 3, ES, "");
}

static void interim(struct wire *w) {
    wire_headers(w, 1, 0, LIST({ ":status", "103", 0 }, { "link", "x", 0 }));
    wire_headers(w, 1, 0, LIST({ ":status", "100", 0 }));
    wire_headers(w, 1, ES, LIST({ ":status", "204", 0 }));
}

static void answer_with_trailers(struct wire *w) {
    split_list(w, LIST(RESPONSE), 0);
    wire_data(w, 1, 0, "abc");
    wire_headers(w, 1, ES, LIST({ "grpc-status", "0", 0 }, { "set-cookie", "a=b", 0 }));
    wire_headers(w, 3, ES, LIST(RESPONSE, { "grpc-status", "12", 0 }));
}

static void refusals(struct wire *w) {
    wire_u32(w, NGHTTP2_RST_STREAM, 1, NGHTTP2_REFUSED_STREAM);
    wire_headers(w, 3, 0, LIST(RESPONSE));
    wire_data(w, 3, 0, "abc");
    wire_u32(w, NGHTTP2_RST_STREAM, 3, NGHTTP2_CANCEL);
}

static void leaving(struct wire *w) {
    wire_frame(w, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
    wire_headers(w, 1, 0, LIST(RESPONSE));
    wire_data(w, 1, ES, "abc");
}

static void bad_answers(struct wire *w) {
    wire_headers(w, 1, ES, LIST(RESPONSE, { "transfer-encoding", "chunked", 0 }));
    wire_headers(w, 3, 0, LIST(RESPONSE, { "content-length", "2", 0 }));
    wire_data(w, 3, 0, "ab");
    wire_data(w, 3, ES, "c");
}

static void no_head(struct wire *w) {
    wire_data(w, 1, ES, "abc");
    wire_headers(w, 3, ES, LIST({ "x", "y", 0 }));
}

static void push(struct wire *w) {
    wire_headers(w, 1, 0, LIST(RESPONSE));
    wire_frame(w, NGHTTP2_PUSH_PROMISE, EH, 1, "\0\0\0\2\x82\x86\x84", 7);
}

static void http1(struct wire *w) {
    wire_bytes(w, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static const struct one_case responses[] = {
    { "answers", answers, "data 3 three" },
    { "interim", interim, "head 1 103" },
    { "with trailers", answer_with_trailers, "end 1|grpc-status: 0" },
    { "refusals", refusals, "reset 1" },
    { "leaving", leaving, "draining" },
    { "bad answers", bad_answers, "reset 3" },
    { "no head", no_head, "reset 1" },
    { "push", push, "must_close" },
    { "HTTP/1", http1, "must_close" },
};

/* ---- running one ---- */

static void answer(struct owner *o, struct exchange *x) {
    /* A switch is left undecided: what comes early waits, unseen. */
    if (!x->cs->send_done && !x->head.wants_upgrade)
        assert_int_equal(owner_respond(o, x, 200, "hi"), 0);
}

static unsigned stream_of(const char *line) {
    unsigned id = UINT32_MAX; /* of the connection: last */
    sscanf(line, "%*s %u", &id);
    return id;
}

/*
 * The log with the lines of each exchange together, content in one line. Order between exchanges is nobody's business, and
 * whether an answer has left before the connection breaks is the reads'.
 */
static void by_exchange(const char *log, char text[TEXT_MAX]) {
    bool more = true;
    size_t at = 0;
    text[0] = '\0';
    for (unsigned next = 0; more;) {
        unsigned id = next;
        char prefix[24];
        bool data = false, ended = false;
        more = false;
        snprintf(prefix, sizeof(prefix), "data %u ", id);
        for (const char *p = log; *p; p = strchr(p, '\n') + 1) {
            size_t len = (size_t)(strchr(p, '\n') - p) + 1;
            unsigned of = stream_of(p);
            if (of > id && (!more || of < next)) {
                next = of;
                more = true;
            }
            if (of != id)
                continue;
            bool again = strncmp(p, prefix, strlen(prefix)) == 0;
            if (again && data) {
                at--;
                p += strlen(prefix);
                len -= strlen(prefix);
            }
            data = again;
            if (ended && (strncmp(p, "closed ", 7) == 0 || strncmp(p, "reset ", 6) == 0)) {
                memcpy(text + at, "over\n", 6);
                at += 5;
                continue;
            }
            ended |= strncmp(p, "end ", 4) == 0;
            assert_true(at + len < TEXT_MAX);
            memcpy(text + at, p, len);
            text[at += len] = '\0';
        }
    }
}

/* In reads of `step` bytes (0: all), the first up to `cut`; `talks`: the codec may write after each. */
static void run(const struct one_case *c, enum weir_role role, size_t step, size_t cut, bool talks,
                char text[TEXT_MAX]) {
    struct wire w = { 0 };
    int r = 0;
    wire_init(&w, role);
    w.o.on_end = role == WEIR_ROLE_SERVER ? answer : NULL;
    if (role == WEIR_ROLE_CLIENT) {
        assert_non_null(owner_get(&w.o, "/"));
        assert_non_null(owner_get(&w.o, "/"));
        assert_int_equal(wire_pull(&w), 0);
    }
    c->build(&w);
    for (size_t at = 0, n; at < w.len && r == 0; at += n) {
        n = step ? step : at < cut ? cut - at : w.len - at;
        n = n < w.len - at ? n : w.len - at;
        r = owner_feed(&w.o, (const char *)w.buf + at, n, n);
        if (talks)
            assert_int_equal(wire_pull(&w), 0);
    }
    assert_true(r == 0 || r == WEIR_CODEC_FAULT);
    assert_int_equal(wire_pull(&w), 0);
    if (w.o.codec->must_close)
        owner_note(&w.o, "must_close %d\n", w.o.codec->fault.kind);
    by_exchange(w.o.log, text);
    wire_deinit(&w);
}

static void check(const struct one_case *c, enum weir_role role) {
    static char want[TEXT_MAX], got[TEXT_MAX];
    struct wire w = { 0 };
    size_t len, stride;
    wire_init(&w, role);
    c->build(&w);
    len = w.len;
    stride = len > 2000 ? len / 200 : 1;
    wire_deinit(&w);
    run(c, role, 0, len, true, want);
    if (!strstr(want, c->holds))
        fail_msg("%s gives:\n%s", c->name, want);
    for (unsigned talks = 0; talks < 2; talks++) {
        for (size_t cut = 0; cut < len; cut += stride) {
            /* 0: byte by byte */
            run(c, role, cut == 0, cut, talks, got);
            if (strcmp(got, want) != 0)
                fail_msg("%s, cut at %zu%s:\n%swanted:\n%s", c->name, cut, talks ? ", talking" : "",
                         got, want);
        }
    }
}

static void requests_give_the_same_events_however_they_are_cut(void **state) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(requests); i++)
        check(&requests[i], WEIR_ROLE_SERVER);
}

static void responses_give_the_same_events_however_they_are_cut(void **state) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(responses); i++)
        check(&responses[i], WEIR_ROLE_CLIENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_give_the_same_events_however_they_are_cut),
        cmocka_unit_test(responses_give_the_same_events_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
