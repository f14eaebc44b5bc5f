/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One document as a JSON tree in which every key and every value knows where it was written. Built
 * from YAML (JSON is YAML too) by load.c, read by the decoders, dead before the snapshot is
 * published.
 */
#ifndef WEIR_CONF_NODE_H
#define WEIR_CONF_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "conf/problem.h"

enum weir_node_type {
    WEIR_NODE_NULL,
    WEIR_NODE_BOOL,
    WEIR_NODE_INT,
    WEIR_NODE_FLOAT,
    WEIR_NODE_STRING,
    WEIR_NODE_LIST,
    WEIR_NODE_MAP,
};

struct weir_node {
    enum weir_node_type type;
    uint32_t line, col;
    uint32_t key_line, key_col;
    uint32_t n;       /* children */
    bool truth;       /* BOOL */
    bool ambiguous;   /* INT like 010: ten in YAML 1.2, eight in 1.1 */
    bool shared;      /* anchored, or an alias (then NULL); only with weir_load.share */
    int64_t number;   /* INT */
    const char *key;  /* in a map; NULL in a list */
    const char *text; /* scalars: as written, without quotes; NUL-terminated, no NUL inside */
    struct weir_node *first; /* LIST, MAP */
    struct weir_node *next;  /* sibling */
};

#define WEIR_NODE_FOREACH(it, parent)                                                              \
    for (const struct weir_node *it = (parent)->first; it != NULL; it = it->next)

/* Member of a map by key; NULL if there is none or n is not a map (or NULL). */
const struct weir_node *weir_node_get(const struct weir_node *n, const char *key);
/* Member that is a string; "" if there is none. */
const char *weir_node_text(const struct weir_node *n, const char *key);
/* "a string", "an object", ... */
const char *weir_node_type_name(const struct weir_node *n);

/*
 * Parses one text and calls fn for each document that is not empty, with a tree that lives until fn
 * returns. Problems of syntax and of the allowed subset (no anchors, no duplicate keys, bounded
 * depth and size) go to `problems`; a text with a syntax error yields the documents before it. 0,
 * -ENOMEM, or what fn returned when not 0.
 */
struct weir_load {
    const struct weir_source *source;
    uint32_t index;   /* of the source, for the order of problems */
    const char *file; /* for places */
    struct weir_problem_sink *problems;
    /* Anchors and aliases are marked instead of refused: for who changes a few places of a text that
     * others will read. */
    bool share;
    int (*fn)(const struct weir_node *root, void *arg);
    void *arg;
};
int weir_load(const struct weir_load *params);

#endif
