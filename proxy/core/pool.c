/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream connections of one worker, by endpoint. HTTP/1 connections are leased whole and wait in `idle` in between,
 * newest first; HTTP/2 connections stay in `shared` and are leased by the stream. A connection never serves another
 * identity than the one it was opened for.
 */
#include "core/pool_internal.h"

#include "base/mem.h"
#include "conf/authz.h"
#include "core/self.h"
#include "core/source.h"

#define JOINING_MAX 100u /* txns on one connecting HTTP/2 connection */

struct weir_pool *weir_pool_of(struct weir_lb_endpoint *e) {
    struct weir_pool *p = e->pool;

    if (p)
        return p;
    p = weir_calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    weir_list_init(&p->idle);
    weir_list_init(&p->shared);
    weir_list_init(&p->waiting);
    weir_list_init(&p->node);
    e->pool = p;
    return p;
}

/* What must be spoken to an endpoint, and with whom. */
struct want {
    uint8_t proto;           /* enum weir_upstream_proto */
    uint64_t tls_generation; /* ordinary TLS: what is trusted may differ in each configuration */
    const struct weir_origin *source; /* whose connection it must be; NULL = nobody's */
    const char *expect;               /* mesh TLS: the SPIFFE id demanded; "" = none, so no mesh */
    const char *sni;                  /* ordinary TLS: the name demanded; "" = none */
};

/*
 * Is another sidecar behind this endpoint? Our own is reached in process (self.c).
 */
static bool is_meshed(const struct weir_snapshot *s, const struct weir_lb_endpoint *e,
                      const struct weir_pod *own) {
    const struct weir_pod *pod = e->conf ? e->conf->pod : NULL;

    if (!pod || !weir_pod_enters(s, pod, e->port))
        return false;
    return !own || strcmp(pod->meta.name, own->meta.name) != 0 ||
           strcmp(pod->meta.namespace_, own->meta.namespace_) != 0;
}

/* Whoever is called by mesh TLS must prove the identity its pod has now. *ret_expect is borrowed from p. */
static int expect_of(const struct weir_worker *w, const struct weir_lb_endpoint *e,
                     struct weir_pool *p, const char **ret_expect) {
    const struct weir_snapshot *s = w->epoch->rt->snapshot;
    const struct weir_pod *pod = e->conf ? e->conf->pod : NULL;
    char *text = NULL;

    if (p->generation != s->generation) {
        if (!is_meshed(s, e, w->epoch->rt->pod))
            text = weir_strndup("", 0);
        else
            text = weir_asprintf("spiffe://%s/ns/%s/sa/%s", s->proxy.trust_domain,
                                 pod->meta.namespace_, pod->service_account);
        if (!text)
            return -ENOMEM;
        weir_free(p->expect);
        p->expect = text;
        p->generation = s->generation;
    }
    *ret_expect = p->expect;
    return 0;
}

int weir_pool_expect(const struct weir_worker *w, const struct weir_cluster *c,
                     struct weir_lb_endpoint *e, const char **ret_expect) {
    *ret_expect = "";
    if (!c->mesh)
        return 0;
    return weir_pool_of(e) ? expect_of(w, e, e->pool, ret_expect) : -ENOMEM;
}

static int want_of(const struct weir_worker *w, const struct weir_cluster *c,
                   const struct weir_runtime *rt, const struct weir_lb_endpoint *e,
                   struct want *ret) {
    int r = 0;

    ret->source = NULL;
    ret->expect = "";
    if (c->mesh)
        r = expect_of(w, e, e->pool, &ret->expect);
    ret->proto = ret->expect[0] ? WEIR_UP_H2 : (uint8_t)c->proto;
    ret->tls_generation = c->tls && !ret->expect[0] ? rt->snapshot->generation : 0;
    ret->sni = "";
    if (c->tls && !ret->expect[0])
        ret->sni = c->sni ? c->sni : e->conf && e->conf->host ? e->conf->host : "";
    return r;
}

static bool same_source(const struct weir_origin *a, const struct weir_origin *b) {
    return a && b && memcmp(a, b, sizeof(*a)) == 0;
}

static bool suits(const struct weir_conn *c, const struct want *want) {
    if (c->source != want->source && !same_source(c->source, want->source))
        return false;
    return c->proto == want->proto && c->tls_generation == want->tls_generation &&
           strcmp(c->expect ? c->expect : "", want->expect) == 0 &&
           strcmp(c->sni ? c->sni : "", want->sni) == 0;
}

/* It takes no further exchange: it has lived as long, or carried as much, as its terms allow. */
static void wear_out(struct weir_conn *c) {
    weir_count(&c->worker->metrics, WEIR_C_UP_WORN_OUT, 1);
    weir_pool_remove(c);
}

void weir_pool_attach(struct weir_txn *t, struct weir_conn *c) {
    uint32_t most = t->cluster->connection.requests;

    t->up = c;
    weir_list_push_back(&c->txns, &t->up_node);
    if (++c->n_requests >= most && most > 0)
        wear_out(c);
    if (c->state == WEIR_CONN_HTTP)
        weir_txn_upstream_open(t);
}

/* Past its lifetime it is closed, or left to those it serves. */
static bool is_old(struct weir_conn *c) {
    if (weir_worker_now(c->worker) < c->expires)
        return false;
    wear_out(c);
    if (weir_list_empty(&c->txns) && c->state == WEIR_CONN_HTTP)
        weir_conn_close(c);
    return true;
}

static bool joinable(const struct weir_conn *c) {
    uint32_t joining = 0;

    if (c->state == WEIR_CONN_HTTP)
        return !c->codec->must_close && c->codec->n_active < c->codec->max_active;
    if (c->state != WEIR_CONN_CONNECTING)
        return false;
    WEIR_LIST_FOREACH (n, &c->txns)
        joining++;
    return joining < JOINING_MAX;
}

static struct weir_conn *find_shared(struct weir_pool *p, const struct want *want) {
    WEIR_LIST_FOREACH_SAFE (it, next, &p->shared) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, pool_node);

        if (!c->no_more && suits(c, want) && joinable(c) && !is_old(c))
            return c;
    }
    return NULL;
}

/* Will others be able to use it, as far as one can know before it is open? */
static bool may_share(const struct want *want, const struct weir_lb_endpoint *e) {
    return want->proto == WEIR_UP_H2 || (want->proto == WEIR_UP_ALPN && e->alpn != WEIR_UP_H1);
}

static void take_out(struct weir_pool *p, struct weir_conn *c) {
    weir_list_unlink(&c->pool_node);
    p->n_idle--;
    c->pooled = false;
    weir_count(&c->worker->metrics, WEIR_C_UP_IDLE, (uint64_t)-1);
}

static struct weir_conn *find_idle(struct weir_pool *p, const struct want *want) {
    WEIR_LIST_FOREACH_SAFE (it, next, &p->idle) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, pool_node);

        if (!suits(c, want) || is_old(c))
            continue;
        take_out(p, c);
        return c;
    }
    return NULL;
}

/* There is room for one more connection, if need be in the place of one that nobody uses. */
static bool has_room(const struct weir_worker *w, const struct weir_target *target,
                     struct weir_pool *p) {
    const struct weir_connection_spec *terms = weir_pool_terms(w, target);

    if (p->n_open < terms->connections)
        return true;
    if (!weir_list_empty(&p->idle)) {
        weir_conn_close(WEIR_CONTAINER_OF(p->idle.prev, struct weir_conn, pool_node));
        return true;
    }
    WEIR_LIST_FOREACH (it, &p->shared) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, pool_node);

        if (c->state == WEIR_CONN_HTTP && weir_list_empty(&c->txns)) {
            weir_conn_close(c);
            return true;
        }
    }
    return false;
}

/* us that the certificate is good for that a mesh connection begins with; WEIR_NEVER = it bounds nothing. */
static uint64_t proven_us(const struct weir_worker *w, const struct weir_tls_ctx *ctx) {
    int64_t end = ctx && weir_tls_ctx_mode(ctx) == WEIR_TLS_MESH_CLIENT
                      ? weir_tls_ctx_not_after(ctx) * 1000000
                      : 0;
    int64_t now = end ? (int64_t)w->net->ops->wall(w->net) : 0;

    return end > now ? (uint64_t)(end - now) : WEIR_NEVER;
}

static void aim(struct weir_conn *c, const struct weir_pool_dial *how, struct weir_pool *p) {
    const struct weir_connection_spec *terms = weir_pool_terms(c->worker, how->target);
    uint64_t lives = proven_us(c->worker, how->tls);

    if (terms->lifetime_us && terms->lifetime_us < lives)
        lives = terms->lifetime_us;

    c->target = how->target;
    c->endpoint = how->endpoint;
    how->target->users++;
    weir_lb_use(how->target->lb, how->endpoint);
    p->n_open++;
    c->expires = WEIR_NEVER;
    if (lives != WEIR_NEVER) /* not all of them in step */
        c->expires = c->since + lives - weir_worker_random(c->worker) % (lives / 10 + 1);
}

void weir_pool_closed(struct weir_conn *up) {
    struct weir_pool *p = up->endpoint ? up->endpoint->pool : NULL;

    weir_pool_remove(up);
    if (!p)
        return;
    p->n_open--;
    weir_pool_room(up->worker, p);
}

/* Who the server must prove to be. 0 or -ENOMEM. */
static int demand(struct weir_conn *c, const struct weir_pool_dial *how) {
    if (how->expect[0])
        c->expect = weir_strndup(how->expect, strlen(how->expect));
    if (how->sni && how->sni[0])
        c->sni = weir_strndup(how->sni, strlen(how->sni));
    return (how->expect[0] && !c->expect) || (how->sni && how->sni[0] && !c->sni) ? -ENOMEM : 0;
}

/* A name with addresses of both families: all of them, beginning elsewhere each time so that all get their share. */
static void address(struct weir_worker *w, const struct weir_lb_endpoint *e, struct weir_dial *d,
                    struct weir_ip others[WEIR_DIAL_ADDRESSES]) {
    uint32_t n = e->conf ? e->conf->n_ips : 0, pairs = 0, turn;

    if (n == 0)
        return;
    /* Families alternate as long as there are two left (endpoints.c). */
    while (2 * pairs + 1 < n &&
           weir_ip_is_v4(&e->conf->ips[2 * pairs + 1]) != weir_ip_is_v4(&e->conf->ips[2 * pairs]))
        pairs++;
    if (pairs == 0)
        return;
    turn = 2 * (uint32_t)(weir_worker_random(w) % pairs);
    for (uint32_t i = 0; i < n && i <= WEIR_DIAL_ADDRESSES; i++) {
        const struct weir_ip *ip = &e->conf->ips[i < 2 * pairs ? (i + turn) % (2 * pairs) : i];

        if (i == 0)
            d->ip = *ip;
        else if (i < WEIR_DIAL_ADDRESSES)
            others[d->n_others++] = *ip;
    }
    d->others = others;
}

int weir_pool_dial(struct weir_worker *w, const struct weir_pool_dial *how,
                   struct weir_conn **ret_conn) {
    uint64_t connect_us =
        how->connect_us ? how->connect_us : weir_pool_terms(w, how->target)->connect_us;
    struct weir_dial d = { .ip = how->endpoint->ip,
                           .port = how->endpoint->port,
                           .timeout_us = connect_us };
    struct weir_pool *p = weir_pool_of(how->endpoint);
    struct weir_ip others[WEIR_DIAL_ADDRESSES];
    struct weir_stream *s;
    struct weir_conn *c;
    int r;

    if (!p)
        return -ENOMEM;
    if (!has_room(w, how->target, p))
        return WEIR_LEASE_FULL;
    address(w, how->endpoint, &d, others);
    r = weir_self_is(w, how->endpoint) ? weir_self_dial(w, &d, &s)
                                       : w->net->ops->dial(w->net, &d, &s);
    if (r < 0)
        return r;
    c = weir_conn_new(w, s, true);
    if (!c) {
        weir_conn_refuse_stream(s);
        return -ENOMEM;
    }
    c->state = WEIR_CONN_CONNECTING;
    aim(c, how, p);
    r = demand(c, how);
    if (how->source && r == 0)
        r = weir_source_send(c, how->source, how->proxy_version);
    if (how->tls && r == 0) {
        struct weir_tls_stream_params params = {
            .lower = s, .pool = w->pool, .ctx = how->tls, .sni = c->sni, .expect = c->expect
        };
        const struct weir_stream_events *events = s->events;

        r = weir_tls_stream_new(&params, &s);
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
                         weir_worker_now(w) + connect_us +
                             (how->tls ? weir_worker_limits(w)->handshake_timeout_us : 0));
    *ret_conn = c;
    return 0;
}

/* The connection is made, not yet open. As weir_pool_dial. */
static int dial(struct weir_txn *t, const struct want *want, struct weir_conn **ret_conn) {
    struct weir_runtime *rt = t->epoch->rt;
    bool mesh = want->expect[0] != '\0';
    struct weir_pool_dial how = { .target = t->target,
                                  .endpoint = t->endpoint,
                                  .tls = mesh ? rt->tls.mesh_client : t->cluster->tls,
                                  .sni = want->sni,
                                  .source = want->source,
                                  .proxy_version = t->cluster->proxy_send,
                                  .expect = want->expect };
    int r = weir_pool_dial(t->worker, &how, ret_conn);

    if (r != 0)
        return r;
    (*ret_conn)->proto = want->proto;
    (*ret_conn)->tls_generation = want->tls_generation;
    return 0;
}

int weir_pool_obtain(struct weir_txn *t, struct weir_conn **ret_conn) {
    struct weir_pool *p = t->endpoint->pool;
    struct weir_origin client;
    struct weir_conn *c;
    struct want want;
    int r = want_of(t->worker, t->cluster, t->epoch->rt, t->endpoint, &want);

    if (r < 0)
        return r;
    if (t->cluster->proxy_send && t->down) {
        client = weir_source_of(t->down);
        want.source = &client;
    }
    c = find_shared(p, &want);
    if (!c && !t->fresh && want.proto != WEIR_UP_H2)
        c = find_idle(p, &want);
    if (!c) {
        r = dial(t, &want, &c);
        if (r != 0)
            return r;
        if (may_share(&want, t->endpoint))
            weir_list_push_front(&p->shared, &c->pool_node);
    }
    *ret_conn = c;
    return 0;
}

/* ---- what becomes of a connection ---- */

static void share(struct weir_conn *up) {
    struct weir_pool *p = weir_pool_of(up->endpoint);

    if (p && !up->no_more && weir_list_empty(&up->pool_node))
        weir_list_push_front(&p->shared, &up->pool_node);
}

/*
 * What TLS has settled on decides whether others can use the connection too. It is remembered of the endpoint, so that of requests that come
 * together to one where it is HTTP/1 each dials its own connection, and to others all wait for one.
 */
void weir_pool_opened(struct weir_conn *up, bool h2) {
    if (up->proto == WEIR_UP_ALPN)
        up->endpoint->alpn = h2 ? WEIR_UP_H2 : WEIR_UP_H1;
    if (h2) {
        share(up);
        return;
    }
    weir_list_unlink(&up->pool_node);
    while (!weir_list_empty(&up->txns) && up->txns.next != up->txns.prev) {
        struct weir_txn *t = WEIR_CONTAINER_OF(up->txns.prev, struct weir_txn, up_node);
        int r;

        weir_list_unlink(&t->up_node);
        t->up = NULL;
        up->n_requests--;
        r = weir_pool_lease(t);
        if (r != 0)
            weir_txn_upstream_failed(t,
                                     r == WEIR_LEASE_FULL ? WEIR_FAULT(UPSTREAM, LIMIT_CONNECTIONS)
                                                          : WEIR_FAULT(UPSTREAM, CONNECT_FAILED),
                                     false);
    }
}

void weir_pool_release(struct weir_conn *up) {
    struct weir_worker *w = up->worker;
    const struct weir_limits_spec *limits = weir_worker_limits(w);
    struct weir_pool *p = up->endpoint->pool;

    weir_pool_room(w, p);
    if (up->state != WEIR_CONN_HTTP || !weir_list_empty(&up->txns))
        return;
    up->used_before = true;
    if (up->codec->must_close || up->eof || up->no_more || w->draining || !up->endpoint->present) {
        up->codec->must_close = true;
        weir_conn_dirty(up);
        return;
    }
    up->since = weir_worker_now(w);
    weir_worker_deadline(w, &up->deadline, up->since + weir_pool_terms(w, up->target)->idle_us);
    if (weir_conn_is_h2(up))
        return;
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
    if (up->pooled)
        take_out(p, up);
}

void weir_pool_forget(struct weir_lb_endpoint *e) {
    struct weir_pool *p = e->pool;

    if (!p || !weir_list_empty(&p->idle) || !weir_list_empty(&p->shared) || p->n_waiting > 0)
        return;
    weir_free(p->expect);
    e->pool = weir_free(p);
}

/* Is the address it is connected to still one of the endpoint's? */
static bool still_there(const struct weir_conn *c) {
    const struct weir_endpoint *e = c->endpoint->conf;

    if (e->n_ips == 0 || c->state == WEIR_CONN_CONNECTING)
        return true;
    for (uint32_t i = 0; i < e->n_ips; i++)
        if (memcmp(&e->ips[i], &c->info.remote, sizeof(e->ips[i])) == 0)
            return true;
    return false;
}

/* Does the configuration still want this connection as it is? */
static bool still_wanted(struct weir_worker *w, const struct weir_conn *c) {
    struct want want;

    if (!c->target->conf || !c->endpoint->present || !c->endpoint->conf || !still_there(c))
        return false;
    if (want_of(w, c->target->conf, w->epoch->rt, c->endpoint, &want) < 0)
        return false;
    if (c->target->conf->proxy_send)
        want.source = c->source;
    return suits(c, &want);
}

void weir_pool_review(struct weir_worker *w) {
    weir_pool_review_waiting(w);
    WEIR_LIST_FOREACH_SAFE (it, next, &w->ups) {
        struct weir_conn *c = WEIR_CONTAINER_OF(it, struct weir_conn, node);

        if (!c->endpoint || c->peer || c->state == WEIR_CONN_CLOSED || still_wanted(w, c))
            continue;
        weir_pool_remove(c);
        if (weir_list_empty(&c->txns))
            weir_conn_close(c);
    }
}
