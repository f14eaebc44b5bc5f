/* SPDX-License-Identifier: Apache-2.0 */
#include "strict.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct reader {
    const char *p, *end;
    enum strict_result result; /* STRICT_WHOLE while nothing is wrong or missing */
};

static bool stop(struct reader *r, enum strict_result why) {
    if (r->result == STRICT_WHOLE)
        r->result = why;
    return false;
}

static bool literal(struct reader *r, const char *text) {
    for (; *text; text++, r->p++) {
        if (r->p == r->end)
            return stop(r, STRICT_PART);
        if (*r->p != *text)
            return stop(r, STRICT_WRONG);
    }
    return true;
}

static bool is_token(int c) {
    return isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_target(int c) {
    return c > ' ' && c < 0x7f && c != '#';
}

static bool is_value(int c) {
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

/* All bytes of a class; at least one unless `empty` may be. What follows decides whether it is complete. */
static bool run(struct reader *r, bool (*class)(int), bool empty, struct weir_slice *ret) {
    const char *start = r->p;
    while (r->p < r->end && class((unsigned char)*r->p))
        r->p++;
    *ret = weir_slice_make(start, (size_t)(r->p - start));
    if (r->p == r->end)
        return stop(r, STRICT_PART);
    return ret->len || empty ? true : stop(r, STRICT_WRONG);
}

static bool start_line(struct reader *r, enum strict_kind kind, struct strict_message *m) {
    struct weir_slice reason;
    if (kind == STRICT_REQUEST)
        return run(r, is_token, false, &m->method) && literal(r, " ") &&
               run(r, is_target, false, &m->target) && literal(r, " HTTP/1.1\r\n");
    if (!literal(r, "HTTP/1.1 "))
        return false;
    for (unsigned i = 0; i < 3; i++, r->p++) {
        if (r->p == r->end)
            return stop(r, STRICT_PART);
        if (*r->p < '0' || *r->p > '9')
            return stop(r, STRICT_WRONG);
        m->status = m->status * 10 + (unsigned)(*r->p - '0');
    }
    return literal(r, " ") && run(r, is_value, true, &reason) && literal(r, "\r\n");
}

static bool fields(struct reader *r, struct strict_fields *f) {
    while (r->p < r->end && *r->p != '\r') {
        if (f->n == STRICT_FIELDS)
            return stop(r, STRICT_WRONG);
        struct weir_slice *value = &f->value[f->n];
        if (!run(r, is_token, false, &f->name[f->n]) || !literal(r, ": ") ||
            !run(r, is_value, true, value) || !literal(r, "\r\n"))
            return false;
        if (value->len && (isblank((unsigned char)value->ptr[0]) ||
                           isblank((unsigned char)value->ptr[value->len - 1])))
            return stop(r, STRICT_WRONG);
        f->n++;
    }
    return literal(r, "\r\n");
}

struct weir_slice strict_one(const struct strict_fields *f, const char *name) {
    struct weir_slice found = WEIR_SLICE_NONE;
    size_t len = strlen(name);
    for (unsigned i = 0; i < f->n; i++) {
        if (f->name[i].len != len || strncasecmp(f->name[i].ptr, name, len) != 0)
            continue;
        if (found.ptr)
            abort();
        found = f->value[i];
    }
    return found;
}

static bool content(struct reader *r, uint64_t n, struct strict_message *m) {
    size_t there = (size_t)(r->end - r->p), take = n < there ? (size_t)n : there;
    m->body = realloc(m->body, m->body_len + take + 1);
    memcpy(m->body + m->body_len, r->p, take);
    m->body_len += take;
    r->p += take;
    return take == n ? true : stop(r, STRICT_PART);
}

static bool chunks(struct reader *r, struct strict_message *m) {
    for (;;) {
        uint64_t size = 0;
        const char *start = r->p;
        for (; r->p < r->end && isxdigit((unsigned char)*r->p); r->p++) {
            int c = tolower((unsigned char)*r->p);
            if (r->p - start == 16 || (r->p - start > 0 && size == 0))
                return stop(r, STRICT_WRONG);
            size = size * 16 + (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        if (r->p == start && r->p < r->end)
            return stop(r, STRICT_WRONG);
        if (!literal(r, "\r\n"))
            return false;
        if (size == 0)
            return fields(r, &m->trailers);
        if (!content(r, size, m) || !literal(r, "\r\n"))
            return false;
    }
}

static bool number(struct weir_slice text, uint64_t *ret) {
    uint64_t n = 0;
    if (text.len == 0 || text.len > 19)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.ptr[i]))
            return false;
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret = n;
    return true;
}

static bool framed(struct reader *r, enum strict_kind kind, struct strict_message *m) {
    struct weir_slice length = strict_one(&m->head, "content-length");
    struct weir_slice coding = strict_one(&m->head, "transfer-encoding");
    bool response = kind != STRICT_REQUEST;
    if ((length.ptr && coding.ptr) || (length.ptr && !number(length, &m->length)) ||
        (coding.ptr && !weir_slice_eq(coding, WEIR_SLICE("chunked"))))
        return stop(r, STRICT_WRONG);
    m->chunked = coding.ptr != NULL;
    if (response && (m->status < 200 || m->status == 204))
        return coding.ptr || length.ptr ? stop(r, STRICT_WRONG) : true;
    if (response && (kind == STRICT_RESPONSE_TO_HEAD || m->status == 304))
        return true;
    if (m->chunked)
        return chunks(r, m);
    if (length.ptr)
        return content(r, m->length, m);
    return response ? stop(r, STRICT_WRONG) : true;
}

enum strict_result strict_read(const char *bytes, size_t len, enum strict_kind kind,
                               struct strict_message *ret) {
    struct reader r = { bytes, bytes, STRICT_WHOLE };
    memset(ret, 0, sizeof(*ret));
    ret->length = UINT64_MAX;
    if (len == 0)
        return STRICT_PART;
    r.end += len;
    if (start_line(&r, kind, ret) && fields(&r, &ret->head)) {
        if (kind == STRICT_REQUEST && !strict_one(&ret->head, "host").ptr)
            stop(&r, STRICT_WRONG);
        else
            framed(&r, kind, ret);
    }
    ret->used = (size_t)(r.p - bytes);
    return r.result;
}
