/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/syntax.h"

#include "weir_test.h"

static char *repeat(char c, size_t n) {
    static char buf[400];

    memset(buf, c, n);
    buf[n] = '\0';
    return buf;
}

static void names_of_objects_are_dns_names(void **state) {
    assert_true(weir_is_dns_label("a"));
    assert_true(weir_is_dns_label("a-1"));
    assert_true(weir_is_dns_label(repeat('a', 63)));
    assert_false(weir_is_dns_label(repeat('a', 64)));
    assert_false(weir_is_dns_label(""));
    assert_false(weir_is_dns_label("-a"));
    assert_false(weir_is_dns_label("a-"));
    assert_false(weir_is_dns_label("A"));
    assert_false(weir_is_dns_label("a.b"));
    assert_true(weir_is_dns_subdomain("a.b-c.d"));
    assert_false(weir_is_dns_subdomain("a..b"));
    assert_false(weir_is_dns_subdomain("a/b"));
    assert_false(weir_is_dns_subdomain(".a"));
    assert_false(weir_is_dns_subdomain("a."));
}

static void labels_have_an_optional_prefix(void **state) {
    assert_true(weir_is_label_key("app"));
    assert_true(weir_is_label_key("app.kubernetes.io/name"));
    assert_true(weir_is_label_key("a_B.c-D"));
    assert_false(weir_is_label_key(""));
    assert_false(weir_is_label_key("a/"));
    assert_false(weir_is_label_key("/a"));
    assert_false(weir_is_label_key("a/b/c"));
    assert_false(weir_is_label_key("-a"));
    assert_true(weir_is_label_value(""));
    assert_true(weir_is_label_value("v1.2_x-Y"));
    assert_false(weir_is_label_value("v 1"));
    assert_false(weir_is_label_value(repeat('a', 64)));
}

static void port_names_have_a_letter(void **state) {
    assert_true(weir_is_port_name("http-8080"));
    assert_false(weir_is_port_name("8080"));
    assert_false(weir_is_port_name("HTTP"));
}

static void header_names_are_tokens(void **state) {
    assert_true(weir_is_token("X-Version"));
    assert_true(weir_is_token("a!#$%&'*+-.^_`|~0"));
    assert_false(weir_is_token(""));
    assert_false(weir_is_token("a b"));
    assert_false(weir_is_token("a:"));
    assert_false(weir_is_token(":authority"));
    assert_false(weir_is_token(repeat('a', 257)));
}

static void header_values_cannot_smuggle(void **state) {
    assert_true(weir_is_field_value(""));
    assert_true(weir_is_field_value("a\tb c"));
    assert_true(weir_is_field_value("gr\xc3\xbc\xc3\x9f"));
    assert_false(weir_is_field_value("a\r\nb: c"));
    assert_false(weir_is_field_value("a\nb"));
    assert_false(weir_is_field_value(" a"));
    assert_false(weir_is_field_value("a\t"));
    assert_false(weir_is_field_value("a\x7f"));
}

static void host_names_are_no_addresses(void **state) {
    assert_true(weir_is_hostname("api.example.com", true));
    assert_true(weir_is_hostname("*.example.com", true));
    assert_false(weir_is_hostname("*.example.com", false));
    assert_false(weir_is_hostname("*", true));
    assert_false(weir_is_hostname("a.*.com", true));
    assert_false(weir_is_hostname("10.0.0.1", true));
    assert_false(weir_is_hostname("::1", true));
    assert_false(weir_is_hostname("api:80", true));
    assert_false(weir_is_hostname("API", true));
}

static void a_clean_path_stays_below_its_root(void **state) {
    assert_true(weir_is_clean_path("/a"));
    assert_true(weir_is_clean_path("/a/b.c/..d/"));
    assert_false(weir_is_clean_path(""));
    assert_false(weir_is_clean_path("/"));
    assert_false(weir_is_clean_path("//"));
    assert_false(weir_is_clean_path("a"));
    assert_false(weir_is_clean_path("/a//b"));
    assert_false(weir_is_clean_path("/a/../b"));
    assert_false(weir_is_clean_path("/a/."));
    assert_false(weir_is_clean_path("/.."));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_objects_are_dns_names),
        cmocka_unit_test(labels_have_an_optional_prefix),
        cmocka_unit_test(port_names_have_a_letter),
        cmocka_unit_test(header_names_are_tokens),
        cmocka_unit_test(header_values_cannot_smuggle),
        cmocka_unit_test(host_names_are_no_addresses),
        cmocka_unit_test(a_clean_path_stays_below_its_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
