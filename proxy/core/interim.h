/* SPDX-License-Identifier: Apache-2.0 */
/* Answers before the final one (1xx but 101), and Expect: 100-continue (RFC 9110 10.1.1, 15.2). */
#ifndef WEIR_CORE_INTERIM_H
#define WEIR_CORE_INTERIM_H

#include "core/txn.h"

/* A request that is routed and has content: if its route wants that, the client is told to go on at once, and who serves the
 * request is not asked again. 0, -errno. */
int weir_interim_request(struct weir_txn *t);
/* t->res, from upstream: passed on, unless the client must not or need not see it. May end the txn. */
void weir_interim_response(struct weir_txn *t);

#endif
