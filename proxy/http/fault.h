/* SPDX-License-Identifier: Apache-2.0 */
/* The one table that gives a fault its meaning on the wire, in the access log and to a person. */
#ifndef WEIR_HTTP_FAULT_H
#define WEIR_HTTP_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

struct weir_fault_answer {
    uint16_t status; /* of the locally made response; 0 = none is sent, the connection is closed */
    bool close;      /* the downstream connection ends after the answer */
    uint32_t h2_error; /* RST_STREAM / GOAWAY code, RFC 9113 7 */
    const char *flag;  /* Envoy's response flag: "NR", "UF", ...; "-" = none */
    const char *name;  /* stable snake_case name for logs, metrics and the x-weir-reason field */
    const char *text;  /* one sentence for the response body */
};

/* The grpc-status that says the same to a gRPC client (gRPC status codes, 0..16). */
unsigned weir_fault_grpc_status(const struct weir_fault_answer *a);
/* Never NULL. */
const struct weir_fault_answer *weir_fault_answer(struct weir_fault fault);

#endif
