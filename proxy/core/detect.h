/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who speaks first on a service port: after one connection in which the server did, later ones need not wait for the client. What this
 * worker has seen itself comes first, in a bounded table; of a port it has not seen lately the node is asked, which keeps what all its
 * sidecars have reported (docs/adr/0030). So another's report, true or not, is followed by each worker once: after that it has seen for
 * itself. What is forgotten costs the next connection a wait, nothing else.
 */
#ifndef WEIR_CORE_DETECT_H
#define WEIR_CORE_DETECT_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/abi/first.h"

#define WEIR_DETECT_PORTS 128u

/* A service port as a number; never 0. */
typedef uint64_t weir_detect_key;

struct weir_detect {
    struct {
        weir_detect_key key;
        uint32_t seen_s[WEIR_FIRST_SIDES]; /* when that side last spoke first; 0 = never */
        uint32_t told_s[WEIR_FIRST_SIDES]; /* when the node was last told so */
    } ports[WEIR_DETECT_PORTS];
};

/* now_us: monotonic, from 1 s on. As weir_first_sides(): what was seen within WEIR_FIRST_SECONDS. */
uint8_t weir_detect_sides(const struct weir_detect *d, weir_detect_key key, uint64_t now_us);
/* `side` spoke first. */
void weir_detect_saw(struct weir_detect *d, weir_detect_key key, unsigned side, uint64_t now_us);
/* Is the node to be told what was just seen? Once a minute; true counts as told. */
bool weir_detect_due(struct weir_detect *d, weir_detect_key key, unsigned side, uint64_t now_us);

struct weir_conn;

/* Of a sidecar's accepted connection on which nobody has spoken: servers do there, and clients do not. May ask the node. */
bool weir_detect_expects_server(struct weir_conn *down);
/* The server was expected to, and the client has; what, is not known yet. */
void weir_detect_contrary(struct weir_conn *down);
/* What it has shown: WEIR_SPOKE_*, of somebody. Tells the node when that is due. */
void weir_detect_spoke(struct weir_conn *down, uint8_t spoke);

#endif
