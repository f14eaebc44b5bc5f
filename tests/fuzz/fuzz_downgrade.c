/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/2 message in, HTTP/1 bytes out: what the HTTP/1 side writes must be, to a strict reader that shares nothing with weir, exactly
 * one message that means what the header lists and DATA frames said; and nothing complete when the stream was reset or refused.
 *
 * The input is the meaning, not frames, so that the fuzzer need not guess HPACK. Byte 0 is flags (below), then sections that end with
 * 0xff: "name \xfe value" is a field of the current list, an empty section sends that list, anything else is a DATA frame. What is left at
 * the end is sent. The last frame has END_STREAM.
 */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "http/carry.h"
#include "http/codec.h"
#include "http/hop.h"
#include "strict.h"

enum {
    FLAG_RESPONSE = 1,
    FLAG_NO_END = 2, /* the stream stays open */
    FLAG_MESH = 4,   /* the other side is a verified weir: x-weir-h1 counts, identity fields stay */
    FLAG_HEAD = 8,   /* responses: to HEAD */
    FLAG_SPLIT = 16, /* CONTINUATION */
    FLAG_RESET = 32, /* RST_STREAM at the end */
    FLAG_BYTEWISE = 64,
};

#define FIELDS 64u
#define LISTS  6u

struct list {
    unsigned n;
    struct weir_slice name[FIELDS], value[FIELDS];
};

/* What was said, read off the input without any of weir's code. */
struct said {
    uint8_t flags;
    struct list lists[LISTS];
    unsigned n_lists;
    char *body;
    size_t body_len;
    uint8_t *wire;
    size_t wire_len;
    size_t last; /* offset of the last frame; 0 = none */
};

/* One side of the proxy: a codec and the exchange on it. */
struct side {
    struct weir_codec *codec;
    struct weir_chunk_pool pool;
    struct weir_arena arena;
    struct weir_head head;
    struct weir_cstream *cs;
    struct side *to; /* where what it receives goes on */
    uint8_t flags;
    bool got_head, passed, refused, ended, over;
    struct weir_head sent; /* the head as it was handed on */
};

/* ---- what was said ---- */

static void wire(struct said *s, const void *bytes, size_t n) {
    s->wire = realloc(s->wire, s->wire_len + n + 1);
    if (n)
        memcpy(s->wire + s->wire_len, bytes, n);
    s->wire_len += n;
}

static void frame(struct said *s, uint8_t type, uint8_t flags, const void *payload, size_t n) {
    uint8_t hd[9] = { (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags, 0, 0, 0, 1 };
    s->last = s->wire_len;
    wire(s, hd, sizeof(hd));
    wire(s, payload, n);
}

/* RFC 7541 5.2, without Huffman: text of any bytes. */
static size_t hpack_text(uint8_t *to, struct weir_slice text) {
    size_t n = 0, rest = text.len;
    if (rest < 127) {
        to[n++] = (uint8_t)rest;
    } else {
        to[n++] = 127;
        for (rest -= 127; rest >= 128; rest >>= 7)
            to[n++] = (uint8_t)(rest | 128);
        to[n++] = (uint8_t)rest;
    }
    if (text.len)
        memcpy(to + n, text.ptr, text.len);
    return n + text.len;
}

static void send_list(struct said *s, const struct list *l) {
    uint8_t *block, *p;
    size_t size = 1, n, half;
    for (unsigned i = 0; i < l->n; i++)
        size += l->name[i].len + l->value[i].len + 16;
    block = p = malloc(size);
    for (unsigned i = 0; i < l->n; i++) {
        *p++ = 0; /* literal without indexing, new name */
        p += hpack_text(p, l->name[i]);
        p += hpack_text(p, l->value[i]);
    }
    n = (size_t)(p - block);
    half = s->flags & FLAG_SPLIT ? n / 2 : n;
    frame(s, 1, half == n ? 4 : 0, block, half);
    if (half < n) {
        size_t first = s->last;
        frame(s, 9, 4, block + half, n - half);
        s->last = first; /* END_STREAM is on HEADERS */
    }
    free(block);
}

static void section(struct said *s, struct list *now, struct weir_slice text) {
    size_t at = weir_slice_index(text, '\xfe');
    if (at < text.len) {
        if (now->n == FIELDS)
            return;
        now->name[now->n] = weir_slice_make(text.ptr, at);
        now->value[now->n++] = weir_slice_make(text.ptr + at + 1, text.len - at - 1);
    } else if (text.len == 0) {
        if (s->n_lists == LISTS)
            return;
        send_list(s, now);
        s->lists[s->n_lists++] = *now;
        now->n = 0;
    } else {
        frame(s, 0, 0, text.ptr, text.len);
        s->body = realloc(s->body, s->body_len + text.len);
        memcpy(s->body + s->body_len, text.ptr, text.len);
        s->body_len += text.len;
    }
}

static void listen_to(struct said *s, const uint8_t *data, size_t size) {
    struct weir_slice rest = weir_slice_make((const char *)data + 1, size - 1), part;
    struct list now = { 0 };
    s->flags = data[0];
    while (weir_slice_split(&rest, '\xff', &part))
        if (rest.ptr || part.len)
            section(s, &now, part);
    if (now.n)
        section(s, &now, WEIR_SLICE(""));
    if (s->wire_len && !(s->flags & FLAG_NO_END))
        s->wire[s->last + 4] |= 1;
    if (s->wire_len && s->flags & FLAG_RESET)
        frame(s, 3, 0, "\0\0\0\x8", 4);
}

/* ---- the proxy between ---- */

static int on_begin(void *arg, struct weir_cstream *cs) {
    struct side *s = arg;
    if (s->cs)
        return 1;
    s->cs = cs;
    cs->user = s;
    cs->head = &s->head;
    weir_head_init(&s->head, &s->arena);
    return 0;
}

static void refuse(struct side *s) {
    s->refused = true;
}

/* As core does it: mesh.c, decide.c, fields.c. */
static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct side *s = arg;
    struct weir_head *h = cs->head;
    bool informational = h->is_response && h->status < 200 && h->status != 101;

    if (!s->to || s->refused)
        return;
    s->got_head = true;
    if (s->flags & FLAG_MESH && weir_carry_unpack(h) < 0)
        abort();
    if (!h->is_response && h->method == WEIR_METHOD_CONNECT) {
        refuse(s); /* decide.c: 405 */
        return;
    }
    weir_hop_strip(h);
    if (!h->is_response && s->flags & FLAG_MESH)
        weir_hop_strip_disguised(h);
    else if (!h->is_response)
        weir_hop_strip_identity(h, false);
    if (s->to->codec->ops->send_head(s->to->codec, s->to->cs, h,
                                     !informational && h->body == WEIR_BODY_NONE) < 0) {
        /* What a stranger sent has been checked; a mesh peer's head is rebuilt after that. */
        assert(s->flags & FLAG_MESH);
        refuse(s);
        return;
    }
    s->passed |= !informational;
    s->sent = *h;
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    struct side *s = arg;
    struct weir_bufq q;
    if (s->to && s->passed && !s->refused) {
        weir_bufq_init(&q, &s->pool, 0);
        assert(weir_bufq_append_ref(&q, chunk, bytes) == 0);
        if (s->to->codec->ops->send_data(s->to->codec, s->to->cs, &q) < 0)
            refuse(s);
        weir_bufq_deinit(&q);
    }
    s->codec->ops->consumed(s->codec, cs, bytes.len);
}

static void on_end(void *arg, struct weir_cstream *cs) {
    struct side *s = arg;
    s->ended = true;
    if (!s->to || !s->passed || s->refused || s->sent.body == WEIR_BODY_NONE)
        return;
    if (s->to->codec->ops->send_end(s->to->codec, s->to->cs, cs->trailers) < 0)
        refuse(s);
}

static void on_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    struct side *s = arg;
    s->over = true;
    s->cs = NULL;
}

static void on_closed(void *arg, struct weir_cstream *cs) {
    struct side *s = arg;
    s->cs = NULL;
}

static void on_draining(void *arg) {
}

static const struct weir_codec_events events = { on_begin, on_head,   on_data,    on_end,
                                                 on_reset, on_closed, on_draining };

static struct side *side_new(bool h2, enum weir_role role, uint8_t flags) {
    struct side *s = calloc(1, sizeof(*s));
    struct weir_codec_params params = { role, &events, s, &s->pool, &weir_codec_limits_default };
    weir_chunk_pool_init(&s->pool, 0);
    weir_arena_init(&s->arena, 2048);
    weir_head_init(&s->head, &s->arena);
    s->flags = flags;
    if (h2 ? weir_h2_new(&params, &s->codec) : weir_h1_new(&params, &s->codec))
        abort();
    return s;
}

static void side_free(struct side *s) {
    s->codec->ops->free(s->codec);
    weir_arena_deinit(&s->arena);
    weir_chunk_pool_deinit(&s->pool);
    free(s);
}

static void feed(struct side *s, const void *bytes, size_t n, size_t step) {
    const char *p = bytes;
    int r = 0;
    while (n && r == 0) {
        size_t used, len = n < step ? n : step;
        struct weir_chunk *chunk = weir_malloc(sizeof(*chunk) + len);
        *chunk = (struct weir_chunk){ .pool = &s->pool, .refs = 1, .size = (uint32_t)len };
        memcpy(chunk->data, p, len);
        s->pool.n_live++;
        r = s->codec->ops->feed(s->codec, chunk, weir_slice_make(chunk->data, len), &used);
        weir_chunk_unref(chunk);
        assert(r >= 0);
        p += len;
        n -= len;
    }
    s->over |= r == WEIR_CODEC_FAULT;
}

static void pull(struct side *s, char **text, size_t *len) {
    struct weir_bufq q;
    weir_bufq_init(&q, &s->pool, 0);
    for (unsigned i = 0; i < 8 && s->codec->want_pull; i++)
        assert(s->codec->ops->pull(s->codec, &q) == 0);
    for (struct iovec iov; text && weir_bufq_peek(&q, &iov, 1) == 1;
         weir_bufq_consume(&q, iov.iov_len)) {
        *text = realloc(*text, *len + iov.iov_len + 1);
        memcpy(*text + *len, iov.iov_base, iov.iov_len);
        *len += iov.iov_len;
    }
    weir_bufq_deinit(&q);
}

/* A request on its way, so that there is something to answer: to `from` over HTTP/2, from `to` over HTTP/1. */
static void ask(struct side *from, struct side *to, bool head_method) {
    static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
                      head[] = "HEAD / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n";
    struct weir_head h;
    weir_head_init(&h, NULL);
    h.method_name = head_method ? WEIR_SLICE("HEAD") : WEIR_SLICE("GET");
    h.method = (uint8_t)weir_method_id(h.method_name);
    h.scheme = WEIR_SLICE("http");
    h.authority = WEIR_SLICE("a");
    h.target = WEIR_SLICE("/");
    feed(to, head_method ? head : get, (head_method ? sizeof(head) : sizeof(get)) - 1, SIZE_MAX);
    assert(from->codec->ops->open(from->codec, from, &from->head, &from->cs) == 0);
    assert(from->codec->ops->send_head(from->codec, from->cs, &h, true) == 0);
    pull(from, NULL, NULL);
}

/* ---- does it mean the same? ---- */

static bool is(struct weir_slice s, const char *text) {
    return s.len == strlen(text) && strncasecmp(s.ptr, text, s.len) == 0;
}

static bool one_of(struct weir_slice name, const char *const *list) {
    while (*list && !is(name, *list))
        list++;
    return *list != NULL;
}

/* Read as CGI-like servers read names; an entry ending in '-' is a family. */
static bool in(struct weir_slice name, const char *const *list) {
    char folded[64] = "";
    for (size_t i = 0; i < name.len && i < sizeof(folded) - 1; i++)
        folded[i] = isalnum((unsigned char)name.ptr[i]) ? name.ptr[i] : '-';
    for (; *list; list++) {
        size_t n = strlen(*list);
        if ((*list)[n - 1] == '-' ? strncasecmp(folded, *list, n) == 0
                                  : name.len == n && strncasecmp(folded, *list, n) == 0)
            return true;
    }
    return false;
}

static const char *const claims[] = { "x-forwarded-client-cert",
                                      "x-forwarded-for",
                                      "x-forwarded-host",
                                      "x-forwarded-proto",
                                      "forwarded",
                                      "x-envoy-",
                                      "l5d-",
                                      "x-weir-",
                                      NULL };
static const char *const framing[] = { "content-length",
                                       "transfer-encoding",
                                       "host",
                                       "te",
                                       "connection",
                                       "upgrade",
                                       "keep-alive",
                                       "proxy-connection",
                                       "http2-settings",
                                       "x-weir-h1",
                                       "trailer",
                                       "expect",
                                       NULL };

static const struct weir_slice *value_of(const struct list *l, const char *name) {
    for (unsigned i = 0; i < l->n; i++)
        if (is(l->name[i], name))
            return &l->value[i];
    return NULL;
}

/* As every proxy spells it. */
static bool is_plain(struct weir_slice name) {
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.ptr[i]) && name.ptr[i] != '-')
            return false;
    return true;
}

/* A field that must arrive; Expect may, and is looked at by its own tests. */
static bool goes_on(const struct said *s, struct weir_slice name) {
    static const char *const hop[] = { "content-length", "te",     "http2-settings",
                                       "x-weir-h1",      "expect", NULL };
    bool request = !(s->flags & FLAG_RESPONSE);
    if (name.ptr[0] == ':' || one_of(name, hop) || (request && is(name, "host")))
        return false;
    return !request || !in(name, claims) || (s->flags & FLAG_MESH && is_plain(name));
}

/* Every field that was said and goes on, in order, and no other but what weir writes itself. */
static void same_fields(const struct said *s, const struct list *l, const struct strict_fields *f) {
    unsigned k = 0;
    bool cookie = false;
    static const char *const ours[] = { "content-length", "transfer-encoding", "host",   "te",
                                        "connection",     "upgrade",           "expect", NULL };
    for (unsigned i = 0; i < f->n; i++) /* as a CGI-like server reads names */
        assert(!weir_slice_eq(f->name[i], WEIR_SLICE("content_length")) &&
               !weir_slice_eq(f->name[i], WEIR_SLICE("transfer_encoding")));
    for (unsigned i = 0; i < l->n; i++) {
        struct weir_slice name = l->name[i], crumb = l->value[i];
        bool is_cookie = is(name, "cookie") && !(s->flags & FLAG_RESPONSE);
        if (!goes_on(s, name) || (is_cookie && cookie))
            continue;
        while (k < f->n && one_of(f->name[k], ours) && !weir_slice_ieq(f->name[k], name))
            k++;
        assert(k < f->n && weir_slice_ieq(f->name[k], name));
        if (is_cookie) { /* joined: RFC 9113 8.2.3 */
            struct weir_slice all = f->value[k];
            cookie = true;
            for (unsigned c = i; c < l->n; c++) {
                if (!is(l->name[c], "cookie") || l->value[c].len == 0)
                    continue;
                crumb = l->value[c];
                assert(all.len >= crumb.len && memcmp(all.ptr, crumb.ptr, crumb.len) == 0);
                all.ptr += crumb.len;
                all.len -= crumb.len;
                if (all.len >= 2 && memcmp(all.ptr, "; ", 2) == 0) {
                    all.ptr += 2;
                    all.len -= 2;
                }
            }
            assert(all.len == 0);
        } else {
            assert(weir_slice_eq(f->value[k], crumb));
        }
        k++;
    }
    for (; k < f->n; k++)
        assert(one_of(f->name[k], ours));
}

static void same_trailers(const struct list *l, const struct strict_fields *f) {
    unsigned k = 0;
    for (unsigned i = 0; i < f->n; i++, k++) {
        assert(!in(f->name[i], framing) && !in(f->name[i], claims));
        while (k < l->n &&
               !(weir_slice_ieq(l->name[k], f->name[i]) && weir_slice_eq(l->value[k], f->value[i])))
            k++;
        assert(k < l->n);
    }
}

static void same_request(const struct said *s, const struct strict_message *m) {
    const struct list *l = &s->lists[0];
    const struct weir_slice *authority = value_of(l, ":authority"), *host = value_of(l, "host");
    bool upgrade = value_of(l, ":protocol") != NULL;
    struct weir_slice said_host = authority ? *authority : *host;

    assert(!authority || !host || weir_slice_ieq(*authority, *host));
    if (upgrade)
        assert(weir_slice_ieq(strict_one(&m->head, "upgrade"), *value_of(l, ":protocol")));
    else
        assert(!strict_one(&m->head, "upgrade").ptr);
    assert(upgrade ? is(m->method, "GET") || s->flags & FLAG_MESH
                   : weir_slice_eq(m->method, *value_of(l, ":method")));
    assert(weir_slice_eq(m->target, *value_of(l, ":path")));
    assert(weir_slice_eq(strict_one(&m->head, "host"), said_host) ||
           (s->flags & FLAG_MESH && strict_one(&m->head, "host").len == 0));
    assert(!value_of(l, "te") || is(strict_one(&m->head, "te"), "trailers"));
    same_fields(s, l, &m->head);
    if (!upgrade)
        assert(m->body_len == s->body_len &&
               (s->body_len == 0 || memcmp(m->body, s->body, s->body_len) == 0));
    else
        assert(m->body_len == 0 && !m->chunked);
    if (s->n_lists > 1)
        same_trailers(&s->lists[1], &m->trailers);
    else
        assert(m->trailers.n == 0);
}

static void check_request(const struct said *s, const struct side *in_side, const char *text,
                          size_t len) {
    struct strict_message m;
    enum strict_result r = strict_read(text, len, STRICT_REQUEST, &m);
    bool whole = in_side->ended && in_side->passed && !in_side->refused;

    assert(in_side->passed ? r != STRICT_WRONG : len == 0);
    if (whole) {
        assert(r == STRICT_WHOLE && m.used == len);
        same_request(s, &m);
    } else if (r == STRICT_WHOLE) {
        /* Cut off, but as long as was announced: what was said up to there, and nothing behind it. */
        assert(m.used == len && !m.chunked && m.trailers.n == 0 && m.body_len <= s->body_len);
        assert(m.body_len == 0 || memcmp(m.body, s->body, m.body_len) == 0);
    }
    free(m.body);
}

static void check_response(const struct said *s, const struct side *in_side, const char *text,
                           size_t len) {
    enum strict_kind kind = s->flags & FLAG_HEAD ? STRICT_RESPONSE_TO_HEAD : STRICT_RESPONSE;
    bool whole = in_side->ended && in_side->passed && !in_side->refused;
    enum strict_result r = STRICT_PART;
    struct strict_message m = { 0 };
    unsigned i = 0;
    size_t at = 0;

    for (; i < s->n_lists && at < len; i++) {
        free(m.body);
        r = strict_read(text + at, len - at, kind, &m);
        assert(r != STRICT_WRONG);
        if (r == STRICT_PART)
            break;
        const struct weir_slice *status = value_of(&s->lists[i], ":status");
        assert(status && (unsigned)atoi((char[]){ status->ptr[0], status->ptr[1], status->ptr[2],
                                                  0 }) == m.status);
        same_fields(s, &s->lists[i], &m.head);
        at += m.used;
        if (m.status >= 200)
            break;
    }
    assert(at == len || r == STRICT_PART);
    if (whole) {
        assert(r == STRICT_WHOLE && at == len && m.status >= 200);
        assert(m.body_len == s->body_len && (!m.body_len || !memcmp(m.body, s->body, m.body_len)));
        if (i + 1 < s->n_lists)
            same_trailers(&s->lists[i + 1], &m.trailers);
        else
            assert(m.trailers.n == 0);
    }
    free(m.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct said s = { 0 };
    char *text = NULL;
    size_t len = 0;

    if (size < 2 || size > 12000)
        return 0;
    listen_to(&s, data, size);
    bool response = s.flags & FLAG_RESPONSE;
    size_t skip = response ? 24 : 0, step = s.flags & FLAG_BYTEWISE ? 1 : SIZE_MAX;
    struct side *from = side_new(true, response ? WEIR_ROLE_CLIENT : WEIR_ROLE_SERVER, s.flags);
    struct side *to = side_new(false, response ? WEIR_ROLE_SERVER : WEIR_ROLE_CLIENT, s.flags);

    from->to = to;
    feed(from, hello + skip, sizeof(hello) - 1 - skip, step);
    if (response)
        ask(from, to, s.flags & FLAG_HEAD);
    else
        assert(to->codec->ops->open(to->codec, to, &to->head, &to->cs) == 0);
    feed(from, s.wire, s.wire_len, step);
    pull(to, &text, &len);
    if (response)
        check_response(&s, from, text, len);
    else
        check_request(&s, from, text, len);
    pull(from, NULL, NULL);
    side_free(from);
    side_free(to);
    free(text);
    free(s.body);
    free(s.wire);
    return 0;
}
