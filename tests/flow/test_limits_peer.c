/* SPDX-License-Identifier: Apache-2.0 */
/* Limits on what one peer sends, and how fast: each is made to fire and says so in its counter. docs/limits.md. */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"
#include "world.h"

#define GET   "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define SIZED "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "
#define CHUNKED                                                                                    \
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n"
#define LIMITS(text)                                                                               \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec: {limits: {" text "}}"  \
    "\n"

static char zeros[1 << 20];

static uint64_t body_late(struct flow *f, enum weir_side side) {
    return flow_faults(f, (struct weir_fault){ (uint8_t)side, WEIR_FAULT_TIMEOUT_BODY });
}

/* ---- sizes ---- */

/* `before`, `n` times `unit`, `after`. */
struct long_text {
    const char *before, *unit;
    unsigned n;
    const char *after;
};

static void send_long(struct mem_conn *c, const struct long_text *t) {
    mem_send(c, t->before);
    for (unsigned i = 0; i < t->n; i++)
        mem_send(c, t->unit);
    mem_send(c, t->after);
}

static void each_part_of_a_request_has_its_bound(void **state) {
    static const struct {
        struct long_text within, beyond;
        const char *answer;
        enum weir_fault_kind kind;
    } rows[] = {
        { { "GET / HTTP/1.1\r\nHost: a\r\nX: ", "xxxxxxxxxx", 6000, "\r\n\r\n" },
          { "GET / HTTP/1.1\r\nHost: a\r\nX: ", "xxxxxxxxxx", 6600, "\r\n\r\n" },
          "HTTP/1.1 431 ",
          WEIR_FAULT_HEAD_TOO_LARGE },
        { { "GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", 100, "\r\n" },
          { "GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", 101, "\r\n" },
          "HTTP/1.1 431 ",
          WEIR_FAULT_TOO_MANY_FIELDS },
        { { "GET /", "abcdefghij", 1600, " HTTP/1.1\r\nHost: a\r\n\r\n" },
          { "GET /", "abcdefghij", 1700, " HTTP/1.1\r\nHost: a\r\n\r\n" },
          "HTTP/1.1 414 ",
          WEIR_FAULT_TARGET_TOO_LONG },
        { { CHUNKED "1\r\nx\r\n0\r\nT: ", "xxxxxxxxxx", 1600, "\r\n\r\n" },
          { CHUNKED "1\r\nx\r\n0\r\nT: ", "xxxxxxxxxx", 1700, "\r\n\r\n" },
          "HTTP/1.1 431 ",
          WEIR_FAULT_HEAD_TOO_LARGE },
        { { CHUNKED, "1;xxxxx\r\nx\r\n", 1600, "0\r\n\r\n" },
          { CHUNKED, "1;xxxxxxxxxxxxxx\r\nx\r\n", 1600, "0\r\n\r\n" },
          "HTTP/1.1 400 ",
          WEIR_FAULT_BAD_FRAMING },
    };

    (void)state;
    for (size_t i = 0; i < 2 * WEIR_ARRAY_LEN(rows); i++) {
        bool beyond = i & 1;
        struct flow f;
        struct mem_conn *c, *s;

        flow_reverse(&f, "");
        mem_buffer_size(f.net, 1 << 20);
        c = flow_client(&f);
        send_long(c, beyond ? &rows[i / 2].beyond : &rows[i / 2].within);
        flow_run(&f);
        s = mem_next_dial(f.net);
        if (s) {
            mem_dial_accept(s);
            flow_run(&f);
        }
        if (!beyond)
            flow_send(&f, s, OK);
        if (strncmp(mem_received(c), beyond ? rows[i / 2].answer : OK, 13) != 0)
            fail_msg("row %zu, %s: %s", i / 2, beyond ? "beyond" : "within", mem_received(c));
        assert_int_equal(
            flow_faults(&f, (struct weir_fault){ WEIR_SIDE_DOWNSTREAM, (uint8_t)rows[i / 2].kind }),
            beyond);
        flow_end(&f);
    }
}

static void each_part_of_a_response_has_its_bound(void **state) {
    static const struct {
        struct long_text beyond;
        enum weir_fault_kind kind;
    } rows[] = {
        { { "HTTP/1.1 200 OK\r\nX: ", "xxxxxxxxxx", 6600, "\r\n\r\n" }, WEIR_FAULT_HEAD_TOO_LARGE },
        { { "HTTP/1.1 200 OK\r\n", "X: y\r\n", 101, "\r\n" }, WEIR_FAULT_TOO_MANY_FIELDS },
        { { "", "HTTP/1.1 103 Early\r\n\r\n", 17, "" }, WEIR_FAULT_TOO_MANY_INFORMATIONAL },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct flow f;
        struct mem_conn *c, *s;

        flow_reverse(&f, "");
        mem_buffer_size(f.net, 1 << 20);
        c = flow_client(&f);
        flow_send(&f, c, GET);
        s = flow_server(&f);
        send_long(s, &rows[i].beyond);
        flow_run(&f);
        flow_expect_holds(c, "HTTP/1.1 502 ");
        assert_true(mem_is_closed(s));
        assert_int_equal(
            flow_faults(&f, (struct weir_fault){ WEIR_SIDE_UPSTREAM, (uint8_t)rows[i].kind }), 1);
        flow_end(&f);
    }
}

static void announced_content_beyond_the_limit_goes_nowhere(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, LIMITS("bodyBytes: 1Ki"));
    c = flow_client(&f);
    flow_send(&f, c, SIZED "1025\r\nExpect: 100-continue\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 413 ");
    flow_expect_holds(c, "x-weir-reason: body_too_large\r\n");
    flow_expect_holds(c, "The content of the request is too large. (BL body_too_large)");
    flow_expect_text(flow_lines(&f), " BL ");
    assert_null(mem_next_dial(f.net));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, BODY_TOO_LARGE)), 1);
    c = flow_client(&f);
    flow_send(&f, c, SIZED "1024\r\n\r\n");
    s = flow_server(&f);
    mem_send_bytes(c, zeros, 1024);
    flow_send(&f, s, OK);
    flow_expect_starts(c, OK);
    flow_end(&f);
}

static void unannounced_content_beyond_the_limit_is_never_completed(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, LIMITS("bodyBytes: 8"));
    c = flow_client(&f);
    flow_send(&f, c, CHUNKED "4\r\nabcd\r\n");
    s = flow_server(&f);
    flow_send(&f, c, "4\r\nefgh\r\n1\r\nX\r\n0\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 413 ");
    flow_expect_holds(s, "abcd");
    flow_expect_lacks(s, "\r\nX");
    flow_expect_lacks(s, "\r\n0\r\n");
    assert_true(mem_is_closed(s));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, BODY_TOO_LARGE)), 1);
    flow_end(&f);
}

static void content_of_http2_is_bounded_alike(void **state) {
    static const char *const sized[] = { "content-length", "9", NULL };
    struct flow f;
    struct h2_peer *p;
    struct h2_msg *m;
    struct mem_conn *s;

    (void)state;
    flow_reverse(&f, LIMITS("bodyBytes: 8"));
    p = h2_client(&f, &(struct h2_config){ 0 });
    m = h2_ask(p, "POST", "/", sized, false);
    flow_run(&f);
    flow_expect_text(m->head, ":status: 413");
    assert_null(mem_next_dial(f.net));
    m = h2_ask(p, "POST", "/", NULL, false);
    h2_data(m, "12345678", 8, false);
    s = flow_server(&f);
    h2_data(m, "9", 1, true);
    flow_run(&f);
    flow_expect_text(m->head, ":status: 413");
    flow_expect_lacks(s, "\r\n9");
    assert_true(mem_is_closed(s));
    m = h2_get(p, "/"); /* the connection goes on */
    s = flow_server(&f);
    flow_send(&f, s, OK);
    assert_string_equal(h2_text(m), "hi");
    flow_end(&f);
}

static const char routed[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\n"
    "spec: {pod: default/web, limits: {bodyBytes: 100, bodyTimeout: 3s}}\n---\n" PODS SERVICE(
        "api", "10.96.0.1")
        SLICE("api", "10.1.0.2") "apiVersion: gateway.networking.k8s.io/v1\nkind: "
                                 "HTTPRoute\nmetadata: {name: r}\nspec:\n"
                                 "  parentRefs: [{kind: Service, group: \"\", name: api, port: "
                                 "80}]\n  rules:\n"
                                 "  - {name: small, matches: [{path: {value: /small}}], "
                                 "backendRefs: [{name: api, port: 80}]}\n"
                                 "  - {name: any, matches: [{path: {value: /any}}], backendRefs: "
                                 "[{name: api, port: 80}]}\n"
                                 "  - {matches: [{path: {value: /}}], backendRefs: [{name: api, "
                                 "port: 80}]}\n---\n"
                                 "apiVersion: weir.dev/v1alpha1\nkind: RoutePolicy\nmetadata: "
                                 "{name: small}\nspec:\n"
                                 "  targetRefs: [{group: gateway.networking.k8s.io, kind: "
                                 "HTTPRoute, name: r, sectionName: "
                                 "small}]\n  maxRequestBody: 10\n---\n"
                                 "apiVersion: weir.dev/v1alpha1\nkind: RoutePolicy\nmetadata: "
                                 "{name: any}\nspec:\n"
                                 "  targetRefs: [{group: gateway.networking.k8s.io, kind: "
                                 "HTTPRoute, name: r, sectionName: "
                                 "any}]\n  maxRequestBody: 0\n  minBodyRate: 0\n";

static struct mem_conn *app_client(struct flow *f) {
    struct mem_conn *c = flow_client(f);

    mem_info(c)->has_original = true;
    weir_parse_ip("10.96.0.1", &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

static void a_route_says_how_much_it_takes(void **state) {
    static const struct {
        const char *path;
        unsigned length;
        bool passes;
    } rows[] = {
        { "/small", 10, true }, { "/small", 11, false },    { "/", 100, true },
        { "/", 101, false },    { "/any", 10000000, true },
    };
    struct flow f;

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char text[128];
        struct mem_conn *c, *dial;

        flow_start(&f, WEIR_DIR_OUTBOUND, routed);
        c = app_client(&f);
        snprintf(text, sizeof(text), "PUT %s HTTP/1.1\r\nHost: api\r\nContent-Length: %u\r\n\r\n",
                 rows[i].path, rows[i].length);
        flow_send(&f, c, text);
        dial = mem_next_dial(f.net);
        assert_int_equal(dial != NULL, rows[i].passes);
        if (!rows[i].passes)
            flow_expect_starts(c, "HTTP/1.1 413 ");
        flow_end(&f);
    }
}

/* A client that has not waited for the announcement, and one that disregards it. */
static void streams_beyond_the_limit_are_refused_and_counted(void **state) {
    static const char begin[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    static const char ack[] = "\0\0\0\4\1\0\0\0";
    static const char refused[] = "\0\0\4\3\0\0\0\0\7\0\0\0\7";
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_reverse(&f, LIMITS("streams: 3"));
    c = flow_client(&f);
    mem_send_bytes(c, begin, sizeof(begin));
    for (char id = 1; id <= 7; id = (char)(id + 2)) { /* GET http://a/ */
        const char head[] = { 0, 0, 6, 1, 5, 0, 0, 0, id, '\x82', '\x84', '\x86', 1, 1, 'a' };

        mem_send_bytes(c, head, sizeof(head));
    }
    flow_run(&f);
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS_ACTIVE), 3);
    assert_non_null(memmem(mem_received(c), mem_received_len(c), refused, sizeof(refused) - 1));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, LIMIT_STREAMS)), 1);
    assert_false(mem_is_closed(c));
    mem_send_bytes(c, ack, sizeof(ack));
    mem_send_bytes(
        c, (const char[]){ 0, 0, 6, 1, 5, 0, 0, 0, 9, '\x82', '\x84', '\x86', 1, 1, 'a' }, 15);
    flow_run(&f);
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS_ACTIVE), 0);
    assert_true(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, LIMIT_STREAMS)) >= 2);
    flow_end(&f);
}

static void what_is_pipelined_waits_within_one_read(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, "");
    mem_buffer_size(f.net, 1 << 20);
    c = flow_client(&f);
    for (int i = 0; i < 2000; i++)
        mem_send(c, GET);
    s = flow_server(&f);
    assert_true(mem_unsent(c) >= 2000 * strlen(GET) - WEIR_CHUNK_SIZE);
    assert_int_equal(flow_count(&f, WEIR_C_PIPELINES_HELD), 1);
    for (int i = 0; i < 2000; i++)
        flow_send(&f, s, OK);
    assert_int_equal(mem_received_len(c), 2000 * strlen(OK));
    flow_end(&f);
}

/* ---- rates ---- */

#define HASTY "headTimeout: 2s, bodyTimeout: 3s, streamTimeout: 6s, minBodyRate: 100"

/* n bytes each second for as long; false = the proxy ended it. */
static bool trickle(struct flow *f, struct mem_conn *c, size_t n, unsigned seconds) {
    for (unsigned i = 0; i < seconds && !mem_is_closed(c); i++) {
        if (strstr(mem_received(c), "HTTP/1.1 408"))
            return false;
        mem_send_bytes(c, zeros, n);
        flow_wait(f, 1000000);
    }
    return !mem_is_closed(c) && !strstr(mem_received(c), "HTTP/1.1 408");
}

static void a_head_that_trickles_is_408(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_reverse(&f, LIMITS(HASTY));
    c = flow_client(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 8; i++) {
        flow_wait(&f, 300000);
        if (!mem_got_eof(c))
            mem_send(c, "X");
    }
    flow_expect_starts(c, "HTTP/1.1 408 ");
    flow_expect_holds(c, "timeout_head");
    assert_int_equal(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, TIMEOUT_HEAD)), 1);
    flow_end(&f);
}

static void content_that_trickles_is_408(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, LIMITS(HASTY));
    c = flow_client(&f);
    flow_send(&f, c, SIZED "1000000\r\n\r\n");
    s = flow_server(&f);
    assert_true(trickle(&f, c, 120, 20)); /* not fast, but fast enough */
    assert_false(trickle(&f, c, 80, 10));
    flow_expect_holds(c, "timeout_body");
    assert_true(mem_is_closed(s));
    assert_int_equal(body_late(&f, WEIR_SIDE_DOWNSTREAM), 1);
    flow_end(&f);
}

static void chunks_do_not_help(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    unsigned i;

    (void)state;
    flow_reverse(&f, LIMITS(HASTY));
    c = flow_client(&f);
    flow_send(&f, c, CHUNKED);
    s = flow_server(&f);
    for (i = 0; i < 30 && !mem_got_eof(c); i++) {
        mem_send(c, "1\r\nx\r\n");
        flow_wait(&f, 1000000);
    }
    assert_true(i > 6 && i < 20); /* streamTimeout, looked at every bodyTimeout */
    flow_expect_starts(c, "HTTP/1.1 408 ");
    assert_true(mem_is_closed(s));
    /* A server that answers while it still receives is a conversation. */
    c = flow_client(&f);
    flow_send(&f, c, CHUNKED);
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (i = 0; i < 30; i++) {
        mem_send(c, "1\r\nx\r\n");
        mem_send(s, "1\r\ny\r\n");
        flow_wait(&f, 1000000);
    }
    assert_false(mem_is_closed(s));
    flow_end(&f);
}

static void grpc_may_think_between_messages(void **state) {
    static const char *const fields[] = { "content-type", "application/grpc", "te", "trailers",
                                          NULL };
    struct flow f;
    struct h2_peer *p, *s;
    struct h2_msg *m, *got;

    (void)state;
    flow_open(&f, &(struct flow_options){
                      .dir = WEIR_DIR_REVERSE, .yaml = LIMITS(HASTY), .scheme = WEIR_TO_H2C });
    p = h2_client(&f, &(struct h2_config){ 0 });
    m = h2_ask(p, "POST", "/s/m", fields, false);
    flow_run(&f);
    s = h2_server(&f, &(struct h2_config){ 0 });
    for (int i = 0; i < 20; i++) {
        h2_data(m, "\0\0\0\0\0", 5, false);
        flow_wait(&f, 1000000);
    }
    assert_false(m->closed);
    got = h2_take(s);
    assert_int_equal(got->len, 100);
    flow_end(&f);
}

static void a_route_may_ask_for_no_rate(void **state) {
    struct flow f;
    struct mem_conn *c;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, routed);
    c = app_client(&f);
    flow_send(&f, c, "PUT /any HTTP/1.1\r\nHost: api\r\nContent-Length: 100000\r\n\r\n");
    (void)flow_server(&f);
    assert_true(trickle(&f, c, 1, 20));
    flow_end(&f);
}

static void a_client_that_sips_its_answer_is_cut(void **state) {
    struct flow f;
    struct h2_peer *p;
    struct h2_msg *m;
    struct mem_conn *s;
    unsigned i;

    (void)state;
    flow_reverse(&f, LIMITS(HASTY));
    p = h2_client(&f, &(struct h2_config){ .manual_window = true });
    m = h2_get(p, "/");
    s = flow_server(&f);
    mem_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    mem_send_bytes(s, zeros, 1000000);
    flow_run(&f);
    for (i = 0; i < 20 && !m->closed; i++) { /* a byte of window a second: never quite still */
        h2_credit(m, 1);
        flow_wait(&f, 1000000);
    }
    assert_true(m->closed);
    assert_true(i < 12);
    assert_int_equal(body_late(&f, WEIR_SIDE_DOWNSTREAM), 1);
    flow_end(&f);
}

static void a_connection_read_in_sips_is_cut(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    unsigned i;

    (void)state;
    flow_reverse(&f, LIMITS(HASTY));
    mem_buffer_size(f.net, 64);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    mem_hold(c, true);
    mem_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    mem_send_bytes(s, zeros, 1000000);
    for (i = 0; i < 30 && !mem_is_closed(c); i++) { /* 64 bytes each two seconds */
        mem_hold(c, false);
        mem_turn(f.net);
        mem_hold(c, true);
        flow_wait(&f, 2000000);
    }
    assert_true(mem_is_closed(c));
    assert_true(i < 15);
    assert_int_equal(body_late(&f, WEIR_SIDE_DOWNSTREAM), 1);
    flow_end(&f);
}

static void a_server_that_trickles_is_given_up(void **state) {
    struct flow f;
    struct mem_conn *c, *s;
    unsigned i;

    (void)state;
    flow_reverse(&f, LIMITS(HASTY));
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    for (i = 0; i < 30 && !mem_is_closed(s); i++) {
        mem_send(s, "x");
        flow_wait(&f, 1000000);
    }
    assert_true(i < 15);
    assert_true(mem_got_reset(c));
    assert_int_equal(body_late(&f, WEIR_SIDE_UPSTREAM), 1);
    /* Events as they happen have no rate. */
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (i = 0; i < 30; i++) {
        mem_send(s, "1\r\nx\r\n");
        flow_wait(&f, 1000000);
    }
    assert_false(mem_is_closed(s));
    flow_end(&f);
}

/* A slow server is not the client's fault, however long the client has to wait for room. */
static void who_is_held_back_has_all_the_time(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, LIMITS("bodyTimeout: 3s, minBodyRate: 100, pipeBytes: 16384"));
    mem_buffer_size(f.net, 16384);
    c = flow_client(&f);
    flow_send(&f, c, SIZED "1048576\r\n\r\n");
    s = flow_server(&f);
    mem_send_bytes(c, zeros, sizeof(zeros));
    for (int i = 0; i < 40; i++) { /* the server takes a little now and then, faster than it must */
        mem_hold(s, true);
        flow_wait(&f, 1000000);
        mem_hold(s, false);
        flow_run(&f);
    }
    assert_int_equal(body_late(&f, WEIR_SIDE_DOWNSTREAM), 0);
    assert_true(flow_count(&f, WEIR_C_PIPES_FULL) > 0);
    assert_false(mem_got_eof(c));
    flow_end(&f);
}

static void an_idle_connection_is_closed_and_counted(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, LIMITS("idleTimeout: 2s"));
    c = flow_client(&f);
    flow_send(&f, c, GET);
    s = flow_server(&f);
    flow_send(&f, s, OK);
    flow_wait(&f, 2500000);
    assert_true(mem_is_closed(c));
    assert_int_equal(flow_count(&f, WEIR_C_DOWN_IDLE_CLOSED), 1);
    flow_end(&f);
}

static void a_silent_tunnel_ends_in_its_time(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_reverse(&f, LIMITS("tunnelTimeout: 5s"));
    c = flow_client(&f);
    flow_send(&f, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    s = flow_server(&f);
    flow_send(&f, s, "HTTP/1.1 101 Now\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    flow_wait(&f, 4000000);
    flow_send(&f, c, "still here");
    flow_wait(&f, 6000000);
    assert_false(mem_is_closed(c));
    flow_wait(&f, 5000000);
    assert_true(mem_is_closed(c));
    assert_true(mem_is_closed(s));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(LOCAL, TIMEOUT_IDLE)), 1);
    flow_end(&f);
}

static void a_silent_relay_ends_in_its_time(void **state) {
    struct flow f;
    struct mem_conn *c, *s;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND,
               "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\n"
               "spec: {pod: default/web, limits: {tunnelTimeout: 5s}}\n---\n" PODS SERVICE(
                   "api", "10.96.0.1") SLICE("api", "10.9.0.9"));
    c = app_client(&f);
    flow_send(&f, c, "\x01\x02not HTTP");
    s = flow_server(&f);
    flow_wait(&f, 4000000);
    flow_send(&f, s, "\x03");
    flow_wait(&f, 4000000);
    assert_false(mem_is_closed(c));
    flow_wait(&f, 4000000);
    assert_true(mem_is_closed(c));
    assert_int_equal(flow_faults(&f, WEIR_FAULT(LOCAL, TIMEOUT_IDLE)), 1);
    flow_end(&f);
}

/* What a server does not take of a tunnel's last bytes costs it the stream, not the connection its stream slot for ever. */
static void a_tunnel_whose_rest_nobody_takes_gives_its_stream_back(void **state) {
    struct flow f;
    struct mem_conn *c;
    struct h2_peer *s;
    struct h2_msg *m, *next;

    (void)state;
    flow_open(&f, &(struct flow_options){ .dir = WEIR_DIR_REVERSE,
                                          .yaml = LIMITS(HASTY ", tunnelTimeout: 600s"),
                                          .scheme = WEIR_TO_H2C });
    c = flow_client(&f);
    flow_send(&f, c,
              "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    s = h2_server(&f, &(struct h2_config){ .extended = true, .manual_window = true });
    flow_run(&f);
    m = h2_take(s);
    assert_non_null(m);
    h2_head(m, "200", NULL, false);
    flow_run(&f);
    flow_expect_starts(c, "HTTP/1.1 101 ");
    mem_send_bytes(c, zeros, 100000);
    mem_shutdown(c);
    h2_data(m, "bye", 3, true);
    flow_run(&f);
    assert_true(mem_is_closed(c));
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS_ACTIVE), 0);
    assert_false(m->closed);
    flow_wait(&f, 10000000);
    assert_true(m->closed);
    assert_int_equal(body_late(&f, WEIR_SIDE_UPSTREAM), 1);
    nghttp2_submit_window_update(s->session, NGHTTP2_FLAG_NONE, 0, 65535);
    c = flow_client(&f);
    flow_send(&f, c, GET);
    next = h2_take(s); /* on the same connection */
    assert_non_null(next);
    h2_answer(next, "200", "hi");
    flow_run(&f);
    flow_expect_holds(c, "hi");
    flow_end(&f);
}

static void a_tunnel_s_rest_that_is_taken_arrives(void **state) {
    struct flow f;
    struct mem_conn *c;
    struct h2_peer *s;
    struct h2_msg *m;

    (void)state;
    flow_open(&f, &(struct flow_options){
                      .dir = WEIR_DIR_REVERSE, .yaml = LIMITS(HASTY), .scheme = WEIR_TO_H2C });
    c = flow_client(&f);
    flow_send(&f, c,
              "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    s = h2_server(&f, &(struct h2_config){ .extended = true, .manual_window = true });
    flow_run(&f);
    m = h2_take(s);
    h2_head(m, "200", NULL, false);
    flow_run(&f);
    mem_send_bytes(c, zeros, 100000);
    mem_shutdown(c);
    h2_data(m, "bye", 3, true);
    for (int i = 0; i < 20; i++) {
        h2_credit(m, 5000);
        flow_wait(&f, 500000);
    }
    assert_int_equal(m->len, 100000);
    assert_true(m->end);
    assert_int_equal(body_late(&f, WEIR_SIDE_UPSTREAM), 0);
    flow_end(&f);
}

/* ---- buffers ---- */

/* 20 answers that the client does not read hold what one connection may, and those it reads go on. */
static void one_connection_holds_no_more_than_its_share(void **state) {
    enum { N = 20 };
    struct flow f;
    struct h2_peer *p;
    struct h2_msg *m[N], *read;
    struct mem_conn *s[N], *reader;
    uint64_t before;

    (void)state;
    flow_reverse(&f, LIMITS("connectionBytes: 131072"));
    mem_buffer_size(f.net, 65536);
    p = h2_client(&f, &(struct h2_config){ .manual_window = true, .window = 1 });
    nghttp2_submit_window_update(p->session, NGHTTP2_FLAG_NONE, 0, 10000000);
    before = mem_net(f.net)->pool->n_live;
    for (int i = 0; i < N; i++) {
        m[i] = h2_get(p, "/");
        s[i] = flow_server(&f);
        mem_send(s[i], "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        mem_send_bytes(s[i], zeros, 1000000);
        flow_run(&f);
    }
    assert_true(flow_count(&f, WEIR_C_CONNS_FULL) > 0);
    /* its share, and one read of each */
    assert_true((mem_net(f.net)->pool->n_live - before) * WEIR_CHUNK_SIZE <=
                131072 + 2 * (N + 1) * WEIR_CHUNK_SIZE);
    read = h2_get(p, "/");
    reader = flow_server(&f);
    mem_send(reader, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    mem_send_bytes(reader, zeros, 100000);
    for (int i = 0; i < 30; i++) {
        nghttp2_submit_window_update(p->session, NGHTTP2_FLAG_NONE, read->id, 5000);
        flow_run(&f);
    }
    assert_int_equal(read->len, 100000);
    assert_true(read->end);
    for (int i = 0; i < N; i++)
        assert_true(m[i]->len <= 1);
    flow_end(&f);
}

/* ---- floods ---- */

static void put_frame(struct h2_peer *p, uint8_t type, uint8_t flags, uint32_t id) {
    const char frame[9 + 8] = { 0,          0,           type == NGHTTP2_PING ? 8 : 0,
                                (char)type, (char)flags, 0,
                                0,          0,           (char)id };

    h2_raw(p, frame, type == NGHTTP2_PING ? 17 : 9);
}

static void floods_are_told_apart(void **state) {
    static const struct {
        uint8_t type;
        uint32_t id;
        enum weir_counter counter;
    } rows[] = {
        { NGHTTP2_PING, 0, WEIR_C_FLOOD_PINGS },
        { NGHTTP2_SETTINGS, 0, WEIR_C_FLOOD_SETTINGS },
        { NGHTTP2_DATA, 1, WEIR_C_FLOOD_EMPTY },
        { 0x77, 0, WEIR_C_FLOOD_OTHER },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct flow f;
        struct h2_peer *p;

        flow_reverse(&f, "");
        p = h2_client(&f, &(struct h2_config){ 0 });
        (void)h2_ask(p, "POST", "/", NULL, false);
        flow_run(&f);
        for (int n = 0; n < 3000; n++)
            put_frame(p, rows[i].type, 0, rows[i].id);
        flow_run(&f);
        assert_true(p->goaway);
        assert_int_equal(p->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        assert_int_equal(flow_count(&f, rows[i].counter), 1);
        assert_true(flow_faults(&f, WEIR_FAULT(DOWNSTREAM, FLOOD)) >= 1);
        flow_end(&f);
    }
}

static void take_back(struct h2_peer *p, unsigned n) {
    for (; n > 0; n--) {
        struct h2_msg *m = h2_get(p, "/");

        h2_push(p);
        h2_rst(m, NGHTTP2_CANCEL);
        h2_push(p);
    }
}

static void resets_are_counted_by_time(void **state) {
    struct flow f;
    struct h2_peer *p;

    (void)state;
    flow_reverse(&f, LIMITS("resetsPerSecond: 2"));
    p = h2_client(&f, &(struct h2_config){ 0 });
    take_back(p, 20);
    flow_run(&f);
    assert_false(p->goaway);
    take_back(p, 5);
    flow_run(&f);
    assert_true(p->goaway);
    assert_int_equal(flow_count(&f, WEIR_C_FLOOD_RESETS), 1);
    flow_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_of_a_request_has_its_bound),
        cmocka_unit_test(each_part_of_a_response_has_its_bound),
        cmocka_unit_test(announced_content_beyond_the_limit_goes_nowhere),
        cmocka_unit_test(unannounced_content_beyond_the_limit_is_never_completed),
        cmocka_unit_test(content_of_http2_is_bounded_alike),
        cmocka_unit_test(a_route_says_how_much_it_takes),
        cmocka_unit_test(streams_beyond_the_limit_are_refused_and_counted),
        cmocka_unit_test(what_is_pipelined_waits_within_one_read),
        cmocka_unit_test(a_head_that_trickles_is_408),
        cmocka_unit_test(content_that_trickles_is_408),
        cmocka_unit_test(chunks_do_not_help),
        cmocka_unit_test(grpc_may_think_between_messages),
        cmocka_unit_test(a_route_may_ask_for_no_rate),
        cmocka_unit_test(a_client_that_sips_its_answer_is_cut),
        cmocka_unit_test(a_connection_read_in_sips_is_cut),
        cmocka_unit_test(a_server_that_trickles_is_given_up),
        cmocka_unit_test(who_is_held_back_has_all_the_time),
        cmocka_unit_test(an_idle_connection_is_closed_and_counted),
        cmocka_unit_test(a_silent_tunnel_ends_in_its_time),
        cmocka_unit_test(a_silent_relay_ends_in_its_time),
        cmocka_unit_test(a_tunnel_whose_rest_nobody_takes_gives_its_stream_back),
        cmocka_unit_test(a_tunnel_s_rest_that_is_taken_arrives),
        cmocka_unit_test(one_connection_holds_no_more_than_its_share),
        cmocka_unit_test(floods_are_told_apart),
        cmocka_unit_test(resets_are_counted_by_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
