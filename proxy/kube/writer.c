/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "kube/status.h"
#include "sys/clock.h"
#include "sys/log.h"

#define SECOND   1000000ull
#define RENEW_US (5 * SECOND)
#define LEAD_US                                                                                    \
    (10 * SECOND) /* of a renewal, from when it was asked for: less than the Lease lasts */
#define ANSWER_US (5 * SECOND)
#define PASS_US   SECOND /* between two passes over the routes */
#define BODY_MAX  65536u

enum { NOTHING, READ, CREATE, RENEW, WRITE };

bool weir_kube_writer_leads(const struct weir_kube_writer *w, uint64_t now) {
    return now < w->leads_until;
}

static uint64_t now_of(const struct weir_kube_writer *w) {
    struct weir_net *net = weir_loop_net(w->loop);

    return net->ops->now(net);
}

static void lose(struct weir_kube_writer *w, const char *why) {
    if (w->leads_until)
        weir_log(WEIR_LOG_INFO, "status_writer", "leads=no why=\"%s\"", why);
    w->leads_until = 0;
}

/* "2026-11-21T22:00:00.000000Z"; without the fraction where the API takes whole seconds only. */
static const char *date(char *buf, size_t size, bool fraction) {
    uint64_t wall = weir_clock_wall_us();
    time_t seconds = (time_t)(wall / SECOND);
    struct tm tm;
    size_t n;

    gmtime_r(&seconds, &tm);
    n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
    if (fraction)
        snprintf(buf + n, size - n, ".%06uZ", (unsigned)(wall % SECOND));
    else
        snprintf(buf + n, size - n, "Z");
    return buf;
}

/* ---- questions ---- */

static void ask(struct weir_kube_writer *w, int doing, const char *method, const char *path,
                const char *content) {
    const struct weir_kube_question question = {
        .method = method,
        .path = path,
        .type = doing == READ    ? NULL
                : doing == WRITE ? "application/merge-patch+json"
                                 : "application/json",
        .content = weir_slice_from_str(content),
    };

    w->doing = doing;
    w->status = 0;
    w->n_body = 0;
    w->asked = now_of(w);
    if (weir_kube_client_ask(w->client, &question))
        w->doing = NOTHING;
}

static void ask_lease(struct weir_kube_writer *w, int doing, const char *method,
                      const char *content) {
    char path[256];

    snprintf(path, sizeof(path), "/apis/coordination.k8s.io/v1/namespaces/%s/leases%s%s", w->ns,
             doing == CREATE ? "" : "/", doing == CREATE ? "" : WEIR_KUBE_LEASE);
    ask(w, doing, method, path, content);
}

/* The Lease with us in it; version NULL: it is to be made. */
static void take(struct weir_kube_writer *w, const json_t *old) {
    const json_t *spec = json_object_get(old, "spec");
    const json_t *transitions = json_object_get(spec, "leaseTransitions");
    const char *version = weir_kube_text(json_object_get(old, "metadata"), "resourceVersion", NULL);
    bool ours = strcmp(weir_kube_text(spec, "holderIdentity", NULL), w->holder) == 0;
    char now[40], *text = NULL;
    const char *acquired = ours ? weir_kube_text(spec, "acquireTime", NULL) : "";
    json_t *lease;

    date(now, sizeof(now), true);
    lease = json_pack(
        "{s:s, s:s, s:{s:s, s:s, s:s*}, s:{s:s, s:i, s:s, s:s, s:I}}", "apiVersion",
        "coordination.k8s.io/v1", "kind", "Lease", "metadata", "name", WEIR_KUBE_LEASE, "namespace",
        w->ns, "resourceVersion", version[0] ? version : NULL, "spec", "holderIdentity", w->holder,
        "leaseDurationSeconds", (int)WEIR_KUBE_LEASE_S, "acquireTime", acquired[0] ? acquired : now,
        "renewTime", now, "leaseTransitions", json_integer_value(transitions) + (old && !ours));
    if (lease)
        text = json_dumps(lease, JSON_COMPACT);
    json_decref(lease);
    if (text)
        ask_lease(w, old ? RENEW : CREATE, old ? "PUT" : "POST", text);
    free(text);
}

/* Plural and API group of a route. */
static void write_status(struct weir_kube_writer *w, struct weir_kube_object *route,
                         const char *patch) {
    const char *path = weir_kube_resource(route->kind)->path, *plural = strrchr(path, '/');
    char target[1024];

    snprintf(target, sizeof(target), "%.*s/namespaces/%s%s/%s/status", (int)(plural - path), path,
             route->ns, plural, route->name);
    route->written = route->version;
    ask(w, WRITE, "PATCH", target, patch);
}

/* The next route whose status is not what it should be. False: there is none. */
static bool write_next(struct weir_kube_writer *w) {
    static const enum weir_kube_kind kinds[] = { WEIR_KUBE_HTTP_ROUTE, WEIR_KUBE_GRPC_ROUTE };
    char now[40];

    date(now, sizeof(now), false);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++) {
        WEIR_KUBE_FOREACH(it, w->store, kinds[i]) {
            struct weir_kube_object *o = WEIR_KUBE_OBJECT(it);
            char *patch;

            if (o->version == 0 || (o->written == o->version && !w->again) ||
                weir_kube_status_patch(w->store, o, now, &patch) || !patch)
                continue;
            write_status(w, o, patch);
            free(patch);
            return true;
        }
    }
    return false;
}

/* ---- answers ---- */

static void on_head(void *arg, int status, uint32_t retry_s) {
    struct weir_kube_writer *w = arg;

    w->status = status;
}

static int on_body(void *arg, struct weir_slice bytes) {
    struct weir_kube_writer *w = arg;

    if (w->n_body + bytes.len > BODY_MAX)
        return w->doing == WRITE ? 0 : -EFBIG; /* what comes back of a route is not looked at */
    memcpy(w->body + w->n_body, bytes.ptr, bytes.len);
    w->n_body += bytes.len;
    return 0;
}

/* Somebody else's as long as it is seen to be renewed. */
static void read_lease(struct weir_kube_writer *w, const json_t *lease, uint64_t now) {
    const json_t *spec = json_object_get(lease, "spec");
    const char *holder = weir_kube_text(spec, "holderIdentity", NULL);
    json_int_t lasts = json_integer_value(json_object_get(spec, "leaseDurationSeconds"));
    char seen[sizeof(w->seen)];

    snprintf(seen, sizeof(seen), "%.60s %.60s", weir_kube_text(spec, "renewTime", NULL), holder);
    if (strcmp(seen, w->seen) != 0) {
        memcpy(w->seen, seen, sizeof(seen));
        w->seen_at = now;
    }
    if (lasts < 1 || lasts > 3600)
        lasts = WEIR_KUBE_LEASE_S;
    if (holder[0] == '\0' || strcmp(holder, w->holder) == 0 ||
        now - w->seen_at >= (uint64_t)lasts * SECOND)
        take(w, lease);
    else
        lose(w, "another one holds the Lease");
}

static void lead(struct weir_kube_writer *w) {
    if (!w->leads_until)
        weir_log(WEIR_LOG_INFO, "status_writer", "leads=yes lease=%s/%s", w->ns, WEIR_KUBE_LEASE);
    w->leads_until = w->asked + LEAD_US;
    w->why[0] = '\0';
}

static void failed(struct weir_kube_writer *w, const char *broken) {
    char why[sizeof(w->why)];

    w->n_failed++;
    if (broken)
        snprintf(why, sizeof(why), "%s", broken);
    else
        snprintf(why, sizeof(why), "the API server answers %d", w->status);
    if (strcmp(why, w->why) != 0)
        weir_log(WEIR_LOG_WARN, "status_unwritten", "lease=%s/%s why=\"%s\"", w->ns,
                 WEIR_KUBE_LEASE, why);
    memcpy(w->why, why, sizeof(why));
}

static void on_end(void *arg, const char *broken) {
    struct weir_kube_writer *w = arg;
    int doing = w->doing, status = broken ? 0 : w->status;
    uint64_t now = now_of(w);
    json_t *lease;

    w->doing = NOTHING;
    if (status == 409) {
        w->n_conflicts++;
        if (doing != WRITE)
            lose(w, "another one took the Lease");
    } else if (doing == READ && status == 404) {
        take(w, NULL);
    } else if (doing == READ && status == 200) {
        lease = json_loadb(w->body, w->n_body, 0, NULL);
        read_lease(w, lease, now);
        json_decref(lease);
    } else if ((doing == CREATE || doing == RENEW) && (status == 200 || status == 201)) {
        lead(w);
    } else if (doing == WRITE && status == 200) {
        w->n_written++;
        w->again = false;
    } else if (doing != WRITE || status != 404) {
        failed(w, broken);
        if (doing == WRITE) {
            w->again = true;
            w->look_due = now + RENEW_US;
        }
    }
}

static const struct weir_kube_answer answer = { on_head, on_body, on_end };

/* ---- life ---- */

int weir_kube_writer_init(struct weir_kube_writer *w, struct weir_loop *loop, struct weir_dns *dns,
                          struct weir_kube_access *access, struct weir_kube_store *store) {
    w->loop = loop;
    w->store = store;
    w->looked = UINT64_MAX;
    snprintf(w->ns, sizeof(w->ns), "%s", access->ns && access->ns[0] ? access->ns : "weir-system");
    w->body = weir_malloc(BODY_MAX);
    w->client = weir_kube_client_new(loop, dns, access, &answer, w);
    return w->body && w->client ? 0 : -ENOMEM;
}

void weir_kube_writer_deinit(struct weir_kube_writer *w) {
    weir_kube_client_free(w->client);
    w->client = NULL;
    w->body = weir_free(w->body);
}

void weir_kube_writer_tick(struct weir_kube_writer *w, uint64_t now, bool synced) {
    if (w->leads_until && now >= w->leads_until)
        lose(w, "it could not be renewed in time");
    if (w->doing != NOTHING) {
        if (now >= w->asked + ANSWER_US)
            weir_kube_client_cut(w->client, "no answer in time");
        return;
    }
    if (!synced)
        return;
    if (now >= w->due) {
        w->due = now + RENEW_US;
        ask_lease(w, READ, "GET", NULL);
    } else if (w->leads_until && w->looked != w->store->changes && now >= w->look_due) {
        uint64_t changes = w->store->changes;

        if (write_next(w))
            return;
        w->looked = changes;
        w->look_due = now + PASS_US;
    }
}

uint64_t weir_kube_writer_due(const struct weir_kube_writer *w) {
    if (w->doing != NOTHING)
        return w->asked + ANSWER_US;
    if (w->leads_until && w->looked != w->store->changes && w->look_due < w->due)
        return w->look_due;
    return w->due;
}
