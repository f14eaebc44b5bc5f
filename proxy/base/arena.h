/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bump allocator: everything made in one txn (or one snapshot) dies together. An arena starts with no block, so an
 * idle owner costs nothing; weir_arena_reset keeps the first block for the next use.
 */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include "base/asan.h"
#include "base/err.h"
#include "base/slice.h"

#define WEIR_ARENA_ALIGN 16u

/* arena.c's own, here for the sake of weir_arena_alloc. */
struct weir_arena_block {
    struct weir_arena_block *next;
    size_t size, used;
    _Alignas(WEIR_ARENA_ALIGN) char data[];
};

struct weir_arena {
    struct weir_arena_block *block; /* newest first */
    size_t block_size; /* bytes of a new block; larger requests get a block of their own */
};

void weir_arena_init(struct weir_arena *arena, size_t block_size);
/* Frees every block; the arena may be used again. */
void weir_arena_deinit(struct weir_arena *arena);
/* Forgets all allocations but keeps one standard block. */
void weir_arena_reset(struct weir_arena *arena);
/* What the first block has no room for. */
void *weir_arena_alloc_slow(struct weir_arena *arena, size_t n);
/* 16-byte aligned, not cleared. NULL = no memory. */
static inline void *weir_arena_alloc(struct weir_arena *arena, size_t n) {
    struct weir_arena_block *block = arena->block;
    size_t padded = ((n ? n : 1) + WEIR_ARENA_ALIGN - 1) & ~(size_t)(WEIR_ARENA_ALIGN - 1);
    if (!block || n > block->size || block->size - block->used < padded)
        return weir_arena_alloc_slow(arena, n);
    void *p = block->data + block->used;
    block->used += padded;
    WEIR_UNPOISON(p, n);
    return p;
}
void *weir_arena_calloc(struct weir_arena *arena, size_t n, size_t size);
/* Copy of s in the arena, with a NUL behind it that is not part of the slice. ptr NULL = no memory. */
struct weir_slice weir_arena_dup(struct weir_arena *arena, struct weir_slice s);
/* The parts one behind the other: a tenth of what weir_arena_printf costs. ptr NULL = no memory. */
struct weir_slice weir_arena_join(struct weir_arena *arena, const struct weir_slice *parts,
                                  size_t n);
/* NUL-terminated; NULL = no memory. */
char *weir_arena_printf(struct weir_arena *arena, const char *fmt, ...) WEIR_PRINTF(2, 3);
/* Bytes held from the heap. */
size_t weir_arena_size(const struct weir_arena *arena);

#endif
