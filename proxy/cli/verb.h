/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommand table: one struct weir_verb per verb holds its name, options and words, and everything that speaks of
 * verbs (parsing, --help, man pages, completions) reads that table. Exit codes: 0 ok, 1 failed, 2 usage.
 */
#ifndef WEIR_CLI_VERB_H
#define WEIR_CLI_VERB_H

#include "base/err.h"

enum { WEIR_EXIT_OK = 0, WEIR_EXIT_FAILED = 1, WEIR_EXIT_USAGE = 2 };

struct weir_option {
    const char *name;  /* long name without dashes */
    char letter;       /* 0 = none */
    const char *value; /* placeholder of its argument; NULL = a switch */
    const char *help;
};

struct weir_args;

struct weir_verb {
    const char *name;
    const char *words;                 /* what follows the options: "FILE..."; "" = nothing */
    const char *summary;               /* one line */
    const char *more;                  /* paragraphs for --help; may be "" */
    const struct weir_option *options; /* ends with a NULL name */
    int (*run)(struct weir_args *args);
};

#define WEIR_ARGS_MAX 64

struct weir_args {
    const struct weir_verb *verb;
    struct {
        const struct weir_option *option;
        const char *value; /* "" for a switch */
    } given[WEIR_ARGS_MAX];
    unsigned n_given;
    char **words; /* positional arguments */
    unsigned n_words;
};

/* Last value given of that option, or NULL. */
const char *weir_args_value(const struct weir_args *args, const char *name);
/* The same, or what stands for it. */
const char *weir_args_given(const struct weir_args *args, const char *name, const char *otherwise);
static inline bool weir_args_has(const struct weir_args *args, const char *name) {
    return weir_args_value(args, name) != NULL;
}
/* Prints "weir VERB: message" with a pointer to --help to stderr; returns WEIR_EXIT_USAGE. */
int weir_usage(const struct weir_args *args, const char *fmt, ...) WEIR_PRINTF(2, 3);
/* Prints "weir VERB: message" to stderr; returns WEIR_EXIT_FAILED. */
int weir_failed(const struct weir_args *args, const char *fmt, ...) WEIR_PRINTF(2, 3);
/* True for -o json, false for -o text or none; anything else is a usage error: *ret_bad. */
bool weir_args_json(const struct weir_args *args, int *ret_bad);
/* Standard output is a terminal that wants colour (NO_COLOR unset). */
bool weir_colour(void);

int weir_cli_main(int argc, char **argv);

extern const struct weir_verb weir_verb_proxy, weir_verb_agent, weir_verb_run, weir_verb_validate,
    weir_verb_check, weir_verb_ca, weir_verb_status, weir_verb_version, weir_verb_flows,
    weir_verb_explain, weir_verb_install, weir_verb_routes, weir_verb_join, weir_verb_helper,
    weir_verb_inject, weir_verb_webhook, weir_verb_signer, weir_verb_completion, weir_verb_man;

/* All verbs of this build, in the order of --help. */
const struct weir_verb *const *weir_verbs(size_t *ret_n);

#define WEIR_OPTION_OUTPUT                                                                         \
    { "output", 'o', "text|json", "how to print the result (default text)" }
#define WEIR_OPTIONS_END                                                                           \
    { NULL, 0, NULL, NULL }

extern const struct weir_verb weir_verb_names;

#endif
