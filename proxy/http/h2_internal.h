/* SPDX-License-Identifier: Apache-2.0 */
/* lint: size what six files share of one connection */
/* What the h2*.c files share: one HTTP/2 connection, its streams, and the budget its peer may
 * spend. */
#ifndef WEIR_HTTP_H2_INTERNAL_H
#define WEIR_HTTP_H2_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "http/codec.h"
#include "http/fault.h"
#include "http/h2_guard.h"

struct weir_h2_stream {
    struct weir_cstream cs; /* first: the owner's handle is this address */
    struct weir_list link;  /* in h2->streams */
    struct weir_list over;  /* in h2->over, or h2->grave */
    struct weir_bufq out;   /* content waiting for the peer's window */
    nghttp2_nv *trailers; /* to send behind `out`: one allocation with the bytes behind the array */
    size_t n_trailers;
    size_t unconsumed;      /* content handed to the owner and not yet credited to the peer */
    uint64_t send_left;     /* of the announced length; UINT64_MAX = none announced */
    struct weir_slice host; /* the Host field beside :authority */
    /* RFC 8441 */
    const struct weir_head *waiting; /* client: to be sent once the peer's SETTINGS are here */
    struct weir_slice protocol;      /* client: what was asked for; the request head's bytes */
    struct weir_bufq early;          /* server: content before we agreed to the tunnel */
    uint8_t upgrade;                 /* enum weir_h2_upgrade */
    bool early_end;
    struct weir_fault fault;
    uint32_t list_size; /* of the header list being read, RFC 9113 6.5.2 */
    uint32_t rst_code;
    uint16_t informational;
    uint16_t n_cookies;
    uint8_t bad;         /* enum weir_fault_kind found while reading a head */
    bool owned;          /* the owner holds cs */
    bool is_over;        /* in h2->over: its last event is due, no other may come */
    bool live;           /* nghttp2 knows it */
    bool head_done;      /* the incoming head, 1xx apart, is complete */
    bool head_sent;      /* the outgoing head, 1xx apart, is queued */
    bool head_flushed;   /* and has left */
    bool end_flushed;    /* END_STREAM has left */
    bool deferred;       /* nghttp2 waits for content */
    bool rst_behind_end; /* RST_STREAM(rst_code) once END_STREAM has left */
    bool rst_ours;       /* we reset it on the owner's wish, or as the answer to an early end */
    bool counted;        /* as a peer's mistake */
    bool no_content;     /* client: the response to this method has none */
};

/*
 * Extended CONNECT is shown to the owner in HTTP/1's shape: GET with wants_upgrade, 101 for its 2xx. The request's content ends with
 * its head and begins again with the tunnel.
 */
enum weir_h2_upgrade { WEIR_H2_UPGRADE_NO, WEIR_H2_UPGRADE_ASKED, WEIR_H2_UPGRADE_TUNNEL };

enum weir_h2_drain { WEIR_H2_DRAIN_NO, WEIR_H2_DRAIN_NOTICE, WEIR_H2_DRAIN_FINAL };

struct weir_h2 {
    struct weir_codec base;
    nghttp2_session *session;
    struct weir_list blocks;   /* its memory */
    struct weir_list streams;  /* all that the owner or nghttp2 still holds */
    struct weir_list over;     /* their `reset` or `closed` is due */
    struct weir_list grave;    /* dropped while a callback may still look at them */
    struct weir_h2_stream *at; /* the stream at_id of the frame being read */
    int32_t at_id;
    struct weir_chunk *chunk; /* being fed */
    struct weir_bufq *out;    /* being pulled into */
    struct weir_h2_guard guard;
    uint32_t n_heads;  /* sent */
    uint8_t drain;     /* enum weir_h2_drain */
    bool busy;         /* inside feed, eof or pull */
    bool broken;       /* no memory: nothing works any more */
    bool killed;       /* connection error: only the GOAWAY is left to send */
    bool draining;     /* no exchange may be started */
    bool peer_known;   /* client: the server's SETTINGS have come */
    bool peer_connect; /* and it takes extended CONNECT */
    bool early_ready;  /* a tunnel has begun that has early content */
};

static inline struct weir_h2 *weir_h2_of(struct weir_codec *c) {
    return (struct weir_h2 *)c;
}
static inline struct weir_h2_stream *weir_h2_stream_of(struct weir_cstream *cs) {
    return (struct weir_h2_stream *)cs;
}
static inline bool weir_h2_is_server(const struct weir_h2 *h) {
    return h->base.role == WEIR_ROLE_SERVER;
}
/* The owner may still be told things about it. */
static inline bool weir_h2_listens(const struct weir_h2_stream *st) {
    return st && st->owned && !st->is_over;
}
static inline struct weir_fault weir_h2_peer_fault(const struct weir_h2 *h,
                                                   enum weir_fault_kind kind) {
    return (struct weir_fault){ weir_h2_is_server(h) ? WEIR_SIDE_DOWNSTREAM : WEIR_SIDE_UPSTREAM,
                                (uint8_t)kind };
}

/* h2.c */
#define WEIR_H2_DRAIN_PING "weirdrn"        /* 8 bytes with its NUL */
int weir_h2_drain_final(struct weir_h2 *h); /* 0 or -ENOMEM */

/* h2_mem.c */
nghttp2_mem weir_h2_mem(struct weir_h2 *h);
void weir_h2_mem_free(struct weir_h2 *h); /* with the session */

/* h2_stream.c: from begin or open to the last event. */
struct weir_h2_stream *weir_h2_stream_new(struct weir_h2 *h); /* NULL = no memory */
/* Frames of one stream tend to follow each other. */
static inline struct weir_h2_stream *weir_h2_stream_find(struct weir_h2 *h, int32_t id) {
    if (h->at_id != id) {
        h->at = nghttp2_session_get_stream_user_data(h->session, id);
        h->at_id = id;
    }
    return h->at;
}
/* Puts it to rest if neither the owner nor nghttp2 holds it any more. */
void weir_h2_stream_drop(struct weir_h2 *h, struct weir_h2_stream *st);
/* The owner's next event is `reset` with this fault, or `closed` when its kind is NONE. */
void weir_h2_stream_over(struct weir_h2 *h, struct weir_h2_stream *st, struct weir_fault fault);
/* RST_STREAM; broken on no memory. */
void weir_h2_stream_rst(struct weir_h2 *h, struct weir_h2_stream *st, uint32_t code);
/* What the peer sent here is refused (st->bad says why): tells both sides. */
void weir_h2_stream_refuse(struct weir_h2 *h, struct weir_h2_stream *st);
void weir_h2_over_all(struct weir_h2 *h, struct weir_fault fault);
void weir_h2_tell_over(struct weir_h2 *h);
void weir_h2_kill(struct weir_h2 *h, uint32_t code, struct weir_fault fault);
/* The same for a peer that makes no progress. */
void weir_h2_flood(struct weir_h2 *h, uint8_t culprit);
/* One more stream reset for the peer's fault. */
void weir_h2_peer_error(struct weir_h2 *h, struct weir_h2_stream *st);
void weir_h2_reset(struct weir_codec *c, struct weir_cstream *cs, struct weir_fault why);
void weir_h2_streams_free(struct weir_h2 *h);

/* h2_recv.c, h2_write.c: nghttp2's callbacks. */
void weir_h2_recv_callbacks(nghttp2_session_callbacks *cbs);
/* Content that came before its tunnel. Outside nghttp2. */
void weir_h2_tell_early(struct weir_h2 *h);
void weir_h2_send_callbacks(nghttp2_session_callbacks *cbs);

/* h2_head.c: 0 or -ENOMEM; what is wrong goes to st->bad. */
void weir_h2_head_begin(struct weir_h2 *h, struct weir_h2_stream *st);
void weir_h2_list_begin(struct weir_h2_stream *st);
int weir_h2_head_field(struct weir_h2 *h, struct weir_h2_stream *st, nghttp2_rcbuf *name,
                       nghttp2_rcbuf *value);
int weir_h2_head_trailer(struct weir_h2 *h, struct weir_h2_stream *st, nghttp2_rcbuf *name,
                         nghttp2_rcbuf *value);
int weir_h2_head_request(struct weir_h2_stream *st, bool end);
void weir_h2_head_response(struct weir_h2 *h, struct weir_h2_stream *st, bool end);

/* h2_write.c */
int weir_h2_send_head(struct weir_codec *c, struct weir_cstream *cs, const struct weir_head *head,
                      bool end);
int weir_h2_send_data(struct weir_codec *c, struct weir_cstream *cs, struct weir_bufq *data);
int weir_h2_send_end(struct weir_codec *c, struct weir_cstream *cs,
                     const struct weir_head *trailers);
/* There is content, or its end, where there was none: 0, -ENOMEM and h->broken. */
int weir_h2_wake(struct weir_h2 *h, struct weir_h2_stream *st);
/* The codec's own answer to a request the owner never sees. */
int weir_h2_answer(struct weir_h2 *h, struct weir_h2_stream *st,
                   const struct weir_fault_answer *answer);
/* The server's SETTINGS are here: requests that waited for them. */
void weir_h2_send_waiting(struct weir_h2 *h);
int weir_h2_pull(struct weir_codec *c, struct weir_bufq *out);
/* Brings the flags of the codec up to date. */
void weir_h2_settle(struct weir_h2 *h);

#endif
