/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"

/* host NULL = malformed. */
static const struct {
    const char *in, *host;
    uint16_t port;
} table[] = {
    { "api", "api", 0 },
    { "API.Example.COM", "api.example.com", 0 },
    { "api:8080", "api", 8080 },
    { "api.:80", "api", 80 },
    { "a_b-c.d", "a_b-c.d", 0 },
    { "10.0.0.1:80", "10.0.0.1", 80 },
    { "[fd00::1]", "fd00::1", 0 },
    { "[FD00::A]:443", "fd00::a", 443 },
    { "[::ffff:10.0.0.1]", "::ffff:10.0.0.1", 0 },
    { "api:65535", "api", 65535 },
    { "", NULL, 0 },
    { ".", NULL, 0 },
    { ":80", NULL, 0 },
    { "api:", NULL, 0 },
    { "api:0", NULL, 0 },
    { "api:65536", NULL, 0 },
    { "api:+80", NULL, 0 },
    { "api:80 ", NULL, 0 },
    { "api:80:80", NULL, 0 },
    { "api:080808", NULL, 0 },
    { "user@api", NULL, 0 },
    { "a,b", NULL, 0 },
    { "a b", NULL, 0 },
    { "a/b", NULL, 0 },
    { "a%41", NULL, 0 },
    { "a?b", NULL, 0 },
    { "a#b", NULL, 0 },
    { "[fd00::1", NULL, 0 },
    { "[]", NULL, 0 },
    { "[fd00::1]80", NULL, 0 },
    { "[fe80::1%eth0]", NULL, 0 },
    { "[g::1]", NULL, 0 },
    { "fd00::1", NULL, 0 },
};

static void splits_host_and_port_or_refuses(void **state) {
    struct weir_arena arena;

    weir_arena_init(&arena, 1024);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(table); i++) {
        struct weir_slice host = WEIR_SLICE_NONE;
        uint16_t port = 7;
        int r = weir_authority_parse(&arena, weir_slice_from_str(table[i].in), &host, &port);

        if (r != (table[i].host ? 0 : 1))
            fail_msg("%s: %d", table[i].in, r);
        if (r == 0)
            weir_assert_slice(host, table[i].host);
        assert_int_equal(port, r == 0 ? table[i].port : 7);
    }
    weir_arena_deinit(&arena);
}

static void a_host_longer_than_any_name_is_malformed(void **state) {
    struct weir_arena arena;
    struct weir_slice host;
    uint16_t port;
    char text[256];

    memset(text, 'a', sizeof(text));
    weir_arena_init(&arena, 1024);
    assert_int_equal(weir_authority_parse(&arena, weir_slice_make(text, 255), &host, &port), 0);
    assert_int_equal(weir_authority_parse(&arena, weir_slice_make(text, 256), &host, &port), 1);
    weir_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_host_and_port_or_refuses),
        cmocka_unit_test(a_host_longer_than_any_name_is_malformed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
