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

static void add(struct weir_head *h, const char *name, const char *value) {
    assert_int_equal(weir_head_add(h, weir_slice_from_str(name), weir_slice_from_str(value)), 0);
}

static const char *get(const struct weir_head *h, const char *name) {
    const struct weir_field *f = weir_head_find(h, weir_slice_from_str(name));

    return f ? weir_arena_dup(&arena, f->value).ptr : "(none)";
}

static const char *one(const char **list, const char *text) {
    list[0] = text;
    return text;
}

/* The answer to a preflight request from that origin. */
static struct weir_head preflight(const struct weir_cors *c, const char *origin,
                                  const char *headers) {
    struct weir_head req, res;

    head_request(&req, &arena, "OPTIONS", "h", "/");
    add(&req, "Origin", origin);
    assert_false(weir_cors_is_preflight(&req));
    add(&req, "Access-Control-Request-Method", "PUT");
    assert_true(weir_cors_is_preflight(&req));
    if (headers)
        add(&req, "Access-Control-Request-Headers", headers);
    weir_head_init(&res, &arena);
    assert_int_equal(weir_cors_preflight(c, &req, &res), 0);
    return res;
}

static const char *allowed(const char *pattern, const char *origin) {
    const char *origins[1];
    struct weir_cors c = { .origins = origins, .n_origins = 1, .max_age = 5 };
    struct weir_head res;

    one(origins, pattern);
    res = preflight(&c, origin, NULL);
    return get(&res, "access-control-allow-origin");
}

static void an_origin_is_compared_whole_and_a_star_is_one_host_or_more(void **state) {
    assert_string_equal(allowed("*", "http://x"), "*");
    assert_string_equal(allowed("*", "null"), "*");
    assert_string_equal(allowed("http://a.b", "http://a.b"), "http://a.b");
    assert_string_equal(allowed("http://a.b", "HTTP://A.b"), "HTTP://A.b");
    assert_string_equal(allowed("http://a.b", "https://a.b"), "(none)");
    assert_string_equal(allowed("http://a.b", "http://a.b:8080"), "(none)");
    assert_string_equal(allowed("http://a.b", "http://a.b.c"), "(none)");
    assert_string_equal(allowed("https://*.a.b", "https://x.a.b"), "https://x.a.b");
    assert_string_equal(allowed("https://*.a.b", "https://x.y.a.b"), "https://x.y.a.b");
    assert_string_equal(allowed("https://*.a.b", "https://a.b"), "(none)");
    assert_string_equal(allowed("https://*.a.b", "https://.a.b"), "(none)");
    assert_string_equal(allowed("https://*.a.b", "https://evil/x.a.b"), "(none)");
    assert_string_equal(allowed("https://*.a.b", "https://x.a.b.evil"), "(none)");
    assert_string_equal(allowed("https://*.a.b", "https://x.a.b:1"), "(none)");
    assert_string_equal(allowed("https://*", "https://x:1"), "(none)");
    assert_string_equal(allowed("https://*:1", "https://x:1"), "https://x:1");
    assert_string_equal(allowed("https://*", "https://x"), "https://x");
}

static void a_preflight_says_what_is_allowed(void **state) {
    const char *origins[] = { "http://x", "http://y" }, *methods[] = { "GET", "PUT" };
    const char *headers[] = { "x-a", "x-b" };
    struct weir_cors c = { .origins = origins,
                           .n_origins = 2,
                           .methods = methods,
                           .n_methods = 2,
                           .headers = headers,
                           .n_headers = 2,
                           .max_age = 60 };
    struct weir_head res = preflight(&c, "http://y", "x-c");

    assert_string_equal(get(&res, "access-control-allow-origin"), "http://y");
    assert_string_equal(get(&res, "access-control-allow-methods"), "GET, PUT");
    assert_string_equal(get(&res, "access-control-allow-headers"), "x-a, x-b");
    assert_string_equal(get(&res, "access-control-max-age"), "60");
    assert_string_equal(get(&res, "access-control-allow-credentials"), "(none)");
    assert_string_equal(get(&res, "vary"),
                        "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    res = preflight(&c, "http://z", "x-c");
    assert_string_equal(get(&res, "access-control-allow-origin"), "(none)");
    assert_string_equal(get(&res, "access-control-allow-methods"), "(none)");
    assert_string_equal(get(&res, "access-control-max-age"), "(none)");
}

static void with_credentials_a_star_becomes_what_was_asked_for(void **state) {
    const char *star[] = { "*" };
    struct weir_cors c = { .origins = star,
                           .n_origins = 1,
                           .methods = star,
                           .n_methods = 1,
                           .headers = star,
                           .n_headers = 1,
                           .expose = star,
                           .n_expose = 1,
                           .max_age = 5 };
    struct weir_head res = preflight(&c, "http://y", "x-c, x-d");

    assert_string_equal(get(&res, "access-control-allow-origin"), "*");
    assert_string_equal(get(&res, "access-control-allow-methods"), "*");
    assert_string_equal(get(&res, "access-control-allow-headers"), "*");
    c.credentials = true;
    res = preflight(&c, "http://y", "x-c, x-d");
    assert_string_equal(get(&res, "access-control-allow-origin"), "http://y");
    assert_string_equal(get(&res, "access-control-allow-credentials"), "true");
    assert_string_equal(get(&res, "access-control-allow-methods"), "PUT");
    assert_string_equal(get(&res, "access-control-allow-headers"), "x-c, x-d");
    res = preflight(&c, "http://y", NULL);
    assert_string_equal(get(&res, "access-control-allow-headers"), "(none)");
    weir_head_init(&res, &arena);
    add(&res, "X-One", "1");
    add(&res, "X-Two", "2");
    assert_int_equal(weir_cors_response(&c, WEIR_SLICE("http://y"), &res), 0);
    assert_string_equal(get(&res, "access-control-expose-headers"), "X-One, X-Two");
    assert_string_equal(get(&res, "vary"), "Origin");
}

static void an_answer_gets_the_fields_and_loses_the_backend_s(void **state) {
    const char *origins[] = { "http://y" }, *expose[] = { "x-a" }, *star[] = { "*" };
    struct weir_cors c = { .origins = origins, .n_origins = 1, .expose = expose, .n_expose = 1 };
    struct weir_head res;

    weir_head_init(&res, &arena);
    add(&res, "Access-Control-Allow-Origin", "*");
    assert_int_equal(weir_cors_response(&c, WEIR_SLICE("http://y"), &res), 0);
    assert_string_equal(get(&res, "access-control-allow-origin"), "http://y");
    assert_string_equal(get(&res, "access-control-expose-headers"), "x-a");
    weir_head_init(&res, &arena);
    add(&res, "Access-Control-Allow-Origin", "*");
    assert_int_equal(weir_cors_response(&c, WEIR_SLICE("http://z"), &res), 0);
    assert_string_equal(get(&res, "access-control-allow-origin"), "(none)");
    assert_string_equal(get(&res, "vary"), "Origin");
    weir_head_init(&res, &arena);
    c.origins = star;
    assert_int_equal(weir_cors_response(&c, WEIR_SLICE_NONE, &res), 0);
    assert_int_equal(res.n_fields, 0); /* not a cross-origin request, and no answer depends on it */
}

static void only_options_with_origin_and_method_is_a_preflight(void **state) {
    struct weir_head req;

    head_request(&req, &arena, "GET", "h", "/");
    add(&req, "origin", "http://a");
    add(&req, "access-control-request-method", "GET");
    assert_false(weir_cors_is_preflight(&req));
    head_request(&req, &arena, "OPTIONS", "h", "/");
    add(&req, "access-control-request-method", "GET");
    assert_false(weir_cors_is_preflight(&req));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_origin_is_compared_whole_and_a_star_is_one_host_or_more),
        cmocka_unit_test(a_preflight_says_what_is_allowed),
        cmocka_unit_test(with_credentials_a_star_becomes_what_was_asked_for),
        cmocka_unit_test(an_answer_gets_the_fields_and_loses_the_backend_s),
        cmocka_unit_test(only_options_with_origin_and_method_is_a_preflight),
    };
    arena_setup(NULL);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_teardown(NULL);
    return r;
}
