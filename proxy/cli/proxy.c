/* SPDX-License-Identifier: Apache-2.0 */
/* weir proxy: flags over the Proxy document, then the process. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/un.h>

#include "base/mem.h"
#include "cli/verb.h"
#include "core/process.h"
#include "sys/log.h"
#include "weir_config.h"
#if WEIR_HAVE_KERNEL
#include "helper/seccomp.h"
#endif

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "listen", 'l', "ADDR:PORT", "accept requests here (port 0: any free one, see the log)" },
    { "to", 't', "URL", "send them there: http://, h2c://, https:// or HOST:PORT; repeatable" },
    { "cert", 0, "FILE", "TLS on the listener: certificate chain (PEM)" },
    { "key", 0, "FILE", "TLS on the listener: private key (PEM)" },
    { "client-ca", 0, "FILE", "ask clients for a certificate and verify it against these" },
    { "to-ca", 0, "FILE", "verify https:// servers against these (default: the system's)" },
    { "to-cert", 0, "FILE", "certificate chain shown to https:// servers" },
    { "to-key", 0, "FILE", "its private key" },
    { "to-sni", 0, "NAME", "name asked of and verified at https:// servers" },
    { "session-key", 0, "FILE",
      "secrets that seal persistent sessions, the same for every replica (default: a random one)" },
    { "workers", 'w', "N", "data threads (default: one per core)" },
    { "access-log", 0, "off|text|json", "one line per request to standard output (default off)" },
    { "log-level", 0, "LEVEL",
      "debug, info, warn or error: what the process says of itself on standard error (default "
      "info)" },
    { "admin", 'a', "ADDR:PORT", "/metrics /ready /live /status" },
    { "config", 'c', "PATH",
      "file, directory or - with Kubernetes documents; repeatable; watched" },
    { "agent", 0, "ADDR:PORT",
      "be the sidecar of the pod this runs in: all configuration comes from the node's agent "
      "there" },
    { "pod", 0, "NS/NAME", "serve this Pod document as its sidecar" },
#if WEIR_HAVE_KERNEL
    { "tenant", 0, "NS/ACCOUNT",
      "be the worker of a workload identity (weir helper starts these)" },
    { "control", 0, "FD", "with --tenant: where it is told everything" },
#endif
    { "identity", 0, "DIR", "tls.crt, tls.key and ca.crt of the mesh identity" },
    { "workload-api", 0, "unix:///PATH",
      "the mesh identity comes from a SPIFFE Workload API, as SPIRE's agent is one (default: "
      "$SPIFFE_ENDPOINT_SOCKET)" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_proxy = {
    .name = "proxy",
    .words = "",
    .summary = "the L7 proxy: reverse proxy, gateway or sidecar; no root, no kernel half needed",
    .more =
        "  weir proxy --listen :8080 --to http://127.0.0.1:9000\n"
        "  weir proxy --config DIR          routes from HTTPRoute, Gateway and Service "
        "documents\n\n"
        "Each flag is also a field of the Proxy document (docs/configuration.md); a flag wins.\n"
        "SIGHUP or a change of the files reloads; SIGTERM drains, a second one ends at once.\n"
        "SIGUSR2 starts the program that is installed now, hands it the listening sockets and "
        "drains.\n"
        "Sockets ($LISTEN_FDS) and readiness ($NOTIFY_SOCKET) are systemd's, where it starts "
        "weir.\n",
    .options = options,
    .run = run,
};

/* A string of the command line lives as long as the process. */
static void text(const struct weir_args *args, const char *name, const char **field) {
    const char *v = weir_args_value(args, name);

    if (v)
        *field = v;
}

static void overlay_to(struct weir_snapshot *s, const struct weir_args *args) {
    struct weir_proxy_spec *spec = &s->proxy;
    struct weir_to *to = weir_arena_calloc(&s->arena, args->n_given + 1, sizeof(*to));
    uint32_t n = 0;

    for (unsigned i = 0; to && i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, "to") == 0 &&
            weir_parse_to(&s->arena, args->given[i].value, &to[n]) == 0)
            n++;
    if (n > 0) {
        spec->to = to;
        spec->n_to = n;
    }
}

static int access_format(const char *v) {
    static const char *const names[] = { "off", "text", "json" };

    for (int i = 0; i < 3; i++)
        if (strcmp(v, names[i]) == 0)
            return i;
    return -1;
}

/* unix:///PATH or unix:/PATH -> /PATH; NULL = something else. */
static const char *unix_path(const char *uri) {
    static const char scheme[] = "unix:";
    const char *path = strncmp(uri, scheme, sizeof(scheme) - 1) == 0 ? uri + 5 : "";

    if (strncmp(path, "//", 2) == 0)
        path += 2;
    return path[0] == '/' && path[1] && strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path)
               ? path
               : NULL;
}

/* As it was given: by the option or, where no directory was, by the environment. NULL = it was not. */
static const char *workload_api(const struct weir_args *args) {
    const char *v = weir_args_value(args, "workload-api");

    if (!v && !weir_args_has(args, "identity"))
        v = getenv("SPIFFE_ENDPOINT_SOCKET");
    return v && v[0] ? v : NULL;
}

static void overlay(struct weir_snapshot *s, void *arg) {
    const struct weir_args *args = arg;
    struct weir_proxy_spec *spec = &s->proxy;
    const char *v;

    text(args, "listen", &spec->listen);
    text(args, "cert", &spec->cert);
    text(args, "key", &spec->key);
    text(args, "client-ca", &spec->client_ca);
    text(args, "to-ca", &spec->to_ca);
    text(args, "to-cert", &spec->to_cert);
    text(args, "to-key", &spec->to_key);
    text(args, "to-sni", &spec->to_sni);
    text(args, "session-key", &spec->session_key);
    text(args, "admin", &spec->admin);
    text(args, "log-level", &spec->log_level);
    text(args, "pod", &spec->pod);
    text(args, "identity", &spec->identity_dir);
    if (workload_api(args))
        spec->identity_dir = "";
    overlay_to(s, args);
    v = weir_args_value(args, "workers");
    if (v)
        spec->workers = (uint32_t)strtoul(v, NULL, 10);
    v = weir_args_value(args, "access-log");
    if (v)
        spec->access_log = (enum weir_access_log)access_format(v);
    spec->access_log_given |= v != NULL;
    spec->admin_given |= weir_args_has(args, "admin");
    weir_proxy_spec_settle(spec);
}

/* What can be seen to be wrong before anything is loaded. */
static int check(struct weir_args *args) {
    static const char *const addresses[] = { "listen", "admin", "agent" };
    enum weir_log_level level;
    const char *v;
    char *end;

    for (unsigned i = 0; i < WEIR_ARRAY_LEN(addresses); i++) {
        struct weir_ip ip;
        uint16_t port;

        v = weir_args_value(args, addresses[i]);
        if (v && weir_parse_hostport(v, &ip, &port) < 0)
            return weir_usage(args, "--%s %s: ADDR:PORT, [v6]:PORT or :PORT", addresses[i], v);
    }
    for (unsigned i = 0; i < args->n_given; i++) {
        struct weir_arena arena;
        struct weir_to to;
        int r;

        if (strcmp(args->given[i].option->name, "to") != 0)
            continue;
        weir_arena_init(&arena, 1024);
        r = weir_parse_to(&arena, args->given[i].value, &to);
        weir_arena_deinit(&arena);
        if (r < 0)
            return weir_usage(args, "--to %s: http://HOST:PORT, h2c://, https:// or HOST:PORT",
                              args->given[i].value);
    }
    v = workload_api(args);
    if (v && !unix_path(v))
        return weir_usage(
            args, "%s %s: unix:///PATH, of 107 bytes at most",
            weir_args_has(args, "workload-api") ? "--workload-api" : "SPIFFE_ENDPOINT_SOCKET", v);
    if (weir_args_has(args, "workload-api") && weir_args_has(args, "identity"))
        return weir_usage(args, "--workload-api and --identity: an identity has one source");
    v = weir_args_value(args, "log-level");
    if (v && weir_log_level_parse(weir_slice_from_str(v), &level) < 0)
        return weir_usage(args, "--log-level %s: debug, info, warn or error", v);
    v = weir_args_value(args, "workers");
    if (v && (strtoul(v, &end, 10) < 1 || *end || strtoul(v, NULL, 10) > 128 || v[0] == '-'))
        return weir_usage(args, "--workers %s: a number from 1 to 128", v);
    v = weir_args_value(args, "access-log");
    if (v && access_format(v) < 0)
        return weir_usage(args, "--access-log %s: off, text or json", v);
    return 0;
}

/* What the documents say of listeners and places is for others. */
static void overlay_tenant(struct weir_snapshot *s, void *arg) {
    struct weir_proxy_spec *spec = &s->proxy;

    (void)arg;
    spec->listen = spec->pod = spec->admin = spec->identity_dir = spec->cert = spec->key = "";
    spec->session_key = "";
    spec->n_to = 0;
    spec->admin_given = true;
    weir_proxy_spec_settle(spec);
}

/* The same, but what the command line says of them counts. */
static void overlay_agent(struct weir_snapshot *s, void *arg) {
    overlay_tenant(s, NULL);
    s->proxy.admin_given = false;
    overlay(s, arg);
}

/* Before it is told anything: no new program, no namespace, no other user. */
static int run_tenant(struct weir_args *args, const char *tenant) {
    const char *control = weir_args_value(args, "control");
    struct weir_process_params params = { .overlay = overlay_tenant,
                                          .tenant = tenant,
                                          .control_fd = control ? atoi(control) : -1 };

    if (params.control_fd < 3)
        return weir_usage(args, "--tenant: weir helper starts these, with --control FD");
    (void)mallopt(M_ARENA_MAX, 1); /* most tenants have little to do */
#if WEIR_HAVE_KERNEL
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || weir_seccomp_worker() < 0)
        return weir_failed(args, "seccomp: %s", strerror(errno));
#endif
    return weir_process_run(&params);
}

static int run(struct weir_args *args) {
    const char *tenant = weir_args_value(args, "tenant");
    const char *config[WEIR_ARGS_MAX];
    struct weir_process_params params = { .config = config, .overlay = overlay, .arg = args };
    int r = tenant ? run_tenant(args, tenant) : check(args);

    if (r != 0 || tenant)
        return r;
    params.agent = weir_args_value(args, "agent");
    if (workload_api(args))
        params.workload_api = unix_path(workload_api(args));
    params.own_identity = weir_args_has(args, "identity") || params.workload_api;
    if (params.agent)
        params.overlay = overlay_agent;
    for (unsigned i = 0; i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, "config") == 0)
            config[params.n_config++] = args->given[i].value;
    if (params.agent && (params.n_config || weir_args_has(args, "listen") ||
                         weir_args_has(args, "to") || weir_args_has(args, "pod")))
        return weir_usage(args, "--agent says everything: without --config, --listen, --to, --pod");
    if (params.n_config == 0 && !weir_args_has(args, "listen") && !params.agent)
        return weir_usage(args,
                          "give --listen ADDR:PORT --to URL, --config PATH or --agent ADDR:PORT");
    return weir_process_run(&params);
}
