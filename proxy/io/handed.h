/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets that this process was started with: systemd's socket activation, or the process whose place it takes
 * (core/process_successor.h). Both speak the protocol of sd_listen_fds(3). Such a socket, with the clients that wait in it, never stops listening.
 */
#ifndef WEIR_IO_HANDED_H
#define WEIR_IO_HANDED_H

#include "conf/model.h"

struct weir_handed;

/*
 * Takes what $LISTEN_PID and $LISTEN_FDS say is ours, and unsets them; before any thread. What is no listening TCP socket is closed
 * and said. *ret_handed is NULL when there is none. 0 or -ENOMEM.
 */
int weir_handed_take(struct weir_handed **ret_handed);
/*
 * The sockets of an address, for thread `number` of `of`: call until -ENOENT. Every socket belongs to one thread; where there
 * are more threads than sockets they share one. [::] that is not v6-only is 0.0.0.0 as well. The descriptor is the caller's; -EALREADY:
 * there is one and this thread has it; -errno.
 */
int weir_handed_next(struct weir_handed *h, const struct weir_ip *ip, uint16_t port,
                     unsigned number, unsigned of);
/* Closes those that nobody wanted, and says so. Takes NULL; returns NULL. */
struct weir_handed *weir_handed_free(struct weir_handed *h);

/*
 * Every TCP socket that this process listens on, whichever thread it belongs to: duplicates, close-on-exec, the caller's. How many (at
 * most `max`), or -errno.
 */
int weir_handed_collect(int *ret_fds, unsigned max);

#endif
