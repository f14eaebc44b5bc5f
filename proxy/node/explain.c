/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `explain SRC DST:PORT PROTO` of the admin socket: names become addresses here, every decision is
 * the kernel's own copy of the matcher over the live maps (kern/explain.h). What the kernel decides
 * by one look (the endpoint) is shown for every endpoint, since the next connection may take another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/explain.h"
#include "node/explain_rules.h"
#include "node/state.h"

#define SHOWN_ENDPOINTS 64u

struct question {
    struct weir_agent *a;
    struct weir_textbuf *out;
    const struct weir_pod *source; /* NULL: an address only */
    uint32_t source_id;            /* local pod id; 0 = not here */
    struct weir_addr from;
    bool any_from; /* no source address of that family is known */
    struct weir_addr to;
    uint16_t port;
    uint8_t proto;
    const struct weir_service *service;
    const struct weir_service_port *service_port;
    bool denied, allowed; /* of some hop */
};

static struct weir_addr addr_of(const struct weir_ip *ip) {
    struct weir_addr a;

    memcpy(&a, ip, sizeof(a));
    return a;
}

static void put_addr(struct weir_textbuf *out, const char *key, const struct weir_addr *addr) {
    struct weir_ip ip;
    char buf[64];

    memcpy(&ip, addr, sizeof(ip));
    weir_textbuf_member(out, key, weir_ip_format(&ip, buf, sizeof(buf)));
}

static void put_known(struct weir_textbuf *out, const char *key, const char *value) {
    if (value[0])
        weir_textbuf_member(out, key, value);
}

static const char *verdict_name(uint32_t verdict) {
    return verdict == WEIR_VERDICT_ALLOW   ? "allow"
           : verdict == WEIR_VERDICT_DENY  ? "deny"
           : verdict == WEIR_VERDICT_PROXY ? "sidecar decides"
                                           : "undecided";
}

static void put_side(struct question *q, const char *key, const char *pod,
                     const struct weir_explain *x) {
    const struct weir_mapset *set = q->a->installed;

    weir_textbuf_name(q->out, key);
    weir_textbuf_add(q->out, "{", 1);
    weir_textbuf_member(q->out, "pod", pod);
    weir_textbuf_bool(q->out, "isolated", x->slot.flags & WEIR_SLOT_ISOLATED);
    weir_textbuf_member(q->out, "verdict", verdict_name(x->verdict));
    put_known(q->out, "policy", weir_plan_name(set, WEIR_NAME_POLICY, x->policy));
    put_known(q->out, "would_deny", weir_plan_name(set, WEIR_NAME_POLICY, x->audited));
    put_known(q->out, "audited", weir_plan_name(set, WEIR_NAME_POLICY, x->noted));
    put_known(q->out, "sidecar_asks", weir_plan_name(set, WEIR_NAME_POLICY, x->proxy));
    weir_textbuf_number(q->out, "rule", x->rule);
    put_known(q->out, "peer_identity", weir_plan_name(set, WEIR_NAME_IDENTITY, x->peer_identity));
    weir_agent_explain_rules(q->a, q->out, x);
    weir_textbuf_add(q->out, "}", 1);
}

/* --- one hop: a destination as it goes on the wire --- */

/* The names that the pod was answered this address for. */
static void put_binding(struct question *q, const struct weir_addr *to) {
    const struct weir_dns_bound_key key = { *to, q->source_id };
    struct weir_dns_bound_value bound;

    if (weir_kern_get(q->a->kern, WEIR_MAP_DNS_BOUND, &key, &bound))
        return;
    weir_textbuf_name(q->out, "answered");
    weir_textbuf_add(q->out, "{", 1);
    weir_agent_put_names(q->a, &bound, q->out);
    weir_textbuf_add(q->out, "}", 1);
}

static int egress(struct question *q, const struct weir_addr *to, uint16_t port, bool *ret_denied) {
    struct weir_explain x = { .what = WEIR_EXPLAIN_VERDICT, .peer = *to, .port = port };
    struct weir_pod_value pod;
    struct weir_ip_value ip = { 0 };
    int r = weir_kern_get(q->a->kern, WEIR_MAP_POD, &q->source_id, &pod);

    if (r)
        return r;
    (void)weir_kern_get(q->a->kern, WEIR_MAP_IP, to, &ip);
    x.proto = q->proto;
    x.pod = q->source_id;
    x.slot = pod.policy[WEIR_EGRESS];
    x.peer_identity = ip.identity;
    r = weir_kern_explain(q->a->kern, &x);
    if (r)
        return r;
    put_side(q, "egress", weir_plan_name(q->a->installed, WEIR_NAME_POD, q->source_id), &x);
    put_binding(q, to);
    *ret_denied = x.verdict != WEIR_VERDICT_ALLOW;
    return 0;
}

/* One kind of policies of the receiver, asked by itself. */
static int put_slot(struct question *q, const char *key, const char *pod,
                    const struct weir_explain *arrival, const struct weir_policy_slot *slot) {
    struct weir_explain x = { .what = WEIR_EXPLAIN_VERDICT,
                              .peer = arrival->peer,
                              .port = arrival->port,
                              .proto = arrival->proto,
                              .slot = *slot,
                              .peer_identity = arrival->peer_identity };
    int r = weir_kern_explain(q->a->kern, &x);

    if (r == 0)
        put_side(q, key, pod, &x);
    return r;
}

static int ingress(struct question *q, uint32_t receiver, uint16_t port, bool *ret_denied) {
    struct weir_explain x = { .what = WEIR_EXPLAIN_ARRIVAL, .peer = q->from, .port = port };
    const char *pod = weir_plan_name(q->a->installed, WEIR_NAME_POD, receiver);
    int r;

    x.pod = receiver;
    x.proto = q->proto;
    r = weir_kern_explain(q->a->kern, &x);
    if (r == 0)
        r = put_slot(q, "ingress", pod, &x, &x.slot);
    if (r == 0 && x.authz.block && q->proto == WEIR_IPPROTO_TCP)
        r = put_slot(q, "authorization", pod, &x, &x.authz);
    if (r)
        return r;
    weir_textbuf_member(q->out, "arrival", weir_reason_name(x.reason));
    weir_textbuf_bool(q->out, "inbound_sidecar", x.flags & WEIR_FLOW_STEERED);
    *ret_denied = x.reason != WEIR_ALLOW_INGRESS && x.reason != WEIR_ALLOW_INGRESS_PROXY &&
                  x.reason != WEIR_ALLOW_PROBE;
    if (x.reason == WEIR_ALLOW_PROBE)
        weir_textbuf_bool(q->out, "probe", true);
    return 0;
}

static int hop(struct question *q, const struct weir_addr *to, uint16_t port) {
    struct weir_ip_value ip = { 0 };
    const struct weir_pod *pod;
    struct weir_ip as_ip;
    bool denied[2] = { false, false }, known = false;
    char name[600] = "";
    int r = 0;

    memcpy(&as_ip, to, sizeof(as_ip));
    (void)weir_kern_get(q->a->kern, WEIR_MAP_IP, to, &ip);
    pod = weir_snapshot_pod_by_ip(q->a->snapshot, &as_ip);
    if (pod)
        snprintf(name, sizeof(name), "%s/%s", pod->meta.namespace_, pod->meta.name);
    weir_agent_explain_comma(q->out);
    weir_textbuf_add(q->out, "{", 1);
    put_addr(q->out, "ip", to);
    weir_textbuf_number(q->out, "port", port);
    put_known(q->out, "pod", name);
    put_known(q->out, "identity", weir_plan_name(q->a->installed, WEIR_NAME_IDENTITY, ip.identity));
    if (q->source_id && ip.pod == q->source_id) {
        weir_textbuf_member(q->out, "note", "the pod's own address: nobody's policy");
        known = true;
    } else {
        if (q->source_id) {
            r = egress(q, to, port, &denied[WEIR_EGRESS]);
            known = true;
        }
        if (r == 0 && ip.pod && !q->any_from) {
            r = ingress(q, ip.pod, port, &denied[WEIR_INGRESS]);
            known = true;
        }
    }
    weir_textbuf_member(q->out, "verdict",
                        denied[0] || denied[1] ? "deny"
                        : known                ? "allow"
                                               : "not decided on this node");
    weir_textbuf_add(q->out, "}", 1);
    q->denied = q->denied || denied[0] || denied[1];
    q->allowed = q->allowed || (known && !denied[0] && !denied[1]);
    return r;
}

static int hops(struct question *q) {
    uint32_t shown = 0;
    int r = 0;

    weir_textbuf_name(q->out, "hops");
    weir_textbuf_add(q->out, "[", 1);
    if (!q->service_port) {
        r = hop(q, &q->to, q->port);
    } else {
        for (uint32_t i = 0; r == 0 && i < q->service_port->n_endpoints; i++) {
            const struct weir_endpoint *e = &q->service_port->endpoints[i];
            struct weir_addr to = addr_of(&e->ip);

            if (shown++ < SHOWN_ENDPOINTS &&
                (weir_addr_is_any(&q->to) || weir_addr_is_v4(&to) == weir_addr_is_v4(&q->to)))
                r = hop(q, &to, e->port);
        }
    }
    weir_textbuf_add(q->out, "]", 1);
    return r;
}

/* What connect() would do now. */
static int call(struct question *q) {
    struct weir_explain x = { .what = WEIR_EXPLAIN_CALL, .peer = q->to, .port = q->port };
    int r;

    x.pod = q->source_id;
    x.proto = q->proto;
    x.role = WEIR_ROLE_APP;
    r = weir_kern_explain(q->a->kern, &x);
    if (r)
        return r;
    weir_textbuf_name(q->out, "connect");
    weir_textbuf_add(q->out, "{", 1);
    weir_textbuf_member(q->out, "reason", weir_reason_name(x.reason));
    if (x.error)
        weir_textbuf_member(q->out, "error", strerror(-x.error));
    else
        put_addr(q->out, "ip", &x.dst), weir_textbuf_number(q->out, "port", x.dport);
    put_known(q->out, "policy", weir_plan_name(q->a->installed, WEIR_NAME_POLICY, x.policy));
    put_known(q->out, "service", weir_plan_name(q->a->installed, WEIR_NAME_SERVICE, x.service));
    weir_textbuf_bool(q->out, "steered", x.flags & WEIR_FLOW_STEERED);
    weir_textbuf_add(q->out, "}", 1);
    if (x.error)
        q->denied = true;
    return 0;
}

/* --- names --- */

static bool is_decimal(const char *text) {
    return text[0] && text[strspn(text, "0123456789")] == '\0';
}

static bool split(const char *text, char *ns, char *name, size_t size) {
    const char *slash = strchr(text, '/');

    if (!slash || slash == text || !slash[1] || strchr(slash + 1, '/') ||
        (size_t)(slash - text) >= size || strlen(slash + 1) >= size)
        return false;
    memcpy(ns, text, (size_t)(slash - text));
    ns[slash - text] = '\0';
    strcpy(name, slash + 1);
    return true;
}

static bool parse_ip(const char *text, struct weir_addr *ret) {
    struct weir_ip ip;

    if (weir_parse_ip(text, &ip) < 0)
        return false;
    *ret = addr_of(&ip);
    return true;
}

static const char *find_source(struct question *q, const char *text) {
    char ns[256], name[256], key[520];
    struct weir_ip ip;

    if (parse_ip(text, &q->from)) {
        memcpy(&ip, &q->from, sizeof(ip));
        q->source = weir_snapshot_pod_by_ip(q->a->snapshot, &ip);
    } else if (split(text, ns, name, sizeof(ns))) {
        q->source = weir_snapshot_pod(q->a->snapshot, ns, name);
        if (!q->source)
            return "no such source pod";
    } else {
        return "the source is neither NAMESPACE/POD nor an address";
    }
    if (q->source) {
        snprintf(key, sizeof(key), "%s/%s", q->source->meta.namespace_, q->source->meta.name);
        q->source_id = weir_plan_id(q->a->installed, WEIR_NAME_POD, key);
    }
    return NULL;
}

/* NAME, NAME.NAMESPACE, NAME.NAMESPACE.svc...: as a resolver in the source's pod would take it. */
static const struct weir_service *service_by_dns(const struct question *q, const char *text) {
    const char *own = q->source ? q->source->meta.namespace_ : "default";
    char name[256], ns[256];
    size_t n = strcspn(text, "."), m;

    if (n == 0 || n >= sizeof(name))
        return NULL;
    memcpy(name, text, n);
    name[n] = '\0';
    if (text[n] == '\0')
        return weir_snapshot_service(q->a->snapshot, own, name);
    text += n + 1;
    m = strcspn(text, ".");
    if (m == 0 || m >= sizeof(ns) || (text[m] && strncmp(text + m, ".svc", 4) != 0))
        return NULL;
    memcpy(ns, text, m);
    ns[m] = '\0';
    return weir_snapshot_service(q->a->snapshot, ns, name);
}

static bool same_family(const struct weir_ip *ip, const struct weir_pod *with) {
    for (uint32_t i = 0; with && i < with->n_ips; i++)
        if (weir_ip_is_v4(ip) == weir_ip_is_v4(&with->ips[i]))
            return true;
    return !with;
}

/* The first address that the source has a family in common with. */
static bool take_ip(struct question *q, const struct weir_ip *ips, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (same_family(&ips[i], q->source)) {
            q->to = addr_of(&ips[i]);
            return true;
        }
    }
    return false;
}

static const char *find_port(struct question *q) {
    for (uint32_t i = 0; i < q->service->n_ports; i++)
        if (q->service->ports[i].port == q->port && q->service->ports[i].proto == q->proto)
            q->service_port = &q->service->ports[i];
    return q->service_port ? NULL : "the service has no such port and protocol";
}

static const char *find_destination(struct question *q, char *text) {
    const struct weir_pod *pod = NULL;
    char ns[256], name[256];
    const struct weir_service_port *port_of;
    struct weir_ip ip;
    char *colon = strrchr(text, ':');
    unsigned long port;

    if (!colon || !is_decimal(colon + 1) || (port = strtoul(colon + 1, NULL, 10)) == 0 ||
        port > 65535)
        return "the destination has no port: DST:PORT";
    q->port = (uint16_t)port;
    *colon = '\0';
    if (text[0] == '[' && colon > text && colon[-1] == ']') {
        colon[-1] = '\0';
        text++;
    }
    if (parse_ip(text, &q->to)) {
        memcpy(&ip, &q->to, sizeof(ip));
        q->service = weir_snapshot_service_by_ip(q->a->snapshot, &ip, q->port, &port_of);
        /* A port that is none of the service's goes to the plain address, in the kernel as well. */
        if (q->service && find_port(q))
            q->service = NULL;
        return NULL;
    }
    if (split(text, ns, name, sizeof(ns))) {
        q->service = weir_snapshot_service(q->a->snapshot, ns, name);
        pod = weir_snapshot_pod(q->a->snapshot, ns, name);
        if (q->service && pod && find_port(q))
            q->service = NULL; /* of two with one name, the one that has the port */
    } else {
        q->service = service_by_dns(q, text);
    }
    if (q->service) {
        const char *problem = find_port(q);

        if (!problem)
            (void)take_ip(q, q->service->ips, q->service->n_ips); /* none: headless */
        return problem;
    }
    if (!pod && q->source_id && weir_agent_name_address(q->a, q->source_id, text, &q->to))
        return NULL;
    if (!pod)
        return "no such destination: NAMESPACE/POD, a service, an address, or a name that was "
               "answered to the source (weir names)";
    return take_ip(q, pod->ips, pod->n_ips) ? NULL
                                            : "the destination has no address of that family";
}

/* The source address the destination's node would see. */
static void settle_from(struct question *q) {
    bool v4 = weir_addr_is_any(&q->to) || weir_addr_is_v4(&q->to);

    if (!weir_addr_is_any(&q->from))
        return;
    q->any_from = true;
    for (uint32_t i = 0; q->source && i < q->source->n_ips && q->any_from; i++) {
        if ((bool)weir_ip_is_v4(&q->source->ips[i]) != v4)
            continue;
        q->from = addr_of(&q->source->ips[i]);
        q->any_from = false;
    }
}

static const char *answer(struct question *q) {
    char name[600] = "";
    struct weir_ip_value ip = { 0 };
    int r = 0;

    if (q->source)
        snprintf(name, sizeof(name), "%s/%s", q->source->meta.namespace_, q->source->meta.name);
    (void)weir_kern_get(q->a->kern, WEIR_MAP_IP, &q->from, &ip);
    weir_textbuf_name(q->out, "source");
    weir_textbuf_add(q->out, "{", 1);
    put_known(q->out, "pod", name);
    if (!q->any_from)
        put_addr(q->out, "ip", &q->from);
    put_known(q->out, "identity", weir_plan_name(q->a->installed, WEIR_NAME_IDENTITY, ip.identity));
    weir_textbuf_bool(q->out, "on_this_node", q->source_id != 0);
    weir_textbuf_add(q->out, "}", 1);
    weir_textbuf_name(q->out, "destination");
    weir_textbuf_add(q->out, "{", 1);
    if (q->service) {
        snprintf(name, sizeof(name), "%s/%s", q->service->meta.namespace_, q->service->meta.name);
        weir_textbuf_member(q->out, "service", name);
        weir_textbuf_bool(q->out, "l7", q->service_port->l7);
        weir_textbuf_number(q->out, "endpoints", q->service_port->n_endpoints);
    }
    if (!weir_addr_is_any(&q->to))
        put_addr(q->out, "ip", &q->to);
    weir_textbuf_number(q->out, "port", q->port);
    weir_textbuf_member(q->out, "protocol", q->proto == WEIR_IPPROTO_TCP ? "tcp" : "udp");
    weir_textbuf_add(q->out, "}", 1);
    if (q->source_id && !weir_addr_is_any(&q->to))
        r = call(q);
    if (r == 0)
        r = hops(q);
    weir_textbuf_member(q->out, "verdict",
                        q->denied && q->allowed ? "depends on the endpoint"
                        : q->denied             ? "deny"
                        : q->allowed            ? "allow"
                                                : "not decided on this node");
    return r ? strerror(-r) : NULL;
}

void weir_agent_explain(struct weir_agent *a, char *words, struct weir_textbuf *out) {
    struct question q = { .a = a, .out = out };
    char *request = strchr(words, '\t'), *save = NULL, name[600] = "";
    const char *proto, *problem = NULL;
    char *source, *to;

    if (request)
        *request++ = '\0';
    source = strtok_r(words, " ", &save);
    to = strtok_r(NULL, " ", &save);
    proto = strtok_r(NULL, " ", &save);
    q.proto = proto && strcmp(proto, "udp") == 0 ? WEIR_IPPROTO_UDP : WEIR_IPPROTO_TCP;
    weir_textbuf_add(out, "{", 1);
    if (!source || !to || (proto && strcmp(proto, "udp") != 0 && strcmp(proto, "tcp") != 0))
        problem = "explain SRC DST:PORT [tcp|udp]";
    if (!problem)
        problem = find_source(&q, source);
    if (!problem)
        problem = find_destination(&q, to);
    if (!problem) {
        settle_from(&q);
        problem = answer(&q);
    }
    if (!problem && request) {
        if (q.source)
            snprintf(name, sizeof(name), "%s/%s", q.source->meta.namespace_, q.source->meta.name);
        problem = weir_agent_explain_request(
            a->snapshot, &(struct weir_explained){ name, q.service, q.service_port }, request, out);
    }
    if (problem)
        weir_textbuf_member(out, "error", problem);
    weir_textbuf_add(out, "}\n", 2);
}
