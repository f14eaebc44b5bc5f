/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server on one loop, for the process's own answers: the admin addresses (core/admin.h)
 * and the webhook. It speaks through the same codec and streams as the data threads. Crowds, slow senders
 * and slow readers are bounded in connections, time and bytes.
 */
#ifndef WEIR_CORE_SERVER_H
#define WEIR_CORE_SERVER_H

#include "base/list.h"
#include "http/codec.h"
#include "io/net.h"
#include "tls/tls.h"

struct weir_server_request {
    const struct weir_head *head;
    struct weir_slice body; /* "" while body_max is 0 */
    void *listener;         /* the listener's user */
};

struct weir_server_ops {
    /* Appends the content to *body. Returns the status; *ret_type is the content-type, text at first. */
    int (*serve)(void *arg, const struct weir_server_request *req, struct weir_bufq *body,
                 const char **ret_type);
    void (*posted)(void *arg); /* another thread posted the loop */
    /* What a connection accepted now speaks TLS with, borrowed; NULL, also as a member: none. */
    struct weir_tls_ctx *(*tls)(void *arg, void *listener);
};

struct weir_server {
    struct weir_net *net;
    const struct weir_server_ops *ops;
    void *arg;
    size_t
        body_max; /* bytes of one request's content, beyond which it is 413; eight times that of all. 0: it is not kept */
    size_t body_bytes;      /* held for content */
    struct weir_list conns; /* the one whose time is up first in front */
    struct weir_list dying;
    unsigned n_conns; /* in conns */
};

/* Takes over net's events. */
void weir_server_init(struct weir_server *sv, struct weir_net *net,
                      const struct weir_server_ops *ops, void *arg);
/* Closes every connection. */
void weir_server_close(struct weir_server *sv);

#endif
