/* SPDX-License-Identifier: Apache-2.0 */
/* Private to io: a TCP stream. Made by listener.c and dial.c, lives in tcp.c. */
#ifndef WEIR_IO_TCP_H
#define WEIR_IO_TCP_H

#include <netinet/in.h>

#include "io/state.h"

/*
 * Output that the kernel did not take at once. Exists only while there is some (or while a dial has
 * not come through), so that an idle connection does not pay for it.
 */
struct weir_tcp_out {
    struct weir_tcp_out *next_free;
    struct weir_bufq q;
    size_t submitted; /* bytes at q's head that `req` covers; 0 = req is not in use */
    uv_write_t req;
};

/* What a dial needs until it is decided; frees itself once libuv let go of both members. */
struct weir_tcp_dial {
    uv_connect_t req;
    uv_timer_t timer;
    struct weir_tcp *tcp;
    struct weir_list parked; /* no socket was there; in the loop's list */
    struct sockaddr_storage to;
    unsigned keepalive_s; /* 0 = not */
    int err;              /* connect() failed at once with this; told by the timer */
    bool there;           /* a unix socket that is connected; told by the timer */
    bool pending;         /* req's callback is still to come */
};

struct weir_tcp {
    struct weir_stream base; /* first */
    uv_tcp_t uv;
    struct weir_loop *loop;
    struct weir_list deferred;
    struct weir_tcp_out *out; /* connected and not NULL: out->req is under way */
    union {
        struct {
            struct weir_tcp_dial *dial;
            struct weir_tcp_race *race;
        };
        struct weir_ip original; /* has_original: nothing is dialled */
    };
    struct weir_ip remote;
    uint16_t remote_port, original_port;
    uint8_t side; /* enum weir_side: whose faults these are */
    bool connected : 1;
    bool has_original : 1;
    bool reading : 1;    /* the owner wants bytes */
    bool uv_reading : 1; /* libuv polls for them; may outlast `reading`, see tcp_read_stop */
    bool filled : 1;     /* the last read filled its buffer */
    bool eof : 1;
    bool fin_wanted : 1;
    bool fin_sent : 1;
    bool above : 1;  /* beyond the low mark: `drain` is owed */
    bool cut : 1;    /* writing failed; what was received before is still read */
    bool failed : 1; /* `error` was told */
    bool closing : 1;
};

/* A stream of the loop, its uv handle initialised. NULL = no memory. */
struct weir_tcp *weir_tcp_new(struct weir_loop *loop, enum weir_side side);
/* The dial came through: sends what was queued meanwhile, starts reading if asked for, tells
 * `open`. */
void weir_tcp_connected(struct weir_tcp *t);
/* Tells `error`, once. */
void weir_tcp_fail(struct weir_tcp *t, struct weir_fault fault);
/* Frees the loop's spare output records. */
void weir_tcp_outs_free(struct weir_loop *loop);
/* dial.c: an error of connecting that says nothing of the other end. */
bool weir_tcp_own_lack(int err);
/* race.c: dials several addresses; as weir_loop_dial. The owner closes while it is undecided. */
int weir_tcp_race_start(struct weir_tcp *t, const struct weir_dial *dial);
void weir_tcp_race_cancel(struct weir_tcp_race *r);
/* dial.c: the owner closes while the dial is undecided. */
void weir_tcp_dial_cancel(struct weir_tcp_dial *d);

#endif
