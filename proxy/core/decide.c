/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May this request pass, and where to? Called once per request, when its head is complete. What is decided on is what is
 * forwarded: the path is made canonical first. Knows nothing of connections but who is at the other end.
 */
#include "core/filter.h"
#include "core/gateway.h"
#include "core/session.h"

static const struct weir_fault no_fault = { 0, WEIR_FAULT_NONE };

/* Where to: sets t->cluster. Returns the fault that says why not. */
static struct weir_fault route(struct weir_txn *t) {
    const struct weir_parent *p = t->parent;
    const struct weir_backend_ref *backend;
    const struct weir_route_rule *rule;
    int r;

    if (!p->routes && !p->near) {
        t->cluster = p->own;
        return p->own ? no_fault : WEIR_FAULT(LOCAL, NO_ROUTE);
    }
    r = weir_path_normalize_target(&t->req);
    if (r != 0)
        return r > 0 ? WEIR_FAULT(DOWNSTREAM, BAD_TARGET) : WEIR_FAULT(LOCAL, INTERNAL);
    if (p->near)
        weir_route_decide(p->near, &t->req, &t->decision);
    if (!t->decision.rule && p->routes)
        weir_route_decide(p->routes, &t->req, &t->decision);
    rule = t->decision.rule;
    if (!rule)
        return WEIR_FAULT(LOCAL, NO_ROUTE);
    backend = rule->session ? weir_session_backend(t) : NULL;
    if (!backend)
        backend = weir_route_backend(rule, weir_worker_random(t->worker));
    t->backend = backend;
    if ((rule->n_filters > 0 || (backend && backend->n_filters > 0)) && weir_filter_answers(t))
        return no_fault;
    if (backend && backend->service && backend->service_port)
        t->cluster = weir_runtime_cluster(t->epoch->rt, backend->service_port);
    return t->cluster ? no_fault : WEIR_FAULT(LOCAL, NO_BACKEND);
}

/* The mesh may have become stricter since the connection began. */
static bool proven_enough(const struct weir_txn *t) {
    return t->identified || t->down->dir != WEIR_DIR_INBOUND || t->parent->mtls != WEIR_MTLS_STRICT;
}

/*
 * Several listeners behind one port: the authority says whose request it is. Over TLS it has to be the one whose certificate was shown: a
 * request for another (a browser that reuses the connection, RFC 9110 15.5.20) is sent back.
 */
static struct weir_fault find_listener(struct weir_txn *t) {
    const struct weir_port *port = t->parent->at;
    struct weir_parent *meant;
    struct weir_slice host = WEIR_SLICE_NONE;
    uint16_t number;
    int r = 0;

    if (t->req.authority.len > 0)
        r = weir_authority_parse(&t->arena, t->req.authority, &host, &number);
    else if (port->tls)
        return no_fault; /* HTTP/1.0: the certificate has said it */
    if (r != 0)
        return r < 0 ? WEIR_FAULT(LOCAL, INTERNAL) : WEIR_FAULT(DOWNSTREAM, BAD_AUTHORITY);
    meant = weir_port_listener(port, host);
    if (!meant)
        return WEIR_FAULT(LOCAL, NO_ROUTE);
    if (port->tls && meant != t->parent)
        return WEIR_FAULT(DOWNSTREAM, MISDIRECTED);
    t->parent = meant;
    return no_fault;
}

/* Whose routes count. */
static struct weir_fault find_parent(struct weir_txn *t) {
    const struct weir_conn *down = t->down;

    t->parent = weir_down_parent(t->down);
    if (t->parent)
        return t->parent->at && t->parent->at->n > 1 ? find_listener(t) : no_fault;
    /* The name of its handshake is served no more: another connection may find who does. */
    return down->dir == WEIR_DIR_GATEWAY && down->info.tls ? WEIR_FAULT(DOWNSTREAM, MISDIRECTED)
                                                           : WEIR_FAULT(LOCAL, NO_ROUTE);
}

struct weir_fault weir_txn_decide(struct weir_txn *t) {
    struct weir_fault fault = find_parent(t);
    int r = 0;

    if (fault.kind != WEIR_FAULT_NONE)
        return fault;
    if (t->req.method == WEIR_METHOD_CONNECT)
        return WEIR_FAULT(DOWNSTREAM, CONNECT_REFUSED);
    if (!proven_enough(t))
        return WEIR_FAULT(DOWNSTREAM, IDENTITY);
    if (!t->parent->rbac && !t->epoch->rt->authz)
        return route(t);
    /* What is judged is what is forwarded. */
    if (t->parent->rbac)
        r = weir_path_normalize_target(&t->req);
    if (r != 0)
        return r > 0 ? WEIR_FAULT(DOWNSTREAM, BAD_TARGET) : WEIR_FAULT(LOCAL, INTERNAL);
    fault = weir_judge_txn(t);
    return fault.kind == WEIR_FAULT_NONE ? route(t) : fault;
}
