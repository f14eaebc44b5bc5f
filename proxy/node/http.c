/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /metrics, /ready and /live of the agent: the same server as the proxy's (core/admin), its loop run
 * inside of the agent's. Everything shown is the agent's own state, read in its own thread.
 */
#include <string.h>
#include <sys/epoll.h>

#include "base/mem.h"
#include "core/server_listen.h"
#include "helper/helper.h"
#include "kern/http.h"
#include "node/door.h"
#include "node/kube.h"
#include "node/sign.h"
#include "node/tenants.h"
#include "obs/expo.h"
#include "obs/metrics.h"
#include "sys/procstat.h"

#define CHUNKS_KEPT 4

struct weir_agent_http {
    struct weir_chunk_pool pool;
    struct weir_loop *loop;
    struct weir_admin admin;
    struct weir_agent_source source;
};

struct figure {
    struct weir_family family;
    uint64_t n;
};

static void write_all(struct weir_pen *pen, const struct figure *figures, size_t n) {
    for (size_t i = 0; i < n; i++)
        weir_expo_one(pen, figures[i].family, figures[i].n);
}

static void expose_places(const struct weir_agent *a, struct weir_pen *pen) {
    const struct figure figures[] = {
        { { "weir_agent_ready", "gauge", "1 when all is in force and proven." },
          weir_agent_unready(a) == NULL },
        { { "weir_agent_pods_named", "gauge", "Pods of this node in the configuration." },
          a->enrol.n_places },
        { { "weir_agent_pods_enrolled", "gauge", "Pods whose places are found." },
          a->enrol.n_enrolled },
        { { "weir_agent_pods_verified", "gauge", "Enrolled pods whose interception is proven." },
          a->n_verified },
        { { "weir_agent_cgroups_unclassified", "gauge",
            "Cgroups below the pods' parent that no Pod names." },
          a->enrol.n_strangers },
        { { "weir_agent_adopted", "gauge", "1 when it took over what another agent had pinned." },
          a->adopted },
        { { "weir_agent_generation", "gauge", "Generation of the configuration in force." },
          a->generation },
        { { "weir_agent_policy_epoch", "gauge", "Changes of the maps that were completed." },
          weir_agent_epoch(a) },
        { { "weir_agent_reloads_refused_total", "counter", "Configurations refused." },
          a->refused },
        { { "weir_agent_services", "gauge", "Services in force." }, a->report.n_services },
        { { "weir_agent_endpoints", "gauge", "Endpoints in force." }, a->report.n_endpoints },
        { { "weir_agent_identities", "gauge", "Identities in force." }, a->report.n_identities },
        { { "weir_agent_policies", "gauge", "Policies in force." }, a->report.n_policies },
        { { "weir_agent_rules", "gauge", "Rules in force." }, a->report.n_rules },
        { { "weir_agent_flows_total", "counter", "Flow records read." }, a->n_flows },
        { { "weir_agent_flows_lost_total", "counter",
            "Flow records that the flow log or a follower did not take." },
          a->n_flows_lost },
    };

    write_all(pen, figures, WEIR_ARRAY_LEN(figures));
}

static void expose_helper(const struct weir_agent *a, struct weir_pen *pen) {
    struct weir_helper_facts f;

    weir_helper_facts(a->helper, &f);
    {
        const struct figure figures[] = {
            { { "weir_agent_helper_up", "gauge", "1 while the helper is there." }, f.away == NULL },
            { { "weir_agent_helper_requests_total", "counter", "Requests to the helper." },
              f.requests },
            { { "weir_agent_helper_refused_total", "counter", "Requests the helper refused." },
              f.refused },
            { { "weir_agent_helper_losses_total", "counter", "Times the helper went away." },
              f.losses },
        };

        write_all(pen, figures, WEIR_ARRAY_LEN(figures));
    }
}

static void expose_tenants(const struct weir_agent *a, struct weir_pen *pen) {
    struct weir_tenants_figures f;

    weir_tenants_figures(a, &f);
    {
        const struct figure figures[] = {
            { { "weir_agent_tenants", "gauge", "Workload identities with pods in node mode." },
              f.tenants },
            { { "weir_agent_tenants_running", "gauge", "Tenants that have a worker now." },
              f.running },
            { { "weir_agent_tenant_pods", "gauge", "Pods in node mode." }, f.pods },
            { { "weir_agent_tenant_pods_unserved", "gauge",
                "Pods in node mode in which nobody of ours listens." },
              f.unserved },
            { { "weir_agent_tenant_starts_total", "counter", "Workers started." }, f.starts },
            { { "weir_agent_tenant_restarts_total", "counter", "Workers that died." }, f.restarts },
            { { "weir_agent_tenant_stuck_total", "counter",
                "Workers ended because they did not answer." },
              f.stuck },
        };

        write_all(pen, figures, WEIR_ARRAY_LEN(figures));
    }
}

static void expose_doors(const struct weir_agent *a, struct weir_pen *pen) {
    const struct weir_doors_figures f = weir_doors_figures(a);
    const struct figure figures[] = {
        { { "weir_agent_doors", "gauge", "Pods in sidecar mode in which the agent listens." },
          f.open },
        { { "weir_agent_door_connections", "gauge", "Sidecars connected." }, f.connections },
        { { "weir_agent_door_accepted_total", "counter", "Sidecars that have connected." },
          f.accepted },
        { { "weir_agent_door_refused_total", "counter",
            "Connections to a pod's configuration port refused: made by no process of its "
            "sidecar." },
          f.refused },
        { { "weir_agent_door_paused_total", "counter",
            "Times a pod's configuration port was not accepted from for the rest of a second: "
            "too many connections." },
          f.paused },
        { { "weir_agent_door_broken_total", "counter",
            "Sidecars disconnected: silent, not reading, or not speaking the protocol." },
          f.broken },
        { { "weir_agent_door_snapshots_total", "counter", "Snapshots and changes sent whole." },
          f.snapshots },
        { { "weir_agent_door_snapshots_refused_total", "counter",
            "Snapshots that a sidecar could not put in force." },
          f.snapshots_refused },
        { { "weir_agent_door_sent_bytes_total", "counter", "Bytes sent to sidecars." }, f.sent },
    };

    write_all(pen, figures, WEIR_ARRAY_LEN(figures));
}

static void expose_signing(const struct weir_agent *a, struct weir_pen *pen) {
    const struct weir_sign_figures n = weir_sign_figures(a);
    const struct figure figures[] = {
        { { "weir_agent_svid_requests_total", "counter",
            "Certificate requests of pods of this node." },
          n.asked },
        { { "weir_agent_svids_issued_total", "counter", "Of those, signed." }, n.issued },
        { { "weir_agent_svids_refused_total", "counter",
            "Of those, not passed on: not for the pod's own identity, malformed, too many." },
          n.refused },
        { { "weir_agent_svids_failed_total", "counter",
            "Of those, refused by the signer, or not answered." },
          n.failed },
        { { "weir_agent_svid_requests_waiting", "gauge", "Certificate requests under way." },
          n.waiting },
    };

    if (weir_sign_on(a))
        write_all(pen, figures, WEIR_ARRAY_LEN(figures));
}

static void expose_revocation(const struct weir_agent *a, struct weir_pen *pen) {
    static const struct weir_family last = {
        "weir_agent_revocation_last", "gauge",
        "Existing connections as the last change found them, by what became of them."
    };
    const struct weir_agent_revocation *r = &a->revocation;

    weir_expo_one(pen,
                  WEIR_FAMILY("weir_agent_connections_revoked_total", "counter",
                              "Existing connections reset because they are no longer allowed."),
                  a->n_revoked);
    weir_expo_head(pen, &last);
    weir_expo_labelled(pen, &last, "outcome", "killed", r->killed);
    weir_expo_labelled(pen, &last, "outcome", "kept", r->kept);
    weir_expo_labelled(pen, &last, "outcome", "failed", r->failed);
    weir_expo_head(pen, &WEIR_FAMILY("weir_agent_revocation_last_seconds", "gauge",
                                     "How long the last change took to ask them."));
    weir_pen_lit(pen, "weir_agent_revocation_last_seconds ");
    weir_pen_seconds(pen, r->took_us);
    weir_pen_lit(pen, "\n");
}

static void expose_maps(const struct weir_agent *a, struct weir_pen *pen) {
    static const struct weir_family entries = { "weir_map_entries", "gauge",
                                                "Entries of a kernel map that the agent writes." };
    static const struct weir_family capacity = { "weir_map_capacity", "gauge",
                                                 "Entries that the kernel map takes." };
    static const struct weir_family writes = { "weir_agent_map_writes_total", "counter",
                                               "Map entries written or removed." };

    weir_expo_head(pen, &entries);
    for (unsigned m = 0; m < WEIR_MAP_META; m++)
        weir_expo_labelled(pen, &entries, "map", weir_map_name((enum weir_map)m),
                           weir_mapset_count(a->installed, (enum weir_map)m));
    weir_expo_head(pen, &capacity);
    for (unsigned m = 0; m < WEIR_MAP_COUNT_; m++)
        weir_expo_labelled(pen, &capacity, "map", weir_map_name((enum weir_map)m),
                           weir_kern_capacity(a->kern, (enum weir_map)m));
    weir_expo_head(pen, &writes);
    weir_expo_labelled(pen, &writes, "operation", "put", a->puts);
    weir_expo_labelled(pen, &writes, "operation", "delete", a->deletes);
}

/* What the programs counted: decisions, losses of the two rings, joining. */
static void expose_kernel(const struct weir_agent *a, struct weir_pen *pen) {
    static const struct weir_family reasons = {
        "weir_kernel_reasons_total", "counter",
        "What the programs decided or saw, by reason (weir_reason)."
    };
    static const struct weir_family lost = { "weir_kernel_events_lost_total", "counter",
                                             "Events that a full ring buffer did not take." };
    uint64_t counts[WEIR_REASON_SLOTS] = { 0 };
    struct weir_join_look look = { 0 };

    if (weir_kern_counts(a->kern, counts) == 0) {
        weir_expo_head(pen, &reasons);
        for (unsigned i = 1; i < WEIR_REASON_COUNT_; i++)
            weir_expo_labelled(pen, &reasons, "reason", weir_reason_name(i), counts[i]);
        weir_expo_head(pen, &lost);
        weir_expo_labelled(pen, &lost, "ring", "denials", counts[WEIR_LOST_DENIAL]);
        weir_expo_labelled(pen, &lost, "ring", "events", counts[WEIR_LOST_EVENT]);
    }
    if (weir_kern_join_look(a->kern, &look) == 0) {
        const struct figure figures[] = {
            { { "weir_join_sockets", "gauge", "Sockets that may be joined." }, look.sockets },
            { { "weir_join_joined", "gauge", "Directions joined now." }, look.joined },
            { { "weir_join_unread_bytes", "gauge", "Bytes in the kernel that no reader took." },
              look.queued },
        };

        write_all(pen, figures, WEIR_ARRAY_LEN(figures));
    }
}

static void expose_names(const struct weir_agent *a, struct weir_pen *pen) {
    static const struct weir_family answers = { "weir_dns_total", "counter",
                                                "DNS answers to pods that have rules with names, "
                                                "and addresses in them, by what came of them." };
    const struct figure figures[] = {
        { { "weir_dns_addresses", "gauge", "Addresses bound to names, at the last sweep." },
          a->names.addresses },
        { { "weir_dns_addresses_kept", "gauge",
            "Of them, those whose time is over and that a socket keeps." },
          a->names.kept },
        { { "weir_dns_expired_total", "counter",
            "Addresses forgotten because their time was over." },
          a->names.expired },
    };
    uint64_t counts[WEIR_DNS_COUNT_SLOTS] = { 0 };

    if (weir_kern_dns_counts(a->kern, counts) == 0) {
        weir_expo_head(pen, &answers);
        for (unsigned i = 0; i < WEIR_DNS_COUNTS_; i++)
            weir_expo_labelled(pen, &answers, "outcome", weir_dns_count_name(i), counts[i]);
    }
    write_all(pen, figures, WEIR_ARRAY_LEN(figures));
}

static void expose_l7(const struct weir_agent *a, struct weir_pen *pen) {
    static const struct weir_family incomplete = {
        "weir_http_telemetry_incomplete_total", "counter",
        "What HTTP telemetry could not tell, by reason (docs/configuration.md)."
    };
    uint64_t counts[WEIR_HTTP_REASON_SLOTS] = { 0 };

    weir_l7_expose(a->l7, pen);
    if (weir_kern_http_counts(a->kern, counts))
        return;
    weir_expo_head(pen, &incomplete);
    for (unsigned i = WEIR_HTTP_SEEN + 1; i < WEIR_HTTP_REASON_COUNT_; i++)
        weir_expo_labelled(pen, &incomplete, "reason", weir_http_reason_name(i), counts[i]);
}

static void expose_process(struct weir_pen *pen) {
    struct weir_process_metrics m = { 0 };
    struct weir_procstat st;

    weir_procstat_read(&st);
    m.start_time_s = st.start_time_s;
    m.open_fds = st.open_fds;
    m.max_fds = st.max_fds;
    m.resident_bytes = st.resident_bytes;
    m.cpu_us = st.cpu_us;
    weir_metrics_expose_process(pen, &m);
}

static int metrics(void *arg, struct weir_bufq *out) {
    const struct weir_agent *a = arg;
    struct weir_pen pen;

    weir_pen_begin(&pen, out);
    expose_places(a, &pen);
    expose_helper(a, &pen);
    weir_agent_kube_expose(a, &pen);
    expose_tenants(a, &pen);
    expose_doors(a, &pen);
    expose_signing(a, &pen);
    expose_revocation(a, &pen);
    if (a->kern) {
        expose_maps(a, &pen);
        expose_kernel(a, &pen);
        expose_names(a, &pen);
        expose_l7(a, &pen);
    }
    expose_process(&pen);
    return weir_pen_end(&pen);
}

static int status(void *arg, struct weir_bufq *out) {
    struct weir_textbuf text = { 0 };
    int r;

    weir_agent_status(arg, &text);
    r = text.failed ? -ENOMEM : weir_bufq_append(out, weir_slice_make(text.ptr, text.len));
    weir_textbuf_deinit(&text);
    return r;
}

static bool ready(void *arg, const char **ret_why) {
    *ret_why = weir_agent_unready(arg);
    return *ret_why == NULL;
}

static void posted(void *arg) {
    (void)arg;
}

static void turn(void *arg, uint32_t events) {
    struct weir_agent_http *http = arg;

    (void)events;
    weir_loop_turn(http->loop);
}

int weir_agent_http_open(struct weir_agent *a) {
    static const struct weir_admin_ops ops = {
        .metrics = metrics, .status = status, .ready = ready, .posted = posted
    };
    static const enum weir_admin_scope scope = WEIR_ADMIN_METRICS | WEIR_ADMIN_HEALTH;
    struct weir_agent_http *http;
    int r;

    if (a->metrics_at[0] == '\0' || a->http)
        return 0;
    http = weir_calloc(1, sizeof(*http));
    if (!http)
        return -ENOMEM;
    a->http = http;
    weir_chunk_pool_init(&http->pool, CHUNKS_KEPT);
    r = weir_loop_new(&http->pool, &http->loop);
    if (r)
        return r;
    weir_admin_init(&http->admin, weir_loop_net(http->loop), &ops, a);
    r = weir_server_listen(http->loop, a->metrics_at, &scope, NULL);
    if (r)
        return r;
    http->source = (struct weir_agent_source){ turn, http, weir_loop_fd(http->loop) };
    weir_loop_turn(http->loop);
    return weir_agent_poll(a, &http->source, EPOLLIN);
}

void weir_agent_http_tick(struct weir_agent *a) {
    if (a->http)
        weir_loop_turn(a->http->loop);
}

void weir_agent_http_close(struct weir_agent *a) {
    struct weir_agent_http *http = a->http;

    if (!http)
        return;
    if (http->loop) {
        weir_admin_close(&http->admin);
        weir_loop_stop(http->loop);
        weir_loop_run(http->loop);
        weir_loop_free(http->loop);
    }
    weir_chunk_pool_deinit(&http->pool);
    a->http = weir_free(http);
}
