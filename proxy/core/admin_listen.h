/* SPDX-License-Identifier: Apache-2.0 */
/* Where an admin server (core/admin.h) listens. */
#ifndef WEIR_CORE_ADMIN_LISTEN_H
#define WEIR_CORE_ADMIN_LISTEN_H

#include "core/admin.h"
#include "io/loop.h"

/* "ADDR:PORT"; ":PORT" is both families, of which IPv6 may be missing. *scope is borrowed as long as
 * the loop lives. 0 or -errno, logged. */
int weir_admin_listen(struct weir_loop *loop, const char *text, const enum weir_admin_scope *scope);
/* Logs why an address could not be listened on, with a hint; returns r. */
int weir_listen_say_failure(const char *text, int r);

#endif
