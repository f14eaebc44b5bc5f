/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The per-worker pool of fixed-size chunks: a free list in front of the heap, last used first
 * because that one is still in the cache. It knows nothing of queues; a chunk that is out belongs
 * to whoever holds a reference. Under AddressSanitizer the data of a chunk on the free list is
 * poisoned, so a stale slice is found like a freed pointer.
 */
#include <assert.h>

#include "base/asan.h"
#include "base/bufq.h"
#include "base/mem.h"

void weir_chunk_pool_init(struct weir_chunk_pool *pool, uint32_t max_free) {
    *pool = (struct weir_chunk_pool){ .max_free = max_free, .keep = true };
}

void weir_chunk_pool_trim(struct weir_chunk_pool *pool) {
    while (pool->free_list) {
        struct weir_chunk *chunk = pool->free_list;
        pool->free_list = chunk->next_free;
        WEIR_UNPOISON(chunk->data, chunk->size);
        weir_free(chunk);
    }
    pool->n_free = 0;
}

void weir_chunk_pool_deinit(struct weir_chunk_pool *pool) {
    assert(pool->n_live == 0);
    weir_chunk_pool_trim(pool);
}

struct weir_chunk *weir_chunk_get(struct weir_chunk_pool *pool) {
    struct weir_chunk *chunk = pool->free_list;
    if (chunk) {
        pool->free_list = chunk->next_free;
        pool->n_free--;
        WEIR_UNPOISON(chunk->data, chunk->size);
    } else {
        chunk = weir_malloc(sizeof(*chunk) + WEIR_CHUNK_SIZE);
        if (!chunk)
            return NULL;
        chunk->pool = pool;
        chunk->size = WEIR_CHUNK_SIZE;
    }
    chunk->next_free = NULL;
    chunk->refs = 1;
    pool->n_live++;
    return chunk;
}

struct weir_chunk *weir_chunk_unref(struct weir_chunk *chunk) {
    if (!chunk)
        return NULL;
    assert(chunk->refs > 0);
    if (--chunk->refs > 0)
        return NULL;
    struct weir_chunk_pool *pool = chunk->pool;
    pool->n_live--;
    if (pool->n_free >= pool->max_free || !pool->keep)
        return weir_free(chunk);
    chunk->next_free = pool->free_list;
    pool->free_list = chunk;
    pool->n_free++;
    WEIR_POISON(chunk->data, chunk->size);
    return NULL;
}
