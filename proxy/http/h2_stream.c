/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lives of HTTP/2 streams. A stream has two holders: the owner (from begin or open to its `reset`
 * or `closed`) and nghttp2 (until it calls the stream closed); it rests when both have let go.
 * Either may be first: an owner resets, or the codec keeps a stream it has already given up only to
 * deliver an answer.
 *
 * Last events are not told from nghttp2's callbacks but behind them, from `over`: nghttp2 may be
 * walking its streams then, and owners start new exchanges from there. Knows nothing of heads and
 * frames.
 */
#include "http/h2_internal.h"

#include "base/mem.h"

struct weir_h2_stream *weir_h2_stream_new(struct weir_h2 *h) {
    struct weir_h2_stream *st = weir_small_get(h->base.pool, sizeof(*st));

    if (!st)
        return NULL;
    memset(st, 0, sizeof(*st));
    weir_list_init(&st->link);
    weir_list_init(&st->over);
    weir_list_push_back(&h->streams, &st->link);
    weir_bufq_init(&st->out, h->base.pool, 0);
    weir_bufq_init(&st->early, h->base.pool, 0);
    st->send_left = UINT64_MAX;
    return st;
}

static void rest(struct weir_h2 *h, struct weir_h2_stream *st) {
    weir_list_unlink(&st->link);
    weir_small_put(h->base.pool, st);
}

void weir_h2_stream_drop(struct weir_h2 *h, struct weir_h2_stream *st) {
    if (st->owned || st->live)
        return;
    h->base.queued -= st->out.len;
    weir_bufq_deinit(&st->out);
    weir_bufq_deinit(&st->early);
    st->trailers = weir_free(st->trailers);
    weir_list_unlink(&st->over);
    if (h->at == st) {
        h->at = NULL;
        h->at_id = 0;
    }
    if (!h->busy) {
        rest(h, st);
        return;
    }
    weir_list_unlink(&st->link);
    weir_list_push_back(&h->grave, &st->link);
}

void weir_h2_stream_over(struct weir_h2 *h, struct weir_h2_stream *st, struct weir_fault fault) {
    if (!weir_h2_listens(st))
        return;
    st->is_over = true;
    st->fault = fault;
    weir_list_push_back(&h->over, &st->over);
    h->base.want_pull = true;
}

void weir_h2_over_all(struct weir_h2 *h, struct weir_fault fault) {
    WEIR_LIST_FOREACH (it, &h->streams) {
        struct weir_h2_stream *st = WEIR_CONTAINER_OF(it, struct weir_h2_stream, link);
        bool unsent = !weir_h2_is_server(h) && !st->head_flushed;
        weir_h2_stream_over(h, st, unsent ? WEIR_FAULT(UPSTREAM, GOAWAY) : fault);
    }
}

static void release_owner(struct weir_h2 *h, struct weir_h2_stream *st) {
    st->owned = false;
    h->base.n_active--;
}

void weir_h2_tell_over(struct weir_h2 *h) {
    while (!weir_list_empty(&h->over)) {
        struct weir_h2_stream *st = WEIR_CONTAINER_OF(h->over.next, struct weir_h2_stream, over);
        weir_list_unlink(&st->over);
        release_owner(h, st);
        if (st->fault.kind == WEIR_FAULT_NONE)
            h->base.events->closed(h->base.arg, &st->cs);
        else
            h->base.events->reset(h->base.arg, &st->cs, st->fault);
        weir_h2_stream_drop(h, st);
    }
    if (!weir_list_empty(&h->grave)) {
        WEIR_LIST_FOREACH_SAFE (it, next, &h->grave) {
            rest(h, WEIR_CONTAINER_OF(it, struct weir_h2_stream, link));
        }
    }
}

void weir_h2_stream_rst(struct weir_h2 *h, struct weir_h2_stream *st, uint32_t code) {
    if (!st->live || h->broken)
        return;
    if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, (int32_t)st->cs.id, code))
        h->broken = true;
    h->base.want_pull = true;
}

void weir_h2_peer_error(struct weir_h2 *h, struct weir_h2_stream *st) {
    if (st->counted)
        return;
    st->counted = true;
    if (weir_h2_guard_peer_error(&h->guard))
        weir_h2_flood(h, WEIR_FLOOD_RESETS);
}

void weir_h2_stream_refuse(struct weir_h2 *h, struct weir_h2_stream *st) {
    struct weir_fault fault = weir_h2_peer_fault(h, st->bad);
    const struct weir_fault_answer *answer = weir_fault_answer(fault);

    weir_h2_stream_over(h, st, fault);
    weir_h2_peer_error(h, st);
    if (h->killed || h->broken)
        return;
    if (weir_h2_is_server(h) && answer->status && !st->head_sent) {
        st->rst_behind_end = true;
        st->rst_code = answer->h2_error;
        if (weir_h2_answer(h, st, answer) < 0)
            h->broken = true;
        return;
    }
    /* The table's code is for a client; towards an upstream it is the upstream's mistake. */
    weir_h2_stream_rst(h, st, weir_h2_is_server(h) ? answer->h2_error : NGHTTP2_PROTOCOL_ERROR);
}

void weir_h2_kill(struct weir_h2 *h, uint32_t code, struct weir_fault fault) {
    if (h->killed || h->broken)
        return;
    h->killed = true;
    h->draining = true;
    h->base.fault = fault;
    h->base.must_close = true;
    h->base.want_pull = true;
    if (nghttp2_session_terminate_session(h->session, code))
        h->broken = true;
    weir_h2_over_all(h, fault);
}

void weir_h2_flood(struct weir_h2 *h, uint8_t culprit) {
    if (!h->killed)
        h->base.flood = culprit;
    weir_h2_kill(h, NGHTTP2_ENHANCE_YOUR_CALM, weir_h2_peer_fault(h, WEIR_FAULT_FLOOD));
}

void weir_h2_reset(struct weir_codec *c, struct weir_cstream *cs, struct weir_fault why) {
    struct weir_h2 *h = weir_h2_of(c);
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    bool answered = why.kind == WEIR_FAULT_NONE && weir_h2_is_server(h) && cs->send_done;

    if (!st->owned)
        return;
    weir_list_unlink(&st->over);
    release_owner(h, st);
    if (st->live && !h->broken) {
        if (st->unconsumed && nghttp2_session_consume_connection(h->session, st->unconsumed))
            h->broken = true;
        st->unconsumed = 0;
        st->rst_ours = true;
        /* To an upstream every reason of ours means that its answer is no longer wanted. */
        st->rst_code = NGHTTP2_CANCEL;
        if (answered)
            st->rst_code = NGHTTP2_NO_ERROR;
        else if (weir_h2_is_server(h) && why.kind != WEIR_FAULT_NONE)
            st->rst_code = weir_fault_answer(why)->h2_error;
        st->rst_behind_end = answered && !st->end_flushed;
        if (!st->rst_behind_end)
            weir_h2_stream_rst(h, st, st->rst_code);
    }
    weir_h2_stream_drop(h, st);
    weir_h2_settle(h);
}

static void free_list(struct weir_list *list) {
    WEIR_LIST_FOREACH_SAFE (it, next, list) {
        struct weir_h2_stream *st = WEIR_CONTAINER_OF(it, struct weir_h2_stream, link);
        weir_bufq_deinit(&st->out);
        weir_bufq_deinit(&st->early);
        weir_free(st->trailers);
        weir_list_unlink(it);
        weir_free(st);
    }
}

void weir_h2_streams_free(struct weir_h2 *h) {
    free_list(&h->streams);
    free_list(&h->grave);
}
