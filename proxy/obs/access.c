/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One finished request as one line. Text begins with Envoy's default fields in Envoy's order, so
 * that what reads those logs reads these; weir's own facts follow as key=value. JSON uses the names
 * Istio's users know. It decides nothing: flag, reason and times come in the record, and every byte
 * that came from a peer is escaped on its way out.
 */
#include "obs/access.h"

#include "obs/pen.h"

static struct weir_slice str(const char *s) {
    return weir_slice_from_str(s);
}

static struct weir_slice or_dash(struct weir_slice s) {
    return s.len ? s : WEIR_SLICE("-");
}

/* In quotes: blanks may stay. */
static void quoted(struct weir_pen *pen, struct weir_slice s) {
    weir_pen_lit(pen, " \"");
    weir_pen_escaped(pen, or_dash(s), true);
    weir_pen_lit(pen, "\"");
}

static void number(struct weir_pen *pen, uint64_t n) {
    weir_pen_lit(pen, " ");
    weir_pen_u64(pen, n);
}

/* ` key=value`: not at all when empty. */
static void pair(struct weir_pen *pen, struct weir_slice key, const char *value) {
    if (!value || !*value)
        return;
    weir_pen_bytes(pen, key);
    weir_pen_escaped(pen, str(value), false);
}

static void request_line(struct weir_pen *pen, const struct weir_access_record *r) {
    weir_pen_lit(pen, "\"");
    weir_pen_escaped(pen, or_dash(r->method), false);
    weir_pen_lit(pen, " ");
    weir_pen_escaped(pen, or_dash(r->target), false);
    weir_pen_lit(pen, " ");
    weir_pen_escaped(pen, or_dash(str(r->protocol)), false);
    weir_pen_lit(pen, "\"");
}

static void upstream_host(struct weir_pen *pen, const struct weir_access_record *r) {
    if (r->upstream_port)
        weir_pen_addr(pen, &r->upstream_ip, r->upstream_port);
    else
        weir_pen_lit(pen, "-");
}

static bool is_set(const char *s) {
    return s && *s && !(s[0] == '-' && !s[1]);
}

static void envoy_fields(struct weir_pen *pen, const struct weir_access_record *r) {
    weir_pen_lit(pen, "[");
    weir_pen_time(pen, r->wall_us);
    weir_pen_lit(pen, "] ");
    request_line(pen, r);
    number(pen, r->status);
    weir_pen_lit(pen, " ");
    weir_pen_escaped(pen, or_dash(str(r->flag)), false);
    number(pen, r->bytes_in);
    number(pen, r->bytes_out);
    number(pen, r->duration_us / 1000);
    if (r->upstream_us)
        number(pen, r->upstream_us / 1000);
    else
        weir_pen_lit(pen, " -");
    quoted(pen, r->forwarded_for);
    quoted(pen, r->user_agent);
    quoted(pen, r->request_id);
    quoted(pen, r->authority);
    weir_pen_lit(pen, " \"");
    upstream_host(pen, r);
    weir_pen_lit(pen, "\"");
}

static void text(struct weir_pen *pen, const struct weir_access_record *r) {
    envoy_fields(pen, r);
    pair(pen, WEIR_SLICE(" direction="), r->direction);
    pair(pen, WEIR_SLICE(" service="), r->service);
    pair(pen, WEIR_SLICE(" route="), r->route);
    pair(pen, WEIR_SLICE(" peer="), r->peer);
    if (is_set(r->reason))
        pair(pen, WEIR_SLICE(" reason="), r->reason);
    if (is_set(r->fault_detail)) {
        weir_pen_lit(pen, " detail=");
        weir_pen_lit(pen, "\"");
        weir_pen_escaped(pen, str(r->fault_detail), true);
        weir_pen_lit(pen, "\"");
    }
    if (r->downstream_port) {
        weir_pen_lit(pen, " from=");
        weir_pen_addr(pen, &r->downstream_ip, r->downstream_port);
    }
    pair(pen, WEIR_SLICE(" would_deny="), r->would_deny);
    pair(pen, WEIR_SLICE(" audited="), r->audited);
    weir_pen_lit(pen, " attempts=");
    weir_pen_u64(pen, r->attempts);
    weir_pen_lit(pen, " us=");
    weir_pen_u64(pen, r->duration_us);
    weir_pen_lit(pen, " conn=");
    weir_pen_u64(pen, r->conn_id);
    weir_pen_lit(pen, "\n");
}

/* `key` brings its own quotes, comma and colon: ,"key": */
static void json_string(struct weir_pen *pen, struct weir_slice key, struct weir_slice value) {
    weir_pen_bytes(pen, key);
    if (!value.len) {
        weir_pen_lit(pen, "null");
        return;
    }
    weir_pen_lit(pen, "\"");
    weir_pen_json(pen, value);
    weir_pen_lit(pen, "\"");
}

static void json_number(struct weir_pen *pen, struct weir_slice key, uint64_t n) {
    weir_pen_bytes(pen, key);
    weir_pen_u64(pen, n);
}

static void json_addr(struct weir_pen *pen, struct weir_slice key, const struct weir_ip *ip,
                      uint16_t port) {
    weir_pen_bytes(pen, key);
    if (!port) {
        weir_pen_lit(pen, "null");
        return;
    }
    weir_pen_lit(pen, "\"");
    weir_pen_addr(pen, ip, port);
    weir_pen_lit(pen, "\"");
}

static void json(struct weir_pen *pen, const struct weir_access_record *r) {
    weir_pen_lit(pen, "{\"start_time\":\"");
    weir_pen_time(pen, r->wall_us);
    json_string(pen, WEIR_SLICE("\",\"method\":"), r->method);
    json_string(pen, WEIR_SLICE(",\"path\":"), r->target);
    json_string(pen, WEIR_SLICE(",\"protocol\":"), str(r->protocol));
    json_number(pen, WEIR_SLICE(",\"response_code\":"), r->status);
    json_string(pen, WEIR_SLICE(",\"response_flags\":"), or_dash(str(r->flag)));
    json_number(pen, WEIR_SLICE(",\"bytes_received\":"), r->bytes_in);
    json_number(pen, WEIR_SLICE(",\"bytes_sent\":"), r->bytes_out);
    json_number(pen, WEIR_SLICE(",\"duration\":"), r->duration_us / 1000);
    if (r->upstream_us)
        json_number(pen, WEIR_SLICE(",\"upstream_service_time\":"), r->upstream_us / 1000);
    else
        weir_pen_lit(pen, ",\"upstream_service_time\":null");
    json_string(pen, WEIR_SLICE(",\"x_forwarded_for\":"), r->forwarded_for);
    json_string(pen, WEIR_SLICE(",\"user_agent\":"), r->user_agent);
    json_string(pen, WEIR_SLICE(",\"request_id\":"), r->request_id);
    json_string(pen, WEIR_SLICE(",\"authority\":"), r->authority);
    json_addr(pen, WEIR_SLICE(",\"upstream_host\":"), &r->upstream_ip, r->upstream_port);
    json_addr(pen, WEIR_SLICE(",\"downstream_remote_address\":"), &r->downstream_ip,
              r->downstream_port);
    json_string(pen, WEIR_SLICE(",\"direction\":"), str(r->direction));
    json_string(pen, WEIR_SLICE(",\"service\":"), str(r->service));
    json_string(pen, WEIR_SLICE(",\"route\":"), str(r->route));
    json_string(pen, WEIR_SLICE(",\"peer\":"), str(r->peer));
    json_string(pen, WEIR_SLICE(",\"reason\":"),
                is_set(r->reason) ? str(r->reason) : WEIR_SLICE_NONE);
    json_string(pen, WEIR_SLICE(",\"detail\":"), str(r->fault_detail));
    if (is_set(r->would_deny))
        json_string(pen, WEIR_SLICE(",\"would_deny\":"), str(r->would_deny));
    if (is_set(r->audited))
        json_string(pen, WEIR_SLICE(",\"audited\":"), str(r->audited));
    json_number(pen, WEIR_SLICE(",\"attempts\":"), r->attempts);
    json_number(pen, WEIR_SLICE(",\"duration_us\":"), r->duration_us);
    json_number(pen, WEIR_SLICE(",\"upstream_us\":"), r->upstream_us);
    json_number(pen, WEIR_SLICE(",\"connection_id\":"), r->conn_id);
    weir_pen_lit(pen, "}\n");
}

int weir_access_format(const struct weir_access_record *r, enum weir_access_log format,
                       struct weir_bufq *out) {
    if (format == WEIR_LOG_OFF)
        return 0;
    struct weir_pen pen;
    weir_pen_begin(&pen, out);
    if (format == WEIR_LOG_JSON)
        json(&pen, r);
    else
        text(&pen, r);
    return weir_pen_end(&pen);
}
