/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes into the HTTP/1 codec. The first byte of the input chooses the role (bit 0) and what was asked or how it
 * is answered; the second the size of the reads. Held: reads of any size give the same events; nothing is told after
 * an exchange's end; a head that is passed on is either refused by the serialiser or read back, by a codec of the
 * other role, as one message that means the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/codec.h"
#include "http/hop.h"

#define LOG_MAX 65536u

struct owner {
    struct weir_codec *codec;
    struct weir_chunk_pool pool;
    struct weir_arena arena;
    struct weir_head head;
    struct weir_cstream *cs;
    struct weir_chunk *kept;
    uint8_t mood;
    bool ended, replied, passed_on; /* passed_on: nothing is written from here */
    bool after_data;
    size_t len;
    char log[LOG_MAX];
};

static void note(struct owner *o, struct weir_slice s) {
    size_t n = s.len < LOG_MAX - o->len ? s.len : LOG_MAX - o->len;
    if (n)
        memcpy(o->log + o->len, s.ptr, n);
    o->len += n;
    o->after_data = false;
}

static void note_head(struct owner *o, const struct weir_head *h) {
    char numbers[] = { (char)h->version, (char)h->body,   (char)h->keep_alive,
                       (char)h->method,  (char)h->status, (char)h->wants_upgrade };
    note(o, weir_slice_make(numbers, sizeof(numbers)));
    note(o, weir_slice_make((const char *)&h->content_length, 8));
    note(o, h->method_name);
    note(o, h->target);
    note(o, h->authority);
    note(o, h->reason);
    for (unsigned i = 0; i < h->n_fields; i++) {
        if (h->fields[i].dropped)
            continue;
        note(o, h->fields[i].name);
        note(o, h->fields[i].value);
    }
}

static void pass_on(struct owner *o);

static int on_begin(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    note(o, WEIR_SLICE("[begin]"));
    assert(!o->cs);
    o->cs = cs;
    cs->head = &o->head;
    o->ended = o->replied = false;
    weir_head_init(&o->head, &o->arena);
    return 0;
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct owner *o = arg;
    assert(cs == o->cs && !o->ended);
    note(o, WEIR_SLICE("[head]"));
    note_head(o, cs->head);
    if (!o->passed_on)
        pass_on(o);
    if (chunk && !o->kept)
        o->kept = weir_chunk_ref(chunk);
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    struct owner *o = arg;
    assert(cs == o->cs && bytes.len > 0 && (!o->ended || o->replied || o->head.is_response));
    if (!o->after_data)
        note(o, WEIR_SLICE("[data]"));
    note(o, bytes);
    o->after_data = true;
}

static void on_end(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    assert(cs == o->cs && cs->recv_done);
    note(o, WEIR_SLICE("[end]"));
    if (cs->trailers)
        note_head(o, cs->trailers);
    o->ended = true;
}

static void on_closed(void *arg, struct weir_cstream *cs) {
    struct owner *o = arg;
    assert(cs == o->cs);
    note(o, WEIR_SLICE("[closed]"));
    o->cs = NULL;
    o->kept = weir_chunk_unref(o->kept);
    weir_arena_reset(&o->arena);
}

static const struct weir_codec_events events = {
    .begin = on_begin,
    .head = on_head,
    .data = on_data,
    .end = on_end,
    .closed = on_closed,
};

static struct owner *owner_new(enum weir_role role, uint8_t mood) {
    struct owner *o = calloc(1, sizeof(*o));
    o->mood = mood;
    weir_chunk_pool_init(&o->pool, 0);
    weir_arena_init(&o->arena, 2048);
    struct weir_codec_params params = { role, &events, o, &o->pool, &weir_codec_limits_default };
    if (weir_h1_new(&params, &o->codec) < 0)
        abort();
    return o;
}

static void owner_free(struct owner *o) {
    weir_chunk_unref(o->kept);
    o->codec->ops->free(o->codec);
    weir_arena_deinit(&o->arena);
    weir_chunk_pool_deinit(&o->pool);
    free(o);
}

/* Pulls; the bytes are appended to *text if it is given. */
static void pull(struct owner *o, char **text, size_t *len) {
    struct weir_bufq out;
    weir_bufq_init(&out, &o->pool, 0);
    while (o->codec->want_pull)
        assert(o->codec->ops->pull(o->codec, &out) == 0);
    while (text && out.len > 0) {
        struct iovec iov;
        weir_bufq_peek(&out, &iov, 1);
        *text = realloc(*text, *len + iov.iov_len);
        memcpy(*text + *len, iov.iov_base, iov.iov_len);
        *len += iov.iov_len;
        weir_bufq_consume(&out, iov.iov_len);
    }
    weir_bufq_deinit(&out);
}

static int feed_once(struct owner *o, const char *bytes, size_t n, size_t *used) {
    struct weir_chunk *chunk = weir_malloc(sizeof(*chunk) + n);
    *chunk = (struct weir_chunk){ .pool = &o->pool, .refs = 1, .size = (uint32_t)n };
    memcpy(chunk->data, bytes, n);
    o->pool.n_live++;
    *used = 0;
    int r = o->codec->ops->feed(o->codec, chunk, weir_slice_make(chunk->data, n), used);
    weir_chunk_unref(chunk);
    assert(*used <= n);
    return r;
}

static void ask(struct owner *o) {
    static const char *const methods[] = { "GET", "HEAD", "CONNECT", "POST" };
    struct weir_head h;
    weir_head_init(&h, NULL);
    h.method_name = weir_slice_from_str(methods[o->mood >> 1 & 3]);
    h.method = (uint8_t)weir_method_id(h.method_name);
    h.target = h.method == WEIR_METHOD_CONNECT ? WEIR_SLICE("a:1") : WEIR_SLICE("/");
    h.authority = WEIR_SLICE("a:1");
    h.wants_upgrade = o->mood & 8 && h.method == WEIR_METHOD_GET;
    h.protocol = h.wants_upgrade ? WEIR_SLICE("websocket") : WEIR_SLICE_NONE;
    weir_head_init(&o->head, &o->arena);
    assert(o->codec->ops->open(o->codec, o, &o->head, &o->cs) == 0);
    assert(o->codec->ops->send_head(o->codec, o->cs, &h, true) == 0);
    pull(o, NULL, NULL);
}

static void answer(struct owner *o, bool fault) {
    struct weir_head h;
    weir_head_init(&h, NULL);
    h.is_response = true;
    h.status = o->head.wants_upgrade && o->mood & 2 ? 101 : o->mood & 4 ? 200 : 404;
    if (fault)
        h.status = 400;
    bool tunnel = h.status == 101 || (o->head.method == WEIR_METHOD_CONNECT && h.status == 200);
    h.body = tunnel ? WEIR_BODY_TUNNEL : WEIR_BODY_LENGTH;
    h.content_length = 0;
    h.protocol = WEIR_SLICE("websocket");
    assert(o->codec->ops->send_head(o->codec, o->cs, &h, !tunnel) == 0);
    o->replied = true;
}

/* All bytes in pieces of that size; what is held back is offered again. */
static void run(struct owner *o, const char *bytes, size_t n, size_t piece) {
    size_t at = 0, there = 0;
    int r = 0;
    while (there < n && r == 0) {
        size_t used;
        there += piece < n - there ? piece : n - there;
        do {
            r = feed_once(o, bytes + at, there - at, &used);
            at += used;
            if (r == 0 && o->cs && o->ended && !o->replied && o->codec->role == WEIR_ROLE_SERVER &&
                !(o->mood & 16)) {
                answer(o, false);
                used = 1;
            }
            pull(o, NULL, NULL);
        } while (r == 0 && at < there && used > 0);
    }
    if (r == 0 && o->mood & 32)
        r = o->codec->ops->eof(o->codec);
    assert(r == 0 || r == WEIR_CODEC_FAULT);
    if (r == WEIR_CODEC_FAULT) {
        char kind[] = { (char)o->codec->fault.kind };
        assert(o->codec->must_close);
        note(o, WEIR_SLICE("[fault]"));
        note(o, weir_slice_make(kind, 1));
        if (o->cs && o->codec->role == WEIR_ROLE_SERVER && !o->replied)
            answer(o, true);
        pull(o, NULL, NULL);
    }
}

static bool fields_agree(const struct weir_head *a, const struct weir_head *b) {
    unsigned i = 0, k = 0;
    for (;; i++, k++) {
        while (i < a->n_fields &&
               (a->fields[i].dropped || a->fields[i].id == WEIR_FIELD_CONTENT_LENGTH))
            i++;
        while (k < b->n_fields &&
               (b->fields[k].id == WEIR_FIELD_CONTENT_LENGTH ||
                b->fields[k].id == WEIR_FIELD_TRANSFER_ENCODING ||
                b->fields[k].id == WEIR_FIELD_CONNECTION || b->fields[k].id == WEIR_FIELD_TE))
            k++;
        if (i == a->n_fields || k == b->n_fields)
            return i == a->n_fields && k == b->n_fields;
        if (!weir_slice_eq(a->fields[i].name, b->fields[k].name) ||
            !weir_slice_eq(a->fields[i].value, b->fields[k].value))
            return false;
    }
}

/* The head o just received, written by a codec of the other side and read again. */
static void pass_on(struct owner *o) {
    bool response = o->head.is_response;
    struct owner *w = owner_new(response ? WEIR_ROLE_SERVER : WEIR_ROLE_CLIENT, 0);
    struct owner *r = owner_new(response ? WEIR_ROLE_CLIENT : WEIR_ROLE_SERVER, o->mood);
    struct weir_head h = o->head;
    struct weir_field *fields = calloc(h.n_fields + 1u, sizeof(*fields));
    char *text = NULL;
    size_t len = 0, used;
    w->passed_on = r->passed_on = true;
    if (h.n_fields)
        memcpy(fields, h.fields, h.n_fields * sizeof(*fields));
    h.fields = fields;
    weir_hop_strip(&h);
    if (!response && h.authority.len == 0)
        h.authority = WEIR_SLICE("default.test"); /* HTTP/1.0 */
    if (h.body == WEIR_BODY_TUNNEL || (h.status > 0 && h.status < 200))
        goto done;
    if (response) {
        static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                          head[] = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
        bool is_head = (o->mood >> 1 & 3) == 1;
        assert(feed_once(w, is_head ? head : get, is_head ? sizeof(head) - 1 : sizeof(get) - 1,
                         &used) == 0);
        r->mood = is_head ? 2 : 0;
        ask(r);
    } else {
        weir_head_init(&w->head, &w->arena);
        assert(w->codec->ops->open(w->codec, w, &w->head, &w->cs) == 0);
    }
    if (w->codec->ops->send_head(w->codec, w->cs, &h, h.body == WEIR_BODY_NONE) == 0) {
        pull(w, &text, &len);
        int result = feed_once(r, text, len, &used);
        assert(result == 0 && (r->cs || response));
        /* An exchange that has ended keeps its head but not the text. */
        if (r->cs) {
            assert(weir_slice_eq(h.method_name, r->head.method_name));
            assert(weir_slice_eq(h.authority, r->head.authority));
            assert(weir_slice_eq(h.target, r->head.target) || h.method == WEIR_METHOD_CONNECT);
            assert(h.status == r->head.status);
            assert(fields_agree(&h, &r->head));
        }
    } else {
        abort(); /* what was read can be written */
    }
done:
    free(text);
    free(fields);
    owner_free(r);
    owner_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > 16000)
        return 0;
    enum weir_role role = data[0] & 1 ? WEIR_ROLE_CLIENT : WEIR_ROLE_SERVER;
    const char *bytes = (const char *)data + 2;
    struct owner *whole = owner_new(role, data[0]), *cut = owner_new(role, data[0]);
    cut->passed_on = true;
    if (role == WEIR_ROLE_CLIENT) {
        ask(whole);
        ask(cut);
    }
    run(whole, bytes, size - 2, size);
    run(cut, bytes, size - 2, 1u + data[1] % 32u);
    assert(whole->len == cut->len && memcmp(whole->log, cut->log, cut->len) == 0);
    assert(whole->codec->must_close == cut->codec->must_close);
    owner_free(cut);
    owner_free(whole);
    return 0;
}
