/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/1 in the bytes of a connection: a piece of them through the reader of include/weir/abi/http.h,
 * and what it finds into the ring. Whose bytes they are and where they come from is the caller's.
 */
#ifndef WEIR_BPF_HTTP_H
#define WEIR_BPF_HTTP_H

#include "lib/addr.bpf.h"
#include "lib/watch.bpf.h"

static __always_inline void weir_http_count_one(__u32 reason) {
    __u64 *n = bpf_map_lookup_elem(&weir_http_count, &reason);

    if (n)
        __sync_fetch_and_add(n, 1);
}

/* One piece: the first bytes of what was sent at once. On the caller's stack, gone when it returns. */
struct weir_http_piece {
    struct weir_http_conn *conn;
    __u32 n;    /* bytes here */
    __u32 more; /* there are some behind them */
    __u32 from_server;
    __s32 came_to; /* WEIR_HTTP_GO_ON.. */
    __u8 bytes[WEIR_HTTP_LOOK];
};

/* How many of so many bytes are looked at; len is not 0. By a mask, which every verifier follows. */
static __always_inline __u32 weir_http_bound(__u64 len) {
    __u32 last = len > WEIR_HTTP_LOOK ? WEIR_HTTP_LOOK - 1 : (__u32)len - 1;

    WEIR_HTTP_OPAQUE(last);
    return (last & (WEIR_HTTP_LOOK - 1)) + 1;
}

static long weir_http_next(__u32 i, struct weir_http_piece *p) {
    p->came_to = weir_http_byte(p->conn, p->bytes[i & (WEIR_HTTP_LOOK - 1)]);
    return p->came_to != WEIR_HTTP_GO_ON;
}

/* Its first seven bytes are "HTTP/1."; the machines there are programs for are little-endian. */
static __always_inline bool weir_http_is_status(const struct weir_http_piece *p) {
    return p->n >= 7 && *(const __u64 *)p->bytes << 8 == 0x2e312f5054544800ull;
}

/* Reads it. True: p->conn->x is to be told. What is missed is counted here. */
static __always_inline bool weir_http_read(struct weir_http_piece *p) {
    struct weir_http_conn *c = p->conn;

    if (p->from_server && c->phase == WEIR_HTTP_ANSWERED) {
        if (weir_http_is_status(p))
            weir_http_count_one(WEIR_HTTP_PIPELINED);
        return false;
    }
    p->came_to = weir_http_begin(c, p->from_server, bpf_ktime_get_ns());
    if (p->came_to == WEIR_HTTP_GO_ON) {
        bpf_loop(p->n, weir_http_next, p, 0);
        if (p->came_to == WEIR_HTTP_GO_ON && p->more)
            p->came_to = weir_http_rest(c);
    }
    if (p->came_to >= WEIR_HTTP_MISS)
        weir_http_count_one(p->came_to - WEIR_HTTP_MISS);
    return p->came_to == WEIR_HTTP_TELL;
}

/* Room for a record, or counted. Who submits it counts it as told: 6.1 follows a record through one test for NULL only. */
static __always_inline struct weir_http_event *weir_http_reserve(void) {
    struct weir_http_event *e = bpf_ringbuf_reserve(&weir_http_events, sizeof(*e), 0);

    if (e)
        return e;
    weir_http_count_one(WEIR_HTTP_RING_FULL);
    return NULL;
}

/* The connection is this one's to read; nobody waits for it. */
static __always_inline bool weir_http_take(struct weir_http_conn *c) {
    return __sync_val_compare_and_swap(&c->busy, 0, 1) == 0;
}

static __always_inline void weir_http_leave(struct weir_http_conn *c) {
    __sync_lock_test_and_set(&c->busy, 0);
}

/* As WEIR_ADDR_FROM, of a socket: each field by itself, in its own size. */
#define WEIR_HTTP_ADDR(a, sk, side)                                                                \
    do {                                                                                           \
        if ((sk)->family == AF_INET) {                                                             \
            __be32 ip4_ = *(volatile __be32 *)&(sk)->side##_ip4;                                   \
            weir_barrier();                                                                        \
            weir_addr_set_v4(a, ip4_);                                                             \
        } else {                                                                                   \
            __be32 w0_ = *(volatile __be32 *)&(sk)->side##_ip6[0],                                 \
                   w1_ = *(volatile __be32 *)&(sk)->side##_ip6[1],                                 \
                   w2_ = *(volatile __be32 *)&(sk)->side##_ip6[2],                                 \
                   w3_ = *(volatile __be32 *)&(sk)->side##_ip6[3];                                 \
            weir_barrier();                                                                        \
            weir_addr_set_v6(a, w0_, w1_, w2_, w3_);                                               \
        }                                                                                          \
    } while (0)

static __always_inline void weir_http_flow_fill(struct weir_http_flow *f, struct bpf_sock *sk,
                                                const struct weir_sock_value *s, __u64 cookie) {
    WEIR_HTTP_ADDR(&f->local, sk, src);
    WEIR_HTTP_ADDR(&f->remote, sk, dst);
    f->cookie = cookie;
    f->local_port = sk->src_port;
    f->remote_port = bpf_ntohs(sk->dst_port);
    f->original = s->facts.original;
    f->original_port = s->facts.original_port;
    f->direction = s->facts.direction;
    f->pod = s->facts.pod;
    f->identity = s->facts.identity;
    f->peer_identity = s->facts.peer_identity;
    f->service = weir_http_service(s, f->local_port);
}

/* A function of its own: so the record's shape is known to whoever reads the object (tests/lint/abi.py). */
static __noinline int weir_http_event_fill(struct weir_http_event *e,
                                           const struct weir_http_exchange *x) {
    e->exchange = *x;
    __builtin_memset(&e->flow, 0, sizeof(e->flow));
    return 0;
}

static __always_inline void weir_http_tell(struct bpf_sock *sk, const struct weir_sock_value *s,
                                           __u64 cookie, const struct weir_http_exchange *x) {
    struct weir_http_event *e = weir_http_reserve();

    if (!e)
        return;
    weir_http_event_fill(e, x);
    weir_http_flow_fill(&e->flow, sk, s, cookie);
    bpf_ringbuf_submit(e, 0);
    weir_http_count_one(WEIR_HTTP_SEEN);
}

/* At the close of a socket: a request that got no answer is told. */
static __always_inline void weir_http_closed(struct bpf_sock *sk, const struct weir_sock_value *s,
                                             __u64 cookie) {
    struct weir_http_conn *c =
        s->http & WEIR_SOCK_HTTP_YES ? bpf_sk_storage_get(&weir_http_conn, sk, NULL, 0) : NULL;

    if (!c || weir_http_end(c, bpf_ktime_get_ns()) != WEIR_HTTP_TELL)
        return;
    weir_http_tell(sk, s, cookie, &c->x);
}

#endif
