/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/lease.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "kube/resource.h"
#include "sys/clock.h"
#include "sys/entropy.h"
#include "sys/log.h"

#define SECOND   1000000ull
#define RENEW_US (5 * SECOND)
#define LEAD_US                                                                                    \
    (10 * SECOND) /* of a renewal, from when it was asked for: less than the Lease lasts */
#define ANSWER_US (5 * SECOND)
#define BODY_MAX  65536u

enum { NOTHING, READ, CREATE, RENEW };

bool weir_kube_lease_leads(const struct weir_kube_lease *l, uint64_t now) {
    return now < l->leads_until;
}

static uint64_t now_of(const struct weir_kube_lease *l) {
    struct weir_net *net = weir_loop_net(l->loop);

    return net->ops->now(net);
}

static void lose(struct weir_kube_lease *l, const char *why) {
    if (l->leads_until)
        weir_log(WEIR_LOG_INFO, "lease", "leads=no lease=%s/%s why=\"%s\"", l->ns, l->name, why);
    l->leads_until = 0;
}

const char *weir_kube_date(char buf[static WEIR_KUBE_DATE], bool fraction) {
    uint64_t wall = weir_clock_wall_us();
    time_t seconds = (time_t)(wall / SECOND);
    struct tm tm;
    size_t n;

    gmtime_r(&seconds, &tm);
    n = strftime(buf, WEIR_KUBE_DATE, "%Y-%m-%dT%H:%M:%S", &tm);
    if (fraction)
        snprintf(buf + n, WEIR_KUBE_DATE - n, ".%06uZ", (unsigned)(wall % SECOND));
    else
        snprintf(buf + n, WEIR_KUBE_DATE - n, "Z");
    return buf;
}

/* ---- questions ---- */

static void ask(struct weir_kube_lease *l, int doing, const char *method, const char *content) {
    char path[512];
    const struct weir_kube_question question = { .method = method,
                                                 .path = path,
                                                 .type = content ? "application/json" : NULL,
                                                 .content = weir_slice_from_str(content) };

    snprintf(path, sizeof(path), "/apis/coordination.k8s.io/v1/namespaces/%s/leases%s%s", l->ns,
             doing == CREATE ? "" : "/", doing == CREATE ? "" : l->name);
    l->doing = doing;
    l->status = 0;
    l->n_body = 0;
    l->asked = now_of(l);
    if (weir_kube_client_ask(l->client, &question))
        l->doing = NOTHING;
}

/* The Lease with us in it; old NULL: it is to be made. */
static void take(struct weir_kube_lease *l, const json_t *old) {
    const json_t *spec = json_object_get(old, "spec");
    const json_t *transitions = json_object_get(spec, "leaseTransitions");
    const char *version = weir_kube_text(json_object_get(old, "metadata"), "resourceVersion", NULL);
    bool ours = strcmp(weir_kube_text(spec, "holderIdentity", NULL), l->holder) == 0;
    char now[WEIR_KUBE_DATE], *text = NULL;
    const char *acquired = ours ? weir_kube_text(spec, "acquireTime", NULL) : "";
    json_t *lease;

    weir_kube_date(now, true);
    lease = json_pack("{s:s, s:s, s:{s:s, s:s, s:s*}, s:{s:s, s:i, s:s, s:s, s:I}}", "apiVersion",
                      "coordination.k8s.io/v1", "kind", "Lease", "metadata", "name", l->name,
                      "namespace", l->ns, "resourceVersion", version[0] ? version : NULL, "spec",
                      "holderIdentity", l->holder, "leaseDurationSeconds", (int)WEIR_KUBE_LEASE_S,
                      "acquireTime", acquired[0] ? acquired : now, "renewTime", now,
                      "leaseTransitions", json_integer_value(transitions) + (old && !ours));
    if (lease)
        text = json_dumps(lease, JSON_COMPACT);
    json_decref(lease);
    if (text)
        ask(l, old ? RENEW : CREATE, old ? "PUT" : "POST", text);
    free(text);
}

/* ---- answers ---- */

static void on_head(void *arg, int status, uint32_t retry_s) {
    struct weir_kube_lease *l = arg;

    l->status = status;
}

static int on_body(void *arg, struct weir_slice bytes) {
    struct weir_kube_lease *l = arg;

    if (l->n_body + bytes.len > BODY_MAX)
        return -EFBIG;
    memcpy(l->body + l->n_body, bytes.ptr, bytes.len);
    l->n_body += bytes.len;
    return 0;
}

/* Somebody else's as long as it is seen to be renewed. */
static void read_lease(struct weir_kube_lease *l, const json_t *lease, uint64_t now) {
    const json_t *spec = json_object_get(lease, "spec");
    const char *holder = weir_kube_text(spec, "holderIdentity", NULL);
    json_int_t lasts = json_integer_value(json_object_get(spec, "leaseDurationSeconds"));
    char seen[sizeof(l->seen)];

    snprintf(seen, sizeof(seen), "%.60s %.60s", weir_kube_text(spec, "renewTime", NULL), holder);
    if (strcmp(seen, l->seen) != 0) {
        memcpy(l->seen, seen, sizeof(seen));
        l->seen_at = now;
    }
    if (lasts < 1 || lasts > 3600)
        lasts = WEIR_KUBE_LEASE_S;
    if (holder[0] == '\0' || strcmp(holder, l->holder) == 0 ||
        now - l->seen_at >= (uint64_t)lasts * SECOND)
        take(l, lease);
    else
        lose(l, "another one holds the Lease");
}

static void lead(struct weir_kube_lease *l) {
    if (!l->leads_until)
        weir_log(WEIR_LOG_INFO, "lease", "leads=yes lease=%s/%s", l->ns, l->name);
    l->leads_until = l->asked + LEAD_US;
    l->why[0] = '\0';
}

static void failed(struct weir_kube_lease *l, const char *broken) {
    char why[sizeof(l->why)];

    l->n_failed++;
    if (broken)
        snprintf(why, sizeof(why), "%s", broken);
    else
        snprintf(why, sizeof(why), "the API server answers %d", l->status);
    if (strcmp(why, l->why) != 0)
        weir_log(WEIR_LOG_WARN, "lease_unread", "lease=%s/%s why=\"%s\"", l->ns, l->name, why);
    memcpy(l->why, why, sizeof(why));
}

static void on_end(void *arg, const char *broken) {
    struct weir_kube_lease *l = arg;
    int doing = l->doing, status = broken ? 0 : l->status;
    json_t *lease;

    l->doing = NOTHING;
    if (status == 409) {
        l->n_conflicts++;
        lose(l, "another one took the Lease");
    } else if (doing == READ && status == 404) {
        take(l, NULL);
    } else if (doing == READ && status == 200) {
        lease = json_loadb(l->body, l->n_body, 0, NULL);
        read_lease(l, lease, now_of(l));
        json_decref(lease);
    } else if ((doing == CREATE || doing == RENEW) && (status == 200 || status == 201)) {
        lead(l);
    } else {
        failed(l, broken);
    }
}

static const struct weir_kube_answer answer = { on_head, on_body, on_end };

/* ---- life ---- */

int weir_kube_lease_init(struct weir_kube_lease *l, const struct weir_kube_lease_params *params) {
    uint64_t random;
    int r = weir_random(&random, sizeof(random));

    if (r)
        return r;
    l->loop = params->loop;
    l->name = params->name;
    snprintf(l->ns, sizeof(l->ns), "%s", params->ns);
    /* Another name with each start: a Lease that this member held before is not this process's. */
    snprintf(l->holder, sizeof(l->holder), "%.200s_%016llx", params->member,
             (unsigned long long)random);
    l->body = weir_malloc(BODY_MAX);
    l->client = weir_kube_client_new(params->loop, params->dns, params->access, &answer, l);
    return l->body && l->client ? 0 : -ENOMEM;
}

void weir_kube_lease_deinit(struct weir_kube_lease *l) {
    l->client = weir_kube_client_free(l->client);
    l->body = weir_free(l->body);
}

void weir_kube_lease_tick(struct weir_kube_lease *l, uint64_t now) {
    if (l->leads_until && now >= l->leads_until)
        lose(l, "it could not be renewed in time");
    if (l->doing != NOTHING) {
        if (now >= l->asked + ANSWER_US)
            weir_kube_client_cut(l->client, "no answer in time");
    } else if (now >= l->due) {
        l->due = now + RENEW_US;
        ask(l, READ, "GET", NULL);
    }
}

uint64_t weir_kube_lease_due(const struct weir_kube_lease *l) {
    return l->doing != NOTHING ? l->asked + ANSWER_US : l->due;
}
