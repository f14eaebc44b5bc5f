/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which endpoint of a service a call gets (lib/svc.bpf.h): by affinity, else drawn by weight among those that are near, the better of two
 * where the service says so, and another when connections to it have failed. No hook of its own. It never refuses: when all have failed, a failed
 * one is tried.
 */
#include "lib/svc.bpf.h"
#include "lib/count.bpf.h"
#include "lib/policy.bpf.h"

#define SEARCH_STEPS   20 /* up to 2^20 endpoints */
#define DRAWS          3
#define SCAN           16
#define AFFINITY_SCAN  64
#define MAGLEV_RETRIES 4

/*
 * The endpoint whose share of the weights holds `point` (0..weight-1): binary search for the first
 * index with upto > point. Weights 90, 10: points 0..89 are endpoint 0, 90..99 endpoint 1.
 */
static __always_inline __u32 search(__u32 set, __u32 count, __u32 point) {
    struct weir_ep_key key = { .set = set };
    __u32 low = 0, high = count - 1;

    for (int i = 0; i < SEARCH_STEPS && low < high; i++) {
        struct weir_ep_value *ep;

        key.index = low + (high - low) / 2;
        ep = bpf_map_lookup_elem(&weir_ep, &key);
        if (!ep)
            break;
        if (ep->upto > point)
            high = key.index;
        else
            low = key.index + 1;
    }
    return low;
}

static __always_inline struct weir_ep_value *endpoint(__u32 set, __u32 index) {
    struct weir_ep_key key = { .set = set, .index = index };

    return bpf_map_lookup_elem(&weir_ep, &key);
}

/* An index, by weight. */
static __always_inline __u32 draw(const struct weir_svc_value *svc) {
    __u32 count = svc->near ? svc->near : svc->count;
    __u32 weight = svc->near ? svc->near_weight : svc->weight;
    __u32 r = bpf_get_prandom_u32();

    if (weight)
        return search(svc->set, count, r % weight);
    return count ? r % count : 0;
}

/* Another one: by weight, which may be the same again; of equals never the same. */
static __always_inline __u32 draw_other(const struct weir_svc_value *svc, __u32 first) {
    __u32 count = svc->near ? svc->near : svc->count;

    if (svc->near ? svc->near_weight : svc->weight)
        return draw(svc);
    return count > 1 ? (first + 1 + bpf_get_prandom_u32() % (count - 1)) % count : first;
}

static __always_inline bool is_ejected(const struct weir_pick *p, const struct weir_ep_value *ep,
                                       __u64 now) {
    struct weir_ep_fail_key key = { .addr = ep->addr, .pod = p->pod, .port = ep->port };
    struct weir_ep_fail_value *f = bpf_map_lookup_elem(&weir_ep_fail, &key);

    return f && f->until_ns > now;
}

static __always_inline __u64 load_of(const struct weir_pick *p, const struct weir_ep_value *ep) {
    struct weir_svc_key key = { .addr = ep->addr, .port = ep->port, .proto = p->proto };
    struct weir_ep_load_value *load = bpf_map_lookup_elem(&weir_ep_load, &key);

    if (!load)
        return 0;
    if (p->svc.balance == WEIR_BALANCE_LATENCY)
        return (load->active + 1ull) * load->srtt_us;
    return load->active;
}

static __always_inline struct weir_ep_value *better(const struct weir_pick *p) {
    __u32 first = draw(&p->svc), other;
    struct weir_ep_value *a = endpoint(p->svc.set, first), *b;

    if (p->svc.balance == WEIR_BALANCE_RANDOM || !a)
        return a;
    other = draw_other(&p->svc, first);
    if (other == first)
        return a;
    b = endpoint(p->svc.set, other);
    return b && load_of(p, b) < load_of(p, a) ? b : a;
}

static __always_inline int take(struct weir_pick *p, const struct weir_ep_value *ep) {
    p->addr = ep->addr;
    p->port = ep->port;
    return 1;
}

/* The first of some that has not failed, from anywhere in the set. */
static __always_inline struct weir_ep_value *scan(const struct weir_pick *p, __u64 now) {
    __u32 from = bpf_get_prandom_u32();

    for (__u32 i = 0; i < SCAN && i < p->svc.count; i++) {
        struct weir_ep_value *ep = endpoint(p->svc.set, (from + i) % p->svc.count);

        if (ep && !is_ejected(p, ep, now))
            return ep;
    }
    return NULL;
}

static __always_inline int balance(struct weir_pick *p, __u64 now) {
    struct weir_ep_value *ep = NULL;

    for (int i = 0; i < DRAWS; i++) {
        ep = better(p);
        if (!ep)
            return 0;
        if (!is_ejected(p, ep, now))
            return take(p, ep);
    }
    weir_count_one(WEIR_SEEN_EJECTED);
    take(p, ep);
    ep = scan(p, now);
    return ep ? take(p, ep) : 1;
}

/* Is the endpoint of an older set in this one? A large set is not searched to its end: then its pod moves. */
static __always_inline bool is_still_there(const struct weir_pick *p,
                                           const struct weir_affinity_value *a) {
    for (__u32 i = 0; i < AFFINITY_SCAN && i < p->svc.count; i++) {
        struct weir_ep_value *ep = endpoint(p->svc.set, i);

        if (ep && ep->port == a->port && weir_addr_equal(&ep->addr, &a->addr))
            return true;
    }
    return false;
}

static __always_inline __u32 mix(__u32 h, __u32 word) {
    h ^= word;
    h *= 0x9e3779b1u;
    return h ^ h >> 15;
}

/* By the caller's address, the same on every node and after a restart. */
static __always_inline struct weir_ep_value *by_address(const struct weir_pick *p, __u64 now) {
    struct weir_maglev_key key = { .set = p->svc.set, .near = p->svc.near };
    struct weir_maglev_value *table = bpf_map_lookup_elem(&weir_maglev, &key);
    struct weir_pod_value *pod = weir_pod_find(p->pod);
    struct weir_ep_value *ep = NULL;
    __u32 h = p->asked_port;

    if (!table || !pod)
        return NULL;
    for (int i = 0; i < 4; i++)
        h = mix(h, p->v6 ? pod->addr[1].w[i] : pod->addr[0].w[i]);
    for (__u32 i = 0; i < MAGLEV_RETRIES; i++) {
        __u32 slot = (__u64)h * WEIR_MAGLEV_SLOTS >> 32;

        /* It is in bounds; the verifier of 6.1 wants to see it compared, and compilers know better. */
        asm volatile("" : "+r"(slot));
        if (slot >= WEIR_MAGLEV_SLOTS)
            slot = 0;

        ep = endpoint(p->svc.set, table->index[slot]);
        if (ep && !is_ejected(p, ep, now))
            return ep;
        h = mix(h, i + 1);
    }
    return NULL;
}

static __always_inline int keep(struct weir_pick *p, __u64 now) {
    struct weir_affinity_key key = { .service = p->svc.service,
                                     .pod = p->pod,
                                     .port = p->asked_port,
                                     .proto = p->proto,
                                     .v6 = p->v6 };
    struct weir_affinity_value *old = bpf_map_lookup_elem(&weir_affinity, &key), a = {};
    struct weir_ep_value ep = {}, *chosen;

    if (old && now - old->at_ns < p->svc.affinity_s * 1000000000ull) {
        ep.addr = old->addr;
        ep.port = old->port;
        if ((old->set == p->svc.set || is_still_there(p, old)) && !is_ejected(p, &ep, now)) {
            old->set = p->svc.set;
            old->at_ns = now;
            return take(p, &ep);
        }
    }
    chosen = by_address(p, now);
    if (chosen)
        take(p, chosen);
    else if (!balance(p, now))
        return 0;
    a.addr = p->addr;
    a.set = p->svc.set;
    a.port = p->port;
    a.at_ns = now;
    bpf_map_update_elem(&weir_affinity, &key, &a, BPF_ANY);
    return 1;
}

int weir_svc_choose(struct weir_pick *p) {
    __u64 now = bpf_ktime_get_ns();

    if (!p || p->svc.count == 0)
        return 0;
    if (p->svc.affinity_s && p->pod)
        return keep(p, now);
    return balance(p, now);
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
