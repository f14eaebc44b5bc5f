/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An owner of an HTTP/1 codec that writes down what it is told. Bytes are fed from chunks of
 * exactly their size that are dropped after the call unless a head borrows them, so that
 * AddressSanitizer sees every stale or long read; a head is written down again when its exchange
 * ends and must read the same.
 */
#ifndef WEIR_TEST_H1_OWNER_H
#define WEIR_TEST_H1_OWNER_H

#include "http/codec.h"
#include "http/fault.h"
#include "weir_test.h"

struct log {
    char *text;
    size_t len, cap;
};

struct owner {
    struct weir_codec *codec;
    struct weir_chunk_pool pool;
    struct weir_codec_limits limits;
    struct weir_arena arena;
    struct weir_head head;
    struct weir_cstream *cs;
    struct weir_chunk *kept[8]; /* what heads borrow from */
    unsigned n_kept;
    struct log log;
    struct log data;      /* content not yet written to the log */
    struct log content;   /* of all messages */
    struct log head_text; /* the final head as it was first seen */
    struct log sent;      /* what pull gave */
    bool refuse;          /* begin says no */
    bool ended, replied;
    unsigned n_closed;
    int result;
};

static void log_add(struct log *log, const char *bytes, size_t n) {
    if (log->len + n + 1 > log->cap) {
        log->cap = (log->len + n + 1) * 2;
        log->text = realloc(log->text, log->cap);
        assert_true(log->text);
    }
    if (n)
        memcpy(log->text + log->len, bytes, n);
    log->len += n;
    log->text[log->len] = '\0';
}

static WEIR_UNUSED void log_text(struct log *log, const char *text) {
    log_add(log, text, strlen(text));
}

static void log_slice(struct log *log, struct weir_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        char hex[8];
        if (c == '\r')
            log_text(log, "\\r");
        else if (c == '\n')
            log_text(log, "\\n");
        else if (c == '\t')
            log_text(log, "\\t");
        else if (c < 0x20 || c >= 0x7f) {
            snprintf(hex, sizeof(hex), "\\x%02x", c);
            log_text(log, hex);
        } else
            log_add(log, s.ptr + i, 1);
    }
}

static void log_named(struct log *log, const char *name, struct weir_slice s) {
    if (s.len == 0)
        return;
    log_text(log, name);
    log_slice(log, s);
}

static void log_fields(struct log *log, const char *indent, const struct weir_head *head) {
    for (unsigned i = 0; i < head->n_fields; i++) {
        const struct weir_field *field = &head->fields[i];
        if (field->dropped)
            continue;
        log_text(log, indent);
        if (field->name.len + field->value.len > 200) {
            char size[64];
            snprintf(size, sizeof(size), "(%zu: %zu)\n", field->name.len, field->value.len);
            log_text(log, size);
            continue;
        }
        log_slice(log, field->name);
        log_text(log, ": ");
        log_slice(log, field->value);
        log_text(log, "\n");
        assert_true(field->id == weir_field_id(field->name));
    }
}

static void log_head(struct log *log, const struct weir_head *head) {
    static const char *const versions[] = { "?", "1.0", "1.1", "2" };
    static const char *const bodies[] = { "none", "length", "stream", "close", "tunnel" };
    char text[96];
    if (head->is_response) {
        snprintf(text, sizeof(text), "head %u %s", head->status, versions[head->version]);
        log_text(log, text);
        log_named(log, " reason=", head->reason);
    } else {
        log_text(log, "head ");
        log_slice(log, head->method_name);
        log_text(log, " ");
        if (head->target.len > 200) {
            snprintf(text, sizeof(text), "(%zu)", head->target.len);
            log_text(log, text);
        } else {
            log_slice(log, head->target);
        }
        log_text(log, " ");
        log_text(log, versions[head->version]);
        log_named(log, " scheme=", head->scheme);
        log_named(log, " authority=", head->authority);
        assert_true(head->method == weir_method_id(head->method_name));
    }
    snprintf(text, sizeof(text), " body=%s", bodies[head->body]);
    log_text(log, text);
    if (head->content_length != UINT64_MAX) {
        snprintf(text, sizeof(text), ":%llu", (unsigned long long)head->content_length);
        log_text(log, text);
    }
    log_text(log, head->keep_alive ? " keep-alive" : "");
    log_text(log, head->expect_continue ? " expect" : "");
    log_text(log, head->te_trailers ? " te" : "");
    log_text(log, head->wants_upgrade ? " upgrade" : "");
    log_named(log, " protocol=", head->protocol);
    log_text(log, "\n");
    log_fields(log, "  ", head);
}

/* Content is one line however many pieces it came in. */
static void flush_data(struct owner *o) {
    char text[32];
    if (o->data.len == 0)
        return;
    log_text(&o->log, "data ");
    if (o->data.len > 100) {
        snprintf(text, sizeof(text), "(%zu)", o->data.len);
        log_text(&o->log, text);
    } else {
        log_slice(&o->log, weir_slice_make(o->data.text, o->data.len));
    }
    log_text(&o->log, "\n");
    o->data.len = 0;
}

static int owner_begin(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    log_text(&o->log, "begin\n");
    if (o->refuse)
        return 1;
    o->cs = cs;
    cs->user = o;
    cs->head = &o->head;
    o->ended = o->replied = false;
    weir_head_init(&o->head, &o->arena);
    return 0;
}

static void owner_keep(struct owner *o, struct weir_chunk *chunk) {
    if (chunk && o->n_kept < 8)
        o->kept[o->n_kept++] = weir_chunk_ref(chunk);
}

static void owner_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct owner *o = arg;
    assert_true(cs == o->cs && cs->user == o);
    log_head(&o->log, cs->head);
    o->head_text.len = 0;
    if (cs->head->is_response && cs->head->status < 200 && cs->head->status != 101)
        return; /* consumed: the next head takes its place */
    log_head(&o->head_text, cs->head);
    owner_keep(o, chunk);
}

static void owner_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                       struct weir_slice bytes) {
    struct owner *o = arg;
    assert_true(bytes.len > 0 && cs == o->cs);
    if (chunk)
        assert_true(bytes.ptr >= chunk->data && bytes.ptr + bytes.len <= chunk->data + chunk->size);
    log_add(&o->data, bytes.ptr, bytes.len);
    log_add(&o->content, bytes.ptr, bytes.len);
}

static void owner_end(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    assert_true(cs->recv_done);
    flush_data(o);
    if (cs->trailers)
        log_fields(&o->log, "trailer ", cs->trailers);
    log_text(&o->log, "end\n");
    o->ended = true;
}

static void owner_drop(struct owner *o) {
    while (o->n_kept)
        weir_chunk_unref(o->kept[--o->n_kept]);
    weir_arena_reset(&o->arena);
    o->head_text.len = 0;
    o->cs = NULL;
}

static void owner_reread(struct owner *o) {
    struct log again = { 0 };
    if (!o->cs || o->head_text.len == 0)
        return;
    log_head(&again, o->cs->head);
    assert_string_equal(again.text, o->head_text.text);
    free(again.text);
}

static void owner_closed(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    assert_true(cs == o->cs);
    flush_data(o);
    owner_reread(o);
    log_text(&o->log, "closed\n");
    o->n_closed++;
    owner_drop(o);
}

static void owner_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    struct owner *o = arg;
    log_text(&o->log, "reset\n");
    owner_drop(o);
}

static void owner_draining(void *arg) {
    struct owner *o = arg;
    log_text(&o->log, "draining\n");
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

static void owner_init(struct owner *o, enum weir_role role) {
    *o = (struct owner){ .limits = weir_codec_limits_default };
    weir_chunk_pool_init(&o->pool, 0);
    weir_arena_init(&o->arena, 2048);
    struct weir_codec_params params = { role, &owner_events, o, &o->pool, &o->limits };
    o->result = weir_h1_new(&params, &o->codec);
}

static void owner_deinit(struct owner *o) {
    owner_drop(o);
    if (o->codec)
        o->codec->ops->free(o->codec);
    weir_arena_deinit(&o->arena);
    weir_chunk_pool_deinit(&o->pool);
    free(o->log.text);
    free(o->data.text);
    free(o->content.text);
    free(o->head_text.text);
    free(o->sent.text);
}

/* A chunk that holds just these bytes. */
static struct weir_chunk *owner_chunk(struct owner *o, const char *bytes, size_t n) {
    struct weir_chunk *chunk = weir_malloc(sizeof(*chunk) + n);
    if (!chunk)
        return NULL;
    *chunk = (struct weir_chunk){ .pool = &o->pool, .refs = 1, .size = (uint32_t)n };
    memcpy(chunk->data, bytes, n);
    o->pool.n_live++;
    return chunk;
}

/* Feeds once; what feed returned. */
static int owner_feed(struct owner *o, const char *bytes, size_t n, size_t *ret_used) {
    struct weir_chunk *chunk = owner_chunk(o, bytes, n);
    if (!chunk)
        return -ENOMEM;
    *ret_used = 0;
    int r = o->codec->ops->feed(o->codec, chunk, weir_slice_make(chunk->data, n), ret_used);
    weir_chunk_unref(chunk);
    if (r == WEIR_CODEC_FAULT) {
        flush_data(o);
        log_text(&o->log, "fault ");
        log_text(&o->log, weir_fault_answer(o->codec->fault)->name);
        log_text(&o->log, "\n");
    }
    return r;
}

/* Pulls everything into o->sent. */
static int owner_pull(struct owner *o) {
    struct weir_bufq out;
    int r = 0;
    weir_bufq_init(&out, &o->pool, 0);
    while (r == 0 && o->codec->want_pull)
        r = o->codec->ops->pull(o->codec, &out);
    char *text = weir_test_bufq_text(&out);
    log_add(&o->sent, text, out.len);
    free(text);
    weir_bufq_deinit(&out);
    return r;
}

static WEIR_UNUSED int owner_eof(struct owner *o) {
    int r = o->codec->ops->eof(o->codec);
    if (r == WEIR_CODEC_FAULT) {
        flush_data(o);
        log_text(&o->log, "fault ");
        log_text(&o->log, weir_fault_answer(o->codec->fault)->name);
        log_text(&o->log, "\n");
    }
    return r;
}

/* A response head of that status, as core would make it. */
static WEIR_UNUSED struct weir_head response_head(unsigned status, enum weir_body body,
                                                  uint64_t length) {
    struct weir_head head;
    weir_head_init(&head, NULL);
    head.is_response = true;
    head.status = (uint16_t)status;
    head.version = WEIR_HTTP_11;
    head.body = (uint8_t)body;
    head.content_length = length;
    return head;
}

static WEIR_UNUSED struct weir_head request_head(const char *method, const char *target,
                                                 enum weir_body body, uint64_t length) {
    struct weir_head head;
    weir_head_init(&head, NULL);
    head.version = WEIR_HTTP_11;
    head.method_name = weir_slice_from_str(method);
    head.method = (uint8_t)weir_method_id(head.method_name);
    head.target = weir_slice_from_str(target);
    head.authority = WEIR_SLICE("up.test");
    head.body = (uint8_t)body;
    head.content_length = length;
    return head;
}

#endif
