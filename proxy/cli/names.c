/* SPDX-License-Identifier: Apache-2.0 */
/* weir names: the addresses that DNS answers have bound to the names of egress rules. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/verb.h"

#define AGENT_SOCKET "/run/weir/agent.sock"
#define LINE_MAX     600

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "agent", 0, "PATH", "the agent's unix socket (default " AGENT_SOCKET ")" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_names = {
    .name = "names",
    .words = "[NAMESPACE/POD]",
    .summary = "addresses bound to the names of EgressPolicies",
    .more = "What a pod was answered, for which names of its rules, and for how long that holds.\n"
            "Prints one JSON object.\n",
    .options = options,
    .run = run,
};

static int run(struct weir_args *args) {
    const char *socket = weir_args_value(args, "agent");
    WEIR_CLEANUP(weir_freep)
    char *answer = NULL;
    char line[LINE_MAX];
    int n, r;

    if (args->n_words > 1)
        return weir_usage(args, "one pod at most: NAMESPACE/POD");
    n = snprintf(line, sizeof(line), "names%s%s", args->n_words ? " " : "",
                 args->n_words ? args->words[0] : "");
    if (n < 0 || (size_t)n >= sizeof(line) || strpbrk(line, "\r\n"))
        return weir_usage(args, "not the name of a pod: NAMESPACE/POD");
    r = weir_client_ask(socket ? socket : AGENT_SOCKET, line, &answer);
    if (r < 0)
        return weir_failed(args, "agent at %s: %s", socket ? socket : AGENT_SOCKET, strerror(-r));
    fputs(answer, stdout);
    return strstr(answer, "\"error\":") ? WEIR_EXIT_FAILED : WEIR_EXIT_OK;
}
