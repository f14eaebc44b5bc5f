/* SPDX-License-Identifier: Apache-2.0 */
/* Header lists in, heads or refusals out: RFC 9113 8.2 and 8.3, attacks.md 3. */
#include "http/fault.h"

#include "h2_wire.h"

#define FIELDS_MAX 12

struct refusal {
    const char *what;
    int status; /* of the answer; 0 = bare RST_STREAM(PROTOCOL_ERROR) */
    int kind;   /* what the owner is told */
    struct nv list[FIELDS_MAX];
};

#define X(text, n)                                                                                 \
    { "x", text, n }

static const struct refusal refusals[] = {
    /* Found by nghttp2. */
    { "CR in a value", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, X("a\rb", 0) } },
    { "LF in a value", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, X("a\nb", 0) } },
    { "CRLF in a value", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, X("a\r\nhost: b", 0) } },
    { "NUL in a value", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, X("a\0b", 3) } },
    { "a leading blank", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, X(" a", 0) } },
    { "a trailing tab", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, X("a\t", 0) } },
    { "an upper case name", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "X", "1", 0 } } },
    { "a colon in a name", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "x:", "1", 0 } } },
    { "a blank in a name", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "x y", "1", 0 } } },
    { "CRLF in a name", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "x\r\ny", "1", 0 } } },
    { "an empty name", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "", "1", 0 } } },
    { "an unknown pseudo", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { ":foo", "1", 0 } } },
    { "a response's pseudo", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { ":status", "200", 0 } } },
    { "two paths", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, PATH } },
    { "two methods", 0, WEIR_FAULT_BAD_FIELD, { METHOD("GET"), GET_HEAD } },
    { "a late pseudo",
      0,
      WEIR_FAULT_BAD_FIELD,
      { METHOD("GET"), SCHEME, AUTHORITY, X("1", 0), PATH } },
    { "no method", 0, WEIR_FAULT_BAD_PSEUDO, { SCHEME, AUTHORITY, PATH } },
    { "no scheme", 0, WEIR_FAULT_BAD_PSEUDO, { METHOD("GET"), AUTHORITY, PATH } },
    { "no path", 0, WEIR_FAULT_BAD_PSEUDO, { METHOD("GET"), SCHEME, AUTHORITY } },
    { "no authority", 0, WEIR_FAULT_BAD_PSEUDO, { METHOD("GET"), SCHEME, PATH } },
    { "an empty authority",
      0,
      WEIR_FAULT_BAD_FIELD,
      { METHOD("GET"), SCHEME, { ":authority", "", 0 }, PATH } },
    { "an empty path",
      0,
      WEIR_FAULT_BAD_FIELD,
      { METHOD("GET"), SCHEME, AUTHORITY, { ":path", "", 0 } } },
    { "a method with a blank",
      0,
      WEIR_FAULT_BAD_FIELD,
      { METHOD("G ET"), SCHEME, AUTHORITY, PATH } },
    { "a method with CRLF", 0, WEIR_FAULT_BAD_FIELD, { METHOD("G\r\n"), SCHEME, AUTHORITY, PATH } },
    { "a path with a blank",
      0,
      WEIR_FAULT_BAD_FIELD,
      { METHOD("GET"), SCHEME, AUTHORITY, { ":path", "/ HTTP/1.1", 0 } } },
    { "a path with CRLF",
      0,
      WEIR_FAULT_BAD_FIELD,
      { METHOD("GET"), SCHEME, AUTHORITY, { ":path", "/\r\nx: y", 0 } } },
    { "a relative path",
      0,
      WEIR_FAULT_BAD_PSEUDO,
      { METHOD("GET"), SCHEME, AUTHORITY, { ":path", "x", 0 } } },
    { "an absolute path",
      0,
      WEIR_FAULT_BAD_PSEUDO,
      { METHOD("GET"), SCHEME, AUTHORITY, { ":path", "http://b/", 0 } } },
    { "an asterisk for GET",
      0,
      WEIR_FAULT_BAD_PSEUDO,
      { METHOD("GET"), SCHEME, AUTHORITY, { ":path", "*", 0 } } },
    { "two hosts",
      0,
      WEIR_FAULT_BAD_FIELD,
      { GET_HEAD, { "host", "a.example", 0 }, { "host", "a.example", 0 } } },
    { "connection", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "connection", "close", 0 } } },
    { "keep-alive", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "keep-alive", "1", 0 } } },
    { "proxy-connection", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "proxy-connection", "x", 0 } } },
    { "transfer-encoding",
      0,
      WEIR_FAULT_BAD_FIELD,
      { GET_HEAD, { "transfer-encoding", "chunked", 0 } } },
    { "upgrade", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "upgrade", "h2c", 0 } } },
    { "te other than trailers", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "te", "gzip", 0 } } },
    { "te with more", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "te", "trailers, deflate", 0 } } },
    { "a signed length", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "content-length", "+0", 0 } } },
    { "a length list", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "content-length", "0, 0", 0 } } },
    { "an empty length", 0, WEIR_FAULT_BAD_FIELD, { GET_HEAD, { "content-length", "", 0 } } },
    { "two lengths",
      0,
      WEIR_FAULT_BAD_FIELD,
      { GET_HEAD, { "content-length", "0", 0 }, { "content-length", "0", 0 } } },
    { "a length of 2^64",
      0,
      WEIR_FAULT_BAD_FIELD,
      { GET_HEAD, { "content-length", "18446744073709551616", 0 } } },
    { "an imitated length",
      400,
      WEIR_FAULT_BAD_FRAMING,
      { GET_HEAD, { "content_length", "5", 0 } } },
    { "an imitated coding",
      400,
      WEIR_FAULT_BAD_FRAMING,
      { GET_HEAD, { "transfer_encoding", "chunked", 0 } } },
    { "a length and no content",
      0,
      WEIR_FAULT_BAD_FRAMING,
      { GET_HEAD, { "content-length", "5", 0 } } },
    { "extended CONNECT without a path",
      0,
      WEIR_FAULT_BAD_PSEUDO,
      { METHOD("CONNECT"), { ":protocol", "websocket", 0 }, SCHEME, AUTHORITY } },
    { "CONNECT with a path", 0, WEIR_FAULT_BAD_PSEUDO, { METHOD("CONNECT"), AUTHORITY, PATH } },
    /* Found by us. */
    { "userinfo",
      400,
      WEIR_FAULT_BAD_AUTHORITY,
      { METHOD("GET"), SCHEME, { ":authority", "u@a.example", 0 }, PATH } },
    { "two names in one authority",
      400,
      WEIR_FAULT_BAD_AUTHORITY,
      { METHOD("GET"), SCHEME, { ":authority", "a.example,b", 0 }, PATH } },
    { "a port that is none",
      400,
      WEIR_FAULT_BAD_AUTHORITY,
      { METHOD("GET"), SCHEME, { ":authority", "a:99999", 0 }, PATH } },
    { "host is not authority",
      400,
      WEIR_FAULT_BAD_AUTHORITY,
      { GET_HEAD, { "host", "b.example", 0 } } },
    { "a fragment",
      400,
      WEIR_FAULT_BAD_TARGET,
      { METHOD("GET"), SCHEME, AUTHORITY, { ":path", "/a#b", 0 } } },
    { "bytes above ASCII in the path",
      400,
      WEIR_FAULT_BAD_TARGET,
      { METHOD("GET"), SCHEME, AUTHORITY, { ":path", "/\xc3\xa4", 0 } } },
    { "another scheme",
      400,
      WEIR_FAULT_BAD_PSEUDO,
      { METHOD("GET"), { ":scheme", "ftp", 0 }, AUTHORITY, PATH } },
    { "an unknown method",
      501,
      WEIR_FAULT_METHOD_UNKNOWN,
      { METHOD("BREW"), SCHEME, AUTHORITY, PATH } },
    { "a lower case method",
      501,
      WEIR_FAULT_METHOD_UNKNOWN,
      { METHOD("get"), SCHEME, AUTHORITY, PATH } },
    { "an expectation", 417, WEIR_FAULT_EXPECTATION, { GET_HEAD, { "expect", "200-ok", 0 } } },
};

/* Owner and peer see exactly this; then a good request passes. */
static void refused(struct wire *w, const struct refusal *r, bool end, size_t step) {
    size_t n;
    char want_log[128], want_wire[1024];
    const struct weir_fault_answer *a =
        weir_fault_answer((struct weir_fault){ WEIR_SIDE_DOWNSTREAM, (uint8_t)r->kind });

    wire_init(w, WEIR_ROLE_SERVER);
    wire_begin(w);
    w->step = step;
    wire_headers(w, 1, end ? ES : 0, r->list);
    if (!end)
        wire_data(w, 1, ES, "content");
    assert_int_equal(wire_go(w), 0);
    snprintf(want_log, sizeof(want_log), "begin 1\nreset 1 D %d\n", r->kind);
    assert_string_equal(w->o.log, want_log);
    n = strlen("weir: ") + strlen(a->text) + strlen(" (") + strlen(a->flag) + 1 + strlen(a->name) +
        strlen(")\n");
    if (r->status)
        snprintf(want_wire, sizeof(want_wire),
                 "HEADERS 1 :status=%d content-type=text/plain; charset=utf-8 x-weir-reason=%s "
                 "content-length=%zu\nDATA 1 %zu end\n",
                 r->status, a->name, n, n);
    else
        snprintf(want_wire, sizeof(want_wire), "RST 1 %d\n", NGHTTP2_PROTOCOL_ERROR);
    assert_string_equal(w->got, want_wire);
    assert_int_equal(w->o.codec->n_active, 0);
    owner_forget(&w->o);
    wire_get(w, 3);
    assert_int_equal(wire_go(w), 0);
    owner_expect(&w->o, "begin 3\nhead 3 GET http a.example / none\nend 3\n");
    wire_deinit(w);
}

/* Does this nghttp2 refuse userinfo in an authority itself? Newer ones do; then our answer is never needed. */
static bool library_refuses_userinfo(void) {
    struct wire w = { 0 };
    bool refuses;

    wire_init(&w, WEIR_ROLE_SERVER);
    wire_begin(&w);
    wire_headers(&w, 1, ES, LIST(METHOD("GET"), SCHEME, { ":authority", "u@a.example", 0 }, PATH));
    assert_int_equal(wire_go(&w), 0);
    refuses = strstr(w.got, "RST 1 1") != NULL;
    wire_deinit(&w);
    return refuses;
}

static void malformed_requests_never_reach_the_owner(void **state) {
    struct wire w = { 0 };
    bool userinfo = library_refuses_userinfo();

    for (size_t i = 0; i < WEIR_ARRAY_LEN(refusals); i++) {
        struct refusal r = refusals[i];

        print_message("  %s\n", r.what);
        if (userinfo && strcmp(r.what, "userinfo") == 0) {
            r.status = 0;
            r.kind = WEIR_FAULT_BAD_FIELD;
        }
        refused(&w, &r, true, WHOLE);
        refused(&w, &r, true, 1);
        if (r.kind != WEIR_FAULT_BAD_FRAMING && !r.status)
            refused(&w, &r, false, WHOLE);
    }
}

static void a_refused_request_that_goes_on_is_reset_behind_its_answer(void **state) {
    struct wire w = { 0 };
    wire_init(&w, WEIR_ROLE_SERVER);
    wire_begin(&w);
    wire_headers(&w, 1, 0, LIST(METHOD("BREW"), SCHEME, AUTHORITY, PATH));
    wire_data(&w, 1, 0, "tea");
    assert_int_equal(wire_go(&w), 0);
    assert_non_null(strstr(w.got, "HEADERS 1 :status=501"));
    assert_non_null(strstr(w.got, " end\nRST 1 1\n"));
    assert_null(w.o.exchanges);
    assert_int_equal(w.o.n_heads, 0);
    wire_deinit(&w);
}

static const struct {
    const char *want;
    struct nv list[FIELDS_MAX];
} good[] = {
    { "GET http a.example /x?y none",
      { METHOD("GET"), SCHEME, AUTHORITY, { ":path", "/x?y", 0 } } },
    { "OPTIONS http a.example * none",
      { METHOD("OPTIONS"), SCHEME, AUTHORITY, { ":path", "*", 0 } } },
    { "PROPFIND http a.example / none", { METHOD("PROPFIND"), SCHEME, AUTHORITY, PATH } },
    { "M-SEARCH http a.example / none", { METHOD("M-SEARCH"), SCHEME, AUTHORITY, PATH } },
    { "CONNECT  a.example:443 a.example:443 none",
      { METHOD("CONNECT"), { ":authority", "a.example:443", 0 } } },
    { "GET https [::1]:8443 / none",
      { METHOD("GET"), { ":scheme", "https", 0 }, { ":authority", "[::1]:8443", 0 }, PATH } },
    /* Host and :authority are one thing. */
    { "GET http a.example / none", { GET_HEAD, { "host", "a.example", 0 } } },
    { "GET http b / none", { METHOD("GET"), SCHEME, PATH, { "host", "b", 0 } } },
    { "GET http a.example / none te|x: 1",
      { GET_HEAD, { "te", "trailers", 0 }, { "http2-settings", "AAA", 0 }, { "x", "1", 0 } } },
    { "GET http a.example / none|x: 1|cookie: a=1; b=2; c|y: ",
      { GET_HEAD,
        { "x", "1", 0 },
        { "cookie", "a=1", 0 },
        { "y", "", 0 },
        { "cookie", "b=2", 0 },
        { "cookie", "c", 0 },
        { "cookie", "", 0 } } },
    { "POST http a.example / 0|content-length: 0", { POST_HEAD, { "content-length", "0", 0 } } },
    { "GET http a.example / none", { GET_HEAD, { "expect", "100-Continue", 0 } } },
    { "GET http a.example / none|x: \xe4\t~", { GET_HEAD, { "x", "\xe4\t~", 0 } } },
};

static void good_requests_become_version_neutral_heads(void **state) {
    struct wire w = { 0 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(good); i++) {
        char want[256];
        wire_init(&w, WEIR_ROLE_SERVER);
        wire_begin(&w);
        wire_headers(&w, 1, ES, good[i].list);
        assert_int_equal(wire_go(&w), 0);
        snprintf(want, sizeof(want), "begin 1\nhead 1 %s\nend 1\n", good[i].want);
        owner_expect(&w.o, want);
        wire_deinit(&w);
    }
}

static void content_must_have_the_announced_length(void **state) {
    static const struct {
        const char *parts[3];
        bool trailers;
        const char *want;
    } cases[] = {
        { { "abc", "de" }, false, "data 1 abcde\nend 1\n" },
        { { "abcde", "" }, false, "data 1 abcde\nend 1\n" },
        { { "abcdef" }, false, "reset 1 D 3\n" },
        { { "abc", "def" }, false, "data 1 abc\nreset 1 D 3\n" },
        { { "abcd" }, false, "data 1 abcd\nreset 1 D 3\n" },
        { { "abcd" }, true, "data 1 abcd\nreset 1 D 3\n" },
    };
    struct wire w = { 0 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        wire_init(&w, WEIR_ROLE_SERVER);
        wire_begin(&w);
        wire_headers(&w, 1, 0, LIST(POST_HEAD, { "content-length", "5", 0 }));
        for (size_t k = 0; cases[i].parts[k]; k++)
            wire_data(&w, 1, cases[i].parts[k + 1] || cases[i].trailers ? 0 : ES,
                      cases[i].parts[k]);
        if (cases[i].trailers)
            wire_headers(&w, 1, ES, LIST({ "t", "1", 0 }));
        assert_int_equal(wire_go(&w), 0);
        assert_non_null(strstr(w.o.log, "head 1 POST"));
        assert_string_equal(strchr(strstr(w.o.log, "head 1"), '\n') + 1, cases[i].want);
        assert_string_equal(w.got, strstr(cases[i].want, "reset") ? "RST 1 1\n" : "");
        wire_deinit(&w);
    }
}

static void trailers_are_filtered(void **state) {
    struct wire w = { 0 };
    wire_init(&w, WEIR_ROLE_SERVER);
    wire_begin(&w);
    wire_headers(&w, 1, 0, LIST(POST_HEAD));
    wire_data(&w, 1, 0, "abc");
    wire_headers(&w, 1, ES,
                 LIST({ "grpc-status", "0", 0 }, { "authorization", "x", 0 }, { "cookie", "x", 0 },
                      { "trailer", "x", 0 }, { "x-forwarded-for", "1", 0 },
                      { "x-forwarded-client-cert", "1", 0 }, { "forwarded", "1", 0 },
                      { "te", "trailers", 0 }, { "host", "b", 0 }, { "sum", "5", 0 },
                      { "x_forwarded_for", "1", 0 }, { "x-envoy-peer", "1", 0 },
                      { "l5d-client-id", "1", 0 }, { "x-weir-h1", "1t", 0 },
                      { "content-encoding", "gzip", 0 }, { "set-cookie", "a=b", 0 }));
    assert_int_equal(wire_go(&w), 0);
    owner_expect(&w.o, "begin 1\nhead 1 POST http a.example / stream\ndata 1 abc\n"
                       "end 1|grpc-status: 0|sum: 5\n");
    wire_headers(&w, 3, 0, LIST(POST_HEAD));
    wire_headers(&w, 3, ES, LIST(PATH));
    assert_int_equal(wire_go(&w), 0);
    owner_expect(&w.o, "begin 3\nhead 3 POST http a.example / stream\nreset 3 D 2\n");
    wire_headers(&w, 5, 0, LIST(POST_HEAD));
    wire_headers(&w, 5, 0, LIST({ "t", "does not end", 0 }));
    assert_int_equal(wire_go(&w), 0);
    owner_expect(&w.o, "begin 5\nhead 5 POST http a.example / stream\nreset 5 D 3\n");
    wire_deinit(&w);
}

/* n fields, then one value of `bytes` bytes, on stream 1. */
static void big_head(struct wire *w, size_t n, size_t bytes, const char *path) {
    struct nv list[512];
    size_t at = 0;
    uint8_t block[40000];
    char *value = malloc(bytes + 1);
    memset(value, 'v', bytes);
    value[bytes] = '\0';
    for (const struct nv *nv = LIST(METHOD("GET"), SCHEME, AUTHORITY); nv->name; nv++)
        list[at++] = *nv;
    list[at++] = (struct nv){ ":path", path ? path : "/", 0 };
    for (size_t i = 0; i < n; i++)
        list[at++] = (struct nv){ "f", "1", 0 };
    list[at++] = (struct nv){ "big", value, 0 };
    list[at] = (struct nv)LAST;
    size_t len = wire_block(w, list, block, sizeof(block));
    for (size_t i = 0; i < len; i += 16000) {
        size_t part = len - i < 16000 ? len - i : 16000;
        wire_frame(w, i ? NGHTTP2_CONTINUATION : NGHTTP2_HEADERS,
                   (uint8_t)((i ? 0 : ES) | (i + part == len ? EH : 0)), 1, block + i, part);
    }
    free(value);
}

static void sizes_have_limits_with_answers_of_their_own(void **state) {
    static const struct {
        size_t n, bytes, path;
        int status, kind;
    } cases[] = {
        { 97, 10, 0, 0, 0 },   { 100, 10, 0, 431, WEIR_FAULT_TOO_MANY_FIELDS },
        { 1, 30000, 0, 0, 0 }, { 90, 31000, 0, 431, WEIR_FAULT_HEAD_TOO_LARGE },
        { 1, 1, 2000, 0, 0 },  { 1, 1, 2001, 414, WEIR_FAULT_TARGET_TOO_LONG },
    };
    struct wire w = { 0 };
    char path[4096], want[32];
    w.o.limits = weir_codec_limits_default;
    w.o.limits.head_bytes = 32000;
    w.o.limits.target_bytes = 2000;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        wire_init(&w, WEIR_ROLE_SERVER);
        wire_begin(&w);
        memset(path, '/', sizeof(path));
        path[cases[i].path] = '\0';
        big_head(&w, cases[i].n, cases[i].bytes, cases[i].path ? path : NULL);
        w.o.silent = true;
        assert_int_equal(wire_go(&w), 0);
        assert_int_equal(w.o.n_heads, cases[i].status == 0);
        snprintf(want, sizeof(want), "HEADERS 1 :status=%d", cases[i].status);
        assert_int_equal(strstr(w.got, want) != NULL, cases[i].status != 0);
        assert_int_equal(w.o.exchanges == NULL, cases[i].status != 0);
        wire_deinit(&w);
    }
}

static void cookie_crumbs_are_not_counted_but_measured(void **state) {
    struct wire w = { 0 };
    struct nv list[512];
    size_t n = 0;
    for (const struct nv *nv = LIST(GET_HEAD); nv->name; nv++)
        list[n++] = *nv;
    for (unsigned i = 0; i < 300; i++)
        list[n++] = (struct nv){ "cookie", "a=1", 0 };
    list[n] = (struct nv)LAST;
    wire_init(&w, WEIR_ROLE_SERVER);
    wire_begin(&w);
    wire_headers(&w, 1, ES, list);
    assert_int_equal(wire_go(&w), 0);
    const struct weir_head *h = &w.o.exchanges->head;
    assert_int_equal(h->n_fields, 1);
    assert_int_equal(h->fields[0].value.len, 300 * 5 - 2);
    wire_deinit(&w);
    w.o.limits = weir_codec_limits_default;
    w.o.limits.head_bytes = 10000;
    wire_init(&w, WEIR_ROLE_SERVER);
    wire_begin(&w);
    wire_headers(&w, 1, ES, list);
    assert_int_equal(wire_go(&w), 0);
    assert_non_null(strstr(w.got, ":status=431"));
    wire_deinit(&w);
}

/* An upstream that answers badly. */
static void bad_responses_are_the_upstreams_fault(void **state) {
    static const struct {
        const char *want;
        bool end;
        struct nv list[4];
    } cases[] = {
        { "reset 1 U 8\n", true, { { "x", "1", 0 } } },
        { "reset 1 U 8\n", true, { { ":status", "20", 0 } } },
        { "reset 1 U 8\n", true, { { ":status", "2x0", 0 } } },
        { "reset 1 U 8\n", true, { { ":status", "099", 0 } } },
        { "reset 1 U 8\n", true, { { ":status", "101", 0 } } },
        { "reset 1 U 8\n", true, { { ":status", "200", 0 }, { ":status", "200", 0 } } },
        { "reset 1 U 8\n", true, { { ":status", "200", 0 }, { "connection", "close", 0 } } },
        { "reset 1 U 8\n", true, { { ":status", "200", 0 }, { "a", "b\r\nc", 0 } } },
        { "reset 1 U 8\n", true, { { ":status", "200", 0 }, { "content-length", "5", 0 } } },
        { "reset 1 U 8\n", true, { { ":status", "103", 0 } } },
        { "reset 1 U 8\n", true, { { ":status", "100", 0 }, { "content-length", "0", 0 } } },
        { "head 1 200 none\nend 1\nclosed 1\n", true, { { ":status", "200", 0 } } },
        { "head 1 304 none(5)|content-length: 5\nend 1\nclosed 1\n",
          true,
          { { ":status", "304", 0 }, { "content-length", "5", 0 } } },
        { "head 1 599 stream\n", false, { { ":status", "599", 0 } } },
    };
    struct wire w = { 0 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        wire_init(&w, WEIR_ROLE_CLIENT);
        assert_non_null(owner_get(&w.o, "/"));
        assert_int_equal(wire_go(&w), 0);
        wire_headers(&w, 1, cases[i].end ? ES : 0, cases[i].list);
        assert_int_equal(wire_go(&w), 0);
        owner_expect(&w.o, cases[i].want);
        assert_string_equal(w.got, strstr(cases[i].want, "reset") ? "RST 1 1\n" : "");
        wire_deinit(&w);
    }
}

static void content_where_none_may_be_is_not_handed_on(void **state) {
    static const char *const statuses[] = { "204", "304", "200" };
    struct wire w = { 0 };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(statuses); i++) {
        struct weir_arena arena;
        struct weir_head head;
        weir_arena_init(&arena, 512);
        wire_init(&w, WEIR_ROLE_CLIENT);
        head_request(&head, &arena, i == 2 ? "HEAD" : "GET", "/");
        assert_non_null(owner_request(&w.o, &head, true));
        wire_go(&w);
        wire_headers(&w, 1, 0, LIST({ ":status", statuses[i], 0 }));
        wire_data(&w, 1, ES, "HTTP/1.1 200 OK");
        assert_int_equal(wire_go(&w), 0);
        assert_null(strstr(w.o.log, "data"));
        assert_non_null(strstr(w.o.log, "reset 1 U 8\n"));
        wire_deinit(&w);
        weir_arena_deinit(&arena);
    }
}

/* The inflater's table is the codec's own, mirrored. */
static void what_differs_in_each_request_leaves_only_its_name_in_the_table(void **state) {
    struct weir_arena arena;
    struct weir_head head;
    struct wire w;
    char id[] = "id-0";
    size_t entries = 0;

    wire_init(&w, WEIR_ROLE_CLIENT);
    assert_int_equal(wire_go(&w), 0);
    weir_arena_init(&arena, 1024);
    for (unsigned i = 0; i < 5; i++) {
        id[3]++;
        head_request(&head, &arena, "GET", "/");
        head_field(&head, "x-request-id", id);
        head_field(&head, "traceparent", id);
        head_field(&head, "x-same", "1");
        assert_non_null(owner_request(&w.o, &head, true));
        assert_int_equal(wire_pull(&w), 0);
        assert_non_null(strstr(w.got, id));
        if (i > 0) /* the values and an index for each name */
            assert_in_range(w.pulled, 9 + 8, 9 + 24);
        if (i == 0)
            entries = nghttp2_hd_inflate_get_num_table_entries(w.inf);
        assert_int_equal(nghttp2_hd_inflate_get_num_table_entries(w.inf), entries);
    }
    assert_true(entries > 61); /* the static ones: others did go in */
    weir_arena_deinit(&arena);
    wire_deinit(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_requests_never_reach_the_owner),
        cmocka_unit_test(a_refused_request_that_goes_on_is_reset_behind_its_answer),
        cmocka_unit_test(good_requests_become_version_neutral_heads),
        cmocka_unit_test(content_must_have_the_announced_length),
        cmocka_unit_test(trailers_are_filtered),
        cmocka_unit_test(what_differs_in_each_request_leaves_only_its_name_in_the_table),
        cmocka_unit_test(sizes_have_limits_with_answers_of_their_own),
        cmocka_unit_test(cookie_crumbs_are_not_counted_but_measured),
        cmocka_unit_test(bad_responses_are_the_upstreams_fault),
        cmocka_unit_test(content_where_none_may_be_is_not_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
