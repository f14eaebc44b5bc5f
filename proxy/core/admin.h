/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process says of itself, on the control thread: GET /metrics /ready /live /status /routes.
 */
#ifndef WEIR_CORE_ADMIN_H
#define WEIR_CORE_ADMIN_H

#include "core/server.h"

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
    struct weir_server server;
    const struct weir_admin_ops *ops;
    void *arg;
};

/* Takes over net's events; listeners' user is &(enum weir_admin_scope). */
void weir_admin_init(struct weir_admin *a, struct weir_net *net, const struct weir_admin_ops *ops,
                     void *arg);
/* Closes every connection. */
void weir_admin_close(struct weir_admin *a);

#endif
