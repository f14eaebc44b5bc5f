/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of a TCP connection: its tuple is known at TCP_CONNECT_CB (before the SYN leaves), its
 * other end at established, its totals at close. Cannot refuse: where bookkeeping fails the socket
 * is marked broken and skb_egress.bpf.c lets no SYN of it leave (closed); a missed event is counted
 * (open).
 */
#include "lib/addr.bpf.h"
#include "lib/arrival.bpf.h"
#include "lib/cgroup.bpf.h"
#include "lib/count.bpf.h"
#include "lib/endpoint.bpf.h"
#include "lib/http.bpf.h"
#include "lib/join.bpf.h"
#include "lib/listener.bpf.h"
#include "lib/policy.bpf.h"

static __always_inline void read_tuple(struct bpf_sock_ops *ctx, struct weir_tuple *t,
                                       bool from_us) {
    struct weir_addr local, remote;
    __u16 lport = ctx->local_port, rport = bpf_ntohl(ctx->remote_port);

    __builtin_memset(t, 0, sizeof(*t));
    WEIR_ADDR_FROM(&local, ctx, local);
    WEIR_ADDR_FROM(&remote, ctx, remote);
    t->netns = bpf_get_netns_cookie(ctx);
    t->src = from_us ? local : remote;
    t->dst = from_us ? remote : local;
    t->sport = from_us ? lport : rport;
    t->dport = from_us ? rport : lport;
}

static __always_inline void watch_close(struct bpf_sock_ops *ctx) {
    bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* The local port is known and the SYN not yet sent. */
static __always_inline void on_connect(struct bpf_sock_ops *ctx, struct bpf_sock *sk) {
    struct weir_sock_value *s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);
    struct weir_tuple t;
    __u8 one = 1;
    long err = 0;

    if (!s || s->role == WEIR_ROLE_OUTSIDE)
        return;
    read_tuple(ctx, &t, true);
    s->facts.peer = t.src;
    s->facts.peer_port = t.sport;
    if (s->facts.flags & WEIR_FLOW_STEERED)
        err = bpf_map_update_elem(&weir_flow, &t, &s->facts, BPF_ANY);
    else if (s->role == WEIR_ROLE_PROXY &&
             ((s->facts.flags & WEIR_FLOW_LOCAL) || weir_addr_equal(&t.src, &t.dst)))
        err = bpf_map_update_elem(&weir_app_tuple, &t, &one, BPF_ANY);
    if (err) {
        s->state |= WEIR_SOCK_BROKEN;
        weir_count_one(WEIR_DENY_MAP_FULL);
    }
    weir_ep_began(s);
    watch_close(ctx);
}

static __always_inline void fill_event(struct bpf_sock_ops *ctx, const struct weir_sock_value *s,
                                       struct weir_event *e) {
    WEIR_ADDR_FROM(&e->local, ctx, local);
    WEIR_ADDR_FROM(&e->remote, ctx, remote);
    e->local_port = ctx->local_port;
    e->remote_port = bpf_ntohl(ctx->remote_port);
    e->cookie = bpf_get_socket_cookie(ctx);
    e->original = s->facts.original;
    e->original_port = s->facts.original_port;
    e->direction = s->facts.direction;
    e->pod = s->facts.pod;
    e->identity = s->facts.identity;
    e->peer_identity = s->facts.peer_identity;
    e->service = s->facts.service;
    e->policy = s->facts.policy;
    e->flags = s->facts.flags;
    e->reason = s->facts.reason;
    e->proto = WEIR_IPPROTO_TCP;
    e->role = s->role;
}

/* A stack of its own: the policy matcher, asked of an accepted connection, takes the rest. */
static __noinline int send_open(struct bpf_sock_ops *ctx, struct weir_sock_value *s) {
    struct weir_event e = {};

    s->state |= WEIR_SOCK_OPEN;
    weir_count_one(WEIR_SEEN_OPEN);
    e.kind = WEIR_EVENT_OPEN;
    fill_event(ctx, s, &e);
    weir_event_send(&e);
    return 0;
}

/* in, out: bytes that went past TCP. */
static __noinline int send_close(struct bpf_sock_ops *ctx, const struct weir_sock_value *s,
                                 __u64 in, __u64 out) {
    struct weir_event e = {};

    weir_count_one(WEIR_SEEN_CLOSE);
    e.kind = WEIR_EVENT_CLOSE;
    fill_event(ctx, s, &e);
    if (!(s->state & WEIR_SOCK_OPEN))
        e.flags |= WEIR_FLOW_FAILED;
    e.bytes_in = ctx->bytes_received + in;
    e.bytes_out = ctx->bytes_acked + out;
    e.srtt_us = ctx->srtt_us >> 3;
    e.retransmits = ctx->total_retrans;
    e.duration_ns = bpf_ktime_get_ns() - s->facts.at_ns;
    weir_event_send(&e);
    return 0;
}

/* Accepted on the capture port: the application's note about this very tuple, taken once. */
static __always_inline void take_flow(struct weir_sock_value *s, const struct weir_tuple *t,
                                      __u32 pod) {
    struct weir_facts *f = bpf_map_lookup_elem(&weir_flow, t);

    if (!f || f->pod != pod)
        return;
    s->facts = *f;
    s->state |= WEIR_SOCK_FACTS;
    bpf_map_delete_elem(&weir_flow, t);
}

/* Accepted from outside: who it is and what policy says of it, asked now; sk_lookup has let it in.
 */
static __always_inline void fill_inbound(struct weir_sock_value *s, const struct weir_tuple *t,
                                         const struct weir_pod_value *pod, __u32 id) {
    struct weir_policy_query q = { .peer = t->src, .port = t->dport, .proto = WEIR_IPPROTO_TCP };
    struct weir_policy_slot slot = pod->policy[WEIR_INGRESS];
    struct weir_policy_answer answer = {};
    struct weir_ip_value peer;

    weir_ip_get(&t->src, &peer);
    q.peer_identity = peer.identity;
    if (slot.block || (slot.flags & WEIR_SLOT_ISOLATED))
        weir_verdict(&slot, &q, &answer);
    s->facts.size = sizeof(s->facts);
    s->facts.original = t->dst;
    s->facts.original_port = t->dport;
    s->facts.peer = t->src;
    s->facts.peer_port = t->sport;
    s->facts.direction = WEIR_INGRESS;
    s->facts.pod = id;
    s->facts.identity = pod->identity;
    s->facts.peer_identity = q.peer_identity;
    s->facts.policy = answer.policy;
    s->facts.epoch = weir_meta_epoch();
    s->facts.at_ns = bpf_ktime_get_ns();
    s->facts.reason =
        weir_probe_covers(id, &t->src, t->dport) ? WEIR_ALLOW_PROBE : WEIR_ALLOW_INGRESS;
    if (weir_addr_equal(&t->src, &t->dst) || weir_addr_is_loopback(&t->src))
        s->facts.flags |= WEIR_FLOW_LOCAL;
}

static __always_inline void on_accepted(struct bpf_sock_ops *ctx, struct bpf_sock *sk) {
    struct weir_cgroup_value owner;
    struct weir_pod_value *pod;
    struct weir_sock_value *s;
    struct weir_tuple t;

    weir_cgroup_of(sk, &owner);
    if (owner.role != WEIR_ROLE_APP && owner.role != WEIR_ROLE_PROXY)
        return;
    pod = weir_pod_find(owner.pod);
    if (!pod || !weir_pod_is(pod, owner.pod))
        return;
    s = bpf_sk_storage_get(&weir_sock, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    if (!s) {
        weir_count_one(WEIR_DENY_MAP_FULL);
        return;
    }
    read_tuple(ctx, &t, false);
    s->role = owner.role;
    if (owner.role == WEIR_ROLE_PROXY && t.dport == WEIR_PORT_OUTBOUND) {
        take_flow(s, &t, owner.pod);
    } else {
        fill_inbound(s, &t, pod, owner.pod);
        if (owner.role == WEIR_ROLE_PROXY) {
            s->facts.flags |= WEIR_FLOW_PROXY;
            if (s->facts.reason != WEIR_ALLOW_PROBE)
                s->facts.reason = WEIR_ALLOW_INGRESS_PROXY;
            s->state |= WEIR_SOCK_FACTS;
        }
    }
    watch_close(ctx);
    send_open(ctx, s);
}

/* What on_connect() noted of this tuple. */
static __noinline int forget(struct bpf_sock_ops *ctx, const struct weir_sock_value *s) {
    struct weir_tuple t;

    read_tuple(ctx, &t, true);
    if (s->facts.flags & WEIR_FLOW_STEERED)
        bpf_map_delete_elem(&weir_flow, &t);
    else if (s->role == WEIR_ROLE_PROXY)
        bpf_map_delete_elem(&weir_app_tuple, &t);
    return 0;
}

static __always_inline void on_close(struct bpf_sock_ops *ctx, struct bpf_sock *sk) {
    struct weir_sock_value *s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);
    __u64 in = 0, out = 0;

    weir_join_leave(sk, bpf_get_socket_cookie(ctx), &in, &out);
    if (!s)
        return;
    if (s->facts.direction == WEIR_EGRESS && !(s->state & WEIR_SOCK_FACTS))
        forget(ctx, s);
    weir_ep_ended(s, ctx->srtt_us >> 3);
    weir_http_closed(sk, s, bpf_get_socket_cookie(ctx));
    send_close(ctx, s, in, out);
    s->state = 0;
}

/* The first free slot; none free: an older registration is replaced, so the newest worker is always
 * there. */
static __always_inline void register_listener(struct bpf_sock_ops *ctx, __u32 pod, __u16 port,
                                              __u8 family) {
    struct weir_listener_key key = { .pod = pod, .port = port, .family = family };
    long err = -1;

    for (int i = 0; i < (int)WEIR_LISTENER_SLOTS && err; i++) {
        key.slot = i;
        err = bpf_sock_hash_update(ctx, &weir_listener, &key, BPF_NOEXIST);
    }
    if (err) {
        key.slot = bpf_get_prandom_u32() % WEIR_LISTENER_SLOTS;
        err = bpf_sock_hash_update(ctx, &weir_listener, &key, BPF_ANY);
    }
    weir_count_one(err ? WEIR_DENY_MAP_FULL : WEIR_SEEN_LISTENER);
    if (!err)
        weir_wait_end(pod);
}

static __noinline int on_listen(struct bpf_sock_ops *ctx, struct bpf_sock *sk) {
    __u16 port = ctx->local_port;
    struct weir_cgroup_value owner;
    struct weir_event e = {};

    if (port != WEIR_PORT_INBOUND && port != WEIR_PORT_OUTBOUND)
        return 0;
    weir_cgroup_of(sk, &owner);
    if (owner.role != WEIR_ROLE_PROXY)
        return 0;
    if (ctx->family == AF_INET) {
        register_listener(ctx, owner.pod, port, 4);
    } else {
        struct sock *raw = (struct sock *)weir_sk_number(sk);

        register_listener(ctx, owner.pod, port, 6);
        if (!BPF_CORE_READ_BITFIELD_PROBED(&raw->__sk_common, skc_ipv6only))
            register_listener(ctx, owner.pod, port, 4);
    }
    e.kind = WEIR_EVENT_LISTEN;
    e.direction = WEIR_INGRESS;
    WEIR_ADDR_FROM(&e.local, ctx, local);
    e.local_port = port;
    e.pod = owner.pod;
    e.role = owner.role;
    e.proto = WEIR_IPPROTO_TCP;
    e.reason = WEIR_SEEN_LISTENER;
    weir_event_send(&e);
    return 0;
}

SEC("sockops")
int weir_sockops(struct bpf_sock_ops *ctx) {
    __u32 op = ctx->op;
    struct bpf_sock *sk;

    if (op < BPF_SOCK_OPS_TCP_CONNECT_CB || op > BPF_SOCK_OPS_TCP_LISTEN_CB)
        return 1;
    sk = weir_ctx_sk(ctx);
    if (!sk)
        return 1;
    if (op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
        on_connect(ctx, sk);
    } else if (op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
        struct weir_sock_value *s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);

        if (s && s->role != WEIR_ROLE_OUTSIDE) {
            weir_ep_established(s, ctx->srtt_us >> 3);
            send_open(ctx, s);
        }
    } else if (op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
        on_accepted(ctx, sk);
    } else if (op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] == BPF_TCP_CLOSE) {
        on_close(ctx, sk);
    } else if (op == BPF_SOCK_OPS_TCP_LISTEN_CB) {
        on_listen(ctx, sk);
    }
    return 1;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
