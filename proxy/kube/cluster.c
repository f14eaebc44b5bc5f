/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/cluster.h"

#include <stdio.h>

#include "base/mem.h"
#include "io/dns.h"
#include "sys/entropy.h"
#include "sys/log.h"

#define SECOND        1000000ull
#define REFRESH_US    (60 * SECOND) /* a token lives for an hour or so, and is renewed long before */
#define REFRESH_AT_US SECOND        /* after a 401: not more often */

static uint64_t now_of(const struct weir_cluster *c) {
    struct weir_net *net = weir_loop_net(c->loop);

    return net->ops->now(net);
}

static void refresh(struct weir_cluster *c, uint64_t now, uint64_t least_us) {
    if (now < c->refreshed + least_us)
        return;
    c->refreshed = now;
    if (weir_kube_access_refresh(&c->access) == WEIR_KUBE_REFUSED)
        weir_log(WEIR_LOG_WARN, "kubernetes_credentials_kept", "why=%s",
                 weir_log_quote(weir_slice_from_str(c->access.why)).s);
}

/* Said once when it begins and once when it is over. */
static void tell(struct weir_cluster_feed *f) {
    const struct weir_reflector *r = &f->reflector;
    const char *kind = weir_kube_resource(r->spec.kind)->kind;
    bool current = weir_reflector_current(r) && !r->absent;

    if (current && f->told) {
        weir_log(WEIR_LOG_INFO, "kubernetes_current", "kind=%s", kind);
        f->told = false;
    } else if (r->absent && !f->told) {
        weir_log(
            WEIR_LOG_INFO, "kubernetes_absent",
            "kind=%s why=%s effect=\"none of them is taken to exist; looked for now and then\"",
            kind, weir_log_quote(weir_slice_from_str(r->why)).s);
        f->told = true;
    } else if (!current && !r->absent && r->failed == 2 && !f->told) {
        weir_log(WEIR_LOG_WARN, "kubernetes_away", "kind=%s why=%s effect=\"%s\"", kind,
                 weir_log_quote(weir_slice_from_str(r->why)).s,
                 r->synced ? "what is known stays in force" : "waiting");
        f->told = true;
    }
}

static void on_head(void *arg, int status, uint32_t retry_s) {
    struct weir_cluster_feed *f = arg;

    weir_reflector_head(&f->reflector, now_of(f->cluster), status, retry_s);
    tell(f);
}

static int on_body(void *arg, struct weir_slice bytes) {
    struct weir_cluster_feed *f = arg;

    return weir_reflector_body(&f->reflector, now_of(f->cluster), bytes);
}

static void on_end(void *arg, const char *broken) {
    struct weir_cluster_feed *f = arg;
    uint64_t now = now_of(f->cluster);

    weir_reflector_end(&f->reflector, now, broken);
    if (f->reflector.unauthorised)
        refresh(f->cluster, now, REFRESH_AT_US);
    tell(f);
}

static const struct weir_kube_answer answer = { on_head, on_body, on_end };

static void ask(struct weir_cluster_feed *f, uint64_t now) {
    char path[WEIR_REFLECTOR_PATH];
    const struct weir_kube_question question = { .method = "GET", .path = path };

    if (!weir_reflector_next(&f->reflector, now, path))
        return;
    if (weir_kube_client_ask(f->client, &question))
        weir_reflector_end(&f->reflector, now, "no memory for a request");
}

static void look(struct weir_cluster *c, uint64_t now) {
    bool synced = true, current = true;

    for (size_t i = 0; i < WEIR_CLUSTER_FEEDS; i++) {
        synced = synced && c->feeds[i].reflector.synced;
        current = current && weir_reflector_current(&c->feeds[i].reflector);
    }
    if (synced && !c->synced)
        weir_log(WEIR_LOG_INFO, "kubernetes_synced",
                 "server=%s namespaces=%u pods=%u services=%u slices=%u bytes=%llu",
                 c->access.server, c->store.n[WEIR_KUBE_NAMESPACE], c->store.n[WEIR_KUBE_POD],
                 c->store.n[WEIR_KUBE_SERVICE], c->store.n[WEIR_KUBE_SLICE],
                 (unsigned long long)c->store.bytes);
    c->synced = synced || c->synced;
    c->away = current ? 0 : c->away ? c->away : now;
}

void weir_cluster_tick(struct weir_cluster *c) {
    uint64_t now = now_of(c);

    refresh(c, now, REFRESH_US);
    for (size_t i = 0; i < WEIR_CLUSTER_FEEDS; i++) {
        struct weir_cluster_feed *f = &c->feeds[i];

        if (f->reflector.asking && now >= f->reflector.deadline)
            weir_kube_client_cut(f->client, "no answer in time");
        ask(f, now);
    }
    look(c, now);
    weir_kube_writer_tick(&c->writer, now, c->synced);
}

uint64_t weir_cluster_due(const struct weir_cluster *c) {
    uint64_t due = c->refreshed + REFRESH_US;

    for (size_t i = 0; i < WEIR_CLUSTER_FEEDS; i++) {
        const struct weir_reflector *r = &c->feeds[i].reflector;
        uint64_t at = r->asking ? r->deadline : r->due;

        due = at < due ? at : due;
    }
    if (c->synced && weir_kube_writer_due(&c->writer) < due)
        due = weir_kube_writer_due(&c->writer);
    return due;
}

const char *weir_cluster_trouble(const struct weir_cluster *c, const char **ret_kind) {
    for (size_t i = 0; i < WEIR_CLUSTER_FEEDS; i++) {
        const struct weir_reflector *r = &c->feeds[i].reflector;

        if (weir_reflector_current(r))
            continue;
        *ret_kind = weir_kube_resource(r->spec.kind)->kind;
        return r->why[0] ? r->why : "not listed yet";
    }
    return NULL;
}

struct weir_reflector_counts weir_cluster_counts(const struct weir_cluster *c) {
    struct weir_reflector_counts sum = { 0 };

    for (size_t i = 0; i < WEIR_CLUSTER_FEEDS; i++) {
        const struct weir_reflector_counts *n = &c->feeds[i].reflector.counts;

        sum.lists += n->lists;
        sum.watches += n->watches;
        sum.events += n->events;
        sum.bookmarks += n->bookmarks;
        sum.expired += n->expired;
        sum.failures += n->failures;
        sum.refused += n->refused;
    }
    return sum;
}

/* ---- making and unmaking ---- */

static int feed_init(struct weir_cluster *c, size_t i, const struct weir_reflector_spec *spec) {
    struct weir_cluster_feed *f = &c->feeds[i];
    int r = weir_reflector_init(&f->reflector, spec, &c->store);

    f->cluster = c;
    f->client = weir_kube_client_new(c->loop, c->dns, &c->access, &answer, f);
    return r ? r : f->client ? 0 : -ENOMEM;
}

static int feeds_init(struct weir_cluster *c, const struct weir_cluster_params *params) {
    struct weir_reflector_spec spec = { .watch_s = params->watch_s, .selector = "" };
    uint64_t random[WEIR_CLUSTER_FEEDS];
    int r = weir_random(random, sizeof(random));

    c->own_selector = weir_asprintf("fieldSelector=spec.nodeName%%3D%s", params->node);
    c->others_selector = weir_asprintf("fieldSelector=spec.nodeName%%21%%3D%s", params->node);
    if (r == 0 && (!c->own_selector || !c->others_selector))
        r = -ENOMEM;
    for (unsigned i = 0; r == 0 && i < WEIR_CLUSTER_FEEDS; i++) {
        bool own = i == WEIR_KUBE_KINDS;

        spec.kind = own ? WEIR_KUBE_POD : (enum weir_kube_kind)i;
        spec.own = own;
        spec.source = own ? WEIR_KUBE_OWN : WEIR_KUBE_OTHERS;
        spec.selector = own ? c->own_selector : i == WEIR_KUBE_POD ? c->others_selector : "";
        spec.random = random[i];
        r = feed_init(c, i, &spec);
    }
    return r;
}

static int name_writer(struct weir_cluster *c, const struct weir_cluster_params *params) {
    const struct weir_kube_lease_params lease = { .loop = c->loop,
                                                  .dns = c->dns,
                                                  .access = &c->access,
                                                  .ns = weir_kube_access_namespace(&c->access),
                                                  .name = WEIR_KUBE_LEASE,
                                                  .member = params->node };

    return weir_kube_writer_init(&c->writer, &lease, &c->store);
}

static int reach(struct weir_cluster *c, const char *kubeconfig) {
    const struct weir_dns_params dns = { .servers = "", .timeout_us = 2 * SECOND, .tries = 2 };
    int r = weir_kube_access_init(&c->access, kubeconfig);

    if (r == WEIR_KUBE_REFUSED)
        weir_log(WEIR_LOG_ERROR, "kubernetes_refused", "why=%s",
                 weir_log_quote(weir_slice_from_str(c->access.why)).s);
    return r || c->access.literal ? r : weir_dns_new(c->loop, &dns, &c->dns);
}

int weir_cluster_new(const struct weir_cluster_params *params, struct weir_cluster **ret_cluster) {
    struct weir_cluster *c = weir_calloc(1, sizeof(*c));
    uint64_t seed[2];
    int r;

    if (!c)
        return -ENOMEM;
    c->loop = params->loop;
    r = weir_random(seed, sizeof(seed));
    weir_kube_store_init(&c->store, seed);
    weir_kube_scope_init(&c->scope, &c->store, seed);
    c->store.changed = weir_kube_scope_changed;
    c->store.arg = &c->scope;
    if (r == 0)
        r = reach(c, params->kubeconfig);
    if (r == 0)
        r = feeds_init(c, params);
    if (r == 0)
        r = name_writer(c, params);
    if (r) {
        weir_cluster_free(c);
        return r;
    }
    c->refreshed = now_of(c);
    *ret_cluster = c;
    return 0;
}

struct weir_cluster *weir_cluster_free(struct weir_cluster *c) {
    if (!c)
        return NULL;
    for (size_t i = 0; i < WEIR_CLUSTER_FEEDS; i++) {
        weir_kube_client_free(c->feeds[i].client);
        weir_reflector_deinit(&c->feeds[i].reflector);
    }
    weir_kube_writer_deinit(&c->writer);
    weir_dns_free(c->dns);
    weir_free(c->own_selector);
    weir_free(c->others_selector);
    weir_kube_scope_deinit(&c->scope);
    weir_kube_store_deinit(&c->store);
    weir_kube_access_deinit(&c->access);
    return weir_free(c);
}
