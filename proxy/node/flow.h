/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One flow record: what the kernel reported, with names instead of ids, as a line for people
 * (key=value) or for programs (JSON). Pure: names come from the snapshot and the mapset in force
 * when the event was read.
 */
#ifndef WEIR_NODE_FLOW_H
#define WEIR_NODE_FLOW_H

#include "conf/snapshot.h"
#include "kern/mapset.h"
#include "node/agent.h"
#include "node/text.h"
#include "weir/abi/http.h"

struct weir_flow_names {
    const struct weir_snapshot *snapshot;
    const struct weir_mapset *installed;
};

/* "allow", "deny", "audit" (would have been denied); "none" for what is no decision. */
const char *weir_flow_verdict(const struct weir_event *event);
/* One line with its newline. wall_us: when it happened, since the epoch. */
void weir_flow_write(struct weir_textbuf *t, enum weir_flow_format format,
                     const struct weir_event *event, const struct weir_flow_names *names,
                     uint64_t wall_us);
/* The same of an HTTP exchange; wall_us: when its request began. */
void weir_flow_write_http(struct weir_textbuf *t, enum weir_flow_format format,
                          const struct weir_http_event *event, const struct weir_flow_names *names,
                          uint64_t wall_us);

#endif
