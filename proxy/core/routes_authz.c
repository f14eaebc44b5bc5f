/* SPDX-License-Identifier: Apache-2.0 */
/* The tables are built for the question and thrown away: a person asks, not a request. */
#include "core/routes_authz.h"

#include <stdio.h>

#include "conf/authz.h"
#include "route/rbac.h"

#define PODS_MAX 16u /* of one question: an answer must fit the agent's line */

static void put_answer(struct weir_json *j, const char *what, const struct weir_meta *m,
                       const struct weir_rbac_answer *a) {
    char where[256];

    snprintf(where, sizeof(where), "%s %s/%s", what, m->namespace_, m->name);
    weir_json_open(j, NULL, '{');
    weir_json_str(j, "at", where);
    weir_json_bool(j, "allowed", a->allowed);
    if (a->policy[0])
        weir_json_str(j, "policy", a->policy);
    if (a->would_deny[0])
        weir_json_str(j, "wouldDeny", a->would_deny);
    if (a->noted[0])
        weir_json_str(j, "audited", a->noted);
    weir_json_close(j, '{');
}

static struct weir_rbac_flow flow_of(const struct weir_routes_authz *q, const struct weir_ip *to,
                                     uint16_t port) {
    struct weir_rbac_flow f = { .port = port, .destination = *to };

    if (q->client && q->client->n_ips > 0)
        f.source = f.client = q->client->ips[0];
    return f;
}

static void prove(const struct weir_routes_authz *q, struct weir_rbac_flow *f) {
    f->proven = true;
    f->domain = weir_slice_from_str(q->snapshot->proxy.trust_domain);
    f->ns = weir_slice_from_str(q->client->meta.namespace_);
    f->account = weir_slice_from_str(q->client->service_account);
}

static int at_gateway(struct weir_json *j, const struct weir_routes_authz *q) {
    const struct weir_rbac_place place = { .snapshot = q->snapshot, .gateway = q->gateway };
    const struct weir_ip unknown = { 0 };
    struct weir_rbac_flow f = flow_of(q, &unknown, q->gateway_port);
    struct weir_rbac_answer a;
    struct weir_rbac *rbac;
    int r = weir_rbac_new(&place, &rbac);

    if (r || !rbac)
        return r;
    weir_rbac_decide(rbac, &f, q->head, &a);
    put_answer(j, "Gateway", &q->gateway->meta, &a);
    weir_rbac_free(rbac);
    return 0;
}

static int at_pod(struct weir_json *j, const struct weir_routes_authz *q,
                  const struct weir_endpoint *e) {
    const struct weir_rbac_place place = { .snapshot = q->snapshot, .pod = e->pod };
    struct weir_rbac_flow f = flow_of(q, &e->ip, e->port);
    struct weir_rbac_answer a;
    struct weir_rbac *rbac;
    int r = weir_rbac_new(&place, &rbac);

    if (r || !rbac)
        return r;
    if (q->client && weir_pod_meshed(q->client))
        prove(q, &f);
    weir_rbac_decide(rbac, &f, q->head, &a);
    put_answer(j, "Pod", &e->pod->meta, &a);
    weir_rbac_free(rbac);
    return 0;
}

/* Pods without a sidecar ask nobody. */
static int at_pods(struct weir_json *j, const struct weir_routes_authz *q,
                   const struct weir_service_port *port, uint32_t *left) {
    int r = 0;

    for (uint32_t i = 0; port && r == 0 && i<port->n_endpoints && * left> 0; i++) {
        const struct weir_endpoint *e = &port->endpoints[i];

        if (!e->pod || !weir_pod_enters(q->snapshot, e->pod, e->port))
            continue;
        --*left;
        r = at_pod(j, q, e);
    }
    return r;
}

int weir_routes_put_authz(struct weir_json *j, const struct weir_routes_authz *q) {
    uint32_t left = PODS_MAX;
    int r = 0;

    weir_json_open(j, "authorization", '[');
    if (q->gateway)
        r = at_gateway(j, q);
    for (uint32_t i = 0; q->rule && r == 0 && i < q->rule->n_backends; i++)
        r = at_pods(j, q, q->rule->backends[i].service_port, &left);
    if (!q->rule && r == 0)
        r = at_pods(j, q, q->port, &left);
    weir_json_close(j, '[');
    return r;
}
