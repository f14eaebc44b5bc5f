/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows: answers of the admin socket and flow records. Running out of memory is
 * remembered, not returned. */
#ifndef WEIR_NODE_TEXT_H
#define WEIR_NODE_TEXT_H

#include "base/err.h"
#include "base/slice.h"

struct weir_textbuf {
    char *ptr;
    size_t len, cap;
    bool failed; /* something is missing: do not use what is there */
};

void weir_textbuf_deinit(struct weir_textbuf *t);
void weir_textbuf_add(struct weir_textbuf *t, const char *bytes, size_t len);
void weir_textbuf_printf(struct weir_textbuf *t, const char *fmt, ...) WEIR_PRINTF(2, 3);
/* A JSON string with its quotes; bytes that are not ASCII text are escaped one by one. */
void weir_textbuf_json(struct weir_textbuf *t, const char *s);
/* `"name":"value"` with a comma before it unless it is the first of its object. */
void weir_textbuf_member(struct weir_textbuf *t, const char *name, const char *value);
void weir_textbuf_number(struct weir_textbuf *t, const char *name, uint64_t value);
void weir_textbuf_bool(struct weir_textbuf *t, const char *name, bool value);
/* `"name":` with the same comma; the value is the caller's to add. */
void weir_textbuf_name(struct weir_textbuf *t, const char *name);

#endif
