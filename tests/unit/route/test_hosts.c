/* SPDX-License-Identifier: Apache-2.0 */
#include "route/hosts.h"

#include "weir_test.h"

struct fixture {
    struct weir_arena arena;
    struct weir_hosts hosts;
};

static void begin(struct fixture *f) {
    weir_arena_init(&f->arena, 1024);
    weir_hosts_init(&f->hosts, &f->arena);
}

static void end(struct fixture *f) {
    weir_hosts_deinit(&f->hosts);
    weir_arena_deinit(&f->arena);
}

static void add(struct fixture *f, const char *host) {
    assert_int_equal(weir_hosts_add(&f->hosts, host, (void *)(uintptr_t)host, NULL), 0);
}

static void expect(struct fixture *f, const char *asked, const char *want) {
    const char *got = weir_hosts_find(&f->hosts, weir_slice_from_str(asked));

    if ((got == NULL) != (want == NULL) || (got && strcmp(got, want) != 0))
        fail_msg("%s: %s instead of %s", asked, got ? got : "nothing", want ? want : "nothing");
}

static void the_most_specific_name_is_found(void **state) {
    struct fixture f;

    begin(&f);
    add(&f, "*.example.com");
    add(&f, "a.example.com");
    add(&f, "*.b.example.com");
    add(&f, "example.com");
    expect(&f, "a.example.com", "a.example.com");
    expect(&f, "A.EXAMPLE.com", "a.example.com");
    expect(&f, "a.example.com.", "a.example.com");
    expect(&f, "c.example.com", "*.example.com");
    expect(&f, "b.example.com", "*.example.com");
    expect(&f, "x.y.b.example.com", "*.b.example.com");
    expect(&f, "example.com", "example.com");
    expect(&f, "notexample.com", NULL);
    expect(&f, "com", NULL);
    expect(&f, "", NULL);
    expect(&f, ".example.com", NULL);
    expect(&f, ".", NULL);
    add(&f, "");
    expect(&f, "com", "");
    expect(&f, "", "");
    end(&f);
}

static void a_name_is_held_once(void **state) {
    struct fixture f;
    void **held = NULL;

    begin(&f);
    add(&f, "*.a.test");
    assert_int_equal(weir_hosts_add(&f.hosts, "*.a.test", &f, &held), -EEXIST);
    assert_string_equal(*held, "*.a.test");
    *held = &f;
    assert_ptr_equal(weir_hosts_find(&f.hosts, WEIR_SLICE("x.a.test")), &f);
    end(&f);
}

static void what_two_names_both_cover(void **state) {
    static const char *const rows[][3] = {
        { "", "", "" },
        { "", "a.test", "a.test" },
        { "*.test", "a.test", "a.test" },
        { "*.test", "*.a.test", "*.a.test" },
        { "*.test", "*.test", "*.test" },
        { "a.test", "a.test", "a.test" },
        { "*.test", "test", NULL },
        { "a.test", "b.test", NULL },
        { "*.a.test", "*.b.test", NULL },
        { "*.a.test", "a.test", NULL },
        { "*.est", "a.test", NULL },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const char *one = weir_hosts_common(rows[i][0], rows[i][1]);
        const char *other = weir_hosts_common(rows[i][1], rows[i][0]);

        if (!rows[i][2]) {
            assert_null(one);
            assert_null(other);
            continue;
        }
        assert_string_equal(one, rows[i][2]);
        assert_string_equal(other, rows[i][2]);
    }
}

static void exact_names_rank_above_wildcards(void **state) {
    static const char *const order[] = { "", "*.a", "*.bbbbbb.ccccccc", "a", "bb" };

    for (size_t i = 1; i < WEIR_ARRAY_LEN(order); i++)
        assert_true(weir_hosts_rank(order[i]) > weir_hosts_rank(order[i - 1]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_specific_name_is_found),
        cmocka_unit_test(a_name_is_held_once),
        cmocka_unit_test(what_two_names_both_cover),
        cmocka_unit_test(exact_names_rank_above_wildcards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
