/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which sockets may be joined: decided once, when a connection is established and nothing has been
 * sent yet. Fails open: what does not enter stays plain TCP.
 *
 * A reader that calls splice(2) never sees joined bytes, so bytes are only handed to sidecars (they
 * read(2)) and to applications that are declared (decisions.md 19).
 */
#include "lib/join.bpf.h"
#include "lib/cgroup.bpf.h"
#include "lib/policy.bpf.h"
#include "lib/watch.bpf.h"

/* What a socket may be: enters no map, is only written through, or is handed bytes. */
enum part { PART_NONE, PART_WRITER, PART_OWN, PART_APP };

static __always_inline bool stays_inside(const struct weir_tuple *t) {
    return weir_addr_is_loopback(&t->src) || weir_addr_is_loopback(&t->dst) ||
           weir_addr_equal(&t->src, &t->dst);
}

static __always_inline enum part part_of(const struct weir_cgroup_value *owner,
                                         const struct weir_tuple *t, __u32 meta_flags) {
    bool reader, writer, inside = stays_inside(t);
    struct weir_pod_value *pod;
    struct weir_ip_value peer;

    if (owner->role != WEIR_ROLE_APP && owner->role != WEIR_ROLE_PROXY)
        return PART_NONE;
    pod = weir_pod_find(owner->pod);
    if (!pod)
        return PART_NONE;
    reader = (pod->flags & WEIR_POD_JOIN_READER) && (meta_flags & WEIR_META_JOIN_READERS);
    writer = (pod->flags & WEIR_POD_JOIN) && (meta_flags & WEIR_META_JOIN_WRITERS);
    if (owner->role == WEIR_ROLE_PROXY)
        return inside && (reader || writer) ? PART_OWN : PART_NONE;
    if (reader && !inside)
        return weir_ip_get(&t->dst, &peer) && peer.pod ? PART_APP : PART_NONE;
    return !inside ? PART_NONE : reader ? PART_APP : writer ? PART_WRITER : PART_NONE;
}

/* Fast open has bytes queued before the connection is established; a verdict would never see them.
 * Notifications of zero-copy sends do not exist for joined bytes. */
static __always_inline bool is_fresh(__u64 number) {
    struct tcp_sock *tp = (struct tcp_sock *)number;
    struct sock *sk = (struct sock *)number;
    __u64 flags = BPF_CORE_READ(sk, __sk_common.skc_flags);

    return BPF_CORE_READ(tp, rcv_nxt) == BPF_CORE_READ(tp, copied_seq) &&
           !(flags & (1ul << bpf_core_enum_value(enum sock_flags, SOCK_ZEROCOPY)));
}

/* True when it lies in the sockhash of its part. The record comes last: whoever finds it can hand
 * bytes over. */
static __always_inline bool enter(struct bpf_sock_ops *ctx, struct weir_tuple *own, enum part part,
                                  const struct weir_join_at_value *at) {
    long err = part == PART_APP ? bpf_sock_hash_update(ctx, &weir_join_app, own, BPF_ANY)
                                : bpf_sock_hash_update(ctx, &weir_join, own, BPF_ANY);

    return !err && !bpf_map_update_elem(&weir_join_at, own, at, BPF_ANY);
}

static __always_inline void own_tuple(struct bpf_sock_ops *ctx, struct weir_tuple *t) {
    __builtin_memset(t, 0, sizeof(*t));
    WEIR_ADDR_FROM(&t->src, ctx, local);
    WEIR_ADDR_FROM(&t->dst, ctx, remote);
    t->sport = ctx->local_port;
    t->dport = bpf_ntohl(ctx->remote_port);
    /* Only loopback tuples collide between pods. */
    if (weir_addr_is_loopback(&t->src) || weir_addr_is_loopback(&t->dst))
        t->netns = bpf_get_netns_cookie(ctx);
}

/*
 * The accepting end enters only behind the connecting one, which is established first. A socket that
 * nobody joins would gain nothing, and bytes that come by TCP before accept() are not in FIONREAD.
 */
static __always_inline bool other_is_here(const struct weir_tuple *peer) {
    struct weir_tuple key = *peer;

    return bpf_map_lookup_elem(&weir_join_at, &key) != NULL;
}

/* Bytes that go past TCP pass no packet program, so who wants HTTP seen has it seen in packets
 * (docs/adr/0018). */
static __always_inline bool is_watched(struct bpf_sock_ops *ctx, struct bpf_sock *sk, __u32 pod) {
    struct weir_sock_value *s;

    if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
        return weir_http_at_port(pod, ctx->local_port) != 0;
    s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);
    return s && weir_http_of_call(s) != 0;
}

/* Whose it is was found when it was dialled or accepted; only where nobody wrote that down its cgroups are walked again. */
static __always_inline void owner_of(struct bpf_sock *sk, struct weir_cgroup_value *ret) {
    struct weir_sock_value *s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);

    if (!s || s->role == WEIR_ROLE_NONE || s->facts.pod == 0) {
        weir_cgroup_of(sk, ret);
        return;
    }
    __builtin_memset(ret, 0, sizeof(*ret));
    ret->role = s->role;
    ret->pod = s->facts.pod;
}

static __always_inline void established(struct bpf_sock_ops *ctx, struct bpf_sock *sk,
                                        const struct weir_meta_value *meta) {
    struct weir_join_at_value at = {};
    struct weir_join_sock_value *j;
    struct weir_cgroup_value owner;
    struct weir_tuple own, peer;
    enum part part;

    own_tuple(ctx, &own);
    owner_of(sk, &owner);
    part = part_of(&owner, &own, meta->flags);
    if (part == PART_NONE)
        return;
    if (part == PART_APP && !stays_inside(&own) && is_watched(ctx, sk, owner.pod)) {
        weir_count_one(WEIR_JOIN_WATCHED);
        return;
    }
    weir_join_swap(&peer, &own);
    if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB && !other_is_here(&peer)) {
        weir_count_one(WEIR_JOIN_NO_PEER);
        return;
    }
    at.sk = weir_sk_number(sk);
    at.cookie = bpf_get_socket_cookie(ctx);
    at.reader = part == PART_APP   ? WEIR_JOIN_TO_APP
                : part == PART_OWN ? WEIR_JOIN_TO_OWN
                                   : WEIR_JOIN_TO_NONE;
    if (!is_fresh(at.sk)) {
        weir_count_one(WEIR_JOIN_NOT_EMPTY);
        return;
    }
    j = bpf_sk_storage_get(&weir_join_sock, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    at.writer = j ? weir_sk_number(j) : 0;
    if (!j || !enter(ctx, &own, part, &at)) {
        weir_count_one(WEIR_JOIN_NO_ROOM);
        return;
    }
    j->peer = peer;
    j->epoch = meta->epoch;
    j->policed = !stays_inside(&own);
    j->sk = at.sk;
    weir_count_one(WEIR_JOIN_ENTERED);
    bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

SEC("sockops")
int weir_join_sockops(struct bpf_sock_ops *ctx) {
    __u32 op = ctx->op, zero = 0;
    struct weir_meta_value *meta;
    struct bpf_sock *sk;

    if (op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
        return 1;
    meta = bpf_map_lookup_elem(&weir_meta, &zero);
    if (!meta || !(meta->flags & WEIR_META_JOIN) || !weir_join_can())
        return 1;
    sk = weir_ctx_sk(ctx);
    if (sk)
        established(ctx, sk, meta);
    return 1;
}

/* An option that bytes past TCP cannot keep: kernel TLS, and notifications of zero-copy sends. The
 * answers are those of a kernel without them, so every caller has another way. */
SEC("cgroup/setsockopt")
int weir_setsockopt(struct bpf_sockopt *ctx) {
    bool ulp = ctx->level == SOL_TCP && ctx->optname == TCP_ULP;
    bool zerocopy = ctx->level == SOL_SOCKET && ctx->optname == SO_ZEROCOPY;
    struct bpf_sock *sk;

    if (!ulp && !zerocopy)
        return 1;
    sk = weir_ctx_sk(ctx);
    if (!sk || !bpf_sk_storage_get(&weir_join_sock, sk, NULL, 0))
        return 1;
    weir_count_one(WEIR_JOIN_SOCKOPT);
    bpf_set_retval(ulp ? -ENOENT : -EOPNOTSUPP);
    return 0;
}

struct look {
    struct weir_join_look *answer;
};

struct walk {
    __u64 queue, entry; /* its head, and the message to count next */
    __u32 bytes;
};

static long count_message(__u32 i, struct walk *w) {
    struct sk_msg *m = (struct sk_msg *)(w->entry - bpf_core_field_offset(struct sk_msg, list));
    __u32 size = 0;

    if (w->entry == w->queue || bpf_core_read(&size, sizeof(size), &m->sg.size) ||
        !weir_join_next(w->entry, &w->entry))
        return 1;
    w->bytes += size;
    return 0;
}

/* Message by message, as the reader would: what is counted beside them is what is to be proved.
 * Taken while it is read the sum may be off, never the walk unbounded. A function of its own to the
 * verifier, which would go through one loop inside of the other. */
__noinline __u32 weir_join_queued(__u64 sk) {
    __u64 psock = weir_join_psock(sk);
    struct walk w = {};

    if (!psock)
        return 0;
    w.queue = weir_join_queue(psock);
    if (weir_join_next(w.queue, &w.entry))
        bpf_loop(WEIR_JOIN_WALK, count_message, &w, 0);
    return w.bytes;
}

static long look_at(struct bpf_map *map, const void *key, const struct weir_join_at_value *at,
                    struct look *look) {
    struct weir_join_sock_value *theirs;
    struct weir_join_at_value copy;
    __u8 state = 0;
    __u32 unread;

    copy = *at;
    look->answer->sockets++;
    if (!weir_join_same(&copy))
        return 0;
    theirs = (struct weir_join_sock_value *)copy.writer;
    if (!bpf_probe_read_kernel(&state, sizeof(state), &theirs->state))
        look->answer->joined += state == WEIR_JOIN_ON;
    unread = weir_join_queued(copy.sk);
    look->answer->queued += unread;
    if (unread > look->answer->queued_max)
        look->answer->queued_max = unread;
    return 0;
}

/* Asked by the agent (BPF_PROG_TEST_RUN): how much is joined, and what is unread. */
SEC("syscall")
int weir_join_look(struct weir_join_look *ctx) {
    struct weir_join_look answer = {};
    struct look look = { &answer };

    if (weir_join_can())
        bpf_for_each_map_elem(&weir_join_at, look_at, &look, 0);
    ctx->sockets = answer.sockets;
    ctx->joined = answer.joined;
    ctx->queued = answer.queued;
    ctx->queued_max = answer.queued_max;
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
