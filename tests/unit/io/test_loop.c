/* SPDX-License-Identifier: Apache-2.0 */
/* Turns, ticks, posts, the clock and the way down. */
#include <pthread.h>

#include "sock.h"

#include "io/state.h"

static void wake(struct fix *f) {
    f->net->ops->wake(f->net);
}

static void turns_asked_from_within_turns_come_without_blocking(void **state) {
    struct fix *f = *state;

    f->wake_again = 4;
    f->stop_at_turn = 5;
    wake(f);
    wake(f);
    weir_loop_run(f->loop); /* would never return if one of the wakes were slept over */
    assert_int_equal(f->n_turn, 5);
}

static void without_a_wake_there_is_no_turn(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);

    client_send(fd, "x");
    until(f, f->a[0].n_read == 1);
    assert_int_equal(f->n_turn, 0);
    close(fd);
}

static void assert_both_read(struct fix *f) {
    assert_int_equal(f->a[0].n_read, 1);
    assert_int_equal(f->a[1].n_read, 1);
}

static void wake_in_accept(struct fix *f, struct end *e) {
    wake(f);
}

static void the_turn_comes_once_after_all_io_of_the_same_loop_turn(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f), fd2 = accepted_client(f), fd3;

    f->in_accept = wake_in_accept;
    f->in_turn = assert_both_read;
    client_send(fd, "x");
    client_send(fd2, "y");
    fd3 = client(f->port);
    turn(f);
    assert_int_equal(f->n_accept, 3);
    assert_int_equal(f->n_turn, 1);
    assert_false(uv_is_active((uv_handle_t *)&f->loop->idle));
    close(fd);
    close(fd2);
    close(fd3);
}

static void a_wake_in_a_closed_event_gets_its_turn(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);

    f->a[0].wake_in_closed = true;
    f->stop_at_turn = 1;
    weir_stream_close(f->a[0].s, false);
    weir_loop_run(f->loop);
    assert_int_equal(f->n_turn, 1);
    close(fd);
}

static void ticks_come_while_they_are_wanted(void **state) {
    struct fix *f = *state;

    f->net->ops->tick(f->net, true);
    f->net->ops->tick(f->net, true);
    f->net->ops->tick(f->net, false);
    assert_false(uv_is_active((uv_handle_t *)&f->loop->tick));
    f->net->ops->tick(f->net, true);
    f->stop_at_tick = 2;
    weir_loop_run(f->loop);
    assert_int_equal(f->n_tick, 2);
}

static void *post_from_outside(void *arg) {
    weir_loop_post(arg);
    return NULL;
}

static void a_post_from_another_thread_wakes_the_loop(void **state) {
    struct fix *f = *state;
    pthread_t thread;

    f->stop_at_post = 1;
    assert_int_equal(pthread_create(&thread, NULL, post_from_outside, f->loop), 0);
    weir_loop_run(f->loop);
    pthread_join(thread, NULL);
    assert_int_equal(f->n_posted, 1);
}

static void time_stands_still_within_a_turn_and_runs_between_turns(void **state) {
    struct fix *f = *state;
    uint64_t now = f->net->ops->now(f->net), wall = f->net->ops->wall(f->net);
    struct timespec ts;
    uint64_t real;

    do { /* until the clock has surely moved */
        clock_gettime(CLOCK_MONOTONIC, &ts);
        real = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
    } while (real < now + 10);
    assert_int_equal(f->net->ops->now(f->net), now);
    assert_int_equal(f->net->ops->wall(f->net), wall);
    turn_now(f);
    assert_true(f->net->ops->now(f->net) >= now + 10);
    clock_gettime(CLOCK_REALTIME, &ts);
    assert_true(f->net->ops->wall(f->net) / 1000000 <= (uint64_t)ts.tv_sec);
}

static void stopping_closes_listeners_and_streams(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f), fd2 = accepted_client(f);
    struct weir_dial d;

    dial(f, dial_to(&d, f->port));
    weir_loop_stop(f->loop);
    weir_loop_stop(f->loop);
    assert_int_equal(f->a[0].n_closed, 0);
    weir_loop_run(f->loop);
    assert_int_equal(f->a[0].n_closed, 1);
    assert_int_equal(f->a[1].n_closed, 1);
    assert_int_equal(f->b.n_closed, 1);
    assert_int_equal(client_end(f, fd), 0);
    assert_int_equal(client_end(f, fd2), 0);
    close(fd);
    close(fd2);
}

static void a_loop_that_never_ran_is_freed_with_its_listeners(void **state) {
    struct weir_chunk_pool pool;
    struct weir_loop *loop;
    struct weir_listen listen_ = { .ip = loopback4 };

    weir_chunk_pool_init(&pool, 0);
    assert_int_equal(weir_loop_new(&pool, &loop), 0);
    assert_int_equal(weir_loop_listen(loop, &listen_, NULL), 0);
    assert_null(weir_loop_free(loop));
    assert_null(weir_loop_free(NULL));
    weir_chunk_pool_deinit(&pool);
}

static int new_and_free(void *arg) {
    struct weir_listen listen_ = { .ip = loopback4 };
    struct weir_loop *loop;
    int r = weir_loop_new(arg, &loop);

    if (r < 0)
        return r;
    r = weir_loop_listen(loop, &listen_, NULL);
    weir_loop_free(loop);
    return r;
}

static void a_loop_without_memory_leaves_nothing(void **state) {
    struct weir_chunk_pool pool;

    weir_chunk_pool_init(&pool, 0);
    assert_true(weir_test_sweep(new_and_free, &pool, 0) >= 2);
    weir_chunk_pool_deinit(&pool);
}

/* The client is gone before the turn in which the stream writes, twice. */
static void write_to_the_dead(struct fix *f) {
    if (f->a[0].n_error == 0) {
        end_write_text(&f->a[0], "x");
        wake(f);
    } else {
        weir_loop_stop(f->loop);
    }
}

static void a_peer_that_went_away_does_not_kill_the_process(void **state) {
    struct fix *f = *state;
    sigset_t pending;
    int fd;

    signal(SIGPIPE, SIG_DFL);
    f->paused_reads = true;
    fd = accepted_client(f);
    shutdown(fd, SHUT_WR); /* a reset behind a FIN is EPIPE, not ECONNRESET */
    client_reset(fd);
    f->in_turn = write_to_the_dead;
    wake(f);
    weir_loop_run(f->loop);
    assert_int_equal(f->a[0].n_error, 1);
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, fix_setup_listening, fix_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(turns_asked_from_within_turns_come_without_blocking),
        CASE(without_a_wake_there_is_no_turn),
        CASE(the_turn_comes_once_after_all_io_of_the_same_loop_turn),
        CASE(a_wake_in_a_closed_event_gets_its_turn),
        CASE(ticks_come_while_they_are_wanted),
        CASE(a_post_from_another_thread_wakes_the_loop),
        CASE(time_stands_still_within_a_turn_and_runs_between_turns),
        CASE(stopping_closes_listeners_and_streams),
        CASE(a_loop_that_never_ran_is_freed_with_its_listeners),
        CASE(a_loop_without_memory_leaves_nothing),
        CASE(a_peer_that_went_away_does_not_kill_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
