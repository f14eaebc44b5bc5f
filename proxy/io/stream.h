/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte stream: TCP (io/tcp.c), TLS over another stream (io/tls_stream.c), or memory
 * (tests/support). The owner sets events and arg right after it got the stream and calls the
 * functions below; it never sees a descriptor.
 *
 * Closing has two steps: weir_stream_close may be called at any time and repeatedly, also from
 * within an event; no event but `closed` follows, and the stream's memory goes right after `closed`
 * returned.
 */
#ifndef WEIR_IO_STREAM_H
#define WEIR_IO_STREAM_H

#include "base/bufq.h"
#include "base/fault.h"
#include "conf/model.h"

struct weir_stream;
struct weir_identity;

struct weir_stream_events {
    /* A dialled stream is connected (and its TLS handshake done), or an accepted TLS stream's
     * handshake is. */
    void (*open)(void *arg);
    /* n > 0 bytes, borrowed: valid until return unless the chunk is referenced. */
    void (*read)(void *arg, struct weir_chunk *chunk, struct weir_slice bytes);
    /* The peer sent FIN (or close_notify). Writing goes on. */
    void (*eof)(void *arg);
    /* Queued output fell to or below the low mark after having been above it. */
    void (*drain)(void *arg);
    /* The stream is dead (connect failed, reset, TLS fault); the owner must call weir_stream_close.
     */
    void (*error)(void *arg, struct weir_fault fault);
    void (*closed)(void *arg);
};

struct weir_stream_info {
    struct weir_ip local, remote;
    struct weir_ip original;
    uint16_t local_port, remote_port, original_port;
    bool has_original : 1; /* SO_ORIGINAL_DST answered (outbound steering) */
    bool tls : 1;          /* this and the fields below are meaningful */
    bool resumed : 1;      /* the session, by ticket */
    struct weir_slice alpn;
    const struct weir_identity *peer; /* NULL = none */
    const char *peer_hash;            /* as weir_tls_peer_hash */
    const char *sni;
    const char *fault_reason; /* after error: a short stable word for the log, or "" */
};

struct weir_stream_ops {
    const char *name;
    /* Reading is off at first. Both may be repeated. */
    void (*read_start)(struct weir_stream *s);
    void (*read_stop)(struct weir_stream *s);
    /* Takes all of *q (left empty), writes now what the peer takes now, the rest when it can. 0 or
     * -ENOMEM. */
    int (*write)(struct weir_stream *s, struct weir_bufq *q);
    /* FIN (after close_notify on TLS) once everything queued has left. */
    void (*shutdown)(struct weir_stream *s);
    /* reset: RST instead of FIN, dropping queued output; otherwise queued output is dropped too and
     * FIN sent. */
    void (*close)(struct weir_stream *s, bool reset);
    /* Bytes queued and not yet taken by the peer's kernel (or the TLS layer below). */
    size_t (*pending)(const struct weir_stream *s);
    /* All pointers valid until close. */
    void (*info)(struct weir_stream *s, struct weir_stream_info *ret_info);
    /* As weir_stream_first; NULL = nothing is known of such streams. */
    uint8_t (*first)(struct weir_stream *s, uint8_t spoke);
};

struct weir_stream {
    const struct weir_stream_ops *ops;
    const struct weir_stream_events *events;
    void *arg;
    uint64_t bytes_in, bytes_out; /* payload bytes of this layer */
};

/* Output queued beyond this is "above the low mark": the owner should stop its source until
 * `drain`. */
#define WEIR_STREAM_LOW_MARK (16u * 1024u)

static inline void weir_stream_read_start(struct weir_stream *s) {
    s->ops->read_start(s);
}
static inline void weir_stream_read_stop(struct weir_stream *s) {
    s->ops->read_stop(s);
}
static inline int weir_stream_write(struct weir_stream *s, struct weir_bufq *q) {
    return s->ops->write(s, q);
}
static inline void weir_stream_shutdown(struct weir_stream *s) {
    s->ops->shutdown(s);
}
static inline void weir_stream_close(struct weir_stream *s, bool reset) {
    s->ops->close(s, reset);
}
static inline size_t weir_stream_pending(const struct weir_stream *s) {
    return s->ops->pending(s);
}
static inline void weir_stream_info(struct weir_stream *s, struct weir_stream_info *ret_info) {
    s->ops->info(s, ret_info);
}
/*
 * Who has spoken first on connections like this accepted one, as the kernel half remembers it for the whole node: bits as
 * weir_first_sides(); 0 = nothing is known, or there is no kernel half. `spoke` (WEIR_SPOKE_*) reports what this connection
 * has shown, once; WEIR_SPOKE_NOBODY only asks. One system call.
 */
static inline uint8_t weir_stream_first(struct weir_stream *s, uint8_t spoke) {
    return s->ops->first ? s->ops->first(s, spoke) : 0;
}

/*
 * TLS over `lower` (taken over: its events and arg are replaced; it is closed with the TLS stream).
 * Works over any stream. `sni` and `expect` as weir_tls_new; server modes take NULL. `first`:
 * ciphertext already read from lower by a sniffer (chunk may be NULL when empty); it is processed
 * after this returns, never from within. The `open` event tells the end of the handshake. 0,
 * -ENOMEM, -EINVAL (`server` is not what ctx is for, or an ordinary client without a name); lower
 * and first are then untouched.
 *
 * The owner calls read_start right after setting events: that begins the handshake of an open lower
 * stream and processes `first`. read_start may deliver `open`, `read`, `eof` and `error` from
 * within, here and whenever a paused owner resumes: what was decrypted already has no later event
 * to come with. Never nested in another event of this stream. close_notify is `eof`; a FIN without
 * it too, but between mesh peers an error of kind EOF. Plaintext written before `open` waits; close
 * without reset says close_notify when nothing is queued.
 */
struct weir_tls_ctx;
struct weir_tls_stream_params {
    struct weir_stream *lower;
    struct weir_chunk_pool *pool;
    struct weir_tls_ctx *ctx;
    const char *sni, *expect;
    bool server;
    bool lower_open;         /* lower is connected already (accepted); false: wait for its `open` */
    struct weir_bufq *first; /* may be NULL; taken over, left empty */
};
int weir_tls_stream_new(const struct weir_tls_stream_params *params,
                        struct weir_stream **ret_stream);

#endif
