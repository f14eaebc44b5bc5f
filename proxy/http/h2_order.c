/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of RFC 9113 5.1 as far as nghttp2 leaves them unchecked. Each violation is told as a connection error, which 5.4.1 always
 * allows: whoever sends on a stream it has itself ended has lost track of more than that stream.
 */
#include "http/h2_order.h"

#include <string.h>

#include <nghttp2/nghttp2.h>

#define WORD(id) ((id) / 2 % WEIR_H2_ORDER_STREAMS / 64)
#define BIT(id)  (UINT64_C(1) << ((id) / 2 % 64))

/* Forgets the oldest in favour of `id` and those skipped before it. */
static void advance(struct weir_h2_order *o, uint32_t id) {
    if (id - o->last >= 2 * WEIR_H2_ORDER_STREAMS) {
        memset(o->opened, 0, sizeof(o->opened));
        memset(o->ended, 0, sizeof(o->ended));
        o->last = id;
        return;
    }
    while (o->last != id) {
        o->last += o->last ? 2 : 1;
        o->opened[WORD(o->last)] &= ~BIT(o->last);
        o->ended[WORD(o->last)] &= ~BIT(o->last);
    }
}

static uint32_t stream_id(const uint8_t *p) {
    return ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]) & 0x7fffffffu;
}

uint32_t weir_h2_order_frame(struct weir_h2_order *o, enum weir_role role, const uint8_t *header) {
    uint8_t type = header[3], flags = header[4];
    uint32_t id = stream_id(header + 5);
    bool newest = id > o->last;

    o->priority_of = 0;
    if (type == NGHTTP2_PRIORITY) {
        o->priority_of = id;
        o->dependency = 0;
        o->dependency_left = 4;
        return id == 0 ? NGHTTP2_PROTOCOL_ERROR : 0;
    }
    o->padded = 0;
    if (type == NGHTTP2_DATA && flags & NGHTTP2_FLAG_PADDED) {
        o->padded = (uint32_t)header[0] << 16 | (uint32_t)header[1] << 8 | header[2];
        if (o->padded == 0)
            return NGHTTP2_FRAME_SIZE_ERROR;
    }
    if (type != NGHTTP2_HEADERS && type != NGHTTP2_DATA && type != NGHTTP2_RST_STREAM)
        return 0;
    if (id % 2 == 0 || (newest && type != NGHTTP2_HEADERS)) /* no stream of a client; an idle one */
        return 0;
    if (newest)
        advance(o, id);
    else if (o->last - id >= 2 * WEIR_H2_ORDER_STREAMS)
        return 0;
    uint64_t *ended = &o->ended[WORD(id)], *opened = &o->opened[WORD(id)];
    if (type == NGHTTP2_RST_STREAM) {
        *ended |= BIT(id);
        return 0;
    }
    if (*ended & BIT(id))
        return NGHTTP2_STREAM_CLOSED;
    if (type == NGHTTP2_HEADERS && role == WEIR_ROLE_SERVER && !newest && !(*opened & BIT(id)))
        return NGHTTP2_PROTOCOL_ERROR; /* 5.1.1: a stream that was passed over */
    *opened |= BIT(id);
    if (flags & NGHTTP2_FLAG_END_STREAM)
        *ended |= BIT(id);
    return 0;
}

uint32_t weir_h2_order_payload(struct weir_h2_order *o, const uint8_t *bytes, size_t n) {
    if (o->padded && n > 0) {
        if (bytes[0] >= o->padded)
            return NGHTTP2_PROTOCOL_ERROR; /* 6.1 */
        o->padded = 0;
    }
    if (o->priority_of == 0)
        return 0;
    while (n-- > 0 && o->dependency_left > 0) {
        o->dependency = o->dependency << 8 | *bytes++;
        if (--o->dependency_left == 0 && (o->dependency & 0x7fffffffu) == o->priority_of)
            return NGHTTP2_PROTOCOL_ERROR; /* RFC 7540 5.3.1: a stream cannot depend on itself */
    }
    return 0;
}
