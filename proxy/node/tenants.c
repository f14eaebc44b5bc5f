/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pods are in node mode, step by step, each at its moment in a sync: places before the maps are planned (a socket's
 * cgroup must be known before it listens), listeners when the maps know them, steering when there are listeners. A pod
 * that is new is steered at once, since nothing of it may pass by; one that ran unmeshed goes on as it was until somebody
 * listens. A pod that leaves the mode is served a while longer, because its peers learn of it later than we do.
 */
#include "node/tenants.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "helper/helper.h"
#include "sys/cgroup.h"
#include "sys/clock.h"
#include "sys/log.h"

#define RELEASE_US 2000000ULL /* peers know */
#define ARRIVE_US  1000000ULL /* what was steered has arrived */
#define RETRY_US   1000000ULL

static const char *const has_sidecar = "somebody listens there already: a sidecar, until it ends";

static struct weir_tenant *tenant_at(const struct weir_list *it) {
    return WEIR_CONTAINER_OF(it, struct weir_tenant, link);
}

static struct weir_tenant_pod *pod_at(const struct weir_list *it) {
    return WEIR_CONTAINER_OF(it, struct weir_tenant_pod, link);
}

/* ---- one pod ---- */

static void listeners_close(struct weir_tenant_pod *pod) {
    for (unsigned i = 0; i < pod->n_listeners; i++)
        weir_agent_unpoll(pod->tenant->agent, &pod->listeners[i]);
    pod->n_listeners = pod->n_outbound = 0;
}

static void pod_free(struct weir_tenant_pod *pod) {
    weir_list_unlink(&pod->link);
    listeners_close(pod);
    weir_free(pod->name);
    weir_free(pod->cgroup);
    weir_free(pod);
}

/* Nothing of it is left in the kernel but connections that end by themselves. */
static void pod_end(struct weir_agent *a, struct weir_tenant_pod *pod) {
    int r;

    weir_tenant_tell_pod(pod->tenant, pod, false);
    listeners_close(pod);
    r = weir_helper_release(a->helper, pod->cgroup);
    if (r && r != -ENOENT)
        weir_log(WEIR_LOG_WARN, "tenant_left_behind", "cgroup=%s error=\"%s\"", pod->cgroup,
                 strerror(-r));
    weir_log(WEIR_LOG_INFO, "pod_released_by_tenant", "pod=%s tenant=%s", pod->name,
             pod->tenant->name);
    pod_free(pod);
}

static struct weir_tenant_pod *pod_new(struct weir_tenant *t, const struct weir_place_of_pod *p) {
    struct weir_tenant_pod *pod = weir_calloc(1, sizeof(*pod));
    char cgroup[4200];

    if (!pod)
        return NULL;
    weir_list_init(&pod->link);
    snprintf(cgroup, sizeof(cgroup), "%s/" WEIR_HELPER_TENANTS "/%u/p%llu", t->agent->enrol.parent,
             t->uid, (unsigned long long)p->cgroup);
    pod->tenant = t;
    pod->name = weir_strndup(p->name, strlen(p->name));
    pod->cgroup = weir_strndup(cgroup, strlen(cgroup));
    pod->pod_cgroup = p->cgroup;
    pod->netns = p->cookie;
    if (!pod->name || !pod->cgroup || weir_helper_place(t->agent->helper, t->uid, p->cgroup) ||
        weir_cgroup_id(pod->cgroup, &pod->cgroup_id)) {
        pod_free(pod);
        return NULL;
    }
    weir_list_push_back(&t->pods, &pod->link);
    return pod;
}

/* ---- tenants ---- */

static void tenant_free(struct weir_tenant *t) {
    weir_list_unlink(&t->link);
    WEIR_LIST_FOREACH_SAFE (it, next, &t->pods)
        pod_free(pod_at(it));
    WEIR_LIST_FOREACH_SAFE (it, next, &t->workers)
        weir_tenant_worker_free(WEIR_CONTAINER_OF(it, struct weir_tenant_worker, link));
    weir_free(t->name);
    weir_free(t);
}

static struct weir_tenant *tenant_of(struct weir_agent *a, const struct weir_pod *pod) {
    struct weir_tenant *t;
    char name[344];

    snprintf(name, sizeof(name), "%s/%s", pod->meta.namespace_, pod->service_account);
    WEIR_LIST_FOREACH (it, &a->tenants)
        if (strcmp(tenant_at(it)->name, name) == 0)
            return tenant_at(it);
    t = weir_calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    weir_list_init(&t->link);
    weir_list_init(&t->pods);
    weir_list_init(&t->workers);
    t->agent = a;
    t->name = weir_strndup(name, strlen(name));
    if (!t->name || weir_helper_tenant(a->helper, name, true, &t->uid, &t->limits)) {
        tenant_free(t);
        return NULL;
    }
    weir_list_push_back(&a->tenants, &t->link);
    weir_tenant_adopt(t);
    return t;
}

/* ---- who is in the mode ---- */

static bool is_wanted(const struct weir_place_of_pod *p) {
    return p->pod->mode == WEIR_MESH_NODE && !p->pending && p->netns_path[0];
}

static struct weir_tenant_pod *find(struct weir_agent *a, const char *name) {
    WEIR_LIST_FOREACH (it, &a->tenants)
        WEIR_LIST_FOREACH (at, &tenant_at(it)->pods)
            if (strcmp(pod_at(at)->name, name) == 0)
                return pod_at(at);
    return NULL;
}

/* Its name now means another pod, or another identity. */
static bool is_another(const struct weir_tenant_pod *pod, const struct weir_place_of_pod *p) {
    const char *account = strchr(pod->tenant->name, '/') + 1;

    return (p->cgroup && p->cgroup != pod->pod_cgroup) || (p->cookie && p->cookie != pod->netns) ||
           strcmp(account, p->pod->service_account) != 0;
}

static bool was_unmeshed(const struct weir_agent *a, const struct weir_place_of_pod *p) {
    uint32_t id = a->installed ? weir_plan_id(a->installed, WEIR_NAME_POD, p->name) : 0;
    const struct weir_pod_value *v = id ? weir_mapset_get(a->installed, WEIR_MAP_POD, &id) : NULL;

    return v && !(v->flags & WEIR_POD_MESHED);
}

static void look_at(struct weir_agent *a, struct weir_place_of_pod *p, uint64_t now) {
    struct weir_tenant_pod *pod = find(a, p->name);
    struct weir_tenant *t;

    if (pod && is_another(pod, p)) {
        pod_end(a, pod);
        pod = NULL;
    }
    if (!pod && is_wanted(p)) {
        t = tenant_of(a, p->pod);
        pod = t ? pod_new(t, p) : NULL;
        p->steer = !was_unmeshed(a, p);
    }
    p->node_cgroup = pod ? pod->cgroup_id : 0;
    if (!pod)
        return;
    pod->place = p;
    if (is_wanted(p) && pod->step >= WEIR_TENANT_RELEASING) {
        pod->step = WEIR_TENANT_SERVED;
        p->steer = true;
    } else if (!is_wanted(p) && pod->step == WEIR_TENANT_SERVED) {
        pod->step = WEIR_TENANT_RELEASING;
        pod->due_us = now + RELEASE_US;
    } else if (!is_wanted(p) && pod->step == WEIR_TENANT_NEW) {
        p->node_cgroup = 0;
        pod_end(a, pod);
    }
}

void weir_tenants_look(struct weir_agent *a) {
    uint64_t now = weir_clock_mono_us();

    WEIR_LIST_FOREACH (it, &a->tenants)
        WEIR_LIST_FOREACH (at, &tenant_at(it)->pods)
            pod_at(at)->place = NULL;
    WEIR_LIST_FOREACH (it, &a->enrol.places)
        look_at(a, WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link), now);
    WEIR_LIST_FOREACH (it, &a->tenants)
        WEIR_LIST_FOREACH_SAFE (at, next, &tenant_at(it)->pods)
            if (!pod_at(at)->place)
                pod_end(a, pod_at(at));
}

/* ---- listeners ---- */

static int listen_at(struct weir_agent *a, struct weir_tenant_pod *pod, uint16_t port) {
    const struct weir_helper_place place = { pod->cgroup, pod->place->netns_fd };
    int fds[2];
    unsigned n = 0;
    int r = weir_helper_listen(a->helper, &place, port, fds, &n);

    for (unsigned i = 0; r == 0 && i < n; i++)
        pod->listeners[pod->n_listeners++] = (struct weir_agent_source){ .fd = fds[i] };
    return r;
}

static bool serve(struct weir_agent *a, struct weir_tenant_pod *pod, uint64_t now) {
    int r = listen_at(a, pod, WEIR_PORT_OUTBOUND);

    pod->n_outbound = pod->n_listeners;
    if (r == 0)
        r = listen_at(a, pod, WEIR_PORT_INBOUND);
    if (r) {
        const char *why = r == -EADDRINUSE ? has_sidecar : strerrordesc_np(-r);

        listeners_close(pod);
        if (pod->why != why)
            weir_log(WEIR_LOG_ERROR, "pod_not_served", "pod=%s why=\"%s\"", pod->name, why);
        pod->why = why;
        pod->due_us = now + RETRY_US;
        return false;
    }
    pod->why = NULL;
    pod->step = WEIR_TENANT_SERVED;
    weir_log(WEIR_LOG_INFO, "pod_in_node_mode", "pod=%s tenant=%s uid=%u", pod->name,
             pod->tenant->name, pod->tenant->uid);
    pod->untold = true;
    weir_tenant_await(pod->tenant);
    return true;
}

bool weir_tenants_listen(struct weir_agent *a) {
    uint64_t now = weir_clock_mono_us();
    bool changed = false;

    WEIR_LIST_FOREACH (it, &a->tenants)
        WEIR_LIST_FOREACH (at, &tenant_at(it)->pods) {
            struct weir_tenant_pod *pod = pod_at(at);
            /* The place is this sync's. */
            struct weir_place_of_pod *p = (struct weir_place_of_pod *)pod->place;

            if (pod->step != WEIR_TENANT_NEW || now < pod->due_us || !p || p->netns_fd < 0)
                continue;
            if (serve(a, pod, now)) {
                changed = changed || !p->steer;
                p->steer = true;
            }
        }
    return changed;
}

/* ---- time ---- */

/* Steps that are due: true, the maps have to follow. */
static bool step(struct weir_agent *a, struct weir_tenant_pod *pod, uint64_t now) {
    struct weir_place_of_pod *p = (struct weir_place_of_pod *)pod->place;

    if (pod->step == WEIR_TENANT_NEW)
        return now >= pod->due_us;
    if (pod->step < WEIR_TENANT_RELEASING || now < pod->due_us)
        return false;
    if (pod->step == WEIR_TENANT_RELEASING) {
        pod->step = WEIR_TENANT_UNSTEERED;
        pod->due_us = now + ARRIVE_US;
        p->steer = false;
        return true;
    }
    p->node_cgroup = 0;
    pod_end(a, pod);
    return true;
}

static void tenant_look(struct weir_agent *a, struct weir_tenant *t, uint64_t now) {
    weir_tenant_tick(t, now);
    if (!weir_list_empty(&t->pods))
        return;
    weir_tenant_drain(t);
    if (weir_list_empty(&t->workers) &&
        weir_helper_tenant(a->helper, t->name, false, NULL, NULL) == 0)
        tenant_free(t);
}

void weir_tenants_tick(struct weir_agent *a) {
    uint64_t now = weir_clock_mono_us();

    WEIR_LIST_FOREACH_SAFE (it, next, &a->tenants) {
        WEIR_LIST_FOREACH_SAFE (at, after, &tenant_at(it)->pods)
            if (pod_at(at)->place && step(a, pod_at(at), now))
                a->stale = true;
        tenant_look(a, tenant_at(it), now);
    }
}

void weir_tenants_publish(struct weir_agent *a) {
    WEIR_LIST_FOREACH (it, &a->tenants) {
        if (a->documents_untold)
            weir_tenant_publish(tenant_at(it));
        WEIR_LIST_FOREACH (at, &tenant_at(it)->pods) {
            if (pod_at(at)->untold)
                weir_tenant_tell_pod(tenant_at(it), pod_at(at), true);
            pod_at(at)->untold = false;
        }
    }
    a->documents_untold = false;
}

bool weir_tenants_replace(struct weir_agent *a, const char *name) {
    bool found = false;

    WEIR_LIST_FOREACH (it, &a->tenants) {
        struct weir_tenant *t = tenant_at(it);

        if (strcmp(name, "all") != 0 && strcmp(name, t->name) != 0)
            continue;
        found = true;
        if (weir_tenant_serving(t))
            weir_tenant_start(t, true);
    }
    return found;
}

void weir_tenants_close(struct weir_agent *a) {
    WEIR_LIST_FOREACH_SAFE (it, next, &a->tenants)
        tenant_free(tenant_at(it));
    if (a->documents_fd >= 0)
        close(a->documents_fd);
    a->documents_fd = -1;
}

static void sweep(const char *path, unsigned depth) {
    DIR *dir = depth > 0 ? opendir(path) : NULL;
    struct dirent *entry;
    char below[4096];

    while (dir && (entry = readdir(dir)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) < (int)sizeof(below))
            sweep(below, depth - 1);
    if (dir)
        closedir(dir);
    (void)weir_cgroup_remove(path);
}

void weir_tenants_sweep(const char *parent) {
    char path[4096];

    if (snprintf(path, sizeof(path), "%s/" WEIR_HELPER_TENANTS, parent) < (int)sizeof(path))
        sweep(path, 2); /* tenants, and their places */
}

/* ---- what is said of them ---- */

static const char *state_of(const struct weir_tenant *t) {
    const struct weir_tenant_worker *w = weir_tenant_serving(t);

    return w ? (w->ready ? "running" : "starting") : t->retry_us ? "resting" : "idle";
}

static void status_of(const struct weir_tenant *t, struct weir_textbuf *out) {
    const struct weir_tenant_worker *w = weir_tenant_serving(t);
    unsigned n_draining = 0;
    bool first = true;

    weir_textbuf_member(out, "identity", t->name);
    weir_textbuf_member(out, "state", state_of(t));
    weir_textbuf_number(out, "uid", t->uid);
    weir_textbuf_number(out, "pid", w ? (uint64_t)w->pid : 0);
    weir_textbuf_name(out, "draining");
    weir_textbuf_add(out, "[", 1);
    WEIR_LIST_FOREACH (it, &t->workers) {
        const struct weir_tenant_worker *other =
            WEIR_CONTAINER_OF(it, struct weir_tenant_worker, link);

        if (!other->draining)
            continue;
        weir_textbuf_printf(out, "%s{", n_draining++ > 0 ? "," : "");
        weir_textbuf_number(out, "pid", (uint64_t)other->pid);
        weir_textbuf_number(out, "connections", other->connections);
        weir_textbuf_add(out, "}", 1);
    }
    weir_textbuf_add(out, "]", 1);
    weir_textbuf_number(out, "resident", w ? w->resident : 0);
    weir_textbuf_number(out, "connections", w ? w->connections : 0);
    weir_textbuf_number(out, "requests", w ? w->requests : 0);
    weir_textbuf_number(out, "starts", t->starts);
    weir_textbuf_number(out, "restarts", t->restarts);
    weir_textbuf_number(out, "stuck", t->stuck);
    weir_textbuf_number(out, "start_took_us", t->start_took_us);
    weir_textbuf_member(out, "memory", t->limits & WEIR_TENANT_MEMORY_MAX ? "cgroup" : "rlimit");
    weir_textbuf_member(out, "cpu", t->limits & WEIR_TENANT_CPU_WEIGHT ? "cgroup" : "session");
    weir_textbuf_name(out, "pods");
    weir_textbuf_add(out, "[", 1);
    WEIR_LIST_FOREACH (it, &t->pods) {
        if (!first)
            weir_textbuf_add(out, ",", 1);
        first = false;
        weir_textbuf_json(out, pod_at(it)->name);
    }
    weir_textbuf_add(out, "]", 1);
}

void weir_tenants_status(const struct weir_agent *a, struct weir_textbuf *out) {
    bool first = true;

    weir_textbuf_name(out, "tenants");
    weir_textbuf_add(out, "[", 1);
    WEIR_LIST_FOREACH (it, &a->tenants) {
        if (!first)
            weir_textbuf_add(out, ",", 1);
        first = false;
        weir_textbuf_add(out, "{", 1);
        status_of(tenant_at(it), out);
        weir_textbuf_add(out, "}", 1);
    }
    weir_textbuf_add(out, "]", 1);
}

static bool is_refused(const struct weir_tenant_pod *pod) {
    return pod->refused && weir_tenant_serving(pod->tenant);
}

void weir_tenants_figures(const struct weir_agent *a, struct weir_tenants_figures *ret) {
    *ret = (struct weir_tenants_figures){ .starts = a->tenant_starts,
                                          .restarts = a->tenant_restarts,
                                          .stuck = a->tenant_stuck };
    WEIR_LIST_FOREACH (it, &a->tenants) {
        const struct weir_tenant *t = tenant_at(it);

        ret->tenants++;
        ret->running += weir_tenant_serving(t) != NULL;
        WEIR_LIST_FOREACH (at, &t->pods) {
            ret->pods++;
            ret->unserved += pod_at(at)->n_listeners == 0 || is_refused(pod_at(at));
        }
    }
}

const char *weir_tenants_step(struct weir_agent *a, const char *pod) {
    const struct weir_tenant_pod *p = find(a, pod);

    return !p                                 ? NULL
           : p->why                           ? p->why
           : is_refused(p)                    ? "its worker could not serve it, and says why"
           : p->step >= WEIR_TENANT_RELEASING ? "being released"
                                              : "served";
}
