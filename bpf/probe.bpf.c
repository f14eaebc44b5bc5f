/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Recorder on the kubelet's cgroup: each connection it makes to a pod of this node is written down before its SYN leaves, and
 * forgotten when it closes; sk_lookup lets exactly those in (decisions.md 7). Fails open for the kubelet, which it
 * never refuses or changes, and so closed for the probe: what could not be written is judged like any other.
 */
#include "lib/addr.bpf.h"
#include "lib/count.bpf.h"
#include "lib/policy.bpf.h"

static __always_inline void read_ends(struct bpf_sock_ops *ctx, struct weir_tuple *t) {
    __builtin_memset(t, 0, sizeof(*t));
    WEIR_ADDR_FROM(&t->src, ctx, local);
    WEIR_ADDR_FROM(&t->dst, ctx, remote);
    t->sport = ctx->local_port;
    t->dport = bpf_ntohl(ctx->remote_port);
}

SEC("sockops")
int weir_probe_record(struct bpf_sock_ops *ctx) {
    struct weir_ip_value who;
    struct weir_tuple t;
    __u64 now;

    if (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] == BPF_TCP_CLOSE) {
        read_ends(ctx, &t);
        bpf_map_delete_elem(&weir_probe_seen, &t);
    }
    if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB)
        return 1;
    read_ends(ctx, &t);
    if (!weir_ip_get(&t.dst, &who) || !who.pod)
        return 1;
    now = bpf_ktime_get_ns();
    if (bpf_map_update_elem(&weir_probe_seen, &t, &now, BPF_ANY))
        return 1;
    weir_count_one(WEIR_SEEN_PROBE);
    bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
    return 1;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
