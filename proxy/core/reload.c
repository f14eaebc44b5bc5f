/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From files to a runtime in force: read, check, resolve, load certificates, compile, offer. A failure anywhere leaves
 * the running configuration as it is, says where it is wrong, and counts.
 */
#include <stdio.h>

#include "base/mem.h"
#include "core/process_internal.h"
#include "core/tls_files.h"
#include "sys/entropy.h"
#include "sys/files.h"
#include "sys/log.h"
#include "sys/texts.h"
#include "tls/tickets.h"

static void say_problems(const struct weir_problems *problems) {
    for (uint32_t i = 0; i < problems->n; i++) {
        const struct weir_problem *pr = &problems->items[i];

        weir_log(pr->severity == WEIR_SEVERITY_WARNING ? WEIR_LOG_WARN : WEIR_LOG_ERROR, "config",
                 "%s:%u:%u: %s%s%s", pr->place.file, pr->place.line, pr->place.col, pr->field,
                 pr->field[0] ? ": " : "", pr->message);
    }
}

/* Standard input can be read once: what it said is kept for every later load. */
static int read_config(struct weir_process *p, struct weir_texts *texts) {
    int r = 0;

    for (unsigned i = 0; r == 0 && i < p->params->n_config; i++) {
        bool standard_input = strcmp(p->params->config[i], "-") == 0;

        if (!standard_input)
            r = weir_texts_read(texts, p->params->config[i]);
        else if (p->standard_input.n == 0)
            r = weir_texts_read(&p->standard_input, "-");
        if (r < 0)
            weir_log(WEIR_LOG_ERROR, "config", "%s: %s",
                     texts->failed ? texts->failed : p->params->config[i], strerror(-r));
    }
    return r;
}

static int load_snapshot(struct weir_process *p, struct weir_snapshot **ret_snapshot) {
    const struct weir_documents *told = p->link ? p->link->held : NULL;
    const struct weir_texts *kept = &p->standard_input;
    struct weir_texts texts;
    struct weir_problems problems = { 0 };
    struct weir_source *sources = NULL;
    WEIR_CLEANUP(weir_freep)
    char *given = NULL;
    size_t n = 0, n_given = 0;
    int r;

    weir_texts_init(&texts, WEIR_CONFIG_MAX);
    r = p->tenancy ? weir_tenancy_read(p, &given, &n_given) : read_config(p, &texts);
    if (r < 0)
        goto out;
    sources = weir_calloc(texts.n + kept->n + (told ? told->n : 0) + 2, sizeof(*sources));
    if (!sources) {
        r = -ENOMEM;
        goto out;
    }
    for (size_t i = 0; i < texts.n + kept->n; i++) {
        const struct weir_text *t = i < texts.n ? &texts.items[i] : &kept->items[i - texts.n];

        sources[n++] = (struct weir_source){ t->name, t->text, t->len };
    }
    if (given)
        sources[n++] = (struct weir_source){ "agent", given, n_given };
    for (uint32_t i = 0; told && i < told->n; i++)
        sources[n++] = (struct weir_source){ "agent", told->items[i]->text, told->items[i]->len };
    r = weir_snapshot_build(sources, n, ret_snapshot, &problems);
    say_problems(&problems);
    weir_problems_deinit(&problems);
out:
    weir_free(sources);
    weir_texts_deinit(&texts);
    return r;
}

/* ---- TLS ---- */

static bool has_sessions(const struct weir_snapshot *s) {
    for (uint32_t i = 0; i < s->n_routes; i++)
        for (uint32_t k = 0; k < s->routes[i].n_rules; k++)
            if (s->routes[i].rules[k].session)
                return true;
    return false;
}

/* The secret of this process alone, as a line of 64 hexadecimal digits. */
static int own_secret(struct weir_process *p) {
    uint8_t bytes[sizeof(p->session_secret) / 2];
    int r;

    if (p->session_secret[0])
        return 0;
    r = weir_random(bytes, sizeof(bytes));
    for (unsigned i = 0; r == 0 && i < sizeof(bytes); i++)
        snprintf(p->session_secret + i * 2, 3, "%02x", bytes[i]);
    explicit_bzero(bytes, sizeof(bytes));
    return r;
}

static int load_sessions(struct weir_process *p, const struct weir_snapshot *s,
                         struct weir_tls_set *set) {
    const char *path = s->proxy.session_key, *why = "";
    char *secrets = NULL;
    size_t len = 0;
    int r;

    if (path[0]) {
        r = weir_secret_file_read(path, &secrets, &len);
        if (r == 0)
            r = weir_seal_new(weir_slice_make(secrets, len), &set->sessions, &why);
        if (r > 0)
            weir_log(WEIR_LOG_ERROR, "config", "sessionKey %s: %s", path, why);
    } else {
        r = own_secret(p);
        if (r == 0)
            r = weir_seal_new(weir_slice_from_str(p->session_secret), &set->sessions, &why);
        if (r == 0 && has_sessions(s))
            weir_log(
                WEIR_LOG_WARN, "config",
                "a route asks for sessionPersistence, and no sessionKey is given: sessions end "
                "with this process and other replicas do not know them");
    }
    if (secrets)
        explicit_bzero(secrets, len);
    weir_free(secrets);
    return r;
}

static int load_tls(struct weir_process *p, const struct weir_snapshot *s,
                    struct weir_tls_set *set) {
    const struct weir_proxy_spec *spec = &s->proxy;
    struct weir_tls_params server = { .mode = WEIR_TLS_SERVER,
                                      .trust_domain = spec->trust_domain,
                                      .alpn = WEIR_SLICE("\x02h2\x08http/1.1"),
                                      .ticket_lifetime_s = (uint32_t)(spec->ticket_us / 500000),
                                      .scope = "listen" };
    struct weir_tls_params client = { .mode = WEIR_TLS_CLIENT,
                                      .trust_domain = spec->trust_domain,
                                      .alpn = WEIR_SLICE("\x02h2\x08http/1.1") };
    bool https = false;
    int r = spec->ticket_us && !p->tickets ? weir_tickets_new(&p->tickets) : 0;

    if (r < 0)
        return r;
    if (spec->ticket_us)
        server.tickets = set->tickets = weir_tickets_ref(p->tickets);
    if (spec->cert[0]) {
        const char *const paths[3] = { spec->cert, spec->key, spec->client_ca };

        r = weir_tls_from_files(&server, paths, &set->server);
    }
    for (uint32_t i = 0; i < spec->n_to; i++)
        https |= spec->to[i].scheme == WEIR_TO_HTTPS;
    if (r == 0 && https) {
        const char *const paths[3] = { spec->to_cert, spec->to_key, spec->to_ca };

        r = weir_tls_from_files(&client, paths, &set->to);
    }
    return r == 0 ? weir_process_mesh(p, s, set) : r;
}

/* ---- names ---- */

/* Every name that an endpoint has. 0 or -ENOMEM. */
static int want_names(struct weir_process *p, const struct weir_snapshot *s) {
    size_t n = s->proxy.n_to, k = 0;
    const char **hosts;
    struct weir_ip ip;
    int r;

    for (uint32_t i = 0; i < s->n_services; i++)
        for (uint32_t j = 0; j < s->services[i].n_ports; j++)
            n += s->services[i].ports[j].n_hosts;
    hosts = weir_calloc(n + 1, sizeof(*hosts));
    if (!hosts)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->proxy.n_to; i++)
        if (weir_parse_ip(s->proxy.to[i].host, &ip) != 0)
            hosts[k++] = s->proxy.to[i].host;
    for (uint32_t i = 0; i < s->n_services; i++)
        for (uint32_t j = 0; j < s->services[i].n_ports; j++)
            for (uint32_t h = 0; h < s->services[i].ports[j].n_hosts; h++)
                hosts[k++] = s->services[i].ports[j].hosts[h].host;
    r = weir_names_want(p->names, &s->proxy.dns, hosts, (uint32_t)k);
    weir_free(hosts);
    if (r < 0)
        weir_log(WEIR_LOG_ERROR, "dns", "servers=\"%s\" error=\"%s\"", s->proxy.dns.servers,
                 strerror(-r));
    return r;
}

static char *read_file(const char *path, size_t *ret_len) {
    char *text = NULL;

    return weir_file_read(path, WEIR_PEM_MAX, &text, ret_len) == 0 ? text : NULL;
}

/* What the checks of single documents cannot see. */
static int check_whole(const struct weir_process *p, const struct weir_snapshot *s) {
    const struct weir_proxy_spec *spec = &s->proxy;

    for (uint32_t i = 1; i < spec->n_to; i++)
        if (spec->to[i].scheme != spec->to[0].scheme) {
            weir_log(WEIR_LOG_ERROR, "config", "--to: every URL must have the same scheme");
            return 1;
        }
    if (spec->listen[0] && spec->n_to == 0) {
        weir_log(WEIR_LOG_ERROR, "config",
                 "--listen %s without --to: say where requests go, e.g. --to http://127.0.0.1:8080",
                 spec->listen);
        return 1;
    }
    if (!spec->cert[0] != !spec->key[0]) {
        weir_log(WEIR_LOG_ERROR, "config", "--cert and --key go together");
        return 1;
    }
    if (!spec->listen[0] && !spec->pod[0] && s->n_gateways == 0 && !p->tenancy) {
        weir_log(WEIR_LOG_ERROR, "config",
                 "nothing to do: give --listen ADDR:PORT --to URL, or --config with a Gateway or a "
                 "Proxy whose spec.pod is set");
        return 1;
    }
    return 0;
}

/* Reads and checks; the addresses of names it has may not be known yet. As weir_process_load. */
static int prepare(struct weir_process *p, struct weir_snapshot **ret_snapshot) {
    struct weir_snapshot *s = NULL;
    int r = load_snapshot(p, &s);

    if (r != 0)
        return r;
    p->params->overlay(s, p->params->arg);
    if (p->link)
        weir_link_overlay(p->link, s);
    s->generation = p->generation + 1;
    r = check_whole(p, s);
    if (r == 0)
        r = want_names(p, s);
    if (r != 0)
        weir_snapshot_unref(s);
    else
        *ret_snapshot = s;
    return r;
}

/* `tls` is taken over. */
static int compile(struct weir_process *p, struct weir_snapshot *s, struct weir_tls_set *tls,
                   const char *pod, struct weir_runtime **ret_runtime) {
    struct weir_runtime_params params = { .snapshot = s,
                                          .tls = *tls,
                                          .names = weir_names_lookup(p->names),
                                          .pod = pod,
                                          .read_file = read_file };
    char *why = NULL;
    int r = weir_runtime_new(&params, ret_runtime, &why);

    if (r > 0 && why)
        weir_log(WEIR_LOG_ERROR, "config", "%s", why);
    weir_free(why);
    return r;
}

static int build(struct weir_process *p, struct weir_snapshot *s,
                 struct weir_runtime **ret_runtime) {
    struct weir_tls_set tls = { 0 };
    int r = load_tls(p, s, &tls);

    p->cert_refused = r != 0;
    if (r == 0)
        r = load_sessions(p, s, &tls);
    if (r != 0) {
        weir_tls_set_deinit(&tls);
        return r;
    }
    r = compile(p, s, &tls, NULL, ret_runtime);
    p->cert_refused = r == WEIR_RUNTIME_CERTIFICATE;
    if (r == 0)
        p->generation++;
    return r;
}

int weir_process_runtime_of(struct weir_process *p, const char *pod,
                            struct weir_runtime **ret_runtime) {
    struct weir_tls_set tls = weir_tls_set_ref(&p->runtime->tls);

    return compile(p, p->runtime->snapshot, &tls, pod, ret_runtime);
}

static bool settled(void *arg) {
    struct weir_process *p = arg;

    return weir_names_settled(p->names);
}

int weir_process_load(struct weir_process *p, struct weir_runtime **ret_runtime) {
    struct weir_snapshot *s = NULL;
    int r = prepare(p, &s);

    if (r != 0)
        return r;
    weir_loop_run_until(p->loop, settled, p);
    r = build(p, s, ret_runtime);
    weir_snapshot_unref(s);
    return r;
}

static void offer(struct weir_process *p, struct weir_runtime *rt) {
    weir_runtime_unref(p->runtime);
    p->runtime = rt;
    weir_process_settle(p);
    if (weir_process_tickets(p, rt->snapshot->proxy.ticket_us) < 0)
        weir_log(WEIR_LOG_ERROR, "tickets", "error=\"no timer: their key stays\"");
    for (unsigned i = 0; i < p->n_threads; i++) {
        struct weir_thread *t = p->threads[i];
        struct weir_runtime *own = NULL;

        /* A pod that the documents have no more keeps what it has until it is taken away. */
        if (t->pod[0] && weir_process_runtime_of(p, t->pod, &own) != 0)
            continue;
        weir_worker_offer(&t->worker, own ? own : weir_runtime_ref(rt));
        weir_loop_post(t->loop);
    }
}

static void tell_refusal(struct weir_process *p) {
    weir_log(WEIR_LOG_ERROR, "reload", "result=refused generation=%llu",
             (unsigned long long)p->generation);
    if (p->tenancy)
        weir_tenancy_said(p, false);
    if (p->link)
        weir_link_said(p->link, false);
}

/* The configuration that waited for names is put in force. */
static void finish_reload(struct weir_process *p) {
    struct weir_runtime *rt = NULL;
    int r = build(p, p->next, &rt);

    p->next = weir_snapshot_unref(p->next);
    if (r != 0) {
        p->reload_failures++;
        p->cert_failures += p->cert_refused;
        tell_refusal(p);
        return;
    }
    p->reloads++;
    offer(p, rt);
    if (p->link)
        weir_link_said(p->link, true);
    if (p->tenancy)
        weir_tenancy_said(p, true);
    else if (weir_process_watch(p) < 0)
        weir_log(WEIR_LOG_WARN, "reload",
                 "error=\"cannot watch the configuration for changes; SIGHUP works\"");
    weir_log(WEIR_LOG_INFO, "reload", "result=live generation=%llu",
             (unsigned long long)p->generation);
}

void weir_process_reload(struct weir_process *p) {
    struct weir_snapshot *s = NULL;

    if (prepare(p, &s) != 0) {
        p->reload_failures++;
        tell_refusal(p);
        return;
    }
    weir_snapshot_unref(p->next);
    p->next = s;
    if (weir_names_settled(p->names))
        finish_reload(p);
}

void weir_process_renew(struct weir_process *p, struct weir_tls_set *tls) {
    struct weir_runtime *rt = NULL;
    int r = compile(p, p->runtime->snapshot, tls, NULL, &rt);

    if (r == 0)
        offer(p, rt);
    else
        weir_log(WEIR_LOG_ERROR, "renew", "result=not_in_force error=\"%s\"",
                 r < 0 ? strerror(-r) : "the configuration does not compile any more");
}

void weir_process_names_changed(void *arg) {
    struct weir_process *p = arg;

    if (p->next)
        finish_reload(p);
    else if (p->runtime && !p->draining) {
        struct weir_tls_set tls = weir_tls_set_ref(&p->runtime->tls);

        weir_process_renew(p, &tls);
    }
}

static void on_change(void *arg) {
    struct weir_process *p = arg;

    if (weir_watch_drain(p->watch) && !p->draining)
        weir_process_reload(p);
}

/* Certificates of Gateway listeners and of those that BackendTLSPolicies trust. */
static int watch_documents(struct weir_process *p) {
    const struct weir_snapshot *s = p->runtime->snapshot;
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < s->n_backend_tls; i++)
        if (s->backend_tls[i].ca_file[0])
            r = weir_watch_add(p->watch, s->backend_tls[i].ca_file);
    for (uint32_t i = 0; i < s->n_gateways; i++)
        for (uint32_t k = 0; r == 0 && k < s->gateways[i].n_listeners; k++) {
            const struct weir_gateway_listener *l = &s->gateways[i].listeners[k];

            if (l->cert_file[0])
                r = weir_watch_add(p->watch, l->cert_file);
            if (r == 0 && l->key_file[0])
                r = weir_watch_add(p->watch, l->key_file);
        }
    return r;
}

int weir_process_watch(struct weir_process *p) {
    const struct weir_proxy_spec *spec = &p->runtime->snapshot->proxy;
    const char *files[] = { spec->cert,    spec->key,    spec->client_ca,    spec->to_ca,
                            spec->to_cert, spec->to_key, spec->identity_dir, spec->session_key };
    int r = 0;

    if (!p->watch) {
        r = weir_watch_new(&p->watch);
        if (r == 0)
            r = weir_event_readable(p->loop, weir_watch_fd(p->watch), on_change, p, &p->on_watch);
    }
    for (unsigned i = 0; r == 0 && i < p->params->n_config; i++)
        if (strcmp(p->params->config[i], "-") != 0)
            r = weir_watch_add(p->watch, p->params->config[i]);
    for (unsigned i = 0; r == 0 && i < WEIR_ARRAY_LEN(files); i++)
        if (files[i][0])
            r = weir_watch_add(p->watch, files[i]);
    return r == 0 ? watch_documents(p) : r;
}
