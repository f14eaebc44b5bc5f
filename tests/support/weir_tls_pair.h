/* SPDX-License-Identifier: Apache-2.0 */
/* A client and a server engine joined in memory. Header only. */
#ifndef WEIR_TLS_PAIR_H
#define WEIR_TLS_PAIR_H

#include "tls/tls.h"
#include "weir_test.h"

struct tls_pair {
    struct weir_chunk_pool pool;
    struct weir_tls *client, *server;
    struct weir_bufq to_server, to_client;       /* on the wire */
    struct weir_bufq client_plain, server_plain; /* arrived */
    int client_r, server_r;                      /* first result other than 0 */
    size_t step;                                 /* bytes per feed; 0 = as they come */
};

static WEIR_UNUSED void tls_pair_deinit(struct tls_pair *p) {
    weir_tls_free(p->client);
    weir_tls_free(p->server);
    weir_bufq_deinit(&p->to_server);
    weir_bufq_deinit(&p->to_client);
    weir_bufq_deinit(&p->client_plain);
    weir_bufq_deinit(&p->server_plain);
    weir_chunk_pool_deinit(&p->pool);
}

/* 0 or -ENOMEM; deinit in both cases. */
static WEIR_UNUSED int tls_pair_init(struct tls_pair *p, struct weir_tls_ctx *client,
                                     struct weir_tls_ctx *server, const char *sni,
                                     const char *expect) {
    memset(p, 0, sizeof(*p));
    weir_chunk_pool_init(&p->pool, 16);
    weir_bufq_init(&p->to_server, &p->pool, 0);
    weir_bufq_init(&p->to_client, &p->pool, 0);
    weir_bufq_init(&p->client_plain, &p->pool, 0);
    weir_bufq_init(&p->server_plain, &p->pool, 0);
    int r = weir_tls_new(client, sni, expect, &p->client);
    if (r == 0)
        r = weir_tls_new(server, NULL, NULL, &p->server);
    if (r == 0)
        r = weir_tls_start(p->client, &p->to_server);
    return r;
}

/* Feeds all of wire; returns whether there was something. */
static WEIR_UNUSED bool tls_pair_feed(struct weir_tls *tls, struct weir_bufq *wire,
                                      struct weir_bufq *plain, struct weir_bufq *out, size_t step,
                                      int *ret_r) {
    if (wire->len == 0)
        return false;
    struct iovec iov;
    while (weir_bufq_peek(wire, &iov, 1) == 1) {
        size_t n = step != 0 && step < iov.iov_len ? step : iov.iov_len;
        int r = weir_tls_feed(tls, weir_slice_make(iov.iov_base, n), plain, out);
        if (*ret_r == 0)
            *ret_r = r;
        weir_bufq_consume(wire, n);
    }
    return true;
}

/* Until nothing moves. 0, or the first negative result. */
static WEIR_UNUSED int tls_pair_pump(struct tls_pair *p) {
    bool moved = true;
    while (moved && p->client_r >= 0 && p->server_r >= 0) {
        moved = tls_pair_feed(p->server, &p->to_server, &p->server_plain, &p->to_client, p->step,
                              &p->server_r);
        moved = tls_pair_feed(p->client, &p->to_client, &p->client_plain, &p->to_server, p->step,
                              &p->client_r) ||
                moved;
    }
    return p->client_r < 0 ? p->client_r : p->server_r < 0 ? p->server_r : 0;
}

/* Client sends text. 0 or what weir_tls_write says. */
static WEIR_UNUSED int tls_pair_send(struct tls_pair *p, bool from_client, struct weir_slice text) {
    struct weir_bufq q;
    weir_bufq_init(&q, &p->pool, 0);
    int r = weir_bufq_append(&q, text);
    if (r == 0)
        r = from_client ? weir_tls_write(p->client, &q, &p->to_server)
                        : weir_tls_write(p->server, &q, &p->to_client);
    weir_bufq_deinit(&q);
    return r;
}

#endif
