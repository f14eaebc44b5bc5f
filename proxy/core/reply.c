/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of our own: what the fault table says, in a form a person can read. */
#include <stdio.h>

#include "core/filter.h"
#include "http/fault.h"

static int add(struct weir_head *h, const char *name, const char *value) {
    return weir_head_add(h, weir_slice_from_str(name), weir_slice_from_str(value));
}

static int build(struct weir_txn *t, const struct weir_fault_answer *a, const char *detail,
                 struct weir_slice *ret_body) {
    char *text = weir_arena_printf(&t->arena, "weir: %s%s%s (%s %s)\n", a->text,
                                   detail[0] ? ": " : "", detail, a->flag, a->name);
    int r;

    if (!text)
        return -ENOMEM;
    *ret_body = weir_slice_from_str(text);
    weir_head_init(&t->res, &t->arena);
    t->res.is_response = true;
    t->res.version = WEIR_HTTP_11;
    t->res.status = a->status;
    t->res.body = t->req.method == WEIR_METHOD_HEAD ? WEIR_BODY_NONE : WEIR_BODY_LENGTH;
    t->res.content_length = ret_body->len;
    r = add(&t->res, "content-type", "text/plain; charset=utf-8");
    if (r == 0)
        r = add(&t->res, "x-weir-reason", a->name);
    if (r == 0 && (a->status == 503 || a->status == 429))
        r = add(&t->res, "retry-after", "1");
    return r;
}

/* grpc-message is percent-encoded (gRPC over HTTP/2, Responses). */
static char *grpc_message(struct weir_txn *t, const char *text) {
    char *message = weir_arena_alloc(&t->arena, 3 * strlen(text) + 1), *p = message;

    for (; message && *text; text++)
        if (*text >= ' ' && *text <= '~' && *text != '%')
            *p++ = *text;
        else
            p += snprintf(p, 4, "%%%02X", (unsigned char)*text);
    if (message)
        *p = '\0';
    return message;
}

/* A gRPC client looks for its status in the trailers, or in a head that is all there is. */
static int build_grpc(struct weir_txn *t, const struct weir_fault_answer *a, const char *detail) {
    char *status = weir_arena_printf(&t->arena, "%u", weir_fault_grpc_status(a)), *message;
    char *text =
        weir_arena_printf(&t->arena, "weir: %s%s%s", a->text, detail[0] ? ": " : "", detail);
    int r;

    message = text ? grpc_message(t, text) : NULL;
    if (!status || !message)
        return -ENOMEM;
    weir_head_init(&t->res, &t->arena);
    t->res.is_response = true;
    t->res.version = WEIR_HTTP_11;
    t->res.status = 200;
    t->res.body = weir_conn_is_h2(t->down) ? WEIR_BODY_NONE : WEIR_BODY_LENGTH;
    t->res.content_length = weir_conn_is_h2(t->down) ? UINT64_MAX : 0;
    r = add(&t->res, "content-type", "application/grpc");
    if (r == 0)
        r = add(&t->res, "grpc-status", status);
    if (r == 0)
        r = add(&t->res, "grpc-message", message);
    return r == 0 ? add(&t->res, "x-weir-reason", a->name) : r;
}

static int send(struct weir_txn *t, struct weir_slice body) {
    struct weir_codec *codec = t->down->codec;
    bool head_only = t->res.body == WEIR_BODY_NONE;
    struct weir_bufq q;
    int r = codec->ops->send_head(codec, t->down_cs, &t->res, head_only);

    if (r < 0 || head_only)
        return r;
    weir_bufq_init(&q, t->worker->pool, 0);
    r = weir_bufq_append(&q, body);
    if (r == 0)
        r = codec->ops->send_data(codec, t->down_cs, &q);
    weir_bufq_deinit(&q);
    if (r == 0)
        r = codec->ops->send_end(codec, t->down_cs, NULL);
    return r;
}

/* A response has begun: it must not look complete. */
static void cut(struct weir_txn *t, struct weir_fault fault) {
    struct weir_conn *down = t->down;

    if (!weir_conn_is_h2(down)) {
        weir_conn_fail(down, fault);
        return;
    }
    if (t->down_cs)
        down->codec->ops->reset(down->codec, t->down_cs, fault);
    t->down_cs = NULL;
    weir_conn_dirty(down);
    weir_txn_finish(t, fault);
}

/* Sends t->res: the end of every answer of our own. */
static int deliver(struct weir_txn *t, struct weir_slice body) {
    t->phase = WEIR_TXN_LOCAL;
    t->res_started = true;
    t->status = t->res.status;
    if (send(t, body) < 0)
        return -ENOMEM;
    t->in.bytes = t->res.body == WEIR_BODY_NONE ? 0 : body.len;
    t->in.done = true;
    weir_conn_dirty(t->down);
    return 0;
}

void weir_txn_reply_local(struct weir_txn *t, struct weir_slice body) {
    bool none = body.len == 0 && t->res.status == 204;

    t->res.is_response = true;
    t->res.version = WEIR_HTTP_11;
    t->res.body = none || t->req.method == WEIR_METHOD_HEAD ? WEIR_BODY_NONE : WEIR_BODY_LENGTH;
    t->res.content_length = none ? UINT64_MAX : body.len;
    if (deliver(t, body) < 0)
        cut(t, WEIR_FAULT(LOCAL, INTERNAL));
    else
        weir_txn_stop_upload(t);
}

void weir_txn_reply_fault(struct weir_txn *t, struct weir_fault fault, const char *detail) {
    const struct weir_fault_answer *a = weir_fault_answer(fault);
    struct weir_slice body;
    int r;

    if (t->is_mirror) {
        weir_mirror_drop(t);
        return;
    }
    if (t->left) { /* nobody is left to be told */
        weir_count_fault(&t->worker->metrics, fault);
        weir_txn_abort_upstream(t, fault);
        weir_txn_free(t);
        return;
    }
    if (t->fault.kind == WEIR_FAULT_NONE) {
        t->fault = fault;
        t->fault_detail = detail;
        weir_count_fault(&t->worker->metrics, fault);
    }
    weir_txn_abort_upstream(t, fault);
    if (t->res_started || a->status == 0 || !t->down_cs || t->down->state != WEIR_CONN_HTTP) {
        cut(t, fault);
        return;
    }
    if (a->close && !weir_conn_is_h2(t->down))
        t->down->codec->ops->drain(t->down->codec);
    if (weir_head_is_grpc(&t->req)) {
        r = build_grpc(t, a, detail);
        body = WEIR_SLICE("");
    } else {
        r = build(t, a, detail, &body);
    }
    if (r < 0 || deliver(t, body) < 0)
        cut(t, fault);
    else
        weir_txn_stop_upload(t);
}
