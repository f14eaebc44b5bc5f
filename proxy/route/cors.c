/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's side of CORS (Fetch 3.2) as HTTPRoute's filter asks for it. An origin that is not
 * allowed gets an answer without the fields, which is what makes a browser refuse it. "*" is sent
 * only where a browser takes it as a wildcard: with credentials the origin, the method and the
 * header names asked for are named instead. Fields of the same names that the backend sent are
 * replaced: two policies would contradict each other.
 */
#include <stdio.h>

#include "route/route.h"

static bool is_star(const char *s) {
    return s[0] == '*' && s[1] == '\0';
}

static struct weir_slice field(const struct weir_head *head, struct weir_slice name) {
    const struct weir_field *f = weir_head_find(head, name);

    return f ? f->value : WEIR_SLICE_NONE;
}

/* The '*' of a pattern stands for one or more bytes of a host. */
static bool origin_matches(struct weir_slice pattern, struct weir_slice origin) {
    size_t star = weir_slice_index(pattern, '*');
    struct weir_slice before = weir_slice_make(pattern.ptr, star), after, middle;

    if (star == pattern.len)
        return weir_slice_ieq(pattern, origin);
    after = weir_slice_make(pattern.ptr + star + 1, pattern.len - star - 1);
    if (origin.len <= before.len + after.len ||
        !weir_slice_ieq(before, weir_slice_make(origin.ptr, before.len)) ||
        !weir_slice_ieq(after, weir_slice_make(origin.ptr + origin.len - after.len, after.len)))
        return false;
    middle = weir_slice_make(origin.ptr + before.len, origin.len - before.len - after.len);
    return weir_slice_index(middle, ':') == middle.len &&
           weir_slice_index(middle, '/') == middle.len;
}

static bool allows_origin(const struct weir_cors *c, struct weir_slice origin, bool *ret_any) {
    *ret_any = false;
    for (uint32_t i = 0; i < c->n_origins; i++) {
        if (is_star(c->origins[i])) {
            *ret_any = true;
            return true;
        }
        if (origin_matches(weir_slice_from_str(c->origins[i]), origin))
            return true;
    }
    return false;
}

static int set(struct weir_head *res, struct weir_slice name, struct weir_slice value) {
    return weir_head_set(res, name, value);
}

/* The fields both kinds of answer have. 0, -ENOMEM, 1 = the origin is not allowed. */
static int set_origin(const struct weir_cors *c, struct weir_slice origin, struct weir_head *res) {
    bool any, allowed = origin.len > 0 && allows_origin(c, origin, &any);
    int r;

    if (!allowed)
        return 1;
    if (any && !c->credentials)
        return set(res, WEIR_SLICE("access-control-allow-origin"), WEIR_SLICE("*"));
    r = set(res, WEIR_SLICE("access-control-allow-origin"), origin);
    if (r == 0 && c->credentials)
        r = set(res, WEIR_SLICE("access-control-allow-credentials"), WEIR_SLICE("true"));
    return r;
}

static void drop_all(struct weir_head *res) {
    weir_head_drop(res, WEIR_SLICE("access-control-allow-origin"));
    weir_head_drop(res, WEIR_SLICE("access-control-allow-credentials"));
    weir_head_drop(res, WEIR_SLICE("access-control-allow-methods"));
    weir_head_drop(res, WEIR_SLICE("access-control-allow-headers"));
    weir_head_drop(res, WEIR_SLICE("access-control-expose-headers"));
    weir_head_drop(res, WEIR_SLICE("access-control-max-age"));
}

static bool depends_on_origin(const struct weir_cors *c) {
    return c->credentials || c->n_origins != 1 || !is_star(c->origins[0]);
}

/* "a, b, c" in the head's arena; ptr NULL = no memory. */
static struct weir_slice join(struct weir_arena *arena, const char *const *list, uint32_t n) {
    size_t len = 0;
    char *text, *p;

    for (uint32_t i = 0; i < n; i++)
        len += strlen(list[i]) + 2;
    p = text = weir_arena_alloc(arena, len + 1);
    for (uint32_t i = 0; text && i < n; i++)
        p += sprintf(p, "%s%s", i ? ", " : "", list[i]);
    return text ? weir_slice_make(text, (size_t)(p - text)) : WEIR_SLICE_NONE;
}

struct policy {
    const char *const *list;
    uint32_t n;
    bool credentials;
};

/* A list of the policy under `name`; with credentials a "*" becomes what was asked for. */
static int set_list(const struct policy *p, struct weir_head *res, struct weir_slice name,
                    struct weir_slice asked) {
    bool named = p->n > 0 && is_star(p->list[0]) && p->credentials;
    struct weir_slice value;

    if (p->n == 0 || (named && asked.len == 0))
        return 0;
    value = named ? asked : join(res->arena, p->list, p->n);
    return value.ptr ? set(res, name, value) : -ENOMEM;
}

bool weir_cors_is_preflight(const struct weir_head *head) {
    return head->method == WEIR_METHOD_OPTIONS && weir_head_find(head, WEIR_SLICE("origin")) &&
           weir_head_find(head, WEIR_SLICE("access-control-request-method"));
}

int weir_cors_preflight(const struct weir_cors *c, const struct weir_head *req,
                        struct weir_head *res) {
    struct policy methods = { c->methods, c->n_methods, c->credentials };
    struct policy headers = { c->headers, c->n_headers, c->credentials };
    char *age;
    int r = set_origin(c, field(req, WEIR_SLICE("origin")), res);

    if (r == 0)
        r = set_list(&methods, res, WEIR_SLICE("access-control-allow-methods"),
                     field(req, WEIR_SLICE("access-control-request-method")));
    if (r == 0)
        r = set_list(&headers, res, WEIR_SLICE("access-control-allow-headers"),
                     field(req, WEIR_SLICE("access-control-request-headers")));
    if (r == 0) {
        age = weir_arena_printf(res->arena, "%u", c->max_age);
        r = age ? set(res, WEIR_SLICE("access-control-max-age"), weir_slice_from_str(age))
                : -ENOMEM;
    }
    if (r >= 0)
        r = weir_head_add(res, WEIR_SLICE("vary"),
                          WEIR_SLICE("Origin, Access-Control-Request-Method, "
                                     "Access-Control-Request-Headers"));
    return r;
}

/* With credentials "*" is a name like any other to a browser: the names that are there instead. */
static struct weir_slice all_names(const struct weir_head *res) {
    size_t len = 0;
    char *text, *p;

    for (uint16_t i = 0; i < res->n_fields; i++)
        len += res->fields[i].name.len + 2;
    p = text = weir_arena_alloc(res->arena, len + 1);
    for (uint16_t i = 0; text && i < res->n_fields; i++)
        if (!res->fields[i].dropped)
            p += sprintf(p, "%s%.*s", p > text ? ", " : "", WEIR_SLICE_ARG(res->fields[i].name));
    return text ? weir_slice_make(text, (size_t)(p - text)) : WEIR_SLICE_NONE;
}

int weir_cors_response(const struct weir_cors *c, struct weir_slice origin, struct weir_head *res) {
    struct policy expose = { c->expose, c->n_expose, c->credentials };
    struct weir_slice names;
    int r;

    drop_all(res);
    names =
        c->n_expose && is_star(c->expose[0]) && c->credentials ? all_names(res) : WEIR_SLICE("");
    if (!names.ptr)
        return -ENOMEM;
    r = set_origin(c, origin, res);
    if (r == 0)
        r = set_list(&expose, res, WEIR_SLICE("access-control-expose-headers"), names);
    if (r >= 0)
        r = depends_on_origin(c) ? weir_head_add(res, WEIR_SLICE("vary"), WEIR_SLICE("Origin")) : 0;
    return r;
}
