/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/parse.h"

#include "weir_test.h"

static void assert_ip(const char *text, const char *formatted) {
    struct weir_ip ip;
    char buf[46];

    if (weir_parse_ip(text, &ip) != 0) {
        fail_msg("%s is not taken as an address", text);
    }
    assert_string_equal(weir_ip_format(&ip, buf, sizeof(buf)), formatted);
}

static void assert_no_ip(const char *text) {
    struct weir_ip ip = { { 7 } };

    if (weir_parse_ip(text, &ip) != -EINVAL) {
        fail_msg("%s is taken as an address", text);
    }
    assert_int_equal(ip.b[0], 7);
}

static void addresses_are_read_and_written_in_their_canonical_form(void **state) {
    assert_ip("10.0.0.1", "10.0.0.1");
    assert_ip("255.255.255.255", "255.255.255.255");
    assert_ip("0.0.0.0", "0.0.0.0");
    assert_ip("9.10.99.100", "9.10.99.100");
    assert_ip("101.110.205.8", "101.110.205.8");
    assert_ip("::", "::");
    assert_ip("::1", "::1");
    assert_ip("1::", "1::");
    assert_ip("fd00:0:0:0:0:0:0:1", "fd00::1");
    assert_ip("2001:DB8::AbCd", "2001:db8::abcd");
    assert_ip("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");
    assert_ip("2001:0:0:1:0:0:0:1", "2001:0:0:1::1");
    assert_ip("1:0:0:2:3:0:0:4", "1::2:3:0:0:4");
    assert_ip("::ffff:10.1.2.3", "10.1.2.3");
    assert_ip("64:ff9b::1.2.3.4", "64:ff9b::102:304");
    assert_ip("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0");
    assert_ip("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8");
}

static void what_is_not_exactly_an_address_is_refused(void **state) {
    static const char *const texts[] = {
        "",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.-4",
        "a.b.c.d",
        ":",
        ":::",
        "1:",
        ":1",
        "1::2::3",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7",
        "12345::",
        "::g",
        "fe80::1%eth0",
        "1.2.3.4::",
        "::1.2.3",
        "1:2:3:4:5:6:7:1.2.3.4",
        "::1.2.3.4:5",
        "[::1]",
        "1:2:3:4:5:6:7:8::",
        ":1::",
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        assert_no_ip(texts[i]);
    }
}

static void an_ipv4_prefix_counts_in_the_sixteen_byte_form(void **state) {
    struct weir_cidr cidr;
    char buf[46];

    assert_int_equal(weir_parse_cidr("10.1.2.3/8", &cidr), 0);
    assert_int_equal(cidr.prefix, 104);
    weir_cidr_mask(&cidr);
    assert_string_equal(weir_ip_format(&cidr.ip, buf, sizeof(buf)), "10.0.0.0");
    assert_int_equal(weir_parse_cidr("fd00:1234:ffff::/36", &cidr), 0);
    assert_int_equal(cidr.prefix, 36);
    weir_cidr_mask(&cidr);
    assert_string_equal(weir_ip_format(&cidr.ip, buf, sizeof(buf)), "fd00:1234:f000::");
    assert_int_equal(weir_parse_cidr("0.0.0.0/0", &cidr), 0);
    assert_int_equal(cidr.prefix, 96);
    assert_int_equal(weir_parse_cidr("::/0", &cidr), 0);
    assert_int_equal(weir_parse_cidr("::1/128", &cidr), 0);
    weir_cidr_mask(&cidr);
    assert_string_equal(weir_ip_format(&cidr.ip, buf, sizeof(buf)), "::1");
}

static void a_prefix_beyond_the_family_is_refused(void **state) {
    static const char *const texts[] = { "10.0.0.0",     "10.0.0.0/",   "10.0.0.0/33",
                                         "::/129",       "/8",          "10.0.0.0/08",
                                         "10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/8 " };
    struct weir_cidr cidr;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        assert_int_equal(weir_parse_cidr(texts[i], &cidr), -EINVAL);
    }
}

static void a_listen_address_may_leave_the_host_out(void **state) {
    struct weir_ip ip;
    uint16_t port;
    char buf[46];

    assert_int_equal(weir_parse_hostport(":8080", &ip, &port), 0);
    assert_string_equal(weir_ip_format(&ip, buf, sizeof(buf)), "::");
    assert_int_equal(port, 8080);
    assert_int_equal(weir_parse_hostport("127.0.0.1:0", &ip, &port), 0);
    assert_int_equal(port, 0);
    assert_int_equal(weir_parse_hostport("[::1]:65535", &ip, &port), 0);
    assert_string_equal(weir_ip_format(&ip, buf, sizeof(buf)), "::1");
    assert_int_equal(port, 65535);
}

static void a_listen_address_needs_a_port_and_no_name(void **state) {
    static const char *const texts[] = {
        "",        "127.0.0.1",      "127.0.0.1:",    "localhost:80", "::1:80",  "[::1]",
        "[::1]80", "[127.0.0.1]:80", "1.2.3.4:65536", "1.2.3.4:+1",   "[::1:80", "1.2.3.4:80:80"
    };
    struct weir_ip ip;
    uint16_t port;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        if (weir_parse_hostport(texts[i], &ip, &port) != -EINVAL) {
            fail_msg("\"%s\" is taken", texts[i]);
        }
    }
}

static void assert_to(const char *text, enum weir_scheme scheme, const char *host, uint16_t port) {
    struct weir_arena arena;
    struct weir_to to;

    weir_arena_init(&arena, 256);
    if (weir_parse_to(&arena, text, &to) != 0) {
        fail_msg("\"%s\" is not taken", text);
    }
    assert_int_equal(to.scheme, scheme);
    assert_string_equal(to.host, host);
    assert_int_equal(to.port, port);
    weir_arena_deinit(&arena);
}

static void an_upstream_is_a_url_or_a_bare_host(void **state) {
    assert_to("http://api:8080", WEIR_TO_HTTP, "api", 8080);
    assert_to("HTTP://api", WEIR_TO_HTTP, "api", 80);
    assert_to("https://api.example.com/", WEIR_TO_HTTPS, "api.example.com", 443);
    assert_to("h2c://[fd00::1]:50051", WEIR_TO_H2C, "fd00::1", 50051);
    assert_to("10.0.0.1:9090", WEIR_TO_HTTP, "10.0.0.1", 9090);
    assert_to("api", WEIR_TO_HTTP, "api", 80);
    assert_to("[::1]", WEIR_TO_HTTP, "::1", 80);
    assert_to("my_host.:80", WEIR_TO_HTTP, "my_host.", 80);
}

static void an_upstream_has_no_path_user_or_other_scheme(void **state) {
    static const char *const texts[] = {
        "",           "http://",      "http://:80",   "http://a/b",  "http://a?b",
        "http://u@a", "ftp://a",      "a:0",          "a:65536",     "a:",
        "a b",        "1.2.3.4.5:80", "256.1.1.1:80", "http://a..b", "https://",
        "a/",         "http://a#",    "http://[::1",  "-:x"
    };
    struct weir_arena arena;
    struct weir_to to;

    weir_arena_init(&arena, 256);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        if (weir_parse_to(&arena, texts[i], &to) != -EINVAL) {
            fail_msg("\"%s\" is taken", texts[i]);
        }
    }
    weir_arena_deinit(&arena);
}

static int parse_to_once(void *arg) {
    struct weir_arena arena;
    struct weir_to to;

    weir_arena_init(&arena, 256);
    int r = weir_parse_to(&arena, "http://api:80", &to);
    weir_arena_deinit(&arena);
    return r;
}

static void an_upstream_survives_lack_of_memory(void **state) {
    assert_int_not_equal(weir_test_sweep(parse_to_once, NULL, 0), 0);
}

static void assert_duration(const char *text, uint64_t us) {
    uint64_t value = 1;

    assert_int_equal(weir_parse_duration(text, &value), 0);
    assert_int_equal(value, us);
}

static void durations_are_those_of_the_gateway_api(void **state) {
    assert_duration("10s", 10000000);
    assert_duration("500ms", 500000);
    assert_duration("1m30s", 90000000);
    assert_duration("1h1m1s1ms", 3661001000);
    assert_duration("0s", 0);
    assert_duration("99999h", 359996400000000);
}

static void other_durations_are_refused(void **state) {
    static const char *const texts[] = { "",   "10",      "s",           "10 s", "1.5s", "-1s",
                                         "1d", "100000s", "1h1m1s1ms1s", "1us",  "1m ",  "m1" };
    uint64_t value = 7;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        assert_int_equal(weir_parse_duration(texts[i], &value), -EINVAL);
    }
    assert_int_equal(value, 7);
}

static void assert_time(const char *text, uint64_t seconds) {
    uint64_t value = 1;

    assert_int_equal(weir_parse_time(text, &value), 0);
    assert_int_equal(value, seconds);
}

static void times_are_read_with_their_zone(void **state) {
    assert_time("1970-01-01T00:00:00Z", 0);
    assert_time("2000-02-29T00:00:00Z", 951782400);
    assert_time("2024-05-01T12:00:00Z", 1714564800);
    assert_time("2024-05-01T14:00:00+02:00", 1714564800);
    assert_time("2024-05-01T12:00:00.123456Z", 1714564800);
    assert_time("2024-12-31T23:59:60Z", 1735689600);
}

static void what_is_not_a_time_is_refused(void **state) {
    static const char *const texts[] = { "",
                                         "2024-05-01",
                                         "2024-05-01T12:00:00",
                                         "2024-13-01T12:00:00Z",
                                         "2024-04-31T12:00:00Z",
                                         "2024-05-01T24:00:00Z",
                                         "2024-05-01 12:00:00Z",
                                         "2024-05-01T12:00:00.Z",
                                         "2024-05-01T12:00:00Zx",
                                         "1969-12-31T23:59:59Z",
                                         "2024-05-01T12:00:00+0200" };
    uint64_t value;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        assert_int_equal(weir_parse_time(texts[i], &value), -EINVAL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_written_in_their_canonical_form),
        cmocka_unit_test(what_is_not_exactly_an_address_is_refused),
        cmocka_unit_test(an_ipv4_prefix_counts_in_the_sixteen_byte_form),
        cmocka_unit_test(a_prefix_beyond_the_family_is_refused),
        cmocka_unit_test(a_listen_address_may_leave_the_host_out),
        cmocka_unit_test(a_listen_address_needs_a_port_and_no_name),
        cmocka_unit_test(an_upstream_is_a_url_or_a_bare_host),
        cmocka_unit_test(an_upstream_has_no_path_user_or_other_scheme),
        cmocka_unit_test(an_upstream_survives_lack_of_memory),
        cmocka_unit_test(durations_are_those_of_the_gateway_api),
        cmocka_unit_test(other_durations_are_refused),
        cmocka_unit_test(times_are_read_with_their_zone),
        cmocka_unit_test(what_is_not_a_time_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
