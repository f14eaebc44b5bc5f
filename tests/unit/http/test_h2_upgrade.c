/* SPDX-License-Identifier: Apache-2.0 */
/* Extended CONNECT (RFC 8441) in both roles, in the shape the owner sees: a request to upgrade and a 101. */
#include "h2_wire.h"

struct pair {
    struct owner client, server;
    struct weir_arena arena;
    struct weir_head head;
};

static void setup(struct pair *p) {
    memset(p, 0, sizeof(*p));
    assert_int_equal(owner_init(&p->client, WEIR_ROLE_CLIENT), 0);
    assert_int_equal(owner_init(&p->server, WEIR_ROLE_SERVER), 0);
    weir_arena_init(&p->arena, 4096);
}

static void teardown(struct pair *p) {
    owner_deinit(&p->client);
    owner_deinit(&p->server);
    weir_arena_deinit(&p->arena);
}

static void talk(struct pair *p) {
    assert_int_equal(owners_talk(&p->client, &p->server, WHOLE), 0);
}

static void ask(struct pair *p, const char *protocol) {
    head_request(&p->head, &p->arena, "GET", "/chat");
    p->head.wants_upgrade = true;
    p->head.protocol = weir_slice_from_str(protocol);
    head_field(&p->head, "upgrade", protocol);
    head_field(&p->head, "x-a", "1");
    assert_non_null(owner_request(&p->client, &p->head, true));
}

static void agree(struct pair *p, struct exchange *x) {
    struct weir_head res;

    head_response(&res, &p->arena, 101);
    res.body = WEIR_BODY_TUNNEL;
    res.protocol = WEIR_SLICE("websocket");
    assert_int_equal(p->server.codec->ops->send_head(p->server.codec, x->cs, &res, false), 0);
}

static void say(struct owner *o, struct exchange *x, const char *text) {
    struct weir_bufq q;

    weir_bufq_init(&q, &o->pool, 0);
    assert_int_equal(weir_bufq_append(&q, weir_slice_from_str(text)), 0);
    assert_int_equal(o->codec->ops->send_data(o->codec, x->cs, &q), 0);
    weir_bufq_deinit(&q);
}

static void a_tunnel_is_asked_for_before_the_settings_came(void **state) {
    struct pair p;

    setup(&p);
    ask(&p, "websocket, other");
    talk(&p);
    assert_non_null(
        strstr(p.server.log, "begin 1\nhead 1 GET http a.example /chat none|x-a: 1\nend 1\n"));
    weir_assert_slice(p.server.exchanges->head.protocol, "websocket");
    assert_true(p.server.exchanges->head.wants_upgrade);
    owner_forget(&p.server);
    agree(&p, p.server.exchanges);
    talk(&p);
    owner_expect(&p.client, "head 1 101 tunnel\n");
    weir_assert_slice(p.client.exchanges->head.protocol, "websocket");
    say(&p.client, p.client.exchanges, "ping");
    say(&p.server, p.server.exchanges, "pong");
    talk(&p);
    owner_expect(&p.server, "data 1 ping\n");
    owner_expect(&p.client, "data 1 pong\n");
    teardown(&p);
}

static void each_direction_of_a_tunnel_ends_by_itself(void **state) {
    struct pair p;

    setup(&p);
    ask(&p, "websocket");
    talk(&p);
    agree(&p, p.server.exchanges);
    talk(&p);
    owner_forget(&p.client);
    owner_forget(&p.server);
    assert_int_equal(p.client.codec->ops->send_end(p.client.codec, p.client.exchanges->cs, NULL),
                     0);
    talk(&p);
    owner_expect(&p.server, "end 1\n");
    say(&p.server, p.server.exchanges, "still here");
    talk(&p);
    owner_expect(&p.client, "data 1 still here\n");
    assert_int_equal(p.server.codec->ops->send_end(p.server.codec, p.server.exchanges->cs, NULL),
                     0);
    talk(&p);
    owner_expect(&p.client, "end 1\nclosed 1\n");
    owner_expect(&p.server, "closed 1\n");
    assert_int_equal(p.client.codec->n_active, 0);
    assert_int_equal(p.server.codec->n_active, 0);
    teardown(&p);
}

static void a_reset_of_a_half_closed_tunnel_is_a_reset(void **state) {
    struct pair p;

    setup(&p);
    ask(&p, "websocket");
    talk(&p);
    agree(&p, p.server.exchanges);
    assert_int_equal(p.server.codec->ops->send_end(p.server.codec, p.server.exchanges->cs, NULL),
                     0);
    talk(&p);
    owner_expect(&p.client, "head 1 101 tunnel\nend 1\n");
    p.server.codec->ops->reset(p.server.codec, p.server.exchanges->cs, WEIR_FAULT(UPSTREAM, RESET));
    exchange_free(&p.server, p.server.exchanges);
    talk(&p);
    assert_non_null(strstr(p.client.log, "reset 1 U "));
    teardown(&p);
}

static void what_is_no_agreement_is_an_ordinary_answer(void **state) {
    struct pair p;

    setup(&p);
    ask(&p, "websocket");
    talk(&p);
    owner_forget(&p.server);
    assert_int_equal(owner_respond(&p.server, p.server.exchanges, 404, "no"), 0);
    talk(&p);
    owner_expect(&p.client, "head 1 404 2|content-length: 2\ndata 1 no\nend 1\nclosed 1\n");
    owner_expect(&p.server, "closed 1\n");
    teardown(&p);
}

static void an_unmarked_2xx_that_is_no_tunnel_cannot_be_sent(void **state) {
    struct pair p;
    struct weir_head res;

    setup(&p);
    ask(&p, "websocket");
    talk(&p);
    head_response(&res, &p.arena, 200);
    res.body = WEIR_BODY_STREAM;
    struct exchange *x = p.server.exchanges;
    assert_int_equal(p.server.codec->ops->send_head(p.server.codec, x->cs, &res, false), -EPROTO);
    head_field(&res, "x-weir-h1", "1tp");
    assert_int_equal(p.server.codec->ops->send_head(p.server.codec, x->cs, &res, false), 0);
    say(&p.server, x, "hello");
    assert_int_equal(p.server.codec->ops->send_end(p.server.codec, x->cs, NULL), 0);
    talk(&p);
    owner_expect(&p.client, "head 1 200 stream|x-weir-h1: 1tp\ndata 1 hello\nend 1\nclosed 1\n");
    teardown(&p);
}

static void no_memory_leaves_nothing_behind(void **state) {
    for (unsigned long n = 1; n < 400; n++) {
        struct pair p;
        struct weir_head res;

        memset(&p, 0, sizeof(p));
        weir_arena_init(&p.arena, 4096);
        head_request(&p.head, &p.arena, "GET", "/chat");
        p.head.wants_upgrade = true;
        p.head.protocol = WEIR_SLICE("websocket");
        head_response(&res, &p.arena, 101);
        res.body = WEIR_BODY_TUNNEL;
        weir_mem_fail_at(n, 1);
        if (owner_init(&p.client, WEIR_ROLE_CLIENT) == 0 &&
            owner_init(&p.server, WEIR_ROLE_SERVER) == 0 &&
            owner_request(&p.client, &p.head, true) &&
            owners_talk(&p.client, &p.server, WHOLE) == 0 && p.server.exchanges &&
            p.server.codec->ops->send_head(p.server.codec, p.server.exchanges->cs, &res, false) ==
                0)
            owners_talk(&p.client, &p.server, WHOLE);
        weir_mem_fail_at(0, 0);
        teardown(&p);
    }
}

/* ---- against bare frames ---- */

static const struct nv connect_ws[] = {
    { ":method", "CONNECT", 0 }, { ":protocol", "websocket", 0 },  { ":scheme", "https", 0 },
    { ":path", "/chat", 0 },     { ":authority", "a.example", 0 }, { NULL, NULL, 0 },
};

static void content_before_the_agreement_waits_for_it(void **state) {
    struct wire w = { 0 };
    struct weir_head res;
    struct weir_arena arena;

    wire_init(&w, WEIR_ROLE_SERVER);
    weir_arena_init(&arena, 1024);
    wire_headers(&w, 1, EH, connect_ws);
    wire_data(&w, 1, 0, "ear");
    wire_data(&w, 1, ES, "ly");
    wire_go(&w);
    owner_expect(&w.o, "begin 1\nhead 1 GET https a.example /chat none\nend 1\n");
    head_response(&res, &arena, 101);
    res.body = WEIR_BODY_TUNNEL;
    assert_int_equal(w.o.codec->ops->send_head(w.o.codec, w.o.exchanges->cs, &res, false), 0);
    wire_go(&w);
    owner_expect(&w.o, "data 1 early\nend 1\n");
    wire_deinit(&w);
    weir_arena_deinit(&arena);
}

static void wrong_requests_for_a_tunnel_are_refused(void **state) {
    static const struct nv h2c[] = {
        { ":method", "CONNECT", 0 }, { ":protocol", "h2c", 0 },        { ":scheme", "https", 0 },
        { ":path", "/", 0 },         { ":authority", "a.example", 0 }, { NULL, NULL, 0 },
    };
    static const struct nv two[] = {
        { ":method", "CONNECT", 0 }, { ":protocol", "a, b", 0 },       { ":scheme", "https", 0 },
        { ":path", "/", 0 },         { ":authority", "a.example", 0 }, { NULL, NULL, 0 },
    };
    static const struct nv get[] = {
        { ":method", "GET", 0 }, { ":protocol", "websocket", 0 },  { ":scheme", "https", 0 },
        { ":path", "/", 0 },     { ":authority", "a.example", 0 }, { NULL, NULL, 0 },
    };
    static const struct nv *const wrong[] = { h2c, two, get };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(wrong); i++) {
        struct wire w = { 0 };

        wire_init(&w, WEIR_ROLE_SERVER);
        wire_headers(&w, 1, EH, wrong[i]);
        wire_go(&w);
        assert_non_null(strstr(w.o.log, "reset 1 D"));
        assert_null(strstr(w.o.log, "head 1"));
        wire_deinit(&w);
    }
}

static void a_server_without_it_is_not_asked(void **state) {
    struct wire w = { 0 };
    struct weir_arena arena;
    struct weir_head head;

    weir_arena_init(&arena, 1024);
    wire_init(&w, WEIR_ROLE_CLIENT);
    head_request(&head, &arena, "GET", "/");
    head.wants_upgrade = true;
    head.protocol = WEIR_SLICE("websocket");
    assert_non_null(owner_request(&w.o, &head, true)); /* waits for the server's SETTINGS */
    wire_go(&w);
    assert_non_null(owner_request(&w.o, &head, true)); /* knows */
    wire_go(&w);
    assert_null(strstr(w.got, "HEADERS"));
    char want[64];
    snprintf(want, sizeof(want), "reset 0 U %d\nreset 0 U %d\n", WEIR_FAULT_NO_UPGRADE,
             WEIR_FAULT_NO_UPGRADE);
    owner_expect(&w.o, want);
    wire_deinit(&w);
    weir_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tunnel_is_asked_for_before_the_settings_came),
        cmocka_unit_test(each_direction_of_a_tunnel_ends_by_itself),
        cmocka_unit_test(a_reset_of_a_half_closed_tunnel_is_a_reset),
        cmocka_unit_test(what_is_no_agreement_is_an_ordinary_answer),
        cmocka_unit_test(an_unmarked_2xx_that_is_no_tunnel_cannot_be_sent),
        cmocka_unit_test(no_memory_leaves_nothing_behind),
        cmocka_unit_test(content_before_the_agreement_waits_for_it),
        cmocka_unit_test(a_server_without_it_is_not_asked),
        cmocka_unit_test(wrong_requests_for_a_tunnel_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
