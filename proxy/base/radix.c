/* SPDX-License-Identifier: Apache-2.0 */
#include "base/radix.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

void weir_base64_encode(const void *bytes, size_t n, char *to) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = bytes;

    for (size_t i = 0; i < n; i += 3, to += 4) {
        uint32_t v = (uint32_t)from[i] << 16 | (i + 1 < n ? (uint32_t)from[i + 1] << 8 : 0) |
                     (i + 2 < n ? from[i + 2] : 0u);

        for (unsigned k = 0; k < 4; k++)
            to[k] = i + k > n ? '=' : digits[v >> (18 - 6 * k) & 63];
    }
}

char *weir_base64_text(const void *bytes, size_t n) {
    char *text = weir_malloc(WEIR_BASE64_LEN(n) + 1);

    if (!text)
        return NULL;
    weir_base64_encode(bytes, n, text);
    text[WEIR_BASE64_LEN(n)] = '\0';
    return text;
}

/* -1 = not of the alphabet. */
static int digit_of(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

long weir_base64_decode(const char *text, char *to) {
    uint32_t bits = 0;
    unsigned n = 0, padding = 0;
    char *p = to;

    for (; *text != '\0'; text++) {
        int digit = digit_of(*text);

        if (strchr(" \t\r\n", *text) != NULL)
            continue;
        if ((digit < 0 && *text != '=') || (digit >= 0 && padding > 0))
            return -1;
        padding += *text == '=';
        bits = bits << 6 | (digit < 0 ? 0u : (uint32_t)digit);
        if (++n % 4 == 0) {
            *p++ = (char)(bits >> 16);
            *p++ = (char)(bits >> 8);
            *p++ = (char)bits;
        }
    }
    if (n % 4 != 0 || padding > 2)
        return -1;
    p -= padding;
    return memchr(to, '\0', (size_t)(p - to)) == NULL ? p - to : -1;
}
