/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Source and destination are told from the flow's point of view, not from the local pod's: on
 * ingress the remote side is the source. A side that is no pod of the snapshot has an address and
 * no name. Values that are not known are left out, so that a key that is there always says
 * something.
 */
#include "node/flow.h"

#include <stdio.h>
#include <time.h>

#include "kern/plan.h"
#include "weir/abi/revoke.h"

struct side {
    const struct weir_addr *addr;
    uint16_t port;
    bool local;
};

struct line {
    struct weir_textbuf *t;
    enum weir_flow_format format;
    const struct weir_event *event;
    const struct weir_flow_names *names;
};

const char *weir_flow_verdict(const struct weir_event *event) {
    switch (event->kind) {
    case WEIR_EVENT_REVOKE:
        return "deny";
    case WEIR_EVENT_DENY:
        return event->reason == WEIR_ALLOW_AUDIT ? "audit" : "deny";
    case WEIR_EVENT_HELD:
        return "held";
    case WEIR_EVENT_OPEN:
    case WEIR_EVENT_CLOSE:
        return "allow";
    default:
        return "none";
    }
}

/* Whether the local side is the one that calls. Only a caller has a socket (a cookie) when it is
 * denied. */
static bool is_caller(const struct weir_event *event) {
    return event->direction == WEIR_EGRESS ||
           (event->kind == WEIR_EVENT_DENY && event->cookie != 0);
}

static const char *kind_name(const struct weir_event *event) {
    static const char *const names[] = {
        "", "open", "close", "deny", "listen", "revoke", "", "held"
    };

    return event->kind < WEIR_ARRAY_LEN(names) ? names[event->kind] : "";
}

static void text(struct line *l, const char *key, const char *value) {
    if (value[0] == '\0')
        return;
    if (l->format == WEIR_FLOW_JSON)
        weir_textbuf_member(l->t, key, value);
    else
        weir_textbuf_printf(l->t, " %s=%s", key, value);
}

static void number(struct line *l, const char *key, uint64_t value) {
    if (l->format == WEIR_FLOW_JSON)
        weir_textbuf_number(l->t, key, value);
    else
        weir_textbuf_printf(l->t, " %s=%llu", key, (unsigned long long)value);
}

static void address(struct line *l, const char *key, const struct weir_addr *addr) {
    char buf[64];
    struct weir_ip ip;

    memcpy(&ip, addr, sizeof(ip));
    text(l, key, weir_ip_format(&ip, buf, sizeof(buf)));
}

/* The pod's "namespace/name": by id when it is the local one, else by address. */
static void pod(struct line *l, const char *key, const struct side *side) {
    const struct weir_pod *p;
    struct weir_ip ip;
    char buf[336];

    if (side->local && l->event->pod != 0) {
        text(l, key, weir_plan_name(l->names->installed, WEIR_NAME_POD, l->event->pod));
        return;
    }
    memcpy(&ip, side->addr, sizeof(ip));
    p = weir_snapshot_pod_by_ip(l->names->snapshot, &ip);
    if (!p || p->host_network)
        return;
    snprintf(buf, sizeof(buf), "%s/%s", p->meta.namespace_, p->meta.name);
    text(l, key, buf);
}

/* The side's address; of a socket that is not bound yet, the pod's. */
static void side_address(struct line *l, const char *key, const struct side *side) {
    const struct weir_pod_value *value;

    if (!weir_addr_is_any(side->addr)) {
        address(l, key, side->addr);
        return;
    }
    value = weir_mapset_get(l->names->installed, WEIR_MAP_POD, &l->event->pod);
    if (side->local && value) {
        const struct weir_addr *addr = &value->addr[!weir_addr_is_v4(&l->event->remote)];

        if (!weir_addr_is_any(addr))
            address(l, key, addr);
    }
}

static void begin(struct line *l, uint64_t wall_us) {
    time_t seconds = (time_t)(wall_us / 1000000);
    char buf[64] = "";
    struct tm tm;

    if (gmtime_r(&seconds, &tm)) {
        size_t n = strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", &tm);

        snprintf(buf + n, sizeof(buf) - n, ".%06uZ", (unsigned)(wall_us % 1000000));
    }
    if (l->format == WEIR_FLOW_JSON) {
        weir_textbuf_add(l->t, "{", 1);
        weir_textbuf_member(l->t, "time", buf);
    } else {
        weir_textbuf_printf(l->t, "%s", buf);
    }
}

static void end(struct line *l) {
    if (l->format == WEIR_FLOW_JSON)
        weir_textbuf_add(l->t, "}", 1);
    weir_textbuf_add(l->t, "\n", 1);
}

static void sides(struct line *l) {
    const struct weir_event *e = l->event;
    struct side local = { &e->local, e->local_port, true };
    struct side remote = { &e->remote, e->remote_port, false };
    bool caller = is_caller(e);
    const struct side *from = caller ? &local : &remote;
    const struct side *to = caller ? &remote : &local;

    pod(l, "source", from);
    side_address(l, "source_ip", from);
    if (from->port)
        number(l, "source_port", from->port);
    pod(l, "destination", to);
    side_address(l, "destination_ip", to);
    number(l, "destination_port", to->port);
    if (e->original_port &&
        (!weir_addr_equal(&e->original, &e->remote) || e->original_port != e->remote_port) &&
        caller) {
        address(l, "original_ip", &e->original);
        number(l, "original_port", e->original_port);
    }
}

static void flags(struct line *l) {
    const uint32_t flags = l->event->flags;

    if (flags & WEIR_FLOW_STEERED)
        text(l, "steered", "yes");
    if (flags & WEIR_FLOW_PROXY)
        text(l, "role", "proxy");
    if (flags & WEIR_FLOW_FAILED)
        text(l, "established", "no");
}

/* Bytes of a path that are no text, as in a URL. */
static void path(struct line *l, const struct weir_http_exchange *x) {
    char buf[3 * WEIR_HTTP_PATH + 1];
    size_t n = 0;

    for (unsigned i = 0; i < x->n_path && i < WEIR_HTTP_PATH; i++) {
        unsigned char b = (unsigned char)x->path[i];

        n += (size_t)snprintf(buf + n, sizeof(buf) - n, b > 0x20 && b < 0x7f ? "%c" : "%%%02X", b);
    }
    buf[n] = '\0';
    text(l, "path", buf);
}

static void exchange(struct line *l, const struct weir_http_exchange *x) {
    char buf[WEIR_HTTP_METHOD + 1];

    snprintf(buf, sizeof(buf), "%.*s", x->n_method, x->method);
    text(l, "method", buf);
    path(l, x);
    if (x->flags & WEIR_HTTP_IS_CUT)
        text(l, "path_cut", "yes");
    snprintf(buf, sizeof(buf), "1.%u", x->version);
    text(l, "http", buf);
    if (x->status)
        number(l, "status", x->status);
    else
        text(l, "answered", "no");
    number(l, "latency_us", (x->answered_ns - x->began_ns) / 1000);
    if (x->flags & WEIR_HTTP_IS_TLS)
        text(l, "tls", "yes");
}

/* Of the pod here and of the other side, one that is not identified left out. */
static void identities(struct line *l, bool caller, uint32_t ours, uint32_t peers) {
    const struct weir_mapset *set = l->names->installed;

    text(l, "source_identity", weir_plan_name(set, WEIR_NAME_IDENTITY, caller ? ours : peers));
    text(l, "destination_identity", weir_plan_name(set, WEIR_NAME_IDENTITY, caller ? peers : ours));
}

void weir_flow_write_http(struct weir_textbuf *t, enum weir_flow_format format,
                          const struct weir_http_event *event, const struct weir_flow_names *names,
                          uint64_t wall_us) {
    const struct weir_http_flow *f = &event->flow;
    const struct weir_event as_event = { .local = f->local,
                                         .remote = f->remote,
                                         .original = f->original,
                                         .local_port = f->local_port,
                                         .remote_port = f->remote_port,
                                         .original_port = f->original_port,
                                         .direction = f->direction,
                                         .pod = f->pod,
                                         .cookie = f->cookie };
    struct line l = { t, format, &as_event, names };
    bool caller = f->direction == WEIR_EGRESS;

    begin(&l, wall_us);
    text(&l, "event", "http");
    if (f->cookie) {
        text(&l, "direction", caller ? "egress" : "ingress");
        sides(&l);
        identities(&l, caller, f->identity, f->peer_identity);
    } else {
        text(&l, "pod", weir_plan_name(names->installed, WEIR_NAME_POD, f->pod));
        text(&l, "addresses", "unknown");
    }
    text(&l, "service", weir_plan_name(names->installed, WEIR_NAME_SERVICE, f->service));
    exchange(&l, &event->exchange);
    end(&l);
}

void weir_flow_write(struct weir_textbuf *t, enum weir_flow_format format,
                     const struct weir_event *event, const struct weir_flow_names *names,
                     uint64_t wall_us) {
    struct line l = { t, format, event, names };
    const struct weir_mapset *set = names->installed;

    begin(&l, wall_us);
    text(&l, "event", kind_name(event));
    text(&l, "verdict", weir_flow_verdict(event));
    text(&l, "direction", event->direction == WEIR_INGRESS ? "ingress" : "egress");
    text(&l, "reason", weir_reason_name(event->reason));
    text(&l, "policy", weir_plan_name(set, WEIR_NAME_POLICY, event->policy));
    text(&l, "protocol", event->proto == WEIR_IPPROTO_UDP ? "udp" : "tcp");
    sides(&l);
    text(&l, "service", weir_plan_name(set, WEIR_NAME_SERVICE, event->service));
    identities(&l, is_caller(event), event->identity, event->peer_identity);
    flags(&l);
    if (event->kind == WEIR_EVENT_CLOSE) {
        number(&l, "bytes_in", event->bytes_in);
        number(&l, "bytes_out", event->bytes_out);
        number(&l, "duration_us", event->duration_ns / 1000);
        number(&l, "srtt_us", event->srtt_us);
        number(&l, "retransmits", event->retransmits);
    }
    end(&l);
}
