/* SPDX-License-Identifier: Apache-2.0 */
/* Tells AddressSanitizer about memory that base recycles itself; nothing at all in an ordinary
 * build. */
#ifndef WEIR_BASE_ASAN_H
#define WEIR_BASE_ASAN_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WEIR_HAVE_ASAN 1
#endif

#ifdef WEIR_HAVE_ASAN
#include <sanitizer/asan_interface.h>
#define WEIR_POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define WEIR_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define WEIR_POISON(p, n)   ((void)(p), (void)(n))
#define WEIR_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#endif
