/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer made of bare frames: builds what no honest library would send, and reads back as text what
 * the codec answers. Header only.
 */
#ifndef WEIR_TEST_H2_WIRE_H
#define WEIR_TEST_H2_WIRE_H

#include <nghttp2/nghttp2.h>

#include "h2_owner.h"

#define WIRE_BYTES ((size_t)2 << 20)
#define WHOLE      ((size_t)1 << 20)

enum { ES = NGHTTP2_FLAG_END_STREAM, EH = NGHTTP2_FLAG_END_HEADERS, PAD = NGHTTP2_FLAG_PADDED };

struct nv {
    const char *name, *value;
    size_t len; /* of value when it holds a NUL */
};

struct wire {
    struct owner o;
    nghttp2_hd_deflater *def;
    nghttp2_hd_inflater *inf;
    uint8_t *buf;
    size_t len;
    size_t step;       /* of the reads; WHOLE */
    bool with_windows; /* show WINDOW_UPDATE */
    size_t pulled;     /* bytes of the last pull */
    char got[16384];   /* frames received, one per line */
};

static void wire_bytes(struct wire *w, const void *bytes, size_t len) {
    assert_true(w->len + len <= WIRE_BYTES);
    if (len)
        memcpy(w->buf + w->len, bytes, len);
    w->len += len;
}

static void wire_frame(struct wire *w, uint8_t type, uint8_t flags, uint32_t id,
                       const void *payload, size_t len) {
    uint8_t hd[9] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
        (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id
    };
    wire_bytes(w, hd, sizeof(hd));
    wire_bytes(w, payload, len);
}

static WEIR_UNUSED void wire_u32(struct wire *w, uint8_t type, uint32_t id, uint32_t value) {
    uint8_t p[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                     (uint8_t)value };
    wire_frame(w, type, 0, id, p, 4);
}

static WEIR_UNUSED void wire_data(struct wire *w, uint32_t id, uint8_t flags, const char *bytes) {
    wire_frame(w, NGHTTP2_DATA, flags, id, bytes, strlen(bytes));
}

/* The header block of a list that ends with a NULL name. */
static size_t wire_block(struct wire *w, const struct nv *list, uint8_t *block, size_t size) {
    nghttp2_nv nva[512];
    size_t n = 0;
    for (; list[n].name; n++) {
        assert_true(n < 512);
        size_t len = list[n].len ? list[n].len : strlen(list[n].value);
        nva[n] = (nghttp2_nv){ (uint8_t *)(uintptr_t)list[n].name,
                               (uint8_t *)(uintptr_t)list[n].value, strlen(list[n].name), len, 0 };
    }
    ssize_t r = nghttp2_hd_deflate_hd(w->def, block, size, nva, n);
    assert_true(r >= 0);
    return (size_t)r;
}

static WEIR_UNUSED void wire_headers(struct wire *w, uint32_t id, uint8_t flags,
                                     const struct nv *list) {
    uint8_t block[16384];
    size_t n = wire_block(w, list, block, sizeof(block));
    wire_frame(w, NGHTTP2_HEADERS, flags | EH, id, block, n);
}

#define METHOD(m)                                                                                  \
    { ":method", m, 0 }
#define SCHEME                                                                                     \
    { ":scheme", "http", 0 }
#define AUTHORITY                                                                                  \
    { ":authority", "a.example", 0 }
#define PATH                                                                                       \
    { ":path", "/", 0 }
#define GET_HEAD  METHOD("GET"), SCHEME, AUTHORITY, PATH
#define POST_HEAD METHOD("POST"), SCHEME, AUTHORITY, PATH
#define LAST                                                                                       \
    { NULL, NULL, 0 }
#define LIST(...) ((const struct nv[]){ __VA_ARGS__, LAST })

static WEIR_UNUSED void wire_get(struct wire *w, uint32_t id) {
    wire_headers(w, id, ES, LIST(GET_HEAD));
}

/* ---- what comes back ---- */

static void wire_note(struct wire *w, const char *fmt, ...) WEIR_PRINTF(2, 3);
static void wire_note(struct wire *w, const char *fmt, ...) {
    size_t at = strlen(w->got);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->got + at, sizeof(w->got) - at, fmt, ap);
    va_end(ap);
}

static void wire_note_headers(struct wire *w, uint32_t id, uint8_t flags, const uint8_t *p,
                              size_t len) {
    wire_note(w, "HEADERS %u%s", id, flags & ES ? " end" : "");
    for (;;) {
        nghttp2_nv nv;
        int what = 0;
        ssize_t r = nghttp2_hd_inflate_hd2(w->inf, &nv, &what, p, len, 1);
        assert_true(r >= 0);
        p += r;
        len -= (size_t)r;
        if (what & NGHTTP2_HD_INFLATE_EMIT)
            wire_note(w, " %.*s=%.*s", (int)nv.namelen, (const char *)nv.name, (int)nv.valuelen,
                      (const char *)nv.value);
        if (what & NGHTTP2_HD_INFLATE_FINAL)
            break;
    }
    nghttp2_hd_inflate_end_headers(w->inf);
    wire_note(w, "\n");
}

static uint32_t be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void wire_note_frame(struct wire *w, const uint8_t *f, size_t len) {
    uint32_t id = be32(f + 5);
    const uint8_t *p = f + 9;
    switch (f[3]) {
    case NGHTTP2_DATA:
        wire_note(w, "DATA %u %zu%s\n", id, len, f[4] & ES ? " end" : "");
        break;
    case NGHTTP2_HEADERS:
        wire_note_headers(w, id, f[4], p, len);
        break;
    case NGHTTP2_RST_STREAM:
        wire_note(w, "RST %u %u\n", id, be32(p));
        break;
    case NGHTTP2_GOAWAY:
        wire_note(w, "GOAWAY %u %u\n", be32(p), be32(p + 4));
        break;
    case NGHTTP2_SETTINGS:
        break;
    case NGHTTP2_WINDOW_UPDATE:
        if (w->with_windows)
            wire_note(w, "WINDOW %u %u\n", id, be32(p));
        break;
    default:
        wire_note(w, "frame %u %u\n", f[3], id);
    }
}

/* Gathers what the codec has to say into w->got. 0 or -ENOMEM. */
static int wire_pull(struct wire *w) {
    struct weir_bufq q;
    w->got[0] = '\0';
    weir_bufq_init(&q, &w->o.pool, 0);
    int r = w->o.codec->want_pull ? w->o.codec->ops->pull(w->o.codec, &q) : 0;
    w->pulled = q.len;
    char *text = weir_test_bufq_text(&q);
    const uint8_t *f = (const uint8_t *)text, *end = f + q.len;
    if (q.len >= 24 && memcmp(text, "PRI ", 4) == 0)
        f += 24;
    while (f < end) {
        size_t len = be32(f) >> 8;
        wire_note_frame(w, f, len);
        f += 9 + len;
    }
    assert_ptr_equal(f, end);
    free(text);
    weir_bufq_deinit(&q);
    return r;
}

/* Sends what was built, then pulls. The result of feed. */
static int wire_go(struct wire *w) {
    int r = owner_feed(&w->o, (const char *)w->buf, w->len, w->step);
    w->len = 0;
    assert_int_equal(wire_pull(w), 0);
    return r;
}

/* `role` is the codec's; the wire plays the other and has said its preface. */
static WEIR_UNUSED void wire_init(struct wire *w, enum weir_role role) {
    struct weir_codec_limits limits = w->o.limits;
    memset(w, 0, sizeof(*w));
    w->o.limits = limits;
    w->step = WHOLE;
    w->buf = malloc(WIRE_BYTES);
    assert_int_equal(owner_init(&w->o, role), 0);
    assert_int_equal(nghttp2_hd_deflate_new(&w->def, 4096), 0);
    assert_int_equal(nghttp2_hd_inflate_new(&w->inf), 0);
    if (role == WEIR_ROLE_SERVER)
        wire_bytes(w, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    wire_frame(w, NGHTTP2_SETTINGS, 0, 0, "", 0);
    wire_frame(w, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0);
}

static WEIR_UNUSED void wire_deinit(struct wire *w) {
    struct weir_codec_limits limits = w->o.limits;
    owner_deinit(&w->o);
    nghttp2_hd_deflate_del(w->def);
    nghttp2_hd_inflate_del(w->inf);
    free(w->buf);
    memset(w, 0, sizeof(*w));
    w->o.limits = limits;
}

static WEIR_UNUSED void wire_begin(struct wire *w) {
    assert_int_equal(wire_go(w), 0);
    assert_string_equal(w->got, "");
}

#endif
