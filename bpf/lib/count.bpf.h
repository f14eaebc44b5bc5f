/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters by reason, and sending an event: denials have a ring of their own, and a lost record is
 * counted. */
#ifndef WEIR_BPF_COUNT_H
#define WEIR_BPF_COUNT_H

#include "maps.bpf.h"

static __always_inline void weir_count_one(__u32 reason) {
    __u64 *n = bpf_map_lookup_elem(&weir_count, &reason);

    /* A hook may be interrupted by another one on its own core. */
    if (n)
        __sync_fetch_and_add(n, 1);
}

/* Stamps the time. Returns 0. */
int weir_event_send(struct weir_event *e);

#endif
