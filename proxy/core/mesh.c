/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is special about a request between two weir proxies: an HTTP/1 message keeps its meaning over the HTTP/2 between
 * them. Only here is it decided whose word counts: a verified peer's on either side, nobody else's. What others say
 * in that field is dropped where hop-by-hop fields are.
 */
#include <stdio.h>

#include "core/txn.h"
#include "http/carry.h"

static const struct weir_slice field = { WEIR_CARRY_FIELD, sizeof(WEIR_CARRY_FIELD) - 1 };

static bool is_h1(const struct weir_head *head) {
    return head->version == WEIR_HTTP_10 || head->version == WEIR_HTTP_11;
}

/* HTTP/2 needs an authority where HTTP/1.0 does not. */
static int fill_authority(struct weir_txn *t, struct weir_head *copy) {
    char ip[46], *text;

    weir_ip_format(&t->up_ip, ip, sizeof(ip));
    text = weir_arena_printf(&t->arena, weir_ip_is_v4(&t->up_ip) ? "%s:%u" : "[%s]:%u", ip,
                             t->up_port);
    if (!text)
        return -ENOMEM;
    copy->authority = weir_slice_from_str(text);
    return 0;
}

int weir_mesh_send_request(struct weir_txn *t, bool end) {
    struct weir_codec *codec = t->up->codec;
    struct weir_head copy;
    struct weir_slice value;
    int r = 0;

    if (t->marked) /* by an attempt before this one */
        weir_head_drop(&t->req, field);
    t->marked = false;
    if (!weir_conn_is_h2(t->up) || !is_h1(&t->req))
        return codec->ops->send_head(codec, t->up_cs, &t->req, end);
    if (t->up->expect) { /* verified, or the connection would not have opened */
        r = weir_carry_pack(&t->req, false, &value);
        if (r == 0)
            r = weir_head_add(&t->req, field, value);
        t->marked = r == 0;
    }
    if (r < 0 || t->req.authority.len)
        return r < 0 ? r : codec->ops->send_head(codec, t->up_cs, &t->req, end);
    copy = t->req;
    r = fill_authority(t, &copy);
    return r < 0 ? r : codec->ops->send_head(codec, t->up_cs, &copy, end);
}

int weir_mesh_take_request(struct weir_txn *t) {
    int r = weir_carry_unpack(&t->req);

    t->carried = r == 0;
    return r < 0 ? r : 0;
}

int weir_mesh_take_response(struct weir_txn *t) {
    int r = t->marked ? weir_carry_unpack(&t->res) : 0;

    return r < 0 ? r : 0;
}

int weir_mesh_mark_response(struct weir_txn *t) {
    struct weir_slice value;
    int r;

    if (!is_h1(&t->res))
        return 0;
    r = weir_carry_pack(&t->res,
                        t->req.wants_upgrade && t->res.status / 100 == 2 &&
                            t->res.body != WEIR_BODY_TUNNEL,
                        &value);
    return r < 0 ? r : weir_head_add(&t->res, field, value);
}
