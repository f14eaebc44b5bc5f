/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the service manager how we are: the protocol of sd_notify(3), without its library. */
#ifndef WEIR_SYS_NOTIFY_H
#define WEIR_SYS_NOTIFY_H

#include "base/err.h"

/*
 * One datagram to $NOTIFY_SOCKET: "READY=1", "STOPPING=1", "MAINPID=7", "STATUS=..."; several are lines. Cut at 512 bytes. Nothing is
 * done where that variable is not set; a manager that does not listen is its own affair, so nothing is returned.
 */
void weir_notify(const char *fmt, ...) WEIR_PRINTF(1, 2);

#endif
