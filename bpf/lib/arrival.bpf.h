/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is said of a flow that arrives at a pod beside its policy: probes let in, ports that belong to
 * the sidecar. */
#ifndef WEIR_BPF_ARRIVAL_H
#define WEIR_BPF_ARRIVAL_H

#include "lib/policy.bpf.h"

/* May this source reach that port whatever ingress policy says (decisions.md 7)? */
static __always_inline bool weir_probe_covers(__u32 pod, const struct weir_addr *from, __u16 port) {
    struct weir_probe_key key = { .addr = *from, .pod = pod, .port = port };

    if (bpf_map_lookup_elem(&weir_probe, &key))
        return true;
    key.pod = 0;
    return bpf_map_lookup_elem(&weir_probe, &key) != NULL;
}

/* Does the pod's sidecar get what arrives at that port? pod_flags: WEIR_POD_*. */
static __always_inline bool weir_port_steered(__u32 pod, __u32 pod_flags, __u16 port, __u8 proto) {
    struct weir_port_key key = { .pod = pod, .port = port, .proto = proto };
    __u32 *flags;

    if (!(pod_flags & WEIR_POD_MESHED) || proto != WEIR_IPPROTO_TCP)
        return false;
    flags = bpf_map_lookup_elem(&weir_port, &key);
    if (!flags) {
        key.port = 0;
        flags = bpf_map_lookup_elem(&weir_port, &key);
    }
    return flags && (*flags & WEIR_PORT_STEER);
}

#endif
