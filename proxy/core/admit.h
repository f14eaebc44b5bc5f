/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken on at all, and what goes when there is too much: connections, their sources, TLS handshakes, memory. */
#ifndef WEIR_CORE_ADMIT_H
#define WEIR_CORE_ADMIT_H

#include "core/conn.h"

/* A downstream connection for an accepted stream; NULL = refused by a reset, counted, and the stream is gone. */
struct weir_conn *weir_admit(struct weir_worker *w, struct weir_stream *s);
/* More of a head has come and it is not complete: refused near the memory limit, so that what is left is for those who are answered. */
void weir_admit_head(struct weir_conn *c);
/*
 * Counts it for its source, once that is known (c->info.remote). The pod's own application and loopback are not counted. False: the source has
 * too many; the connection is closed.
 */
bool weir_admit_source(struct weir_conn *c);
/* The peer has proven that it is a mesh peer, who speaks for many: it is counted for no source any more. */
void weir_admit_peer(struct weir_conn *c);
/* All counts it holds are given back. */
void weir_admit_over(struct weir_conn *c);

/*
 * Puts TLS between the connection and its stream as soon as its first bytes are there and fewer than limits.handshakes are in progress in the
 * process; until then it waits, unread, within limits.handshakeTimeout. What is held is the beginning. 0, -ENOMEM.
 */
int weir_handshake_start(struct weir_conn *c, struct weir_tls_ctx *ctx);
/* Its first bytes. */
void weir_handshake_read(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes);
/* Done, or given up. */
void weir_handshake_over(struct weir_conn *c);
/* Lets those that wait begin, as far as there is room. */
void weir_handshake_next(struct weir_worker *w);

/* Once a tick. Near the memory limit: idle connections and spare memory go. */
void weir_relieve(struct weir_worker *w);
/* Memory kept for reuse goes back to the heap. */
void weir_relieve_spare(struct weir_worker *w);

#endif
