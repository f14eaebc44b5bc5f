/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that may not come on their stream any more (RFC 9113 5.1). Private to h2*.c. */
#ifndef WEIR_HTTP_H2_ORDER_H
#define WEIR_HTTP_H2_ORDER_H

#include <stdint.h>

#include "http/codec.h"

#define WEIR_H2_ORDER_STREAMS 128u /* remembered: the newest ones */

/*
 * nghttp2 forgets a stream once it is closed and then skips what comes for it, because much of that was under way when we reset it. This
 * remembers which streams the peer itself has ended: what it sends there after its END_STREAM or RST_STREAM was never under way.
 */
struct weir_h2_order {
    uint32_t last;                               /* highest stream of the client that was named */
    uint64_t opened[WEIR_H2_ORDER_STREAMS / 64]; /* rings of bits, by stream */
    uint64_t ended[WEIR_H2_ORDER_STREAMS / 64];  /* by the peer */
    uint32_t priority_of; /* the stream of the PRIORITY frame whose payload comes; 0 = none */
    uint32_t dependency;  /* as far as read */
    uint8_t dependency_left;
    uint32_t padded; /* length of the padded DATA frame whose payload comes; 0 = none */
};

/* The header of a frame the peer sent; `role` is ours. An error code of RFC 9113 7, 0 = in order. */
uint32_t weir_h2_order_frame(struct weir_h2_order *o, enum weir_role role, const uint8_t *header);
/* Its payload, in any number of pieces: 0 or an error code. */
uint32_t weir_h2_order_payload(struct weir_h2_order *o, const uint8_t *bytes, size_t n);

#endif
