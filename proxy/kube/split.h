/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts the API server's JSON into values as the bytes come in, so that no list and no stream is ever held whole: of a list
 * each element of `items` and each other member, of a stream each document. It only counts brackets and quotes; whether a
 * value is JSON is found by who parses it. Pure.
 */
#ifndef WEIR_KUBE_SPLIT_H
#define WEIR_KUBE_SPLIT_H

#include "base/err.h"
#include "base/slice.h"

#define WEIR_KUBE_VALUE_MAX                                                                        \
    (8u * 1024 * 1024) /* bytes of one value; etcd takes 1.5 MiB by default */

/*
 * One value, borrowed until return. key: "items" for an element of it, the member's name for any other member of a list's
 * object (at most 63 bytes of it), "" for a document of a stream. Not 0 ends the feeding with that.
 */
typedef int weir_kube_value_fn(void *arg, const char *key, struct weir_slice value);

struct weir_kube_split {
    weir_kube_value_fn *fn;
    void *arg;
    bool stream;    /* documents one after the other; else one object with `items` */
    uint8_t state;  /* split.c */
    bool in_string; /* inside of the value at hand */
    bool escaped;
    bool scalar;  /* a value that ends with what follows it */
    bool in_list; /* within `items` */
    uint32_t depth;
    char key[64];
    uint32_t key_len;
    char *buf; /* the value at hand */
    size_t len, cap;
};

void weir_kube_split_init(struct weir_kube_split *s, bool stream, weir_kube_value_fn *fn,
                          void *arg);
void weir_kube_split_deinit(struct weir_kube_split *s);
/* 0, -ENOMEM, -EFBIG (a value beyond the bound), -EBADMSG (no such text), or what fn returned. After anything but 0: deinit. */
int weir_kube_split_feed(struct weir_kube_split *s, struct weir_slice bytes);
/* Nothing more comes: was that whole? A stream may end behind a document, a list behind its object. */
bool weir_kube_split_whole(const struct weir_kube_split *s);

#endif
