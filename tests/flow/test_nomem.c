/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole exchange, failing its 1st, 2nd, 3rd ... allocation: whatever is missing, nobody crashes, nothing is left behind, nothing hangs,
 * and the next exchange works.
 */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"
#include "pair.h"

/* A rule that asks for everything: two backends' worth of services, a mirror, filters, CORS, a session, another attempt. */
#define SERVICE(name, ip, endpoint)                                                                \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name "}\nspec: {clusterIP: " ip             \
    ", ports: [{name: http, port: 80}]}\n---\napiVersion: discovery.k8s.io/v1\nkind: "             \
    "EndpointSlice\nmetadata: {name: " name "-1, labels: {kubernetes.io/service-name: " name       \
    "}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: [" endpoint \
    "]}]\n---\n"

static const char rule[] =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c}]}\nstatus: "
    "{podIP: 10.1.0.1}\n---\napiVersion: weir.dev/v1alpha1\nkind: Proxy\nspec: {pod: default/web, "
    "limits: {headTimeout: 2s, idleTimeout: 5s, bodyTimeout: 3s, requestTimeout: 4s, "
    "upstreamIdleTimeout: 6s}}\n---\n" SERVICE("api", "10.96.0.10", "10.1.0.2")
        SERVICE("copy", "10.96.0.11",
                "10.1.0.3") "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: "
                            "{name: r}\nspec:\n"
                            "  parentRefs: [{kind: Service, group: \"\", name: api}]\n  rules:\n"
                            "  - matches: [{path: {value: /a}, headers: [{type: RegularExpression, "
                            "name: x-a, value: "
                            "\"b.*\"}]}]\n    filters:\n"
                            "    - {type: RequestMirror, requestMirror: {backendRef: {name: copy, "
                            "port: 80}}}\n"
                            "    - {type: RequestHeaderModifier, requestHeaderModifier: {set: "
                            "[{name: x-s, value: t}], add: "
                            "[{name: x-s, value: u}]}}\n"
                            "    - {type: ResponseHeaderModifier, responseHeaderModifier: {add: "
                            "[{name: x-r, value: v}]}}\n"
                            "    - {type: URLRewrite, urlRewrite: {hostname: in.test, path: {type: "
                            "ReplacePrefixMatch, "
                            "replacePrefixMatch: /z}}}\n"
                            "    - {type: CORS, cors: {allowOrigins: [\"https://*.test\"], "
                            "allowMethods: [PUT]}}\n"
                            "    backendRefs: [{name: api, port: 80}]\n"
                            "    retry: {codes: [503], attempts: 2, backoff: 1ms}\n"
                            "    sessionPersistence: {sessionName: s}\n"
                            "  - matches: [{path: {value: /old}}]\n    filters: [{type: "
                            "RequestRedirect, requestRedirect: "
                            "{hostname: new.test}}]\n";

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static const char timeouts[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {headTimeout: 2s, idleTimeout: 5s, bodyTimeout: 3s, requestTimeout: 4s, "
    "upstreamIdleTimeout: 6s, pipeBytes: 16384, drainTimeout: 10s}\n";

static struct mem_conn *accept_next(struct flow *f) {
    struct mem_conn *s;

    flow_run(f);
    s = mem_next_dial(f->net);
    if (s)
        mem_dial_accept(s);
    flow_run(f);
    return s;
}

/* Everything that answers, answered; for as long as it takes to be sure that nothing hangs. */
static void settle(struct flow *f) {
    weir_mem_fail_at(0, 0);
    flow_wait(f, 20000000);
    assert_int_equal(flow_count(f, WEIR_C_REQUESTS_ACTIVE), 0);
    assert_int_equal(mem_n_streams(f->net), 0);
}

static void exchange_works(struct flow *f) {
    struct mem_conn *c = flow_client(f), *s;

    flow_send(f, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = flow_server(f);
    flow_send(f, s, OK);
    assert_string_equal(mem_received(c), OK);
    mem_close(c);
    mem_close(s);
}

static void h1_once(struct flow *f) {
    struct mem_conn *c = flow_client(f), *s;

    mem_send(c, "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    s = accept_next(f);
    if (!mem_is_closed(c))
        mem_send(c, "3\r\ndef\r\n0\r\nX-T: 1\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    flow_run(f);
    for (int i = 0; i < 2 && s; i++) {
        if (!mem_is_closed(s))
            mem_send(
                s, i == 0
                       ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
                       : OK);
        flow_run(f);
    }
    for (int i = 0; i < 3; i++)
        accept_next(f);
}

static void an_http1_exchange_survives(void **state) {
    unsigned long n, met = 0;

    (void)state;
    for (int sticky = 0; sticky < 2; sticky++)
        for (n = 1; n < 1000; n++) {
            struct flow f;
            bool failed;

            flow_reverse(&f, timeouts);
            weir_mem_fail_at(n, sticky);
            h1_once(&f);
            failed = weir_mem_failed();
            met += failed;
            settle(&f);
            exchange_works(&f);
            flow_end(&f);
            if (!failed)
                break;
        }
    assert_true(met > 20);
}

static void h2_once(struct flow *f) {
    struct h2_peer *c = h2_client(f, NULL), *s = NULL;
    struct h2_msg *m[2], *r;
    struct mem_conn *conn;

    m[0] =
        h2_ask(c, "POST", "/", (const char *const[]){ "x-a", "b", "cookie", "a=b", NULL }, false);
    h2_data(m[0], "abc", 3, false);
    m[1] = h2_get(c, "/");
    h2_data(m[0], "def", 3, true);
    conn = accept_next(f);
    if (!conn || mem_is_closed(conn))
        return;
    if (f->options.scheme == WEIR_TO_H2C) {
        s = h2_over(f, conn, true, NULL);
        while ((r = h2_take(s))) {
            h2_head(r, "200", (const char *const[]){ "x-c", "d", NULL }, false);
            h2_data(r, "hello", 5, true);
            flow_run(f);
        }
    } else {
        mem_send(conn, OK);
        flow_run(f);
        conn = accept_next(f);
        if (conn && !mem_is_closed(conn))
            mem_send(conn, OK);
    }
    flow_run(f);
}

static void h2_sweep(enum weir_scheme scheme) {
    unsigned long n, met = 0;

    for (int sticky = 0; sticky < 2; sticky++)
        for (n = 1; n < 2000; n++) {
            struct flow f;
            bool failed;

            flow_open(&f, &(struct flow_options){
                              .dir = WEIR_DIR_REVERSE, .yaml = timeouts, .scheme = scheme });
            weir_mem_fail_at(n, sticky);
            h2_once(&f);
            failed = weir_mem_failed();
            met += failed;
            settle(&f);
            flow_end(&f);
            if (!failed)
                break;
        }
    assert_true(met > 40);
}

static void an_http2_exchange_to_http1_survives(void **state) {
    (void)state;
    h2_sweep(WEIR_TO_HTTP);
}

static void an_http2_exchange_to_http2_survives(void **state) {
    (void)state;
    h2_sweep(WEIR_TO_H2C);
}

static const char narrow[] =
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: p}\nspec:\n"
    "  limits: {headTimeout: 2s, idleTimeout: 5s, bodyTimeout: 3s, requestTimeout: 4s, "
    "connectTimeout: 2s, upstreamIdleTimeout: 6s, upstreamHeadTimeout: 2s, upstreamConnections: 1, "
    "upstreamPending: 1, upstreamRequests: 2}\n";

/* One is served, one waits, one is too many; the server then refuses what is dialled anew. */
static void queue_once(struct flow *f) {
    struct mem_conn *s;

    for (int i = 0; i < 3; i++)
        mem_send(flow_client(f), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    s = accept_next(f);
    for (int i = 0; i < 2 && s && !mem_is_closed(s); i++) {
        mem_send(s, OK);
        flow_run(f);
    }
    mem_send(flow_client(f), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    flow_run(f);
    s = mem_next_dial(f->net);
    if (s)
        mem_dial_refuse(s);
    flow_run(f);
    accept_next(f);
}

static void a_queue_for_connections_survives(void **state) {
    unsigned long n, met = 0;

    (void)state;
    for (int sticky = 0; sticky < 2; sticky++)
        for (n = 1; n < 1000; n++) {
            struct flow f;
            bool failed;

            flow_open(&f, &(struct flow_options){
                              .dir = WEIR_DIR_REVERSE, .yaml = narrow, .host = "api.example" });
            flow_address(&f, "192.0.2.1");
            flow_address(&f, "2001:db8::1");
            flow_reload(&f, narrow);
            weir_mem_fail_at(n, sticky);
            queue_once(&f);
            failed = weir_mem_failed();
            met += failed;
            settle(&f);
            assert_int_equal(flow_count(&f, WEIR_C_UP_WAITING), 0);
            flow_end(&f);
            if (!failed)
                break;
        }
    assert_true(met > 20);
}

static void answer_dials(struct flow *f, const char *text) {
    struct mem_conn *s;

    flow_run(f);
    while ((s = mem_next_dial(f->net))) {
        mem_dial_accept(s);
        flow_run(f);
        if (!mem_is_closed(s))
            mem_send(s, text);
        flow_run(f);
    }
}

static void rule_once(struct flow *f) {
    struct mem_conn *c = flow_client(f);

    mem_info(c)->has_original = true;
    weir_parse_ip("10.96.0.10", &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    mem_send(c,
             "PUT /a/./b?c HTTP/1.1\r\nHost: api\r\nX-A: bc\r\nOrigin: https://a.test\r\nCookie: "
             "s=junk; t=u\r\nContent-Length: 3\r\n\r\nabc");
    answer_dials(f, "HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    flow_wait(f, 200000);
    answer_dials(f, OK);
    if (!mem_is_closed(c))
        mem_send(c, "OPTIONS /a HTTP/1.1\r\nHost: api\r\nX-A: b\r\nOrigin: https://a.test\r\n"
                    "Access-Control-Request-Method: PUT\r\n\r\nGET /old HTTP/1.1\r\nHost: "
                    "api\r\n\r\n");
    answer_dials(f, OK);
}

static void all_that_a_rule_may_ask_for_survives(void **state) {
    unsigned long n, met = 0;
    struct flow f;

    (void)state;
    flow_start(&f, WEIR_DIR_OUTBOUND, rule);
    rule_once(&f);
    assert_int_equal(flow_count(&f, WEIR_C_REQUESTS), 3);
    assert_int_equal(flow_count(&f, WEIR_C_MIRRORS), 1);
    assert_int_equal(flow_count(&f, WEIR_C_MIRRORS_LOST), 0);
    settle(&f);
    flow_end(&f);
    for (int sticky = 0; sticky < 2; sticky++)
        for (n = 1; n < 1000; n++) {
            bool failed;

            flow_start(&f, WEIR_DIR_OUTBOUND, rule);
            weir_mem_fail_at(n, sticky);
            rule_once(&f);
            failed = weir_mem_failed();
            met += failed;
            settle(&f);
            flow_end(&f);
            if (!failed)
                break;
        }
    assert_true(met > 20);
}

/* Only the second half of the way is swept in each: handshakes take long. */
static void mesh_once(struct pair *p) {
    struct mem_conn *c = pair_client(p), *s;

    mem_send(c, "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 3\r\n\r\nabc");
    pair_run(p);
    s = mem_next_dial(p->in.net);
    if (!s)
        return;
    mem_dial_accept(s);
    pair_run(p);
    if (!mem_is_closed(s))
        mem_send(s, OK);
    pair_run(p);
}

static void an_exchange_over_the_mesh_survives(void **state) {
    unsigned long met = 0, step = 1;

    (void)state;
    for (unsigned long n = 1; n < 3000; n += step) {
        struct pair p;
        bool failed;

        pair_start(&p, "{name: http, port: 80}", "");
        weir_mem_fail_at(n, 0);
        mesh_once(&p);
        failed = weir_mem_failed();
        weir_mem_fail_at(0, 0);
        met += failed;
        for (int i = 0; i < 40; i++) /* whatever waits, waits for a timeout */
            pair_advance(&p, 1000000);
        pair_end(&p);
        if (!failed)
            break;
    }
    assert_true(met > 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_http1_exchange_survives),
        cmocka_unit_test(an_http2_exchange_to_http1_survives),
        cmocka_unit_test(an_http2_exchange_to_http2_survives),
        cmocka_unit_test(a_queue_for_connections_survives),
        cmocka_unit_test(all_that_a_rule_may_ask_for_survives),
        cmocka_unit_test(an_exchange_over_the_mesh_survives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
