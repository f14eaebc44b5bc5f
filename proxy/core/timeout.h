/* SPDX-License-Identifier: Apache-2.0 */
/* The one deadline of a txn: the earliest of what is due (timeout.c). */
#ifndef WEIR_CORE_TIMEOUT_H
#define WEIR_CORE_TIMEOUT_H

#include "core/txn.h"

/* Keeps the deadline at the earliest of what is due. */
void weir_txn_arm(struct weir_txn *t);
/* A request begins under its route. */
void weir_txn_set_timeouts(struct weir_txn *t);
/* All of the request is on its way: from now on the head of its answer is waited for. */
void weir_txn_await_head(struct weir_txn *t);
/* The deadline's function. */
void weir_txn_deadline(struct weir_deadline *d);

/* txn.c: picks an endpoint and asks for a connection; what comes of it ends or goes on with the txn. */
void weir_txn_attempt(struct weir_txn *t);

#endif
