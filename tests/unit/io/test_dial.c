/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling over real sockets on loopback. */
#include <sys/resource.h>

#include "sock.h"

/* A listening socket that nobody accepts from. */
static int silent_listener(int backlog, uint16_t *ret_port) {
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    *ret_port = ntohs(sin.sin_port);
    return fd;
}

static void a_dial_opens_and_carries_bytes_both_ways(void **state) {
    struct fix *f = *state;
    struct weir_stream_info info;
    struct weir_dial d;

    f->b.in_call = true;
    dial(f, dial_to(&d, f->port));
    weir_stream_read_start(f->b.s);
    assert_int_equal(f->b.n_open, 0);
    until(f, f->b.n_open == 1 && f->n_accept == 1);
    f->a[0].echo = true;
    end_write_text(&f->b, "hello");
    until(f, f->b.n_bytes == 5);
    weir_assert_bufq(&f->b.got, "hello");
    weir_stream_info(f->b.s, &info);
    assert_int_equal(info.remote_port, f->port);
    assert_int_not_equal(info.local_port, 0);
    assert_memory_equal(&info.local, &loopback4, sizeof(loopback4));
}

static void what_is_written_before_open_leaves_first_and_then_the_fin(void **state) {
    struct fix *f = *state;
    struct weir_dial d;

    dial(f, dial_to(&d, f->port));
    end_write_text(&f->b, "one ");
    end_write_text(&f->b, "two");
    assert_int_equal(weir_stream_pending(f->b.s), 7);
    weir_stream_shutdown(f->b.s);
    until(f, f->n_accept == 1 && f->a[0].n_eof == 1);
    weir_assert_bufq(&f->a[0].got, "one two");
    assert_int_equal(weir_stream_pending(f->b.s), 0);
}

static void much_written_before_open_is_drained_after_it(void **state) {
    struct fix *f = *state;
    static char p[1024 * 1024];
    struct weir_dial d;

    dial(f, dial_to(&d, f->port));
    assert_int_equal(end_write(&f->b, p, sizeof(p)), 0);
    assert_int_equal(f->b.n_drain, 0);
    until(f, f->n_accept == 1);
    f->a[0].drop = true;
    until(f, f->b.n_drain == 1 && f->a[0].n_bytes == sizeof(p));
    assert_int_equal(f->b.n_open, 1);
}

static void a_refused_dial_is_an_event_after_the_call(void **state) {
    struct fix *f = *state;
    struct weir_dial d;
    uint16_t port;
    int fd = silent_listener(1, &port);

    close(fd);
    f->b.close_in_error = true;
    dial(f, dial_to(&d, port));
    assert_int_equal(f->b.n_error, 0);
    until(f, f->b.n_closed == 1);
    assert_int_equal(f->b.n_error, 1);
    assert_int_equal(f->b.fault.side, WEIR_SIDE_UPSTREAM);
    assert_int_equal(f->b.fault.kind, WEIR_FAULT_CONNECT_FAILED);
    assert_int_equal(f->b.n_open, 0);
}

/* connect() to the broadcast address fails at once, without a packet. */
static void an_unreachable_address_is_an_event_too(void **state) {
    struct fix *f = *state;
    struct weir_dial d;

    dial_to(&d, 9);
    memset(d.ip.b + 12, 0xff, 4);
    dial(f, &d);
    until(f, f->b.n_error == 1);
    assert_int_equal(f->b.fault.kind, WEIR_FAULT_CONNECT_FAILED);
    weir_stream_close(f->b.s, true);
    until(f, f->b.n_closed == 1);
}

static void a_dial_that_failed_at_once_may_be_closed_before_it_is_told(void **state) {
    struct fix *f = *state;
    struct weir_dial d;

    dial_to(&d, 9);
    memset(d.ip.b + 12, 0xff, 4);
    dial(f, &d);
    weir_stream_close(f->b.s, false);
    until(f, f->b.n_closed == 1);
    assert_int_equal(f->b.n_error, 0);
}

/* Linux drops SYNs to a full backlog: connects that fill it stay in progress. */
static int fill(uint16_t port, int fds[], int max) {
    int n = 0, in_progress = 0;

    while (n < max && in_progress < 2) {
        struct sockaddr_in sin = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct pollfd p = { .events = POLLOUT };

        p.fd = fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fds[n++], (struct sockaddr *)&sin, sizeof(sin));
        /* On loopback the handshake is done before connect() returns, unless the SYN was dropped.
         */
        if (poll(&p, 1, 0) == 0)
            in_progress++;
    }
    return n;
}

static void a_dial_nobody_answers_times_out(void **state) {
    struct fix *f = *state;
    struct weir_dial d = { 0 };
    int fds[16], n;
    int fd = silent_listener(0, &d.port);

    n = fill(d.port, fds, 16);
    assert_true(n < 16);
    d.ip = loopback4;
    d.timeout_us = 20000;
    f->b.close_in_error = true;
    dial(f, &d);
    until(f, f->b.n_closed == 1);
    assert_int_equal(f->b.n_error, 1);
    assert_int_equal(f->b.fault.side, WEIR_SIDE_UPSTREAM);
    assert_int_equal(f->b.fault.kind, WEIR_FAULT_TIMEOUT_CONNECT);
    while (n > 0)
        close(fds[--n]);
    close(fd);
}

static void a_dial_may_be_closed_while_it_connects(void **state) {
    struct fix *f = *state;
    struct weir_dial d;
    uint16_t port;
    int fd = silent_listener(1, &port);

    dial(f, dial_to(&d, port));
    end_write_text(&f->b, "dropped");
    weir_stream_close(f->b.s, true);
    until(f, f->b.n_closed == 1);
    assert_int_equal(f->b.n_open + f->b.n_error, 0);
    close(fd);
}

static void a_dial_under_way_is_closed_by_stop(void **state) {
    struct fix *f = *state;
    struct weir_stream *s;
    struct weir_dial d;

    dial(f, dial_to(&d, f->port));
    weir_loop_stop(f->loop);
    assert_int_equal(f->net->ops->dial(f->net, &d, &s), -ECANCELED);
    weir_loop_run(f->loop);
    assert_int_equal(f->b.n_closed, 1);
}

static void without_descriptors_the_call_says_so(void **state) {
    struct fix *f = *state;
    struct rlimit before, low;
    struct weir_stream *s;
    struct weir_dial d;
    int free_fd = dup(0), r;

    close(free_fd);
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)free_fd;
    setrlimit(RLIMIT_NOFILE, &low);
    r = f->net->ops->dial(f->net, dial_to(&d, f->port), &s);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(r, -EMFILE);
}

static int dial_once(void *arg) {
    struct fix *f = arg;
    struct weir_stream *s;
    struct weir_dial d;
    int r = f->net->ops->dial(f->net, dial_to(&d, f->port), &s);

    if (r == 0)
        weir_stream_close(s, true);
    turn_now(f);
    return r;
}

static void a_dial_without_memory_leaves_nothing(void **state) {
    struct fix *f = *state;

    f->net->ops->stop_listening(f->net);
    assert_true(weir_test_sweep(dial_once, f, 0) >= 2);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, fix_setup_listening, fix_teardown)

/* ---- several addresses (RFC 8305) ---- */

/* As silent_listener, on ::1 and that port; -1 when it is taken there. */
static int silent_listener6(int backlog, uint16_t port) {
    struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
                                 .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                                 .sin6_port = htons(port) };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (struct sockaddr *)&sin6, sizeof(sin6)) < 0 || listen(fd, backlog) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Connections that nobody accepts fill a backlog of 0: SYNs after them are dropped. */
static void fill6(uint16_t port, int fds[4]) {
    for (int i = 0; i < 4; i++) {
        struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                                     .sin6_port = htons(port) };

        fds[i] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&sin6, sizeof(sin6));
    }
}

static void the_next_address_is_tried_when_one_refuses(void **state) {
    struct fix *f = *state;
    struct weir_stream_info info;
    struct weir_dial d;
    const struct weir_ip others[] = { loopback6, loopback4 };

    dial_to(&d, f->port); /* 127.0.0.1 alone listens */
    d.ip = loopback6;
    d.others = others;
    d.n_others = 2;
    dial(f, &d);
    end_write_text(&f->b, "early");
    until(f, f->b.n_open == 1 && f->n_accept == 1 && f->a[0].n_bytes == 5);
    weir_stream_info(f->b.s, &info);
    assert_memory_equal(&info.remote, &loopback4, sizeof(loopback4));
    assert_int_equal(info.remote_port, f->port);
    weir_stream_read_start(f->b.s);
    f->a[0].echo = true;
    end_write_text(&f->b, "hello");
    until(f, f->b.n_bytes == 5);
    assert_int_equal(f->b.n_error, 0);
}

static void an_address_that_drops_does_not_hold_up_the_next(void **state) {
    struct fix *f = *state;
    struct weir_stream_info info;
    struct weir_dial d;
    int fds[4], fd6 = silent_listener6(0, f->port);

    if (fd6 < 0)
        fail_msg("::1 has that port in use");
    fill6(f->port, fds);
    dial_to(&d, f->port);
    d.ip = loopback6;
    d.others = &loopback4;
    d.n_others = 1;
    dial(f, &d);
    until(f, f->b.n_open == 1);
    weir_stream_info(f->b.s, &info);
    assert_memory_equal(&info.remote, &loopback4, sizeof(loopback4));
    assert_int_equal(f->b.n_error, 0);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    close(fd6);
}

static void the_first_address_is_taken_when_it_answers(void **state) {
    struct fix *f = *state;
    struct weir_dial d;

    dial_to(&d, f->port);
    d.others = &loopback6;
    d.n_others = 1;
    dial(f, &d);
    until(f, f->b.n_open == 1 && f->n_accept == 1);
    weir_stream_close(f->b.s, false);
    until(f, f->b.n_closed == 1);
}

static void when_every_address_refuses_the_dial_has_failed_once(void **state) {
    struct fix *f = *state;
    struct weir_dial d;
    uint16_t port;

    close(silent_listener(1, &port));
    dial_to(&d, port);
    d.others = &loopback6;
    d.n_others = 1;
    f->b.close_in_error = true;
    dial(f, &d);
    assert_int_equal(f->b.n_error, 0);
    until(f, f->b.n_closed == 1);
    assert_int_equal(f->b.n_error, 1);
    assert_int_equal(f->b.fault.kind, WEIR_FAULT_CONNECT_FAILED);
}

static void a_race_has_one_limit(void **state) {
    struct fix *f = *state;
    struct weir_dial d = { .others = &loopback4, .n_others = 1 };
    int fds[16], n, fd = silent_listener(0, &d.port);

    n = fill(d.port, fds, 16);
    d.ip = loopback4;
    d.timeout_us = 20000;
    f->b.close_in_error = true;
    dial(f, &d);
    until(f, f->b.n_closed == 1);
    assert_int_equal(f->b.n_error, 1);
    assert_int_equal(f->b.fault.kind, WEIR_FAULT_TIMEOUT_CONNECT);
    while (n > 0)
        close(fds[--n]);
    close(fd);
}

static void a_race_may_be_closed_at_any_time(void **state) {
    struct fix *f = *state;
    struct weir_dial d;

    dial_to(&d, f->port);
    d.others = &loopback6;
    d.n_others = 1;
    dial(f, &d);
    weir_stream_close(f->b.s, false);
    until(f, f->b.n_closed == 1);
    assert_int_equal(f->b.n_open + f->b.n_error, 0);
}

static void a_race_under_way_is_closed_by_stop(void **state) {
    struct fix *f = *state;
    struct weir_dial d;

    dial_to(&d, f->port);
    d.others = &loopback6;
    d.n_others = 1;
    dial(f, &d);
    turn_now(f);
    weir_loop_stop(f->loop);
    weir_loop_run(f->loop);
    assert_int_equal(f->b.n_closed, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(a_dial_opens_and_carries_bytes_both_ways),
        CASE(what_is_written_before_open_leaves_first_and_then_the_fin),
        CASE(much_written_before_open_is_drained_after_it),
        CASE(a_refused_dial_is_an_event_after_the_call),
        CASE(an_unreachable_address_is_an_event_too),
        CASE(a_dial_that_failed_at_once_may_be_closed_before_it_is_told),
        CASE(a_dial_nobody_answers_times_out),
        CASE(a_dial_may_be_closed_while_it_connects),
        CASE(a_dial_under_way_is_closed_by_stop),
        CASE(without_descriptors_the_call_says_so),
        CASE(a_dial_without_memory_leaves_nothing),
        CASE(the_next_address_is_tried_when_one_refuses),
        CASE(an_address_that_drops_does_not_hold_up_the_next),
        CASE(the_first_address_is_taken_when_it_answers),
        CASE(when_every_address_refuses_the_dial_has_failed_once),
        CASE(a_race_has_one_limit),
        CASE(a_race_may_be_closed_at_any_time),
        CASE(a_race_under_way_is_closed_by_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
