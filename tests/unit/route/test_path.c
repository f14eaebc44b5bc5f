/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"

/* NULL = refused. */
static const struct {
    const char *in, *out;
} table[] = {
    { "/", "/" },
    { "*", "*" },
    { "/a/b", "/a/b" },
    { "/a/b/", "/a/b/" },
    { "//", "/" },
    { "//a", "/a" },
    { "/a//b", "/a/b" },
    { "/a///", "/a/" },
    { "/.", "/" },
    { "/./", "/" },
    { "/./a", "/a" },
    { "/a/.", "/a/" },
    { "/a/./b", "/a/b" },
    { "/a/..", "/" },
    { "/a/../", "/" },
    { "/a/../b", "/b" },
    { "/a/b/..", "/a/" },
    { "/a/b/../c", "/a/c" },
    { "/a/b/../../c", "/c" },
    { "/a//../b", "/b" },
    { "/a/.b", "/a/.b" },
    { "/a/..b", "/a/..b" },
    { "/a/b..", "/a/b.." },
    { "/...", "/..." },
    { "/.../a", "/.../a" },
    { "/a/%2e%2e/b", "/b" },
    { "/a/%2E./b", "/b" },
    { "/a/.%2e", "/" },
    { "/%61%62c", "/abc" },
    { "/%7euser", "/~user" },
    { "/%41-%5A", "/A-Z" },
    { "/a%20b", "/a%20b" },
    { "/caf%c3%a9", "/caf%C3%A9" },
    { "/a%3bb", "/a%3Bb" },
    { "/a%252e%252e", "/a%252e%252e" },
    { "/a%252fb", "/a%252fb" },
    { "/a;x=1/b", "/a;x=1/b" },
    { "/Admin", "/Admin" },
    { "/..", NULL },
    { "/../a", NULL },
    { "/a/../..", NULL },
    { "/a/../../b", NULL },
    { "/%2e%2e/a", NULL },
    { "/a%2fb", NULL },
    { "/a%2Fb", NULL },
    { "/a%5cb", NULL },
    { "/a%5Cb", NULL },
    { "/a%00", NULL },
    { "/a\\b", NULL },
    { "/..\\..", NULL },
    { "/a/..;/b", NULL },
    { "/a/.;x/b", NULL },
    { "/a/..;", NULL },
    { "/a/%2e%2e;/b", NULL },
    { "/a/..%3bx/b", NULL },
    { "/a/.%3B", NULL },
    { "/a/x%3b../b", "/a/x%3B../b" },
    { "/%", NULL },
    { "/%4", NULL },
    { "/%zz", NULL },
    { "/%4g", NULL },
    { "/a%", NULL },
    { "", NULL },
    { "a", NULL },
    { "http://a/b", NULL },
    { "**", NULL },
};

static void reads_every_spelling_as_the_table_says(void **state) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(table); i++) {
        struct weir_slice in = weir_slice_from_str(table[i].in), out = WEIR_SLICE_NONE;
        struct weir_arena arena;
        int r;

        weir_arena_init(&arena, 256);
        r = weir_path_normalize(&arena, in, &out);
        if (r != (table[i].out ? 0 : 1))
            fail_msg("%s: %d", table[i].in, r);
        if (r == 0) {
            weir_assert_slice(out, table[i].out);
            if (strcmp(table[i].in, table[i].out) == 0)
                assert_ptr_equal(out.ptr, in.ptr);
        } else {
            assert_null(out.ptr);
        }
        weir_arena_deinit(&arena);
    }
}

static void what_came_out_goes_in_unchanged(void **state) {
    static const char alphabet[] = "/./../a%2e%25;B~";
    uint64_t seed = 42;

    for (int i = 0; i < 20000; i++) {
        char text[24] = "/";
        size_t len = 1 + rnd_below(&seed, 22);
        struct weir_slice once, twice;
        struct weir_arena arena;

        for (size_t k = 1; k < len; k++)
            text[k] = alphabet[rnd_below(&seed, sizeof(alphabet) - 1)];
        weir_arena_init(&arena, 256);
        if (weir_path_normalize(&arena, weir_slice_make(text, len), &once) == 0) {
            assert_int_equal(weir_path_normalize(&arena, once, &twice), 0);
            if (!weir_slice_eq(once, twice))
                fail_msg("%.*s -> %.*s -> %.*s", (int)len, text, WEIR_SLICE_ARG(once),
                         WEIR_SLICE_ARG(twice));
            assert_true(once.len <= len);
        }
        weir_arena_deinit(&arena);
    }
}

static void a_nul_byte_is_refused(void **state) {
    struct weir_arena arena;
    struct weir_slice out;

    weir_arena_init(&arena, 256);
    assert_int_equal(weir_path_normalize(&arena, weir_slice_make("/a\0b", 4), &out), 1);
    weir_arena_deinit(&arena);
}

static int normalize_one(void *arg) {
    struct weir_arena arena;
    struct weir_slice out;
    int r;

    weir_arena_init(&arena, 256);
    r = weir_path_normalize(&arena, WEIR_SLICE("/a/../b"), &out);
    weir_arena_deinit(&arena);
    return r;
}

static void survives_every_failing_allocation(void **state) {
    assert_int_not_equal(weir_test_sweep(normalize_one, NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_spelling_as_the_table_says),
        cmocka_unit_test(what_came_out_goes_in_unchanged),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
