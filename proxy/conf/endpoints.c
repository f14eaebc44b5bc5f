/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services and where they lead. A service's endpoints are those of all its EndpointSlices, port by
 * port name; a service that selects pods and has no slice (a file on a laptop, where no controller
 * makes one) gets them from the pods. Sorted by address, each address and port once, so that equal
 * inputs give equal lists.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/link.h"

#define MAX_ENDPOINTS 4000000U
#define SERVICE_LABEL "kubernetes.io/service-name"

/* Pods that carry one label of one namespace: "namespace/key=value". */
struct label_pod {
    struct label_pod *next;
    uint32_t pod; /* index in the snapshot */
};

struct label_bucket {
    struct weir_hnode node;
    struct label_pod *first;
    uint32_t n;
};

static struct weir_draft_service *draft_of(struct weir_link *l, uint32_t i) {
    return (struct weir_draft_service *)l->sorted[WEIR_KIND_SERVICE][i];
}

/* An address and port that two services claim leads to the first in order of names; TCP before UDP.
 */
static int claim_addresses(struct weir_link *l, uint32_t i, uint8_t proto) {
    const struct weir_service *service = &l->s->services[i];
    struct weir_index_entry *entry;
    char text[46];
    int r = 0;

    for (uint32_t j = 0; j < service->n_ips * service->n_ports && r == 0; j++) {
        const struct weir_ip *ip = &service->ips[j / service->n_ports];
        const struct weir_service_port *port = &service->ports[j % service->n_ports];
        if (port->proto != proto) {
            continue;
        }
        r = weir_index_add_service_ip(l->s, service, ip, port, &entry);
        if (r != -EEXIST) {
            continue;
        }
        const struct weir_service *other = entry->value;
        r = 0;
        if (other != service) {
            r = weir_link_warn(l, &draft_of(l, i)->head, NULL, "spec.clusterIP",
                               "%s port %u is also that of service %s/%s, which keeps it",
                               weir_ip_format(ip, text, sizeof(text)), port->port,
                               other->meta.namespace_, other->meta.name);
        }
    }
    return r;
}

static int copy_ports(struct weir_link *l, const struct weir_draft_service *draft,
                      struct weir_service *service) {
    service->ports = weir_arena_calloc(&l->s->arena, draft->n_ports, sizeof(*service->ports));
    if (draft->n_ports > 0 && service->ports == NULL) {
        return -ENOMEM;
    }
    service->n_ports = draft->n_ports;
    for (uint32_t j = 0; j < draft->n_ports; j++) {
        service->ports[j] = draft->ports[j].value;
        service->ports[j].index = l->s->n_service_ports++;
    }
    return 0;
}

int weir_link_services(struct weir_link *l) {
    static const uint8_t protos[] = { WEIR_PROTO_TCP, WEIR_PROTO_UDP };
    struct weir_snapshot *s = l->s;
    uint32_t n = l->b->drafts[WEIR_KIND_SERVICE].n;
    int r = 0;

    s->services = weir_arena_calloc(&s->arena, n, sizeof(*s->services));
    if (n > 0 && s->services == NULL) {
        return -ENOMEM;
    }
    s->n_services = n;
    for (uint32_t i = 0; i < n && r == 0; i++) {
        s->services[i] = draft_of(l, i)->value;
        s->services[i].meta = draft_of(l, i)->head.meta;
        r = copy_ports(l, draft_of(l, i), &s->services[i]);
        if (r == 0) {
            r = weir_index_add_service(s, &s->services[i]);
        }
    }
    for (unsigned p = 0; p < WEIR_ARRAY_LEN(protos); p++) {
        for (uint32_t i = 0; i < n && r == 0; i++) {
            r = claim_addresses(l, i, protos[p]);
        }
    }
    return r;
}

static int attach_slices(struct weir_link *l) {
    int r = 0;

    for (uint32_t i = 0; i < l->b->drafts[WEIR_KIND_SLICE].n && r == 0; i++) {
        struct weir_draft_slice *slice = (struct weir_draft_slice *)l->sorted[WEIR_KIND_SLICE][i];
        const struct weir_meta *meta = &slice->head.meta;
        const char *name = weir_meta_label(meta, SERVICE_LABEL);
        const struct weir_service *service = weir_snapshot_service(l->s, meta->namespace_, name);
        if (service != NULL) {
            struct weir_draft_service *draft = draft_of(l, (uint32_t)(service - l->s->services));
            slice->next_of_service = draft->slices;
            draft->slices = slice;
        } else if (name[0] == '\0') {
            r = weir_link_warn(l, &slice->head, NULL, "metadata.labels",
                               "the label " SERVICE_LABEL
                               " is missing: the slice belongs to no service");
        } else {
            r = weir_link_warn(l, &slice->head, NULL, "metadata.labels",
                               "the Service %s/%s is not among the documents", meta->namespace_,
                               name);
        }
    }
    return r;
}

static int compare_endpoints(const void *va, const void *vb) {
    const struct weir_endpoint *a = va, *b = vb;
    int r = memcmp(a->ip.b, b->ip.b, sizeof(a->ip.b));

    if (r != 0) {
        return r;
    }
    if (a->port != b->port) {
        return a->port < b->port ? -1 : 1;
    }
    /* While a slice is being split an endpoint may be in two; the one that says ready is the newer.
     */
    return (int)b->ready - (int)a->ready;
}

static void sort_endpoints(struct weir_service_port *port) {
    uint32_t n = 0;

    if (port->n_endpoints == 0) {
        return;
    }
    qsort(port->endpoints, port->n_endpoints, sizeof(*port->endpoints), compare_endpoints);
    for (uint32_t i = 0; i < port->n_endpoints; i++) {
        const struct weir_endpoint *last = n > 0 ? &port->endpoints[n - 1] : NULL;
        if (last == NULL || last->port != port->endpoints[i].port ||
            memcmp(last->ip.b, port->endpoints[i].ip.b, sizeof(last->ip.b)) != 0) {
            port->endpoints[n++] = port->endpoints[i];
        }
    }
    port->n_endpoints = n;
}

/*
 * Room for max endpoints. Their number is a product (services x ports x pods), so a small text could ask for any
 * amount of memory: beyond a bound the input is refused, and nothing more is made.
 */
static int new_endpoints(struct weir_link *l, const struct weir_draft_service *draft,
                         struct weir_service_port *port, uint32_t max, bool *ret_made) {
    *ret_made = false;
    if (max > MAX_ENDPOINTS - l->n_endpoints) {
        struct weir_problem_at at = {
            .severity = WEIR_SEVERITY_ERROR,
            .source = draft->head.source,
            .place = draft->head.meta.place,
            .field = "",
        };
        l->n_endpoints = MAX_ENDPOINTS;
        return weir_problem_add(&l->b->problems, &at,
                                "the services up to this one have more than %u endpoints",
                                MAX_ENDPOINTS);
    }
    if (max == 0) {
        return 0;
    }
    port->endpoints = weir_arena_calloc(&l->s->arena, max, sizeof(*port->endpoints));
    l->n_endpoints += max;
    *ret_made = true;
    return port->endpoints == NULL ? -ENOMEM : 0;
}

static void set_pod(struct weir_link *l, struct weir_endpoint *e, const struct weir_pod *pod) {
    e->pod = pod;
    if (pod != NULL) {
        uint32_t i = (uint32_t)(pod - l->s->pods);
        e->weight = ((const struct weir_draft_pod *)l->sorted[WEIR_KIND_POD][i])->weight;
    }
}

static const struct weir_pod *pod_of(struct weir_link *l, const struct weir_draft_slice *slice,
                                     const struct weir_slice_endpoint *from,
                                     const struct weir_ip *ip) {
    const struct weir_pod *pod = NULL;

    if (from->pod[0] != '\0') {
        const char *ns =
            from->pod_namespace[0] != '\0' ? from->pod_namespace : slice->head.meta.namespace_;
        pod = weir_snapshot_pod(l->s, ns, from->pod);
    }
    return pod != NULL ? pod : weir_snapshot_pod_by_ip(l->s, ip);
}

static void append_slice(struct weir_link *l, const struct weir_draft_slice *slice, uint16_t number,
                         struct weir_service_port *port) {
    for (uint32_t i = 0; i < slice->n_endpoints; i++) {
        const struct weir_slice_endpoint *from = &slice->endpoints[i];
        bool ready = from->ready != 0;
        for (uint32_t j = 0; j < from->n_addresses; j++) {
            const struct weir_slice_address *address = &from->addresses[j];
            struct weir_endpoint *e = address->host != NULL ? &port->hosts[port->n_hosts++]
                                                            : &port->endpoints[port->n_endpoints++];
            *e = (struct weir_endpoint){
                .ip = address->ip,
                .host = address->host,
                .port = number,
                .ready = ready,
                .serving = from->serving < 0 ? ready : from->serving,
                .terminating = from->terminating == 1,
                .weight = 1,
                .node = from->node,
                .zone = from->zone,
            };
            if (address->host == NULL) {
                set_pod(l, e, pod_of(l, slice, from, &address->ip));
            }
        }
    }
}

static uint32_t count_addresses(const struct weir_draft_slice *slice, bool by_name) {
    uint32_t n = 0;

    for (uint32_t i = 0; i < slice->n_endpoints && (slice->type == WEIR_SLICE_FQDN) == by_name;
         i++) {
        n += slice->endpoints[i].n_addresses;
    }
    return n;
}

/* The slice's number for a port of that name; 0 = the slice has none. */
static uint16_t slice_port(const struct weir_draft_slice *slice,
                           const struct weir_service_port *port) {
    for (uint32_t i = 0; i < slice->n_ports; i++) {
        if (slice->ports[i].proto == port->proto && strcmp(slice->ports[i].name, port->name) == 0) {
            return slice->ports[i].port;
        }
    }
    return 0;
}

/* Room for the endpoints of a port that are known by name, or for the others. As new_endpoints. */
static int room_for_slices(struct weir_link *l, const struct weir_draft_service *draft,
                           struct weir_service_port *port, bool *ret_made) {
    uint32_t max = 0, hosts = 0;

    for (const struct weir_draft_slice *s = draft->slices; s != NULL; s = s->next_of_service) {
        if (slice_port(s, port) != 0) {
            max += count_addresses(s, false);
            hosts += count_addresses(s, true);
        }
    }
    int r = new_endpoints(l, draft, port, max + hosts, ret_made);
    if (r == 0 && *ret_made && hosts > 0) {
        port->hosts = weir_arena_calloc(&l->s->arena, hosts, sizeof(*port->hosts));
        r = port->hosts == NULL ? -ENOMEM : 0;
    }
    return r;
}

static int endpoints_of_slices(struct weir_link *l, const struct weir_draft_service *draft,
                               struct weir_service *service) {
    for (uint32_t p = 0; p < service->n_ports; p++) {
        struct weir_service_port *port = &service->ports[p];
        bool made;
        int r = room_for_slices(l, draft, port, &made);
        if (r != 0) {
            return r;
        }
        for (const struct weir_draft_slice *s = draft->slices; s != NULL && made;
             s = s->next_of_service) {
            uint16_t number = slice_port(s, port);
            if (number != 0) {
                append_slice(l, s, number, port);
            }
        }
        sort_endpoints(port);
    }
    return 0;
}

static struct label_bucket *find_bucket(const struct weir_htab *labels, struct weir_arena *arena,
                                        const char *ns, const struct weir_kv *kv,
                                        struct weir_slice *ret_key) {
    const char *key = weir_arena_printf(arena, "%s/%s=%s", ns, kv->key, kv->value);

    *ret_key = weir_slice_from_str(key);
    struct weir_hnode *node = key == NULL ? NULL : weir_htab_find(labels, *ret_key);
    return node == NULL ? NULL : WEIR_CONTAINER_OF(node, struct label_bucket, node);
}

static int add_label(struct weir_link *l, struct weir_htab *labels, uint32_t pod,
                     const struct weir_kv *kv) {
    struct weir_arena *arena = &l->b->arena;
    struct weir_slice key;
    struct label_bucket *bucket =
        find_bucket(labels, arena, l->s->pods[pod].meta.namespace_, kv, &key);
    struct label_pod *entry = weir_arena_alloc(arena, sizeof(*entry));

    if (key.ptr == NULL || entry == NULL) {
        return -ENOMEM;
    }
    if (bucket == NULL) {
        bucket = weir_arena_calloc(arena, 1, sizeof(*bucket));
        if (bucket == NULL) {
            return -ENOMEM;
        }
        bucket->node.key = key;
        int r = weir_htab_add(labels, &bucket->node);
        if (r != 0) {
            return r;
        }
    }
    *entry = (struct label_pod){ .next = bucket->first, .pod = pod };
    bucket->first = entry;
    bucket->n++;
    return 0;
}

static int index_labels(struct weir_link *l, struct weir_htab *labels) {
    int r = 0;

    for (uint32_t i = 0; i < l->s->n_pods; i++) {
        const struct weir_meta *meta = &l->s->pods[i].meta;
        for (uint32_t j = 0; j < meta->n_labels && r == 0; j++) {
            r = add_label(l, labels, i, &meta->labels[j]);
        }
    }
    return r;
}

/* The rarest of the labels a service asks for; its pods are then tried in full. NULL = no pod has
 * them all. */
static int rarest_label(struct weir_link *l, const struct weir_htab *labels,
                        const struct weir_draft_service *draft,
                        const struct label_bucket **ret_bucket) {
    const struct label_bucket *best = NULL;

    *ret_bucket = NULL;
    for (uint32_t i = 0; i < draft->selector.n_terms; i++) {
        const struct weir_selector_term *term = &draft->selector.terms[i];
        struct weir_kv kv = { term->key, term->values[0] };
        struct weir_slice key;
        const struct label_bucket *bucket =
            find_bucket(labels, &l->b->arena, draft->head.meta.namespace_, &kv, &key);
        if (key.ptr == NULL) {
            return -ENOMEM;
        }
        if (bucket == NULL) {
            return 0;
        }
        best = best == NULL || bucket->n < best->n ? bucket : best;
    }
    *ret_bucket = best;
    return 0;
}

/* The pod's port for a service port; 0 = it has none of that name. */
static uint16_t target_of(const struct weir_pod *pod, const struct weir_draft_port *port) {
    if (port->target_name[0] == '\0') {
        return port->target != 0 ? port->target : port->value.port;
    }
    for (uint32_t i = 0; i < pod->n_ports; i++) {
        if (pod->ports[i].proto == port->value.proto &&
            strcmp(pod->ports[i].name, port->target_name) == 0) {
            return pod->ports[i].port;
        }
    }
    return 0;
}

/* Of the pod's addresses those of a family the service has; the first one for a headless service.
 */
static bool wants_address(const struct weir_service *service, const struct weir_pod *pod,
                          uint32_t i) {
    if (service->n_ips == 0) {
        return i == 0;
    }
    for (uint32_t j = 0; j < service->n_ips; j++) {
        if (weir_ip_is_v4(&service->ips[j]) == weir_ip_is_v4(&pod->ips[i])) {
            return true;
        }
    }
    return false;
}

static void append_pod(struct weir_link *l, const struct weir_draft_service *draft,
                       struct weir_service *service, uint32_t pod_index) {
    const struct weir_pod *pod = &l->s->pods[pod_index];
    const struct weir_draft_pod *from =
        (const struct weir_draft_pod *)l->sorted[WEIR_KIND_POD][pod_index];

    for (uint32_t p = 0; p < service->n_ports; p++) {
        struct weir_service_port *port = &service->ports[p];
        uint16_t number = target_of(pod, &draft->ports[p]);
        for (uint32_t i = 0; i < pod->n_ips && number != 0; i++) {
            if (!wants_address(service, pod, i)) {
                continue;
            }
            struct weir_endpoint *e = &port->endpoints[port->n_endpoints++];
            *e = (struct weir_endpoint){
                .ip = pod->ips[i],
                .port = number,
                .ready = draft->publish_not_ready || (pod->ready && !from->head.deleting),
                .serving = pod->ready,
                .terminating = from->head.deleting,
                .node = pod->node,
                .zone = "",
            };
            set_pod(l, e, pod);
        }
    }
}

static bool selects(struct weir_link *l, const struct weir_draft_service *draft,
                    uint32_t pod_index) {
    const struct weir_pod *pod = &l->s->pods[pod_index];
    const struct weir_draft_pod *from =
        (const struct weir_draft_pod *)l->sorted[WEIR_KIND_POD][pod_index];

    return !from->ended &&
           weir_selector_matches(&draft->selector, pod->meta.labels, pod->meta.n_labels);
}

static int endpoints_of_pods(struct weir_link *l, const struct weir_htab *labels,
                             const struct weir_draft_service *draft, struct weir_service *service) {
    const struct label_bucket *bucket;
    uint32_t max = 0;
    int r = rarest_label(l, labels, draft, &bucket);

    if (r != 0 || bucket == NULL) {
        return r;
    }
    for (const struct label_pod *it = bucket->first; it != NULL; it = it->next) {
        max += selects(l, draft, it->pod) ? l->s->pods[it->pod].n_ips : 0;
    }
    for (uint32_t p = 0; p < service->n_ports; p++) {
        bool made;
        r = new_endpoints(l, draft, &service->ports[p], max, &made);
        if (r != 0 || !made) {
            return r;
        }
    }
    for (const struct label_pod *it = bucket->first; it != NULL; it = it->next) {
        if (selects(l, draft, it->pod)) {
            append_pod(l, draft, service, it->pod);
        }
    }
    for (uint32_t p = 0; p < service->n_ports; p++) {
        sort_endpoints(&service->ports[p]);
    }
    return 0;
}

/* The name is the one endpoint of every port. */
static int endpoint_of_name(struct weir_link *l, const struct weir_draft_service *draft,
                            struct weir_service *service) {
    for (uint32_t p = 0; p < service->n_ports; p++) {
        struct weir_service_port *port = &service->ports[p];

        port->hosts = weir_arena_calloc(&l->s->arena, 1, sizeof(*port->hosts));
        if (port->hosts == NULL) {
            return -ENOMEM;
        }
        port->n_hosts = 1;
        *port->hosts = (struct weir_endpoint){
            .host = service->external_name,
            .port = draft->ports[p].target != 0 ? draft->ports[p].target : port->port,
            .ready = true,
            .serving = true,
            .weight = 1,
            .node = "",
            .zone = "",
        };
    }
    return 0;
}

int weir_link_endpoints(struct weir_link *l) {
    struct weir_htab labels;
    bool indexed = false;
    int r = attach_slices(l);

    weir_htab_init(&labels, l->b->seen.seed);
    for (uint32_t i = 0; i < l->s->n_services && r == 0; i++) {
        const struct weir_draft_service *draft = draft_of(l, i);
        if (draft->is_external) {
            r = endpoint_of_name(l, draft, &l->s->services[i]);
        } else if (draft->slices != NULL) {
            r = endpoints_of_slices(l, draft, &l->s->services[i]);
        } else if (draft->selector.given) {
            r = indexed ? 0 : index_labels(l, &labels);
            indexed = true;
            if (r == 0) {
                r = endpoints_of_pods(l, &labels, draft, &l->s->services[i]);
            }
        }
    }
    weir_htab_deinit(&labels);
    return r;
}
