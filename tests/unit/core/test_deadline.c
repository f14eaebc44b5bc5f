/* SPDX-License-Identifier: Apache-2.0 */
#include "core/deadline.h"

#include "weir_test.h"

#define SLOT 50000u

struct alarm {
    struct weir_deadline d;
    struct weir_wheel *wheel;
    unsigned fired;
    uint64_t at, again; /* set anew to that when it fires; 0 = not */
    struct weir_deadline *other;
    bool drops_other;
};

static uint64_t clock_now;

static void fired(struct weir_deadline *d) {
    struct alarm *a = WEIR_CONTAINER_OF(d, struct alarm, d);

    a->fired++;
    a->at = clock_now;
    if (a->again)
        weir_deadline_set(a->wheel, d, a->again);
    a->again = 0;
    if (a->drops_other)
        weir_deadline_deinit(a->wheel, a->other);
    else if (a->other)
        weir_deadline_set(a->wheel, a->other, clock_now); /* at once: the next turn's */
}

static void alarm_init(struct alarm *a, struct weir_wheel *w) {
    memset(a, 0, sizeof(*a));
    a->wheel = w;
    weir_deadline_init(&a->d, fired);
}

static bool turn(struct weir_wheel *w, uint64_t now) {
    clock_now = now;
    return weir_wheel_turn(w, now);
}

/* Ticks as the worker does until `until`. */
static void run(struct weir_wheel *w, uint64_t from, uint64_t until) {
    for (uint64_t now = from; now <= until; now += SLOT)
        turn(w, now);
}

static void none_is_early_and_none_later_than_two_slots(void **state) {
    struct weir_wheel w;
    struct alarm a[200];
    uint64_t start = 7777777, due;

    (void)state;
    weir_wheel_init(&w, SLOT, start);
    for (unsigned i = 0; i < 200; i++) {
        alarm_init(&a[i], &w);
        weir_deadline_set(&w, &a[i].d, start + i * 37123);
    }
    run(&w, start, start + 200 * 37123 + 3 * SLOT);
    for (unsigned i = 0; i < 200; i++) {
        due = start + i * 37123;
        assert_int_equal(a[i].fired, 1);
        assert_true(a[i].at >= due);
        assert_true(a[i].at <= due + 2 * SLOT);
    }
    assert_int_equal(w.linked, 0);
}

static void one_beyond_the_horizon_fires_once_in_its_time(void **state) {
    struct weir_wheel w;
    struct alarm a;
    uint64_t due = 5ull * WEIR_WHEEL_SLOTS * SLOT + 12345;

    (void)state;
    weir_wheel_init(&w, SLOT, 0);
    alarm_init(&a, &w);
    weir_deadline_set(&w, &a.d, due);
    run(&w, 0, due - SLOT);
    assert_int_equal(a.fired, 0);
    run(&w, due - SLOT, due + 3 * SLOT);
    assert_int_equal(a.fired, 1);
    assert_true(a.at >= due);
}

static void one_that_moved_later_fires_only_then(void **state) {
    struct weir_wheel w;
    struct alarm a;

    (void)state;
    weir_wheel_init(&w, SLOT, 0);
    alarm_init(&a, &w);
    for (uint64_t now = 0; now < 100 * SLOT;
         now += SLOT) { /* a connection that is used again and again */
        weir_deadline_set(&w, &a.d, now + 10 * SLOT);
        assert_true(turn(&w, now));
        assert_int_equal(a.fired, 0);
        assert_int_equal(w.linked, 1);
    }
    run(&w, 100 * SLOT, 115 * SLOT);
    assert_int_equal(a.fired, 1);
    assert_true(a.at >= 109 * SLOT && a.at <= 111 * SLOT);
}

static void one_that_moved_earlier_fires_then(void **state) {
    struct weir_wheel w;
    struct alarm a;

    (void)state;
    weir_wheel_init(&w, SLOT, 0);
    alarm_init(&a, &w);
    weir_deadline_set(&w, &a.d, 1000 * SLOT);
    weir_deadline_set(&w, &a.d, 3 * SLOT);
    assert_int_equal(w.linked, 1);
    run(&w, 0, 6 * SLOT);
    assert_int_equal(a.fired, 1);
    assert_true(a.at <= 5 * SLOT);
}

static void one_in_the_past_fires_in_the_next_turn(void **state) {
    struct weir_wheel w;
    struct alarm a;

    (void)state;
    weir_wheel_init(&w, SLOT, 100 * SLOT);
    alarm_init(&a, &w);
    turn(&w, 100 * SLOT);
    weir_deadline_set(&w, &a.d, 5);
    turn(&w, 101 * SLOT);
    assert_int_equal(a.fired, 1);
}

static void a_cleared_one_does_not_fire_and_leaves(void **state) {
    struct weir_wheel w;
    struct alarm a;

    (void)state;
    weir_wheel_init(&w, SLOT, 0);
    alarm_init(&a, &w);
    weir_deadline_set(&w, &a.d, 3 * SLOT);
    weir_deadline_clear(&a.d);
    run(&w, 0, 10 * SLOT);
    assert_int_equal(a.fired, 0);
    assert_int_equal(w.linked, 0);
    weir_deadline_set(&w, &a.d, WEIR_NEVER); /* neither does one that was never set */
    assert_int_equal(w.linked, 0);
    weir_deadline_set(&w, &a.d, 20 * SLOT); /* and it can be set again */
    weir_deadline_set(&w, &a.d, WEIR_NEVER);
    assert_false(turn(&w, 40 * SLOT) && a.fired);
}

static void the_wheel_survives_a_long_sleep(void **state) {
    struct weir_wheel w;
    struct alarm a[50];

    (void)state;
    weir_wheel_init(&w, SLOT, 0);
    for (unsigned i = 0; i < 50; i++) {
        alarm_init(&a[i], &w);
        weir_deadline_set(&w, &a[i].d, i * 25ull * SLOT);
    }
    turn(&w, 100000ull * SLOT); /* a suspended machine */
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(a[i].fired, 1);
    alarm_init(&a[0], &w);
    weir_deadline_set(&w, &a[0].d, 100002ull * SLOT);
    turn(&w, 100001ull * SLOT);
    assert_int_equal(a[0].fired, 0);
    run(&w, 100002ull * SLOT, 100005ull * SLOT);
    assert_int_equal(a[0].fired, 1);
}

static void a_wheel_nobody_turned_finds_what_is_filed_late(void **state) {
    struct weir_wheel w;
    struct alarm a;
    uint64_t now = 5000ull * SLOT; /* idle until then: no tick ran */

    (void)state;
    weir_wheel_init(&w, SLOT, 0);
    alarm_init(&a, &w);
    weir_deadline_set(&w, &a.d, now + 3 * SLOT);
    turn(&w, now + SLOT);
    assert_int_equal(a.fired, 0);
    run(&w, now + 2 * SLOT, now + 6 * SLOT);
    assert_int_equal(a.fired, 1);
    assert_true(a.at >= now + 3 * SLOT);
}

static void what_fires_may_set_itself_and_others(void **state) {
    struct weir_wheel w;
    struct alarm a, b;

    (void)state;
    weir_wheel_init(&w, SLOT, 0);
    alarm_init(&a, &w);
    alarm_init(&b, &w);
    a.again = 20 * SLOT;
    a.other = &b.d;
    weir_deadline_set(&w, &a.d, 2 * SLOT);
    run(&w, 0, 5 * SLOT);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 1); /* in the turn after */
    assert_true(b.at > a.at);
    run(&w, 6 * SLOT, 22 * SLOT);
    assert_int_equal(a.fired, 2);
}

static void what_fires_may_end_one_of_the_same_turn(void **state) {
    struct weir_wheel w;
    struct alarm a, b;

    (void)state;
    weir_wheel_init(&w, SLOT, 0);
    alarm_init(&a, &w);
    alarm_init(&b, &w);
    a.other = &b.d;
    a.drops_other = true;
    weir_deadline_set(&w, &a.d, 2 * SLOT);
    weir_deadline_set(&w, &b.d, 2 * SLOT);
    run(&w, 0, 10 * SLOT);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 0);
    assert_int_equal(w.linked, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_early_and_none_later_than_two_slots),
        cmocka_unit_test(one_beyond_the_horizon_fires_once_in_its_time),
        cmocka_unit_test(one_that_moved_later_fires_only_then),
        cmocka_unit_test(one_that_moved_earlier_fires_then),
        cmocka_unit_test(one_in_the_past_fires_in_the_next_turn),
        cmocka_unit_test(a_cleared_one_does_not_fire_and_leaves),
        cmocka_unit_test(the_wheel_survives_a_long_sleep),
        cmocka_unit_test(a_wheel_nobody_turned_finds_what_is_filed_late),
        cmocka_unit_test(what_fires_may_set_itself_and_others),
        cmocka_unit_test(what_fires_may_end_one_of_the_same_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
