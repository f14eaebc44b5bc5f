/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners of Gateways, by port. */
#ifndef WEIR_CORE_GATEWAY_H
#define WEIR_CORE_GATEWAY_H

#include "core/runtime.h"

/* What a TLSRoute says of one host name. */
struct weir_tls_choice {
    const char *host; /* as the route has it; "" = any */
    const struct weir_http_route *route;
};

/*
 * The Gateway listeners of one port share its socket. Which of them is meant a client says: by SNI where they have TLS, and then
 * its requests must be for that one; else by the authority of each request.
 */
struct weir_port {
    uint16_t number;
    bool tls;
    struct weir_parent *first; /* of the oldest Gateway */
    uint32_t n;
    struct weir_hosts listeners; /* hostname -> struct weir_parent */
};

/* NULL = no Gateway listens there (any more). */
struct weir_port *weir_runtime_port(struct weir_runtime *rt, uint16_t number);
/* The listener of a port that serves that host (of SNI or authority); NULL = none. */
struct weir_parent *weir_port_listener(const struct weir_port *port, struct weir_slice host);

#endif
