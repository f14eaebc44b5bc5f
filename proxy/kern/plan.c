/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshot and facts of this node -> entries of weir_ip, weir_pod, weir_cgroup, weir_port and weir_svc, with the names of everything that has an
 * id. Policies are compiled in plan_policy.c, backend sets in plan_endpoints.c.
 *
 * Every pod of the snapshot with an address of its own has an identity; pods on the host's network
 * share their node's address, which therefore says nothing. Of two pods with one address (a
 * finished pod still names the address it had) the younger has it.
 */
#include "kern/plan_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/htab.h"
#include "base/mem.h"
#include "conf/authz.h"
#include "conf/ports.h"

int weir_plan_put_name(struct weir_plan_builder *b, uint32_t kind, const char *text,
                       uint32_t *ret_id) {
    struct weir_name_key key = { .kind = kind };
    struct weir_name_value value = { 0 };
    int r = weir_ids_name(b->ids, kind, text, &key.id);

    if (r)
        return r;
    memcpy(value.text, text, strnlen(text, WEIR_NAME_BYTES - 1));
    *ret_id = key.id;
    return weir_mapset_put(b->out, WEIR_MAP_NAME, &key, &value);
}

static int kv_compare(const void *pa, const void *pb) {
    const struct weir_kv *a = pa, *b = pb;
    int r = strcmp(a->key, b->key);

    return r ? r : strcmp(a->value, b->value);
}

static int port_compare(const void *pa, const void *pb) {
    const struct weir_container_port *a = pa, *b = pb;
    int r = strcmp(a->name, b->name);

    return r ? r : (int)a->proto - (int)b->proto;
}

static void append(char **at, const void *bytes, size_t len) {
    memcpy(*at, bytes, len);
    *at += len;
}

/* Everything that makes the identity, NULs between: namespace, account, sorted labels, sorted named
 * ports. */
static int identity_text(struct weir_arena *arena, const struct weir_pod *pod,
                         struct weir_slice *ret_text) {
    const struct weir_meta *m = &pod->meta;
    struct weir_kv *labels = weir_arena_calloc(arena, m->n_labels + 1UL, sizeof(*labels));
    struct weir_container_port *ports =
        weir_arena_calloc(arena, pod->n_ports + 1UL, sizeof(*ports));
    size_t len = strlen(m->namespace_) + strlen(pod->service_account) + 2;
    uint32_t n_ports = 0;
    char *text, *at;

    if (!labels || !ports)
        return -ENOMEM;
    for (uint32_t i = 0; i < m->n_labels; i++) {
        labels[i] = m->labels[i];
        len += strlen(labels[i].key) + strlen(labels[i].value) + 2;
    }
    for (uint32_t i = 0; i < pod->n_ports; i++) {
        if (pod->ports[i].name[0] == '\0')
            continue;
        ports[n_ports++] = pod->ports[i];
        len += strlen(pod->ports[i].name) + 5;
    }
    if (m->n_labels > 1)
        qsort(labels, m->n_labels, sizeof(*labels), kv_compare);
    if (n_ports > 1)
        qsort(ports, n_ports, sizeof(*ports), port_compare);
    text = at = weir_arena_alloc(arena, len + 1);
    if (!text)
        return -ENOMEM;
    append(&at, m->namespace_, strlen(m->namespace_) + 1);
    append(&at, pod->service_account, strlen(pod->service_account) + 1);
    for (uint32_t i = 0; i < m->n_labels; i++) {
        append(&at, labels[i].key, strlen(labels[i].key) + 1);
        append(&at, labels[i].value, strlen(labels[i].value) + 1);
    }
    append(&at, "", 1); /* so that a label cannot read as a port */
    for (uint32_t i = 0; i < n_ports; i++) {
        append(&at, ports[i].name, strlen(ports[i].name) + 1);
        append(&at, &ports[i].port, sizeof(ports[i].port));
        append(&at, &ports[i].proto, sizeof(ports[i].proto));
    }
    *ret_text = weir_slice_make(text, (size_t)(at - text));
    return 0;
}

/* Named "namespace/account#<128-bit hash of all of it>": short enough for weir_name, stable over
 * restarts. */
static int put_identity(struct weir_plan_builder *b, uint32_t pod) {
    static const uint64_t seeds[2][2] = { { 0x77656972, 1 }, { 0x77656972, 2 } };
    const struct weir_pod *p = &b->snapshot->pods[pod];
    struct weir_slice text;
    const char *name;
    int r;

    if (p->host_network || p->n_ips == 0)
        return 0;
    r = identity_text(&b->arena, p, &text);
    if (r)
        return r;
    name = weir_arena_printf(
        &b->arena, "%.*s#%016llx%016llx", (int)WEIR_NAME_BYTES - 34,
        weir_arena_printf(&b->arena, "%s/%s", p->meta.namespace_, p->service_account) ?: "",
        (unsigned long long)weir_hash(seeds[0], text),
        (unsigned long long)weir_hash(seeds[1], text));
    return name ? weir_plan_put_name(b, WEIR_NAME_IDENTITY, name, &b->identities[pod]) : -ENOMEM;
}

/* Changes when another Pod object takes the name, or the address. */
static uint32_t generation_of(const struct weir_pod *pod) {
    const uint64_t plain[2] = { 0x77656972, pod->meta.created };
    const uint64_t seed[2] = { weir_hash(plain, weir_slice_from_str(pod->meta.namespace_)),
                               pod->meta.created };

    return (uint32_t)weir_hash(seed, weir_slice_from_str(pod->meta.name));
}

static int put_ips(struct weir_plan_builder *b, uint32_t pod) {
    const struct weir_snapshot *s = b->snapshot;
    const struct weir_pod *p = &s->pods[pod];

    if (b->identities[pod] == 0)
        return 0;
    for (uint32_t i = 0; i < p->n_ips; i++) {
        struct weir_addr addr = weir_plan_addr(&p->ips[i]);
        const struct weir_pod *owner = weir_snapshot_pod_by_ip(s, &p->ips[i]);
        struct weir_ip_value value = { b->identities[pod], b->local[pod], generation_of(p), 0 };
        int r;

        /* Who is here for certain has its address; else the younger of two. */
        if (owner && owner != p && b->local[pod] == 0 &&
            (b->local[owner - s->pods] != 0 || owner->meta.created > p->meta.created))
            continue;
        if (weir_mapset_get(b->out, WEIR_MAP_IP, &addr) && b->local[pod] == 0)
            continue;
        r = weir_mapset_put(b->out, WEIR_MAP_IP, &addr, &value);
        if (r)
            return r;
    }
    return 0;
}

static int put_cgroup(struct weir_plan_builder *b, uint64_t id, uint32_t pod, uint8_t role) {
    struct weir_cgroup_value value = { .pod = pod, .role = role };

    return id ? weir_mapset_put(b->out, WEIR_MAP_CGROUP, &id, &value) : 0;
}

/* Where the kubelet's own connections are not known, what comes from the node to a port that a probe names. */
static int put_probes(struct weir_plan_builder *b, const struct weir_pod *pod, uint32_t id) {
    static const uint8_t one = 1;
    int r = 0;

    for (uint32_t i = 0; i < b->input->n_node_ips; i++) {
        struct weir_probe_key key = { .addr = weir_plan_addr(&b->input->node_ips[i]), .pod = id };

        for (uint32_t k = 0; r == 0 && k < pod->n_probe_ports; k++) {
            key.port = pod->probe_ports[k];
            r = weir_mapset_put(b->out, WEIR_MAP_PROBE, &key, &one);
        }
    }
    return r;
}

static int put_pod(struct weir_plan_builder *b, const struct weir_plan_pod *facts) {
    const struct weir_pod *p = facts->pod;
    uint32_t i = (uint32_t)(p - b->snapshot->pods);
    struct weir_pod_value value = { .pod = b->local[i],
                                    .identity = b->identities[i],
                                    .netns = facts->netns,
                                    .generation = generation_of(p) };
    int join = p->join >= 0 ? p->join : (int)b->snapshot->agent.join;
    uint32_t n_named = b->n_named;
    int r;

    if (facts->meshed)
        value.flags |= WEIR_POD_MESHED;
    if (facts->meshed && p->skip_outbound)
        value.flags |= WEIR_POD_SKIPS;
    if (p->ns->fail_open)
        value.flags |= WEIR_POD_FAIL_OPEN;
    if (join != WEIR_JOIN_MODE_OFF)
        value.flags |= WEIR_POD_JOIN;
    if (join == WEIR_JOIN_MODE_ON)
        value.flags |= WEIR_POD_JOIN_READER;
    if (p->http_telemetry || b->http[i])
        value.flags |= WEIR_POD_HTTP;
    b->report.n_http_pods += (value.flags & WEIR_POD_HTTP) != 0;
    for (uint32_t k = p->n_ips; k > 0; k--)
        value.addr[!weir_ip_is_v4(&p->ips[k - 1])] = weir_plan_addr(&p->ips[k - 1]);
    r = weir_plan_policy(b, p, value.policy);
    if (b->n_named > n_named)
        value.flags |= WEIR_POD_NAMES;
    if (r == 0)
        r = weir_plan_authz(b, p, &value.policy[WEIR_AUTHZ]);
    if (r == 0)
        r = put_probes(b, p, value.pod);
    if (r == 0)
        r = weir_mapset_put(b->out, WEIR_MAP_POD, &value.pod, &value);
    if (r == 0)
        r = put_cgroup(b, facts->cgroup, value.pod, WEIR_ROLE_APP);
    if (r == 0)
        r = put_cgroup(b, facts->proxy_cgroup, value.pod, WEIR_ROLE_PROXY);
    if (r == 0)
        r = put_cgroup(b, facts->node_cgroup, value.pod, WEIR_ROLE_PROXY);
    return r;
}

static int put_port(struct weir_plan_builder *b, uint32_t pod, uint16_t port, uint32_t value) {
    struct weir_port_key key = { .pod = pod, .port = port, .proto = WEIR_IPPROTO_TCP };

    return weir_mapset_put(b->out, WEIR_MAP_PORT, &key, &value);
}

static uint32_t steering(const struct weir_snapshot *s, const struct weir_pod *pod, uint16_t port) {
    return weir_pod_wants_proof(s, pod, port) ? WEIR_PORT_STEER | WEIR_PORT_PROOF : WEIR_PORT_STEER;
}

static int put_exception(struct weir_plan_builder *b, const struct weir_pod *pod, uint32_t id,
                         uint16_t port) {
    struct weir_port_key key = { .pod = id, .port = port, .proto = WEIR_IPPROTO_TCP };
    bool here;

    if (port == 0 || weir_mapset_get(b->out, WEIR_MAP_PORT, &key))
        return 0;
    here = weir_pod_wants_proof(b->snapshot, pod, port);
    if (here == weir_pod_wants_proof(b->snapshot, pod, 0))
        return 0;
    return put_port(b, id, port, here ? WEIR_PORT_STEER | WEIR_PORT_PROOF : WEIR_PORT_PLAIN);
}

/* Ports that have to enter the sidecar although no L7 service leads to them, and the exceptions. */
static int put_proof_ports(struct weir_plan_builder *b, const struct weir_pod *pod, uint32_t id) {
    const struct weir_snapshot *s = b->snapshot;
    int r = weir_pod_wants_proof(s, pod, 0) ? put_port(b, id, 0, steering(s, pod, 0)) : 0;

    for (uint32_t i = 0; i < s->n_peer_auths; i++)
        for (uint32_t k = 0; r == 0 && k < s->peer_auths[i].n_ports; k++)
            r = put_exception(b, pod, id, s->peer_auths[i].ports[k].port);
    for (uint32_t i = 0; r == 0 && i < s->n_authz; i++) {
        uint16_t first, last;

        for (uint32_t k = 0; r == 0 && weir_authz_scope(&s->authz[i], pod, k, &first, &last); k++)
            if (first == last)
                r = put_exception(b, pod, id, first);
    }
    return r;
}

/* Ports of services that the pod's calls do not enter its sidecar for; those that would not anyway need no entry. */
static int put_skipped_calls(struct weir_plan_builder *b, const struct weir_pod *pod, uint32_t id) {
    const struct weir_snapshot *s = b->snapshot;
    int r = 0;

    for (uint32_t i = 0; pod->skip_outbound && i < s->n_services; i++)
        for (uint32_t k = 0; r == 0 && k < s->services[i].n_ports; k++) {
            const struct weir_service_port *port = &s->services[i].ports[k];
            const struct weir_port_key key = {
                .pod = id, .port = port->port, .proto = WEIR_IPPROTO_TCP, .outbound = 1
            };
            const uint32_t plain = WEIR_PORT_PLAIN;

            if (port->proto == WEIR_PROTO_TCP &&
                weir_port_ranges_have(pod->skip_outbound, port->port) &&
                !weir_mapset_get(b->out, WEIR_MAP_PORT, &key))
                r = weir_mapset_put(b->out, WEIR_MAP_PORT, &key, &plain);
        }
    return r;
}

/* Where the applications here that serve it are listened to: of two services with one port of one pod the first tells. */
static int put_http_ports(struct weir_plan_builder *b, const struct weir_service_port *port,
                          uint32_t service) {
    for (uint32_t i = 0; i < port->n_endpoints; i++) {
        const struct weir_endpoint *e = &port->endpoints[i];
        uint32_t place = e->pod ? (uint32_t)(e->pod - b->snapshot->pods) : 0;
        struct weir_port_key key = { .port = e->port, .proto = WEIR_IPPROTO_TCP };
        int r;

        if (!e->pod || b->local[place] == 0)
            continue;
        b->http[place] = true;
        key.pod = b->local[place];
        if (weir_mapset_get(b->out, WEIR_MAP_HTTP, &key))
            continue;
        r = weir_mapset_put(b->out, WEIR_MAP_HTTP, &key, &service);
        if (r)
            return r;
    }
    return 0;
}

/* L7 ports enter the sidecar of every meshed local endpoint. */
static int put_l7_ports(struct weir_plan_builder *b, const struct weir_service_port *port) {
    if (!port->l7 || port->proto != WEIR_PROTO_TCP)
        return 0;
    for (uint32_t i = 0; i < port->n_endpoints; i++) {
        const struct weir_endpoint *e = &port->endpoints[i];
        uint32_t pod = e->pod ? b->local[e->pod - b->snapshot->pods] : 0;
        int r = pod && weir_pod_enters(b->snapshot, e->pod, e->port)
                    ? put_port(b, pod, e->port, steering(b->snapshot, e->pod, e->port))
                    : 0;

        if (r)
            return r;
    }
    return 0;
}

/* Does one of its pods ask for mTLS? Then callers' sidecars have to provide it. */
static bool is_strict(const struct weir_snapshot *s, const struct weir_service_port *port) {
    for (uint32_t i = 0; i < port->n_endpoints; i++) {
        const struct weir_endpoint *e = &port->endpoints[i];

        if (e->pod && weir_pod_meshed(e->pod) && weir_pod_wants_proof(s, e->pod, e->port))
            return true;
    }
    return false;
}

static int put_service(struct weir_plan_builder *b, const struct weir_service *service) {
    const char *name =
        weir_arena_printf(&b->arena, "%s/%s", service->meta.namespace_, service->meta.name);
    uint32_t id;
    int r = name ? weir_plan_put_name(b, WEIR_NAME_SERVICE, name, &id) : -ENOMEM;

    for (uint32_t i = 0; r == 0 && i < service->n_ports; i++) {
        const struct weir_service_port *port = &service->ports[i];
        struct weir_svc_value value = { .service = id };

        r = put_l7_ports(b, port);
        if (r == 0 && service->http_telemetry && port->proto == WEIR_PROTO_TCP)
            r = put_http_ports(b, port, id);
        if (r || service->n_ips == 0)
            continue;
        if (service->http_telemetry && port->proto == WEIR_PROTO_TCP)
            value.flags |= WEIR_SVC_HTTP;
        if (port->proto == WEIR_PROTO_TCP &&
            (port->l7 || port->n_hosts > 0 || is_strict(b->snapshot, port)))
            value.flags |= WEIR_SVC_L7;
        r = weir_plan_endpoints(b, service, port, &value);
        for (uint32_t k = 0; r == 0 && k < service->n_ips; k++) {
            struct weir_svc_key key = { .addr = weir_plan_addr(&service->ips[k]),
                                        .port = port->port,
                                        .proto = port->proto };

            r = weir_mapset_put(b->out, WEIR_MAP_SVC, &key, &value);
        }
    }
    b->report.n_services++;
    b->report.n_http += service->http_telemetry;
    return r;
}

/* Ids of the local pods first: addresses, endpoints and ports refer to them. */
static int number_pods(struct weir_plan_builder *b) {
    const struct weir_plan_input *in = b->input;

    for (uint32_t i = 0; i < in->n_pods; i++) {
        const struct weir_pod *p = in->pods[i].pod;
        const char *name = weir_arena_printf(&b->arena, "%s/%s", p->meta.namespace_, p->meta.name);
        int r = name ? weir_plan_put_name(b, WEIR_NAME_POD, name, &b->local[p - b->snapshot->pods])
                     : -ENOMEM;

        if (r)
            return r;
    }
    return 0;
}

static struct weir_plan_ids **ids_of(struct weir_plan_builder *b, size_t n) {
    return weir_arena_calloc(&b->arena, n + 1, sizeof(struct weir_plan_ids *));
}

/* Places for what a rule's selectors name, found when the first pod needs it. */
static int number_rules(struct weir_plan_builder *b) {
    const struct weir_snapshot *s = b->snapshot;

    for (int d = 0; d < 2; d++) {
        b->rule_ids[d] = weir_arena_calloc(&b->arena, s->n_netpols + 1UL, sizeof(*b->rule_ids[d]));
        for (uint32_t i = 0; b->rule_ids[d] && i < s->n_netpols; i++) {
            b->rule_ids[d][i] = ids_of(b, d == WEIR_INGRESS ? s->netpols[i].n_ingress_rules
                                                            : s->netpols[i].n_egress_rules);
            if (!b->rule_ids[d][i])
                return -ENOMEM;
        }
    }
    b->authz_ids = weir_arena_calloc(&b->arena, s->n_authz + 1UL, sizeof(*b->authz_ids));
    if (!b->rule_ids[0] || !b->rule_ids[1] || !b->authz_ids)
        return -ENOMEM;
    for (uint32_t i = 0; i < s->n_authz; i++) {
        size_t n = 0;

        for (uint32_t k = 0; k < s->authz[i].n_rules; k++)
            n += s->authz[i].rules[k].n_sources + 1UL;
        b->authz_ids[i] = ids_of(b, n);
        if (!b->authz_ids[i])
            return -ENOMEM;
    }
    b->report.n_policies = s->n_netpols + s->n_egress_policies + s->n_authz;
    return 0;
}

static int build(struct weir_plan_builder *b) {
    const struct weir_plan_input *in = b->input;
    const struct weir_snapshot *s = in->snapshot;
    int r;

    b->here = weir_locality_of(s, in->node ? in->node : "", s->agent.zone);
    b->identities = weir_arena_calloc(&b->arena, s->n_pods + 1UL, sizeof(*b->identities));
    b->local = weir_arena_calloc(&b->arena, s->n_pods + 1UL, sizeof(*b->local));
    b->http = weir_arena_calloc(&b->arena, s->n_pods + 1UL, sizeof(*b->http));
    if (!b->identities || !b->local || !b->http)
        return -ENOMEM;
    r = number_pods(b);
    if (r == 0)
        r = number_rules(b);
    for (uint32_t i = 0; r == 0 && i < s->n_pods; i++)
        r = put_identity(b, i);
    for (uint32_t i = 0; r == 0 && i < s->n_pods; i++)
        r = put_ips(b, i);
    for (uint32_t i = 0; r == 0 && i < s->n_services; i++)
        r = put_service(b, &s->services[i]);
    for (uint32_t i = 0; r == 0 && i < in->n_pods; i++)
        r = put_pod(b, &in->pods[i]);
    if (r == 0)
        r = weir_plan_names_setting(b);
    for (uint32_t i = 0; r == 0 && i < in->n_pods; i++)
        if (weir_pod_meshed(in->pods[i].pod)) {
            const uint32_t id = b->local[in->pods[i].pod - s->pods];

            r = put_proof_ports(b, in->pods[i].pod, id);
            if (r == 0)
                r = put_skipped_calls(b, in->pods[i].pod, id);
        }
    for (uint32_t i = 0; r == 0 && i < in->n_cgroups; i++)
        r = put_cgroup(b, in->cgroups[i].id, 0, in->cgroups[i].role);
    return r;
}

int weir_plan_check(const struct weir_snapshot *snapshot, enum weir_plan_whose whose,
                    struct weir_plan_report *ret_report) {
    /* The node's own servers are not configuration; that there are some costs rules. */
    static const struct weir_ip some = { { [10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2 } };
    struct weir_plan_input input = { .snapshot = snapshot, .dns = &some, .n_dns = 1 };
    struct weir_plan_pod *pods = weir_calloc(snapshot->n_pods + 1UL, sizeof(*pods));
    struct weir_mapset *unused = NULL;
    int r;

    if (!pods)
        return -ENOMEM;
    for (uint32_t i = 0; i < snapshot->n_pods; i++)
        if (snapshot->pods[i].cgroup[0] ||
            (whose == WEIR_PLAN_ANYWHERE && !snapshot->pods[i].host_network))
            pods[input.n_pods++].pod = &snapshot->pods[i];
    input.pods = pods;
    r = weir_plan_build(&input, &unused, ret_report);
    weir_mapset_free(unused);
    weir_free(pods);
    return r;
}

struct named {
    uint32_t kind, id;
    const char *text;
};

static int count_identity(void *arg, const void *key, const void *value) {
    *(uint32_t *)arg += ((const struct weir_name_key *)key)->kind == WEIR_NAME_IDENTITY;
    return 0;
}

int weir_plan_build(const struct weir_plan_input *input, struct weir_mapset **ret_desired,
                    struct weir_plan_report *ret_report) {
    struct weir_plan_builder b = { .input = input, .snapshot = input->snapshot };
    int r;

    weir_arena_init(&b.arena, 65536);
    r = weir_ids_new(input->installed, &b.ids);
    if (r == 0)
        r = weir_mapset_new(&b.out);
    if (r == 0)
        r = build(&b);
    if (r == 0)
        weir_mapset_each(b.out, WEIR_MAP_NAME, count_identity, &b.report.n_identities);
    weir_ids_free(b.ids);
    weir_arena_deinit(&b.arena);
    if (r) {
        weir_mapset_free(b.out);
        return r;
    }
    *ret_desired = b.out;
    *ret_report = b.report;
    return 0;
}

static int find_name(void *arg, const void *key, const void *value) {
    struct named *wanted = arg;
    const struct weir_name_key *k = key;

    if (k->kind != wanted->kind ||
        strcmp(((const struct weir_name_value *)value)->text, wanted->text) != 0)
        return 0;
    wanted->id = k->id;
    return 1;
}

uint32_t weir_plan_id(const struct weir_mapset *set, uint32_t kind, const char *text) {
    struct named wanted = { .kind = kind, .text = text };

    weir_mapset_each(set, WEIR_MAP_NAME, find_name, &wanted);
    return wanted.id;
}

const char *weir_plan_name(const struct weir_mapset *set, uint32_t kind, uint32_t id) {
    struct weir_name_key key = { kind, id };
    const struct weir_name_value *value = weir_mapset_get(set, WEIR_MAP_NAME, &key);

    return value ? value->text : "";
}
