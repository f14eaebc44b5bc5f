/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as text: hexadecimal digits and base64 (RFC 4648 4 and 8). */
#ifndef WEIR_BASE_RADIX_H
#define WEIR_BASE_RADIX_H

#include <stddef.h>

/* 0..15; -1 = no hexadecimal digit. */
static inline int weir_hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Characters that n bytes become. */
#define WEIR_BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* `to` has room for WEIR_BASE64_LEN(n) characters; no NUL is added. */
void weir_base64_encode(const void *bytes, size_t n, char *to);
/* A text, NUL-terminated, the caller's to weir_free. NULL = no memory. */
char *weir_base64_text(const void *bytes, size_t n);
/*
 * `to` has room for as many bytes as text has. Blanks and line breaks of a folded text do not count. Returns the number of bytes, or -1:
 * not base64, or a NUL in it.
 */
long weir_base64_decode(const char *text, char *to);

#endif
