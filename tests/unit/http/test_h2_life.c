/* SPDX-License-Identifier: Apache-2.0 */
/* Whole conversations of two HTTP/2 codecs: repeated, cut into bytes, short of memory. */
#include "h2_owner.h"

#define WHOLE ((size_t)1 << 20)

struct pair {
    struct owner client, server;
    struct weir_arena arena;
    struct weir_head head;
    struct weir_head trailers;
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

/* The owner ends exchanges from inside their own events. */
static void drop_it(struct owner *o, struct exchange *x) {
    owner_drop(o, x, WEIR_FAULT(LOCAL, DENIED));
}

static void an_owner_may_reset_from_inside_any_event(void **state) {
    for (unsigned where = 0; where < 3; where++) {
        struct pair p;
        setup(&p);
        if (where == 0)
            p.server.on_head = drop_it;
        else if (where == 1)
            p.server.on_data = drop_it;
        else
            p.server.on_end = drop_it;
        head_request(&p.head, &p.arena, "POST", "/");
        p.head.body = WEIR_BODY_STREAM;
        struct exchange *c = owner_request(&p.client, &p.head, false);
        owner_send(&p.client, c, "abc", 3);
        owner_finish(&p.client, c);
        talk(&p);
        assert_null(p.server.exchanges);
        assert_null(p.client.exchanges);
        assert_int_equal(p.server.codec->n_active, 0);
        assert_int_equal(p.server.n_ended, where == 2);
        teardown(&p);
    }
}

static void answer_at_once(struct owner *o, struct exchange *x) {
    owner_respond(o, x, 200, "0123456789");
}

static void a_thousand_exchanges_leave_nothing_behind(void **state) {
    struct pair p;
    uint64_t live = 0;
    setup(&p);
    p.server.on_end = answer_at_once;
    p.client.silent = p.server.silent = true;
    for (unsigned i = 0; i < 1000; i++) {
        assert_non_null(owner_get(&p.client, "/some/path"));
        talk(&p);
        assert_null(p.client.exchanges);
        assert_null(p.server.exchanges);
        if (i == 10)
            live = p.client.pool.n_live + p.server.pool.n_live;
    }
    assert_int_equal(p.client.n_heads, 1000);
    assert_int_equal(p.client.pool.n_live + p.server.pool.n_live, live);
    teardown(&p);
}

/* One conversation with everything in it. */
static int conversation(struct pair *p, size_t step) {
    struct exchange *c;
    int r;
    head_request(&p->head, &p->arena, "POST", "/long");
    head_field(&p->head, "cookie", "a=1");
    head_field(&p->head, "cookie", "b=2");
    p->head.body = WEIR_BODY_STREAM;
    if (!(c = owner_request(&p->client, &p->head, false)) || !owner_get(&p->client, "/short"))
        return -ENOMEM;
    if ((r = owner_send(&p->client, c, "0123456789", 10)) < 0 ||
        (r = owners_talk(&p->client, &p->server, step)) < 0)
        return r;
    weir_head_init(&p->trailers, &p->arena);
    head_field(&p->trailers, "t", "1");
    struct exchange *s1 = owner_find(&p->server, 1), *s3 = owner_find(&p->server, 3);
    if (!s1 || !s3)
        return -ENOMEM;
    if ((r = p->client.codec->ops->send_end(p->client.codec, c->cs, &p->trailers)) < 0 ||
        (r = owner_respond(&p->server, s3, 100, NULL)) < 0 ||
        (r = owner_respond(&p->server, s3, 200, "short")) < 0 ||
        (r = owners_talk(&p->client, &p->server, step)) < 0)
        return r;
    head_response(&p->head, &p->arena, 200);
    p->head.body = WEIR_BODY_STREAM;
    if ((r = p->server.codec->ops->send_head(p->server.codec, s1->cs, &p->head, false)) < 0 ||
        (r = owner_send(&p->server, s1, "long", 4)) < 0 ||
        (r = p->server.codec->ops->send_end(p->server.codec, s1->cs, &p->trailers)) < 0 ||
        (r = owners_talk(&p->client, &p->server, step)) < 0)
        return r;
    c = owner_get(&p->client, "/gone");
    if (!c || (r = owners_talk(&p->client, &p->server, step)) < 0)
        return c ? r : -ENOMEM;
    if (p->client.exchanges != c) /* the server had no memory to begin it */
        return -ENOMEM;
    owner_drop(&p->client, c, WEIR_FAULT(DOWNSTREAM, RESET));
    p->server.codec->ops->drain(p->server.codec);
    return owners_talk(&p->client, &p->server, step);
}

static void bytes_one_at_a_time_tell_the_same(void **state) {
    struct pair whole, cut;
    setup(&whole);
    assert_int_equal(conversation(&whole, WHOLE), 0);
    assert_non_null(strstr(whole.server.log, "|cookie: a=1; b=2\n"));
    assert_non_null(strstr(whole.server.log, "end 1|t: 1\n"));
    assert_non_null(strstr(whole.client.log, "data 1 long\nend 1|t: 1\nclosed 1\n"));
    for (size_t step = 1; step < 40; step += step < 12 ? 1 : 9) {
        setup(&cut);
        assert_int_equal(conversation(&cut, step), 0);
        assert_string_equal(cut.client.log, whole.client.log);
        assert_string_equal(cut.server.log, whole.server.log);
        teardown(&cut);
    }
    teardown(&whole);
}

/* The owner's own allocations fail too; whatever fails, nothing may be lost or used after. */
static int whole_life(void *arg) {
    struct pair *p = arg;
    memset(p, 0, sizeof(*p));
    weir_arena_init(&p->arena, 4096);
    int r = owner_init(&p->client, WEIR_ROLE_CLIENT);
    if (r == 0)
        r = owner_init(&p->server, WEIR_ROLE_SERVER);
    if (r == 0)
        r = conversation(p, WHOLE);
    if (r == WEIR_CODEC_FAULT)
        r = -1;
    owner_deinit(&p->client);
    owner_deinit(&p->server);
    weir_arena_deinit(&p->arena);
    return r;
}

static void every_allocation_may_fail(void **state) {
    static struct pair p;
    assert_true(weir_test_sweep(whole_life, &p, 1) > 50);
    assert_true(weir_test_sweep(whole_life, &p, 0) > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_may_reset_from_inside_any_event),
        cmocka_unit_test(a_thousand_exchanges_leave_nothing_behind),
        cmocka_unit_test(bytes_one_at_a_time_tell_the_same),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
