/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection's first bytes are. Pure: bytes in, verdict out. */
#ifndef WEIR_HTTP_SNIFF_H
#define WEIR_HTTP_SNIFF_H

#include "base/slice.h"

enum weir_sniff {
    WEIR_SNIFF_MORE,   /* undecided: ask again with more bytes */
    WEIR_SNIFF_TLS,    /* a TLS handshake record */
    WEIR_SNIFF_H2,     /* the HTTP/2 connection preface (RFC 9113 3.4) */
    WEIR_SNIFF_H1,     /* begins like an HTTP/1 request line */
    WEIR_SNIFF_OPAQUE, /* none of these */
};

/* Decides within the first 24 bytes. */
enum weir_sniff weir_sniff(struct weir_slice bytes);

#endif
