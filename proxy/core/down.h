/* SPDX-License-Identifier: Apache-2.0 */
/* The downstream role of a connection. */
#ifndef WEIR_CORE_DOWN_H
#define WEIR_CORE_DOWN_H

#include "core/conn.h"

void weir_down_accept(struct weir_worker *w, struct weir_stream *s, const struct weir_listener *l);
extern const struct weir_codec_events weir_down_codec_events;
void weir_down_read(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes);
void weir_down_open(struct weir_conn *c);
void weir_down_idle(struct weir_conn *c);
void weir_down_deadline(struct weir_conn *c);
/* Nothing runs on it: closed, HTTP/2 with a GOAWAY before. */
void weir_down_goodbye(struct weir_conn *c);
/* The parent requests of this connection are routed by, in the current epoch; NULL = gone. */
struct weir_parent *weir_down_parent(struct weir_conn *c);
/* judge.c: may these bytes, which are no HTTP, be relayed to the application? If not, *ret_policy says by which policy. */
bool weir_judge_relay(struct weir_conn *c, const char **ret_policy);
/* The configuration has changed: relays that it no longer allows are reset. HTTP is judged with its next request. */
void weir_judge_again(struct weir_worker *w);
/* All held bytes in one piece; they nearly always are. ptr NULL = no memory, or more than any first bytes may be. */
struct weir_slice weir_down_held(struct weir_conn *c);

#endif
