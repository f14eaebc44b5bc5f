/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which address of a name comes first must not depend on the order of an answer: an endpoint is known by its address, and what is known of
 * it should outlive the next answer.
 */
#include "core/endpoints.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "conf/snapshot.h"

int weir_endpoints_add(struct weir_endpoints *h, const struct weir_endpoint *e) {
    if (h->n == h->cap) {
        uint32_t cap = h->cap ? h->cap * 2 : 8;
        struct weir_endpoint *items = weir_arena_calloc(h->arena, cap, sizeof(*items));

        if (!items)
            return -ENOMEM;
        if (h->n > 0)
            memcpy(items, h->items, h->n * sizeof(*items));
        h->items = items;
        h->cap = cap;
    }
    h->items[h->n++] = *e;
    return 0;
}

static int compare(const void *a, const void *b) {
    return memcmp(a, b, sizeof(struct weir_ip));
}

/* IPv6 before IPv4, each in order of value. Returns how many are IPv6. */
static uint32_t by_family(struct weir_ip *to, const struct weir_ip *from, uint32_t n) {
    uint32_t n6 = 0, k = 0;

    for (uint32_t i = 0; i < n; i++)
        if (!weir_ip_is_v4(&from[i]))
            to[k++] = from[i];
    n6 = k;
    for (uint32_t i = 0; i < n; i++)
        if (weir_ip_is_v4(&from[i]))
            to[k++] = from[i];
    qsort(to, n6, sizeof(*to), compare);
    qsort(to + n6, n - n6, sizeof(*to), compare);
    return n6;
}

static void interleave(struct weir_ip *to, const struct weir_ip *sorted, uint32_t n6, uint32_t n) {
    uint32_t a = 0, b = n6;

    for (uint32_t k = 0; k < n; k++) {
        bool want6 = a < n6 && (k % 2 == 0 || b == n);

        to[k] = want6 ? sorted[a++] : sorted[b++];
    }
}

static int add_each(struct weir_endpoints *h, struct weir_endpoint e, const struct weir_ip *ips,
                    uint32_t n) {
    int r = 0;

    for (uint32_t i = 0; i < n && r == 0; i++) {
        e.ip = ips[i];
        r = weir_endpoints_add(h, &e);
    }
    return r;
}

int weir_endpoints_resolve(struct weir_endpoints *h, const struct weir_endpoint *e) {
    const struct weir_ip *found;
    struct weir_endpoint one = *e;
    struct weir_ip *sorted, *order;
    uint32_t n = 0, n6;

    found = h->lookup.fn ? h->lookup.fn(h->lookup.arg, e->host, &n) : NULL;
    if (!found || n == 0)
        return 0;
    sorted = weir_arena_calloc(h->arena, n, sizeof(*sorted));
    order = weir_arena_calloc(h->arena, n, sizeof(*order));
    if (!sorted || !order)
        return -ENOMEM;
    n6 = by_family(sorted, found, n);
    if (n6 == 0 || n6 == n)
        return add_each(h, one, sorted, n);
    interleave(order, sorted, n6, n);
    one.ip = order[0];
    one.ips = order;
    one.n_ips = n;
    return weir_endpoints_add(h, &one);
}
