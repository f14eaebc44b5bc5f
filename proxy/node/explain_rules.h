/* SPDX-License-Identifier: Apache-2.0 */
/* The rules a decision went through, as `explain` shows them. */
#ifndef WEIR_NODE_EXPLAIN_RULES_H
#define WEIR_NODE_EXPLAIN_RULES_H

#include "node/text.h"
#include "weir/abi/explain.h"

struct weir_agent;

/* A comma after an object before it. */
void weir_agent_explain_comma(struct weir_textbuf *out);
/* Those of x->slot, up to the one that decided. */
void weir_agent_explain_rules(const struct weir_agent *a, struct weir_textbuf *out,
                              const struct weir_explain *x);

#endif
