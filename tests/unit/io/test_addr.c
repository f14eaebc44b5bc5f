/* SPDX-License-Identifier: Apache-2.0 */
#include "weir_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "io/addr.h"

static void round_trip(const char *text, int family) {
    struct sockaddr_storage sa;
    struct weir_ip ip, back;
    uint16_t port = 0;

    assert_int_equal(inet_pton(AF_INET6, text, ip.b), 1);
    assert_int_equal(weir_addr_is_v4(&ip), family == AF_INET);
    assert_int_equal(weir_addr_to_sockaddr(&ip, 15001, &sa),
                     family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    assert_int_equal(sa.ss_family, family);
    assert_true(weir_addr_from_sockaddr(&sa, &back, &port));
    assert_memory_equal(&back, &ip, sizeof(ip));
    assert_int_equal(port, 15001);
}

static void a_mapped_address_becomes_ipv4_and_back(void **state) {
    struct sockaddr_storage sa;
    struct weir_ip ip;

    round_trip("::ffff:10.1.2.3", AF_INET);
    inet_pton(AF_INET6, "::ffff:10.1.2.3", ip.b);
    weir_addr_to_sockaddr(&ip, 80, &sa);
    assert_int_equal(((struct sockaddr_in *)&sa)->sin_addr.s_addr, htonl(0x0a010203));
    assert_int_equal(((struct sockaddr_in *)&sa)->sin_port, htons(80));
}

static void any_other_address_stays_ipv6(void **state) {
    round_trip("::1", AF_INET6);
    round_trip("fd00::ffff:1", AF_INET6);
    round_trip("::", AF_INET6);
}

static void other_families_are_refused(void **state) {
    struct sockaddr_storage sa = { .ss_family = AF_UNIX };
    struct weir_ip ip;
    uint16_t port;

    assert_false(weir_addr_from_sockaddr(&sa, &ip, &port));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mapped_address_becomes_ipv4_and_back),
        cmocka_unit_test(any_other_address_stays_ipv6),
        cmocka_unit_test(other_families_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
