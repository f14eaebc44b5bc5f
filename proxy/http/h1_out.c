/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of an HTTP/1 connection and the text in it. Queue and text share one chunk of the
 * worker's pool, which is taken with the first byte and given back with the last: the segments that
 * were pulled keep the chunk alive.
 */
#include "http/h1_internal.h"

#define HOME_USED ((uint32_t)((sizeof(struct weir_h1_out) + 15u) & ~15u))

_Static_assert(HOME_USED + WEIR_H1_TEXT_MAX <= WEIR_CHUNK_SIZE,
               "the largest text fits a fresh home");

static struct weir_h1_out *out_of(struct weir_h1 *h) {
    if (h->out)
        return h->out;
    struct weir_chunk *home = weir_chunk_get(h->base.pool);
    if (!home)
        return NULL;
    struct weir_h1_out *out = (struct weir_h1_out *)(void *)home->data;
    weir_bufq_init(&out->q, h->base.pool, 0);
    out->home = out->text = home;
    out->used = HOME_USED;
    h->out = out;
    return out;
}

struct weir_bufq *weir_h1_queue(struct weir_h1 *h) {
    struct weir_h1_out *out = out_of(h);
    return out ? &out->q : NULL;
}

char *weir_h1_text(struct weir_h1 *h, size_t n) {
    struct weir_h1_out *out = out_of(h);
    if (!out)
        return NULL;
    if (n > out->text->size - out->used) {
        struct weir_chunk *more = weir_chunk_get(h->base.pool);
        if (!more)
            return NULL;
        if (out->text != out->home)
            weir_chunk_unref(out->text);
        out->text = more;
        out->used = 0;
    }
    return out->text->data + out->used;
}

int weir_h1_text_commit(struct weir_h1 *h, size_t n) {
    struct weir_h1_out *out = h->out;
    struct weir_slice text = { out->text->data + out->used, n };
    int r = weir_bufq_append_ref(&out->q, out->text, text);
    if (r == 0)
        out->used += (uint32_t)n;
    return r;
}

void weir_h1_out_clear(struct weir_h1 *h) {
    struct weir_h1_out *out = h->out;
    if (!out)
        return;
    h->out = NULL;
    weir_bufq_deinit(&out->q);
    struct weir_chunk *home = out->home;
    if (out->text != home)
        weir_chunk_unref(out->text);
    weir_chunk_unref(home);
}
