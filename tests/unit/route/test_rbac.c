/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AuthorizationPolicy at the sidecar: Istio's rules by example, then random policies against a second, naive
 * reading of the same texts that shares nothing with the product but the questions.
 */
#include "route/rbac.h"

#include "build.h"

#define POD(name, ns, ip)                                                                          \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: " ns ", labels: {app: " name \
    "}}\nspec: {serviceAccountName: " name "}\nstatus: {podIP: " ip "}\n---\n"
#define POLICY(name, meta, spec)                                                                   \
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {namespace: back, "    \
    "name: " name meta "}\nspec: " spec "\n---\n"

static const char cluster[] = POD("api", "back", "10.0.0.1") POD("web", "front", "10.0.0.2")
    POD("job", "back", "10.0.0.3") "apiVersion: v1\nkind: Service\nmetadata: {name: api, "
                                   "namespace: back}\nspec: {clusterIP: "
                                   "10.96.0.1, selector: {app: api}, ports: [{name: http, port: "
                                   "80, targetPort: 8080}]}\n---\n"
                                   "apiVersion: gateway.networking.k8s.io/v1\nkind: "
                                   "Gateway\nmetadata: {name: edge, namespace: "
                                   "back}\nspec: {gatewayClassName: weir, listeners: [{name: http, "
                                   "port: 8000, protocol: HTTP}]}\n---\n";

struct world {
    struct weir_snapshot *snapshot;
    struct weir_rbac *rbac;
    struct weir_arena arena;
};

static struct world world_new(const char *policies, bool gateway) {
    struct weir_source sources[2] = { { "cluster", cluster, strlen(cluster) },
                                      { "policies", policies, strlen(policies) } };
    struct weir_problems problems = { 0 };
    struct world w = { 0 };
    struct weir_rbac_place place = { 0 };

    if (weir_snapshot_build(sources, 2, &w.snapshot, &problems))
        fail_msg("%s: %s\n%s", problems.n ? problems.items[0].field : "?",
                 problems.n ? problems.items[0].message : "?", policies);
    weir_problems_deinit(&problems);
    weir_arena_init(&w.arena, 1024);
    place.snapshot = w.snapshot;
    place.pod = gateway ? NULL : weir_snapshot_pod(w.snapshot, "back", "api");
    place.gateway = gateway ? &w.snapshot->gateways[0] : NULL;
    assert_int_equal(weir_rbac_new(&place, &w.rbac), 0);
    return w;
}

static void world_free(struct world *w) {
    assert_null(weir_rbac_free(w->rbac));
    weir_arena_deinit(&w->arena);
    weir_snapshot_unref(w->snapshot);
}

struct call {
    const char *source, *id; /* "ns/account", NULL = no certificate */
    uint16_t port;
    const char *method, *path, *host; /* method NULL: no HTTP */
    const char *field, *value, *value2;
};

static struct weir_rbac_answer answer(struct world *w, const struct call *c) {
    struct weir_rbac_flow f = { .port = c->port ? c->port : 8080, .proven = c->id != NULL };
    struct weir_rbac_answer a;
    struct weir_head head;

    assert_int_equal(weir_parse_ip(c->source ? c->source : "10.0.0.2", &f.source), 0);
    assert_int_equal(weir_parse_ip("10.0.0.1", &f.destination), 0);
    f.client = f.source;
    if (c->id) {
        f.domain = WEIR_SLICE("cluster.local");
        f.account = weir_slice_from_str(c->id);
        assert_true(weir_slice_split(&f.account, '/', &f.ns));
    }
    if (c->method) {
        head_request(&head, &w->arena, c->method, c->host ? c->host : "api", c->path);
        if (c->value)
            weir_head_add(&head, weir_slice_from_str(c->field), weir_slice_from_str(c->value));
        if (c->value2)
            weir_head_add(&head, weir_slice_from_str(c->field), weir_slice_from_str(c->value2));
    }
    if (!w->rbac)
        return (struct weir_rbac_answer){ true, "", "", "" };
    weir_rbac_decide(w->rbac, &f, c->method ? &head : NULL, &a);
    return a;
}

/* The policy that decided, '!' before it when denied. */
static const char *said(struct world *w, struct call c) {
    static char text[128];
    struct weir_rbac_answer a = answer(w, &c);

    snprintf(text, sizeof(text), "%s%s", a.allowed ? "" : "!", a.policy);
    return text;
}
#define GET(p) .method = "GET", .path = (p)

static void without_an_allow_policy_all_is_allowed(void **state) {
    struct world w = world_new("", false);

    assert_null(w.rbac);
    world_free(&w);
    w = world_new(POLICY("no", "", "{action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}]}"),
                  false);
    assert_string_equal(said(&w, (struct call){ GET("/a") }), "");
    assert_string_equal(said(&w, (struct call){ GET("/x") }), "!back/no");
    assert_string_equal(said(&w, (struct call){ GET("/x?q") }), "!back/no");
    world_free(&w);
}

static void an_allow_policy_without_rules_denies_and_an_empty_rule_allows(void **state) {
    struct world w = world_new(POLICY("none", "", "{}"), false);

    assert_string_equal(said(&w, (struct call){ GET("/") }), "!back/none");
    assert_string_equal(said(&w, (struct call){ 0 }), "!back/none");
    world_free(&w);
    w = world_new(POLICY("none", "", "{}") POLICY("all", "", "{rules: [{}]}"), false);
    assert_string_equal(said(&w, (struct call){ GET("/") }), "back/all");
    world_free(&w);
    w = world_new(POLICY("nothing", "", "{action: DENY}") POLICY("all", "", "{rules: [{}]}"),
                  false);
    assert_string_equal(said(&w, (struct call){ GET("/") }), "back/all");
    world_free(&w);
}

static void deny_comes_before_allow(void **state) {
    struct world w = world_new(
        POLICY("all", "", "{rules: [{}]}")
            POLICY("web", "", "{action: DENY, rules: [{from: [{source: {namespaces: [front]}}]}]}"),
        false);

    assert_string_equal(said(&w, (struct call){ GET("/"), .id = "front/web" }), "!back/web");
    assert_string_equal(said(&w, (struct call){ GET("/"), .source = "10.0.0.3", .id = "back/job" }),
                        "back/all");
    world_free(&w);
}

static void a_principal_is_proven_by_a_certificate_alone(void **state) {
    struct world w =
        world_new(POLICY("web", "",
                         "{rules: [{from: [{source: {principals: "
                         "['cluster.local/ns/front/sa/*']}}]}, {from: [{source: "
                         "{serviceAccounts: [job]}}], to: [{operation: {methods: [POST]}}]}]}"),
                  false);

    assert_string_equal(said(&w, (struct call){ GET("/"), .id = "front/web" }), "back/web");
    assert_string_equal(said(&w, (struct call){ GET("/") }),
                        "!back/web"); /* its address is web's */
    assert_string_equal(said(&w, (struct call){ GET("/"), .id = "back/job" }), "!back/web");
    assert_string_equal(said(&w, (struct call){ .method = "POST", .path = "/", .id = "back/job" }),
                        "back/web");
    assert_string_equal(said(&w, (struct call){ .id = "front/web" }),
                        "back/web"); /* no HTTP needed */
    world_free(&w);
}

static void what_the_address_tells_counts_against_the_caller(void **state) {
    struct world w =
        world_new(POLICY("deny", "",
                         "{action: DENY, rules: [{from: [{source: {principals: ['*/sa/web']}}]}]}"),
                  false);

    assert_string_equal(said(&w, (struct call){ GET("/"), .id = "front/web" }), "!back/deny");
    assert_string_equal(said(&w, (struct call){ GET("/") }), "!back/deny");
    assert_string_equal(said(&w, (struct call){ GET("/"), .source = "9.9.9.9" }), "");
    world_free(&w);
    w = world_new(POLICY("not", "", "{rules: [{from: [{source: {notPrincipals: ['*/sa/web']}}]}]}"),
                  false);
    assert_string_equal(said(&w, (struct call){ GET("/") }), "!back/not");
    assert_string_equal(said(&w, (struct call){ GET("/"), .source = "9.9.9.9" }), "back/not");
    world_free(&w);
    /* All but web: a caller without a certificate is not proven to be web. */
    w = world_new(
        POLICY("but", "",
               "{action: DENY, rules: [{from: [{source: {notPrincipals: ['*/sa/web']}}]}]}"),
        false);
    assert_string_equal(said(&w, (struct call){ GET("/"), .id = "front/web" }), "");
    assert_string_equal(said(&w, (struct call){ GET("/") }), "!back/but");
    world_free(&w);
}

static void http_parts_on_plain_tcp_are_read_as_istio_reads_them(void **state) {
    struct world w =
        world_new(POLICY("get", "", "{rules: [{to: [{operation: {methods: [GET]}}]}]}"), false);

    assert_string_equal(said(&w, (struct call){ 0 }), "!back/get");
    world_free(&w);
    w = world_new(
        POLICY("get", "",
               "{action: DENY, rules: [{to: [{operation: {methods: [GET], ports: ['8080']}}]}]}"),
        false);
    assert_string_equal(said(&w, (struct call){ 0 }), "!back/get");
    assert_string_equal(said(&w, (struct call){ .port = 9 }), "");
    assert_string_equal(said(&w, (struct call){ .method = "PUT", .path = "/" }), "");
    world_free(&w);
}

static void headers_hosts_and_addresses(void **state) {
    struct world w = world_new(POLICY("a", "",
                                      "{rules: [{when: [{key: 'request.headers[X-Team]', values: "
                                      "['blue', 'red*']}]}, {to: [{operation: "
                                      "{hosts: ['*.Example.com', 'h:*']}}]}, {from: [{source: "
                                      "{ipBlocks: [10.9.0.0/16], notIpBlocks: "
                                      "[10.9.9.9]}}]}]}"),
                               false);

    assert_string_equal(said(&w, (struct call){ GET("/") }), "!back/a");
    assert_string_equal(said(&w, (struct call){ GET("/"), .field = "x-team", .value = "reddish" }),
                        "back/a");
    /* Two fields are one list, which is not "blue". */
    assert_string_equal(
        said(&w, (struct call){ GET("/"), .field = "x-team", .value = "blue", .value2 = "green" }),
        "!back/a");
    assert_string_equal(said(&w, (struct call){ GET("/"), .host = "A.EXAMPLE.COM" }), "back/a");
    assert_string_equal(said(&w, (struct call){ GET("/"), .host = "h:80" }), "back/a");
    assert_string_equal(said(&w, (struct call){ GET("/"), .source = "10.9.1.1" }), "back/a");
    assert_string_equal(said(&w, (struct call){ GET("/"), .source = "10.9.9.9" }), "!back/a");
    world_free(&w);
    w = world_new(
        POLICY(
            "d", "",
            "{action: DENY, rules: [{when: [{key: 'request.headers[x-team]', values: [blue]}]}]}"),
        false);
    assert_string_equal(
        said(&w, (struct call){ GET("/"), .field = "X-Team", .value = "green", .value2 = "blue" }),
        "!back/d");
    world_free(&w);
}

static void a_service_as_target_is_its_pods_ports_and_a_gateway_is_itself(void **state) {
    static const char policies[] =
        POLICY("svc", "", "{targetRefs: [{group: '', kind: Service, name: api}]}")
            POLICY("gw", "",
                   "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]}");
    struct world w = world_new(policies, false);

    assert_string_equal(said(&w, (struct call){ GET("/"), .port = 8080 }), "!back/svc");
    assert_string_equal(said(&w, (struct call){ GET("/"), .port = 8081 }), "");
    world_free(&w);
    w = world_new(policies, true);
    assert_string_equal(said(&w, (struct call){ GET("/"), .port = 8000 }), "!back/gw");
    world_free(&w);
}

static void audit_mode_says_what_would_be_denied_and_changes_nothing(void **state) {
    struct world w = world_new(
        POLICY("a", ", annotations: {weir.dev/audit: 'true'}",
               "{rules: [{to: [{operation: {paths: [/a]}}]}]}")
            POLICY("n", "", "{action: AUDIT, rules: [{to: [{operation: {paths: [/n]}}]}]}"),
        false);
    struct weir_rbac_answer a = answer(&w, &(struct call){ GET("/a") });

    assert_true(a.allowed);
    assert_string_equal(a.would_deny, "");
    a = answer(&w, &(struct call){ GET("/n") });
    assert_true(a.allowed);
    assert_string_equal(a.would_deny, "back/a");
    assert_string_equal(a.noted, "back/n");
    world_free(&w);
    /* Its rules do not widen what an enforced policy allows. */
    w = world_new(POLICY("a", ", annotations: {istio.io/dry-run: 'true'}", "{rules: [{}]}")
                      POLICY("b", "", "{rules: [{to: [{operation: {paths: [/b]}}]}]}"),
                  false);
    assert_string_equal(said(&w, (struct call){ GET("/a") }), "!back/b");
    assert_string_equal(said(&w, (struct call){ GET("/b") }), "back/b");
    world_free(&w);
}

/* --- random policies, read twice --- */

static const char *const namespaces[] = { "front", "back", "none" };
static const char *const principals[] = { "*", "*/sa/web", "cluster.local/ns/back/sa/job",
                                          "cluster.local/ns/back/*" };
static const char *const methods[] = { "GET", "POST", "P*" };
static const char *const paths[] = { "/a", "/a*", "*/z", "/a/{*}", "/{**}/z" };
static const char *const blocks[] = { "10.0.0.0/30", "10.0.0.2", "0.0.0.0/0" };
static const char *const ports[] = { "8080", "9090" };
static const char *const values[] = { "1", "2*", "*" };

enum list { NS, PRIN, METH, PATH, BLOCK, PORT, VALUE, LISTS };
static const struct {
    const char *const *words;
    unsigned n;
} vocabulary[LISTS] = {
    [NS] = { namespaces, 3 }, [PRIN] = { principals, 4 }, [METH] = { methods, 3 },
    [PATH] = { paths, 5 },    [BLOCK] = { blocks, 3 },    [PORT] = { ports, 2 },
    [VALUE] = { values, 3 },
};

/* Bits of the vocabulary; 0 = the list is not given. */
struct naive_rule {
    unsigned yes[LISTS], no[LISTS];
};
struct naive_policy {
    int action; /* 0 ALLOW, 1 DENY, 2 AUDIT */
    int audit;
    unsigned n_rules;
    struct naive_rule rules[2];
};

static bool is_http(enum list l) {
    return l == METH || l == PATH || l == VALUE;
}

static void put_list(FILE *f, const char *name, enum list l, unsigned bits, const char **sep) {
    const char *comma = "";

    if (!bits)
        return;
    fprintf(f, "%s%s: [", *sep, name);
    for (unsigned i = 0; i < vocabulary[l].n; i++)
        if (bits >> i & 1) {
            fprintf(f, "%s'%s'", comma, vocabulary[l].words[i]);
            comma = ", ";
        }
    fprintf(f, "]");
    *sep = ", ";
}

static void put_part(FILE *f, const struct naive_rule *r, const char *open, const char *close,
                     const enum list *lists, const char *const (*names)[2], unsigned n,
                     const char **outer) {
    const char *sep = "";
    bool any = false;

    for (unsigned i = 0; i < n; i++)
        any = any || r->yes[lists[i]] || r->no[lists[i]];
    if (!any)
        return;
    fprintf(f, "%s%s", *outer, open);
    for (unsigned i = 0; i < n; i++) {
        put_list(f, names[i][0], lists[i], r->yes[lists[i]], &sep);
        put_list(f, names[i][1], lists[i], r->no[lists[i]], &sep);
    }
    fprintf(f, "%s", close);
    *outer = ", ";
}

static void put_rule(FILE *f, const struct naive_rule *r) {
    static const enum list from[] = { NS, PRIN, BLOCK }, to[] = { METH, PATH, PORT },
                           when[] = { VALUE };
    static const char *const from_names[][2] = { { "namespaces", "notNamespaces" },
                                                 { "principals", "notPrincipals" },
                                                 { "ipBlocks", "notIpBlocks" } };
    static const char *const to_names[][2] = { { "methods", "notMethods" },
                                               { "paths", "notPaths" },
                                               { "ports", "notPorts" } };
    static const char *const when_names[][2] = { { "values", "notValues" } };
    const char *sep = "";

    fprintf(f, "{");
    put_part(f, r, "from: [{source: {", "}}]", from, from_names, 3, &sep);
    put_part(f, r, "to: [{operation: {", "}}]", to, to_names, 3, &sep);
    put_part(f, r, "when: [{key: 'request.headers[x-v]', ", "}]", when, when_names, 1, &sep);
    fprintf(f, "}");
}

/* What an element of a list says to this call: by hand, no pattern is looked at twice the same way. */
static bool element(enum list l, unsigned i, const struct call *c, const char *ns,
                    const char *account) {
    switch (l) {
    case NS:
        return ns && strcmp(ns, namespaces[i]) == 0;
    case PRIN:
        if (!ns)
            return false;
        return i == 0   ? true
               : i == 1 ? strcmp(account, "web") == 0
               : i == 2 ? strcmp(ns, "back") == 0 && strcmp(account, "job") == 0
                        : strcmp(ns, "back") == 0;
    case METH:
        return i == 0   ? strcmp(c->method, "GET") == 0
               : i == 1 ? strcmp(c->method, "POST") == 0
                        : c->method[0] == 'P';
    case PATH: {
        size_t n = strlen(c->path);

        switch (i) {
        case 0:
            return strcmp(c->path, "/a") == 0;
        case 1:
            return strncmp(c->path, "/a", 2) == 0;
        case 2:
            return n >= 2 && strcmp(c->path + n - 2, "/z") == 0;
        case 3:
            return strncmp(c->path, "/a/", 3) == 0 && c->path[3] && !strchr(c->path + 3, '/');
        default:
            return n >= 3 && strcmp(c->path + n - 2, "/z") == 0;
        }
    }
    case BLOCK:
        return i == 2 || (i == 1 ? strcmp(c->source, "10.0.0.2") == 0
                                 : strncmp(c->source, "10.0.0.", 7) == 0 && c->source[7] <= '3');
    case PORT:
        return c->port == (i == 0 ? 8080 : 9090);
    default:
        return c->value && (i == 2 || (i == 0 ? strcmp(c->value, "1") == 0 : c->value[0] == '2'));
    }
}

static const char *by_address(const char *ip) {
    return strcmp(ip, "10.0.0.2") == 0   ? "front/web"
           : strcmp(ip, "10.0.0.3") == 0 ? "back/job"
           : strcmp(ip, "10.0.0.1") == 0 ? "back/api"
                                         : NULL;
}

static bool any_element(enum list l, unsigned bits, const struct call *c, const char *id) {
    char ns[16] = "", *slash;

    if (id) {
        snprintf(ns, sizeof(ns), "%s", id);
        slash = strchr(ns, '/');
        *slash = '\0';
    }
    for (unsigned i = 0; i < vocabulary[l].n; i++)
        if ((bits >> i & 1) && element(l, i, c, id ? ns : NULL, id ? ns + strlen(ns) + 1 : NULL))
            return true;
    return false;
}

static bool naive_matches(const struct naive_rule *r, int action, const struct call *c) {
    for (unsigned l = 0; l < LISTS; l++) {
        const char *address = by_address(c->source), *wide = c->id ? c->id : address;
        const char *yes = c->id, *no = c->id;

        if (!r->yes[l] && !r->no[l])
            continue;
        if (is_http(l) && !c->method) {
            if (action != 1)
                return false;
            continue;
        }
        if (l == NS)
            yes = no = wide;
        else if (action == 0)
            no = wide;
        else
            yes = wide;
        if ((r->yes[l] && !any_element(l, r->yes[l], c, yes)) ||
            (r->no[l] && any_element(l, r->no[l], c, no)))
            return false;
    }
    return true;
}

static bool naive_policy_matches(const struct naive_policy *p, const struct call *c) {
    for (unsigned i = 0; i < p->n_rules; i++)
        if (naive_matches(&p->rules[i], p->action, c))
            return true;
    return false;
}

struct naive_answer {
    bool allowed, would_deny, noted;
};

static struct naive_answer naive(const struct naive_policy *p, unsigned n, const struct call *c) {
    struct naive_answer a = { true, false, false };
    unsigned allows = 0, allowed = 0, audit_allows = 0, audit_allowed = 0;

    for (unsigned i = 0; i < n; i++) {
        bool m = naive_policy_matches(&p[i], c);

        if (p[i].action == 2) {
            a.noted = a.noted || (m && !p[i].audit);
        } else if (p[i].action == 1) {
            if (m && p[i].audit)
                a.would_deny = true;
            else if (m)
                a.allowed = false;
        } else if (p[i].audit) {
            audit_allows++;
            audit_allowed += m;
        } else {
            allows++;
            allowed += m;
        }
    }
    if (allows && !allowed)
        a.allowed = false;
    if (!allows && audit_allows && !audit_allowed)
        a.would_deny = true;
    a.would_deny = a.would_deny && a.allowed;
    return a;
}

static void random_rule(uint64_t *seed, struct naive_rule *r) {
    memset(r, 0, sizeof(*r));
    for (unsigned k = rnd_below(seed, 4); k > 0; k--) {
        unsigned l = rnd_below(seed, LISTS);
        unsigned bits = 1 + rnd_below(seed, (1u << vocabulary[l].n) - 1);

        if (rnd_below(seed, 3))
            r->yes[l] = bits;
        else
            r->no[l] = bits;
    }
}

static void a_naive_reading_says_the_same(void **state) {
    static const char *const sources[] = { "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9",
                                           "172.16.0.1" };
    static const char *const ids[] = { NULL, NULL, "front/web", "back/job" };
    static const char *const verbs[] = { NULL, "GET", "POST", "PUT" };
    static const char *const targets[] = { "/a", "/a/b", "/a/b/z", "/z", "/" };
    static const char *const fields[] = { NULL, "1", "22", "" };
    static const char *const actions[] = { "ALLOW", "DENY", "AUDIT" };
    uint64_t seed = 20261121;
    unsigned denied = 0, passed = 0, told = 0;

    for (unsigned round = 0; round < 1500; round++) {
        struct naive_policy p[4] = { 0 };
        unsigned n = 1 + rnd_below(&seed, 4);
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        struct world w;

        for (unsigned i = 0; i < n; i++) {
            p[i].action = (int)rnd_below(&seed, 3);
            p[i].audit = rnd_below(&seed, 4) == 0;
            p[i].n_rules = rnd_below(&seed, 3);
            fprintf(f,
                    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: "
                    "{namespace: back, name: p%u, "
                    "annotations: {weir.dev/audit: '%s'}}\nspec: {action: %s, rules: [",
                    i, p[i].audit ? "true" : "false", actions[p[i].action]);
            for (unsigned k = 0; k < p[i].n_rules; k++) {
                random_rule(&seed, &p[i].rules[k]);
                fprintf(f, "%s", k ? ", " : "");
                put_rule(f, &p[i].rules[k]);
            }
            fprintf(f, "]}\n---\n");
        }
        fclose(f);
        w = world_new(text, false);
        for (unsigned k = 0; k < 40; k++) {
            struct call c = { .source = sources[rnd_below(&seed, 5)],
                              .id = ids[rnd_below(&seed, 4)] };
            struct weir_rbac_answer got;
            struct naive_answer want;

            c.port = rnd_below(&seed, 2) ? 8080 : 9090;
            c.method = verbs[rnd_below(&seed, 4)];
            c.path = targets[rnd_below(&seed, 5)];
            c.field = "X-V";
            c.value = fields[rnd_below(&seed, 4)];
            got = answer(&w, &c);
            want = naive(p, n, &c);
            if (got.allowed != want.allowed || (got.would_deny[0] != '\0') != want.would_deny ||
                (got.noted[0] != '\0') != want.noted)
                fail_msg("round %u: %s id %s port %u %s %s value %s: allowed %d, not %d; would %d, "
                         "noted %d\n%s",
                         round, c.source, c.id ? c.id : "-", c.port, c.method ? c.method : "-",
                         c.path, c.value ? c.value : "-", got.allowed, want.allowed,
                         want.would_deny, want.noted, text);
            denied += !got.allowed;
            passed += got.allowed;
            told += got.would_deny[0] != '\0';
        }
        world_free(&w);
        free(text);
    }
    assert_true(denied > 5000 && passed > 5000 && told > 500);
}

static int build_one(void *arg) {
    struct world *w = arg;
    struct weir_rbac_place place = { w->snapshot, weir_snapshot_pod(w->snapshot, "back", "api"),
                                     NULL };
    struct weir_rbac *r = NULL;
    int err = weir_rbac_new(&place, &r);

    weir_rbac_free(r);
    return err;
}

static void survives_every_failing_allocation(void **state) {
    struct world w = world_new(POLICY("a", "", "{rules: [{}]}") POLICY("b", "", "{}"), false);

    assert_int_not_equal(weir_test_sweep(build_one, &w, 0), 0);
    world_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_an_allow_policy_all_is_allowed),
        cmocka_unit_test(an_allow_policy_without_rules_denies_and_an_empty_rule_allows),
        cmocka_unit_test(deny_comes_before_allow),
        cmocka_unit_test(a_principal_is_proven_by_a_certificate_alone),
        cmocka_unit_test(what_the_address_tells_counts_against_the_caller),
        cmocka_unit_test(http_parts_on_plain_tcp_are_read_as_istio_reads_them),
        cmocka_unit_test(headers_hosts_and_addresses),
        cmocka_unit_test(a_service_as_target_is_its_pods_ports_and_a_gateway_is_itself),
        cmocka_unit_test(audit_mode_says_what_would_be_denied_and_changes_nothing),
        cmocka_unit_test(a_naive_reading_says_the_same),
        cmocka_unit_test(survives_every_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
