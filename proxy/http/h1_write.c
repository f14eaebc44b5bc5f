/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serialiser: heads, content and trailers into the outgoing queue. Framing, Connection and Host
 * are written here and nowhere else; fields of those names in a head are passed over. Text is
 * assembled in one piece, then looked over once as a whole: every line end in it is ours, so any
 * other control byte, whatever field or source it came from, is found by counting, and nothing is
 * queued. Content is passed on by reference.
 */
#include "base/mem.h"
#include "http/h1_internal.h"
#include "http/hop.h"
#include "http/status.h"
#include "http/uri.h"

#define NUMBER_MAX 20u
/* Content up to this size is copied behind the head: one more copy from the cache is a tenth of what
 * the kernel takes for a second entry of a writev. */
#define COPY_MAX 1024u

/* Where a head is being assembled. */
struct text {
    char *p;
    size_t lines;
    bool bad; /* something must not be written, whatever its bytes */
};

static void put(struct text *t, struct weir_slice s) {
    if (s.len)
        memcpy(t->p, s.ptr, s.len);
    t->p += s.len;
}

static void end_line(struct text *t) {
    t->p[0] = '\r';
    t->p[1] = '\n';
    t->p += 2;
    t->lines++;
}

static void put_number(struct text *t, uint64_t value) {
    char digits[NUMBER_MAX];
    size_t n = 0;
    do {
        digits[NUMBER_MAX - ++n] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put(t, weir_slice_make(digits + NUMBER_MAX - n, n));
}

static void put_field(struct text *t, struct weir_slice name, struct weir_slice value) {
    put(t, name);
    t->p[0] = ':';
    t->p[1] = ' ';
    t->p += 2;
    put(t, value);
    end_line(t);
    t->bad |= name.len == 0;
}

static void put_length(struct text *t, struct weir_slice name, uint64_t length) {
    put(t, name);
    put(t, WEIR_SLICE(": "));
    put_number(t, length);
    end_line(t);
}

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* Control bytes other than HTAB. Up to 16 bytes behind `end` are overwritten. */
static size_t count_controls(const char *p, char *end) {
    size_t n = 0;
    memset(end, ' ', 16);
    while (p < end) {
        bytes16 hits = { 0 };
        /* 255 rounds are what a byte can count. */
        for (unsigned i = 0; i < 255 && p < end; i++, p += 16) {
            bytes16 v;
            memcpy(&v, p, sizeof(v));
            hits -= (bytes16)(((v < 0x20) & (v != '\t')) | (v == 0x7f));
        }
        for (unsigned i = 0; i < 16; i++)
            n += hits[i];
    }
    return n;
}

/* ---- what a head looks like on the wire ---- */

/* Decided before the first byte is written. */
struct plan {
    const struct weir_head *head;
    uint8_t framing; /* enum weir_h1_framing */
    bool chunked;    /* write Transfer-Encoding */
    bool upgrade;    /* write Connection: upgrade and Upgrade */
    bool tunnel;     /* this response turns the exchange into one */
    bool close, keep_alive;
    bool te;         /* request: TE: trailers */
    uint64_t length; /* write Content-Length; UINT64_MAX = none */
};

static struct weir_slice reason_of(const struct weir_head *head) {
    return head->reason.len ? head->reason : weir_status_reason(head->status);
}

/* More than the head's bytes: what is written around the parts that are counted takes 170 at most. */
static size_t head_size(const struct weir_head *head) {
    size_t n = head->method_name.len + head->target.len + 2 * head->authority.len +
               head->reason.len + head->protocol.len + 320;
    for (uint16_t i = 0; i < head->n_fields; i++)
        n += head->fields[i].name.len + head->fields[i].value.len + 4;
    return n;
}

static void put_connection(struct text *t, const struct plan *plan) {
    const struct {
        bool given;
        struct weir_slice text;
    } options[] = {
        { plan->close, WEIR_SLICE("close") },
        { plan->keep_alive, WEIR_SLICE("keep-alive") },
        { plan->upgrade, WEIR_SLICE("upgrade") },
        { plan->te, WEIR_SLICE("TE") },
    };
    bool first = true;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(options); i++) {
        if (!options[i].given)
            continue;
        put(t, first ? WEIR_SLICE("Connection: ") : WEIR_SLICE(", "));
        put(t, options[i].text);
        first = false;
    }
    if (!first)
        end_line(t);
}

/* The fields that are passed on, without those that this file writes itself. */
static void put_fields(struct text *t, const struct plan *plan) {
    const struct weir_head *head = plan->head;
    bool upgrade = plan->upgrade;
    uint64_t length = plan->length;
    for (uint16_t i = 0; i < head->n_fields; i++) {
        const struct weir_field *field = &head->fields[i];
        if (field->dropped)
            continue;
        switch (field->id) {
        case WEIR_FIELD_HOST:
            if (head->is_response)
                put_field(t, field->name, field->value);
            break;
        case WEIR_FIELD_CONTENT_LENGTH:
            /* In its place and spelling, but with the length we frame by. */
            if (length != UINT64_MAX)
                put_length(t, field->name, length);
            length = UINT64_MAX;
            break;
        case WEIR_FIELD_UPGRADE:
            if (upgrade)
                put_field(t, field->name, head->protocol);
            upgrade = false;
            break;
        case WEIR_FIELD_CONNECTION:
        case WEIR_FIELD_TRANSFER_ENCODING:
        case WEIR_FIELD_KEEP_ALIVE:
        case WEIR_FIELD_PROXY_CONNECTION:
        case WEIR_FIELD_TE:
        case WEIR_FIELD_HTTP2_SETTINGS:
            break;
        default:
            put_field(t, field->name, field->value);
        }
    }
    if (length != UINT64_MAX)
        put_length(t, WEIR_SLICE("Content-Length"), length);
    if (plan->chunked)
        put_field(t, WEIR_SLICE("Transfer-Encoding"), WEIR_SLICE("chunked"));
    if (upgrade)
        put_field(t, WEIR_SLICE("Upgrade"), head->protocol);
    if (plan->te)
        put_field(t, WEIR_SLICE("TE"), WEIR_SLICE("trailers"));
}

static void put_head(struct text *t, const struct plan *plan) {
    const struct weir_head *head = plan->head;
    if (head->is_response) {
        char status[3] = { (char)('0' + head->status / 100), (char)('0' + head->status / 10 % 10),
                           (char)('0' + head->status % 10) };
        put(t, WEIR_SLICE("HTTP/1.1 "));
        put(t, weir_slice_make(status, 3));
        put(t, WEIR_SLICE(" "));
        put(t, reason_of(head));
        t->bad |= head->status < 100 || head->status > 999;
        end_line(t);
    } else {
        struct weir_slice target = head->target.len ? head->target : head->authority;
        put(t, head->method_name);
        put(t, WEIR_SLICE(" "));
        put(t, target);
        put(t, WEIR_SLICE(" HTTP/1.1"));
        t->bad |= !weir_chars_are(head->method_name, WEIR_CHAR_TOKEN) ||
                  (head->method == WEIR_METHOD_CONNECT
                       ? !weir_authority_valid(target)
                       : head->target.len == 0 || memchr(target.ptr, ' ', target.len));
        end_line(t);
        put_field(t, WEIR_SLICE("Host"), head->authority);
    }
    put_fields(t, plan);
    put_connection(t, plan);
    end_line(t);
}

/* Queues what `assemble` makes of arg, at most size bytes. 0, -ENOMEM, -EPROTO = not to be written.
 */
static int queue_text(struct weir_h1 *h, size_t size, void (*assemble)(struct text *, const void *),
                      const void *arg) {
    bool fits = size <= WEIR_H1_TEXT_MAX;
    char *start = fits ? weir_h1_text(h, size) : weir_malloc(size);
    struct text t = { .p = start };
    if (!start)
        return -ENOMEM;
    assemble(&t, arg);
    int r = t.bad || count_controls(start, t.p) != 2 * t.lines ? -EPROTO : 0;
    if (fits)
        return r ? r : weir_h1_text_commit(h, (size_t)(t.p - start));
    struct weir_bufq *q = weir_h1_queue(h);
    if (r == 0)
        r = q ? weir_bufq_append(q, weir_slice_make(start, (size_t)(t.p - start))) : -ENOMEM;
    weir_free(start);
    return r;
}

static void assemble_head(struct text *t, const void *plan) {
    put_head(t, plan);
}

/* ---- which framing ---- */

static int plan_request(const struct weir_h1 *h, const struct weir_head *head, bool end,
                        struct plan *plan) {
    plan->close = h->draining;
    plan->te = head->te_trailers;
    plan->upgrade = head->wants_upgrade && head->protocol.len > 0;
    switch (end && head->body != WEIR_BODY_LENGTH ? WEIR_BODY_NONE : head->body) {
    case WEIR_BODY_NONE:
        /* RFC 9110 8.6: methods that usually have content say that there is none. */
        if (head->method == WEIR_METHOD_POST || head->method == WEIR_METHOD_PUT ||
            head->method == WEIR_METHOD_PATCH)
            plan->length = 0;
        plan->framing = WEIR_H1_OUT_NONE;
        return 0;
    case WEIR_BODY_LENGTH:
        plan->framing = WEIR_H1_OUT_LENGTH;
        plan->length = head->content_length;
        return end && plan->length > 0 ? -EPROTO : 0;
    case WEIR_BODY_STREAM:
        plan->framing = WEIR_H1_OUT_CHUNKED;
        plan->chunked = true;
        return 0;
    default: /* a request ends before its connection does */
        return -EPROTO;
    }
}

/* The answer that turns this exchange into a tunnel, if it is one. */
static int plan_tunnel(const struct weir_h1 *h, const struct weir_head *head, struct plan *plan) {
    bool asked = head->status == 101 ? h->req_upgrade : h->req_connect && head->status / 100 == 2;
    if (!asked || head->body != WEIR_BODY_TUNNEL)
        return -EPROTO;
    plan->framing = WEIR_H1_OUT_RAW;
    plan->tunnel = true;
    plan->upgrade = head->status == 101;
    return plan->upgrade && head->protocol.len == 0 ? -EPROTO : 0;
}

static int plan_response(const struct weir_h1 *h, const struct weir_head *head, bool end,
                         struct plan *plan) {
    bool connected = h->req_connect && head->status / 100 == 2;
    if (head->status == 101 || head->body == WEIR_BODY_TUNNEL || connected)
        return plan_tunnel(h, head, plan);
    plan->framing = WEIR_H1_OUT_DISCARD;
    if (head->status < 200)
        return 0;
    /* An error before the end of the request: tell the client to stop sending. */
    plan->close = h->close_after || h->draining || h->base.must_close ||
                  (h->state != WEIR_H1_COMPLETE && (end || head->status >= 400));
    if (head->status == 204)
        goto done;
    if (h->req_head || head->status == 304) {
        plan->length = head->content_length;
        goto done;
    }
    if (head->body == WEIR_BODY_LENGTH) {
        plan->framing = WEIR_H1_OUT_LENGTH;
        plan->length = head->content_length;
        if (end && plan->length > 0)
            return -EPROTO;
    } else if (head->body == WEIR_BODY_NONE || end) {
        plan->framing = WEIR_H1_OUT_NONE;
        plan->length = 0;
    } else if (h->req_http10) {
        plan->framing = WEIR_H1_OUT_RAW;
        plan->close = true;
    } else {
        plan->framing = WEIR_H1_OUT_CHUNKED;
        plan->chunked = true;
    }
done:
    plan->keep_alive = !plan->close && h->req_http10;
    return 0;
}

/* ---- the operations ---- */

static void request_sent(struct weir_h1 *h, const struct weir_head *head, const struct plan *plan) {
    h->req_head = head->method == WEIR_METHOD_HEAD;
    h->req_connect = head->method == WEIR_METHOD_CONNECT;
    h->req_upgrade = plan->upgrade;
    h->close_after |= plan->close;
}

static void response_sent(struct weir_h1 *h, const struct plan *plan) {
    h->close_after |= plan->close;
    if (!plan->tunnel)
        return;
    /* From here on both sides are one stream of bytes each. */
    h->close_after = true;
    h->cs.recv_done = false;
    h->state = WEIR_H1_TUNNEL;
}

static void sent(struct weir_h1 *h) {
    h->cs.send_done = true;
    /* The rest of the request is of no use to anybody. */
    if (weir_h1_is_server(h) && h->state != WEIR_H1_COMPLETE && h->state != WEIR_H1_TUNNEL)
        h->base.must_close = true;
}

int weir_h1_send_head(struct weir_codec *c, struct weir_cstream *cs, const struct weir_head *head,
                      bool end) {
    struct weir_h1 *h = weir_h1_of(c);
    struct plan plan = { .head = head, .length = UINT64_MAX };
    bool server = weir_h1_is_server(h);
    bool final = !server || head->status == 101 || head->status >= 200;
    if (c->n_active == 0 || h->final_sent || head->is_response != server)
        return -EPROTO;
    if (!final && h->req_http10)
        return 0; /* RFC 9110 15.2 */
    int r = server ? plan_response(h, head, end, &plan) : plan_request(h, head, end, &plan);
    if (r == 0)
        r = queue_text(h, head_size(head), assemble_head, &plan);
    c->want_pull = h->out != NULL;
    if (r < 0 || !final)
        return r;
    h->final_sent = true;
    h->out_framing = plan.framing;
    h->send_left = plan.length;
    if (server)
        response_sent(h, &plan);
    else
        request_sent(h, head, &plan);
    if (end && !plan.tunnel)
        sent(h);
    return 0;
}

static int broken(struct weir_h1 *h) {
    h->base.must_close = true;
    return -ENOMEM;
}

static size_t put_hex(char *p, uint64_t value) {
    size_t n = 0;
    for (int shift = 60; shift >= 0; shift -= 4) {
        unsigned digit = value >> shift & 15;
        if (digit || n || shift == 0)
            p[n++] = "0123456789abcdef"[digit];
    }
    return n;
}

/* The size line, in front of it the end of the chunk before. */
static int queue_size(struct weir_h1 *h, uint64_t size) {
    size_t n = 0;
    char *p = weir_h1_text(h, 24);
    if (!p)
        return -ENOMEM;
    if (h->crlf_due) {
        p[n++] = '\r';
        p[n++] = '\n';
    }
    n += put_hex(p + n, size);
    p[n++] = '\r';
    p[n++] = '\n';
    return weir_h1_text_commit(h, n);
}

/* False: it is not small, or there is no room where text is written. */
static bool copied(struct weir_h1 *h, struct weir_bufq *data) {
    struct weir_h1_out *out = h->out;
    struct iovec first;
    size_t n = data->len;
    if (n > COPY_MAX || n > out->text->size - out->used || weir_bufq_peek(data, &first, 1) != 1 ||
        first.iov_len != n)
        return false;
    memcpy(out->text->data + out->used, first.iov_base, n);
    if (weir_h1_text_commit(h, n) < 0)
        return false;
    weir_bufq_clear(data);
    return true;
}

int weir_h1_send_data(struct weir_codec *c, struct weir_cstream *cs, struct weir_bufq *data) {
    struct weir_h1 *h = weir_h1_of(c);
    if (data->len == 0)
        return 0;
    if (c->n_active == 0 || !h->final_sent || h->cs.send_done)
        return -EPROTO;
    switch (h->out_framing) {
    case WEIR_H1_OUT_DISCARD:
        weir_bufq_clear(data);
        return 0;
    case WEIR_H1_OUT_LENGTH:
        if (data->len > h->send_left)
            return -EPROTO;
        h->send_left -= data->len;
        break;
    case WEIR_H1_OUT_CHUNKED:
        if (queue_size(h, data->len) < 0)
            return broken(h);
        h->crlf_due = true;
        break;
    case WEIR_H1_OUT_RAW:
        break;
    default:
        return -EPROTO;
    }
    struct weir_bufq *q = weir_h1_queue(h);
    c->want_pull = true;
    if (q && copied(h, data))
        return 0;
    return q && weir_bufq_move(q, data, data->len) == 0 ? 0 : broken(h);
}

static void assemble_trailers(struct text *t, const void *arg) {
    const struct weir_head *trailers = arg;
    put(t, WEIR_SLICE("0"));
    end_line(t);
    for (uint16_t i = 0; i < trailers->n_fields; i++) {
        const struct weir_field *field = &trailers->fields[i];
        if (!field->dropped && weir_trailer_allowed(field->name))
            put_field(t, field->name, field->value);
    }
    end_line(t);
}

static int queue_last(struct weir_h1 *h, const struct weir_head *trailers) {
    static const char last[] = "\r\n0\r\n\r\n";
    struct weir_bufq *q = weir_h1_queue(h);
    int r = q ? 0 : -ENOMEM;
    size_t skip = h->crlf_due ? 0 : 2;
    /* RFC 9110 6.5.1: a client that did not say TE: trailers may never look at them. */
    if (!trailers || trailers->n_fields == 0 || (weir_h1_is_server(h) && !h->req_trailers))
        return r ? r : weir_bufq_append_ref(q, NULL, weir_slice_make(last + skip, 7 - skip));
    if (r == 0 && h->crlf_due)
        r = weir_bufq_append_ref(q, NULL, weir_slice_make(last, 2));
    h->crlf_due = false;
    return r ? r : queue_text(h, head_size(trailers), assemble_trailers, trailers);
}

int weir_h1_send_end(struct weir_codec *c, struct weir_cstream *cs,
                     const struct weir_head *trailers) {
    struct weir_h1 *h = weir_h1_of(c);
    if (h->cs.send_done)
        return 0;
    if (c->n_active == 0 || !h->final_sent)
        return -EPROTO;
    if (h->out_framing == WEIR_H1_OUT_LENGTH && h->send_left > 0)
        return -EPROTO;
    if (h->out_framing == WEIR_H1_OUT_CHUNKED) {
        int r = queue_last(h, trailers);
        if (r < 0)
            return r == -ENOMEM ? broken(h) : r;
        h->crlf_due = false;
    }
    sent(h);
    /* Even with nothing left to send, pull is where the exchange ends. */
    c->want_pull = true;
    return 0;
}
