/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir ca: a development CA on disk. `init` makes ca.crt and ca.key in a directory, `issue` an identity from it in the layout the sidecar
 * reads (tls.crt, tls.key, ca.crt). Nothing that exists is overwritten by init; keys are readable by their owner alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/verb.h"
#include "sys/clock.h"
#include "sys/files.h"
#include "tls/ca.h"

#define PEM_MAX (1024u * 1024u)
#define DAY     86400

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "dir", 'd', "DIR", "the CA's directory (default ./weir-ca)" },
    { "out", 0, "DIR", "issue: where tls.crt, tls.key and ca.crt go (default DIR/NS-SA)" },
    { "trust-domain", 0, "NAME", "init: the mesh's trust domain (default cluster.local)" },
    { "dns", 0, "NAME", "issue: a DNS name beside the SPIFFE id" },
    { "days", 0, "N", "lifetime (default: init 3650, issue 1)" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_ca = {
    .name = "ca",
    .words = "init|issue [SPIFFE-ID | NS/SERVICEACCOUNT]",
    .summary = "a development CA: make it, issue identities from it",
    .more = "  weir ca init --dir ca\n"
            "  weir ca issue --dir ca default/web --out web-identity\n\n"
            "For development and demonstrations. In a cluster, identities come from its signer.\n",
    .options = options,
    .run = run,
};

/* 0 or an exit code that has been explained. */
static int write_file(struct weir_args *args, const char *dir, const char *name, unsigned mode,
                      const char *text) {
    char path[4096];
    int r;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    r = weir_file_replace(path, mode, text, strlen(text));
    return r < 0 ? weir_failed(args, "%s: %s", path, strerror(-r)) : 0;
}

static int make_dir(struct weir_args *args, const char *dir) {
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return weir_failed(args, "%s: %s", dir, strerror(errno));
    return 0;
}

static int64_t lifetime(struct weir_args *args, long days, int *ret_bad) {
    const char *v = weir_args_value(args, "days");
    char *end;

    *ret_bad = 0;
    if (v) {
        days = strtol(v, &end, 10);
        if (*end || days < 1 || days > 36500)
            *ret_bad = weir_usage(args, "--days %s: a number from 1 to 36500", v);
    }
    return (int64_t)days * DAY;
}

static int64_t now(void) {
    return (int64_t)(weir_clock_wall_us() / 1000000);
}

static int init(struct weir_args *args, const char *dir) {
    const char *td = weir_args_value(args, "trust-domain"), *why = "";
    struct weir_pem ca = { 0 };
    char path[4096];
    int r;
    int64_t life = lifetime(args, 3650, &r);

    if (r)
        return r;
    r = make_dir(args, dir);
    if (r)
        return r;
    snprintf(path, sizeof(path), "%s/ca.key", dir);
    if (access(path, F_OK) == 0)
        return weir_failed(args, "%s exists: a CA is never overwritten; choose another --dir",
                           path);
    r = weir_ca_new(td ? td : "cluster.local", now(), life, &ca, &why);
    if (r != 0)
        return weir_failed(args, "%s", r < 0 ? strerror(-r) : why);
    r = write_file(args, dir, "ca.key", 0600, ca.key);
    if (r == 0)
        r = write_file(args, dir, "ca.crt", 0644, ca.cert);
    weir_pem_deinit(&ca);
    if (r == 0)
        printf("%s/ca.crt and %s/ca.key: trust domain %s\n", dir, dir, td ? td : "cluster.local");
    return r;
}

static int read_ca(struct weir_args *args, const char *dir, const char *name, char **ret_text,
                   size_t *ret_len) {
    char path[4096];
    int r;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    r = weir_file_read(path, PEM_MAX, ret_text, ret_len);
    return r < 0 ? weir_failed(args, "%s: %s (weir ca init --dir %s makes one)", path, strerror(-r),
                               dir)
                 : 0;
}

struct subject {
    char id[2100];   /* SPIFFE id */
    char name[1024]; /* of the directory its files go to by default */
};

/* weir_ca_issue checks that the id is in the CA's trust domain. */
static int parse_subject(struct weir_args *args, const char *word, struct subject *s) {
    const char *td = weir_args_value(args, "trust-domain");
    const char *slash = strchr(word, '/');

    if (strncmp(word, "spiffe://", 9) == 0) {
        snprintf(s->id, sizeof(s->id), "%s", word);
        snprintf(s->name, sizeof(s->name), "identity");
        return 0;
    }
    if (!slash || slash == word || !slash[1] || strchr(slash + 1, '/'))
        return weir_usage(args, "%s: spiffe://TRUST-DOMAIN/PATH or NAMESPACE/SERVICEACCOUNT", word);
    snprintf(s->id, sizeof(s->id), "spiffe://%s/ns/%.*s/sa/%s", td ? td : "cluster.local",
             (int)(slash - word), word, slash + 1);
    snprintf(s->name, sizeof(s->name), "%.*s-%s", (int)(slash - word), word, slash + 1);
    return 0;
}

static int issue(struct weir_args *args, const char *dir, const char *word) {
    const char *out = weir_args_value(args, "out"), *dns = weir_args_value(args, "dns"), *why = "";
    struct subject subject;
    char fallback[5200];
    struct weir_ca_request req = {
        .spiffe_id = subject.id, .dns_names = &dns, .n_dns_names = dns ? 1 : 0, .now = now()
    };
    WEIR_CLEANUP(weir_freep)
    char *cert = NULL;
    WEIR_CLEANUP(weir_freep)
    char *key = NULL;
    struct weir_pem leaf = { 0 };
    int r;

    req.lifetime = lifetime(args, 1, &r);
    if (r == 0)
        r = parse_subject(args, word, &subject);
    if (r == 0)
        r = read_ca(args, dir, "ca.crt", &cert, &req.ca_cert.len);
    if (r == 0)
        r = read_ca(args, dir, "ca.key", &key, &req.ca_key.len);
    if (r)
        return r;
    snprintf(fallback, sizeof(fallback), "%s/%s", dir, subject.name);
    out = out ? out : fallback;
    req.ca_cert.ptr = cert;
    req.ca_key.ptr = key;
    r = weir_ca_issue(&req, &leaf, &why);
    if (r != 0)
        return weir_failed(args, "%s: %s", subject.id, r < 0 ? strerror(-r) : why);
    r = make_dir(args, out);
    if (r == 0)
        r = write_file(args, out, "tls.key", 0600, leaf.key);
    if (r == 0)
        r = write_file(args, out, "tls.crt", 0644, leaf.cert);
    if (r == 0)
        r = write_file(args, out, "ca.crt", 0644, cert);
    weir_pem_deinit(&leaf);
    if (r == 0)
        printf("%s: %s\n", out, subject.id);
    return r;
}

static int run(struct weir_args *args) {
    const char *dir = weir_args_value(args, "dir");

    dir = dir ? dir : "weir-ca";
    if (args->n_words == 1 && strcmp(args->words[0], "init") == 0)
        return init(args, dir);
    if (args->n_words == 2 && strcmp(args->words[0], "issue") == 0)
        return issue(args, dir, args->words[1]);
    return weir_usage(args, "init, or issue SPIFFE-ID");
}
