/* SPDX-License-Identifier: Apache-2.0 */
/* The verb table, option parsing and --help. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/verb.h"
#include "weir_config.h"

static const struct weir_verb *const verbs[] = {
    &weir_verb_proxy,
#if WEIR_HAVE_KERNEL
    &weir_verb_agent,    &weir_verb_helper,     &weir_verb_run,     &weir_verb_join,
    &weir_verb_names,
#endif
    &weir_verb_validate, &weir_verb_check,      &weir_verb_ca,      &weir_verb_status,
#if WEIR_HAVE_KERNEL
    &weir_verb_flows,    &weir_verb_explain,
#endif
    &weir_verb_routes,   &weir_verb_inject,     &weir_verb_webhook, &weir_verb_signer,
    &weir_verb_install,  &weir_verb_completion, &weir_verb_man,     &weir_verb_version,
};

const struct weir_verb *const *weir_verbs(size_t *ret_n) {
    *ret_n = WEIR_ARRAY_LEN(verbs);
    return verbs;
}

const char *weir_args_value(const struct weir_args *args, const char *name) {
    for (unsigned i = args->n_given; i-- > 0;)
        if (strcmp(args->given[i].option->name, name) == 0)
            return args->given[i].value;
    return NULL;
}

const char *weir_args_given(const struct weir_args *args, const char *name, const char *otherwise) {
    const char *v = weir_args_value(args, name);

    return v ? v : otherwise;
}

int weir_usage(const struct weir_args *args, const char *fmt, ...) {
    va_list ap;

    fprintf(stderr, "weir %s: ", args->verb->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, " (see weir %s --help)\n", args->verb->name);
    return WEIR_EXIT_USAGE;
}

int weir_failed(const struct weir_args *args, const char *fmt, ...) {
    va_list ap;

    fprintf(stderr, "weir %s: ", args->verb->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return WEIR_EXIT_FAILED;
}

bool weir_args_json(const struct weir_args *args, int *ret_bad) {
    const char *o = weir_args_value(args, "output");

    *ret_bad = 0;
    if (!o || strcmp(o, "text") == 0)
        return false;
    if (strcmp(o, "json") == 0)
        return true;
    *ret_bad = weir_usage(args, "-o %s: text or json", o);
    return false;
}

bool weir_colour(void) {
    const char *no = getenv("NO_COLOR");

    return isatty(STDOUT_FILENO) && !(no && no[0]);
}

static void print_help(const struct weir_verb *v) {
    printf("weir %s - %s\n\nUsage: weir %s [OPTION...]%s%s\n", v->name, v->summary, v->name,
           v->words[0] ? " " : "", v->words);
    if (v->more[0])
        printf("\n%s", v->more);
    printf("\nOptions:\n");
    for (const struct weir_option *o = v->options; o->name; o++) {
        char left[64];

        snprintf(left, sizeof(left), "%s--%s%s%s",
                 o->letter ? (char[]){ '-', o->letter, ',', ' ', 0 } : "    ", o->name,
                 o->value ? " " : "", o->value ? o->value : "");
        printf("  %-34s %s\n", left, o->help);
    }
    printf("  %-34s %s\n", "-h, --help", "this text");
}

static void print_verbs(FILE *f) {
    fprintf(f, "weir - a service-mesh data plane: eBPF for L4, a small proxy for L7\n\nUsage: weir "
               "VERB [OPTION...]\n\n");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(verbs); i++)
        fprintf(f, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(f, "\nweir VERB --help says more. Exit codes: 0 ok, 1 failed, 2 usage.\n");
}

/* getopt_long's tables from ours. `val` 256 + index. */
static int parse(const struct weir_verb *v, int argc, char **argv, struct weir_args *args) {
    struct option longs[WEIR_ARGS_MAX] = { { "help", no_argument, NULL, 'h' } };
    char shorts[2 * WEIR_ARGS_MAX] = "h";
    unsigned n = 1;
    int c;

    for (const struct weir_option *o = v->options; o->name && n < WEIR_ARGS_MAX - 1; o++, n++) {
        longs[n] = (struct option){ o->name, o->value ? required_argument : no_argument, NULL,
                                    256 + (int)(n - 1) };
        if (o->letter)
            strncat(shorts, (char[]){ o->letter, o->value ? ':' : 0, 0 },
                    sizeof(shorts) - strlen(shorts) - 1);
    }
    optind = 1;
    while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct weir_option *o = NULL;

        if (c == 'h') {
            print_help(v);
            return -1;
        }
        if (c == '?') {
            fprintf(stderr, "(see weir %s --help)\n", v->name);
            return WEIR_EXIT_USAGE;
        }
        for (unsigned i = 0; !o && v->options[i].name; i++)
            if (c == 256 + (int)i || c == v->options[i].letter)
                o = &v->options[i];
        if (args->n_given == WEIR_ARGS_MAX)
            return weir_usage(args, "more than %d options", WEIR_ARGS_MAX);
        args->given[args->n_given].option = o;
        args->given[args->n_given++].value = optarg ? optarg : "";
    }
    args->words = argv + optind;
    args->n_words = (unsigned)(argc - optind);
    return 0;
}

static const struct weir_verb *find(const char *name) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

int weir_cli_main(int argc, char **argv) {
    struct weir_args args = { 0 };
    char name[64];
    int r;

    if (argc < 2) {
        print_verbs(stderr);
        return WEIR_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_verbs(stdout);
        return WEIR_EXIT_OK;
    }
    args.verb = find(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
    if (!args.verb) {
        fprintf(stderr, "weir: no verb \"%s\" (see weir --help)\n", argv[1]);
        return WEIR_EXIT_USAGE;
    }
    snprintf(name, sizeof(name), "weir %s", args.verb->name);
    argv[1] = name; /* getopt's own messages begin with it */
    r = parse(args.verb, argc - 1, argv + 1, &args);
    if (r != 0)
        return r < 0 ? WEIR_EXIT_OK : r;
    if (args.verb->words[0] == '\0' && args.n_words > 0)
        return weir_usage(&args, "unexpected argument \"%s\"", args.words[0]);
    r = args.verb->run(&args);
    if (fflush(stdout) != 0 || ferror(stdout))
        return r ? r : WEIR_EXIT_FAILED;
    return r;
}
