/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An owner of one HTTP/2 codec that writes down what it is told, one line per event, and a way to
 * carry bytes between two of them. Content of one stream that arrives in pieces is one line. Header
 * only.
 */
#ifndef WEIR_TEST_H2_OWNER_H
#define WEIR_TEST_H2_OWNER_H

#include "http/codec.h"
#include "weir_test.h"

#define OWNER_LOG 65536

struct exchange {
    struct exchange *next;
    struct weir_cstream *cs;
    struct weir_arena arena;
    struct weir_head head;
    uint64_t received, unconsumed;
};

struct owner {
    struct weir_codec *codec;
    struct weir_chunk_pool pool;
    struct weir_codec_limits limits;
    struct exchange *exchanges;
    unsigned n_begun, n_ended, n_heads;
    bool refuse; /* begin answers no */
    bool hoard;  /* content is not reported as consumed */
    bool silent; /* no log */
    void (*on_head)(struct owner *o, struct exchange *x);
    void (*on_end)(struct owner *o, struct exchange *x);
    void (*on_data)(struct owner *o, struct exchange *x);
    size_t log_len;
    char log[OWNER_LOG];
    char last_data[16]; /* "data N " while the last line is one of these */
};

static void owner_note(struct owner *o, const char *fmt, ...) WEIR_PRINTF(2, 3);
static void owner_note(struct owner *o, const char *fmt, ...) {
    va_list ap;
    if (o->silent)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(o->log + o->log_len, OWNER_LOG - o->log_len, fmt, ap);
    va_end(ap);
    if (n > 0 && o->log_len + (size_t)n < OWNER_LOG)
        o->log_len += (size_t)n;
}

static struct exchange *exchange_new(struct owner *o) {
    struct exchange *x = weir_calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    weir_arena_init(&x->arena, 2048);
    x->head.arena = &x->arena;
    x->next = o->exchanges;
    o->exchanges = x;
    return x;
}

static void exchange_free(struct owner *o, struct exchange *x) {
    struct exchange **at = &o->exchanges;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    weir_arena_deinit(&x->arena);
    weir_free(x);
}

/* By stream id; NULL = over. */
static WEIR_UNUSED struct exchange *owner_find(struct owner *o, uint64_t id) {
    for (struct exchange *x = o->exchanges; x; x = x->next)
        if (x->cs->id == id)
            return x;
    return NULL;
}

static void note_fields(struct owner *o, const struct weir_head *head) {
    for (uint16_t i = 0; i < head->n_fields; i++)
        if (!head->fields[i].dropped)
            owner_note(o, "|%.*s: %.*s", WEIR_SLICE_ARG(head->fields[i].name),
                       WEIR_SLICE_ARG(head->fields[i].value));
}

static const char *body_text(const struct weir_head *head, char text[32]) {
    static const char *const kinds[] = { "none", "", "stream", "close", "tunnel" };
    if (head->body == WEIR_BODY_LENGTH)
        snprintf(text, 32, "%llu", (unsigned long long)head->content_length);
    else if (head->content_length != UINT64_MAX)
        snprintf(text, 32, "%s(%llu)", kinds[head->body], (unsigned long long)head->content_length);
    else
        snprintf(text, 32, "%s", kinds[head->body]);
    return text;
}

static int owner_begin(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    if (o->refuse)
        return 1;
    struct exchange *x = exchange_new(o);
    if (!x)
        return 1;
    x->cs = cs;
    cs->user = x;
    cs->head = &x->head;
    o->n_begun++;
    owner_note(o, "begin %u\n", (unsigned)cs->id);
    o->last_data[0] = '\0';
    return 0;
}

static void owner_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct owner *o = arg;
    const struct weir_head *h = cs->head;
    char text[32];
    assert_null(chunk);
    o->n_heads++;
    o->last_data[0] = '\0';
    if (h->is_response)
        owner_note(o, "head %u %u %s", (unsigned)cs->id, h->status, body_text(h, text));
    else
        owner_note(o, "head %u %.*s %.*s %.*s %.*s %s%s", (unsigned)cs->id,
                   WEIR_SLICE_ARG(h->method_name), WEIR_SLICE_ARG(h->scheme),
                   WEIR_SLICE_ARG(h->authority), WEIR_SLICE_ARG(h->target), body_text(h, text),
                   h->te_trailers ? " te" : "");
    if (!o->silent)
        note_fields(o, h);
    owner_note(o, "\n");
    if (o->on_head)
        o->on_head(o, cs->user);
}

static void owner_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                       struct weir_slice bytes) {
    struct owner *o = arg;
    struct exchange *x = cs->user;
    char line[16];
    assert_non_null(chunk);
    assert_true(bytes.len > 0 && bytes.ptr >= chunk->data &&
                bytes.ptr + bytes.len <= chunk->data + chunk->size);
    x->received += bytes.len;
    snprintf(line, sizeof(line), "data %u ", (unsigned)cs->id);
    if (strcmp(line, o->last_data) == 0 && o->log_len)
        o->log_len--; /* goes on in the same line */
    else
        owner_note(o, "%s", line);
    memcpy(o->last_data, line, sizeof(line));
    if (x->received <= 64)
        owner_note(o, "%.*s", WEIR_SLICE_ARG(bytes));
    owner_note(o, "\n");
    if (o->hoard)
        x->unconsumed += bytes.len;
    else
        o->codec->ops->consumed(o->codec, cs, bytes.len);
    if (o->on_data)
        o->on_data(o, x);
}

static void owner_end(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    o->n_ended++;
    o->last_data[0] = '\0';
    owner_note(o, "end %u", (unsigned)cs->id);
    if (cs->trailers)
        note_fields(o, cs->trailers);
    owner_note(o, "\n");
    if (o->on_end)
        o->on_end(o, cs->user);
}

static void owner_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    struct owner *o = arg;
    static const char sides[] = "LDU";
    o->last_data[0] = '\0';
    owner_note(o, "reset %u %c %d\n", (unsigned)cs->id, sides[fault.side], fault.kind);
    exchange_free(o, cs->user);
}

static void owner_closed(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    o->last_data[0] = '\0';
    owner_note(o, "closed %u\n", (unsigned)cs->id);
    exchange_free(o, cs->user);
}

static void owner_draining(void *arg) {
    owner_note(arg, "draining\n");
}

static const struct weir_codec_events owner_events = {
    .begin = owner_begin,
    .head = owner_head,
    .data = owner_data,
    .end = owner_end,
    .reset = owner_reset,
    .closed = owner_closed,
    .draining = owner_draining,
};

/* 0 or -ENOMEM. `o` is cleared but for limits when those are set. */
static int owner_init(struct owner *o, enum weir_role role) {
    struct weir_codec_limits limits = o->limits;
    memset(o, 0, sizeof(*o));
    o->limits = limits.head_bytes ? limits : weir_codec_limits_default;
    weir_chunk_pool_init(&o->pool, 8);
    return weir_h2_new(&(struct weir_codec_params){ role, &owner_events, o, &o->pool, &o->limits },
                       &o->codec);
}

static void owner_deinit(struct owner *o) {
    if (o->codec)
        o->codec->ops->free(o->codec);
    while (o->exchanges)
        exchange_free(o, o->exchanges);
    weir_chunk_pool_deinit(&o->pool);
}

#define owner_expect(o, text)                                                                      \
    do {                                                                                           \
        assert_string_equal((o)->log, text);                                                       \
        owner_forget(o);                                                                           \
    } while (0)
static WEIR_UNUSED void owner_forget(struct owner *o) {
    o->log_len = 0;
    o->log[0] = '\0';
    o->last_data[0] = '\0';
}

/* Feeds bytes in reads of `step`. The result of the last feed. */
static WEIR_UNUSED int owner_feed(struct owner *o, const char *bytes, size_t len, size_t step) {
    int r = 0;
    while (len && r == 0) {
        struct weir_chunk *chunk = weir_chunk_get(&o->pool);
        size_t n = len < step ? len : step, used = 0;
        if (!chunk)
            return -ENOMEM;
        if (n > chunk->size)
            n = chunk->size;
        memcpy(chunk->data, bytes, n);
        r = o->codec->ops->feed(o->codec, chunk, weir_slice_make(chunk->data, n), &used);
        weir_chunk_unref(chunk);
        bytes += n;
        len -= n;
    }
    return r;
}

/* Moves what `from` has to send into `to`, in reads of `step`. 1 = something moved, 0 = nothing, or
 * an error. */
static WEIR_UNUSED int owner_carry(struct owner *from, struct owner *to, size_t step) {
    struct weir_bufq q;
    int r = 0;
    bool moved = false;
    weir_bufq_init(&q, &from->pool, 65536);
    if (from->codec->want_pull)
        r = from->codec->ops->pull(from->codec, &q);
    while (r == 0 && q.len) {
        struct iovec iov;
        weir_bufq_peek(&q, &iov, 1);
        r = owner_feed(to, iov.iov_base, iov.iov_len, step);
        weir_bufq_consume(&q, iov.iov_len);
        moved = true;
    }
    weir_bufq_deinit(&q);
    return r ? r : moved;
}

/* Back and forth until both are silent. 0, or the first result that is neither. */
static WEIR_UNUSED int owners_talk(struct owner *a, struct owner *b, size_t step) {
    for (;;) {
        int r = owner_carry(a, b, step), s;
        if (r < 0 || r == WEIR_CODEC_FAULT)
            if (r < 0 || b->codec->fault.kind)
                return r;
        s = owner_carry(b, a, step);
        if (s < 0 || a->codec->fault.kind)
            return s;
        if (!r && !s && !a->codec->want_pull && !b->codec->want_pull)
            return 0;
    }
}

/* ---- heads and content ---- */

static WEIR_UNUSED void head_field(struct weir_head *h, const char *name, const char *value) {
    weir_head_add(h, weir_slice_from_str(name), weir_slice_from_str(value));
}

static WEIR_UNUSED void head_request(struct weir_head *h, struct weir_arena *arena,
                                     const char *method, const char *target) {
    weir_head_init(h, arena);
    h->method_name = weir_slice_from_str(method);
    h->method = (uint8_t)weir_method_id(h->method_name);
    h->scheme = WEIR_SLICE("http");
    h->authority = WEIR_SLICE("a.example");
    h->target = weir_slice_from_str(target);
}

static WEIR_UNUSED void head_response(struct weir_head *h, struct weir_arena *arena,
                                      uint16_t status) {
    weir_head_init(h, arena);
    h->is_response = true;
    h->status = status;
}

/* Opens an exchange and sends the head. NULL = could not. */
static WEIR_UNUSED struct exchange *owner_request(struct owner *o, const struct weir_head *head,
                                                  bool end) {
    struct exchange *x = exchange_new(o);
    if (!x)
        return NULL;
    if (o->codec->ops->open(o->codec, x, &x->head, &x->cs)) {
        exchange_free(o, x);
        return NULL;
    }
    if (o->codec->ops->send_head(o->codec, x->cs, head, end)) {
        o->codec->ops->reset(o->codec, x->cs, WEIR_FAULT(LOCAL, INTERNAL));
        exchange_free(o, x);
        return NULL;
    }
    return x;
}

static WEIR_UNUSED struct exchange *owner_get(struct owner *o, const char *target) {
    struct weir_arena arena;
    struct weir_head head;
    weir_arena_init(&arena, 1024);
    head_request(&head, &arena, "GET", target);
    struct exchange *x = owner_request(o, &head, true);
    weir_arena_deinit(&arena);
    return x;
}

static WEIR_UNUSED int owner_send(struct owner *o, struct exchange *x, const char *bytes,
                                  size_t len) {
    struct weir_bufq q;
    weir_bufq_init(&q, &o->pool, 0);
    int r = weir_bufq_append(&q, weir_slice_make(bytes, len));
    if (r == 0)
        r = o->codec->ops->send_data(o->codec, x->cs, &q);
    weir_bufq_deinit(&q);
    return r;
}

static WEIR_UNUSED int owner_finish(struct owner *o, struct exchange *x) {
    return o->codec->ops->send_end(o->codec, x->cs, NULL);
}

/* A whole response; content NULL = none. */
static WEIR_UNUSED int owner_respond(struct owner *o, struct exchange *x, uint16_t status,
                                     const char *content) {
    struct weir_arena arena;
    struct weir_head head;
    weir_arena_init(&arena, 512);
    head_response(&head, &arena, status);
    if (content) {
        head.body = WEIR_BODY_LENGTH;
        head.content_length = strlen(content);
    }
    int r = o->codec->ops->send_head(o->codec, x->cs, &head, !content);
    if (r == 0 && content)
        r = owner_send(o, x, content, strlen(content));
    if (r == 0 && content)
        r = owner_finish(o, x);
    weir_arena_deinit(&arena);
    return r;
}

static WEIR_UNUSED void owner_drop(struct owner *o, struct exchange *x, struct weir_fault why) {
    o->codec->ops->reset(o->codec, x->cs, why);
    exchange_free(o, x);
}

#endif
