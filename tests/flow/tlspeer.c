/* SPDX-License-Identifier: Apache-2.0 */
#include "weir_test.h"

#include "tlspeer.h"

struct tls_peer {
    struct tls_peer *next;
    struct mem_conn *conn;
    struct weir_tls *tls;
    struct weir_chunk_pool pool;
    struct weir_bufq cipher; /* to be sent */
    char *waiting;           /* plaintext for after the handshake */
    size_t n_waiting, record;
    char *got;
    size_t n_got;
    bool shut, over;
};

struct tls_peer *tls_over(struct flow *f, struct mem_conn *c, struct weir_tls_ctx *ctx,
                          const char *name) {
    struct tls_peer *p = calloc(1, sizeof(*p));
    enum weir_tls_mode mode = weir_tls_ctx_mode(ctx);
    bool mesh = mode == WEIR_TLS_MESH_CLIENT;

    p->conn = c;
    p->got = calloc(1, 1);
    weir_chunk_pool_init(&p->pool, 4);
    weir_bufq_init(&p->cipher, &p->pool, 0);
    assert_int_equal(weir_tls_new(ctx, mesh ? NULL : name, mesh ? name : NULL, &p->tls), 0);
    if (mode == WEIR_TLS_CLIENT || mesh)
        assert_int_equal(weir_tls_start(p->tls, &p->cipher), 0);
    p->next = f->tls_peers;
    f->tls_peers = p;
    flow_run(f);
    return p;
}

static void encrypt(struct tls_peer *p, const char *bytes, size_t n, size_t record) {
    while (n > 0) {
        size_t k = record && record < n ? record : n;
        struct weir_bufq q;

        weir_bufq_init(&q, &p->pool, 0);
        assert_int_equal(weir_bufq_append(&q, weir_slice_make(bytes, k)), 0);
        assert_int_equal(weir_tls_write(p->tls, &q, &p->cipher), 0);
        weir_bufq_deinit(&q);
        bytes += k;
        n -= k;
    }
}

void tls_send(struct tls_peer *p, const void *bytes, size_t n, size_t record) {
    if (weir_tls_established(p->tls)) {
        encrypt(p, bytes, n, record);
        return;
    }
    p->waiting = realloc(p->waiting, p->n_waiting + n);
    memcpy(p->waiting + p->n_waiting, bytes, n);
    p->n_waiting += n;
    p->record = record;
}

void tls_say(struct tls_peer *p, const char *text) {
    tls_send(p, text, strlen(text), 0);
}

void tls_shutdown(struct tls_peer *p) {
    weir_tls_shutdown(p->tls, &p->cipher);
    p->shut = true;
}

static void receive(struct tls_peer *p) {
    struct weir_bufq plain;
    struct iovec iov;
    int r;

    weir_bufq_init(&plain, &p->pool, 0);
    r = weir_tls_feed(p->tls, weir_slice_make(mem_received(p->conn), mem_received_len(p->conn)),
                      &plain, &p->cipher);
    p->over |= r != 0;
    mem_received_clear(p->conn);
    while (weir_bufq_peek(&plain, &iov, 1) == 1) {
        p->got = realloc(p->got, p->n_got + iov.iov_len + 1);
        memcpy(p->got + p->n_got, iov.iov_base, iov.iov_len);
        p->n_got += iov.iov_len;
        p->got[p->n_got] = '\0';
        weir_bufq_consume(&plain, iov.iov_len);
    }
    weir_bufq_deinit(&plain);
}

static bool pump(struct tls_peer *p) {
    bool moved = false;
    struct iovec iov;

    if (mem_received_len(p->conn) > 0 && !p->over) {
        receive(p);
        moved = true;
    }
    if (p->n_waiting > 0 && weir_tls_established(p->tls)) {
        encrypt(p, p->waiting, p->n_waiting, p->record);
        p->n_waiting = 0;
    }
    while (weir_bufq_peek(&p->cipher, &iov, 1) == 1) {
        if (!mem_is_closed(p->conn))
            mem_send_bytes(p->conn, iov.iov_base, iov.iov_len);
        weir_bufq_consume(&p->cipher, iov.iov_len);
        moved = true;
    }
    if (p->shut) {
        mem_shutdown(p->conn);
        p->shut = false;
    }
    return moved;
}

const char *tls_text(struct tls_peer *p) {
    return p->got;
}

size_t tls_len(struct tls_peer *p) {
    return p->n_got;
}

bool tls_established(struct tls_peer *p) {
    return weir_tls_established(p->tls);
}

void tls_hold(struct tls_peer *p, bool hold) {
    mem_hold(p->conn, hold);
}

bool tls_pump_all(struct flow *f) {
    bool moved = false;

    for (struct tls_peer *p = f->tls_peers; p; p = p->next)
        moved |= pump(p);
    return moved;
}

void tls_free_all(struct flow *f) {
    while (f->tls_peers) {
        struct tls_peer *p = f->tls_peers;

        f->tls_peers = p->next;
        weir_tls_free(p->tls);
        weir_bufq_deinit(&p->cipher);
        weir_chunk_pool_deinit(&p->pool);
        free(p->waiting);
        free(p->got);
        free(p);
    }
}
