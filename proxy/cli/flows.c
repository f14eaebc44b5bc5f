/* SPDX-License-Identifier: Apache-2.0 */
/* weir flows: the agent's flow records, filtered here. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/verb.h"
#include "conf/parse.h"

#define AGENT_SOCKET "/run/weir/agent.sock"

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    WEIR_OPTION_OUTPUT,
    { "agent", 0, "PATH", "ask the agent at this unix socket (default " AGENT_SOCKET ")" },
    { "follow", 'f', NULL, "go on with each further record" },
    { "pod", 0, "NAMESPACE/POD", "source or destination; repeatable" },
    { "verdict", 0, "VERDICT", "allow, deny, audit or held; repeatable" },
    { "event", 0, "EVENT", "open, close, deny, revoke, listen or http; repeatable" },
    { "direction", 0, "WHICH", "ingress or egress, as seen from the pod here" },
    { "ip", 0, "ADDR", "source, destination, or what was asked for; repeatable" },
    { "port", 0, "PORT", "of the destination, or what was asked for; repeatable" },
    { "service", 0, "NAMESPACE/SERVICE", "that was called; repeatable" },
    { "policy", 0, "NAMESPACE/POLICY", "that decided; repeatable" },
    { "reason", 0, "REASON", "deny_ingress...; repeatable" },
    { "since", 0, "TIME", "10s, 5m..., or as in the records: 2026-01-31T12:00:00Z" },
    { "last", 'n', "N", "only the last N of those there are" },
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_flows = {
    .name = "flows",
    .words = "",
    .summary = "connections opened, closed, denied and reset on this node, and HTTP exchanges",
    .more = "The agent keeps the last 1024 records; spec.flowLog of the Agent document keeps all. "
            "Records\n"
            "come oldest first; -o json prints one JSON object per line.\n",
    .options = options,
    .run = run,
};

struct view {
    const struct weir_args *args;
    char since[32]; /* "" = any; RFC 3339 in UTC compares as text */
    char **kept;    /* the last ones, a ring */
    size_t last, n_kept;
    bool json, live;
};

/* An option, and the members of a record of which one has to be what it says. */
static const struct filter {
    const char *option;
    const char *keys[3];
} filters[] = {
    { "pod", { "source", "destination", "pod" } },
    { "verdict", { "verdict" } },
    { "event", { "event" } },
    { "direction", { "direction" } },
    { "ip", { "source_ip", "destination_ip", "original_ip" } },
    { "port", { "destination_port", "original_port" } },
    { "service", { "service" } },
    { "policy", { "policy" } },
    { "reason", { "reason" } },
};

static bool says(const json_t *record, const char *key, const char *value) {
    const json_t *member = key ? json_object_get(record, key) : NULL;
    char number[24];

    if (json_is_string(member))
        return strcmp(json_string_value(member), value) == 0;
    snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(member));
    return json_is_integer(member) && strcmp(number, value) == 0;
}

/* Whether one of the given values is one of the record's. An option not given lets all pass. */
static bool chosen(const struct view *v, const json_t *record, const struct filter *f) {
    bool given = false;

    for (unsigned i = 0; i < v->args->n_given; i++) {
        const char *value = v->args->given[i].value;

        if (strcmp(v->args->given[i].option->name, f->option) != 0)
            continue;
        given = true;
        for (size_t k = 0; k < WEIR_ARRAY_LEN(f->keys); k++)
            if (says(record, f->keys[k], value))
                return true;
    }
    return !given;
}

static bool wanted(const struct view *v, const json_t *record) {
    const char *at = json_string_value(json_object_get(record, "time"));

    if (v->since[0] && !(at && strcmp(at, v->since) >= 0))
        return false;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(filters); i++)
        if (!chosen(v, record, &filters[i]))
            return false;
    return true;
}

/* The same words as in the flow log's text format. */
static void print_text(const json_t *record) {
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)record, key, value) {
        if (strcmp(key, "time") == 0)
            printf("%s", json_string_value(value));
        else if (json_is_string(value))
            printf(" %s=%s", key, json_string_value(value));
        else if (json_is_integer(value))
            printf(" %s=%" JSON_INTEGER_FORMAT, key, json_integer_value(value));
    }
    putchar('\n');
}

static void print_line(const struct view *v, const char *text) {
    json_t *record = v->json ? NULL : json_loads(text, 0, NULL);

    if (record)
        print_text(record);
    else
        puts(text);
    json_decref(record);
    if (v->live)
        fflush(stdout);
}

static void keep(struct view *v, const char *text) {
    size_t slot = v->n_kept++ % v->last;

    weir_free(v->kept[slot]);
    v->kept[slot] = weir_strndup(text, strlen(text));
}

static void flush_kept(struct view *v) {
    size_t first = v->n_kept > v->last ? v->n_kept - v->last : 0;

    for (size_t i = first; i < v->n_kept; i++)
        if (v->kept[i % v->last])
            print_line(v, v->kept[i % v->last]);
    v->n_kept = 0;
}

static int take(void *arg, char *text) {
    struct view *v = arg;
    json_t *record;
    bool good;

    if (text[0] == '\0') { /* what comes now is new */
        if (v->last)
            flush_kept(v);
        v->live = true;
        fflush(stdout);
        return 0;
    }
    record = json_loads(text, 0, NULL);
    good = record && wanted(v, record);
    json_decref(record);
    if (!good)
        return 0;
    if (v->last && !v->live)
        keep(v, text);
    else
        print_line(v, text);
    return ferror(stdout) ? -EPIPE : 0;
}

/* "5m" back from now, or a point in time. */
static int parse_since(const char *text, char *ret, size_t size) {
    uint64_t us, seconds;
    struct timespec now;
    struct tm tm;
    time_t at;

    if (weir_parse_duration(text, &us) == 0) {
        clock_gettime(CLOCK_REALTIME, &now);
        at = now.tv_sec - (time_t)(us / 1000000);
    } else if (weir_parse_time(text, &seconds) == 0) {
        at = (time_t)seconds;
    } else {
        return -EINVAL;
    }
    if (!gmtime_r(&at, &tm) || strftime(ret, size, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return -EINVAL;
    return 0;
}

static int parse(struct weir_args *args, struct view *v) {
    const char *last = weir_args_value(args, "last"), *since = weir_args_value(args, "since");
    char *end = NULL;
    int r;

    v->args = args;
    v->json = weir_args_json(args, &r);
    if (r)
        return r;
    if (since && parse_since(since, v->since, sizeof(v->since)) < 0)
        return weir_usage(args, "--since %s: a duration (10s, 5m) or a time (2026-01-31T12:00:00Z)",
                          since);
    if (!last)
        return 0;
    v->last = strtoul(last, &end, 10);
    if (last[0] < '0' || last[0] > '9' || *end || v->last == 0 || v->last > 1000000)
        return weir_usage(args, "--last %s: a number from 1", last);
    v->kept = weir_calloc(v->last, sizeof(*v->kept));
    return v->kept ? 0 : weir_failed(args, "%s", strerror(ENOMEM));
}

static int run(struct weir_args *args) {
    const char *where = weir_args_value(args, "agent");
    struct view v = { 0 };
    int r = parse(args, &v);

    if (r)
        return r;
    where = where ? where : AGENT_SOCKET;
    r = weir_client_follow(where, weir_args_has(args, "follow") ? "flows -f" : "flows", take, &v);
    if (v.last)
        flush_kept(&v);
    for (size_t i = 0; i < v.last; i++)
        weir_free(v.kept[i]);
    weir_free(v.kept);
    if (r < 0)
        return weir_failed(args, "agent at %s: %s", where, strerror(-r));
    return WEIR_EXIT_OK;
}
