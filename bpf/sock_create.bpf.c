/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * socket(): kinds of sockets that no later hook could judge are refused to the processes of a pod:
 * raw, SCTP and MPTCP (its subflows connect inside the kernel; callers fall back to TCP). Ping
 * sockets are allowed. Fails closed for pods, and for cgroups not classified yet; others are none
 * of ours.
 */
#include "lib/cgroup.bpf.h"
#include "lib/count.bpf.h"

static __always_inline bool judged(__u32 type, __u32 protocol) {
    if (type == SOCK_RAW)
        return false;
    return protocol != IPPROTO_SCTP && protocol != IPPROTO_MPTCP;
}

SEC("cgroup/sock_create")
int weir_sock_create(struct bpf_sock *ctx) {
    struct weir_cgroup_value owner;
    struct weir_event e = {};

    if (judged(ctx->type, ctx->protocol))
        return 1;
    weir_cgroup_of(ctx, &owner);
    if (owner.role == WEIR_ROLE_OUTSIDE)
        return 1;
    weir_count_one(WEIR_DENY_SOCKET);
    e.kind = WEIR_EVENT_DENY;
    e.direction = WEIR_EGRESS;
    e.pod = owner.pod;
    e.role = owner.role;
    e.reason = WEIR_DENY_SOCKET;
    e.proto = ctx->protocol;
    weir_event_send(&e);
    bpf_set_retval(ctx->type == SOCK_RAW ? -EPERM : -EPROTONOSUPPORT);
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
