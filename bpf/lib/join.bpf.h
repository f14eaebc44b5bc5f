/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Joined sockets: keys of the two ends, what the other end has unread, and leaving at close. */
#ifndef WEIR_BPF_JOIN_H
#define WEIR_BPF_JOIN_H

#include "lib/addr.bpf.h"
#include "lib/count.bpf.h"

#define WEIR_PSOCK_FLAGS 7ul /* low bits of sk_user_data; the rest is the psock */
#define WEIR_PSOCK_IS    4ul

static __always_inline bool weir_join_can(void) {
    return bpf_core_field_exists(struct sk_psock, ingress_msg);
}

/* The kernel counts what a joined reader has unread. */
static __always_inline bool weir_join_counts(void) {
    return bpf_core_field_exists(struct sk_psock, msg_tot_len);
}

static __always_inline void weir_join_swap(struct weir_tuple *to, const struct weir_tuple *from) {
    to->netns = from->netns;
    to->src = from->dst;
    to->dst = from->src;
    to->sport = from->dport;
    to->dport = from->sport;
    to->kind = 0;
}

/* A read of kernel memory by number. The cookie says whether it still is the socket that was meant:
 * socket memory is only ever reused for sockets while a program runs, and each has a new cookie. */
static __always_inline bool weir_join_same(const struct weir_join_at_value *at) {
    struct sock *sk = (struct sock *)at->sk;
    __u64 cookie = 0;

    return !bpf_core_read(&cookie, sizeof(cookie), &sk->__sk_common.skc_cookie.counter) &&
           cookie == at->cookie;
}

/* What a socket has joined to it, 0: it is no longer in a sockhash. `sk` as a number. */
static __always_inline __u64 weir_join_psock(__u64 number) {
    struct sock *sk = (struct sock *)number;
    __u64 data = 0;

    if (bpf_core_read(&data, sizeof(data), &sk->sk_user_data) || !(data & WEIR_PSOCK_IS))
        return 0;
    return data & ~WEIR_PSOCK_FLAGS;
}

/* The head of its queue of messages; it names itself as the first one when nothing is unread. */
static __always_inline __u64 weir_join_queue(__u64 psock) {
    return psock + bpf_core_field_offset(struct sk_psock, ingress_msg);
}

static __always_inline bool weir_join_next(__u64 entry, __u64 *ret) {
    struct list_head *list = (struct list_head *)entry;

    return !bpf_core_read(ret, sizeof(*ret), &list->next);
}

/* What the other end has handed over so far, if it is still there; and our own total for it, if it
 * closes after us. */
static __always_inline __u64 weir_join_settle(const struct weir_tuple *peer, __u64 bytes_out) {
    struct weir_join_at_value *at;
    struct weir_join_sock_value *theirs;
    struct weir_tuple key = *peer;
    __u64 bytes = 0;

    at = bpf_map_lookup_elem(&weir_join_at, &key);
    if (!at)
        return 0;
    at->bytes_in = bytes_out;
    theirs = (struct weir_join_sock_value *)at->writer;
    if (!weir_join_same(at) || bpf_probe_read_kernel(&bytes, sizeof(bytes), &theirs->bytes_out))
        return 0;
    return bytes;
}

/* At close: what went past TCP's own counters, and the record goes. */
static __always_inline void weir_join_leave(struct bpf_sock *sk, __u64 cookie, __u64 *ret_in,
                                            __u64 *ret_out) {
    struct weir_join_sock_value *j = bpf_sk_storage_get(&weir_join_sock, sk, NULL, 0);
    struct weir_join_at_value *at;
    struct weir_tuple key;

    if (!j)
        return;
    *ret_out = j->bytes_out;
    *ret_in = weir_join_settle(&j->peer, j->bytes_out);
    weir_join_swap(&key, &j->peer);
    at = bpf_map_lookup_elem(&weir_join_at, &key);
    /* The tuple may have a new owner already. */
    if (!at || at->cookie != cookie)
        return;
    if (at->bytes_in)
        *ret_in = at->bytes_in;
    bpf_map_delete_elem(&weir_join_at, &key);
}

#endif
