/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap, with a switch that makes it fail on demand. It owns no memory and counts nothing in
 * production: the switch costs one relaxed load and a branch that is never taken. It knows nothing
 * of pools or arenas, which are built on it. The switch is the only writable global in the rooms;
 * tests alone set it.
 */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_ulong fail_countdown; /* 0 = off */
static atomic_bool fail_sticky;
static atomic_bool fail_met;

static bool injected(void) {
    if (__builtin_expect(atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0, 1))
        return false;
    unsigned long left = atomic_load(&fail_countdown);
    while (left > 1) {
        if (atomic_compare_exchange_weak(&fail_countdown, &left, left - 1))
            return false;
    }
    if (left == 0)
        return false;
    atomic_store(&fail_met, true);
    if (!atomic_load(&fail_sticky))
        atomic_store(&fail_countdown, 0);
    return true;
}

void weir_mem_fail_at(unsigned long n, int sticky) {
    atomic_store(&fail_met, false);
    atomic_store(&fail_sticky, sticky != 0);
    atomic_store(&fail_countdown, n);
}

bool weir_mem_failed(void) {
    return atomic_load(&fail_met);
}

void *weir_malloc(size_t n) {
    return injected() ? NULL : malloc(n ? n : 1);
}

/* The product in bytes, at least 1; false when it does not fit. */
static bool product(size_t n, size_t size, size_t *ret_bytes) {
    if (__builtin_mul_overflow(n, size, ret_bytes))
        return false;
    if (*ret_bytes == 0)
        *ret_bytes = 1;
    return true;
}

void *weir_calloc(size_t n, size_t size) {
    size_t bytes;
    return injected() || !product(n, size, &bytes) ? NULL : calloc(1, bytes);
}

void *weir_reallocarray(void *p, size_t n, size_t size) {
    size_t bytes;
    return injected() || !product(n, size, &bytes) ? NULL : realloc(p, bytes);
}

char *weir_strndup(const char *s, size_t n) {
    n = strnlen(s, n);
    char *copy = weir_malloc(n + 1);
    if (copy) {
        memcpy(copy, s, n);
        copy[n] = '\0';
    }
    return copy;
}

void *weir_free(void *p) {
    free(p);
    return NULL;
}

void weir_freep(void *pp) {
    void *p;
    /* pp points at some object pointer type; its bytes are read without claiming that type. */
    memcpy(&p, pp, sizeof(p));
    free(p);
}
