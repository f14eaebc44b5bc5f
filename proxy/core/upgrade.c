/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to switch protocols, whatever the versions on the two sides: the codecs show RFC 8441's CONNECT in HTTP/1's shape, so what is
 * left is WebSocket's handshake, which only HTTP/1 has, answers that are no tunnel, and how long a silent tunnel lives.
 */
#include "core/upgrade.h"

#include "http/websocket.h"

static const struct weir_slice key_name = { "Sec-WebSocket-Key", 17 };
static const struct weir_slice accept_name = { "Sec-WebSocket-Accept", 20 };

static bool is_websocket(const struct weir_head *req) {
    return weir_slice_ieq(req->protocol, WEIR_SLICE("websocket"));
}

int weir_upgrade_request(struct weir_txn *t) {
    bool h2 = weir_conn_is_h2(t->up);
    uint64_t random[2];
    char *key;

    /* Upgrade may be ignored, and many that send it expect that; who asks for WebSocket wants nothing else. */
    if (h2 && !t->up->expect && t->req.version != WEIR_HTTP_2 &&
        (t->req.method != WEIR_METHOD_GET || !is_websocket(&t->req)))
        t->req.wants_upgrade = false;
    if (h2 || t->req.version != WEIR_HTTP_2 || !is_websocket(&t->req) ||
        weir_head_find(&t->req, key_name))
        return 0;
    key = weir_arena_alloc(&t->arena, WEIR_WEBSOCKET_KEY_LEN);
    if (!key)
        return -ENOMEM;
    random[0] = weir_worker_random(t->worker);
    random[1] = weir_worker_random(t->worker);
    weir_websocket_key((const uint8_t *)random, key);
    t->made_key = true;
    return weir_head_add(&t->req, key_name, weir_slice_make(key, WEIR_WEBSOCKET_KEY_LEN));
}

/* Between HTTP/1's handshake and none. 0, -ENOMEM, -EPROTO = the server has not read our key. */
static int handshake(struct weir_txn *t) {
    const struct weir_field *key = weir_head_find(&t->req, key_name);
    const struct weir_field *got = weir_head_find(&t->res, accept_name);
    char *accept;

    if (!is_websocket(&t->req) || !key || (got && !t->made_key))
        return 0;
    accept = weir_arena_alloc(&t->arena, WEIR_WEBSOCKET_ACCEPT_LEN);
    if (!accept)
        return -ENOMEM;
    weir_websocket_accept(key->value, accept);
    if (!t->made_key)
        return weir_conn_is_h2(t->down)
                   ? 0
                   : weir_head_add(&t->res, accept_name,
                                   weir_slice_make(accept, WEIR_WEBSOCKET_ACCEPT_LEN));
    if (!got || !weir_slice_eq(got->value, weir_slice_make(accept, WEIR_WEBSOCKET_ACCEPT_LEN)))
        return -EPROTO;
    weir_head_drop(&t->res, accept_name);
    return 0;
}

struct weir_fault weir_upgrade_response(struct weir_txn *t) {
    int r = 0;

    if (t->res.body == WEIR_BODY_TUNNEL) {
        r = handshake(t);
    } else if (t->res.status / 100 == 2 && weir_conn_is_h2(t->down) && !t->carried) {
        /* It ignored the Upgrade, as it may; a 2xx to CONNECT would say the contrary. */
        return WEIR_FAULT(UPSTREAM, NO_UPGRADE);
    }
    return r == -EPROTO ? WEIR_FAULT(UPSTREAM, BAD_RESPONSE)
           : r < 0      ? WEIR_FAULT(LOCAL, INTERNAL)
                        : (struct weir_fault){ 0, WEIR_FAULT_NONE };
}

void weir_upgrade_watch(struct weir_txn *t) {
    t->tunnel_bytes = t->out.bytes + t->in.bytes;
    weir_worker_deadline(t->worker, &t->deadline,
                         weir_worker_now(t->worker) +
                             weir_worker_limits(t->worker)->tunnel_timeout_us);
}

void weir_upgrade_look(struct weir_txn *t) {
    if (t->out.bytes + t->in.bytes == t->tunnel_bytes)
        weir_txn_reply_fault(t, WEIR_FAULT(LOCAL, TIMEOUT_IDLE), "");
    else
        weir_upgrade_watch(t);
}
