/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP exchanges that the kernel told, as counters by service: how many series there can be is bounded
 * whatever peers send. Paths are in the flow records only.
 */
#ifndef WEIR_NODE_L7_H
#define WEIR_NODE_L7_H

#include "obs/pen.h"
#include "weir/abi/http.h"

/* Services with counters of their own; what comes beyond them is counted as "other". */
#define WEIR_L7_SERVICES 256u

struct weir_l7;

/* NULL: no memory. */
struct weir_l7 *weir_l7_new(void);
/* Takes NULL; returns NULL. */
struct weir_l7 *weir_l7_free(struct weir_l7 *l7);
/* service: "namespace/name"; "" = it is gone. */
void weir_l7_count(struct weir_l7 *l7, const char *service, const struct weir_http_event *event);
/* weir_http_telemetry_requests_total and weir_http_telemetry_latency_seconds. */
void weir_l7_expose(const struct weir_l7 *l7, struct weir_pen *pen);

#endif
