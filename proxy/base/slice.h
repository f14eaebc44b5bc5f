/* SPDX-License-Identifier: Apache-2.0 */
/* A borrowed run of bytes: pointer and length, never NUL-terminated, never owned. Who lends it says how long it lives. */
#ifndef WEIR_BASE_SLICE_H
#define WEIR_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct weir_slice {
    const char *ptr;
    size_t len;
};

#define WEIR_SLICE(literal) ((struct weir_slice){ "" literal, sizeof(literal) - 1 })
#define WEIR_SLICE_NONE     ((struct weir_slice){ NULL, 0 })
/* For printf("%.*s"). */
#define WEIR_SLICE_ARG(s) (int)(s).len, (s).ptr

static inline struct weir_slice weir_slice_make(const char *ptr, size_t len) {
    return (struct weir_slice){ ptr, len };
}

static inline struct weir_slice weir_slice_from_str(const char *s) {
    return (struct weir_slice){ s, s ? strlen(s) : 0 };
}

static inline bool weir_slice_eq(struct weir_slice a, struct weir_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case-insensitive equality. */
bool weir_slice_ieq(struct weir_slice a, struct weir_slice b);
bool weir_slice_starts_with(struct weir_slice s, struct weir_slice prefix);
bool weir_slice_ends_with(struct weir_slice s, struct weir_slice suffix);
/* Without leading and trailing SP and HTAB (RFC 9110 5.6.3 OWS). */
struct weir_slice weir_slice_trim(struct weir_slice s);
/* Index of c, or s.len. */
size_t weir_slice_index(struct weir_slice s, char c);
/* Decimal digits only, no sign, no blank, at most 19 digits. 0 = done, -EINVAL = not such a number. */
int weir_slice_to_u64(struct weir_slice s, uint64_t *ret_value);
/*
 * Splits off the text before the first sep into *ret_part and moves *rest behind it. False when *rest is used up
 * (ptr NULL); "a,,b" gives "a", "", "b".
 */
bool weir_slice_split(struct weir_slice *rest, char sep, struct weir_slice *ret_part);

#endif
