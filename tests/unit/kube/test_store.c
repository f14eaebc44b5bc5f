/* SPDX-License-Identifier: Apache-2.0 */
#include "kube_test.h"

static unsigned n_changed;

static void changed(void *arg, const struct weir_kube_object *was, struct weir_kube_object *now) {
    n_changed++;
    assert_true(was || now);
}

static struct weir_kube_store store;

static int setup(void **state) {
    weir_kube_store_init(&store, kube_seed);
    store.changed = changed;
    n_changed = 0;
    return 0;
}

static int teardown(void **state) {
    weir_kube_store_deinit(&store);
    return 0;
}

#define POD(name, version)                                                                         \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"n\",\"resourceVersion\":\"" version      \
    "\",\"labels\":{\"v\":\"" version "\"}}}"

static const char *label(const char *name) {
    const struct weir_kube_object *o = weir_kube_store_find(&store, WEIR_KUBE_POD, "n", name);
    const char *at = o ? strstr(o->text, "\"v\":\"") : NULL;

    return at ? at + 5 : "";
}

static void the_same_again_is_no_change(void **state) {
    const struct weir_kube_put how = { .kind = WEIR_KUBE_POD };

    assert_int_equal(kube_put(&store, how, POD("a", "5")), 0);
    assert_int_equal(kube_put(&store, how, POD("a", "5")), 0);
    assert_int_equal(n_changed, 1);
    assert_int_equal(store.n[WEIR_KUBE_POD], 1);
}

static void old_news_of_a_watch_are_left_out_but_a_list_is_the_truth(void **state) {
    struct weir_kube_put how = { .kind = WEIR_KUBE_POD };

    assert_int_equal(kube_put(&store, how, POD("a", "7")), 0);
    assert_int_equal(kube_put(&store, how, POD("a", "6")), 0);
    assert_int_equal(label("a")[0], '7');
    how.listed = true;
    assert_int_equal(kube_put(&store, how, POD("a", "6")), 0);
    assert_int_equal(label("a")[0], '6');
}

static void a_list_sweeps_what_it_does_not_name_and_only_its_own(void **state) {
    struct weir_kube_put how = { .kind = WEIR_KUBE_POD, .seen = 1 },
                         other = { .kind = WEIR_KUBE_POD, .source = 1, .seen = 9 };

    assert_int_equal(kube_put(&store, how, POD("a", "1")), 0);
    assert_int_equal(kube_put(&store, how, POD("b", "2")), 0);
    assert_int_equal(kube_put(&store, other, POD("c", "3")), 0);
    how.seen = 2;
    assert_int_equal(kube_put(&store, how, POD("b", "2")), 0);
    weir_kube_store_sweep(&store, &how);
    assert_string_equal(label("a"), "");
    assert_int_equal(label("b")[0], '2');
    assert_int_equal(label("c")[0], '3');
    assert_int_equal(n_changed, 4);
}

static void who_has_taken_an_object_over_keeps_it(void **state) {
    const struct weir_kube_put how = { .kind = WEIR_KUBE_POD },
                               other = { .kind = WEIR_KUBE_POD, .source = 1 };
    json_t *object = json_loads(POD("a", "9"), 0, NULL);

    assert_int_equal(kube_put(&store, how, POD("a", "7")), 0);
    assert_int_equal(kube_put(&store, other, POD("a", "8")), 0);
    weir_kube_store_delete(&store, &how, object);
    assert_int_equal(label("a")[0], '8');
    weir_kube_store_delete(&store, &other, object);
    assert_string_equal(label("a"), "");
    assert_int_equal(store.bytes, 0);
    json_decref(object);
}

static void what_was_refused_stays_so_until_it_changes(void **state) {
    const struct weir_kube_put how = { .kind = WEIR_KUBE_HTTP_ROUTE };
    struct weir_kube_object *o;

#define ROUTE(spec, status)                                                                        \
    "{\"metadata\":{\"name\":\"r\",\"namespace\":\"n\"},\"spec\":{\"x\":" spec                     \
    "},\"status\":{\"parents\":[" status "]}}"
    assert_int_equal(kube_put(&store, how, ROUTE("1", "")), 0);
    weir_kube_store_find(&store, WEIR_KUBE_HTTP_ROUTE, "n", "r")->refused = 2;
    assert_int_equal(kube_put(&store, how, ROUTE("1", "{}")), 0);
    o = weir_kube_store_find(&store, WEIR_KUBE_HTTP_ROUTE, "n", "r");
    assert_int_equal(o->refused, 2);
    assert_int_equal(kube_put(&store, how, ROUTE("2", "{}")), 0);
    o = weir_kube_store_find(&store, WEIR_KUBE_HTTP_ROUTE, "n", "r");
    assert_int_equal(o->refused, 0);
}

static void a_name_too_long_is_refused(void **state) {
    char text[1024], name[500];

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(text, sizeof(text), "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"n\"}}", name);
    assert_int_equal(kube_put(&store, (struct weir_kube_put){ .kind = WEIR_KUBE_POD }, text),
                     -EINVAL);
}

static void without_memory_nothing_is_lost(void **state) {
    const struct weir_kube_put how = { .kind = WEIR_KUBE_POD };

    assert_int_equal(kube_put(&store, how, POD("a", "1")), 0);
    weir_mem_fail_at(1, 1);
    assert_int_equal(kube_put(&store, how, POD("a", "2")), -ENOMEM);
    weir_mem_fail_at(0, 0);
    assert_int_equal(label("a")[0], '1');
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_same_again_is_no_change),
        TEST(old_news_of_a_watch_are_left_out_but_a_list_is_the_truth),
        TEST(a_list_sweeps_what_it_does_not_name_and_only_its_own),
        TEST(who_has_taken_an_object_over_keeps_it),
        TEST(what_was_refused_stays_so_until_it_changes),
        TEST(a_name_too_long_is_refused),
        TEST(without_memory_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
