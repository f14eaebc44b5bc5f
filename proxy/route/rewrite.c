/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLRewrite and RequestRedirect. A prefix is replaced by whole elements, and neither side's slash at
 * its end counts: /foo/bar with /foo -> /xyz/ is /xyz/bar; what comes out empty is "/". The query is
 * kept. A Location is always absolute, and names a port only if it is not the scheme's own.
 */
#include <stdio.h>

#include "route/route.h"

static struct weir_slice without_slash(const char *text) {
    struct weir_slice s = weir_slice_from_str(text);

    if (s.len > 0 && s.ptr[s.len - 1] == '/')
        s.len--;
    return s;
}

/* The new target; the head's own when the path stays. ptr NULL = no memory. */
static struct weir_slice new_target(const struct weir_rewrite *rw,
                                    const struct weir_route_match *match,
                                    const struct weir_head *head) {
    struct weir_slice path = weir_head_path(head), query = weir_head_query(head), front, rest;
    size_t len;
    char *text;

    if (rw->change == WEIR_PATH_KEEP || path.len == 0 || path.ptr[0] != '/')
        return head->target;
    if (rw->change == WEIR_PATH_FULL) {
        front = weir_slice_from_str(rw->path);
        rest = WEIR_SLICE("");
    } else {
        struct weir_slice prefix = without_slash(match->path);

        front = without_slash(rw->path);
        rest = prefix.len <= path.len
                   ? weir_slice_make(path.ptr + prefix.len, path.len - prefix.len)
                   : WEIR_SLICE("");
    }
    if (front.len + rest.len == 0)
        rest = WEIR_SLICE("/");
    text = weir_arena_alloc(head->arena, front.len + rest.len + query.len + 2);
    if (!text)
        return WEIR_SLICE_NONE;
    memcpy(text, front.ptr, front.len);
    memcpy(text + front.len, rest.ptr, rest.len);
    len = front.len + rest.len;
    if (query.ptr) {
        text[len++] = '?';
        memcpy(text + len, query.ptr, query.len);
        len += query.len;
    }
    return weir_slice_make(text, len);
}

int weir_route_rewrite(const struct weir_rewrite *rw, const struct weir_route_match *match,
                       struct weir_head *head) {
    struct weir_slice target = new_target(rw, match, head);

    if (!target.ptr)
        return -ENOMEM;
    head->target = target;
    if (rw->hostname[0])
        head->authority = weir_slice_from_str(rw->hostname);
    return 0;
}

/* Gateway API: the port given; else the new scheme's own; else the listener's. 0 = none is named. */
static uint16_t location_port(const struct weir_rewrite *rw, const struct weir_route_origin *from,
                              bool tls) {
    uint16_t port = rw->port ? rw->port : rw->scheme[0] ? 0 : from->port;

    return port == (tls ? 443 : 80) ? 0 : port;
}

int weir_route_location(const struct weir_rewrite *rw, const struct weir_route_match *match,
                        const struct weir_head *head, const struct weir_route_origin *from,
                        struct weir_slice *ret_location) {
    bool tls = rw->scheme[0] ? strcmp(rw->scheme, "https") == 0 : from->tls;
    struct weir_slice host = weir_slice_from_str(rw->hostname), target;
    uint16_t port = location_port(rw, from, tls), asked;
    bool literal;
    char digits[8] = "", *text;

    if (host.len == 0) {
        int r = weir_authority_parse(head->arena, head->authority, &host, &asked);

        if (r)
            return r;
    }
    target = new_target(rw, match, head);
    if (!target.ptr)
        return -ENOMEM;
    if (target.len == 0 || target.ptr[0] != '/') /* OPTIONS * */
        target = WEIR_SLICE("/");
    if (port)
        snprintf(digits, sizeof(digits), ":%u", port);
    literal = weir_slice_index(host, ':') < host.len;
    text = weir_arena_printf(head->arena, "%s://%s%.*s%s%s%.*s", tls ? "https" : "http",
                             literal ? "[" : "", WEIR_SLICE_ARG(host), literal ? "]" : "", digits,
                             WEIR_SLICE_ARG(target));
    if (!text)
        return -ENOMEM;
    *ret_location = weir_slice_from_str(text);
    return 0;
}
