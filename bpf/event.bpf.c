/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Events into their rings. No hook of its own. */
#include "lib/count.bpf.h"

int weir_event_send(struct weir_event *e) {
    if (!e)
        return 0;
    e->at_ns = bpf_ktime_get_ns();
    if (e->kind == WEIR_EVENT_DENY) {
        if (bpf_ringbuf_output(&weir_denials, e, sizeof(*e), 0))
            weir_count_one(WEIR_LOST_DENIAL);
        return 0;
    }
    if (bpf_ringbuf_output(&weir_events, e, sizeof(*e), 0))
        weir_count_one(WEIR_LOST_EVENT);
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
