/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent sessions (sessionPersistence, GEP-1619), for rules that ask for them. */
#ifndef WEIR_CORE_SESSION_H
#define WEIR_CORE_SESSION_H

#include "core/txn.h"

/* Before a backend is chosen: begins t->session. The backend that the client's session is with, if its endpoint may be asked; NULL =
 * choose one, a new session begins. Without memory there is no session. */
const struct weir_backend_ref *weir_session_backend(struct weir_txn *t);
/* The session's endpoint, unless it was tried in vain; NULL = choose one. */
struct weir_lb_endpoint *weir_session_endpoint(const struct weir_txn *t);
/* Gives the client what it has to show next time, where that has changed. 0, -ENOMEM. */
int weir_session_response(struct weir_txn *t);

#endif
