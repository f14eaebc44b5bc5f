/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/inspect.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/dns.h"
#include "io/events.h"
#include "kube/client.h"
#include "kube/resource.h"

#define PATIENCE_US (5u * 1000 * 1000) /* of one answer */
#define BODY_MAX    65536u

struct inspect {
    weir_kube_finding_fn *fn;
    void *arg;
    struct weir_chunk_pool pool;
    struct weir_loop *loop;
    struct weir_dns *dns;
    struct weir_kube_access access;
    struct weir_kube_client *client;
    uint64_t asked;
    int status; /* 0 = no answer */
    bool done;
    const char *broken;
    char *body;
    size_t n_body;
};

static void say(struct inspect *in, int state, const char *what, const char *found,
                const char *fix) {
    const struct weir_kube_finding finding = { .what = what, .found = found, .fix = fix };
    struct weir_kube_finding f = finding;

    f.state = state;
    in->fn(in->arg, &f);
}

/* ---- one question at a time ---- */

static void on_head(void *arg, int status, uint32_t retry_s) {
    ((struct inspect *)arg)->status = status;
}

static int on_body(void *arg, struct weir_slice bytes) {
    struct inspect *in = arg;

    if (in->n_body + bytes.len > BODY_MAX)
        return -EFBIG;
    memcpy(in->body + in->n_body, bytes.ptr, bytes.len);
    in->n_body += bytes.len;
    return 0;
}

static void on_end(void *arg, const char *broken) {
    struct inspect *in = arg;

    in->broken = broken;
    in->done = true;
}

static const struct weir_kube_answer answer = { on_head, on_body, on_end };

static bool is_done(void *arg) {
    return ((struct inspect *)arg)->done;
}

static void on_time(void *arg) {
    struct inspect *in = arg;
    struct weir_net *net = weir_loop_net(in->loop);

    if (!in->done && net->ops->now(net) > in->asked + PATIENCE_US)
        weir_kube_client_cut(in->client, "no answer in time");
}

/* The answer as JSON, json_decref it; NULL: status and broken say why not. */
static json_t *ask(struct inspect *in, const struct weir_kube_question *question) {
    struct weir_net *net = weir_loop_net(in->loop);

    in->done = false;
    in->status = 0;
    in->n_body = 0;
    in->broken = NULL;
    in->asked = net->ops->now(net);
    if (weir_kube_client_ask(in->client, question))
        return NULL;
    weir_loop_run_until(in->loop, is_done, in);
    return in->broken ? NULL : json_loadb(in->body, in->n_body, 0, NULL);
}

/* ---- what is asked ---- */

static bool look_at_server(struct inspect *in) {
    const struct weir_kube_question question = { .method = "GET", .path = "/version" };
    json_t *version = ask(in, &question);
    char found[200];

    if (in->status == 200) {
        snprintf(found, sizeof(found), "%s at %.100s", weir_kube_text(version, "gitVersion", NULL),
                 in->access.server);
        say(in, WEIR_KUBE_FINE, "API server", found, "");
    } else {
        snprintf(found, sizeof(found), "%.100s: %s", in->access.server,
                 in->broken          ? in->broken
                 : in->status == 401 ? "the credentials are refused"
                                     : "no proper answer");
        say(in, WEIR_KUBE_FAILS, "API server", found,
            in->status == 401 ? "renew the token or certificate"
                              : "give --kubeconfig, or let the node reach it");
    }
    json_decref(version);
    return in->status == 200;
}

/* "/apis/GROUP/VERSION/PLURAL", "/api/v1/PLURAL": group and plural. */
static void split_path(const char *path, char group[64], const char **ret_plural) {
    const char *from = strncmp(path, "/apis/", 6) == 0 ? path + 6 : NULL;

    snprintf(group, 64, "%.*s", from ? (int)strcspn(from, "/") : 0, from ? from : "");
    *ret_plural = strrchr(path, '/') + 1;
}

static bool may(struct inspect *in, const char *group, const char *plural, const char *verb) {
    json_t *review =
        json_pack("{s:s, s:s, s:{s:{s:s, s:s, s:s}}}", "apiVersion", "authorization.k8s.io/v1",
                  "kind", "SelfSubjectAccessReview", "spec", "resourceAttributes", "group", group,
                  "resource", plural, "verb", verb);
    char *text = review ? json_dumps(review, JSON_COMPACT) : NULL;
    const struct weir_kube_question question = {
        .method = "POST",
        .path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        .type = "application/json",
        .content = weir_slice_from_str(text),
    };
    json_t *reply = text ? ask(in, &question) : NULL;
    bool allowed = json_is_true(weir_kube_get(reply, "status", "allowed", NULL));

    json_decref(reply);
    free(text);
    json_decref(review);
    return allowed;
}

/* NULL when list and watch are allowed, else which is not. */
static const char *missing(struct inspect *in, enum weir_kube_kind kind) {
    char group[64];
    const char *plural;

    split_path(weir_kube_resource(kind)->path, group, &plural);
    return !may(in, group, plural, "list")    ? "list"
           : !may(in, group, plural, "watch") ? "watch"
                                              : NULL;
}

/* Of a custom kind: is it installed? */
static bool is_there(struct inspect *in, enum weir_kube_kind kind) {
    char path[256];
    const struct weir_kube_question question = { .method = "GET", .path = path };

    snprintf(path, sizeof(path), "%s?limit=1", weir_kube_resource(kind)->path);
    json_decref(ask(in, &question));
    return in->status != 404;
}

static void look_at_kinds(struct inspect *in) {
    char found[160], what[64];

    for (unsigned kind = 0; kind < WEIR_KUBE_KINDS; kind++) {
        const struct weir_kube_resource *resource = weir_kube_resource(kind);
        const char *lacks = missing(in, kind);

        snprintf(what, sizeof(what), "kind %s", resource->kind);
        if (resource->optional && !is_there(in, kind)) {
            say(in, WEIR_KUBE_DOUBTFUL, what, "not installed: taken to be empty",
                strstr(resource->path, "gateway.networking")
                    ? "install the Gateway API's CRDs to use it"
                : strstr(resource->path, "weir.dev") ? "weir install | kubectl apply -f -"
                                                     : "nothing, unless you use it");
        } else if (lacks) {
            snprintf(found, sizeof(found), "may not %s", lacks);
            say(in, resource->optional ? WEIR_KUBE_DOUBTFUL : WEIR_KUBE_FAILS, what, found,
                "weir install has the ClusterRole: list and watch");
        } else {
            say(in, WEIR_KUBE_FINE, what, "may be listed and watched", "");
        }
    }
}

/* ---- life ---- */

static int begin(struct inspect *in, const char *kubeconfig) {
    const struct weir_dns_params dns = { .servers = "", .timeout_us = 2000000, .tries = 2 };
    int r = weir_loop_new(&in->pool, &in->loop);

    if (r == 0)
        r = weir_kube_access_init(&in->access, kubeconfig);
    if (r == 0 && !in->access.literal)
        r = weir_dns_new(in->loop, &dns, &in->dns);
    if (r)
        return r;
    in->body = weir_malloc(BODY_MAX);
    in->client = weir_kube_client_new(in->loop, in->dns, &in->access, &answer, in);
    return in->body && in->client ? 0 : -ENOMEM;
}

static void end(struct inspect *in) {
    weir_kube_client_free(in->client);
    weir_dns_free(in->dns);
    if (in->loop) {
        weir_loop_stop(in->loop);
        weir_loop_run(in->loop);
        weir_loop_free(in->loop);
    }
    weir_free(in->body);
    weir_kube_access_deinit(&in->access);
    weir_chunk_pool_deinit(&in->pool);
}

int weir_kube_inspect(const char *kubeconfig, weir_kube_finding_fn *fn, void *arg) {
    static const struct weir_net_events no_events;
    struct inspect in = { .fn = fn, .arg = arg };
    struct weir_event *timer = NULL;
    int r;

    weir_chunk_pool_init(&in.pool, 4);
    r = begin(&in, kubeconfig);
    if (r == 0) {
        weir_loop_net(in.loop)->events = &no_events;
        r = weir_event_every(in.loop, 250000, on_time, &in, &timer);
    }
    if (r == 0 && look_at_server(&in))
        look_at_kinds(&in);
    if (r == WEIR_KUBE_REFUSED) {
        say(&in, WEIR_KUBE_FAILS, "API server", in.access.why, "see docs/kubernetes.md");
        r = 0;
    }
    weir_event_free(timer);
    end(&in);
    return r;
}
