/* SPDX-License-Identifier: Apache-2.0 */
/* AdmissionReview v1 (k8s.io/api/admission/v1): the decision as an answer to the API server. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/radix.h"
#include "inject/inject_internal.h"

struct review {
    const struct weir_inject_options *options;
    json_t *answer; /* NULL = the text holds none that could be answered */
    const char *why;
};

static json_t *patch_of(const struct weir_inject_result *result) {
    json_t *patch = json_array();

    for (size_t i = 0; i < result->n_edits; i++) {
        const struct weir_edit *e = &result->edits[i];

        json_array_append_new(
            patch,
            e->value ? json_pack("{s:s, s:s, s:O}", "op", "add", "path", e->path, "value", e->value)
                     : json_pack("{s:s, s:s}", "op", "remove", "path", e->path));
    }
    return patch;
}

static int put_patch(json_t *response, const struct weir_inject_result *result) {
    json_t *patch = patch_of(result);
    char *text = json_dumps(patch, JSON_COMPACT),
         *coded = text ? weir_base64_text(text, strlen(text)) : NULL;
    int r = -ENOMEM;

    if (coded)
        r = json_object_set_new(response, "patchType", json_string("JSONPatch")) < 0 ||
                    json_object_set_new(response, "patch", json_string(coded)) < 0
                ? -ENOMEM
                : 0;
    weir_free(coded);
    free(text);
    json_decref(patch);
    return r;
}

static json_t *warning(struct weir_arena *arena, const struct weir_inject_result *result) {
    const char *text = weir_arena_printf(arena, "weir: not injected: %s", result->why);

    return json_pack("[s]", text ? text : "weir: not injected");
}

static json_t *refusal(struct weir_arena *arena, const struct weir_problem_sink *problems) {
    const struct weir_problem *p = problems->n > 0 ? &problems->entries[0].p : NULL;
    const char *text =
        weir_arena_printf(arena, "weir: %s%s%s", p ? p->field : "", p && p->field[0] ? ": " : "",
                          p ? p->message : "the Pod is not understood");

    return json_pack("{s:i, s:s, s:s}", "code", 400, "reason", "BadRequest", "message",
                     text ? text : "weir: no memory");
}

static int answer_pod(struct review *rv, const struct weir_node *pod, json_t *response) {
    struct weir_problem_sink problems = { 0 };
    struct weir_inject_result result = { 0 };
    struct weir_arena arena;
    int r;

    weir_arena_init(&arena, 4096);
    struct weir_inject in = {
        .options = rv->options, .arena = &arena, .problems = &problems, .file = "request.object"
    };

    r = weir_inject_pod(&in, pod, "", &result);
    if (r == 0 && result.outcome == WEIR_INJECT_CHANGED)
        r = put_patch(response, &result);
    else if (r == 0 && result.outcome == WEIR_INJECT_UNCHANGED)
        r = json_object_set_new(response, "warnings", warning(&arena, &result));
    else if (r == 0)
        r = json_object_set_new(response, "status", refusal(&arena, &problems)) < 0 ? -ENOMEM : 0;
    json_object_set_new(response, "allowed", json_boolean(result.outcome != WEIR_INJECT_REFUSED));
    weir_inject_result_deinit(&result);
    weir_problem_sink_deinit(&problems);
    weir_arena_deinit(&arena);
    return r < 0 ? -ENOMEM : 0;
}

static bool is_new_pod(const struct weir_node *request) {
    const struct weir_node *kind = weir_node_get(request, "kind");

    return strcmp(weir_node_text(kind, "group"), "") == 0 &&
           strcmp(weir_node_text(kind, "kind"), "Pod") == 0 &&
           strcmp(weir_node_text(request, "operation"), "CREATE") == 0;
}

static int on_review(const struct weir_node *root, void *arg) {
    struct review *rv = arg;
    const struct weir_node *request = weir_node_get(root, "request");
    const struct weir_node *pod = weir_node_get(request, "object");
    json_t *response;
    int r = 0;

    if (strcmp(weir_node_text(root, "apiVersion"), "admission.k8s.io/v1") != 0 ||
        strcmp(weir_node_text(root, "kind"), "AdmissionReview") != 0)
        return rv->why = "not an AdmissionReview of admission.k8s.io/v1", 0;
    if (weir_node_text(request, "uid")[0] == '\0')
        return rv->why = "the AdmissionReview has no request.uid", 0;
    /* Anything but a new Pod is not ours to change: the API server was configured to ask more than it need. */
    response = json_pack("{s:s, s:b}", "uid", weir_node_text(request, "uid"), "allowed", 1);
    rv->answer = json_pack("{s:s, s:s, s:O}", "apiVersion", "admission.k8s.io/v1", "kind",
                           "AdmissionReview", "response", response);
    if (is_new_pod(request) && !(pod && pod->type == WEIR_NODE_MAP))
        rv->why = "the AdmissionReview has no request.object";
    else if (is_new_pod(request))
        r = answer_pod(rv, pod, response);
    json_decref(response);
    return rv->answer ? r : -ENOMEM;
}

/* Strict JSON, without the escapes that YAML does not know; free(). NULL = it is none. */
static char *plain_json(struct weir_slice body) {
    json_t *json = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    return text;
}

int weir_inject_review(const struct weir_inject_options *options, struct weir_slice body,
                       char **ret_json, const char **ret_why) {
    struct weir_problem_sink problems = { 0 };
    struct review rv = { .options = options };
    char *json = plain_json(body), *text = NULL;
    struct weir_source source = { "request", json, json ? strlen(json) : 0 };
    struct weir_load load = {
        .source = &source, .file = "request", .problems = &problems, .fn = on_review, .arg = &rv
    };
    int r = json ? weir_load(&load) : 0;

    if (!json || problems.n_errors > 0)
        rv.why = "the body is not one JSON text";
    if (r == 0 && !rv.why && !(text = json_dumps(rv.answer, JSON_COMPACT)))
        r = -ENOMEM;
    json_decref(rv.answer);
    free(json);
    weir_problem_sink_deinit(&problems);
    if (r < 0)
        return r;
    *ret_json = text;
    *ret_why = rv.why;
    return 0;
}
