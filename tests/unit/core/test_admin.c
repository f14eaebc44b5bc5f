/* SPDX-License-Identifier: Apache-2.0 */
#include "core/admin.h"

#include "memnet.h"
#include "weir_test.h"

struct world {
    struct mem_net *net;
    struct weir_admin admin;
    bool ready;
    int metrics_result;
    size_t metrics_size;
    unsigned posted;
};

static enum weir_admin_scope all = WEIR_ADMIN_ALL, metrics = WEIR_ADMIN_METRICS,
                             health = WEIR_ADMIN_HEALTH;

static int metrics_of(void *arg, struct weir_bufq *out) {
    struct world *w = arg;

    for (size_t n = 0; n < w->metrics_size; n += 10)
        if (weir_bufq_append(out, WEIR_SLICE("weir_x 12\n")) < 0)
            return -ENOMEM;
    return w->metrics_result;
}

static int status_of(void *arg, struct weir_bufq *out) {
    (void)arg;
    return weir_bufq_append(out, WEIR_SLICE("{\"pid\":1}\n"));
}

static bool ready_of(void *arg, const char **ret_why) {
    *ret_why = "draining\n";
    return ((struct world *)arg)->ready;
}

static void posted_of(void *arg) {
    ((struct world *)arg)->posted++;
}

static int routes_of(void *arg, struct weir_slice query, struct weir_bufq *out) {
    (void)arg;
    if (query.ptr && weir_slice_eq(query, WEIR_SLICE("bad")))
        return weir_bufq_append(out, WEIR_SLICE("{\"error\":\"bad\"}\n")) < 0 ? -ENOMEM : 1;
    return weir_bufq_append(out, WEIR_SLICE("{\"routes\":[]}\n"));
}

static const struct weir_admin_ops ops = { .metrics = metrics_of,
                                           .status = status_of,
                                           .routes = routes_of,
                                           .ready = ready_of,
                                           .posted = posted_of };

static void world_init(struct world *w) {
    memset(w, 0, sizeof(*w));
    w->ready = true;
    w->metrics_size = 20;
    w->net = mem_net_new();
    weir_admin_init(&w->admin, mem_net(w->net), &ops, w);
}

static void world_deinit(struct world *w) {
    weir_admin_close(&w->admin);
    mem_run(w->net);
    assert_int_equal(mem_n_streams(w->net), 0);
    mem_net_free(w->net);
}

static struct mem_conn *ask(struct world *w, enum weir_admin_scope *scope, const char *text) {
    struct mem_conn *c = mem_client_connect(w->net, scope);

    mem_send(c, text);
    mem_run(w->net);
    return c;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void expect(struct mem_conn *c, const char *starts, const char *holds) {
    const char *got = mem_received(c);

    if (strncmp(got, starts, strlen(starts)) != 0 || !strstr(got, holds))
        fail_msg("expected %s ... %s\ngot %s", starts, holds, got);
}

static void each_page_is_what_it_says(void **state) {
    struct world w;

    (void)state;
    world_init(&w);
    expect(ask(&w, &all, GET("/metrics")), "HTTP/1.1 200 OK\r\n",
           "ontent-Length: 20\r\n\r\nweir_x 12\nweir_x 12\n");
    expect(ask(&w, &all, GET("/metrics")), "HTTP/1.1 200 OK\r\n",
           "content-type: text/plain; version=0.0.4; charset=utf-8\r\n");
    expect(ask(&w, &all, GET("/live")), "HTTP/1.1 200 OK\r\n", "\r\n\r\nlive\n");
    expect(ask(&w, &all, GET("/ready?x=y")), "HTTP/1.1 200 OK\r\n", "\r\n\r\nready\n");
    expect(ask(&w, &all, GET("/status")), "HTTP/1.1 200 OK\r\n",
           "content-type: application/json\r\n");
    w.ready = false;
    expect(ask(&w, &all, GET("/ready")), "HTTP/1.1 503 ", "\r\n\r\ndraining\n");
    world_deinit(&w);
}

static void a_listener_shows_its_scope_and_no_more(void **state) {
    struct world w;

    (void)state;
    world_init(&w);
    expect(ask(&w, &metrics, GET("/metrics")), "HTTP/1.1 200 ", "weir_x");
    expect(ask(&w, &metrics, GET("/ready")), "HTTP/1.1 404 ", "weir: try");
    expect(ask(&w, &all, GET("/routes")), "HTTP/1.1 200 OK\r\n", "{\"routes\":[]}\n");
    expect(ask(&w, &all, GET("/routes?bad")), "HTTP/1.1 400 ", "{\"error\":\"bad\"}\n");
    expect(ask(&w, &metrics, GET("/routes")), "HTTP/1.1 404 ", "weir: try");
    expect(ask(&w, &metrics, GET("/status")), "HTTP/1.1 404 ", "weir: try");
    expect(ask(&w, &health, GET("/ready")), "HTTP/1.1 200 ", "ready");
    expect(ask(&w, &health, GET("/live")), "HTTP/1.1 200 ", "live");
    expect(ask(&w, &health, GET("/metrics")), "HTTP/1.1 404 ", "weir: try");
    expect(ask(&w, &health, GET("/status")), "HTTP/1.1 404 ", "weir: try");
    expect(ask(&w, &all, GET("/")), "HTTP/1.1 404 ", "/metrics");
    expect(ask(&w, &all, GET("/metrics/")), "HTTP/1.1 404 ", "/metrics");
    world_deinit(&w);
}

static void head_says_the_length_and_sends_nothing(void **state) {
    struct world w;
    struct mem_conn *c;

    (void)state;
    world_init(&w);
    c = ask(&w, &all, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(c, "HTTP/1.1 200 OK\r\n", "ontent-Length: 20\r\n");
    assert_null(strstr(mem_received(c), "weir_x"));
    mem_received_clear(c);
    mem_send(c, GET("/live"));
    mem_run(w.net);
    expect(c, "HTTP/1.1 200 OK\r\n", "\r\n\r\nlive\n");
    world_deinit(&w);
}

static void other_methods_are_405_and_change_nothing(void **state) {
    struct world w;
    struct mem_conn *c;

    (void)state;
    world_init(&w);
    c = ask(&w, &all,
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET("/live"));
    expect(c, "HTTP/1.1 405 ", "GET or HEAD only\nHTTP/1.1 200 OK\r\n");
    world_deinit(&w);
}

static void a_pipeline_is_answered_in_order(void **state) {
    struct world w;
    struct mem_conn *c;

    (void)state;
    world_init(&w);
    c = ask(&w, &all, GET("/live") GET("/nothing") GET("/ready"));
    expect(c, "HTTP/1.1 200 OK\r\n", "live\nHTTP/1.1 404 ");
    assert_non_null(strstr(mem_received(c), "/routes\nHTTP/1.1 200 OK\r\n"));
    world_deinit(&w);
}

static void requests_may_come_in_bytes(void **state) {
    struct world w;
    struct mem_conn *c = NULL;

    (void)state;
    world_init(&w);
    c = mem_client_connect(w.net, &all);
    mem_piece(c, 1);
    mem_send(c, GET("/live") GET("/ready"));
    mem_run(w.net);
    expect(c, "HTTP/1.1 200 OK\r\n", "\r\n\r\nlive\nHTTP/1.1 200 OK\r\n");
    world_deinit(&w);
}

static void a_greedy_pipeliner_waits_for_itself(void **state) {
    struct world w;
    struct mem_conn *c;
    uint64_t most = 0;

    (void)state;
    world_init(&w);
    w.metrics_size = 20000;
    mem_buffer_size(w.net, 8192);
    c = mem_client_connect(w.net, &all);
    mem_hold(c, true);
    for (int i = 0; i < 2000; i++)
        mem_send(c, GET("/metrics"));
    mem_run(w.net);
    most = mem_net(w.net)->pool->n_live;
    assert_true(most < 20); /* chunks of 16 KiB; the answers are 40 MB */
    assert_true(mem_unsent(c) > 0);
    mem_hold(c, false);
    mem_run(w.net);
    assert_true(mem_received_len(c) > 2000u * 20000);
    world_deinit(&w);
}

static void garbage_ends_the_connection(void **state) {
    static const char *const texts[] = { "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                                         "GET\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
                                         "GET /live HTTP/1.1\r\nContent-Length: x\r\n\r\n" };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        struct world w;
        struct mem_conn *c;

        world_init(&w);
        c = ask(&w, &all, texts[i]);
        assert_true(mem_is_closed(c));
        assert_null(strstr(mem_received(c), "200"));
        world_deinit(&w);
    }
}

static void connection_close_and_http_1_0_end_with_the_answer(void **state) {
    struct world w;
    struct mem_conn *c;

    (void)state;
    world_init(&w);
    c = ask(&w, &all, "GET /live HTTP/1.0\r\n\r\n");
    expect(c, "HTTP/1.1 200 OK\r\n", "live");
    assert_true(mem_got_eof(c));
    c = ask(&w, &all, "GET /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/ready"));
    expect(c, "HTTP/1.1 200 OK\r\n", "live");
    assert_true(mem_got_eof(c));
    assert_null(strstr(mem_received(c), "ready"));
    mem_shutdown(c);
    mem_run(w.net);
    assert_true(mem_is_closed(c));
    world_deinit(&w);
}

static void a_client_that_half_closes_gets_its_whole_answer(void **state) {
    struct world w;
    struct mem_conn *c;

    (void)state;
    world_init(&w);
    w.metrics_size = 200000;
    mem_buffer_size(w.net, 8192);
    c = mem_client_connect(w.net, &all);
    mem_hold(c, true);
    mem_send(c, GET("/metrics"));
    mem_shutdown(c);
    mem_run(w.net);
    mem_hold(c, false);
    mem_advance(w.net, 200000);
    assert_true(mem_received_len(c) > 200000);
    assert_true(mem_is_closed(c));
    world_deinit(&w);
}

static void who_says_nothing_or_dribbles_is_closed(void **state) {
    struct world w;
    struct mem_conn *quiet, *dribbler, *user;

    (void)state;
    world_init(&w);
    quiet = mem_client_connect(w.net, &all);
    dribbler = mem_client_connect(w.net, &all);
    user = mem_client_connect(w.net, &all);
    mem_send(dribbler, "GET /live HTTP/1.1\r\nHost: ");
    for (int i = 0; i < 32; i++) {
        mem_send(dribbler, "a");
        mem_send(user, GET("/live"));
        mem_advance(w.net, 1000000);
        if (mem_is_closed(dribbler))
            break;
    }
    assert_true(mem_is_closed(quiet));
    assert_true(mem_is_closed(dribbler));
    assert_false(mem_is_closed(user));
    mem_close(user);
    mem_advance(w.net, 1000000);
    assert_false(mem_ticking(w.net));
    world_deinit(&w);
}

static void a_crowd_does_not_lock_out_the_probe(void **state) {
    struct world w;
    struct mem_conn *first, *c;

    (void)state;
    world_init(&w);
    first = mem_client_connect(w.net, &all);
    for (int i = 0; i < 100; i++)
        mem_client_connect(w.net, &all);
    mem_run(w.net);
    assert_true(mem_is_closed(first)); /* the longest silent goes */
    assert_true(mem_n_streams(w.net) <= 64);
    c = ask(&w, &health, GET("/ready"));
    expect(c, "HTTP/1.1 200 OK\r\n", "ready");
    world_deinit(&w);
}

static void a_failing_page_is_500(void **state) {
    struct world w;

    (void)state;
    world_init(&w);
    w.metrics_result = -ENOMEM;
    expect(ask(&w, &all, GET("/metrics")), "HTTP/1.1 500 ", "");
    world_deinit(&w);
}

static void a_post_is_passed_on(void **state) {
    struct world w;

    (void)state;
    world_init(&w);
    mem_post(w.net);
    mem_run(w.net);
    assert_int_equal(w.posted, 1);
    world_deinit(&w);
}

static int exchange(void *arg) {
    struct world w;
    struct mem_conn *c;
    int r;

    (void)arg;
    world_init(&w);
    c = ask(&w, &all, GET("/metrics") GET("/status"));
    r = strstr(mem_received(c), "pid") ? 0 : -ENOMEM;
    weir_admin_close(&w.admin);
    mem_run(w.net);
    mem_net_free(w.net);
    return r;
}

static void no_lack_of_memory_breaks_it(void **state) {
    (void)state;
    assert_true(weir_test_sweep(exchange, NULL, 0) > 3);
    assert_true(weir_test_sweep(exchange, NULL, 1) > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_page_is_what_it_says),
        cmocka_unit_test(a_listener_shows_its_scope_and_no_more),
        cmocka_unit_test(head_says_the_length_and_sends_nothing),
        cmocka_unit_test(other_methods_are_405_and_change_nothing),
        cmocka_unit_test(a_pipeline_is_answered_in_order),
        cmocka_unit_test(requests_may_come_in_bytes),
        cmocka_unit_test(a_greedy_pipeliner_waits_for_itself),
        cmocka_unit_test(garbage_ends_the_connection),
        cmocka_unit_test(connection_close_and_http_1_0_end_with_the_answer),
        cmocka_unit_test(a_client_that_half_closes_gets_its_whole_answer),
        cmocka_unit_test(who_says_nothing_or_dribbles_is_closed),
        cmocka_unit_test(a_crowd_does_not_lock_out_the_probe),
        cmocka_unit_test(a_failing_page_is_500),
        cmocka_unit_test(a_post_is_passed_on),
        cmocka_unit_test(no_lack_of_memory_breaks_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
