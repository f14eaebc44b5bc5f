/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints of a service port as connect() chooses among them: a backend set (weir_ep), the near ones first, and with ClientIP affinity the table
 * (weir_maglev) that says whose pods go where.
 */
#include "kern/maglev.h"
#include "kern/plan_build.h"

/* A set in the making. */
struct set {
    struct weir_ep_value *list;
    uint32_t *weights;
    uint32_t n, near, sum;
    bool equal; /* weights */
    bool terminating;
};

/* None that may be called from here is ready. */
static bool all_end(const struct weir_plan_builder *b, const struct weir_service *service,
                    const struct weir_service_port *port) {
    for (uint32_t i = 0; i < port->n_endpoints; i++)
        if (weir_endpoint_takes_part(&port->endpoints[i], false) &&
            weir_endpoint_distance(service, &port->endpoints[i], &b->here) != WEIR_DISTANCE_OUT)
            return false;
    return true;
}

/* Those that take part and are so far away. 0, -EOVERFLOW. */
static int add(struct weir_plan_builder *b, const struct weir_service *service,
               const struct weir_service_port *port, enum weir_distance distance, struct set *set) {
    for (uint32_t i = 0; i < port->n_endpoints; i++) {
        const struct weir_endpoint *e = &port->endpoints[i];

        if (!weir_endpoint_takes_part(e, set->terminating) ||
            weir_endpoint_distance(service, e, &b->here) != distance)
            continue;
        if (__builtin_add_overflow(set->sum, e->weight, &set->sum))
            return -EOVERFLOW;
        set->weights[set->n] = e->weight;
        set->equal = set->equal && e->weight == set->weights[0];
        set->list[set->n++] = (struct weir_ep_value){
            .addr = weir_plan_addr(&e->ip),
            .upto = set->sum,
            .port = e->port,
            .pod = e->pod ? b->local[e->pod - b->snapshot->pods] : 0,
        };
    }
    return 0;
}

static int put_maglev(struct weir_plan_builder *b, const struct set *set,
                      const struct weir_svc_value *value) {
    struct weir_maglev_key key = { .set = value->set, .near = value->near };
    uint32_t n = value->near ? value->near : set->n;
    struct weir_maglev_value table;
    int r;

    if (n > UINT16_MAX - 1 || weir_mapset_get(b->out, WEIR_MAP_MAGLEV, &key))
        return 0; /* of so many they are drawn; or another port has written it */
    r = weir_maglev_fill(set->list, set->equal ? NULL : set->weights, n, &table);
    return r ? r : weir_mapset_put(b->out, WEIR_MAP_MAGLEV, &key, &table);
}

static uint32_t balance_of(const struct weir_service_port *port) {
    switch (port->policy ? port->policy->balancer : WEIR_BALANCER_UNSET) {
    case WEIR_BALANCER_LEAST:
        return WEIR_BALANCE_LEAST;
    case WEIR_BALANCER_LATENCY:
        return WEIR_BALANCE_LATENCY;
    default:
        return WEIR_BALANCE_RANDOM;
    }
}

static int put_set(struct weir_plan_builder *b, struct set *set, struct weir_svc_value *value) {
    int r;

    for (uint32_t i = 0; set->equal && i < set->n; i++)
        set->list[i].upto = 0;
    value->count = set->n;
    value->weight = set->equal ? 0 : set->sum;
    value->near = set->near < set->n ? set->near : 0;
    value->near_weight = value->near && !set->equal ? set->list[set->near - 1].upto : 0;
    if (set->n == 0)
        return 0;
    r = weir_ids_content(b->ids, WEIR_CONTENT_EP, set->list, set->n * sizeof(*set->list),
                         &value->set);
    for (uint32_t i = 0; r == 0 && i < set->n; i++) {
        struct weir_ep_key key = { value->set, i };

        r = weir_mapset_put(b->out, WEIR_MAP_EP, &key, &set->list[i]);
    }
    b->report.n_endpoints += set->n;
    return r;
}

int weir_plan_endpoints(struct weir_plan_builder *b, const struct weir_service *service,
                        const struct weir_service_port *port, struct weir_svc_value *value) {
    struct set set = {
        .list = weir_arena_calloc(&b->arena, port->n_endpoints + 1UL, sizeof(*set.list)),
        .weights = weir_arena_calloc(&b->arena, port->n_endpoints + 1UL, sizeof(*set.weights)),
        .equal = true,
        .terminating = all_end(b, service, port),
    };
    int r;

    if (!set.list || !set.weights)
        return -ENOMEM;
    r = add(b, service, port, WEIR_DISTANCE_NEAR, &set);
    set.near = set.n;
    if (r == 0)
        r = add(b, service, port, WEIR_DISTANCE_FAR, &set);
    if (r == 0)
        r = put_set(b, &set, value);
    value->balance = balance_of(port);
    if (r == 0 && service->affinity_client_ip && set.n > 0) {
        value->affinity_s = service->affinity_seconds;
        r = put_maglev(b, &set, value);
    }
    return r;
}
