/* SPDX-License-Identifier: Apache-2.0 */
/* weir routes: the compiled routes of files or of a running proxy, and what one request would get. */
#include "cli/routes.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "core/routes.h"
#include "sys/texts.h"

#define CONFIG_MAX  (256u * 1024u * 1024u)
#define ADMIN       "127.0.0.1:15000"
#define NEAREST     10u
#define REQUEST_MAX 8192u

static int run(struct weir_args *args);

static const struct weir_option options[] = {
    { "config", 'c', "PATH", "of these documents (file, directory or -); repeatable" },
    { "admin", 'a', "ADDR:PORT", "of the proxy with this admin address (default " ADMIN ")" },
    { "try", 't', "METHOD URL", "what this request gets, and why" },
    { "header", 'H', "NAME: VALUE", "of the request to try; repeatable" },
    { "from", 'f', "NS/POD", "the pod that asks (default: the Proxy document's)" },
    { "all", 0, NULL, "with --try: every rule passed over, not only the nearest" },
    WEIR_OPTION_OUTPUT,
    WEIR_OPTIONS_END,
};

const struct weir_verb weir_verb_routes = {
    .name = "routes",
    .words = "",
    .summary = "the routes in force, or what one request would get and why",
    .more = "  weir routes --config DIR\n"
            "  weir routes --config DIR --try 'GET http://www.example.com/a?b=c' -H 'x-version: "
            "v2'\n"
            "  weir routes --admin 127.0.0.1:15000 --try 'POST http://api.shop/pay'\n\n"
            "Without --config a running proxy is asked. The URL's host and port say where the "
            "request comes to: a\n"
            "Gateway's listener, or a Service (its name or address) as called from a pod. Nothing "
            "is sent.\n",
    .options = options,
    .run = run,
};

/* ---- printing ---- */

static const char *text_of(const json_t *object, const char *key, const char *otherwise) {
    const char *text = json_string_value(json_object_get(object, key));

    return text && text[0] ? text : otherwise;
}

static void print_names(const json_t *list, const char *what) {
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one) {
        bool regex = strcmp(text_of(one, "type", ""), "RegularExpression") == 0;

        printf(" %s %s%s\"%s\"", what, text_of(one, "name", "?"), regex ? "~" : "=",
               text_of(one, "value", ""));
    }
}

/* What a rule matches, in one line. */
static void print_match(const json_t *rule) {
    const json_t *path = json_object_get(rule, "path");
    const char *method = text_of(rule, "method", "");

    printf("%s%s%s %s", text_of(rule, "hostname", "*"), method[0] ? " " : "", method,
           text_of(path, "type", ""));
    printf(" %s", text_of(path, "value", ""));
    if (json_object_get(rule, "grpcMethod"))
        printf(" grpc method %s", text_of(rule, "grpcMethod", ""));
    else if (strcmp(text_of(rule, "kind", ""), "GRPCRoute") == 0)
        printf(" grpc");
    print_names(json_object_get(rule, "headers"), "header");
    print_names(json_object_get(rule, "queryParams"), "query");
}

static void print_strings(const json_t *list, const char *before) {
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one) printf("%s%s", i == 0 ? before : ", ", json_string_value(one));
}

static void print_backends(const json_t *rule) {
    const json_t *list = json_object_get(rule, "backends"), *one;
    long long total = 0;
    size_t i;

    json_array_foreach(list, i, one) total += json_integer_value(json_object_get(one, "weight"));
    json_array_foreach(list, i, one) {
        long long weight = json_integer_value(json_object_get(one, "weight"));

        printf("%s%s", i ? ", " : " -> ", text_of(one, "service", "?"));
        if (json_array_size(list) > 1)
            printf(" %.4g%%", total ? (double)weight * 100 / (double)total : 0.0);
        if (!json_is_true(json_object_get(one, "exists")))
            printf(" (not there)");
    }
    print_strings(json_object_get(rule, "filters"), "; ");
}

static void print_rule_name(const json_t *rule) {
    printf("%s %s rule %s", text_of(rule, "kind", "?"), text_of(rule, "route", "?"),
           text_of(rule, "rule", "?"));
}

static void print_list(const json_t *answer) {
    const char *before = "";
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(answer, "routes"), i, one) {
        const char *parent = text_of(one, "parent", "?");

        if (strcmp(parent, before) != 0)
            printf("%s%s\n", i ? "\n" : "", parent);
        before = parent;
        printf("  ");
        print_match(one);
        print_backends(one);
        printf("  [");
        print_rule_name(one);
        printf("]\n");
    }
    if (json_array_size(json_object_get(answer, "routes")) == 0)
        printf("no route is attached to anything\n");
}

/* Those whose host and path fit come first to mind: they are shown whatever the number. */
static void print_passed(const json_t *trial, bool all) {
    const json_t *list = json_object_get(trial, "passed"), *one;
    size_t n = json_array_size(list), i, shown = 0;
    long long in_all = json_integer_value(json_object_get(trial, "passedInAll"));

    json_array_foreach(list, i, one) {
        const char *part = text_of(one, "part", "");
        bool far =
            strcmp(part, "host") == 0 || strcmp(part, "path") == 0 || strcmp(part, "listener") == 0;

        if (!all && far && i + NEAREST < n)
            continue;
        shown++;
        printf("passed    ");
        print_rule_name(one);
        printf(" (");
        print_match(one);
        printf("): %s\n", text_of(one, "why", "?"));
    }
    if (in_all > (long long)shown)
        printf("passed    %lld more, of other hosts and paths%s\n", in_all - (long long)shown,
               all ? "" : " (--all)");
}

static void print_read(const json_t *trial) {
    static const char *const names[] = { "host", "path", "method" };
    const json_t *read = json_object_get(trial, "read");
    const char *comma = "read      ";

    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++)
        if (json_is_true(json_object_get(read, names[i]))) {
            printf("%s%s", comma, names[i]);
            comma = ", ";
        }
    if (json_is_true(json_object_get(read, "grpc"))) {
        printf("%scontent-type (gRPC or not)", comma);
        comma = ", ";
    }
    if (json_array_size(json_object_get(read, "headers")) > 0) {
        printf("%sheaders", comma);
        print_strings(json_object_get(read, "headers"), " ");
        comma = ", ";
    }
    if (json_array_size(json_object_get(read, "queryParams")) > 0) {
        printf("%squery", comma);
        print_strings(json_object_get(read, "queryParams"), " ");
        comma = ", ";
    }
    printf("%s\n", comma[0] == ',' ? "" : "read      nothing");
}

static void print_authorization(const json_t *trial) {
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(trial, "authorization"), i, one) {
        const char *policy = text_of(one, "policy", ""), *audited = text_of(one, "audited", ""),
                   *would_deny = text_of(one, "wouldDeny", "");

        printf("policy    %s at %s%s%s",
               json_is_true(json_object_get(one, "allowed")) ? "allowed" : "403",
               text_of(one, "at", "?"), policy[0] ? ", AuthorizationPolicy " : "", policy);
        if (would_deny[0])
            printf("; would be denied by %s", would_deny);
        if (audited[0])
            printf("; audited by %s", audited);
        printf("\n");
    }
}

void weir_print_trial(const json_t *trial, bool all) {
    const json_t *decision = json_object_get(trial, "decision");
    const char *client = text_of(trial, "client", "");

    printf("request   %s %s %s\n", text_of(trial, "method", "?"), text_of(trial, "authority", "-"),
           text_of(trial, "target", "?"));
    printf("comes to  %s%s%s\n", text_of(trial, "parent", "?"),
           client[0] ? ", from namespace " : "", client);
    print_passed(trial, all);
    if (json_is_object(decision)) {
        printf("decision  ");
        print_rule_name(decision);
        printf(" (");
        print_match(decision);
        printf(")%s%s\n", json_object_get(decision, "place") ? " at " : "",
               text_of(decision, "place", ""));
        printf("         ");
        print_backends(decision);
        printf("\n");
    }
    printf("answer    %s\n", text_of(trial, "answer", "-"));
    print_authorization(trial);
    print_read(trial);
}

/* ---- asking ---- */

bool weir_split_request(const char *text, char *buf, size_t size, const char **ret_method,
                        const char **ret_url) {
    size_t n = strcspn(text, " ");

    if (n == 0 || text[n] == '\0' || strlen(text) >= size)
        return false;
    strcpy(buf, text);
    buf[n] = '\0';
    *ret_method = buf;
    *ret_url = buf + n + 1 + strspn(buf + n + 1, " ");
    return (*ret_url)[0] != '\0' && !strpbrk(*ret_url, " \t");
}

static int fill(struct weir_args *args, struct weir_routes_ask *ask, char *buf) {
    const char *request = weir_args_value(args, "try"), *from = weir_args_value(args, "from");

    *ask = (struct weir_routes_ask){ .method = "", .url = "", .from = from ? from : "" };
    if (request && !weir_split_request(request, buf, REQUEST_MAX, &ask->method, &ask->url))
        return weir_usage(args, "--try \"%s\": METHOD URL, as in 'GET http://host/path'", request);
    for (unsigned i = 0; i < args->n_given; i++) {
        const char *line = args->given[i].value;

        if (args->given[i].option->letter != 'H')
            continue;
        if (!request)
            return weir_usage(args, "-H goes with --try");
        if (!weir_routes_add_header(ask, weir_slice_from_str(line)))
            return weir_usage(args, "-H \"%s\": NAME: VALUE, up to %u", line,
                              WEIR_ROUTES_HEADERS_MAX);
    }
    return 0;
}

static int read_snapshot(struct weir_args *args, struct weir_texts *texts,
                         struct weir_snapshot **ret_snapshot) {
    struct weir_problems problems = { 0 };
    struct weir_source *sources;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < args->n_given; i++)
        if (args->given[i].option->letter == 'c') {
            r = weir_texts_read(texts, args->given[i].value);
            if (r < 0)
                return weir_failed(args, "%s: %s",
                                   texts->failed ? texts->failed : args->given[i].value,
                                   strerror(-r));
        }
    sources = weir_calloc(texts->n + 1, sizeof(*sources));
    if (!sources)
        return weir_failed(args, "%s", strerror(ENOMEM));
    for (size_t i = 0; i < texts->n; i++)
        sources[i] =
            (struct weir_source){ texts->items[i].name, texts->items[i].text, texts->items[i].len };
    r = weir_snapshot_build(sources, texts->n, ret_snapshot, &problems);
    weir_free(sources);
    for (uint32_t i = 0; i < problems.n; i++)
        if (problems.items[i].severity == WEIR_SEVERITY_ERROR)
            fprintf(stderr, "%s:%u:%u: error: %s: %s\n", problems.items[i].place.file,
                    problems.items[i].place.line, problems.items[i].place.col,
                    problems.items[i].field, problems.items[i].message);
    weir_problems_deinit(&problems);
    return r == 0 ? 0
                  : weir_failed(args, "%s", r < 0 ? strerror(-r) : "the configuration is refused");
}

static char *text_from(struct weir_bufq *q) {
    char *text = weir_malloc(q->len + 1);
    struct iovec iov;
    size_t n = 0;

    while (text && weir_bufq_peek(q, &iov, 1) == 1) {
        memcpy(text + n, iov.iov_base, iov.iov_len);
        n += iov.iov_len;
        weir_bufq_consume(q, iov.iov_len);
    }
    if (text)
        text[n] = '\0';
    return text;
}

static int ask_files(struct weir_args *args, const struct weir_routes_ask *ask, char **ret_text) {
    struct weir_snapshot *s = NULL;
    struct weir_chunk_pool pool;
    struct weir_texts texts;
    struct weir_bufq out;
    int r;

    weir_texts_init(&texts, CONFIG_MAX);
    weir_chunk_pool_init(&pool, 16);
    weir_bufq_init(&out, &pool, 0);
    r = read_snapshot(args, &texts, &s);
    if (r == 0) {
        r = ask->url[0] ? weir_routes_try(s, ask, &out) : weir_routes_list(s, &out);
        *ret_text = r < 0 ? NULL : text_from(&out);
        r = *ret_text ? 0 : weir_failed(args, "%s", strerror(ENOMEM));
    }
    weir_bufq_deinit(&out);
    weir_chunk_pool_deinit(&pool);
    weir_snapshot_unref(s);
    weir_texts_deinit(&texts);
    return r;
}

/* key=value with everything but letters and digits escaped; false: no room. */
static bool add_param(char *path, size_t size, const char *key, struct weir_slice value) {
    size_t n = strlen(path);

    n += (size_t)snprintf(path + n, n < size ? size - n : 0, "%s%s=", strchr(path, '?') ? "&" : "?",
                          key);
    for (size_t i = 0; i < value.len && n + 4 < size; i++) {
        char c = value.ptr[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        n += (size_t)snprintf(path + n, size - n, plain ? "%c" : "%%%02X", (unsigned char)c);
    }
    return n + 4 < size;
}

static int ask_proxy(struct weir_args *args, const struct weir_routes_ask *ask, char **ret_text) {
    const char *admin = weir_args_value(args, "admin");
    char path[15000] = "/routes";
    bool fits = true;
    int status, r;

    if (ask->url[0])
        fits = add_param(path, sizeof(path), "url", weir_slice_from_str(ask->url)) &&
               add_param(path, sizeof(path), "method", weir_slice_from_str(ask->method)) &&
               add_param(path, sizeof(path), "from", weir_slice_from_str(ask->from));
    for (uint32_t i = 0; fits && i < ask->n_headers; i++) {
        char line[4096];

        fits =
            (size_t)snprintf(line, sizeof(line), "%.*s: %.*s", WEIR_SLICE_ARG(ask->headers[i].name),
                             WEIR_SLICE_ARG(ask->headers[i].value)) < sizeof(line) &&
            add_param(path, sizeof(path), "header", weir_slice_from_str(line));
    }
    if (!fits)
        return weir_failed(args, "the request is too long to ask a proxy about; use --config");
    admin = admin ? admin : ADMIN;
    r = weir_client_get(admin, path, &status, ret_text);
    if (r < 0)
        return weir_failed(args, "proxy at %s: %s (--config reads files instead)", admin,
                           strerror(-r));
    if (status != 200 && status != 400)
        return weir_failed(args, "proxy at %s answers %d", admin, status);
    return 0;
}

static int print(struct weir_args *args, const char *text, bool json) {
    json_t *answer = json_loads(text, 0, NULL);
    const char *error = text_of(answer, "error", "");
    int r = 0;

    if (!answer)
        return weir_failed(args, "the answer is no JSON");
    if (error[0])
        r = weir_failed(args, "%s", error);
    else if (json)
        json_dumpf(answer, stdout, JSON_INDENT(2)), putchar('\n');
    else if (weir_args_has(args, "try"))
        weir_print_trial(answer, weir_args_has(args, "all"));
    else
        print_list(answer);
    json_decref(answer);
    return r;
}

static int run(struct weir_args *args) {
    WEIR_CLEANUP(weir_freep)
    char *text = NULL;
    char request[REQUEST_MAX];
    struct weir_routes_ask ask;
    int r;
    bool json = weir_args_json(args, &r);

    if (r == 0)
        r = fill(args, &ask, request);
    if (r == 0 && weir_args_has(args, "config") && weir_args_has(args, "admin"))
        r = weir_usage(args, "--config or --admin, not both");
    if (r == 0)
        r = weir_args_has(args, "config") ? ask_files(args, &ask, &text)
                                          : ask_proxy(args, &ask, &text);
    return r == 0 ? print(args, text, json) : r;
}
