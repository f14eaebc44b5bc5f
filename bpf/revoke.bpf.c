/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Established connections asked again: an iterator over the sockets of one network namespace puts
 * each that belongs to a pod to the same decision that let it in, and resets what is no longer
 * allowed. Fails closed where nothing can be decided, but leaves alone what is no pod's. Two
 * programs per protocol: one resets by itself (bpf_sock_destroy, since 6.5), the other only writes
 * what is to be reset, for a reader that uses inet_diag.
 */
#include "weir/abi/revoke.h"
#include "lib/addr.bpf.h"
#include "lib/arrival.bpf.h"
#include "lib/call.bpf.h"

#define STATE_ESTABLISHED 1
#define STATE_LAST_ACK    9
#define STATE_TIME_WAIT   6

struct bpf_iter_meta {
    struct seq_file *seq;
} WEIR_CORE;

struct bpf_iter__tcp {
    struct bpf_iter_meta *meta;
    struct sock_common *sk_common;
} WEIR_CORE;

struct bpf_iter__udp {
    struct bpf_iter_meta *meta;
    struct udp_sock *udp_sk;
} WEIR_CORE;

extern int bpf_sock_destroy(struct sock_common *sk) __ksym __weak;

/* One walk at a time; its starter clears them and reads them at the end. */
__u64 weir_walk_checked = 0;
__u64 weir_walk_listening[65536 / 64] = {}; /* ports: the iterator tells listeners first */
__u8 weir_walk_services = 0;                /* write WEIR_EVENT_SERVICE records */
__u8 weir_walk_doomed = 0;                  /* reset what weir_doomed lists */

/* One socket under judgement; c.dst is the remote end, c.asked the local one. */
struct walked {
    struct weir_call c;
    struct weir_sock_value *known; /* NULL: older than its pod's enrolment */
    __u8 direction;
    __u8 pad[7];
};

static __always_inline void read_ends(struct sock_common *sk, struct weir_call *c) {
    c->asked_port = BPF_CORE_READ(sk, skc_num);
    c->dport = bpf_ntohs(BPF_CORE_READ(sk, skc_dport));
    if (BPF_CORE_READ(sk, skc_family) == AF_INET) {
        weir_addr_set_v4(&c->dst, BPF_CORE_READ(sk, skc_daddr));
        weir_addr_set_v4(&c->asked, BPF_CORE_READ(sk, skc_rcv_saddr));
    } else {
        BPF_CORE_READ_INTO(&c->dst, sk, skc_v6_daddr);
        BPF_CORE_READ_INTO(&c->asked, sk, skc_v6_rcv_saddr);
    }
}

/* Whose it is, and who began. False: no pod's, or not decided yet (its packets are still held). */
static __always_inline bool identify(struct sock_common *sk, struct walked *w) {
    struct weir_cgroup_value owner;

    w->known = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);
    if (w->known && (w->known->role == WEIR_ROLE_APP || w->known->role == WEIR_ROLE_PROXY)) {
        if (w->known->state & WEIR_SOCK_HELD)
            return false;
        w->c.role = w->known->role;
        w->c.pod = w->known->facts.pod;
        w->direction = w->known->facts.direction;
        return true;
    }
    if (w->c.proto != WEIR_IPPROTO_TCP || (w->known && w->known->role == WEIR_ROLE_OUTSIDE))
        return false;
    w->known = NULL;
    weir_cgroup_of(sk, &owner);
    if (owner.role != WEIR_ROLE_APP && owner.role != WEIR_ROLE_PROXY)
        return false;
    w->c.role = owner.role;
    w->c.pod = owner.pod;
    w->direction = weir_walk_listening[(w->c.asked_port / 64) & 1023] >> (w->c.asked_port % 64) & 1
                       ? WEIR_INGRESS
                       : WEIR_EGRESS;
    return true;
}

static __noinline int judge_arrival(struct weir_call *c) {
    struct weir_admission a = { .pod = c->pod };
    struct weir_ip_value peer;

    weir_ip_get(&c->dst, &peer);
    c->peer_identity = peer.identity;
    a.q.peer = c->dst;
    a.q.peer_identity = c->peer_identity;
    a.q.port = c->asked_port;
    a.q.proto = c->proto;
    weir_admit(&a);
    c->identity = a.identity;
    if (a.reason == WEIR_DENY_NO_POD)
        return 0;
    /* What the sidecar has to judge may not be the application's own any more. */
    if (a.reason == WEIR_REASON_NONE && a.proxy_only && c->role != WEIR_ROLE_PROXY)
        a.reason = WEIR_DENY_UNPROVEN;
    if (a.reason == WEIR_REASON_NONE || weir_probe_covers(c->pod, &c->dst, c->asked_port) ||
        weir_probe_recorded(&c->dst, c->dport, &c->asked, c->asked_port))
        return 0;
    c->policy = a.policy;
    weir_call_refuse(c, a.reason, -EPERM);
    return 0;
}

/* True: allowed as things stand now. A pod that has left the map is leaving altogether. */
static __always_inline bool allowed(struct walked *w) {
    struct weir_call *c = &w->c;

    if (weir_addr_is_loopback(&c->dst) || weir_addr_equal(&c->dst, &c->asked))
        return true;
    if (w->direction == WEIR_INGRESS)
        judge_arrival(c);
    else
        weir_call_police(c);
    return !c->error || c->reason == WEIR_DENY_NO_POD;
}

/* False: the buffer is full, and the same socket comes again. */
static __noinline bool tell(struct seq_file *seq, struct sock_common *sk, const struct walked *w,
                            __u8 kind) {
    struct weir_event e = {};

    e.kind = kind;
    e.at_ns = bpf_ktime_get_ns();
    e.cookie = bpf_get_socket_cookie(sk);
    e.direction = w->direction;
    e.local = w->c.asked;
    e.local_port = w->c.asked_port;
    e.remote = w->c.dst;
    e.remote_port = w->c.dport;
    e.original = w->c.dst;
    e.original_port = w->c.dport;
    e.pod = w->c.pod;
    e.identity = w->c.identity;
    e.peer_identity = w->c.peer_identity;
    e.policy = w->c.policy;
    e.reason = w->c.reason;
    e.proto = w->c.proto;
    e.role = w->c.role;
    if (w->known) {
        e.original = w->known->facts.original;
        e.original_port = w->known->facts.original_port;
        e.service = w->known->facts.service;
        e.flags = w->known->facts.flags;
    }
    return bpf_seq_write(seq, &e, sizeof(e)) == 0;
}

static __always_inline bool doomed(struct sock_common *sk) {
    __u64 cookie = bpf_get_socket_cookie(sk);

    return bpf_map_lookup_elem(&weir_doomed, &cookie) != NULL;
}

/* True: to be reset, and written down. */
static __always_inline bool revoked(struct seq_file *seq, struct sock_common *sk, __u8 proto) {
    struct walked w = { .c.proto = proto, .c.socket = WEIR_SOCKET_LIVES };

    read_ends(sk, &w.c);
    if (!identify(sk, &w))
        return false;
    if (!allowed(&w))
        return tell(seq, sk, &w, WEIR_EVENT_REVOKE);
    if (weir_walk_doomed && doomed(sk)) {
        w.c.reason = WEIR_DENY_ENDPOINT_GONE;
        return tell(seq, sk, &w, WEIR_EVENT_REVOKE);
    }
    if (weir_walk_services && w.known && (w.known->facts.flags & WEIR_FLOW_SERVICE) &&
        !tell(seq, sk, &w, WEIR_EVENT_SERVICE))
        return false;
    __sync_fetch_and_add(&weir_walk_checked, 1);
    return false;
}

static __always_inline bool tcp_revoked(struct seq_file *seq, struct sock_common *sk) {
    __u8 state;

    if (!sk)
        return false;
    state = BPF_CORE_READ(sk, skc_state);
    if (state == BPF_TCP_LISTEN) {
        __u16 port = BPF_CORE_READ(sk, skc_num);

        weir_walk_listening[(port / 64) & 1023] |= 1ull << (port % 64);
        return false;
    }
    /* Established to last ack; a half-open one is decided when it is complete, by the next walk. */
    if (state < STATE_ESTABLISHED || state > STATE_LAST_ACK || state == STATE_TIME_WAIT ||
        state == BPF_TCP_CLOSE || state == 3)
        return false;
    return revoked(seq, sk, WEIR_IPPROTO_TCP);
}

static __always_inline bool udp_revoked(struct seq_file *seq, struct sock_common *sk) {
    /* Unconnected ones are asked with every datagram. */
    if (!sk || BPF_CORE_READ(sk, skc_state) != STATE_ESTABLISHED)
        return false;
    return revoked(seq, sk, WEIR_IPPROTO_UDP);
}

SEC("iter/tcp")
int weir_walk_tcp(struct bpf_iter__tcp *ctx) {
    tcp_revoked(ctx->meta->seq, ctx->sk_common);
    return 0;
}

SEC("iter/udp")
int weir_walk_udp(struct bpf_iter__udp *ctx) {
    udp_revoked(ctx->meta->seq, (struct sock_common *)ctx->udp_sk);
    return 0;
}

/* The verifier wants the very pointer that was compared with NULL. */
SEC("iter/tcp")
int weir_reset_tcp(struct bpf_iter__tcp *ctx) {
    struct sock_common *sk = ctx->sk_common;

    if (sk && tcp_revoked(ctx->meta->seq, sk))
        bpf_sock_destroy(sk);
    return 0;
}

SEC("iter/udp")
int weir_reset_udp(struct bpf_iter__udp *ctx) {
    struct sock_common *sk = (struct sock_common *)ctx->udp_sk;

    if (sk && udp_revoked(ctx->meta->seq, sk))
        bpf_sock_destroy(sk);
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
