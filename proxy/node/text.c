/* SPDX-License-Identifier: Apache-2.0 */
/* One block of memory, doubled when full. JSON is written straight, without a tree. */
#include "node/text.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

void weir_textbuf_deinit(struct weir_textbuf *t) {
    weir_free(t->ptr);
    *t = (struct weir_textbuf){ 0 };
}

static bool reserve(struct weir_textbuf *t, size_t more) {
    size_t cap = t->cap ? t->cap : 256;
    char *ptr;

    if (t->failed)
        return false;
    while (cap - t->len < more)
        cap *= 2;
    if (cap == t->cap)
        return true;
    ptr = weir_reallocarray(t->ptr, cap, 1);
    if (!ptr) {
        t->failed = true;
        return false;
    }
    t->ptr = ptr;
    t->cap = cap;
    return true;
}

void weir_textbuf_add(struct weir_textbuf *t, const char *bytes, size_t len) {
    if (len == 0 || !reserve(t, len))
        return;
    memcpy(t->ptr + t->len, bytes, len);
    t->len += len;
}

void weir_textbuf_printf(struct weir_textbuf *t, const char *fmt, ...) {
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0 || !reserve(t, (size_t)n + 1))
        return;
    va_start(args, fmt);
    vsnprintf(t->ptr + t->len, (size_t)n + 1, fmt, args);
    va_end(args);
    t->len += (size_t)n;
}

void weir_textbuf_json(struct weir_textbuf *t, const char *s) {
    weir_textbuf_add(t, "\"", 1);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            weir_textbuf_printf(t, "\\%c", *s);
        else if (*s < 0x20 || *s == 0x7f)
            weir_textbuf_printf(t, "\\u%04x", (unsigned)(uint8_t)*s);
        else
            weir_textbuf_add(t, s, 1);
    }
    weir_textbuf_add(t, "\"", 1);
}

void weir_textbuf_name(struct weir_textbuf *t, const char *name) {
    if (t->len > 0 && t->ptr[t->len - 1] != '{' && t->ptr[t->len - 1] != '[')
        weir_textbuf_add(t, ",", 1);
    weir_textbuf_json(t, name);
    weir_textbuf_add(t, ":", 1);
}

void weir_textbuf_member(struct weir_textbuf *t, const char *name, const char *value) {
    weir_textbuf_name(t, name);
    weir_textbuf_json(t, value);
}

void weir_textbuf_number(struct weir_textbuf *t, const char *name, uint64_t value) {
    weir_textbuf_name(t, name);
    weir_textbuf_printf(t, "%llu", (unsigned long long)value);
}

void weir_textbuf_bool(struct weir_textbuf *t, const char *name, bool value) {
    weir_textbuf_name(t, name);
    weir_textbuf_printf(t, "%s", value ? "true" : "false");
}
