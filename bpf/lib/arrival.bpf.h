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

/* 0 = the port has no entry. */
static __always_inline __u32 weir_port_get(const struct weir_port_key *key) {
    for (int i = 0; i < WEIR_READS; i++) {
        struct weir_port_entry *e = bpf_map_lookup_elem(&weir_port, key);
        __u32 flags;

        if (!e)
            continue;
        flags = e->value;
        weir_barrier();
        if (e->key.pod == key->pod && e->key.port == key->port && e->key.proto == key->proto &&
            e->key.outbound == key->outbound)
            return flags;
    }
    return 0;
}

/* WEIR_PORT_* of what arrives at that port; 0 = the application's alone. pod_flags: WEIR_POD_*. */
static __always_inline __u32 weir_port_flags(__u32 pod, __u32 pod_flags, __u16 port, __u8 proto) {
    struct weir_port_key key = { .pod = pod, .port = port, .proto = proto };
    __u32 flags;

    if (!(pod_flags & WEIR_POD_MESHED) || proto != WEIR_IPPROTO_TCP)
        return 0;
    flags = weir_port_get(&key);
    if (!flags) {
        key.port = 0;
        flags = weir_port_get(&key);
    }
    return flags;
}

/* Does the pod's sidecar get it? */
static __always_inline bool weir_port_steered(__u32 pod, __u32 pod_flags, __u16 port, __u8 proto) {
    return weir_port_flags(pod, pod_flags, port, proto) & WEIR_PORT_STEER;
}

/* Is this one of the kubelet's own connections, written down when it was made (decisions.md 7)? */
static __always_inline bool weir_probe_recorded(const struct weir_addr *from, __u16 from_port,
                                                const struct weir_addr *to, __u16 to_port) {
    struct weir_tuple key = { .src = *from, .dst = *to, .sport = from_port, .dport = to_port };

    return bpf_map_lookup_elem(&weir_probe_seen, &key) != NULL;
}

/* One arrival at a local pod, put to all its ingress policies. */
struct weir_admission {
    struct weir_policy_query q;
    __u32 pod;
    __u32 identity; /* answered: of the pod */
    __u32 policy;   /* that refuses, or that allows */
    __u32 audited;  /* as in struct weir_policy_answer */
    __u32 noted;
    __u8 reason;     /* WEIR_REASON_NONE: admitted */
    __u8 proxy_only; /* admitted into the sidecar and nowhere else */
    __u8 pad[2];
};
/* Fills the answer. NetworkPolicy and AuthorizationPolicy both have to allow. Returns 0. */
int weir_admit(struct weir_admission *a);

#endif
