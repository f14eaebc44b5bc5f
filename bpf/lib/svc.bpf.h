/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Services: is this destination one, and which of its endpoints. */
#ifndef WEIR_BPF_SVC_H
#define WEIR_BPF_SVC_H

#include "maps.bpf.h"

static __always_inline bool weir_svc_get(const struct weir_addr *addr, __u16 port, __u8 proto,
                                         struct weir_svc_value *ret) {
    struct weir_svc_key key = { .addr = *addr, .port = port, .proto = proto };
    struct weir_svc_value *v = bpf_map_lookup_elem(&weir_svc, &key);

    if (!v)
        return false;
    *ret = *v;
    return true;
}

#define WEIR_PICK_STEPS 20 /* up to 2^20 endpoints */

/*
 * The endpoint whose share of the weights holds `point` (0..weight-1): binary search for the first
 * index with upto > point. Weights 90, 10: points 0..89 are endpoint 0, 90..99 endpoint 1.
 */
static __always_inline struct weir_ep_value *weir_svc_search(const struct weir_svc_value *svc,
                                                             __u32 point) {
    struct weir_ep_key key = { .set = svc->set };
    __u32 low = 0, high = svc->count - 1;

    for (int i = 0; i < WEIR_PICK_STEPS && low < high; i++) {
        struct weir_ep_value *ep;

        key.index = low + (high - low) / 2;
        ep = bpf_map_lookup_elem(&weir_ep, &key);
        if (!ep)
            return NULL;
        if (ep->upto > point)
            high = key.index;
        else
            low = key.index + 1;
    }
    key.index = low;
    return bpf_map_lookup_elem(&weir_ep, &key);
}

/* Weighted random. NULL: the set is not whole (never so after a complete update). count must not be
 * 0. */
static __always_inline struct weir_ep_value *weir_svc_pick(const struct weir_svc_value *svc) {
    __u32 r = bpf_get_prandom_u32();
    struct weir_ep_key key = { .set = svc->set };

    if (svc->weight != 0)
        return weir_svc_search(svc, r % svc->weight);
    key.index = r % svc->count;
    return bpf_map_lookup_elem(&weir_ep, &key);
}

#endif
