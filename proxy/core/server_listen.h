/* SPDX-License-Identifier: Apache-2.0 */
/* Where a small server (core/server.h) listens. */
#ifndef WEIR_CORE_SERVER_LISTEN_H
#define WEIR_CORE_SERVER_LISTEN_H

#include "core/admin.h"
#include "io/loop.h"

/* "ADDR:PORT"; ":PORT" is both families, of which IPv6 may be missing. `user` is the request's listener, for
 * an admin server its enum weir_admin_scope; borrowed as long as the loop lives. handed: sockets that may be there already, or NULL. 0 or -errno, logged. */
int weir_server_listen(struct weir_loop *loop, const char *text, const void *user,
                       struct weir_handed *handed);
/* Logs why an address could not be listened on, with a hint; returns r. */
int weir_listen_say_failure(const char *text, int r);

#endif
