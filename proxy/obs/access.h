/* SPDX-License-Identifier: Apache-2.0 */
/* One line per finished request (or relayed connection), text in Envoy's field order or JSON. Pure
 * formatting. */
#ifndef WEIR_OBS_ACCESS_H
#define WEIR_OBS_ACCESS_H

#include "base/bufq.h"
#include "base/slice.h"
#include "conf/model.h"

struct weir_access_record {
    uint64_t wall_us;      /* when the request began, since the epoch */
    const char *direction; /* "reverse", "inbound", "outbound", "gateway" */
    struct weir_slice method, authority, target, user_agent, request_id, forwarded_for;
    const char *protocol; /* "HTTP/1.1", "HTTP/2", "TCP" */
    uint16_t status;      /* 0 = no response was sent */
    const char *flag,
        *reason; /* of the fault, from weir_fault_answer: "NR", "no_route"; "-" or "" = none */
    const char *fault_detail;          /* what in particular: a policy, a TLS alert; "" = none */
    uint64_t bytes_in, bytes_out;      /* request and response content */
    uint64_t duration_us, upstream_us; /* upstream: 0 = not reached */
    uint32_t attempts;
    struct weir_ip downstream_ip, upstream_ip;
    uint16_t downstream_port, upstream_port; /* 0 = none */
    const char *route;                       /* "namespace/name[/rule]", "" = none */
    const char *service;                     /* "namespace/name:port" or the --to URL, "" = none */
    const char *peer;                        /* SPIFFE id, "" = none */
    const char *would_deny, *audited; /* policies in audit mode, of action AUDIT; "" = none */
    uint64_t conn_id;
};

/*
 * Appends one line with its newline; nothing with WEIR_LOG_OFF. Strings may be NULL as well as "".
 * Output is printable ASCII: in text, other bytes, '"' and '\' are escaped; in JSON, UTF-8 becomes
 * \uXXXX and what is not UTF-8 \ufffd. So a request cannot forge a line. 0, or -ENOMEM with nothing
 * appended.
 */
int weir_access_format(const struct weir_access_record *r, enum weir_access_log format,
                       struct weir_bufq *out);

#endif
