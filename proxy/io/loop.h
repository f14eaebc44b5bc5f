/* SPDX-License-Identifier: Apache-2.0 */
/* The libuv implementation of io/net.h: one loop, its listeners and dialled connections, for one
 * thread. */
#ifndef WEIR_IO_LOOP_H
#define WEIR_IO_LOOP_H

#include "io/net.h"

struct weir_handed;
struct weir_loop;

/* events/arg must be set in weir_loop_net(loop) before weir_loop_run. 0 or -errno. */
int weir_loop_new(struct weir_chunk_pool *pool, struct weir_loop **ret_loop);
/* Only after weir_loop_run returned. */
struct weir_loop *weir_loop_free(struct weir_loop *loop);
struct weir_net *weir_loop_net(struct weir_loop *loop);

struct weir_listen {
    struct weir_ip ip;
    uint16_t port;     /* 0 = any free port (see weir_loop_listen's ret_port) */
    bool reuse_port;   /* several workers share it */
    bool original_dst; /* ask SO_ORIGINAL_DST of each accepted socket; one without is closed and
                          counted */
    int backlog;       /* 0 = SOMAXCONN */
    /* Where the socket may be there already, and the share of it that is this loop's (io/handed.h); or NULL. */
    struct weir_handed *handed;
    unsigned number, of;
    void *user; /* given to `accept` */
};
/* An AF_INET socket for a v4 address, AF_INET6 otherwise ([::] is v6-only). 0 or -errno. ret_port
 * may be NULL. */
int weir_loop_listen(struct weir_loop *loop, const struct weir_listen *listen, uint16_t *ret_port);

/* Closes the listeners with that `user`. Clients that had connected and were not yet accepted are reset; accepted ones go on. */
void weir_loop_unlisten(struct weir_loop *loop, const void *user);

/* Runs until weir_loop_stop and everything is closed. */
void weir_loop_run(struct weir_loop *loop);
/*
 * The same within another loop: all that is due, without waiting, whenever weir_loop_fd is readable
 * and, for its ticks, now and then. The caller's thread has SIGPIPE blocked or ignored.
 */
int weir_loop_fd(const struct weir_loop *loop);
void weir_loop_turn(struct weir_loop *loop);
/* Runs until done(arg), asked before and after each turn. Nothing is closed: the loop may be run again. */
void weir_loop_run_until(struct weir_loop *loop, bool (*done)(void *arg), void *arg);
/* From the loop's own thread. Streams still open are closed with `closed` events. */
void weir_loop_stop(struct weir_loop *loop);
/* From any thread: the loop's `posted` event soon. */
void weir_loop_post(struct weir_loop *loop);
/* Accepted sockets refused because their original destination is unknown. */
uint64_t weir_loop_unknown_original(const struct weir_loop *loop);
/* Clients sent away because no descriptor was left. */
uint64_t weir_loop_refused_no_fd(const struct weir_loop *loop);
/* The loop's uv_loop_t, for io's own files and for admin and agent threads' signal handles. */
void *weir_loop_uv(struct weir_loop *loop);

#endif
