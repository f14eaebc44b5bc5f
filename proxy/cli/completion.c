/* SPDX-License-Identifier: Apache-2.0 */
/* weir completion: the table of verbs as a shell's completion script. */
#include <stdio.h>
#include <string.h>

#include "cli/verb.h"

static int run(struct weir_args *args);

static const struct weir_option options[] = { WEIR_OPTIONS_END };

const struct weir_verb weir_verb_completion = {
    .name = "completion",
    .words = "bash|zsh|fish",
    .summary = "completion script of a shell, to standard output",
    .more = "  weir completion bash > /usr/share/bash-completion/completions/weir\n"
            "  weir completion zsh > /usr/local/share/zsh/site-functions/_weir\n"
            "  weir completion fish > ~/.config/fish/completions/weir.fish\n",
    .options = options,
    .run = run,
};

/* "text|json" is a choice; a value in capitals is a placeholder. */
static bool is_choice(const struct weir_option *o) {
    return o->value && strchr(o->value, '|') && o->value[0] >= 'a';
}

static bool is_file(const struct weir_option *o) {
    static const char *const files[] = { "FILE", "PATH", "DIR" };

    for (size_t i = 0; o->value && i < WEIR_ARRAY_LEN(files); i++)
        if (strcmp(o->value, files[i]) == 0)
            return true;
    return false;
}

static void print_choices(const char *value) {
    for (; *value; value++)
        putchar(*value == '|' ? ' ' : *value);
}

/* Within single quotes. */
static void print_quoted(const char *s) {
    for (; *s; s++)
        if (*s == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*s);
}

static void bash_verb(const struct weir_verb *v) {
    printf("    %s)\n        case $prev in\n", v->name);
    for (const struct weir_option *o = v->options; o->name; o++) {
        if (!o->value)
            continue;
        printf("        --%s", o->name);
        if (o->letter)
            printf("|-%c", o->letter);
        if (is_choice(o)) {
            printf(") COMPREPLY=($(compgen -W '");
            print_choices(o->value);
            printf("' -- \"$cur\")); return ;;\n");
        } else {
            printf(") COMPREPLY=(%s); return ;;\n", is_file(o) ? "$(compgen -f -- \"$cur\")" : "");
        }
    }
    printf("        esac\n        words='--help");
    for (const struct weir_option *o = v->options; o->name; o++)
        printf(" --%s", o->name);
    printf("' ;;\n");
}

static void bash(void) {
    size_t n;
    const struct weir_verb *const *verbs = weir_verbs(&n);

    printf("# bash completion of weir\n_weir() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
           "    COMPREPLY=()\n    if [[ $COMP_CWORD -eq 1 ]]; then\n        COMPREPLY=($(compgen "
           "-W '");
    for (size_t i = 0; i < n; i++)
        printf("%s%s", i ? " " : "", verbs[i]->name);
    printf("' -- \"$cur\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < n; i++)
        bash_verb(verbs[i]);
    printf(
        "    esac\n    if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"));"
        " else COMPREPLY=($(compgen -f -- \"$cur\")); fi\n}\ncomplete -o filenames -F _weir "
        "weir\n");
}

static void zsh_option(const struct weir_option *o) {
    printf(" \\\n            '*--%s[", o->name);
    for (const char *s = o->help; *s; s++) {
        if (*s == '[' || *s == ']' || *s == ':')
            putchar('\\');
        print_quoted((char[]){ *s, 0 });
    }
    putchar(']');
    if (is_choice(o)) {
        printf(":value:(");
        print_choices(o->value);
        putchar(')');
    } else if (o->value) {
        printf(":value:%s", is_file(o) ? "_files" : "");
    }
    putchar('\'');
}

static void zsh(void) {
    size_t n;
    const struct weir_verb *const *verbs = weir_verbs(&n);

    printf("#compdef weir\n_weir() {\n    local -a verbs\n    verbs=(\n");
    for (size_t i = 0; i < n; i++) {
        printf("        '%s:", verbs[i]->name);
        print_quoted(verbs[i]->summary);
        printf("'\n");
    }
    printf("    )\n    if (( CURRENT == 2 )); then\n        _describe verb verbs\n        return\n "
           "   fi\n"
           "    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $verb in\n");
    for (size_t i = 0; i < n; i++) {
        printf("    %s)\n        _arguments '--help[this text]'", verbs[i]->name);
        for (const struct weir_option *o = verbs[i]->options; o->name; o++)
            zsh_option(o);
        printf(" '*:file:_files' ;;\n");
    }
    printf("    esac\n}\n_weir \"$@\"\n");
}

static void fish_option(const struct weir_verb *v, const struct weir_option *o) {
    printf("complete -c weir -n '__fish_seen_subcommand_from %s' -l %s", v->name, o->name);
    if (o->letter)
        printf(" -s %c", o->letter);
    if (is_choice(o)) {
        printf(" -x -a '");
        print_choices(o->value);
        putchar('\'');
    } else if (o->value) {
        printf(" %s", is_file(o) ? "-r -F" : "-x");
    }
    printf(" -d '");
    print_quoted(o->help);
    printf("'\n");
}

static void fish(void) {
    size_t n;
    const struct weir_verb *const *verbs = weir_verbs(&n);

    printf("# fish completion of weir\n");
    for (size_t i = 0; i < n; i++) {
        printf("complete -c weir -f -n __fish_use_subcommand -a %s -d '", verbs[i]->name);
        print_quoted(verbs[i]->summary);
        printf("'\n");
        for (const struct weir_option *o = verbs[i]->options; o->name; o++)
            fish_option(verbs[i], o);
    }
}

static int run(struct weir_args *args) {
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

    for (size_t i = 0; args->n_words == 1 && i < WEIR_ARRAY_LEN(shells); i++)
        if (strcmp(args->words[0], shells[i].name) == 0) {
            shells[i].print();
            return WEIR_EXIT_OK;
        }
    return weir_usage(args, "bash, zsh or fish?");
}
