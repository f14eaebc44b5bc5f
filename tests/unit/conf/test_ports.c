/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_test.h"

#include "conf/ports.h"

static void lists_of_ports_and_ranges_are_read(void **state) {
    struct weir_port_ranges r;

    (void)state;
    assert_int_equal(weir_parse_port_ranges(" 22, 8000-8010 ,1-1,65535", &r), 0);
    assert_int_equal(r.n, 4);
    assert_true(weir_port_ranges_have(&r, 22));
    assert_true(weir_port_ranges_have(&r, 8000) && weir_port_ranges_have(&r, 8010));
    assert_false(weir_port_ranges_have(&r, 8011) || weir_port_ranges_have(&r, 7999));
    assert_true(weir_port_ranges_have(&r, 1) && weir_port_ranges_have(&r, 65535));
    assert_int_equal(weir_parse_port_ranges("", &r), 0);
    assert_int_equal(r.n, 0);
}

static void what_is_no_list_of_ports_is_refused_and_writes_nothing(void **state) {
    static const char *const bad[] = { "0",     "65536", "1,",  ",1", "1-",  "-1",  "2-1",
                                       "1-2-3", "a",     "1 2", "+1", "1;2", "1,,2" };
    struct weir_port_ranges r = { .n = 7 };
    char many[200] = "1";

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++)
        assert_int_equal(weir_parse_port_ranges(bad[i], &r), -EINVAL);
    for (unsigned i = 1; i < WEIR_PORT_RANGES_MAX; i++)
        strcat(many, ",1");
    strcat(many, ",1");
    assert_int_equal(weir_parse_port_ranges(many, &r), -EINVAL);
    assert_int_equal(r.n, 7);
    many[strlen(many) - 2] = '\0';
    assert_int_equal(weir_parse_port_ranges(many, &r), 0);
    assert_int_equal(r.n, WEIR_PORT_RANGES_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_ports_and_ranges_are_read),
        cmocka_unit_test(what_is_no_list_of_ports_is_refused_and_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
