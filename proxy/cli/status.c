/* SPDX-License-Identifier: Apache-2.0 */
/* weir status: what the running proxy and agent say of themselves. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/verb.h"

#define PROXY_ADMIN  "127.0.0.1:15000"
#define AGENT_SOCKET "/run/weir/agent.sock"

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    WEIR_OPTION_OUTPUT,
    { "admin", 'a', "ADDR:PORT", "ask the proxy there (default " PROXY_ADMIN ")" },
    { "agent", 0, "PATH", "ask the agent at this unix socket (default " AGENT_SOCKET ")" },
    { "ready", 0, NULL, "say nothing; exit code 1 unless the agent is ready (for a probe)" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_status = {
    .name = "status",
    .words = "",
    .summary = "what the running proxy and agent say of themselves",
    .more = "Without --admin or --agent both are asked at their usual places and those that answer "
            "are shown.\n"
            "Exit code 1 when none answers.\n",
    .options = options,
    .run = run,
};

static json_t *ask_proxy(const char *where, char *error, size_t size) {
    WEIR_CLEANUP(weir_freep)
    char *body = NULL;
    int status = 0;
    int r = weir_client_get(where, "/status", &status, &body);
    json_t *j = NULL;

    if (r < 0)
        snprintf(error, size, "proxy at %s: %s", where, strerror(-r));
    else if (status != 200)
        snprintf(error, size, "proxy at %s: answered %d", where, status);
    else if (!(j = json_loads(body, 0, NULL)))
        snprintf(error, size, "proxy at %s: the answer is no JSON", where);
    return j;
}

static json_t *ask_agent(const char *where, char *error, size_t size) {
    WEIR_CLEANUP(weir_freep)
    char *body = NULL;
    int r = weir_client_ask(where, "status", &body);
    json_t *j = NULL;

    if (r < 0)
        snprintf(error, size, "agent at %s: %s", where, strerror(-r));
    else if (!(j = json_loads(body, 0, NULL)))
        snprintf(error, size, "agent at %s: the answer is no JSON", where);
    return j;
}

static void print_value(const char *name, const json_t *v, int depth) {
    const char *key;
    json_t *item;
    size_t i;

    printf("%*s%-*s", depth * 2, "", 22 - depth * 2, name);
    if (json_is_object(v)) {
        putchar('\n');
        json_object_foreach((json_t *)v, key, item) print_value(key, item, depth + 1);
        return;
    }
    if (json_is_array(v)) {
        putchar('\n');
        json_array_foreach(v, i, item) {
            char index[24];

            snprintf(index, sizeof(index), "%zu", i);
            print_value(index, item, depth + 1);
        }
        return;
    }
    if (json_is_string(v))
        printf(" %s\n", json_string_value(v)[0] ? json_string_value(v) : "-");
    else if (json_is_integer(v))
        printf(" %" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
    else
        printf(" %s\n", json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "-");
}

/* Ready: attached, in force, and interception proven for every enrolled pod. */
static int ask_ready(const struct weir_args *args, const char *where) {
    WEIR_CLEANUP(weir_freep)
    char *body = NULL;
    int r = weir_client_ask(where, "ready", &body);
    json_t *j;

    if (r < 0)
        return weir_failed(args, "agent at %s: %s", where, strerror(-r));
    j = json_loads(body, 0, NULL);
    if (json_is_true(json_object_get(j, "ready")))
        r = WEIR_EXIT_OK;
    else if (json_object_get(j, "why"))
        r = weir_failed(args, "not ready: %s", json_string_value(json_object_get(j, "why")));
    else
        r = weir_failed(args, "agent at %s: the answer is no JSON", where);
    json_decref(j);
    return r;
}

static int run(struct weir_args *args) {
    const char *admin = weir_args_value(args, "admin"), *agent = weir_args_value(args, "agent");
    bool both = !admin && !agent;
    char errors[2][512] = { "", "" };
    json_t *found = json_object();
    const char *key;
    json_t *j;
    int r;
    bool json = weir_args_json(args, &r);

    if (r == 0 && weir_args_has(args, "ready")) {
        json_decref(found);
        return ask_ready(args, agent ? agent : AGENT_SOCKET);
    }
    if (r == 0 && (admin || both) &&
        (j = ask_proxy(admin ? admin : PROXY_ADMIN, errors[0], sizeof(errors[0]))))
        json_object_set_new(found, "proxy", j);
    if (r == 0 && (agent || both) &&
        (j = ask_agent(agent ? agent : AGENT_SOCKET, errors[1], sizeof(errors[1]))))
        json_object_set_new(found, "agent", j);
    if (r == 0 && json_object_size(found) == 0)
        r = weir_failed(args, "%s%s%s", errors[0], errors[0][0] && errors[1][0] ? "; " : "",
                        errors[1]);
    else if (r == 0 && json)
        json_dumpf(found, stdout, JSON_INDENT(2)), putchar('\n');
    else if (r == 0)
        json_object_foreach(found, key, j) print_value(key, j, 0);
    json_decref(found);
    return r;
}
