/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lint: size one pinned list of kernel types */
/*
 * The kernel as these programs see it: program contexts and constants (stable UAPI, linux/bpf.h)
 * and the few fields of internal structs that are read, relocated at load time by field name
 * (CO-RE). Pinned here so that a build needs neither kernel headers nor BTF, and so that what we
 * depend on inside the kernel is a list one can read.
 */
#ifndef WEIR_BPF_KERNEL_H
#define WEIR_BPF_KERNEL_H

#include "weir/abi/types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define bool _Bool
#define true 1
#define false 0
#ifndef NULL
#define NULL ((void *)0)
#endif

struct bpf_map;

/* enum bpf_map_type */
#define BPF_MAP_TYPE_HASH         1
#define BPF_MAP_TYPE_ARRAY        2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH     9
#define BPF_MAP_TYPE_LPM_TRIE     11
#define BPF_MAP_TYPE_SOCKHASH     18
#define BPF_MAP_TYPE_SK_STORAGE   24
#define BPF_MAP_TYPE_RINGBUF      27

#define BPF_F_NO_PREALLOC           1
#define BPF_ANY                     0
#define BPF_NOEXIST                 1
#define BPF_SK_STORAGE_GET_F_CREATE 1

#define BPF_F_INGRESS 1

#define BPF_SOCK_OPS_TCP_CONNECT_CB         3
#define BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB  4
#define BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB 5
#define BPF_SOCK_OPS_STATE_CB               10
#define BPF_SOCK_OPS_TCP_LISTEN_CB          11
#define BPF_SOCK_OPS_STATE_CB_FLAG          4

#define BPF_TCP_SYN_SENT 2
#define BPF_TCP_CLOSE    7
#define BPF_TCP_LISTEN   10

#define SK_DROP 0
#define SK_PASS 1

#define AF_INET  2
#define AF_INET6 10

#define SOCK_RAW 3

#define IPPROTO_IP      0
#define IPPROTO_ICMP    1
#define IPPROTO_ICMPV6  58
#define IPPROTO_SCTP    132
#define IPPROTO_MPTCP   262
#define SOL_IP          0
#define SOL_IPV6        41
#define SOL_SOCKET      1
#define SOL_TCP         6
#define TCP_ULP         31
#define SO_ZEROCOPY     60
#define SO_ORIGINAL_DST 80

#define EPERM           1
#define ENOENT          2
#define EOPNOTSUPP      95
#define EAGAIN          11
#define EINVAL          22
#define EPROTONOSUPPORT 93
#define ECONNREFUSED    111
#define EALREADY        114

#define ETH_P_IP   0x0800
#define ETH_P_IPV6 0x86DD

#define LO_IFINDEX 1 /* in every network namespace */

struct bpf_sock {
    __u32 bound_dev_if;
    __u32 family;
    __u32 type;
    __u32 protocol;
    __u32 mark;
    __u32 priority;
    __u32 src_ip4;    /* network order */
    __u32 src_ip6[4]; /* network order */
    __u32 src_port;   /* host order */
    __be16 dst_port;  /* network order */
    __u16 : 16;
    __u32 dst_ip4;    /* network order */
    __u32 dst_ip6[4]; /* network order */
    __u32 state;
    __s32 rx_queue_mapping;
};

struct bpf_tcp_sock {
    __u32 snd_cwnd;
    __u32 srtt_us;
    __u32 rtt_min;
    __u32 snd_ssthresh;
    __u32 rcv_nxt;
    __u32 snd_nxt;
    __u32 snd_una;
    __u32 mss_cache;
    __u32 ecn_flags;
    __u32 rate_delivered;
    __u32 rate_interval_us;
    __u32 packets_out;
    __u32 retrans_out;
    __u32 total_retrans;
    __u32 segs_in;
    __u32 data_segs_in;
    __u32 segs_out;
    __u32 data_segs_out;
    __u32 lost_out;
    __u32 sacked_out;
    __u64 bytes_received;
    __u64 bytes_acked;
};

struct bpf_sock_addr {
    __u32 user_family;
    __u32 user_ip4;    /* network order */
    __u32 user_ip6[4]; /* network order */
    __u32 user_port;   /* network order */
    __u32 family;
    __u32 type;
    __u32 protocol;
    __u32 msg_src_ip4;
    __u32 msg_src_ip6[4];
    __u64 sk; /* struct bpf_sock *: see weir_ctx_sk */
};

struct bpf_sock_ops {
    __u32 op;
    union {
        __u32 args[4];
        __u32 reply;
        __u32 replylong[4];
    };
    __u32 family;
    __u32 remote_ip4;    /* network order */
    __u32 local_ip4;     /* network order */
    __u32 remote_ip6[4]; /* network order */
    __u32 local_ip6[4];  /* network order */
    __u32 remote_port;   /* network order, of 32 bits */
    __u32 local_port;    /* host order */
    __u32 is_fullsock;
    __u32 snd_cwnd;
    __u32 srtt_us; /* 8 times the value */
    __u32 bpf_sock_ops_cb_flags;
    __u32 state;
    __u32 rtt_min;
    __u32 snd_ssthresh;
    __u32 rcv_nxt;
    __u32 snd_nxt;
    __u32 snd_una;
    __u32 mss_cache;
    __u32 ecn_flags;
    __u32 rate_delivered;
    __u32 rate_interval_us;
    __u32 packets_out;
    __u32 retrans_out;
    __u32 total_retrans;
    __u32 segs_in;
    __u32 data_segs_in;
    __u32 segs_out;
    __u32 data_segs_out;
    __u32 lost_out;
    __u32 sacked_out;
    __u32 sk_txhash;
    __u64 bytes_received;
    __u64 bytes_acked;
    __u64 sk; /* struct bpf_sock * or NULL */
};

struct bpf_sockopt {
    __u64 sk; /* struct bpf_sock * */
    __u64 optval;
    __u64 optval_end;
    __s32 level;
    __s32 optname;
    __s32 optlen;
    __s32 retval;
};

struct bpf_sk_lookup {
    __u64 cookie;
    __u32 family;
    __u32 protocol;
    __u32 remote_ip4;    /* network order */
    __u32 remote_ip6[4]; /* network order */
    __be16 remote_port;  /* network order */
    __u16 : 16;
    __u32 local_ip4;    /* network order */
    __u32 local_ip6[4]; /* network order */
    __u32 local_port;   /* host order */
    __u32 ingress_ifindex;
};

struct __sk_buff {
    __u32 len;
    __u32 pkt_type;
    __u32 mark;
    __u32 queue_mapping;
    __u32 protocol; /* network order */
    __u32 vlan_present;
    __u32 vlan_tci;
    __u32 vlan_proto;
    __u32 priority;
    __u32 ingress_ifindex;
    __u32 ifindex;
    __u32 tc_index;
    __u32 cb[5];
    __u32 hash;
    __u32 tc_classid;
    __u32 data;
    __u32 data_end;
    __u32 napi_id;
    __u32 family;
    __u32 remote_ip4;
    __u32 local_ip4;
    __u32 remote_ip6[4];
    __u32 local_ip6[4];
    __u32 remote_port;
    __u32 local_port;
    __u32 data_meta;
    __u64 flow_keys;
    __u64 tstamp;
    __u32 wire_len;
    __u32 gso_segs;
    __u64 sk; /* struct bpf_sock * or NULL */
};

struct sk_msg_md {
    __u64 data, data_end;
    __u32 family;
    __u32 remote_ip4;    /* network order */
    __u32 local_ip4;     /* network order */
    __u32 remote_ip6[4]; /* network order */
    __u32 local_ip6[4];  /* network order */
    __u32 remote_port;   /* network order */
    __u32 local_port;    /* host order */
    __u32 size;
    __u64 sk; /* struct bpf_sock * */
};

/* The kernel writes pointers into these context fields; a type per context would be the only
 * difference. */
#define weir_ctx_sk(ctx) ((struct bpf_sock *)(ctx)->sk)

/* The compiler may not move or merge memory accesses across it: the verifier wants each context
 * field read and written by itself, in its own size. */
#define weir_barrier() asm volatile("" ::: "memory")

/*
 * How often an entry that a change may be replacing is looked for. In that moment a lookup may miss the old and the
 * new one (another element of the bucket is what it stands at), or find the old one whose memory has just become another
 * key's (kernel/bpf/hashtab.c): then it is looked for again.
 */
#define WEIR_READS 2

/* Reads behind the result are probe reads without a call; since 6.2, and only asked for by programs
 * that are loaded on newer kernels. */
extern void *bpf_rdonly_cast(const void *address, __u32 btf_id) __ksym __weak;

/* Internal structs: only what is read, found by name in the running kernel's BTF. */
#define WEIR_CORE __attribute__((preserve_access_index))

struct kernfs_node {
    __u64 id;
} WEIR_CORE;

struct cgroup;
struct cgroup_subsys_state {
    struct cgroup *cgroup;
    struct cgroup_subsys_state *parent;
} WEIR_CORE;

struct cgroup {
    struct cgroup_subsys_state self;
    struct kernfs_node *kn;
} WEIR_CORE;

struct sock_cgroup_data {
    struct cgroup *cgroup;
} WEIR_CORE;

typedef struct {
    __s64 counter;
} WEIR_CORE atomic64_t;

struct sock_common {
    __be32 skc_daddr;
    __be32 skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num;
    unsigned short skc_family;
    volatile unsigned char skc_state;
    unsigned char skc_ipv6only : 1;
    unsigned long skc_flags;
    atomic64_t skc_cookie;
    struct weir_addr skc_v6_daddr; /* struct in6_addr there */
    struct weir_addr skc_v6_rcv_saddr;
} WEIR_CORE;

struct sock {
    struct sock_common __sk_common;
    struct sock_cgroup_data sk_cgrp_data;
    void *sk_user_data;
} WEIR_CORE;

enum sock_flags { SOCK_ZEROCOPY = 18 };

struct tcp_sock {
    __u32 rcv_nxt;
    __u32 copied_seq;
    __u32 write_seq;
    __u64 bytes_received;
} WEIR_CORE;

struct list_head {
    struct list_head *next;
} WEIR_CORE;

struct sk_msg_sg {
    __u32 size; /* bytes not read yet */
} WEIR_CORE;

struct sk_msg {
    struct sk_msg_sg sg;
    struct list_head list;
} WEIR_CORE;

/* What a joined socket has queued for its reader. msg_tot_len: 6.18.14+, 6.12.75+, 6.6.128+. */
struct sk_psock {
    struct list_head ingress_msg;
    __u32 msg_tot_len;
} WEIR_CORE;

#endif
