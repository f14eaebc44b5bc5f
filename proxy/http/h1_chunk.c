/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunked framing (RFC 9112 7.1), byte by byte between chunks and not at all within them. Stricter
 * than the grammar: no blanks around the size, at most 16 digits, every line ends in CRLF.
 * Extensions are dropped; their bytes, and zeros before a size, are charged to one budget per
 * message.
 *
 *   SIZE  --hex--> SIZE  --;--> EXT --CR--> SIZE_LF   SIZE --CR--> SIZE_LF
 *   SIZE_LF --LF, size > 0--> DATA --all read--> DATA_CR --CR--> DATA_LF --LF--> SIZE
 *   SIZE_LF --LF, size = 0--> LAST --CR--> END_LF --LF--> (end)      LAST --other--> (trailers)
 */
#include "http/h1_internal.h"

#include "base/radix.h"
#include "http/uri.h"

enum { SIZE, EXT, SIZE_LF, DATA, DATA_CR, DATA_LF, LAST, END_LF };

#define DIGITS_MAX 16u

void weir_h1_chunk_begin(struct weir_h1 *h) {
    h->chunk_state = SIZE;
    h->recv_left = 0;
    h->digits = 0;
    h->mark = 0;
}

static int wrong(struct weir_h1 *h) {
    h->found = WEIR_FAULT_BAD_FRAMING;
    return -EPROTO;
}

/* One byte that carries nothing. */
static int charge(struct weir_h1 *h) {
    return h->mark++ < h->base.limits->chunk_ext_bytes ? 0 : wrong(h);
}

static int read_size(struct weir_h1 *h, char c) {
    int digit = weir_hex_digit(c);
    if (digit >= 0) {
        bool idle_zero = h->recv_left == 0 && h->digits > 0;
        if (++h->digits > DIGITS_MAX)
            return wrong(h);
        h->recv_left = h->recv_left << 4 | (unsigned)digit;
        return idle_zero ? charge(h) : 0;
    }
    if (h->digits == 0 || (c != '\r' && c != ';'))
        return wrong(h);
    h->chunk_state = c == '\r' ? SIZE_LF : EXT;
    return c == ';' ? charge(h) : 0;
}

static int read_ext(struct weir_h1 *h, char c) {
    if (c == '\r') {
        h->chunk_state = SIZE_LF;
        return 0;
    }
    return weir_char_class[(unsigned char)c] & WEIR_CHAR_VALUE ? charge(h) : wrong(h);
}

static int expect(struct weir_h1 *h, char c, char want, uint8_t then) {
    h->chunk_state = then;
    return c == want ? 0 : wrong(h);
}

int weir_h1_chunk_read(struct weir_h1 *h, const char **p, const char *end) {
    int r = 0;
    while (*p < end && r == 0) {
        char c = **p;
        switch (h->chunk_state) {
        case SIZE:
            r = read_size(h, c);
            break;
        case EXT:
            r = read_ext(h, c);
            break;
        case SIZE_LF:
            r = expect(h, c, '\n', h->recv_left ? DATA : LAST);
            break;
        case DATA:
            if (h->recv_left > 0)
                return WEIR_H1_CHUNK_DATA;
            h->chunk_state = DATA_CR;
            continue;
        case DATA_CR:
            r = expect(h, c, '\r', DATA_LF);
            break;
        case DATA_LF:
            r = expect(h, c, '\n', SIZE);
            h->digits = 0;
            break;
        case LAST:
            if (c != '\r')
                return WEIR_H1_CHUNK_TRAILERS;
            h->chunk_state = END_LF;
            break;
        default: /* END_LF */
            r = expect(h, c, '\n', SIZE);
            ++*p;
            return r ? r : WEIR_H1_CHUNK_END;
        }
        ++*p;
    }
    return r;
}
