/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character classes, authorities and targets. Refuses what two implementations are known to read
 * differently (userinfo, commas, percent-escapes and empty labels in hosts, backslashes in paths)
 * instead of repairing it. Knows nothing of routes: normalising a path is route/'s business.
 */
#include "http/uri.h"

#include <arpa/inet.h>

/* RFC 1035 2.3.4, with a trailing dot. */
#define AUTHORITY_NAME_MAX 254u

#define T WEIR_CHAR_TOKEN
#define U WEIR_CHAR_TARGET
#define H WEIR_CHAR_HOST
#define V WEIR_CHAR_VALUE

/* clang-format off */
const uint8_t weir_char_class[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | U | V, ['"'] = U | V, ['#'] = T | V, ['$'] = T | U | V, ['%'] = T | U | V,
    ['&'] = T | U | V, ['\''] = T | U | V, ['('] = U | V, [')'] = U | V, ['*'] = T | U | V,
    ['+'] = T | U | V, [','] = U | V, ['-'] = T | U | H | V, ['.'] = T | U | H | V, ['/'] = U | V,
    ['0' ... '9'] = T | U | H | V,
    [':'] = U | V, [';'] = U | V, ['<'] = U | V, ['='] = U | V, ['>'] = U | V, ['?'] = U | V,
    ['@'] = U | V,
    ['A' ... 'Z'] = T | U | H | V,
    ['['] = U | V, ['\\'] = U | V, [']'] = U | V, ['^'] = T | U | V, ['_'] = T | U | H | V,
    ['`'] = T | U | V,
    ['a' ... 'z'] = T | U | H | V,
    ['{'] = U | V, ['|'] = T | U | V, ['}'] = U | V, ['~'] = T | U | V,
    [0x80 ... 0xff] = V,
};
/* clang-format on */

/* Eight bytes at a time: none below SP and no DEL; a tab, which is allowed, takes the slow way. */
bool weir_value_valid(struct weir_slice value) {
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    struct weir_slice rest = value;

    for (; rest.len >= 8; rest.ptr += 8, rest.len -= 8) {
        uint64_t w, del;
        memcpy(&w, rest.ptr, 8);
        del = w ^ ones * 0x7f;
        if ((((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & highs)
            break;
    }
    return rest.len == 0 || weir_chars_are(rest, WEIR_CHAR_VALUE);
}

static bool port_valid(struct weir_slice port) {
    uint32_t value = 0;
    if (port.len == 0 || port.len > 5 || port.ptr[0] == '0')
        return false;
    for (size_t i = 0; i < port.len; i++) {
        if (port.ptr[i] < '0' || port.ptr[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(port.ptr[i] - '0');
    }
    return value <= UINT16_MAX;
}

/* Without the brackets. Seldom: not to be paid for by every name. */
static __attribute__((noinline)) bool ipv6_valid(struct weir_slice s) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;
    if (s.len == 0 || s.len >= sizeof(text) || memchr(s.ptr, 0, s.len))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET6, text, &addr) == 1;
}

/* Bytes of the host part, brackets included; 0 = malformed. */
static size_t host_len(struct weir_slice s) {
    if (s.len > 0 && s.ptr[0] == '[') {
        const char *end = memchr(s.ptr, ']', s.len);
        size_t n = end ? (size_t)(end - s.ptr) : 0;
        return n > 1 && ipv6_valid(weir_slice_make(s.ptr + 1, n - 1)) ? n + 1 : 0;
    }
    size_t n = 0;
    for (char before = '.'; n < s.len && weir_char_class[(unsigned char)s.ptr[n]] & H; n++) {
        if (s.ptr[n] == '.' && before == '.')
            return 0;
        before = s.ptr[n];
    }
    return (n == s.len || s.ptr[n] == ':') && n <= AUTHORITY_NAME_MAX ? n : 0;
}

bool weir_authority_valid(struct weir_slice authority) {
    size_t n = host_len(authority);
    if (n == 0)
        return false;
    if (n == authority.len)
        return true;
    return authority.ptr[n] == ':' &&
           port_valid(weir_slice_make(authority.ptr + n + 1, authority.len - n - 1));
}

uint16_t weir_authority_port(struct weir_slice authority) {
    uint32_t port = 0;
    size_t i = authority.len;
    while (i > 0 && authority.ptr[i - 1] >= '0' && authority.ptr[i - 1] <= '9')
        i--;
    if (i == 0 || authority.ptr[i - 1] != ':')
        return 0;
    for (; i < authority.len; i++)
        port = port * 10 + (uint32_t)(authority.ptr[i] - '0');
    return (uint16_t)port;
}

bool weir_target_valid(struct weir_slice target) {
    if (target.len == 0 || target.ptr[0] != '/')
        return false;
    unsigned all = U;
    for (size_t i = 0; i < target.len; i++)
        all &= weir_char_class[(unsigned char)target.ptr[i]];
    if (!all)
        return false;
    const char *backslash = memchr(target.ptr, '\\', target.len);
    return !backslash || memchr(target.ptr, '?', (size_t)(backslash - target.ptr));
}
