/* SPDX-License-Identifier: Apache-2.0 */
/* weir inject: the sidecar put into the Pods of a file, or taken out. */
#include "inject/inject.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/verb.h"
#include "sys/texts.h"
#include "weir_config.h"

#define INPUT_MAX (256u * 1024u * 1024u)

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "file", 'f', "FILE", "YAML or JSON, - for standard input" },
    { "image", 0, "NAME", "of the sidecar (default " WEIR_DEFAULT_IMAGE ")" },
    { "uninject", 0, NULL, "take the sidecar out again" },
    { "quiet", 'q', NULL, "do not say on standard error what was done with each object" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_inject = {
    .name = "inject",
    .words = "",
    .summary = "put the sidecar into the Pods and workloads of a file",
    .more =
        "  weir inject -f app.yaml | kubectl apply -f -\n\n"
        "Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob "
        "and List;\n"
        "everything else, comments and order pass as they are. What is wrong is told with its "
        "place, and then\n"
        "nothing is printed. docs/sidecar.md has the annotations.\n",
    .options = options,
    .run = run,
};

static void note(void *arg, const char *line) {
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static int inject(struct weir_args *args, const struct weir_text *text) {
    struct weir_inject_options o = { .image = weir_args_value(args, "image"),
                                     .remove = weir_args_has(args, "uninject"),
                                     .note = weir_args_has(args, "quiet") ? NULL : note };
    struct weir_source source = { text->name, text->text, text->len };
    struct weir_problems problems = { 0 };
    char *out = NULL;
    int r;

    if (!o.image)
        o.image = WEIR_DEFAULT_IMAGE;
    r = weir_inject_text(&o, &source, &out, &problems);
    if (r < 0)
        return weir_failed(args, "%s", strerror(-r));
    for (uint32_t i = 0; i < problems.n; i++) {
        const struct weir_problem *p = &problems.items[i];

        fprintf(stderr, "%s:%u:%u: %s%s%s\n", p->place.file, p->place.line, p->place.col, p->field,
                p->field[0] ? ": " : "", p->message);
    }
    weir_problems_deinit(&problems);
    if (out && (fputs(out, stdout) < 0 || fflush(stdout) < 0))
        r = weir_failed(args, "standard output: %s", strerror(errno));
    if (!out)
        r = WEIR_EXIT_FAILED;
    weir_free(out);
    return r;
}

static int run(struct weir_args *args) {
    const char *file = weir_args_value(args, "file");
    struct weir_texts texts;
    int r;

    if (!file)
        return weir_usage(args, "give -f FILE");
    weir_texts_init(&texts, INPUT_MAX);
    r = weir_texts_read(&texts, file);
    if (r < 0)
        r = weir_failed(args, "%s: %s", file, strerror(-r));
    else if (texts.n != 1)
        r = weir_usage(args, "%s is a directory; give one file", file);
    else
        r = inject(args, &texts.items[0]);
    weir_texts_deinit(&texts);
    return r;
}
