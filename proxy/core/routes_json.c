/* SPDX-License-Identifier: Apache-2.0 */
#include "core/routes_json.h"

#include <stdio.h>

static const char *const match_types[] = { [WEIR_MATCH_EXACT] = "Exact",
                                           [WEIR_MATCH_PREFIX] = "PathPrefix",
                                           [WEIR_MATCH_REGEX] = "RegularExpression" };
static const char *const filter_types[] = {
    [WEIR_FILTER_REQUEST_HEADERS] = "RequestHeaderModifier",
    [WEIR_FILTER_RESPONSE_HEADERS] = "ResponseHeaderModifier",
    [WEIR_FILTER_REDIRECT] = "RequestRedirect",
    [WEIR_FILTER_REWRITE] = "URLRewrite",
    [WEIR_FILTER_MIRROR] = "RequestMirror",
    [WEIR_FILTER_CORS] = "CORS",
};

static void put_rule_name(struct weir_json *j, const struct weir_http_route *route,
                          const struct weir_route_rule *rule) {
    char number[16];

    snprintf(number, sizeof(number), "#%u", (unsigned)(rule - route->rules));
    weir_json_str(j, "rule", rule->name[0] ? rule->name : number);
}

static void put_place(struct weir_json *j, const struct weir_place *place) {
    char text[4200];

    if (!place->file)
        return;
    snprintf(text, sizeof(text), "%s:%u:%u", place->file, place->line, place->col);
    weir_json_str(j, "place", text);
}

static void put_names(struct weir_json *j, const char *key, const struct weir_named_match *list,
                      uint32_t n) {
    if (n == 0)
        return;
    weir_json_open(j, key, '[');
    for (uint32_t i = 0; i < n; i++) {
        weir_json_open(j, NULL, '{');
        weir_json_str(j, "name", list[i].name);
        weir_json_str(j, "type", match_types[list[i].type]);
        weir_json_str(j, "value", list[i].value);
        weir_json_close(j, '{');
    }
    weir_json_close(j, '[');
}

static void put_host(struct weir_json *j, const struct weir_route_verdict *v) {
    char text[300];

    if (v->host.len == 0)
        return;
    snprintf(text, sizeof(text), "%s%.*s", v->wildcard ? "*." : "", WEIR_SLICE_ARG(v->host));
    weir_json_str(j, "hostname", text);
}

void weir_routes_put_verdict(struct weir_json *j, const struct weir_route_verdict *v) {
    const struct weir_meta *meta = &v->route->meta;
    char name[600];

    snprintf(name, sizeof(name), "%s/%s", meta->namespace_, meta->name);
    weir_json_str(j, "kind", v->route->grpc ? "GRPCRoute" : "HTTPRoute");
    weir_json_str(j, "route", name);
    put_rule_name(j, v->route, v->rule);
    weir_json_u64(j, "match", (uint64_t)(v->match - v->rule->matches));
    put_place(j, &v->rule->place);
    put_host(j, v);
    weir_json_open(j, "path", '{');
    weir_json_str(j, "type", match_types[v->match->path_type]);
    weir_json_str(j, "value", v->match->path);
    weir_json_close(j, '{');
    if (v->match->rpc)
        weir_json_str(j, "grpcMethod", v->match->rpc);
    if (v->match->method[0])
        weir_json_str(j, "method", v->match->method);
    put_names(j, "headers", v->match->headers, v->match->n_headers);
    put_names(j, "queryParams", v->match->queries, v->match->n_queries);
}

static void put_filters(struct weir_json *j, const struct weir_filter *filters, uint32_t n) {
    if (n == 0)
        return;
    weir_json_open(j, "filters", '[');
    for (uint32_t i = 0; i < n; i++)
        weir_json_str(j, NULL, filter_types[filters[i].type]);
    weir_json_close(j, '[');
}

void weir_routes_put_outcome(struct weir_json *j, const struct weir_route_rule *rule) {
    weir_json_open(j, "backends", '[');
    for (uint32_t i = 0; i < rule->n_backends; i++) {
        const struct weir_backend_ref *b = &rule->backends[i];
        char name[600];

        snprintf(name, sizeof(name), "%s/%s:%u", b->namespace_, b->name, b->port);
        weir_json_open(j, NULL, '{');
        weir_json_str(j, "service", name);
        weir_json_u64(j, "weight", b->weight);
        weir_json_bool(j, "exists", b->service && b->service_port);
        put_filters(j, b->filters, b->n_filters);
        weir_json_close(j, '{');
    }
    weir_json_close(j, '[');
    put_filters(j, rule->filters, rule->n_filters);
    if (rule->has_timeout_request)
        weir_json_u64(j, "timeoutRequestUs", rule->timeout_request_us);
    if (rule->has_timeout_backend)
        weir_json_u64(j, "timeoutBackendRequestUs", rule->timeout_backend_us);
    if (rule->retry)
        weir_json_u64(j, "retryAttempts", rule->retry->attempts);
    if (rule->session)
        weir_json_str(j, "session", rule->session->name);
}

/* What the request says there, shortened. */
static void say_value(char *text, size_t size, const struct weir_route_verdict *v,
                      const struct weir_head *head) {
    bool is_header = v->miss == WEIR_MISS_HEADER;
    const struct weir_named_match *list = is_header ? v->match->headers : v->match->queries;
    uint32_t n = is_header ? v->match->n_headers : v->match->n_queries;
    const struct weir_field *f = is_header ? weir_head_find(head, v->name) : NULL;
    const struct weir_named_match *wanted = NULL;
    const char *what = is_header ? "header" : "query parameter";

    for (uint32_t i = 0; i < n && !wanted; i++)
        if (weir_slice_ieq(weir_slice_from_str(list[i].name), v->name))
            wanted = &list[i];
    if (is_header && !f)
        snprintf(text, size, "there is no %s %.*s", what, WEIR_SLICE_ARG(v->name));
    else
        snprintf(text, size, "%s %.*s is not %s%s%s", what, WEIR_SLICE_ARG(v->name),
                 wanted && wanted->type == WEIR_MATCH_REGEX ? "like \"" : "\"",
                 wanted ? wanted->value : "", "\"");
}

static void say_why(char *text, size_t size, const struct weir_route_verdict *v,
                    const struct weir_head *head) {
    switch (v->miss) {
    case WEIR_MISS_LISTENER:
        snprintf(text, size, "the listener is for another host");
        break;
    case WEIR_MISS_HOST:
        snprintf(text, size, "host is not %s%.*s", v->wildcard ? "*." : "",
                 WEIR_SLICE_ARG(v->host));
        break;
    case WEIR_MISS_PATH:
        snprintf(text, size, "path is not %s %s", match_types[v->match->path_type], v->match->path);
        break;
    case WEIR_MISS_GRPC:
        snprintf(text, size, "content-type is not application/grpc");
        break;
    case WEIR_MISS_RPC:
        snprintf(text, size, "gRPC method is not %s", v->match->rpc);
        break;
    case WEIR_MISS_METHOD:
        snprintf(text, size, "method is not %s", v->match->method);
        break;
    case WEIR_MISS_HEADER:
    case WEIR_MISS_QUERY:
        say_value(text, size, v, head);
        break;
    case WEIR_MISS_NONE:
        text[0] = '\0';
        break;
    }
}

void weir_routes_put_passed(struct weir_json *j, const struct weir_route_verdict *v,
                            const struct weir_head *head) {
    static const char *const parts[] = { "",     "listener", "host",   "path", "grpc",
                                         "grpc", "method",   "header", "query" };
    char why[1024];

    say_why(why, sizeof(why), v, head);
    weir_json_open(j, NULL, '{');
    weir_routes_put_verdict(j, v);
    weir_json_str(j, "part", parts[v->miss]);
    weir_json_str(j, "why", why);
    weir_json_close(j, '{');
}

static void put_list(struct weir_json *j, const char *key, const struct weir_slice *list,
                     uint32_t n) {
    weir_json_open(j, key, '[');
    for (uint32_t i = 0; i < n; i++)
        weir_json_text(j, NULL, list[i]);
    weir_json_close(j, '[');
}

void weir_routes_put_parts(struct weir_json *j, const struct weir_route_parts *parts) {
    weir_json_open(j, "read", '{');
    weir_json_bool(j, "host", parts->host);
    weir_json_bool(j, "path", parts->path);
    weir_json_bool(j, "method", parts->method);
    weir_json_bool(j, "grpc", parts->grpc);
    put_list(j, "headers", parts->headers, parts->n_headers);
    put_list(j, "queryParams", parts->queries, parts->n_queries);
    weir_json_close(j, '{');
}

static int join(struct weir_arena *arena, const struct weir_slice **list, uint32_t *n,
                const struct weir_slice *more, uint32_t n_more) {
    struct weir_slice *all = weir_arena_calloc(arena, *n + n_more + 1, sizeof(*all));
    uint32_t k = *n;

    if (!all)
        return -ENOMEM;
    for (uint32_t i = 0; i < k; i++)
        all[i] = (*list)[i];
    for (uint32_t i = 0; i < n_more; i++) {
        bool there = false;

        for (uint32_t m = 0; m < k && !there; m++)
            there = weir_slice_ieq(all[m], more[i]);
        if (!there)
            all[k++] = more[i];
    }
    *list = all;
    *n = k;
    return 0;
}

int weir_routes_join_parts(struct weir_route_parts *all, const struct weir_route_parts *more) {
    int r = join(all->arena, &all->headers, &all->n_headers, more->headers, more->n_headers);

    all->host |= more->host;
    all->path |= more->path;
    all->method |= more->method;
    all->grpc |= more->grpc;
    return r == 0 ? join(all->arena, &all->queries, &all->n_queries, more->queries, more->n_queries)
                  : r;
}

const char *weir_routes_answer(const struct weir_route_rule *rule) {
    uint64_t weight = 0, gone = 0;

    for (uint32_t i = 0; i < rule->n_filters; i++)
        if (rule->filters[i].type == WEIR_FILTER_REDIRECT)
            return "a redirect";
    for (uint32_t i = 0; i < rule->n_backends; i++) {
        weight += rule->backends[i].weight;
        if (!rule->backends[i].service || !rule->backends[i].service_port)
            gone += rule->backends[i].weight;
    }
    if (weight == 0)
        return "500: the rule has no backend with a weight";
    if (gone == weight)
        return "500: no backend of the rule is there";
    return gone > 0 ? "of a backend; 500 for the share of those that are not there"
                    : "of a backend";
}
