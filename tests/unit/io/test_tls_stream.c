/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's end is a TLS stream over a memory stream; the peer is an engine that the test works
 * by hand. */
#include "io/stream.h"

#include <time.h>

#include "memnet.h"
#include "tls/ca.h"
#include "tls/tls.h"
#include "weir_test.h"

#define LISTENER ((void *)0x15006)
#define WEB      "spiffe://mesh.test/ns/shop/sa/web"
#define STORE    "spiffe://mesh.test/ns/shop/sa/store"
#define ALPN     WEIR_SLICE("\x07weir-h2")

static struct weir_pem ca, web, store;

/* --- the proxy's side --- */

struct owner {
    struct weir_stream *s;
    char got[2 * 1024 * 1024];
    size_t n_got;
    unsigned n_open, n_read, n_eof, n_drain, n_error, n_closed;
    struct weir_fault fault;
    char reason[128];
    bool forbid; /* no event may fire now */
    bool stop_in_read, start_in_read, close_in_open, close_in_read, close_in_error, start_in_open;
    const char *write_in_open;
    int depth; /* events must not nest */
};

struct peer {
    struct mem_conn *conn;
    struct weir_tls *tls;
    struct weir_bufq plain, cipher;
    int r; /* first result that is not 0 */
};

struct fix {
    struct mem_net *m;
    struct weir_chunk_pool pool; /* the peer's */
    struct weir_stream *accepted;
    struct weir_tls_ctx *client, *server, *mesh_client, *mesh_server;
    struct owner o;
    struct peer p;
};

static void write_text(struct weir_stream *s, struct weir_chunk_pool *pool, const char *text) {
    struct weir_bufq q;

    weir_bufq_init(&q, pool, 0);
    assert_int_equal(weir_bufq_append(&q, weir_slice_from_str(text)), 0);
    assert_int_equal(weir_stream_write(s, &q), 0);
    assert_int_equal(q.len, 0);
    weir_bufq_deinit(&q);
}

static void event_begins(struct owner *o) {
    assert_false(o->forbid);
    assert_int_equal(o->n_closed, 0);
    assert_int_equal(o->depth, 0);
    o->depth++;
}

static struct fix *fix_of(struct owner *o) {
    return WEIR_CONTAINER_OF(o, struct fix, o);
}

static void on_open(void *arg) {
    struct owner *o = arg;

    event_begins(o);
    o->n_open++;
    if (o->write_in_open)
        write_text(o->s, mem_net(fix_of(o)->m)->pool, o->write_in_open);
    if (o->start_in_open)
        weir_stream_read_start(o->s);
    if (o->close_in_open)
        weir_stream_close(o->s, false);
    o->depth--;
}

static void on_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct owner *o = arg;

    event_begins(o);
    assert_non_null(chunk);
    assert_true(bytes.len > 0 && o->n_got + bytes.len <= sizeof(o->got));
    memcpy(o->got + o->n_got, bytes.ptr, bytes.len);
    o->n_got += bytes.len;
    o->n_read++;
    if (o->stop_in_read)
        weir_stream_read_stop(o->s);
    if (o->start_in_read) {
        weir_stream_read_stop(o->s);
        weir_stream_read_start(o->s);
    }
    if (o->close_in_read)
        weir_stream_close(o->s, false);
    o->depth--;
}

static void on_eof(void *arg) {
    struct owner *o = arg;

    event_begins(o);
    o->n_eof++;
    o->depth--;
}

static void on_drain(void *arg) {
    struct owner *o = arg;

    event_begins(o);
    o->n_drain++;
    o->depth--;
}

static void on_error(void *arg, struct weir_fault fault) {
    struct owner *o = arg;
    struct weir_stream_info info;

    event_begins(o);
    o->n_error++;
    o->fault = fault;
    weir_stream_info(o->s, &info);
    snprintf(o->reason, sizeof(o->reason), "%s", info.fault_reason);
    if (o->close_in_error)
        weir_stream_close(o->s, false);
    o->depth--;
}

static void on_closed(void *arg) {
    struct owner *o = arg;

    assert_false(o->forbid);
    assert_int_equal(o->n_closed, 0);
    o->n_closed++;
    o->s = NULL;
}

static const struct weir_stream_events owner_events = { on_open,  on_read,  on_eof,
                                                        on_drain, on_error, on_closed };

static void own(struct fix *f, struct weir_stream *lower, struct weir_tls_ctx *ctx,
                struct weir_bufq *first, bool open) {
    enum weir_tls_mode mode = weir_tls_ctx_mode(ctx);
    struct weir_tls_stream_params params = {
        .lower = lower,
        .pool = mem_net(f->m)->pool,
        .ctx = ctx,
        .sni = mode == WEIR_TLS_CLIENT ? "store.test" : NULL,
        .expect = mode == WEIR_TLS_MESH_CLIENT ? STORE : NULL,
        .server = mode == WEIR_TLS_SERVER || mode == WEIR_TLS_MESH_SERVER,
        .lower_open = open,
        .first = first,
    };

    assert_int_equal(weir_tls_stream_new(&params, &f->o.s), 0);
    f->o.s->events = &owner_events;
    f->o.s->arg = &f->o;
}

/* --- the peer's side --- */

static void peer_init(struct fix *f, struct mem_conn *conn, struct weir_tls_ctx *ctx) {
    enum weir_tls_mode mode = weir_tls_ctx_mode(ctx);

    f->p.conn = conn;
    weir_bufq_init(&f->p.plain, &f->pool, 0);
    weir_bufq_init(&f->p.cipher, &f->pool, 0);
    assert_int_equal(
        weir_tls_new(ctx, mode == WEIR_TLS_CLIENT ? "store.test" : NULL, NULL, &f->p.tls), 0);
    if (mode == WEIR_TLS_CLIENT || mode == WEIR_TLS_MESH_CLIENT)
        assert_int_equal(weir_tls_start(f->p.tls, &f->p.cipher), 0);
}

static void peer_flush(struct fix *f) {
    struct iovec iov;

    while (weir_bufq_peek(&f->p.cipher, &iov, 1) == 1) {
        mem_send_bytes(f->p.conn, iov.iov_base, iov.iov_len);
        weir_bufq_consume(&f->p.cipher, iov.iov_len);
    }
}

static void peer_send(struct fix *f, struct weir_slice text) {
    struct weir_bufq q;

    weir_bufq_init(&q, &f->pool, 0);
    assert_int_equal(weir_bufq_append(&q, text), 0);
    assert_int_equal(weir_tls_write(f->p.tls, &q, &f->p.cipher), 0);
    weir_bufq_deinit(&q);
    peer_flush(f);
}

static void peer_shutdown(struct fix *f) {
    weir_tls_shutdown(f->p.tls, &f->p.cipher);
    peer_flush(f);
}

/* Until nothing moves any more. */
static void run(struct fix *f) {
    bool moved;

    do {
        peer_flush(f);
        mem_run(f->m);
        size_t n = mem_received_len(f->p.conn);
        moved = n > 0;
        if (moved) {
            int r = weir_tls_feed(f->p.tls, weir_slice_make(mem_received(f->p.conn), n),
                                  &f->p.plain, &f->p.cipher);
            if (f->p.r == 0)
                f->p.r = r;
            mem_received_clear(f->p.conn);
        }
    } while (moved || f->p.cipher.len > 0);
}

/* --- set up --- */

static void on_accept(void *arg, struct weir_stream *s, void *listener_user) {
    ((struct fix *)arg)->accepted = s;
}

static void on_nothing(void *arg) {
}

static const struct weir_net_events net_events = { on_accept, on_nothing, on_nothing, on_nothing };

static struct weir_tls_ctx *make_ctx(enum weir_tls_mode mode, const struct weir_pem *own_pem) {
    bool mesh = mode == WEIR_TLS_MESH_CLIENT || mode == WEIR_TLS_MESH_SERVER;
    struct weir_tls_params params = { .mode = mode, .trust_domain = "mesh.test", .alpn = ALPN };
    struct weir_tls_ctx *ctx = NULL;
    const char *why = "";

    if (own_pem) {
        params.material.cert_chain = weir_slice_from_str(own_pem->cert);
        params.material.key = weir_slice_from_str(own_pem->key);
    }
    if (mesh || mode == WEIR_TLS_CLIENT)
        params.material.ca = weir_slice_from_str(ca.cert);
    assert_int_equal(weir_tls_ctx_new(&params, &ctx, &why), 0);
    return ctx;
}

static int setup(void **state) {
    struct fix *f = calloc(1, sizeof(*f));

    f->m = mem_net_new();
    weir_chunk_pool_init(&f->pool, 8);
    mem_net(f->m)->events = &net_events;
    mem_net(f->m)->arg = f;
    f->client = make_ctx(WEIR_TLS_CLIENT, NULL);
    f->server = make_ctx(WEIR_TLS_SERVER, &store);
    f->mesh_client = make_ctx(WEIR_TLS_MESH_CLIENT, &web);
    f->mesh_server = make_ctx(WEIR_TLS_MESH_SERVER, &store);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fix *f = *state;

    f->o.forbid = false;
    mem_stop(f->m);
    assert_int_equal(mem_n_streams(f->m), 0);
    weir_tls_free(f->p.tls);
    if (f->p.conn) {
        weir_bufq_deinit(&f->p.plain);
        weir_bufq_deinit(&f->p.cipher);
    }
    weir_tls_ctx_unref(f->client);
    weir_tls_ctx_unref(f->server);
    weir_tls_ctx_unref(f->mesh_client);
    weir_tls_ctx_unref(f->mesh_server);
    mem_net_free(f->m);
    weir_chunk_pool_deinit(&f->pool);
    free(f);
    return 0;
}

/* A client connected; its TLS stream is made and not yet started. */
static void accept_tls(struct fix *f, struct weir_tls_ctx *proxy, struct weir_tls_ctx *peer) {
    struct mem_conn *c = mem_client_connect(f->m, LISTENER);

    mem_run(f->m);
    assert_non_null(f->accepted);
    f->o.forbid = true;
    own(f, f->accepted, proxy, NULL, true);
    f->o.forbid = false;
    peer_init(f, c, peer);
}

static void open_mesh(struct fix *f) {
    accept_tls(f, f->mesh_server, f->mesh_client);
    weir_stream_read_start(f->o.s);
    run(f);
    assert_int_equal(f->o.n_open, 1);
    assert_true(weir_tls_established(f->p.tls));
}

static void open_ordinary(struct fix *f) {
    accept_tls(f, f->server, f->client);
    weir_stream_read_start(f->o.s);
    run(f);
    assert_int_equal(f->o.n_open, 1);
}

/* A dial from the proxy, not yet accepted; peer is the server. */
static struct mem_conn *dial_tls(struct fix *f) {
    struct weir_dial d = { .ip.b[15] = 9, .port = 443, .timeout_us = 1000000 };
    struct weir_stream *lower;

    assert_int_equal(mem_net(f->m)->ops->dial(mem_net(f->m), &d, &lower), 0);
    own(f, lower, f->mesh_client, NULL, false);
    weir_stream_read_start(f->o.s);
    mem_run(f->m);
    return mem_next_dial(f->m);
}

static void write_owner(struct fix *f, const char *text) {
    write_text(f->o.s, mem_net(f->m)->pool, text);
}

static void write_owner_many(struct fix *f, size_t n) {
    struct weir_bufq q;
    char block[1024];

    memset(block, 'x', sizeof(block));
    weir_bufq_init(&q, mem_net(f->m)->pool, 0);
    for (size_t i = 0; i < n; i += sizeof(block))
        assert_int_equal(weir_bufq_append(&q, weir_slice_make(block, sizeof(block))), 0);
    assert_int_equal(weir_stream_write(f->o.s, &q), 0);
    weir_bufq_deinit(&q);
}

static void assert_got(struct fix *f, const char *text) {
    assert_int_equal(f->o.n_got, strlen(text));
    assert_memory_equal(f->o.got, text, f->o.n_got);
}

static void assert_error(struct fix *f, int side, int kind, const char *reason) {
    assert_int_equal(f->o.n_error, 1);
    assert_int_equal(f->o.fault.side, side);
    assert_int_equal(f->o.fault.kind, kind);
    assert_string_equal(f->o.reason, reason);
}

/* --- the handshake --- */

static void an_accepted_stream_opens_and_knows_its_peer(void **state) {
    struct fix *f = *state;
    struct weir_stream_info info;

    open_mesh(f);
    weir_stream_info(f->o.s, &info);
    assert_true(info.tls);
    weir_assert_slice(info.alpn, "weir-h2");
    assert_string_equal(info.peer->uri, WEB);
    assert_int_equal(strlen(info.peer_hash), 64);
    assert_string_equal(info.fault_reason, "");
    peer_send(f, WEIR_SLICE("question"));
    run(f);
    assert_got(f, "question");
    write_owner(f, "answer");
    run(f);
    weir_assert_bufq(&f->p.plain, "answer");
    assert_int_equal(f->o.s->bytes_in, 8);
    assert_int_equal(f->o.s->bytes_out, 6);
}

static void it_works_one_byte_at_a_time(void **state) {
    struct fix *f = *state;

    accept_tls(f, f->mesh_server, f->mesh_client);
    mem_piece(f->p.conn, 1);
    weir_stream_read_start(f->o.s);
    run(f);
    peer_send(f, WEIR_SLICE("slow"));
    peer_shutdown(f);
    run(f);
    assert_int_equal(f->o.n_open, 1);
    assert_got(f, "slow");
    assert_int_equal(f->o.n_eof, 1);
}

static void the_handshake_needs_no_reading_owner(void **state) {
    struct fix *f = *state;

    accept_tls(f, f->mesh_server, f->mesh_client);
    weir_stream_read_start(f->o.s);
    weir_stream_read_stop(f->o.s);
    run(f);
    assert_int_equal(f->o.n_open, 1);
    peer_send(f, WEIR_SLICE("wait"));
    run(f);
    assert_int_equal(f->o.n_read, 0);
    weir_stream_read_start(f->o.s);
    run(f);
    assert_got(f, "wait");
}

static void sniff_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    assert_int_equal(weir_bufq_append_ref(arg, chunk, bytes), 0);
}

static void sniffed_bytes_are_processed_by_the_first_read_start(void **state) {
    struct fix *f = *state;
    static const struct weir_stream_events sniffer = { .read = sniff_read };
    struct weir_bufq first;
    struct mem_conn *c = mem_client_connect(f->m, LISTENER);

    weir_bufq_init(&first, mem_net(f->m)->pool, 0);
    mem_run(f->m);
    f->accepted->events = &sniffer;
    f->accepted->arg = &first;
    weir_stream_read_start(f->accepted);
    peer_init(f, c, f->mesh_client);
    mem_piece(c, 60); /* several segments */
    peer_flush(f);
    mem_run(f->m);
    assert_true(first.len > 100);
    weir_stream_read_stop(f->accepted);
    f->o.forbid = true;
    own(f, f->accepted, f->mesh_server, &first, true);
    assert_int_equal(first.len, 0);
    mem_run(f->m);
    assert_int_equal(mem_received_len(c), 0);
    f->o.forbid = false;
    weir_stream_read_start(f->o.s);
    run(f);
    assert_int_equal(f->o.n_open, 1);
    peer_send(f, WEIR_SLICE("hello"));
    run(f);
    assert_got(f, "hello");
    weir_bufq_deinit(&first);
}

static void a_dialled_stream_opens_after_its_handshake(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = dial_tls(f);

    mem_dial_accept(c);
    mem_run(f->m);
    assert_int_equal(f->o.n_open, 0); /* connected is not open */
    peer_init(f, c, f->mesh_server);
    run(f);
    assert_int_equal(f->o.n_open, 1);
    assert_string_equal(weir_tls_peer(f->p.tls)->uri, WEB);
}

static void a_refused_dial_is_an_error_and_never_opens(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = dial_tls(f);

    mem_dial_refuse(c);
    mem_run(f->m);
    assert_int_equal(f->o.n_open, 0);
    assert_error(f, WEIR_SIDE_UPSTREAM, WEIR_FAULT_CONNECT_FAILED, "");
}

static void what_is_written_before_open_leaves_after_it(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = dial_tls(f);

    write_owner(f, "early ");
    assert_int_equal(weir_stream_pending(f->o.s), 6);
    write_owner(f, "bird");
    weir_stream_shutdown(f->o.s);
    mem_dial_accept(c);
    peer_init(f, c, f->mesh_server);
    run(f);
    weir_assert_bufq(&f->p.plain, "early bird");
    assert_int_equal(f->p.r, WEIR_TLS_EOF);
    assert_true(mem_got_eof(c));
    assert_int_equal(weir_stream_pending(f->o.s), 0);
}

static void much_written_before_open_tells_drain(void **state) {
    struct fix *f = *state;
    struct mem_conn *c = dial_tls(f);

    mem_buffer_size(f->m, 1024 * 1024);
    write_owner_many(f, 128 * 1024);
    assert_true(weir_stream_pending(f->o.s) > WEIR_STREAM_LOW_MARK);
    mem_dial_accept(c);
    peer_init(f, c, f->mesh_server);
    run(f);
    assert_int_equal(f->p.plain.len, 128 * 1024);
    assert_true(f->o.n_drain >= 1);
}

static void a_peer_with_another_identity_is_told_by_alert_before_the_error(void **state) {
    struct fix *f = *state;
    struct weir_dial d = { .ip.b[15] = 9, .port = 443, .timeout_us = 1000000 };
    struct weir_tls_stream_params params = { .pool = mem_net(f->m)->pool,
                                             .ctx = f->mesh_client,
                                             .expect = WEB };

    assert_int_equal(mem_net(f->m)->ops->dial(mem_net(f->m), &d, &params.lower), 0);
    assert_int_equal(weir_tls_stream_new(&params, &f->o.s), 0);
    f->o.s->events = &owner_events;
    f->o.s->arg = &f->o;
    f->o.close_in_error = true;
    weir_stream_read_start(f->o.s);
    struct mem_conn *c = mem_next_dial(f->m);
    mem_dial_accept(c);
    peer_init(f, c, f->mesh_server);
    run(f);
    assert_int_equal(f->o.n_open, 0);
    assert_error(f, WEIR_SIDE_UPSTREAM, WEIR_FAULT_IDENTITY,
                 "identity mismatch: expected " WEB ", got " STORE);
    assert_int_equal(f->p.r, WEIR_TLS_FAULT);
    assert_string_equal(weir_tls_fault_reason(f->p.tls), "alert: bad certificate");
    assert_int_equal(f->o.n_closed, 1);
}

static void plain_text_is_an_error_and_gets_no_tls_for_an_answer(void **state) {
    struct fix *f = *state;

    accept_tls(f, f->server, f->client);
    weir_stream_read_start(f->o.s);
    mem_send(f->p.conn, "GET / HTTP/1.1\r\n\r\n");
    mem_run(f->m);
    assert_error(f, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "not tls");
    assert_int_equal(mem_received_len(f->p.conn), 0);
    /* Whatever the owner does now is quiet. */
    f->o.forbid = true;
    write_owner(f, "x");
    weir_stream_shutdown(f->o.s);
    weir_stream_read_start(f->o.s);
    mem_send(f->p.conn, "more");
    mem_run(f->m);
    f->o.forbid = false;
}

/* --- the end --- */

static void close_notify_is_eof_and_writing_goes_on(void **state) {
    struct fix *f = *state;

    open_mesh(f);
    peer_send(f, WEIR_SLICE("bye"));
    peer_shutdown(f);
    mem_shutdown(f->p.conn);
    run(f);
    assert_got(f, "bye");
    assert_int_equal(f->o.n_eof, 1);
    assert_int_equal(f->o.n_error, 0);
    write_owner(f, "bye too");
    weir_stream_shutdown(f->o.s);
    run(f);
    weir_assert_bufq(&f->p.plain, "bye too");
    assert_int_equal(f->p.r, WEIR_TLS_EOF);
    assert_true(mem_got_eof(f->p.conn));
}

static void a_bare_fin_between_mesh_peers_is_a_truncation(void **state) {
    struct fix *f = *state;

    open_mesh(f);
    peer_send(f, WEIR_SLICE("half"));
    mem_shutdown(f->p.conn);
    run(f);
    assert_got(f, "half");
    assert_int_equal(f->o.n_eof, 0);
    assert_error(f, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_EOF, "closed without close_notify");
}

static void a_bare_fin_from_an_ordinary_peer_is_eof(void **state) {
    struct fix *f = *state;

    open_ordinary(f);
    peer_send(f, WEIR_SLICE("half"));
    mem_shutdown(f->p.conn);
    run(f);
    assert_got(f, "half");
    assert_int_equal(f->o.n_eof, 1);
    assert_int_equal(f->o.n_error, 0);
}

static void a_fin_during_the_handshake_is_a_tls_fault(void **state) {
    struct fix *f = *state;

    accept_tls(f, f->server, f->client);
    weir_stream_read_start(f->o.s);
    mem_send_bytes(f->p.conn, "\x16\x03\x01", 3);
    mem_shutdown(f->p.conn);
    mem_run(f->m);
    assert_int_equal(f->o.n_open, 0);
    assert_error(f, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_TLS, "closed during handshake");
}

static void a_reset_is_an_error(void **state) {
    struct fix *f = *state;

    open_mesh(f);
    mem_reset(f->p.conn);
    mem_run(f->m);
    assert_error(f, WEIR_SIDE_DOWNSTREAM, WEIR_FAULT_RESET, "");
}

static void closing_says_close_notify(void **state) {
    struct fix *f = *state;

    open_mesh(f);
    f->o.forbid = true;
    weir_stream_close(f->o.s, false);
    weir_stream_close(f->o.s, false);
    assert_int_equal(f->o.n_closed, 0);
    f->o.forbid = false;
    run(f);
    assert_int_equal(f->o.n_closed, 1);
    assert_int_equal(f->p.r, WEIR_TLS_EOF);
    assert_true(mem_got_eof(f->p.conn));
}

static void closing_with_a_reset_says_nothing(void **state) {
    struct fix *f = *state;

    open_mesh(f);
    weir_stream_close(f->o.s, true);
    run(f);
    assert_int_equal(f->o.n_closed, 1);
    assert_int_equal(f->p.r, 0);
    assert_true(mem_got_reset(f->p.conn));
}

static void closing_with_output_queued_cuts_without_close_notify(void **state) {
    struct fix *f = *state;

    open_mesh(f);
    mem_hold(f->p.conn, true);
    write_owner_many(f, 512 * 1024);
    mem_run(f->m);
    assert_true(weir_stream_pending(f->o.s) > 0);
    weir_stream_close(f->o.s, false);
    mem_hold(f->p.conn, false);
    run(f);
    assert_int_equal(f->o.n_closed, 1);
    assert_int_equal(f->p.r, 0);
    assert_true(f->p.plain.len < 512 * 1024);
}

static void closing_from_within_any_event_is_safe(void **state) {
    struct fix *f = *state;

    f->o.close_in_open = true;
    accept_tls(f, f->mesh_server, f->mesh_client);
    weir_stream_read_start(f->o.s);
    run(f);
    assert_int_equal(f->o.n_open, 1);
    assert_int_equal(f->o.n_closed, 1);
}

static void closing_from_within_read_drops_the_rest(void **state) {
    struct fix *f = *state;

    open_mesh(f);
    f->o.close_in_read = true;
    static char big[100 * 1024];
    peer_send(f, weir_slice_make(big, sizeof(big)));
    run(f);
    assert_int_equal(f->o.n_read, 1);
    assert_int_equal(f->o.n_closed, 1);
}

/* --- back-pressure --- */

static void a_paused_owner_pauses_the_peer(void **state) {
    struct fix *f = *state;
    static char big[1024 * 1024];

    open_mesh(f);
    f->o.stop_in_read = true;
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 7 + (i >> 9));
    peer_send(f, weir_slice_make(big, sizeof(big)));
    run(f);
    assert_int_equal(f->o.n_read, 1);
    assert_true(mem_unsent(f->p.conn) > sizeof(big) / 2);
    unsigned before = f->o.n_read;
    while (f->o.n_got < sizeof(big)) {
        weir_stream_read_start(f->o.s); /* one read, then paused again */
        run(f);
        assert_int_equal(f->o.n_read, before + 1);
        before = f->o.n_read;
    }
    assert_memory_equal(f->o.got, big, sizeof(big));
}

static void starting_again_from_within_read_does_not_nest(void **state) {
    struct fix *f = *state;
    static char big[300 * 1024];

    open_mesh(f);
    f->o.start_in_read = true; /* event_begins sees nesting */
    peer_send(f, weir_slice_make(big, sizeof(big)));
    run(f);
    assert_int_equal(f->o.n_got, sizeof(big));
}

static void an_end_waits_until_the_data_before_it_was_taken(void **state) {
    struct fix *f = *state;

    open_mesh(f);
    weir_stream_read_stop(f->o.s);
    peer_send(f, WEIR_SLICE("rest"));
    peer_shutdown(f);
    run(f);
    assert_int_equal(f->o.n_eof, 0);
    weir_stream_read_start(f->o.s);
    run(f);
    assert_got(f, "rest");
    assert_int_equal(f->o.n_eof, 1);
}

static void a_slow_peer_is_seen_in_pending_and_drain(void **state) {
    struct fix *f = *state;

    open_mesh(f);
    mem_hold(f->p.conn, true);
    write_owner_many(f, 512 * 1024);
    mem_run(f->m);
    assert_true(weir_stream_pending(f->o.s) > WEIR_STREAM_LOW_MARK);
    assert_int_equal(f->o.n_drain, 0);
    mem_hold(f->p.conn, false);
    run(f);
    assert_int_equal(weir_stream_pending(f->o.s), 0);
    assert_int_equal(f->o.n_drain, 1);
    assert_int_equal(f->p.plain.len, 512 * 1024);
}

static void one_write_of_many_segments_is_one_record(void **state) {
    struct fix *f = *state;
    struct weir_bufq q;

    open_mesh(f);
    weir_bufq_init(&q, mem_net(f->m)->pool, 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(weir_bufq_append_ref(&q, NULL, WEIR_SLICE("0123456789")), 0);
    assert_int_equal(weir_stream_write(f->o.s, &q), 0);
    mem_run(f->m);
    assert_int_equal(mem_received_len(f->p.conn), 200 + 22);
    weir_bufq_deinit(&q);
}

/* --- over another TLS stream --- */

static void tls_over_tls_carries_bytes_both_ways(void **state) {
    struct fix *f = *state;
    struct weir_tls *outer = NULL, *inner = NULL;
    struct weir_bufq wire, mid, plain, up;

    /* The proxy ends both layers: ordinary TLS outside, mesh TLS inside. */
    struct mem_conn *c = mem_client_connect(f->m, LISTENER);
    mem_run(f->m);
    own(f, f->accepted, f->server, NULL, true);
    own(f, f->o.s, f->mesh_server, NULL, true);
    weir_stream_read_start(f->o.s);
    assert_int_equal(weir_tls_new(f->client, "store.test", NULL, &outer), 0);
    assert_int_equal(weir_tls_new(f->mesh_client, NULL, STORE, &inner), 0);
    weir_bufq_init(&wire, &f->pool, 0);
    weir_bufq_init(&mid, &f->pool, 0);
    weir_bufq_init(&plain, &f->pool, 0);
    weir_bufq_init(&up, &f->pool, 0);
    assert_int_equal(weir_tls_start(outer, &wire), 0);
    assert_int_equal(weir_tls_start(inner, &up), 0);
    bool said = false;
    for (int turn = 0; turn < 20; turn++) {
        struct iovec iov;

        if (weir_tls_established(inner) && !said) {
            struct weir_bufq q;

            said = true;
            weir_bufq_init(&q, &f->pool, 0);
            assert_int_equal(weir_bufq_append(&q, WEIR_SLICE("deep")), 0);
            assert_int_equal(weir_tls_write(inner, &q, &up), 0);
            weir_bufq_deinit(&q);
        }
        if (weir_tls_established(outer))
            assert_int_equal(weir_tls_write(outer, &up, &wire), 0);
        while (weir_bufq_peek(&wire, &iov, 1) == 1) {
            mem_send_bytes(c, iov.iov_base, iov.iov_len);
            weir_bufq_consume(&wire, iov.iov_len);
        }
        mem_run(f->m);
        if (f->o.n_got > 0 && f->o.s->bytes_out == 0)
            write_owner(f, "as deep");
        mem_run(f->m);
        assert_int_equal(weir_tls_feed(outer, weir_slice_make(mem_received(c), mem_received_len(c)),
                                       &mid, &wire),
                         0);
        mem_received_clear(c);
        while (weir_bufq_peek(&mid, &iov, 1) == 1) {
            assert_int_equal(
                weir_tls_feed(inner, weir_slice_make(iov.iov_base, iov.iov_len), &plain, &up), 0);
            weir_bufq_consume(&mid, iov.iov_len);
        }
    }
    assert_int_equal(f->o.n_open, 1);
    assert_got(f, "deep");
    weir_assert_bufq(&plain, "as deep");
    weir_stream_close(f->o.s, false);
    mem_run(f->m);
    assert_int_equal(f->o.n_closed, 1);
    weir_tls_free(outer);
    weir_tls_free(inner);
    weir_bufq_deinit(&wire);
    weir_bufq_deinit(&mid);
    weir_bufq_deinit(&plain);
    weir_bufq_deinit(&up);
}

/* --- making one --- */

static void the_wrong_kind_of_ctx_is_refused(void **state) {
    struct fix *f = *state;
    struct weir_stream *s = NULL;

    mem_client_connect(f->m, LISTENER);
    mem_run(f->m);
    struct weir_tls_stream_params params = { .lower = f->accepted,
                                             .pool = mem_net(f->m)->pool,
                                             .ctx = f->mesh_client,
                                             .server = true,
                                             .lower_open = true };
    assert_int_equal(weir_tls_stream_new(&params, &s), -EINVAL);
    params.server = false;
    params.ctx = f->client; /* and no name */
    assert_int_equal(weir_tls_stream_new(&params, &s), -EINVAL);
    assert_null(s);
    assert_null(f->accepted->events);
}

struct attempt {
    struct fix *f;
    struct weir_bufq *first;
};

static int make_once(void *arg) {
    struct attempt *a = arg;
    struct weir_stream *s = NULL;
    struct weir_tls_stream_params params = { .lower = a->f->accepted,
                                             .pool = mem_net(a->f->m)->pool,
                                             .ctx = a->f->mesh_client,
                                             .lower_open = true,
                                             .first = a->first };
    int r = weir_tls_stream_new(&params, &s);

    if (r == 0) {
        a->f->o.s = s;
        s->events = &owner_events;
        s->arg = &a->f->o;
    }
    return r;
}

static void without_memory_lower_and_first_stay_the_callers(void **state) {
    struct fix *f = *state;
    struct weir_bufq first;

    mem_client_connect(f->m, LISTENER);
    mem_run(f->m);
    weir_bufq_init(&first, mem_net(f->m)->pool, 0);
    assert_int_equal(weir_bufq_append(&first, WEIR_SLICE("sniffed")), 0);
    struct attempt a = { f, &first };
    for (unsigned long n = 1;; n++) {
        weir_mem_fail_at(n, 0);
        int r = make_once(&a);
        bool met = weir_mem_failed();
        weir_mem_fail_at(0, 0);
        if (r == 0) {
            assert_int_equal(first.len, 0);
            if (!met)
                assert_true(n > 2);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        weir_assert_bufq(&first, "sniffed");
        assert_null(f->accepted->events);
    }
    weir_bufq_deinit(&first);
}

static void memory_that_runs_out_ends_the_stream_with_an_error(void **state) {
    struct fix *f = *state;

    open_mesh(f);
    peer_send(f, WEIR_SLICE("hello"));
    weir_mem_fail_at(1, 1);
    mem_run(f->m);
    bool met = weir_mem_failed();
    weir_mem_fail_at(0, 0);
    /* One or the other, never silence. */
    assert_int_equal(f->o.n_error + f->o.n_read, 1);
    assert_int_equal(f->o.n_error, met);
    if (met)
        assert_int_equal(f->o.fault.kind, WEIR_FAULT_INTERNAL);
}

static int set_up_group(void **state) {
    const char *why = "";
    int64_t now = (int64_t)time(NULL);
    static const char *const names[] = { "store.test" };

    assert_int_equal(weir_ca_new("mesh.test", now, 3600, &ca, &why), 0);
    struct weir_ca_request req = { .ca_cert = weir_slice_from_str(ca.cert),
                                   .ca_key = weir_slice_from_str(ca.key),
                                   .spiffe_id = WEB,
                                   .now = now,
                                   .lifetime = 3600 };
    assert_int_equal(weir_ca_issue(&req, &web, &why), 0);
    req.spiffe_id = STORE;
    req.dns_names = names;
    req.n_dns_names = 1;
    assert_int_equal(weir_ca_issue(&req, &store, &why), 0);
    return 0;
}

static int tear_down_group(void **state) {
    weir_pem_deinit(&ca);
    weir_pem_deinit(&web);
    weir_pem_deinit(&store);
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(an_accepted_stream_opens_and_knows_its_peer),
        T(it_works_one_byte_at_a_time),
        T(the_handshake_needs_no_reading_owner),
        T(sniffed_bytes_are_processed_by_the_first_read_start),
        T(a_dialled_stream_opens_after_its_handshake),
        T(a_refused_dial_is_an_error_and_never_opens),
        T(what_is_written_before_open_leaves_after_it),
        T(much_written_before_open_tells_drain),
        T(a_peer_with_another_identity_is_told_by_alert_before_the_error),
        T(plain_text_is_an_error_and_gets_no_tls_for_an_answer),
        T(close_notify_is_eof_and_writing_goes_on),
        T(a_bare_fin_between_mesh_peers_is_a_truncation),
        T(a_bare_fin_from_an_ordinary_peer_is_eof),
        T(a_fin_during_the_handshake_is_a_tls_fault),
        T(a_reset_is_an_error),
        T(closing_says_close_notify),
        T(closing_with_a_reset_says_nothing),
        T(closing_with_output_queued_cuts_without_close_notify),
        T(closing_from_within_any_event_is_safe),
        T(closing_from_within_read_drops_the_rest),
        T(a_paused_owner_pauses_the_peer),
        T(starting_again_from_within_read_does_not_nest),
        T(an_end_waits_until_the_data_before_it_was_taken),
        T(a_slow_peer_is_seen_in_pending_and_drain),
        T(one_write_of_many_segments_is_one_record),
        T(tls_over_tls_carries_bytes_both_ways),
        T(the_wrong_kind_of_ctx_is_refused),
        T(without_memory_lower_and_first_stay_the_callers),
        T(memory_that_runs_out_ends_the_stream_with_an_error),
    };
    return cmocka_run_group_tests_name("io/tls_stream", tests, set_up_group, tear_down_group);
}
