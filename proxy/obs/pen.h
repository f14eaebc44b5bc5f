/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text into a chunk queue, without printf: what the access line and the exposition are written
 * with. Errors are sticky: write on and look at weir_pen_end. Everything a pen wrote since
 * weir_pen_begin stays or goes together.
 */
#ifndef WEIR_OBS_PEN_H
#define WEIR_OBS_PEN_H

#include "base/bufq.h"
#include "conf/model.h"

struct weir_pen {
    struct weir_bufq *q;
    char *at, *end; /* room that is reserved and not yet committed */
    char *start;
    size_t len_before; /* of the queue */
    bool failed;
};

void weir_pen_begin(struct weir_pen *pen, struct weir_bufq *q);
/* 0, or -ENOMEM with the queue as it was. */
int weir_pen_end(struct weir_pen *pen);

void weir_pen_bytes(struct weir_pen *pen, struct weir_slice bytes);
#define weir_pen_lit(pen, literal) weir_pen_bytes(pen, WEIR_SLICE(literal))
void weir_pen_str(struct weir_pen *pen, const char *s);
void weir_pen_u64(struct weir_pen *pen, uint64_t n);
void weir_pen_i64(struct weir_pen *pen, int64_t n);
/* Microseconds as seconds: "1.5", "0.000042", "3". */
void weir_pen_seconds(struct weir_pen *pen, uint64_t us);
/* "2026-02-03T04:05:06.789Z"; years up to 9999. */
void weir_pen_time(struct weir_pen *pen, uint64_t wall_us);
/* "10.0.0.1:80", "[2001:db8::1]:80" (RFC 5952). */
void weir_pen_addr(struct weir_pen *pen, const struct weir_ip *ip, uint16_t port);
/* Printable ASCII but '"' and '\' as it is, the rest as \", \\ or \xNN; `blank`: SP may stay too.
 */
void weir_pen_escaped(struct weir_pen *pen, struct weir_slice bytes, bool blank);
/* The inside of a JSON string (RFC 8259 7) in ASCII. */
void weir_pen_json(struct weir_pen *pen, struct weir_slice bytes);

#endif
