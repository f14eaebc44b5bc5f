/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The walk from a socket's cgroup upwards to the first one the agent has classified. No hook of its
 * own. */
#include "lib/cgroup.bpf.h"

#define CGROUP_DEPTH 16

int weir_cgroup_find(__u64 sk_number, struct weir_cgroup_value *ret) {
    struct sock *sk = (struct sock *)sk_number;
    struct cgroup *cgroup;

    if (!ret)
        return 0;
    cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
    for (int i = 0; i < CGROUP_DEPTH && cgroup; i++) {
        __u64 id = BPF_CORE_READ(cgroup, kn, id);
        struct cgroup_subsys_state *parent;

        if (weir_cgroup_get(id, ret))
            return 1;
        parent = BPF_CORE_READ(cgroup, self.parent);
        if (!parent)
            break;
        cgroup = BPF_CORE_READ(parent, cgroup);
    }
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
