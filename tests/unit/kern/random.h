/* SPDX-License-Identifier: Apache-2.0 */
/* Random clusters as YAML: namespaces, pods and policies from small vocabularies, so that they often meet. */
#ifndef WEIR_TEST_KERN_RANDOM_H
#define WEIR_TEST_KERN_RANDOM_H

#include "cluster.h"

struct text {
    char bytes[65536];
    size_t len;
};

static WEIR_PRINTF(2, 3) WEIR_UNUSED void put(struct text *t, const char *fmt, ...) {
    va_list args;

    va_start(args, fmt);
    t->len += (size_t)vsnprintf(t->bytes + t->len, sizeof(t->bytes) - t->len, fmt, args);
    va_end(args);
    assert_true(t->len < sizeof(t->bytes) - 1);
}

static WEIR_UNUSED void put_selector(struct text *t, uint64_t *seed, const char *key,
                                     const char *const *values, uint32_t n) {
    switch (rnd_below(seed, 6)) {
    case 0:
        put(t, "{}");
        break;
    case 1:
        put(t, "{matchExpressions: [{key: %s, operator: %s}]}", key,
            rnd_below(seed, 2) ? "Exists" : "DoesNotExist");
        break;
    case 2:
        put(t, "{matchExpressions: [{key: %s, operator: %s, values: [%s, %s]}]}", key,
            rnd_below(seed, 2) ? "In" : "NotIn", values[rnd_below(seed, n)],
            values[rnd_below(seed, n)]);
        break;
    default:
        put(t, "{matchLabels: {%s: %s}}", key, values[rnd_below(seed, n)]);
    }
}

static const char *const apps[] = { "x", "y", "z" };
static const char *const teams[] = { "a", "b" };

static WEIR_UNUSED void put_pods(struct text *t, uint64_t *seed, uint32_t n) {
    for (uint32_t i = 0; i < 3; i++) {
        put(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: ns%u", i);
        if (rnd_below(seed, 4))
            put(t, ", labels: {team: %s}", teams[rnd_below(seed, 2)]);
        put(t, "}\n---\n");
    }
    for (uint32_t i = 0; i < n; i++) {
        put(t, "apiVersion: v1\nkind: Pod\nmetadata:\n  name: pod%u\n  namespace: ns%u\n", i,
            rnd_below(seed, 3));
        if (rnd_below(seed, 5))
            put(t, "  labels: {app: %s}\n", apps[rnd_below(seed, 3)]);
        put(t, "  annotations: {weir.dev/cgroup: t/pod%u}\nspec:\n  serviceAccountName: sa%u\n", i,
            rnd_below(seed, 2));
        if (rnd_below(seed, 8) == 0)
            put(t, "  hostNetwork: true\n");
        put(t, "  containers: [{name: c, ports: [");
        if (rnd_below(seed, 3))
            put(t, "{name: web, containerPort: %u}, ", 80 + rnd_below(seed, 3));
        put(t, "{name: dns, containerPort: %u, protocol: UDP}]}]\n", 81 + rnd_below(seed, 2));
        put(t, "status: {podIP: 10.0.%u.%u, podIPs: [{ip: 10.0.%u.%u}, {ip: 'fd00::%u'}]}\n---\n",
            i % 3, i + 1, i % 3, i + 1, i + 1);
    }
}

static WEIR_UNUSED void put_peer(struct text *t, uint64_t *seed) {
    static const char *const blocks[] = {
        "{cidr: 10.0.0.0/8}",
        "{cidr: 10.0.1.0/24}",
        "{cidr: 0.0.0.0/0, except: [10.0.0.0/16]}",
        "{cidr: 10.0.0.0/16, except: [10.0.1.0/24, 10.0.0.0/30]}",
        "{cidr: '::/0'}",
        "{cidr: 'fd00::/64', except: ['fd00::4/126']}",
        "{cidr: 192.168.7.7/32}",
    };
    uint32_t kind = rnd_below(seed, 5);

    if (kind == 0) {
        put(t, "{ipBlock: %s}", blocks[rnd_below(seed, WEIR_ARRAY_LEN(blocks))]);
        return;
    }
    put(t, "{");
    if (kind != 1) {
        put(t, "podSelector: ");
        put_selector(t, seed, "app", apps, 3);
    }
    if (kind != 2) {
        put(t, "%snamespaceSelector: ", kind != 1 ? ", " : "");
        put_selector(t, seed, "team", teams, 2);
    }
    put(t, "}");
}

static WEIR_UNUSED void put_rules(struct text *t, uint64_t *seed, const char *key,
                                  const char *side) {
    static const char *const ports[] = {
        "{port: 80}",      "{port: 81}",  "{port: 80, endPort: 81}",    "{protocol: UDP}",
        "{protocol: TCP}", "{port: web}", "{port: dns, protocol: UDP}", "{port: 81, protocol: UDP}",
    };
    uint32_t n = rnd_below(seed, 4);

    put(t, "  %s: [", key);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t n_peers = rnd_below(seed, 4), n_ports = rnd_below(seed, 3);

        put(t, "%s\n    {", i ? "," : "");
        if (n_peers)
            put(t, "%s: [", side);
        for (uint32_t k = 0; k < n_peers; k++) {
            if (k)
                put(t, ", ");
            put_peer(t, seed);
        }
        if (n_peers)
            put(t, "]");
        if (n_ports)
            put(t, "%sports: [", n_peers ? ", " : "");
        for (uint32_t k = 0; k < n_ports; k++)
            put(t, "%s%s", k ? ", " : "", ports[rnd_below(seed, WEIR_ARRAY_LEN(ports))]);
        put(t, "%s}", n_ports ? "]" : "");
    }
    put(t, "]\n");
}

static WEIR_UNUSED void put_policies(struct text *t, uint64_t *seed, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t types = rnd_below(seed, 4); /* 0: the defaults */

        put(t,
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
            "metadata: {name: p%u, namespace: ns%u}\nspec:\n  podSelector: ",
            i, rnd_below(seed, 3));
        put_selector(t, seed, "app", apps, 3);
        put(t, "\n");
        if (types)
            put(t, "  policyTypes: [%s]\n",
                types == 1   ? "Ingress"
                : types == 2 ? "Egress"
                             : "Ingress, Egress");
        if (types != 2)
            put_rules(t, seed, "ingress", "from");
        if (types != 1)
            put_rules(t, seed, "egress", "to");
        put(t, "---\n");
    }
}

#endif
