/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"

static struct weir_arena arena;

static int arena_setup(void **state) {
    weir_arena_init(&arena, 65536);
    return 0;
}

static int arena_teardown(void **state) {
    weir_arena_deinit(&arena);
    return 0;
}

static const char *text(struct weir_slice s) {
    return weir_arena_dup(&arena, s).ptr;
}

static const char *rewritten(const char *target, const char *prefix, enum weir_path_change change,
                             const char *path) {
    struct weir_rewrite rw = { .hostname = "", .change = change, .path = path };
    struct weir_route_match match = { .path_type = WEIR_MATCH_PREFIX, .path = prefix };
    struct weir_head head;

    head_request(&head, &arena, "GET", "a.example", target);
    assert_int_equal(weir_route_rewrite(&rw, &match, &head), 0);
    assert_string_equal(text(head.authority), "a.example");
    return text(head.target);
}

/* The table of HTTPPathModifier.replacePrefixMatch. */
static void a_prefix_is_replaced_by_whole_elements(void **state) {
    static const struct {
        const char *target, *prefix, *with, *wanted;
    } cases[] = {
        { "/foo/bar", "/foo", "/xyz", "/xyz/bar" },
        { "/foo/bar", "/foo", "/xyz/", "/xyz/bar" },
        { "/foo/bar", "/foo/", "/xyz", "/xyz/bar" },
        { "/foo/bar", "/foo/", "/xyz/", "/xyz/bar" },
        { "/foo", "/foo", "/xyz", "/xyz" },
        { "/foo/", "/foo", "/xyz", "/xyz/" },
        { "/foo/bar", "/foo", "", "/bar" },
        { "/foo/", "/foo", "", "/" },
        { "/foo", "/foo", "", "/" },
        { "/foo/", "/foo", "/", "/" },
        { "/foo", "/foo", "/", "/" },
        { "/foo/b?q=/foo", "/foo", "/x", "/x/b?q=/foo" },
        { "/a", "/", "/x", "/x/a" },
        { "/", "/", "/x", "/x/" },
        { "/foo?", "/foo", "/x", "/x?" },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++)
        assert_string_equal(
            rewritten(cases[i].target, cases[i].prefix, WEIR_PATH_PREFIX, cases[i].with),
            cases[i].wanted);
}

static void a_full_path_keeps_the_query_alone(void **state) {
    assert_string_equal(rewritten("/a/b?c=d", "/a", WEIR_PATH_FULL, "/new"), "/new?c=d");
    assert_string_equal(rewritten("/a/b", "/a", WEIR_PATH_KEEP, ""), "/a/b");
    assert_string_equal(rewritten("*", "/", WEIR_PATH_FULL, "/new"), "*");
}

static void a_host_is_replaced(void **state) {
    struct weir_rewrite rw = { .hostname = "b.example", .path = "" };
    struct weir_head head;

    head_request(&head, &arena, "GET", "a.example:80", "/");
    assert_int_equal(weir_route_rewrite(&rw, &(struct weir_route_match){ .path = "/" }, &head), 0);
    assert_string_equal(text(head.authority), "b.example");
}

static const char *location(struct weir_rewrite rw, const char *authority, bool tls,
                            uint16_t port) {
    struct weir_route_match match = { .path_type = WEIR_MATCH_PREFIX, .path = "/a" };
    struct weir_route_origin from = { tls, port };
    struct weir_head head;
    struct weir_slice l;

    if (!rw.scheme)
        rw.scheme = "";
    if (!rw.hostname)
        rw.hostname = "";
    head_request(&head, &arena, "GET", authority, "/a/b?c");
    assert_int_equal(weir_route_location(&rw, &match, &head, &from, &l), 0);
    return text(l);
}
#define RW(...) ((struct weir_rewrite){ __VA_ARGS__ })

static void a_location_follows_the_rules_for_ports(void **state) {
    /* Neither scheme nor port: both are the listener's, and a scheme's own port is not named. */
    assert_string_equal(location(RW(.hostname = "b"), "a", false, 80), "http://b/a/b?c");
    assert_string_equal(location(RW(.hostname = "b"), "a", false, 8080), "http://b:8080/a/b?c");
    assert_string_equal(location(RW(.hostname = "b"), "a", true, 443), "https://b/a/b?c");
    assert_string_equal(location(RW(.hostname = "b"), "a", true, 80), "https://b:80/a/b?c");
    /* A scheme brings its own port. */
    assert_string_equal(location(RW(.scheme = "https"), "a:8080", false, 8080), "https://a/a/b?c");
    assert_string_equal(location(RW(.scheme = "http"), "a", true, 8443), "http://a/a/b?c");
    /* A port that is given beats both. */
    assert_string_equal(location(RW(.scheme = "https", .port = 8443), "a", false, 80),
                        "https://a:8443/a/b?c");
    assert_string_equal(location(RW(.scheme = "https", .port = 443), "a", false, 80),
                        "https://a/a/b?c");
    assert_string_equal(location(RW(.port = 80), "a", false, 8080), "http://a/a/b?c");
    assert_string_equal(location(RW(.port = 443), "a", false, 8080), "http://a:443/a/b?c");
    /* Hosts. */
    assert_string_equal(location(RW(.port = 81), "[::1]:8080", false, 1), "http://[::1]:81/a/b?c");
    assert_string_equal(location(RW(.change = WEIR_PATH_PREFIX, .path = "/x"), "A.b.:1", false, 80),
                        "http://a.b/x/b?c");
}

static void a_location_needs_a_host(void **state) {
    struct weir_rewrite rw = { .hostname = "", .scheme = "", .path = "" };
    struct weir_route_match match = { .path = "/" };
    struct weir_route_origin from = { false, 80 };
    struct weir_slice l = WEIR_SLICE("untouched");
    struct weir_head head;

    head_request(&head, &arena, "GET", "", "/");
    assert_int_equal(weir_route_location(&rw, &match, &head, &from, &l), 1);
    head_request(&head, &arena, "GET", "a@b", "/");
    assert_int_equal(weir_route_location(&rw, &match, &head, &from, &l), 1);
    assert_string_equal(text(l), "untouched");
    rw.hostname = "b";
    head_request(&head, &arena, "OPTIONS", "", "*");
    assert_int_equal(weir_route_location(&rw, &match, &head, &from, &l), 0);
    assert_string_equal(text(l), "http://b/");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_prefix_is_replaced_by_whole_elements, arena_setup,
                                        arena_teardown),
        cmocka_unit_test_setup_teardown(a_full_path_keeps_the_query_alone, arena_setup,
                                        arena_teardown),
        cmocka_unit_test_setup_teardown(a_host_is_replaced, arena_setup, arena_teardown),
        cmocka_unit_test_setup_teardown(a_location_follows_the_rules_for_ports, arena_setup,
                                        arena_teardown),
        cmocka_unit_test_setup_teardown(a_location_needs_a_host, arena_setup, arena_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
