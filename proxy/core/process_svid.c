/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's identity in the mesh: TLS contexts from the directory that the configuration names or, for who is told
 * everything by the agent, from an SVID that is asked for (core/svid.h). When that one is another, the configuration in
 * force is offered to the data threads anew with contexts of it: connections keep what they began with.
 */
#include "core/process_svid.h"

#include <stdio.h>

#include "base/mem.h"
#include "core/process_internal.h"
#include "core/tls_files.h"
#include "sys/clock.h"
#include "sys/log.h"

#define SECOND_US   1000000u
#define PATIENCE_US (5u * SECOND_US) /* of the start, for the first SVID */

/* ---- contexts ---- */

static int contexts(const struct weir_proxy_spec *spec, const struct weir_tls_material *material,
                    struct weir_tls_set *set, const char **ret_why) {
    struct weir_tls_params server = { .mode = WEIR_TLS_MESH_SERVER,
                                      .material = *material,
                                      .trust_domain = spec->trust_domain,
                                      .alpn = WEIR_SLICE("\x07" WEIR_ALPN_MESH_HTTP
                                                         "\x08" WEIR_ALPN_MESH_TCP),
                                      .tickets = set->tickets,
                                      .ticket_lifetime_s = (uint32_t)(spec->ticket_us / 500000),
                                      .scope = "inbound" };
    struct weir_tls_params client = server;
    int r = weir_tls_ctx_new(&server, &set->mesh_server, ret_why);

    client.mode = WEIR_TLS_MESH_CLIENT;
    client.alpn = WEIR_SLICE("\x07" WEIR_ALPN_MESH_HTTP);
    if (r == 0)
        r = weir_tls_ctx_new(&client, &set->mesh_client, ret_why);
    client.alpn = WEIR_SLICE("\x08" WEIR_ALPN_MESH_TCP);
    return r ? r : weir_tls_ctx_new(&client, &set->mesh_client_tcp, ret_why);
}

static int from_directory(const struct weir_proxy_spec *spec, struct weir_tls_set *set) {
    static const char *const names[3] = { "tls.crt", "tls.key", "ca.crt" };
    struct weir_pem pem[3] = { { 0 } };
    struct weir_tls_material material = { .own_key = NULL };
    const char *why = "";
    char path[4096];
    int r = 0;

    for (unsigned i = 0; r == 0 && i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", spec->identity_dir, names[i]);
        r = weir_secret_file_read(path, &pem[i].text, &pem[i].len);
    }
    material.cert_chain = weir_slice_make(pem[0].text, pem[0].len);
    material.key = weir_slice_make(pem[1].text, pem[1].len);
    material.ca = weir_slice_make(pem[2].text, pem[2].len);
    if (r == 0)
        r = contexts(spec, &material, set, &why);
    if (r > 0)
        weir_log(WEIR_LOG_ERROR, "certificate", "%s: %s", spec->identity_dir, why);
    weir_pems_forget(pem);
    return r;
}

/* Of the tenant, or of the Pod that is served. 0, -ENOMEM, 1 = there is none. */
static int identity_of(const struct weir_process *p, const struct weir_snapshot *s, char **ret_id) {
    const char *name = p->tenancy ? p->tenancy->name : s->proxy.pod, *slash = strchr(name, '/');
    const struct weir_pod *pod = NULL;
    char ns[256];

    if (p->workload) { /* only the trust domain is known, the rest is the Workload API's to say */
        *ret_id = weir_asprintf("spiffe://%s/workload", s->proxy.trust_domain);
        return *ret_id ? 0 : -ENOMEM;
    }
    if (!slash || slash - name >= (long)sizeof(ns))
        return 1;
    snprintf(ns, sizeof(ns), "%.*s", (int)(slash - name), name);
    if (!p->tenancy)
        pod = weir_snapshot_pod(s, ns, slash + 1);
    if (!p->tenancy && !pod)
        return 1;
    *ret_id = weir_asprintf("spiffe://%s/ns/%s/sa/%s", s->proxy.trust_domain, ns,
                            pod ? pod->service_account : slash + 1);
    return *ret_id ? 0 : -ENOMEM;
}

static int from_svid(const struct weir_process *p, const struct weir_snapshot *s,
                     struct weir_tls_set *set) {
    WEIR_CLEANUP(weir_freep)
    char *id = NULL;
    struct weir_tls_material material;
    const char *why = "";
    int r = identity_of(p, s, &id);

    if (r > 0) {
        weir_log(WEIR_LOG_ERROR, "svid", "error=\"no Pod to have an identity\"");
        return r;
    }
    if (r == 0)
        r = weir_svid_want(p->identity.svid, weir_clock_wall_us(), id);
    if (r == 0 && p->workload)
        r = weir_workload_ask(p->workload);
    if (r) {
        weir_log(WEIR_LOG_ERROR, "svid", "identity=%s error=\"%s\"", id ? id : "-",
                 r == -EINVAL ? "no SPIFFE id: see trustDomain" : strerror(-r));
        return r;
    }
    material = weir_svid_material(p->identity.svid);
    r = contexts(&s->proxy, &material, set, &why);
    if (r > 0)
        weir_log(WEIR_LOG_ERROR, "certificate", "%s: %s", id, why);
    if (r == 0 && weir_svid_view(p->identity.svid).state != WEIR_SVID_HELD) {
        weir_tls_ctx_stop(set->mesh_server);
        weir_tls_ctx_stop(set->mesh_client);
        weir_tls_ctx_stop(set->mesh_client_tcp);
    }
    return r;
}

int weir_process_mesh(const struct weir_process *p, const struct weir_snapshot *s,
                      struct weir_tls_set *set) {
    if (p->identity.svid)
        return from_svid(p, s, set);
    return s->proxy.identity_dir[0] ? from_directory(&s->proxy, set) : 0;
}

/* ---- asking ---- */

/* While nothing is in force yet, or while it is made anew, whoever does that takes what is held. */
static void on_changed(void *arg) {
    struct weir_process *p = arg;
    struct weir_tls_set tls;

    if (!p->runtime || p->draining)
        return;
    tls = weir_tls_set_ref(&p->runtime->tls);
    tls.mesh_server = weir_tls_ctx_unref(tls.mesh_server);
    tls.mesh_client = weir_tls_ctx_unref(tls.mesh_client);
    tls.mesh_client_tcp = weir_tls_ctx_unref(tls.mesh_client_tcp);
    if (weir_process_mesh(p, p->runtime->snapshot, &tls) == 0)
        weir_process_renew(p, &tls);
    else
        weir_tls_set_deinit(&tls);
}

static int on_ask(void *arg, struct weir_slice csr) {
    struct weir_process *p = arg;

    return p->identity.ask(p->identity.arg, csr);
}

static void on_second(void *arg) {
    struct weir_process *p = arg;

    if (p->identity.svid && !p->draining)
        weir_svid_tick(p->identity.svid, weir_clock_wall_us());
}

int weir_process_svid_new(struct weir_process *p, int (*ask)(void *arg, struct weir_slice csr),
                          void *arg) {
    static const struct weir_svid_ops asks = { on_ask, on_changed }, given = { NULL, on_changed };

    if (p->identity.svid)
        return 0;
    p->identity.ask = ask;
    p->identity.arg = arg;
    return weir_svid_new(ask ? &asks : &given, p, &p->identity.svid);
}

int weir_process_svid_open(struct weir_process *p) {
    return weir_event_every(p->loop, SECOND_US, on_second, p, &p->identity.on_second);
}

void weir_process_svid_close(struct weir_process *p) {
    p->identity.on_second = weir_event_free(p->identity.on_second);
}

void weir_process_svid_status(const struct weir_process *p, char *buf, size_t size) {
    static const char *const states[] = { "none", "held", "expired" };
    struct weir_svid_view v;
    char why[400];
    size_t n = 0;

    buf[0] = '\0';
    if (!p->identity.svid)
        return;
    v = weir_svid_view(p->identity.svid);
    for (const char *c = v.why; *c && n < sizeof(why) - 2; c++) {
        if (*c == '"' || *c == '\\')
            why[n++] = '\\';
        why[n++] = *c < ' ' || *c > '~' ? '?' : *c;
    }
    why[n] = '\0';
    snprintf(buf, size,
             "\"svid\":{\"state\":\"%s\",\"expires\":%lld,\"issued\":%llu,\"failures\":%llu,"
             "\"why\":\"%s\"},",
             states[v.state], (long long)v.not_after_s, (unsigned long long)v.arrived,
             (unsigned long long)v.refused, why);
}

/* ---- the first one ---- */

struct wait {
    struct weir_process *p;
    uint64_t until;
};

static bool waited(void *arg) {
    const struct wait *w = arg;

    return weir_svid_view(w->p->identity.svid).state == WEIR_SVID_HELD ||
           weir_clock_mono_us() >= w->until || w->p->draining;
}

void weir_process_svid_await(struct weir_process *p) {
    struct wait w = { p, weir_clock_mono_us() + PATIENCE_US };

    if (!p->identity.svid)
        return;
    weir_loop_run_until(p->loop, waited, &w);
    if (weir_svid_view(p->identity.svid).state != WEIR_SVID_HELD)
        weir_log(WEIR_LOG_ERROR, "svid_missing", "identity=%s effect=\"mTLS fails until it comes\"",
                 weir_svid_view(p->identity.svid).identity);
}
