/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection, downstream or upstream: a stream, a codec and the exchanges on it. Both sides have the same shape, so any pairing of HTTP versions runs through
 * the same code. Received bytes go through the codec at once; what is to be sent is gathered and written once per loop
 * turn (weir_conn_flush from the worker's dirty list).
 */
#ifndef WEIR_CORE_CONN_H
#define WEIR_CORE_CONN_H

#include "core/worker.h"
#include "io/stream.h"

struct weir_cstream;
struct weir_txn;

/*
 *  SNIFF -> HANDSHAKE -> HTTP -> LINGER -> CLOSED     downstream (SNIFF -> HTTP without TLS, SNIFF -> RELAY opaque; HELLO
 *                                                     instead of SNIFF on a Gateway's port with TLS)
 *  CONNECTING -> HTTP -> CLOSED                       upstream (CONNECTING -> RELAY opaque)
 */
enum weir_conn_state {
    WEIR_CONN_SNIFF,      /* waiting for the first bytes */
    WEIR_CONN_HELLO,      /* waiting for the ClientHello */
    WEIR_CONN_HANDSHAKE,  /* TLS, server side */
    WEIR_CONN_CONNECTING, /* TCP and TLS, client side */
    WEIR_CONN_HTTP,
    WEIR_CONN_RELAY, /* bytes to and from conn->peer */
    WEIR_CONN_LINGER, /* FIN sent; input is thrown away until EOF, so that the answer is not cut by a reset */
    WEIR_CONN_CLOSED, /* stream is closing; memory goes with its `closed` event */
};

struct weir_conn {
    struct weir_worker *worker;
    struct weir_list node;      /* in worker->downs or ups */
    struct weir_list dirty;     /* in worker->dirty when there may be something to flush */
    struct weir_list pool_node; /* upstream: in the endpoint's pool lists */
    struct weir_list txns;      /* exchanges on this connection (txn->down_node or up_node) */
    struct weir_list blocked; /* txns whose other side waits until this connection has sent more */
    struct weir_deadline deadline;
    struct weir_stream *stream;
    /* NULL until the protocol is known, and while an HTTP/1 client has no request under way (weir_conn_rest) */
    struct weir_codec *codec;
    struct weir_bufq *held; /* received, not yet fed (sniffing, pipelining); NULL = none */
    uint64_t id;
    uint64_t since; /* us: accepted, dialled, or entered its present wait */
    uint64_t mark_out,
        mark_at; /* how far the output had got at the last progress check, and when; 0 = all had left */
    struct weir_stream_info info; /* set when the stream opened */
    struct weir_origin *source;   /* of a PROXY header; up: whose connection this is; or NULL */
    struct weir_conn *peer;       /* RELAY: the other side */
    /* An idle connection is little more than this struct: what only one side has shares its place with the other's. */
    union {
        struct {                                   /* downstream */
            struct weir_quota_source *counted_for; /* NULL = for no source */
            struct weir_tls_ctx
                *tls_due; /* HANDSHAKE: waits for bytes or, by pool_node, for its turn */
            char *name;   /* asked for by a ClientHello that was passed on; NULL = none was */
            struct weir_parent *parent; /* valid while parent_epoch is current */
            struct weir_epoch *parent_epoch;
            struct weir_relay_search *search; /* RELAY: until an endpoint is connected */
            uint64_t head_due;                /* when the oldest of heads_open must be complete */
        };
        struct { /* upstream: is_up */
            struct weir_target *target;
            struct weir_lb_endpoint *endpoint; /* used by this connection */
            char *expect;                      /* SPIFFE id demanded of the server; NULL = none */
            char *sni;                         /* ordinary TLS: the name demanded; NULL = none */
            uint64_t tls_generation; /* ordinary TLS: of the configuration it was made by; else 0 */
            uint64_t expires;        /* us: then it takes no further exchange */
            uint32_t n_requests;     /* that it was given */
        };
    };
    uint32_t paused;      /* H1: txn directions that want no more input now */
    uint32_t heads_open;  /* downstream: requests begun whose head is incomplete */
    uint32_t linger_left; /* LINGER: bytes still thrown away before giving up */
    uint16_t port;        /* gateway: of the listener */
    uint8_t state;        /* enum weir_conn_state */
    uint8_t dir;          /* enum weir_direction */
    uint8_t proto;        /* upstream: enum weir_upstream_proto asked for */
    bool is_up : 1;
    bool reading : 1;
    bool eof : 1;        /* the peer will send no more */
    bool header_due : 1; /* downstream: a PROXY header comes first */
    bool tentative : 1;  /* RELAY, downstream: nobody has spoken; it may yet be HTTP */
    bool own_tls : 1;    /* downstream: the application's own TLS, not ours to end */
    bool deaf : 1;       /* what it still sends is not looked at */
    bool fin_sent : 1;
    bool handshaking : 1; /* one of limits.handshakes */
    bool pulling : 1;     /* being flushed: what an exchange's end calls for follows */
    bool in_codec : 1; /* inside feed, eof or pull: what ends now is taken from the codec as well */
    bool fin_after_flush : 1; /* tunnel: half-close once everything queued has left */
    bool pooled : 1;          /* upstream: idle in the pool */
    bool
        used_before : 1; /* carried an exchange (down: began one): its death may be the keep-alive race */
    bool no_more : 1; /* upstream: no further exchange may start here */
};

/* Both roles. `stream` is taken over. NULL = no memory (the stream is left alone). */
struct weir_conn *weir_conn_new(struct weir_worker *w, struct weir_stream *stream, bool is_up);
/* 0, -ENOMEM. Makes the codec for that protocol and feeds what is held. */
int weir_conn_start_http(struct weir_conn *c, bool h2);
/* Downstream, nothing runs on it: an HTTP/1 codec is put aside until there is something to read. */
void weir_conn_rest(struct weir_conn *c);
/* For a stream that cannot become a connection: closed at once. */
void weir_conn_refuse_stream(struct weir_stream *s);
void weir_conn_dirty(struct weir_conn *c);
/* Gathers and writes; lets paused sources go on. Called for dirty connections at the end of a turn. */
void weir_conn_flush(struct weir_conn *c);
/* Ends the connection at once; every exchange on it is told `fault` first. Safe inside any event, repeatable. */
void weir_conn_fail(struct weir_conn *c, struct weir_fault fault);
/* Ends a connection on which nothing runs any more. */
void weir_conn_close(struct weir_conn *c);
/* The same with a reset. */
void weir_conn_cut(struct weir_conn *c);
/* Everything to be said is queued: FIN, then input is thrown away until its EOF, so that the answer is not cut by a reset. */
void weir_conn_linger(struct weir_conn *c);
void weir_conn_linger_deadline(struct weir_conn *c);
/* The stream's `closed` event. */
void weir_conn_closed(void *arg);
/* Adds received bytes to the held ones. 0 or -ENOMEM. */
int weir_conn_hold(struct weir_conn *c, struct weir_chunk *chunk, struct weir_slice bytes);
void weir_conn_held_free(struct weir_conn *c);
/*
 * Reading on or off as state, pauses and held bytes say. Switching it on may deliver events of this connection from within (TLS): only
 * for the end of a connection's own event or flush, never from what another connection does. weir_conn_unpause leaves it to the flush.
 */
void weir_conn_update_reading(struct weir_conn *c);
void weir_conn_pause(struct weir_conn *c);
void weir_conn_unpause(struct weir_conn *c);
/* Something is under way on it: progress is looked at within limits.bodyTimeout from now, and from then on. */
void weir_conn_watch(struct weir_conn *c);
/* Output is queued, and since the last call none of it has left, or less than limits.minBodyRate asks for. */
bool weir_conn_output_stalled(struct weir_conn *c);
/* Bytes queued towards the peer, for this exchange or for all, are at or above their limit / for this one below half of it. */
bool weir_conn_full(const struct weir_conn *c, const struct weir_cstream *cs);
bool weir_conn_low(const struct weir_conn *c, const struct weir_cstream *cs);
bool weir_conn_is_h2(const struct weir_conn *c);

/* up.c */
extern const struct weir_codec_events weir_up_codec_events;
void weir_up_open(struct weir_conn *c);
void weir_up_deadline(struct weir_conn *c);

#endif
