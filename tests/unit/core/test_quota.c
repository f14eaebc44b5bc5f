/* SPDX-License-Identifier: Apache-2.0 */
#include "core/quota.h"

#include "conf/parse.h"
#include "weir_test.h"

static const uint64_t seed[2] = { 3, 4 };

static struct weir_ip ip(const char *text) {
    struct weir_ip a;

    assert_int_equal(weir_parse_ip(text, &a), 0);
    return a;
}

static int take(struct weir_quota *q, const char *text, uint64_t max,
                struct weir_quota_source **ret) {
    struct weir_ip a = ip(text);

    return weir_quota_source_take(q, &a, max, ret);
}

static void a_source_is_an_address_or_a_64(void **state) {
    struct weir_quota_source *s[6], *none = NULL;
    struct weir_quota q;

    (void)state;
    weir_quota_init(&q, seed, 0);
    assert_int_equal(take(&q, "192.0.2.1", 2, &s[0]), 0);
    assert_int_equal(take(&q, "192.0.2.1", 2, &s[1]), 0);
    assert_ptr_equal(s[0], s[1]);
    assert_int_equal(take(&q, "192.0.2.1", 2, &none), 1);
    assert_null(none);
    assert_int_equal(take(&q, "192.0.2.2", 2, &s[2]), 0);
    assert_int_equal(take(&q, "2001:db8:1:2::1", 2, &s[3]), 0);
    assert_int_equal(take(&q, "2001:db8:1:2:ffff::9", 2, &s[4]), 0);
    assert_ptr_equal(s[3], s[4]);
    assert_int_equal(take(&q, "2001:db8:1:2:3::", 2, &none), 1);
    assert_int_equal(take(&q, "2001:db8:1:3::1", 2, &s[5]), 0);
    /* A place that is given back can be taken again. */
    weir_quota_source_give(&q, s[0]);
    assert_int_equal(take(&q, "192.0.2.1", 2, &s[0]), 0);
    for (unsigned i = 0; i < 6; i++)
        weir_quota_source_give(&q, s[i]);
    weir_quota_source_give(&q, NULL);
    weir_quota_deinit(&q); /* asserts that nothing is left */
}

static void loopback_is_nobody(void **state) {
    static const char *const yes[] = { "127.0.0.1", "127.9.9.9", "::1" };
    static const char *const no[] = { "128.0.0.1", "10.0.0.1", "::2", "fe80::1" };

    (void)state;
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(yes); i++)
        assert_true(weir_quota_exempt(&(struct weir_ip[]){ ip(yes[i]) }[0]));
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(no); i++)
        assert_false(weir_quota_exempt(&(struct weir_ip[]){ ip(no[i]) }[0]));
}

static void a_count_stops_at_its_maximum(void **state) {
    struct weir_quota q;
    uint64_t n;

    (void)state;
    weir_quota_init(&q, seed, 2);
    assert_int_equal(weir_quota_connections(&q, &(struct weir_limits_spec){ 0 }), 2);
    assert_int_equal(weir_quota_connections(&q, &(struct weir_limits_spec){ .connections = 7 }), 7);
    assert_true(weir_quota_take(&q.connections, 2, &n));
    assert_int_equal(n, 0);
    assert_true(weir_quota_take(&q.connections, 2, &n));
    assert_int_equal(n, 1);
    assert_false(weir_quota_take(&q.connections, 2, &n));
    weir_quota_give(&q.connections);
    assert_true(weir_quota_take(&q.connections, 2, &n));
    weir_quota_give(&q.connections);
    weir_quota_give(&q.connections);
    weir_quota_deinit(&q);
}

struct racer {
    pthread_t id;
    struct weir_quota *quota;
};

static void *race(void *arg) {
    struct racer *r = arg;

    for (unsigned i = 0; i < 20000; i++) {
        struct weir_ip a = { { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(i % 5) } };
        struct weir_quota_source *s = NULL;
        int got = weir_quota_source_take(r->quota, &a, 1, &s);

        assert_true(got == 0 || got == 1);
        if (got == 0)
            weir_quota_source_give(r->quota, s);
    }
    return NULL;
}

static void threads_may_meet_at_one_source(void **state) {
    struct racer racers[4];
    struct weir_quota q;

    (void)state;
    weir_quota_init(&q, seed, 0);
    for (unsigned i = 0; i < 4; i++) {
        racers[i].quota = &q;
        assert_int_equal(pthread_create(&racers[i].id, NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(racers[i].id, NULL);
    weir_quota_deinit(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_is_an_address_or_a_64),
        cmocka_unit_test(loopback_is_nobody),
        cmocka_unit_test(a_count_stops_at_its_maximum),
        cmocka_unit_test(threads_may_meet_at_one_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
