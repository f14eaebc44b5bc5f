/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host[:port] of a Host field or :authority (RFC 3986 3.2 without userinfo), narrowed to what a
 * mesh meets: names of letters, digits, '-', '.' and '_', IPv4 literals and bracketed IPv6 literals
 * without a zone. Everything else (userinfo, comma, percent, path, empty or silly port) is
 * malformed. The host comes back without brackets and without a trailing dot.
 */
#include "route/route.h"

#define HOST_MAX 255

static bool is_host_byte(char c, bool literal) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '.')
        return true;
    return literal ? c == ':' : (c >= 'g' && c <= 'z') || c == '-' || c == '_';
}

static int port_parse(struct weir_slice text, uint16_t *ret_port) {
    uint64_t value;

    if (text.len > 5 || weir_slice_to_u64(text, &value) || value == 0 || value > 65535)
        return 1;
    *ret_port = (uint16_t)value;
    return 0;
}

int weir_authority_parse(struct weir_arena *arena, struct weir_slice authority,
                         struct weir_slice *ret_host, uint16_t *ret_port) {
    bool literal = authority.len > 0 && authority.ptr[0] == '[';
    size_t end = weir_slice_index(authority, literal ? ']' : ':');
    struct weir_slice host = weir_slice_make(authority.ptr + literal, end - literal);
    uint16_t port = 0;
    char *buf;

    if (literal && end == authority.len)
        return 1;
    end += literal;
    if (end < authority.len &&
        (authority.ptr[end] != ':' ||
         port_parse(weir_slice_make(authority.ptr + end + 1, authority.len - end - 1), &port)))
        return 1;
    if (!literal && host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len == 0 || host.len > HOST_MAX || (literal && host.len < 2))
        return 1;
    buf = weir_arena_alloc(arena, host.len + 1);
    if (!buf)
        return -ENOMEM;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];

        buf[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
        if (!is_host_byte(buf[i], literal))
            return 1;
    }
    buf[host.len] = '\0';
    *ret_host = weir_slice_make(buf, host.len);
    *ret_port = port;
    return 0;
}
