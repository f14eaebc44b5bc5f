/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes into the HTTP/2 codec. The first byte of the input chooses the role (bit 0), whether
 * the preface is said for it (bit 1) and what the owner does; the second the size of the reads.
 * Held: the codec's account of exchanges is the owner's, each one that began ends once, no message
 * is reported malformed and complete, and what it writes is a sequence of whole frames.
 */
#include <assert.h>
#include <stdlib.h>

#include "http/codec.h"

struct exchange {
    struct weir_cstream *cs;
    struct weir_arena arena;
    struct weir_head head;
    bool has_head, ended;
};

struct owner {
    struct weir_codec *codec;
    struct weir_chunk_pool pool;
    unsigned live;
    uint8_t mood;
};

static struct exchange *start(struct owner *o) {
    struct exchange *x = calloc(1, sizeof(*x));
    weir_arena_init(&x->arena, 1024);
    x->head.arena = &x->arena;
    o->live++;
    return x;
}

static void stop(struct owner *o, struct exchange *x) {
    weir_arena_deinit(&x->arena);
    free(x);
    o->live--;
}

static int on_begin(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    if (o->mood & 0x80 && cs->id % 7 == 0)
        return 1;
    struct exchange *x = start(o);
    x->cs = cs;
    cs->user = x;
    cs->head = &x->head;
    return 0;
}

static void respond(struct owner *o, struct exchange *x) {
    const struct weir_codec_ops *ops = o->codec->ops;
    struct weir_head h;
    struct weir_bufq q;
    weir_head_init(&h, &x->arena);
    h.is_response = true;
    h.status = x->cs->id % 5 == 0 ? 103 : 200;
    h.body = WEIR_BODY_STREAM;
    if (ops->send_head(o->codec, x->cs, &h, false) < 0 || h.status < 200)
        return;
    weir_bufq_init(&q, &o->pool, 0);
    weir_bufq_append_ref(&q, NULL, WEIR_SLICE("some content of some length, sent by the fuzzer"));
    ops->send_data(o->codec, x->cs, &q);
    weir_bufq_deinit(&q);
    weir_head_init(&h, &x->arena);
    weir_head_add(&h, WEIR_SLICE("t"), WEIR_SLICE("1"));
    ops->send_end(o->codec, x->cs, x->cs->id % 3 ? &h : NULL);
}

static bool give_up(struct owner *o, struct exchange *x, uint8_t when) {
    static const struct weir_fault none = { WEIR_SIDE_LOCAL, WEIR_FAULT_NONE };
    if (!(o->mood & when) || x->cs->id % 3)
        return false;
    o->codec->ops->reset(o->codec, x->cs, x->cs->id % 2 ? none : WEIR_FAULT(LOCAL, DENIED));
    stop(o, x);
    return true;
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct owner *o = arg;
    struct exchange *x = cs->user;
    assert(!chunk && !x->ended);
    assert(!x->has_head);
    x->has_head = !cs->head->is_response || cs->head->status >= 200;
    for (unsigned i = 0; i < cs->head->n_fields; i++) {
        struct weir_slice v = cs->head->fields[i].value;
        assert(!memchr(v.ptr, '\r', v.len) && !memchr(v.ptr, '\n', v.len) &&
               !memchr(v.ptr, 0, v.len));
    }
    if (!cs->head->is_response) {
        assert(cs->head->authority.len && cs->head->target.len && cs->head->method_name.len);
        if (o->mood & 8)
            respond(o, x);
    }
    give_up(o, x, 4);
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    struct owner *o = arg;
    struct exchange *x = cs->user;
    assert(chunk && bytes.len && x->has_head && !x->ended);
    o->codec->ops->consumed(o->codec, cs, bytes.len);
    give_up(o, x, 16);
}

static void on_end(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    struct exchange *x = cs->user;
    assert(x->has_head && !x->ended && cs->recv_done);
    x->ended = true;
    if (!cs->head->is_response && !(o->mood & 8))
        respond(o, x);
    give_up(o, x, 32);
}

static void on_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    assert(fault.kind != WEIR_FAULT_NONE);
    stop(arg, cs->user);
}

static void on_closed(void *arg, struct weir_cstream *cs) {
    assert(((struct exchange *)cs->user)->ended);
    stop(arg, cs->user);
}

static void on_draining(void *arg) {
    (void)arg;
}

static const struct weir_codec_events events = { on_begin, on_head,   on_data,    on_end,
                                                 on_reset, on_closed, on_draining };

static void request(struct owner *o) {
    struct exchange *x = start(o);
    struct weir_head h;
    weir_head_init(&h, &x->arena);
    h.method_name = WEIR_SLICE("POST");
    h.method = WEIR_METHOD_POST;
    h.scheme = WEIR_SLICE("http");
    h.authority = WEIR_SLICE("a");
    h.target = WEIR_SLICE("/");
    h.body = WEIR_BODY_STREAM;
    if (o->codec->ops->open(o->codec, x, &x->head, &x->cs) < 0) {
        stop(o, x);
        return;
    }
    bool end = o->live % 2;
    assert(o->codec->ops->send_head(o->codec, x->cs, &h, end) == 0);
    if (!end && o->live % 3)
        o->codec->ops->send_end(o->codec, x->cs, NULL);
}

/* Whole frames no longer than the peer allows; the client's preface first. */
static void check_frames(struct weir_bufq *q) {
    size_t at = 0;
    char *p = malloc(q->len + 1);
    for (struct iovec iov; weir_bufq_peek(q, &iov, 1) == 1; weir_bufq_consume(q, iov.iov_len)) {
        memcpy(p + at, iov.iov_base, iov.iov_len);
        at += iov.iov_len;
    }
    const uint8_t *f = (const uint8_t *)p, *end = f + at;
    if (at >= 24 && memcmp(p, "PRI * HTTP/2.0", 14) == 0)
        f += 24;
    while (f < end) {
        assert(end - f >= 9);
        size_t len = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
        assert(len <= 0xffffff && (size_t)(end - f) >= 9 + len);
        f += 9 + len;
    }
    free(p);
}

static void pull(struct owner *o) {
    struct weir_bufq q;
    weir_bufq_init(&q, &o->pool, 0);
    if (o->codec->want_pull)
        assert(o->codec->ops->pull(o->codec, &q) == 0);
    assert(o->codec->n_active == o->live);
    check_frames(&q);
    weir_bufq_deinit(&q);
}

static void feed(struct owner *o, const char *bytes, size_t len, size_t step) {
    while (len) {
        struct weir_chunk *chunk = weir_chunk_get(&o->pool);
        size_t n = len < step ? len : step, used;
        memcpy(chunk->data, bytes, n);
        int r = o->codec->ops->feed(o->codec, chunk, weir_slice_make(chunk->data, n), &used);
        weir_chunk_unref(chunk);
        assert(r >= 0 && o->codec->n_active == o->live);
        if (r == WEIR_CODEC_FAULT) {
            assert(o->live == 0 && o->codec->fault.kind && o->codec->must_close);
            break;
        }
        if (o->mood & 64 || step > 100)
            pull(o);
        if (o->codec->role == WEIR_ROLE_CLIENT && o->live < 3)
            request(o);
        bytes += n;
        len -= n;
    }
    pull(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char preface[] =
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0";
    struct owner o = { 0 };
    struct weir_codec_params params = { 0, &events, &o, &o.pool, &weir_codec_limits_default };
    if (size < 2)
        return 0;
    params.role = data[0] & 1 ? WEIR_ROLE_CLIENT : WEIR_ROLE_SERVER;
    o.mood = data[0];
    size_t step = data[1] ? data[1] * 4u : WEIR_CHUNK_SIZE;
    weir_chunk_pool_init(&o.pool, 4);
    if (weir_h2_new(&params, &o.codec))
        abort();
    for (unsigned i = 0; i < 3 && params.role == WEIR_ROLE_CLIENT; i++)
        request(&o);
    if (data[0] & 2)
        feed(&o, preface + (params.role == WEIR_ROLE_CLIENT ? 24 : 0),
             sizeof(preface) - 1 - (params.role == WEIR_ROLE_CLIENT ? 24 : 0), step);
    if (size % 11 == 0)
        o.codec->ops->drain(o.codec);
    if (!o.codec->fault.kind)
        feed(&o, (const char *)data + 2, size - 2, step);
    o.codec->ops->eof(o.codec);
    assert(o.live == 0 && o.codec->n_active == 0);
    pull(&o);
    o.codec->ops->free(o.codec);
    weir_chunk_pool_deinit(&o.pool);
    return 0;
}
