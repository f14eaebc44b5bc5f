/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one path normaliser: what policy and routes match is byte for byte what the upstream
 * receives. RFC 3986 6.2.2, with two additions. Empty segments go (`//` reads as `/` for most
 * file-backed servers). Whatever two parsers may read differently is refused instead of guessed: an
 * encoded '/', '\' or NUL, a raw '\', a malformed escape, a climb above the root, and dot segments
 * with parameters (`/..;/`, which some servers resolve and others do not).
 */
#include "base/radix.h"
#include "route/route.h"

enum { PATH_OK = 0, PATH_REFUSED = 1 };

static bool is_unreserved(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* True when nothing could change or be refused: no escape, no '\', no segment that is empty or
 * starts with a dot. */
static bool is_plain(struct weir_slice path) {
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];

        if (c == '%' || c == '\\' || c == '\0')
            return false;
        if (c == '/' && i + 1 < path.len && (path.ptr[i + 1] == '/' || path.ptr[i + 1] == '.'))
            return false;
    }
    return true;
}

/* Decodes the escape at path[i] to buf; 1 or 3 bytes written. */
static int unescape(struct weir_slice path, size_t i, char *buf, size_t *ret_n) {
    static const char digits[] = "0123456789ABCDEF";
    int hi = i + 2 < path.len ? weir_hex_digit(path.ptr[i + 1]) : -1;
    int lo = i + 2 < path.len ? weir_hex_digit(path.ptr[i + 2]) : -1;
    int c = hi * 16 + lo;

    if (hi < 0 || lo < 0 || c == '/' || c == '\\' || c == '\0')
        return PATH_REFUSED;
    if (is_unreserved(c)) {
        buf[0] = (char)c;
        *ret_n = 1;
        return PATH_OK;
    }
    buf[0] = '%';
    buf[1] = digits[hi];
    buf[2] = digits[lo];
    *ret_n = 3;
    return PATH_OK;
}

/* A parameter begins here, or what a server that decodes first takes for one. */
static bool is_parameter(const char *buf, size_t n) {
    return buf[0] == ';' || (n >= 3 && memcmp(buf, "%3B", 3) == 0);
}

/* Closes the segment that starts behind buf[start - 1] == '/' and ends at len; `last`: no '/'
 * follows it. */
static int segment_close(char *buf, size_t start, size_t *len, bool last) {
    size_t n = *len - start;
    size_t dots = 0;

    while (dots < n && dots < 3 && buf[start + dots] == '.')
        dots++;
    if (dots > 0 && dots < 3 && dots < n && is_parameter(buf + start + dots, n - dots))
        return PATH_REFUSED;
    if (n > 0 && (dots != n || dots > 2)) {
        if (!last)
            buf[(*len)++] = '/';
        return PATH_OK;
    }
    *len = start;
    if (dots == 2) {
        if (start == 1)
            return PATH_REFUSED;
        for ((*len)--; buf[*len - 1] != '/';)
            (*len)--;
    }
    return PATH_OK;
}

static int normalize(struct weir_slice path, char *buf, size_t *ret_len) {
    size_t len = 1, start = 1, n;

    buf[0] = '/';
    for (size_t i = 1; i < path.len; i++) {
        char c = path.ptr[i];

        if (c == '\\' || c == '\0')
            return PATH_REFUSED;
        if (c == '/') {
            if (segment_close(buf, start, &len, false))
                return PATH_REFUSED;
            start = len;
        } else if (c == '%') {
            if (unescape(path, i, buf + len, &n))
                return PATH_REFUSED;
            len += n;
            i += 2;
        } else {
            buf[len++] = c;
        }
    }
    if (segment_close(buf, start, &len, true))
        return PATH_REFUSED;
    *ret_len = len;
    return PATH_OK;
}

int weir_path_normalize(struct weir_arena *arena, struct weir_slice path,
                        struct weir_slice *ret_path) {
    size_t len;
    char *buf;

    if (path.len == 1 && path.ptr[0] == '*') {
        *ret_path = path;
        return PATH_OK;
    }
    if (path.len == 0 || path.ptr[0] != '/')
        return PATH_REFUSED;
    if (is_plain(path)) {
        *ret_path = path;
        return PATH_OK;
    }
    buf = weir_arena_alloc(arena, path.len + 1);
    if (!buf)
        return -ENOMEM;
    if (normalize(path, buf, &len))
        return PATH_REFUSED;
    *ret_path =
        len == path.len && memcmp(buf, path.ptr, len) == 0 ? path : weir_slice_make(buf, len);
    return PATH_OK;
}

int weir_path_normalize_target(struct weir_head *head) {
    struct weir_slice path = weir_head_path(head), query = weir_head_query(head), clean;
    int r;

    if (head->target.len == 0 || head->target.ptr[0] != '/')
        return 0;
    r = weir_path_normalize(head->arena, path, &clean);
    if (r != 0)
        return r;
    if (clean.ptr == path.ptr && clean.len == path.len)
        return 0;
    if (query.ptr) {
        char *joined = weir_arena_printf(head->arena, "%.*s?%.*s", WEIR_SLICE_ARG(clean),
                                         WEIR_SLICE_ARG(query));

        if (!joined)
            return -ENOMEM;
        clean = weir_slice_make(joined, clean.len + 1 + query.len);
    }
    head->target = clean;
    return 0;
}
