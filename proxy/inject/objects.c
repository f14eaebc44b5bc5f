/* SPDX-License-Identifier: Apache-2.0 */
/* Where the Pods are in a text of any number of documents. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "inject/inject_internal.h"

/* The kinds that are Pods or hold a template of them. */
static const struct kind {
    const char *group; /* of apiVersion, without the version; "" = the core group */
    const char *name;
    const char *path[5]; /* to the Pod or template */
} kinds[] = {
    { "", "Pod", { NULL } },
    { "", "ReplicationController", { "spec", "template", NULL } },
    { "apps", "Deployment", { "spec", "template", NULL } },
    { "apps", "StatefulSet", { "spec", "template", NULL } },
    { "apps", "DaemonSet", { "spec", "template", NULL } },
    { "apps", "ReplicaSet", { "spec", "template", NULL } },
    { "batch", "Job", { "spec", "template", NULL } },
    { "batch", "CronJob", { "spec", "jobTemplate", "spec", "template", NULL } },
};

struct reading {
    struct weir_inject in;
    struct weir_arena arena;
    struct weir_editor *editor;
    bool replaced; /* a null, which does not come back as it was */
};

static const struct kind *kind_of(const struct weir_node *object) {
    const char *version = weir_node_text(object, "apiVersion"),
               *name = weir_node_text(object, "kind");
    const char *slash = strchr(version, '/');
    size_t n = slash ? (size_t)(slash - version) : 0;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0 && strlen(kinds[i].group) == n &&
            memcmp(kinds[i].group, version, n) == 0)
            return &kinds[i];
    return NULL;
}

static const struct weir_node *pod_of(const struct weir_node *object, const struct kind *kind) {
    const struct weir_node *n = object;

    for (size_t i = 0; n && kind->path[i]; i++)
        n = weir_node_get(n, kind->path[i]);
    return n && n->type == WEIR_NODE_MAP ? n : NULL;
}

static void tell(const struct reading *rd, const struct weir_node *object,
                 const struct weir_inject_result *result) {
    const struct weir_node *meta = weir_node_get(object, "metadata");
    const char *name = weir_node_text(meta, "name"), *ns = weir_node_text(meta, "namespace");
    const char *done = rd->in.options->remove ? "taken out" : "injected";
    char line[1024];

    if (name[0] == '\0')
        name = weir_node_text(meta, "generateName");
    if (result->outcome == WEIR_INJECT_REFUSED || !rd->in.options->note)
        return;
    snprintf(line, sizeof(line), "%s %s%s%s: %s%s", weir_node_text(object, "kind"), ns,
             ns[0] ? "/" : "", name,
             result->outcome == WEIR_INJECT_CHANGED ? done : "left alone: ", result->why);
    rd->in.options->note(rd->in.options->note_arg, line);
}

static int on_object(struct reading *rd, const struct weir_node *object) {
    const struct kind *kind = kind_of(object);
    struct weir_inject_result result = { 0 };
    const struct weir_node *pod;
    int r;

    if (!kind)
        return 0;
    pod = pod_of(object, kind);
    if (!pod)
        return weir_inject_error(&rd->in, object, "spec.template", "the %s has no Pod template",
                                 kind->name);
    r = weir_inject_pod(&rd->in, pod, "", &result);
    if (r == 0 && result.outcome == WEIR_INJECT_CHANGED)
        r = weir_editor_take(rd->editor, result.edits, result.n_edits);
    for (size_t i = 0; i < result.n_edits; i++)
        rd->replaced |= result.edits[i].old && result.edits[i].value;
    if (r == 0)
        tell(rd, object, &result);
    weir_inject_result_deinit(&result);
    return r;
}

static int on_document(const struct weir_node *root, void *arg) {
    struct reading *rd = arg;
    const struct weir_node *items = weir_node_get(root, "items");
    int r = 0;

    weir_arena_reset(&rd->arena);
    if (strcmp(weir_node_text(root, "kind"), "List") != 0 ||
        strcmp(weir_node_text(root, "apiVersion"), "v1") != 0)
        return on_object(rd, root);
    if (items && items->type == WEIR_NODE_LIST)
        WEIR_NODE_FOREACH(it, items) {
            if (r == 0)
                r = on_object(rd, it);
        }
    return r;
}

/* One pass over the text. */
static int pass(struct reading *rd, const struct weir_inject_options *options,
                const struct weir_source *source, char **ret_text) {
    struct weir_load load = { .source = source,
                              .file = source->name,
                              .problems = rd->in.problems,
                              .share = true,
                              .fn = on_document,
                              .arg = rd };
    int r;

    rd->in.options = options;
    rd->editor = weir_editor_new(weir_slice_make(source->text, source->len));
    r = rd->editor ? weir_load(&load) : -ENOMEM;
    if (r == 0 && rd->in.problems->n_errors == 0)
        r = weir_editor_finish(rd->editor, ret_text);
    rd->editor = weir_editor_free(rd->editor);
    return r;
}

/*
 * Into a text without sidecars. The text of others was cut into: that taking the sidecar out gives it back is
 * the proof that nothing else was touched, and is asked for each time.
 */
static int put_in(struct reading *rd, const struct weir_inject_options *options, const char *clean,
                  char **ret_text) {
    const struct weir_inject_options remove = { .remove = true };
    struct weir_source source = { rd->in.file, clean, strlen(clean) };
    char *text = NULL, *back = NULL;
    int r = pass(rd, options, &source, &text);

    if (r == 0 && text) {
        source = (struct weir_source){ rd->in.file, text, strlen(text) };
        r = pass(rd, &remove, &source, &back);
    }
    if (r == 0 && text && !(back && (rd->replaced || strcmp(back, clean) == 0))) {
        const struct weir_node start = { .line = 1, .col = 1 };

        r = weir_inject_error(
            &rd->in, &start, "",
            "the text cannot be changed without touching more than the sidecar; write "
            "it as plain YAML or JSON");
        text = weir_free(text);
    }
    weir_free(back);
    if (r < 0)
        weir_free(text);
    else
        *ret_text = text;
    return r;
}

int weir_inject_text(const struct weir_inject_options *options, const struct weir_source *source,
                     char **ret_text, struct weir_problems *ret_problems) {
    struct weir_inject_options remove = { .remove = true };
    struct weir_problem_sink problems = { 0 };
    struct reading rd = { .in = { .problems = &problems, .file = source->name } };
    char *clean = NULL, *text = NULL;
    int r;

    weir_arena_init(&rd.arena, 4096);
    rd.in.arena = &rd.arena;
    /* What an earlier version put in goes first, so that the same text always becomes the same. */
    r = pass(&rd, options->remove ? options : &remove, source, &clean);
    if (r == 0 && clean && !options->remove)
        r = put_in(&rd, options, clean, &text);
    weir_arena_deinit(&rd.arena);
    if (r == 0)
        r = weir_problem_finish(&problems, ret_problems);
    weir_problem_sink_deinit(&problems);
    if (r == 0)
        *ret_text = options->remove ? clean : text;
    if (r < 0 || !options->remove)
        weir_free(clean);
    if (r < 0)
        weir_free(text);
    return r;
}
