/* SPDX-License-Identifier: Apache-2.0 */
#include "http/sniff.h"

#include "weir_test.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* With all bytes at once, and growing by one: undecided may become a verdict, a verdict stays. */
static void sniff_is(const char *bytes, size_t len, enum weir_sniff want) {
    enum weir_sniff seen = WEIR_SNIFF_MORE;
    for (size_t n = 0; n <= len; n++) {
        char *copy = malloc(n ? n : 1); /* so that a read beyond it is found */
        memcpy(copy, bytes, n);
        enum weir_sniff now = weir_sniff(weir_slice_make(copy, n));
        free(copy);
        if (seen != WEIR_SNIFF_MORE && now != seen)
            fail_msg("verdict changed after %zu bytes of \"%.20s\"", n, bytes);
        seen = now;
        if (n >= 24)
            assert_int_not_equal(now, WEIR_SNIFF_MORE);
    }
    if (seen != want)
        fail_msg("\"%.24s\": %d, not %d", bytes, (int)seen, (int)want);
}

static void sniff_text(const char *text, enum weir_sniff want) {
    sniff_is(text, strlen(text), want);
}

static void http1_request_lines_are_known(void **state) {
    static const char *const rows[] = {
        "GET / HTTP/1.1\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT /",
        "PRI /",
        "PROPFIND /dav HTTP/1.1",
        "OPTIONS * HTTP/1.1\r\n",
        "GET http://a/ HTTP/1.1",
        "GET HTTPS://a/ HTTP/1.1",
        "CONNECT a:443 HTTP/1.1\r\n",
        "CONNECT [::1]:443 HTTP/1.1\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n",
        "FROBNICATE /",
        "get /",
        "GET /\r\n",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++)
        sniff_text(rows[i], WEIR_SNIFF_H1);
}

static void other_protocols_are_opaque(void **state) {
    static const char *const rows[] = {
        "SSH-2.0-OpenSSH_9.2p1 Debian-2",
        "EHLO mail.example\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "PING\r\n",
        "INFO {\"server_id\"",
        "CONNECT {\"verbose\":false}",
        "\r\n\r\n\r\nGET /",
        "\rGET /",
        "\nGET /",
        " GET /",
        "GET\t/",
        "G\x01",
        "get key\r\n",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "GET *a",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
    };
    /* The last one begins like a request line with an asterisk. */
    for (size_t i = 0; i + 1 < WEIR_ARRAY_LEN(rows); i++)
        sniff_text(rows[i], WEIR_SNIFF_OPAQUE);
    sniff_text(rows[WEIR_ARRAY_LEN(rows) - 1], WEIR_SNIFF_H1);
    sniff_is("\0\0\0\x08\x04\xd2\x16\x2f", 8, WEIR_SNIFF_OPAQUE);
    sniff_is("\x80\x2e\x01\x03\x01", 5, WEIR_SNIFF_OPAQUE);
}

static void the_http2_preface_is_known_when_it_is_complete(void **state) {
    sniff_text(PREFACE, WEIR_SNIFF_H2);
    sniff_text(PREFACE "and more", WEIR_SNIFF_H2);
    sniff_is(PREFACE, 23, WEIR_SNIFF_MORE);
    sniff_is(PREFACE, 3, WEIR_SNIFF_MORE);
}

static void a_tls_handshake_is_known_by_its_first_six_bytes(void **state) {
    sniff_is("\x16\x03\x01\x02\x00\x01\x00", 7, WEIR_SNIFF_TLS);
    sniff_is("\x16\x03\x03\x00\x04\x01", 6, WEIR_SNIFF_TLS);
    sniff_is("\x16\x03\x01\x02\x00", 5, WEIR_SNIFF_MORE);
    sniff_is("\x16\x03\x01\x02\x00\x02", 6, WEIR_SNIFF_OPAQUE);
    sniff_is("\x16\x02\x01\x02\x00\x01", 6, WEIR_SNIFF_OPAQUE);
    sniff_is("\x16\x03\x05\x02\x00\x01", 6, WEIR_SNIFF_OPAQUE);
    sniff_is("\x16\x03\x01\x00\x03\x01", 6, WEIR_SNIFF_OPAQUE);
}

/* A ClientHello put together from its parts. */
struct hello {
    unsigned char bytes[1024];
    size_t len;
};

static void put(struct hello *h, const void *bytes, size_t n) {
    memcpy(h->bytes + h->len, bytes, n);
    h->len += n;
}

static void put16(struct hello *h, size_t at, size_t value) {
    h->bytes[at] = (unsigned char)(value >> 8);
    h->bytes[at + 1] = (unsigned char)value;
}

static void hello_make(struct hello *h, const void *extensions, size_t n) {
    *h = (struct hello){ 0 };
    put(h, "\x16\x03\x01\0\0\x01\0\0\0\x03\x03", 11);
    h->len += 32;
    put(h, "\x02zz", 3);
    put(h, "\0\x02\x13\x01", 4);
    put(h, "\x01\0", 2);
    if (extensions) {
        h->len += 2;
        put16(h, h->len - 2, n);
        put(h, extensions, n);
    }
    put16(h, 3, h->len - 5);
    put16(h, 7, h->len - 9);
}

static int parse(const struct hello *h, size_t n, struct weir_client_hello *ret) {
    return weir_client_hello_parse(weir_slice_make((const char *)h->bytes, n), ret);
}

#define SNI_ALPN                                                                                   \
    "\0\x0a\0\x04\0\x02\0\x1d" /* a group */                                                       \
    "\0\0\0\x0d\0\x0b\0\0\x08"                                                                     \
    "a.b.test"                                                                                     \
    "\0\x10\0\x16\0\x14\x07weir-h2\x02h2\x08http/1.1"

static void name_and_protocols_are_read_once_the_record_is_complete(void **state) {
    struct hello h;
    hello_make(&h, SNI_ALPN, sizeof(SNI_ALPN) - 1);
    struct weir_client_hello hello = { WEIR_SLICE("untouched"), WEIR_SLICE_NONE };
    for (size_t n = 0; n < h.len; n++)
        assert_int_equal(parse(&h, n, &hello), -EAGAIN);
    weir_assert_slice(hello.sni, "untouched");
    assert_int_equal(parse(&h, h.len, &hello), 0);
    weir_assert_slice(hello.sni, "a.b.test");
    assert_true(weir_client_hello_offers(&hello, WEIR_SLICE("weir-h2")));
    assert_true(weir_client_hello_offers(&hello, WEIR_SLICE("h2")));
    assert_true(weir_client_hello_offers(&hello, WEIR_SLICE("http/1.1")));
    assert_false(weir_client_hello_offers(&hello, WEIR_SLICE("weir")));
    assert_false(weir_client_hello_offers(&hello, WEIR_SLICE("")));
    put(&h, "next record", 11);
    assert_int_equal(parse(&h, h.len, &hello), 0);
}

static void a_hello_may_have_no_extensions(void **state) {
    struct hello h;
    struct weir_client_hello hello = { WEIR_SLICE("x"), WEIR_SLICE("x") };
    hello_make(&h, NULL, 0);
    assert_int_equal(parse(&h, h.len, &hello), 0);
    assert_int_equal(hello.sni.len, 0);
    assert_int_equal(hello.alpn.len, 0);
    assert_false(weir_client_hello_offers(&hello, WEIR_SLICE("h2")));
}

static void malformed_extensions_are_refused(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
#define ROW(text) { text, sizeof(text) - 1 }
        ROW("\0\0\0\x03\0\x01\0"),                                 /* name list cut */
        ROW("\0\0\0\x05\0\x03\0\0\0"),                             /* empty name */
        ROW("\0\0\0\x06\0\x04\x01\0\x01x"),                        /* not a host_name */
        ROW("\0\0\0\x06\0\x04\0\0\x01\0"),                         /* NUL in the name */
        ROW("\0\0\0\x07\0\x04\0\0\x01xy"),                         /* bytes behind the list */
        ROW("\0\0\0\x06\0\x04\0\0\x01x\0\0\0\x06\0\x04\0\0\x01y"), /* two names */
        ROW("\0\x10\0\x02\0\0"),                                   /* empty protocol list */
        ROW("\0\x10\0\x03\0\x01\0"),                               /* empty protocol */
        ROW("\0\x10\0\x04\0\x02\x02h"),                            /* protocol cut */
        ROW("\0\x10\0\x09"), /* extension longer than the block */
        ROW("\0\x10\0"),
#undef ROW
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct hello h;
        struct weir_client_hello hello = { WEIR_SLICE("x"), WEIR_SLICE("x") };
        hello_make(&h, rows[i].bytes, rows[i].len);
        if (parse(&h, h.len, &hello) != -EINVAL)
            fail_msg("row %zu accepted", i);
        weir_assert_slice(hello.sni, "x");
    }
}

static void a_hello_split_over_records_is_not_followed(void **state) {
    struct hello h;
    struct weir_client_hello hello;
    hello_make(&h, SNI_ALPN, sizeof(SNI_ALPN) - 1);
    put16(&h, 3, 40);
    assert_int_equal(parse(&h, h.len, &hello), -EINVAL);
    assert_int_equal(parse(&h, 20, &hello), -EINVAL);
}

static void bytes_that_are_no_hello_are_refused(void **state) {
    struct weir_client_hello hello;
    assert_int_equal(weir_client_hello_parse(WEIR_SLICE("GET / HTTP/1.1\r\n"), &hello), -EINVAL);
    assert_int_equal(weir_client_hello_parse(WEIR_SLICE("GE"), &hello), -EINVAL);
    assert_int_equal(weir_client_hello_parse(WEIR_SLICE("\x16\x03\x01\xff\xff\x01"), &hello),
                     -EINVAL);
    assert_int_equal(weir_client_hello_parse(WEIR_SLICE_NONE, &hello), -EAGAIN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_request_lines_are_known),
        cmocka_unit_test(other_protocols_are_opaque),
        cmocka_unit_test(the_http2_preface_is_known_when_it_is_complete),
        cmocka_unit_test(a_tls_handshake_is_known_by_its_first_six_bytes),
        cmocka_unit_test(name_and_protocols_are_read_once_the_record_is_complete),
        cmocka_unit_test(a_hello_may_have_no_extensions),
        cmocka_unit_test(malformed_extensions_are_refused),
        cmocka_unit_test(a_hello_split_over_records_is_not_followed),
        cmocka_unit_test(bytes_that_are_no_hello_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
