/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "kube/status.h"
#include "sys/clock.h"
#include "sys/log.h"

#define SECOND    1000000ull
#define RENEW_US  (5 * SECOND)
#define ANSWER_US (5 * SECOND)
#define PASS_US   SECOND /* between two passes over the routes */

static uint64_t now_of(const struct weir_kube_writer *w) {
    struct weir_net *net = weir_loop_net(w->loop);

    return net->ops->now(net);
}

static void ask(struct weir_kube_writer *w, const char *path, const char *patch) {
    const struct weir_kube_question question = {
        .method = "PATCH",
        .path = path,
        .type = "application/merge-patch+json",
        .content = weir_slice_from_str(patch),
    };

    w->status = 0;
    w->asked = now_of(w);
    w->asking = weir_kube_client_ask(w->client, &question) == 0;
}

/* Plural and API group of a route. */
static void write_status(struct weir_kube_writer *w, struct weir_kube_object *route,
                         const char *patch) {
    const char *path = weir_kube_resource(route->kind)->path, *plural = strrchr(path, '/');
    char target[1024];

    snprintf(target, sizeof(target), "%.*s/namespaces/%s%s/%s/status", (int)(plural - path), path,
             route->ns, plural, route->name);
    route->written = route->version;
    ask(w, target, patch);
}

/* The next route whose status is not what it should be. False: there is none. */
static bool write_next(struct weir_kube_writer *w) {
    static const enum weir_kube_kind kinds[] = { WEIR_KUBE_HTTP_ROUTE, WEIR_KUBE_GRPC_ROUTE };
    char now[WEIR_KUBE_DATE];

    weir_kube_date(now, false);
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

/* What comes back of a route is not looked at. */
static int on_body(void *arg, struct weir_slice bytes) {
    return 0;
}

static void failed(struct weir_kube_writer *w, const char *broken) {
    char why[sizeof(w->why)];

    w->n_failed++;
    if (broken)
        snprintf(why, sizeof(why), "%s", broken);
    else
        snprintf(why, sizeof(why), "the API server answers %d", w->status);
    if (strcmp(why, w->why) != 0)
        weir_log(WEIR_LOG_WARN, "status_unwritten", "why=\"%s\"", why);
    memcpy(w->why, why, sizeof(why));
    w->again = true;
    w->look_due = now_of(w) + RENEW_US;
}

static void on_end(void *arg, const char *broken) {
    struct weir_kube_writer *w = arg;
    int status = broken ? 0 : w->status;

    w->asking = false;
    if (status == 409) {
        w->n_conflicts++;
    } else if (status == 200) {
        w->n_written++;
        w->again = false;
        w->why[0] = '\0';
    } else if (status != 404) {
        failed(w, broken);
    }
}

static const struct weir_kube_answer answer = { on_head, on_body, on_end };

/* ---- life ---- */

int weir_kube_writer_init(struct weir_kube_writer *w, const struct weir_kube_lease_params *lease,
                          struct weir_kube_store *store) {
    w->loop = lease->loop;
    w->store = store;
    w->looked = UINT64_MAX;
    w->client = weir_kube_client_new(lease->loop, lease->dns, lease->access, &answer, w);
    return w->client ? weir_kube_lease_init(&w->lease, lease) : -ENOMEM;
}

void weir_kube_writer_deinit(struct weir_kube_writer *w) {
    w->client = weir_kube_client_free(w->client);
    weir_kube_lease_deinit(&w->lease);
}

static bool has_work(const struct weir_kube_writer *w) {
    return w->lease.leads_until && w->looked != w->store->changes;
}

void weir_kube_writer_tick(struct weir_kube_writer *w, uint64_t now, bool synced) {
    if (!synced && w->lease.due == 0)
        return;
    weir_kube_lease_tick(&w->lease, now);
    if (w->asking) {
        if (now >= w->asked + ANSWER_US)
            weir_kube_client_cut(w->client, "no answer in time");
    } else if (synced && has_work(w) && now >= w->look_due) {
        uint64_t changes = w->store->changes;

        if (write_next(w))
            return;
        w->looked = changes;
        w->look_due = now + PASS_US;
    }
}

uint64_t weir_kube_writer_due(const struct weir_kube_writer *w) {
    uint64_t due = weir_kube_lease_due(&w->lease);
    uint64_t own = w->asking ? w->asked + ANSWER_US : has_work(w) ? w->look_due : due;

    return own < due ? own : due;
}
