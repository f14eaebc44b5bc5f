/* SPDX-License-Identifier: Apache-2.0 */
/* Private to memnet: the state of the network and of the proxy's ends. */
#ifndef WEIR_TEST_MEMSTATE_H
#define WEIR_TEST_MEMSTATE_H

#include "base/list.h"
#include "memnet.h"

struct bytes {
    char *ptr;
    size_t len, cap;
};

enum dial_state { DIAL_NONE, DIAL_WAITING, DIAL_HANDED_OUT, DIAL_ACCEPTED, DIAL_REFUSED };

struct mem_stream {
    struct weir_stream base; /* first */
    struct mem_conn *conn;
    struct weir_list deferred;
    struct weir_bufq out;
    bool connected, reading, eof, fin_wanted, above, cut, failed, closing;
};

struct mem_conn {
    struct mem_net *net;
    struct weir_list link;
    struct mem_stream *stream; /* the proxy's end; NULL = not yet accepted, or gone */
    struct weir_stream_info info;
    uint8_t first, spoke; /* what weir_stream_first tells, and was told */
    void *listener_user;
    struct weir_dial dial;
    uint64_t deadline;
    enum dial_state dial_state;
    bool client, accepted;

    struct bytes unsent;   /* test's program -> proxy's kernel buffer */
    struct bytes to_proxy; /* in the proxy's kernel buffer */
    struct bytes to_test;  /* in the test's kernel buffer */
    struct bytes received;
    size_t room, piece;
    bool hold;
    bool test_fin, test_reset, test_gone; /* what the test's end did */
    bool proxy_fin, proxy_reset;          /* what the proxy's end did */
    bool got_eof, got_reset;
};

struct mem_net {
    struct weir_net net; /* first */
    struct weir_chunk_pool pool;
    struct weir_list conns;
    struct weir_list deferred;
    struct weir_chunk *read_chunk;
    uint32_t read_used;
    uint64_t now, next_tick;
    size_t room;
    unsigned n_conns, n_streams, n_turns;
    int dial_error;
    bool tick, wake, posted, paused, closed_listeners;
    bool moved; /* something happened in this turn */
};

/* Ends the program: the proxy broke the contract, or the test is wrong. */
_Noreturn void mem_die(const char *what);
void mem_bytes_add(struct bytes *b, const void *ptr, size_t n);
void mem_bytes_drop(struct bytes *b, size_t n);

/* memstream.c: the proxy's end of c. */
struct mem_stream *mem_stream_new(struct mem_conn *c);
/* No event but `closed` may come any more. */
bool mem_stream_dead(const struct mem_stream *s);
void mem_stream_fail(struct mem_stream *s, struct weir_fault fault);
void mem_stream_fail_reset(struct mem_stream *s);
/* What the kernel takes now of what is queued, and the FIN behind it. */
void mem_stream_flush(struct mem_stream *s);

#endif
