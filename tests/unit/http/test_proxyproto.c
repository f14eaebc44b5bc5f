/* SPDX-License-Identifier: Apache-2.0 */
#include "http/proxyproto.h"

#include <string.h>

#include "base/err.h"
#include "weir_test.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"

static int parse(const char *bytes, size_t n, struct weir_proxy_header *h) {
    return weir_proxy_parse(weir_slice_make(bytes, n), h);
}

/* Whole, with bytes behind it, and cut at each place. */
static void good(const char *bytes, size_t n, struct weir_proxy_header *h) {
    char more[600];

    for (size_t cut = 0; cut < n; cut++)
        assert_int_equal(parse(bytes, cut, h), -EAGAIN);
    assert_int_equal(parse(bytes, n, h), 0);
    assert_int_equal(h->len, n);
    memcpy(more, bytes, n);
    memcpy(more + n, "GET / ", 6);
    assert_int_equal(parse(more, n + 6, h), 0);
    assert_int_equal(h->len, n);
}
#define GOOD(text, h) good(text, sizeof(text) - 1, h)

static void both_versions_tell_the_source(void **state) {
    static const uint8_t src[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1 };
    struct weir_proxy_header h;

    GOOD("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", &h);
    assert_true(h.known);
    assert_memory_equal(h.src, src, 16);
    assert_int_equal(h.src_port, 56324);
    assert_int_equal(h.dst_port, 443);
    GOOD("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", &h);
    assert_int_equal(h.src[0], 0x20);
    assert_int_equal(h.dst[15], 1);
    GOOD(SIG "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb", &h);
    assert_true(h.known);
    assert_memory_equal(h.src, src, 16);
    assert_int_equal(h.src_port, 56324);
    assert_int_equal(h.dst_port, 443);
    GOOD(SIG "\x21\x11\x00\x10\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x04\x00\x01x", &h);
    GOOD(SIG "\x21\x21\x00\x24"
             "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb\x00\x01\x00\x02",
         &h);
    assert_memory_equal(h.dst, "bbbbbbbbbbbbbbbb", 16);
    assert_int_equal(h.dst_port, 2);
}

static void an_unknown_source_is_none(void **state) {
    struct weir_proxy_header h;

    GOOD("PROXY UNKNOWN\r\n", &h);
    assert_false(h.known);
    GOOD("PROXY UNKNOWN whatever it says\r\n", &h);
    assert_false(h.known);
    GOOD(SIG "\x20\x00\x00\x00", &h);
    assert_false(h.known);
    GOOD(SIG "\x20\x11\x00\x03xyz", &h); /* LOCAL: the rest is ignored */
    assert_false(h.known);
    GOOD(SIG "\x21\x00\x00\x00", &h);
    assert_false(h.known);
}

static void what_is_not_to_the_letter_is_refused(void **state) {
#define BAD(text)                                                                                  \
    { text, sizeof(text) - 1 }
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        BAD("GET / HTTP/1.1\r\n"),
        BAD("proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n"),
        BAD("PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n"),
        BAD("PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n"),
        BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n"),
        BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n"),
        BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"),
        BAD("PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n"),
        BAD("PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n"),
        BAD("PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n"),
        BAD("PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n"),
        BAD("PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n"),
        BAD("PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n"),
        BAD("PROXY TCP4 ::1 ::1 1 1\r\n"),
        BAD("PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n"),
        BAD("PROXY TCP6 fe80::1%1 ::1 1 1\r\n"),
        BAD("PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n"),
        BAD("PROXY UNKNOWNX\r\n"),
        BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\r\n"),
        BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n\r\n"),
        BAD("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 1\r\n"),
        BAD("PROXY UNKNOWN 0123456789012345678901234567890123456789012345678901234567890123456789"
            "012345678901234567890123456789\r\n"),
        BAD(SIG "\x31\x11\x00\x0c"
                "0123456789ab"),
        BAD(SIG "\x22\x11\x00\x0c"
                "0123456789ab"),
        BAD(SIG "\x21\x12\x00\x0c"
                "0123456789ab"),
        BAD(SIG "\x21\x11\x00\x0b"
                "0123456789a"),
        BAD(SIG "\x21\x21\x00\x0c"
                "0123456789ab"),
        BAD(SIG "\x21\x11\x00\x0e"
                "0123456789ab\x04\x00"),
        BAD(SIG "\x21\x11\x00\x0f"
                "0123456789ab\x04\x00\x01"),
        BAD(SIG "\x21\x11\xff\xff"),
    };
    struct weir_proxy_header h;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++)
        if (parse(bad[i].bytes, bad[i].n, &h) != -EPROTO)
            fail_msg("not refused: %zu: %s", i, bad[i].bytes);
}

static void what_is_written_is_read_back(void **state) {
    struct weir_proxy_header in = { .known = true, .src_port = 1, .dst_port = 65535 }, out;
    char buf[WEIR_PROXY_WRITE_MAX];

    for (unsigned i = 0; i < 8; i++) {
        unsigned version = 1 + i % 2;
        bool v6 = i & 2;

        in.known = !(i & 4);
        memset(in.src, v6 ? 0x20 : 0, 16);
        memset(in.dst, v6 ? 0xfd : 0, 16);
        in.src[10] = in.src[11] = in.dst[10] = in.dst[11] = 0xff;
        in.src[12] = in.dst[15] = 9;
        size_t n = weir_proxy_write(buf, version, &in);
        assert_true(n < sizeof(buf));
        assert_int_equal(parse(buf, n, &out), 0);
        assert_int_equal(out.len, n);
        assert_int_equal(out.known, in.known);
        if (!in.known)
            continue;
        assert_memory_equal(out.src, in.src, 16);
        assert_memory_equal(out.dst, in.dst, 16);
        assert_int_equal(out.src_port, in.src_port);
        assert_int_equal(out.dst_port, in.dst_port);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_tell_the_source),
        cmocka_unit_test(an_unknown_source_is_none),
        cmocka_unit_test(what_is_not_to_the_letter_is_refused),
        cmocka_unit_test(what_is_written_is_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
