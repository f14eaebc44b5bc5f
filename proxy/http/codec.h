/* SPDX-License-Identifier: Apache-2.0 */
/* lint: size the whole contract between codecs and core */
/*
 * Bytes <-> messages, for one connection, without any I/O, clock or log. Two implementations (h1.c, h2.c), two roles:
 * a SERVER codec reads requests and writes responses, a CLIENT codec the reverse. The owner feeds received bytes in
 * and gathers bytes to send with pull; what happens on the wire arrives as events, called from within feed, eof and
 * pull only: never from open, send_*, consumed, drain or reset, so that an owner may call those from inside an event of
 * another codec. In particular an exchange that became complete by send_end is `closed` from the next pull (want_pull
 * is set for it), also when there are no bytes left to gather.
 *
 * One exchange (request and its response) on the connection is a struct weir_cstream. HTTP/1 has at most one at a
 * time: feed stops (ret_used < len) behind a request until its response has been sent completely, then `closed` is
 * called and the owner feeds the rest. It also stops behind a request to upgrade (or CONNECT) until its final response:
 * after a TUNNEL head was sent, feed the rest at once, it is raw content.
 *
 * Body bytes are handed on as slices of the fed chunk; an owner that keeps them takes a reference (bufq append_ref).
 */
#ifndef WEIR_HTTP_CODEC_H
#define WEIR_HTTP_CODEC_H

#include "base/bufq.h"
#include "base/fault.h"
#include "http/head.h"

enum weir_role { WEIR_ROLE_SERVER, WEIR_ROLE_CLIENT };

/*
 * Positive outcome of feed and eof: the connection cannot be parsed further; codec->fault says why. HTTP/1: no event
 * comes for an open exchange. In the server role it may still be answered (send_head ... pull, then `closed`), else the
 * owner ends it. -ENOMEM from any operation: the connection must be closed.
 */
enum { WEIR_CODEC_FAULT = 1 };

struct weir_codec_limits {
    uint32_t head_bytes;      /* whole head, request line or status line included; default 65536 */
    uint32_t target_bytes;    /* default 16384 */
    uint16_t fields;          /* default 100 */
    uint16_t informational;   /* 1xx heads before a final one; default 16 */
    uint32_t chunk_ext_bytes; /* chunk extensions and their like per body; default 16384 */
    uint32_t trailer_bytes;   /* default 16384 */
    uint32_t streams;         /* HTTP/2 concurrent streams; default 100 */
    /*
     * HTTP/2 server: how many streams the peer may reset at once, and per second in the long run; and by how many resets before an
     * answer may exceed completed requests. Default 200 and 20; a proxy that speaks for many clients needs more.
     */
    uint32_t reset_burst, reset_per_s;
    uint32_t
        frames_per_s; /* HTTP/2 frames that make no progress, in the long run; ten seconds' worth at once; default 100 */
    uint32_t
        stream_window; /* HTTP/2, bytes; default 262144; the connection window is 4 times that */
};
extern const struct weir_codec_limits weir_codec_limits_default;

struct weir_cstream {
    uint64_t id; /* HTTP/2 stream id; HTTP/1: number of the exchange on this connection, from 1 */
    void *user;  /* the owner's: set in `begin` (server) or by open (client) */
    struct weir_head
        *head; /* where the incoming head goes; its arena must be set. Owner's memory. */
    struct weir_head
        *trailers;  /* incoming trailer fields; NULL until there are any. In head->arena. */
    bool recv_done; /* the incoming message is complete */
    bool send_done; /* the outgoing message is complete */
};

struct weir_codec_events {
    /*
     * Server role: a request begins. The owner sets cs->user and cs->head. Non-zero = refuse it (HTTP/2:
     * REFUSED_STREAM; HTTP/1: the connection faults with LIMIT_STREAMS).
     */
    int (*begin)(void *arg, struct weir_cstream *cs);
    /*
     * cs->head is complete and checked. Client role: may come several times, 1xx first (status < 200, other than
     * 101); the owner must have consumed each before returning because the head is filled anew.
     * `chunk` holds the borrowed bytes: the owner keeps a reference while it uses the head; NULL = all is in the arena.
     */
    void (*head)(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk);
    /* Content bytes (no framing), n > 0, borrowed from chunk. */
    void (*data)(void *arg, struct weir_cstream *cs, struct weir_chunk *chunk,
                 struct weir_slice bytes);
    /*
     * The incoming message is complete; cs->trailers may be set. After a head with body TUNNEL (101, 2xx to CONNECT)
     * both messages are open again: data events and send_data carry raw bytes, `end` comes once more at eof.
     */
    void (*end)(void *arg, struct weir_cstream *cs);
    /* The exchange ended before both messages were complete. cs is invalid once this returns. */
    void (*reset)(void *arg, struct weir_cstream *cs, struct weir_fault fault);
    /*
     * Both messages are complete and cs is about to go; invalid once this returns. HTTP/1: also when the response is
     * complete and the request is not (an early answer); then must_close is set and the rest of the request is lost.
     */
    void (*closed)(void *arg, struct weir_cstream *cs);
    /* No new exchange may be started here (GOAWAY received, Connection: close). */
    void (*draining)(void *arg);
};

struct weir_codec;

/* lint: size two versions of HTTP, both sides of each */
struct weir_codec_ops {
    const char *name; /* "h1" or "h2" */
    /* Parses bytes lying in chunk. 0, -ENOMEM, WEIR_CODEC_FAULT. *ret_used < bytes.len: feed the rest after `closed`. */
    int (*feed)(struct weir_codec *c, struct weir_chunk *chunk, struct weir_slice bytes,
                size_t *ret_used);
    /*
     * The peer will send no more. 0 = clean or handled by events; WEIR_CODEC_FAULT = it cut a message. While an HTTP/1
     * request waits for its answer this changes nothing: what was received behind it may still be fed.
     */
    int (*eof)(struct weir_codec *c);
    /* Client role: start an exchange. 0, -ENOMEM, -EAGAIN (no slot free now), -EPIPE (draining). */
    int (*open)(struct weir_codec *c, void *user, struct weir_head *incoming,
                struct weir_cstream **ret_cs);
    /*
     * Queue a head: a request (client), a 1xx or a final response (server). `end`: no content follows. The head's body
     * kind chooses the framing; hop-by-hop fields have been dropped by the caller, framing fields are written here.
     * 0, -ENOMEM, -EPROTO = the head holds bytes that must not be written (nothing was queued).
     */
    int (*send_head)(struct weir_codec *c, struct weir_cstream *cs, const struct weir_head *head,
                     bool end);
    /* Takes all of `data` (left empty). 0, -ENOMEM, -EPROTO = more than the announced length. */
    int (*send_data)(struct weir_codec *c, struct weir_cstream *cs, struct weir_bufq *data);
    /* Completes the outgoing message. trailers may be NULL. 0, -ENOMEM, -EPROTO = less than the announced length. */
    int (*send_end)(struct weir_codec *c, struct weir_cstream *cs,
                    const struct weir_head *trailers);
    /* Bytes of this stream not yet turned into wire bytes (HTTP/2 flow control); back-pressure for the owner. */
    size_t (*pending)(const struct weir_codec *c, const struct weir_cstream *cs);
    /* n received content bytes have left the proxy: give the sender credit (HTTP/2); no-op for HTTP/1. */
    void (*consumed)(struct weir_codec *c, struct weir_cstream *cs, size_t n);
    /*
     * Abort an exchange: RST_STREAM, or for HTTP/1 the connection can only be closed (c->must_close). No event.
     * HTTP/2 server, kind NONE after send_end: the response is still delivered, only the rest of the request is not
     * wanted (RST_STREAM NO_ERROR behind it).
     */
    void (*reset)(struct weir_codec *c, struct weir_cstream *cs, struct weir_fault why);
    /* Start no further exchange and tell the peer: GOAWAY, or Connection: close on the next response. */
    void (*drain)(struct weir_codec *c);
    /* Moves what is ready to be sent into *out, stopping soon after out is full. 0, -ENOMEM. */
    int (*pull)(struct weir_codec *c, struct weir_bufq *out);
    /* Frees the codec. Open exchanges vanish without events. */
    void (*free)(struct weir_codec *c);
};

/* Which frames of an HTTP/2 peer broke its budget. */
enum weir_flood {
    WEIR_FLOOD_NONE,
    WEIR_FLOOD_RESETS,
    WEIR_FLOOD_PINGS,
    WEIR_FLOOD_SETTINGS,
    WEIR_FLOOD_EMPTY,
    WEIR_FLOOD_CONTINUATIONS,
    WEIR_FLOOD_OTHER,
};

struct weir_codec {
    const struct weir_codec_ops *ops;
    const struct weir_codec_events *events;
    void *arg; /* first argument of every event */
    struct weir_chunk_pool *pool;
    const struct weir_codec_limits *limits;
    enum weir_role role;
    struct weir_fault fault; /* after WEIR_CODEC_FAULT */
    uint64_t now;  /* us, monotonic; HTTP/2 budgets by time, and its owner sets this before feed */
    uint8_t flood; /* enum weir_flood, with a fault of kind FLOOD */
    bool
        must_close; /* no further exchange is possible here: close once everything queued has left */
    bool want_pull; /* pull would yield bytes */
    size_t queued;  /* HTTP/2: content of all exchanges not yet turned into wire bytes */
    uint32_t
        n_refused; /* HTTP/2 server: streams refused as too many, before they began; counts up */
    uint32_t n_active;   /* exchanges open now */
    uint32_t max_active; /* how many may be open at once: 1, or the peer's MAX_CONCURRENT_STREAMS */
};

/* What both constructors take. All pointers are borrowed for the codec's life. */
struct weir_codec_params {
    enum weir_role role;
    const struct weir_codec_events *events;
    void *arg;
    struct weir_chunk_pool *pool;
    const struct weir_codec_limits *limits;
};

/* 0 or -ENOMEM. */
int weir_h1_new(const struct weir_codec_params *params, struct weir_codec **ret_codec);
int weir_h2_new(const struct weir_codec_params *params, struct weir_codec **ret_codec);
/*
 * Between two exchanges an HTTP/1 codec holds nothing that a new one would not: true when that is so now, so that its owner may take it from
 * an idle connection and give another one a codec made anew of it.
 */
bool weir_h1_at_rest(const struct weir_codec *c);
/* A server of HTTP/1: the head of the answer under way is written, and with it was said whether the connection stays. */
bool weir_h1_has_answered(const struct weir_codec *c);
/* At rest: another connection's from now on, as new, with the role, events and pool it was made with. */
void weir_h1_renew(struct weir_codec *c, void *arg, const struct weir_codec_limits *limits);

#endif
