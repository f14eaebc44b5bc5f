/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table-driven decoding of a tree into structs. Each object of the vocabulary has one table that
 * names *every* key it can have: decoded, of no effect on a data plane, or known but not supported
 * by this version. A key in no table is an error with the nearest known one. docs/configuration.md
 * is compared with these tables by a test.
 */
#ifndef WEIR_CONF_DEC_H
#define WEIR_CONF_DEC_H

#include <stddef.h>

#include "conf/node.h"

#define WEIR_DEC_DEPTH 32

struct weir_dec_step {
    const char *key; /* NULL: an element of a list */
    uint32_t index;
};

struct weir_dec {
    struct weir_arena *arena; /* the snapshot's: what is decoded is copied there */
    struct weir_problem_sink *problems;
    const char *file;
    uint32_t source;
    struct weir_dec_step path[WEIR_DEC_DEPTH];
    uint32_t depth;
};

/*
 * Decodes n, which is not null, into *out, which holds the defaults. 0 or -ENOMEM; what is wrong is
 * added to the problems and *out stays usable.
 */
typedef int weir_decode_fn(struct weir_dec *d, const struct weir_node *n, void *out);

enum weir_field_use { WEIR_FIELD_DECODED, WEIR_FIELD_NO_EFFECT, WEIR_FIELD_UNSUPPORTED };

struct weir_field {
    const char *key;
    enum weir_field_use use;
    bool required;
    weir_decode_fn *fn;      /* of the value; of an element when elem_size is not 0 */
    size_t offset, n_offset; /* where the value, or pointer and count of a list, go */
    size_t elem_size;        /* 0: not a list */
};

struct weir_object {
    const char *name; /* "HTTPRoute.spec.rules[]", for the documentation */
    const struct weir_field *fields;
    uint32_t n_fields;
    bool lenient; /* keys that are in no table are of no effect (containers) */
};

#define WEIR_OBJECT(object_name, table)                                                            \
    { .name = (object_name), .fields = (table), .n_fields = WEIR_ARRAY_LEN(table) }
/* A value at member m of type t; the same, refused when absent; the whole struct handed to fn. */
#define WEIR_F(k, t, m, f)                                                                         \
    { .key = (k), .use = WEIR_FIELD_DECODED, .fn = (f), .offset = offsetof(t, m) }
#define WEIR_F_REQ(k, t, m, f)                                                                     \
    { .key = (k), .use = WEIR_FIELD_DECODED, .required = true, .fn = (f), .offset = offsetof(t, m) }
#define WEIR_F_SELF(k, f)                                                                          \
    { .key = (k), .use = WEIR_FIELD_DECODED, .fn = (f) }
#define WEIR_F_SELF_REQ(k, f)                                                                      \
    { .key = (k), .use = WEIR_FIELD_DECODED, .required = true, .fn = (f) }
/* A list at member m with its count at member nm; f decodes one element, NULL: an object of
 * strings. */
#define WEIR_F_LIST(k, t, m, nm, f)                                                                \
    {                                                                                              \
        .key = (k), .use = WEIR_FIELD_DECODED, .fn = (f), .offset = offsetof(t, m),                \
        .n_offset = offsetof(t, nm), .elem_size = sizeof(*((t *)0)->m)                             \
    }
#define WEIR_F_NONE(k)                                                                             \
    { .key = (k), .use = WEIR_FIELD_NO_EFFECT }
#define WEIR_F_UNSUP(k)                                                                            \
    { .key = (k), .use = WEIR_FIELD_UNSUPPORTED }

int weir_dec_object(struct weir_dec *d, const struct weir_node *n, const struct weir_object *object,
                    void *out);
/* The list's elements, each from zeroed memory by f->fn, into the arena. */
int weir_dec_list(struct weir_dec *d, const struct weir_node *n, const struct weir_field *f,
                  void *out);

void weir_dec_enter(struct weir_dec *d, const char *key, uint32_t index);
void weir_dec_leave(struct weir_dec *d);
/* At the value's place, with the current path. */
int weir_dec_error(struct weir_dec *d, const struct weir_node *n, const char *fmt, ...)
    WEIR_PRINTF(3, 4);
/* The same with ".key" behind the path, at the place of that member's key if it is there. */
int weir_dec_error_in(struct weir_dec *d, const struct weir_node *n, const char *key,
                      const char *fmt, ...) WEIR_PRINTF(4, 5);
struct weir_place weir_dec_place(const struct weir_dec *d, const struct weir_node *n);
/* The value as a message shows it: quoted and clipped. */
const char *weir_dec_show(const struct weir_node *n, char *buf, size_t size);
#define WEIR_SHOW(n) weir_dec_show((n), (char[80]){ 0 }, 80)

/* True when n is of that type; otherwise reports "expected X, not Y" and is false, with *ret_r as
 * the report went. */
bool weir_dec_expect(struct weir_dec *d, const struct weir_node *n, enum weir_node_type type,
                     int *ret_r);
int weir_dec_copy(struct weir_dec *d, const char *text, const char **ret_copy);
/* Of a fixed set of words: its index in *ret_index (untouched on a problem). `words` ends with
 * NULL. */
int weir_dec_word(struct weir_dec *d, const struct weir_node *n, const char *const *words,
                  unsigned *ret_index);
int weir_dec_int(struct weir_dec *d, const struct weir_node *n, int64_t min, int64_t max,
                 int64_t *ret_value);

/* Decoders of values. out: const char **, bool *, uint16_t *, uint32_t *, ... */
int weir_dec_nothing(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_dec_string(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_dec_bool(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_dec_port(struct weir_dec *d, const struct weir_node *n,
                  void *out); /* uint16_t, 1..65535 */
int weir_dec_duration(struct weir_dec *d, const struct weir_node *n, void *out); /* uint64_t, us */
int weir_dec_ip(struct weir_dec *d, const struct weir_node *n, void *out);
int weir_dec_cidr(struct weir_dec *d, const struct weir_node *n, void *out);
/* An object of strings, decoded like a list of struct weir_kv: f as for weir_dec_list, fn NULL. */
int weir_dec_strings(struct weir_dec *d, const struct weir_node *n, const struct weir_field *f,
                     void *out);

#endif
