/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pods of this node, and who has an address: read so that an entry that is being replaced does no harm (WEIR_READS). */
#ifndef WEIR_BPF_POD_H
#define WEIR_BPF_POD_H

#include "lib/addr.bpf.h"
#include "maps.bpf.h"

/*
 * Lookups by value: a key must lie on the program's own stack, for kernels before 6.3 take no other memory that was
 * handed to a global function.
 */
static __always_inline struct weir_pod_value *weir_pod_find(__u32 id) {
    struct weir_pod_value *v = bpf_map_lookup_elem(&weir_pod, &id);

    return v ? v : bpf_map_lookup_elem(&weir_pod, &id); /* WEIR_READS */
}

/* Who has that address. False, and *ret all zero: nobody that is known. */
static __always_inline bool weir_ip_get(const struct weir_addr *addr, struct weir_ip_value *ret) {
    struct weir_addr key = *addr;

    for (int i = 0; i < WEIR_READS; i++) {
        struct weir_ip_entry *e = bpf_map_lookup_elem(&weir_ip, &key);

        if (!e)
            continue;
        *ret = e->value;
        weir_barrier();
        if (weir_addr_equal(&e->key, &key))
            return true;
    }
    __builtin_memset(ret, 0, sizeof(*ret));
    return false;
}

/* Asked after what was read of it: does the entry still belong to that pod (WEIR_READS)? */
static __always_inline bool weir_pod_is(const struct weir_pod_value *v, __u32 id) {
    return *(const volatile __u32 *)&v->pod == id;
}

/* Copies the pod out of the map. */
static __always_inline bool weir_pod_get(__u32 id, struct weir_pod_value *ret) {
    for (int i = 0; i < WEIR_READS; i++) {
        struct weir_pod_value *v = weir_pod_find(id);

        if (!v)
            break;
        *ret = *v;
        if (ret->pod == id && weir_pod_is(v, id))
            return true;
    }
    return false;
}

#endif
