/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a change: the connections of every enrolled pod are asked again, and what is no longer
 * allowed is reset and reported. A walk cannot see a connection that is just being decided under the
 * old maps, so a change is walked after once more with the next tick.
 */
#include <string.h>

#include "base/mem.h"
#include "kern/revoke.h"
#include "node/state.h"
#include "sys/clock.h"
#include "sys/log.h"

struct walking {
    struct weir_agent *a;
    /* of the last service flow asked about: flows of one service come in a row often enough */
    uint32_t service;
    const struct weir_service *found;
};

static const struct weir_service *service_of(struct walking *w, uint32_t id) {
    const char *name = weir_plan_name(w->a->installed, WEIR_NAME_SERVICE, id);
    const char *slash = strchr(name, '/');
    char ns[256];

    if (!slash || (size_t)(slash - name) >= sizeof(ns))
        return NULL;
    memcpy(ns, name, (size_t)(slash - name));
    ns[slash - name] = '\0';
    return weir_snapshot_service(w->a->snapshot, ns, slash + 1);
}

/*
 * Gone is what no EndpointSlice lists any more. An endpoint that is only not ready, or terminating,
 * keeps its connections: they are what it finishes.
 */
static bool is_gone(void *arg, const struct weir_event *e) {
    struct walking *w = arg;

    if (w->service != e->service) {
        w->service = e->service;
        w->found = service_of(w, e->service);
    }
    for (uint32_t p = 0; w->found && p < w->found->n_ports; p++) {
        const struct weir_service_port *port = &w->found->ports[p];

        for (uint32_t i = 0; i < port->n_endpoints; i++)
            if (port->endpoints[i].port == e->remote_port &&
                memcmp(&port->endpoints[i].ip, &e->remote, sizeof(e->remote)) == 0)
                return false;
    }
    return true;
}

static void on_reset(void *arg, const struct weir_event *e) {
    struct walking *w = arg;

    weir_agent_flow_event(w->a, e, true);
}

static void breathe(void *arg) {
    struct walking *w = arg;

    (void)weir_kern_events_read(w->a->kern, NULL);
}

/* Has an earlier place in the list the same namespace? */
static bool walked(const struct weir_agent *a, const struct weir_place_of_pod *place) {
    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        const struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);

        if (p == place)
            return false;
        if (!p->pending && p->cookie == place->cookie)
            return true;
    }
    return false;
}

/* Some of the pods, by local id. */
struct chosen {
    const uint32_t *pods;
    uint32_t n;
};

static bool is_chosen(const struct weir_agent *a, const struct chosen *chosen,
                      const struct weir_place_of_pod *place) {
    uint32_t id = weir_plan_id(a->installed, WEIR_NAME_POD, place->name);

    for (uint32_t i = 0; i < chosen->n; i++)
        if (chosen->pods[i] == id)
            return true;
    return false;
}

/* chosen: NULL = all. */
static bool walk(struct weir_agent *a, const struct chosen *chosen, struct weir_revoked *sum,
                 uint32_t *ret_n) {
    struct walking w = { .a = a, .service = UINT32_MAX };
    struct weir_revoke_params params = {
        .gone = is_gone, .reset = on_reset, .breathe = breathe, .arg = &w
    };
    bool good = true;

    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        const struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);
        int r;

        if (p->pending || p->netns_fd < 0 || (chosen ? !is_chosen(a, chosen, p) : walked(a, p)))
            continue;
        ++*ret_n;
        params.netns_fd = p->netns_fd;
        r = weir_kern_revoke(a->kern, &params, sum);
        if (r == 0)
            continue;
        weir_log(WEIR_LOG_ERROR, "revocation_failed",
                 "pod=%s error=%s effect=\"its connections are asked again in a second\"", p->name,
                 weir_log_quote(weir_slice_from_str(strerror(-r))).s);
        good = false;
    }
    return good;
}

void weir_agent_revoke(struct weir_agent *a, bool change) {
    struct weir_agent_revocation *last = &a->revocation;
    struct weir_revoked sum = { 0 };
    uint64_t begin = weir_clock_mono_us(), took;
    uint32_t namespaces = 0;
    bool good = walk(a, NULL, &sum, &namespaces) && sum.failed == 0;

    took = weir_clock_mono_us() - begin;
    a->n_revoked += sum.killed;
    a->revoke_again = change || !good;
    /* What the second look finds belongs to the change it looks after. */
    if (!change) {
        last->killed += sum.killed;
        if (sum.killed == 0 && good)
            return;
    } else {
        *last = (struct weir_agent_revocation){ .checked = sum.checked,
                                                .killed = sum.killed,
                                                .kept = sum.kept,
                                                .took_us = took,
                                                .generation = a->generation };
    }
    last->failed = sum.failed;
    weir_log(good ? WEIR_LOG_INFO : WEIR_LOG_ERROR, "revocation",
             "generation=%llu look=%s checked=%llu killed=%llu kept=%llu failed=%llu "
             "namespaces=%u us=%llu",
             (unsigned long long)a->generation, change ? "first" : "second",
             (unsigned long long)sum.checked, (unsigned long long)sum.killed,
             (unsigned long long)sum.kept, (unsigned long long)sum.failed, namespaces,
             (unsigned long long)took);
}

bool weir_agent_walk(struct weir_agent *a, const uint32_t *pods, uint32_t n) {
    const struct chosen chosen = { pods, n };
    struct weir_revoked sum = { 0 };
    uint32_t namespaces = 0;
    bool good = walk(a, pods ? &chosen : NULL, &sum, &namespaces);

    a->n_revoked += sum.killed;
    return good;
}
