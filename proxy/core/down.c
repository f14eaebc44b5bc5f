/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The downstream role: what a new connection is (sniffing, TLS, mesh or the application's own), its requests as txns,
 * its deadlines.
 */
#include "core/down.h"

#include "base/mem.h"
#include "core/admit.h"
#include "core/detect.h"
#include "core/gateway.h"
#include "core/hello.h"
#include "core/pipe.h"
#include "core/relay.h"
#include "core/source.h"
#include "core/txn.h"
#include "http/client_hello.h"
#include "http/fault.h"
#include "http/sniff.h"

/* How long an idle client has, once it was told that we go, before it is told which request was the last. */
#define DRAIN_NOTICE_US (1000u * 1000u)

static bool is_sidecar(const struct weir_conn *c) {
    return c->dir == WEIR_DIR_INBOUND || c->dir == WEIR_DIR_OUTBOUND;
}

/* Without TLS any will do here: each request says whose it is (decide.c). */
static struct weir_parent *gateway_parent(const struct weir_conn *c, const struct weir_port *port) {
    if (!port || !port->tls || !c->info.tls)
        return port ? port->first : NULL;
    return weir_port_listener(port, weir_slice_from_str(c->info.sni));
}

struct weir_parent *weir_down_parent(struct weir_conn *c) {
    struct weir_worker *w = c->worker;
    struct weir_runtime *rt = w->epoch->rt;

    if (c->parent_epoch == w->epoch)
        return c->parent;
    if (c->parent_epoch)
        weir_epoch_unuse(c->parent_epoch);
    c->parent_epoch = weir_epoch_use(w);
    switch ((enum weir_direction)c->dir) {
    case WEIR_DIR_REVERSE:
        c->parent = rt->reverse;
        break;
    case WEIR_DIR_GATEWAY:
        c->parent = gateway_parent(c, weir_runtime_port(rt, c->port));
        break;
    case WEIR_DIR_OUTBOUND:
        c->parent = weir_runtime_outbound(rt, &c->info.original, c->info.original_port);
        break;
    case WEIR_DIR_INBOUND:
        c->parent = weir_runtime_inbound(rt, c->info.local_port);
        break;
    }
    return c->parent;
}

/* It speaks first: no server-first protocol. The rest has the time of a head. */
static void sniff_on(struct weir_conn *c) {
    weir_worker_deadline(c->worker, &c->deadline,
                         c->since + weir_worker_limits(c->worker)->head_timeout_us);
}

/* A port on which servers have been seen to speak first, and a caller that may be relayed as it comes. */
static bool expects_server(struct weir_conn *c, const struct weir_parent *p) {
    const char *policy;

    return is_sidecar(c) && !p->http && p->own &&
           (c->dir == WEIR_DIR_OUTBOUND || c->info.peer || p->mtls != WEIR_MTLS_STRICT) &&
           weir_detect_expects_server(c) && weir_judge_relay(c, &policy);
}

/* The client has spoken first, and this is what. Where it is declared to nobody has to learn it. */
static void client_spoke(struct weir_conn *c, const struct weir_parent *p, uint8_t spoke) {
    if (is_sidecar(c) && p && !p->http)
        weir_detect_spoke(c, spoke);
}

/* What it carries is for its first bytes to say. */
static void await_bytes(struct weir_conn *c, struct weir_parent *p) {
    struct weir_worker *w = c->worker;
    const struct weir_limits_spec *limits = weir_worker_limits(w);

    c->state = WEIR_CONN_SNIFF;
    c->since = weir_worker_now(w);
    if (expects_server(c, p)) {
        weir_count(&w->metrics, WEIR_C_DETECT_KNOWN, 1);
        weir_relay_start_tentative(c, weir_worker_target(w, p->own));
        return;
    }
    weir_worker_deadline(w, &c->deadline,
                         c->since +
                             (is_sidecar(c) ? limits->detect_timeout_us : limits->head_timeout_us));
    weir_conn_update_reading(c);
}

static bool begins_with_tls(const struct weir_parent *p) {
    return p->at ? p->at->tls : p->tls != NULL;
}

/* On a Gateway's port the ClientHello says with which certificate. */
static void begin_tls(struct weir_conn *c, const struct weir_parent *p) {
    if (p->at)
        weir_hello_begin(c);
    else if (weir_handshake_start(c, p->tls) < 0)
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
}

void weir_down_accept(struct weir_worker *w, struct weir_stream *s, const struct weir_listener *l) {
    struct weir_conn *c = weir_admit(w, s);
    struct weir_parent *p;

    if (!c)
        return;
    c->dir = (uint8_t)l->dir;
    c->port = l->port;
    c->state = WEIR_CONN_SNIFF;
    weir_stream_info(s, &c->info);
    p = weir_down_parent(c);
    if (!p) {
        weir_conn_fail(c, WEIR_FAULT(LOCAL, NO_ROUTE));
        return;
    }
    if (weir_source_due(c)) {
        c->header_due = true;
        sniff_on(c);
        weir_conn_update_reading(c);
    } else if (!weir_admit_source(c)) {
        return;
    } else if (begins_with_tls(p)) {
        begin_tls(c, p);
    } else {
        await_bytes(c, p);
    }
}

/* By a reset: nothing else tells a protocol we do not know that it was not served. */
static void refuse_relay(struct weir_conn *c, const char *policy) {
    struct weir_fault fault =
        c->info.peer ? WEIR_FAULT(DOWNSTREAM, IDENTITY) : WEIR_FAULT(DOWNSTREAM, DENIED);

    if (c->info.peer)
        weir_count(&c->worker->metrics, WEIR_C_IDENTITY_REFUSED, 1);
    weir_count_fault(&c->worker->metrics, fault);
    weir_relay_log(c, fault, policy);
    weir_conn_cut(c);
}

/* Bytes that are not ours to read: at least who sends them is. `silent`: none have come. */
static void start_relay(struct weir_conn *c, bool silent) {
    struct weir_parent *p = weir_down_parent(c);
    const char *policy = "";

    if (!p || !p->own)
        weir_conn_fail(c, WEIR_FAULT(LOCAL, NO_ROUTE));
    else if (!weir_judge_relay(c, &policy))
        refuse_relay(c, policy);
    else if (silent)
        weir_relay_start_tentative(c, weir_worker_target(c->worker, p->own));
    else
        weir_relay_start(c, weir_worker_target(c->worker, p->own));
}

/* True when the mesh allows this plaintext (or application TLS) connection at all. */
static bool plaintext_allowed(struct weir_conn *c) {
    const struct weir_parent *p = weir_down_parent(c);

    if (c->dir != WEIR_DIR_INBOUND || c->info.peer || (p && p->mtls != WEIR_MTLS_STRICT))
        return true;
    weir_conn_fail(c, WEIR_FAULT(DOWNSTREAM, IDENTITY));
    return false;
}

static bool is_mesh(const struct weir_client_hello *hello) {
    return weir_client_hello_offers(hello, WEIR_SLICE(WEIR_ALPN_MESH_HTTP)) ||
           weir_client_hello_offers(hello, WEIR_SLICE(WEIR_ALPN_MESH_TCP));
}

static void sniffed_tls(struct weir_conn *c, struct weir_slice bytes) {
    struct weir_client_hello hello = { WEIR_SLICE_NONE, WEIR_SLICE_NONE };
    char join[WEIR_CLIENT_HELLO_MAX];
    struct weir_tls_ctx *ctx = c->worker->epoch->rt->tls.mesh_server;
    int r;

    if (!is_sidecar(c)) { /* TLS to a plaintext listener: nothing useful can be answered */
        weir_conn_fail(c, WEIR_FAULT(DOWNSTREAM, TLS));
        return;
    }
    r = weir_client_hello_parse(bytes, join, &hello);
    if (r == -EAGAIN && bytes.len < WEIR_CLIENT_HELLO_MAX) {
        sniff_on(c);
        return;
    }
    if (r == 0 && ctx && c->dir == WEIR_DIR_INBOUND && !c->info.tls && is_mesh(&hello)) {
        if (weir_handshake_start(c, ctx) < 0)
            weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
        return;
    }
    c->own_tls = true;
    if (!plaintext_allowed(c))
        return;
    client_spoke(c, weir_down_parent(c), WEIR_SPOKE_TLS);
    start_relay(c, false);
}

/*
 * Some servers take lines for requests that we do not: two blanks, a tab, a path without slash. Where the port is declared HTTP such
 * text is not relayed, or its fields (who called, above all) would reach the application as the client wrote them.
 */
static bool is_text(struct weir_slice bytes) {
    size_t i = 0;

    while (i < bytes.len && memchr(" \t\r\n", bytes.ptr[i], 4))
        i++;
    return i < bytes.len && (bytes.ptr[i] | 0x20) >= 'a' && (bytes.ptr[i] | 0x20) <= 'z';
}

static void sniffed(struct weir_conn *c, enum weir_sniff verdict, struct weir_slice bytes) {
    const struct weir_parent *p = weir_down_parent(c);

    if (verdict == WEIR_SNIFF_TLS) {
        sniffed_tls(c, bytes);
        return;
    }
    if (!plaintext_allowed(c))
        return;
    if (is_sidecar(c) &&
        ((p && p->bytes) || (verdict == WEIR_SNIFF_OPAQUE && !(p && p->http && is_text(bytes))))) {
        client_spoke(c, p, WEIR_SPOKE_BYTES);
        start_relay(c, false);
        return;
    }
    client_spoke(c, p, verdict == WEIR_SNIFF_H2 ? WEIR_SPOKE_HTTP2 : WEIR_SPOKE_HTTP1);
    if (weir_conn_start_http(c, verdict == WEIR_SNIFF_H2) < 0)
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
}

struct weir_slice weir_down_held(struct weir_conn *c) {
    struct weir_bufq joined;
    char *p;

    if (c->held->count > 1) {
        weir_bufq_init(&joined, c->worker->pool, 0);
        p = c->held->len <= WEIR_CLIENT_HELLO_MAX ? weir_bufq_reserve(&joined, c->held->len) : NULL;
        if (!p) {
            weir_bufq_deinit(&joined);
            return WEIR_SLICE_NONE;
        }
        for (uint32_t i = 0, n = 0; i < c->held->count; i++) {
            const struct weir_seg *seg = &c->held->segs[(c->held->head + i) & (c->held->cap - 1)];

            memcpy(p + n, seg->ptr, seg->len);
            n += (uint32_t)seg->len;
        }
        weir_bufq_commit(&joined, c->held->len);
        weir_bufq_clear(c->held);
        weir_bufq_move(c->held, &joined, joined.len);
        weir_bufq_deinit(&joined);
    }
    return weir_slice_make(c->held->segs[c->held->head & (c->held->cap - 1)].ptr, c->held->len);
}

/* False: more of the PROXY header must come, nothing but it has come, or the connection goes on as something else. */
static bool header_taken(struct weir_conn *c) {
    const struct weir_parent *p = weir_down_parent(c);
    int r = weir_source_take(c);

    if (r == 1)
        return false;
    if (r < 0 || !p) {
        weir_conn_fail(c, r == -EPROTO ? WEIR_FAULT(DOWNSTREAM, PROTOCOL)
                          : r < 0      ? WEIR_FAULT(LOCAL, INTERNAL)
                                       : WEIR_FAULT(LOCAL, NO_ROUTE));
        return false;
    }
    if (!weir_admit_source(c))
        return false;
    if (!begins_with_tls(p))
        return c->held != NULL;
    begin_tls(c, p);
    return false;
}

void weir_down_read(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct weir_slice all;
    enum weir_sniff verdict;

    if (weir_conn_hold(c, chunk, bytes) < 0) {
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
        return;
    }
    if (c->header_due && !header_taken(c))
        return;
    all = weir_down_held(c);
    if (!all.ptr) {
        weir_conn_fail(c, WEIR_FAULT(DOWNSTREAM, HEAD_TOO_LARGE));
        return;
    }
    verdict = weir_sniff(all);
    if (verdict == WEIR_SNIFF_MORE) {
        sniff_on(c);
        return;
    }
    sniffed(c, verdict, all);
}

/* The other sidecar took it for no HTTP; whoever it is, that is for us to see: HTTP has its fields checked. */
static void opened_opaque(struct weir_conn *c) {
    struct weir_parent *p = weir_down_parent(c);

    if (p)
        await_bytes(c, p);
    else
        weir_conn_fail(c, WEIR_FAULT(LOCAL, NO_ROUTE));
}

/* The TLS handshake is done. */
void weir_down_open(struct weir_conn *c) {
    bool h2 = weir_slice_eq(c->info.alpn, WEIR_SLICE("h2")) ||
              weir_slice_eq(c->info.alpn, WEIR_SLICE(WEIR_ALPN_MESH_HTTP));

    weir_count(&c->worker->metrics, WEIR_C_TLS_HANDSHAKES, 1);
    weir_count(&c->worker->metrics, WEIR_C_TLS_RESUMED, c->info.resumed);
    weir_handshake_over(c);
    if (c->info.peer && c->dir == WEIR_DIR_INBOUND)
        weir_admit_peer(c);
    if (c->source)
        weir_source_apply(c);
    if (weir_slice_eq(c->info.alpn, WEIR_SLICE(WEIR_ALPN_MESH_TCP))) {
        opened_opaque(c);
        return;
    }
    if (c->dir == WEIR_DIR_GATEWAY && c->parent && c->parent->opaque) {
        weir_hello_opened(c);
        return;
    }
    weir_worker_deadline(c->worker, &c->deadline,
                         weir_worker_now(c->worker) +
                             weir_worker_limits(c->worker)->head_timeout_us);
    if (weir_conn_start_http(c, h2) < 0)
        weir_conn_fail(c, WEIR_FAULT(LOCAL, INTERNAL));
}

/* Nothing runs on it. */
void weir_down_idle(struct weir_conn *c) {
    uint64_t now = weir_worker_now(c->worker);

    if (c->worker->draining && c->held == NULL && (weir_conn_is_h2(c) || !c->worker->patient)) {
        /* HTTP/2: the codec closes when the client has answered the notice; what it sent before that is served. */
        if (weir_conn_is_h2(c))
            weir_worker_deadline(c->worker, &c->deadline, now + DRAIN_NOTICE_US);
        else if (c->used_before)
            weir_conn_close(c);
        return; /* one that came just before has its first request served, if it comes in time */
    }
    c->since = now;
    if (c->heads_open == 0)
        weir_worker_deadline(c->worker, &c->deadline,
                             now + weir_worker_limits(c->worker)->idle_timeout_us);
    weir_conn_rest(c);
}

/* ---- deadlines ---- */

/* HTTP/2 (or an HTTP/1 client that never began): the notice and, behind it, the last stream that was served. */
void weir_down_goodbye(struct weir_conn *c) {
    if (!weir_conn_is_h2(c)) {
        weir_conn_close(c); /* a keep-alive connection nobody uses: no fault */
        return;
    }
    c->codec->ops->drain(c->codec);
    c->codec->ops->drain(c->codec);
    c->codec->must_close = true;
    weir_conn_dirty(c);
}

static void head_late(struct weir_conn *c) {
    struct weir_fault fault = WEIR_FAULT(DOWNSTREAM, TIMEOUT_HEAD);

    c->heads_open = 0;
    if (weir_conn_is_h2(c))
        weir_conn_fail(c, fault);
    else
        weir_txn_reply_fault(WEIR_CONTAINER_OF(c->txns.prev, struct weir_txn, down_node), fault,
                             "");
}

static void http_deadline(struct weir_conn *c) {
    uint64_t now = weir_worker_now(c->worker);
    uint64_t mark = c->mark_out;

    if (c->heads_open > 0 && now >= c->head_due && !weir_list_empty(&c->txns)) {
        head_late(c);
    } else if (weir_conn_output_stalled(c)) {
        weir_conn_fail(c, WEIR_FAULT(DOWNSTREAM, TIMEOUT_BODY));
        return;
    } else if (c->eof && c->mark_out == mark) {
        /* Nobody waits that long with half a connection: the client is gone. */
        weir_conn_fail(c, WEIR_FAULT(DOWNSTREAM, EOF));
        return;
    } else if (weir_list_empty(&c->txns)) {
        weir_count(&c->worker->metrics, WEIR_C_DOWN_IDLE_CLOSED, 1);
        weir_down_goodbye(c);
        return;
    }
    WEIR_LIST_FOREACH_SAFE (it, next, &c->txns) {
        weir_txn_watch_down(WEIR_CONTAINER_OF(it, struct weir_txn, down_node));
    }
    if (c->state != WEIR_CONN_HTTP)
        return;
    weir_conn_watch(c);
    if (c->heads_open > 0 && c->head_due < c->deadline.due)
        weir_worker_deadline(c->worker, &c->deadline, c->head_due);
}

/* Nothing decisive came. A server that speaks first is not kept waiting, unless it is known to speak HTTP. */
static void sniff_deadline(struct weir_conn *c) {
    const struct weir_parent *p = weir_down_parent(c);
    uint64_t limit = c->since + weir_worker_limits(c->worker)->head_timeout_us;

    if (!is_sidecar(c) || c->held || weir_worker_now(c->worker) >= limit)
        weir_conn_fail(c, WEIR_FAULT(DOWNSTREAM, TIMEOUT_HEAD));
    else if (p && (p->http ||
                   (c->dir == WEIR_DIR_INBOUND && !c->info.peer && p->mtls == WEIR_MTLS_STRICT)))
        sniff_on(c); /* the client speaks first there, however late */
    else {
        weir_count(&c->worker->metrics, WEIR_C_DETECT_WAITS, 1);
        start_relay(c, true);
    }
}

void weir_down_deadline(struct weir_conn *c) {
    switch (c->state) {
    case WEIR_CONN_SNIFF:
        sniff_deadline(c);
        break;
    case WEIR_CONN_HELLO:
    case WEIR_CONN_HANDSHAKE:
        weir_conn_fail(c, WEIR_FAULT(DOWNSTREAM, TIMEOUT_HANDSHAKE));
        break;
    case WEIR_CONN_HTTP:
        http_deadline(c);
        break;
    default:
        break;
    }
}

/* ---- codec events ---- */

/*
 * The codec may have more to tell of bytes it was given, though what it told first has ended the connection: all exchanges on it have
 * been told and are gone.
 */
static bool over(const struct weir_conn *c) {
    return c->state != WEIR_CONN_HTTP;
}

static int on_begin(void *arg, struct weir_cstream *cs) {
    struct weir_conn *c = arg;
    struct weir_txn *t = over(c) ? NULL : weir_txn_new(c, cs);

    if (!t)
        return 1;
    cs->user = t;
    cs->head = &t->req;
    c->used_before = true;
    if (c->worker->draining && !weir_conn_is_h2(c))
        c->codec->ops->drain(c->codec);
    if (c->heads_open++ == 0)
        c->head_due = weir_worker_now(c->worker) + weir_worker_limits(c->worker)->head_timeout_us;
    return 0;
}

static void on_head(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk) {
    struct weir_conn *c = arg;

    if (over(c))
        return;
    if (c->heads_open > 0)
        c->heads_open--;
    weir_txn_request_head(cs->user, chunk);
}

static void on_data(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                    struct weir_slice bytes) {
    if (!over(arg))
        weir_txn_request_data(cs->user, chunk, bytes);
}

static void on_end(void *arg, struct weir_cstream *cs) {
    if (!over(arg))
        weir_txn_request_end(cs->user);
}

static void exchange_over(struct weir_conn *c, struct weir_cstream *cs, struct weir_fault fault) {
    struct weir_txn *t = cs->user;

    if (!t || over(c))
        return;
    if (t->phase == WEIR_TXN_HEAD && c->heads_open > 0)
        c->heads_open--;
    t->down_cs = NULL;
    weir_txn_finish(t, fault);
    if (!c->pulling)
        weir_conn_dirty(c);
}

static void on_reset(void *arg, struct weir_cstream *cs, struct weir_fault fault) {
    exchange_over(arg, cs, fault);
}

static void on_codec_closed(void *arg, struct weir_cstream *cs) {
    exchange_over(arg, cs, (struct weir_fault){ 0, 0 });
}

static void on_draining(void *arg) {
    (void)arg; /* a client's GOAWAY: it opens no more streams, those open go on */
}

const struct weir_codec_events weir_down_codec_events = {
    .begin = on_begin,
    .head = on_head,
    .data = on_data,
    .end = on_end,
    .reset = on_reset,
    .closed = on_codec_closed,
    .draining = on_draining,
};
