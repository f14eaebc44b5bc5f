/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's own HTTP server, on the control thread: GET /metrics /ready /live /status /routes. It speaks through the same codec as the data
 * threads, one request at a time per connection, and closes what is idle.
 */
#ifndef WEIR_CORE_ADMIN_H
#define WEIR_CORE_ADMIN_H

#include "base/list.h"
#include "http/codec.h"
#include "io/net.h"

/* What a listener shows. */
enum weir_admin_scope {
    WEIR_ADMIN_METRICS = 1,
    WEIR_ADMIN_HEALTH = 2,
    WEIR_ADMIN_ALL = 7,
};

struct weir_admin_ops {
    /* Bodies: text appended to *out. 0 or -ENOMEM. */
    int (*metrics)(void *arg, struct weir_bufq *out);
    int (*status)(void *arg, struct weir_bufq *out); /* JSON */
    /* JSON; as weir_routes_query. */
    int (*routes)(void *arg, struct weir_slice query, struct weir_bufq *out);
    bool (*ready)(void *arg, const char **ret_why); /* why not: "draining" */
    void (*posted)(void *arg);                      /* another thread posted the loop */
};

struct weir_admin {
    struct weir_net *net;
    const struct weir_admin_ops *ops;
    void *arg;
    struct weir_list conns; /* the one whose time is up first in front */
    struct weir_list dying;
    unsigned n_conns; /* in conns */
};

/* Takes over net's events; listeners' user is &(enum weir_admin_scope). */
void weir_admin_init(struct weir_admin *a, struct weir_net *net, const struct weir_admin_ops *ops,
                     void *arg);
/* Closes every connection. */
void weir_admin_close(struct weir_admin *a);

#endif
