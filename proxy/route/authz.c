/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NetworkPolicy ingress for one local pod, asked with an identity. Compiled: per policy that
 * selects the pod, its rules; per rule the TCP port ranges at this pod; per selector peer the set
 * of pods it admits (a bit per pod of the snapshot) and the distinct identities of those.
 *
 * A known source pod is judged as that pod, and a certificate of anybody else is refused even if
 * some rule would admit that other identity. From an address that is no pod's (a node-local proxy,
 * a gateway behind NAT) the certificate alone speaks, and only for identities that some rule
 * admits. ipBlock peers are about addresses and nothing else. A pod's traffic with itself cannot be
 * refused.
 */
#include "route/authz.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "conf/netpol.h"

struct identity {
    const char *ns, *account;
};

struct peer {
    const struct weir_netpol_peer *conf;
    uint64_t *pods;              /* NULL for an ipBlock */
    struct identity *identities; /* sorted */
    uint32_t n_identities;
};

struct range {
    uint16_t first, last;
};

struct rule {
    struct range *ranges;
    struct peer *peers;
    uint32_t n_ranges, n_peers;
    bool every_port, every_peer;
};

struct policy {
    const char *name; /* "namespace/name" */
    struct rule *rules;
    uint32_t n_rules;
};

struct weir_authz {
    struct weir_arena arena;
    const struct weir_snapshot *snapshot;
    const struct weir_pod *pod;
    struct policy *policies;
    uint32_t n_policies;
};

static int identity_compare(const void *pa, const void *pb) {
    const struct identity *a = pa, *b = pb;
    int r = strcmp(a->ns, b->ns);

    return r ? r : strcmp(a->account, b->account);
}

static int peer_build(struct weir_authz *a, const struct weir_netpol *policy,
                      const struct weir_netpol_peer *conf, struct peer *peer) {
    const struct weir_snapshot *s = a->snapshot;
    uint32_t n = 0, kept = 0;

    peer->conf = conf;
    if (conf->is_block)
        return 0;
    peer->pods = weir_arena_calloc(&a->arena, s->n_pods / 64 + 1, sizeof(*peer->pods));
    if (!peer->pods)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n_pods; i++) {
        if (weir_netpol_peer_selects(policy, conf, &s->pods[i])) {
            peer->pods[i / 64] |= 1ULL << (i % 64);
            n++;
        }
    }
    peer->identities = weir_arena_calloc(&a->arena, n + 1, sizeof(*peer->identities));
    if (!peer->identities)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n_pods; i++)
        if (peer->pods[i / 64] >> (i % 64) & 1)
            peer->identities[peer->n_identities++] =
                (struct identity){ s->pods[i].meta.namespace_, s->pods[i].service_account };
    if (n > 1)
        qsort(peer->identities, n, sizeof(*peer->identities), identity_compare);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || identity_compare(&peer->identities[i], &peer->identities[kept - 1]) != 0)
            peer->identities[kept++] = peer->identities[i];
    peer->n_identities = kept;
    return 0;
}

static int rule_build(struct weir_authz *a, const struct weir_netpol *policy,
                      const struct weir_netpol_rule *conf, struct rule *rule) {
    rule->every_port = conf->n_ports == 0;
    rule->every_peer = conf->n_peers == 0;
    rule->ranges = weir_arena_calloc(&a->arena, conf->n_ports + 1, sizeof(*rule->ranges));
    rule->peers = weir_arena_calloc(&a->arena, conf->n_peers + 1, sizeof(*rule->peers));
    if (!rule->ranges || !rule->peers)
        return -ENOMEM;
    for (uint32_t i = 0; i < conf->n_ports; i++) {
        struct range *range = &rule->ranges[rule->n_ranges];

        if (conf->ports[i].proto == WEIR_PROTO_TCP &&
            weir_netpol_port_range(&conf->ports[i], a->pod, &range->first, &range->last))
            rule->n_ranges++;
    }
    for (uint32_t i = 0; i < conf->n_peers; i++) {
        int r = peer_build(a, policy, &conf->peers[i], &rule->peers[rule->n_peers++]);

        if (r)
            return r;
    }
    return 0;
}

static int policy_build(struct weir_authz *a, const struct weir_netpol *conf,
                        struct policy *policy) {
    policy->name = weir_arena_printf(&a->arena, "%s/%s", conf->meta.namespace_, conf->meta.name);
    policy->rules = weir_arena_calloc(&a->arena, conf->n_ingress_rules + 1, sizeof(*policy->rules));
    if (!policy->name || !policy->rules)
        return -ENOMEM;
    for (uint32_t i = 0; i < conf->n_ingress_rules; i++) {
        int r = rule_build(a, conf, &conf->ingress_rules[i], &policy->rules[policy->n_rules++]);

        if (r)
            return r;
    }
    return 0;
}

static int build(struct weir_authz *a) {
    const struct weir_snapshot *s = a->snapshot;

    a->policies = weir_arena_calloc(&a->arena, s->n_netpols + 1, sizeof(*a->policies));
    if (!a->policies)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n_netpols; i++) {
        int r;

        if (!s->netpols[i].ingress || !weir_netpol_selects(&s->netpols[i], a->pod))
            continue;
        r = policy_build(a, &s->netpols[i], &a->policies[a->n_policies++]);
        if (r)
            return r;
    }
    return 0;
}

int weir_authz_new(const struct weir_snapshot *snapshot, const struct weir_pod *pod,
                   struct weir_authz **ret_authz) {
    struct weir_authz *a = weir_calloc(1, sizeof(*a));
    int r;

    if (!a)
        return -ENOMEM;
    weir_arena_init(&a->arena, 4096);
    a->snapshot = snapshot;
    a->pod = pod;
    r = build(a);
    if (r) {
        weir_authz_free(a);
        return r;
    }
    *ret_authz = a;
    return 0;
}

struct weir_authz *weir_authz_free(struct weir_authz *a) {
    if (!a)
        return NULL;
    weir_arena_deinit(&a->arena);
    return weir_free(a);
}

static bool is_own_address(const struct weir_pod *pod, const struct weir_ip *ip) {
    static const uint8_t v4[13] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127 };
    static const uint8_t v6[16] = { [15] = 1 };

    if (memcmp(ip->b, v4, sizeof(v4)) == 0 || memcmp(ip->b, v6, sizeof(v6)) == 0)
        return true;
    for (uint32_t i = 0; i < pod->n_ips; i++)
        if (memcmp(&pod->ips[i], ip, sizeof(*ip)) == 0)
            return true;
    return false;
}

static bool is_identity(const struct weir_authz_flow *flow, const char *ns, const char *account) {
    return weir_slice_eq(flow->ns, weir_slice_from_str(ns)) &&
           weir_slice_eq(flow->account, weir_slice_from_str(account));
}

static int slice_str_compare(struct weir_slice a, const char *b) {
    size_t n = strlen(b);
    int r = memcmp(a.ptr ? a.ptr : "", b, a.len < n ? a.len : n);

    return r ? r : (a.len > n) - (a.len < n);
}

static bool peer_has_identity(const struct peer *peer, const struct weir_authz_flow *flow) {
    uint32_t low = 0, high = peer->n_identities;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int r = slice_str_compare(flow->ns, peer->identities[mid].ns);

        if (r == 0)
            r = slice_str_compare(flow->account, peer->identities[mid].account);
        if (r == 0)
            return true;
        if (r < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return false;
}

static bool rule_admits(const struct weir_authz *a, const struct rule *rule,
                        const struct weir_authz_flow *flow, const struct weir_pod *source) {
    bool port = rule->every_port;

    for (uint32_t i = 0; !port && i < rule->n_ranges; i++)
        port = flow->port >= rule->ranges[i].first && flow->port <= rule->ranges[i].last;
    if (!port)
        return false;
    if (rule->every_peer)
        return true;
    for (uint32_t i = 0; i < rule->n_peers; i++) {
        const struct peer *peer = &rule->peers[i];

        if (!peer->pods) {
            if (weir_netpol_peer_covers(peer->conf, &flow->source))
                return true;
        } else if (source) {
            size_t n = (size_t)(source - a->snapshot->pods);

            if (peer->pods[n / 64] >> (n % 64) & 1)
                return true;
        } else if (flow->proven && peer_has_identity(peer, flow)) {
            return true;
        }
    }
    return false;
}

bool weir_authz_allows(const struct weir_authz *a, const struct weir_authz_flow *flow,
                       const char **ret_policy) {
    const struct weir_pod *source;
    const char *unused;

    if (!ret_policy)
        ret_policy = &unused;
    *ret_policy = "";
    if (a->n_policies == 0 || is_own_address(a->pod, &flow->source))
        return true;
    source = weir_snapshot_pod_by_ip(a->snapshot, &flow->source);
    /* Several pods and the node itself share a host-network address: it says nothing about who
     * calls. */
    if (source && source->host_network)
        source = NULL;
    *ret_policy = a->policies[0].name;
    if (source && flow->proven &&
        !is_identity(flow, source->meta.namespace_, source->service_account))
        return false;
    for (uint32_t p = 0; p < a->n_policies; p++) {
        for (uint32_t i = 0; i < a->policies[p].n_rules; i++) {
            if (rule_admits(a, &a->policies[p].rules[i], flow, source)) {
                *ret_policy = a->policies[p].name;
                return true;
            }
        }
    }
    return false;
}
