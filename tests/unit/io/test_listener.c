/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners over real sockets on loopback. Linked with --wrap=getsockopt, so that the test can
 * answer SO_ORIGINAL_DST as netfilter or weir's own kernel half would.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "sock.h"

#include "io/state.h"

#define ORIGINAL_DST 80

static struct sockaddr_in original4;
static struct sockaddr_in6 original6;
static unsigned n_asked;

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len) {
    if (name != ORIGINAL_DST || (level != IPPROTO_IP && level != IPPROTO_IPV6))
        return __real_getsockopt(fd, level, name, value, len);
    n_asked++;
    if (level == IPPROTO_IP && original4.sin_family) {
        memcpy(value, &original4, sizeof(original4));
        return 0;
    }
    if (level == IPPROTO_IPV6 && original6.sin6_family) {
        memcpy(value, &original6, sizeof(original6));
        return 0;
    }
    errno = ENOENT;
    return -1;
}

static void listen_on(struct fix *f, const struct weir_ip *ip, bool original_dst) {
    struct weir_listen listen_ = { .ip = *ip, .original_dst = original_dst, .user = f };

    assert_int_equal(weir_loop_listen(f->loop, &listen_, &f->port), 0);
}

static int client6(uint16_t port) {
    struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
                                 .sin6_port = htons(port),
                                 .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&sin6, sizeof(sin6)), 0);
    return fd;
}

static void ipv6_serves_and_tells_its_addresses(void **state) {
    struct fix *f = *state;
    struct weir_stream_info info;
    char buf[8] = "";
    int fd;

    listen_on(f, &loopback6, false);
    fd = client6(f->port);
    until(f, f->n_accept == 1);
    f->a[0].echo = true;
    client_send(fd, "six");
    client_receive(f, fd, buf, 3);
    assert_string_equal(buf, "six");
    weir_stream_info(f->a[0].s, &info);
    assert_memory_equal(&info.remote, &loopback6, sizeof(loopback6));
    assert_memory_equal(&info.local, &loopback6, sizeof(loopback6));
    assert_int_equal(n_asked, 0);
    close(fd);
}

static void the_unspecified_ipv6_address_takes_no_ipv4(void **state) {
    struct fix *f = *state;
    struct weir_ip any = { { 0 } };
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    listen_on(f, &any, false);
    sin.sin_port = htons(f->port);
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
}

static void a_taken_port_is_an_error(void **state) {
    struct fix *f = *state;
    struct weir_listen listen_ = { .ip = loopback4, .user = f };

    listen_on(f, &loopback4, false);
    listen_.port = f->port;
    assert_int_equal(weir_loop_listen(f->loop, &listen_, NULL), -EADDRINUSE);
}

static void the_original_destination_is_asked_at_accept(void **state) {
    struct fix *f = *state;
    struct weir_stream_info info;
    const struct weir_ip want = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 96, 0, 7 } };
    int fd;

    original4 = (struct sockaddr_in){ .sin_family = AF_INET,
                                      .sin_port = htons(443),
                                      .sin_addr.s_addr = htonl(0x0a600007) };
    listen_on(f, &loopback4, true);
    fd = accepted_client(f);
    assert_int_equal(n_asked, 1);
    weir_stream_info(f->a[0].s, &info);
    weir_stream_info(f->a[0].s, &info);
    assert_int_equal(n_asked, 1);
    assert_true(info.has_original);
    assert_int_equal(info.original_port, 443);
    assert_memory_equal(&info.original, &want, sizeof(want));
    close(fd);
}

static void an_ipv6_socket_asks_ipv6(void **state) {
    struct fix *f = *state;
    struct weir_stream_info info;
    int fd;

    original6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
                                       .sin6_port = htons(80),
                                       .sin6_addr.s6_addr = { 0xfd, [15] = 9 } };
    listen_on(f, &loopback6, true);
    fd = client6(f->port);
    until(f, f->n_accept == 1);
    weir_stream_info(f->a[0].s, &info);
    assert_true(info.has_original);
    assert_int_equal(info.original.b[0], 0xfd);
    assert_int_equal(info.original_port, 80);
    close(fd);
}

static void an_unknown_original_destination_is_refused_and_counted(void **state) {
    struct fix *f = *state;
    int fd;

    listen_on(f, &loopback4, true);
    fd = client(f->port);
    assert_int_equal(client_end(f, fd), ECONNRESET);
    assert_int_equal(f->n_accept, 0);
    assert_int_equal(weir_loop_unknown_original(f->loop), 1);
    close(fd);
}

static void a_paused_listener_lets_clients_wait(void **state) {
    struct fix *f = *state;
    int fd;

    listen_on(f, &loopback4, false);
    f->net->ops->pause_accept(f->net, true);
    fd = client(f->port);
    for (int i = 0; i < 10; i++)
        turn_now(f);
    assert_int_equal(f->n_accept, 0);
    f->net->ops->pause_accept(f->net, false);
    until(f, f->n_accept == 1);
    close(fd);
}

static void pause_in_accept(struct fix *f, struct end *e) {
    f->net->ops->pause_accept(f->net, true);
}

static void pausing_within_accept_holds_the_next_client(void **state) {
    struct fix *f = *state;
    int fd, fd2;

    listen_on(f, &loopback4, false);
    f->in_accept = pause_in_accept;
    fd = client(f->port);
    fd2 = client(f->port);
    until(f, f->n_accept == 1);
    for (int i = 0; i < 10; i++)
        turn_now(f);
    assert_int_equal(f->n_accept, 1);
    close(fd);
    close(fd2);
}

static void stop_listening_in_accept(struct fix *f, struct end *e) {
    f->net->ops->stop_listening(f->net);
}

static void a_closed_listener_refuses_and_open_streams_live_on(void **state) {
    struct fix *f = *state;
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char buf[4] = "";
    int fd, fd2;

    listen_on(f, &loopback4, false);
    f->in_accept = stop_listening_in_accept;
    fd = accepted_client(f);
    sin.sin_port = htons(f->port);
    fd2 = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd2, (struct sockaddr *)&sin, sizeof(sin)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    f->a[0].echo = true;
    client_send(fd, "on");
    client_receive(f, fd, buf, 2);
    close(fd);
    close(fd2);
}

/* From now on no new descriptor can be had in this process. */
static struct rlimit use_up_descriptors(void) {
    struct rlimit before, low;
    int free_fd = dup(0);

    close(free_fd);
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)free_fd;
    setrlimit(RLIMIT_NOFILE, &low);
    return before;
}

static int connect_with(int fd, uint16_t port) {
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_port = htons(port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    return connect(fd, (struct sockaddr *)&sin, sizeof(sin));
}

static void without_descriptors_clients_are_sent_away_and_counted(void **state) {
    struct fix *f = *state;
    struct rlimit before;
    int fd[3], last;

    listen_on(f, &loopback4, false);
    turn_now(f); /* epoll knows the listener */
    for (int i = 0; i < 3; i++)
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    last = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    before = use_up_descriptors();
    for (int i = 0; i < 3; i++)
        assert_int_equal(connect_with(fd[i], f->port), 0);
    until(f, weir_loop_refused_no_fd(f->loop) == 3);
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(client_end(f, fd[i]), 0);
        close(fd[i]);
    }
    assert_int_equal(f->n_accept, 0);
    /* Having recovered, it takes the next. */
    assert_int_equal(connect_with(last, f->port), 0);
    until(f, f->n_accept == 1);
    close(last);
}

static void without_even_the_spare_descriptor_accepting_rests_and_does_not_spin(void **state) {
    struct fix *f = *state;
    struct rlimit before;
    int fd;

    listen_on(f, &loopback4, false);
    turn_now(f);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    close(f->loop->spare_fd);
    f->loop->spare_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    before = use_up_descriptors();
    /* Another thread took the spare's place. */
    assert_int_equal(dup2(fd, f->loop->spare_fd), f->loop->spare_fd);
    f->loop->spare_fd = -1;
    assert_int_equal(connect_with(fd, f->port), 0);
    until(f, f->loop->accept_broken);
    assert_true(uv_is_active((uv_handle_t *)&f->loop->accept_retry));
    setrlimit(RLIMIT_NOFILE, &before);
    turn(f); /* sleeps until the retry: the waiting client is no event */
    assert_false(f->loop->accept_broken);
    assert_true(f->loop->spare_fd >= 0);
    until(f, f->n_accept == 1);
    close(fd);
}

/* Two workers on one port. */
struct worker {
    pthread_t thread;
    struct weir_chunk_pool pool;
    struct weir_loop *loop;
    unsigned n_accept;
    atomic_uint *total;
};

static void worker_closed(void *arg) {
}

static const struct weir_stream_events worker_stream = { .closed = worker_closed };

static void worker_accept(void *arg, struct weir_stream *s, void *user) {
    struct worker *w = arg;

    s->events = &worker_stream;
    w->n_accept++;
    atomic_fetch_add(w->total, 1);
    weir_stream_close(s, false);
}

static void worker_posted(void *arg) {
    weir_loop_stop(((struct worker *)arg)->loop);
}

static const struct weir_net_events worker_events = { .accept = worker_accept,
                                                      .posted = worker_posted };

static void *worker_main(void *arg) {
    weir_loop_run(((struct worker *)arg)->loop);
    return NULL;
}

static void two_loops_in_two_threads_share_a_port(void **state) {
    struct weir_listen listen_ = { .ip = loopback4, .reuse_port = true };
    struct worker w[2] = { 0 };
    atomic_uint total = 0;
    char byte;

    for (int i = 0; i < 2; i++) {
        struct weir_net *net;

        weir_chunk_pool_init(&w[i].pool, 0);
        assert_int_equal(weir_loop_new(&w[i].pool, &w[i].loop), 0);
        net = weir_loop_net(w[i].loop);
        net->events = &worker_events;
        net->arg = &w[i];
        w[i].total = &total;
        assert_int_equal(weir_loop_listen(w[i].loop, &listen_, &listen_.port), 0);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&w[i].thread, NULL, worker_main, &w[i]), 0);
    for (int i = 0; i < 128; i++) {
        int fd = client(listen_.port);

        assert_int_equal(recv(fd, &byte, 1, 0), 0);
        close(fd);
    }
    assert_int_equal(total, 128);
    for (int i = 0; i < 2; i++) {
        weir_loop_post(w[i].loop);
        pthread_join(w[i].thread, NULL);
        assert_true(w[i].n_accept > 0); /* all 128 to one: 2^-127 */
        weir_loop_free(w[i].loop);
        weir_chunk_pool_deinit(&w[i].pool);
    }
}

static int setup(void **state) {
    n_asked = 0;
    original4.sin_family = original6.sin6_family = 0;
    return fix_setup(state);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, fix_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(ipv6_serves_and_tells_its_addresses),
        CASE(the_unspecified_ipv6_address_takes_no_ipv4),
        CASE(a_taken_port_is_an_error),
        CASE(the_original_destination_is_asked_at_accept),
        CASE(an_ipv6_socket_asks_ipv6),
        CASE(an_unknown_original_destination_is_refused_and_counted),
        CASE(a_paused_listener_lets_clients_wait),
        CASE(pausing_within_accept_holds_the_next_client),
        CASE(a_closed_listener_refuses_and_open_streams_live_on),
        CASE(without_descriptors_clients_are_sent_away_and_counted),
        CASE(without_even_the_spare_descriptor_accepting_rests_and_does_not_spin),
        CASE(two_loops_in_two_threads_share_a_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
