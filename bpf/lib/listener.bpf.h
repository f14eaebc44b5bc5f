/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Does a pod's sidecar listen, and if not: is a SYN that needs it still held back? */
#ifndef WEIR_BPF_LISTENER_H
#define WEIR_BPF_LISTENER_H

#include "maps.bpf.h"

#define NS_OF_MS 1000000ull

/* family: 4 or 6. */
static __always_inline bool weir_listener_present(__u32 pod, __u16 port, __u8 family) {
    struct weir_listener_key key = { .pod = pod, .port = port, .family = family };

    for (int i = 0; i < (int)WEIR_LISTENER_SLOTS; i++) {
        struct bpf_sock *sk;

        key.slot = i;
        sk = bpf_map_lookup_elem(&weir_listener, &key);
        if (sk) {
            bpf_sk_release(sk);
            return true;
        }
    }
    return false;
}

/*
 * From the first SYN that found no listener of the pod's sidecar (begins: this may be it) until the configured
 * time is over; a listener ends it. No room to remember: not held.
 */
static __always_inline bool weir_wait_holds(__u32 pod, bool begins) {
    __u64 now = bpf_ktime_get_ns(), *since;
    struct weir_meta_value *m;
    __u32 zero = 0;

    m = bpf_map_lookup_elem(&weir_meta, &zero);
    if (!m || m->sidecar_wait_ms == 0)
        return false;
    since = bpf_map_lookup_elem(&weir_wait, &pod);
    if (since)
        return now - *since < m->sidecar_wait_ms * NS_OF_MS;
    return !begins || !bpf_map_update_elem(&weir_wait, &pod, &now, BPF_ANY);
}

static __always_inline void weir_wait_end(__u32 pod) {
    bpf_map_delete_elem(&weir_wait, &pod);
}

#endif
