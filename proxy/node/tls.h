/* SPDX-License-Identifier: Apache-2.0 */
/* Probes on the OpenSSL of the pods that ask for HTTP telemetry, and what is known of each pod's. */
#ifndef WEIR_NODE_TLS_H
#define WEIR_NODE_TLS_H

#include "node/state.h"

/* Looks for libssl in the pods that ask for it, every few ticks. */
void weir_agent_tls_tick(struct weir_agent *a);
/* An exchange was told: if it is of OpenSSL, it counts for its pod. */
void weir_agent_tls_count(struct weir_agent *a, const struct weir_http_event *event);
/* The member "tls_telemetry" of a pod in the status. */
void weir_agent_tls_status(const struct weir_agent *a, const struct weir_place_of_pod *p,
                           struct weir_textbuf *out);
void weir_agent_tls_close(struct weir_agent *a);

#endif
