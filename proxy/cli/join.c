/* SPDX-License-Identifier: Apache-2.0 */
/* weir join: the state of joining sockets, and the switch. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/verb.h"

#define AGENT_SOCKET "/run/weir/agent.sock"

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "agent", 0, "PATH", "the agent's unix socket (default " AGENT_SOCKET ")" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_join = {
    .name = "join",
    .words = "[status|off|on]",
    .summary = "joining of sockets (sk_msg): its state, and off at once",
    .more = "off: what is joined goes back to TCP with its next write; no connection breaks, and "
            "it stays off until\n"
            "`weir join on` or the agent's next start. For good: spec.join of the Agent document, "
            "or the annotation\n"
            "weir.dev/join of a Pod. Prints one JSON object.\n",
    .options = options,
    .run = run,
};

static int run(struct weir_args *args) {
    static const char *const words[][2] = { { "status", "join" },
                                            { "off", "join off" },
                                            { "on", "join on" } };
    const char *socket = weir_args_value(args, "agent"), *line = NULL;
    WEIR_CLEANUP(weir_freep)
    char *answer = NULL;
    int r;

    if (args->n_words > 1)
        return weir_usage(args, "one word: status, off or on");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(words); i++)
        if (strcmp(args->n_words ? args->words[0] : "status", words[i][0]) == 0)
            line = words[i][1];
    if (!line)
        return weir_usage(args, "%s: status, off or on", args->words[0]);
    r = weir_client_ask(socket ? socket : AGENT_SOCKET, line, &answer);
    if (r < 0)
        return weir_failed(args, "agent at %s: %s", socket ? socket : AGENT_SOCKET, strerror(-r));
    fputs(answer, stdout);
    return strstr(answer, "\"error\":") ? WEIR_EXIT_FAILED : WEIR_EXIT_OK;
}
