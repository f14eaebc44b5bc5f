/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/ids.h"

#include "weir_test.h"

static struct weir_ids *ids_of(const struct weir_mapset *installed) {
    struct weir_ids *ids = NULL;

    assert_int_equal(weir_ids_new(installed, &ids), 0);
    return ids;
}

static uint32_t name(struct weir_ids *ids, uint32_t kind, const char *text) {
    uint32_t id = 0;

    assert_int_equal(weir_ids_name(ids, kind, text, &id), 0);
    return id;
}

static uint32_t idset(struct weir_ids *ids, const struct weir_idset_item *list, size_t n) {
    uint32_t id = 0;

    assert_int_equal(weir_ids_content(ids, WEIR_CONTENT_IDSET, list, n * sizeof(*list), &id), 0);
    return id;
}

static void a_name_has_one_id_per_kind_from_one_upwards(void **state) {
    struct weir_ids *ids = ids_of(NULL);

    assert_int_equal(name(ids, WEIR_NAME_POD, "a/b"), 1);
    assert_int_equal(name(ids, WEIR_NAME_POD, "a/c"), 2);
    assert_int_equal(name(ids, WEIR_NAME_SERVICE, "a/b"), 1);
    assert_int_equal(name(ids, WEIR_NAME_POD, "a/b"), 1);
    assert_null(weir_ids_free(ids));
    assert_null(weir_ids_free(NULL));
}

static void names_and_contents_that_are_installed_keep_their_ids(void **state) {
    struct weir_name_key key = { WEIR_NAME_POD, 7 };
    struct weir_name_value value = { "a/b" };
    const struct weir_idset_item list[] = { { 3, 0 }, { 5, 2 }, { 9, 0 } },
                                 fewer[] = { { 3, 0 }, { 5, 2 } }, other[] = { { 3, 0 }, { 5, 1 } };
    struct weir_mapset *installed = NULL;
    struct weir_ids *ids;

    assert_int_equal(weir_mapset_new(&installed), 0);
    assert_int_equal(weir_mapset_put(installed, WEIR_MAP_NAME, &key, &value), 0);
    for (int i = 2; i >= 0; i--) {
        struct weir_idset_key member = { 40, list[i].identity };

        assert_int_equal(weir_mapset_put(installed, WEIR_MAP_IDSET, &member, &list[i].policy), 0);
    }
    ids = ids_of(installed);
    weir_mapset_free(installed);
    assert_int_equal(name(ids, WEIR_NAME_POD, "a/b"), 7);
    assert_int_equal(name(ids, WEIR_NAME_POD, "a/c"), 8);
    assert_int_equal(idset(ids, list, 3), 40);
    assert_int_equal(idset(ids, fewer, 2), 41);
    assert_int_equal(idset(ids, fewer, 2), 41);
    assert_int_equal(idset(ids, other, 2), 42);
    weir_ids_free(ids);
}

static void when_the_ids_run_out_it_says_so(void **state) {
    struct weir_name_key key = { WEIR_NAME_POD, UINT32_MAX };
    struct weir_name_value value = { "a/b" };
    struct weir_mapset *installed = NULL;
    struct weir_ids *ids;
    uint32_t id = 0;

    assert_int_equal(weir_mapset_new(&installed), 0);
    assert_int_equal(weir_mapset_put(installed, WEIR_MAP_NAME, &key, &value), 0);
    ids = ids_of(installed);
    assert_int_equal(weir_ids_name(ids, WEIR_NAME_POD, "a/c", &id), -EOVERFLOW);
    assert_int_equal(weir_ids_name(ids, WEIR_NAME_POD, "a/b", &id), 0);
    weir_ids_free(ids);
    weir_mapset_free(installed);
}

static void a_long_name_counts_up_to_what_the_map_holds(void **state) {
    struct weir_ids *ids = ids_of(NULL);
    char text[400];

    memset(text, 'x', sizeof(text));
    text[399] = '\0';
    assert_int_equal(name(ids, WEIR_NAME_POD, text), 1);
    text[380] = 'y';
    assert_int_equal(name(ids, WEIR_NAME_POD, text), 1);
    text[326] = 'y';
    assert_int_equal(name(ids, WEIR_NAME_POD, text), 2);
    weir_ids_free(ids);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_one_id_per_kind_from_one_upwards),
        cmocka_unit_test(names_and_contents_that_are_installed_keep_their_ids),
        cmocka_unit_test(when_the_ids_run_out_it_says_so),
        cmocka_unit_test(a_long_name_counts_up_to_what_the_map_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
