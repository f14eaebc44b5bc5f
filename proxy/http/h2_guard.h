/* SPDX-License-Identifier: Apache-2.0 */
/* The budget an HTTP/2 peer may spend without getting anything done. Private to h2*.c. */
#ifndef WEIR_HTTP_H2_GUARD_H
#define WEIR_HTTP_H2_GUARD_H

#include "base/slice.h"
#include "http/codec.h"
#include "http/h2_order.h"

#define WEIR_H2_CONTINUATIONS 8u  /* per header block */
#define WEIR_H2_BURST         10u /* seconds' worth of frames without progress may come at once */

/* What may be spent at once, and what comes back with time; in millionths. */
struct weir_h2_bucket {
    int64_t left, max;
    uint32_t per_s;
};

/*
 * Watches the frame headers before nghttp2 sees them: some frames it skips without telling anybody.
 * Each frame costs; time and progress (requests, content, output) pay back.
 */
struct weir_h2_guard {
    struct weir_h2_order order;
    uint32_t violation;    /* of the order: an error code; no more may be read then */
    uint64_t now;          /* us */
    uint32_t magic_left;   /* bytes of the client's preface still to come */
    uint32_t payload_left; /* of the frame at hand */
    uint8_t header[9];     /* of a frame header cut by the end of a read */
    uint8_t header_len;
    uint8_t role;          /* ours: enum weir_role */
    uint8_t continuations; /* of the header block at hand */
    uint8_t culprit;       /* enum weir_flood: of the last frame that is one */
    struct weir_h2_bucket calm, resets;
    int32_t early_resets; /* requests the peer took back before any answer, less those completed */
    int32_t early_max;
    int32_t peer_errors; /* streams we had to reset for the peer's mistakes, less those completed */
};

void weir_h2_guard_init(struct weir_h2_guard *g, enum weir_role role,
                        const struct weir_codec_limits *limits);
/* Time has come to `now`, us. */
void weir_h2_guard_time(struct weir_h2_guard *g, uint64_t now);
/*
 * How many of these bytes may be read now; the rest is asked for again once those have been, for
 * they may be worth something. 0 then = flood, and `culprit` is its kind, or the violation.
 */
size_t weir_h2_guard_scan(struct weir_h2_guard *g, struct weir_slice bytes);
void weir_h2_guard_progress(struct weir_h2_guard *g, size_t worth);
void weir_h2_guard_completed(struct weir_h2_guard *g);
/* True = too many. */
bool weir_h2_guard_early_reset(struct weir_h2_guard *g);
bool weir_h2_guard_peer_error(struct weir_h2_guard *g);

/* What a frame costs, and what a head, content received and content sent pay back. */
enum {
    WEIR_H2_WORTH_FRAME = 8,
    WEIR_H2_WORTH_HEAD = 8 * WEIR_H2_WORTH_FRAME,
    WEIR_H2_WORTH_DATA = WEIR_H2_WORTH_FRAME,
    WEIR_H2_WORTH_SENT = 3 * WEIR_H2_WORTH_FRAME,
    WEIR_H2_BYTES_PER_WORTH = 64,
};

#endif
