/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol at both ends: who a client is behind the proxies before us, and saying so to the servers behind us. */
#ifndef WEIR_CORE_SOURCE_H
#define WEIR_CORE_SOURCE_H

#include "core/conn.h"

/* Both ends of a client's connection. */
struct weir_origin {
    struct weir_ip src, dst;
    uint16_t src_port, dst_port;
};

/* Must a new downstream connection begin with a header? */
bool weir_source_due(const struct weir_conn *c);
/* Takes the header out of what is held. 0 = it is gone, the rest is still held; 1 = more must come; -ENOMEM, -EPROTO. */
int weir_source_take(struct weir_conn *c);
/* c->info was asked for anew: the header's addresses count, not the connection's. */
void weir_source_apply(struct weir_conn *c);
/* The client of a downstream connection. */
struct weir_origin weir_source_of(const struct weir_conn *down);
/* Puts a header in front of everything on a dialled stream and remembers for whom. 0, -ENOMEM. */
int weir_source_send(struct weir_conn *up, const struct weir_origin *source, unsigned version);

#endif
