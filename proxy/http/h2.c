/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/2 codec: one nghttp2 session behind the codec interface, either role. Makes the session,
 * feeds it, drains it and keeps the codec's flags true; h2_recv.c and h2_write.c hold its
 * callbacks, h2_stream.c the streams, h2_guard.c the peer's budget.
 *
 * Received credit goes back only through `consumed`, so a slow sink slows its source; the
 * connection's share of what a stream leaves behind when it ends is given back at once, or one dead
 * stream would starve its neighbours. Sending happens in pull alone, once per loop turn, so that
 * all streams' frames leave in as few writes as there can be. nghttp2 itself reads a clock in one
 * place, its limiter of received resets, which the guard is to forestall.
 */
#include "base/mem.h"
#include "http/h2_config.h"
#include "http/h2_internal.h"

#define WINDOW_FACTOR      4u   /* connection window : stream window */
#define ACKS_MAX           100u /* SETTINGS and PING acknowledgements waiting to be sent */
#define PEER_STREAMS_FIRST 100u /* until the peer's SETTINGS say how many */
#define STREAM_ID_LAST     0x7fffff00u
#define WINDOW_MAX         0x7fffffffu

/* ---- flags ---- */

void weir_h2_settle(struct weir_h2 *h) {
    if (h->broken || h->killed || !nghttp2_session_want_read(h->session))
        h->base.must_close = true;
    /* Pulling a broken one is how its owner hears of it. */
    h->base.want_pull = h->broken || nghttp2_session_want_write(h->session) ||
                        !weir_list_empty(&h->over) || h->early_ready;
}

/* ---- ops ---- */

static int recv_failed(struct weir_h2 *h, ssize_t error) {
    if (error == NGHTTP2_ERR_NOMEM || h->broken) {
        h->broken = true;
        return -ENOMEM;
    }
    if (error == NGHTTP2_ERR_FLOODED)
        weir_h2_flood(h, h->guard.culprit);
    else
        weir_h2_kill(h, NGHTTP2_PROTOCOL_ERROR, weir_h2_peer_fault(h, WEIR_FAULT_PROTOCOL));
    return 0;
}

static int read_on(struct weir_h2 *h, struct weir_slice bytes) {
    weir_h2_guard_time(&h->guard, h->base.now);
    while (bytes.len && !h->killed) {
        size_t n = weir_h2_guard_scan(&h->guard, bytes);
        ssize_t r = 0;
        if (n == 0 && h->guard.violation)
            weir_h2_kill(h, h->guard.violation, weir_h2_peer_fault(h, WEIR_FAULT_PROTOCOL));
        else if (n == 0)
            weir_h2_flood(h, h->guard.culprit);
        else
            r = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes.ptr, n);
        if (r < 0)
            return recv_failed(h, r);
        bytes.ptr += n;
        bytes.len -= n;
    }
    return 0;
}

static int h2_feed(struct weir_codec *c, struct weir_chunk *chunk, struct weir_slice bytes,
                   size_t *ret_used) {
    struct weir_h2 *h = weir_h2_of(c);

    *ret_used = bytes.len;
    if (h->broken)
        return -ENOMEM;
    if (h->killed)
        return WEIR_CODEC_FAULT;
    h->busy = true;
    h->chunk = chunk;
    int r = read_on(h, bytes);
    h->chunk = NULL;
    weir_h2_tell_over(h);
    h->busy = false;
    weir_h2_settle(h);
    if (r < 0 || h->broken)
        return -ENOMEM;
    return h->killed ? WEIR_CODEC_FAULT : 0;
}

static int h2_eof(struct weir_codec *c) {
    struct weir_h2 *h = weir_h2_of(c);

    h->busy = true;
    h->draining = true;
    c->must_close = true;
    weir_h2_over_all(h, weir_h2_peer_fault(h, WEIR_FAULT_EOF));
    weir_h2_tell_over(h);
    h->busy = false;
    weir_h2_settle(h);
    return 0;
}

static int h2_open(struct weir_codec *c, void *user, struct weir_head *incoming,
                   struct weir_cstream **ret_cs) {
    struct weir_h2 *h = weir_h2_of(c);
    struct weir_h2_stream *st;

    if (h->broken)
        return -ENOMEM;
    if (h->draining || weir_h2_is_server(h) ||
        nghttp2_session_get_next_stream_id(h->session) > STREAM_ID_LAST)
        return -EPIPE;
    if (c->n_active >= c->max_active)
        return -EAGAIN;
    st = weir_h2_stream_new(h);
    if (!st)
        return -ENOMEM;
    st->cs.user = user;
    st->cs.head = incoming;
    st->owned = true;
    c->n_active++;
    *ret_cs = &st->cs;
    return 0;
}

static size_t h2_pending(const struct weir_codec *c, const struct weir_cstream *cs) {
    (void)c;
    return ((const struct weir_h2_stream *)cs)->out.len;
}

static void h2_consumed(struct weir_codec *c, struct weir_cstream *cs, size_t n) {
    struct weir_h2 *h = weir_h2_of(c);
    struct weir_h2_stream *st = weir_h2_stream_of(cs);
    int r;

    if (n > st->unconsumed)
        n = st->unconsumed;
    if (n == 0 || h->broken)
        return;
    st->unconsumed -= n;
    if (cs->recv_done) /* no more will come here */
        r = nghttp2_session_consume_connection(h->session, n);
    else
        r = nghttp2_session_consume(h->session, (int32_t)cs->id, n);
    if (r)
        h->broken = true;
    weir_h2_settle(h);
}

int weir_h2_drain_final(struct weir_h2 *h) {
    int32_t last = weir_h2_is_server(h) ? nghttp2_session_get_last_proc_stream_id(h->session) : 0;

    h->drain = WEIR_H2_DRAIN_FINAL;
    if (nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0))
        return -ENOMEM;
    return 0;
}

static int drain_notice(struct weir_h2 *h) {
    h->drain = WEIR_H2_DRAIN_NOTICE;
    if (nghttp2_submit_shutdown_notice(h->session) ||
        nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, (const uint8_t *)WEIR_H2_DRAIN_PING))
        return -ENOMEM;
    return 0;
}

static void h2_drain(struct weir_codec *c) {
    struct weir_h2 *h = weir_h2_of(c);
    int r = 0;

    if (h->broken)
        return;
    if (!weir_h2_is_server(h)) {
        if (h->drain == WEIR_H2_DRAIN_NO)
            r = weir_h2_drain_final(h);
        h->draining = true;
    } else if (h->drain == WEIR_H2_DRAIN_NO) {
        r = drain_notice(h);
    } else if (h->drain == WEIR_H2_DRAIN_NOTICE) {
        r = weir_h2_drain_final(h);
    }
    if (r < 0)
        h->broken = true;
    weir_h2_settle(h);
}

static void h2_free(struct weir_codec *c) {
    struct weir_h2 *h = weir_h2_of(c);

    if (!h)
        return;
    weir_h2_mem_free(h);
    weir_h2_streams_free(h);
    weir_free(h);
}

static const struct weir_codec_ops h2_ops = {
    .name = "h2",
    .feed = h2_feed,
    .eof = h2_eof,
    .open = h2_open,
    .send_head = weir_h2_send_head,
    .send_data = weir_h2_send_data,
    .send_end = weir_h2_send_end,
    .pending = h2_pending,
    .consumed = h2_consumed,
    .reset = weir_h2_reset,
    .drain = h2_drain,
    .pull = weir_h2_pull,
    .free = h2_free,
};

/* ---- set-up ---- */

static int set_options(nghttp2_option **ret_option, const struct weir_codec_limits *limits) {
    nghttp2_option *option;

    if (nghttp2_option_new(&option))
        return -ENOMEM;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_peer_max_concurrent_streams(option, PEER_STREAMS_FIRST);
    nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
    /* HTTP/1 heads of the full size, and what was added to them, must pass; names may take a few
     * bytes more here. */
    nghttp2_option_set_max_send_header_block_length(option, 2 * (size_t)limits->head_bytes + 65536);
#if WEIR_H2_HAVE_RESET_RATE_LIMIT
    /* The exact count is the guard's, which says what it was. */
    nghttp2_option_set_stream_reset_rate_limit(option, 2 * (uint64_t)limits->reset_burst + 100,
                                               2 * (uint64_t)limits->reset_per_s + 100);
#endif
#if WEIR_H2_HAVE_MAX_CONTINUATIONS
    /* It counts a frame header anew for each read it is spread over; the exact count is the
     * guard's. */
    nghttp2_option_set_max_continuations(option, 9 * (WEIR_H2_CONTINUATIONS + 2));
#endif
    *ret_option = option;
    return 0;
}

static int session_new(struct weir_h2 *h) {
    nghttp2_mem mem = weir_h2_mem(h);
    nghttp2_session_callbacks *cbs = NULL;
    nghttp2_option *option = NULL;
    int r = set_options(&option, h->base.limits);

    if (r == 0 && nghttp2_session_callbacks_new(&cbs))
        r = -ENOMEM;
    if (r == 0) {
        weir_h2_recv_callbacks(cbs);
        weir_h2_send_callbacks(cbs);
        if (weir_h2_is_server(h))
            r = nghttp2_session_server_new3(&h->session, cbs, h, option, &mem);
        else
            r = nghttp2_session_client_new3(&h->session, cbs, h, option, &mem);
    }
    nghttp2_session_callbacks_del(cbs);
    nghttp2_option_del(option);
    return r ? -ENOMEM : 0;
}

static int announce(struct weir_h2 *h) {
    const struct weir_codec_limits *limits = h->base.limits;
    uint32_t window = limits->stream_window < WINDOW_MAX ? limits->stream_window : WINDOW_MAX;
    uint32_t all = window < WINDOW_MAX / WINDOW_FACTOR ? WINDOW_FACTOR * window : WINDOW_MAX;
    nghttp2_settings_entry server[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->head_bytes },
        { NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
        { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
    };
    nghttp2_settings_entry client[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->head_bytes },
    };
    bool is_server = weir_h2_is_server(h);
    size_t n = is_server ? WEIR_ARRAY_LEN(server) : WEIR_ARRAY_LEN(client);

    if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, is_server ? server : client, n) ||
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, (int32_t)all))
        return -ENOMEM;
    return 0;
}

int weir_h2_new(const struct weir_codec_params *params, struct weir_codec **ret_codec) {
    struct weir_h2 *h = weir_calloc(1, sizeof(*h));
    int r;

    if (!h)
        return -ENOMEM;
    h->base = (struct weir_codec){
        .ops = &h2_ops,
        .events = params->events,
        .arg = params->arg,
        .pool = params->pool,
        .limits = params->limits,
        .role = params->role,
        .max_active =
            params->role == WEIR_ROLE_SERVER ? params->limits->streams : PEER_STREAMS_FIRST,
    };
    weir_list_init(&h->blocks);
    weir_list_init(&h->streams);
    weir_list_init(&h->over);
    weir_list_init(&h->grave);
    weir_h2_guard_init(&h->guard, params->role, params->limits);
    r = session_new(h);
    if (r == 0)
        r = announce(h);
    if (r < 0) {
        h2_free(&h->base);
        return r;
    }
    weir_h2_settle(h);
    *ret_codec = &h->base;
    return 0;
}
