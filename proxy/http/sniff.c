/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognises what a connection carries by its first bytes. Only says what they are: what to do with
 * an opaque or undecided connection, and how long to wait, is the caller's to know. Nothing is
 * consumed; call again with all bytes so far.
 */
#include "http/sniff.h"

#include <errno.h>

#include "http/uri.h"

#define DECIDE_WITHIN 24u

/* RFC 8446 5.1: type handshake, legacy version 3.x, then (after the length) a client_hello. */
static enum weir_sniff sniff_tls(struct weir_slice s) {
    const unsigned char *p = (const unsigned char *)s.ptr;
    if (s.len > 1 && p[1] != 3)
        return WEIR_SNIFF_OPAQUE;
    if (s.len > 2 && p[2] > 4)
        return WEIR_SNIFF_OPAQUE;
    if (s.len > 4 && p[3] == 0 && p[4] == 0)
        return WEIR_SNIFF_OPAQUE;
    if (s.len > 5)
        return p[5] == 1 ? WEIR_SNIFF_TLS : WEIR_SNIFF_OPAQUE;
    return WEIR_SNIFF_MORE;
}

/* Is s, as far as it goes, this text (letters in any case)? */
static bool agrees(struct weir_slice s, struct weir_slice text) {
    if (s.len > text.len)
        s.len = text.len;
    return weir_slice_ieq(s, weir_slice_make(text.ptr, s.len));
}

/* What follows the method: all forms of RFC 9112 3.2. */
static enum weir_sniff sniff_target(struct weir_slice method, struct weir_slice rest) {
    static const struct weir_slice schemes[] = { { "http://", 7 }, { "https://", 8 } };
    if (rest.len == 0)
        return WEIR_SNIFF_MORE;
    if (rest.ptr[0] == '/')
        return WEIR_SNIFF_H1;
    if (rest.ptr[0] == '*') {
        if (rest.len == 1)
            return WEIR_SNIFF_MORE;
        return rest.ptr[1] == ' ' ? WEIR_SNIFF_H1 : WEIR_SNIFF_OPAQUE;
    }
    if (weir_slice_eq(method, WEIR_SLICE("CONNECT")))
        return weir_char_class[(unsigned char)rest.ptr[0]] & WEIR_CHAR_HOST || rest.ptr[0] == '['
                   ? WEIR_SNIFF_H1
                   : WEIR_SNIFF_OPAQUE;
    for (size_t i = 0; i < 2; i++)
        if (agrees(rest, schemes[i]))
            return rest.len >= schemes[i].len ? WEIR_SNIFF_H1 : WEIR_SNIFF_MORE;
    return WEIR_SNIFF_OPAQUE;
}

static enum weir_sniff sniff_h1(struct weir_slice s) {
    static const char blank[] = "\r\n\r\n";
    /* RFC 9112 2.2: up to two empty lines may come first. */
    size_t start = 0;
    while (start < s.len && start < 4 && s.ptr[start] == blank[start])
        start++;
    if (start == s.len)
        return WEIR_SNIFF_MORE;
    if (start % 2)
        return WEIR_SNIFF_OPAQUE;
    size_t i = start;
    while (i < s.len && weir_char_class[(unsigned char)s.ptr[i]] & WEIR_CHAR_TOKEN)
        i++;
    if (i == s.len)
        return WEIR_SNIFF_MORE;
    if (i == start || s.ptr[i] != ' ')
        return WEIR_SNIFF_OPAQUE;
    return sniff_target(weir_slice_make(s.ptr + start, i - start),
                        weir_slice_make(s.ptr + i + 1, s.len - i - 1));
}

enum weir_sniff weir_sniff(struct weir_slice bytes) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    if (bytes.len == 0)
        return WEIR_SNIFF_MORE;
    if (bytes.len > DECIDE_WITHIN)
        bytes.len = DECIDE_WITHIN;
    if (bytes.ptr[0] == 0x16)
        return sniff_tls(bytes);
    if (memcmp(bytes.ptr, preface, bytes.len) == 0)
        return bytes.len == DECIDE_WITHIN ? WEIR_SNIFF_H2 : WEIR_SNIFF_MORE;
    enum weir_sniff found = sniff_h1(bytes);
    return found == WEIR_SNIFF_MORE && bytes.len == DECIDE_WITHIN ? WEIR_SNIFF_OPAQUE : found;
}
