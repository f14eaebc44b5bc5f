/* SPDX-License-Identifier: Apache-2.0 */
/* Files -> snapshot, for the agent: read everything, build, and only then let go of what is in
 * force. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "kern/plan.h"
#include "node/kube.h"
#include "node/tenants.h"
#include "sys/log.h"
#include "sys/texts.h"

#define CONFIG_MAX_BYTES (256UL * 1024 * 1024)

static void tell(struct weir_agent *a, const struct weir_problem *p, bool first_error) {
    bool error = p->severity == WEIR_SEVERITY_ERROR;
    char at[256];

    snprintf(at, sizeof(at), "%s:%u:%u", p->place.file ? p->place.file : "?", p->place.line,
             p->place.col);
    if (first_error)
        snprintf(a->last_refusal, sizeof(a->last_refusal), "%s: %s%s%s", at, p->field,
                 p->field[0] ? ": " : "", p->message);
    /* A cluster is never quite in order, and each change of it would say so again. */
    weir_log(error     ? WEIR_LOG_ERROR
             : a->kube ? WEIR_LOG_DEBUG
                       : WEIR_LOG_WARN,
             error ? "config_refused" : "config_doubtful", "at=%s field=%s problem=%s", at,
             p->field[0] ? p->field : "-", weir_log_quote(weir_slice_from_str(p->message)).s);
}

static void tell_all(struct weir_agent *a, const struct weir_problems *problems) {
    bool first = true;

    for (uint32_t i = 0; i < problems->n; i++) {
        bool error = problems->items[i].severity == WEIR_SEVERITY_ERROR;

        tell(a, &problems->items[i], error && first);
        first = first && !error;
    }
}

/* Is there anybody in that mode who would read them? Workers of pods that have left it go on with what they have. */
static bool any_in(const struct weir_snapshot *s, enum weir_mesh_mode mode) {
    for (uint32_t i = 0; i < s->n_pods; i++)
        if (s->pods[i].mode == mode && s->pods[i].cgroup[0])
            return true;
    return false;
}

/* The texts of what is about to be in force. */
static int keep_documents(struct weir_agent *a, const struct weir_snapshot *snapshot,
                          const struct weir_source *sources, size_t n) {
    int r = 0;

    a->documents_next = weir_documents_unref(a->documents_next);
    if (any_in(snapshot, WEIR_MESH_NODE) || any_in(snapshot, WEIR_MESH_SIDECAR))
        r = weir_documents_build(sources, n, &a->documents_next);
    if (a->documents_next && a->documents &&
        memcmp(&a->documents_next->digest, &a->documents->digest, sizeof(a->documents->digest)) ==
            0) {
        weir_documents_unref(a->documents_next);
        a->documents_next = weir_documents_ref(a->documents);
    }
    if (r == -E2BIG) {
        weir_log(WEIR_LOG_ERROR, "documents_too_large",
                 "effect=\"sidecars and workers keep what they have\" most_documents=%u "
                 "most_bytes=%u",
                 WEIR_DOCUMENTS_MAX, WEIR_DOCUMENTS_BYTES);
        a->documents_next = a->documents ? weir_documents_ref(a->documents) : NULL;
        r = 0;
    }
    return r;
}

/* They are in force. Who has the old ones has them until he is done. */
static void use_documents(struct weir_agent *a) {
    int fd = a->documents_next && any_in(a->snapshot, WEIR_MESH_NODE)
                 ? weir_documents_open(a->documents_next)
                 : -1;

    if (a->documents_fd >= 0)
        close(a->documents_fd);
    a->documents_fd = fd < 0 ? -1 : fd;
    a->documents_untold = true;
    weir_documents_unref(a->documents);
    a->documents = a->documents_next;
    a->documents_next = NULL;
    if (fd < -1)
        weir_log(WEIR_LOG_ERROR, "documents_not_told", "error=\"%s\"", strerror(-fd));
}

/* One try over the files' texts and what of the cluster is in scope. */
static int build_once(struct weir_agent *a, const struct weir_texts *texts,
                      struct weir_snapshot **ret_snapshot, struct weir_problems *ret_problems) {
    struct weir_source *sources, *cluster = NULL;
    size_t n = texts->n, n_cluster = 0;
    int r = a->kube ? weir_agent_kube_sources(a, &cluster, &n_cluster) : 0;

    if (r)
        return r;
    sources = weir_calloc(n + n_cluster + 1, sizeof(*sources));
    if (!sources) {
        weir_free(cluster);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        sources[i] = (struct weir_source){ .name = texts->items[i].name,
                                           .text = texts->items[i].text,
                                           .len = texts->items[i].len };
    if (n_cluster > 0)
        memcpy(sources + n, cluster, n_cluster * sizeof(*cluster));
    r = weir_snapshot_build(sources, n + n_cluster, ret_snapshot, ret_problems);
    /* A pod whose policies the kernel could not hold would be cut off: better nothing changes. */
    if (r == 0)
        r = weir_plan_fits(*ret_snapshot, WEIR_PLAN_HERE, ret_problems);
    if (r == 0)
        r = keep_documents(a, *ret_snapshot, sources, n + n_cluster);
    if (r && *ret_snapshot) {
        weir_snapshot_unref(*ret_snapshot);
        *ret_snapshot = NULL;
    }
    weir_free(cluster);
    weir_free(sources);
    return r;
}

/* An object of the cluster that is refused is left out, and what remains is tried again. */
static int build(struct weir_agent *a, const struct weir_texts *texts,
                 struct weir_snapshot **ret_snapshot) {
    struct weir_problems problems = { 0 };
    int r;

    for (;;) {
        r = build_once(a, texts, ret_snapshot, &problems);
        if (r != WEIR_CONF_REFUSED || !weir_agent_kube_blame(a, &problems))
            break;
        weir_problems_deinit(&problems);
    }
    if (a->kube)
        weir_agent_kube_built(a);
    a->refused += r == WEIR_CONF_REFUSED;
    tell_all(a, &problems);
    weir_problems_deinit(&problems);
    return r;
}

static int read_all(struct weir_agent *a, struct weir_texts *texts) {
    for (size_t i = 0; i < a->params->n_configs; i++) {
        int r = weir_texts_read(texts, a->params->configs[i]);

        if (r == -ENOMEM)
            return r;
        if (r) {
            const char *failed = texts->failed ? texts->failed : a->params->configs[i];

            a->refused++;
            snprintf(a->last_refusal, sizeof(a->last_refusal), "%s: %s", failed, strerror(-r));
            weir_log(WEIR_LOG_ERROR, "config_refused", "at=%s problem=%s",
                     weir_log_quote(weir_slice_from_str(failed)).s,
                     weir_log_quote(weir_slice_from_str(strerror(-r))).s);
            return WEIR_CONF_REFUSED;
        }
    }
    return 0;
}

int weir_agent_load(struct weir_agent *a) {
    struct weir_snapshot *snapshot = NULL;
    struct weir_texts texts;
    int r;

    weir_texts_init(&texts, CONFIG_MAX_BYTES);
    r = read_all(a, &texts);
    if (r == 0)
        r = build(a, &texts, &snapshot);
    weir_texts_deinit(&texts);
    if (r && snapshot) {
        weir_snapshot_unref(snapshot);
        snapshot = NULL;
    }
    if (r == 0) {
        snapshot->generation = ++a->generation;
        weir_snapshot_unref(a->snapshot);
        a->snapshot = snapshot;
        a->tenant_idle_us = snapshot->agent.tenant_idle_us;
        use_documents(a);
        a->last_refusal[0] = '\0';
    } else if (r == WEIR_CONF_REFUSED && a->snapshot) {
        weir_log(WEIR_LOG_WARN, "config_kept", "generation=%llu",
                 (unsigned long long)a->generation);
    }
    return r;
}
