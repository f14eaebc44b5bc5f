/* SPDX-License-Identifier: Apache-2.0 */
/* Heap allocation with failure injection for tests. All rooms allocate through these; no call to
 * malloc elsewhere. */
#ifndef WEIR_BASE_MEM_H
#define WEIR_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

void *weir_malloc(size_t n);
void *weir_calloc(size_t n, size_t size);
/* As realloc(3), over n * size bytes with an overflow check. */
void *weir_reallocarray(void *p, size_t n, size_t size);
char *weir_strndup(const char *s, size_t n);
/* Takes NULL; returns NULL. */
void *weir_free(void *p);
/* Scoped cleanup: `WEIR_CLEANUP(weir_freep) char *s = ...;` */
void weir_freep(void *pp);

/*
 * Tests only: the n-th allocation from now (1 = the next) fails, and every later one too when
 * `sticky`; 0 turns injection off. Process-wide state, set by tests alone.
 */
void weir_mem_fail_at(unsigned long n, int sticky);
/* True when a failure was injected since the last weir_mem_fail_at. */
bool weir_mem_failed(void);

#endif
