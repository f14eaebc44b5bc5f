/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a peer may make us do without getting anything done (attacks.md 2).
 *
 * Each frame costs; a request or response head, content that arrived, content that left and each
 * separate read pay back, up to the full budget. So a connection that lives on one PING a minute
 * never runs dry, and one that packs thousands of empty frames into its reads does within a few of
 * them. Rapid reset and MadeYouReset (CVE-2023-44487, CVE-2025-8671) have scores of their own: bad
 * ends against good ends, so that they hold for a connection of any age. Counts only; it neither
 * reads time nor knows nghttp2.
 */
#include "http/h2_guard.h"

#include <nghttp2/nghttp2.h>

#define CALM          (1000 * WEIR_H2_WORTH_FRAME)
#define PEER_ERRORS   100
#define PREFACE_BYTES 24u
#define HEADER_BYTES  9u

void weir_h2_guard_init(struct weir_h2_guard *g, enum weir_role role,
                        const struct weir_codec_limits *limits) {
    *g = (struct weir_h2_guard){
        .role = (uint8_t)role,
        .magic_left = role == WEIR_ROLE_SERVER ? PREFACE_BYTES : 0,
        .calm = CALM,
        .early_max = limits->reset_burst < INT32_MAX ? (int32_t)limits->reset_burst : INT32_MAX - 1,
    };
}

void weir_h2_guard_progress(struct weir_h2_guard *g, size_t worth) {
    int32_t n = worth > CALM ? CALM : (int32_t)worth;
    g->calm = g->calm > CALM - n ? CALM : g->calm + n;
}

void weir_h2_guard_completed(struct weir_h2_guard *g) {
    if (g->early_resets > 0)
        g->early_resets--;
    if (g->peer_errors > 0)
        g->peer_errors--;
}

bool weir_h2_guard_early_reset(struct weir_h2_guard *g) {
    return ++g->early_resets > g->early_max;
}

bool weir_h2_guard_peer_error(struct weir_h2_guard *g) {
    return ++g->peer_errors > PEER_ERRORS;
}

/* RFC 9113 4.1. False = not this frame, now; then nothing has changed. */
static bool admit(struct weir_h2_guard *g, const uint8_t *header) {
    uint8_t type = header[3], flags = header[4];
    uint32_t len = (uint32_t)header[0] << 16 | (uint32_t)header[1] << 8 | header[2];
    int32_t cost = WEIR_H2_WORTH_FRAME;

    if (type == NGHTTP2_DATA) {
        /* Much of it may be under way to a stream we have reset, and nobody will say that it was
         * content. */
        if (len > 0 && !(flags & NGHTTP2_FLAG_PADDED))
            cost = 1;
    } else if (!(flags & NGHTTP2_FLAG_ACK)) {
        if (type == NGHTTP2_SETTINGS) /* touches every stream and the compression table */
            cost *= 8;
        else if (type == NGHTTP2_PING) /* makes us write */
            cost *= 2;
    }
    if (g->calm < cost)
        return false;
    if (type != NGHTTP2_CONTINUATION)
        g->continuations = 0;
    else if (g->continuations == WEIR_H2_CONTINUATIONS)
        return false;
    else
        g->continuations++;
    g->violation = weir_h2_order_frame(&g->order, g->role, header);
    if (g->violation)
        return false;
    g->calm -= cost;
    g->payload_left = len;
    return true;
}

size_t weir_h2_guard_scan(struct weir_h2_guard *g, struct weir_slice bytes) {
    const uint8_t *p = (const uint8_t *)bytes.ptr;
    size_t i = g->magic_left < bytes.len ? g->magic_left : bytes.len;

    if (g->violation)
        return 0;
    g->magic_left -= (uint32_t)i;
    while (i < bytes.len) {
        size_t left = bytes.len - i;
        if (g->payload_left) {
            size_t n = g->payload_left < left ? g->payload_left : left;
            g->violation = weir_h2_order_payload(&g->order, p + i, n);
            if (g->violation)
                return i;
            g->payload_left -= (uint32_t)n;
            i += n;
            continue;
        }
        const uint8_t *header = p + i;
        size_t n = HEADER_BYTES - g->header_len;
        if (g->header_len || left < HEADER_BYTES) {
            size_t part = n < left ? n : left;
            memcpy(g->header + g->header_len, p + i, part);
            if (part < n) {
                g->header_len = (uint8_t)(g->header_len + part);
                return bytes.len;
            }
            header = g->header;
        }
        if (!admit(g, header))
            return i;
        g->header_len = 0;
        i += n;
    }
    return bytes.len;
}
