/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replacing the program of a running `weir proxy` (docs/adr/0027): it starts the program that is installed now, with its own arguments
 * and its listening sockets, and goes on serving until that one says that it serves. Then there are two for a while: the old one drains.
 */
#ifndef WEIR_CORE_PROCESS_SUCCESSOR_H
#define WEIR_CORE_PROCESS_SUCCESSOR_H

#include <limits.h>
#include <sys/types.h>

#include "io/events.h"

struct weir_successor {
    struct weir_loop *loop;
    void (*ready)(void *arg, pid_t pid); /* it serves; called once */
    void *arg;
    struct weir_event *on_said, *on_late;
    int fd;    /* what it says; -1 = there is none */
    pid_t pid; /* 0 = it has not said */
    char program[PATH_MAX];
};

/* Remembers which program this is, as a file: what is installed there later is what starts. 0 or -errno. */
int weir_successor_init(struct weir_successor *s, struct weir_loop *loop,
                        void (*ready)(void *arg, pid_t pid), void *arg);
/* Starts one, unless one is starting. What goes wrong is logged, and changes nothing. */
void weir_successor_start(struct weir_successor *s);
void weir_successor_deinit(struct weir_successor *s);

/* In any process, when it serves: tells the one whose place it takes; true = there is one, which tells the service manager. */
bool weir_successor_report(void);

#endif
