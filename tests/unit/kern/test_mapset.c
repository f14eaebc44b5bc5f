/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/mapset.h"

#include "weir_test.h"

static void keeps_the_last_value_of_each_key_per_map(void **state) {
    struct weir_mapset *s = NULL;
    struct weir_idset_key key = { 1, 2 };
    uint32_t one = 1, two = 2;

    assert_int_equal(weir_mapset_new(&s), 0);
    assert_null(weir_mapset_get(s, WEIR_MAP_IDSET, &key));
    assert_int_equal(weir_mapset_put(s, WEIR_MAP_IDSET, &key, &one), 0);
    assert_int_equal(weir_mapset_put(s, WEIR_MAP_IDSET, &key, &two), 0);
    assert_int_equal(weir_mapset_count(s, WEIR_MAP_IDSET), 1);
    assert_int_equal(*(const uint32_t *)weir_mapset_get(s, WEIR_MAP_IDSET, &key), 2);
    assert_int_equal(weir_mapset_count(s, WEIR_MAP_RULE), 0);
    assert_null(weir_mapset_free(s));
    assert_null(weir_mapset_free(NULL));
}

static int stop_at_three(void *arg, const void *key, const void *value) {
    return ++*(int *)arg == 3 ? 77 : 0;
}

static void each_meets_every_entry_and_stops_when_told(void **state) {
    struct weir_mapset *s = NULL;
    uint64_t sum = 0;
    int n = 0;

    assert_int_equal(weir_mapset_new(&s), 0);
    for (uint64_t id = 1; id <= 100; id++) {
        struct weir_cgroup_value value = { .pod = (uint32_t)id };

        assert_int_equal(weir_mapset_put(s, WEIR_MAP_CGROUP, &id, &value), 0);
        sum += id;
    }
    assert_int_equal(weir_mapset_each(s, WEIR_MAP_CGROUP, stop_at_three, &n), 77);
    assert_int_equal(n, 3);
    n = 3;
    assert_int_equal(weir_mapset_each(s, WEIR_MAP_CGROUP, stop_at_three, &n), 0);
    assert_int_equal(n, 103);
    assert_int_equal(sum, 5050);
    weir_mapset_free(s);
}

static int put_one(void *arg) {
    struct weir_mapset *s = NULL;
    struct weir_idset_key key = { 1, 2 };
    uint32_t one = 1;
    int r = weir_mapset_new(&s);

    if (r == 0)
        r = weir_mapset_put(s, WEIR_MAP_IDSET, &key, &one);
    weir_mapset_free(s);
    return r;
}

static void survives_every_failing_allocation(void **state) {
    assert_int_not_equal(weir_test_sweep(put_one, NULL, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_last_value_of_each_key_per_map),
        cmocka_unit_test(each_meets_every_entry_and_stops_when_told),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
