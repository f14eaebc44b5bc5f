/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/1 in what applications hand to OpenSSL (docs/adr/0018): uprobes on its calls, in pods that ask for it. Only looks; what cannot
 * be read is counted.
 *
 * Whose connection an SSL object is: a call of OpenSSL that reads a TCP socket does so in the caller's own thread, and TCP tells of it
 * (tracepoint tcp_rcv_space_adjust). A handshake reads, so the socket is known before the first request. An application
 * that moves the bytes itself (memory BIOs) reads its sockets elsewhere: its exchanges are told without addresses.
 */
#include "lib/cgroup.bpf.h"
#include "lib/http.bpf.h"

#define LEVELS     16
#define FIRST_READ 5 /* OpenSSL asks for the head of a record first */

/* The registers that carry arguments and result, of the two machines there are programs for. */
struct pt_regs___x86 {
    unsigned long di, si, dx, cx, ax;
} WEIR_CORE;
struct pt_regs___arm {
    unsigned long regs[31];
} WEIR_CORE;

#define IS_X86() bpf_core_field_exists(struct pt_regs___x86, di)
#define ARG(ctx, x86, n)                                                                           \
    (IS_X86() ? BPF_CORE_READ((struct pt_regs___x86 *)(ctx), x86)                                  \
              : BPF_CORE_READ((struct pt_regs___arm *)(ctx), regs[n]))

/* Of the calling process: the deepest cgroup that is listed. Id of its pod if that is looked at; 0 = not. */
static __always_inline __u32 pod_of_caller(void) {
    struct weir_cgroup_value v = {};
    struct weir_pod_value *pod;

    for (int level = 1; level < LEVELS; level++) {
        __u64 id = bpf_get_current_ancestor_cgroup_id(level);

        if (id == 0)
            break;
        weir_cgroup_get(id, &v);
    }
    if (v.role != WEIR_ROLE_APP)
        return 0;
    pod = weir_pod_find(v.pod);
    return pod && (pod->flags & WEIR_POD_HTTP) ? pod->pod : 0;
}

static __always_inline void key_of(struct weir_tls_key *key, __u64 ssl, __u64 thread) {
    key->ssl = ssl;
    key->process = thread >> 32;
    key->pad = 0;
}

static __always_inline void tell(struct weir_tls_conn *conn) {
    struct weir_http_event *e = weir_http_reserve();

    if (!e)
        return;
    e->exchange = conn->http.x;
    e->flow = conn->flow;
    bpf_ringbuf_submit(e, 0);
    weir_http_count_one(WEIR_HTTP_SEEN);
    if (conn->flow.cookie == 0)
        weir_http_count_one(WEIR_HTTP_NO_ADDRESS);
}

static __always_inline int freed(__u64 ssl, __u64 thread) {
    struct weir_tls_conn *conn;
    struct weir_tls_key key;

    key_of(&key, ssl, thread);
    conn = bpf_map_lookup_elem(&weir_tls_conn, &key);
    if (conn && weir_http_end(&conn->http, bpf_ktime_get_ns()) == WEIR_HTTP_TELL)
        tell(conn);
    bpf_map_delete_elem(&weir_tls_conn, &key);
    return 0;
}

SEC("uprobe")
int weir_tls_enter(void *ctx) {
    __u64 thread = bpf_get_current_pid_tgid();
    struct weir_tls_call call = { .kind = bpf_get_attach_cookie(ctx) };

    call.pod = pod_of_caller();
    if (call.pod == 0)
        return 0;
    call.ssl = ARG(ctx, di, 0);
    if (call.kind == WEIR_TLS_FREE)
        return freed(call.ssl, thread);
    call.buffer = ARG(ctx, si, 1);
    call.ret_count = ARG(ctx, cx, 3);
    /* A handshake may run inside of a read or a write. */
    bpf_map_update_elem(&weir_tls_call, &thread, &call,
                        call.kind == WEIR_TLS_HANDSHAKE ? BPF_NOEXIST : BPF_ANY);
    return 0;
}

/* Nothing of the connection's own has been read before. */
static __always_inline bool is_first(struct sock *sk) {
    struct tcp_sock *tp = (struct tcp_sock *)sk;
    __u64 received = BPF_CORE_READ(tp, bytes_received);
    __u32 waiting = BPF_CORE_READ(tp, rcv_nxt) - BPF_CORE_READ(tp, copied_seq);

    return received - waiting <= FIRST_READ;
}

static __always_inline void read_end(struct sock *sk, struct weir_http_flow *f) {
    struct sock_common *c = &sk->__sk_common;
    __be32 ip4;

    if (BPF_CORE_READ(c, skc_family) == AF_INET) {
        ip4 = BPF_CORE_READ(c, skc_rcv_saddr);
        weir_addr_set_v4(&f->local, ip4);
        ip4 = BPF_CORE_READ(c, skc_daddr);
        weir_addr_set_v4(&f->remote, ip4);
    } else {
        BPF_CORE_READ_INTO(&f->local, c, skc_v6_rcv_saddr);
        BPF_CORE_READ_INTO(&f->remote, c, skc_v6_daddr);
    }
    f->local_port = BPF_CORE_READ(c, skc_num);
    f->remote_port = bpf_ntohs(BPF_CORE_READ(c, skc_dport));
}

static __always_inline void read_facts(const struct weir_sock_value *s, struct weir_http_flow *f) {
    f->original = s->facts.original;
    f->original_port = s->facts.original_port;
    f->direction = s->facts.direction;
    f->identity = s->facts.identity;
    f->peer_identity = s->facts.peer_identity;
    f->service = s->facts.service;
    if (f->direction == WEIR_INGRESS)
        f->service = weir_http_at_port(f->pod, f->local_port);
}

/* A connection begins, or an SSL object has another one than before. */
static __always_inline void connect(struct sock *sk, const struct weir_tls_key *key,
                                    const struct weir_tls_call *call, __u64 cookie) {
    struct weir_sock_value *s = bpf_sk_storage_get(&weir_sock, sk, NULL, 0);
    struct weir_tls_conn fresh = {};

    fresh.flow.cookie = cookie;
    fresh.flow.pod = call->pod;
    read_end(sk, &fresh.flow);
    if (s) {
        read_facts(s, &fresh.flow);
        fresh.directed = 1;
    }
    fresh.http.x.flags = WEIR_HTTP_IS_TLS;
    if (call->kind != WEIR_TLS_HANDSHAKE && !is_first(sk)) {
        fresh.http.phase = WEIR_HTTP_LOST;
        fresh.http.proven = 1;
        weir_http_count_one(WEIR_HTTP_LATE);
    }
    if (bpf_map_update_elem(&weir_tls_conn, key, &fresh, BPF_ANY))
        weir_http_count_one(WEIR_HTTP_NO_ROOM);
}

/* A thread inside of a call of OpenSSL has read a TCP socket: that is the connection. */
SEC("tp_btf/tcp_rcv_space_adjust")
int weir_tls_socket(__u64 *ctx) {
    __u64 thread = bpf_get_current_pid_tgid(), cookie;
    struct weir_tls_call *call = bpf_map_lookup_elem(&weir_tls_call, &thread);
    struct sock *sk = (struct sock *)ctx[0];
    struct weir_tls_conn *conn;
    struct weir_tls_key key;

    if (!call || !sk)
        return 0;
    key_of(&key, call->ssl, thread);
    cookie = bpf_get_socket_cookie(sk);
    conn = bpf_map_lookup_elem(&weir_tls_conn, &key);
    if (!conn || conn->flow.cookie != cookie)
        connect(sk, &key, call, cookie);
    return 0;
}

/* One that no socket was seen of; where it stands is not known. A function of its own for the stack's sake. */
static __noinline int conn_make(const struct weir_tls_key *key, __u32 pod) {
    struct weir_tls_conn fresh = {};

    fresh.flow.pod = pod;
    fresh.http.x.flags = WEIR_HTTP_IS_TLS;
    if (bpf_map_update_elem(&weir_tls_conn, key, &fresh, BPF_NOEXIST))
        weir_http_count_one(WEIR_HTTP_NO_ROOM);
    return 0;
}

static __noinline int read_buffer(struct weir_http_conn *c, __u64 buffer, __u64 len,
                                  bool from_server) {
    struct weir_http_piece p = { .conn = c, .from_server = from_server };

    p.n = weir_http_bound(len);
    p.more = len > p.n;
    if (bpf_probe_read_user(p.bytes, weir_http_bound(len), (void *)buffer)) {
        weir_http_count_one(WEIR_HTTP_UNREADABLE);
        return 0;
    }
    return weir_http_read(&p);
}

/* Bytes that the call has moved. */
static __always_inline __u64 moved(void *ctx, const struct weir_tls_call *call) {
    __s32 result = (__s32)ARG(ctx, ax, 0);
    __u64 n = 0;

    if (result <= 0)
        return 0;
    if (call->kind == WEIR_TLS_READ || call->kind == WEIR_TLS_WRITE)
        return result;
    if (bpf_probe_read_user(&n, sizeof(n), (void *)call->ret_count))
        weir_http_count_one(WEIR_HTTP_UNREADABLE);
    return n;
}

/* n bytes have gone through the connection. */
static __always_inline void look(const struct weir_tls_call *call, __u64 thread, __u64 n) {
    bool write = call->kind == WEIR_TLS_WRITE || call->kind == WEIR_TLS_WRITE_EX;
    struct weir_tls_conn *conn;
    struct weir_tls_key key;

    key_of(&key, call->ssl, thread);
    conn = bpf_map_lookup_elem(&weir_tls_conn, &key);
    if (!conn) {
        conn_make(&key, call->pod);
        conn = bpf_map_lookup_elem(&weir_tls_conn, &key);
    }
    if (!conn)
        return;
    if (!conn->directed) { /* in HTTP/1 the client is the first to say something */
        conn->flow.direction = write ? WEIR_EGRESS : WEIR_INGRESS;
        conn->directed = 1;
    }
    if (conn->http.phase == WEIR_HTTP_DEAF || !weir_http_take(&conn->http))
        return;
    if (read_buffer(&conn->http, call->buffer, n, write == (conn->flow.direction == WEIR_INGRESS)))
        tell(conn);
    weir_http_leave(&conn->http);
}

SEC("uretprobe")
int weir_tls_return(void *ctx) {
    __u64 thread = bpf_get_current_pid_tgid(), n;
    struct weir_tls_call *found = bpf_map_lookup_elem(&weir_tls_call, &thread), call;
    bool handshake = bpf_get_attach_cookie(ctx) == WEIR_TLS_HANDSHAKE;

    if (!found || handshake != (found->kind == WEIR_TLS_HANDSHAKE))
        return 0;
    call = *found;
    bpf_map_delete_elem(&weir_tls_call, &thread);
    n = handshake ? 0 : moved(ctx, &call);
    if (n > 0)
        look(&call, thread, n);
    return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
