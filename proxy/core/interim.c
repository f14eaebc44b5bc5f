/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 1xx answers. The client is told to continue once at most, whoever says it first: the route (RoutePolicy expectContinue:
 * local), the server, or the server of a second attempt.
 */
#include "core/interim.h"

static int pass(struct weir_txn *t) {
    struct weir_codec *codec = t->down->codec;
    int r = codec->ops->send_head(codec, t->down_cs, &t->res, false);

    if (r == 0 && t->res.status == 100)
        t->continued = true;
    weir_conn_dirty(t->down);
    return r;
}

int weir_interim_request(struct weir_txn *t) {
    const struct weir_route_rule *rule = t->decision.rule;

    if (!t->req.expect_continue || !rule || rule->policy.expect != WEIR_EXPECT_LOCAL)
        return 0;
    (void)weir_head_drop(&t->req, WEIR_SLICE("expect"));
    t->req.expect_continue = false;
    weir_head_init(&t->res, &t->arena);
    t->res.is_response = true;
    t->res.version = WEIR_HTTP_11;
    t->res.status = 100;
    t->res.body = WEIR_BODY_NONE;
    return pass(t);
}

void weir_interim_response(struct weir_txn *t) {
    int r;

    if (t->req.version == WEIR_HTTP_10 || (t->res.status == 100 && t->continued))
        return; /* RFC 9110 15.2: not to an HTTP/1.0 client */
    r = pass(t);
    if (r < 0)
        weir_txn_reply_fault(
            t, r == -EPROTO ? WEIR_FAULT(UPSTREAM, BAD_RESPONSE) : WEIR_FAULT(LOCAL, INTERNAL), "");
}
