/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a peer may make us do without getting anything done (attacks.md 2).
 *
 * Each frame costs; a request or response head, content that arrived, content that left and time pay back, up to the full budget. So a
 * connection that lives on one PING a second never runs dry, nor does one that acknowledges content as it comes, and one that only sends frames
 * faster than framesPerSecond does. RST_STREAM has a budget by time alone. Rapid reset and MadeYouReset (CVE-2023-44487, CVE-2025-8671) have scores
 * of their own as well: bad ends against good ends, so that they hold for a connection of any age. It is told the time and knows no nghttp2 session.
 */
#include "http/h2_guard.h"

#include <nghttp2/nghttp2.h>

#define PEER_ERRORS   100
#define PREFACE_BYTES 24u
#define HEADER_BYTES  9u
#define MICRO         1000000
#define ALL_OF_IT     (60u * MICRO) /* us after which any bucket is full */

static void bucket_init(struct weir_h2_bucket *b, uint32_t per_s, uint32_t max) {
    b->per_s = per_s;
    b->left = b->max = (int64_t)max * MICRO;
}

static void bucket_fill(struct weir_h2_bucket *b, int64_t n) {
    b->left = b->left > b->max - n ? b->max : b->left + n;
}

static bool bucket_take(struct weir_h2_bucket *b, uint32_t n) {
    if (b->left < (int64_t)n * MICRO)
        return false;
    b->left -= (int64_t)n * MICRO;
    return true;
}

void weir_h2_guard_init(struct weir_h2_guard *g, enum weir_role role,
                        const struct weir_codec_limits *limits) {
    uint32_t worth = limits->frames_per_s * WEIR_H2_WORTH_FRAME;

    *g = (struct weir_h2_guard){
        .role = (uint8_t)role,
        .magic_left = role == WEIR_ROLE_SERVER ? PREFACE_BYTES : 0,
        .early_max = limits->reset_burst < INT32_MAX ? (int32_t)limits->reset_burst : INT32_MAX - 1,
    };
    bucket_init(&g->calm, worth, worth * WEIR_H2_BURST);
    bucket_init(&g->resets, limits->reset_per_s, limits->reset_burst);
}

void weir_h2_guard_time(struct weir_h2_guard *g, uint64_t now) {
    int64_t passed = now - g->now < ALL_OF_IT ? (int64_t)(now - g->now) : ALL_OF_IT;

    if (now <= g->now)
        return;
    g->now = now;
    bucket_fill(&g->calm, passed * g->calm.per_s);
    bucket_fill(&g->resets, passed * g->resets.per_s);
}

void weir_h2_guard_progress(struct weir_h2_guard *g, size_t worth) {
    size_t most = (size_t)g->calm.max / MICRO;

    bucket_fill(&g->calm, (int64_t)(worth < most ? worth : most) * MICRO);
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

static uint32_t cost_of(uint8_t type, uint8_t flags, uint32_t len) {
    /* Much of it may be under way to a stream we have reset, and nobody will say that it was content. */
    if (type == NGHTTP2_DATA && len > 0 && !(flags & NGHTTP2_FLAG_PADDED))
        return 1;
    if (type == NGHTTP2_SETTINGS && !(flags & NGHTTP2_FLAG_ACK))
        return 8 * WEIR_H2_WORTH_FRAME; /* touches every stream and the compression table */
    if (type == NGHTTP2_PING && !(flags & NGHTTP2_FLAG_ACK))
        return 2 * WEIR_H2_WORTH_FRAME; /* makes us write */
    return WEIR_H2_WORTH_FRAME;
}

static enum weir_flood kind_of(uint8_t type) {
    switch (type) {
    case NGHTTP2_RST_STREAM:
        return WEIR_FLOOD_RESETS;
    case NGHTTP2_PING:
        return WEIR_FLOOD_PINGS;
    case NGHTTP2_SETTINGS:
        return WEIR_FLOOD_SETTINGS;
    case NGHTTP2_DATA:
        return WEIR_FLOOD_EMPTY;
    case NGHTTP2_CONTINUATION:
        return WEIR_FLOOD_CONTINUATIONS;
    default:
        return WEIR_FLOOD_OTHER;
    }
}

/* RFC 9113 4.1. False = not this frame, now; then it may be asked for again. */
static bool admit(struct weir_h2_guard *g, const uint8_t *header) {
    uint8_t type = header[3];
    uint32_t len = (uint32_t)header[0] << 16 | (uint32_t)header[1] << 8 | header[2];
    uint32_t cost = cost_of(type, header[4], len);

    g->culprit = (uint8_t)kind_of(type);
    if (g->calm.left < (int64_t)cost * MICRO)
        return false;
    if (type == NGHTTP2_RST_STREAM && !bucket_take(&g->resets, 1))
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
    (void)bucket_take(&g->calm, cost);
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
