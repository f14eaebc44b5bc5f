/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer (or the configuration) did that ends or changes a request: a value, not an error. Rooms return faults;
 * only http/fault.c turns one into a status code, an HTTP/2 error code, a response flag and a text.
 */
#ifndef WEIR_BASE_FAULT_H
#define WEIR_BASE_FAULT_H

#include <stdint.h>

enum weir_side {
    WEIR_SIDE_LOCAL,      /* our own decision: no route, a limit, draining */
    WEIR_SIDE_DOWNSTREAM, /* the client's doing */
    WEIR_SIDE_UPSTREAM,   /* the server's doing */
};

enum weir_fault_kind {
    WEIR_FAULT_NONE,
    /* the message */
    WEIR_FAULT_BAD_REQUEST_LINE,
    WEIR_FAULT_BAD_FIELD,     /* name or value has bytes that are not allowed */
    WEIR_FAULT_BAD_FRAMING,   /* Content-Length / Transfer-Encoding doubtful, chunk syntax */
    WEIR_FAULT_BAD_AUTHORITY, /* no, several or malformed Host / :authority */
    WEIR_FAULT_BAD_TARGET,    /* request target form or characters */
    WEIR_FAULT_BAD_VERSION,   /* not HTTP/1.0, 1.1 or 2 */
    WEIR_FAULT_BAD_PSEUDO,    /* HTTP/2 pseudo-header fields: RFC 9113 8.3 */
    WEIR_FAULT_BAD_RESPONSE,  /* upstream's answer is not an HTTP message */
    WEIR_FAULT_METHOD_UNKNOWN,
    WEIR_FAULT_EXPECTATION,     /* Expect other than 100-continue */
    WEIR_FAULT_CONNECT_REFUSED, /* CONNECT where not allowed */
    WEIR_FAULT_MISDIRECTED,     /* authority not served here */
    WEIR_FAULT_NO_UPGRADE,      /* the upstream does not switch to the protocol asked for */
    /* sizes and rates */
    WEIR_FAULT_TARGET_TOO_LONG,
    WEIR_FAULT_HEAD_TOO_LARGE,
    WEIR_FAULT_TOO_MANY_FIELDS,
    WEIR_FAULT_BODY_TOO_LARGE,
    WEIR_FAULT_TOO_MANY_INFORMATIONAL,
    WEIR_FAULT_FLOOD, /* resets, pings, settings, empty frames beyond their rate */
    WEIR_FAULT_LIMIT_CONNECTIONS,
    WEIR_FAULT_LIMIT_SOURCE,
    WEIR_FAULT_LIMIT_STREAMS,
    WEIR_FAULT_LIMIT_MEMORY,
    /* time */
    WEIR_FAULT_TIMEOUT_HEAD, /* the peer did not send a complete head in time */
    WEIR_FAULT_TIMEOUT_IDLE,
    WEIR_FAULT_TIMEOUT_BODY, /* no body byte moved for too long */
    WEIR_FAULT_TIMEOUT_CONNECT,
    WEIR_FAULT_TIMEOUT_HANDSHAKE,
    WEIR_FAULT_TIMEOUT_REQUEST, /* the route's timeouts.request */
    WEIR_FAULT_TIMEOUT_BACKEND, /* the route's timeouts.backendRequest */
    /* transport */
    WEIR_FAULT_CONNECT_FAILED, /* refused, unreachable */
    WEIR_FAULT_RESET,          /* connection or stream reset */
    WEIR_FAULT_EOF,            /* closed in the middle of a message */
    WEIR_FAULT_GOAWAY,         /* refused before processing: safe to retry elsewhere */
    WEIR_FAULT_PROTOCOL,       /* HTTP/2 or TLS protocol violation */
    /* identity */
    WEIR_FAULT_TLS,      /* handshake failed */
    WEIR_FAULT_IDENTITY, /* certificate valid but not the peer that was expected or allowed */
    WEIR_FAULT_DENIED,   /* authorisation says no */
    /* decision */
    WEIR_FAULT_NO_ROUTE,
    WEIR_FAULT_NO_BACKEND,  /* the chosen backend does not exist, or every weight is 0: 500 */
    WEIR_FAULT_NO_ENDPOINT, /* the backend exists and has no ready endpoint: 503 */
    WEIR_FAULT_LOOP,        /* the request would come back to this listener */
    WEIR_FAULT_DRAINING,
    WEIR_FAULT_INTERNAL, /* our side broke: no memory and the like */
    WEIR_FAULT_KINDS,
};

struct weir_fault {
    uint8_t side; /* enum weir_side */
    uint8_t kind; /* enum weir_fault_kind */
};

#define WEIR_FAULT(s, k) ((struct weir_fault){ WEIR_SIDE_##s, WEIR_FAULT_##k })

#endif
