/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.0 and 1.1, both roles: the life of one exchange on a connection. Heads are h1_head.c's and
 * h1_check.c's, chunks h1_chunk.c's, output h1_write.c's; here is which comes when, and who is
 * told.
 *
 *   IDLE --first byte--> HEAD --complete, content--> LENGTH | CHUNKED | CLOSE    HEAD --none-->
 * COMPLETE LENGTH --all read--> COMPLETE      CHUNKED --last chunk--> COMPLETE | TRAILERS -->
 * COMPLETE CLOSE --eof--> COMPLETE            HEAD --101, 2xx to CONNECT--> TUNNEL (a server: when
 * it sends that head) HEAD --1xx--> IDLE                 COMPLETE --exchange over--> IDLE | DEAD
 * any --fault, reset--> DEAD
 *
 * A server's exchange ends when its response has been pulled; a client's when the response is in.
 * In both, the other message being unfinished then costs the connection.
 */
#include "base/mem.h"
#include "http/h1_internal.h"

int weir_h1_fault(struct weir_h1 *h, enum weir_fault_kind kind) {
    h->base.fault = (struct weir_fault){
        weir_h1_is_server(h) ? WEIR_SIDE_DOWNSTREAM : WEIR_SIDE_UPSTREAM,
        (uint8_t)kind,
    };
    h->base.must_close = true;
    h->state = WEIR_H1_DEAD;
    return WEIR_CODEC_FAULT;
}

static int failed(struct weir_h1 *h, int r) {
    return r == -EPROTO ? weir_h1_fault(h, h->found) : r;
}

/* ---- the end of an exchange ---- */

static void exchange_close(struct weir_h1 *h) {
    if (h->close_after || h->draining)
        h->base.must_close = true;
    h->base.n_active = 0;
    h->state = h->base.must_close ? WEIR_H1_DEAD : WEIR_H1_IDLE;
    h->base.want_pull = h->out != NULL;
    h->base.events->closed(h->base.arg, &h->cs);
}

/* A server's exchange, and any tunnel, ends with its last byte leaving. */
static void close_if_over(struct weir_h1 *h) {
    if (h->base.n_active == 0 || !h->cs.send_done || h->out)
        return;
    if (h->state == WEIR_H1_TUNNEL ? h->cs.recv_done : weir_h1_is_server(h))
        exchange_close(h);
}

static bool request_whole(const struct weir_h1 *h) {
    if (h->out)
        return false;
    return h->cs.send_done ||
           (h->final_sent && h->out_framing == WEIR_H1_OUT_LENGTH && h->send_left == 0);
}

/* The incoming message is in. `more`: bytes follow it. */
static int message_end(struct weir_h1 *h, bool more) {
    bool server = weir_h1_is_server(h);
    bool last = h->close_after || h->draining || h->base.must_close || !request_whole(h);
    h->state = WEIR_H1_COMPLETE;
    h->cs.recv_done = true;
    /* Known before anybody is told that the connection is free. */
    if (!server && (more || last))
        h->base.must_close = true;
    h->base.events->end(h->base.arg, &h->cs);
    if (server || h->base.n_active == 0 || h->state != WEIR_H1_COMPLETE)
        return 0;
    weir_h1_out_clear(h);
    exchange_close(h);
    /* What nobody asked for must not become the answer to the next request. */
    return more && !last ? weir_h1_fault(h, WEIR_FAULT_BAD_RESPONSE) : 0;
}

/* ---- the beginning ---- */

static void exchange_begin(struct weir_h1 *h) {
    h->cs = (struct weir_cstream){ .id = h->cs.id + 1 };
    h->base.n_active = 1;
    h->informational = 0;
    h->final_sent = h->sent_any = h->crlf_due = false;
    h->req_http10 = h->req_head = h->req_connect = h->req_upgrade = h->req_trailers = false;
}

/* RFC 9112 2.2: up to two empty lines may stand before a request. *p moves to its first byte. */
static int request_begin(struct weir_h1 *h, const char **p, const char *end) {
    static const char blank[] = "\r\n\r\n";
    while (*p < end && h->blank < 4 && **p == blank[h->blank]) {
        ++*p;
        h->blank++;
    }
    if (*p == end)
        return 0;
    bool stray = h->blank % 2 || **p == '\r' || **p == '\n';
    h->blank = 0;
    exchange_begin(h);
    if (h->base.events->begin(h->base.arg, &h->cs) != 0 || !h->cs.head) {
        h->base.n_active = 0;
        weir_h1_fault(h, WEIR_FAULT_LIMIT_STREAMS);
        h->base.fault.side = WEIR_SIDE_LOCAL;
        return WEIR_CODEC_FAULT;
    }
    if (stray)
        return weir_h1_fault(h, WEIR_FAULT_BAD_REQUEST_LINE);
    weir_h1_head_begin(h);
    return 0;
}

static int response_begin(struct weir_h1 *h, const char *p) {
    /* llhttp would skip empty lines; nothing but a status line may come, and only when a request is
     * out. */
    if (h->base.n_active == 0 || !h->sent_any || *p != 'H')
        return weir_h1_fault(h, WEIR_FAULT_BAD_RESPONSE);
    weir_h1_head_begin(h);
    return 0;
}

/* ---- heads ---- */

static enum weir_h1_state content_state(const struct weir_head *head) {
    switch (head->body) {
    case WEIR_BODY_LENGTH:
        return head->content_length ? WEIR_H1_LENGTH : WEIR_H1_COMPLETE;
    case WEIR_BODY_STREAM:
        return WEIR_H1_CHUNKED;
    case WEIR_BODY_CLOSE:
        return WEIR_H1_CLOSE;
    case WEIR_BODY_TUNNEL:
        return WEIR_H1_TUNNEL;
    default:
        return WEIR_H1_COMPLETE;
    }
}

static int request_complete(struct weir_h1 *h, struct weir_chunk *chunk, bool more) {
    struct weir_head *head = h->cs.head;
    h->req_http10 = head->version == WEIR_HTTP_10;
    h->req_head = head->method == WEIR_METHOD_HEAD;
    h->req_connect = head->method == WEIR_METHOD_CONNECT;
    h->req_upgrade = head->wants_upgrade;
    h->req_trailers = head->te_trailers;
    h->close_after = !head->keep_alive;
    h->state = (uint8_t)content_state(head);
    h->recv_left = head->content_length;
    if (h->state == WEIR_H1_CHUNKED)
        weir_h1_chunk_begin(h);
    bool complete = h->state == WEIR_H1_COMPLETE;
    h->base.events->head(h->base.arg, &h->cs, chunk);
    if (!complete || h->base.n_active == 0 || h->state != WEIR_H1_COMPLETE)
        return 0;
    return message_end(h, more);
}

static int response_complete(struct weir_h1 *h, struct weir_chunk *chunk, bool more) {
    struct weir_head *head = h->cs.head;
    if (head->status < 200 && head->status != 101) {
        if (++h->informational > h->base.limits->informational)
            return weir_h1_fault(h, WEIR_FAULT_TOO_MANY_INFORMATIONAL);
        h->state = WEIR_H1_IDLE;
        h->base.events->head(h->base.arg, &h->cs, chunk);
        return 0;
    }
    h->close_after |= !head->keep_alive;
    h->state = (uint8_t)content_state(head);
    h->recv_left = head->content_length;
    if (h->state == WEIR_H1_CHUNKED)
        weir_h1_chunk_begin(h);
    bool complete = h->state == WEIR_H1_COMPLETE;
    if (h->state == WEIR_H1_TUNNEL) {
        h->cs.send_done = false;
        h->out_framing = WEIR_H1_OUT_RAW;
    }
    h->base.events->head(h->base.arg, &h->cs, chunk);
    if (h->close_after && h->base.n_active > 0 && h->base.events->draining)
        h->base.events->draining(h->base.arg);
    if (!complete || h->base.n_active == 0 || h->state != WEIR_H1_COMPLETE)
        return 0;
    return message_end(h, more);
}

static int read_head(struct weir_h1 *h, struct weir_chunk *chunk, const char **p, const char *end) {
    struct weir_head *head = h->cs.head;
    int r = weir_h1_head_read(h, p, end);
    if (r <= 0)
        return failed(h, r);
    head->size = h->head_size;
    r = chunk ? 0 : weir_h1_head_own(h);
    if (r == 0)
        r = head->is_response ? weir_h1_response_check(h, head) : weir_h1_request_check(h, head);
    if (r < 0)
        return failed(h, r);
    return head->is_response ? response_complete(h, chunk, *p < end)
                             : request_complete(h, chunk, *p < end);
}

static int read_trailers(struct weir_h1 *h, const char **p, const char *end) {
    int r = weir_h1_head_read(h, p, end);
    if (r <= 0)
        return failed(h, r);
    r = weir_h1_head_own(h);
    if (r < 0)
        return r;
    if (h->cs.trailers->n_fields == 0)
        h->cs.trailers = NULL;
    return message_end(h, *p < end);
}

/* ---- content ---- */

/* Hands on up to `max` bytes. */
static uint64_t give(struct weir_h1 *h, struct weir_chunk *chunk, const char **p, const char *end,
                     uint64_t max) {
    struct weir_slice bytes = { *p, (size_t)(end - *p) };
    if (bytes.len > max)
        bytes.len = (size_t)max;
    *p += bytes.len;
    h->recv_left -= bytes.len;
    h->base.events->data(h->base.arg, &h->cs, chunk, bytes);
    return bytes.len;
}

static int read_length(struct weir_h1 *h, struct weir_chunk *chunk, const char **p,
                       const char *end) {
    give(h, chunk, p, end, h->recv_left);
    return h->state == WEIR_H1_LENGTH && h->recv_left == 0 ? message_end(h, *p < end) : 0;
}

static int read_chunked(struct weir_h1 *h, struct weir_chunk *chunk, const char **p,
                        const char *end) {
    int r = weir_h1_chunk_read(h, p, end);
    switch (r) {
    case WEIR_H1_CHUNK_DATA:
        give(h, chunk, p, end, h->recv_left);
        return 0;
    case WEIR_H1_CHUNK_TRAILERS:
        return weir_h1_trailers_begin(h);
    case WEIR_H1_CHUNK_END:
        return message_end(h, *p < end);
    default:
        return failed(h, r);
    }
}

static int step(struct weir_h1 *h, struct weir_chunk *chunk, const char **p, const char *end) {
    switch (h->state) {
    case WEIR_H1_IDLE:
        return weir_h1_is_server(h) ? request_begin(h, p, end) : response_begin(h, *p);
    case WEIR_H1_HEAD:
        return read_head(h, chunk, p, end);
    case WEIR_H1_LENGTH:
        return read_length(h, chunk, p, end);
    case WEIR_H1_CHUNKED:
        return read_chunked(h, chunk, p, end);
    case WEIR_H1_TRAILERS:
        return read_trailers(h, p, end);
    case WEIR_H1_CLOSE:
    case WEIR_H1_TUNNEL:
        give(h, chunk, p, end, UINT64_MAX);
        return 0;
    default: /* DEAD */
        *p = end;
        return 0;
    }
}

static int h1_feed(struct weir_codec *c, struct weir_chunk *chunk, struct weir_slice bytes,
                   size_t *ret_used) {
    struct weir_h1 *h = weir_h1_of(c);
    const char *p = bytes.ptr, *end = bytes.ptr + bytes.len;
    int r = 0;
    while (p < end && r == 0 && h->state != WEIR_H1_COMPLETE)
        r = step(h, chunk, &p, end);
    if (r < 0) {
        h->base.must_close = true;
        h->state = WEIR_H1_DEAD;
    }
    *ret_used = (size_t)(p - bytes.ptr);
    return r;
}

static int h1_eof(struct weir_codec *c) {
    struct weir_h1 *h = weir_h1_of(c);
    switch (h->state) {
    case WEIR_H1_IDLE:
        if (c->n_active > 0)
            return weir_h1_fault(h, WEIR_FAULT_EOF);
        c->must_close = true;
        return 0;
    case WEIR_H1_COMPLETE:
    case WEIR_H1_DEAD:
        return 0;
    case WEIR_H1_CLOSE:
        return message_end(h, false);
    case WEIR_H1_TUNNEL:
        if (!h->cs.recv_done) {
            h->cs.recv_done = true;
            c->events->end(c->arg, &h->cs);
            close_if_over(h);
        }
        return 0;
    default:
        if (weir_h1_is_server(h) && h->cs.send_done) {
            h->state =
                WEIR_H1_DEAD; /* answered before it was complete: that answer may still leave */
            return 0;
        }
        return weir_h1_fault(h, WEIR_FAULT_EOF);
    }
}

/* ---- the other operations ---- */

static int h1_open(struct weir_codec *c, void *user, struct weir_head *incoming,
                   struct weir_cstream **ret_cs) {
    struct weir_h1 *h = weir_h1_of(c);
    if (c->must_close || h->draining || h->state == WEIR_H1_DEAD)
        return -EPIPE;
    if (c->n_active > 0)
        return -EAGAIN;
    exchange_begin(h);
    h->cs.user = user;
    h->cs.head = incoming;
    *ret_cs = &h->cs;
    return 0;
}

static size_t h1_pending(const struct weir_codec *c, const struct weir_cstream *cs) {
    const struct weir_h1 *h = (const struct weir_h1 *)c;
    return h->out ? h->out->q.len : 0;
}

static void h1_consumed(struct weir_codec *c, struct weir_cstream *cs, size_t n) {
    /* TCP does it: the owner stops reading. */
}

static void h1_reset(struct weir_codec *c, struct weir_cstream *cs, struct weir_fault why) {
    struct weir_h1 *h = weir_h1_of(c);
    if (c->n_active == 0)
        return;
    c->n_active = 0;
    c->must_close = true;
    h->state = WEIR_H1_DEAD;
    if (!weir_h1_is_server(h))
        weir_h1_out_clear(h);
    c->want_pull = h->out != NULL;
}

static void h1_drain(struct weir_codec *c) {
    struct weir_h1 *h = weir_h1_of(c);
    h->draining = true;
    if (c->n_active == 0)
        c->must_close = true;
}

static int h1_pull(struct weir_codec *c, struct weir_bufq *out) {
    struct weir_h1 *h = weir_h1_of(c);
    if (h->out && !weir_bufq_full(out)) {
        struct weir_bufq *q = &h->out->q;
        if (h->crlf_due && weir_bufq_append_ref(q, NULL, WEIR_SLICE("\r\n")) < 0)
            return -ENOMEM;
        h->crlf_due = false;
        if (weir_bufq_move(out, q, out->limit ? out->limit - out->len : SIZE_MAX) < 0)
            return -ENOMEM;
        h->sent_any = true;
        if (q->len == 0)
            weir_h1_out_clear(h);
    }
    c->want_pull = h->out != NULL;
    close_if_over(h);
    return 0;
}

static void h1_free(struct weir_codec *c) {
    weir_h1_out_clear(weir_h1_of(c));
    weir_free(c);
}

static const struct weir_codec_ops h1_ops = {
    .name = "h1",
    .feed = h1_feed,
    .eof = h1_eof,
    .open = h1_open,
    .send_head = weir_h1_send_head,
    .send_data = weir_h1_send_data,
    .send_end = weir_h1_send_end,
    .pending = h1_pending,
    .consumed = h1_consumed,
    .reset = h1_reset,
    .drain = h1_drain,
    .pull = h1_pull,
    .free = h1_free,
};

bool weir_h1_at_rest(const struct weir_codec *c) {
    const struct weir_h1 *h = (const struct weir_h1 *)c;
    return h->state == WEIR_H1_IDLE && c->n_active == 0 && h->blank == 0 && !h->out &&
           !h->draining && !c->must_close;
}

bool weir_h1_has_answered(const struct weir_codec *c) {
    return c->n_active > 0 && ((const struct weir_h1 *)c)->final_sent;
}

void weir_h1_renew(struct weir_codec *c, void *arg, const struct weir_codec_limits *limits) {
    c->arg = arg;
    c->limits = limits;
    weir_h1_of(c)->cs.id = 0;
}

int weir_h1_new(const struct weir_codec_params *params, struct weir_codec **ret_codec) {
    struct weir_h1 *h = weir_calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    h->base = (struct weir_codec){
        .ops = &h1_ops,
        .events = params->events,
        .arg = params->arg,
        .pool = params->pool,
        .limits = params->limits,
        .role = params->role,
        .max_active = 1,
    };
    *ret_codec = &h->base;
    return 0;
}
