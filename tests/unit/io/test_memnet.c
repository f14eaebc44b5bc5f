/* SPDX-License-Identifier: Apache-2.0 */
/* The in-memory network behaves as sockets do where core depends on it. */
#include "weir_test.h"

#include "memnet.h"

#define LISTENER ((void *)0x15001)

/* A proxy that is nothing but two ends: it notes what it is told. */
struct end {
    struct fix *f;
    struct weir_stream *s;
    char got[256 * 1024];
    size_t n_got;
    unsigned n_reads, n_eof, n_drain, n_error, n_closed, n_open;
    struct weir_fault fault;
    bool keep; /* a chunk reference of the last read */
    struct weir_chunk *kept;
    const char *kept_ptr;
    bool close_in_read;
};

struct fix {
    struct mem_net *m;
    struct end a, b; /* a is accepted, b dialled */
    unsigned n_accept, n_turn, n_tick, n_posted;
    bool echo, wake_in_turn;
};

static void on_open(void *arg) {
    ((struct end *)arg)->n_open++;
}

static void on_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct end *e = arg;

    memcpy(e->got + e->n_got, bytes.ptr, bytes.len);
    e->n_got += bytes.len;
    e->n_reads++;
    if (e->keep) {
        e->kept = weir_chunk_ref(chunk);
        e->kept_ptr = bytes.ptr;
        e->keep = false;
    }
    if (e->f->echo) {
        struct weir_bufq q;

        weir_bufq_init(&q, mem_net(e->f->m)->pool, 0);
        assert_int_equal(weir_bufq_append_ref(&q, chunk, bytes), 0);
        assert_int_equal(weir_stream_write(e->s, &q), 0);
        weir_bufq_deinit(&q);
    }
    if (e->close_in_read)
        weir_stream_close(e->s, false);
}

static void on_eof(void *arg) {
    ((struct end *)arg)->n_eof++;
}

static void on_drain(void *arg) {
    ((struct end *)arg)->n_drain++;
}

static void on_error(void *arg, struct weir_fault fault) {
    struct end *e = arg;

    e->n_error++;
    e->fault = fault;
}

static void on_closed(void *arg) {
    struct end *e = arg;

    e->n_closed++;
    e->s = NULL;
}

static const struct weir_stream_events events = { on_open,  on_read,  on_eof,
                                                  on_drain, on_error, on_closed };

static void own(struct fix *f, struct end *e, struct weir_stream *s) {
    e->f = f;
    e->s = s;
    s->events = &events;
    s->arg = e;
}

static void on_accept(void *arg, struct weir_stream *s, void *listener_user) {
    struct fix *f = arg;

    assert_ptr_equal(listener_user, LISTENER);
    f->n_accept++;
    own(f, &f->a, s);
    weir_stream_read_start(s);
}

static void on_turn(void *arg) {
    struct fix *f = arg;

    f->n_turn++;
    if (f->wake_in_turn) {
        f->wake_in_turn = false;
        mem_net(f->m)->ops->wake(mem_net(f->m));
    }
}

static void on_tick(void *arg) {
    ((struct fix *)arg)->n_tick++;
}

static void on_posted(void *arg) {
    ((struct fix *)arg)->n_posted++;
}

static const struct weir_net_events net_events = { on_accept, on_turn, on_tick, on_posted };

static int setup(void **state) {
    struct fix *f = calloc(1, sizeof(*f));

    f->m = mem_net_new();
    mem_net(f->m)->events = &net_events;
    mem_net(f->m)->arg = f;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fix *f = *state;

    mem_stop(f->m);
    assert_int_equal(mem_n_streams(f->m), 0);
    mem_net_free(f->m);
    free(f);
    return 0;
}

static struct mem_conn *connect_client(struct fix *f) {
    struct mem_conn *c = mem_client_connect(f->m, LISTENER);

    mem_run(f->m);
    assert_int_equal(f->n_accept, 1);
    return c;
}

static void dial(struct fix *f, uint64_t timeout_us) {
    struct weir_dial d = { .ip.b[15] = 9, .port = 80, .timeout_us = timeout_us };
    struct weir_stream *s;

    assert_int_equal(mem_net(f->m)->ops->dial(mem_net(f->m), &d, &s), 0);
    own(f, &f->b, s);
}

static void write_text(struct fix *f, struct end *e, const char *text, size_t times) {
    struct weir_bufq q;

    weir_bufq_init(&q, mem_net(f->m)->pool, 0);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(weir_bufq_append(&q, weir_slice_from_str(text)), 0);
    assert_int_equal(weir_stream_write(e->s, &q), 0);
    assert_int_equal(q.len, 0);
    weir_bufq_deinit(&q);
}

static void bytes_go_to_the_proxy_and_back(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = connect_client(f);

    f->echo = true;
    mem_send(c, "hello");
    assert_string_equal(mem_received(c), "");
    mem_run(f->m);
    assert_string_equal(mem_received(c), "hello");
    assert_int_equal(f->a.s->bytes_in, 5);
    assert_int_equal(f->a.s->bytes_out, 5);
    mem_received_clear(c);
    mem_send(c, " again");
    mem_run(f->m);
    assert_string_equal(mem_received(c), " again");
}

static void a_piece_bounds_each_read(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = connect_client(f);

    mem_piece(c, 1);
    mem_send(c, "abcdef");
    mem_run(f->m);
    assert_int_equal(f->a.n_reads, 6);
    assert_memory_equal(f->a.got, "abcdef", 6);
}

static void a_referenced_chunk_stays_and_is_shared_by_later_reads(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = connect_client(f);

    f->a.keep = true;
    mem_send(c, "keep");
    mem_run(f->m);
    mem_send(c, "other");
    mem_run(f->m);
    assert_memory_equal(f->a.kept_ptr, "keep", 4);
    weir_chunk_unref(f->a.kept);
}

static void a_reader_that_stops_fills_the_buffer_and_holds_the_sender(void **state) {
    struct fix *f = *state;
    struct mem_conn *c;
    char big[10000] = { 0 };

    mem_buffer_size(f->m, 1000);
    c = connect_client(f);
    weir_stream_read_stop(f->a.s);
    mem_send_bytes(c, big, sizeof(big));
    mem_run(f->m);
    assert_int_equal(f->a.n_got, 0);
    assert_int_equal(mem_unsent(c), sizeof(big));
    weir_stream_read_start(f->a.s);
    mem_run(f->m);
    assert_int_equal(f->a.n_got, sizeof(big));
    assert_true(f->a.n_reads >= 10);
}

static void a_held_client_makes_output_pend_and_drain_follows(void **state) {
    struct fix *f = *state;
    struct mem_conn *c;

    mem_buffer_size(f->m, 1000);
    c = connect_client(f);
    mem_hold(c, true);
    write_text(f, &f->a, "0123456789", 10000);
    mem_run(f->m);
    assert_int_equal(weir_stream_pending(f->a.s), 99000);
    assert_int_equal(mem_received_len(c), 0);
    assert_int_equal(f->a.n_drain, 0);
    mem_hold(c, false);
    mem_run(f->m);
    assert_int_equal(f->a.n_drain, 1);
    assert_int_equal(mem_received_len(c), 100000);
    assert_int_equal(weir_stream_pending(f->a.s), 0);
}

static void eof_comes_after_the_bytes_and_writing_goes_on(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = connect_client(f);

    mem_send(c, "last");
    mem_shutdown(c);
    mem_run(f->m);
    assert_int_equal(f->a.n_got, 4);
    assert_int_equal(f->a.n_eof, 1);
    write_text(f, &f->a, "answer", 1);
    weir_stream_shutdown(f->a.s);
    mem_run(f->m);
    assert_string_equal(mem_received(c), "answer");
    assert_true(mem_got_eof(c));
    assert_false(mem_got_reset(c));
}

static void fin_waits_for_queued_output(void **state) {
    struct fix *f = *state;
    struct mem_conn *c;

    mem_buffer_size(f->m, 10);
    c = connect_client(f);
    mem_hold(c, true);
    write_text(f, &f->a, "0123456789", 5);
    weir_stream_shutdown(f->a.s);
    mem_run(f->m);
    assert_false(mem_got_eof(c));
    mem_hold(c, false);
    mem_run(f->m);
    assert_true(mem_got_eof(c));
    assert_int_equal(mem_received_len(c), 50);
}

static void a_reset_lets_received_bytes_be_read_first(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = connect_client(f);

    weir_stream_read_stop(f->a.s);
    mem_send(c, "early answer");
    mem_run(f->m);
    mem_reset(c);
    mem_run(f->m);
    assert_int_equal(f->a.n_error, 0);
    weir_stream_read_start(f->a.s);
    write_text(f, &f->a, "more", 1);
    mem_run(f->m);
    assert_int_equal(f->a.n_got, 12);
    assert_int_equal(f->a.n_error, 1);
    assert_int_equal(f->a.fault.kind, WEIR_FAULT_RESET);
    assert_int_equal(f->a.fault.side, WEIR_SIDE_DOWNSTREAM);
    assert_int_equal(f->a.n_eof, 0);
}

static void a_write_to_a_reset_connection_fails_late_when_nobody_reads(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = connect_client(f);

    weir_stream_read_stop(f->a.s);
    mem_reset(c);
    mem_run(f->m);
    assert_int_equal(f->a.n_error, 0);
    write_text(f, &f->a, "x", 1);
    assert_int_equal(f->a.n_error, 0);
    mem_run(f->m);
    assert_int_equal(f->a.n_error, 1);
}

static void closing_tells_closed_once_and_the_peer_sees_fin_or_reset(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = connect_client(f);

    weir_stream_close(f->a.s, false);
    weir_stream_close(f->a.s, false);
    assert_int_equal(f->a.n_closed, 0);
    mem_run(f->m);
    assert_int_equal(f->a.n_closed, 1);
    assert_true(mem_got_eof(c));
    assert_true(mem_is_closed(c));

    c = mem_client_connect(f->m, LISTENER);
    mem_run(f->m);
    weir_stream_close(f->a.s, true);
    mem_run(f->m);
    assert_true(mem_got_reset(c));
}

static void closing_over_unread_bytes_resets(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = connect_client(f);

    weir_stream_read_stop(f->a.s);
    mem_send(c, "unread");
    mem_run(f->m);
    weir_stream_close(f->a.s, false);
    mem_run(f->m);
    assert_true(mem_got_reset(c));
}

static void a_stream_may_be_closed_within_its_read_event(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = connect_client(f);

    f->a.close_in_read = true;
    mem_piece(c, 1);
    mem_send(c, "xy");
    mem_run(f->m);
    assert_int_equal(f->a.n_reads, 1);
    assert_int_equal(f->a.n_closed, 1);
    assert_int_equal(mem_n_streams(f->m), 0);
}

static void a_dial_is_answered_by_the_test(void **state) {
    struct fix *f = *state;
    struct mem_conn *s;

    assert_null(mem_next_dial(f->m));
    dial(f, 1000000);
    write_text(f, &f->b, "queued", 1);
    mem_run(f->m);
    assert_int_equal(f->b.n_open, 0);
    s = mem_next_dial(f->m);
    assert_non_null(s);
    assert_null(mem_next_dial(f->m));
    assert_int_equal(mem_dial(s)->port, 80);
    mem_dial_accept(s);
    mem_run(f->m);
    assert_int_equal(f->b.n_open, 1);
    assert_string_equal(mem_received(s), "queued");
}

static void a_refused_dial_and_a_late_one_are_errors(void **state) {
    struct fix *f = *state;

    dial(f, 1000000);
    mem_dial_refuse(mem_next_dial(f->m));
    mem_run(f->m);
    assert_int_equal(f->b.fault.kind, WEIR_FAULT_CONNECT_FAILED);
    assert_int_equal(f->b.fault.side, WEIR_SIDE_UPSTREAM);
    weir_stream_close(f->b.s, false);
    mem_run(f->m);

    dial(f, 1000000);
    mem_advance(f->m, 999999);
    assert_int_equal(f->b.n_error, 1);
    mem_advance(f->m, 1);
    assert_int_equal(f->b.n_error, 2);
    assert_int_equal(f->b.fault.kind, WEIR_FAULT_TIMEOUT_CONNECT);
}

static void a_dial_can_fail_on_our_side(void **state) {
    struct fix *f = *state;
    struct weir_dial d = { .port = 80 };
    struct weir_stream *s;

    mem_dial_fails(f->m, -EMFILE);
    assert_int_equal(mem_net(f->m)->ops->dial(mem_net(f->m), &d, &s), -EMFILE);
}

static void time_moves_only_when_told_and_ticks_on_the_way(void **state) {
    struct fix *f = *state;
    struct weir_net *net = mem_net(f->m);
    uint64_t now = net->ops->now(net), wall = net->ops->wall(net);

    net->ops->tick(net, true);
    mem_run(f->m);
    assert_int_equal(net->ops->now(net), now);
    mem_advance(f->m, 10 * WEIR_TICK_US);
    assert_int_equal(net->ops->now(net) - now, 10 * WEIR_TICK_US);
    assert_int_equal(net->ops->wall(net) - wall, 10 * WEIR_TICK_US);
    assert_int_equal(f->n_tick, 10);
    net->ops->tick(net, false);
    mem_advance(f->m, WEIR_TICK_US);
    assert_int_equal(f->n_tick, 10);
}

static void a_wake_gives_one_turn_and_one_asked_in_a_turn_another(void **state) {
    struct fix *f = *state;
    struct weir_net *net = mem_net(f->m);

    mem_run(f->m);
    assert_int_equal(f->n_turn, 0);
    net->ops->wake(net);
    net->ops->wake(net);
    f->wake_in_turn = true;
    mem_run(f->m);
    assert_int_equal(f->n_turn, 2);
    assert_int_equal(mem_n_turns(f->m), 2);
}

static void posts_coalesce(void **state) {
    struct fix *f = *state;

    mem_post(f->m);
    mem_post(f->m);
    mem_run(f->m);
    assert_int_equal(f->n_posted, 1);
}

static void a_paused_listener_accepts_later_and_a_closed_one_never(void **state) {
    struct fix *f = *state;
    struct weir_net *net = mem_net(f->m);

    net->ops->pause_accept(net, true);
    mem_client_connect(f->m, LISTENER);
    mem_run(f->m);
    assert_int_equal(f->n_accept, 0);
    net->ops->pause_accept(net, false);
    mem_run(f->m);
    assert_int_equal(f->n_accept, 1);
    net->ops->stop_listening(net);
    mem_client_connect(f->m, LISTENER);
    mem_run(f->m);
    assert_int_equal(f->n_accept, 1);
    assert_false(mem_listening(f->m));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(bytes_go_to_the_proxy_and_back),
        CASE(a_piece_bounds_each_read),
        CASE(a_referenced_chunk_stays_and_is_shared_by_later_reads),
        CASE(a_reader_that_stops_fills_the_buffer_and_holds_the_sender),
        CASE(a_held_client_makes_output_pend_and_drain_follows),
        CASE(eof_comes_after_the_bytes_and_writing_goes_on),
        CASE(fin_waits_for_queued_output),
        CASE(a_reset_lets_received_bytes_be_read_first),
        CASE(a_write_to_a_reset_connection_fails_late_when_nobody_reads),
        CASE(closing_tells_closed_once_and_the_peer_sees_fin_or_reset),
        CASE(closing_over_unread_bytes_resets),
        CASE(a_stream_may_be_closed_within_its_read_event),
        CASE(a_dial_is_answered_by_the_test),
        CASE(a_refused_dial_and_a_late_one_are_errors),
        CASE(a_dial_can_fail_on_our_side),
        CASE(time_moves_only_when_told_and_ticks_on_the_way),
        CASE(a_wake_gives_one_turn_and_one_asked_in_a_turn_another),
        CASE(posts_coalesce),
        CASE(a_paused_listener_accepts_later_and_a_closed_one_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
