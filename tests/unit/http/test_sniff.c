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
    sniff_is("\x16\x03\x01\x00\x01\x01", 6, WEIR_SNIFF_TLS);
    sniff_is("\x16\x03\x01\x00\x00\x01", 6, WEIR_SNIFF_OPAQUE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_request_lines_are_known),
        cmocka_unit_test(other_protocols_are_opaque),
        cmocka_unit_test(the_http2_preface_is_known_when_it_is_complete),
        cmocka_unit_test(a_tls_handshake_is_known_by_its_first_six_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
