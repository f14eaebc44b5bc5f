/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nghttp2 tells us about the peer, turned into codec events. Runs inside
 * nghttp2_session_mem_recv: owners may submit from here but nothing is sent, and a stream's last
 * event waits until nghttp2 is done (h2_stream.c).
 *
 * Who finds a message malformed decides the answer. nghttp2's own checks end in
 * RST_STREAM(PROTOCOL_ERROR), queued before we hear of it; ours end in the status of the fault
 * table, then RST_STREAM if the request still goes on. In both cases `reset` follows `begin` and
 * `head` never comes.
 */
#include "http/h2_internal.h"

#include "base/mem.h"

/* All of equal urgency and incremental: content of many responses goes out in turns. */
static const nghttp2_extpri equal_share = { .urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1 };

static int broken(struct weir_h2 *h) {
    h->broken = true;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/*
 * First thing in each callback that begins something new, where nghttp2 walks no streams: what an
 * earlier frame has ended is told before this one, however the bytes were cut into reads.
 */
static struct weir_h2 *next(void *arg) {
    struct weir_h2 *h = arg;
    if (!weir_list_empty(&h->over))
        weir_h2_tell_over(h);
    return h;
}

/* The callback's result while all is well. */
static int done(struct weir_h2 *h) {
    return h->broken ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int begin_request(struct weir_h2 *h, int32_t id) {
    struct weir_h2_stream *st = weir_h2_stream_new(h);
    if (!st)
        return broken(h);
    st->cs.id = (uint64_t)id;
    if (h->base.events->begin(h->base.arg, &st->cs)) {
        weir_h2_stream_drop(h, st);
        h->at = NULL;
        h->at_id = id;
        if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM))
            return broken(h);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* decode the rest for HPACK's sake, tell
                                                         nobody */
    }
    st->owned = st->live = true;
    h->base.n_active++;
    h->at = st;
    h->at_id = id;
    weir_h2_head_begin(h, st);
    nghttp2_session_set_stream_user_data(h->session, id, st);
    if (nghttp2_session_change_extpri_stream_priority(h->session, id, &equal_share, 1))
        return broken(h);
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    struct weir_h2 *h = next(arg);

    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        return begin_request(h, frame->hd.stream_id);
    struct weir_h2_stream *st = weir_h2_stream_find(h, frame->hd.stream_id);
    if (!weir_h2_listens(st))
        return 0;
    if (!st->head_done) {
        weir_h2_head_begin(h, st);
        return 0;
    }
    weir_h2_list_begin(st);
    st->cs.trailers = weir_arena_alloc(st->cs.head->arena, sizeof(*st->cs.trailers));
    if (!st->cs.trailers)
        return broken(h);
    weir_head_init(st->cs.trailers, st->cs.head->arena);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *arg) {
    struct weir_h2 *h = arg;
    struct weir_h2_stream *st = weir_h2_stream_find(h, frame->hd.stream_id);
    int r;

    (void)session;
    (void)flags;
    if (!weir_h2_listens(st))
        return 0;
    if (st->head_done)
        r = weir_h2_head_trailer(h, st, name, value);
    else
        r = weir_h2_head_field(h, st, name, value);
    if (r < 0)
        return broken(h);
    return h->killed ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static bool is_early(const struct weir_h2 *h, const struct weir_h2_stream *st) {
    return weir_h2_is_server(h) && st->upgrade == WEIR_H2_UPGRADE_ASKED;
}

static void incoming_end(struct weir_h2 *h, struct weir_h2_stream *st) {
    if (is_early(h, st)) { /* of a tunnel that does not exist yet */
        st->early_end = true;
        return;
    }
    st->cs.recv_done = true;
    h->base.events->end(h->base.arg, &st->cs);
}

static void trailers_done(struct weir_h2 *h, struct weir_h2_stream *st) {
    if (st->bad != WEIR_FAULT_NONE) {
        weir_h2_stream_refuse(h, st);
        return;
    }
    st->cs.trailers->size = st->list_size;
    if (st->cs.trailers->n_fields == 0)
        st->cs.trailers = NULL;
    incoming_end(h, st);
}

/* A complete header list that is not trailers. 0 or -ENOMEM. */
static int head_done(struct weir_h2 *h, struct weir_h2_stream *st, bool end) {
    int r = 0;

    if (weir_h2_is_server(h))
        r = weir_h2_head_request(st, end);
    else
        weir_h2_head_response(h, st, end);
    if (r < 0)
        return r;
    bool final = weir_h2_is_server(h) || st->cs.head->status >= 200;
    if (!final && st->bad == WEIR_FAULT_NONE && ++st->informational > h->base.limits->informational)
        st->bad = WEIR_FAULT_TOO_MANY_INFORMATIONAL;
    if (st->bad != WEIR_FAULT_NONE) {
        weir_h2_stream_refuse(h, st);
        return 0;
    }
    st->head_done = final;
    if (final)
        weir_h2_guard_progress(&h->guard, WEIR_H2_WORTH_HEAD);
    bool asked = is_early(h, st);
    h->base.events->head(h->base.arg, &st->cs, NULL);
    if (asked && weir_h2_listens(st)) {
        st->cs.recv_done = true;
        h->base.events->end(h->base.arg, &st->cs);
    }
    if (end && weir_h2_listens(st))
        incoming_end(h, st);
    return 0;
}

static int headers_received(struct weir_h2 *h, const nghttp2_frame *frame) {
    struct weir_h2_stream *st = weir_h2_stream_find(h, frame->hd.stream_id);
    int r = 0;

    if (!weir_h2_listens(st))
        return 0;
    if (st->head_done)
        trailers_done(h, st);
    else
        r = head_done(h, st, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    return r < 0 ? broken(h) : done(h);
}

/*
 * A stream beyond the announced number: nghttp2 refuses it by itself while our SETTINGS are not acknowledged, which a hostile
 * client never does. Or one that is taken back before it was answered. Opened for nothing.
 */
static void opened_in_vain(struct weir_h2 *h) {
    if (weir_h2_is_server(h) && weir_h2_guard_early_reset(&h->guard))
        weir_h2_flood(h, WEIR_FLOOD_RESETS);
}

static void rst_received(struct weir_h2 *h, const nghttp2_frame *frame) {
    struct weir_h2_stream *st = weir_h2_stream_find(h, frame->hd.stream_id);

    if (weir_h2_listens(st) && !st->head_sent)
        opened_in_vain(h);
}

static void settings_received(struct weir_h2 *h, const nghttp2_frame *frame) {
    if (frame->hd.flags & NGHTTP2_FLAG_ACK || weir_h2_is_server(h))
        return;
    h->base.max_active =
        nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    h->peer_known = true;
    h->peer_connect = nghttp2_session_get_remote_settings(
                          h->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
    weir_h2_send_waiting(h);
}

/* The answer to the PING behind the notice: what the client sent before it read that has arrived.
 */
static int ping_received(struct weir_h2 *h, const nghttp2_frame *frame) {
    if (!(frame->hd.flags & NGHTTP2_FLAG_ACK) || h->drain != WEIR_H2_DRAIN_NOTICE ||
        memcmp(frame->ping.opaque_data, WEIR_H2_DRAIN_PING, 8) != 0)
        return 0;
    return weir_h2_drain_final(h) < 0 ? broken(h) : 0;
}

static void goaway_received(struct weir_h2 *h) {
    if (h->draining && !weir_h2_is_server(h))
        return;
    h->draining = true;
    h->base.events->draining(h->base.arg);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    struct weir_h2 *h = next(arg);
    struct weir_h2_stream *st;

    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        return headers_received(h, frame);
    case NGHTTP2_DATA:
        st = weir_h2_stream_find(h, frame->hd.stream_id);
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM && weir_h2_listens(st))
            incoming_end(h, st);
        break;
    case NGHTTP2_RST_STREAM:
        rst_received(h, frame);
        break;
    case NGHTTP2_SETTINGS:
        settings_received(h, frame);
        break;
    case NGHTTP2_PING:
        return ping_received(h, frame);
    case NGHTTP2_GOAWAY:
        goaway_received(h);
        break;
    default:
        break;
    }
    return done(h);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *arg) {
    struct weir_h2 *h = next(arg);
    struct weir_h2_stream *st = weir_h2_stream_find(h, id);

    (void)flags;
    if (!weir_h2_listens(st)) /* nobody will report it consumed */
        return nghttp2_session_consume_connection(session, len) ? broken(h) : 0;
    weir_h2_guard_progress(&h->guard, WEIR_H2_WORTH_DATA + len / WEIR_H2_BYTES_PER_WORTH);
    st->unconsumed += len;
    if (is_early(h, st)) { /* at most a window full: nobody gives credit for it */
        if (weir_bufq_append_ref(&st->early, h->chunk, weir_slice_make((const char *)data, len)) <
            0)
            return broken(h);
        return 0;
    }
    h->base.events->data(h->base.arg, &st->cs, h->chunk, weir_slice_make((const char *)data, len));
    return done(h);
}

static enum weir_fault_kind invalid_kind(const struct weir_h2 *h, const struct weir_h2_stream *st,
                                         int error) {
    if (error != NGHTTP2_ERR_HTTP_HEADER && error != NGHTTP2_ERR_HTTP_MESSAGING)
        return WEIR_FAULT_PROTOCOL;
    if (!weir_h2_is_server(h))
        return WEIR_FAULT_BAD_RESPONSE;
    if (st->bad != WEIR_FAULT_NONE)
        return st->bad;
    if (error == NGHTTP2_ERR_HTTP_HEADER)
        return WEIR_FAULT_BAD_FIELD;
    /* The list was in order but did not make a message. */
    bool framing = st->head_done || st->cs.head->content_length != UINT64_MAX;
    return framing ? WEIR_FAULT_BAD_FRAMING : WEIR_FAULT_BAD_PSEUDO;
}

/*
 * More streams than announced: a connection error once the client has acknowledged how many there may be (nghttp2 sends it), else
 * this stream is refused.
 */
static void refused(struct weir_h2 *h, const nghttp2_frame *frame, int error) {
    if (!weir_h2_is_server(h) || frame->hd.type != NGHTTP2_HEADERS ||
        h->base.n_active < h->base.limits->streams)
        return;
    if (error == NGHTTP2_ERR_REFUSED_STREAM)
        h->base.n_refused++;
    else
        weir_h2_kill(h, NGHTTP2_PROTOCOL_ERROR, weir_h2_peer_fault(h, WEIR_FAULT_LIMIT_STREAMS));
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *arg) {
    struct weir_h2 *h = arg;
    struct weir_h2_stream *st = weir_h2_stream_find(h, frame->hd.stream_id);

    (void)session;
    if (!st) {
        refused(h, frame, error);
        if (error == NGHTTP2_ERR_REFUSED_STREAM)
            opened_in_vain(h);
        return done(h);
    }
    if (weir_h2_listens(st))
        weir_h2_stream_over(h, st, weir_h2_peer_fault(h, invalid_kind(h, st, error)));
    weir_h2_peer_error(h, st);
    return done(h);
}

static struct weir_fault close_fault(const struct weir_h2 *h, const struct weir_h2_stream *st,
                                     uint32_t code) {
    bool answered_early =
        !weir_h2_is_server(h) && st->cs.recv_done && st->upgrade != WEIR_H2_UPGRADE_TUNNEL;

    if (answered_early || (st->cs.recv_done && st->end_flushed))
        return (struct weir_fault){ 0, WEIR_FAULT_NONE };
    if (st->fault.kind != WEIR_FAULT_NONE)
        return st->fault;
    if (st->counted) /* nghttp2 reset it for content that does not fit the announced length */
        return weir_h2_peer_fault(h, weir_h2_is_server(h) ? WEIR_FAULT_BAD_FRAMING
                                                          : WEIR_FAULT_BAD_RESPONSE);
    if (code == NGHTTP2_REFUSED_STREAM && !weir_h2_is_server(h))
        return WEIR_FAULT(UPSTREAM, GOAWAY);
    return weir_h2_peer_fault(h, WEIR_FAULT_RESET);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg) {
    struct weir_h2 *h = arg;
    struct weir_h2_stream *st = nghttp2_session_get_stream_user_data(session, id);

    if (h->at_id == id) {
        h->at = NULL;
        h->at_id = 0;
    }
    if (!st)
        return 0;
    st->live = false;
    if (st->unconsumed && nghttp2_session_consume_connection(session, st->unconsumed))
        return broken(h);
    st->unconsumed = 0;
    h->base.queued -= st->out.len;
    weir_bufq_clear(&st->out);
    if (st->cs.recv_done && st->end_flushed)
        weir_h2_guard_completed(&h->guard);
    weir_h2_stream_over(h, st, close_fault(h, st, code));
    weir_h2_stream_drop(h, st);
    return done(h);
}

void weir_h2_tell_early(struct weir_h2 *h) {
    struct weir_list *it = h->streams.next;

    h->early_ready = false;
    while (it != &h->streams) {
        struct weir_h2_stream *st = WEIR_CONTAINER_OF(it, struct weir_h2_stream, link);

        it = it->next;
        if (st->upgrade != WEIR_H2_UPGRADE_TUNNEL || (st->early.len == 0 && !st->early_end) ||
            !weir_h2_listens(st))
            continue;
        while (st->early.len && weir_h2_listens(st)) {
            struct weir_seg seg = st->early.segs[st->early.head & (st->early.cap - 1)];
            struct weir_chunk *chunk = weir_chunk_ref(seg.chunk);

            weir_bufq_consume(&st->early, seg.len);
            h->base.events->data(h->base.arg, &st->cs, chunk, weir_slice_make(seg.ptr, seg.len));
            weir_chunk_unref(chunk);
        }
        if (st->early_end && weir_h2_listens(st)) {
            st->early_end = false;
            incoming_end(h, st);
        }
        it = h->streams.next; /* owners may have ended others */
    }
}

void weir_h2_recv_callbacks(nghttp2_session_callbacks *cbs) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(cbs, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data_chunk);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cbs, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_stream_close);
}
