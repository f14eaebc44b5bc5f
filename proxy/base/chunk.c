/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The per-worker pool of fixed-size chunks: a free list in front of the heap, last used first
 * because that one is still in the cache. It knows nothing of queues; a chunk that is out belongs
 * to whoever holds a reference. Under AddressSanitizer the data of a chunk on the free list is
 * poisoned, so a stale slice is found like a freed pointer.
 *
 * Beside them the small blocks of the same worker, a free list for each size class. A block's class is told from its usable size, so
 * that it needs no header: what was asked for as 64 k - 8 bytes is what the heap rounds to.
 */
#include <assert.h>

#include "base/asan.h"
#include "base/bufq.h"
#include "base/mem.h"

#define SMALL_BYTES(class) (((class) + 1) * (size_t)WEIR_SMALL_STEP - sizeof(void *))
#define SMALL_MAX          SMALL_BYTES(WEIR_SMALL_CLASSES - 1)
#define SMALL_SHARE        4u /* of what the chunks kept may be */

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
    for (size_t i = 0; i < WEIR_SMALL_CLASSES; i++) {
        while (pool->small[i]) {
            struct weir_small *small = pool->small[i];
            WEIR_UNPOISON(small, SMALL_BYTES(i));
            pool->small[i] = small->next_free;
            weir_free(small);
        }
    }
    pool->small_free = 0;
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

void *weir_small_get(struct weir_chunk_pool *pool, size_t n) {
    if (n > SMALL_MAX)
        return weir_malloc(n);
    size_t class = (n + sizeof(void *) + WEIR_SMALL_STEP - 1) / WEIR_SMALL_STEP - 1;
    struct weir_small *small = pool->small[class];
    if (!small)
        return weir_malloc(SMALL_BYTES(class));
    WEIR_UNPOISON(small, SMALL_BYTES(class));
    pool->small[class] = small->next_free;
    pool->small_free -= SMALL_BYTES(class);
    return small;
}

void weir_small_put(struct weir_chunk_pool *pool, void *p) {
    size_t size = p ? weir_mem_size(p) : 0;
    size_t class = (size + sizeof(void *)) / WEIR_SMALL_STEP;
    if (class == 0 || class > WEIR_SMALL_CLASSES || !pool->keep ||
        pool->small_free >= (size_t)pool->max_free * (WEIR_CHUNK_SIZE / SMALL_SHARE)) {
        weir_free(p);
        return;
    }
    struct weir_small *small = p;
    class --;
    small->next_free = pool->small[class];
    pool->small[class] = small;
    pool->small_free += SMALL_BYTES(class);
    WEIR_POISON(small, SMALL_BYTES(class));
}
