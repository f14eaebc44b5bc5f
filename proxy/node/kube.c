/* SPDX-License-Identifier: Apache-2.0 */
#include "node/kube.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "kube/cluster.h"
#include "node/places.h"
#include "node/state.h"
#include "obs/expo.h"
#include "sys/cgroup.h"
#include "sys/clock.h"
#include "sys/log.h"

#define CHUNKS_KEPT  4
#define SETTLE_US    (20u * 1000)    /* changes come in bunches */
#define REST         10              /* times as long as the last build took, before the next */
#define SETTLE_MAX   (5u * 1000000)  /* and no longer than this */
#define AWAY_US      (10u * 1000000) /* an API server that is away for less is no news */
#define SIDECAR_NAME "weir-proxy"    /* the injected container */

struct weir_agent_kube {
    struct weir_agent *agent;
    struct weir_chunk_pool pool;
    struct weir_loop *loop;
    struct weir_cluster *cluster;
    struct weir_agent_source loop_source, timer;
    struct weir_uid_places places;
    struct weir_arena texts;     /* of one build */
    uint64_t build_due;          /* 0 = nothing to build */
    uint64_t began_us, built_us; /* the last one: when, and how long it took without the kernel */
    uint64_t n_builds;
    uint64_t without; /* the last generation that was built without the cluster */
    uint32_t n_refused, n_used;
    bool places_stale; /* the list of those wanted */
};

static const struct weir_net_events no_events;

static uint64_t loop_now(struct weir_agent_kube *k) {
    struct weir_net *net = weir_loop_net(k->loop);

    return net->ops->now(net);
}

bool weir_agent_kube_synced(const struct weir_agent *a) {
    return !a->kube || (a->kube->cluster->synced && a->generation > a->kube->without);
}

/* ---- what is built from ---- */

/* Of a Pod: UID, and its sidecar's container. 0, -ENOMEM. */
static int want_place(struct weir_uid_places *to, const struct weir_uid_places *before,
                      const struct weir_kube_object *o) {
    json_t *doc = json_loadb(o->text, o->text_len, 0, NULL), *status;
    char id[72] = "";
    size_t i;
    int r;

    json_array_foreach(json_object_get(json_object_get(doc, "status"), "initContainerStatuses"), i,
                       status) {
        const char *full = weir_kube_text(status, "containerID", NULL), *slash = strrchr(full, '/');

        if (strcmp(weir_kube_text(status, "name", NULL), SIDECAR_NAME) == 0 && slash)
            snprintf(id, sizeof(id), "%s", slash + 1);
    }
    r = weir_uid_places_add(to, before, weir_kube_text(doc, "metadata", "uid"), id);
    json_decref(doc);
    return r;
}

static int want_places(struct weir_agent_kube *k) {
    struct weir_uid_places fresh = { 0 };
    int r = 0;

    WEIR_KUBE_FOREACH(it, &k->cluster->store, WEIR_KUBE_POD) {
        const struct weir_kube_object *o = WEIR_KUBE_OBJECT(it);

        if (r == 0 && o->source == WEIR_KUBE_OWN)
            r = want_place(&fresh, &k->places, o);
    }
    if (r) {
        weir_uid_places_deinit(&fresh);
        return r;
    }
    weir_uid_places_deinit(&k->places);
    k->places = fresh;
    k->places_stale = false;
    return 0;
}

static bool look(struct weir_agent_kube *k) {
    const struct weir_enrol *e = &k->agent->enrol;

    return weir_uid_places_look(&k->places, e->mount, e->parent);
}

/* The Pod's document with the annotations that bind it to its places. NULL = no memory. */
static const char *placed(struct weir_agent_kube *k, const struct weir_kube_object *o) {
    json_t *doc = json_loadb(o->text, o->text_len, 0, NULL), *meta, *notes;
    const struct weir_uid_place *place;
    char *text;
    const char *kept = NULL;

    if (!doc)
        return NULL;
    meta = json_object_get(doc, "metadata");
    place = weir_uid_places_find(&k->places, weir_kube_text(meta, "uid", NULL));
    notes = json_object_get(meta, "annotations");
    if (!notes)
        json_object_set_new(meta, "annotations", notes = json_object());
    if (place && place->cgroup[0] && place->pid > 0) {
        json_object_set_new(notes, "weir.dev/cgroup", json_string(place->cgroup));
        json_object_set_new(notes, "weir.dev/netns", json_sprintf("/proc/%d/ns/net", place->pid));
        if (place->sidecar[0])
            json_object_set_new(notes, "weir.dev/proxy-cgroup", json_string(place->sidecar));
    }
    text = json_dumps(doc, JSON_COMPACT);
    if (text)
        kept = weir_arena_dup(&k->texts, weir_slice_from_str(text)).ptr;
    free(text);
    json_decref(doc);
    return kept;
}

/*
 * In place of a policy that the decoder refuses: what it selects is isolated and allowed nothing. When that is refused too,
 * its whole namespace is. NULL = no memory.
 */
static const char *stricter(struct weir_agent_kube *k, const struct weir_kube_object *o) {
    const struct weir_kube_resource *resource = weir_kube_resource(o->kind);
    json_t *was = json_loadb(o->text, o->text_len, 0, NULL), *doc, *spec;
    json_t *selector = json_object_get(json_object_get(was, "spec"), resource->selector);
    const char *kept = NULL;
    char *text;

    doc = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{}}", "apiVersion", resource->version, "kind",
                    resource->kind, "metadata", "name", o->name, "namespace", o->ns, "spec");
    spec = json_object_get(doc, "spec");
    if (spec && o->kind == WEIR_KUBE_NETPOL)
        json_object_set_new(spec, "policyTypes", json_pack("[s, s]", "Ingress", "Egress"));
    if (spec && selector && o->refused == 1)
        json_object_set(spec, resource->selector, selector);
    else if (spec && o->kind == WEIR_KUBE_NETPOL)
        json_object_set_new(spec, resource->selector, json_object()); /* it is required */
    text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    if (text)
        kept = weir_arena_dup(&k->texts, weir_slice_from_str(text)).ptr;
    free(text);
    json_decref(doc);
    json_decref(was);
    return kept;
}

static bool is_policy(const struct weir_kube_object *o) {
    return weir_kube_resource(o->kind)->selector != NULL;
}

/* *ret_text NULL: it is left out. 0, -ENOMEM. */
static int text_of(struct weir_agent_kube *k, const struct weir_kube_object *o,
                   const char **ret_text) {
    bool own = o->kind == WEIR_KUBE_POD && o->source == WEIR_KUBE_OWN;

    *ret_text = NULL;
    if (!o->used || (o->refused && !is_policy(o)) || o->refused > 2)
        return 0;
    *ret_text = o->refused ? stricter(k, o) : own ? placed(k, o) : o->text;
    return *ret_text ? 0 : -ENOMEM;
}

int weir_agent_kube_sources(struct weir_agent *a, struct weir_source **ret_sources, size_t *ret_n) {
    struct weir_agent_kube *k = a->kube;
    struct weir_kube_store *s = &k->cluster->store;
    struct weir_source *sources = weir_calloc(s->objects.count + 1, sizeof(*sources));
    size_t n = 0;
    int r = sources ? 0 : -ENOMEM;

    k->n_refused = 0;
    for (unsigned kind = 0; kind < WEIR_KUBE_KINDS; kind++) {
        WEIR_KUBE_FOREACH(it, s, kind) {
            const struct weir_kube_object *o = WEIR_KUBE_OBJECT(it);
            const char *text = NULL;

            k->n_refused += o->refused > 0;
            if (r == 0)
                r = text_of(k, o, &text);
            if (text)
                sources[n++] = (struct weir_source){ .name = o->node.key.ptr,
                                                     .text = text,
                                                     .len = strlen(text) };
        }
    }
    if (r) {
        weir_free(sources);
        return r;
    }
    k->n_used = (uint32_t)n;
    *ret_sources = sources;
    *ret_n = n;
    return 0;
}

bool weir_agent_kube_blame(struct weir_agent *a, const struct weir_problems *problems) {
    bool again = false;

    for (uint32_t i = 0; a->kube && i < problems->n; i++) {
        const struct weir_problem *p = &problems->items[i];
        struct weir_hnode *node = p->severity == WEIR_SEVERITY_ERROR && p->place.file
                                      ? weir_htab_find(&a->kube->cluster->store.objects,
                                                       weir_slice_from_str(p->place.file))
                                      : NULL;
        struct weir_kube_object *o =
            node ? WEIR_CONTAINER_OF(node, struct weir_kube_object, node) : NULL;

        if (!o || o->refused > 2)
            continue;
        o->refused++;
        a->kube->cluster->store.changes++; /* the status of a route says so */
        again = true;
        weir_log(WEIR_LOG_ERROR, "object_refused", "object=%s field=%s problem=%s effect=\"%s\"",
                 p->place.file, p->field[0] ? p->field : "-",
                 weir_log_quote(weir_slice_from_str(p->message)).s,
                 !is_policy(o)     ? "left out"
                 : o->refused == 1 ? "what it selects is cut off"
                                   : "its namespace is cut off");
    }
    return again;
}

void weir_agent_kube_built(struct weir_agent *a) {
    weir_arena_deinit(&a->kube->texts);
    a->kube->built_us = weir_clock_mono_us() - a->kube->began_us;
}

/* ---- building ---- */

static void build(struct weir_agent_kube *k) {
    uint64_t rest;

    k->began_us = weir_clock_mono_us();
    if (k->places_stale && want_places(k) == 0)
        (void)look(k);
    if (weir_kube_scope_settle(&k->cluster->scope) == 0)
        weir_agent_reload(k->agent, "cluster");
    k->n_builds++;
    rest = k->built_us * REST;
    k->build_due =
        k->cluster->scope.dirty ? loop_now(k) + (rest < SETTLE_MAX ? rest : SETTLE_MAX) : 0;
}

static void arm(struct weir_agent_kube *k) {
    uint64_t due = weir_cluster_due(k->cluster), now = loop_now(k), wait;
    struct itimerspec at = { { 0, 0 }, { 0, 0 } };

    if (k->build_due && k->build_due < due)
        due = k->build_due;
    wait = due > now ? due - now : 1000;
    at.it_value.tv_sec = (time_t)(wait / 1000000);
    at.it_value.tv_nsec = (long)(wait % 1000000) * 1000;
    (void)timerfd_settime(k->timer.fd, 0, &at, NULL);
}

static void step(struct weir_agent_kube *k) {
    struct weir_cluster *c = k->cluster;
    uint64_t rest = k->built_us * REST;

    weir_loop_turn(k->loop);
    weir_cluster_tick(c);
    weir_loop_turn(k->loop);
    if (c->scope.dirty)
        k->places_stale = true;
    if (c->synced && c->scope.dirty && k->build_due == 0)
        k->build_due = loop_now(k) + (rest < SETTLE_US    ? SETTLE_US
                                      : rest > SETTLE_MAX ? SETTLE_MAX
                                                          : rest);
    if (k->build_due && loop_now(k) >= k->build_due)
        build(k);
    arm(k);
}

static void loop_ready(void *arg, uint32_t events) {
    step(arg);
}

static void timer_ready(void *arg, uint32_t events) {
    struct weir_agent_kube *k = arg;
    uint64_t expirations;

    if (read(k->timer.fd, &expirations, sizeof(expirations)) == sizeof(expirations))
        step(k);
}

void weir_agent_kube_tick(struct weir_agent *a) {
    struct weir_agent_kube *k = a->kube;

    if (!k)
        return;
    if (k->cluster->synced && !k->places_stale && look(k))
        k->cluster->scope.dirty = true;
    step(k);
}

void weir_agent_kube_flow(struct weir_agent *a, const struct weir_event *event) {
    struct weir_ip ip;

    if (!a->kube || event->direction != WEIR_EGRESS || event->service != 0)
        return;
    memcpy(ip.b, &event->original, sizeof(ip.b));
    if (weir_kube_scope_call(&a->kube->cluster->scope, &ip))
        arm(a->kube);
}

/* ---- life ---- */

void weir_agent_kube_admit_self(struct weir_agent *a) {
    const struct weir_cgroup_value outside = { .role = WEIR_ROLE_OUTSIDE };
    char path[1024];
    uint64_t id;
    int r;

    if (!a->params->kubernetes || !weir_uid_places_of(a->enrol.parent, getpid(), path) ||
        weir_cgroup_id(path, &id))
        return;
    r = weir_kern_put(a->kern, WEIR_MAP_CGROUP, &id, &outside);
    weir_log(r ? WEIR_LOG_WARN : WEIR_LOG_INFO, "agent_admitted", "cgroup=%s error=\"%s\"",
             weir_log_quote(weir_slice_from_str(path)).s, r ? strerror(-r) : "");
}

static int timer_open(struct weir_agent *a, struct weir_agent_kube *k) {
    k->timer =
        (struct weir_agent_source){ timer_ready, k,
                                    timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK) };
    k->loop_source = (struct weir_agent_source){ loop_ready, k, weir_loop_fd(k->loop) };
    if (k->timer.fd < 0)
        return -errno;
    return weir_agent_poll(a, &k->timer, EPOLLIN);
}

int weir_agent_kube_open(struct weir_agent *a) {
    struct weir_agent_kube *k;
    struct weir_cluster_params params = { .kubeconfig = a->params->kubeconfig,
                                          .node = a->node,
                                          .watch_s = a->params->kubernetes_watch_s };
    int r;

    if (!a->params->kubernetes || a->kube)
        return 0;
    k = weir_calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    a->kube = k;
    k->agent = a;
    k->without = a->generation;
    k->timer.fd = -1;
    weir_arena_init(&k->texts, 16384);
    weir_chunk_pool_init(&k->pool, CHUNKS_KEPT);
    r = weir_loop_new(&k->pool, &k->loop);
    if (r)
        return r;
    weir_loop_net(k->loop)->events = &no_events;
    weir_loop_net(k->loop)->arg = k;
    params.loop = k->loop;
    weir_loop_turn(k->loop);
    r = weir_cluster_new(&params, &k->cluster);
    if (r == 0)
        r = timer_open(a, k);
    if (r == 0)
        r = weir_agent_poll(a, &k->loop_source, EPOLLIN);
    if (r == 0)
        step(k);
    return r;
}

void weir_agent_kube_close(struct weir_agent *a) {
    struct weir_agent_kube *k = a->kube;

    if (!k)
        return;
    k->cluster = weir_cluster_free(k->cluster);
    if (k->loop) {
        weir_loop_stop(k->loop);
        weir_loop_run(k->loop);
        weir_loop_free(k->loop);
    }
    if (k->timer.fd >= 0)
        close(k->timer.fd);
    weir_uid_places_deinit(&k->places);
    weir_arena_deinit(&k->texts);
    weir_chunk_pool_deinit(&k->pool);
    a->kube = weir_free(k);
}

struct weir_kube_client *weir_agent_kube_client(struct weir_agent *a,
                                                const struct weir_kube_answer *answer, void *arg) {
    struct weir_cluster *c = a->kube->cluster;

    return weir_kube_client_new(a->kube->loop, c->dns, &c->access, answer, arg);
}

void weir_agent_kube_turn(struct weir_agent *a) {
    step(a->kube);
}

/* ---- what it says of itself ---- */

static uint64_t away_s(struct weir_agent_kube *k) {
    uint64_t now = loop_now(k);

    return k->cluster->away && now > k->cluster->away ? (now - k->cluster->away) / 1000000 : 0;
}

const char *weir_agent_kube_unready(const struct weir_agent *a) {
    if (weir_agent_kube_synced(a))
        return NULL;
    return "the API server has not been read whole yet";
}

void weir_agent_kube_status(const struct weir_agent *a, struct weir_textbuf *out) {
    const struct weir_agent_kube *k = a->kube;
    const struct weir_cluster *c;
    struct weir_reflector_counts n;
    const char *kind = "", *why;

    if (!k)
        return;
    c = k->cluster;
    n = weir_cluster_counts(c);
    why = weir_cluster_trouble(c, &kind);
    weir_textbuf_name(out, "kubernetes");
    weir_textbuf_add(out, "{", 1);
    weir_textbuf_member(out, "server", c->access.server);
    weir_textbuf_member(out, "node", a->node);
    weir_textbuf_member(out, "state",
                        !c->synced                                    ? "waiting"
                        : why && away_s(a->kube) * 1000000 >= AWAY_US ? "away"
                                                                      : "current");
    if (why) {
        weir_textbuf_member(out, "kind", kind);
        weir_textbuf_member(out, "why", why);
        weir_textbuf_number(out, "away_seconds", away_s(a->kube));
    }
    weir_textbuf_number(out, "objects", c->store.objects.count);
    weir_textbuf_number(out, "bytes", c->store.bytes);
    weir_textbuf_number(out, "objects_in_scope", k->n_used);
    weir_textbuf_number(out, "objects_refused", k->n_refused);
    weir_textbuf_number(out, "services_called", c->scope.n_called);
    weir_textbuf_bool(out, "meshed_services_known", c->scope.all_meshed);
    weir_textbuf_bool(out, "pending", c->scope.dirty || k->build_due != 0);
    weir_textbuf_number(out, "builds", k->n_builds);
    weir_textbuf_number(out, "build_us", k->built_us);
    weir_textbuf_bool(out, "writes_status", c->writer.lease.leads_until != 0);
    weir_textbuf_number(out, "statuses_written", c->writer.n_written);
    weir_textbuf_number(out, "lists", n.lists);
    weir_textbuf_number(out, "watches", n.watches);
    weir_textbuf_number(out, "events", n.events);
    weir_textbuf_number(out, "bookmarks", n.bookmarks);
    weir_textbuf_number(out, "expired", n.expired);
    weir_textbuf_number(out, "failures", n.failures);
    weir_textbuf_number(out, "objects_unreadable", n.refused);
    weir_textbuf_add(out, "}", 1);
}

void weir_agent_kube_expose(const struct weir_agent *a, struct weir_pen *pen) {
    const struct weir_agent_kube *k = a->kube;
    const struct weir_cluster *c = k ? k->cluster : NULL;
    const struct weir_reflector_counts n =
        k ? weir_cluster_counts(c) : (struct weir_reflector_counts){ 0 };

    if (!k)
        return;
    const struct {
        struct weir_family family;
        uint64_t n;
    } figures[] = {
        { { "weir_kubernetes_synced", "gauge", "1 when the cluster was read whole once." },
          c->synced },
        { { "weir_kubernetes_away_seconds", "gauge",
            "How long something of the cluster has not been current; 0 when all is." },
          away_s(a->kube) },
        { { "weir_kubernetes_objects", "gauge", "Objects known." }, c->store.objects.count },
        { { "weir_kubernetes_bytes", "gauge", "Bytes of them as documents." }, c->store.bytes },
        { { "weir_kubernetes_objects_in_scope", "gauge",
            "Objects of which the configuration in force is made." },
          k->n_used },
        { { "weir_kubernetes_objects_refused", "gauge",
            "Objects that cannot be used: left out, or policies that deny more." },
          k->n_refused },
        { { "weir_kubernetes_lists_total", "counter", "Lists begun." }, n.lists },
        { { "weir_kubernetes_watches_total", "counter", "Watches begun." }, n.watches },
        { { "weir_kubernetes_events_total", "counter", "Watch events taken." }, n.events },
        { { "weir_kubernetes_expired_total", "counter",
            "Lists begun anew because the server no longer knew where we were." },
          n.expired },
        { { "weir_kubernetes_failures_total", "counter", "Requests that failed otherwise." },
          n.failures },
        { { "weir_kubernetes_writes_status", "gauge",
            "1 while this agent holds the Lease and writes the status of routes." },
          c->writer.lease.leads_until != 0 },
        { { "weir_kubernetes_statuses_written_total", "counter", "Statuses of routes written." },
          c->writer.n_written },
        { { "weir_kubernetes_builds_total", "counter", "Configurations built from the cluster." },
          k->n_builds },
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(figures); i++)
        weir_expo_one(pen, figures[i].family, figures[i].n);
}
