/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"

static struct weir_arena arena;

static int arena_setup(void **state) {
    weir_arena_init(&arena, 1024);
    return 0;
}

static int arena_teardown(void **state) {
    weir_arena_deinit(&arena);
    return 0;
}

/* Field lines that writers would send, as "name=value;name=value;". */
static const char *lines(const struct weir_head *head) {
    char *text = weir_arena_calloc(&arena, 1, 1024);
    size_t n = 0;

    for (uint16_t i = 0; i < head->n_fields; i++)
        if (!head->fields[i].dropped)
            n += (size_t)snprintf(text + n, 1024 - n, "%.*s=%.*s;",
                                  WEIR_SLICE_ARG(head->fields[i].name),
                                  WEIR_SLICE_ARG(head->fields[i].value));
    return text;
}

static void head_with(struct weir_head *head, const char *name, const char *value) {
    assert_int_equal(weir_head_add(head, weir_slice_from_str(name), weir_slice_from_str(value)), 0);
}

static void set_replaces_add_appends_and_remove_removes(void **state) {
    struct weir_kv set[] = { { "x-one", "1" }, { "X-New", "n" } };
    struct weir_kv add[] = { { "x-two", "22" } };
    const char *remove[] = { "X-Three", "x-absent" };
    struct weir_filter filter = { .type = WEIR_FILTER_REQUEST_HEADERS,
                                  .headers = { set, add, remove, 2, 1, 2 } };
    struct weir_route_rule rule = { .filters = &filter, .n_filters = 1 };
    struct weir_head head;

    head_request(&head, &arena, "GET", "a", "/");
    head_with(&head, "X-One", "a");
    head_with(&head, "x-one", "b");
    head_with(&head, "x-two", "2");
    head_with(&head, "x-three", "3");
    assert_int_equal(
        weir_route_modify(rule.filters, rule.n_filters, WEIR_FILTER_REQUEST_HEADERS, &head), 0);
    assert_string_equal(lines(&head), "x-two=2;x-one=1;X-New=n;x-two=22;");
}

static void a_filter_of_the_other_kind_does_nothing(void **state) {
    struct weir_kv set[] = { { "x-one", "1" } };
    struct weir_filter filter = { .type = WEIR_FILTER_RESPONSE_HEADERS,
                                  .headers = { .set = set, .n_set = 1 } };
    struct weir_route_rule rule = { .filters = &filter, .n_filters = 1 };
    struct weir_head head;

    head_request(&head, &arena, "GET", "a", "/");
    assert_int_equal(
        weir_route_modify(rule.filters, rule.n_filters, WEIR_FILTER_REQUEST_HEADERS, &head), 0);
    assert_string_equal(lines(&head), "");
    assert_int_equal(
        weir_route_modify(rule.filters, rule.n_filters, WEIR_FILTER_RESPONSE_HEADERS, &head), 0);
    assert_string_equal(lines(&head), "x-one=1;");
}

static void framing_hop_by_hop_host_and_identity_stay_untouched(void **state) {
    static const char *const names[] = { "Host",
                                         "connection",
                                         "Content-Length",
                                         "transfer-encoding",
                                         "te",
                                         "trailer",
                                         "upgrade",
                                         "keep-alive",
                                         "proxy-connection",
                                         "http2-settings",
                                         "expect",
                                         "x-forwarded-client-cert",
                                         ":path",
                                         "",
                                         "a b",
                                         "a:b",
                                         "a\r\nb" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        struct weir_kv kv[] = { { names[i], "evil" } };
        const char *remove[] = { names[i] };
        struct weir_filter filter = { .type = WEIR_FILTER_REQUEST_HEADERS,
                                      .headers = { kv, kv, remove, 1, 1, 1 } };
        struct weir_route_rule rule = { .filters = &filter, .n_filters = 1 };
        struct weir_head head;
        const char *before;

        head_request(&head, &arena, "GET", "a", "/");
        head_with(&head, names[i], "kept");
        before = lines(&head);
        assert_int_equal(
            weir_route_modify(rule.filters, rule.n_filters, WEIR_FILTER_REQUEST_HEADERS, &head), 0);
        assert_string_equal(lines(&head), before);
    }
}

static void a_value_that_would_split_the_message_is_ignored(void **state) {
    struct weir_kv set[] = { { "x-a", "1\r\nx-b: 2" }, { "x-c", "tab\tis fine" } };
    struct weir_filter filter = { .type = WEIR_FILTER_REQUEST_HEADERS,
                                  .headers = { .set = set, .n_set = 2 } };
    struct weir_route_rule rule = { .filters = &filter, .n_filters = 1 };
    struct weir_head head;

    head_request(&head, &arena, "GET", "a", "/");
    assert_int_equal(
        weir_route_modify(rule.filters, rule.n_filters, WEIR_FILTER_REQUEST_HEADERS, &head), 0);
    assert_string_equal(lines(&head), "x-c=tab\tis fine;");
}

static int filter_one(void *arg) {
    struct weir_kv set[] = { { "x-a", "1" } };
    struct weir_filter filter = { .type = WEIR_FILTER_REQUEST_HEADERS,
                                  .headers = { .set = set, .n_set = 1 } };
    struct weir_route_rule rule = { .filters = &filter, .n_filters = 1 };
    struct weir_arena own;
    struct weir_head head;
    int r;

    weir_arena_init(&own, 1024);
    head_request(&head, &own, "GET", "a", "/");
    r = weir_route_modify(rule.filters, rule.n_filters, WEIR_FILTER_REQUEST_HEADERS, &head);
    weir_arena_deinit(&own);
    return r;
}

static void survives_every_failing_allocation(void **state) {
    assert_int_not_equal(weir_test_sweep(filter_one, NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_replaces_add_appends_and_remove_removes),
        cmocka_unit_test(a_filter_of_the_other_kind_does_nothing),
        cmocka_unit_test(framing_hop_by_hop_host_and_identity_stay_untouched),
        cmocka_unit_test(a_value_that_would_split_the_message_is_ignored),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
