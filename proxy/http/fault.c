/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each fault means to the client, to the access log and to a person: the only place that
 * chooses a status code, a reset code or a response flag. Two columns: `common` is what a kind
 * means when the client or weir itself is its cause, `upstream` replaces it where the same kind
 * means something else when the server did it.
 */
#include "http/fault.h"

#include "base/err.h"

/* RFC 9113 7 */
enum {
    H2_NO_ERROR = 0,
    H2_PROTOCOL = 1,
    H2_INTERNAL = 2,
    H2_REFUSED = 7,
    H2_CANCEL = 8,
    H2_CALM = 11,
};

/* clang-format off */
#define ROW(kind, status, close, h2, flag, name, text)                                             \
    [WEIR_FAULT_##kind] = { status, close, H2_##h2, flag, name, text },

static const struct weir_fault_answer common[WEIR_FAULT_KINDS] = {
    ROW(NONE, 0, false, NO_ERROR, "-", "none",
        "")
    ROW(BAD_REQUEST_LINE, 400, true, PROTOCOL, "DPE", "bad_request_line",
        "The request line is not well-formed HTTP.")
    ROW(BAD_FIELD, 400, true, PROTOCOL, "DPE", "bad_field",
        "A header field has a name or a value that is not allowed.")
    ROW(BAD_FRAMING, 400, true, PROTOCOL, "DPE", "bad_framing",
        "The length of the message is ambiguous or its chunks are malformed.")
    ROW(BAD_AUTHORITY, 400, true, PROTOCOL, "DPE", "bad_authority",
        "The request needs exactly one well-formed Host or :authority.")
    ROW(BAD_TARGET, 400, true, PROTOCOL, "DPE", "bad_target",
        "The request target has a form or characters that are not allowed.")
    ROW(BAD_VERSION, 400, true, PROTOCOL, "DPE", "bad_version",
        "Only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here.")
    ROW(BAD_PSEUDO, 400, false, PROTOCOL, "DPE", "bad_pseudo",
        "The HTTP/2 pseudo-header fields are missing, repeated or malformed.")
    ROW(BAD_RESPONSE, 502, false, INTERNAL, "UPE", "bad_response",
        "The answer of the upstream is not a valid HTTP response.")
    ROW(METHOD_UNKNOWN, 501, true, PROTOCOL, "DPE", "method_unknown",
        "The request method is not known here.")
    ROW(EXPECTATION, 417, true, PROTOCOL, "DPE", "expectation",
        "Only the expectation 100-continue is understood.")
    ROW(CONNECT_REFUSED, 405, true, REFUSED, "CR", "connect_refused",
        "CONNECT is not allowed here.")
    ROW(MISDIRECTED, 421, false, REFUSED, "MD", "misdirected",
        "The authority of the request is not served on this connection.")
    ROW(NO_UPGRADE, 501, false, CANCEL, "NU", "no_upgrade",
        "The upstream does not switch to the protocol that was asked for.")
    ROW(TARGET_TOO_LONG, 414, true, CALM, "DPE", "target_too_long",
        "The request target is too long.")
    ROW(HEAD_TOO_LARGE, 431, true, CALM, "DPE", "head_too_large",
        "The header fields of the request are too large.")
    ROW(TOO_MANY_FIELDS, 431, true, CALM, "DPE", "too_many_fields",
        "The request has too many header fields.")
    ROW(BODY_TOO_LARGE, 413, true, CANCEL, "BL", "body_too_large",
        "The content of the request is too large.")
    ROW(TOO_MANY_INFORMATIONAL, 502, false, INTERNAL, "UPE", "too_many_informational",
        "The upstream sent too many interim responses.")
    ROW(FLOOD, 0, true, CALM, "DPE", "flood",
        "The connection carried too many frames that make no progress.")
    ROW(LIMIT_CONNECTIONS, 503, true, REFUSED, "UO", "limit_connections",
        "Too many connections are open.")
    ROW(LIMIT_SOURCE, 503, true, REFUSED, "UO", "limit_source",
        "Too many connections are open from this address.")
    ROW(LIMIT_STREAMS, 503, true, REFUSED, "UO", "limit_streams",
        "Too many requests are in progress.")
    ROW(LIMIT_MEMORY, 503, true, CALM, "OM", "limit_memory",
        "The proxy is at its memory limit.")
    ROW(TIMEOUT_HEAD, 408, true, CANCEL, "DPE", "timeout_head",
        "The request was not received completely in time.")
    ROW(TIMEOUT_IDLE, 0, true, NO_ERROR, "TI", "timeout_idle",
        "The connection was idle for too long.")
    ROW(TIMEOUT_BODY, 408, true, CANCEL, "SI", "timeout_body",
        "The content of the request stopped arriving.")
    ROW(TIMEOUT_CONNECT, 504, false, CANCEL, "UF", "timeout_connect",
        "The upstream could not be connected in time.")
    ROW(TIMEOUT_HANDSHAKE, 0, true, NO_ERROR, "DPE", "timeout_handshake",
        "The TLS handshake was not completed in time.")
    ROW(TIMEOUT_REQUEST, 504, false, CANCEL, "UT", "timeout_request",
        "The request was not answered within the time its route allows.")
    ROW(TIMEOUT_BACKEND, 504, false, CANCEL, "UT", "timeout_backend",
        "The upstream did not answer within the time its route allows.")
    ROW(CONNECT_FAILED, 503, false, INTERNAL, "UF", "connect_failed",
        "The upstream could not be connected.")
    ROW(RESET, 0, true, CANCEL, "DC", "reset",
        "The client reset the connection or stream.")
    ROW(EOF, 0, true, CANCEL, "DC", "eof",
        "The client closed the connection in the middle of a message.")
    ROW(GOAWAY, 0, true, REFUSED, "DC", "goaway",
        "The client went away.")
    ROW(PROTOCOL, 0, true, PROTOCOL, "DPE", "protocol",
        "The client violated the protocol of the connection.")
    ROW(TLS, 0, true, PROTOCOL, "DPE", "tls",
        "The TLS handshake with the client failed.")
    ROW(IDENTITY, 403, true, CANCEL, "UAEX", "identity",
        "The identity of the client is not one that is allowed here.")
    ROW(DENIED, 403, false, CANCEL, "UAEX", "denied",
        "RBAC: access denied.")
    ROW(NO_ROUTE, 404, false, CANCEL, "NR", "no_route",
        "No route matches the request.")
    ROW(NO_BACKEND, 500, false, CANCEL, "NC", "no_backend",
        "The backend that the route names does not exist.")
    ROW(NO_ENDPOINT, 503, false, CANCEL, "UH", "no_endpoint",
        "The backend has no endpoint that is ready.")
    ROW(LOOP, 508, false, CANCEL, "LO", "loop",
        "The request would come back to this proxy.")
    ROW(DRAINING, 503, true, REFUSED, "DR", "draining",
        "The proxy is shutting down.")
    ROW(INTERNAL, 500, true, INTERNAL, "LR", "internal",
        "The proxy failed to handle the request.")
};

static const struct weir_fault_answer upstream[WEIR_FAULT_KINDS] = {
    ROW(BAD_FIELD, 502, false, INTERNAL, "UPE", "upstream_bad_field",
        "A header field of the upstream's response is not allowed.")
    ROW(BAD_FRAMING, 502, false, INTERNAL, "UPE", "upstream_bad_framing",
        "The length of the upstream's response is ambiguous or its chunks are malformed.")
    ROW(BAD_VERSION, 502, false, INTERNAL, "UPE", "upstream_bad_version",
        "The upstream answered in a version of HTTP that is not spoken here.")
    ROW(BAD_PSEUDO, 502, false, INTERNAL, "UPE", "upstream_bad_pseudo",
        "The upstream's HTTP/2 response has no valid :status.")
    ROW(HEAD_TOO_LARGE, 502, false, INTERNAL, "UPE", "upstream_head_too_large",
        "The header fields of the upstream's response are too large.")
    ROW(TOO_MANY_FIELDS, 502, false, INTERNAL, "UPE", "upstream_too_many_fields",
        "The upstream's response has too many header fields.")
    ROW(BODY_TOO_LARGE, 502, false, INTERNAL, "UPE", "upstream_body_too_large",
        "The content of the upstream's response is too large.")
    ROW(FLOOD, 502, false, INTERNAL, "UPE", "upstream_flood",
        "The upstream sent too many frames that make no progress.")
    ROW(LIMIT_CONNECTIONS, 503, false, INTERNAL, "UO", "upstream_limit_connections",
        "The upstream has as many connections as are allowed.")
    ROW(LIMIT_STREAMS, 503, false, INTERNAL, "UO", "upstream_limit_streams",
        "The upstream has as many requests in progress as are allowed.")
    ROW(TIMEOUT_HEAD, 504, false, INTERNAL, "UT", "upstream_timeout_head",
        "The upstream did not answer in time.")
    ROW(TIMEOUT_IDLE, 504, false, INTERNAL, "SI", "upstream_timeout_idle",
        "The connection to the upstream was idle for too long.")
    ROW(TIMEOUT_BODY, 504, false, INTERNAL, "SI", "upstream_timeout_body",
        "The content of the upstream's response stopped arriving.")
    ROW(TIMEOUT_HANDSHAKE, 504, false, INTERNAL, "UF", "upstream_timeout_handshake",
        "The TLS handshake with the upstream was not completed in time.")
    ROW(RESET, 502, false, INTERNAL, "UC", "upstream_reset",
        "The upstream reset the connection or stream.")
    ROW(EOF, 502, false, INTERNAL, "UC", "upstream_eof",
        "The upstream closed the connection before its response was complete.")
    ROW(GOAWAY, 503, false, REFUSED, "UR", "upstream_goaway",
        "The upstream refused the request before processing it.")
    ROW(PROTOCOL, 502, false, INTERNAL, "UPE", "upstream_protocol",
        "The upstream violated the protocol of the connection.")
    ROW(TLS, 503, false, INTERNAL, "UF", "upstream_tls",
        "The TLS handshake with the upstream failed.")
    ROW(IDENTITY, 503, false, INTERNAL, "UF", "upstream_identity",
        "The upstream did not prove the identity that was expected.")
    ROW(DENIED, 403, false, CANCEL, "UAEX", "upstream_denied",
        "The upstream is denied by policy.")
};
/* clang-format on */

const struct weir_fault_answer *weir_fault_answer(struct weir_fault fault) {
    if (fault.kind >= WEIR_FAULT_KINDS)
        fault.kind = WEIR_FAULT_INTERNAL;
    if (fault.side == WEIR_SIDE_UPSTREAM && upstream[fault.kind].name)
        return &upstream[fault.kind];
    return &common[fault.kind];
}

unsigned weir_fault_grpc_status(const struct weir_fault_answer *a) {
    enum {
        UNKNOWN = 2,
        DEADLINE_EXCEEDED = 4,
        PERMISSION_DENIED = 7,
        RESOURCE_EXHAUSTED = 8,
        UNIMPLEMENTED = 12,
        INTERNAL = 13,
        UNAVAILABLE = 14,
        UNAUTHENTICATED = 16
    };

    switch (a->status) {
    case 400:
        return INTERNAL;
    case 500: /* GRPCRoute: a backend that is not there is UNAVAILABLE */
        return a == &common[WEIR_FAULT_NO_BACKEND] ? UNAVAILABLE : INTERNAL;
    case 401:
        return UNAUTHENTICATED;
    case 403:
        return PERMISSION_DENIED;
    case 404:
    case 405:
    case 501:
        return UNIMPLEMENTED;
    case 408:
    case 504:
        return DEADLINE_EXCEEDED;
    case 413:
    case 414:
    case 429:
    case 431:
        return RESOURCE_EXHAUSTED;
    case 502:
    case 503:
        return UNAVAILABLE;
    default:
        return UNKNOWN;
    }
}
