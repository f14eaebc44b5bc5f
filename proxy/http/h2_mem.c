/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap of one nghttp2 session: the worker's small blocks and weir's allocator behind them, with every block on a list of the
 * connection. A stream takes and gives back some ten blocks.
 *
 * The list is there for the day memory runs out. nghttp2 1.52 reports that faithfully, but may
 * leave an item it has freed attached to a stream (the priority queue that cannot grow), so that
 * even deleting the session is not safe then. A session that has met it is never touched again: its
 * blocks are freed as they stand.
 */
#include "base/mem.h"
#include "http/h2_internal.h"

struct block {
    struct weir_list link; /* 16 bytes: what follows is aligned as malloc aligns */
    char data[];
};

static void *take(struct weir_h2 *h, struct block *b) {
    if (!b) {
        h->broken = true;
        return NULL;
    }
    weir_list_push_back(&h->blocks, &b->link);
    return b->data;
}

static void *mem_malloc(size_t n, void *arg) {
    if (n > SIZE_MAX - sizeof(struct block))
        return NULL;
    struct weir_h2 *h = arg;
    return take(h, weir_small_get(h->base.pool, sizeof(struct block) + n));
}

static void *mem_calloc(size_t n, size_t size, void *arg) {
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    void *p = mem_malloc(bytes, arg);
    return p ? memset(p, 0, bytes) : NULL;
}

static void mem_free(void *p, void *arg) {
    struct weir_h2 *h = arg;

    if (!p)
        return;
    struct block *b = WEIR_CONTAINER_OF(p, struct block, data);
    weir_list_unlink(&b->link);
    weir_small_put(h->base.pool, b);
}

static void *mem_realloc(void *p, size_t n, void *arg) {
    struct weir_h2 *h = arg;
    struct block *b;

    if (!p)
        return mem_malloc(n, arg);
    if (n > SIZE_MAX - sizeof(struct block))
        return NULL;
    b = WEIR_CONTAINER_OF(p, struct block, data);
    weir_list_unlink(&b->link);
    struct block *grown = weir_reallocarray(b, 1, sizeof(struct block) + n);
    if (!grown)
        weir_list_push_back(&h->blocks, &b->link); /* the old one stays */
    return take(h, grown);
}

nghttp2_mem weir_h2_mem(struct weir_h2 *h) {
    return (nghttp2_mem){ h, mem_malloc, mem_free, mem_calloc, mem_realloc };
}

void weir_h2_mem_free(struct weir_h2 *h) {
    if (!h->broken)
        nghttp2_session_del(h->session);
    WEIR_LIST_FOREACH_SAFE (it, next, &h->blocks) {
        weir_free(WEIR_CONTAINER_OF(it, struct block, link));
    }
}
