/* SPDX-License-Identifier: Apache-2.0 */
/* Only numbers and what /etc/hosts must know: the test asks no name server. */
#include "weir_test.h"

#include "io/resolve.h"

static const uint8_t loopback4[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1 };
static const uint8_t loopback6[16] = { [15] = 1 };

static void an_ipv4_address_resolves_to_itself_mapped(void **state) {
    struct weir_ip ips[4];
    unsigned n = 0;

    assert_int_equal(weir_resolve("127.0.0.1", 80, ips, 4, &n), 0);
    assert_int_equal(n, 1);
    assert_memory_equal(ips[0].b, loopback4, 16);
}

static void an_ipv6_address_resolves_with_and_without_brackets(void **state) {
    struct weir_ip ips[4];
    unsigned n = 0;

    assert_int_equal(weir_resolve("::1", 80, ips, 4, &n), 0);
    assert_int_equal(n, 1);
    assert_memory_equal(ips[0].b, loopback6, 16);
    assert_int_equal(weir_resolve("[::1]", 80, ips, 4, &n), 0);
    assert_memory_equal(ips[0].b, loopback6, 16);
}

static void a_name_resolves_to_distinct_addresses_and_no_more_than_asked(void **state) {
    struct weir_ip ips[8];
    unsigned n = 0;

    assert_int_equal(weir_resolve("localhost", 80, ips, 8, &n), 0);
    assert_in_range(n, 1, 8);
    for (unsigned i = 1; i < n; i++)
        assert_memory_not_equal(&ips[i], &ips[i - 1], sizeof(ips[i]));
    assert_int_equal(weir_resolve("localhost", 80, ips, 1, &n), 0);
    assert_int_equal(n, 1);
}

static void what_is_no_name_is_refused_and_leaves_the_result_alone(void **state) {
    struct weir_ip ips[1];
    char long_name[300];
    unsigned n = 77;

    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    assert_int_equal(weir_resolve("", 80, ips, 1, &n), -EINVAL);
    assert_int_equal(weir_resolve("[]", 80, ips, 1, &n), -EINVAL);
    assert_int_equal(weir_resolve(long_name, 80, ips, 1, &n), -EINVAL);
    assert_int_equal(weir_resolve("127.0.0.1", 0, ips, 1, &n), -EINVAL);
    assert_int_equal(weir_resolve("127.0.0.1", 80, ips, 0, &n), -EINVAL);
    assert_int_equal(weir_resolve("not a name", 80, ips, 1, &n), -ENOENT);
    assert_int_equal(n, 77);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ipv4_address_resolves_to_itself_mapped),
        cmocka_unit_test(an_ipv6_address_resolves_with_and_without_brackets),
        cmocka_unit_test(a_name_resolves_to_distinct_addresses_and_no_more_than_asked),
        cmocka_unit_test(what_is_no_name_is_refused_and_leaves_the_result_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
