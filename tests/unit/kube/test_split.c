/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/split.h"

#include "weir_test.h"

struct seen {
    char text[512];
    int answer;
};

static int note(void *arg, const char *key, struct weir_slice value) {
    struct seen *s = arg;
    size_t n = strlen(s->text);

    snprintf(s->text + n, sizeof(s->text) - n, "%s=%.*s;", key, WEIR_SLICE_ARG(value));
    return s->answer;
}

/* Fed whole, byte by byte, and cut everywhere: the same values each time. */
static void check(bool stream, const char *text, const char *values, bool whole) {
    size_t n = strlen(text);

    for (size_t cut = 0; cut <= n + 1; cut++) {
        struct weir_kube_split s;
        struct seen seen = { 0 };

        weir_kube_split_init(&s, stream, note, &seen);
        if (cut <= n) {
            assert_int_equal(weir_kube_split_feed(&s, weir_slice_make(text, cut)), 0);
            assert_int_equal(weir_kube_split_feed(&s, weir_slice_make(text + cut, n - cut)), 0);
        } else {
            for (size_t i = 0; i < n; i++)
                assert_int_equal(weir_kube_split_feed(&s, weir_slice_make(text + i, 1)), 0);
        }
        assert_string_equal(seen.text, values);
        assert_int_equal(weir_kube_split_whole(&s), whole);
        weir_kube_split_deinit(&s);
    }
}

static void a_list_gives_its_elements_and_members(void **state) {
    check(false,
          "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{\"a\":1},{\"b\":"
          "[2]}]}",
          "kind=\"List\";metadata={\"resourceVersion\":\"7\"};items={\"a\":1};items={\"b\":[2]};",
          true);
    check(false, " { \"items\" : [ ] , \"n\" : 12 , \"t\":true}\n", "n=12;t=true;", true);
    check(false, "{\"items\":null}", "items=null;", true);
    check(false, "{}", "", true);
}

static void brackets_and_quotes_in_texts_are_text(void **state) {
    check(false, "{\"items\":[{\"a\":\"]}{[\\\"\\\\\"},{\"b\":\"x\"}]}",
          "items={\"a\":\"]}{[\\\"\\\\\"};items={\"b\":\"x\"};", true);
}

static void a_stream_gives_its_documents(void **state) {
    check(true, "{\"type\":\"A\"}\n{\"type\":\"B\",\"items\":[1]}\n",
          "={\"type\":\"A\"};={\"type\":\"B\",\"items\":[1]};", true);
    check(true, "{\"type\":\"A\"}{\"ty", "={\"type\":\"A\"};", false);
}

static void what_is_cut_is_not_whole(void **state) {
    check(false, "{\"items\":[{\"a\":1},{\"b\"", "items={\"a\":1};", false);
    check(false, "{\"items\":[{\"a\":1}]", "items={\"a\":1};", false);
    check(false, "", "", false);
}

static void what_is_no_list_is_refused(void **state) {
    static const char *const bad[] = {
        "[]",  "{,",        "{\"a\" 1}", "{\"a\":1]", "{\"items\":[1}",
        "{}{", "{\"a\":,}", "x",         "{1:2}",     "{\"items\":[],]"
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct weir_kube_split s;
        struct seen seen = { 0 };

        weir_kube_split_init(&s, false, note, &seen);
        assert_int_equal(weir_kube_split_feed(&s, weir_slice_from_str(bad[i])), -EBADMSG);
        weir_kube_split_deinit(&s);
    }
}

static void a_value_has_a_bound(void **state) {
    static char some[65536];
    struct weir_kube_split s;
    struct seen seen = { 0 };
    size_t fed = 0;
    int r = 0;

    memset(some, 'x', sizeof(some));
    weir_kube_split_init(&s, true, note, &seen);
    assert_int_equal(weir_kube_split_feed(&s, WEIR_SLICE("{\"a\":\"")), 0);
    for (; r == 0; fed += sizeof(some))
        r = weir_kube_split_feed(&s, weir_slice_make(some, sizeof(some)));
    assert_int_equal(r, -EFBIG);
    assert_true(fed <= WEIR_KUBE_VALUE_MAX + sizeof(some));
    weir_kube_split_deinit(&s);
}

static void the_owner_may_end_it(void **state) {
    struct weir_kube_split s;
    struct seen seen = { .answer = -EPERM };

    weir_kube_split_init(&s, true, note, &seen);
    assert_int_equal(weir_kube_split_feed(&s, WEIR_SLICE("{}{}")), -EPERM);
    assert_string_equal(seen.text, "={};");
    weir_kube_split_deinit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_gives_its_elements_and_members),
        cmocka_unit_test(brackets_and_quotes_in_texts_are_text),
        cmocka_unit_test(a_stream_gives_its_documents),
        cmocka_unit_test(what_is_cut_is_not_whole),
        cmocka_unit_test(what_is_no_list_is_refused),
        cmocka_unit_test(a_value_has_a_bound),
        cmocka_unit_test(the_owner_may_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
