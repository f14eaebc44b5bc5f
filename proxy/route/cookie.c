/* SPDX-License-Identifier: Apache-2.0 */
#include "route/cookie.h"

static struct weir_slice unquoted(struct weir_slice value) {
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        return weir_slice_make(value.ptr + 1, value.len - 2);
    return value;
}

/* name=value, with blanks around it; false = another name. */
static bool named(struct weir_slice pair, struct weir_slice name, struct weir_slice *ret_value) {
    size_t n;

    pair = weir_slice_trim(pair);
    n = weir_slice_index(pair, '=');
    if (n == pair.len || !weir_slice_eq(weir_slice_trim(weir_slice_make(pair.ptr, n)), name))
        return false;
    *ret_value = unquoted(weir_slice_trim(weir_slice_make(pair.ptr + n + 1, pair.len - n - 1)));
    return true;
}

bool weir_cookie_next(const struct weir_head *req, struct weir_slice name,
                      struct weir_cookie_at *at, struct weir_slice *ret_value) {
    struct weir_slice pair;

    for (;;) {
        while (at->rest.ptr && weir_slice_split(&at->rest, ';', &pair))
            if (named(pair, name, ret_value))
                return true;
        while (at->field < req->n_fields &&
               (req->fields[at->field].dropped || req->fields[at->field].id != WEIR_FIELD_COOKIE))
            at->field++;
        if (at->field == req->n_fields)
            return false;
        at->rest = req->fields[at->field++].value;
    }
}

bool weir_cookie_is_set(const struct weir_head *res, struct weir_slice name) {
    for (uint16_t i = 0; i < res->n_fields; i++) {
        const struct weir_field *f = &res->fields[i];
        struct weir_slice value;

        if (!f->dropped && weir_slice_ieq(f->name, WEIR_SLICE("set-cookie")) &&
            named(weir_slice_make(f->value.ptr, weir_slice_index(f->value, ';')), name, &value))
            return true;
    }
    return false;
}

/* Bytes of a path that mean themselves in an expression, and end no attribute. */
static bool is_plain(char c, bool regex) {
    return c > ' ' && c < 0x7f && c != ';' && !(regex && strchr("\\.[](){}*+?|^$", c));
}

struct weir_slice weir_cookie_path(const struct weir_route_match *match) {
    bool regex = match->path_type == WEIR_MATCH_REGEX;
    const char *path = match->path;
    size_t n = 0;

    while (path[n] && is_plain(path[n], regex))
        n++;
    if (path[n] || regex) { /* what follows may change the last element: not that one */
        const char *open = regex ? strpbrk(path, "(|") : NULL;

        if (open && *open == '|')
            n = 0; /* one of several whole paths */
        while (n > 0 && path[n - 1] != '/')
            n--;
    }
    while (n > 1 && path[n - 1] == '/')
        n--;
    return n > 0 && path[0] == '/' ? weir_slice_make(path, n) : WEIR_SLICE("/");
}
