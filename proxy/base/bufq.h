/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks and chunk queues: how bytes move through a worker without being copied.
 *
 * A chunk is a fixed-size buffer from a per-worker pool, counted by references of that one thread (no atomics). A
 * socket reads into a chunk; codecs hand on slices of it; a queue holds (chunk, offset, length) segments, so the
 * same bytes the kernel wrote are the bytes the kernel reads again. A queue that is full means "pause the source",
 * never "grow": weir_bufq_full is asked before reading more, appending itself does not fail for it.
 */
#ifndef WEIR_BASE_BUFQ_H
#define WEIR_BASE_BUFQ_H

#include <sys/uio.h>

#include "base/err.h"
#include "base/slice.h"

#define WEIR_CHUNK_SIZE (16u * 1024u) /* data bytes of a standard chunk */

/* Small blocks: a class for every 64 bytes up to 1 KiB. */
#define WEIR_SMALL_STEP    64u
#define WEIR_SMALL_CLASSES 16u

struct weir_chunk_pool;

struct weir_chunk {
    struct weir_chunk_pool *pool;
    struct weir_chunk *next_free;
    uint32_t refs;
    uint32_t size; /* bytes of data */
    char data[];
};

struct weir_small {
    struct weir_small *next_free;
};

struct weir_chunk_pool {
    struct weir_chunk *free_list;
    uint32_t n_free;
    uint32_t max_free; /* chunks kept for reuse; beyond it they go back to the heap */
    uint64_t n_live;   /* chunks out of the pool now */
    bool keep;         /* at first; false: none is kept, memory is short */
    size_t
        small_free; /* bytes of small blocks kept; at most a quarter of what max_free chunks are */
    struct weir_small *small[WEIR_SMALL_CLASSES];
};

void weir_chunk_pool_init(struct weir_chunk_pool *pool, uint32_t max_free);
/* What is kept goes back to the heap. */
void weir_chunk_pool_trim(struct weir_chunk_pool *pool);
/* All chunks must have come back (asserted). */
void weir_chunk_pool_deinit(struct weir_chunk_pool *pool);
/* One reference, WEIR_CHUNK_SIZE bytes. NULL = no memory. */
struct weir_chunk *weir_chunk_get(struct weir_chunk_pool *pool);
static inline struct weir_chunk *weir_chunk_ref(struct weir_chunk *chunk) {
    chunk->refs++;
    return chunk;
}
/* Takes NULL; returns NULL. */
struct weir_chunk *weir_chunk_unref(struct weir_chunk *chunk);

/*
 * n bytes of any content, as weir_malloc gives them and aligned alike, for objects that live as long as a request: those up to 1 KiB
 * come from the pool's own blocks where it has kept one. NULL = no memory. Back through weir_small_put of the same pool, or weir_free.
 */
void *weir_small_get(struct weir_chunk_pool *pool, size_t n);
/* Takes NULL. */
void weir_small_put(struct weir_chunk_pool *pool, void *p);

struct weir_seg {
    struct weir_chunk *chunk; /* NULL: static bytes that outlive the process */
    const char *ptr;
    size_t len;
};

#define WEIR_BUFQ_INLINE 4

struct weir_bufq {
    struct weir_chunk_pool *pool;
    struct weir_seg *segs;     /* ring of `cap` slots, `inline_segs` until it overflows */
    uint32_t head, count, cap; /* cap is a power of two */
    size_t len;                /* bytes in all segments */
    size_t limit;              /* full at or above; 0 = no limit */
    struct weir_seg inline_segs[WEIR_BUFQ_INLINE];
};

void weir_bufq_init(struct weir_bufq *q, struct weir_chunk_pool *pool, size_t limit);
void weir_bufq_deinit(struct weir_bufq *q);
void weir_bufq_clear(struct weir_bufq *q);
static inline bool weir_bufq_full(const struct weir_bufq *q) {
    return q->limit != 0 && q->len >= q->limit;
}
/* Below half the limit: the source may run again. */
static inline bool weir_bufq_low(const struct weir_bufq *q) {
    return q->limit == 0 || q->len <= q->limit / 2;
}
/* Copies into the tail chunk, taking new chunks as needed. 0 or -ENOMEM (then nothing was appended). */
int weir_bufq_append(struct weir_bufq *q, struct weir_slice bytes);
/* Appends bytes that lie in `chunk` by taking a reference (NULL chunk: static bytes). 0 or -ENOMEM. */
int weir_bufq_append_ref(struct weir_bufq *q, struct weir_chunk *chunk, struct weir_slice bytes);
/*
 * Room for exactly n <= WEIR_CHUNK_SIZE contiguous bytes at the tail; the caller writes up to n bytes there and then
 * calls weir_bufq_commit with how many. NULL = no memory. Nothing else may touch the queue in between.
 */
char *weir_bufq_reserve(struct weir_bufq *q, size_t n);
void weir_bufq_commit(struct weir_bufq *q, size_t n);
/* Moves up to max bytes from src's head to dst's tail without copying. 0 or -ENOMEM (then nothing was moved). */
int weir_bufq_move(struct weir_bufq *dst, struct weir_bufq *src, size_t max);
/* Fills iov with up to max entries from the head; returns their number. Valid until the queue is changed. */
int weir_bufq_peek(const struct weir_bufq *q, struct iovec *iov, int max);
/* Drops n <= len bytes from the head. */
void weir_bufq_consume(struct weir_bufq *q, size_t n);
/* Drops bytes from the tail until len <= q->len are left: takes back what was just appended. */
void weir_bufq_truncate(struct weir_bufq *q, size_t len);

#endif
