/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sidecar that picks its own pod hands the request to its inbound side in process (decisions.md 9): a connection in memory whose far end comes in like one
 * on the inbound listener, with this pod's own identity proven. So a pod that calls itself through its own service meets the
 * policies, limits and log lines that everybody else meets.
 */
#ifndef WEIR_CORE_SELF_H
#define WEIR_CORE_SELF_H

#include "core/worker.h"

/* Is that endpoint this very pod, at a port its inbound side serves? */
bool weir_self_is(const struct weir_worker *w, const struct weir_lb_endpoint *e);
/* As weir_net's dial: connecting; `open` or `error` follows, never from within. 0 or -ENOMEM. */
int weir_self_dial(struct weir_worker *w, const struct weir_dial *d,
                   struct weir_stream **ret_stream);
/* The net is being stopped, which does not know these connections: they end as all others do. */
void weir_self_stop(struct weir_worker *w);
/* In the worker's turn: delivers what is due. */
void weir_self_turn(struct weir_worker *w);

#endif
