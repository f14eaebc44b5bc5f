/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sidecar: a native one (an init container with restartPolicy Always; Kubernetes 1.29 and later),
 * so that it is up before the application and goes after it. It meets the "restricted" Pod Security
 * Standard, has no capability and mounts nothing: interception is the agent's, and so are its snapshot
 * and its identity, which it fetches inside the Pod.
 */
#include "inject/inject_internal.h"

#define AGENT   "127.0.0.1:15012"
#define METRICS 15020
#define HEALTH  15021 /* a sidecar's own (docs/configuration.md, Proxy) */

/* Any number but root; its own, so that a Pod's runAsUser for the application does not name it. */
#define UID 65532

static json_t *probe(int period, int failures) {
    return json_pack("{s:{s:s, s:i}, s:i, s:i}", "httpGet", "path", "/ready", "port", HEALTH,
                     "periodSeconds", period, "failureThreshold", failures);
}

static json_t *security(void) {
    return json_pack("{s:b, s:{s:[s]}, s:b, s:i, s:b, s:i, s:{s:s}}", "allowPrivilegeEscalation", 0,
                     "capabilities", "drop", "ALL", "readOnlyRootFilesystem", 1, "runAsGroup", UID,
                     "runAsNonRoot", 1, "runAsUser", UID, "seccompProfile", "type",
                     "RuntimeDefault");
}

static json_t *resources(const struct weir_inject_wishes *w) {
    json_t *limits = json_pack("{s:s}", "memory", w->memory_limit ? w->memory_limit : "256Mi");

    if (w->cpu_limit)
        json_object_set_new(limits, "cpu", json_string(w->cpu_limit));
    return json_pack("{s:o, s:{s:s, s:s}}", "limits", limits, "requests", "cpu",
                     w->cpu ? w->cpu : "10m", "memory", w->memory ? w->memory : "32Mi");
}

static json_t *arguments(const struct weir_inject_wishes *w) {
    json_t *args = json_pack("[s, s, s]", "proxy", "--agent", AGENT);

    if (w->log_level) {
        json_array_append_new(args, json_string("--log-level"));
        json_array_append_new(args, json_string(w->log_level));
    }
    return args;
}

json_t *weir_inject_sidecar(const struct weir_inject_wishes *w) {
    return json_pack("{s:s, s:s, s:o, s:s, s:[{s:s, s:i}], s:o, s:o, s:o, s:o}", "name",
                     WEIR_INJECT_CONTAINER, "image", w->image, "args", arguments(w),
                     "restartPolicy", "Always", "ports", "name", "weir-metrics", "containerPort",
                     METRICS, "startupProbe", probe(1, 120), "readinessProbe", probe(5, 3),
                     "resources", resources(w), "securityContext", security());
}
