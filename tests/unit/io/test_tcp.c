/* SPDX-License-Identifier: Apache-2.0 */
/* TCP streams over real sockets on loopback. */
#include "sock.h"

#include "io/tcp.h"

#define BIG (8u * 1024 * 1024)

static char *pattern(size_t n) {
    char *p = malloc(n);

    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 2654435761u >> 13);
    return p;
}

static void what_a_client_sends_comes_back(void **state) {
    struct fix *f = *state;
    struct weir_stream_info info;
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);
    char buf[16] = "";
    int fd = accepted_client(f);

    f->a[0].echo = true;
    client_send(fd, "hello");
    client_receive(f, fd, buf, 5);
    assert_string_equal(buf, "hello");
    assert_int_equal(f->a[0].s->bytes_in, 5);
    assert_int_equal(f->a[0].s->bytes_out, 5);
    assert_int_equal(weir_stream_pending(f->a[0].s), 0);

    weir_stream_info(f->a[0].s, &info);
    getsockname(fd, (struct sockaddr *)&sin, &len);
    assert_int_equal(info.remote_port, ntohs(sin.sin_port));
    assert_int_equal(info.local_port, f->port);
    assert_memory_equal(&info.remote, &loopback4, sizeof(loopback4));
    assert_memory_equal(&info.local, &loopback4, sizeof(loopback4));
    assert_false(info.has_original);
    assert_false(info.tls);
    close(fd);
}

static void small_reads_share_a_chunk_while_they_are_kept(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);
    struct end *e = &f->a[0];

    for (unsigned i = 1; i <= 3; i++) {
        client_send(fd, "some head");
        until(f, e->n_read == i);
    }
    assert_int_equal(f->pool.n_live, 1);
    weir_assert_bufq(&e->got, "some headsome headsome head");
    close(fd);
}

static void a_chunk_nobody_kept_is_used_again(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);
    char bytes[4000] = { 0 };

    f->a[0].drop = true;
    for (unsigned i = 1; i <= 20; i++) {
        assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
        until(f, f->a[0].n_bytes == i * sizeof(bytes));
    }
    assert_int_equal(f->pool.n_live, 1);
    assert_int_equal(f->loop->read_used, 0);
    close(fd);
}

static void a_long_body_is_read_by_whole_chunks(void **state) {
    struct fix *f = *state;
    char *p = pattern(10 * WEIR_CHUNK_SIZE);
    int fd;
    struct end *e;

    f->paused_reads = true;
    fd = accepted_client(f);
    e = &f->a[0];
    client_send(fd, "x");
    weir_stream_read_start(e->s);
    until(f, e->n_read == 1);
    weir_stream_read_stop(e->s);
    assert_int_equal(send(fd, p, 10 * WEIR_CHUNK_SIZE, 0), 10 * WEIR_CHUNK_SIZE);
    weir_stream_read_start(e->s);
    until(f, e->n_bytes == 1 + 10 * WEIR_CHUNK_SIZE);
    /* "x", the rest of its chunk, nine whole ones and what is left. */
    assert_int_equal(e->n_read, 12);
    assert_int_equal(e->got.len, e->n_bytes);
    weir_bufq_consume(&e->got, 1);
    for (size_t off = 0; e->got.len > 0;) {
        struct iovec iov;

        weir_bufq_peek(&e->got, &iov, 1);
        assert_memory_equal(iov.iov_base, p + off, iov.iov_len);
        off += iov.iov_len;
        weir_bufq_consume(&e->got, iov.iov_len);
    }
    free(p);
    close(fd);
}

static void stop_reading(struct end *e) {
    weir_stream_read_stop(e->s);
}

static void a_long_body_gets_a_whole_chunk_although_others_read_in_between(void **state) {
    struct fix *f = *state;
    char *p = pattern(2 * WEIR_CHUNK_SIZE);
    int fd = accepted_client(f), fd2 = accepted_client(f);

    f->a[0].in_read = stop_reading;
    assert_int_equal(send(fd, p, 2 * WEIR_CHUNK_SIZE, 0), 2 * WEIR_CHUNK_SIZE);
    until(f, f->a[0].n_bytes == WEIR_CHUNK_SIZE);
    client_send(fd2, "other");
    until(f, f->a[1].n_read == 1);
    weir_stream_read_start(f->a[0].s);
    until(f, f->a[0].n_read == 2);
    assert_int_equal(f->a[0].n_bytes, 2 * WEIR_CHUNK_SIZE);
    free(p);
    close(fd);
    close(fd2);
}

static void reading_stops_and_goes_on(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);
    struct end *e = &f->a[0];

    weir_stream_read_stop(e->s);
    weir_stream_read_stop(e->s);
    client_send(fd, "held");
    for (int i = 0; i < 10; i++)
        turn_now(f);
    assert_int_equal(e->n_read, 0);
    weir_stream_read_start(e->s);
    weir_stream_read_start(e->s);
    until(f, e->n_read == 1);
    weir_assert_bufq(&e->got, "held");
    close(fd);
}

static void half_closed_by_the_client_the_stream_still_writes(void **state) {
    struct fix *f = *state;
    char buf[16] = "";
    int fd = accepted_client(f);

    client_send(fd, "ask");
    shutdown(fd, SHUT_WR);
    until(f, f->a[0].n_eof == 1);
    weir_assert_bufq(&f->a[0].got, "ask");
    end_write_text(&f->a[0], "answer");
    client_receive(f, fd, buf, 6);
    assert_string_equal(buf, "answer");
    weir_stream_shutdown(f->a[0].s);
    weir_stream_shutdown(f->a[0].s);
    assert_int_equal(client_end(f, fd), 0);
    assert_int_equal(f->a[0].n_error, 0);
    close(fd);
}

static void half_closed_by_us_the_stream_still_reads(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);

    weir_stream_shutdown(f->a[0].s);
    assert_int_equal(client_end(f, fd), 0);
    client_send(fd, "late");
    until(f, f->a[0].n_read == 1);
    close(fd);
    until(f, f->a[0].n_eof == 1);
    assert_int_equal(f->a[0].n_error, 0);
}

static void a_slow_reader_gets_everything_in_order_then_the_end(void **state) {
    struct fix *f = *state;
    char *p = pattern(BIG), *got = malloc(BIG);
    int fd = accepted_client(f);
    struct end *e = &f->a[0];
    size_t half = BIG / 2;

    assert_int_equal(end_write(e, p, half), 0);
    assert_int_equal(end_write(e, p + half, BIG - half - 5), 0);
    assert_int_equal(end_write(e, p + BIG - 5, 5), 0);
    weir_stream_shutdown(e->s);
    for (int i = 0; i < 5; i++)
        turn_now(f);
    assert_true(weir_stream_pending(e->s) > WEIR_STREAM_LOW_MARK);
    assert_true(e->s->bytes_out < BIG);
    assert_int_equal(e->n_drain, 0);
    client_receive(f, fd, got, BIG);
    assert_memory_equal(got, p, BIG);
    assert_int_equal(client_end(f, fd), 0);
    assert_int_equal(e->n_drain, 1);
    assert_int_equal(weir_stream_pending(e->s), 0);
    assert_int_equal(e->s->bytes_out, BIG);
    free(p);
    free(got);
    close(fd);
}

/* What core does with a long answer to a slow reader: fill until above the mark, go on at `drain`.
 */
static void a_source_that_obeys_the_mark_keeps_pending_bounded(void **state) {
    struct fix *f = *state;
    static char piece[32 * 1024];
    int fd = accepted_client(f);
    struct end *e = &f->a[0];
    size_t sent = 0, received = 0;
    char *buf = malloc(65536);

    while (received < BIG) {
        ssize_t r;

        while (sent < BIG && weir_stream_pending(e->s) <= WEIR_STREAM_LOW_MARK) {
            assert_int_equal(end_write(e, piece, sizeof(piece)), 0);
            sent += sizeof(piece);
        }
        assert_true(weir_stream_pending(e->s) <= WEIR_STREAM_LOW_MARK + sizeof(piece));
        r = recv(fd, buf, 65536, MSG_DONTWAIT);
        if (r > 0)
            received += (size_t)r;
        turn_now(f);
    }
    assert_int_equal(received, BIG);
    assert_true(e->n_drain > 0);
    free(buf);
    close(fd);
}

static void a_reset_is_an_error_and_no_end(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);
    struct end *e = &f->a[0];

    client_reset(fd);
    until(f, e->n_error == 1);
    assert_int_equal(e->fault.kind, WEIR_FAULT_RESET);
    assert_int_equal(e->fault.side, WEIR_SIDE_DOWNSTREAM);
    assert_int_equal(e->n_eof, 0);
}

static void a_reset_right_behind_bytes_is_not_taken_for_the_end(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);
    struct end *e = &f->a[0];

    client_send(fd, "half a body");
    client_reset(fd);
    until(f, e->n_error + e->n_eof == 1);
    weir_assert_bufq(&e->got, "half a body");
    assert_int_equal(e->n_error, 1);
}

static void an_early_answer_is_read_although_writing_failed(void **state) {
    struct fix *f = *state;
    struct end *e = &f->a[0];
    int fd;

    f->paused_reads = true;
    fd = accepted_client(f);
    client_send(fd, "413");
    client_reset(fd);
    weir_stream_read_start(e->s);
    end_write_text(e, "body");
    end_write_text(e, "more body");
    assert_int_equal(weir_stream_pending(e->s), 0);
    until(f, e->n_error == 1);
    weir_assert_bufq(&e->got, "413");
    assert_int_equal(e->fault.kind, WEIR_FAULT_RESET);
    assert_int_equal(e->n_eof, 0);
    turn_now(f);
    assert_int_equal(e->n_error, 1);
}

static int early_fd;

/* After epoll_wait returned and before the end of the turn: the server answers and resets, and we
 * write to it. */
static void answer_and_reset_the_other(struct end *e) {
    client_send(early_fd, "413");
    client_reset(early_fd);
    end_write_text(&e->f->a[0], "body");
}

static void an_early_answer_is_read_although_writing_failed_in_the_same_turn(void **state) {
    struct fix *f = *state;
    struct end *e = &f->a[0];
    int fd;

    early_fd = accepted_client(f);
    fd = accepted_client(f);
    f->a[1].in_read = answer_and_reset_the_other;
    client_send(fd, "go");
    until(f, e->n_error == 1);
    weir_assert_bufq(&e->got, "413");
    assert_int_equal(e->n_eof, 0);
    close(fd);
}

static void a_failed_write_is_told_at_the_end_of_the_turn_when_nobody_reads(void **state) {
    struct fix *f = *state;
    struct end *e = &f->a[0];
    int fd;

    f->paused_reads = true;
    fd = accepted_client(f);
    client_reset(fd);
    end_write_text(e, "x");
    assert_int_equal(e->n_error, 0);
    turn(f); /* would block for ever if the error did not count as something to do */
    assert_int_equal(e->n_error, 1);
    assert_int_equal(e->fault.kind, WEIR_FAULT_RESET);
}

static void a_queued_write_fails_when_the_reader_resets(void **state) {
    struct fix *f = *state;
    char *p = pattern(BIG);
    int fd = accepted_client(f);
    struct end *e = &f->a[0];

    e->close_in_error = true;
    weir_stream_read_stop(e->s);
    assert_int_equal(end_write(e, p, BIG), 0);
    turn_now(f);
    assert_true(weir_stream_pending(e->s) > 0);
    client_reset(fd);
    until(f, e->n_closed == 1);
    assert_int_equal(e->n_error, 1);
    free(p);
}

static void closing_sends_fin_and_resetting_rst(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);
    int fd2 = accepted_client(f);

    weir_stream_close(f->a[0].s, false);
    weir_stream_close(f->a[0].s, true);
    assert_int_equal(f->a[0].n_closed, 0);
    weir_stream_close(f->a[1].s, true);
    until(f, f->a[0].n_closed == 1 && f->a[1].n_closed == 1);
    assert_int_equal(client_end(f, fd), 0);
    assert_int_equal(client_end(f, fd2), ECONNRESET);
    close(fd);
    close(fd2);
}

static void closing_drops_queued_output(void **state) {
    struct fix *f = *state;
    char *p = pattern(BIG);
    int fd = accepted_client(f);

    assert_int_equal(end_write(&f->a[0], p, BIG), 0);
    weir_stream_shutdown(f->a[0].s);
    weir_stream_close(f->a[0].s, false);
    until(f, f->a[0].n_closed == 1);
    assert_int_equal(f->pool.n_live, 0);
    assert_int_equal(f->a[0].n_error + f->a[0].n_drain, 0);
    free(p);
    close(fd);
}

static void a_stream_may_be_closed_within_its_events(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);

    f->a[0].close_in_read = true;
    client_send(fd, "x");
    until(f, f->a[0].n_closed == 1);
    assert_int_equal(f->a[0].n_read, 1);
    close(fd);
}

static void close_at_once(struct fix *f, struct end *e) {
    weir_stream_close(e->s, true);
}

static void a_stream_may_be_closed_within_accept(void **state) {
    struct fix *f = *state;
    int fd;

    f->in_accept = close_at_once;
    fd = accepted_client(f);
    assert_int_equal(client_end(f, fd), ECONNRESET);
    close(fd);
}

static void no_memory_for_the_queue_is_reported_and_nothing_leaks(void **state) {
    struct fix *f = *state;
    char *p = pattern(BIG);
    int fd = accepted_client(f);
    struct weir_bufq q;

    weir_bufq_init(&q, &f->pool, 0);
    assert_int_equal(weir_bufq_append(&q, weir_slice_make(p, BIG)), 0);
    weir_mem_fail_at(1, 1);
    assert_int_equal(weir_stream_write(f->a[0].s, &q), -ENOMEM);
    weir_mem_fail_at(0, 0);
    weir_bufq_deinit(&q);
    free(p);
    close(fd);
}

static void no_memory_for_a_read_is_our_fault(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);

    client_send(fd, "x");
    weir_mem_fail_at(1, 1);
    until(f, f->a[0].n_error == 1);
    weir_mem_fail_at(0, 0);
    assert_int_equal(f->a[0].fault.side, WEIR_SIDE_LOCAL);
    assert_int_equal(f->a[0].fault.kind, WEIR_FAULT_INTERNAL);
    close(fd);
}

static int nodelay(struct weir_stream *s) {
    int fd, on = 0;
    socklen_t len = sizeof(on);

    assert_int_equal(uv_fileno((uv_handle_t *)&((struct weir_tcp *)s)->uv, &fd), 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    return on;
}

static void accepted_and_dialled_sockets_do_not_delay(void **state) {
    struct fix *f = *state;
    struct weir_dial d;

    dial(f, dial_to(&d, f->port));
    until(f, f->b.n_open == 1 && f->n_accept == 1);
    assert_int_not_equal(nodelay(f->a[0].s), 0);
    assert_int_not_equal(nodelay(f->b.s), 0);
}

static void an_idle_connection_is_one_small_block(void **state) {
    struct fix *f = *state;
    int fd = accepted_client(f);
    struct weir_tcp *t = (struct weir_tcp *)f->a[0].s;

    assert_true(sizeof(*t) <= 512);
    assert_null(t->out);
    assert_null(t->dial);
    assert_int_equal(f->pool.n_live, 0);
    close(fd);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, fix_setup_listening, fix_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(what_a_client_sends_comes_back),
        CASE(small_reads_share_a_chunk_while_they_are_kept),
        CASE(a_chunk_nobody_kept_is_used_again),
        CASE(a_long_body_is_read_by_whole_chunks),
        CASE(a_long_body_gets_a_whole_chunk_although_others_read_in_between),
        CASE(reading_stops_and_goes_on),
        CASE(half_closed_by_the_client_the_stream_still_writes),
        CASE(half_closed_by_us_the_stream_still_reads),
        CASE(a_slow_reader_gets_everything_in_order_then_the_end),
        CASE(a_source_that_obeys_the_mark_keeps_pending_bounded),
        CASE(a_reset_is_an_error_and_no_end),
        CASE(a_reset_right_behind_bytes_is_not_taken_for_the_end),
        CASE(an_early_answer_is_read_although_writing_failed),
        CASE(an_early_answer_is_read_although_writing_failed_in_the_same_turn),
        CASE(a_failed_write_is_told_at_the_end_of_the_turn_when_nobody_reads),
        CASE(a_queued_write_fails_when_the_reader_resets),
        CASE(closing_sends_fin_and_resetting_rst),
        CASE(closing_drops_queued_output),
        CASE(a_stream_may_be_closed_within_its_events),
        CASE(a_stream_may_be_closed_within_accept),
        CASE(no_memory_for_the_queue_is_reported_and_nothing_leaks),
        CASE(no_memory_for_a_read_is_our_fault),
        CASE(accepted_and_dialled_sockets_do_not_delay),
        CASE(an_idle_connection_is_one_small_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
