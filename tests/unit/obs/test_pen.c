/* SPDX-License-Identifier: Apache-2.0 */
#include "obs/pen.h"

#include "weir_test.h"

#include <arpa/inet.h>
#include <time.h>

struct fixture {
    struct weir_chunk_pool pool;
    struct weir_bufq q;
    struct weir_pen pen;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    weir_chunk_pool_init(&f->pool, 4);
    weir_bufq_init(&f->q, &f->pool, 0);
    weir_pen_begin(&f->pen, &f->q);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    weir_bufq_deinit(&f->q);
    weir_chunk_pool_deinit(&f->pool);
    free(f);
    return 0;
}

/* Ends the pen, compares, begins anew on an empty queue. */
static void expect(struct fixture *f, const char *text) {
    assert_int_equal(weir_pen_end(&f->pen), 0);
    weir_assert_bufq(&f->q, text);
    weir_bufq_clear(&f->q);
    weir_pen_begin(&f->pen, &f->q);
}

static void numbers(void **state) {
    struct fixture *f = *state;
    weir_pen_u64(&f->pen, 0);
    weir_pen_lit(&f->pen, " ");
    weir_pen_u64(&f->pen, UINT64_MAX);
    weir_pen_lit(&f->pen, " ");
    weir_pen_i64(&f->pen, -1);
    weir_pen_lit(&f->pen, " ");
    weir_pen_i64(&f->pen, INT64_MIN);
    expect(f, "0 18446744073709551615 -1 -9223372036854775808");
}

static void seconds_have_no_needless_zeros(void **state) {
    struct fixture *f = *state;
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        { 0, "0" },         { 1, "0.000001" },           { 1500000, "1.5" },     { 5000, "0.005" },
        { 10000000, "10" }, { 123456789, "123.456789" }, { 1000001, "1.000001" }
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        weir_pen_seconds(&f->pen, cases[i].us);
        expect(f, cases[i].text);
    }
}

static void times_agree_with_the_c_library(void **state) {
    struct fixture *f = *state;
    /* 1970 to 9999, each leap rule included. */
    for (uint64_t s = 0; s < 253402300800u; s += 86400u * 13 + 3607) {
        time_t t = (time_t)s;
        struct tm tm;
        char want[64];
        gmtime_r(&t, &tm);
        size_t n = strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(want + n, sizeof(want) - n, ".%03uZ", (unsigned)(s % 1000));
        weir_pen_time(&f->pen, s * 1000000u + s % 1000 * 1000 + 999);
        expect(f, want);
    }
    weir_pen_time(&f->pen, 1709208000000000u);
    expect(f, "2024-02-29T12:00:00.000Z");
}

static void addresses_agree_with_the_c_library(void **state) {
    struct fixture *f = *state;
    static const char *const v6[] = { "::",
                                      "::1",
                                      "2001:db8::1",
                                      "2001:db8:0:1:1:1:1:1",
                                      "2001:0:0:1:0:0:0:1",
                                      "2001:db8::1:0:0:1",
                                      "fe80::",
                                      "1:2:3:4:5:6:7:8",
                                      "0:1:2:3:4:5:6:0",
                                      "::2:3:4:5:6:7:8",
                                      "1:2:3:4:5:6::",
                                      "ff02::1:ff00:0" };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(v6); i++) {
        struct weir_ip ip;
        char want[INET6_ADDRSTRLEN + 16], text[INET6_ADDRSTRLEN];
        assert_int_equal(inet_pton(AF_INET6, v6[i], ip.b), 1);
        assert_non_null(inet_ntop(AF_INET6, ip.b, text, sizeof(text)));
        snprintf(want, sizeof(want), "[%s]:443", text);
        weir_pen_addr(&f->pen, &ip, 443);
        expect(f, want);
    }
    struct weir_ip v4 = { { [10] = 0xff, [11] = 0xff, [12] = 10, [14] = 255, [15] = 1 } };
    weir_pen_addr(&f->pen, &v4, 65535);
    expect(f, "10.0.255.1:65535");
}

static void escapes_leave_only_printable_ascii(void **state) {
    struct fixture *f = *state;
    weir_pen_escaped(&f->pen, WEIR_SLICE("a \"b\"\\ \r\n\t\x7f\x80\xff~!"), true);
    expect(f, "a \\\"b\\\"\\\\ \\x0d\\x0a\\x09\\x7f\\x80\\xff~!");
    weir_pen_escaped(&f->pen, WEIR_SLICE("a b"), false);
    expect(f, "a\\x20b");
    weir_pen_escaped(&f->pen, weir_slice_make("\0", 1), false);
    expect(f, "\\x00");
}

static void json_escapes_utf8_and_replaces_what_is_not(void **state) {
    struct fixture *f = *state;
    weir_pen_json(&f->pen, WEIR_SLICE("a \"\\/\n\x7f"));
    expect(f, "a \\\"\\\\/\\u000a\\u007f");
    weir_pen_json(&f->pen, WEIR_SLICE("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
    expect(f, "\\u00e4\\u20ac\\ud83d\\ude00");
    weir_pen_json(&f->pen, WEIR_SLICE("\xc3"));
    expect(f, "\\ufffd");
    weir_pen_json(&f->pen, WEIR_SLICE("\xc0\xaf"));
    expect(f, "\\ufffd\\ufffd");
    weir_pen_json(&f->pen, WEIR_SLICE("\xed\xa0\x80"));
    expect(f, "\\ufffd\\ufffd\\ufffd");
    weir_pen_json(&f->pen, WEIR_SLICE("\xf4\x90\x80\x80x"));
    expect(f, "\\ufffd\\ufffd\\ufffd\\ufffdx");
}

static void long_text_crosses_chunks(void **state) {
    struct fixture *f = *state;
    size_t n = 3 * WEIR_CHUNK_SIZE;
    char *big = malloc(n + 1);
    memset(big, 'x', n);
    big[n] = '\0';
    weir_pen_str(&f->pen, big);
    expect(f, big);
    free(big);
}

static void without_memory_the_queue_is_as_it_was(void **state) {
    struct fixture *f = *state;
    weir_pen_str(&f->pen, "before");
    assert_int_equal(weir_pen_end(&f->pen), 0);
    for (unsigned long nth = 1; nth < 3; nth++) {
        size_t n = 4 * WEIR_CHUNK_SIZE;
        char *big = calloc(1, n);
        weir_mem_fail_at(nth, 0);
        weir_pen_begin(&f->pen, &f->q);
        weir_pen_escaped(&f->pen, weir_slice_make(big, n), true);
        weir_pen_u64(&f->pen, 1);
        int r = weir_pen_end(&f->pen);
        weir_mem_fail_at(0, 0);
        free(big);
        assert_int_equal(r, -ENOMEM);
        weir_assert_bufq(&f->q, "before");
    }
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(numbers),
        CASE(seconds_have_no_needless_zeros),
        CASE(times_agree_with_the_c_library),
        CASE(addresses_agree_with_the_c_library),
        CASE(escapes_leave_only_printable_ascii),
        CASE(json_escapes_utf8_and_replaces_what_is_not),
        CASE(long_text_crosses_chunks),
        CASE(without_memory_the_queue_is_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
