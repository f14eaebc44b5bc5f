/* SPDX-License-Identifier: Apache-2.0 */
/* JSON values as the block YAML a person would write. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/scalar.h"
#include "inject/inject_internal.h"

void weir_text_add(struct weir_text_buf *b, struct weir_slice s) {
    if (b->failed)
        return;
    if (b->cap - b->len <= s.len) {
        size_t cap = (b->len + s.len + 1) * 2;
        char *grown = weir_reallocarray(b->s, cap, 1);

        if (!grown) {
            b->failed = true;
            return;
        }
        b->s = grown;
        b->cap = cap;
    }
    if (s.len > 0)
        memcpy(b->s + b->len, s.ptr, s.len);
    b->len += s.len;
    b->s[b->len] = '\0';
}

void weir_text_break(struct weir_text_buf *b, size_t indent) {
    weir_text_adds(b, "\n");
    for (size_t i = 0; i < indent; i++)
        weir_text_adds(b, " ");
}

/* Text that every reader of YAML takes for that text without quotes. */
static bool is_plain(const char *s) {
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/.-";
    /* Booleans of YAML 1.1, which not every reader has given up. */
    static const char *const old[] = { "y", "n", "yes", "no", "on", "off" };
    struct weir_node n = { .text = s };

    if (s[0] == '\0' || s[0] == '-' || strspn(s, safe) != strlen(s))
        return false;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(old); i++)
        if (weir_slice_ieq(weir_slice_from_str(s), weir_slice_from_str(old[i])))
            return false;
    return weir_scalar_resolve(&n, true, NULL) && n.type == WEIR_NODE_STRING;
}

static void put_scalar(struct weir_text_buf *b, const json_t *value) {
    char *text;

    if (json_is_string(value) && is_plain(json_string_value(value))) {
        weir_text_adds(b, json_string_value(value));
        return;
    }
    text = json_dumps(value, JSON_ENCODE_ANY);
    if (!text) {
        b->failed = true;
        return;
    }
    weir_text_adds(b, text);
    free(text);
}

static bool is_block(const json_t *value) {
    return (json_is_object(value) && json_object_size(value) > 0) ||
           (json_is_array(value) && json_array_size(value) > 0);
}

void weir_yaml_member(struct weir_text_buf *b, const char *key, const json_t *value,
                      unsigned indent) {
    weir_text_adds(b, key);
    weir_text_adds(b, ":");
    if (json_is_object(value) && is_block(value))
        weir_text_break(b, indent += 2);
    else if (is_block(value))
        weir_text_break(b, indent);
    else
        weir_text_adds(b, " ");
    weir_yaml_value(b, value, indent);
}

void weir_yaml_value(struct weir_text_buf *b, const json_t *value, unsigned indent) {
    const char *key;
    json_t *item;
    size_t i;
    bool first = true;

    if (!is_block(value)) {
        put_scalar(b, value);
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item) {
            if (i > 0)
                weir_text_break(b, indent);
            weir_text_adds(b, "- ");
            weir_yaml_value(b, item, indent + 2);
        }
    } else {
        json_object_foreach((json_t *)value, key, item) {
            if (!first)
                weir_text_break(b, indent);
            first = false;
            weir_yaml_member(b, key, item, indent);
        }
    }
}
