/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/status.h"

#include <stdio.h>
#include <stdlib.h>

struct verdict {
    bool good;
    const char *reason;
    char message[200];
};

struct judged {
    const struct weir_kube_store *store;
    const struct weir_kube_object *route;
    bool guarded;        /* a backend of another namespace needs a ReferenceGrant: conf/routes.c */
    struct verdict refs; /* of all backends: the first thing wrong counts */
};

static json_t *parse(const char *text) {
    return json_loads(text, 0, NULL);
}

static const char *or_else(const json_t *o, const char *key, const char *otherwise) {
    const json_t *value = json_object_get(o, key);

    return json_is_string(value) ? json_string_value(value) : otherwise;
}

static bool is_service_parent(const json_t *ref) {
    const char *group = or_else(ref, "group", "gateway.networking.k8s.io");

    return strcmp(or_else(ref, "kind", "Gateway"), "Service") == 0 &&
           (group[0] == '\0' || strcmp(group, "core") == 0);
}

/* A port of the Service by number (0 = any) and name ("" = any). */
static bool has_port(const struct weir_kube_object *service, json_int_t number, const char *name) {
    json_t *doc = parse(service->text), *port;
    bool found = false;
    size_t i;

    json_array_foreach(json_object_get(json_object_get(doc, "spec"), "ports"), i, port) found =
        found || ((number == 0 || json_integer_value(json_object_get(port, "port")) == number) &&
                  (name[0] == '\0' || strcmp(or_else(port, "name", ""), name) == 0));
    json_decref(doc);
    return found;
}

static void bad(struct verdict *v, const char *reason, const char *text, const char *a,
                const char *b) {
    v->good = false;
    v->reason = reason;
    snprintf(v->message, sizeof(v->message), "%s %.60s/%.60s", text, a, b);
}

/* ---- Accepted ---- */

static struct verdict accept(const struct judged *j, const json_t *ref) {
    struct verdict v = { .good = true, .reason = "Accepted", .message = "in force" };
    const char *ns = or_else(ref, "namespace", j->route->ns), *name = or_else(ref, "name", "");
    const char *section = or_else(ref, "sectionName", "");
    json_int_t port = json_integer_value(json_object_get(ref, "port"));
    const struct weir_kube_object *service =
        weir_kube_store_find(j->store, WEIR_KUBE_SERVICE, ns, name);

    if (j->route->refused) {
        v = (struct verdict){ .reason = "UnsupportedValue" };
        snprintf(
            v.message, sizeof(v.message),
            "this version of weir cannot use it as it stands; the agents' log says where and why");
    } else if (!service) {
        bad(&v, "NoMatchingParent", "there is no Service", ns, name);
    } else if (!has_port(service, port, section)) {
        bad(&v, "NoMatchingParent", "the parent has no such port: Service", ns, name);
    }
    return v;
}

/* ---- ResolvedRefs ---- */

static bool names(const json_t *list, const char *group, const char *kind, const char *key,
                  const char *value) {
    json_t *item;
    size_t i;

    json_array_foreach((json_t *)list, i, item) {
        const char *given = or_else(item, key, "");

        if (strcmp(or_else(item, "group", ""), group) == 0 &&
            strcmp(or_else(item, "kind", ""), kind) == 0 &&
            (strcmp(given, value) == 0 || (given[0] == '\0' && strcmp(key, "name") == 0)))
            return true;
    }
    return false;
}

static bool is_granted(const struct judged *j, const char *ns, const char *service) {
    const char *kind = weir_kube_resource(j->route->kind)->kind;
    bool granted = false;

    WEIR_KUBE_FOREACH(it, j->store, WEIR_KUBE_GRANT) {
        const struct weir_kube_object *o = WEIR_KUBE_OBJECT(it);
        json_t *doc = strcmp(o->ns, ns) == 0 ? parse(o->text) : NULL;
        const json_t *spec = json_object_get(doc, "spec");

        granted = granted || (names(json_object_get(spec, "from"), "gateway.networking.k8s.io",
                                    kind, "namespace", j->route->ns) &&
                              names(json_object_get(spec, "to"), "", "Service", "name", service));
        json_decref(doc);
    }
    return granted;
}

static void judge_backend(struct judged *j, const json_t *ref) {
    const char *ns = or_else(ref, "namespace", j->route->ns), *name = or_else(ref, "name", "");
    const char *group = or_else(ref, "group", ""), *kind = or_else(ref, "kind", "Service");
    json_int_t port = json_integer_value(json_object_get(ref, "port"));
    const struct weir_kube_object *service;

    if (!j->refs.good)
        return;
    if (strcmp(kind, "Service") != 0 || (group[0] != '\0' && strcmp(group, "core") != 0)) {
        bad(&j->refs, "InvalidKind", "only a Service can be a backend, not", kind, name);
        return;
    }
    if (j->guarded && strcmp(ns, j->route->ns) != 0 && !is_granted(j, ns, name)) {
        bad(&j->refs, "RefNotPermitted", "no ReferenceGrant permits the reference to Service", ns,
            name);
        return;
    }
    service = weir_kube_store_find(j->store, WEIR_KUBE_SERVICE, ns, name);
    if (!service)
        bad(&j->refs, "BackendNotFound", "there is no Service", ns, name);
    else if (!has_port(service, port, ""))
        bad(&j->refs, "BackendNotFound", "the backend has no such port: Service", ns, name);
}

static void judge_filters(struct judged *j, const json_t *filters) {
    json_t *filter;
    size_t i;

    json_array_foreach((json_t *)filters, i, filter) {
        const json_t *ref = weir_kube_get(filter, "requestMirror", "backendRef", NULL);

        if (ref)
            judge_backend(j, ref);
    }
}

static void judge_backends(struct judged *j, const json_t *spec) {
    json_t *rule, *ref;
    size_t i, k;

    json_array_foreach(json_object_get(spec, "parentRefs"), i, ref) j->guarded =
        j->guarded || !is_service_parent(ref);
    j->refs = (struct verdict){ .good = true,
                                .reason = "ResolvedRefs",
                                .message = "every reference leads to something" };
    json_array_foreach(json_object_get(spec, "rules"), i, rule) {
        judge_filters(j, json_object_get(rule, "filters"));
        json_array_foreach(json_object_get(rule, "backendRefs"), k, ref) {
            judge_backend(j, ref);
            judge_filters(j, json_object_get(ref, "filters"));
        }
    }
}

/* ---- writing it down ---- */

static bool same_parent(const json_t *a, const json_t *b) {
    static const char *const keys[] = { "group", "kind", "namespace", "name", "sectionName" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(keys); i++)
        if (strcmp(or_else(a, keys[i], ""), or_else(b, keys[i], "")) != 0)
            return false;
    return json_integer_value(json_object_get(a, "port")) ==
           json_integer_value(json_object_get(b, "port"));
}

static bool is_ours(const json_t *entry) {
    return strcmp(or_else(entry, "controllerName", ""), WEIR_KUBE_CONTROLLER) == 0;
}

static const json_t *condition_of(const json_t *entry, const char *type) {
    json_t *condition;
    size_t i;

    json_array_foreach(json_object_get(entry, "conditions"), i,
                       condition) if (strcmp(or_else(condition, "type", ""), type) ==
                                      0) return condition;
    return NULL;
}

/* The time stays that of the last change of status. */
static json_t *condition_new(const json_t *old, const char *type, const struct verdict *v,
                             json_int_t generation, const char *now) {
    const char *status = v->good ? "True" : "False";
    const json_t *was = condition_of(old, type);
    const char *since = strcmp(or_else(was, "status", ""), status) == 0
                            ? or_else(was, "lastTransitionTime", now)
                            : now;

    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "type", type, "status", status, "reason",
                     v->reason, "message", v->message, "observedGeneration", generation,
                     "lastTransitionTime", since);
}

static json_t *entry_new(const struct judged *j, const json_t *ref, const json_t *parents,
                         json_int_t generation, const char *now) {
    const struct verdict accepted = accept(j, ref);
    const json_t *old = NULL;
    json_t *entry;
    size_t i;

    json_array_foreach((json_t *)parents, i,
                       entry) if (is_ours(entry) && same_parent(json_object_get(entry, "parentRef"),
                                                                ref)) old = entry;
    return json_pack("{s:O, s:s, s:[o, o]}", "parentRef", (json_t *)ref, "controllerName",
                     WEIR_KUBE_CONTROLLER, "conditions",
                     condition_new(old, "Accepted", &accepted, generation, now),
                     condition_new(old, "ResolvedRefs", &j->refs, generation, now));
}

/* The others' as they stand, then ours. NULL = no memory. */
static json_t *parents_new(struct judged *j, const json_t *spec, const json_t *extra,
                           const char *now) {
    const json_t *old = json_object_get(extra, "parents");
    json_int_t generation = json_integer_value(json_object_get(extra, "generation"));
    json_t *list = json_array(), *item;
    size_t i;
    int r = list ? 0 : -1;

    judge_backends(j, spec);
    json_array_foreach((json_t *)old, i, item) if (r == 0 && !is_ours(item)) r =
        json_array_append(list, item);
    json_array_foreach(json_object_get(spec, "parentRefs"), i,
                       item) if (r == 0 && is_service_parent(item)) r =
        json_array_append_new(list, entry_new(j, item, old, generation, now));
    if (r == 0)
        return list;
    json_decref(list);
    return NULL;
}

static int dump(const struct weir_kube_object *route, json_t *parents, char **ret_patch) {
    char version[24];
    json_t *patch;

    snprintf(version, sizeof(version), "%llu", (unsigned long long)route->version);
    patch = json_pack("{s:{s:s}, s:{s:O}}", "metadata", "resourceVersion", version, "status",
                      "parents", parents);
    *ret_patch = patch ? json_dumps(patch, JSON_COMPACT) : NULL;
    json_decref(patch);
    return *ret_patch ? 0 : -ENOMEM;
}

int weir_kube_status_patch(const struct weir_kube_store *store,
                           const struct weir_kube_object *route, const char *now,
                           char **ret_patch) {
    struct judged j = { .store = store, .route = route };
    json_t *doc = parse(route->text), *extra = parse(route->extra), *parents = NULL;
    const json_t *old = json_object_get(extra, "parents");
    int r = doc && extra ? 0 : -ENOMEM;

    *ret_patch = NULL;
    if (r == 0) {
        parents = parents_new(&j, json_object_get(doc, "spec"), extra, now);
        r = parents ? 0 : -ENOMEM;
    }
    if (r == 0 && !json_equal(parents, old) &&
        (json_array_size(parents) > 0 || json_array_size(old) > 0))
        r = dump(route, parents, ret_patch);
    json_decref(parents);
    json_decref(extra);
    json_decref(doc);
    return r;
}
