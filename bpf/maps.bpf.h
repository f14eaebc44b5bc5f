/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map, once. Weak, so that the objects linked together share one of each. All are pinned by
 * name and outlive the agent; keys, values and meaning are in include/weir/abi. Hash maps that hold
 * decisions are never LRU: a full map is an error the writer sees, not a forgotten rule. What is LRU
 * only remembers: what may be let in again, and how endpoints have done.
 */
#ifndef WEIR_BPF_MAPS_H
#define WEIR_BPF_MAPS_H

#include "lib/kernel.bpf.h"
#include "weir/abi/flow.h"
#include "weir/abi/http.h"
#include "weir/abi/maps.h"

#define WEIR_HASH(name_, entries_, key_, value_)                                                   \
    struct {                                                                                       \
        __uint(type, BPF_MAP_TYPE_HASH);                                                           \
        __uint(max_entries, entries_);                                                             \
        __uint(map_flags, BPF_F_NO_PREALLOC);                                                      \
        __type(key, key_);                                                                         \
        __type(value, value_);                                                                     \
        __uint(pinning, LIBBPF_PIN_BY_NAME);                                                       \
    } name_ SEC(".maps") __weak

#define WEIR_LRU(name_, entries_, key_, value_)                                                    \
    struct {                                                                                       \
        __uint(type, BPF_MAP_TYPE_LRU_HASH);                                                       \
        __uint(max_entries, entries_);                                                             \
        __type(key, key_);                                                                         \
        __type(value, value_);                                                                     \
        __uint(pinning, LIBBPF_PIN_BY_NAME);                                                       \
    } name_ SEC(".maps") __weak

#define WEIR_STORAGE(name_, value_)                                                                \
    struct {                                                                                       \
        __uint(type, BPF_MAP_TYPE_SK_STORAGE);                                                     \
        __uint(map_flags, BPF_F_NO_PREALLOC);                                                      \
        __type(key, __s32);                                                                        \
        __type(value, value_);                                                                     \
        __uint(pinning, LIBBPF_PIN_BY_NAME);                                                       \
    } name_ SEC(".maps") __weak

#define WEIR_RING(name_, bytes_)                                                                   \
    struct {                                                                                       \
        __uint(type, BPF_MAP_TYPE_RINGBUF);                                                        \
        __uint(max_entries, bytes_);                                                               \
        __uint(pinning, LIBBPF_PIN_BY_NAME);                                                       \
    } name_ SEC(".maps") __weak

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct weir_meta_value);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_meta SEC(".maps") __weak;

WEIR_HASH(weir_cgroup, 16384, __u64, struct weir_cgroup_entry);
WEIR_HASH(weir_pod, 4096, __u32, struct weir_pod_value);
WEIR_HASH(weir_svc, 131072, struct weir_svc_key, struct weir_svc_entry);
WEIR_HASH(weir_ep, 262144, struct weir_ep_key, struct weir_ep_value);
WEIR_HASH(weir_maglev, 4096, struct weir_maglev_key, struct weir_maglev_value);
WEIR_HASH(weir_ip, 131072, struct weir_addr, struct weir_ip_entry);
WEIR_HASH(weir_rule, 65536, __u32, struct weir_rule_block);
WEIR_HASH(weir_idset, 1048576, struct weir_idset_key, __u32);
WEIR_HASH(weir_port, 65536, struct weir_port_key, struct weir_port_entry);
WEIR_HASH(weir_http, 16384, struct weir_port_key, __u32);
WEIR_HASH(weir_probe, 16384, struct weir_probe_key, __u8);
WEIR_HASH(weir_name, 262144, struct weir_name_key, struct weir_name_value);
WEIR_HASH(weir_flow, 131072, struct weir_tuple, struct weir_facts);
WEIR_HASH(weir_app_tuple, 131072, struct weir_tuple, __u8);
WEIR_HASH(weir_canary, 4096, __u32, struct weir_canary_value);
WEIR_HASH(weir_doomed, 65536, __u64, __u8);
WEIR_HASH(weir_wait, 4096, __u32, __u64);
WEIR_HASH(weir_dns_bound, 65536, struct weir_dns_bound_key, struct weir_dns_bound_value);

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, 262144);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weir_cidr_key);
    __type(value, struct weir_cidr_value);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_cidr SEC(".maps") __weak;

WEIR_LRU(weir_udp_peer, 65536, struct weir_tuple, __u64);
WEIR_LRU(weir_probe_seen, 16384, struct weir_tuple, __u64);
WEIR_LRU(weir_affinity, 16384, struct weir_affinity_key, struct weir_affinity_value);
WEIR_LRU(weir_ep_load, 16384, struct weir_svc_key, struct weir_ep_load_value);
WEIR_LRU(weir_tls_call, 8192, __u64, struct weir_tls_call);
WEIR_LRU(weir_tls_conn, 8192, struct weir_tls_key, struct weir_tls_conn);
WEIR_LRU(weir_ep_fail, 16384, struct weir_ep_fail_key, struct weir_ep_fail_value);
WEIR_LRU(weir_first, 16384, struct weir_first_key, struct weir_first_value);

struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 65536);
    __type(key, struct weir_listener_key);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_listener SEC(".maps") __weak;

WEIR_STORAGE(weir_sock, struct weir_sock_value);

struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 131072);
    __type(key, struct weir_tuple);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_join SEC(".maps") __weak;

struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 131072);
    __type(key, struct weir_tuple);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_join_app SEC(".maps") __weak;

WEIR_HASH(weir_join_at, 262144, struct weir_tuple, struct weir_join_at_value);

WEIR_STORAGE(weir_join_sock, struct weir_join_sock_value);

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, WEIR_REASON_SLOTS);
    __type(key, __u32);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_count SEC(".maps") __weak;

WEIR_RING(weir_events, 1048576);
WEIR_RING(weir_denials, 262144);
WEIR_RING(weir_http_events, 262144);

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, WEIR_HTTP_REASON_SLOTS);
    __type(key, __u32);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_http_count SEC(".maps") __weak;

WEIR_STORAGE(weir_http_conn, struct weir_http_conn);

#endif
