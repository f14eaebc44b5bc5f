/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the room. */
#ifndef WEIR_INJECT_INTERNAL_H
#define WEIR_INJECT_INTERNAL_H

#include "inject/inject.h"

/* What a Pod's annotations ask of its sidecar; strings of the document. */
struct weir_inject_wishes {
    const char *image;
    const char *log_level;
    const char *cpu, *cpu_limit;
    const char *memory, *memory_limit;
};

/* annotations.c: false when one of them is no good (reported); *ret_r: 0 or -ENOMEM. */
bool weir_inject_wishes(struct weir_inject *in, const struct weir_node *pod,
                        struct weir_inject_wishes *wishes, int *ret_r);
/* The text of an annotation or label of the Pod, or NULL. */
const char *weir_inject_annotation(const struct weir_node *pod, const char *key);
const char *weir_inject_label(const struct weir_node *pod, const char *key);

/* An error at n's place. 0 or -ENOMEM. */
int weir_inject_error(struct weir_inject *in, const struct weir_node *n, const char *field,
                      const char *fmt, ...) WEIR_PRINTF(4, 5);

/* sidecar.c: the container; NULL = no memory. */
json_t *weir_inject_sidecar(const struct weir_inject_wishes *wishes);

/* edit.c: a text and the changes to be made to it. `text` is borrowed until free. NULL = no memory. */
struct weir_editor;
struct weir_editor *weir_editor_new(struct weir_slice text);
/* Takes NULL; returns NULL. */
struct weir_editor *weir_editor_free(struct weir_editor *ed);
/* The edits' trees are needed for the call only. 0 or -ENOMEM. */
int weir_editor_take(struct weir_editor *ed, const struct weir_edit *edits, size_t n);
/* The changed text: heap, NUL-terminated. 0 or -ENOMEM. */
int weir_editor_finish(struct weir_editor *ed, char **ret_text);

struct weir_text_buf {
    char *s; /* heap, NUL-terminated; NULL = empty */
    size_t len, cap;
    bool failed; /* no memory */
};
void weir_text_add(struct weir_text_buf *b, struct weir_slice s);
/* A line break and that many spaces. */
void weir_text_break(struct weir_text_buf *b, size_t indent);
static inline void weir_text_adds(struct weir_text_buf *b, const char *s) {
    weir_text_add(b, weir_slice_from_str(s));
}

/* yaml.c: a value in block style, the lines behind the first one indented by `indent` spaces; no line break at its end. */
void weir_yaml_value(struct weir_text_buf *b, const json_t *value, unsigned indent);
/* "key: value" or "key:" with the value below. */
void weir_yaml_member(struct weir_text_buf *b, const char *key, const json_t *value,
                      unsigned indent);

#endif
