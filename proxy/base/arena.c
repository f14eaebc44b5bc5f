/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bump allocator over a list of heap blocks. The head of the list is the block being filled; a
 * request larger than a standard block gets its own, linked behind the head so that the head keeps
 * filling. Knows no owner and runs no destructor: what needs one does not belong in an arena. Under
 * AddressSanitizer, bytes not handed out are poisoned.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

#define ALIGN         WEIR_ARENA_ALIGN
#define DEFAULT_BLOCK 4096u

static struct weir_arena_block *block_new(size_t size) {
    if (size > SIZE_MAX - sizeof(struct weir_arena_block))
        return NULL;
    struct weir_arena_block *block = weir_malloc(sizeof(*block) + size);
    if (!block)
        return NULL;
    *block = (struct weir_arena_block){ .size = size };
    WEIR_POISON(block->data, size);
    return block;
}

static void block_free(struct weir_arena_block *block) {
    WEIR_UNPOISON(block->data, block->size);
    weir_free(block);
}

static void *block_take(struct weir_arena_block *block, size_t n, size_t padded) {
    void *p = block->data + block->used;
    block->used += padded;
    WEIR_UNPOISON(p, n);
    return p;
}

void weir_arena_init(struct weir_arena *arena, size_t block_size) {
    if (block_size == 0)
        block_size = DEFAULT_BLOCK;
    *arena = (struct weir_arena){ .block_size = (block_size + ALIGN - 1) & ~(size_t)(ALIGN - 1) };
}

void weir_arena_deinit(struct weir_arena *arena) {
    struct weir_arena_block *block = arena->block;
    while (block) {
        struct weir_arena_block *next = block->next;
        block_free(block);
        block = next;
    }
    arena->block = NULL;
}

void weir_arena_reset(struct weir_arena *arena) {
    struct weir_arena_block *kept = NULL;
    for (struct weir_arena_block *block = arena->block, *next; block; block = next) {
        next = block->next;
        if (!kept && block->size == arena->block_size)
            kept = block;
        else
            block_free(block);
    }
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
        WEIR_POISON(kept->data, kept->size);
    }
    arena->block = kept;
}

void *weir_arena_alloc_slow(struct weir_arena *arena, size_t n) {
    if (n > SIZE_MAX / 2)
        return NULL;
    size_t padded = ((n ? n : 1) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    bool own = padded > arena->block_size;
    struct weir_arena_block *block = block_new(own ? padded : arena->block_size);
    if (!block)
        return NULL;
    if (own && arena->block) {
        block->next = arena->block->next;
        arena->block->next = block;
    } else {
        block->next = arena->block;
        arena->block = block;
    }
    return block_take(block, n, padded);
}

void *weir_arena_calloc(struct weir_arena *arena, size_t n, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    void *p = weir_arena_alloc(arena, total);
    return p ? memset(p, 0, total) : NULL;
}

struct weir_slice weir_arena_dup(struct weir_arena *arena, struct weir_slice s) {
    char *p = weir_arena_alloc(arena, s.len + 1);
    if (!p)
        return WEIR_SLICE_NONE;
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return weir_slice_make(p, s.len);
}

struct weir_slice weir_arena_join(struct weir_arena *arena, const struct weir_slice *parts,
                                  size_t n) {
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    char *text = weir_arena_alloc(arena, len), *p = text;
    if (!text)
        return WEIR_SLICE_NONE;
    for (size_t i = 0; i < n; i++)
        if (parts[i].len)
            p = (char *)memcpy(p, parts[i].ptr, parts[i].len) + parts[i].len;
    return weir_slice_make(text, len);
}

char *weir_arena_printf(struct weir_arena *arena, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = n < 0 ? NULL : weir_arena_alloc(arena, (size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

size_t weir_arena_size(const struct weir_arena *arena) {
    size_t total = 0;
    for (const struct weir_arena_block *block = arena->block; block; block = block->next)
        total += sizeof(*block) + block->size;
    return total;
}
