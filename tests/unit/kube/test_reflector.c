/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/reflector.h"

#include "kube_test.h"

#define SECOND 1000000ull

struct fixture {
    struct weir_kube_store store;
    struct weir_reflector r;
    uint64_t now;
    char path[WEIR_REFLECTOR_PATH];
};

static void begin(struct fixture *f, enum weir_kube_kind kind) {
    const struct weir_reflector_spec spec = {
        .kind = kind, .selector = "", .watch_s = 60, .random = 7
    };

    f->now = 1000 * SECOND;
    weir_kube_store_init(&f->store, kube_seed);
    assert_int_equal(weir_reflector_init(&f->r, &spec, &f->store), 0);
}

static int setup(void **state) {
    *state = calloc(1, sizeof(struct fixture));
    begin(*state, WEIR_KUBE_SERVICE);
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    weir_reflector_deinit(&f->r);
    weir_kube_store_deinit(&f->store);
    free(f);
    return 0;
}

/* Asks, as soon as it is due. */
static const char *ask(struct fixture *f) {
    if (f->now < f->r.due)
        f->now = f->r.due;
    assert_true(weir_reflector_next(&f->r, f->now, f->path));
    assert_false(weir_reflector_next(&f->r, f->now, f->path));
    return f->path;
}

static int body(struct fixture *f, const char *text) {
    return weir_reflector_body(&f->r, f->now, weir_slice_from_str(text));
}

static void answer(struct fixture *f, int status, const char *text) {
    weir_reflector_head(&f->r, f->now, status, 0);
    assert_int_equal(body(f, text), 0);
    weir_reflector_end(&f->r, f->now, NULL);
}

#define ITEM(name)                                                                                 \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"n\",\"resourceVersion\":\"1\"}}"
#define LIST(version, items)                                                                       \
    "{\"metadata\":{\"resourceVersion\":\"" version "\"},\"items\":[" items "]}"
#define PAGE(more, items)                                                                          \
    "{\"metadata\":{\"resourceVersion\":\"5\",\"continue\":\"" more "\"},\"items\":[" items "]}"

static uint32_t count(struct fixture *f) {
    return f->store.n[WEIR_KUBE_SERVICE];
}

static void listed(struct fixture *f) {
    (void)ask(f);
    answer(f, 200, LIST("10", ITEM("a")));
}

static void a_list_leads_to_a_watch_from_there(void **state) {
    struct fixture *f = *state;

    assert_string_equal(ask(f), "/api/v1/services?limit=250");
    assert_false(f->r.synced);
    answer(f, 200, LIST("10", ITEM("a") "," ITEM("b")));
    assert_true(f->r.synced);
    assert_int_equal(count(f), 2);
    assert_string_equal(
        ask(f),
        "/api/v1/services?watch=1&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds=60");
    weir_reflector_head(&f->r, f->now, 200, 0);
    assert_true(weir_reflector_current(&f->r));
    assert_int_equal(body(f, "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"c\","
                             "\"namespace\":\"n\",\"resourceVersion\":\"11\"}}}\n"),
                     0);
    assert_int_equal(body(f, "{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\","
                             "\"namespace\":\"n\",\"resourceVersion\":\"12\"}}}\n"),
                     0);
    assert_int_equal(count(f), 2);
    assert_int_equal(
        body(f, "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"40\"}}}\n"),
        0);
    f->now += 60 * SECOND;
    weir_reflector_end(&f->r, f->now, NULL);
    assert_int_equal(f->r.due, f->now);
    assert_non_null(strstr(ask(f), "resourceVersion=40&"));
}

static void pages_are_one_list(void **state) {
    struct fixture *f = *state;

    listed(f);
    f->r.state = WEIR_REFLECTOR_LIST;
    (void)ask(f);
    answer(f, 200, PAGE("a+b/c=", ITEM("x")));
    assert_int_equal(count(f), 2); /* nothing is swept yet */
    assert_string_equal(ask(f), "/api/v1/services?limit=250&continue=a%2Bb%2Fc%3D");
    /* A page that is cut is asked for again, not the one behind it. */
    weir_reflector_head(&f->r, f->now, 200, 0);
    assert_int_equal(
        body(f, "{\"metadata\":{\"resourceVersion\":\"5\",\"continue\":\"later\"},\"items\":["), 0);
    weir_reflector_end(&f->r, f->now, "cut");
    assert_string_equal(ask(f), "/api/v1/services?limit=250&continue=a%2Bb%2Fc%3D");
    answer(f, 200, LIST("6", ITEM("y")));
    assert_int_equal(count(f), 2); /* x and y; a is gone */
    assert_null(weir_kube_store_find(&f->store, WEIR_KUBE_SERVICE, "n", "a"));
}

static void a_token_that_went_stale_means_all_at_once(void **state) {
    struct fixture *f = *state;

    (void)ask(f);
    answer(f, 200, PAGE("t", ITEM("x")));
    (void)ask(f);
    answer(f, 410, "{\"message\":\"too old\"}");
    assert_int_equal(f->r.counts.expired, 1);
    assert_string_equal(ask(f), "/api/v1/services?resourceVersion=");
    answer(f, 200, LIST("9", ITEM("y")));
    assert_int_equal(count(f), 1);
}

static void gone_means_a_list_and_what_is_known_stays_until_it_is_there(void **state) {
    struct fixture *f = *state;

    listed(f);
    (void)ask(f);
    weir_reflector_head(&f->r, f->now, 200, 0);
    assert_int_not_equal(
        body(f, "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"message\":\"too old\"}}\n"), 0);
    weir_reflector_end(&f->r, f->now, "closed");
    assert_int_equal(count(f), 1);
    assert_true(f->r.synced);
    assert_int_equal(f->r.due, f->now);
    assert_string_equal(ask(f), "/api/v1/services?limit=250");
    answer(f, 200, LIST("20", ""));
    assert_int_equal(count(f), 0);
    /* Once more at once would be a loop: now it waits. */
    (void)ask(f);
    answer(f, 410, "{}");
    assert_true(f->r.due > f->now);
}

static void failures_wait_longer_and_longer_but_not_for_ever(void **state) {
    struct fixture *f = *state;
    uint64_t longest = 0;

    for (int i = 0; i < 20; i++) {
        uint64_t before;

        (void)ask(f);
        before = f->now;
        weir_reflector_end(&f->r, f->now, "nobody answers there");
        assert_true(f->r.due > before);
        assert_true(f->r.due - before <= 45 * SECOND);
        longest = f->r.due - before > longest ? f->r.due - before : longest;
    }
    assert_true(longest > 10 * SECOND);
    assert_string_equal(f->r.why, "nobody answers there");
    listed(f);
    assert_true(f->r.synced);
}

static void retry_after_is_heeded(void **state) {
    struct fixture *f = *state;

    (void)ask(f);
    weir_reflector_head(&f->r, f->now, 429, 20);
    assert_int_equal(body(f, "{\"kind\":\"Status\",\"message\":\"slow down\"}"), 0);
    weir_reflector_end(&f->r, f->now, NULL);
    assert_true(f->r.due >= f->now + 20 * SECOND);
    assert_string_equal(f->r.why, "slow down");
    (void)ask(f);
    weir_reflector_head(&f->r, f->now, 503, UINT32_MAX);
    weir_reflector_end(&f->r, f->now, NULL);
    assert_true(f->r.due <= f->now + 302 * SECOND);
}

static void a_401_asks_for_new_credentials(void **state) {
    struct fixture *f = *state;

    (void)ask(f);
    answer(f, 401, "not even JSON");
    assert_true(f->r.unauthorised);
    assert_false(f->r.synced);
}

static void a_kind_that_is_not_there_is_empty_and_looked_for(void **state) {
    struct fixture *f = *state;

    teardown(state);
    f = *state = calloc(1, sizeof(*f));
    begin(f, WEIR_KUBE_HTTP_ROUTE);
    (void)ask(f);
    answer(f, 404, "404 page not found\n");
    assert_true(f->r.absent && f->r.synced && weir_reflector_current(&f->r));
    assert_true(f->r.due > f->now + 5 * SECOND);
    (void)ask(f);
    answer(f, 200, LIST("3", ""));
    assert_false(f->r.absent);
}

static void a_kind_of_kubernetes_itself_is_not_taken_to_be_absent(void **state) {
    struct fixture *f = *state;

    (void)ask(f);
    answer(f, 403, "{\"message\":\"services is forbidden\"}");
    assert_false(f->r.absent);
    assert_false(f->r.synced);
    assert_string_equal(f->r.why, "services is forbidden");
}

static void an_object_that_makes_no_sense_is_left_out_alone(void **state) {
    struct fixture *f = *state;

    (void)ask(f);
    answer(f, 200, LIST("3", "{\"metadata\":{}}," ITEM("a") ",{\"x\":00},[1]"));
    assert_int_equal(count(f), 1);
    assert_int_equal(f->r.counts.refused, 3);
    assert_true(f->r.synced);
}

static void a_list_that_is_no_list_sweeps_nothing(void **state) {
    static const char *const bad[] = { "", "{", "{\"items\":[]}",
                                       "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" };
    struct fixture *f = *state;

    listed(f);
    f->r.version[0] = '\0';
    f->r.state = WEIR_REFLECTOR_LIST;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        f->r.version[0] = '\0';
        (void)ask(f);
        answer(f, 200, bad[i]);
        assert_int_equal(count(f), 1);
        assert_int_equal(f->r.state, WEIR_REFLECTOR_LIST);
    }
}

static void silence_has_a_deadline(void **state) {
    struct fixture *f = *state;

    (void)ask(f);
    assert_true(f->r.deadline > f->now && f->r.deadline <= f->now + 60 * SECOND);
    answer(f, 200, LIST("10", ""));
    (void)ask(f);
    weir_reflector_head(&f->r, f->now, 200, 0);
    assert_int_equal(f->r.deadline, f->now + 70 * SECOND);
    weir_reflector_end(&f->r, f->now + 70 * SECOND, "no answer in time");
    assert_false(weir_reflector_current(&f->r));
}

static void watches_that_end_at_once_are_no_hot_loop(void **state) {
    struct fixture *f = *state;

    listed(f);
    (void)ask(f);
    weir_reflector_head(&f->r, f->now, 200, 0);
    weir_reflector_end(&f->r, f->now, NULL);
    assert_true(f->r.due > f->now);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_list_leads_to_a_watch_from_there),
        TEST(pages_are_one_list),
        TEST(a_token_that_went_stale_means_all_at_once),
        TEST(gone_means_a_list_and_what_is_known_stays_until_it_is_there),
        TEST(failures_wait_longer_and_longer_but_not_for_ever),
        TEST(retry_after_is_heeded),
        TEST(a_401_asks_for_new_credentials),
        TEST(a_kind_that_is_not_there_is_empty_and_looked_for),
        TEST(a_kind_of_kubernetes_itself_is_not_taken_to_be_absent),
        TEST(an_object_that_makes_no_sense_is_left_out_alone),
        TEST(a_list_that_is_no_list_sweeps_nothing),
        TEST(silence_has_a_deadline),
        TEST(watches_that_end_at_once_are_no_hot_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
