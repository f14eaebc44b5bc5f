/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of what `explain` says: the rules a decision went through, the route of a request. */
#ifndef WEIR_NODE_EXPLAIN_RULES_H
#define WEIR_NODE_EXPLAIN_RULES_H

#include "conf/snapshot.h"
#include "node/text.h"
#include "weir/abi/explain.h"

struct weir_agent;

/* A comma after an object before it. */
void weir_agent_explain_comma(struct weir_textbuf *out);
/* Those of x->slot, up to the one that decided. */
void weir_agent_explain_rules(const struct weir_agent *a, struct weir_textbuf *out,
                              const struct weir_explain *x);

/* A flow that was explained: whose, and to which port of which Service (NULL = none). */
struct weir_explained {
    const char *source; /* "namespace/pod"; "" = unknown */
    const struct weir_service *service;
    const struct weir_service_port *port;
};
/* explain_l7.c: adds the member "request". request: METHOD, URL and header lines between tabs, taken apart. NULL, or why not. */
const char *weir_agent_explain_request(const struct weir_snapshot *s,
                                       const struct weir_explained *flow, char *request,
                                       struct weir_textbuf *out);

#endif
