/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent says of itself, as JSON objects. */
#include <string.h>

#include "helper/helper.h"
#include "node/door.h"
#include "node/first.h"
#include "node/kube.h"
#include "node/sign.h"
#include "node/tenants.h"
#include "node/tls.h"

static void pods(struct weir_agent *a, struct weir_textbuf *out) {
    static const char *const modes[] = { "off", "sidecar", "node", "kernel" };

    weir_textbuf_name(out, "pods");
    weir_textbuf_add(out, "[", 1);
    WEIR_LIST_FOREACH (it, &a->enrol.places) {
        const struct weir_place_of_pod *p = WEIR_CONTAINER_OF(it, struct weir_place_of_pod, link);
        uint32_t id = a->installed ? weir_plan_id(a->installed, WEIR_NAME_POD, p->name) : 0;
        const char *step = weir_tenants_step(a, p->name);
        bool inbound = p->netns_path[0] == '\0' || p->attached != 0;

        if (out->ptr && out->ptr[out->len - 1] == '}')
            weir_textbuf_add(out, ",", 1);
        weir_textbuf_add(out, "{", 1);
        weir_textbuf_member(out, "name", p->name);
        weir_textbuf_member(out, "state",
                            p->outside           ? "outside"
                            : p->pending         ? "pending"
                            : id != 0 && inbound ? "enrolled"
                                                 : "attaching");
        if (p->pending && !p->outside) {
            weir_textbuf_member(out, "why", p->pending);
            if (p->error)
                weir_textbuf_member(out, "error", strerror(p->error));
        }
        if (!p->pending) {
            weir_textbuf_bool(out, "verified", p->verified);
            if (!p->verified)
                weir_textbuf_member(out, "unverified", p->unverified);
        }
        weir_textbuf_number(out, "id", id);
        weir_textbuf_member(out, "mode", modes[p->pod->mode]);
        if (step)
            weir_textbuf_member(out, "node_mode", step);
        weir_textbuf_bool(out, "meshed", weir_pod_meshed(p->pod));
        weir_textbuf_bool(out, "sidecar", p->proxy_cgroup != 0);
        weir_agent_tls_status(a, p, out);
        weir_textbuf_member(out, "cgroup", p->cgroup_path);
        weir_textbuf_member(out, "netns", p->netns_path);
        weir_textbuf_add(out, "}", 1);
    }
    weir_textbuf_add(out, "]", 1);
}

static void pin(void *arg, const char *what, const char *why) {
    struct weir_textbuf *out = arg;

    if (out->ptr && out->ptr[out->len - 1] == '}')
        weir_textbuf_add(out, ",", 1);
    weir_textbuf_add(out, "{", 1);
    weir_textbuf_member(out, "pin", what);
    weir_textbuf_member(out, "problem", why);
    weir_textbuf_add(out, "}", 1);
}

/* What lies in the pin directory and should not, or hangs on nothing. */
static void pins(struct weir_agent *a, struct weir_textbuf *out) {
    uint32_t n;

    weir_textbuf_name(out, "pins");
    weir_textbuf_add(out, "[", 1);
    (void)weir_kern_pins(a->kern, pin, out, &n);
    weir_textbuf_add(out, "]", 1);
}

static void helper(const struct weir_agent *a, struct weir_textbuf *out) {
    struct weir_helper_facts facts;

    weir_helper_facts(a->helper, &facts);
    weir_textbuf_name(out, "helper");
    weir_textbuf_add(out, "{", 1);
    weir_textbuf_member(out, "state", facts.away ? "away" : "there");
    if (facts.away)
        weir_textbuf_member(out, "why", facts.away);
    weir_textbuf_number(out, "pid", (uint64_t)facts.pid);
    weir_textbuf_bool(out, "spawned", facts.spawned);
    weir_textbuf_number(out, "requests", facts.requests);
    weir_textbuf_number(out, "refused", facts.refused);
    weir_textbuf_number(out, "losses", facts.losses);
    weir_textbuf_add(out, "}", 1);
}

static void strangers(const struct weir_agent *a, struct weir_textbuf *out) {
    weir_textbuf_name(out, "unclassified");
    weir_textbuf_add(out, "[", 1);
    WEIR_LIST_FOREACH (it, &a->enrol.strangers) {
        const struct weir_stranger *s = WEIR_CONTAINER_OF(it, struct weir_stranger, link);

        if (out->ptr && out->ptr[out->len - 1] == '}')
            weir_textbuf_add(out, ",", 1);
        weir_textbuf_add(out, "{", 1);
        weir_textbuf_member(out, "cgroup", s->path);
        weir_textbuf_member(out, "state", s->refused ? "refused" : "held");
        weir_textbuf_add(out, "}", 1);
    }
    weir_textbuf_add(out, "]", 1);
}

uint64_t weir_agent_epoch(const struct weir_agent *a) {
    struct weir_meta_value meta = { 0 };
    uint32_t key = 0;

    return a->kern && weir_kern_get(a->kern, WEIR_MAP_META, &key, &meta) == 0 ? meta.epoch : 0;
}

/* The receipt of the last change: how many connections it asked, reset and kept. */
static void revocation(const struct weir_agent *a, struct weir_textbuf *out) {
    const struct weir_agent_revocation *last = &a->revocation;

    weir_textbuf_name(out, "revocation");
    weir_textbuf_add(out, "{", 1);
    weir_textbuf_number(out, "generation", last->generation);
    weir_textbuf_number(out, "checked", last->checked);
    weir_textbuf_number(out, "killed", last->killed);
    weir_textbuf_number(out, "kept", last->kept);
    weir_textbuf_number(out, "failed", last->failed);
    weir_textbuf_number(out, "us", last->took_us);
    weir_textbuf_add(out, "}", 1);
}

void weir_agent_status(struct weir_agent *a, struct weir_textbuf *out) {
    weir_textbuf_add(out, "{", 1);
    weir_textbuf_member(out, "kind", "agent");
    weir_textbuf_member(out, "state", weir_agent_unready(a) ? "degraded" : "in_force");
    weir_textbuf_number(out, "generation", a->generation);
    weir_textbuf_number(out, "epoch", weir_agent_epoch(a));
    weir_textbuf_bool(out, "adopted", a->adopted);
    weir_textbuf_number(out, "reloads_refused", a->refused);
    if (a->last_refusal[0])
        weir_textbuf_member(out, "last_refusal", a->last_refusal);
    weir_agent_kube_status(a, out);
    weir_sign_status(a, out);
    weir_textbuf_member(out, "parent_cgroup", a->enrol.parent);
    weir_textbuf_member(out, "pin_dir", a->pin_dir);
    weir_textbuf_number(out, "pods_named", a->enrol.n_places);
    weir_textbuf_number(out, "pods_enrolled", a->enrol.n_enrolled);
    weir_textbuf_number(out, "pods_verified", a->n_verified);
    weir_textbuf_number(out, "services", a->report.n_services);
    weir_textbuf_number(out, "endpoints", a->report.n_endpoints);
    weir_textbuf_number(out, "identities", a->report.n_identities);
    weir_textbuf_number(out, "policies", a->report.n_policies);
    weir_textbuf_number(out, "rules", a->report.n_rules);
    weir_textbuf_number(out, "map_puts", a->puts);
    weir_textbuf_number(out, "map_deletes", a->deletes);
    weir_textbuf_number(out, "connections_revoked", a->n_revoked);
    weir_textbuf_number(out, "addresses_by_name", a->names.addresses);
    revocation(a, out);
    weir_textbuf_number(out, "flows", a->n_flows);
    weir_textbuf_number(out, "flows_lost", a->n_flows_lost);
    weir_agent_first_status(a, out);
    helper(a, out);
    weir_textbuf_name(out, "join");
    weir_textbuf_add(out, "{", 1);
    weir_agent_join_status(a, out);
    weir_textbuf_add(out, "}", 1);
    pods(a, out);
    weir_tenants_status(a, out);
    weir_doors_status(a, out);
    strangers(a, out);
    pins(a, out);
    weir_textbuf_add(out, "}\n", 2);
}

void weir_agent_ready(struct weir_agent *a, struct weir_textbuf *out) {
    const char *why = weir_agent_unready(a);

    weir_textbuf_add(out, "{", 1);
    weir_textbuf_bool(out, "ready", why == NULL);
    if (why)
        weir_textbuf_member(out, "why", why);
    weir_textbuf_number(out, "pods_enrolled", a->enrol.n_enrolled);
    weir_textbuf_number(out, "pods_verified", a->n_verified);
    weir_textbuf_add(out, "}\n", 2);
}

void weir_agent_counters(struct weir_agent *a, struct weir_textbuf *out) {
    uint64_t counts[WEIR_REASON_SLOTS] = { 0 }, dns[WEIR_DNS_COUNT_SLOTS] = { 0 };
    int r = weir_kern_counts(a->kern, counts);

    weir_textbuf_add(out, "{", 1);
    if (r)
        weir_textbuf_member(out, "error", strerror(-r));
    for (unsigned i = 1; r == 0 && i < WEIR_REASON_COUNT_; i++)
        weir_textbuf_number(out, weir_reason_name(i), counts[i]);
    if (r == 0)
        weir_textbuf_number(out, "connections_revoked", a->n_revoked);
    if (r == 0 && weir_kern_dns_counts(a->kern, dns) == 0) {
        weir_textbuf_name(out, "dns");
        weir_textbuf_add(out, "{", 1);
        for (unsigned i = 0; i < WEIR_DNS_COUNTS_; i++)
            weir_textbuf_number(out, weir_dns_count_name(i), dns[i]);
        weir_textbuf_add(out, "}", 1);
    }
    weir_textbuf_add(out, "}\n", 2);
}

void weir_agent_generation(struct weir_agent *a, struct weir_textbuf *out) {
    weir_textbuf_add(out, "{", 1);
    weir_textbuf_number(out, "generation", a->generation);
    weir_textbuf_number(out, "epoch", weir_agent_epoch(a));
    weir_textbuf_bool(out, "in_force", !a->stale);
    revocation(a, out);
    weir_textbuf_add(out, "}\n", 2);
}
