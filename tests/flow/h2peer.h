/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The far end of an HTTP/2 connection of a flow, played with a bare nghttp2 session: a client that asks, or a server that answers. What it
 * sends leaves, and what it receives is read, in flow_run.
 */
#ifndef WEIR_TEST_H2PEER_H
#define WEIR_TEST_H2PEER_H

#include <nghttp2/nghttp2.h>

#include "flow.h"

/* One stream: the message received on it and the one being sent. Lives until flow_end. */
struct h2_msg {
    struct h2_msg *next;
    struct h2_peer *peer;
    int32_t id;
    char head[16384]; /* "name: value\n" each; interim ones come first */
    char trailers[4096];
    char *body;
    size_t len;
    bool has_head;   /* a final one */
    bool end;        /* END_STREAM received */
    bool closed;     /* and by both sides, or reset */
    uint32_t code;   /* of RST_STREAM, when closed */
    bool handed_out; /* by h2_take */
    char *out;
    size_t out_len, out_cap;
    bool out_end, deferred;
    const char *const *out_trailers;
};

struct h2_peer {
    struct h2_peer *next;
    nghttp2_session *session;
    struct mem_conn *conn;
    struct h2_msg *msgs, **last;
    bool server;
    bool gone; /* its connection was ended by the test: it neither reads nor sends */
    bool goaway;
    int32_t goaway_last;
    uint32_t goaway_code;
    int error; /* nghttp2's opinion of what the proxy sent; 0 = fine */
    unsigned n_rst;
    size_t max_unread; /* most content of one stream not credited; with manual windows */
};

struct h2_config {
    uint32_t max_streams; /* announced; 0 = says nothing */
    uint32_t window;      /* initial, of streams; 0 = 65535 */
    bool manual_window;   /* credit only by h2_credit */
    bool extended;        /* a server that takes extended CONNECT */
};

/* A connection to the proxy; a dial of the proxy (the next, which must be there) accepted. */
struct h2_peer *h2_client(struct flow *f, const struct h2_config *config);
struct h2_peer *h2_server(struct flow *f, const struct h2_config *config);
/* Over a connection made otherwise. */
struct h2_peer *h2_over(struct flow *f, struct mem_conn *c, bool server,
                        const struct h2_config *config);

/* fields: name, value, ..., NULL; may be NULL. `end`: no content follows. */
struct h2_msg *h2_ask(struct h2_peer *p, const char *method, const char *path,
                      const char *const *fields, bool end);
static inline struct h2_msg *h2_get(struct h2_peer *p, const char *path) {
    return h2_ask(p, "GET", path, NULL, true);
}
/* The oldest request with a head not handed out yet; NULL = none. */
struct h2_msg *h2_take(struct h2_peer *p);
void h2_head(struct h2_msg *m, const char *status, const char *const *fields, bool end);
void h2_data(struct h2_msg *m, const void *bytes, size_t n, bool end);
/* With the end. The array must live until it was sent. */
void h2_trailers(struct h2_msg *m, const char *const *fields);
/* A whole response. */
void h2_answer(struct h2_msg *m, const char *status, const char *text);
void h2_rst(struct h2_msg *m, uint32_t code);
void h2_goaway(struct h2_peer *p, int32_t last, uint32_t code);
void h2_credit(struct h2_msg *m, size_t n);
/* What is queued is on its way, before anything more is received. */
void h2_push(struct h2_peer *p);
/* Bytes that nghttp2 would not send. */
void h2_raw(struct h2_peer *p, const void *bytes, size_t n);

/* The value of a field received, or NULL. Valid until the next call. */
const char *h2_field(const struct h2_msg *m, const char *name);
const char *h2_text(const struct h2_msg *m); /* the content, NUL-terminated */

/* For flow.c. */
bool h2_pump_all(struct flow *f);
void h2_free_all(struct flow *f);

#endif
