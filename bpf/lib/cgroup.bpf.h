/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose socket is it? Decided by the cgroup the SOCKET was made in, never by the caller's: a
 * descriptor that was passed on keeps its owner (decisions.md 2). The id helpers answer for the
 * calling process, so the socket is read itself.
 */
#ifndef WEIR_BPF_CGROUP_H
#define WEIR_BPF_CGROUP_H

#include "maps.bpf.h"

/*
 * A verified pointer as a plain number, to be followed with probe reads. Through memory, since the
 * verifier keeps the type of a pointer in registers and in a spilled slot.
 */
static __always_inline __u64 weir_sk_number(const void *sk) {
    const void *volatile slot = sk;
    __u64 number = 0;

    bpf_probe_read_kernel(&number, sizeof(number), (const void *)&slot);
    return number;
}

/* False: the cgroup is not listed itself. */
static __always_inline bool weir_cgroup_get(__u64 id, struct weir_cgroup_value *ret) {
    for (int i = 0; i < WEIR_READS; i++) {
        struct weir_cgroup_entry *e = bpf_map_lookup_elem(&weir_cgroup, &id);

        if (!e)
            continue;
        *ret = e->value;
        weir_barrier();
        if (*(const volatile __u64 *)&e->key == id)
            return true;
    }
    return false;
}

/* Classifies the socket at `sk` (weir_sk_number). *ret has role WEIR_ROLE_NONE when no cgroup above
 * it is listed. */
int weir_cgroup_find(__u64 sk, struct weir_cgroup_value *ret);

static __always_inline void weir_cgroup_of(const void *sk, struct weir_cgroup_value *ret) {
    __builtin_memset(ret, 0, sizeof(*ret));
    weir_cgroup_find(weir_sk_number(sk), ret);
}

#endif
