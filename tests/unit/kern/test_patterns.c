/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/patterns.h"

#include "kern/plan.h"
#include "weir_test.h"

#define POD 3u

/* Names of one pod with their numbers, as a plan has them. */
static struct weir_mapset *patterns(const char *const *names, const uint32_t *ids, size_t n) {
    struct weir_mapset *set;

    assert_int_equal(weir_mapset_new(&set), 0);
    for (size_t i = 0; i < n; i++) {
        const struct weir_dns_pattern_key key = weir_pattern_key(POD, names[i]);
        const struct weir_name_key name = { .kind = WEIR_NAME_DNS, .id = ids[i] };
        struct weir_name_value value = { 0 };

        snprintf(value.text, sizeof(value.text), "%s", names[i]);
        assert_int_equal(weir_mapset_put(set, WEIR_MAP_DNS_PATTERN, &key, &ids[i]), 0);
        assert_int_equal(weir_mapset_put(set, WEIR_MAP_NAME, &name, &value), 0);
    }
    return set;
}

#define PATTERNS(names, ids) patterns(names, ids, WEIR_ARRAY_LEN(names))

static void a_key_is_the_name_backwards(void **state) {
    struct weir_dns_pattern_key exact = weir_pattern_key(POD, "api.x.io"),
                                star = weir_pattern_key(POD, "*.x.io");

    assert_int_equal(exact.prefix, 32 + 8 * 9); /* its end included */
    assert_string_equal(exact.name, "oi.x.ipa");
    assert_int_equal(star.prefix, 32 + 8 * 5);
    assert_string_equal(star.name, "oi.x.");
    assert_int_equal(star.pod, POD);
}

static void the_narrowest_pattern_means_a_name(void **state) {
    static const char *const names[] = { "*.x.io", "*.a.x.io", "api.x.io" };
    static const uint32_t ids[] = { 1, 2, 3 };
    struct weir_mapset *set = PATTERNS(names, ids);

    assert_int_equal(weir_pattern_of(set, POD, "api.x.io"), 3);
    assert_int_equal(weir_pattern_of(set, POD, "www.x.io"), 1);
    assert_int_equal(weir_pattern_of(set, POD, "b.a.x.io"), 2);
    assert_int_equal(weir_pattern_of(set, POD, "c.b.a.x.io"), 2);
    assert_int_equal(weir_pattern_of(set, POD, "a.x.io"), 1);
    assert_int_equal(weir_pattern_of(set, POD, "x.io"), 0); /* one label or more */
    assert_int_equal(weir_pattern_of(set, POD, "api.x.io.evil"), 0);
    assert_int_equal(weir_pattern_of(set, POD, ""), 0);
    assert_int_equal(weir_pattern_of(set, POD + 1, "api.x.io"), 0);
    weir_mapset_free(set);
}

static void sets_differ_by_pattern_and_by_number(void **state) {
    static const char *const a[] = { "*.x.io" }, *const b[] = { "www.x.io" },
                             *const both[] = { "*.x.io", "www.x.io" };
    static const uint32_t one[] = { 1 }, two[] = { 2 }, ids[] = { 1, 2 };
    struct weir_mapset *s = PATTERNS(a, one), *same = PATTERNS(a, one), *other = PATTERNS(b, one),
                       *numbered = PATTERNS(a, two), *more = PATTERNS(both, ids);

    assert_false(weir_patterns_differ(s, same));
    assert_true(weir_patterns_differ(s, other));
    assert_true(weir_patterns_differ(s, numbered));
    assert_true(weir_patterns_differ(s, more));
    assert_true(weir_patterns_differ(more, s));
    weir_mapset_free(s);
    weir_mapset_free(same);
    weir_mapset_free(other);
    weir_mapset_free(numbered);
    weir_mapset_free(more);
}

static struct weir_dns_bound_value bound(const char *asked, uint32_t pattern, uint32_t until_s) {
    struct weir_dns_bound_value v = { .kept_ns = 7, .slots = { { pattern, until_s } } };

    snprintf(v.asked, sizeof(v.asked), "%s", asked);
    return v;
}

static void an_address_goes_on_under_the_pattern_that_means_its_name(void **state) {
    static const char *const star[] = { "*.x.io" }, *const exact[] = { "www.x.io" };
    static const uint32_t one[] = { 1 }, two[] = { 2 };
    struct weir_mapset *before = PATTERNS(star, one), *after = PATTERNS(exact, two);
    struct weir_dns_bound_value v = bound("www.x.io", 1, 500), other = bound("api.x.io", 1, 500),
                                back = bound("www.x.io", 2, 400), again;

    assert_true(weir_bound_carry(&v, POD, before, after));
    assert_int_equal(v.slots[0].pattern, 1); /* a program may still read by the old one */
    assert_int_equal(v.slots[1].pattern, 2);
    assert_int_equal(v.slots[1].until_s, 500);
    assert_int_equal(v.kept_ns, 7);
    again = v;
    weir_bound_carry(&again, POD, before, after); /* a change that is tried again */
    assert_memory_equal(&again, &v, sizeof(v));
    assert_false(weir_bound_carry(&other, POD, before, after));
    assert_true(weir_bound_carry(&back, POD, after, before));
    assert_int_equal(back.slots[1].pattern, 1);
    weir_mapset_free(before);
    weir_mapset_free(after);
}

/* The name that was asked first is all that is known: what another pattern was bound for says nothing of it. */
static void a_pattern_that_did_not_mean_the_name_gives_it_nothing(void **state) {
    static const char *const names[] = { "*.x.io", "*.y.io" }, *const exact[] = { "www.x.io",
                                                                                  "*.y.io" };
    static const uint32_t ids[] = { 1, 2 }, later[] = { 3, 2 };
    struct weir_mapset *before = PATTERNS(names, ids), *after = PATTERNS(exact, later);
    struct weir_dns_bound_value v = bound("www.x.io", 2, 500);

    assert_false(weir_bound_carry(&v, POD, before, after));
    weir_mapset_free(before);
    weir_mapset_free(after);
}

static void what_is_bound_to_no_pattern_goes_before_its_number_is_anothers(void **state) {
    static const char *const now[] = { "api.io" }, *const next[] = { "api.io", "other.io" };
    static const uint32_t one[] = { 1 }, ids[] = { 1, 2 };
    struct weir_mapset *before = PATTERNS(now, one), *after = PATTERNS(next, ids);
    struct weir_dns_bound_value v = bound("www.gone.io", 2, 500);

    v.slots[5] = (struct weir_dns_slot){ 1, 300 };
    assert_true(weir_bound_carry(&v, POD, before, after));
    assert_int_equal(v.slots[0].pattern, 0);
    assert_int_equal(v.slots[0].until_s, 0);
    assert_int_equal(v.slots[5].pattern, 1);
    weir_mapset_free(before);
    weir_mapset_free(after);
}

static void an_address_that_is_full_of_patterns_stays_as_it_is(void **state) {
    static const char *const star[] = { "*.x.io" }, *const exact[] = { "www.x.io" };
    static const uint32_t one[] = { 1 }, two[] = { 2 };
    struct weir_mapset *before = PATTERNS(star, one), *after = PATTERNS(exact, two);
    struct weir_dns_bound_value v = bound("www.x.io", 1, 500), was;

    for (unsigned i = 1; i < WEIR_DNS_SLOTS; i++)
        v.slots[i] = v.slots[0];
    was = v;
    assert_false(weir_bound_carry(&v, POD, before, after));
    assert_memory_equal(&v, &was, sizeof(v));
    weir_mapset_free(before);
    weir_mapset_free(after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_the_name_backwards),
        cmocka_unit_test(the_narrowest_pattern_means_a_name),
        cmocka_unit_test(sets_differ_by_pattern_and_by_number),
        cmocka_unit_test(an_address_goes_on_under_the_pattern_that_means_its_name),
        cmocka_unit_test(a_pattern_that_did_not_mean_the_name_gives_it_nothing),
        cmocka_unit_test(what_is_bound_to_no_pattern_goes_before_its_number_is_anothers),
        cmocka_unit_test(an_address_that_is_full_of_patterns_stays_as_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
