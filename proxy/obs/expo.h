/* SPDX-License-Identifier: Apache-2.0 */
/* Families and samples of the Prometheus text format 0.0.4. */
#ifndef WEIR_OBS_EXPO_H
#define WEIR_OBS_EXPO_H

#include "obs/pen.h"

struct weir_family {
    const char *name, *type, *help; /* type: "counter", "gauge", "histogram" */
};
#define WEIR_FAMILY(...) ((struct weir_family){ __VA_ARGS__ })

/* # HELP and # TYPE. */
void weir_expo_head(struct weir_pen *pen, const struct weir_family *family);
/* `name{key="value"} n`; labels: "" or the braces with all in them, our own words only. */
void weir_expo_sample(struct weir_pen *pen, const char *name, const char *labels, uint64_t n);
/* `name{key="value"} n`; the value is one of our own words. */
void weir_expo_labelled(struct weir_pen *pen, const struct weir_family *family, const char *key,
                        const char *value, uint64_t n);
/* A family of one sample without labels. */
void weir_expo_one(struct weir_pen *pen, struct weir_family family, uint64_t n);

#endif
