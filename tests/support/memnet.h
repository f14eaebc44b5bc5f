/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network in memory with a clock that only the test moves: an implementation of io/net.h and
 * io/stream.h for whole-proxy tests. The test plays every client and every server. Between the two
 * ends of a connection lies a bounded "kernel buffer" per direction, so that back-pressure is real;
 * nothing moves but inside mem_run and mem_advance.
 *
 *     struct mem_net *m = mem_net_new();
 *     ... give mem_net(m) to a worker, which sets events and arg ...
 *     struct mem_conn *c = mem_client_connect(m, listener_user);
 *     mem_send(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
 *     mem_run(m);
 *     struct mem_conn *s = mem_next_dial(m);
 *     mem_dial_accept(s);
 *     mem_run(m);
 *     ... mem_received(s), mem_send(s, "HTTP/1.1 200 OK..."), mem_run(m), mem_received(c) ...
 *     ... stop the worker (or mem_stop(m)) ...
 *     mem_net_free(m);
 *
 * What the proxy does against the contract (a slice used after its read event, a stream after
 * `closed`, a write after shutdown, a chunk or a stream leaked) ends the program or is seen by
 * AddressSanitizer.
 */
#ifndef WEIR_TEST_MEMNET_H
#define WEIR_TEST_MEMNET_H

#include "io/net.h"

struct mem_net;
struct mem_conn; /* the test's end of one connection; lives until mem_net_free */

struct mem_net *mem_net_new(void);
/* Every stream of the proxy must be closed and every chunk back. */
void mem_net_free(struct mem_net *m);
struct weir_net *mem_net(struct mem_net *m);

/* Turns of the loop until nothing moves any more. */
void mem_run(struct mem_net *m);
/* One turn; false = nothing moved in it. For tests of order. */
bool mem_turn(struct mem_net *m);
/* mem_run, then moves the clock, stopping at each tick and each dial's deadline, with mem_run after
 * each. */
void mem_advance(struct mem_net *m, uint64_t us);
/* Moves the clock and, when one is due, ticks, but lets nothing else happen: a tick comes before the
 * I/O of its turn. */
void mem_clock(struct mem_net *m, uint64_t us);
/* As weir_loop_post. */
void mem_post(struct mem_net *m);
/* As weir_loop_stop: closes listeners and every open stream, then mem_run. */
void mem_stop(struct mem_net *m);

/* Bytes of each kernel buffer of connections made from now on; 64 KiB at first. */
void mem_buffer_size(struct mem_net *m, size_t bytes);
/* The proxy's streams whose memory is not yet gone. */
unsigned mem_n_streams(const struct mem_net *m);
bool mem_listening(const struct mem_net *m);
bool mem_accept_paused(const struct mem_net *m);
bool mem_ticking(const struct mem_net *m);
/* Number of `turn` events so far. */
unsigned mem_n_turns(const struct mem_net *m);

/* A client connects to the listener known as listener_user; `accept` comes in mem_run. */
struct mem_conn *mem_client_connect(struct mem_net *m, void *listener_user);
/* What weir_stream_info tells of the proxy's end; may be changed until it was accepted. */
struct weir_stream_info *mem_info(struct mem_conn *c);
/* What weir_stream_first tells of it; and what it was told, WEIR_SPOKE_NOBODY before. */
void mem_first(struct mem_conn *c, uint8_t first);
uint8_t mem_spoke(const struct mem_conn *c);

/* The oldest dial not yet handed out by this function, undecided; NULL = none. */
struct mem_conn *mem_next_dial(struct mem_net *m);
const struct weir_dial *mem_dial(const struct mem_conn *c);
void mem_dial_accept(struct mem_conn *c);
void mem_dial_refuse(struct mem_conn *c);
/* The next call of dial returns err (-EMFILE ...) instead of a stream. */
void mem_dial_fails(struct mem_net *m, int err);

/* Queues bytes to the proxy; what the kernel buffer has no room for waits with the test. */
void mem_send(struct mem_conn *c, const char *text);
void mem_send_bytes(struct mem_conn *c, const void *bytes, size_t n);
/* The proxy reads at most n bytes of this connection at once; 0 = no bound. */
void mem_piece(struct mem_conn *c, size_t n);
/* FIN once everything sent has gone. */
void mem_shutdown(struct mem_conn *c);
/* RST at once; what the proxy's kernel has received stays readable, as on Linux. */
void mem_reset(struct mem_conn *c);
/* Goes away for good: FIN behind what was sent, and RST for what the proxy sends afterwards. */
void mem_close(struct mem_conn *c);
/* Bytes sent and not yet read by the proxy. */
size_t mem_unsent(const struct mem_conn *c);

/* What the proxy sent so far, NUL-terminated behind its end; valid until the next call on c. */
const char *mem_received(struct mem_conn *c);
size_t mem_received_len(const struct mem_conn *c);
void mem_received_clear(struct mem_conn *c);
/* The test stops reading: the kernel buffer fills. */
void mem_hold(struct mem_conn *c, bool hold);
/* FIN, or RST, arrived from the proxy. */
bool mem_got_eof(const struct mem_conn *c);
bool mem_got_reset(const struct mem_conn *c);
/* The proxy's stream is gone. */
bool mem_is_closed(const struct mem_conn *c);

#endif
