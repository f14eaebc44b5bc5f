/* SPDX-License-Identifier: Apache-2.0 */
#include "http/uri.h"

#include "weir_test.h"

static void authorities_that_name_one_host_are_valid(void **state) {
    static const char *const rows[] = {
        "a",
        "example.com",
        "EXAMPLE.com.",
        "api_v1.ns.svc.cluster.local:8080",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:65535",
        "[fd00::a:b]:443",
        "[::ffff:10.0.0.1]",
        "xn--bcher-kva.example",
        "1.2.3",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++)
        if (!weir_authority_valid(weir_slice_from_str(rows[i])))
            fail_msg("refused: %s", rows[i]);
}

static void authorities_that_could_be_read_in_two_ways_are_not(void **state) {
    static const char *const rows[] = {
        "",
        ":80",
        "a:",
        "a:0",
        "a:080",
        "a:65536",
        "a:99999",
        "a:8o",
        "a:80:90",
        "a,b",
        "a b",
        "a/b",
        "user@a",
        "u:p@a",
        "a?b",
        "a#b",
        "a%2eb",
        "a..b",
        ".a",
        ".",
        "::1",
        "[::1",
        "[]",
        "[::1]a",
        "[::1]:",
        "[fe80::1%25eth0]",
        "[1.2.3.4]",
        "[:::1]",
        "a\tb",
        "a\\b",
        "a;b",
        "a=b",
        "a&b",
        "*",
        "a:+80",
        "a: 80",
        "\xc3\xa4",
        "[::1%eth0]",
        "[1:2:3:4:5:6:7]",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++)
        if (weir_authority_valid(weir_slice_from_str(rows[i])))
            fail_msg("accepted: %s", rows[i]);
    assert_false(weir_authority_valid(weir_slice_make("a\0b", 3)));
    assert_false(weir_authority_valid(weir_slice_make("a\r\n", 3)));
    char longest[256];
    memset(longest, 'a', sizeof(longest));
    assert_true(weir_authority_valid(weir_slice_make(longest, 254)));
    assert_false(weir_authority_valid(weir_slice_make(longest, 255)));
}

static void the_port_is_what_follows_the_last_colon(void **state) {
    assert_int_equal(weir_authority_port(WEIR_SLICE("a:8080")), 8080);
    assert_int_equal(weir_authority_port(WEIR_SLICE("a")), 0);
    assert_int_equal(weir_authority_port(WEIR_SLICE("[::1]")), 0);
    assert_int_equal(weir_authority_port(WEIR_SLICE("[::1]:65535")), 65535);
    assert_int_equal(weir_authority_port(WEIR_SLICE("1.2.3.4")), 0);
}

static void targets_begin_with_a_slash_and_hold_visible_ascii(void **state) {
    static const char *const good[] = {
        "/",   "/a/b?c=d&e=%20", "/a?re=\\d+", "/a[1]{2}|\"<>^`", "/?",
        "//x", "/a;b=c",         "/%2f/..",    "/a?b?c/"
    };
    static const char *const bad[] = { "",      "a",         "*",    "?a",     "/a b",
                                       "/a#b",  "#",         "/a\t", "/\\",    "/a\\b?c",
                                       "/\x7f", "/\xc3\xa4", " /",   "/a\r\nb" };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(good); i++)
        if (!weir_target_valid(weir_slice_from_str(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++)
        if (weir_target_valid(weir_slice_from_str(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    assert_false(weir_target_valid(weir_slice_make("/a\0", 3)));
}

static void the_classes_are_those_of_the_rfc(void **state) {
    for (int c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool token = alnum || (c && c < 128 && strchr("!#$%&'*+-.^_`|~", c));
        bool value = c == '\t' || (c >= 0x20 && c != 0x7f);
        bool target = c > 0x20 && c < 0x7f && c != '#';
        bool host = alnum || c == '-' || c == '.' || c == '_';
        unsigned want = (token ? WEIR_CHAR_TOKEN : 0u) | (value ? WEIR_CHAR_VALUE : 0u) |
                        (target ? WEIR_CHAR_TARGET : 0u) | (host ? WEIR_CHAR_HOST : 0u);
        assert_int_equal(weir_char_class[c], want);
    }
    assert_true(weir_chars_are(WEIR_SLICE("abc"), WEIR_CHAR_TOKEN));
    assert_false(weir_chars_are(WEIR_SLICE("a c"), WEIR_CHAR_TOKEN));
    assert_false(weir_chars_are(WEIR_SLICE(""), WEIR_CHAR_TOKEN));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authorities_that_name_one_host_are_valid),
        cmocka_unit_test(authorities_that_could_be_read_in_two_ways_are_not),
        cmocka_unit_test(the_port_is_what_follows_the_last_colon),
        cmocka_unit_test(targets_begin_with_a_slash_and_hold_visible_ascii),
        cmocka_unit_test(the_classes_are_those_of_the_rfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
