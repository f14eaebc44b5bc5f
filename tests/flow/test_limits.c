/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of the process and of a connection: each is made to fire, says so in its counter, and things go on afterwards. docs/limits.md. */
#include "weir_test.h"

#include "base/mem.h"
#include "core/admit.h"
#include "flow.h"
#include "h2peer.h"
#include "tlspeer.h"
#include "weir_mint.h"
#include "world.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define LIMITS(text)                                                                               \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec: {limits: {" text "}}"  \
    "\n"

static struct mem_conn *client_from(struct flow *f, const char *ip) {
    struct mem_conn *c = flow_client(f);

    assert_int_equal(weir_parse_ip(ip, &mem_info(c)->remote), 0);
    return c;
}

/* ---- connections ---- */

static void one_source_does_not_take_all_connections(void **state) {
    struct flow f;
    struct mem_conn *c[4];

    (void)state;
    flow_reverse(&f, LIMITS("connections: 20, sourceConnections: 2"));
    for (int i = 0; i < 3; i++)
        c[i] = client_from(&f, "192.0.2.1");
    c[3] = client_from(&f, "192.0.2.2");
    flow_run(&f);
    assert_false(mem_is_closed(c[0]));
    assert_false(mem_is_closed(c[1]));
    assert_true(mem_got_reset(c[2]));
    assert_false(mem_is_closed(c[3]));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(LOCAL, LIMIT_SOURCE)), 1);
    mem_close(c[0]);
    flow_run(&f);
    c[2] = client_from(&f, "192.0.2.1");
    flow_run(&f);
    assert_false(mem_is_closed(c[2]));
    flow_end(&f);
}

static void a_source_may_have_half_of_them_unless_stated(void **state) {
    struct flow f;
    struct mem_conn *c[6];

    (void)state;
    flow_reverse(&f, LIMITS("connections: 10"));
    for (int i = 0; i < 6; i++)
        c[i] = client_from(&f, "2001:db8::1");
    flow_run(&f);
    assert_false(mem_is_closed(c[4]));
    assert_true(mem_is_closed(c[5]));
    for (int i = 0; i < 3; i++)
        c[i] = client_from(&f, "127.0.0.1"); /* is nobody's */
    flow_run(&f);
    assert_false(mem_is_closed(c[2]));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(LOCAL, LIMIT_SOURCE)), 1);
    flow_end(&f);
}

static void the_pods_own_application_is_no_source(void **state) {
    struct flow f;
    struct mem_conn *c[3];

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND,
               "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\n"
               "spec: {pod: default/web, limits: {sourceConnections: 1}}\n---\n" PODS SERVICE(
                   "api", "10.96.0.1") SLICE("api", "10.1.0.2"));
    for (int i = 0; i < 3; i++) {
        c[i] = client_from(&f, "10.1.0.1");
        mem_info(c[i])->has_original = true;
        assert_int_equal(weir_parse_ip("10.96.0.1", &mem_info(c[i])->original), 0);
        mem_info(c[i])->original_port = 80;
    }
    flow_run(&f);
    for (int i = 0; i < 3; i++)
        assert_false(mem_is_closed(c[i]));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(LOCAL, LIMIT_SOURCE)), 0);
    flow_end(&f);
}

static const char ten[] = LIMITS("connections: 10, sourceConnections: 10, headTimeout: 10s");

static void the_longest_idle_connection_makes_room(void **state) {
    struct flow f;
    struct mem_conn *c[11], *s = NULL;

    (void)state;
    flow_reverse(&f, ten);
    for (int i = 0; i < 9; i++) {
        c[i] = flow_client(&f);
        flow_send(&f, c[i], GET);
        if (i == 0)
            s = flow_server(&f);
        flow_send(&f, s, OK);
        flow_wait(&f, 100000);
    }
    flow_send(&f, c[0], GET); /* used again, so no longer the one that has been idle for longest */
    flow_send(&f, s, OK);
    assert_int_equal(flow_count(&f, WEIR_C_DOWN_SHED), 0);
    c[9] = flow_client(&f); /* the tenth */
    flow_run(&f);
    assert_false(mem_is_closed(c[9]));
    assert_false(mem_is_closed(c[0]));
    assert_true(mem_is_closed(c[1]));
    assert_int_equal(flow_count(&f, WEIR_C_DOWN_SHED), 1);
    c[10] = flow_client(&f);
    flow_run(&f);
    assert_false(mem_is_closed(c[10]));
    assert_true(mem_is_closed(c[2]));
    assert_int_equal(flow_count(&f, WEIR_C_DOWN_SHED), 2);
    assert_int_equal(flow_faults(&f, WEIR_FAULT(LOCAL, LIMIT_CONNECTIONS)), 0);
    flow_end(&f);
}

/* Slowloris in its plainest form: as many half heads as there are places. */
static void half_heads_make_room_for_who_speaks(void **state) {
    struct flow f;
    struct mem_conn *c[10], *late, *s;

    (void)state;
    flow_reverse(&f, ten);
    for (int i = 0; i < 10; i++) {
        c[i] = flow_client(&f);
        flow_send(&f, c[i], "GET / HTTP/1.1\r\nHost");
        flow_wait(&f, 150000);
    }
    flow_wait(&f, 1000000);
    late = flow_client(&f);
    flow_run(&f);
    assert_true(mem_is_closed(late)); /* full: but its place is being made */
    flow_expect_starts(c[0], "HTTP/1.1 503 ");
    flow_expect_holds(c[0], "limit_connections");
    mem_close(c[0]);
    flow_wait(&f, 200000);
    late = flow_client(&f);
    flow_send(&f, late, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    flow_expect_holds(late, "hi");
    assert_true(flow_count(&f, WEIR_C_DOWN_SHED) >= 2);
    flow_end(&f);
}

/* ---- memory ---- */

static void near_the_memory_limit_new_work_is_shed_and_then_taken_again(void **state) {
    struct flow f;
    struct mem_conn *c, *h2conn, *idle, *late, *s;
    struct h2_peer *p;
    struct h2_msg *m;
    void *hoard;
    size_t used;

    (void)state;
    flow_reverse(&f, "");
    idle = flow_client(&f);
    flow_send(&f, idle, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    c = flow_client(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHo"); /* on its way: that is no reason to end it */
    p = h2_client(&f, &(struct h2_config){ 0 });
    h2conn = p->conn;
    m = h2_ask(p, "POST", "/", NULL, false);
    flow_run(&f);
    mem_received_clear(s);
    used = weir_mem_used();
    weir_mem_limit(used + 8000000);
    hoard = weir_malloc(7500000);
    assert_non_null(hoard);
    assert_true(weir_mem_high());

    late = flow_client(&f);
    flow_run(&f);
    assert_true(mem_got_reset(late));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(LOCAL, LIMIT_MEMORY)), 1);
    flow_send(&f, c, "st: a\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 503 ");
    flow_expect_holds(c, "x-weir-reason: limit_memory\r\n");
    flow_expect_holds(c, "memory limit");
    flow_expect_text(flow_lines(&f), " OM ");
    flow_wait(&f, 100000);
    assert_true(mem_is_closed(idle));
    assert_true(flow_count(&f, WEIR_C_DOWN_SHED) >= 1);
    assert_int_equal(f.worker.n_free_txns, 0);
    /* what runs is finished */
    h2_data(m, "abc", 3, true);
    flow_run(&f);
    flow_expect_holds(s, "abc");
    flow_send(&f, s, OK);
    assert_string_equal(h2_text(m), "hi");
    assert_false(mem_is_closed(h2conn));
    m = h2_get(p, "/");
    flow_run(&f);
    assert_true(m->end);
    flow_expect_text(m->head, ":status: 503");

    flow_wait(&f, 100000);
    assert_true(mem_is_closed(s)); /* idle upstream connections went as well */
    weir_free(hoard);
    assert_false(weir_mem_high());
    late = flow_client(&f);
    flow_send(&f, late, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    flow_expect_starts(late, OK);
    weir_mem_limit(0);
    flow_end(&f);
}

/* Beyond the bound each allocation fails: requests end, the process does not. */
static void at_the_bound_itself_nothing_dies_but_what_needs_memory(void **state) {
    struct flow f;
    struct mem_conn *c[8], *s;
    static char body[200000];
    size_t used;

    (void)state;
    flow_reverse(&f, "");
    mem_buffer_size(f.net, 4096);
    for (int i = 0; i < 8; i++) {
        c[i] = flow_client(&f);
        flow_send(&f, c[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
        s = flow_server(&f);
        mem_hold(s, true);
    }
    weir_relieve_spare(&f.worker);
    used = weir_mem_used();
    weir_mem_limit(used + 200000);
    for (int i = 0; i < 8; i++)
        mem_send_bytes(c[i], body, sizeof(body));
    flow_wait(&f, 1000000);
    assert_true(weir_mem_refused() > 0);
    for (int i = 0; i < 8; i++)
        mem_close(c[i]);
    flow_wait(&f, 1000000);
    weir_mem_limit(used + 8000000);
    c[0] = flow_client(&f);
    flow_send(&f, c[0], GET);
    while ((s = mem_next_dial(f.net)))
        mem_dial_accept(s);
    flow_run(&f);
    assert_false(mem_is_closed(c[0]));
    weir_mem_limit(0);
    flow_end(&f);
}

/* ---- handshakes ---- */

struct tls_world {
    struct mint ca, leaf;
    struct weir_tls_ctx *server, *client;
};

static struct weir_tls_ctx *context(enum weir_tls_mode mode, const struct mint *leaf,
                                    const struct mint *ca) {
    struct weir_tls_params params = { .mode = mode, .alpn = WEIR_SLICE("\x08http/1.1") };
    struct weir_tls_ctx *ctx = NULL;
    const char *why = "";

    if (leaf) {
        params.material.cert_chain = weir_slice_from_str(leaf->cert_pem);
        params.material.key = weir_slice_from_str(leaf->key_pem);
    }
    if (ca)
        params.material.ca = weir_slice_from_str(ca->cert_pem);
    if (weir_tls_ctx_new(&params, &ctx, &why) != 0)
        fail_msg("context: %s", why);
    return ctx;
}

static void handshakes_beyond_the_limit_wait_unread(void **state) {
    struct tls_world w;
    struct weir_tls_set set;
    struct flow f;
    struct mem_conn *silent, *slow, *c[2];
    struct tls_peer *p[2];

    (void)state;
    w.ca = mint_ca("test");
    w.leaf = mint_new(&(struct mint_spec){ .dns = { "server" } }, &w.ca);
    w.server = context(WEIR_TLS_SERVER, &w.leaf, NULL);
    w.client = context(WEIR_TLS_CLIENT, NULL, &w.ca);
    set = (struct weir_tls_set){ .server = weir_tls_ctx_ref(w.server) };
    flow_open(&f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE,
                                          .yaml = LIMITS("handshakes: 1, handshakeTimeout: 4s"),
                                          .tls = &set });
    silent = flow_client(&f); /* has not begun, so it takes no place */
    flow_run(&f);
    assert_int_equal(f.quota.handshakes, 0);
    slow = flow_client(&f);
    mem_send_bytes(slow, "\x16\x03\x01\x02\x00\x01",
                   6); /* the first bytes of its ClientHello, and no more */
    flow_run(&f);
    assert_int_equal(f.quota.handshakes, 1);
    flow_wait(&f, 2000000);
    for (int i = 0; i < 2; i++) {
        c[i] = flow_client(&f);
        p[i] = tls_over(&f, c[i], w.client, "server");
        tls_say(p[i], GET);
    }
    flow_run(&f);
    assert_int_equal(mem_received_len(c[0]), 0);
    assert_int_equal(flow_count(&f, WEIR_C_HANDSHAKES_WAITED), 2);
    assert_false(tls_established(p[0]));
    flow_wait(&f, 2200000); /* the slow one's time is over, then theirs comes */
    assert_true(mem_is_closed(slow));
    assert_true(mem_is_closed(silent));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, TIMEOUT_HANDSHAKE)), 2);
    assert_true(tls_established(p[0]));
    assert_true(tls_established(p[1]));
    assert_int_equal(f.quota.handshakes, 0);
    flow_end(&f);
    weir_tls_ctx_unref(w.server);
    weir_tls_ctx_unref(w.client);
    mint_free(&w.leaf);
    mint_free(&w.ca);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_source_does_not_take_all_connections),
        cmocka_unit_test(a_source_may_have_half_of_them_unless_stated),
        cmocka_unit_test(the_pods_own_application_is_no_source),
        cmocka_unit_test(the_longest_idle_connection_makes_room),
        cmocka_unit_test(half_heads_make_room_for_who_speaks),
        cmocka_unit_test(near_the_memory_limit_new_work_is_shed_and_then_taken_again),
        cmocka_unit_test(at_the_bound_itself_nothing_dies_but_what_needs_memory),
        cmocka_unit_test(handshakes_beyond_the_limit_wait_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
