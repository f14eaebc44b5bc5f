/* SPDX-License-Identifier: Apache-2.0 */
#include "obs/json.h"

static void before(struct weir_json *j, const char *key) {
    if (j->more)
        weir_pen_lit(&j->pen, ",");
    j->more = true;
    if (!key)
        return;
    weir_pen_lit(&j->pen, "\"");
    weir_pen_json(&j->pen, weir_slice_from_str(key));
    weir_pen_lit(&j->pen, "\":");
}

void weir_json_open(struct weir_json *j, const char *key, char bracket) {
    before(j, key);
    weir_pen_bytes(&j->pen, weir_slice_make(&bracket, 1));
    j->more = false;
}

void weir_json_close(struct weir_json *j, char bracket) {
    weir_pen_bytes(&j->pen, bracket == '{' ? WEIR_SLICE("}") : WEIR_SLICE("]"));
    j->more = true;
}

void weir_json_text(struct weir_json *j, const char *key, struct weir_slice text) {
    before(j, key);
    weir_pen_lit(&j->pen, "\"");
    weir_pen_json(&j->pen, text);
    weir_pen_lit(&j->pen, "\"");
}

void weir_json_u64(struct weir_json *j, const char *key, uint64_t n) {
    before(j, key);
    weir_pen_u64(&j->pen, n);
}

void weir_json_bool(struct weir_json *j, const char *key, bool b) {
    before(j, key);
    weir_pen_bytes(&j->pen, b ? WEIR_SLICE("true") : WEIR_SLICE("false"));
}

void weir_json_null(struct weir_json *j, const char *key) {
    before(j, key);
    weir_pen_lit(&j->pen, "null");
}

int weir_json_end(struct weir_json *j) {
    weir_pen_lit(&j->pen, "\n");
    return weir_pen_end(&j->pen);
}
