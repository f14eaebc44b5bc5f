/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes may stand where in names, values, targets and authorities. Stricter than RFC 3986 and
 * RFC 9110 where leniency makes two readers disagree; one place for both HTTP versions.
 */
#ifndef WEIR_HTTP_URI_H
#define WEIR_HTTP_URI_H

#include "base/slice.h"

enum weir_char {
    WEIR_CHAR_TOKEN = 1,  /* RFC 9110 5.6.2 tchar */
    WEIR_CHAR_TARGET = 2, /* visible ASCII but '#' */
    WEIR_CHAR_HOST = 4,   /* letters, digits, '-', '.', '_' */
    WEIR_CHAR_VALUE = 8,  /* RFC 9110 5.5 field-content: HTAB, SP, visible, obs-text */
};

extern const uint8_t weir_char_class[256]; /* enum weir_char, or'ed */

/* At least one byte and all of that class. */
static inline bool weir_chars_are(struct weir_slice s, enum weir_char class) {
    for (size_t i = 0; i < s.len; i++)
        if (!(weir_char_class[(unsigned char)s.ptr[i]] & (unsigned)class))
            return false;
    return s.len > 0;
}

/* Empty, or all of WEIR_CHAR_VALUE. */
bool weir_value_valid(struct weir_slice value);
/*
 * host[:port] without userinfo (RFC 9110 4.2): a name of HOST characters without empty labels (one
 * trailing dot may be), an IPv4 address, or "[IPv6]" without zone; port 1..65535 without leading
 * zeros.
 */
bool weir_authority_valid(struct weir_slice authority);
/* The port in a valid authority; 0 = none. */
uint16_t weir_authority_port(struct weir_slice authority);
/* origin-form (RFC 9112 3.2.1): '/' and TARGET characters; no backslash before '?'. */
bool weir_target_valid(struct weir_slice target);

#endif
