/* SPDX-License-Identifier: Apache-2.0 */
/* Gathers what an access line says at the end of a request or a relayed connection, and counts it. */
#include <stdio.h>

#include "core/filter.h"
#include "core/relay.h"
#include "http/fault.h"

#define LINES_MAX                                                                                  \
    (1024u *                                                                                       \
     1024u) /* bytes waiting for a slow reader of standard output; beyond it lines are dropped */

static void emit(struct weir_worker *w, struct weir_access_record *r, struct weir_fault fault) {
    const struct weir_fault_answer *a = weir_fault_answer(fault);
    enum weir_access_log format = w->epoch->rt->snapshot->proxy.access_log;

    if (format == WEIR_LOG_OFF || !w->access_sink)
        return;
    if (fault.kind || !r->flag) {
        r->flag = fault.kind ? a->flag : "-";
        r->reason = fault.kind ? a->name : "";
    }
    if (w->access.len > LINES_MAX || weir_access_format(r, format, &w->access) < 0) {
        weir_count(&w->metrics, WEIR_C_ACCESS_LOST, 1);
        return;
    }
    if (!w->turning)
        w->net->ops->wake(w->net);
}

static const char *protocol(const struct weir_txn *t) {
    switch (t->req.version) {
    case WEIR_HTTP_10:
        return "HTTP/1.0";
    case WEIR_HTTP_2:
        return "HTTP/2";
    default:
        return "HTTP/1.1";
    }
}

static struct weir_slice field(const struct weir_txn *t, enum weir_field_id id) {
    const struct weir_field *f = weir_head_find_id(&t->req, id);

    return f ? f->value : WEIR_SLICE_NONE;
}

static void count(struct weir_txn *t, uint64_t now) {
    struct weir_metrics *m = &t->worker->metrics;

    weir_count_response(m, t->status);
    weir_observe(m, WEIR_H_REQUEST_US, now - t->t_begin);
    if (t->t_response)
        weir_observe(m, WEIR_H_UPSTREAM_US, t->t_response - t->t_sent);
}

static void write_line(struct weir_txn *t, uint64_t now) {
    const struct weir_stream_info *info = &t->down->info;
    struct weir_access_record r = { 0 };
    char route[768];

    route[0] = '\0';
    r.wall_us = t->wall_begin;
    r.direction = weir_direction_name(t->down->dir);
    r.method = t->req.method_name;
    r.authority = t->asked_authority.ptr ? t->asked_authority : t->req.authority;
    r.target = t->asked_target.ptr ? t->asked_target : t->req.target;
    r.user_agent = field(t, WEIR_FIELD_USER_AGENT);
    r.forwarded_for = field(t, WEIR_FIELD_X_FORWARDED_FOR);
    r.request_id = t->request_id;
    r.protocol = protocol(t);
    r.status = t->status;
    r.fault_detail = t->fault_detail;
    r.bytes_in = t->out.bytes;
    r.bytes_out = t->in.bytes;
    r.duration_us = now - t->t_begin;
    r.upstream_us = t->t_response ? t->t_response - t->t_sent : 0;
    r.attempts = t->attempts;
    r.downstream_ip = info->remote;
    r.downstream_port = info->remote_port;
    r.upstream_ip = t->up_ip;
    r.upstream_port = t->up_port;
    if (t->decision.route)
        snprintf(route, sizeof(route), "%s/%s%s%s", t->decision.route->meta.namespace_,
                 t->decision.route->meta.name, t->decision.rule->name[0] ? "/" : "",
                 t->decision.rule->name);
    r.route = route;
    r.service = t->cluster ? t->cluster->name : "";
    r.peer = t->identified ? info->peer->uri : "";
    if (t->judged) {
        r.would_deny = t->judged->would_deny;
        r.audited = t->judged->noted;
    }
    r.conn_id = t->down->id;
    if (t->answer)
        weir_filter_answered(t, &r.flag, &r.reason);
    emit(t->worker, &r, t->fault);
}

void weir_txn_log(struct weir_txn *t) {
    uint64_t now = weir_worker_now(t->worker);

    if (t->phase == WEIR_TXN_HEAD && t->fault.kind == WEIR_FAULT_NONE)
        return; /* nothing was asked */
    count(t, now);
    if (t->epoch->rt->snapshot->proxy.access_log != WEIR_LOG_OFF && t->worker->access_sink)
        write_line(t, now);
}

void weir_relay_log(struct weir_conn *down, struct weir_fault fault, const char *detail) {
    struct weir_conn *up = down->peer;
    uint64_t now = weir_worker_now(down->worker);
    struct weir_access_record r = {
        .wall_us = down->worker->net->ops->wall(down->worker->net) - (now - down->since),
        .direction = weir_direction_name(down->dir),
        .protocol = "TCP",
        .authority = weir_slice_from_str(down->info.sni ? down->info.sni : ""),
        .fault_detail = detail,
        .bytes_in = down->stream->bytes_in,
        .bytes_out = down->stream->bytes_out,
        .duration_us = now - down->since,
        .attempts = down->search ? down->search->n_tried : 1,
        .downstream_ip = down->info.remote,
        .downstream_port = down->info.remote_port,
        .route = "",
        .service = up             ? up->target->name
                   : down->search ? down->search->target->name
                                  : "",
        .peer = down->info.peer ? down->info.peer->uri : "",
        .conn_id = down->id,
    };

    if (up && up->endpoint) {
        r.upstream_ip = up->endpoint->ip;
        r.upstream_port = up->endpoint->port;
    }
    emit(down->worker, &r, fault);
}
