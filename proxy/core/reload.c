/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From files to a runtime in force: read, check, resolve, load certificates, compile, offer. A failure anywhere leaves
 * the running configuration as it is, says where it is wrong, and counts.
 */
#include <stdio.h>

#include "base/mem.h"
#include "core/process_internal.h"
#include "io/resolve.h"
#include "sys/entropy.h"
#include "sys/files.h"
#include "sys/log.h"
#include "sys/texts.h"

#define PEM_MAX   (1024u * 1024u)
#define ADDRS_MAX 64u /* resolved addresses of all --to URLs */

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
    const struct weir_texts *kept = &p->standard_input;
    struct weir_texts texts;
    struct weir_problems problems = { 0 };
    struct weir_source *sources = NULL;
    size_t n = 0;
    int r;

    weir_texts_init(&texts, WEIR_CONFIG_MAX);
    r = read_config(p, &texts);
    if (r < 0)
        goto out;
    sources = weir_calloc(texts.n + kept->n + 1, sizeof(*sources));
    if (!sources) {
        r = -ENOMEM;
        goto out;
    }
    for (size_t i = 0; i < texts.n + kept->n; i++) {
        const struct weir_text *t = i < texts.n ? &texts.items[i] : &kept->items[i - texts.n];

        sources[n++] = (struct weir_source){ t->name, t->text, t->len };
    }
    r = weir_snapshot_build(sources, n, ret_snapshot, &problems);
    say_problems(&problems);
    weir_problems_deinit(&problems);
out:
    weir_free(sources);
    weir_texts_deinit(&texts);
    return r;
}

/* ---- TLS ---- */

struct pem {
    char *text;
    size_t len;
};

static int read_pem(const char *path, struct pem *ret) {
    int r;

    if (path[0] == '\0')
        return 0;
    r = weir_file_read(path, PEM_MAX, &ret->text, &ret->len);
    if (r < 0)
        weir_log(WEIR_LOG_ERROR, "certificate", "%s: %s", path, strerror(-r));
    return r;
}

/* paths: certificate chain, key, trusted CAs; each may be "". */
static int make_ctx(struct weir_tls_params *params, const char *const paths[3],
                    struct weir_tls_ctx **ret_ctx) {
    struct pem pem[3] = { { 0 } };
    const char *why = "";
    int r = 0;

    for (unsigned i = 0; r == 0 && i < 3; i++)
        r = read_pem(paths[i], &pem[i]);
    if (r == 0) {
        params->material.cert_chain = weir_slice_make(pem[0].text, pem[0].len);
        params->material.key = weir_slice_make(pem[1].text, pem[1].len);
        params->material.ca = weir_slice_make(pem[2].text, pem[2].len);
        r = weir_tls_ctx_new(params, ret_ctx, &why);
        if (r > 0)
            weir_log(WEIR_LOG_ERROR, "certificate", "%s: %s", paths[0][0] ? paths[0] : paths[2],
                     why);
    }
    for (unsigned i = 0; i < 3; i++) {
        if (pem[i].text && i == 1)
            explicit_bzero(pem[i].text, pem[i].len);
        weir_free(pem[i].text);
    }
    return r;
}

static int load_mesh(const struct weir_proxy_spec *spec, struct weir_tls_set *set) {
    struct weir_tls_params server = { .mode = WEIR_TLS_MESH_SERVER,
                                      .trust_domain = spec->trust_domain,
                                      .alpn = WEIR_SLICE("\x07" WEIR_ALPN_MESH_HTTP
                                                         "\x08" WEIR_ALPN_MESH_TCP) };
    struct weir_tls_params client = server;
    char path[3][4096];
    const char *const names[3] = { "tls.crt", "tls.key", "ca.crt" };
    const char *paths[3];
    int r;

    for (unsigned i = 0; i < 3; i++) {
        snprintf(path[i], sizeof(path[i]), "%s/%s", spec->identity_dir, names[i]);
        paths[i] = path[i];
    }
    client.mode = WEIR_TLS_MESH_CLIENT;
    client.alpn = WEIR_SLICE("\x07" WEIR_ALPN_MESH_HTTP);
    r = make_ctx(&server, paths, &set->mesh_server);
    if (r == 0)
        r = make_ctx(&client, paths, &set->mesh_client);
    client.alpn = WEIR_SLICE("\x08" WEIR_ALPN_MESH_TCP);
    if (r == 0)
        r = make_ctx(&client, paths, &set->mesh_client_tcp);
    return r;
}

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
    struct pem pem = { 0 };
    int r;

    if (path[0]) {
        r = read_pem(path, &pem);
        if (r == 0)
            r = weir_seal_new(weir_slice_make(pem.text, pem.len), &set->sessions, &why);
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
    if (pem.text)
        explicit_bzero(pem.text, pem.len);
    weir_free(pem.text);
    return r;
}

static int load_tls(const struct weir_proxy_spec *spec, struct weir_tls_set *set) {
    struct weir_tls_params server = { .mode = WEIR_TLS_SERVER,
                                      .trust_domain = spec->trust_domain,
                                      .alpn = WEIR_SLICE("\x02h2\x08http/1.1") };
    struct weir_tls_params client = { .mode = WEIR_TLS_CLIENT,
                                      .trust_domain = spec->trust_domain,
                                      .alpn = WEIR_SLICE("\x02h2\x08http/1.1") };
    bool https = false;
    int r = 0;

    if (spec->cert[0]) {
        const char *const paths[3] = { spec->cert, spec->key, spec->client_ca };

        r = make_ctx(&server, paths, &set->server);
    }
    for (uint32_t i = 0; i < spec->n_to; i++)
        https |= spec->to[i].scheme == WEIR_TO_HTTPS;
    if (r == 0 && https) {
        const char *const paths[3] = { spec->to_cert, spec->to_key, spec->to_ca };

        r = make_ctx(&client, paths, &set->to);
    }
    if (r == 0 && spec->identity_dir[0])
        r = load_mesh(spec, set);
    return r;
}

/* ---- --to ---- */

static int resolve_to(const struct weir_proxy_spec *spec, struct weir_to_addr *addrs,
                      unsigned *ret_n) {
    unsigned n = 0;

    for (uint32_t i = 0; i < spec->n_to; i++) {
        struct weir_ip ips[16];
        unsigned found = 0;
        int r = weir_resolve(spec->to[i].host, spec->to[i].port, ips, WEIR_ARRAY_LEN(ips), &found);

        if (r < 0) {
            weir_log(WEIR_LOG_ERROR, "config", "--to %s:%u: %s", spec->to[i].host, spec->to[i].port,
                     r == -ENOENT ? "no such name" : strerror(-r));
            return r;
        }
        for (unsigned k = 0; k < found && n < ADDRS_MAX; k++)
            addrs[n++] = (struct weir_to_addr){ &spec->to[i], ips[k] };
    }
    *ret_n = n;
    return 0;
}

static char *read_file(const char *path, size_t *ret_len) {
    char *text = NULL;

    return weir_file_read(path, PEM_MAX, &text, ret_len) == 0 ? text : NULL;
}

/* What the checks of single documents cannot see. */
static int check_whole(const struct weir_snapshot *s) {
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
    if (!spec->listen[0] && !spec->pod[0] && s->n_gateways == 0) {
        weir_log(WEIR_LOG_ERROR, "config",
                 "nothing to do: give --listen ADDR:PORT --to URL, or --config with a Gateway or a "
                 "Proxy whose spec.pod is set");
        return 1;
    }
    return 0;
}

int weir_process_load(struct weir_process *p, struct weir_runtime **ret_runtime) {
    struct weir_to_addr addrs[ADDRS_MAX];
    struct weir_runtime_params params = { .to = addrs, .read_file = read_file };
    struct weir_snapshot *s = NULL;
    char *why = NULL;
    int r = load_snapshot(p, &s);

    p->cert_refused = false;
    if (r != 0)
        return r;
    p->params->overlay(s, p->params->arg);
    s->generation = p->generation + 1;
    r = check_whole(s);
    if (r == 0)
        r = resolve_to(&s->proxy, addrs, &params.n_to);
    if (r == 0) {
        r = load_tls(&s->proxy, &params.tls);
        p->cert_refused = r != 0;
    }
    if (r == 0)
        r = load_sessions(p, s, &params.tls);
    if (r == 0) {
        params.snapshot = s;
        r = weir_runtime_new(&params, ret_runtime, &why);
        if (r > 0 && why)
            weir_log(WEIR_LOG_ERROR, "config", "%s", why);
        weir_free(why);
        p->cert_refused = r == WEIR_RUNTIME_CERTIFICATE;
    } else {
        weir_tls_set_deinit(&params.tls);
    }
    if (r == 0)
        p->generation++;
    weir_snapshot_unref(s);
    return r;
}

void weir_process_reload(struct weir_process *p) {
    struct weir_runtime *rt = NULL;
    int r = weir_process_load(p, &rt);

    if (r != 0) {
        p->reload_failures++;
        p->cert_failures += p->cert_refused;
        weir_log(WEIR_LOG_ERROR, "reload", "result=refused generation=%llu",
                 (unsigned long long)p->generation);
        return;
    }
    p->reloads++;
    weir_runtime_unref(p->runtime);
    p->runtime = rt;
    for (unsigned i = 0; i < p->n_threads; i++) {
        weir_worker_offer(&p->threads[i].worker, weir_runtime_ref(rt));
        weir_loop_post(p->threads[i].loop);
    }
    if (weir_process_watch(p) < 0)
        weir_log(WEIR_LOG_WARN, "reload",
                 "error=\"cannot watch the configuration for changes; SIGHUP works\"");
    weir_log(WEIR_LOG_INFO, "reload", "result=live generation=%llu",
             (unsigned long long)p->generation);
}

static void on_change(void *arg) {
    struct weir_process *p = arg;

    if (weir_watch_drain(p->watch) && !p->draining)
        weir_process_reload(p);
}

/* Certificates of Gateway listeners, each file once. */
static int watch_gateways(struct weir_process *p) {
    const struct weir_snapshot *s = p->runtime->snapshot;
    int r = 0;

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
    return r == 0 ? watch_gateways(p) : r;
}
