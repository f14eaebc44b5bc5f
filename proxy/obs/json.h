/* SPDX-License-Identifier: Apache-2.0 */
/* JSON (RFC 8259) with a pen: commas and quotes look after themselves; that what is opened is closed is the caller's matter. */
#ifndef WEIR_OBS_JSON_H
#define WEIR_OBS_JSON_H

#include "obs/pen.h"

struct weir_json {
    struct weir_pen pen;
    bool more; /* something stands before: a comma is due */
};

static inline void weir_json_begin(struct weir_json *j, struct weir_bufq *q) {
    weir_pen_begin(&j->pen, q);
    j->more = false;
}
/* With a newline. 0, or -ENOMEM with the queue as it was. */
int weir_json_end(struct weir_json *j);

/* bracket: '{' or '['. key: NULL in a list, and for the whole. */
void weir_json_open(struct weir_json *j, const char *key, char bracket);
void weir_json_close(struct weir_json *j, char bracket);
void weir_json_text(struct weir_json *j, const char *key, struct weir_slice text);
static inline void weir_json_str(struct weir_json *j, const char *key, const char *text) {
    weir_json_text(j, key, weir_slice_from_str(text));
}
void weir_json_u64(struct weir_json *j, const char *key, uint64_t n);
void weir_json_bool(struct weir_json *j, const char *key, bool b);
void weir_json_null(struct weir_json *j, const char *key);

#endif
