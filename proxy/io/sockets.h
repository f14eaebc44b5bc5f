/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that somebody else makes for a loop: connections of a pod from a process that is not in it. */
#ifndef WEIR_IO_SOCKETS_H
#define WEIR_IO_SOCKETS_H

#include "io/loop.h"

/*
 * From now on every dial takes a socket that was given, and waits while there is none. want is called, on the loop's
 * thread or the one that gives, when few are left of a family (AF_INET, AF_INET6). Before the loop runs; for good. 0 or -ENOMEM.
 */
int weir_loop_use_sockets(struct weir_loop *loop, void (*want)(void *arg, int family), void *arg);
/* Any thread. Takes them over; those beyond WEIR_SOCKETS_MAX of a family are closed. */
void weir_loop_give_sockets(struct weir_loop *loop, int family, const int *fds, unsigned n);
#define WEIR_SOCKETS_MAX 64u
/* Any thread: asks again for what was asked for and has not come. */
void weir_loop_sockets_again(struct weir_loop *loop);

/* Accepts on a socket that listens already; it is taken over. `listen`: original_dst and user count. 0 or -errno: it is not. */
int weir_loop_adopt(struct weir_loop *loop, int fd, const struct weir_listen *listen);

#endif
