/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kubeconfig is read with conf's YAML loader. What would run a program or is no longer part of Kubernetes is refused by
 * name; certificates are always verified. Texts of keys and tokens never reach a message.
 */
#include "kube/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/radix.h"
#include "conf/node.h"
#include "conf/parse.h"
#include "sys/files.h"
#include "tls/tls.h"

#define ACCOUNT  "/var/run/secrets/kubernetes.io/serviceaccount"
#define FILE_MAX (1u << 20)

static int refuse(struct weir_kube_access *a, const char *fmt, ...) WEIR_PRINTF(2, 3);
static int refuse(struct weir_kube_access *a, const char *fmt, ...) {
    va_list args;

    va_start(args, fmt);
    vsnprintf(a->why, sizeof(a->why), fmt, args);
    va_end(args);
    return WEIR_KUBE_REFUSED;
}

static int set(char **to, const char *text) {
    char *copy = weir_strndup(text, strlen(text));

    if (!copy)
        return -ENOMEM;
    weir_free(*to);
    *to = copy;
    return 0;
}

static void wipe(char *text) {
    if (text)
        explicit_bzero(text, strlen(text));
    weir_free(text);
}

void weir_kube_access_deinit(struct weir_kube_access *a) {
    char *texts[] = { a->server, a->host,    a->sni,       a->ns,       a->ca,
                      a->cert,   a->ca_file, a->cert_file, a->key_file, a->token_file };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++)
        weir_free(texts[i]);
    wipe(a->key);
    wipe(a->token);
    weir_tls_ctx_unref(a->ctx);
    *a = (struct weir_kube_access){ 0 };
}

/* ---- the server's address ---- */

/* "https://host[:port][/]"; sets host, port, tls. */
static int server_set(struct weir_kube_access *a, const char *server) {
    const char *at = server, *end;
    size_t n;
    int r = set(&a->server, server);

    if (r)
        return r;
    a->tls = strncmp(server, "https://", 8) == 0;
    if (!a->tls && strncmp(server, "http://", 7) != 0)
        return refuse(a, "the server \"%.100s\" is not https://HOST[:PORT]", server);
    at += a->tls ? 8 : 7;
    a->port = a->tls ? 443 : 80;
    end = *at == '[' ? strchr(at, ']') : at + strcspn(at, ":/");
    n = end ? (size_t)(end - at) - (*at == '[') : 0;
    a->host = n ? weir_strndup(at + (*at == '['), n) : NULL;
    if (n && !a->host)
        return -ENOMEM;
    end += end && *end == ']';
    if (end && *end == ':') {
        char *rest;
        unsigned long port = strtoul(end + 1, &rest, 10);

        n = port > 0 && port <= 65535 ? n : 0;
        a->port = (uint16_t)port;
        end = rest;
    }
    if (n == 0 || (*end && strcmp(end, "/") != 0))
        return refuse(
            a, "the server \"%.100s\" is not https://HOST[:PORT]; a path is not supported", server);
    a->literal = weir_parse_ip(a->host, &a->ip) == 0;
    if (!a->tls && strncmp(a->host, "127.", 4) != 0 && strcmp(a->host, "::1") != 0)
        return refuse(a, "the server \"%.100s\" is neither https nor on this machine", server);
    return a->sni ? 0 : set(&a->sni, a->host);
}

/* ---- files ---- */

/* An empty token is none; a newline behind it is not part of it. */
static void chomp(char *text) {
    size_t n = strlen(text);

    while (n > 0 && strchr(" \r\n\t", text[n - 1]))
        text[--n] = '\0';
}

static int read_one(struct weir_kube_access *a, const char *path, char **to, bool *ret_changed) {
    char *text;
    size_t len;
    int r;

    if (!path)
        return 0;
    r = weir_file_read(path, FILE_MAX, &text, &len);
    if (r)
        return r == -ENOMEM ? r : refuse(a, "%s: %s", path, strerror(-r));
    chomp(text);
    if (text[0] == '\0') {
        weir_free(text);
        return refuse(a, "%s is empty", path);
    }
    *ret_changed = *ret_changed || !*to || strcmp(*to, text) != 0;
    wipe(*to);
    *to = text;
    return 0;
}

static struct weir_slice slice_of(const char *text) {
    return weir_slice_from_str(text ? text : "");
}

static int context_new(struct weir_kube_access *a) {
    struct weir_tls_params params = {
        .mode = WEIR_TLS_CLIENT,
        .material = { slice_of(a->cert), slice_of(a->key), slice_of(a->ca) },
        .trust_domain = "",
        .alpn = WEIR_SLICE("\x08http/1.1"),
    };
    struct weir_tls_ctx *ctx;
    const char *why = "";
    int r = weir_tls_ctx_new(&params, &ctx, &why);

    if (r)
        return r < 0 ? r : refuse(a, "certificates for %s: %s", a->server, why);
    weir_tls_ctx_unref(a->ctx);
    a->ctx = ctx;
    return 0;
}

int weir_kube_access_refresh(struct weir_kube_access *a) {
    bool token = false, changed = a->tls && !a->ctx;
    int r = read_one(a, a->token_file, &a->token, &token);

    if (r == 0)
        r = read_one(a, a->ca_file, &a->ca, &changed);
    if (r == 0)
        r = read_one(a, a->cert_file, &a->cert, &changed);
    if (r == 0)
        r = read_one(a, a->key_file, &a->key, &changed);
    return r == 0 && changed && a->tls ? context_new(a) : r;
}

/* ---- the service account of a pod ---- */

static int in_cluster(struct weir_kube_access *a) {
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    char server[320];
    bool changed;
    int r;

    if (!host || !*host || !port || !*port)
        return refuse(a,
                      "this is not a pod of a cluster (KUBERNETES_SERVICE_HOST is not set): give "
                      "--kubeconfig PATH");
    snprintf(server, sizeof(server), strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host,
             port);
    r = server_set(a, server);
    if (r == 0)
        r = read_one(a, ACCOUNT "/namespace", &a->ns, &changed);
    if (r == 0)
        r = set(&a->token_file, ACCOUNT "/token");
    return r ? r : set(&a->ca_file, ACCOUNT "/ca.crt");
}

/* ---- kubeconfig ---- */

struct kubeconfig {
    struct weir_kube_access *access;
    const char *path;
    bool seen;
};

static const char *text_at(const struct weir_node *n, const char *key) {
    const struct weir_node *value = weir_node_get(n, key);

    return value && (value->type == WEIR_NODE_STRING || value->type == WEIR_NODE_INT) ? value->text
                                                                                      : "";
}

/* lists.NAME.member: {name: NAME, member: {...}} of a list. */
static const struct weir_node *named(const struct weir_node *root, const char *list,
                                     const char *name, const char *member) {
    const struct weir_node *all = weir_node_get(root, list);

    if (!all || all->type != WEIR_NODE_LIST)
        return NULL;
    WEIR_NODE_FOREACH(it, all) {
        if (strcmp(text_at(it, "name"), name) == 0)
            return weir_node_get(it, member);
    }
    return NULL;
}

/* A path is below the directory of the kubeconfig. */
static int file_at(const struct kubeconfig *k, const struct weir_node *n, const char *key,
                   char **to) {
    const char *path = text_at(n, key), *slash = strrchr(k->path, '/');
    char *joined;

    if (!path[0])
        return 0;
    if (path[0] == '/' || !slash)
        return set(to, path);
    joined = weir_asprintf("%.*s/%s", (int)(slash - k->path), k->path, path);
    if (!joined)
        return -ENOMEM;
    weir_free(*to);
    *to = joined;
    return 0;
}

/* KEY-data in base64, else KEY as a file. */
static int pem_at(const struct kubeconfig *k, const struct weir_node *n, const char *key,
                  char **to_text, char **to_file) {
    char name[64];
    const char *data;
    char *text;
    long len;

    snprintf(name, sizeof(name), "%s-data", key);
    data = text_at(n, name);
    if (!data[0])
        return file_at(k, n, key, to_file);
    text = weir_malloc(strlen(data) + 1);
    if (!text)
        return -ENOMEM;
    len = weir_base64_decode(data, text);
    if (len < 0) {
        weir_free(text);
        return refuse(k->access, "%s: %s is not a text in base64", k->path, name);
    }
    text[len] = '\0';
    *to_text = text;
    return 0;
}

static int user_read(struct kubeconfig *k, const struct weir_node *user) {
    static const char *const unsupported[] = { "exec", "auth-provider", "username", "as" };
    struct weir_kube_access *a = k->access;
    int r;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(unsupported); i++)
        if (weir_node_get(user, unsupported[i]))
            return refuse(a,
                          "%s: users[].user.%s is not supported: weir starts no program for its "
                          "credentials; use token, tokenFile or client-certificate",
                          k->path, unsupported[i]);
    r = pem_at(k, user, "client-certificate", &a->cert, &a->cert_file);
    if (r == 0)
        r = pem_at(k, user, "client-key", &a->key, &a->key_file);
    if (r == 0)
        r = file_at(k, user, "tokenFile", &a->token_file);
    if (r == 0 && !a->token_file && text_at(user, "token")[0])
        r = set(&a->token, text_at(user, "token"));
    return r;
}

static int cluster_read(struct kubeconfig *k, const struct weir_node *cluster) {
    struct weir_kube_access *a = k->access;
    const struct weir_node *skip = weir_node_get(cluster, "insecure-skip-tls-verify");
    int r = 0;

    if (skip && skip->truth)
        return refuse(a,
                      "%s: insecure-skip-tls-verify is not supported: give "
                      "certificate-authority[-data]",
                      k->path);
    if (weir_node_get(cluster, "proxy-url"))
        return refuse(a, "%s: proxy-url is not supported", k->path);
    if (text_at(cluster, "tls-server-name")[0])
        r = set(&a->sni, text_at(cluster, "tls-server-name"));
    if (r == 0)
        r = server_set(a, text_at(cluster, "server"));
    return r ? r : pem_at(k, cluster, "certificate-authority", &a->ca, &a->ca_file);
}

static int document(const struct weir_node *root, void *arg) {
    struct kubeconfig *k = arg;
    const char *current = text_at(root, "current-context");
    const struct weir_node *context = named(root, "contexts", current, "context"), *cluster, *user;
    int r;

    if (k->seen)
        return 0;
    k->seen = true;
    if (!context)
        return refuse(k->access, "%s: no context is called \"%.60s\" (current-context)", k->path,
                      current);
    cluster = named(root, "clusters", text_at(context, "cluster"), "cluster");
    user = named(root, "users", text_at(context, "user"), "user");
    if (!cluster)
        return refuse(k->access, "%s: no cluster is called \"%.60s\"", k->path,
                      text_at(context, "cluster"));
    r = cluster_read(k, cluster);
    if (r == 0 && user)
        r = user_read(k, user);
    return r ? r : set(&k->access->ns, text_at(context, "namespace"));
}

static int from_file(struct weir_kube_access *a, const char *path) {
    struct kubeconfig k = { .access = a, .path = path };
    struct weir_problem_sink problems = { 0 };
    struct weir_source source = { .name = path };
    struct weir_load load = {
        .source = &source, .file = path, .problems = &problems, .fn = document, .arg = &k
    };
    char *text;
    size_t len;
    int r = weir_file_read(path, FILE_MAX, &text, &len);

    if (r)
        return r == -ENOMEM ? r : refuse(a, "%s: %s", path, strerror(-r));
    source.text = text;
    source.len = len;
    r = weir_load(&load);
    if (r == 0 && problems.n > 0)
        r = refuse(a, "%s:%u: %s", path, problems.entries[0].p.place.line,
                   problems.entries[0].p.message);
    else if (r == 0 && !k.seen)
        r = refuse(a, "%s is empty", path);
    weir_problem_sink_deinit(&problems);
    wipe(text);
    return r;
}

int weir_kube_access_init(struct weir_kube_access *a, const char *kubeconfig) {
    const char *named_file = getenv("KUBECONFIG");
    int r;

    *a = (struct weir_kube_access){ 0 };
    if (!kubeconfig && named_file && *named_file)
        kubeconfig = named_file;
    r = kubeconfig ? from_file(a, kubeconfig) : in_cluster(a);
    return r ? r : weir_kube_access_refresh(a);
}
