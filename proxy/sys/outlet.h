/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines to standard output that never block a data thread: a reader that is slow costs lines, not requests. The descriptor
 * itself stays as it was found, since its flags are shared with whoever gave it to us (a terminal, a shell).
 */
#ifndef WEIR_SYS_OUTLET_H
#define WEIR_SYS_OUTLET_H

#include "base/bufq.h"

struct weir_outlet {
    int fd;
    bool own;       /* opened anew by us */
    bool is_socket; /* written with MSG_DONTWAIT */
};

/* 0 or -errno. */
int weir_outlet_open(struct weir_outlet *o, int fd);
void weir_outlet_close(struct weir_outlet *o);
/* Writes what is taken now, whole lines of up to PIPE_BUF at a time so that threads do not mix them; consumes it. */
void weir_outlet_write(struct weir_outlet *o, struct weir_bufq *lines);

#endif
