/* SPDX-License-Identifier: Apache-2.0 */
/* Opaque TCP between a downstream connection and one endpoint of a target. */
#ifndef WEIR_CORE_RELAY_H
#define WEIR_CORE_RELAY_H

#include "core/txn.h"

/* How far the search for an endpoint has come; the client's, until one is connected. */
struct weir_relay_search {
    struct weir_target *target; /* used */
    struct weir_lb_endpoint *tried[WEIR_TXN_TRIES];
    uint32_t n_tried;
    uint64_t due; /* for all tries together */
};

/* Turns a downstream connection whose bytes are not ours to read into a byte relay to an endpoint of `target`. */
void weir_relay_start(struct weir_conn *down, struct weir_target *target);
/* The same before anybody has spoken; a client that then speaks first is sniffed as if it had not been begun. */
void weir_relay_start_tentative(struct weir_conn *down, struct weir_target *target);
void weir_relay_read(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes);
void weir_relay_eof(struct weir_conn *c);
void weir_relay_open(struct weir_conn *up);
void weir_relay_drain(struct weir_conn *c);
void weir_relay_deadline(struct weir_conn *up);
void weir_relay_fail(struct weir_conn *c, struct weir_fault fault);
/* Its endpoint could not be connected: is another one being tried in its place? */
bool weir_relay_again(struct weir_conn *up, struct weir_fault fault);
void weir_relay_search_free(struct weir_conn *down);

#endif
