/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two directions of content of one exchange: back-pressure from sink to source, and progress.
 */
#ifndef WEIR_CORE_PIPE_H
#define WEIR_CORE_PIPE_H

#include "core/txn.h"

/* Queues content at its sink. 0, -errno as send_data. */
int weir_pipe_pass(struct weir_conn *sink, struct weir_cstream *cs, struct weir_chunk *chunk,
                   struct weir_slice bytes);
/* The source has delivered n bytes that the sink may be too slow for. */
void weir_pipe_flow(struct weir_flow_side *s, size_t n, struct weir_conn *source,
                    struct weir_cstream *source_cs, bool sink_full);
/* The sink has room again: the source gets the credit it is owed. */
void weir_pipe_resume(struct weir_flow_side *s, struct weir_conn *source,
                      struct weir_cstream *source_cs);
/* This direction no longer holds its source back. */
void weir_pipe_unpause(struct weir_flow_side *s, struct weir_conn *source);
/* How much content the request may have; the fault if it has announced more. */
struct weir_fault weir_pipe_limit(struct weir_txn *t);
/* Are n further bytes more than that? */
bool weir_pipe_beyond(const struct weir_txn *t, size_t n);
/* Ends the exchange when the client (watch_down) or the server (watch_up) has moved nothing for too long. */
void weir_txn_watch_down(struct weir_txn *t);
void weir_txn_watch_up(struct weir_txn *t);
/* A connection that blocked one of its directions has sent more. */
void weir_txn_unblock(struct weir_flow_side *side, struct weir_conn *sink);

#endif
