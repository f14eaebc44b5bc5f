/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot compiled: who listens for what, where routes are attached, which endpoints are meant. */
#include "weir_test.h"

#include "core/runtime.h"

#define POD                                                                                        \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\n"                       \
    "spec: {containers: [{name: c, ports: [{containerPort: 9000}, {containerPort: 9001, "          \
    "protocol: UDP}]}]}\nstatus: {podIP: 10.1.0.1}\n---\n"
#define PROXY(spec) "apiVersion: weir.dev/v1alpha1\nkind: Proxy\nspec: {" spec "}\n---\n"
#define SERVICE(name, ns, ip, ports)                                                               \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: " ns "}\n"               \
    "spec: {clusterIP: " ip ", ports: [" ports "]}\n---\n"
#define SLICE(service, ports, ip)                                                                  \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " service              \
    ", labels: {kubernetes.io/service-name: " service "}}\naddressType: IPv4\nports: [" ports      \
    "]\nendpoints: [{addresses: [" ip "]}]\n---\n"
#define ROUTE(name, ns, parents, path)                                                             \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: " name            \
    ", namespace: " ns "}\nspec:\n  parentRefs: [" parents "]\n"                                   \
    "  rules: [{matches: [{path: {value: " path "}}]}]\n---\n"
#define GATEWAY(name, listeners)                                                                   \
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: " name              \
    "}\nspec: {listeners: [" listeners "]}\n---\n"
#define HTTP(name, port) "{name: " name ", port: " port ", protocol: HTTP}"

static char *no_file(const char *path, size_t *ret_len) {
    (void)path;
    (void)ret_len;
    return NULL;
}

static struct weir_snapshot *snapshot(const char *yaml) {
    struct weir_source source = { "t", yaml, strlen(yaml) };
    struct weir_problems problems;
    struct weir_snapshot *s = NULL;
    int r = weir_snapshot_build(&source, 1, &s, &problems);

    if (r != 0)
        fail_msg("%s: %s", problems.items[0].field, problems.items[0].message);
    weir_problems_deinit(&problems);
    return s;
}

static int build(struct weir_snapshot *s, struct weir_runtime **ret_rt, char **ret_why) {
    struct weir_runtime_params params = { .snapshot = s, .read_file = no_file };

    return weir_runtime_new(&params, ret_rt, ret_why);
}

static struct weir_runtime *runtime(const char *yaml) {
    struct weir_snapshot *s = snapshot(yaml);
    struct weir_runtime *rt = NULL;
    char *why = NULL;

    assert_int_equal(build(s, &rt, &why), 0);
    weir_snapshot_unref(s);
    return rt;
}

static struct weir_parent *outbound(struct weir_runtime *rt, const char *ip, uint16_t port) {
    struct weir_ip parsed;

    assert_int_equal(weir_parse_ip(ip, &parsed), 0);
    return weir_runtime_outbound(rt, &parsed, port);
}

/* The name of the route that a table gives a path to, "" = none. */
static const char *routed(const struct weir_route_table *t, const char *path) {
    struct weir_route_decision d = { 0 };
    struct weir_arena arena;
    struct weir_head head;

    weir_arena_init(&arena, 1024);
    weir_head_init(&head, &arena);
    head.target = weir_slice_from_str(path);
    head.authority = WEIR_SLICE("h");
    if (t)
        weir_route_decide(t, &head, &d);
    weir_arena_deinit(&arena);
    return d.route ? d.route->meta.name : "";
}

static void each_tcp_port_of_each_service_has_its_cluster(void **state) {
    struct weir_runtime *rt =
        runtime(SERVICE("a", "default", "10.96.0.1",
                        "{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}, {name: "
                        "grpc, port: 81}") SLICE("a", "{name: http, port: 8080}", "10.1.0.9")
                    SERVICE("b", "x", "10.96.0.2", "{name: tcp, port: 80}"));
    const struct weir_service *a = weir_snapshot_service(rt->snapshot, "default", "a");
    const struct weir_service *b = weir_snapshot_service(rt->snapshot, "x", "b");
    const struct weir_cluster *http = weir_runtime_cluster(rt, &a->ports[0]);

    (void)state;
    assert_int_equal(rt->n_clusters, 3);
    assert_string_equal(http->name, "default/a:80");
    assert_int_equal(http->proto, WEIR_UP_H1);
    assert_int_equal(http->n_endpoints, 1);
    assert_int_equal(http->endpoints[0].port, 8080);
    assert_false(http->mesh);
    assert_null(weir_runtime_cluster(rt, &a->ports[1]));
    assert_string_equal(weir_runtime_cluster(rt, &a->ports[2])->name, "default/a:81");
    assert_int_equal(weir_runtime_cluster(rt, &a->ports[2])->proto, WEIR_UP_H2);
    assert_string_equal(weir_runtime_cluster(rt, &b->ports[0])->name, "x/b:80");
    for (uint32_t i = 0; i < rt->n_clusters; i++)
        assert_int_equal(rt->clusters[i].index, i);
    assert_null(outbound(rt, "10.96.0.1", 80)); /* no sidecar: nothing is steered here */
    assert_null(weir_runtime_inbound(rt, 9000));
    assert_null(rt->reverse);
    weir_runtime_unref(rt);
}

static void a_sidecar_knows_services_by_address_and_its_own_ports(void **state) {
    struct weir_runtime *rt =
        runtime(POD PROXY("pod: default/web") SERVICE(
            "a", "default", "10.96.0.1",
            "{name: http, port: 80}, {name: db, port: 5432}, {name: dns, port: 53, protocol: UDP}")
                    SLICE("a", "{name: http, port: 8080}, {name: db, port: 5432}", "10.1.0.1"));
    struct weir_parent *p = outbound(rt, "10.96.0.1", 80);

    (void)state;
    assert_non_null(p);
    assert_int_equal(p->dir, WEIR_DIR_OUTBOUND);
    assert_string_equal(p->name, "default/a:80");
    assert_string_equal(p->own->name, "default/a:80");
    assert_true(p->http);
    assert_null(p->routes);
    assert_false(outbound(rt, "10.96.0.1", 5432)->http);
    assert_null(outbound(rt, "10.96.0.1", 53));
    assert_null(outbound(rt, "10.96.0.1", 81));
    assert_null(outbound(rt, "10.96.0.2", 80));
    /* Its application's ports: what services lead to it, and what it declares. */
    p = weir_runtime_inbound(rt, 8080);
    assert_int_equal(p->dir, WEIR_DIR_INBOUND);
    assert_string_equal(p->own->name, "inbound:8080");
    assert_int_equal(p->own->endpoints[0].port, 8080);
    assert_true(p->http);
    assert_false(weir_runtime_inbound(rt, 5432)->http);
    assert_non_null(weir_runtime_inbound(rt, 9000));
    assert_null(weir_runtime_inbound(rt, 9001)); /* UDP */
    assert_null(weir_runtime_inbound(rt, 80));
    assert_non_null(rt->authz);
    weir_runtime_unref(rt);
}

#define TO_B "{kind: Service, group: \"\", name: b, namespace: x}"
static void the_consumer_s_routes_are_apart_from_the_producer_s(void **state) {
    struct weir_runtime *rt = runtime(
        POD PROXY("pod: default/web") SERVICE("b", "x", "10.96.0.2", "{name: http, port: 80}")
            ROUTE("near", "default", TO_B, "/") ROUTE("far", "x", TO_B, "/")
                ROUTE("other", "y", TO_B, "/other"));
    struct weir_parent *p = outbound(rt, "10.96.0.2", 80);

    (void)state;
    assert_string_equal(routed(p->near, "/"), "near");
    assert_string_equal(routed(p->routes, "/"), "far");
    assert_string_equal(routed(p->near, "/other"), "near"); /* that of a third is not for us */
    assert_string_equal(routed(p->routes, "/other"), "far");
    weir_runtime_unref(rt);
}

static void what_cannot_be_put_in_force_says_why(void **state) {
    struct weir_snapshot *s = snapshot(
        GATEWAY("g", "{name: tls, port: 443, protocol: HTTPS, tls: {options: {weir.dev/cert-file: "
                     "/a/c.crt, weir.dev/key-file: /a/c.key}}}"));
    struct weir_runtime *rt = NULL;
    char *why = NULL;

    (void)state;
    assert_int_equal(build(s, &rt, &why), WEIR_RUNTIME_CERTIFICATE);
    assert_string_equal(why, "gateway listener default/g/tls: /a/c.crt, /a/c.key: cannot read the "
                             "file");
    free(why);
    weir_snapshot_unref(s);
    s = snapshot(POD);
    s->proxy.pod = "default/gone"; /* as a flag would */
    assert_int_equal(build(s, &rt, &why), 1);
    assert_string_equal(why, "Proxy spec.pod: no Pod default/gone among the documents");
    free(why);
    assert_null(rt);
    weir_snapshot_unref(s);
}

static void a_reverse_proxy_sends_to_what_it_was_told(void **state) {
    struct weir_snapshot *s = snapshot(PROXY("listen: \":80\", proxyProtocol: {send: v2}"));
    struct weir_to to[2] = { { .scheme = WEIR_TO_H2C, .host = "10.0.0.1", .port = 8080 },
                             { .scheme = WEIR_TO_H2C, .host = "10.0.0.2", .port = 8080 } };
    struct weir_runtime_params params = { .snapshot = s };
    struct weir_runtime *rt = NULL;
    char *why = NULL;

    (void)state;
    s->proxy.to = to;
    s->proxy.n_to = 2;
    assert_int_equal(weir_runtime_new(&params, &rt, &why), 0);
    assert_non_null(rt->reverse);
    assert_null(rt->reverse->routes);
    assert_int_equal(rt->reverse->own->n_endpoints, 2);
    assert_int_equal(rt->reverse->own->endpoints[1].port, 8080);
    assert_int_equal(rt->reverse->own->proto, WEIR_UP_H2);
    assert_int_equal(rt->reverse->own->proxy_send, 2);
    assert_ptr_equal(weir_runtime_ref(rt), rt);
    assert_null(weir_runtime_unref(rt));
    assert_string_equal(rt->reverse->own->name, "to"); /* one reference is left */
    weir_runtime_unref(rt);
    weir_snapshot_unref(s);
}

static const struct weir_ip *lookup(void *arg, const char *host, uint32_t *ret_n) {
    static struct weir_ip many[3], both[4];

    if (strcmp(host, "many.example") == 0) {
        weir_parse_ip("10.0.0.2", &many[0]);
        weir_parse_ip("10.0.0.1", &many[1]);
        weir_parse_ip("10.0.0.3", &many[2]);
        *ret_n = 3;
        return many;
    }
    if (strcmp(host, "both.example") == 0) {
        weir_parse_ip("10.1.0.2", &both[0]);
        weir_parse_ip("10.1.0.1", &both[1]);
        weir_parse_ip("fd00::1", &both[2]);
        weir_parse_ip("10.1.0.3", &both[3]);
        *ret_n = 4;
        return both;
    }
    return NULL;
}

static void names_become_endpoints_with_addresses(void **state) {
    struct weir_snapshot *s = snapshot(PROXY("listen: \":80\", to: [\"many.example\", "
                                             "\"gone.example\"]") "---\napiVersion: v1\nkind: "
                                                                  "Service\nmetadata: {name: "
                                                                  "a}\nspec: {type: ExternalName, "
                                                                  "externalName: both.example, "
                                                                  "ports: [{name: http, port: "
                                                                  "80}]}\n");
    struct weir_runtime_params params = { .snapshot = s, .names = { lookup, NULL } };
    static const char *const order[] = { "fd00::1", "10.1.0.1", "10.1.0.2", "10.1.0.3" };
    const struct weir_service *svc;
    struct weir_runtime *rt = NULL;
    const struct weir_cluster *c;
    char *why = NULL, text[46];

    (void)state;
    assert_int_equal(weir_runtime_new(&params, &rt, &why), 0);
    c = rt->reverse->own;
    assert_int_equal(c->n_endpoints, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(c->endpoints[i].ip.b[15], i + 1); /* in order of value */
        assert_int_equal(c->endpoints[i].n_ips, 0);
        assert_string_equal(c->endpoints[i].host, "many.example");
    }
    svc = weir_snapshot_service(s, "default", "a");
    c = weir_runtime_cluster(rt, &svc->ports[0]);
    assert_int_equal(c->n_endpoints, 1);
    assert_int_equal(c->endpoints[0].n_ips, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_string_equal(weir_ip_format(&c->endpoints[0].ips[i], text, sizeof(text)), order[i]);
    assert_memory_equal(&c->endpoints[0].ip, &c->endpoints[0].ips[0], 16);
    weir_runtime_unref(rt);
    weir_snapshot_unref(s);
}

static const char three_places[] =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
    "spec: {nodeName: n1}\nstatus: {podIP: 10.1.0.9}\n---\n" PROXY(
        "pod: default/web") "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
                            "spec: {clusterIP: 10.9.0.1, ports: [{port: 80, appProtocol: "
                            "http}]%s}\n---\n"
                            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
                            "metadata: {name: a, labels: {kubernetes.io/service-name: "
                            "a}}\naddressType: IPv4\n"
                            "ports: [{port: 80}]\nendpoints:\n"
                            "- {addresses: [10.1.0.1], nodeName: n1, zone: z1}\n"
                            "- {addresses: [10.1.0.2], nodeName: n2, zone: z1}\n"
                            "- {addresses: [10.1.0.3], nodeName: n3, zone: z2}\n";

/* The sidecar's own node and zone decide; what may not be called from here is not there at all. */
static void endpoints_are_those_of_the_place(void **state) {
    static const struct {
        const char *spec;
        uint32_t n, near;
    } cases[] = {
        { "", 3, 3 },
        { ", trafficDistribution: PreferSameZone", 3, 2 },
        { ", trafficDistribution: PreferSameNode", 3, 1 },
        { ", internalTrafficPolicy: Local", 1, 0 },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        char yaml[2048];
        uint32_t near = 0;

        snprintf(yaml, sizeof(yaml), three_places, cases[i].spec);
        struct weir_runtime *rt = runtime(yaml);
        const struct weir_cluster *c = &rt->clusters[0];

        assert_int_equal(c->n_endpoints, cases[i].n);
        for (uint32_t k = 0; k < c->n_endpoints; k++)
            near += !c->endpoints[k].far;
        assert_int_equal(near, cases[i].near);
        weir_runtime_unref(rt);
    }
}

/* --- where routes are attached, against the letter of parentRefs --- */

struct ref {
    bool gateway;
    const char *name, *section; /* section NULL = not given */
    unsigned port;              /* 0 = not given */
};

/* A place requests come to. */
static const struct place {
    bool gateway;
    const char *name, *section;
    uint16_t port;
} places[] = {
    { false, "a", "x", 1 }, { false, "a", "y", 2 }, { false, "b", "x", 1 }, { false, "b", "y", 2 },
    { true, "g", "x", 81 }, { true, "g", "y", 82 }, { true, "h", "x", 83 },
};
#define N_ROUTES 6u
#define REFS_MAX 3u

static uint64_t next(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static struct ref any_ref(uint64_t *seed) {
    static const char *const sections[] = { NULL, NULL, "x", "y", "z" };
    static const unsigned service_ports[] = { 0, 0, 1, 2, 3 }, ports[] = { 0, 0, 81, 82, 83 };
    struct ref ref = { .gateway = next(seed) % 2, .section = sections[next(seed) % 5] };

    ref.name = ref.gateway ? (next(seed) % 2 ? "g" : "h") : (next(seed) % 2 ? "a" : "b");
    ref.port = (ref.gateway ? ports : service_ports)[next(seed) % 5];
    return ref;
}

static void write_ref(FILE *f, const struct ref *ref) {
    fprintf(f, "{%sname: %s", ref->gateway ? "" : "kind: Service, group: \"\", ", ref->name);
    if (ref->section)
        fprintf(f, ", sectionName: %s", ref->section);
    if (ref->port)
        fprintf(f, ", port: %u", ref->port);
    fputs("}", f);
}

static bool names(const struct ref *ref, const struct place *p) {
    return ref->gateway == p->gateway && strcmp(ref->name, p->name) == 0 &&
           (!ref->section || strcmp(ref->section, p->section) == 0) &&
           (ref->port == 0 || ref->port == p->port);
}

static const struct weir_route_table *table_at(struct weir_runtime *rt, const struct place *p) {
    char key[32];

    if (!p->gateway)
        return outbound(rt, p->name[0] == 'a' ? "10.96.0.1" : "10.96.0.2", p->port)->routes;
    snprintf(key, sizeof(key), "default/%s/%s", p->name, p->section);
    for (uint32_t i = 0; i < rt->n_gateways; i++)
        if (strcmp(rt->gateways[i].name, key) == 0)
            return rt->gateways[i].routes;
    fail_msg("%s is not served", key);
    return NULL;
}

static void a_route_is_asked_where_a_parent_ref_says_so_and_nowhere_else(void **state) {
    uint64_t seed = 7;
    unsigned attached = 0;

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct ref refs[N_ROUTES][REFS_MAX];
        unsigned n[N_ROUTES];
        struct weir_runtime *rt;
        char *yaml = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&yaml, &size);

        fputs(POD PROXY("pod: default/web")
                  SERVICE("a", "default", "10.96.0.1", "{name: x, port: 1}, {name: y, port: 2}")
                      SERVICE("b", "default", "10.96.0.2", "{name: x, port: 1}, {name: y, port: 2}")
                          GATEWAY("g", HTTP("x", "81") ", " HTTP("y", "82"))
                              GATEWAY("h", HTTP("x", "83")),
              f);
        for (unsigned i = 0; i < N_ROUTES; i++) {
            fprintf(f,
                    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
                    "metadata: {name: r%u}\nspec:\n  parentRefs: [",
                    i);
            n[i] = 1 + (unsigned)next(&seed) % REFS_MAX;
            for (unsigned k = 0; k < n[i]; k++) {
                refs[i][k] = any_ref(&seed);
                write_ref(f, &refs[i][k]);
                fputs(k + 1 < n[i] ? ", " : "]\n", f);
            }
            fprintf(f, "  rules: [{matches: [{path: {value: /r%u}}]}]\n---\n", i);
        }
        fclose(f);
        rt = runtime(yaml);
        for (unsigned p = 0; p < WEIR_ARRAY_LEN(places); p++)
            for (unsigned i = 0; i < N_ROUTES; i++) {
                char name[8], path[8];
                bool want = false;

                for (unsigned k = 0; k < n[i]; k++)
                    want |= names(&refs[i][k], &places[p]);
                snprintf(name, sizeof(name), "r%u", i);
                snprintf(path, sizeof(path), "/r%u", i);
                if ((strcmp(routed(table_at(rt, &places[p]), path), name) == 0) != want)
                    fail_msg("%s at %s %s %s, in\n%s", name, places[p].gateway ? "g" : "s",
                             places[p].name, places[p].section, yaml);
                attached += want;
            }
        weir_runtime_unref(rt);
        free(yaml);
    }
    assert_true(attached > 1000);
}

static int build_and_drop(void *arg) {
    struct weir_runtime *rt = NULL;
    char *why = NULL;
    int r = build(arg, &rt, &why);

    weir_runtime_unref(rt);
    free(why);
    return r;
}

static void survives_every_failing_allocation(void **state) {
    struct weir_snapshot *s = snapshot(
        POD PROXY("pod: default/web") SERVICE("b", "x", "10.96.0.2", "{name: http, port: 80}")
            SERVICE("a", "default", "10.96.0.1", "{name: http, port: 80}")
                SLICE("a", "{name: http, port: 8080}", "10.1.0.1")
                    ROUTE("near", "default", TO_B, "/") ROUTE("far", "x", TO_B, "/")
                        GATEWAY("g", HTTP("x", "81")) ROUTE("r", "default", "{name: g}", "/"));

    (void)state;
    assert_int_not_equal(weir_test_sweep(build_and_drop, s, 0), 0);
    assert_int_not_equal(weir_test_sweep(build_and_drop, s, 1), 0);
    weir_snapshot_unref(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tcp_port_of_each_service_has_its_cluster),
        cmocka_unit_test(endpoints_are_those_of_the_place),
        cmocka_unit_test(a_sidecar_knows_services_by_address_and_its_own_ports),
        cmocka_unit_test(the_consumer_s_routes_are_apart_from_the_producer_s),
        cmocka_unit_test(what_cannot_be_put_in_force_says_why),
        cmocka_unit_test(a_reverse_proxy_sends_to_what_it_was_told),
        cmocka_unit_test(names_become_endpoints_with_addresses),
        cmocka_unit_test(a_route_is_asked_where_a_parent_ref_says_so_and_nowhere_else),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
