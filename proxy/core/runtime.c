/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds struct weir_runtime. Everything here runs on the configuration thread: it may allocate and take its time; what it makes is read
 * only from then on.
 */
#include "core/runtime.h"

#include <stdio.h>

#include "base/mem.h"
#include "conf/authz.h"
#include "conf/distance.h"
#include "core/gateway.h"
#include "core/runtime_build.h"
#include "tls/tickets.h"

static const uint64_t table_seed[2] = {
    0x77656972, 0x72756e74
}; /* keys come from the operator, not from peers */

const char *weir_direction_name(enum weir_direction dir) {
    switch (dir) {
    case WEIR_DIR_REVERSE:
        return "reverse";
    case WEIR_DIR_GATEWAY:
        return "gateway";
    case WEIR_DIR_OUTBOUND:
        return "outbound";
    case WEIR_DIR_INBOUND:
        return "inbound";
    }
    return "?";
}

static struct weir_tls_ctx *ctx_ref(struct weir_tls_ctx *ctx) {
    return ctx ? weir_tls_ctx_ref(ctx) : NULL;
}

struct weir_tls_set weir_tls_set_ref(const struct weir_tls_set *set) {
    return (struct weir_tls_set){ .server = ctx_ref(set->server),
                                  .to = ctx_ref(set->to),
                                  .mesh_server = ctx_ref(set->mesh_server),
                                  .mesh_client = ctx_ref(set->mesh_client),
                                  .mesh_client_tcp = ctx_ref(set->mesh_client_tcp),
                                  .sessions = set->sessions ? weir_seal_ref(set->sessions) : NULL,
                                  .tickets = set->tickets ? weir_tickets_ref(set->tickets) : NULL };
}

void weir_tls_set_deinit(struct weir_tls_set *set) {
    set->server = weir_tls_ctx_unref(set->server);
    set->tickets = weir_tickets_unref(set->tickets);
    set->to = weir_tls_ctx_unref(set->to);
    set->mesh_server = weir_tls_ctx_unref(set->mesh_server);
    set->mesh_client = weir_tls_ctx_unref(set->mesh_client);
    set->mesh_client_tcp = weir_tls_ctx_unref(set->mesh_client_tcp);
    set->sessions = weir_seal_unref(set->sessions);
}

static void addr_key(uint8_t key[18], const struct weir_ip *ip, uint16_t port) {
    memcpy(key, ip->b, 16);
    key[16] = (uint8_t)(port >> 8);
    key[17] = (uint8_t)port;
}

struct weir_cluster *weir_runtime_cluster(const struct weir_runtime *rt,
                                          const struct weir_service_port *port) {
    return rt->cluster_of_port[port->index];
}

struct weir_parent *weir_runtime_outbound(struct weir_runtime *rt, const struct weir_ip *ip,
                                          uint16_t port) {
    uint8_t key[18];
    struct weir_hnode *node;

    addr_key(key, ip, port);
    node = weir_htab_find(&rt->outbound_by_addr, weir_slice_make((char *)key, sizeof(key)));
    return node ? WEIR_CONTAINER_OF(node, struct weir_parent, node) : NULL;
}

struct weir_parent *weir_runtime_inbound(struct weir_runtime *rt, uint16_t port) {
    for (uint32_t i = 0; i < rt->n_inbound; i++)
        if (rt->inbound[i].port == port)
            return &rt->inbound[i];
    return NULL;
}

/* There is room for it: build() counted. */
static struct weir_cluster *add_cluster(struct weir_runtime *rt, const struct weir_cluster *c) {
    struct weir_cluster *slot = &rt->clusters[rt->n_clusters];

    *slot = *c;
    slot->index = rt->n_clusters++;
    return slot;
}

/* What the policy leaves open is as the Proxy's limits have it. */
static struct weir_connection_spec connection_of(const struct weir_runtime *rt,
                                                 const struct weir_backend_policy *policy) {
    struct weir_connection_spec c = rt->snapshot->proxy.limits.upstream;
    const struct weir_connection_spec *p = policy ? &policy->connection : &c;

    c.connect_us = p->connect_us != WEIR_UNSET_64 ? p->connect_us : c.connect_us;
    c.idle_us = p->idle_us != WEIR_UNSET_64 ? p->idle_us : c.idle_us;
    c.lifetime_us = p->lifetime_us != WEIR_UNSET_64 ? p->lifetime_us : c.lifetime_us;
    c.head_us = p->head_us != WEIR_UNSET_64 ? p->head_us : c.head_us;
    c.connections = p->connections != WEIR_UNSET_32 ? p->connections : c.connections;
    c.pending = p->pending != WEIR_UNSET_32 ? p->pending : c.pending;
    c.requests = p->requests != WEIR_UNSET_32 ? p->requests : c.requests;
    return c;
}

static int add_endpoint(struct weir_endpoints *to, const struct weir_service *svc,
                        const struct weir_endpoint *e, const struct weir_locality *here) {
    struct weir_endpoint copy = *e;
    enum weir_distance distance = weir_endpoint_distance(svc, e, here);

    copy.far = distance == WEIR_DISTANCE_FAR;
    return distance == WEIR_DISTANCE_OUT ? 0 : weir_endpoints_add(to, &copy);
}

/* Where the snapshot's own list will not do: those that may be called from here, and behind them the addresses of those given by name. */
static int add_endpoints(struct weir_runtime *rt, const struct weir_lookup *names,
                         const struct weir_service *svc, const struct weir_service_port *port,
                         struct weir_cluster *c) {
    struct weir_endpoints hosts = { .arena = &rt->arena, .lookup = *names };
    struct weir_locality here;
    int r = 0;

    if (port->n_hosts == 0 && svc->near == WEIR_NEAR_ANY && !svc->local_only)
        return 0;
    here = weir_locality_of(rt->snapshot, rt->pod ? rt->pod->node : "", rt->snapshot->proxy.zone);
    for (uint32_t i = 0; i < port->n_endpoints && r == 0; i++)
        r = add_endpoint(&hosts, svc, &port->endpoints[i], &here);
    for (uint32_t i = 0; i < port->n_hosts && r == 0; i++)
        r = weir_endpoints_resolve(&hosts, &port->hosts[i]);
    c->endpoints = hosts.items;
    c->n_endpoints = hosts.n;
    return r;
}

static int build_service_clusters(struct weir_runtime *rt, const struct weir_runtime_params *params,
                                  char **ret_why) {
    const struct weir_snapshot *s = rt->snapshot;

    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct weir_service *svc = &s->services[i];

        for (uint32_t k = 0; k < svc->n_ports; k++) {
            const struct weir_service_port *port = &svc->ports[k];
            struct weir_cluster c = {
                .name = weir_arena_printf(&rt->arena, "%s/%s:%u", svc->meta.namespace_,
                                          svc->meta.name, port->port),
                .endpoints = port->endpoints,
                .n_endpoints = port->n_endpoints,
                .proto = port->app == WEIR_APP_HTTP2 ? WEIR_UP_H2 : WEIR_UP_H1,
                .mesh = rt->tls.mesh_client != NULL,
                .balancer = port->policy ? port->policy->balancer : WEIR_BALANCER_UNSET,
                .connection = connection_of(rt, port->policy),
            };
            int r;

            if (port->proto != WEIR_PROTO_TCP)
                continue;
            if (!c.name || add_endpoints(rt, &params->names, svc, port, &c) < 0)
                return -ENOMEM;
            r = weir_runtime_backend_tls(rt, params, port, &c, ret_why);
            if (r != 0)
                return r;
            rt->cluster_of_port[port->index] = add_cluster(rt, &c);
        }
    }
    return 0;
}

/* One of its servers says so: the client's side cannot see HTTP where the server's does not. */
static bool is_opaque(const struct weir_service_port *port) {
    for (uint32_t i = 0; i < port->n_endpoints; i++)
        if (port->endpoints[i].pod &&
            weir_pod_opaque(port->endpoints[i].pod, port->endpoints[i].port))
            return true;
    return false;
}

static int build_outbound(struct weir_runtime *rt) {
    const struct weir_snapshot *s = rt->snapshot;
    size_t n = 0;

    for (uint32_t i = 0; i < s->n_services; i++)
        n += (size_t)s->services[i].n_ips * s->services[i].n_ports;
    rt->outbound = weir_arena_calloc(&rt->arena, n + 1, sizeof(*rt->outbound));
    if (!rt->outbound)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct weir_service *svc = &s->services[i];

        for (uint32_t k = 0; k < svc->n_ports * svc->n_ips; k++) {
            const struct weir_service_port *port = &svc->ports[k % svc->n_ports];
            struct weir_parent *p = &rt->outbound[rt->n_outbound];
            struct weir_attach at = { .kind = WEIR_PARENT_SERVICE,
                                      .meta = &svc->meta,
                                      .section = "",
                                      .hostname = "",
                                      .port = port->port,
                                      .ns = svc->meta.namespace_ };
            int r;

            if (port->proto != WEIR_PROTO_TCP)
                continue;
            p->dir = WEIR_DIR_OUTBOUND;
            p->port = port->port;
            p->bytes = is_opaque(port);
            p->http = port->l7 && !p->bytes;
            p->own = weir_runtime_cluster(rt, port);
            p->name = p->own ? p->own->name : "";
            addr_key(p->addr_key, &svc->ips[k / svc->n_ports], port->port);
            p->node.key = weir_slice_make((char *)p->addr_key, sizeof(p->addr_key));
            rt->n_outbound++;
            r = weir_attach_table(rt->attachments, &at, &p->routes);
            at.ns = rt->pod->meta.namespace_;
            if (r == 0 && strcmp(at.ns, svc->meta.namespace_) != 0)
                r = weir_attach_table(rt->attachments, &at, &p->near);
            if (r == 0)
                r = weir_htab_add(&rt->outbound_by_addr, &p->node);
            if (r < 0 && r != -EEXIST)
                return r;
        }
    }
    return 0;
}

/* Endpoint of the local application: its own address and port. */
static int add_inbound(struct weir_runtime *rt, uint16_t port, enum weir_app_protocol app,
                       bool http) {
    struct weir_parent *p = weir_runtime_inbound(rt, port);
    struct weir_cluster c = { .proto = app == WEIR_APP_HTTP2 ? WEIR_UP_H2 : WEIR_UP_H1,
                              .connection = connection_of(rt, NULL) };
    struct weir_endpoint *e;

    if (p) {
        p->http |= http && !p->bytes;
        return 0;
    }
    p = &rt->inbound[rt->n_inbound];
    e = weir_arena_calloc(&rt->arena, 1, sizeof(*e));
    c.name = weir_arena_printf(&rt->arena, "inbound:%u", port);
    if (!e || !c.name)
        return -ENOMEM;
    if (rt->pod->n_ips > 0) {
        e->ip = rt->pod->ips[0];
        e->port = port;
        e->ready = e->serving = true;
        e->weight = 1;
        e->node = e->zone = "";
        c.endpoints = e;
        c.n_endpoints = 1;
    }
    p->dir = WEIR_DIR_INBOUND;
    p->port = port;
    p->name = c.name;
    p->bytes = weir_pod_opaque(rt->pod, port);
    p->http = http && !p->bytes;
    p->mtls = weir_snapshot_mtls(rt->snapshot, rt->pod, port);
    p->rbac = rt->rbac;
    p->own = add_cluster(rt, &c);
    rt->n_inbound++;
    return 0;
}

static bool is_local(const struct weir_runtime *rt, const struct weir_endpoint *e) {
    return rt->pod && e->pod == rt->pod;
}

/* Every port of the pod that some service or the pod itself declares. */
static int build_inbound(struct weir_runtime *rt) {
    const struct weir_snapshot *s = rt->snapshot;
    int r = 0;

    for (uint32_t i = 0; i < s->n_services; i++)
        for (uint32_t k = 0; k < s->services[i].n_ports; k++) {
            const struct weir_service_port *port = &s->services[i].ports[k];

            for (uint32_t j = 0; r == 0 && j < port->n_endpoints; j++)
                if (port->proto == WEIR_PROTO_TCP && is_local(rt, &port->endpoints[j]))
                    r = add_inbound(rt, port->endpoints[j].port, port->app, port->l7);
        }
    for (uint32_t i = 0; r == 0 && i < rt->pod->n_ports; i++)
        if (rt->pod->ports[i].proto == WEIR_PROTO_TCP)
            r = add_inbound(rt, rt->pod->ports[i].port, WEIR_APP_HTTP, false);
    return r;
}

static uint32_t count_inbound(const struct weir_runtime *rt) {
    const struct weir_snapshot *s = rt->snapshot;
    uint32_t n = rt->pod ? rt->pod->n_ports : 0;

    for (uint32_t i = 0; rt->pod && i < s->n_services; i++)
        for (uint32_t k = 0; k < s->services[i].n_ports; k++)
            for (uint32_t j = 0; j < s->services[i].ports[k].n_endpoints; j++)
                n += is_local(rt, &s->services[i].ports[k].endpoints[j]);
    return n;
}

/* A host of `to` may be a name or an address. */
static int add_to(struct weir_endpoints *hosts, const struct weir_to *to) {
    struct weir_endpoint e = { .port = to->port,
                               .host = to->host,
                               .ready = true,
                               .serving = true,
                               .weight = 1,
                               .node = "",
                               .zone = "" };

    return weir_parse_ip(to->host, &e.ip) == 0 ? weir_endpoints_add(hosts, &e)
                                               : weir_endpoints_resolve(hosts, &e);
}

static int build_reverse(struct weir_runtime *rt, const struct weir_runtime_params *params) {
    const struct weir_proxy_spec *spec = &rt->snapshot->proxy;
    struct weir_endpoints hosts = { .arena = &rt->arena, .lookup = params->names };
    struct weir_cluster c = { .name = "to",
                              .proxy_send = spec->proxy_send,
                              .connection = connection_of(rt, NULL) };
    int r = 0;

    rt->reverse = weir_arena_calloc(&rt->arena, 1, sizeof(*rt->reverse));
    if (!rt->reverse)
        return -ENOMEM;
    for (uint32_t i = 0; i < spec->n_to && r == 0; i++)
        r = add_to(&hosts, &spec->to[i]);
    c.endpoints = hosts.items;
    c.n_endpoints = hosts.n;
    if (spec->n_to > 0) {
        enum weir_scheme scheme = spec->to[0].scheme;

        c.proto = scheme == WEIR_TO_H2C     ? WEIR_UP_H2
                  : scheme == WEIR_TO_HTTPS ? WEIR_UP_ALPN
                                            : WEIR_UP_H1;
        c.tls = scheme == WEIR_TO_HTTPS ? rt->tls.to : NULL;
        c.sni = spec->to_sni[0] ? spec->to_sni : NULL;
    }
    rt->reverse->dir = WEIR_DIR_REVERSE;
    rt->reverse->own = add_cluster(rt, &c);
    rt->reverse->name = "to";
    rt->reverse->tls = rt->tls.server;
    return r;
}

#define RESET_BURST 10u /* seconds' worth */

static void build_limits(struct weir_runtime *rt) {
    const struct weir_limits_spec *l = &rt->snapshot->proxy.limits;

    rt->limits = weir_codec_limits_default;
    rt->limits.head_bytes = l->head_bytes;
    rt->limits.fields = (uint16_t)(l->fields > UINT16_MAX ? UINT16_MAX : l->fields);
    rt->limits.target_bytes = l->target_bytes;
    rt->limits.streams = l->streams;
    rt->limits.reset_per_s = l->resets_per_s;
    rt->limits.reset_burst = RESET_BURST * l->resets_per_s;
    rt->limits.frames_per_s = l->frames_per_s;
}

static int find_pod(struct weir_runtime *rt, const char *text, char **ret_why) {
    const char *slash = strchr(text, '/');
    struct weir_rbac_place place = { .snapshot = rt->snapshot };
    char ns[256];
    int r;

    if (text[0] == '\0')
        return 0;
    snprintf(ns, sizeof(ns), "%.*s", slash ? (int)(slash - text) : 0, text);
    rt->pod = weir_snapshot_pod(rt->snapshot, slash ? ns : "default", slash ? slash + 1 : text);
    if (!rt->pod) {
        *ret_why = weir_asprintf("Proxy spec.pod: no Pod %s among the documents", text);
        return *ret_why ? 1 : -ENOMEM;
    }
    place.pod = rt->pod;
    r = weir_authz_new(rt->snapshot, rt->pod, &rt->authz);
    return r == 0 ? weir_rbac_new(&place, &rt->rbac) : r;
}

static int build(struct weir_runtime *rt, const struct weir_runtime_params *params,
                 char **ret_why) {
    const struct weir_snapshot *s = rt->snapshot;
    size_t n = 2 + s->n_service_ports;
    int r;

    build_limits(rt);
    r = find_pod(rt, params->pod ? params->pod : s->proxy.pod, ret_why);
    if (r != 0)
        return r;
    n += count_inbound(rt);
    rt->clusters = weir_arena_calloc(&rt->arena, n, sizeof(*rt->clusters));
    rt->inbound = weir_arena_calloc(&rt->arena, count_inbound(rt) + 1, sizeof(*rt->inbound));
    rt->cluster_of_port =
        weir_arena_calloc(&rt->arena, s->n_service_ports, sizeof(struct weir_cluster *));
    if (!rt->clusters || !rt->inbound || !rt->cluster_of_port)
        return -ENOMEM;
    r = weir_attachments_new(s, &rt->attachments);
    if (r == 0)
        r = build_service_clusters(rt, params, ret_why);
    if (r == 0 && rt->pod)
        r = build_outbound(rt);
    if (r == 0 && rt->pod)
        r = build_inbound(rt);
    if (r == 0)
        r = weir_runtime_gateways(rt, params, ret_why);
    if (r == 0 && s->proxy.listen[0])
        r = build_reverse(rt, params);
    return r;
}

int weir_runtime_new(const struct weir_runtime_params *params, struct weir_runtime **ret_runtime,
                     char **ret_why) {
    struct weir_runtime *rt = weir_calloc(1, sizeof(*rt));
    int r;

    if (!rt) {
        struct weir_tls_set tls = params->tls;

        weir_tls_set_deinit(&tls);
        return -ENOMEM;
    }
    weir_ref_init(&rt->ref);
    weir_arena_init(&rt->arena, 16384);
    weir_htab_init(&rt->outbound_by_addr, table_seed);
    rt->snapshot = weir_snapshot_ref(params->snapshot);
    rt->tls = params->tls;
    r = build(rt, params, ret_why);
    rt->attachments = weir_attachments_free(rt->attachments);
    if (r != 0) {
        weir_runtime_unref(rt);
        return r;
    }
    *ret_runtime = rt;
    return 0;
}

struct weir_runtime *weir_runtime_ref(struct weir_runtime *rt) {
    weir_ref_inc(&rt->ref);
    return rt;
}

static void free_parents(struct weir_parent *p, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        weir_route_table_free(p[i].routes);
        weir_route_table_free(p[i].near);
        weir_tls_ctx_unref(p[i].tls_owned);
        weir_hosts_deinit(&p[i].names);
        weir_rbac_free(p[i].rbac_owned);
    }
}

struct weir_runtime *weir_runtime_unref(struct weir_runtime *rt) {
    if (!rt || !weir_ref_dec(&rt->ref))
        return NULL;
    free_parents(rt->outbound, rt->n_outbound);
    free_parents(rt->gateways, rt->n_gateways);
    for (uint32_t i = 0; i < rt->n_ports; i++)
        weir_hosts_deinit(&rt->ports[i].listeners);
    for (uint32_t i = 0; i < rt->n_backend_tls; i++)
        weir_tls_ctx_unref(rt->backend_tls[i]);
    weir_authz_free(rt->authz);
    weir_rbac_free(rt->rbac);
    weir_tls_set_deinit(&rt->tls);
    weir_htab_deinit(&rt->outbound_by_addr);
    weir_arena_deinit(&rt->arena);
    weir_snapshot_unref(rt->snapshot);
    weir_free(rt);
    return NULL;
}
