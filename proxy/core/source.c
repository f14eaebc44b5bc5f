/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PROXY header is believed from the listed addresses and nobody else, and from those it is required: a proxy that forgets it once would give its
 * own address to a stranger.
 */
#include "core/source.h"

#include "base/mem.h"
#include "conf/netpol.h"
#include "http/proxyproto.h"

bool weir_source_due(const struct weir_conn *c) {
    const struct weir_proxy_spec *spec = &c->worker->epoch->rt->snapshot->proxy;

    if (spec->n_proxy_from == 0 || (c->dir != WEIR_DIR_REVERSE && c->dir != WEIR_DIR_GATEWAY))
        return false;
    for (uint32_t i = 0; i < spec->n_proxy_from; i++)
        if (weir_cidr_covers(&spec->proxy_from[i], &c->info.remote))
            return true;
    return false;
}

static int remember(struct weir_conn *c, const struct weir_proxy_header *h) {
    c->source = weir_malloc(sizeof(*c->source));
    if (!c->source)
        return -ENOMEM;
    memcpy(c->source->src.b, h->src, sizeof(h->src));
    memcpy(c->source->dst.b, h->dst, sizeof(h->dst));
    c->source->src_port = h->src_port;
    c->source->dst_port = h->dst_port;
    weir_source_apply(c);
    return 0;
}

int weir_source_take(struct weir_conn *c) {
    char copy[WEIR_PROXY_HEADER_MAX];
    struct weir_proxy_header h;
    size_t n = 0;
    int r;

    for (uint32_t i = 0; i < c->held->count && n < sizeof(copy); i++) {
        const struct weir_seg *seg = &c->held->segs[(c->held->head + i) & (c->held->cap - 1)];
        size_t part = seg->len < sizeof(copy) - n ? seg->len : sizeof(copy) - n;

        memcpy(copy + n, seg->ptr, part);
        n += part;
    }
    r = weir_proxy_parse(weir_slice_make(copy, n), &h);
    if (r < 0)
        return r == -EAGAIN ? 1 : r;
    weir_bufq_consume(c->held, h.len);
    if (c->held->len == 0) {
        weir_bufq_deinit(c->held);
        c->held = weir_free(c->held);
    }
    c->header_due = false;
    return h.known ? remember(c, &h) : 0;
}

void weir_source_apply(struct weir_conn *c) {
    c->info.remote = c->source->src;
    c->info.remote_port = c->source->src_port;
}

struct weir_origin weir_source_of(const struct weir_conn *down) {
    struct weir_origin s = { .src = down->info.remote,
                             .src_port = down->info.remote_port,
                             .dst = down->info.local,
                             .dst_port = down->info.local_port };

    return down->source ? *down->source : s;
}

int weir_source_send(struct weir_conn *up, const struct weir_origin *source, unsigned version) {
    struct weir_proxy_header h = { .known = true,
                                   .src_port = source->src_port,
                                   .dst_port = source->dst_port };
    char text[WEIR_PROXY_WRITE_MAX];
    struct weir_bufq q;
    int r;

    up->source = weir_malloc(sizeof(*up->source));
    if (!up->source)
        return -ENOMEM;
    *up->source = *source;
    memcpy(h.src, source->src.b, sizeof(h.src));
    memcpy(h.dst, source->dst.b, sizeof(h.dst));
    weir_bufq_init(&q, up->worker->pool, 0);
    r = weir_bufq_append(&q, weir_slice_make(text, weir_proxy_write(text, version, &h)));
    if (r == 0)
        r = weir_stream_write(up->stream, &q);
    weir_bufq_deinit(&q);
    return r;
}
