/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent sessions: who is sent where again, what a client is given to show, and what is not believed. */
#include "weir_test.h"

#include "flow.h"
#include "h2peer.h"

#define SERVICE(name, ip)                                                                          \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name "}\n"                                  \
    "spec: {clusterIP: " ip ", ports: [{name: http, port: 80}]}\n---\n"
#define SLICE(service, endpoints)                                                                  \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " service              \
    ", labels: {kubernetes.io/service-name: " service "}}\naddressType: IPv4\n"                    \
    "ports: [{name: http, port: 8080}]\nendpoints: [" endpoints "]\n---\n"
#define READY(ip) "{addresses: [" ip "]}"
#define GONE(ip)  "{addresses: [" ip "], conditions: {ready: false}}"
/* v1: 10.1.0.1 to .4; v2: 10.1.0.5 to .8 */
#define V1                                                                                         \
    SLICE("v1", READY("10.1.0.1") "," READY("10.1.0.2") "," READY("10.1.0.3") "," READY("10.1.0."  \
                                                                                        "4"))
#define V2                                                                                         \
    SLICE("v2", READY("10.1.0.5") "," READY("10.1.0.6") "," READY("10.1.0.7") "," READY("10.1.0."  \
                                                                                        "8"))
#define BASE                                                                                       \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c}]}\n"          \
    "status: {podIP: 10.1.0.100}\n---\n"                                                           \
    "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nspec: {pod: default/web}\n---\n" SERVICE(         \
        "api", "10.96.0.10") SERVICE("v1", "10.96.0.11") SERVICE("v2", "10.96.0.12")
#define ROUTE(rules)                                                                               \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\n"             \
    "spec:\n  parentRefs: [{kind: Service, group: \"\", name: api}]\n  rules:\n" rules "---\n"
#define RULE(path, session, backends)                                                              \
    "  - matches: [{path: {value: " path "}}]\n    sessionPersistence: {" session                  \
    "}\n    backendRefs: [" backends "]\n"
#define TO(name, weight) "{name: " name ", port: 80, weight: " weight "}"
#define ONE(session)     BASE V1 ROUTE(RULE("/", session, TO("v1", "1")))

struct world {
    struct flow f;
    struct mem_conn *servers[9]; /* by the last octet */
    int served;                  /* who got the last request */
    char set[512];               /* the last answer's Set-Cookie, or header s; "" = none */
    char token[256];             /* its value */
};

static void start(struct world *w, const char *yaml) {
    memset(w, 0, sizeof(*w));
    flow_start(&w->f, WEIR_DIR_OUTBOUND, yaml);
}

static struct mem_conn *client(struct world *w) {
    struct mem_conn *c = flow_client(&w->f);

    mem_info(c)->has_original = true;
    weir_parse_ip("10.96.0.10", &mem_info(c)->original);
    mem_info(c)->original_port = 80;
    return c;
}

static int octet(const struct mem_conn *s) {
    return mem_dial(s)->ip.b[15];
}

static void take_field(struct world *w, const char *answer, const char *name) {
    const char *p = strstr(answer, name), *value;

    w->set[0] = w->token[0] = '\0';
    if (!p)
        return;
    p += strlen(name);
    snprintf(w->set, sizeof(w->set), "%.*s", (int)strcspn(p, "\r\n"), p);
    value = strcmp(name, "set-cookie: ") == 0 ? strchr(w->set, '=') + 1 : w->set;
    snprintf(w->token, sizeof(w->token), "%.*s", (int)strcspn(value, ";"), value);
}

/* One request on a connection of its own, with `fields`; says which server answered it. */
static int ask(struct world *w, const char *path, const char *fields) {
    struct mem_conn *c = client(w), *s;
    char text[2048];

    for (int i = 0; i < 9; i++)
        if (w->servers[i])
            mem_received_clear(w->servers[i]);
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: api\r\n%s\r\n", path, fields);
    flow_send(&w->f, c, text);
    while ((s = mem_next_dial(w->f.net)) != NULL) {
        mem_dial_accept(s);
        w->servers[octet(s)] = s;
        flow_run(&w->f);
    }
    w->served = 0;
    for (int i = 0; i < 9; i++)
        if (w->servers[i] && mem_received_len(w->servers[i]) > 0) {
            assert_int_equal(w->served, 0);
            w->served = i;
            flow_send(&w->f, w->servers[i], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    assert_int_not_equal(w->served, 0);
    flow_expect_starts(c, "HTTP/1.1 200 OK\r\n");
    take_field(w, mem_received(c),
               strstr(mem_received(c), "set-cookie: ") ? "set-cookie: " : "s: ");
    mem_close(c);
    flow_run(&w->f);
    return w->served;
}

static int ask_with(struct world *w, const char *path, const char *name, const char *token) {
    char field[512];

    snprintf(field, sizeof(field), "Cookie: x=y; %s=%s\r\n", name, token);
    return ask(w, path, field);
}

static void a_client_stays_with_its_endpoint(void **state) {
    struct world w;
    char token[256];
    unsigned seen = 0;
    int first;

    (void)state;
    start(&w, ONE("sessionName: s"));
    first = ask(&w, "/a?b", "");
    assert_string_equal(strchr(w.set, ';'), "; Path=/; HttpOnly; SameSite=Strict");
    assert_int_equal(strncmp(w.set, "s=", 2), 0);
    assert_null(strstr(w.set, "10.1.0"));
    strcpy(token, w.token);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ask_with(&w, "/b", "s", token), first);
        assert_string_equal(w.set, ""); /* it has what it needs */
    }
    for (int i = 0; i < 50; i++) { /* others go where they go */
        seen |= 1u << ask(&w, "/", "");
        assert_string_not_equal(w.set, "");
    }
    assert_int_equal(seen, 0x1e);
    flow_end(&w.f);
}

static void what_is_not_ours_is_not_believed(void **state) {
    static const char as_long[] =
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const char *const tokens[] = { "", "x", "10.1.0.2:8080", as_long };
    struct world w;
    char token[256];
    int first;

    (void)state;
    start(&w, ONE("sessionName: s"));
    for (size_t i = 0; i < WEIR_ARRAY_LEN(tokens); i++) {
        ask_with(&w, "/", "s", tokens[i]);
        assert_string_not_equal(w.set, "");
    }
    first = ask(&w, "/", "");
    strcpy(token, w.token);
    for (size_t i = 0; i < strlen(token); i += 7) { /* every seventh letter changed */
        char changed[256];

        strcpy(changed, token);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        ask_with(&w, "/", "s", changed);
        assert_string_not_equal(w.set, "");
    }
    assert_int_equal(ask_with(&w, "/", "s", token), first);
    /* Of several cookies of the name the one that is ours counts. */
    for (int i = 0; i < 10; i++) {
        char fields[512];

        snprintf(fields, sizeof(fields), "Cookie: s=old; s=\"%s\"\r\n", token);
        assert_int_equal(ask(&w, "/", fields), first);
        assert_string_equal(w.set, "");
    }
    flow_end(&w.f);
}

static void a_session_is_one_rule_s_alone(void **state) {
    struct world w;
    char token[256];
    int first;

    (void)state;
    start(&w, BASE V1 ROUTE(RULE("/a", "sessionName: s", TO("v1", "1")) RULE(
                  "/b/", "sessionName: s", TO("v1", "1")) RULE("/c", "", TO("v1", "1"))));
    first = ask(&w, "/a/x", "");
    assert_non_null(strstr(w.set, "; Path=/a;"));
    strcpy(token, w.token);
    assert_int_equal(ask_with(&w, "/a/y", "s", token), first);
    ask_with(&w, "/b", "s", token);
    assert_non_null(strstr(w.set, "; Path=/b;"));
    ask(&w, "/c", ""); /* a name of its own where none was given */
    assert_int_equal(strncmp(w.set, "weir-", 5), 0);
    flow_end(&w.f);
}

static void the_session_s_backend_beats_the_weights(void **state) {
    static const char both[] =
        BASE V1 V2 ROUTE(RULE("/", "sessionName: s", TO("v1", "1") "," TO("v2", "1")));
    static const char moved[] =
        BASE V1 V2 ROUTE(RULE("/", "sessionName: s", TO("v2", "100") "," TO("v1", "0")));
    static const char without[] = BASE V1 V2 ROUTE(RULE("/", "sessionName: s", TO("v2", "100")));
    struct world w;
    unsigned v1 = 0;
    char token[256];
    int first;

    (void)state;
    start(&w, both);
    for (int i = 0; i < 100; i++)
        v1 += ask(&w, "/", "") <= 4;
    assert_in_range(v1, 30, 70); /* a new one goes by weight */
    do
        first = ask(&w, "/", "");
    while (first > 4);
    strcpy(token, w.token);
    flow_reload(&w.f, moved);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ask_with(&w, "/", "s", token), first);
        assert_true(ask(&w, "/", "") > 4);
    }
    flow_reload(&w.f, without);
    assert_true(ask_with(&w, "/", "s", token) > 4);
    assert_string_not_equal(w.set, "");
    flow_end(&w.f);
}

static void an_endpoint_that_is_not_ready_loses_its_sessions(void **state) {
    struct world w;
    char token[256];
    int second;

    (void)state;
    start(&w, ONE("sessionName: s"));
    while (ask(&w, "/", "") != 2) {
    }
    strcpy(token, w.token);
    flow_reload(&w.f, BASE SLICE("v1", READY("10.1.0.1") "," GONE("10.1.0.2") "," READY("10.1.0.3"))
                          ROUTE(RULE("/", "sessionName: s", TO("v1", "1"))));
    second = ask_with(&w, "/", "s", token);
    assert_int_not_equal(second, 2);
    assert_string_not_equal(w.set, "");
    strcpy(token, w.token);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask_with(&w, "/", "s", token), second);
    flow_end(&w.f);
}

static void a_retry_moves_off_a_dead_endpoint_and_the_session_goes_along(void **state) {
    struct world w;
    struct mem_conn *c, *s;
    char token[256], text[512];
    int first, second;

    (void)state;
    start(&w, ONE("sessionName: s"));
    first = ask(&w, "/", "");
    strcpy(token, w.token);
    mem_close(w.servers[first]); /* its connections end, and it refuses new ones */
    flow_run(&w.f);
    w.servers[first] = NULL;
    c = client(&w);
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: api\r\nCookie: s=%s\r\n\r\n", token);
    flow_send(&w.f, c, text);
    s = mem_next_dial(w.f.net);
    assert_int_equal(octet(s), first); /* it is tried: nobody knows yet */
    mem_dial_refuse(s);
    flow_run(&w.f);
    s = mem_next_dial(w.f.net);
    second = octet(s);
    assert_int_not_equal(second, first);
    mem_dial_accept(s);
    flow_run(&w.f);
    w.servers[second] = s;
    flow_send(&w.f, s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    take_field(&w, mem_received(c), "set-cookie: ");
    strcpy(token, w.token);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask_with(&w, "/", "s", token), second);
    flow_end(&w.f);
}

static void a_stale_connection_is_no_reason_to_leave(void **state) {
    struct world w;
    struct mem_conn *c, *s;
    char text[512];
    int first;

    (void)state;
    start(&w, ONE("sessionName: s"));
    first = ask(&w, "/", "");
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: api\r\nCookie: s=%s\r\n\r\n", w.token);
    c = client(&w);
    mem_send(c, text);
    mem_close(w.servers[first]); /* closed by the server as the request was on its way */
    flow_run(&w.f);
    s = mem_next_dial(w.f.net);
    assert_non_null(s);
    assert_int_equal(octet(s), first);
    mem_dial_accept(s);
    flow_run(&w.f);
    flow_send(&w.f, s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    flow_expect_starts(c, "HTTP/1.1 200 OK\r\n");
    flow_expect_lacks(c, "set-cookie");
    flow_end(&w.f);
}

#define SECONDS 1000000u
/* The session does not hold any more: a new one is given, for an endpoint that is any of four. */
static void expect_new(struct world *w, const char *token) {
    ask_with(w, "/", "s", token);
    assert_string_not_equal(w->set, "");
    assert_string_not_equal(w->token, token);
}

static void sessions_end_after_their_time(void **state) {
    struct world w;
    char token[256];
    int first;

    (void)state;
    start(&w, ONE("sessionName: s, absoluteTimeout: 20s"));
    first = ask(&w, "/", "");
    assert_null(strstr(w.set, "Max-Age"));
    strcpy(token, w.token);
    flow_wait(&w.f, 19 * SECONDS);
    assert_int_equal(ask_with(&w, "/", "s", token), first);
    assert_string_equal(w.set, "");
    flow_wait(&w.f, 2 * SECONDS);
    expect_new(&w, token);
    flow_end(&w.f);
}

static void idle_sessions_end_and_used_ones_do_not(void **state) {
    struct world w;
    char token[256], old[256];
    int first;

    (void)state;
    start(&w, ONE("sessionName: s, idleTimeout: 10s, absoluteTimeout: 60s, cookieConfig: "
                  "{lifetimeType: Permanent}"));
    first = ask(&w, "/", "");
    assert_non_null(strstr(w.set, "; Path=/; Max-Age=60; HttpOnly"));
    strcpy(old, w.token);
    strcpy(token, w.token);
    for (int i = 1; i < 6; i++) {
        char age[32];

        flow_wait(&w.f, 9 * SECONDS);
        assert_int_equal(ask_with(&w, "/", "s", token), first);
        snprintf(age, sizeof(age), "; Max-Age=%d;", 60 - i * 9); /* what is left of it */
        flow_expect_text(w.set, age);
        strcpy(token, w.token);
    }
    expect_new(&w, old);
    flow_wait(&w.f, 9 * SECONDS);
    assert_int_equal(ask_with(&w, "/", "s", token), first);
    flow_wait(&w.f, 9 * SECONDS);
    strcpy(token, w.token);
    expect_new(&w, token); /* 63 s old, though never idle */
    flow_end(&w.f);
}

static void a_header_instead_of_a_cookie(void **state) {
    struct world w;
    char field[512], token[256];
    int first;

    (void)state;
    start(&w, ONE("sessionName: s, type: Header"));
    first = ask(&w, "/", "");
    assert_string_equal(w.set, w.token); /* nothing but the value */
    strcpy(token, w.token);
    snprintf(field, sizeof(field), "S: %s\r\n", token);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ask(&w, "/", field), first);
        assert_string_equal(w.set, "");
    }
    ask_with(&w, "/", "s", token); /* no cookie is looked at */
    assert_string_not_equal(w.set, "");
    flow_end(&w.f);
}

static void the_application_s_own_cookie_of_the_name_is_left_alone(void **state) {
    struct world w;
    struct mem_conn *c, *s;

    (void)state;
    start(&w, ONE("sessionName: s"));
    c = client(&w);
    flow_send(&w.f, c, "GET / HTTP/1.1\r\nHost: api\r\n\r\n");
    s = flow_server(&w.f);
    flow_send(&w.f, s, "HTTP/1.1 200 OK\r\nSet-Cookie: s=mine\r\nContent-Length: 0\r\n\r\n");
    flow_expect_holds(c, "Set-Cookie: s=mine\r\n");
    flow_expect_lacks(c, "set-cookie: ");
    flow_end(&w.f);
}

#define GRPC                                                                                       \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: g}\n"             \
    "spec:\n  parentRefs: [{kind: Service, group: \"\", name: api}]\n  rules:\n"                   \
    "  - matches: [{method: {service: s.S}}]\n    sessionPersistence: {sessionName: s}\n"          \
    "    backendRefs: [{name: calls, port: 80}]\n---\n"                                            \
    "apiVersion: v1\nkind: Service\nmetadata: {name: calls}\n"                                     \
    "spec: {ports: [{name: grpc, port: 80}]}\n---\n"                                               \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: calls, labels: "       \
    "{kubernetes.io/service-name: calls}}\naddressType: IPv4\n"                                    \
    "ports: [{name: grpc, port: 8080}]\nendpoints: [" READY("10.1.0.1") "," READY(                 \
        "10.1.0.2") "," READY("10.1.0.3") "]\n---\n"

static void a_grpc_call_stays_too(void **state) {
    struct world w;
    struct h2_peer *p;
    struct h2_peer *server = NULL;
    char cookie[256] = "";

    (void)state;
    start(&w, BASE GRPC);
    p = h2_over(&w.f, client(&w), false, NULL);
    for (int i = 0; i < 8; i++) {
        const char *const fields[] = { "content-type", "application/grpc", "cookie", cookie, NULL };
        struct h2_msg *m = h2_ask(p, "POST", "/s.S/M", fields, true), *r;
        struct mem_conn *s;

        flow_run(&w.f);
        s = mem_next_dial(w.f.net);
        if (s) {
            assert_int_equal(i, 0); /* the rest goes on that connection */
            mem_dial_accept(s);
            server = h2_over(&w.f, s, true, NULL);
            flow_run(&w.f);
        }
        r = h2_take(server);
        assert_non_null(r);
        h2_head(r, "200", (const char *const[]){ "content-type", "application/grpc", NULL }, false);
        h2_trailers(r, (const char *const[]){ "grpc-status", "0", NULL });
        flow_run(&w.f);
        if (i == 0) {
            flow_expect_text(h2_field(m, "set-cookie"), "; Path=/s.S; HttpOnly");
            snprintf(cookie, sizeof(cookie), "%.*s", (int)strcspn(h2_field(m, "set-cookie"), ";"),
                     h2_field(m, "set-cookie"));
        } else {
            assert_null(h2_field(m, "set-cookie"));
        }
    }
    flow_end(&w.f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_stays_with_its_endpoint),
        cmocka_unit_test(what_is_not_ours_is_not_believed),
        cmocka_unit_test(a_session_is_one_rule_s_alone),
        cmocka_unit_test(the_session_s_backend_beats_the_weights),
        cmocka_unit_test(an_endpoint_that_is_not_ready_loses_its_sessions),
        cmocka_unit_test(a_retry_moves_off_a_dead_endpoint_and_the_session_goes_along),
        cmocka_unit_test(a_stale_connection_is_no_reason_to_leave),
        cmocka_unit_test(sessions_end_after_their_time),
        cmocka_unit_test(idle_sessions_end_and_used_ones_do_not),
        cmocka_unit_test(a_header_instead_of_a_cookie),
        cmocka_unit_test(the_application_s_own_cookie_of_the_name_is_left_alone),
        cmocka_unit_test(a_grpc_call_stays_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
