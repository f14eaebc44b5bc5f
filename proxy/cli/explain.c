/* SPDX-License-Identifier: Apache-2.0 */
/* weir explain: what the kernel decides about one flow, and by which rules. The agent asks the kernel; this prints. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/routes.h"

#define AGENT_SOCKET "/run/weir/agent.sock"

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    WEIR_OPTION_OUTPUT,
    { "agent", 0, "PATH", "ask the agent at this unix socket (default " AGENT_SOCKET ")" },
    { "proto", 'p', "tcp|udp", "of the flow (default tcp)" },
    { "header", 'H', "NAME: VALUE", "of the request; repeatable" },
    { "all", 0, NULL, "every rule the request was passed over by, not only the nearest" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_explain = {
    .name = "explain",
    .words = "SRC DST:PORT [METHOD URL]",
    .summary =
        "what the kernel decides about a flow, and by which rules; with a request, its route",
    .more = "SRC: NAMESPACE/POD or an address. DST: NAMESPACE/POD, NAMESPACE/SERVICE, a service's "
            "DNS name, or an\n"
            "address ([v6]:PORT). The kernel's own copy of the decision is run over the live maps; "
            "nothing is sent.\n"
            "With METHOD and URL the Service's routes are asked too, as the source's sidecar would "
            "ask them:\n\n"
            "  weir explain shop/web api.shop:80 GET http://api.shop/a -H 'x-version: v2'\n",
    .options = options,
    .run = run,
};

static const char *text_of(const json_t *object, const char *key, const char *otherwise) {
    const char *text = json_string_value(json_object_get(object, key));

    return text && text[0] ? text : otherwise;
}

static long long number_of(const json_t *object, const char *key) {
    return (long long)json_integer_value(json_object_get(object, key));
}

static bool is(const json_t *object, const char *key) {
    return json_is_true(json_object_get(object, key));
}

/* "default/web#3fc2..." is namespace and service account, then a hash of the labels. */
static int shown(const char *identity) {
    return (int)strcspn(identity, "#");
}

static void print_side(const json_t *hop, const char *key) {
    const json_t *side = json_object_get(hop, key);
    const char *policy = text_of(side, "policy", "");
    json_t *rule;
    size_t i;

    if (!side)
        return;
    printf("  %-8s %-24s %s%s\n", key, text_of(side, "pod", "-"), text_of(side, "verdict", "-"),
           is(side, "isolated") || json_array_size(json_object_get(side, "rules"))
               ? ""
               : " (no policy selects it)");
    json_array_foreach(json_object_get(side, "rules"), i, rule) {
        const char *not_peer = text_of(rule, "peer_not", ""), *from = text_of(rule, "address", "");

        printf("    rule %-4lld %-30s %s%s %s ports %s peer %s%s%s%s%s: %s\n",
               number_of(rule, "rule"), text_of(rule, "policy", "-"), text_of(rule, "action", "-"),
               is(rule, "audit_mode") ? " (audit mode)" : "", text_of(rule, "protocol", "-"),
               text_of(rule, "ports", "-"), not_peer[0] ? "not " : "",
               not_peer[0] ? not_peer : text_of(rule, "peer", from[0] ? "anybody" : "nobody"),
               from[0] ? " from " : "", from,
               is(rule, "decided_by_sidecar") ? ", as the sidecar finds" : "",
               is(rule, "decides") ? "DECIDES" : "passed");
    }
    if (is(side, "isolated") && number_of(side, "rule") == 0)
        printf("    no rule allows it: %s isolates the pod\n", policy[0] ? policy : "a policy");
    if (text_of(side, "would_deny", "")[0])
        printf("    audit mode: %s would have denied it\n", text_of(side, "would_deny", ""));
    if (text_of(side, "audited", "")[0])
        printf("    audit: %s matches\n", text_of(side, "audited", ""));
    if (text_of(side, "sidecar_asks", "")[0])
        printf("    %s denies it if the sidecar finds that it matches\n",
               text_of(side, "sidecar_asks", ""));
}

static void print_hop(const json_t *hop) {
    const char *identity = text_of(hop, "identity", "unidentified");

    printf("%s port %lld", text_of(hop, "ip", "-"), number_of(hop, "port"));
    printf("  %s (%.*s)\n", text_of(hop, "pod", "no known pod"), shown(identity), identity);
    print_side(hop, "egress");
    print_side(hop, "ingress");
    print_side(hop, "authorization");
    if (is(hop, "probe"))
        printf("  let in as a declared probe\n");
    if (is(hop, "inbound_sidecar"))
        printf("  enters the sidecar of that pod\n");
    if (text_of(hop, "note", "")[0])
        printf("  %s\n", text_of(hop, "note", ""));
    printf("  => %s\n", text_of(hop, "verdict", "-"));
}

static void print_text(const json_t *j) {
    const json_t *source = json_object_get(j, "source"), *to = json_object_get(j, "destination");
    const json_t *call = json_object_get(j, "connect");
    const char *identity = text_of(source, "identity", "unidentified");
    json_t *hop;
    size_t i;

    printf("from     %s %s (%.*s)%s\n", text_of(source, "pod", "no known pod"),
           text_of(source, "ip", "-"), shown(identity), identity,
           is(source, "on_this_node") ? "" : ", not on this node: its egress is decided there");
    printf("to       %s port %lld %s\n", text_of(to, "ip", "-"), number_of(to, "port"),
           text_of(to, "protocol", "-"));
    if (json_object_get(to, "service"))
        printf("service  %s, %s, %lld endpoint(s)\n", text_of(to, "service", "-"),
               is(to, "l7") ? "L7" : "plain", number_of(to, "endpoints"));
    if (call && strcmp(text_of(call, "reason", ""), "held_sidecar") == 0)
        printf(
            "connect  held: the pod's sidecar does not listen; refused if it does not come within "
            "sidecarHoldTime\n");
    else if (call && is(call, "steered"))
        printf("connect  steered into the pod's sidecar, which picks an endpoint\n");
    else if (call && json_object_get(call, "error"))
        printf("connect  refused: %s (%s) %s\n", text_of(call, "error", "-"),
               text_of(call, "reason", "-"), text_of(call, "policy", ""));
    else if (call)
        printf("connect  goes to %s port %lld (%s)\n", text_of(call, "ip", "-"),
               number_of(call, "port"), text_of(call, "reason", "-"));
    json_array_foreach(json_object_get(j, "hops"), i, hop) print_hop(hop);
    printf("verdict  %s\n", text_of(j, "verdict", "-"));
}

/* The second half: what the flow's request gets. */
static int print_request(struct weir_args *args, const json_t *request) {
    if (!request)
        return 0;
    if (json_object_get(request, "error"))
        return weir_failed(args, "%s", text_of(request, "error", "-"));
    putchar('\n');
    weir_print_trial(request, weir_args_has(args, "all"));
    return 0;
}

/* "explain SRC DST PROTO[\tMETHOD\tURL[\tHEADER]...]" for the agent. */
static int question(struct weir_args *args, char *line, size_t size) {
    const char *proto = weir_args_value(args, "proto");
    size_t n;

    if (proto && strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0)
        return weir_usage(args, "--proto %s: tcp or udp", proto);
    if (args->n_words != 2 && args->n_words != 4)
        return weir_usage(args, "give SRC and DST:PORT, and for a request METHOD and URL");
    if (args->n_words == 2 && weir_args_has(args, "header"))
        return weir_usage(args, "-H goes with METHOD and URL");
    n = (size_t)snprintf(line, size, "explain %s %s %s", args->words[0], args->words[1],
                         proto ? proto : "tcp");
    if (args->n_words == 4 && n < size)
        n += (size_t)snprintf(line + n, size - n, "\t%s\t%s", args->words[2], args->words[3]);
    for (unsigned i = 0; i < args->n_given && n < size; i++)
        if (args->given[i].option->letter == 'H')
            n += (size_t)snprintf(line + n, size - n, "\t%s", args->given[i].value);
    if (strchr(line, '\n'))
        return weir_usage(args, "a line break in it");
    return n < size ? 0 : weir_usage(args, "the question is too long");
}

static int run(struct weir_args *args) {
    const char *where = weir_args_value(args, "agent");
    WEIR_CLEANUP(weir_freep)
    char *body = NULL;
    char line[8000];
    json_t *j;
    int r;
    bool json = weir_args_json(args, &r);

    if (r == 0)
        r = question(args, line, sizeof(line));
    if (r)
        return r;
    where = where ? where : AGENT_SOCKET;
    r = weir_client_ask(where, line, &body);
    if (r < 0)
        return weir_failed(args, "agent at %s: %s", where, strerror(-r));
    j = json_loads(body, 0, NULL);
    if (!j)
        return weir_failed(args, "agent at %s: the answer is no JSON", where);
    if (json_object_get(j, "error"))
        r = weir_failed(args, "%s", text_of(j, "error", "-"));
    else if (json)
        json_dumpf(j, stdout, JSON_INDENT(2)), putchar('\n');
    else
        print_text(j), r = print_request(args, json_object_get(j, "request"));
    json_decref(j);
    return r;
}
