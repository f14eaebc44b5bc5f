/* SPDX-License-Identifier: Apache-2.0 */
/* What a control thread waits for beside connections: signals, a readable descriptor, the passing of time. */
#ifndef WEIR_IO_EVENTS_H
#define WEIR_IO_EVENTS_H

#include "io/loop.h"

struct weir_event;

/* Each calls fn on the loop's thread until freed. 0 or -errno. */
int weir_event_signal(struct weir_loop *loop, int signum, void (*fn)(void *arg), void *arg,
                      struct weir_event **ret_event);
int weir_event_readable(struct weir_loop *loop, int fd, void (*fn)(void *arg), void *arg,
                        struct weir_event **ret_event);
int weir_event_every(struct weir_loop *loop, uint64_t period_us, void (*fn)(void *arg), void *arg,
                     struct weir_event **ret_event);
/* Takes NULL; returns NULL. Within its own fn as well; the memory goes when the loop runs its closing callbacks. */
struct weir_event *weir_event_free(struct weir_event *e);

#endif
