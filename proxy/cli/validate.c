/* SPDX-License-Identifier: Apache-2.0 */
/* weir validate: the same reading and checking as the running processes, on files. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/verb.h"
#include "conf/snapshot.h"
#include "sys/texts.h"
#include "weir_config.h"
#if WEIR_HAVE_KERNEL
#include "kern/plan.h"
#endif

#define CONFIG_MAX (256u * 1024u * 1024u)

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    WEIR_OPTION_OUTPUT,
    { "strict", 0, NULL, "a warning fails too" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_validate = {
    .name = "validate",
    .words = "FILE...",
    .summary = "check configuration: file:line:col of everything that is wrong",
    .more =
        "FILE is a file, a directory or - for standard input. All are read as one configuration.\n",
    .options = options,
    .run = run,
};

static const char *severity(const struct weir_problem *p) {
    return p->severity == WEIR_SEVERITY_WARNING ? "warning" : "error";
}

static void print_text(const struct weir_problems *problems, const struct weir_snapshot *s) {
    for (uint32_t i = 0; i < problems->n; i++) {
        const struct weir_problem *p = &problems->items[i];

        printf("%s:%u:%u: %s: %s%s%s\n", p->place.file, p->place.line, p->place.col, severity(p),
               p->field, p->field[0] ? ": " : "", p->message);
    }
    if (s)
        printf("ok: %u services, %u pods, %u routes, %u gateways, %u network policies, %u peer "
               "authentications\n",
               s->n_services, s->n_pods, s->n_routes, s->n_gateways, s->n_netpols, s->n_peer_auths);
}

static int print_json(const struct weir_problems *problems, const struct weir_snapshot *s) {
    json_t *root = json_object(), *list = json_array();
    int r;

    for (uint32_t i = 0; i < problems->n; i++) {
        const struct weir_problem *p = &problems->items[i];

        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i, s:s, s:s}", "severity",
                                              severity(p), "file", p->place.file, "line",
                                              (int)p->place.line, "column", (int)p->place.col,
                                              "field", p->field, "message", p->message));
    }
    json_object_set_new(root, "valid", json_boolean(s != NULL));
    json_object_set_new(root, "problems", list);
    r = json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
    return r;
}

static int read_all(struct weir_args *args, struct weir_texts *texts) {
    for (unsigned i = 0; i < args->n_words; i++) {
        int r = weir_texts_read(texts, args->words[i]);

        if (r < 0)
            return weir_failed(args, "%s: %s", texts->failed ? texts->failed : args->words[i],
                               strerror(-r));
    }
    return 0;
}

static bool any_warning(const struct weir_problems *problems) {
    for (uint32_t i = 0; i < problems->n; i++)
        if (problems->items[i].severity == WEIR_SEVERITY_WARNING)
            return true;
    return false;
}

/* Also whether the kernel half could hold it; without that half nothing limits it. */
static int build(const struct weir_source *sources, size_t n, struct weir_snapshot **ret_snapshot,
                 struct weir_problems *problems) {
    struct weir_snapshot *s = NULL;
    int r = weir_snapshot_build(sources, n, &s, problems);

#if WEIR_HAVE_KERNEL
    if (r == 0)
        r = weir_plan_fits(s, WEIR_PLAN_ANYWHERE, problems);
#endif
    if (r == 0)
        *ret_snapshot = s;
    else
        weir_snapshot_unref(s);
    return r;
}

static int validate(struct weir_args *args, const struct weir_texts *texts, bool json) {
    struct weir_source *sources = weir_calloc(texts->n + 1, sizeof(*sources));
    struct weir_problems problems = { 0 };
    struct weir_snapshot *s = NULL;
    int r;

    if (!sources)
        return weir_failed(args, "%s", strerror(ENOMEM));
    for (size_t i = 0; i < texts->n; i++)
        sources[i] =
            (struct weir_source){ texts->items[i].name, texts->items[i].text, texts->items[i].len };
    r = build(sources, texts->n, &s, &problems);
    weir_free(sources);
    if (r < 0)
        return weir_failed(args, "%s", strerror(-r));
    if (json)
        print_json(&problems, s);
    else
        print_text(&problems, s);
    if (weir_args_has(args, "strict") && any_warning(&problems))
        r = 1;
    weir_problems_deinit(&problems);
    weir_snapshot_unref(s);
    return r ? WEIR_EXIT_FAILED : WEIR_EXIT_OK;
}

static int run(struct weir_args *args) {
    struct weir_texts texts;
    int r;
    bool json = weir_args_json(args, &r);

    if (r)
        return r;
    if (args->n_words == 0)
        return weir_usage(args, "which files?");
    weir_texts_init(&texts, CONFIG_MAX);
    r = read_all(args, &texts);
    if (r == 0)
        r = validate(args, &texts, json);
    weir_texts_deinit(&texts);
    return r;
}
