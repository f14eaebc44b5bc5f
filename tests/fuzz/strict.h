/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of HTTP/1.1 messages that shares no line with proxy/http and forgives nothing: the oracle for what weir writes. One
 * spelling per thing: a single space in the start line, ": " behind a name, CRLF, lower- or upper-case hexadecimal chunk sizes without
 * leading zeros or extensions, one Content-Length or one "chunked", never both.
 */
#ifndef WEIR_FUZZ_STRICT_H
#define WEIR_FUZZ_STRICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define STRICT_FIELDS 512u

struct strict_fields {
    unsigned n;
    struct weir_slice name[STRICT_FIELDS], value[STRICT_FIELDS];
};

struct strict_message {
    struct weir_slice method, target; /* requests */
    unsigned status;                  /* responses */
    struct strict_fields head, trailers;
    bool chunked;
    uint64_t length; /* what Content-Length says; UINT64_MAX = there is none */
    char *body;      /* free() it */
    size_t body_len;
    size_t used; /* bytes of the message */
};

enum strict_kind {
    STRICT_REQUEST,
    STRICT_RESPONSE, /* to a method whose answer has content */
    STRICT_RESPONSE_TO_HEAD,
};

enum strict_result {
    STRICT_WHOLE,
    STRICT_PART,  /* right so far */
    STRICT_WRONG, /* no continuation makes it right */
};

/* Reads one message from the front of the bytes. Slices borrow from them. */
enum strict_result strict_read(const char *bytes, size_t len, enum strict_kind kind,
                               struct strict_message *ret);
/* The value of the only field of that name (any case); ptr NULL = there is none. Aborts when there are several. */
struct weir_slice strict_one(const struct strict_fields *fields, const char *name);

#endif
