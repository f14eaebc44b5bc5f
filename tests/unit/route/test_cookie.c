/* SPDX-License-Identifier: Apache-2.0 */
#include "route/cookie.h"

#include "build.h"

static struct weir_arena arena;

/* The values of cookie "a" in a request with these Cookie fields (NULL ends them), joined by '|'. */
static const char *values(const char *const *fields) {
    static char got[256];
    struct weir_cookie_at at = { 0 };
    struct weir_head head;
    struct weir_slice value;

    head_request(&head, &arena, "GET", "h", "/");
    assert_int_equal(weir_head_add(&head, WEIR_SLICE("X-A"), WEIR_SLICE("a=no")), 0);
    for (; *fields; fields++)
        assert_int_equal(weir_head_add(&head, WEIR_SLICE("Cookie"), weir_slice_from_str(*fields)),
                         0);
    got[0] = '\0';
    while (weir_cookie_next(&head, WEIR_SLICE("a"), &at, &value)) {
        strncat(got, value.ptr, value.len);
        strcat(got, "|");
    }
    return got;
}

static void every_cookie_of_the_name_is_found_in_order(void **state) {
    (void)state;
    weir_arena_init(&arena, 4096);
#define VALUES(...) values((const char *const[]){ __VA_ARGS__, NULL })
    assert_string_equal(VALUES("a=1"), "1|");
    assert_string_equal(VALUES("b=0; a=1; c=2;a=3 ; a=\"4\""), "1|3|4|");
    assert_string_equal(VALUES("a=1; b=2", "b=3", "a=4"), "1|4|");
    assert_string_equal(VALUES("a=x=y"), "x=y|");
    assert_string_equal(VALUES("A=1; aa=2; a; a b=3; =4; ;;"), "");
    assert_string_equal(VALUES("a="), "|");
    assert_string_equal(VALUES(""), "");
    assert_string_equal(values((const char *const[]){ NULL }), "");
    weir_arena_deinit(&arena);
}

static void an_answer_s_own_cookie_is_seen(void **state) {
    struct weir_head res;

    (void)state;
    weir_arena_init(&arena, 4096);
    weir_head_init(&res, &arena);
    assert_int_equal(weir_head_add(&res, WEIR_SLICE("Set-Cookie"), WEIR_SLICE("b=a=1; a=2")), 0);
    assert_false(weir_cookie_is_set(&res, WEIR_SLICE("a")));
    assert_int_equal(weir_head_add(&res, WEIR_SLICE("set-cookie"), WEIR_SLICE("a=; Path=/")), 0);
    assert_true(weir_cookie_is_set(&res, WEIR_SLICE("a")));
    weir_head_drop(&res, WEIR_SLICE("set-cookie"));
    assert_false(weir_cookie_is_set(&res, WEIR_SLICE("a")));
    weir_arena_deinit(&arena);
}

static void the_path_is_what_the_match_fixes(void **state) {
    static const struct {
        enum weir_match_type type;
        const char *match, *path;
    } cases[] = {
        { WEIR_MATCH_PREFIX, "/", "/" },
        { WEIR_MATCH_PREFIX, "/a", "/a" },
        { WEIR_MATCH_PREFIX, "/a/", "/a" },
        { WEIR_MATCH_PREFIX, "/a/b.c+d", "/a/b.c+d" },
        { WEIR_MATCH_EXACT, "/a/b", "/a/b" },
        { WEIR_MATCH_EXACT, "/a/b;c/d", "/a" },
        { WEIR_MATCH_EXACT, "/a;c", "/" },
        { WEIR_MATCH_REGEX, "/p1/p2/.*/p3", "/p1/p2" },
        { WEIR_MATCH_REGEX, "/p1/p2[0-9]/p3", "/p1" },
        { WEIR_MATCH_REGEX, "/p1/p2", "/p1" },
        { WEIR_MATCH_REGEX, "/p1/?", "/p1" },
        { WEIR_MATCH_REGEX, "/a/b|/c", "/" },
        { WEIR_MATCH_REGEX, "/a/(b|c)", "/a" },
        { WEIR_MATCH_REGEX, "/v\\d/x", "/" },
        { WEIR_MATCH_REGEX, ".*", "/" },
        { WEIR_MATCH_REGEX, "", "/" },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        const struct weir_route_match match = { .path_type = cases[i].type,
                                                .path = cases[i].match };

        weir_assert_slice(weir_cookie_path(&match), cases[i].path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cookie_of_the_name_is_found_in_order),
        cmocka_unit_test(an_answer_s_own_cookie_is_seen),
        cmocka_unit_test(the_path_is_what_the_match_fixes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
