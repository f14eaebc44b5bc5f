/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listeners of all Gateways: each with its routes and its certificate, those of one port together behind one socket.
 */
#include "core/gateway.h"

#include <stdio.h>

#include "base/mem.h"
#include "core/runtime_build.h"

struct weir_port *weir_runtime_port(struct weir_runtime *rt, uint16_t number) {
    for (uint32_t i = 0; i < rt->n_ports; i++)
        if (rt->ports[i].number == number)
            return &rt->ports[i];
    return NULL;
}

struct weir_parent *weir_port_listener(const struct weir_port *port, struct weir_slice host) {
    return weir_hosts_find(&port->listeners, host);
}

static int listener_tls(struct weir_runtime *rt, struct weir_parent *p,
                        const struct weir_gateway_listener *l,
                        const struct weir_runtime_params *params, char **ret_why) {
    struct weir_tls_params tp = { .mode = WEIR_TLS_SERVER,
                                  .tickets = rt->tls.tickets,
                                  .ticket_lifetime_s =
                                      (uint32_t)(rt->snapshot->proxy.ticket_us / 500000),
                                  .scope = p->name };
    const char *why = "cannot read the file";
    bool files = l->secret[0] == '\0';
    size_t n_cert = strlen(l->cert), n_key = strlen(l->key);
    char *cert = files ? params->read_file(l->cert_file, &n_cert) : weir_strndup(l->cert, n_cert);
    char *key = files ? params->read_file(l->key_file, &n_key) : weir_strndup(l->key, n_key);
    int r = files ? WEIR_RUNTIME_CERTIFICATE : -ENOMEM;

    if (!p->opaque) /* else what is within is the client's and the server's affair */
        tp.alpn = WEIR_SLICE("\x02h2\x08http/1.1");
    if (cert && key) {
        tp.material.cert_chain = weir_slice_make(cert, n_cert);
        tp.material.key = weir_slice_make(key, n_key);
        r = weir_tls_ctx_new(&tp, &p->tls_owned, &why);
        r = r > 0 ? WEIR_RUNTIME_CERTIFICATE : r;
    }
    if (r > 0) {
        *ret_why =
            files ? weir_asprintf("gateway listener %s: %s, %s: %s", p->name, l->cert_file,
                                  l->key_file, why)
                  : weir_asprintf("gateway listener %s: Secret %s: %s", p->name, l->secret, why);
        if (!*ret_why)
            r = -ENOMEM;
    }
    p->tls = p->tls_owned;
    weir_free(cert);
    if (key)
        explicit_bzero(key, n_key);
    weir_free(key);
    return r;
}

/* One host name of a TLSRoute, or "" = it lists none. The more specific route of two has the name, then the older. */
static int add_name(struct weir_parent *p, const struct weir_gateway_listener *l,
                    const struct weir_tls_choice *choice) {
    const char *both = weir_hosts_common(l->hostname, choice->host);
    void **held = NULL;
    int r = both ? weir_hosts_add(&p->names, both, (void *)(uintptr_t)choice, &held) : 0;

    if (r != -EEXIST)
        return r;
    if (weir_hosts_rank(choice->host) > weir_hosts_rank(((struct weir_tls_choice *)*held)->host))
        *held = (void *)(uintptr_t)choice;
    return 0;
}

static int add_tls_route(struct weir_runtime *rt, struct weir_parent *p,
                         const struct weir_gateway_listener *l,
                         const struct weir_http_route *route) {
    uint32_t n = route->n_hostnames > 0 ? route->n_hostnames : 1;
    struct weir_tls_choice *choices = weir_arena_calloc(&rt->arena, n, sizeof(*choices));
    int r = choices ? 0 : -ENOMEM;

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        choices[i].host = route->n_hostnames > 0 ? route->hostnames[i] : "";
        choices[i].route = route;
        r = add_name(p, l, &choices[i]);
    }
    return r;
}

static int add_tls_routes(struct weir_runtime *rt, struct weir_parent *p,
                          const struct weir_gateway_listener *l, const struct weir_attach *at) {
    const struct weir_snapshot *s = rt->snapshot;
    int r = 0;

    weir_hosts_init(&p->names, &rt->arena);
    for (uint32_t i = 0; r == 0 && i < s->n_tls_routes; i++)
        if (weir_attach_names(&s->tls_routes[i], at))
            r = add_tls_route(rt, p, l, &s->tls_routes[i]);
    return r;
}

/* The port the listener is on, made with its first one. */
static struct weir_port *port_of(struct weir_runtime *rt, const struct weir_gateway_listener *l,
                                 struct weir_parent *p) {
    struct weir_port *port = weir_runtime_port(rt, l->port);

    if (!port) {
        port = &rt->ports[rt->n_ports++];
        port->number = l->port;
        port->tls = l->protocol != WEIR_LISTENER_HTTP;
        port->first = p;
        weir_hosts_init(&port->listeners, &rt->arena);
    }
    port->n++;
    return port;
}

static int add_listener(struct weir_runtime *rt, const struct weir_gateway *g,
                        const struct weir_gateway_listener *l,
                        const struct weir_runtime_params *params, char **ret_why) {
    struct weir_parent *p = &rt->gateways[rt->n_gateways];
    struct weir_attach at = { .kind = WEIR_PARENT_GATEWAY,
                              .meta = &g->meta,
                              .section = l->name,
                              .hostname = l->hostname,
                              .port = l->port };
    int r;

    p->dir = WEIR_DIR_GATEWAY;
    p->port = l->port;
    p->name = weir_arena_printf(&rt->arena, "%s/%s/%s", g->meta.namespace_, g->meta.name, l->name);
    if (!p->name)
        return -ENOMEM;
    rt->n_gateways++;
    p->at = port_of(rt, l, p);
    p->opaque = l->protocol == WEIR_LISTENER_TLS;
    p->passthrough = l->passthrough;
    r = weir_hosts_add(&p->at->listeners, l->hostname, p, NULL);
    if (r == 0)
        r = p->opaque ? add_tls_routes(rt, p, l, &at)
                      : weir_attach_table(rt->attachments, &at, &p->routes);
    if (r == 0)
        r = weir_rbac_new(&(struct weir_rbac_place){ rt->snapshot, rt->pod, g }, &p->rbac_owned);
    p->rbac = p->rbac_owned;
    if (r == 0 && l->protocol != WEIR_LISTENER_HTTP && !l->passthrough)
        r = listener_tls(rt, p, l, params, ret_why);
    return r;
}

int weir_runtime_gateways(struct weir_runtime *rt, const struct weir_runtime_params *params,
                          char **ret_why) {
    const struct weir_snapshot *s = rt->snapshot;
    uint32_t n = 0;
    int r = 0;

    for (uint32_t i = 0; i < s->n_gateways; i++)
        n += s->gateways[i].n_listeners;
    rt->gateways = weir_arena_calloc(&rt->arena, n + 1, sizeof(*rt->gateways));
    rt->ports = weir_arena_calloc(&rt->arena, n + 1, sizeof(*rt->ports));
    if (!rt->gateways || !rt->ports)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n_gateways; i++)
        for (uint32_t k = 0; r == 0 && k < s->gateways[i].n_listeners; k++)
            r = add_listener(rt, &s->gateways[i], &s->gateways[i].listeners[k], params, ret_why);
    return r;
}
