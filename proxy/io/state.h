/* SPDX-License-Identifier: Apache-2.0 */
/* Private to io: what one loop holds, and what its listeners and streams need of it. */
#ifndef WEIR_IO_STATE_H
#define WEIR_IO_STATE_H

#include <uv.h>

#include "base/list.h"
#include "io/loop.h"

struct weir_tcp_out;
struct weir_sockets;

struct weir_loop {
    struct weir_net net; /* first: weir_net_ops get this pointer */
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active = this turn must not block in epoll_wait */
    uv_async_t post;
    uv_timer_t tick;
    uv_timer_t accept_retry;

    bool wake; /* `turn` is owed */
    bool stopping;
    bool own_closed;    /* the loop's own handles are closing */
    bool ran;           /* uv_run has come to its end: nothing is open */
    bool paused;        /* accepting is paused by the owner */
    bool accept_broken; /* accepting rests until accept_retry, see listener.c */
    bool clock_read;    /* now and wall belong to this turn */
    uint64_t now, wall; /* us */

    struct weir_list listeners; /* weir_listener.link */
    size_t n_streams;           /* whose memory is not yet gone */
    struct weir_list deferred;  /* weir_tcp.deferred: `error` is owed at the end of the turn */

    /* Where the next read goes: the tail of one chunk shared by all streams (tcp.c). */
    struct weir_chunk *read_chunk;
    uint32_t read_used;

    struct weir_tcp_out *free_outs;
    uint32_t n_free_outs;

    int spare_fd;                 /* given up for a moment when descriptors run out; -1 = lost */
    struct weir_sockets *sockets; /* NULL: it makes its own */
    struct weir_list parked;      /* weir_tcp_dial.parked: they wait for one */
    uint64_t unknown_original;
    uint64_t refused_no_fd;
};

/* The end of this turn comes without blocking first. */
void weir_loop_kick(struct weir_loop *loop);

/* listener.c */
void weir_listeners_close(struct weir_loop *loop);
/* Starts or stops polling of all listeners after `paused` or `accept_broken` changed. */
void weir_listeners_update(struct weir_loop *loop);
/* accept_retry's callback: descriptors may be there again. */
void weir_listeners_retry(uv_timer_t *timer);

/* sockets.c: a socket to connect with, which does not block: or -errno; -ENODATA: none is left, weir_dials_resume follows. */
int weir_loop_socket(struct weir_loop *loop, int family);
void weir_sockets_free(struct weir_sockets *s);

/* dial.c */
void weir_dials_resume(struct weir_loop *loop);
int weir_loop_dial(struct weir_loop *loop, const struct weir_dial *dial,
                   struct weir_stream **ret_stream);

#endif
