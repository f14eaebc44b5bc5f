/* SPDX-License-Identifier: Apache-2.0 */
/*
 * include/weir/abi/http.h compiled for user space: conversations as they would come in segments. Each is read whole, then byte by byte, then
 * cut at every place: what is told is the same. The kernel's own reading, with sequence numbers, is tested in tests/bpf/test_http.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kern/http.h"

struct log {
    char text[2048];
    size_t n;
};

static void note_exchange(struct log *log, const struct weir_http_exchange *x) {
    log->n += (size_t)snprintf(
        log->text + log->n, sizeof(log->text) - log->n, "%.*s %.*s 1.%u %u%s%s\n", x->n_method,
        x->method, x->n_path, x->path, x->version, x->status,
        x->flags & WEIR_HTTP_IS_CUT ? " cut" : "", x->flags & WEIR_HTTP_IS_QUERY ? " query" : "");
}

static void note(struct log *log, const struct weir_http_conn *c, int came_to) {
    if (came_to == WEIR_HTTP_TELL)
        note_exchange(log, &c->x);
    else if (came_to >= WEIR_HTTP_MISS)
        log->n += (size_t)snprintf(log->text + log->n, sizeof(log->text) - log->n, "(%s)\n",
                                   weir_http_reason_name((unsigned)(came_to - WEIR_HTTP_MISS)));
}

/* As bpf/lib/http.bpf.h does it. */
static void segment(struct weir_http_conn *c, bool from_server, const char *bytes, size_t len,
                    struct log *log) {
    size_t look = len < WEIR_HTTP_LOOK ? len : WEIR_HTTP_LOOK;
    int r = weir_http_begin(c, from_server, 7);

    for (size_t i = 0; r == WEIR_HTTP_GO_ON && i < look; i++)
        r = weir_http_byte(c, (uint8_t)bytes[i]);
    if (r == WEIR_HTTP_GO_ON && look < len)
        r = weir_http_rest(c);
    note(log, c, r);
}

/* Lines that begin with < are the server's, with > the client's; each is one segment. */
struct part {
    bool from_server;
    const char *bytes;
};

/* cut: where the cut-th part of all is divided; 0: whole; -1: every byte by itself. */
static void talk(const struct part *parts, int which, int cut, struct log *log) {
    struct weir_http_conn c = { 0 };

    memset(log, 0, sizeof(*log));
    for (int i = 0; parts[i].bytes; i++) {
        size_t len = strlen(parts[i].bytes), first = len;

        if (cut < 0) {
            for (size_t k = 0; k < len; k++)
                segment(&c, parts[i].from_server, parts[i].bytes + k, 1, log);
            continue;
        }
        if (i == which && cut && (size_t)cut < len)
            first = (size_t)cut;
        segment(&c, parts[i].from_server, parts[i].bytes, first, log);
        if (first < len)
            segment(&c, parts[i].from_server, parts[i].bytes + first, len - first, log);
    }
    note(log, &c, weir_http_end(&c, 9));
}

static void says(const struct part *parts, const char *want) {
    struct log log;

    talk(parts, -1, 0, &log);
    assert_string_equal(log.text, want);
    talk(parts, -1, -1, &log);
    assert_string_equal(log.text, want);
    for (int i = 0; parts[i].bytes; i++) {
        for (int cut = 1; cut < (int)strlen(parts[i].bytes); cut++) {
            talk(parts, i, cut, &log);
            assert_string_equal(log.text, want);
        }
    }
}

static void exchanges_are_told_in_order(void **state) {
    const struct part parts[] = {
        { false, "GET /a/b?c=d#e HTTP/1.1\r\nHost: x\r\nSecret: y\r\n\r\n" },
        { true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/" },
        { false, "\r\nPOST /up HTTP/1.0\r\n\r\nGET /body HTTP/1.1\r\n" },
        { true, "HTTP/1.0 404\r\n\r\n" },
        { false, "PATCH * HTTP/1.1\n\n" },
        { true, "HTTP/1.1 599 \r\n\r\n" },
        { false, NULL },
    };

    says(parts, "GET /a/b 1.1 200 query\nPOST /up 1.0 404\nPATCH * 1.1 599\n");
}

static void of_a_whole_url_only_the_path_is_kept(void **state) {
    const struct part parts[] = {
        { false, "GET http://me:secret@host:80/p/q HTTP/1.1\r\n\r\n" },
        { true, "HTTP/1.1 200 OK\r\n\r\n" },
        { false, "GET http://host?secret HTTP/1.1\r\n\r\n" },
        { true, "HTTP/1.1 200 OK\r\n\r\n" },
        { false, "CONNECT host:443 HTTP/1.1\r\n\r\n" },
        { true, "HTTP/1.1 200 OK\r\n\r\n" },
        { false, "GET /in-the-tunnel HTTP/1.1\r\n\r\n" },
        { true, "HTTP/1.1 200 OK\r\n\r\n" },
        { false, NULL },
    };

    says(parts, "GET /p/q 1.1 200\nGET  1.1 200 query\nCONNECT  1.1 200\n");
}

static void interim_answers_are_passed_over(void **state) {
    const struct part parts[] = {
        { false, "PUT /x HTTP/1.1\r\n\r\n" },
        { true, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 "
                "Made\r\n" },
        { false, "GET /y HTTP/1.1\r\n\r\n" },
        { true, "HTTP/1.1 102 Processing\n\n" },
        { false, NULL },
    };

    says(parts, "PUT /x 1.1 201\nGET /y 1.1 0\n");
}

static void another_protocol_is_said_once(void **state) {
    static const char *const first[] = { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                         "HELO x\r\n",
                                         "get\x01/ HTTP/1.1\r\n",
                                         "GET /\x01 HTTP/1.1\r\n",
                                         "GET / HTTP/1.x\r\n",
                                         "GET / HTTP/2\r\n",
                                         "\x80\x00\x00",
                                         "AVERYLONGMETHODNAME / HTTP/1.1\r\n" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(first); i++) {
        const struct part parts[] = {
            { false, first[i] },
            { true, "HTTP/1.1 200 OK\r\n\r\n" },
            { false, "GET /later HTTP/1.1\r\n\r\n" },
            { true, "HTTP/1.1 200 OK\r\n\r\n" },
            { false, NULL },
        };

        says(parts, "(not_http1)\n");
    }
}

static void a_tls_record_is_said_to_be_one(void **state) {
    const struct part parts[] = { { false, "\x16\x03\x01\x01\x02\x03" },
                                  { true, "\x16\x03\x03" },
                                  { false, NULL } };

    says(parts, "(encrypted)\n");
}

static void a_server_that_speaks_first_or_answers_junk(void **state) {
    const struct part greets[] = { { true, "220 mail\r\n" },
                                   { false, "HELO\r\n" },
                                   { false, NULL } };
    const struct part junk[] = { { false, "GET / HTTP/1.1\r\n\r\n" },
                                 { true, "HTTP/1.1 abc\r\n" },
                                 { false, NULL } };
    const struct part later[] = { { false, "GET / HTTP/1.1\r\n\r\n" },
                                  { true, "HTTP/1.1 200 OK\r\n" },
                                  { false, "GET /j HTTP/1.1\r\n\r\n" },
                                  { true, "junk" },
                                  { false, "more" },
                                  { true, "more" },
                                  { false, "GET /k HTTP/1.1\r\n\r\n" },
                                  { true, "HTTP/1.1 200 OK\r\n" },
                                  { false, NULL } };
    struct log log;

    says(greets, "(not_http1)\n");
    says(junk, "(not_http1)\n");
    talk(later, -1, 0, &log);
    assert_string_equal(log.text, "GET / 1.1 200\n(no_status)\n(no_head)\nGET /k 1.1 200\n");
}

static void what_follows_an_early_answer_is_not_a_request(void **state) {
    const struct part parts[] = { { false, "POST /a HTTP/1.1\r\n\r\nbody" },
                                  { true, "HTTP/1.1 413 No\r\n\r\n" },
                                  { false, "{more body}" },
                                  { true, "..." },
                                  { false, "GET /b HTTP/1.1\r\n\r\n" },
                                  { true, "HTTP/1.1 200 OK\r\n\r\n" },
                                  { false, NULL } };
    struct log log;

    talk(parts, -1, 0, &log);
    assert_string_equal(log.text, "POST /a 1.1 413\n(no_head)\nGET /b 1.1 200\n");
}

static void long_lines_are_cut(void **state) {
    char text[4096];
    const struct part parts[] = { { false, text },
                                  { true, "HTTP/1.1 200 OK\r\n\r\n" },
                                  { false, NULL } };
    char want[300];

    snprintf(text, sizeof(text), "GET /%0*d HTTP/1.1\r\n\r\n", 3000, 7);
    snprintf(want, sizeof(want), "GET /%0*d 1.0 200 cut\n", WEIR_HTTP_PATH - 1, 0);
    says(parts, want);
    snprintf(text, sizeof(text), "GET /p?%0*d HTTP/1.1\r\n\r\n", 3000, 7);
    says(parts, "GET /p 1.0 200 query\n");
}

static void after_a_gap_the_next_exchange_is_told(void **state) {
    struct weir_http_conn c = { 0 };
    struct log log = { 0 };

    note(&log, &c, weir_http_gap(&c, 0));
    segment(&c, true, "HTTP/1.1 200 OK\r\n", 17, &log);
    segment(&c, false, "GET /1 HTTP/1.1\r\n", 17, &log);
    note(&log, &c, weir_http_gap(&c, 0)); /* of its body: nothing is lost */
    segment(&c, true, "HTTP/1", 6, &log);
    note(&log, &c, weir_http_gap(&c, 1));
    segment(&c, true, "1 200 OK", 8, &log);
    note(&log, &c, weir_http_gap(&c, 1));
    segment(&c, false, "GET /2 HTTP/1.1\r\n", 17, &log);
    segment(&c, true, "HTTP/1.1 200 OK\r\n", 17, &log);
    assert_string_equal(log.text, "(gap)\n(gap)\nGET /2 1.1 200\n");
}

static void a_request_answered_before_its_line_ends_is_told_as_far_as_it_goes(void **state) {
    const struct part parts[] = { { false, "GET /endless" },
                                  { true, "HTTP/1.1 414 Too Long\r\n\r\n" },
                                  { false, NULL } };
    struct log log;

    talk(parts, -1, 0, &log);
    assert_string_equal(log.text, "GET /endless 1.0 414 cut\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchanges_are_told_in_order),
        cmocka_unit_test(of_a_whole_url_only_the_path_is_kept),
        cmocka_unit_test(interim_answers_are_passed_over),
        cmocka_unit_test(another_protocol_is_said_once),
        cmocka_unit_test(a_tls_record_is_said_to_be_one),
        cmocka_unit_test(a_server_that_speaks_first_or_answers_junk),
        cmocka_unit_test(what_follows_an_early_answer_is_not_a_request),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(after_a_gap_the_next_exchange_is_told),
        cmocka_unit_test(a_request_answered_before_its_line_ends_is_told_as_far_as_it_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
