/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out: heads become header lists, content becomes DATA frames, and pull gathers the frames
 * of all streams.
 *
 * This is the last place that can keep CR, LF, NUL or a connection-specific field off the wire,
 * whatever wrote the head; a head that holds such bytes is refused whole. nghttp2 copies the list
 * and lower-cases its names, but for those weir knows, which are written as weir spells them. Content is not copied: the frame header goes to the out queue and the
 * stream's segments are moved behind it. nghttp2 decides whose turn it is and how much the peer's
 * windows allow.
 */
#include "http/h2_internal.h"

#include "base/mem.h"
#include "http/carry.h"
#include "http/uri.h"

#define LIST_INLINE 64u
#define NAMED_EVERY 256u
#define COPY_BELOW  256u /* content this small costs less copied than as a segment of its own */

struct list {
    nghttp2_nv *nv;
    size_t n;
    uint8_t varying; /* flags of what is another in each request */
    nghttp2_nv small[LIST_INLINE];
};

static int list_init(struct list *list, size_t cap) {
    list->n = 0;
    list->varying = NGHTTP2_NV_FLAG_NO_INDEX;
    list->nv = list->small;
    if (cap > LIST_INLINE)
        list->nv = weir_reallocarray(NULL, cap, sizeof(*list->nv));
    return list->nv ? 0 : -ENOMEM;
}

static void list_deinit(struct list *list) {
    if (list->nv != list->small)
        weir_free(list->nv);
}

static void list_put(struct list *list, struct weir_slice name, struct weir_slice value,
                     uint8_t flags) {
    list->nv[list->n++] = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.ptr,
        .value = (uint8_t *)(uintptr_t)value.ptr,
        .namelen = name.len,
        .valuelen = value.len,
        .flags = flags,
    };
}

/* A name that outlives everything, in lower case. */
static void list_add(struct list *list, struct weir_slice name, struct weir_slice value) {
    list_put(list, name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
}

/* Fields that mean something else, or nothing, in HTTP/2 (RFC 9113 8.2.2), and those written from
 * the head itself. */
static bool is_written(const struct weir_field *field) {
    if (field->dropped)
        return false;
    switch (field->id) {
    case WEIR_FIELD_HOST:
    case WEIR_FIELD_CONNECTION:
    case WEIR_FIELD_CONTENT_LENGTH:
    case WEIR_FIELD_TRANSFER_ENCODING:
    case WEIR_FIELD_TE:
    case WEIR_FIELD_UPGRADE:
    case WEIR_FIELD_KEEP_ALIVE:
    case WEIR_FIELD_PROXY_CONNECTION:
    case WEIR_FIELD_HTTP2_SETTINGS:
        return false;
    default:
        return true;
    }
}

/*
 * What is another in each request is of no use in the peer's table, and harmful in ours: it pushes out
 * what would be used again, and the next one is compared with every one that is still there. But now
 * and then one goes into the table, so that the others find their name there.
 */
static bool varies(const struct weir_field *field) {
    return field->id == WEIR_FIELD_X_REQUEST_ID || field->id == WEIR_FIELD_TRACEPARENT;
}

/* 0 or -EPROTO. */
static int add_fields(struct list *list, const struct weir_head *head) {
    for (uint16_t i = 0; i < head->n_fields; i++) {
        const struct weir_field *field = &head->fields[i];
        if (!is_written(field))
            continue;
        struct weir_slice known = weir_field_name(field->id);
        if (!weir_value_valid(field->value))
            return -EPROTO;
        if (known.len)
            list_put(list, known, field->value,
                     NGHTTP2_NV_FLAG_NO_COPY_NAME | (varies(field) ? list->varying : 0));
        else if (weir_chars_are(field->name, WEIR_CHAR_TOKEN))
            list_put(list, field->name, field->value, NGHTTP2_NV_FLAG_NONE);
        else
            return -EPROTO;
    }
    return 0;
}

/* Upgrade lists what the client would like best first; :protocol names one. */
static struct weir_slice first_protocol(const struct weir_head *head) {
    struct weir_slice rest = head->protocol, first = WEIR_SLICE_NONE;

    weir_slice_split(&rest, ',', &first);
    return weir_slice_trim(first);
}

static int add_request(struct list *list, const struct weir_head *head) {
    bool upgrade = head->wants_upgrade && head->protocol.len;
    bool connect = head->method == WEIR_METHOD_CONNECT;
    bool asterisk =
        head->method == WEIR_METHOD_OPTIONS && weir_slice_eq(head->target, WEIR_SLICE("*"));

    if (!weir_chars_are(head->method_name, WEIR_CHAR_TOKEN))
        return -EPROTO;
    list_add(list, WEIR_SLICE(":method"), upgrade ? WEIR_SLICE("CONNECT") : head->method_name);
    if (upgrade)
        list_add(list, WEIR_SLICE(":protocol"), first_protocol(head));
    if (!connect) {
        if (!asterisk && !weir_target_valid(head->target))
            return -EPROTO;
        bool https = weir_slice_ieq(head->scheme, WEIR_SLICE("https"));
        list_add(list, WEIR_SLICE(":scheme"), https ? WEIR_SLICE("https") : WEIR_SLICE("http"));
        list_add(list, WEIR_SLICE(":path"), head->target);
    }
    if (head->authority.len) {
        if (!weir_authority_valid(head->authority))
            return -EPROTO;
        list_add(list, WEIR_SLICE(":authority"), head->authority);
    } else if (connect) {
        return -EPROTO;
    }
    if (head->te_trailers)
        list_add(list, WEIR_SLICE("te"), WEIR_SLICE("trailers"));
    return 0;
}

static size_t decimal(char *end, uint64_t value) {
    char *p = end;
    do
        *--p = (char)('0' + value % 10);
    while (value /= 10);
    return (size_t)(end - p);
}

static bool announces_length(const struct weir_head *head) {
    if (head->content_length == UINT64_MAX)
        return false;
    if (head->body == WEIR_BODY_LENGTH)
        return true;
    /* What the content of HEAD or 304 would have been. */
    return head->is_response && head->body == WEIR_BODY_NONE && head->status >= 200 &&
           head->status != 204;
}

/* May this stream be answered so? What is no tunnel must not look like one. */
static bool status_ok(const struct weir_h2_stream *st, const struct weir_head *head) {
    bool asked = st->upgrade == WEIR_H2_UPGRADE_ASKED;

    if (head->status == 101)
        return asked && head->body == WEIR_BODY_TUNNEL;
    if (asked && head->status / 100 == 2)
        return weir_carry_not_switched(head);
    return head->status >= 100 && head->status <= 999;
}

/* Everything but the sending. `number` holds digits until the list is submitted. */
static int list_fill(struct list *list, const struct weir_h2_stream *st,
                     const struct weir_head *head, char number[24]) {
    int r;

    if (head->is_response) {
        if (!status_ok(st, head))
            return -EPROTO;
        decimal(number + 24, head->status == 101 ? 200 : head->status);
        list_add(list, WEIR_SLICE(":status"), weir_slice_make(number + 21, 3));
        r = 0;
    } else {
        r = add_request(list, head);
    }
    if (r < 0)
        return r;
    r = add_fields(list, head);
    if (r < 0)
        return r;
    if (announces_length(head)) {
        size_t n = decimal(number + 20, head->content_length);
        list_add(list, WEIR_SLICE("content-length"), weir_slice_make(number + 20 - n, n));
    }
    return 0;
}

/* ---- content ---- */

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                       uint32_t *data_flags, nghttp2_data_source *source, void *arg) {
    struct weir_h2_stream *st = source->ptr;

    (void)buf;
    (void)arg;
    if (st->out.len == 0 && (!st->cs.send_done || st->upgrade == WEIR_H2_UPGRADE_ASKED)) {
        st->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *data_flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (st->out.len > length)
        return (ssize_t)length;
    if (st->cs.send_done) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
        if (st->trailers) {
            *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(session, id, st->trailers, st->n_trailers))
                return NGHTTP2_ERR_CALLBACK_FAILURE;
            st->trailers = weir_free(st->trailers);
        }
    }
    return (ssize_t)st->out.len;
}

static int move_content(struct weir_bufq *to, struct weir_bufq *from, size_t n) {
    struct iovec first;

    if (n == 0)
        return 0;
    if (n < COPY_BELOW && weir_bufq_peek(from, &first, 1) == 1 && first.iov_len >= n) {
        if (weir_bufq_append(to, weir_slice_make(first.iov_base, n)) < 0)
            return -ENOMEM;
        weir_bufq_consume(from, n);
        return 0;
    }
    return weir_bufq_move(to, from, n);
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd,
                        size_t length, nghttp2_data_source *source, void *arg) {
    struct weir_h2 *h = arg;
    struct weir_h2_stream *st = source->ptr;

    (void)session;
    (void)frame; /* never padded */
    if (weir_bufq_append(h->out, weir_slice_make((const char *)framehd, 9)) < 0 ||
        move_content(h->out, &st->out, length) < 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    h->base.queued -= length;
    weir_h2_guard_progress(&h->guard, WEIR_H2_WORTH_SENT + length / WEIR_H2_BYTES_PER_WORTH);
    return weir_bufq_full(h->out) ? NGHTTP2_ERR_PAUSE : 0;
}

static void end_sent(struct weir_h2 *h, int32_t id) {
    struct weir_h2_stream *st = weir_h2_stream_find(h, id);

    if (!st)
        return;
    st->end_flushed = true;
    if (st->rst_behind_end && nghttp2_session_get_stream_remote_close(h->session, id) == 0) {
        st->rst_ours = true;
        weir_h2_stream_rst(h, st, st->rst_code);
    }
}

/* nghttp2 has found the connection at fault itself. */
static void goaway_sent(struct weir_h2 *h, uint32_t code) {
    if (code == NGHTTP2_ENHANCE_YOUR_CALM || code == NGHTTP2_INTERNAL_ERROR)
        weir_h2_flood(h, h->guard.culprit);
    else if (code != NGHTTP2_NO_ERROR)
        weir_h2_kill(h, code, weir_h2_peer_fault(h, WEIR_FAULT_PROTOCOL));
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    struct weir_h2 *h = arg;
    struct weir_h2_stream *st;

    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        st = weir_h2_stream_find(h, frame->hd.stream_id);
        if (st)
            st->head_flushed = true;
        break;
    case NGHTTP2_RST_STREAM:
        st = weir_h2_stream_find(h, frame->hd.stream_id);
        if (st && !st->rst_ours)
            weir_h2_peer_error(h, st);
        break;
    case NGHTTP2_GOAWAY:
        goaway_sent(h, frame->goaway.error_code);
        break;
    default:
        break;
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        end_sent(h, frame->hd.stream_id);
    return h->broken ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *arg) {
    struct weir_h2 *h = arg;

    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    h->at_id = 0; /* nghttp2 opened the stream of a request only now */
    struct weir_h2_stream *st = weir_h2_stream_find(h, frame->hd.stream_id);
    if (!st || st->fault.kind != WEIR_FAULT_NONE)
        return 0;
    if (error == NGHTTP2_ERR_FRAME_SIZE_ERROR || error == NGHTTP2_ERR_HEADER_COMP) {
        st->fault = WEIR_FAULT(LOCAL, HEAD_TOO_LARGE);
        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
            weir_h2_stream_rst(h, st, NGHTTP2_INTERNAL_ERROR);
        st->rst_ours = true;
    } else if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        st->fault = WEIR_FAULT(UPSTREAM, GOAWAY); /* it never left */
    }
    return h->broken ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

void weir_h2_send_callbacks(nghttp2_session_callbacks *cbs) {
    nghttp2_session_callbacks_set_send_data_callback(cbs, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cbs, on_frame_not_send);
}

/* ---- ops ---- */

/* A positive result is the new stream's id; 0 for a head on an existing one; -ENOMEM. */
static int submit(struct weir_h2 *h, struct weir_h2_stream *st, const struct list *list, bool end,
                  bool final) {
    nghttp2_data_provider content = { .source.ptr = st, .read_callback = on_read };
    int r;

    if (!weir_h2_is_server(h))
        r = nghttp2_submit_request(h->session, NULL, list->nv, list->n, end ? NULL : &content, st);
    else if (final)
        r = nghttp2_submit_response(h->session, (int32_t)st->cs.id, list->nv, list->n,
                                    end ? NULL : &content);
    else
        r = nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, (int32_t)st->cs.id, NULL,
                                   list->nv, list->n, NULL);
    return r < 0 ? -ENOMEM : r;
}

/* A request has got its place in nghttp2's queue. */
static void request_queued(struct weir_h2 *h, struct weir_h2_stream *st, int id,
                           const struct weir_head *head) {
    st->cs.id = (uint64_t)id;
    st->live = true;
    st->no_content = head->method == WEIR_METHOD_HEAD;
    h->at_id = 0;
}

/* A server's final answer to extended CONNECT. */
static void upgrade_answered(struct weir_h2 *h, struct weir_h2_stream *st, bool taken) {
    if (!taken) { /* what the client still sends for its tunnel is not wanted */
        st->upgrade = WEIR_H2_UPGRADE_NO;
        st->rst_behind_end = true;
        st->rst_code = NGHTTP2_NO_ERROR;
        return;
    }
    st->upgrade = WEIR_H2_UPGRADE_TUNNEL;
    st->cs.recv_done = false;
    h->early_ready = h->early_ready || st->early.len || st->early_end;
}

void weir_h2_send_waiting(struct weir_h2 *h) {
    WEIR_LIST_FOREACH (it, &h->streams) {
        struct weir_h2_stream *st = WEIR_CONTAINER_OF(it, struct weir_h2_stream, link);
        const struct weir_head *head = st->waiting;

        if (!head || !weir_h2_listens(st))
            continue;
        st->waiting = NULL;
        st->head_sent = st->cs.send_done = false;
        if (!h->peer_connect)
            weir_h2_stream_over(h, st, WEIR_FAULT(UPSTREAM, NO_UPGRADE));
        else if (weir_h2_send_head(&h->base, &st->cs, head, true) < 0)
            weir_h2_stream_over(h, st, WEIR_FAULT(LOCAL, INTERNAL));
    }
}

int weir_h2_send_head(struct weir_codec *c, struct weir_cstream *cs, const struct weir_head *head,
                      bool end) {
    struct weir_h2 *h = weir_h2_of(c);
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    bool final = !head->is_response || head->status >= 200 || head->status == 101;
    struct list list;
    char number[24];
    int r;

    if (h->broken)
        return -ENOMEM;
    if (st->head_sent || head->is_response != weir_h2_is_server(h))
        return -EPROTO;
    if (end && !head->is_response && head->body == WEIR_BODY_LENGTH && head->content_length != 0)
        return -EPROTO;
    r = list_init(&list, (size_t)head->n_fields + 8);
    if (r < 0)
        return r;
    if (h->n_heads++ % NAMED_EVERY == 0)
        list.varying = NGHTTP2_NV_FLAG_NONE;
    r = list_fill(&list, st, head, number);
    bool upgrade = weir_h2_is_server(h) ? head->status == 101 : head->wants_upgrade;
    if (r == 0 && upgrade && !weir_h2_is_server(h)) {
        st->upgrade = WEIR_H2_UPGRADE_ASKED;
        st->protocol = first_protocol(head);
        if (h->peer_known && !h->peer_connect) {
            weir_h2_stream_over(h, st, WEIR_FAULT(UPSTREAM, NO_UPGRADE));
            st->head_sent = cs->send_done = true;
            list_deinit(&list);
            return 0;
        }
    }
    if (r == 0 && st->upgrade == WEIR_H2_UPGRADE_ASKED && !weir_h2_is_server(h) && !h->peer_known)
        st->waiting = head;
    else if (r == 0 && (st->live || !weir_h2_is_server(h)) && !st->is_over)
        r = submit(h, st, &list, end && final && !upgrade, final);
    list_deinit(&list);
    if (r < 0)
        return r;
    if (r > 0)
        request_queued(h, st, r, head);
    if (weir_h2_is_server(h) && st->upgrade == WEIR_H2_UPGRADE_ASKED && final)
        upgrade_answered(h, st, upgrade);
    st->head_sent = final;
    if (final && end && st->upgrade != WEIR_H2_UPGRADE_TUNNEL)
        cs->send_done = true;
    if (final && head->body == WEIR_BODY_LENGTH && !end)
        st->send_left = head->content_length;
    h->base.want_pull = true;
    return 0;
}

/* As core/ writes its own answers. Static bytes. */
static int answer_content(struct weir_h2_stream *st, const struct weir_fault_answer *answer) {
    const struct weir_slice parts[] = {
        WEIR_SLICE("weir: "), weir_slice_from_str(answer->text),
        WEIR_SLICE(" ("),     weir_slice_from_str(answer->flag),
        WEIR_SLICE(" "),      weir_slice_from_str(answer->name),
        WEIR_SLICE(")\n"),
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts); i++)
        if (weir_bufq_append_ref(&st->out, NULL, parts[i]) < 0)
            return -ENOMEM;
    return 0;
}

int weir_h2_answer(struct weir_h2 *h, struct weir_h2_stream *st,
                   const struct weir_fault_answer *answer) {
    bool head_only = weir_method_id(st->cs.head->method_name) == WEIR_METHOD_HEAD;
    struct list list;
    char number[24];

    if (!head_only && answer_content(st, answer) < 0)
        return -ENOMEM;
    list_init(&list, 4);
    decimal(number + 3, answer->status);
    list_add(&list, WEIR_SLICE(":status"), weir_slice_make(number, 3));
    list_add(&list, WEIR_SLICE("content-type"), WEIR_SLICE("text/plain; charset=utf-8"));
    list_add(&list, WEIR_SLICE("x-weir-reason"), weir_slice_from_str(answer->name));
    if (!head_only) {
        size_t n = decimal(number + 24, st->out.len);
        h->base.queued += st->out.len;
        list_add(&list, WEIR_SLICE("content-length"), weir_slice_make(number + 24 - n, n));
    }
    st->head_sent = true;
    st->cs.send_done = true;
    return submit(h, st, &list, head_only, true);
}

int weir_h2_wake(struct weir_h2 *h, struct weir_h2_stream *st) {
    h->base.want_pull = true;
    if (!st->deferred)
        return 0;
    st->deferred = false;
    int r = nghttp2_session_resume_data(h->session, (int32_t)st->cs.id);
    if (r == NGHTTP2_ERR_NOMEM) {
        h->broken = true;
        return -ENOMEM;
    }
    return 0;
}

int weir_h2_send_data(struct weir_codec *c, struct weir_cstream *cs, struct weir_bufq *data) {
    struct weir_h2 *h = weir_h2_of(c);
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    size_t n = data->len;
    int r;

    if (h->broken)
        return -ENOMEM;
    if (n == 0)
        return 0;
    if (!st->live || st->is_over) { /* the peer has left; the owner will hear of it */
        weir_bufq_clear(data);
        return 0;
    }
    if (!st->head_sent || cs->send_done || (st->send_left != UINT64_MAX && n > st->send_left))
        return -EPROTO;
    r = weir_bufq_move(&st->out, data, n);
    if (r < 0)
        return r;
    c->queued += n;
    if (st->send_left != UINT64_MAX)
        st->send_left -= n;
    return weir_h2_wake(h, st);
}

/* Copies what may be sent of the trailers into st->trailers. 0, -ENOMEM, -EPROTO. */
static int keep_trailers(struct weir_h2_stream *st, const struct weir_head *trailers) {
    struct list list;
    size_t bytes = 0;
    int r = list_init(&list, trailers->n_fields);

    if (r < 0)
        return r;
    r = add_fields(&list, trailers);
    for (size_t i = 0; i < list.n; i++)
        bytes += list.nv[i].namelen + list.nv[i].valuelen;
    if (r == 0 && list.n) {
        st->trailers = weir_malloc(list.n * sizeof(*list.nv) + bytes);
        r = st->trailers ? 0 : -ENOMEM;
    }
    if (r == 0 && list.n) {
        uint8_t *to = (uint8_t *)(st->trailers + list.n);
        for (size_t i = 0; i < list.n; i++) {
            nghttp2_nv *nv = &st->trailers[i];
            *nv = list.nv[i];
            nv->flags &= (uint8_t)~NGHTTP2_NV_FLAG_NO_COPY_NAME; /* this copy is short-lived */
            nv->name = memcpy(to, nv->name, nv->namelen);
            to += nv->namelen;
            if (nv->valuelen)
                memcpy(to, nv->value, nv->valuelen);
            nv->value = to;
            to += nv->valuelen;
        }
        st->n_trailers = list.n;
    }
    list_deinit(&list);
    return r;
}

int weir_h2_send_end(struct weir_codec *c, struct weir_cstream *cs,
                     const struct weir_head *trailers) {
    struct weir_h2 *h = weir_h2_of(c);
    struct weir_h2_stream *st = weir_h2_stream_of(cs);

    if (h->broken)
        return -ENOMEM;
    if (!st->live || st->is_over) {
        cs->send_done = true;
        return 0;
    }
    if (!st->head_sent || cs->send_done || (st->send_left != UINT64_MAX && st->send_left > 0))
        return -EPROTO;
    if (trailers) {
        int r = keep_trailers(st, trailers);
        if (r < 0)
            return r;
    }
    cs->send_done = true;
    return weir_h2_wake(h, st);
}

int weir_h2_pull(struct weir_codec *c, struct weir_bufq *out) {
    struct weir_h2 *h = weir_h2_of(c);
    const uint8_t *bytes;
    ssize_t n = 0;

    if (h->broken)
        return -ENOMEM;
    if (h->busy) /* from inside an event: behind it there is a pull anyway */
        return 0;
    h->busy = true;
    h->out = out;
    while (!weir_bufq_full(out) && (n = nghttp2_session_mem_send(h->session, &bytes)) > 0)
        if (weir_bufq_append(out, weir_slice_make((const char *)bytes, (size_t)n)) < 0) {
            n = NGHTTP2_ERR_NOMEM;
            break;
        }
    h->out = NULL;
    if (n < 0)
        h->broken = true;
    if (h->early_ready)
        weir_h2_tell_early(h);
    weir_h2_tell_over(h);
    h->busy = false;
    weir_h2_settle(h);
    return h->broken ? -ENOMEM : 0;
}
