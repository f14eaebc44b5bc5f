/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream connections of one worker, by endpoint. HTTP/1 connections are leased whole and wait in `idle` in between,
 * newest first; HTTP/2 connections stay in `shared` and are leased by the stream. A connection never serves another
 * identity than the one it was opened for.
 */
#include <stdio.h>

#include "base/mem.h"
#include "core/txn.h"

#define WAITING_MAX 100u /* txns that wait for one connecting HTTP/2 connection */

struct weir_pool {
    struct weir_list idle, shared;
    uint32_t n_idle;
};

static struct weir_pool *pool_of(struct weir_lb_endpoint *e) {
    struct weir_pool *p = e->pool;

    if (p)
        return p;
    p = weir_calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    weir_list_init(&p->idle);
    weir_list_init(&p->shared);
    e->pool = p;
    return p;
}

/* What must be spoken to this endpoint. */
struct want {
    bool mesh, shared;
    char expect[1024]; /* "" = no identity demanded */
};

/*
 * Is another sidecar behind this endpoint? Not behind our own pod's: the kernel takes what this
 * proxy dials there straight to the application.
 */
static bool is_meshed(const struct weir_cluster *c, const struct weir_pod *pod,
                      const struct weir_pod *own) {
    if (!c->mesh || !pod || pod->mode == WEIR_MESH_OFF)
        return false;
    return !own || strcmp(pod->meta.name, own->meta.name) != 0 ||
           strcmp(pod->meta.namespace_, own->meta.namespace_) != 0;
}

static int want_of(const struct weir_txn *t, struct want *ret) {
    const struct weir_cluster *c = t->cluster;
    const struct weir_pod *pod = t->endpoint->conf ? t->endpoint->conf->pod : NULL;
    int n;

    ret->mesh = is_meshed(c, pod, t->epoch->rt->pod);
    ret->shared = ret->mesh || c->proto == WEIR_UP_H2;
    ret->expect[0] = '\0';
    if (!ret->mesh)
        return 0;
    n = snprintf(ret->expect, sizeof(ret->expect), "spiffe://%s/ns/%s/sa/%s",
                 t->epoch->rt->snapshot->proxy.trust_domain, pod->meta.namespace_,
                 pod->service_account);
    return n < 0 || (size_t)n >= sizeof(ret->expect) ? -EINVAL : 0;
}

static bool same_identity(const struct weir_conn *c, const struct want *want) {
    return strcmp(c->expect ? c->expect : "", want->expect) == 0;
}

static void attach(struct weir_txn *t, struct weir_conn *c) {
    t->up = c;
    weir_list_push_back(&c->txns, &t->up_node);
    if (c->state == WEIR_CONN_HTTP)
        weir_txn_upstream_open(t);
}

static struct weir_conn *find_shared(struct weir_pool *p, const struct want *want) {
    WEIR_LIST_FOREACH (it, &p->shared) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, pool_node);
        uint32_t waiting = 0;

        if (c->no_more || !same_identity(c, want))
            continue;
        if (c->state == WEIR_CONN_HTTP && c->codec->n_active < c->codec->max_active)
            return c;
        if (c->state != WEIR_CONN_CONNECTING)
            continue;
        WEIR_LIST_FOREACH (n, &c->txns)
            waiting++;
        if (waiting < WAITING_MAX)
            return c;
    }
    return NULL;
}

static struct weir_conn *find_idle(struct weir_pool *p, const struct want *want) {
    WEIR_LIST_FOREACH (it, &p->idle) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, pool_node);

        if (!same_identity(c, want))
            continue;
        weir_list_unlink(&c->pool_node);
        p->n_idle--;
        c->pooled = false;
        weir_count(&c->worker->metrics, WEIR_C_UP_IDLE, (uint64_t)-1);
        return c;
    }
    return NULL;
}

/* The connection is made, not yet open. */
static int dial(struct weir_txn *t, const struct want *want, struct weir_conn **ret_conn) {
    struct weir_worker *w = t->worker;
    struct weir_runtime *rt = t->epoch->rt;
    const struct weir_limits_spec *limits = weir_worker_limits(w);
    struct weir_dial d = { .ip = t->endpoint->ip,
                           .port = t->endpoint->port,
                           .timeout_us = limits->connect_timeout_us };
    struct weir_tls_ctx *ctx = want->mesh ? rt->tls.mesh_client : t->cluster->tls;
    struct weir_stream *s;
    struct weir_conn *c;
    int r = w->net->ops->dial(w->net, &d, &s);

    if (r < 0)
        return r;
    c = weir_conn_new(w, s, true);
    if (!c) {
        weir_conn_refuse_stream(s);
        return -ENOMEM;
    }
    c->state = WEIR_CONN_CONNECTING;
    c->target = t->target;
    c->endpoint = t->endpoint;
    weir_lb_use(t->target->lb, t->endpoint);
    if (want->expect[0])
        c->expect = weir_strndup(want->expect, strlen(want->expect));
    if (ctx) {
        struct weir_tls_stream_params params = { .lower = s,
                                                 .pool = w->pool,
                                                 .ctx = ctx,
                                                 .sni = want->mesh ? NULL : t->cluster->sni,
                                                 .expect = c->expect };
        const struct weir_stream_events *events = s->events;

        r = want->expect[0] && !c->expect ? -ENOMEM : weir_tls_stream_new(&params, &s);
        if (r == 0) {
            s->events = events;
            s->arg = c;
            c->stream = s;
            c->reading = true;
            weir_stream_read_start(s);
        }
    }
    if (r < 0) {
        weir_conn_close(c);
        return r;
    }
    weir_worker_deadline(w, &c->deadline,
                         weir_worker_now(w) + limits->connect_timeout_us +
                             (ctx ? limits->handshake_timeout_us : 0));
    *ret_conn = c;
    return 0;
}

int weir_pool_lease(struct weir_txn *t) {
    struct weir_pool *p = pool_of(t->endpoint);
    struct weir_conn *c = NULL;
    struct want want;
    int r;

    if (!p)
        return -ENOMEM;
    r = want_of(t, &want);
    if (r < 0)
        return r;
    c = find_shared(p, &want);
    if (!c && !t->fresh && !want.shared)
        c = find_idle(p, &want);
    if (!c) {
        r = dial(t, &want, &c);
        if (r < 0)
            return r;
        if (want.shared)
            weir_list_push_front(&p->shared, &c->pool_node);
    }
    attach(t, c);
    return 0;
}

void weir_pool_share(struct weir_conn *up) {
    struct weir_pool *p = pool_of(up->endpoint);

    if (p && weir_list_empty(&up->pool_node))
        weir_list_push_front(&p->shared, &up->pool_node);
}

void weir_pool_release(struct weir_conn *up) {
    struct weir_worker *w = up->worker;
    const struct weir_limits_spec *limits = weir_worker_limits(w);
    struct weir_pool *p;

    if (up->state != WEIR_CONN_HTTP || !weir_list_empty(&up->txns))
        return;
    up->used_before = true;
    if (up->codec->must_close || up->eof || up->no_more || w->draining || !up->endpoint->present) {
        up->codec->must_close = true;
        weir_conn_dirty(up);
        return;
    }
    up->since = weir_worker_now(w);
    weir_worker_deadline(w, &up->deadline, up->since + limits->upstream_idle_us);
    if (weir_conn_is_h2(up))
        return;
    p = up->endpoint->pool;
    if (p->n_idle >= limits->pool_idle) {
        weir_conn_close(up);
        return;
    }
    weir_list_push_front(&p->idle, &up->pool_node);
    p->n_idle++;
    up->pooled = true;
    weir_count(&w->metrics, WEIR_C_UP_IDLE, 1);
}

void weir_pool_remove(struct weir_conn *up) {
    struct weir_pool *p = up->endpoint ? up->endpoint->pool : NULL;

    up->no_more = true;
    weir_list_unlink(&up->pool_node);
    if (up->pooled) {
        p->n_idle--;
        up->pooled = false;
        weir_count(&up->worker->metrics, WEIR_C_UP_IDLE, (uint64_t)-1);
    }
}

void weir_pool_forget(struct weir_lb_endpoint *e) {
    struct weir_pool *p = e->pool;

    if (!p || !weir_list_empty(&p->idle) || !weir_list_empty(&p->shared))
        return;
    e->pool = weir_free(p);
}

/* Does the configuration still want this connection as it is? */
static bool still_wanted(const struct weir_conn *c, const struct weir_runtime *rt) {
    const struct weir_pod *pod;
    char expect[1024] = "";

    if (!c->target->conf || !c->endpoint->present || !c->endpoint->conf)
        return false;
    pod = c->endpoint->conf->pod;
    if (is_meshed(c->target->conf, pod, rt->pod))
        snprintf(expect, sizeof(expect), "spiffe://%s/ns/%s/sa/%s",
                 rt->snapshot->proxy.trust_domain, pod->meta.namespace_, pod->service_account);
    return strcmp(expect, c->expect ? c->expect : "") == 0;
}

void weir_pool_review(struct weir_worker *w) {
    WEIR_LIST_FOREACH_SAFE (it, next, &w->ups) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, node);

        if (!c->endpoint || c->peer || c->state == WEIR_CONN_CLOSED ||
            still_wanted(c, w->epoch->rt))
            continue;
        weir_pool_remove(c);
        if (weir_list_empty(&c->txns))
            weir_conn_close(c);
    }
}
