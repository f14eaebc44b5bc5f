/* SPDX-License-Identifier: Apache-2.0 */
/* Who speaks first on the service ports that this node's sidecars have met, for people. */
#ifndef WEIR_NODE_FIRST_H
#define WEIR_NODE_FIRST_H

#include "node/text.h"

struct weir_agent;

/* The member `first_speakers`: sums, and the ports heard of last. */
void weir_agent_first_status(struct weir_agent *a, struct weir_textbuf *out);

#endif
