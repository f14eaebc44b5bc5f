/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap, counted, with a bound and with a switch that makes it fail on demand. It owns no memory and knows nothing of pools or arenas,
 * which are built on it and keep it off the request path: what is counted here are chunks, blocks and objects that change hands seldom.
 *
 * There is one heap, so its count, its bound and the switch (tests alone set it) are the writable globals of the rooms. A thread keeps
 * what it took and gave back to itself until it is worth telling (TELL); then one atomic addition makes it known.
 */
#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_ulong fail_countdown; /* 0 = off */
static atomic_bool fail_sticky;
static atomic_bool fail_met;

#define TELL (64 * 1024)

static _Thread_local int64_t untold __attribute__((
    tls_model("initial-exec"))); /* bytes this thread took, less those it gave back */
static _Thread_local bool exempt __attribute__((tls_model("initial-exec")));
static atomic_int_fast64_t told; /* the same of all threads */
static atomic_int_fast64_t bound = INT64_MAX;
static atomic_int_fast64_t high_mark = INT64_MAX;
static atomic_bool high;
static atomic_uint_fast64_t refused;

#define LOAD(cell) atomic_load_explicit(&(cell), memory_order_relaxed)

static void judge(int64_t all) {
    bool is_high = all >= LOAD(high_mark);

    if (is_high != LOAD(high))
        atomic_store_explicit(&high, is_high, memory_order_relaxed);
}

static void count(int64_t n) {
    untold += n;
    if (__builtin_expect(untold < TELL && untold > -TELL, 1))
        return;
    n = untold;
    untold = 0;
    judge(atomic_fetch_add_explicit(&told, n, memory_order_relaxed) + n);
}

static void *counted(void *p) {
    if (p)
        count((int64_t)malloc_usable_size(p));
    return p;
}

static bool beyond(size_t n) {
    if (__builtin_expect(LOAD(told) + (int64_t)(n & INT64_MAX) <= LOAD(bound), 1) || exempt)
        return false;
    atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
    return true;
}

size_t weir_mem_used(void) {
    int64_t n = LOAD(told) + untold;

    return n > 0 ? (size_t)n : 0;
}

void weir_mem_limit(size_t bytes) {
    int64_t n = bytes == 0 || bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;

    atomic_store(&bound, n);
    atomic_store(&high_mark, n == INT64_MAX ? n : n - n / 8);
    count(0);
    judge(LOAD(told));
}

size_t weir_mem_limit_get(void) {
    int64_t n = LOAD(bound);

    return n == INT64_MAX ? 0 : (size_t)n;
}

void weir_mem_exempt(bool on) {
    exempt = on;
}

bool weir_mem_high(void) {
    return LOAD(high);
}

uint64_t weir_mem_refused(void) {
    return LOAD(refused);
}

void *weir_mem_lib_malloc(size_t n) {
    return counted(malloc(n ? n : 1));
}

void *weir_mem_lib_realloc(void *p, size_t n) {
    int64_t was = p ? (int64_t)malloc_usable_size(p) : 0;
    void *grown = realloc(p, n ? n : 1);

    if (grown)
        count((int64_t)malloc_usable_size(grown) - was);
    return grown;
}

void weir_mem_lib_free(void *p) {
    if (p)
        count(-(int64_t)malloc_usable_size(p));
    free(p);
}

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
    return injected() || beyond(n) ? NULL : weir_mem_lib_malloc(n);
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
    return injected() || !product(n, size, &bytes) || beyond(bytes) ? NULL
                                                                    : counted(calloc(1, bytes));
}

void *weir_reallocarray(void *p, size_t n, size_t size) {
    size_t bytes;
    return injected() || !product(n, size, &bytes) || beyond(bytes)
               ? NULL
               : weir_mem_lib_realloc(p, bytes);
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

char *weir_asprintf(const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = n < 0 ? NULL : weir_malloc((size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

void *weir_free(void *p) {
    weir_mem_lib_free(p);
    return NULL;
}

size_t weir_mem_size(void *p) {
    return malloc_usable_size(p);
}

void weir_freep(void *pp) {
    void *p;
    /* pp points at some object pointer type; its bytes are read without claiming that type. */
    memcpy(&p, pp, sizeof(p));
    weir_mem_lib_free(p);
}
