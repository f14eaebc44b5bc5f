/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How weir's functions answer.
 *
 * A function that can fail returns int: 0 = done; negative = -errno, our own side broke (no memory, a system
 * call failed), forwarded unchanged by every caller; positive = an outcome named in that module's header,
 * handled by the direct caller and never forwarded. Values leave through `ret_` parameters, untouched on failure.
 * What a remote peer does wrong is not an error but a struct weir_fault (fault.h).
 */
#ifndef WEIR_BASE_ERR_H
#define WEIR_BASE_ERR_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define WEIR_UNUSED             __attribute__((unused))
#define WEIR_MUST_CHECK         __attribute__((warn_unused_result))
/* Runs fn(&variable) when the variable leaves its scope. */
#define WEIR_CLEANUP(fn)                   __attribute__((cleanup(fn)))
#define WEIR_ARRAY_LEN(a)                  (sizeof(a) / sizeof((a)[0]))
#define WEIR_CONTAINER_OF(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

#endif
