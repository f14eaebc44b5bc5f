/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 telemetry without a proxy (docs/adr/0018), as the agent sees it: the packet programs that are
 * there only while some service asks for them, their records and what they could not tell.
 */
#ifndef WEIR_KERN_HTTP_H
#define WEIR_KERN_HTTP_H

#include "kern/kern.h"
#include "weir/abi/http.h"

/* Puts the programs on the pods' parent, or takes them away; stays when the agent ends. 0 or -errno. */
int weir_kern_http(struct weir_kern *k, bool on);

/* Records come through weir_kern_events_read, after weir_kern_events_open. 0 or -errno. */
typedef void weir_kern_http_fn(void *arg, const struct weir_http_event *event);
int weir_kern_http_open(struct weir_kern *k, weir_kern_http_fn *fn, void *arg);

/* Sum over cores, index enum weir_http_reason. 0 or -errno. */
int weir_kern_http_counts(const struct weir_kern *k, uint64_t ret_counts[WEIR_HTTP_REASON_SLOTS]);
/* "late"; "" beyond the known ones. */
const char *weir_http_reason_name(unsigned reason);

#endif
