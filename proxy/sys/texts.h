/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input documents: what --config names, read whole into a list of named texts, ready for conf
 * (which opens nothing).
 */
#ifndef WEIR_SYS_TEXTS_H
#define WEIR_SYS_TEXTS_H

#include "base/err.h"

struct weir_text {
    char *name; /* path for messages; "-" for standard input */
    char *text; /* NUL behind len bytes */
    size_t len;
};

struct weir_texts {
    struct weir_text *items;
    size_t n;
    size_t bytes, max; /* in all texts; -EFBIG beyond max */
    char *failed;      /* after an error: the file it is about; NULL = no memory for its name */
};

void weir_texts_init(struct weir_texts *texts, size_t max);
void weir_texts_deinit(struct weir_texts *texts);
/*
 * Appends what path names: a file; "-" = standard input; or a directory: each *.yaml, *.yml and
 * *.json in it in byte order of the names, not descending, without names that begin with ".". A
 * directory in Kubernetes' layout (names are links through
 * "..data") is read through one "..data", so that a swap in the middle cannot mix two versions. A
 * directory without such files appends nothing. 0 or -errno; what had been appended by this call
 * stays until deinit.
 */
int weir_texts_read(struct weir_texts *texts, const char *path);
/* The rule above: is this file name in a directory one to read? */
bool weir_texts_takes(const char *name);

#endif
