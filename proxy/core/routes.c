/* SPDX-License-Identifier: Apache-2.0 */
#include "core/routes.h"

#include "base/mem.h"
#include "base/radix.h"
#include "core/routes_authz.h"
#include "core/routes_json.h"
#include "http/uri.h"
#include "route/attach.h"
#include "route/hosts.h"

#define PASSED_MAX 1000u /* rules passed over that are listed; the rest is counted */

struct session { /* one question */
    const struct weir_snapshot *s;
    struct weir_attachments *attachments;
    struct weir_arena arena;
    struct weir_json j;
};

static int session_begin(struct session *q, const struct weir_snapshot *s, struct weir_bufq *out) {
    int r;

    *q = (struct session){ .s = s };
    r = weir_attachments_new(s, &q->attachments);
    weir_arena_init(&q->arena, 4096);
    weir_json_begin(&q->j, out);
    weir_json_open(&q->j, NULL, '{');
    return r;
}

static int session_end(struct session *q, int r) {
    int written;

    weir_json_close(&q->j, '{');
    written = weir_json_end(&q->j);
    weir_attachments_free(q->attachments);
    weir_arena_deinit(&q->arena);
    return r < 0 ? r : written < 0 ? written : r;
}

/* ---- the list ---- */

struct place {
    struct session *q;
    struct weir_attach at;
    const char *name;
};

static int list_match(void *arg, const struct weir_route_verdict *v) {
    const struct place *p = arg;
    struct weir_json *j = &p->q->j;

    weir_json_open(j, NULL, '{');
    weir_json_str(j, "parent", p->name);
    if (p->at.ns)
        weir_json_str(j, "routesOf", p->at.ns);
    weir_routes_put_verdict(j, v);
    weir_routes_put_outcome(j, v->rule);
    weir_json_close(j, '{');
    return 0;
}

static int list_table(struct place *p) {
    struct weir_route_table *t;
    int r = weir_attach_table(p->q->attachments, &p->at, &t);

    if (r == 0 && t)
        r = weir_route_each(t, NULL, list_match, p);
    weir_route_table_free(t);
    return r;
}

static int list_consumer(void *arg, const char *ns) {
    struct place p = *(struct place *)arg;

    p.at.ns = ns;
    return list_table(&p);
}

static int list_services(struct session *q) {
    int r = 0;

    for (uint32_t i = 0; i < q->s->n_services; i++)
        for (uint32_t k = 0; r == 0 && k < q->s->services[i].n_ports; k++) {
            const struct weir_service *svc = &q->s->services[i];
            struct place p = { .q = q,
                               .at = { .kind = WEIR_PARENT_SERVICE,
                                       .meta = &svc->meta,
                                       .section = "",
                                       .hostname = "",
                                       .port = svc->ports[k].port,
                                       .ns = svc->meta.namespace_ } };

            if (svc->ports[k].proto != WEIR_PROTO_TCP)
                continue;
            p.name = weir_arena_printf(&q->arena, "Service %s/%s:%u", svc->meta.namespace_,
                                       svc->meta.name, svc->ports[k].port);
            r = p.name ? weir_attach_consumers(q->attachments, &p.at, list_consumer, &p) : -ENOMEM;
            if (r == 0)
                r = list_table(&p);
        }
    return r;
}

static int listener_place(struct session *q, const struct weir_gateway *g,
                          const struct weir_gateway_listener *l, struct place *ret_place) {
    *ret_place = (struct place){ .q = q,
                                 .at = { .kind = WEIR_PARENT_GATEWAY,
                                         .meta = &g->meta,
                                         .section = l->name,
                                         .hostname = l->hostname,
                                         .port = l->port } };
    ret_place->name =
        weir_arena_printf(&q->arena, "Gateway %s/%s/%s", g->meta.namespace_, g->meta.name, l->name);
    return ret_place->name ? 0 : -ENOMEM;
}

static int list_gateways(struct session *q) {
    struct place p;
    int r = 0;

    for (uint32_t i = 0; i < q->s->n_gateways; i++)
        for (uint32_t k = 0; r == 0 && k < q->s->gateways[i].n_listeners; k++) {
            r = listener_place(q, &q->s->gateways[i], &q->s->gateways[i].listeners[k], &p);
            if (r == 0)
                r = list_table(&p);
        }
    return r;
}

int weir_routes_list(const struct weir_snapshot *s, struct weir_bufq *out) {
    struct session q;
    int r = session_begin(&q, s, out);

    weir_json_open(&q.j, "routes", '[');
    if (r == 0)
        r = list_gateways(&q);
    if (r == 0)
        r = list_services(&q);
    weir_json_close(&q.j, '[');
    return session_end(&q, r);
}

/* ---- one request ---- */

struct trial {
    struct session q;
    const struct weir_routes_ask *ask;
    struct weir_head head;
    struct weir_slice host; /* of the URL, without brackets */
    bool https, port_given;
    uint16_t port;
    const char *ns; /* of who asks; "" = nobody in the mesh */
    const struct weir_pod *client;
    /* where it comes to */
    const struct weir_service *service;
    const struct weir_service_port *service_port;
    const struct weir_gateway *gateway;
    const struct weir_gateway_listener *listener;
    /* while the list is walked */
    struct weir_route_verdict chosen; /* rule NULL = none yet */
    uint32_t passed;
};

bool weir_routes_add_header(struct weir_routes_ask *ask, struct weir_slice line) {
    size_t n = weir_slice_index(line, ':');
    struct weir_slice name = weir_slice_trim(weir_slice_make(line.ptr, n)), value;

    if (n == line.len || !weir_chars_are(name, WEIR_CHAR_TOKEN) ||
        ask->n_headers == WEIR_ROUTES_HEADERS_MAX)
        return false;
    value = weir_slice_trim(weir_slice_make(line.ptr + n + 1, line.len - n - 1));
    if (value.len > 0 && !weir_chars_are(value, WEIR_CHAR_VALUE))
        return false;
    ask->headers[ask->n_headers].name = name;
    ask->headers[ask->n_headers++].value = value;
    return true;
}

static const char *parse_url(struct trial *t) {
    struct weir_slice url = weir_slice_from_str(t->ask->url), rest = url;
    size_t skip, end;

    t->https = weir_slice_starts_with(url, WEIR_SLICE("https://"));
    if (!t->https && !weir_slice_starts_with(url, WEIR_SLICE("http://")))
        return "the URL begins with neither http:// nor https://";
    skip = t->https ? 8 : 7;
    rest = weir_slice_make(url.ptr + skip, url.len - skip);
    end = weir_slice_index(rest, '/');
    if (weir_slice_index(rest, '?') < end)
        end = weir_slice_index(rest, '?');
    t->head.authority = weir_slice_make(rest.ptr, end);
    if (!weir_authority_valid(t->head.authority) ||
        weir_authority_parse(&t->q.arena, t->head.authority, &t->host, &t->port) != 0)
        return "the URL names no host";
    t->port_given = t->port != 0;
    if (!t->port_given)
        t->port = t->https ? 443 : 80;
    rest = weir_slice_make(rest.ptr + end, rest.len - end);
    t->head.target = rest.len == 0 ? WEIR_SLICE("/") : rest;
    if (rest.len > 0 && rest.ptr[0] == '?')
        t->head.target =
            weir_slice_from_str(weir_arena_printf(&t->q.arena, "/%.*s", WEIR_SLICE_ARG(rest)));
    return weir_target_valid(t->head.target) ? NULL : "the URL's path is not one";
}

static const char *make_head(struct trial *t) {
    const struct weir_routes_ask *ask = t->ask;
    const char *problem;

    weir_head_init(&t->head, &t->q.arena);
    t->head.version = WEIR_HTTP_11;
    t->head.method_name = weir_slice_from_str(ask->method);
    if (!weir_chars_are(t->head.method_name, WEIR_CHAR_TOKEN))
        return "that is no method";
    t->head.method = (uint8_t)weir_method_id(t->head.method_name);
    problem = parse_url(t);
    for (uint32_t i = 0; !problem && i < ask->n_headers; i++) {
        if (weir_slice_ieq(ask->headers[i].name, WEIR_SLICE("host")))
            t->head.authority = ask->headers[i].value;
        else if (weir_head_add(&t->head, ask->headers[i].name, ask->headers[i].value) < 0)
            problem = "no memory";
    }
    return problem;
}

/* ---- where it comes to ---- */

static const char *find_client(struct trial *t) {
    const char *from = t->ask->from, *slash;
    char *ns;

    t->ns = "";
    if (from && !from[0])
        from = t->q.s->proxy.pod;
    if (!from || !from[0])
        return NULL;
    slash = strchr(from, '/');
    ns = weir_arena_printf(&t->q.arena, "%.*s", slash ? (int)(slash - from) : 0, from);
    if (ns && slash)
        t->client = weir_snapshot_pod(t->q.s, ns, slash + 1);
    if (!t->client)
        return "the pod that asks is not among the documents: NAMESPACE/POD";
    t->ns = ns;
    return NULL;
}

/* NAME, NAME.NAMESPACE, NAME.NAMESPACE.svc...: as a resolver would take it. */
static const struct weir_service *service_by_name(struct trial *t) {
    struct weir_slice rest = t->host, name, ns = weir_slice_from_str(t->ns[0] ? t->ns : "default");
    struct weir_slice svc;
    char *copy[2];

    (void)weir_slice_split(&rest, '.', &name);
    if (rest.ptr)
        (void)weir_slice_split(&rest, '.', &ns);
    if (rest.ptr && weir_slice_split(&rest, '.', &svc) && !weir_slice_eq(svc, WEIR_SLICE("svc")))
        return NULL;
    copy[0] = weir_arena_printf(&t->q.arena, "%.*s", WEIR_SLICE_ARG(ns));
    copy[1] = weir_arena_printf(&t->q.arena, "%.*s", WEIR_SLICE_ARG(name));
    return copy[0] && copy[1] ? weir_snapshot_service(t->q.s, copy[0], copy[1]) : NULL;
}

static bool find_service(struct trial *t) {
    const char *host = weir_arena_printf(&t->q.arena, "%.*s", WEIR_SLICE_ARG(t->host));
    struct weir_ip ip;

    if (host && weir_parse_ip(host, &ip) == 0) {
        t->service = weir_snapshot_service_by_ip(t->q.s, &ip, t->port, &t->service_port);
        return t->service && t->service_port;
    }
    t->service = service_by_name(t);
    for (uint32_t i = 0; t->service && i < t->service->n_ports; i++)
        if (t->service->ports[i].port == t->port && t->service->ports[i].proto == WEIR_PROTO_TCP)
            t->service_port = &t->service->ports[i];
    return t->service_port != NULL;
}

/* The listener whose hostname covers the host best; with `any_port` of all that speak the scheme. */
static bool find_listener(struct trial *t, bool any_port) {
    unsigned best = 0;

    for (uint32_t i = 0; i < t->q.s->n_gateways; i++)
        for (uint32_t k = 0; k < t->q.s->gateways[i].n_listeners; k++) {
            const struct weir_gateway_listener *l = &t->q.s->gateways[i].listeners[k];
            bool tls = l->protocol == WEIR_LISTENER_HTTPS;
            const char *host = weir_arena_printf(&t->q.arena, "%.*s", WEIR_SLICE_ARG(t->host));

            if (l->protocol == WEIR_LISTENER_TLS || tls != t->https ||
                (!any_port && l->port != t->port) || !host ||
                !weir_hosts_common(l->hostname, host) ||
                strcmp(weir_hosts_common(l->hostname, host), host) != 0 ||
                weir_hosts_rank(l->hostname) + 1 <= best)
                continue;
            best = weir_hosts_rank(l->hostname) + 1;
            t->gateway = &t->q.s->gateways[i];
            t->listener = l;
        }
    return best > 0;
}

static const char *find_parent(struct trial *t) {
    t->service = t->ask->service;
    t->service_port = t->ask->port;
    if (t->service_port)
        return NULL;
    if ((t->ns[0] && find_service(t)) || find_listener(t, false) || find_service(t) ||
        (!t->port_given && find_listener(t, true)))
        return NULL;
    return "no Gateway listener is for that host and port, and no Service has that name or address";
}

/* ---- the decision ---- */

static int tell_passed(void *arg, const struct weir_route_verdict *v) {
    struct trial *t = arg;

    if (v->miss == WEIR_MISS_NONE) {
        t->chosen = *v;
        t->chosen.host = weir_arena_dup(&t->q.arena, v->host); /* it is the table's */
        return t->chosen.host.ptr ? 1 : -ENOMEM;
    }
    if (t->passed++ < PASSED_MAX)
        weir_routes_put_passed(&t->q.j, v, &t->head);
    return 0;
}

static void put_decision(struct trial *t) {
    const struct weir_route_rule *rule = t->chosen.rule;
    struct weir_json *j = &t->q.j;

    if (!rule) {
        weir_json_null(j, "decision");
        weir_json_str(j, "answer", "404: no route matches");
        return;
    }
    weir_json_open(j, "decision", '{');
    weir_routes_put_verdict(j, &t->chosen);
    weir_routes_put_outcome(j, rule);
    weir_json_close(j, '{');
    weir_json_str(j, "answer", weir_routes_answer(rule));
}

/* Asks one table for what it reads, and its list for what it chooses: the two are the same by test_explain.c. 0, -errno. */
static int ask_table(struct trial *t, const struct weir_attach *at, struct weir_route_parts *parts,
                     bool *ret_any) {
    struct weir_route_parts read = { .arena = &t->q.arena };
    struct weir_route_decision d;
    struct weir_route_table *table;
    int r = weir_attach_table(t->q.attachments, at, &table);

    if (r == 0 && table) {
        *ret_any = true;
        r = weir_route_decide_noting(table, &t->head, &d, &read);
        if (r == 0)
            r = weir_routes_join_parts(parts, &read);
        if (r == 0)
            r = weir_route_each(table, &t->head, tell_passed, t);
        r = r > 0 ? 0 : r;
    }
    weir_route_table_free(table);
    return r;
}

/* Behind a Gateway a request without a rule goes nowhere; nor does one that no rule of those attached is for. */
static int authorize(struct trial *t, bool routed) {
    const struct weir_routes_authz q = {
        .snapshot = t->q.s,
        .client = t->client,
        .head = &t->head,
        .gateway = t->service_port ? NULL : t->gateway,
        .gateway_port = t->port,
        .rule = t->chosen.rule,
        .port = routed ? NULL : t->service_port,
    };

    return weir_routes_put_authz(&t->q.j, &q);
}

static int decide(struct trial *t) {
    struct weir_route_parts parts = { .arena = &t->q.arena };
    struct weir_json *j = &t->q.j;
    bool any = false;
    int r = 0;

    weir_json_open(j, "passed", '[');
    if (t->service_port) {
        struct weir_attach at = {
            WEIR_PARENT_SERVICE, &t->service->meta, "", "", t->service_port->port, t->ns
        };

        if (t->ns[0] && strcmp(t->ns, t->service->meta.namespace_) != 0)
            r = ask_table(t, &at, &parts, &any);
        at.ns = t->service->meta.namespace_;
        if (r == 0 && !t->chosen.rule)
            r = ask_table(t, &at, &parts, &any);
    } else {
        struct weir_attach at = { WEIR_PARENT_GATEWAY,   &t->gateway->meta, t->listener->name,
                                  t->listener->hostname, t->listener->port, NULL };

        r = ask_table(t, &at, &parts, &any);
    }
    weir_json_close(j, '[');
    weir_json_u64(j, "passedInAll", t->passed);
    if (any) {
        put_decision(t);
    } else {
        weir_json_null(j, "decision");
        weir_json_str(j, "answer", "no route is attached: the Service's own endpoints");
    }
    weir_routes_put_parts(j, &parts);
    return r == 0 ? authorize(t, any) : r;
}

static void put_question(struct trial *t) {
    struct weir_json *j = &t->q.j;
    const struct weir_meta *m = t->service_port ? &t->service->meta : &t->gateway->meta;
    char *parent = t->service_port
                       ? weir_arena_printf(&t->q.arena, "Service %s/%s:%u", m->namespace_, m->name,
                                           t->service_port->port)
                       : weir_arena_printf(&t->q.arena, "Gateway %s/%s/%s", m->namespace_, m->name,
                                           t->listener->name);

    weir_json_text(j, "method", t->head.method_name);
    weir_json_text(j, "authority", t->head.authority);
    weir_json_text(j, "target", t->head.target);
    weir_json_str(j, "parent", parent ? parent : "?");
    if (t->service_port && t->ns[0])
        weir_json_str(j, "client", t->ns);
}

int weir_routes_try(const struct weir_snapshot *s, const struct weir_routes_ask *ask,
                    struct weir_bufq *out) {
    struct trial t = { .ask = ask };
    int r = session_begin(&t.q, s, out);
    const char *problem;

    if (r < 0)
        return session_end(&t.q, r);
    problem = find_client(&t);
    if (!problem)
        problem = make_head(&t);
    if (!problem)
        problem = find_parent(&t);
    if (!problem && weir_path_normalize_target(&t.head) != 0)
        problem =
            "the path is refused with 400: it has escapes or dot segments that servers disagree "
            "about";
    if (problem) {
        weir_json_str(&t.q.j, "error", problem);
        return session_end(&t.q, 1);
    }
    put_question(&t);
    return session_end(&t.q, decide(&t));
}

/* ---- query strings ---- */

/* %XX decoded, into the arena, NUL-terminated; ptr NULL = no memory. */
static struct weir_slice decoded(struct weir_arena *arena, struct weir_slice text) {
    struct weir_slice copy = weir_arena_dup(arena, text);
    char *to = (char *)copy.ptr;
    size_t n = 0;

    if (!to)
        return copy;
    for (size_t i = 0; i < text.len; i++) {
        bool escape = text.ptr[i] == '%' && i + 2 < text.len &&
                      weir_hex_digit(text.ptr[i + 1]) >= 0 && weir_hex_digit(text.ptr[i + 2]) >= 0;

        to[n++] =
            escape ? (char)(weir_hex_digit(text.ptr[i + 1]) << 4 | weir_hex_digit(text.ptr[i + 2]))
                   : text.ptr[i];
        i += escape ? 2 : 0;
    }
    to[n] = '\0';
    return weir_slice_make(to, n);
}

int weir_routes_query(const struct weir_snapshot *s, struct weir_slice query,
                      struct weir_bufq *out) {
    struct weir_routes_ask ask = { .method = "GET", .url = "", .from = "" };
    struct weir_arena arena;
    struct weir_slice part;
    int r = 0;

    weir_arena_init(&arena, 4096);
    while (r == 0 && query.ptr && weir_slice_split(&query, '&', &part)) {
        size_t n = weir_slice_index(part, '=');
        struct weir_slice key = weir_slice_make(part.ptr, n), value;

        value = decoded(&arena, n < part.len ? weir_slice_make(part.ptr + n + 1, part.len - n - 1)
                                             : WEIR_SLICE(""));
        if (!value.ptr)
            r = -ENOMEM;
        else if (weir_slice_eq(key, WEIR_SLICE("url")))
            ask.url = value.ptr;
        else if (weir_slice_eq(key, WEIR_SLICE("method")))
            ask.method = value.ptr;
        else if (weir_slice_eq(key, WEIR_SLICE("from")))
            ask.from = value.ptr;
        else if (weir_slice_eq(key, WEIR_SLICE("header")) && !weir_routes_add_header(&ask, value))
            r = weir_bufq_append(out, WEIR_SLICE("{\"error\":\"a header is not name: value\"}\n")) <
                        0
                    ? -ENOMEM
                    : 1;
    }
    if (r == 0)
        r = ask.url[0] ? weir_routes_try(s, &ask, out) : weir_routes_list(s, out);
    weir_arena_deinit(&arena);
    return r;
}
