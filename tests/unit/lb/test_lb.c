/* SPDX-License-Identifier: Apache-2.0 */
#include "lb/lb.h"

#include "weir_test.h"

static const uint64_t seed[2] = { 11, 29 };

static struct weir_endpoint endpoint(uint8_t last, uint16_t port) {
    struct weir_endpoint e = { .port = port, .ready = true, .serving = true, .weight = 1 };

    e.ip.b[10] = e.ip.b[11] = 0xff;
    e.ip.b[12] = 10;
    e.ip.b[15] = last;
    return e;
}

static struct weir_lb *lb_of(const struct weir_endpoint *endpoints, uint32_t n) {
    struct weir_lb *lb = NULL;

    assert_int_equal(weir_lb_new(seed, &lb), 0);
    assert_int_equal(weir_lb_update(lb, endpoints, n), 0);
    return lb;
}

static unsigned last_byte(const struct weir_lb_endpoint *e) {
    return e->ip.b[15];
}

static struct weir_lb_endpoint *pick(struct weir_lb *lb) {
    return weir_lb_pick(lb, 0, NULL, 0);
}

/* Draws until the endpoint with that last address byte comes. */
static struct weir_lb_endpoint *pick_only(struct weir_lb *lb, unsigned last) {
    for (int i = 0; i < 10000; i++) {
        struct weir_lb_endpoint *e = pick(lb);

        if (last_byte(e) == last)
            return e;
    }
    fail_msg("endpoint %u never comes", last);
    return NULL;
}

static void an_empty_set_gives_none(void **state) {
    struct weir_lb *lb = lb_of(NULL, 0);

    assert_null(pick(lb));
    assert_null(weir_lb_free(lb));
    assert_null(weir_lb_free(NULL));
}

static void one_endpoint_always_answers(void **state) {
    struct weir_endpoint one = endpoint(1, 80);
    struct weir_lb *lb = lb_of(&one, 1);
    struct weir_lb_endpoint *e = pick(lb);

    assert_int_equal(last_byte(e), 1);
    assert_ptr_equal(e->conf, &one);
    for (int i = 0; i < 5; i++)
        weir_lb_report(lb, e, false, 0);
    assert_ptr_equal(weir_lb_pick(lb, 1, &e, 1), e);
    weir_lb_free(lb);
}

static void idle_equals_share_equally(void **state) {
    struct weir_endpoint set[5];
    unsigned seen[5] = { 0 };
    struct weir_lb *lb;

    for (uint8_t i = 0; i < 5; i++)
        set[i] = endpoint(i, 80);
    lb = lb_of(set, 5);
    for (int i = 0; i < 50000; i++)
        seen[last_byte(pick(lb))]++;
    for (int i = 0; i < 5; i++)
        assert_in_range(seen[i], 9500, 10500); /* standard deviation 89 */
    weir_lb_free(lb);
}

static void idle_weights_are_shares(void **state) {
    struct weir_endpoint set[4];
    unsigned seen[4] = { 0 };
    struct weir_lb *lb;

    for (uint8_t i = 0; i < 4; i++)
        set[i] = endpoint(i, 80);
    set[0].weight = 90;
    set[1].weight = 9;
    set[3].weight = 0;
    lb = lb_of(set, 4);
    for (int i = 0; i < 100000; i++)
        seen[last_byte(pick(lb))]++;
    assert_in_range(seen[0], 89500, 90500);
    assert_in_range(seen[1], 8500, 9500);
    assert_in_range(seen[2], 850, 1150);
    assert_int_equal(seen[3], 0);
    weir_lb_free(lb);
}

static void load_is_kept_level_per_weight(void **state) {
    struct weir_endpoint set[8];
    struct weir_lb_endpoint *busy[1100];
    struct weir_lb *lb;

    for (uint8_t i = 0; i < 8; i++) {
        set[i] = endpoint(i, 80);
        set[i].weight = i < 3 ? 2 : 1;
    }
    lb = lb_of(set, 8);
    for (int i = 0; i < 1100; i++) {
        busy[i] = pick(lb);
        busy[i]->outstanding++;
    }
    /* 1,100 requests over a total weight of 11: random choice would scatter by tens, two choices by
     * a few. */
    for (int i = 0; i < 1100; i++) {
        int want = last_byte(busy[i]) < 3 ? 200 : 100;

        assert_in_range(busy[i]->outstanding, want - 8, want + 8);
    }
    weir_lb_free(lb);
}

static void the_less_busy_of_two_is_chosen(void **state) {
    struct weir_endpoint set[2] = { endpoint(0, 80), endpoint(1, 80) };
    struct weir_lb *lb = lb_of(set, 2);

    pick_only(lb, 0)->outstanding = 5;
    for (int i = 0; i < 100; i++)
        assert_int_equal(last_byte(pick(lb)), 1);
    weir_lb_free(lb);
}

static void tried_ones_come_last(void **state) {
    struct weir_endpoint set[3] = { endpoint(0, 80), endpoint(1, 80), endpoint(2, 80) };
    struct weir_lb *lb = lb_of(set, 3);
    struct weir_lb_endpoint *tried[3] = { pick_only(lb, 0), pick_only(lb, 1), pick_only(lb, 2) };

    for (int i = 0; i < 100; i++)
        assert_int_equal(last_byte(weir_lb_pick(lb, 0, tried, 2)), 2);
    /* An ejected one that was not tried yet still beats one that was. */
    for (int i = 0; i < 3; i++)
        weir_lb_report(lb, tried[2], false, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(last_byte(weir_lb_pick(lb, 0, tried, 2)), 2);
    assert_non_null(weir_lb_pick(lb, 0, tried, 3));
    weir_lb_free(lb);
}

static void three_failures_eject_for_a_second_then_twice_as_long(void **state) {
    struct weir_endpoint set[2] = { endpoint(0, 80), endpoint(1, 80) };
    struct weir_lb *lb = lb_of(set, 2);
    struct weir_lb_endpoint *e = pick_only(lb, 0);
    uint64_t now = 1000000, length = 1000000;

    weir_lb_report(lb, e, false, now);
    weir_lb_report(lb, e, false, now);
    assert_int_equal(e->ejected_until, 0);
    weir_lb_report(lb, e, true, now);
    weir_lb_report(lb, e, false, now);
    weir_lb_report(lb, e, false, now);
    assert_int_equal(e->ejected_until, 0);
    for (int i = 0; i < 8; i++) {
        weir_lb_report(lb, e, false, now);
        assert_int_equal(e->ejected_until, now + length);
        weir_lb_report(lb, e, false, now); /* begun before: counts for nothing */
        assert_int_equal(e->ejected_until, now + length);
        for (int k = 0; k < 50; k++)
            assert_int_equal(last_byte(weir_lb_pick(lb, now + length - 1, NULL, 0)), 1);
        now += length;
        length = length < 16000000 ? length * 2 : 30000000;
    }
    for (int k = 0, back = 0; !back; k++) {
        assert_true(k < 1000);
        back = weir_lb_pick(lb, now, NULL, 0) == e;
    }
    weir_lb_report(lb, e, true, now);
    assert_int_equal(e->ejected_until, 0);
    assert_int_equal(e->failures, 0);
    weir_lb_free(lb);
}

static void when_all_are_ejected_they_are_used_after_all(void **state) {
    struct weir_endpoint set[3] = { endpoint(0, 80), endpoint(1, 80), endpoint(2, 80) };
    struct weir_lb *lb = lb_of(set, 3);
    unsigned seen[3] = { 0 };

    for (unsigned i = 0; i < 3; i++) {
        struct weir_lb_endpoint *e = pick_only(lb, i);

        for (int k = 0; k < 3; k++)
            weir_lb_report(lb, e, false, 10);
    }
    for (int i = 0; i < 3000; i++)
        seen[last_byte(weir_lb_pick(lb, 11, NULL, 0))]++;
    for (int i = 0; i < 3; i++)
        assert_in_range(seen[i], 800, 1200);
    weir_lb_free(lb);
}

static void an_update_keeps_the_state_of_what_stays(void **state) {
    struct weir_endpoint set[2] = { endpoint(0, 80), endpoint(1, 80) };
    struct weir_endpoint next[3] = { endpoint(2, 80), endpoint(1, 80), endpoint(1, 81) };
    struct weir_lb *lb = lb_of(set, 2);
    struct weir_lb_endpoint *e = pick_only(lb, 1);

    e->outstanding = 3;
    weir_lb_report(lb, e, false, 0);
    next[1].weight = 4;
    assert_int_equal(weir_lb_update(lb, next, 3), 0);
    e->outstanding = 0;
    assert_ptr_equal(pick_only(lb, 1), e);
    assert_int_equal(e->failures, 1);
    assert_int_equal(e->weight, 4);
    assert_ptr_equal(e->conf, &next[1]);
    pick_only(lb, 2);
    weir_lb_free(lb);
}

static void count(struct weir_lb_endpoint *e, void *arg) {
    (*(unsigned *)arg)++;
}

static unsigned counted(struct weir_lb *lb) {
    unsigned n = 0;

    weir_lb_foreach(lb, count, &n);
    return n;
}

static void a_vanished_endpoint_goes_with_its_last_user(void **state) {
    struct weir_endpoint set[2] = { endpoint(0, 80), endpoint(1, 80) };
    struct weir_lb *lb = lb_of(set, 2);
    struct weir_lb_endpoint *e = pick_only(lb, 0);

    weir_lb_use(lb, e);
    weir_lb_use(lb, e);
    assert_int_equal(weir_lb_update(lb, NULL, 0), 0);
    assert_int_equal(counted(lb), 1);
    assert_false(e->present);
    assert_null(e->conf);
    assert_null(pick(lb));
    weir_lb_unuse(lb, e);
    assert_int_equal(counted(lb), 1);
    weir_lb_unuse(lb, e);
    assert_int_equal(counted(lb), 0);
    weir_lb_free(lb);
}

static void a_vanished_endpoint_that_comes_back_is_the_same(void **state) {
    struct weir_endpoint set[2] = { endpoint(0, 80), endpoint(1, 80) };
    struct weir_lb *lb = lb_of(set, 2);
    struct weir_lb_endpoint *e = pick_only(lb, 0);

    weir_lb_use(lb, e);
    assert_int_equal(weir_lb_update(lb, set + 1, 1), 0);
    assert_false(e->present);
    assert_int_equal(weir_lb_update(lb, set, 2), 0);
    assert_true(e->present);
    assert_ptr_equal(pick_only(lb, 0), e);
    weir_lb_unuse(lb, e);
    assert_int_equal(counted(lb), 2);
    weir_lb_free(lb);
}

static void only_ready_ones_take_part_and_failing_that_those_still_serving(void **state) {
    struct weir_endpoint set[3] = { endpoint(0, 80), endpoint(1, 80), endpoint(2, 80) };
    struct weir_lb *lb;

    set[0].ready = false;
    set[0].terminating = true;
    set[1].ready = set[1].serving = false;
    lb = lb_of(set, 3);
    for (int i = 0; i < 50; i++)
        assert_int_equal(last_byte(pick(lb)), 2);
    set[2].ready = set[2].serving = false;
    assert_int_equal(weir_lb_update(lb, set, 3), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(last_byte(pick(lb)), 0);
    set[0].serving = false;
    assert_int_equal(weir_lb_update(lb, set, 3), 0);
    assert_null(pick(lb));
    weir_lb_free(lb);
}

static void an_address_given_twice_is_one_endpoint(void **state) {
    struct weir_endpoint set[3] = { endpoint(0, 80), endpoint(0, 80), endpoint(1, 80) };
    struct weir_lb *lb = lb_of(set, 3);

    assert_int_equal(counted(lb), 2);
    weir_lb_free(lb);
}

static int update_one(void *arg) {
    struct weir_endpoint set[4], next[40];
    struct weir_lb *lb = NULL;
    struct weir_lb_endpoint *e;
    int r = weir_lb_new(seed, &lb);

    for (uint8_t i = 0; i < 4; i++)
        set[i] = endpoint(i, 80);
    for (uint8_t i = 0; i < 40; i++) {
        next[i] = endpoint((uint8_t)(i + 2), 80);
        next[i].weight = 1U + i;
    }
    if (r)
        return r;
    r = weir_lb_update(lb, set, 4);
    if (r == 0) {
        e = weir_lb_pick(lb, 0, NULL, 0);
        weir_lb_use(lb, e);
        r = weir_lb_update(lb, next, 40);
        /* A refused update leaves the old set: four endpoints, all picked from. */
        if (r && counted(lb) != 4)
            r = -EINVAL;
        weir_lb_unuse(lb, e);
    }
    weir_lb_free(lb);
    return r;
}

static void survives_every_failing_allocation(void **state) {
    assert_int_not_equal(weir_test_sweep(update_one, NULL, 0), 0);
    assert_int_not_equal(weir_test_sweep(update_one, NULL, 1), 0);
}

static void far_endpoints_wait_until_the_near_ones_fail(void **state) {
    struct weir_endpoint set[4] = { endpoint(1, 80), endpoint(2, 80), endpoint(3, 80),
                                    endpoint(4, 80) };
    struct weir_lb_endpoint *tried[2];
    struct weir_lb *lb;
    unsigned seen = 0;

    set[0].far = set[1].far = true;
    lb = lb_of(set, 4);
    for (int i = 0; i < 200; i++)
        seen |= 1u << last_byte(pick(lb));
    assert_int_equal(seen, 1u << 3 | 1u << 4);
    tried[0] = pick_only(lb, 3);
    for (int i = 0; i < 50; i++)
        assert_int_equal(last_byte(weir_lb_pick(lb, 0, tried, 1)), 4);
    tried[1] = pick_only(lb, 4);
    for (int i = 0; i < 50; i++)
        assert_in_range(last_byte(weir_lb_pick(lb, 0, tried, 2)), 1, 2);
    for (int i = 0; i < 3; i++) {
        weir_lb_report(lb, tried[0], false, 0);
        weir_lb_report(lb, tried[1], false, 0);
    }
    assert_in_range(last_byte(pick(lb)), 1, 2);
    /* One near endpoint among weighted ones; and none that is near is as if all were. */
    set[0].far = set[1].far = set[2].far = true;
    set[2].weight = 7;
    assert_int_equal(weir_lb_update(lb, set, 4), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(last_byte(weir_lb_pick(lb, 60000000, NULL, 0)), 4);
    set[3].far = true;
    assert_int_equal(weir_lb_update(lb, set, 4), 0);
    seen = 0;
    for (int i = 0; i < 500; i++)
        seen |= 1u << last_byte(weir_lb_pick(lb, 60000000, NULL, 0));
    assert_int_equal(seen, 0x1e);
    weir_lb_free(lb);
}

static void balancers_differ_in_what_they_compare(void **state) {
    struct weir_endpoint set[2] = { endpoint(1, 80), endpoint(2, 80) };
    struct weir_lb *lb = lb_of(set, 2);
    struct weir_lb_endpoint *one = pick_only(lb, 1), *two = pick_only(lb, 2);
    unsigned seen = 0;

    one->outstanding = 5;
    for (int i = 0; i < 100; i++)
        assert_ptr_equal(pick(lb), two);
    weir_lb_balance(lb, WEIR_BALANCER_RANDOM);
    for (int i = 0; i < 100; i++)
        seen |= 1u << last_byte(pick(lb));
    assert_int_equal(seen, 6);
    weir_lb_balance(lb, WEIR_BALANCER_LATENCY);
    weir_lb_observe(one, 100);
    weir_lb_observe(two, 10000);
    for (int i = 0; i < 100; i++)
        assert_ptr_equal(pick(lb), one); /* 6 * 100 < 1 * 10000 */
    for (int i = 0; i < 100; i++)
        weir_lb_observe(one, 8000);
    assert_in_range(one->latency_us, 7900, 8000);
    for (int i = 0; i < 100; i++)
        assert_ptr_equal(pick(lb), two);
    one->outstanding = 0;
    weir_lb_free(lb);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_set_gives_none),
        cmocka_unit_test(one_endpoint_always_answers),
        cmocka_unit_test(idle_equals_share_equally),
        cmocka_unit_test(idle_weights_are_shares),
        cmocka_unit_test(load_is_kept_level_per_weight),
        cmocka_unit_test(the_less_busy_of_two_is_chosen),
        cmocka_unit_test(tried_ones_come_last),
        cmocka_unit_test(three_failures_eject_for_a_second_then_twice_as_long),
        cmocka_unit_test(when_all_are_ejected_they_are_used_after_all),
        cmocka_unit_test(an_update_keeps_the_state_of_what_stays),
        cmocka_unit_test(a_vanished_endpoint_goes_with_its_last_user),
        cmocka_unit_test(a_vanished_endpoint_that_comes_back_is_the_same),
        cmocka_unit_test(only_ready_ones_take_part_and_failing_that_those_still_serving),
        cmocka_unit_test(an_address_given_twice_is_one_endpoint),
        cmocka_unit_test(survives_every_failing_allocation),
        cmocka_unit_test(far_endpoints_wait_until_the_near_ones_fail),
        cmocka_unit_test(balancers_differ_in_what_they_compare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
