/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* DNS answers seen on their way to a pod (bpf/dns.bpf.c), and the maps that only they need. */
#ifndef WEIR_BPF_DNS_H
#define WEIR_BPF_DNS_H

#include "maps.bpf.h"

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, 65536);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weir_dns_pattern_key);
    __type(value, __u32);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_dns_pattern SEC(".maps") __weak;

WEIR_HASH(weir_dns_server, 65536, struct weir_dns_server_key, __u8);
WEIR_HASH(weir_dns_used, 4096, __u32, __u32);

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct weir_dns_setting);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_dns_setting SEC(".maps") __weak;

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, __s32);
    __type(value, struct weir_dns_stream);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_dns_stream SEC(".maps") __weak;

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, WEIR_DNS_COUNT_SLOTS);
    __type(key, __u32);
    __type(value, __u64);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} weir_dns_count SEC(".maps") __weak;

#define WEIR_DNS_PIPELINE 8 /* messages looked for in one segment */

/* Binds what the packet answers, if it is an answer to a pod that has rules with names. Returns 0. */
int weir_dns_see(struct __sk_buff *skb);

/* Reads the message that lies in this core's scratch memory; `cut`: it is longer than what lies there. A function of
 * its own: verified once. Returns 0. */
int weir_dns_message(__u32 cut);

/* False: no pod of this node has rules with names. */
static __always_inline bool weir_dns_setting_get(struct weir_dns_setting *ret) {
    __u32 zero = 0;
    struct weir_dns_setting *setting = bpf_map_lookup_elem(&weir_dns_setting, &zero);

    if (!setting || setting->pods == 0)
        return false;
    if (ret)
        *ret = *setting;
    return true;
}

#endif
