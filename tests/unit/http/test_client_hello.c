/* SPDX-License-Identifier: Apache-2.0 */
#include "http/client_hello.h"

#include <errno.h>

#include "weir_test.h"

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

static char join[WEIR_CLIENT_HELLO_MAX];

static int parse(const struct hello *h, size_t n, struct weir_client_hello *ret) {
    return weir_client_hello_parse(weir_slice_make((const char *)h->bytes, n), join, ret);
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

/* The message of h cut into records of at most n bytes. */
static size_t cut(const struct hello *h, size_t n, char *to) {
    const unsigned char *p = h->bytes + 5, *end = h->bytes + h->len;
    size_t len = 0;

    while (p < end) {
        size_t part = (size_t)(end - p) < n ? (size_t)(end - p) : n;

        memcpy(to + len, "\x16\x03\x01", 3);
        to[len + 3] = (char)(part >> 8);
        to[len + 4] = (char)part;
        memcpy(to + len + 5, p, part);
        len += 5 + part;
        p += part;
    }
    return len;
}

static void a_hello_is_followed_however_it_is_cut_into_records(void **state) {
    struct weir_client_hello hello;
    struct hello h;
    char text[8192];

    hello_make(&h, SNI_ALPN, sizeof(SNI_ALPN) - 1);
    for (size_t n = 1; n < h.len; n++) {
        size_t len = cut(&h, n, text);

        for (size_t i = 0; i < len; i++)
            assert_int_equal(weir_client_hello_parse(weir_slice_make(text, i), join, &hello),
                             -EAGAIN);
        assert_int_equal(weir_client_hello_parse(weir_slice_make(text, len), join, &hello), 0);
        weir_assert_slice(hello.sni, "a.b.test");
        assert_true(weir_client_hello_offers(&hello, WEIR_SLICE("http/1.1")));
    }
}

static void what_cannot_become_a_hello_is_not_waited_for(void **state) {
    static const struct weir_slice rows[] = {
        { "\x16\x03\x01\0\0", 5 },                                  /* an empty fragment */
        { "\x16\x03\x01\x40\x01", 5 },                              /* beyond 2^14 */
        { "\x16\x03\x01\0\x01\x02", 6 },                            /* a ServerHello */
        { "\x16\x03\x01\0\x01\x01\x17", 7 },                        /* then data */
        { "\x16\x03\x01\0\x01\x01\x16\x02", 8 },                    /* another version */
        { "\x16\x03\x01\x10\0\x01\0\x3f\xfd", 9 },                  /* longer than allowed */
        { "\x16\x03\x01\0\x05\x01\0\0\0\0", 10 },                   /* bytes behind it */
        { "\x16\x03\x01\0\x04\x01\0\0\0", 9 },                      /* an empty one */
        { "\x16\x03\x01\0\x02\x01\0\x16\x03\x01\0\x03\0\0\0", 15 }, /* that, in two */
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_client_hello hello;

        if (weir_client_hello_parse(rows[i], join, &hello) != -EINVAL)
            fail_msg("row %zu", i);
    }
}

static void bytes_that_are_no_hello_are_refused(void **state) {
    struct weir_client_hello hello;
    assert_int_equal(weir_client_hello_parse(WEIR_SLICE("GET / HTTP/1.1\r\n"), join, &hello),
                     -EINVAL);
    assert_int_equal(weir_client_hello_parse(WEIR_SLICE("G"), join, &hello), -EINVAL);
    assert_int_equal(weir_client_hello_parse(WEIR_SLICE("\x16\x03\x01\xff\xff\x01"), join, &hello),
                     -EINVAL);
    assert_int_equal(weir_client_hello_parse(WEIR_SLICE_NONE, join, &hello), -EAGAIN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_and_protocols_are_read_once_the_record_is_complete),
        cmocka_unit_test(a_hello_may_have_no_extensions),
        cmocka_unit_test(malformed_extensions_are_refused),
        cmocka_unit_test(a_hello_is_followed_however_it_is_cut_into_records),
        cmocka_unit_test(what_cannot_become_a_hello_is_not_waited_for),
        cmocka_unit_test(bytes_that_are_no_hello_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
