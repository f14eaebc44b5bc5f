/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The proof that these programs see a pod's calls: the reserved address is refused to everybody, and
 * counted for the pod that called. */
#ifndef WEIR_BPF_CANARY_H
#define WEIR_BPF_CANARY_H

#include "lib/call.bpf.h"

/* True: it was one. Nothing is reported; the agent reads the count. */
static __always_inline bool weir_canary_take(const struct weir_call *c) {
    struct weir_canary_value first = {}, *v;
    __u32 pod = c->pod, family = !weir_addr_is_v4(&c->asked);

    if (c->asked_port != WEIR_CANARY_PORT || !weir_addr_is_canary(&c->asked))
        return false;
    weir_count_one(WEIR_SEEN_CANARY);
    if (pod == 0)
        return true;
    bpf_map_update_elem(&weir_canary, &pod, &first, BPF_NOEXIST);
    v = bpf_map_lookup_elem(&weir_canary, &pod);
    if (v)
        __sync_fetch_and_add(&v->seen[family & 1], 1);
    return true;
}

#endif
