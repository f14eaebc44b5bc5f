/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs tell: counters summed over cores, and the rings read through one descriptor. */
#include "kern/priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

#include "base/mem.h"

int weir_kern_sums(const struct weir_kern *k, const char *map, uint32_t n, uint64_t *ret_sums) {
    int cpus = libbpf_num_possible_cpus(), fd = weir_kern_map_fd(k, map), r = 0;
    uint64_t *values;

    if (cpus < 0 || fd < 0)
        return cpus < 0 ? cpus : fd;
    values = weir_calloc((size_t)cpus, sizeof(*values));
    if (!values)
        return -ENOMEM;
    for (uint32_t i = 0; i < n && r == 0; i++) {
        r = bpf_map_lookup_elem(fd, &i, values);
        ret_sums[i] = 0;
        for (int cpu = 0; cpu < cpus && r == 0; cpu++)
            ret_sums[i] += values[cpu];
    }
    weir_free(values);
    return r;
}

int weir_kern_counts(struct weir_kern *k, uint64_t ret_counts[WEIR_REASON_SLOTS]) {
    return weir_kern_sums(k, "weir_count", WEIR_REASON_SLOTS, ret_counts);
}

int weir_kern_dns_counts(struct weir_kern *k, uint64_t ret_counts[WEIR_DNS_COUNT_SLOTS]) {
    return weir_kern_sums(k, "weir_dns_count", WEIR_DNS_COUNT_SLOTS, ret_counts);
}

static void deliver(struct weir_kern *k, const void *data, size_t size, bool denial) {
    struct weir_event e;

    /* Another size is another layout's, and that was refused at open. */
    if (size < sizeof(e))
        return;
    memcpy(&e, data, sizeof(e));
    k->event_fn(k->event_arg, &e, denial);
}

static int on_event(void *ctx, void *data, size_t size) {
    deliver(ctx, data, size, false);
    return 0;
}

static int on_denial(void *ctx, void *data, size_t size) {
    deliver(ctx, data, size, true);
    return 0;
}

int weir_kern_events_open(struct weir_kern *k, weir_kern_event_fn *fn, void *arg, int *ret_fd) {
    struct ring_buffer *rings;
    int r;

    if (k->rings)
        return -EALREADY;
    rings = ring_buffer__new(weir_kern_map_fd(k, "weir_denials"), on_denial, k, NULL);
    if (!rings)
        return -errno;
    r = ring_buffer__add(rings, weir_kern_map_fd(k, "weir_events"), on_event, k);
    if (r < 0) {
        ring_buffer__free(rings);
        return r;
    }
    k->rings = rings;
    k->event_fn = fn;
    k->event_arg = arg;
    *ret_fd = ring_buffer__epoll_fd(rings);
    return 0;
}

int weir_kern_events_read(struct weir_kern *k, uint32_t *ret_n) {
    int n = k->rings ? ring_buffer__consume(k->rings) : -EINVAL;

    if (n < 0)
        return n;
    if (ret_n)
        *ret_n = (uint32_t)n;
    return 0;
}
