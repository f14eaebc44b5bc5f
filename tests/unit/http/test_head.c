/* SPDX-License-Identifier: Apache-2.0 */
#include "http/head.h"

#include "weir_test.h"

static void arena_setup(struct weir_arena *arena, struct weir_head *head) {
    weir_arena_init(arena, 1024);
    weir_head_init(head, arena);
}

static void a_fresh_head_is_empty_and_has_no_length(void **state) {
    struct weir_arena arena;
    struct weir_head head;
    arena_setup(&arena, &head);
    assert_int_equal(head.n_fields, 0);
    assert_true(head.content_length == UINT64_MAX);
    assert_ptr_equal(head.arena, &arena);
    assert_null(weir_head_find(&head, WEIR_SLICE("a")));
    weir_arena_deinit(&arena);
}

static void fields_keep_their_order_and_spelling_beyond_the_first_allocation(void **state) {
    struct weir_arena arena;
    struct weir_head head;
    arena_setup(&arena, &head);
    static const char names[] = "X-aX-bX-cX-dX-eX-fX-gX-hX-iX-j";
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(weir_head_add(&head, weir_slice_make(names + i % 10 * 3, 3),
                                       weir_slice_make(&"0123456789"[i % 10], 1)),
                         0);
    assert_int_equal(head.n_fields, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_memory_equal(head.fields[i].name.ptr, names + i % 10 * 3, 3);
        assert_int_equal(head.fields[i].value.ptr[0], '0' + (int)(i % 10));
    }
    weir_arena_deinit(&arena);
}

static void names_are_found_in_any_case(void **state) {
    struct weir_arena arena;
    struct weir_head head;
    arena_setup(&arena, &head);
    weir_head_add(&head, WEIR_SLICE("X-One"), WEIR_SLICE("1"));
    weir_head_add(&head, WEIR_SLICE("x-one"), WEIR_SLICE("2"));
    weir_assert_slice(weir_head_find(&head, WEIR_SLICE("X-ONE"))->value, "1");
    assert_null(weir_head_find(&head, WEIR_SLICE("x-on")));
    weir_arena_deinit(&arena);
}

static void dropping_takes_every_field_of_the_name_once(void **state) {
    struct weir_arena arena;
    struct weir_head head;
    arena_setup(&arena, &head);
    weir_head_add(&head, WEIR_SLICE("Cookie"), WEIR_SLICE("1"));
    weir_head_add(&head, WEIR_SLICE("a"), WEIR_SLICE("2"));
    weir_head_add(&head, WEIR_SLICE("COOKIE"), WEIR_SLICE("3"));
    assert_int_equal(weir_head_drop(&head, WEIR_SLICE("cookie")), 2);
    assert_int_equal(weir_head_drop(&head, WEIR_SLICE("cookie")), 0);
    assert_null(weir_head_find(&head, WEIR_SLICE("cookie")));
    assert_null(weir_head_find_id(&head, WEIR_FIELD_COOKIE));
    assert_non_null(weir_head_find(&head, WEIR_SLICE("a")));
    weir_arena_deinit(&arena);
}

static void setting_leaves_one_field_at_the_end(void **state) {
    struct weir_arena arena;
    struct weir_head head;
    arena_setup(&arena, &head);
    weir_head_add(&head, WEIR_SLICE("a"), WEIR_SLICE("1"));
    weir_head_add(&head, WEIR_SLICE("A"), WEIR_SLICE("2"));
    assert_int_equal(weir_head_set(&head, WEIR_SLICE("a"), WEIR_SLICE("3")), 0);
    weir_assert_slice(weir_head_find(&head, WEIR_SLICE("a"))->value, "3");
    assert_int_equal(weir_head_drop(&head, WEIR_SLICE("a")), 1);
    weir_arena_deinit(&arena);
}

static void path_and_query_split_at_the_first_question_mark(void **state) {
    struct weir_head head;
    weir_head_init(&head, NULL);
    head.target = WEIR_SLICE("/a/b?c=d?e");
    weir_assert_slice(weir_head_path(&head), "/a/b");
    weir_assert_slice(weir_head_query(&head), "c=d?e");
    head.target = WEIR_SLICE("/a");
    weir_assert_slice(weir_head_path(&head), "/a");
    assert_null(weir_head_query(&head).ptr);
    head.target = WEIR_SLICE("/a?");
    assert_non_null(weir_head_query(&head).ptr);
    assert_int_equal(weir_head_query(&head).len, 0);
}

static void every_known_field_name_has_its_id_in_any_case(void **state) {
    static const struct {
        const char *name;
        enum weir_field_id id;
    } rows[] = {
        { "Host", WEIR_FIELD_HOST },
        { "Connection", WEIR_FIELD_CONNECTION },
        { "Content-Length", WEIR_FIELD_CONTENT_LENGTH },
        { "Transfer-Encoding", WEIR_FIELD_TRANSFER_ENCODING },
        { "TE", WEIR_FIELD_TE },
        { "Trailer", WEIR_FIELD_TRAILER },
        { "Upgrade", WEIR_FIELD_UPGRADE },
        { "Keep-Alive", WEIR_FIELD_KEEP_ALIVE },
        { "Proxy-Connection", WEIR_FIELD_PROXY_CONNECTION },
        { "HTTP2-Settings", WEIR_FIELD_HTTP2_SETTINGS },
        { "Expect", WEIR_FIELD_EXPECT },
        { "Cookie", WEIR_FIELD_COOKIE },
        { "Date", WEIR_FIELD_DATE },
        { "Server", WEIR_FIELD_SERVER },
        { "User-Agent", WEIR_FIELD_USER_AGENT },
        { "X-Forwarded-For", WEIR_FIELD_X_FORWARDED_FOR },
        { "X-Forwarded-Proto", WEIR_FIELD_X_FORWARDED_PROTO },
        { "X-Forwarded-Host", WEIR_FIELD_X_FORWARDED_HOST },
        { "X-Forwarded-Client-Cert", WEIR_FIELD_X_FORWARDED_CLIENT_CERT },
        { "Forwarded", WEIR_FIELD_FORWARDED },
        { "X-Request-Id", WEIR_FIELD_X_REQUEST_ID },
        { "Traceparent", WEIR_FIELD_TRACEPARENT },
        { "Authorization", WEIR_FIELD_AUTHORIZATION },
        { "Content-Type", WEIR_FIELD_CONTENT_TYPE },
        { "X-Weir-H1", WEIR_FIELD_X_WEIR_H1 },
    };
    assert_int_equal(WEIR_ARRAY_LEN(rows), WEIR_FIELD_IDS - 1);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char other[32];
        size_t len = strlen(rows[i].name);
        assert_int_equal(weir_field_id(weir_slice_from_str(rows[i].name)), rows[i].id);
        for (int upper = 0; upper < 2; upper++) {
            for (size_t k = 0; k < len; k++) {
                char c = rows[i].name[k];
                bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
                other[k] = !letter ? c : upper ? (char)(c & ~0x20) : (char)(c | 0x20);
            }
            assert_int_equal(weir_field_id(weir_slice_make(other, len)), rows[i].id);
            if (!upper)
                assert_true(
                    weir_slice_eq(weir_field_name(rows[i].id), weir_slice_make(other, len)));
        }
        other[0] = '!';
        assert_int_equal(weir_field_id(weir_slice_make(other, len)), WEIR_FIELD_OTHER);
        assert_int_equal(weir_field_id(weir_slice_make(rows[i].name, len - 1)), WEIR_FIELD_OTHER);
    }
    assert_int_equal(weir_field_id(WEIR_SLICE("Content_Length")), WEIR_FIELD_OTHER);
    assert_int_equal(weir_field_id(WEIR_SLICE_NONE), WEIR_FIELD_OTHER);
    assert_int_equal(weir_field_name(WEIR_FIELD_OTHER).len, 0);
}

static void methods_are_case_sensitive(void **state) {
    assert_int_equal(weir_method_id(WEIR_SLICE("GET")), WEIR_METHOD_GET);
    assert_int_equal(weir_method_id(WEIR_SLICE("HEAD")), WEIR_METHOD_HEAD);
    assert_int_equal(weir_method_id(WEIR_SLICE("POST")), WEIR_METHOD_POST);
    assert_int_equal(weir_method_id(WEIR_SLICE("PUT")), WEIR_METHOD_PUT);
    assert_int_equal(weir_method_id(WEIR_SLICE("DELETE")), WEIR_METHOD_DELETE);
    assert_int_equal(weir_method_id(WEIR_SLICE("CONNECT")), WEIR_METHOD_CONNECT);
    assert_int_equal(weir_method_id(WEIR_SLICE("OPTIONS")), WEIR_METHOD_OPTIONS);
    assert_int_equal(weir_method_id(WEIR_SLICE("TRACE")), WEIR_METHOD_TRACE);
    assert_int_equal(weir_method_id(WEIR_SLICE("PATCH")), WEIR_METHOD_PATCH);
    assert_int_equal(weir_method_id(WEIR_SLICE("get")), WEIR_METHOD_OTHER);
    assert_int_equal(weir_method_id(WEIR_SLICE("GE")), WEIR_METHOD_OTHER);
    assert_int_equal(weir_method_id(WEIR_SLICE("PROPFIND")), WEIR_METHOD_OTHER);
}

static int add_and_set_many(void *arg) {
    struct weir_arena arena;
    struct weir_head head;
    arena_setup(&arena, &head);
    int r = 0;
    for (unsigned i = 0; i < 60 && r == 0; i++)
        r = weir_head_add(&head, WEIR_SLICE("name"), WEIR_SLICE("value"));
    if (r == 0)
        r = weir_head_set(&head, WEIR_SLICE("name"), WEIR_SLICE("other"));
    weir_arena_deinit(&arena);
    return r;
}

static void a_failed_allocation_is_reported(void **state) {
    assert_true(weir_test_sweep(add_and_set_many, NULL, 0) >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_head_is_empty_and_has_no_length),
        cmocka_unit_test(fields_keep_their_order_and_spelling_beyond_the_first_allocation),
        cmocka_unit_test(names_are_found_in_any_case),
        cmocka_unit_test(dropping_takes_every_field_of_the_name_once),
        cmocka_unit_test(setting_leaves_one_field_at_the_end),
        cmocka_unit_test(path_and_query_split_at_the_first_question_mark),
        cmocka_unit_test(every_known_field_name_has_its_id_in_any_case),
        cmocka_unit_test(methods_are_case_sensitive),
        cmocka_unit_test(a_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
