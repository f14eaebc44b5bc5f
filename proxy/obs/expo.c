/* SPDX-License-Identifier: Apache-2.0 */
#include "obs/expo.h"

void weir_expo_head(struct weir_pen *pen, const struct weir_family *family) {
    weir_pen_lit(pen, "# HELP ");
    weir_pen_str(pen, family->name);
    weir_pen_lit(pen, " ");
    weir_pen_str(pen, family->help);
    weir_pen_lit(pen, "\n# TYPE ");
    weir_pen_str(pen, family->name);
    weir_pen_lit(pen, " ");
    weir_pen_str(pen, family->type);
    weir_pen_lit(pen, "\n");
}

void weir_expo_sample(struct weir_pen *pen, const char *name, const char *labels, uint64_t n) {
    weir_pen_str(pen, name);
    weir_pen_str(pen, labels);
    weir_pen_lit(pen, " ");
    weir_pen_u64(pen, n);
    weir_pen_lit(pen, "\n");
}

void weir_expo_labelled(struct weir_pen *pen, const struct weir_family *family, const char *key,
                        const char *value, uint64_t n) {
    weir_pen_str(pen, family->name);
    weir_pen_lit(pen, "{");
    weir_pen_str(pen, key);
    weir_pen_lit(pen, "=\"");
    weir_pen_str(pen, value);
    weir_pen_lit(pen, "\"} ");
    weir_pen_u64(pen, n);
    weir_pen_lit(pen, "\n");
}

void weir_expo_one(struct weir_pen *pen, struct weir_family family, uint64_t n) {
    weir_expo_head(pen, &family);
    weir_expo_sample(pen, family.name, "", n);
}
