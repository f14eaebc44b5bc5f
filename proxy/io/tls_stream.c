/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS stream: the engine of tls/ between the owner and any lower stream. It moves bytes and tells
 * ends; what TLS means is the engine's, what a socket is the lower stream's. It sees neither libuv
 * nor OpenSSL.
 *
 * Everything happens inside an event of the lower stream or inside the owner's read_start,
 * bracketed by enter/leave: only the outermost leave delivers to the owner, so an owner that calls
 * back from within an event never sees events nested in events, and memory goes after the last of
 * them.
 *
 * Back-pressure. Towards the owner: a paused owner pauses the lower stream; what one lower read had
 * already turned into plaintext waits in `plain`. Towards the peer: ciphertext waits in the lower
 * stream alone, so its low mark and `drain` are ours.
 *
 * The end. close_notify is `eof`. A bare FIN is `eof` too for ordinary peers, many of which close
 * so, but an error between mesh peers, where both ends are known to say close_notify and its
 * absence means that bytes were cut off.
 */
#include "io/stream.h"

#include "base/mem.h"
#include "tls/tls.h"

enum end { END_NONE, END_EOF, END_ERROR };

/* Only until the handshake is done. */
struct early {
    struct weir_bufq first; /* ciphertext a sniffer had read */
    struct weir_bufq out;   /* plaintext the owner wrote */
};

struct tls_stream {
    struct weir_stream base;
    struct weir_stream *lower;
    struct weir_tls *tls;
    struct weir_chunk_pool *pool;
    struct early *early; /* NULL once the handshake is done */
    struct weir_bufq
        *plain; /* decrypted, not yet taken by the owner; NULL = none, as in an idle connection */
    const char *reason; /* why it ended; NULL = the engine knows, "" = lower does */
    struct weir_fault fault;
    uint8_t depth;
    uint8_t end; /* enum end: what comes behind `plain` */
    bool end_told;
    bool mesh, client;
    bool connected; /* lower is */
    bool kicked;    /* the owner called read_start, or lower opened: events may fire */
    bool reading;   /* the owner wants bytes */
    bool lower_reading;
    bool shutdown_wanted;
    bool closing, gone; /* gone: lower's `closed` came */
};

static struct tls_stream *of(struct weir_stream *s) {
    return (struct tls_stream *)s;
}

static bool open_for_output(const struct tls_stream *t) {
    return !t->closing && !t->shutdown_wanted && t->end != END_ERROR;
}

static void end_with(struct tls_stream *t, struct weir_fault fault, const char *reason) {
    if (t->end != END_NONE)
        return;
    t->end = END_ERROR;
    t->fault = fault;
    t->reason = reason;
}

static void end_internal(struct tls_stream *t) {
    end_with(t, WEIR_FAULT(LOCAL, INTERNAL), "out of memory");
}

static struct weir_fault peer_fault(const struct tls_stream *t, enum weir_fault_kind kind) {
    return (struct weir_fault){ t->client ? WEIR_SIDE_UPSTREAM : WEIR_SIDE_DOWNSTREAM,
                                (uint8_t)kind };
}

/* One lower write with everything in q. */
static int send(struct tls_stream *t, struct weir_bufq *q) {
    int r = q->len > 0 ? weir_stream_write(t->lower, q) : 0;

    weir_bufq_deinit(q);
    return r;
}

/* Takes all of q. A failure in the middle leaves a gap in the records: the stream cannot go on. */
static int encrypt(struct tls_stream *t, struct weir_bufq *q) {
    struct weir_bufq cipher;
    size_t n = q->len;
    int r;

    weir_bufq_init(&cipher, t->pool, 0);
    r = weir_tls_write(t->tls, q, &cipher);
    if (r > 0)
        end_with(t, weir_tls_fault(t->tls), NULL);
    if (r != 0) {
        weir_bufq_deinit(&cipher);
    } else {
        t->base.bytes_out += n;
        r = send(t, &cipher);
    }
    if (r < 0)
        end_internal(t);
    weir_bufq_clear(q);
    return r > 0 ? 0 : r;
}

static void say_shutdown(struct tls_stream *t) {
    struct weir_bufq cipher;

    weir_bufq_init(&cipher, t->pool, 0);
    weir_tls_shutdown(t->tls, &cipher);
    /* Without memory for it the peer sees a bare FIN, that is a truncation, which is true. */
    send(t, &cipher);
}

/* --- the handshake's end, the owner's events --- */

static void on_established(struct tls_stream *t) {
    struct early *early = t->early;
    bool was_above = early->out.len > WEIR_STREAM_LOW_MARK;

    t->early = NULL;
    if (early->out.len > 0)
        encrypt(t, &early->out);
    weir_bufq_deinit(&early->first);
    weir_bufq_deinit(&early->out);
    weir_free(early);
    if (t->shutdown_wanted) {
        say_shutdown(t);
        weir_stream_shutdown(t->lower);
    }
    t->base.events->open(t->base.arg);
    if (was_above && !t->closing && weir_stream_pending(t->lower) <= WEIR_STREAM_LOW_MARK)
        t->base.events->drain(t->base.arg);
}

/* --- what was decrypted --- */

static bool has_plain(const struct tls_stream *t) {
    return t->plain && t->plain->len > 0;
}

static bool plain_make(struct tls_stream *t) {
    if (t->plain)
        return true;
    t->plain = weir_malloc(sizeof(*t->plain));
    if (!t->plain)
        return false;
    weir_bufq_init(t->plain, t->pool, 0);
    return true;
}

static void plain_free(struct tls_stream *t) {
    if (!t->plain)
        return;
    weir_bufq_deinit(t->plain);
    t->plain = weir_free(t->plain);
}

static void feed(struct tls_stream *t, struct weir_slice bytes) {
    struct weir_bufq cipher;
    int r;

    if (!plain_make(t)) {
        end_internal(t);
        return;
    }
    weir_bufq_init(&cipher, t->pool, 0);
    r = weir_tls_feed(t->tls, bytes, t->plain, &cipher);
    /* Also after a fault: the alert tells the peer why. */
    if (send(t, &cipher) < 0)
        end_internal(t);
    if (t->early && weir_tls_established(t->tls) && t->end == END_NONE)
        on_established(t);
    if (r == WEIR_TLS_EOF && t->end == END_NONE)
        t->end = END_EOF;
    else if (r == WEIR_TLS_FAULT)
        end_with(t, weir_tls_fault(t->tls), NULL);
    else if (r < 0)
        end_internal(t);
}

static void feed_first(struct tls_stream *t) {
    struct weir_bufq first;
    struct iovec iov;

    if (!t->kicked || !t->connected || !t->early || t->early->first.len == 0)
        return;
    weir_bufq_init(&first, t->pool, 0);
    if (weir_bufq_move(&first, &t->early->first, t->early->first.len) < 0)
        end_internal(t);
    while (!t->closing && t->end == END_NONE && weir_bufq_peek(&first, &iov, 1) == 1) {
        feed(t, weir_slice_make(iov.iov_base, iov.iov_len));
        weir_bufq_consume(&first, iov.iov_len);
    }
    weir_bufq_deinit(&first);
}

static void deliver_plain(struct tls_stream *t) {
    while (t->reading && !t->closing && has_plain(t)) {
        const struct weir_seg *seg = &t->plain->segs[t->plain->head];
        struct weir_chunk *chunk = weir_chunk_ref(seg->chunk);
        struct weir_slice bytes = weir_slice_make(seg->ptr, seg->len);

        weir_bufq_consume(t->plain, bytes.len);
        t->base.bytes_in += bytes.len;
        t->base.events->read(t->base.arg, chunk, bytes);
        weir_chunk_unref(chunk);
    }
}

static bool end_is_due(const struct tls_stream *t) {
    return !t->closing && !t->end_told && !has_plain(t) &&
           (t->end == END_ERROR || (t->end == END_EOF && t->reading));
}

static void tell_end(struct tls_stream *t) {
    if (!end_is_due(t))
        return;
    t->end_told = true;
    if (t->end == END_EOF)
        t->base.events->eof(t->base.arg);
    else
        t->base.events->error(t->base.arg, t->fault);
}

/* The handshake reads whether the owner does or not. */
static void match_lower_reading(struct tls_stream *t) {
    bool wanted = t->connected && t->kicked && t->end == END_NONE && (t->early || t->reading);

    if (t->closing || wanted == t->lower_reading)
        return;
    t->lower_reading = wanted;
    if (wanted)
        weir_stream_read_start(t->lower);
    else
        weir_stream_read_stop(t->lower);
}

/* --- enter and leave --- */

static void destroy(struct tls_stream *t) {
    if (t->base.events && t->base.events->closed)
        t->base.events->closed(t->base.arg);
    weir_tls_free(t->tls);
    plain_free(t);
    if (t->early) {
        weir_bufq_deinit(&t->early->first);
        weir_bufq_deinit(&t->early->out);
        weir_free(t->early);
    }
    weir_free(t);
}

static void enter(struct tls_stream *t) {
    t->depth++;
}

/* Lower may deliver from within its read_start (it can be a TLS stream itself): hence again. */
static void settle(struct tls_stream *t) {
    do {
        feed_first(t);
        deliver_plain(t);
        tell_end(t);
        match_lower_reading(t);
    } while (!t->closing && ((t->reading && has_plain(t)) || end_is_due(t)));
}

static void leave(struct tls_stream *t) {
    if (t->depth == 1)
        settle(t);
    if (--t->depth > 0)
        return;
    if (!has_plain(t))
        plain_free(t);
    if (t->gone)
        destroy(t);
}

/* --- what the lower stream tells --- */

static int start_handshake(struct tls_stream *t) {
    struct weir_bufq cipher;
    int r;

    if (!t->client)
        return 0;
    weir_bufq_init(&cipher, t->pool, 0);
    r = weir_tls_start(t->tls, &cipher);
    if (r == WEIR_TLS_FAULT)
        end_with(t, weir_tls_fault(t->tls), NULL);
    if (r == 0)
        return send(t, &cipher);
    weir_bufq_deinit(&cipher);
    return r < 0 ? r : 0;
}

static void lower_open(void *arg) {
    struct tls_stream *t = arg;

    enter(t);
    t->connected = t->kicked = true;
    if (!t->closing && start_handshake(t) < 0)
        end_internal(t);
    leave(t);
}

static void lower_read(void *arg, struct weir_chunk *chunk, struct weir_slice bytes) {
    struct tls_stream *t = arg;

    (void)chunk;
    enter(t);
    if (!t->closing && t->end == END_NONE)
        feed(t, bytes);
    leave(t);
}

static void lower_eof(void *arg) {
    struct tls_stream *t = arg;

    enter(t);
    if (t->early)
        end_with(t, peer_fault(t, WEIR_FAULT_TLS), "closed during handshake");
    else if (t->mesh)
        end_with(t, peer_fault(t, WEIR_FAULT_EOF), "closed without close_notify");
    else if (t->end == END_NONE)
        t->end = END_EOF;
    leave(t);
}

static void lower_drain(void *arg) {
    struct tls_stream *t = arg;

    enter(t);
    if (!t->early && open_for_output(t))
        t->base.events->drain(t->base.arg);
    leave(t);
}

static void lower_error(void *arg, struct weir_fault fault) {
    struct tls_stream *t = arg;

    enter(t);
    /* Not behind what a paused owner has not taken yet: nobody could tell it otherwise that its
     * output goes nowhere. */
    plain_free(t);
    if (t->end == END_EOF) {
        t->end = END_NONE;
        t->end_told = false;
    }
    end_with(t, fault, "");
    leave(t);
}

static void lower_closed(void *arg) {
    struct tls_stream *t = arg;

    enter(t);
    t->closing = t->gone = true;
    leave(t);
}

static const struct weir_stream_events lower_events = {
    .open = lower_open,
    .read = lower_read,
    .eof = lower_eof,
    .drain = lower_drain,
    .error = lower_error,
    .closed = lower_closed,
};

/* --- what the owner asks --- */

static void tls_read_start(struct weir_stream *s) {
    struct tls_stream *t = of(s);

    enter(t);
    t->kicked = t->reading = true;
    leave(t);
}

static void tls_read_stop(struct weir_stream *s) {
    struct tls_stream *t = of(s);

    t->reading = false;
    if (t->depth == 0)
        match_lower_reading(t);
}

static int tls_write(struct weir_stream *s, struct weir_bufq *q) {
    struct tls_stream *t = of(s);

    if (!open_for_output(t)) {
        weir_bufq_clear(q);
        return 0;
    }
    if (t->early)
        return weir_bufq_move(&t->early->out, q, q->len);
    return q->len > 0 ? encrypt(t, q) : 0;
}

static void tls_shutdown(struct weir_stream *s) {
    struct tls_stream *t = of(s);

    if (!open_for_output(t))
        return;
    t->shutdown_wanted = true;
    if (!t->early) {
        say_shutdown(t);
        weir_stream_shutdown(t->lower);
    }
}

static void tls_close(struct weir_stream *s, bool reset) {
    struct tls_stream *t = of(s);

    if (t->closing)
        return;
    enter(t);
    /* With output still queued, which closing drops, a bare FIN is the honest end. */
    if (!reset && !t->early && open_for_output(t) && weir_stream_pending(t->lower) == 0)
        say_shutdown(t);
    t->closing = true;
    plain_free(t);
    weir_stream_close(t->lower, reset);
    leave(t);
}

static size_t tls_pending(const struct weir_stream *s) {
    const struct tls_stream *t = (const struct tls_stream *)s;

    return weir_stream_pending(t->lower) + (t->early ? t->early->out.len : 0);
}

static void tls_info(struct weir_stream *s, struct weir_stream_info *ret_info) {
    struct tls_stream *t = of(s);

    weir_stream_info(t->lower, ret_info);
    ret_info->tls = true;
    ret_info->alpn = weir_tls_alpn(t->tls);
    ret_info->peer = weir_tls_peer(t->tls);
    ret_info->peer_hash = weir_tls_peer_hash(t->tls);
    ret_info->sni = weir_tls_sni(t->tls);
    ret_info->resumed = weir_tls_resumed(t->tls);
    if (t->end == END_ERROR && !t->reason)
        ret_info->fault_reason = weir_tls_fault_reason(t->tls);
    else if (t->end == END_ERROR && t->reason[0])
        ret_info->fault_reason = t->reason;
}

static uint8_t tls_first(struct weir_stream *s, uint8_t spoke) {
    return weir_stream_first(of(s)->lower, spoke);
}

static const struct weir_stream_ops tls_ops = {
    .name = "tls",
    .read_start = tls_read_start,
    .read_stop = tls_read_stop,
    .write = tls_write,
    .shutdown = tls_shutdown,
    .close = tls_close,
    .pending = tls_pending,
    .info = tls_info,
    .first = tls_first,
};

/* Everything that can fail; lower and first are untouched until the last step that can. */
static int set_up(struct tls_stream *t, const struct weir_tls_stream_params *p) {
    int r = weir_tls_new(p->ctx, p->sni, p->expect, &t->tls);

    if (r < 0)
        return r;
    t->early = weir_calloc(1, sizeof(*t->early));
    if (!t->early)
        return -ENOMEM;
    weir_bufq_init(&t->early->first, t->pool, 0);
    weir_bufq_init(&t->early->out, t->pool, 0);
    if (p->first) {
        r = weir_bufq_move(&t->early->first, p->first, p->first->len);
        if (r < 0)
            return r;
    }
    if (t->connected) {
        r = start_handshake(t);
        if (r < 0 && p->first)
            /* Cannot fail: the slots it came from are still there. */
            (void)!weir_bufq_move(p->first, &t->early->first, t->early->first.len);
    }
    return r;
}

int weir_tls_stream_new(const struct weir_tls_stream_params *params,
                        struct weir_stream **ret_stream) {
    enum weir_tls_mode mode = weir_tls_ctx_mode(params->ctx);
    bool server = mode == WEIR_TLS_SERVER || mode == WEIR_TLS_MESH_SERVER;
    struct tls_stream *t;
    int r;

    if (server != params->server)
        return -EINVAL;
    t = weir_calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->base.ops = &tls_ops;
    t->lower = params->lower;
    t->pool = params->pool;
    t->client = !server;
    t->mesh = mode == WEIR_TLS_MESH_SERVER || mode == WEIR_TLS_MESH_CLIENT;
    t->connected = params->lower_open;
    r = set_up(t, params);
    if (r < 0) {
        destroy(t);
        return r;
    }
    t->lower->events = &lower_events;
    t->lower->arg = t;
    *ret_stream = &t->base;
    return 0;
}
