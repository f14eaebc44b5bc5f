/* SPDX-License-Identifier: Apache-2.0 */
/* What the h1*.c files share: one HTTP/1 connection. About 280 bytes; it holds no buffer while
 * nothing is queued. */
#ifndef WEIR_HTTP_H1_INTERNAL_H
#define WEIR_HTTP_H1_INTERNAL_H

#include <llhttp.h>

#include "http/codec.h"

#if LLHTTP_VERSION_MAJOR < 9
#error "llhttp 9.2 or newer is needed: older ones let request smuggling through"
#endif

/* Where the incoming bytes are. Transitions: h1.c. */
enum weir_h1_state {
    WEIR_H1_IDLE,     /* before the first byte of a message */
    WEIR_H1_HEAD,     /* llhttp reads the start line and the fields */
    WEIR_H1_LENGTH,   /* recv_left bytes of content to come */
    WEIR_H1_CHUNKED,  /* h1_chunk.c reads chunks */
    WEIR_H1_TRAILERS, /* llhttp reads the fields behind the last chunk */
    WEIR_H1_CLOSE,    /* content until eof */
    WEIR_H1_TUNNEL,   /* raw bytes both ways */
    WEIR_H1_COMPLETE, /* the message is in; what follows waits for the end of the exchange */
    WEIR_H1_DEAD,     /* nothing more is read here */
};

/* How the outgoing content is framed. */
enum weir_h1_framing {
    WEIR_H1_OUT_NONE,    /* no content may follow */
    WEIR_H1_OUT_DISCARD, /* the response to HEAD, 204, 304: content given is dropped */
    WEIR_H1_OUT_LENGTH,  /* send_left bytes */
    WEIR_H1_OUT_CHUNKED,
    WEIR_H1_OUT_RAW, /* until close, or a tunnel */
};

/* What the head at hand said: bits of weir_h1.seen. */
enum {
    WEIR_H1_SAW_HOST = 1 << 0,
    WEIR_H1_SAW_LENGTH = 1 << 1,
    WEIR_H1_SAW_TE = 1 << 2,
    WEIR_H1_SAW_EXPECT = 1 << 3,
    WEIR_H1_SAW_UPGRADE = 1 << 4,
    WEIR_H1_SAW_UPGRADES = 1 << 5, /* more than one Upgrade field */
    WEIR_H1_SAW_CLOSE = 1 << 6,    /* Connection: close */
    WEIR_H1_SAW_KEEP = 1 << 7,
    WEIR_H1_SAW_CONN_UPGRADE = 1 << 8,
    WEIR_H1_SAW_VERSION = 1 << 9, /* the start line, up to its version, is behind us */
    WEIR_H1_BAD_LINE = 1 << 10,   /* more than one blank between the parts of the request line */
    WEIR_H1_BAD_PROTOCOL = 1 << 11,
    WEIR_H1_HOST_OWNED = 1 << 12, /* authority is not borrowed */
};

/* Which text llhttp is in the middle of. */
enum weir_h1_span { WEIR_H1_NO_SPAN, WEIR_H1_URL, WEIR_H1_REASON, WEIR_H1_NAME, WEIR_H1_VALUE };

#define WEIR_H1_TAIL 6u /* " HTTP/" */

/*
 * What is queued to be sent. It lives at the front of a chunk of the pool, the text of heads and
 * chunk sizes behind it; so an idle connection owns nothing and a busy one allocates nothing.
 */
struct weir_h1_out {
    struct weir_bufq q;
    struct weir_chunk *home; /* where this struct lies */
    struct weir_chunk *text; /* where text is written: home, or one more when home is full */
    uint32_t used;           /* bytes of text taken */
};

struct weir_h1 {
    struct weir_codec base;
    struct weir_cstream cs;
    llhttp_t parser;
    struct weir_h1_out *out; /* NULL = nothing queued */
    const char *fed;         /* first byte of this call of llhttp */
    uint64_t recv_left;      /* of the content, or of the chunk */
    uint64_t send_left;
    uint32_t head_size; /* bytes of the head (or trailers) before `fed` */
    uint32_t mark;      /* head: where the target ended; chunks: extension bytes of this body */
    uint32_t span_cap;  /* arena bytes under the span at hand; 0 = it is borrowed */
    uint16_t seen;
    uint16_t n_owned;       /* fields whose text is in the arena */
    uint16_t informational; /* 1xx heads received in this exchange */
    uint8_t state, chunk_state, span, blank;
    uint8_t out_framing;
    uint8_t found;      /* enum weir_fault_kind met inside a callback */
    uint8_t text_owned; /* bits of enum weir_h1_span: not borrowed from a chunk */
    uint8_t digits;     /* of the chunk size */
    char tail[WEIR_H1_TAIL];
    /* of the request of this exchange, received or sent */
    bool req_http10 : 1, req_head : 1, req_connect : 1, req_upgrade : 1, req_trailers : 1;
    bool close_after : 1; /* the connection cannot be used again after this exchange */
    bool no_memory : 1;   /* met inside a callback */
    bool draining : 1;    /* announce the end in the next head */
    bool final_sent : 1;  /* server: the final head is queued; client: the request's */
    bool sent_any : 1;    /* client: at least one byte of the request has left */
    bool crlf_due : 1;    /* behind the last chunk's data */
};

static inline struct weir_h1 *weir_h1_of(struct weir_codec *c) {
    return (struct weir_h1 *)c;
}
static inline bool weir_h1_is_server(const struct weir_h1 *h) {
    return h->base.role == WEIR_ROLE_SERVER;
}

/* h1.c: ends the parse. Always WEIR_CODEC_FAULT. */
int weir_h1_fault(struct weir_h1 *h, enum weir_fault_kind kind);

/* h1_head.c. Both: 0 = read on, 1 = complete, *p moved behind it; -ENOMEM; -EPROTO = h->found says
 * what is wrong. */
void weir_h1_head_begin(struct weir_h1 *h);
int weir_h1_head_read(struct weir_h1 *h, const char **p, const char *end);
int weir_h1_trailers_begin(struct weir_h1 *h);
/* Copies to the arena what is borrowed from the chunk being fed. 0, -ENOMEM. */
int weir_h1_head_own(struct weir_h1 *h);

/* h1_check.c: what a field means to the head at hand; *ret_keep = it is part of the list. 0, or
 * -EPROTO as above. */
int weir_h1_field_check(struct weir_h1 *h, struct weir_head *head, struct weir_field *field,
                        bool *ret_keep);
/* The head as a whole: fills in what is derived. 0, -ENOMEM, -EPROTO. */
int weir_h1_request_check(struct weir_h1 *h, struct weir_head *head);
int weir_h1_response_check(struct weir_h1 *h, struct weir_head *head);

/*
 * h1_chunk.c: reads chunk framing from *p on. 0 = all read; WEIR_H1_CHUNK_DATA = *p stands at
 * content of the chunk, h->recv_left of it to come; _TRAILERS = at the first byte of a trailer
 * field; _END = behind the end of the message; -EPROTO.
 */
enum { WEIR_H1_CHUNK_DATA = 1, WEIR_H1_CHUNK_TRAILERS, WEIR_H1_CHUNK_END };
void weir_h1_chunk_begin(struct weir_h1 *h);
int weir_h1_chunk_read(struct weir_h1 *h, const char **p, const char *end);

int weir_h1_send_head(struct weir_codec *c, struct weir_cstream *cs, const struct weir_head *head,
                      bool end);
int weir_h1_send_data(struct weir_codec *c, struct weir_cstream *cs, struct weir_bufq *data);
int weir_h1_send_end(struct weir_codec *c, struct weir_cstream *cs,
                     const struct weir_head *trailers);
/* h1_out.c */
/* n contiguous bytes to write text to, NULL = no memory; n <= WEIR_H1_TEXT_MAX. Then commit how
 * many. */
#define WEIR_H1_TEXT_MAX (WEIR_CHUNK_SIZE - 512u)
char *weir_h1_text(struct weir_h1 *h, size_t n);
int weir_h1_text_commit(struct weir_h1 *h, size_t n);
/* The queue, made if need be; NULL = no memory. */
struct weir_bufq *weir_h1_queue(struct weir_h1 *h);
void weir_h1_out_clear(struct weir_h1 *h);

#endif
