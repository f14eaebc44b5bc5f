/* SPDX-License-Identifier: Apache-2.0 */
/* Another attempt at a request: its content, and HTTPRoute's retry of one that failed or got an answer not to be taken. */
#ifndef WEIR_CORE_RETRY_H
#define WEIR_CORE_RETRY_H

#include "core/timeout.h"

static inline const struct weir_retry *weir_retry_of(const struct weir_txn *t) {
    return t->decision.rule ? t->decision.rule->retry : NULL;
}
/* A request under a route that retries begins: its content is kept from now on. */
void weir_retry_begin(struct weir_txn *t);
/*
 * The request is about to be sent. Where it may come back without a route's retry (a server can say of an HTTP/2 request that it did not
 * look at it; an idempotent one can meet the end of an idle connection), its content is kept from now on.
 */
void weir_retry_keep_held(struct weir_txn *t);
/* All that was kept is held to be sent again. 0, -ENOMEM. */
int weir_retry_replay(struct weir_txn *t);
/* Content of a request whose content is kept. Beyond limits.pipeBytes none is. */
void weir_retry_keep(struct weir_txn *t, struct weir_chunk *chunk, struct weir_slice bytes);
void weir_retry_end(struct weir_txn *t);
/* The attempt failed: is another one safe, since the server cannot have acted on this one? `reused`: on a connection that had served before. */
bool weir_retry_safe(const struct weir_txn *t, struct weir_fault fault, bool reused);
/* Does the route not want this answer? */
bool weir_retry_wants(const struct weir_retry *retry, uint16_t status);
/*
 * Takes the request back to wait for another attempt at t->retry_due; the upstream exchange, if any,
 * is ended. False: there is to be none, and nothing has changed.
 */
bool weir_retry_schedule(struct weir_txn *t, struct weir_fault why);

#endif
