/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration + places -> kernel. The maps come first, then the programs in the pods' namespaces:
 * a program that runs before its pod has an entry would refuse everything. When anything fails,
 * what the maps hold is read again before the next try, so that one lost operation cannot leave the
 * two apart.
 */
#include <string.h>
#include <sys/epoll.h>

#include "base/mem.h"
#include "kern/http.h"
#include "kern/names.h"
#include "node/door.h"
#include "node/kube.h"
#include "node/tenants.h"
#include "sys/clock.h"
#include "sys/log.h"

static int reread(struct weir_agent *a) {
    struct weir_mapset *installed;
    int r = weir_plan_read(a->kern, &installed);

    if (r)
        return r;
    weir_mapset_free(a->installed);
    a->installed = installed;
    return 0;
}

static int plan(struct weir_agent *a, struct weir_mapset **ret_desired) {
    struct weir_plan_input input = { .snapshot = a->snapshot,
                                     .installed = a->installed,
                                     .node = a->node };
    struct weir_plan_pod *pods;
    struct weir_plan_cgroup *cgroups;
    struct weir_ip *ips, *dns = NULL;
    int r = weir_enrol_facts(&a->enrol, &pods, &input.n_pods, &cgroups, &input.n_cgroups);

    if (r)
        return r;
    input.pods = pods;
    input.cgroups = cgroups;
    r = weir_agent_node_ips(a, &ips, &input.n_node_ips);
    input.node_ips = ips;
    if (r == 0)
        r = weir_agent_node_dns(&dns, &input.n_dns);
    input.dns = dns;
    if (r == 0)
        r = weir_plan_build(&input, ret_desired, &a->report);
    weir_free(dns);
    weir_free(ips);
    weir_free(pods);
    weir_free(cgroups);
    if (r == 0 && a->report.too_many_rules)
        weir_log(WEIR_LOG_ERROR, "policy_too_long", "pod=%s/%s effect=\"cut off\"",
                 a->report.too_many_rules->meta.namespace_, a->report.too_many_rules->meta.name);
    if (r == 0 && a->report.no_dns_servers)
        weir_log(WEIR_LOG_ERROR, "no_dns_servers",
                 "pod=%s/%s effect=\"its EgressPolicy can allow nothing: give dnsServers, or "
                 "spec.dns.servers of the Agent\"",
                 a->report.no_dns_servers->meta.namespace_, a->report.no_dns_servers->meta.name);
    return r;
}

static int apply(struct weir_agent *a, struct weir_mapset *desired) {
    struct weir_plan_change change = { 0 };
    int r = weir_kern_names_carry(a->kern, a->installed, desired);

    if (r == 0)
        r = weir_plan_apply(a->kern, a->installed, desired, &change);
    if (r) {
        weir_mapset_free(desired);
        return r;
    }
    weir_mapset_free(a->installed);
    a->installed = desired;
    a->puts += change.puts;
    a->deletes += change.deletes;
    if (change.puts + change.deletes > 0)
        weir_log(WEIR_LOG_INFO, "sync",
                 "generation=%llu pods=%u enrolled=%u services=%u policies=%u puts=%u deletes=%u",
                 (unsigned long long)a->generation, a->enrol.n_places, a->enrol.n_enrolled,
                 a->report.n_services, a->report.n_policies, change.puts, change.deletes);
    return 0;
}

/* Before the maps forget them: a program whose pod has no entry refuses everything. */
static void detach_released(struct weir_agent *a) {
    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        const struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);
        uint32_t id = p->outside ? weir_plan_id(a->installed, WEIR_NAME_POD, p->name) : 0;

        if (id)
            (void)weir_kern_pod_detach(a->kern, id); /* detach_gone tries again, and tells */
    }
}

static int put_in_force(struct weir_agent *a) {
    struct weir_mapset *desired = NULL;
    int r = plan(a, &desired);

    return r ? r : apply(a, desired);
}

static bool attach_pods(struct weir_agent *a) {
    bool good = true;

    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);
        uint32_t id;
        int r;

        /* No namespace of its own: never into the agent's, where every other process would be
         * subject to it. */
        if (p->pending || p->netns_path[0] == '\0' || p->netns_fd < 0)
            continue; /* without a descriptor: the program that is there stays until the helper is back */
        id = weir_plan_id(a->installed, WEIR_NAME_POD, p->name);
        if (id == 0 || id == p->attached)
            continue;
        r = weir_kern_pod_attach(a->kern, id, p->netns_fd, p->cookie);
        if (r == 0) {
            p->attached = id;
            weir_log(WEIR_LOG_INFO, "pod_enrolled", "pod=%s id=%u sidecar=%s", p->name, id,
                     p->proxy_cgroup ? "yes" : "no");
            continue;
        }
        weir_log(WEIR_LOG_ERROR, "pod_attach_failed", "pod=%s error=%s", p->name,
                 r > 0 ? weir_kern_outcome_text(r) : strerror(-r));
        good = false;
    }
    return good;
}

struct gone {
    const struct weir_mapset *installed;
    uint32_t *ids;
    uint32_t n, cap;
};

static int note_gone(void *arg, uint32_t pod) {
    struct gone *g = arg;

    if (weir_mapset_get(g->installed, WEIR_MAP_POD, &pod))
        return 0;
    if (g->n == g->cap) {
        uint32_t cap = g->cap ? g->cap * 2 : 16;
        uint32_t *ids = weir_reallocarray(g->ids, cap, sizeof(*ids));

        if (!ids)
            return -ENOMEM;
        g->ids = ids;
        g->cap = cap;
    }
    g->ids[g->n++] = pod;
    return 0;
}

static bool detach_gone(struct weir_agent *a) {
    struct gone gone = { .installed = a->installed };
    int r = weir_kern_pod_each(a->kern, note_gone, &gone);

    for (uint32_t i = 0; r == 0 && i < gone.n; i++) {
        r = weir_kern_pod_detach(a->kern, gone.ids[i]);
        if (r == 0)
            weir_log(WEIR_LOG_INFO, "pod_released", "id=%u", gone.ids[i]);
    }
    weir_free(gone.ids);
    if (r)
        weir_log(WEIR_LOG_ERROR, "pod_detach_failed", "error=%s", strerror(-r));
    return r == 0;
}

/* Anew each time: places come and go. A path that cannot be watched is found by the next tick. */
static void watch_places(struct weir_agent *a) {
    struct weir_watch *watch;

    if (weir_watch_new(&watch))
        return;
    (void)weir_watch_add(watch, a->enrol.parent);
    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        const struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);

        (void)weir_watch_add(watch, p->cgroup_path);
        if (p->netns_path[0] && strncmp(p->netns_path, "/proc/", 6) != 0)
            (void)weir_watch_add(watch, p->netns_path);
    }
    weir_watch_free(a->place_watch);
    a->place_watch = watch;
    a->place_news.fd = weir_watch_fd(watch);
    (void)weir_agent_poll(a, &a->place_news, EPOLLIN);
}

static void tell_pending(const struct weir_agent *a) {
    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        const struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);

        if (p->pending && !p->outside)
            weir_log(WEIR_LOG_WARN, "pod_pending", "pod=%s why=\"%s\" error=\"%s\"", p->name,
                     p->pending, p->error ? strerror(p->error) : "");
    }
    WEIR_LIST_FOREACH (it, &a->enrol.strangers) {
        const struct weir_stranger *s = WEIR_CONTAINER_OF(it, struct weir_stranger, link);

        if (s->refused)
            weir_log(WEIR_LOG_WARN, "cgroup_refused", "path=%s why=\"no Pod names it\"",
                     weir_log_quote(weir_slice_from_str(s->path)).s);
    }
}

static void sync_kernel(struct weir_agent *a, bool force) {
    bool changed = false;
    int r;

    if (!weir_agent_kube_synced(a))
        return; /* what another agent pinned stays; half a cluster is none */
    a->enrol.installed = a->installed;
    r = weir_enrol_look(&a->enrol, a->snapshot, a->node, weir_clock_mono_us(), &changed);
    a->enrol.installed = NULL;

    if (r == 0 && !changed && !force && !a->stale)
        return;
    if (r == 0)
        weir_tenants_look(a);
    if (r == 0 && a->stale)
        r = reread(a);
    a->stale = true;
    if (r == 0)
        detach_released(a);
    if (r == 0)
        r = put_in_force(a);
    if (r) {
        weir_log(WEIR_LOG_ERROR, "sync_failed", "error=%s effect=\"what was in force stays\"",
                 weir_log_quote(weir_slice_from_str(strerror(-r))).s);
        return;
    }
    if (changed) {
        tell_pending(a);
        watch_places(a);
    }
    if (!a->attached) {
        r = weir_kern_attach(a->kern);
        if (r) {
            weir_log(WEIR_LOG_ERROR, "attach_failed", "error=%s",
                     weir_log_quote(
                         weir_slice_from_str(r > 0 ? weir_kern_outcome_text(r) : strerror(-r)))
                         .s);
            return;
        }
        a->attached = true;
    }
    /* A listener is known by listen(), which the programs must have seen. */
    if (weir_tenants_listen(a) && put_in_force(a))
        return;
    r = weir_kern_http(a->kern, a->report.n_http > 0);
    if (r)
        weir_log(WEIR_LOG_ERROR, "http_telemetry_unchanged", "error=\"%s\"", strerror(-r));
    if (!attach_pods(a) || r)
        return;
    weir_doors_look(a);
    a->stale = !detach_gone(a);
    weir_agent_revoke(a, true);
    weir_agent_prove(a, false);
}

/* Workers come last: one that knows a pod as meshed calls it so, which must be steered by then. */
void weir_agent_sync(struct weir_agent *a, bool force) {
    sync_kernel(a, force);
    weir_tenants_publish(a);
}
