/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be asked of borrowed bytes. Everything is by length, ASCII only and independent of the
 * locale. Nothing here allocates or keeps a pointer.
 */
#include "base/slice.h"

#include <errno.h>

static unsigned char lower(unsigned char c) {
    return (unsigned char)(c - 'A') < 26 ? (unsigned char)(c | 0x20) : c;
}

bool weir_slice_ieq(struct weir_slice a, struct weir_slice b) {
    if (a.len != b.len)
        return false;
    size_t i = 0;
    /* Most of what is compared is spelt the same way. */
    for (uint64_t x, y; i + 8 <= a.len; i += 8) {
        memcpy(&x, a.ptr + i, 8);
        memcpy(&y, b.ptr + i, 8);
        if (x != y)
            break;
    }
    for (; i < a.len; i++) {
        if (lower((unsigned char)a.ptr[i]) != lower((unsigned char)b.ptr[i]))
            return false;
    }
    return true;
}

bool weir_slice_starts_with(struct weir_slice s, struct weir_slice prefix) {
    if (s.len < prefix.len)
        return false;
    return prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

bool weir_slice_ends_with(struct weir_slice s, struct weir_slice suffix) {
    if (s.len < suffix.len)
        return false;
    return suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0;
}

struct weir_slice weir_slice_trim(struct weir_slice s) {
    while (s.len && (*s.ptr == ' ' || *s.ptr == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

size_t weir_slice_index(struct weir_slice s, char c) {
    const char *hit = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return hit ? (size_t)(hit - s.ptr) : s.len;
}

int weir_slice_to_u64(struct weir_slice s, uint64_t *ret_value) {
    /* 19 digits never overflow 64 bits. */
    if (s.len == 0 || s.len > 19)
        return -EINVAL;
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.ptr[i] - (unsigned)'0';
        if (digit > 9)
            return -EINVAL;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return 0;
}

bool weir_slice_split(struct weir_slice *rest, char sep, struct weir_slice *ret_part) {
    if (!rest->ptr)
        return false;
    size_t at = weir_slice_index(*rest, sep);
    *ret_part = weir_slice_make(rest->ptr, at);
    if (at == rest->len)
        *rest = WEIR_SLICE_NONE;
    else
        *rest = weir_slice_make(rest->ptr + at + 1, rest->len - at - 1);
    return true;
}
