/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker's view of the outside: time, dialling, accepted connections, turns of the loop.
 * io/loop.c implements it with libuv; tests/support implements it with memory streams and a fake
 * clock, so that core runs whole without a socket.
 */
#ifndef WEIR_IO_NET_H
#define WEIR_IO_NET_H

#include "io/stream.h"

struct weir_net;

/* What the worker is told. */
struct weir_net_events {
    /* A connection on a listener; the stream is open and belongs to the callee. */
    void (*accept)(void *arg, struct weir_stream *s, void *listener_user);
    /* Asked for by weir_net_wake: once, at the end of the current loop turn, after every I/O event
     * of the turn. */
    void (*turn)(void *arg);
    /* Every WEIR_TICK_US while weir_net_tick(true) is on. */
    void (*tick)(void *arg);
    /* weir_net_post was called from another thread; posts coalesce. */
    void (*posted)(void *arg);
};

#define WEIR_TICK_US (50u * 1000u)

#define WEIR_DIAL_ADDRESSES 16u

struct weir_dial {
    struct weir_ip ip;
    uint16_t port;
    /* Addresses of the same server, tried in this order beside ip until one is connected (RFC 8305); those beyond
     * WEIR_DIAL_ADDRESSES - 1 are not. Borrowed for the call. Which it was is the stream's info. */
    const struct weir_ip *others;
    uint32_t n_others;
    const char
        *path; /* not NULL: a unix socket, instead of all the above; borrowed for the call, whose
                         result tells if it cannot be connected */
    uint64_t timeout_us;  /* connect, without TLS; on expiry the error is TIMEOUT_CONNECT */
    uint32_t keepalive_s; /* TCP asks a silent peer after so long; 0 = never. One address only */
};

struct weir_net_ops {
    /* Monotonic microseconds, read once per loop turn. */
    uint64_t (*now)(struct weir_net *net);
    /* Wall clock microseconds since the epoch at the same instant. */
    uint64_t (*wall)(struct weir_net *net);
    /* The stream is returned at once, connecting; `open` or `error` follows, never from within this
     * call. 0, -errno. */
    int (*dial)(struct weir_net *net, const struct weir_dial *dial,
                struct weir_stream **ret_stream);
    void (*wake)(struct weir_net *net);
    void (*tick)(struct weir_net *net, bool on);
    /* Stop accepting, close every listener. */
    void (*stop_listening)(struct weir_net *net);
    /* Stop or go on accepting without closing (connection limit). */
    void (*pause_accept)(struct weir_net *net, bool pause);
};

struct weir_net {
    const struct weir_net_ops *ops;
    const struct weir_net_events *events;
    void *arg;
    struct weir_chunk_pool *pool;
};

#endif
