/* SPDX-License-Identifier: Apache-2.0 */
/* weir man: the table of verbs as manual pages (man(7)). */
#include <stdio.h>
#include <string.h>

#include "cli/verb.h"
#include "weir_config.h"

static int run(struct weir_args *args);

static const struct weir_option options[] = { WEIR_OPTIONS_END };

const struct weir_verb weir_verb_man = {
    .name = "man",
    .words = "[VERB]",
    .summary = "manual page of weir or of a verb, to standard output",
    .more = "  weir man | man -l -\n  weir man proxy > /usr/local/share/man/man8/weir-proxy.8\n",
    .options = options,
    .run = run,
};

/* Text of a paragraph: what roff would take for its own is escaped. */
static void print_text(const char *s) {
    bool first = true;

    for (; *s; s++) {
        if (first && (*s == '.' || *s == '\''))
            fputs("\\&", stdout);
        first = *s == '\n';
        if (*s == '\\')
            fputs("\\e", stdout);
        else if (*s == '-')
            fputs("\\-", stdout);
        else
            putchar(*s);
    }
}

static void title(const char *name, const char *summary) {
    printf(".TH %s 8 \"\" \"weir %s\" \"weir\"\n.SH NAME\n", name, WEIR_VERSION);
    print_text(name);
    printf(" \\- ");
    print_text(summary);
    printf("\n");
}

static void page_of(const struct weir_verb *v) {
    char name[64];

    snprintf(name, sizeof(name), "weir-%s", v->name);
    title(name, v->summary);
    printf(".SH SYNOPSIS\n.B weir %s\n[OPTION...] ", v->name);
    print_text(v->words);
    printf("\n");
    if (v->more[0]) {
        printf(".SH DESCRIPTION\n.nf\n");
        print_text(v->more);
        printf(".fi\n");
    }
    printf(".SH OPTIONS\n");
    for (const struct weir_option *o = v->options; o->name; o++) {
        printf(".TP\n.B ");
        if (o->letter)
            printf("\\-%c, ", o->letter);
        printf("\\-\\-");
        print_text(o->name);
        if (o->value) {
            printf(" ");
            print_text(o->value);
        }
        printf("\n");
        print_text(o->help);
        printf("\n");
    }
    printf(".SH EXIT STATUS\n0 ok, 1 failed, 2 usage.\n.SH SEE ALSO\n.BR weir (8)\n");
}

static void page_of_all(void) {
    size_t n;
    const struct weir_verb *const *verbs = weir_verbs(&n);

    title("weir", "a service-mesh data plane: eBPF for L4, a small proxy for L7");
    printf(".SH SYNOPSIS\n.B weir\nVERB [OPTION...]\n.SH VERBS\n");
    for (size_t i = 0; i < n; i++) {
        printf(".TP\n.BR weir\\-%s (8)\n", verbs[i]->name);
        print_text(verbs[i]->summary);
        printf("\n");
    }
    printf(".SH EXIT STATUS\n0 ok, 1 failed, 2 usage.\n");
}

static int run(struct weir_args *args) {
    size_t n;
    const struct weir_verb *const *verbs = weir_verbs(&n);

    if (args->n_words == 0) {
        page_of_all();
        return WEIR_EXIT_OK;
    }
    for (size_t i = 0; args->n_words == 1 && i < n; i++)
        if (strcmp(args->words[0], verbs[i]->name) == 0) {
            page_of(verbs[i]);
            return WEIR_EXIT_OK;
        }
    return weir_usage(args, "no verb \"%s\"", args->words[0]);
}
