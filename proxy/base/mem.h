/* SPDX-License-Identifier: Apache-2.0 */
/* Heap allocation with failure injection for tests. All rooms allocate through these; no call to
 * malloc elsewhere. */
#ifndef WEIR_BASE_MEM_H
#define WEIR_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *weir_malloc(size_t n);
void *weir_calloc(size_t n, size_t size);
/* As realloc(3), over n * size bytes with an overflow check. */
void *weir_reallocarray(void *p, size_t n, size_t size);
char *weir_strndup(const char *s, size_t n);
/* As asprintf(3); NULL = no memory. */
char *weir_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Takes NULL; returns NULL. */
void *weir_free(void *p);
/* Bytes that may be used there, at least what was asked for; as malloc_usable_size(3). */
size_t weir_mem_size(void *p);
/* Scoped cleanup: `WEIR_CLEANUP(weir_freep) char *s = ...;` */
void weir_freep(void *pp);

/*
 * What is handed out is counted over the whole process, as malloc_usable_size(3) tells it, so that the process can be kept within a
 * bound. A thread tells what it took in portions of 64 KiB: the count may be off by as much for each thread.
 */
size_t weir_mem_used(void);
/* Any thread. With `bytes` handed out (0 = no bound, as at first) further allocations fail. */
void weir_mem_limit(size_t bytes);
size_t weir_mem_limit_get(void);
/* 7/8 of the bound are handed out: what is under way may use the rest, nothing new should be begun. */
bool weir_mem_high(void);
/* Of the calling thread: counted, never refused. For the one that answers who asks what is the matter, and takes a new configuration. */
void weir_mem_exempt(bool on);
/* Allocations that the bound refused. */
uint64_t weir_mem_refused(void);
/* For libraries that cannot stand a failure: counted, never refused. As malloc(3), realloc(3), free(3). */
void *weir_mem_lib_malloc(size_t n);
void *weir_mem_lib_realloc(void *p, size_t n);
void weir_mem_lib_free(void *p);

/*
 * Tests only: the n-th allocation from now (1 = the next) fails, and every later one too when
 * `sticky`; 0 turns injection off. Process-wide state, set by tests alone.
 */
void weir_mem_fail_at(unsigned long n, int sticky);
/* True when a failure was injected since the last weir_mem_fail_at. */
bool weir_mem_failed(void);

#endif
