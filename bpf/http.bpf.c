/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/1 telemetry of connections that the kernel carries (docs/adr/0018). On the pods' parent only while some service asks for it.
 * Refuses and changes nothing: every packet passes, and what could not be read is counted (fails open).
 *
 * Packets are read before TCP has put them in order: the sequence number says which bytes are new. A
 * segment ahead of its turn, or one that comes while the other direction is being read, is a gap.
 */
#include "lib/http.bpf.h"

#define IPV6_HEADER 40
#define IPV6_NEXT   6
#define TCP_HEADER  20

/* What a segment carries. */
struct segment {
    __u32 seq; /* of its first byte */
    __u32 at;  /* its place in the packet */
    __u32 len;
};

static __always_inline bool find_tcp(struct __sk_buff *skb, __u32 *ret_at) {
    __u8 byte = 0;

    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        *ret_at = IPV6_HEADER;
        /* Behind an extension header nothing is looked for. */
        return !bpf_skb_load_bytes(skb, IPV6_NEXT, &byte, 1) && byte == WEIR_IPPROTO_TCP;
    }
    if (bpf_skb_load_bytes(skb, 0, &byte, 1))
        return false;
    *ret_at = (byte & 0xf) * 4;
    return true;
}

/* False: it carries nothing. */
static __always_inline bool find_segment(struct __sk_buff *skb, struct segment *s) {
    __u8 tcp[TCP_HEADER];
    __u32 at;

    if (!find_tcp(skb, &at) || bpf_skb_load_bytes(skb, at, tcp, sizeof(tcp)))
        return false;
    s->seq = (__u32)tcp[4] << 24 | (__u32)tcp[5] << 16 | (__u32)tcp[6] << 8 | tcp[7];
    s->seq += (tcp[13] & 2) != 0; /* a SYN has a number of its own */
    s->at = at + (tcp[12] >> 4) * 4u;
    if (s->at >= skb->len)
        return false;
    s->len = skb->len - s->at;
    return true;
}

/* Nothing has been carried yet. */
static __always_inline bool is_fresh(struct bpf_sock *sk, const struct segment *g, bool out) {
    struct bpf_tcp_sock *tp = bpf_tcp_sock(sk);

    return tp && tp->bytes_received <= 1 && tp->bytes_acked <= 1 && (!out || tp->snd_una == g->seq);
}

static __always_inline struct weir_http_conn *conn_of(struct bpf_sock *sk, const struct segment *g,
                                                      bool out) {
    struct weir_http_conn *c = bpf_sk_storage_get(&weir_http_conn, sk, NULL, 0);

    if (c)
        return c;
    c = bpf_sk_storage_get(&weir_http_conn, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
    if (!c) {
        weir_http_count_one(WEIR_HTTP_NO_ROOM);
        return NULL;
    }
    if (!is_fresh(sk, g, out)) {
        weir_http_count_one(WEIR_HTTP_LATE);
        c->phase = WEIR_HTTP_LOST;
        c->proven = 1;
    }
    return c;
}

/* Cuts off what was read before. False: nothing is left, or something is missing before it. */
static __always_inline bool is_new(struct weir_http_conn *c, struct segment *g, bool from_server) {
    __u32 side = from_server ? 1 : 0, bit = 1u << side;
    __u32 old = (c->awaits & bit) ? c->next[side] - g->seq : 0;
    int r;

    c->awaits |= bit;
    if ((__s32)old < 0) {
        c->next[side] = g->seq + g->len;
        r = weir_http_gap(c, from_server);
        if (r >= WEIR_HTTP_MISS)
            weir_http_count_one(r - WEIR_HTTP_MISS);
        return false;
    }
    if (old >= g->len)
        return false;
    g->at += old;
    g->len -= old;
    g->seq += old;
    c->next[side] = g->seq + g->len;
    return true;
}

static __noinline int read_segment(struct __sk_buff *skb, struct weir_http_conn *c,
                                   struct segment *g, bool from_server) {
    struct weir_http_piece p = { .conn = c, .from_server = from_server };

    p.n = weir_http_bound(g->len);
    p.more = g->len > p.n;
    if (bpf_skb_load_bytes(skb, g->at, p.bytes, weir_http_bound(g->len)))
        return 0;
    return weir_http_read(&p);
}

/* Found out once in each policy epoch: which services are watched may have changed. */
static __always_inline bool is_watched(struct bpf_sock *sk, struct weir_sock_value *s) {
    __u32 now = ((__u32)weir_meta_epoch() + 1) << WEIR_SOCK_HTTP_SHIFT;

    if ((s->http & ~WEIR_SOCK_HTTP_YES) != now)
        s->http = now | (weir_http_service(s, sk->src_port) ? WEIR_SOCK_HTTP_YES : 0);
    return s->http & WEIR_SOCK_HTTP_YES;
}

static __always_inline void look(struct __sk_buff *skb, bool out) {
    struct bpf_sock *sk = weir_ctx_sk(skb);
    struct weir_http_conn *c;
    struct weir_sock_value *s;
    struct segment g;
    bool from_server;

    sk = sk ? bpf_sk_fullsock(sk) : NULL;
    s = sk && sk->protocol == WEIR_IPPROTO_TCP ? bpf_sk_storage_get(&weir_sock, sk, NULL, 0) : NULL;
    if (!s || !is_watched(sk, s) || !find_segment(skb, &g))
        return;
    c = conn_of(sk, &g, out);
    if (!c || c->phase == WEIR_HTTP_DEAF || !weir_http_take(c))
        return;
    from_server = out == (s->facts.direction == WEIR_INGRESS);
    if (is_new(c, &g, from_server) && read_segment(skb, c, &g, from_server))
        weir_http_tell(sk, s, bpf_get_socket_cookie(skb), &c->x);
    weir_http_leave(c);
}

SEC("cgroup_skb/egress")
int weir_http_egress(struct __sk_buff *skb) {
    look(skb, true);
    return 1;
}

SEC("cgroup_skb/ingress")
int weir_http_ingress(struct __sk_buff *skb) {
    look(skb, false);
    return 1;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
