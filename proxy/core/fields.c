/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What forwarding changes in a head: hop-by-hop fields go, claims of identity from outside go, and what this proxy knows for
 * certain is added: where the request came from, who the caller was proven to be, a request id.
 */
#include "core/filter.h"
#include "core/session.h"
#include "http/hop.h"

#define IP_MAX 46u /* INET6_ADDRSTRLEN */

static const struct weir_slice xff = { "x-forwarded-for", 15 };
static const struct weir_slice xfcc = { "x-forwarded-client-cert", 23 };

/* How much of what this peer says of a request's origin counts. */
static enum weir_forwarded forwarded_policy(const struct weir_txn *t) {
    const struct weir_proxy_spec *spec = &t->epoch->rt->snapshot->proxy;

    switch (t->down->dir) {
    case WEIR_DIR_REVERSE:
        return (enum weir_forwarded)spec->forwarded_listen;
    case WEIR_DIR_GATEWAY:
        return (enum weir_forwarded)spec->forwarded_gateway;
    case WEIR_DIR_OUTBOUND:
        return (enum weir_forwarded)spec->forwarded_outbound;
    case WEIR_DIR_INBOUND:
        return (enum weir_forwarded)spec->forwarded_inbound;
    }
    return WEIR_FORWARDED_STRIP;
}

/* Several lines become one list with the new address behind it (RFC 9110 5.3). */
static int append_for(struct weir_txn *t, const char *ip) {
    struct weir_slice list = WEIR_SLICE("");

    for (uint16_t i = 0; i < t->req.n_fields && list.ptr; i++) {
        const struct weir_field *f = &t->req.fields[i];
        const struct weir_slice parts[] = { list, f->value, WEIR_SLICE(", ") };

        if (f->id == WEIR_FIELD_X_FORWARDED_FOR && !f->dropped && f->value.len > 0)
            list = weir_arena_join(&t->arena, parts, WEIR_ARRAY_LEN(parts));
    }
    if (list.ptr) {
        const struct weir_slice parts[] = { list, weir_slice_from_str(ip) };

        list = weir_arena_join(&t->arena, parts, WEIR_ARRAY_LEN(parts));
    }
    return list.ptr ? weir_head_set(&t->req, xff, list) : -ENOMEM;
}

static int forwarded_for(struct weir_txn *t, bool append) {
    char *ip = weir_arena_alloc(&t->arena, IP_MAX);
    int r;

    if (!ip)
        return -ENOMEM;
    weir_ip_format(&t->down->info.remote, ip, IP_MAX);
    r = append ? append_for(t, ip) : weir_head_add(&t->req, xff, weir_slice_from_str(ip));
    if (r < 0 || (append && weir_head_find_id(&t->req, WEIR_FIELD_X_FORWARDED_PROTO)))
        return r;
    return weir_head_add(&t->req, WEIR_SLICE("x-forwarded-proto"),
                         t->down->info.tls ? WEIR_SLICE("https") : WEIR_SLICE("http"));
}

/* What a peer without a proven identity says of itself and of others. */
static int from_outside(struct weir_txn *t) {
    enum weir_forwarded policy = forwarded_policy(t);

    weir_hop_strip_identity(&t->req, policy != WEIR_FORWARDED_STRIP);
    if (policy == WEIR_FORWARDED_APPEND)
        (void)weir_head_drop(&t->req, WEIR_SLICE("forwarded"));
    /* The application's own address is what its sidecar proves; nobody is called by it. */
    if (policy == WEIR_FORWARDED_KEEP || t->down->dir == WEIR_DIR_OUTBOUND)
        return 0;
    return forwarded_for(t, policy == WEIR_FORWARDED_APPEND);
}

/* Envoy's form, one element per hop. */
static int client_cert(struct weir_txn *t) {
    const struct weir_stream_info *info = &t->down->info;
    struct weir_tls_ctx *ctx =
        t->epoch->rt->tls.mesh_server; /* NULL: taken away since it connected */
    const struct weir_field *before =
        weir_head_find_id(&t->req, WEIR_FIELD_X_FORWARDED_CLIENT_CERT);
    struct weir_slice old = before ? before->value : WEIR_SLICE_NONE;
    const struct weir_slice parts[] = {
        old,
        old.len ? WEIR_SLICE(",") : WEIR_SLICE_NONE,
        WEIR_SLICE("By="),
        weir_slice_from_str(ctx ? weir_tls_ctx_identity(ctx)->uri : ""),
        WEIR_SLICE(";Hash="),
        weir_slice_from_str(info->peer_hash),
        WEIR_SLICE(";URI="),
        weir_slice_from_str(info->peer->uri),
    };
    struct weir_slice value = weir_arena_join(&t->arena, parts, WEIR_ARRAY_LEN(parts));

    return value.ptr ? weir_head_set(&t->req, xfcc, value) : -ENOMEM;
}

/* Eight hexadecimal digits at once; their order does not matter to a random number. */
static void put_hex(char *to, uint32_t value) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t n = value, above_nine;

    n = (n | n << 16) & 0x0000ffff0000ffffu;
    n = (n | n << 8) & 0x00ff00ff00ff00ffu;
    n = (n | n << 4) & 0x0f0f0f0f0f0f0f0fu;
    above_nine = (n + ones * 6) >> 4 & ones;
    n += ones * '0' + above_nine * ('a' - '0' - 10);
    memcpy(to, &n, sizeof(n));
}

static int request_id(struct weir_txn *t) {
    const struct weir_field *f = weir_head_find_id(&t->req, WEIR_FIELD_X_REQUEST_ID);
    char *id;

    if (f) {
        t->request_id = f->value;
        return 0;
    }
    id = weir_arena_alloc(&t->arena, 32);
    if (!id)
        return -ENOMEM;
    for (unsigned half = 0; half < 2; half++) {
        uint64_t r = weir_worker_random(t->worker);

        put_hex(id + half * 16, (uint32_t)r);
        put_hex(id + half * 16 + 8, (uint32_t)(r >> 32));
    }
    t->request_id = weir_slice_make(id, 32);
    return weir_head_add(&t->req, WEIR_SLICE("x-request-id"), t->request_id);
}

static bool has_filters(const struct weir_txn *t) {
    return t->decision.rule->n_filters > 0 || (t->backend && t->backend->n_filters > 0);
}

int weir_fields_request(struct weir_txn *t) {
    int r = 0;

    weir_hop_strip(&t->req);
    if (t->identified)
        weir_hop_strip_disguised(&t->req);
    else
        r = from_outside(t);
    if (t->req.scheme.len == 0)
        t->req.scheme = t->down->info.tls && t->down->dir != WEIR_DIR_INBOUND ? WEIR_SLICE("https")
                                                                              : WEIR_SLICE("http");
    if (t->identified)
        r = client_cert(t);
    if (r == 0)
        r = request_id(t);
    if (r == 0 && t->decision.rule && has_filters(t))
        r = weir_filter_request(t);
    return r;
}

int weir_fields_response(struct weir_txn *t) {
    int r = t->decision.rule && has_filters(t) ? weir_filter_response(t) : 0;

    return r == 0 && t->session ? weir_session_response(t) : r;
}
