/* SPDX-License-Identifier: Apache-2.0 */
#include "webhook/webhook.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/server_listen.h"
#include "core/tls_files.h"
#include "inject/inject.h"
#include "io/events.h"
#include "obs/expo.h"
#include "sys/log.h"
#include "sys/watch.h"

/* An API server takes no object above 3 MiB, and a review holds two at most. */
#define REVIEW_MAX  (8u * 1024u * 1024u)
#define CHUNKS_KEPT 16
#define WATCH_US    (60u * 1000u * 1000u) /* also without news: a mount may not tell */

struct webhook {
    const struct weir_webhook_params *params;
    struct weir_chunk_pool pool;
    struct weir_loop *loop;
    struct weir_server server;
    struct weir_tls_ctx *tls;
    struct weir_watch *watch;
    struct weir_event *events[4];
    uint64_t n_reviews, n_refused, n_loads, n_load_failures;
};

/* The listeners' users. */
static const char secure, health;

/* ---- answers ---- */

static int text(struct weir_bufq *body, int status, const char *s) {
    return weir_bufq_append(body, weir_slice_from_str(s)) < 0 ? 500 : status;
}

static int review(struct webhook *w, struct weir_slice content, struct weir_bufq *body,
                  const char **ret_type) {
    const struct weir_inject_options options = { .image = w->params->image };
    const char *why = NULL;
    char *answer = NULL;
    int r = weir_inject_review(&options, content, &answer, &why);

    w->n_reviews++;
    if (r == 0 && answer)
        r = weir_bufq_append(body, weir_slice_from_str(answer));
    free(answer);
    if (r < 0)
        return text(body, 500, "weir: no memory\n");
    if (why) {
        w->n_refused++;
        (void)text(body, 400, "weir: ");
        (void)text(body, 400, why);
        return text(body, 400, "\n");
    }
    *ret_type = "application/json";
    return 200;
}

static int metrics(const struct webhook *w, struct weir_bufq *body, const char **ret_type) {
    struct weir_pen pen;

    *ret_type = "text/plain; version=0.0.4; charset=utf-8";
    weir_pen_begin(&pen, body);
    weir_expo_one(
        &pen, (struct weir_family){ "weir_webhook_reviews_total", "counter", "AdmissionReviews." },
        w->n_reviews);
    weir_expo_one(&pen,
                  (struct weir_family){ "weir_webhook_reviews_refused_total", "counter",
                                        "Requests that were no AdmissionReview." },
                  w->n_refused);
    weir_expo_one(&pen,
                  (struct weir_family){ "weir_webhook_certificate_loads_total", "counter",
                                        "Certificates put in force." },
                  w->n_loads);
    weir_expo_one(
        &pen,
        (struct weir_family){ "weir_webhook_certificate_failures_total", "counter",
                              "Certificates that could not be used; the one before stays." },
        w->n_load_failures);
    return weir_pen_end(&pen) < 0 ? 500 : 200;
}

static bool is_json(const struct weir_head *head) {
    const struct weir_field *f = weir_head_find(head, WEIR_SLICE("content-type"));
    struct weir_slice rest = f ? f->value : WEIR_SLICE(""), type = rest;

    (void)weir_slice_split(&rest, ';', &type);
    return weir_slice_ieq(weir_slice_trim(type), WEIR_SLICE("application/json"));
}

static int serve(void *arg, const struct weir_server_request *req, struct weir_bufq *body,
                 const char **ret_type) {
    struct webhook *w = arg;
    struct weir_slice path = weir_head_path(req->head);
    bool get = req->head->method == WEIR_METHOD_GET || req->head->method == WEIR_METHOD_HEAD;

    if (req->listener == &health) {
        if (!get)
            return text(body, 405, "weir: GET or HEAD only\n");
        if (weir_slice_eq(path, WEIR_SLICE("/metrics")))
            return metrics(w, body, ret_type);
        if (weir_slice_eq(path, WEIR_SLICE("/ready")) || weir_slice_eq(path, WEIR_SLICE("/live")))
            return text(body, 200, "ready\n");
        return text(body, 404, "weir: try /metrics /ready /live\n");
    }
    if (!weir_slice_eq(path, WEIR_SLICE("/inject")))
        return text(body, 404, "weir: try POST /inject\n");
    if (req->head->method != WEIR_METHOD_POST)
        return text(body, 405, "weir: POST only\n");
    if (!is_json(req->head))
        return text(body, 415, "weir: content-type must be application/json\n");
    return review(w, req->body, body, ret_type);
}

static void posted(void *arg) {
    (void)arg;
}

static struct weir_tls_ctx *tls(void *arg, void *listener) {
    const struct webhook *w = arg;

    return listener == &secure ? w->tls : NULL;
}

/* ---- the certificate ---- */

/* 0, -errno, 1 = unusable (logged); what was in force stays then. */
static int load(struct webhook *w) {
    const char *const paths[3] = { w->params->cert, w->params->key, w->params->client_ca };
    struct weir_tls_params params = { .mode = WEIR_TLS_SERVER,
                                      .trust_domain = "",
                                      .alpn = WEIR_SLICE("\x08http/1.1"),
                                      .scope = "webhook" };
    struct weir_tls_ctx *ctx = NULL;
    int r = weir_tls_from_files(&params, paths, &ctx);

    if (r != 0) {
        w->n_load_failures++;
        return r;
    }
    weir_tls_ctx_unref(w->tls);
    w->tls = ctx;
    w->n_loads++;
    weir_log(WEIR_LOG_INFO, "certificate", "file=%s not_after=%lld", w->params->cert,
             (long long)weir_tls_ctx_not_after(ctx));
    return 0;
}

static void on_change(void *arg) {
    struct webhook *w = arg;

    if (weir_watch_drain(w->watch))
        (void)load(w);
}

static void on_time(void *arg) {
    (void)load(arg);
}

static int watch(struct webhook *w) {
    const char *const paths[3] = { w->params->cert, w->params->key, w->params->client_ca };
    int r = weir_watch_new(&w->watch);

    for (unsigned i = 0; r == 0 && i < 3; i++)
        if (paths[i][0])
            r = weir_watch_add(w->watch, paths[i]);
    if (r == 0)
        r = weir_event_readable(w->loop, weir_watch_fd(w->watch), on_change, w, &w->events[0]);
    return r == 0 ? weir_event_every(w->loop, WATCH_US, on_time, w, &w->events[1]) : r;
}

/* ---- the whole ---- */

static void on_end(void *arg) {
    struct webhook *w = arg;

    for (unsigned i = 0; i < WEIR_ARRAY_LEN(w->events); i++)
        w->events[i] = weir_event_free(w->events[i]);
    weir_server_close(&w->server);
    weir_loop_stop(w->loop);
}

static int start(struct webhook *w) {
    static const struct weir_server_ops ops = { .serve = serve, .posted = posted, .tls = tls };
    int r = weir_loop_new(&w->pool, &w->loop);

    if (r < 0)
        return r;
    weir_server_init(&w->server, weir_loop_net(w->loop), &ops, w);
    w->server.body_max = REVIEW_MAX;
    r = load(w);
    if (r == 0)
        r = watch(w);
    if (r == 0)
        r = weir_event_signal(w->loop, SIGTERM, on_end, w, &w->events[2]);
    if (r == 0)
        r = weir_event_signal(w->loop, SIGINT, on_end, w, &w->events[3]);
    if (r == 0)
        r = weir_server_listen(w->loop, w->params->listen, &secure, NULL);
    if (r == 0 && w->params->health[0])
        r = weir_server_listen(w->loop, w->params->health, &health, NULL);
    return r;
}

int weir_webhook_run(const struct weir_webhook_params *params) {
    struct webhook w = { .params = params };
    int r;

    weir_tls_count_memory();
    signal(SIGPIPE, SIG_IGN);
    weir_chunk_pool_init(&w.pool, CHUNKS_KEPT);
    r = start(&w);
    if (r != 0) {
        weir_log(WEIR_LOG_ERROR, "start", "error=\"%s\"",
                 r < 0 ? strerror(-r) : "refused, see above");
        return 1;
    }
    weir_log(WEIR_LOG_INFO, "ready", "image=%s", params->image);
    weir_loop_run(w.loop);
    weir_log(WEIR_LOG_INFO, "stopped", "reviews=%llu", (unsigned long long)w.n_reviews);
    weir_loop_free(w.loop);
    weir_watch_free(w.watch);
    weir_tls_ctx_unref(w.tls);
    weir_chunk_pool_deinit(&w.pool);
    return 0;
}
