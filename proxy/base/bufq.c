/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chunk queue: a ring of (chunk, pointer, length) segments, each holding one reference on its
 * chunk. The ring lies in the queue itself until a fifth segment arrives. It never reads a byte it
 * carries and never decides to pause anyone: it only answers weir_bufq_full.
 *
 * The tail may be written behind its last byte when its chunk has exactly one reference: that is
 * the segment's own, so nobody else can see the chunk's other bytes. A second segment in the same
 * chunk, a reader that still fills it or another queue would each hold a further reference.
 */
#include "base/bufq.h"

#include <assert.h>

#include "base/mem.h"

/* With the ring beyond its inline slots, runs up to this size are copied together: a peer that
 * sends one byte per frame would otherwise cost a segment, and maybe a whole chunk, for each of
 * them. */
#define COPY_SMALL 256u
/* An emptied queue keeps a ring up to this many slots. */
#define RING_KEEP 256u

static struct weir_seg *seg_at(const struct weir_bufq *q, uint32_t i) {
    return &q->segs[(q->head + i) & (q->cap - 1)];
}

static struct weir_seg *tail_of(const struct weir_bufq *q) {
    return q->count ? seg_at(q, q->count - 1) : NULL;
}

static void ring_release(struct weir_bufq *q) {
    if (q->segs != q->inline_segs)
        weir_free(q->segs);
    q->segs = q->inline_segs;
    q->cap = WEIR_BUFQ_INLINE;
    q->head = 0;
}

/* Makes room for n more segments. */
static int ring_reserve(struct weir_bufq *q, uint32_t n) {
    if (n <= q->cap - q->count)
        return 0;
    uint32_t cap = q->cap;
    while (cap - q->count < n) {
        if (cap > UINT32_MAX / 4)
            return -ENOMEM;
        cap *= 2;
    }
    struct weir_seg *segs = weir_reallocarray(NULL, cap, sizeof(*segs));
    if (!segs)
        return -ENOMEM;
    for (uint32_t i = 0; i < q->count; i++)
        segs[i] = *seg_at(q, i);
    if (q->segs != q->inline_segs)
        weir_free(q->segs);
    q->segs = segs;
    q->cap = cap;
    q->head = 0;
    return 0;
}

/* Takes over the caller's reference on seg.chunk; a slot must be free. */
static void push(struct weir_bufq *q, struct weir_seg seg) {
    assert(q->count < q->cap);
    q->count++;
    *seg_at(q, q->count - 1) = seg;
    q->len += seg.len;
}

static bool continues(const struct weir_seg *tail, const struct weir_chunk *chunk,
                      const char *ptr) {
    return tail && chunk && tail->chunk == chunk && tail->ptr + tail->len == ptr;
}

/* Bytes that may be written right behind the tail. */
static size_t tail_room(const struct weir_seg *tail) {
    if (!tail || !tail->chunk || tail->chunk->refs != 1)
        return 0;
    return tail->chunk->size - (size_t)(tail->ptr + tail->len - tail->chunk->data);
}

static char *seg_end(const struct weir_seg *seg) {
    return seg->chunk->data + (seg->ptr - seg->chunk->data) + seg->len;
}

static void drop_head(struct weir_bufq *q) {
    struct weir_seg *seg = seg_at(q, 0);
    q->len -= seg->len;
    weir_chunk_unref(seg->chunk);
    q->head = (q->head + 1) & (q->cap - 1);
    q->count--;
}

void weir_bufq_init(struct weir_bufq *q, struct weir_chunk_pool *pool, size_t limit) {
    q->pool = pool;
    q->segs = q->inline_segs;
    q->head = q->count = 0;
    q->cap = WEIR_BUFQ_INLINE;
    q->len = 0;
    q->limit = limit;
}

void weir_bufq_clear(struct weir_bufq *q) {
    if (!q->segs)
        return;
    while (q->count)
        drop_head(q);
    ring_release(q);
}

void weir_bufq_deinit(struct weir_bufq *q) {
    weir_bufq_clear(q);
}

/* n chunks linked through next_free, or NULL. */
static struct weir_chunk *chunks_get(struct weir_chunk_pool *pool, size_t n) {
    struct weir_chunk *list = NULL;
    while (n--) {
        struct weir_chunk *chunk = weir_chunk_get(pool);
        if (!chunk) {
            while (list) {
                struct weir_chunk *next = list->next_free;
                weir_chunk_unref(list);
                list = next;
            }
            return NULL;
        }
        chunk->next_free = list;
        list = chunk;
    }
    return list;
}

int weir_bufq_append(struct weir_bufq *q, struct weir_slice bytes) {
    if (bytes.len == 0)
        return 0;
    struct weir_seg *tail = tail_of(q);
    size_t here = tail_room(tail);
    if (here > bytes.len)
        here = bytes.len;
    size_t left = bytes.len - here;
    struct weir_chunk *fresh = NULL;
    if (left) {
        size_t n = (left + WEIR_CHUNK_SIZE - 1) / WEIR_CHUNK_SIZE;
        if (n > UINT32_MAX / 4 || ring_reserve(q, (uint32_t)n) < 0)
            return -ENOMEM;
        fresh = chunks_get(q->pool, n);
        if (!fresh)
            return -ENOMEM;
        tail = tail_of(q);
    }
    if (here) {
        memcpy(seg_end(tail), bytes.ptr, here);
        tail->len += here;
        q->len += here;
    }
    const char *from = bytes.ptr + here;
    while (fresh) {
        struct weir_chunk *chunk = fresh;
        fresh = chunk->next_free;
        chunk->next_free = NULL;
        size_t n = left < chunk->size ? left : chunk->size;
        memcpy(chunk->data, from, n);
        push(q, (struct weir_seg){ chunk, chunk->data, n });
        from += n;
        left -= n;
    }
    return 0;
}

int weir_bufq_append_ref(struct weir_bufq *q, struct weir_chunk *chunk, struct weir_slice bytes) {
    if (bytes.len == 0)
        return 0;
    struct weir_seg *tail = tail_of(q);
    if (continues(tail, chunk, bytes.ptr)) {
        tail->len += bytes.len;
        q->len += bytes.len;
        return 0;
    }
    if (q->count >= WEIR_BUFQ_INLINE && bytes.len <= COPY_SMALL)
        return weir_bufq_append(q, bytes);
    int r = ring_reserve(q, 1);
    if (r < 0)
        return r;
    push(q, (struct weir_seg){ chunk ? weir_chunk_ref(chunk) : NULL, bytes.ptr, bytes.len });
    return 0;
}

char *weir_bufq_reserve(struct weir_bufq *q, size_t n) {
    assert(n <= WEIR_CHUNK_SIZE);
    struct weir_seg *tail = tail_of(q);
    if (tail && tail->chunk && tail->chunk->refs == 1 && tail_room(tail) >= n)
        return seg_end(tail);
    if (n > WEIR_CHUNK_SIZE || ring_reserve(q, 1) < 0)
        return NULL;
    struct weir_chunk *chunk = weir_chunk_get(q->pool);
    if (!chunk)
        return NULL;
    /* An empty segment until the commit; peek and consume pass over it. */
    push(q, (struct weir_seg){ chunk, chunk->data, 0 });
    return chunk->data;
}

void weir_bufq_commit(struct weir_bufq *q, size_t n) {
    struct weir_seg *tail = tail_of(q);
    if (!tail)
        return;
    assert(n == 0 || n <= tail_room(tail));
    tail->len += n;
    q->len += n;
    if (tail->len == 0) {
        weir_chunk_unref(tail->chunk);
        q->count--;
    }
}

/* How many of src's segments max bytes touch. */
static uint32_t segs_within(const struct weir_bufq *src, size_t max) {
    uint32_t n = 0;
    size_t seen = 0;
    while (n < src->count && seen < max)
        seen += seg_at(src, n++)->len;
    return n;
}

/* All of src into an empty queue: the references change hands with the segments. */
static void take_over(struct weir_bufq *dst, struct weir_bufq *src) {
    dst->head = 0;
    for (uint32_t i = 0; i < src->count; i++) {
        const struct weir_seg *seg = seg_at(src, i);
        if (seg->len)
            dst->segs[dst->count++] = *seg;
        else
            weir_chunk_unref(seg->chunk); /* reserved, never committed */
    }
    dst->len = src->len;
    src->count = 0;
    src->len = 0;
    ring_release(src);
}

int weir_bufq_move(struct weir_bufq *dst, struct weir_bufq *src, size_t max) {
    assert(dst != src);
    if (max > src->len)
        max = src->len;
    if (max > 0 && max == src->len && dst->count == 0 && src->count <= dst->cap) {
        take_over(dst, src);
        return 0;
    }
    int r = ring_reserve(dst, segs_within(src, max));
    if (r < 0)
        return r;
    while (max) {
        struct weir_seg *seg = seg_at(src, 0);
        size_t n = seg->len < max ? seg->len : max;
        struct weir_seg *tail = tail_of(dst);
        if (continues(tail, seg->chunk, seg->ptr)) {
            tail->len += n;
            dst->len += n;
        } else if (n) {
            push(dst,
                 (struct weir_seg){ seg->chunk ? weir_chunk_ref(seg->chunk) : NULL, seg->ptr, n });
        }
        max -= n;
        weir_bufq_consume(src, n);
    }
    return 0;
}

int weir_bufq_peek(const struct weir_bufq *q, struct iovec *iov, int max) {
    int n = 0;
    for (uint32_t i = 0; i < q->count && n < max; i++) {
        const struct weir_seg *seg = seg_at(q, i);
        if (seg->len == 0)
            continue;
        iov[n].iov_base = (void *)(uintptr_t)seg->ptr;
        iov[n].iov_len = seg->len;
        n++;
    }
    return n;
}

void weir_bufq_consume(struct weir_bufq *q, size_t n) {
    assert(n <= q->len);
    while (q->count) {
        struct weir_seg *seg = seg_at(q, 0);
        if (seg->len > n) {
            seg->ptr += n;
            seg->len -= n;
            q->len -= n;
            return;
        }
        n -= seg->len;
        drop_head(q);
        if (n == 0 && q->len > 0)
            return;
    }
    if (q->cap > RING_KEEP)
        ring_release(q);
}

void weir_bufq_truncate(struct weir_bufq *q, size_t len) {
    assert(len <= q->len);
    while (q->count) {
        struct weir_seg *tail = tail_of(q);
        size_t over = q->len - len;
        if (tail->len > over) {
            tail->len -= over;
            q->len = len;
            return;
        }
        q->len -= tail->len;
        weir_chunk_unref(tail->chunk);
        q->count--;
    }
}
