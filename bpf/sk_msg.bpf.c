/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A write to a socket that may be joined: its bytes go to the other end's queue of messages, or by
 * TCP. Fails open: every doubt is TCP, which is always right.
 *
 * Order: a reader empties its messages before its TCP queue, so joined bytes may be followed by TCP
 * ones at any time, and TCP ones by joined ones only when the reader has read all of them
 * (copied_seq has come to our write_seq). That one test also proves at the first write that the two
 * sockets are the ends of one connection: initial sequence numbers are 32 random bits.
 *
 * Bound: what the reader has unread, in bytes and in messages, is looked at before each write.
 */
#include "lib/arrival.bpf.h"
#include "lib/join.bpf.h"
#include "lib/policy.bpf.h"
#include "lib/watch.bpf.h"

/* Counted when it begins, not with each write that it lasts. */
static __always_inline int refuse(struct weir_join_sock_value *j, __u8 why) {
    j->state = WEIR_JOIN_TCP;
    if (j->last != why)
        weir_count_one(why);
    j->last = why;
    return SK_PASS;
}

static __always_inline int refuse_for_good(struct weir_join_sock_value *j, __u8 why) {
    refuse(j, why);
    j->state = WEIR_JOIN_NEVER;
    return SK_PASS;
}

/* Has the other end read every byte that went by TCP? */
static __always_inline bool all_read(const struct weir_join_sock_value *j,
                                     const struct weir_join_at_value *at) {
    struct tcp_sock *us = (struct tcp_sock *)j->sk, *them = (struct tcp_sock *)at->sk;
    __u32 written = 0, read = 0, received = 0;

    if (bpf_core_read(&written, sizeof(written), &us->write_seq) ||
        bpf_core_read(&read, sizeof(read), &them->copied_seq) ||
        bpf_core_read(&received, sizeof(received), &them->rcv_nxt))
        return false;
    return written == read && read == received;
}

/* One pod's policy of today about its flow with q->peer. Copied before the pod is checked: an
 * element may be reused under its reader. */
static __always_inline bool pod_allows(__u32 id, __u32 direction,
                                       const struct weir_policy_query *q) {
    struct weir_pod_value *pod = weir_pod_find(id);
    struct weir_policy_answer answer = {};
    struct weir_policy_slot slot;

    if (direction == WEIR_INGRESS) {
        struct weir_admission a = { .q = *q, .pod = id };

        weir_admit(&a);
        return a.reason == WEIR_REASON_NONE && !a.proxy_only;
    }
    if (!pod)
        return false;
    slot = pod->policy[WEIR_EGRESS];
    if (!weir_pod_is(pod, id))
        return false;
    weir_verdict(&slot, q, &answer);
    return answer.verdict == WEIR_VERDICT_ALLOW;
}

/* Both pods' policy as it is now. The agent ends what is no longer allowed; until then not one more
 * byte goes past the packet path. */
static __always_inline bool still_allowed(struct bpf_sock *sk,
                                          const struct weir_join_sock_value *j) {
    struct weir_sock_value *s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);
    struct weir_policy_query q = { .proto = WEIR_IPPROTO_TCP };
    struct weir_ip_value peer;
    __u32 direction;

    if (!s)
        return false;
    direction = s->facts.direction;
    q.port = direction == WEIR_INGRESS ? j->peer.dport : j->peer.sport;
    q.peer = j->peer.src;
    if (!weir_ip_get(&q.peer, &peer) || !peer.pod)
        return false;
    q.peer_identity = peer.identity;
    if (!pod_allows(s->facts.pod, direction, &q))
        return false;
    q.peer = j->peer.dst;
    q.peer_identity = s->facts.identity;
    return pod_allows(peer.pod, direction == WEIR_INGRESS ? WEIR_EGRESS : WEIR_INGRESS, &q);
}

/* Joined from this write on, if the other end is there, reads, and has read what went by TCP. */
static __always_inline int begin(struct weir_join_sock_value *j) {
    struct weir_tuple peer = j->peer;
    struct weir_join_at_value *at = bpf_map_lookup_elem(&weir_join_at, &peer);

    if (!at) {
        if (++j->misses >= WEIR_JOIN_MISSES)
            return refuse_for_good(j, WEIR_JOIN_NO_PEER);
        return refuse(j, WEIR_JOIN_NO_PEER);
    }
    if (at->reader == WEIR_JOIN_TO_NONE)
        return refuse_for_good(j, WEIR_JOIN_NOT_READER);
    if (!weir_join_same(at))
        return refuse(j, WEIR_JOIN_STALE);
    if (!all_read(j, at))
        return refuse(j, WEIR_JOIN_UNREAD);
    j->peer_sk = at->sk;
    j->peer_cookie = at->cookie;
    j->reader = at->reader;
    j->state = WEIR_JOIN_ON;
    return SK_PASS;
}

/* The socket at the address is still the one that was meant, and this is what the kernel says it has
 * unread. */
static __always_inline bool counted_unread(const struct weir_join_sock_value *j, __u32 *ret) {
    struct sock *sk = bpf_rdonly_cast((void *)j->peer_sk, bpf_core_type_id_kernel(struct sock));
    struct sk_psock *psock;
    __u64 data;

    if ((__u64)sk->__sk_common.skc_cookie.counter != j->peer_cookie)
        return false;
    data = (__u64)sk->sk_user_data;
    if (!(data & WEIR_PSOCK_IS))
        return false;
    psock = bpf_rdonly_cast((void *)(data & ~WEIR_PSOCK_FLAGS),
                            bpf_core_type_id_kernel(struct sk_psock));
    *ret = psock->msg_tot_len;
    return true;
}

/*
 * The same on a kernel that does not count: nothing, or at most what this end, the only writer, has
 * handed over since nothing was. A message leaves the queue after its last byte was copied, so an
 * empty queue has been read; one that is read all the time and never empty goes by TCP for a while.
 */
static __always_inline bool bounded_unread(const struct weir_join_sock_value *j, __u32 *ret) {
    struct weir_join_at_value at = { .sk = j->peer_sk, .cookie = j->peer_cookie };
    __u64 psock, queue, first;

    if (!weir_join_same(&at))
        return false;
    psock = weir_join_psock(at.sk);
    if (!psock)
        return false;
    queue = weir_join_queue(psock);
    if (!weir_join_next(queue, &first))
        return false;
    *ret = first == queue ? 0 : j->bytes;
    return true;
}

static __always_inline bool unread_of(const struct weir_join_sock_value *j, __u32 *ret) {
    return weir_join_counts() ? counted_unread(j, ret) : bounded_unread(j, ret);
}

static __always_inline int hand_over(struct sk_msg_md *msg, struct weir_join_sock_value *j) {
    __u32 size = msg->size, unread;
    long to;

    if (!unread_of(j, &unread))
        return refuse(j, WEIR_JOIN_STALE);
    if (unread == 0)
        j->messages = j->bytes = 0;
    if (unread + size > WEIR_JOIN_BYTES || j->messages >= WEIR_JOIN_MESSAGES)
        return refuse(j, WEIR_JOIN_FULL);
    to = j->reader == WEIR_JOIN_TO_APP
             ? bpf_msg_redirect_hash(msg, &weir_join_app, &j->peer, BPF_F_INGRESS)
             : bpf_msg_redirect_hash(msg, &weir_join, &j->peer, BPF_F_INGRESS);
    if (to != SK_PASS)
        return refuse(j, WEIR_JOIN_STALE);
    j->messages++;
    j->bytes += size;
    j->bytes_out += size;
    return SK_PASS;
}

/* Its HTTP is asked for since it was joined: from now on by TCP, where it is seen. */
static __always_inline bool is_watched(struct bpf_sock *sk, const struct weir_join_sock_value *j) {
    struct weir_sock_value *s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);

    return s && weir_http_service(s, j->peer.dport) != 0;
}

static __always_inline int decide(struct sk_msg_md *msg, struct bpf_sock *sk,
                                  struct weir_join_sock_value *j) {
    struct weir_meta_value *meta;
    __u32 zero = 0;

    meta = bpf_map_lookup_elem(&weir_meta, &zero);
    if (!meta || !(meta->flags & WEIR_META_JOIN))
        return refuse(j, WEIR_JOIN_OFF);
    if (j->epoch != meta->epoch) {
        if (j->policed && !still_allowed(sk, j))
            return refuse(j, WEIR_JOIN_POLICY);
        if (j->policed && is_watched(sk, j))
            return refuse_for_good(j, WEIR_JOIN_WATCHED);
        j->epoch = meta->epoch;
    }
    if (j->state != WEIR_JOIN_ON) {
        begin(j);
        if (j->state != WEIR_JOIN_ON)
            return SK_PASS;
        j->last = 0;
        weir_count_one(WEIR_JOIN_BEGAN);
    }
    return hand_over(msg, j);
}

SEC("sk_msg")
int weir_sk_msg(struct sk_msg_md *msg) {
    struct bpf_sock *sk = weir_ctx_sk(msg);
    struct weir_join_sock_value *j;

    if (!sk || !weir_join_can())
        return SK_PASS;
    j = bpf_sk_storage_get(&weir_join_sock, sk, NULL, 0);
    if (!j || j->state == WEIR_JOIN_NEVER)
        return SK_PASS;
    return decide(msg, sk, j);
}

/*
 * Lets every received byte pass. Its presence makes the kernel count TCP bytes and joined bytes in
 * one queue; without it FIONREAD of a socket in a sockhash is 0 while TCP bytes wait (6.18.14+).
 */
SEC("sk_skb/stream_verdict")
int weir_sk_skb(struct __sk_buff *skb) {
    return SK_PASS;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
