/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How the endpoints of services do, as seen by the connections of this node: written along each connection's life, read when an endpoint is
 * chosen (svc.bpf.c). Bookkeeping only: what finds no room is not remembered.
 */
#ifndef WEIR_BPF_ENDPOINT_H
#define WEIR_BPF_ENDPOINT_H

#include "maps.bpf.h"
#include "weir/abi/flow.h"

static __always_inline struct weir_ep_load_value *weir_ep_load_of(const struct weir_sock_value *s,
                                                                  bool make) {
    struct weir_svc_key key = { .addr = s->chosen,
                                .port = s->chosen_port,
                                .proto = WEIR_IPPROTO_TCP };
    struct weir_ep_load_value none = {}, *load = bpf_map_lookup_elem(&weir_ep_load, &key);

    if (load || !make)
        return load;
    bpf_map_update_elem(&weir_ep_load, &key, &none, BPF_NOEXIST);
    return bpf_map_lookup_elem(&weir_ep_load, &key);
}

/* The SYN is about to leave. */
static __always_inline void weir_ep_began(struct weir_sock_value *s) {
    struct weir_ep_load_value *load;

    if (!(s->facts.flags & WEIR_FLOW_SERVICE))
        return;
    load = weir_ep_load_of(s, true);
    if (!load)
        return;
    __sync_fetch_and_add(&load->active, 1);
    s->state |= WEIR_SOCK_LOAD;
}

/* An eighth of the new, seven of what was. */
static __always_inline void weir_ep_rtt(struct weir_ep_load_value *load, __u32 srtt_us) {
    if (srtt_us)
        load->srtt_us = load->srtt_us ? load->srtt_us - load->srtt_us / 8 + srtt_us / 8 : srtt_us;
}

static __always_inline struct weir_ep_fail_key
weir_ep_fail_key_of(const struct weir_sock_value *s) {
    return (
        struct weir_ep_fail_key){ .addr = s->chosen, .pod = s->facts.pod, .port = s->chosen_port };
}

static __always_inline void weir_ep_established(struct weir_sock_value *s, __u32 srtt_us) {
    struct weir_ep_fail_key key = weir_ep_fail_key_of(s);
    struct weir_ep_load_value *load;

    if (!(s->state & WEIR_SOCK_LOAD))
        return;
    load = weir_ep_load_of(s, false);
    if (load)
        weir_ep_rtt(load, srtt_us);
    if (bpf_map_lookup_elem(&weir_ep_fail, &key))
        bpf_map_delete_elem(&weir_ep_fail, &key);
}

static __always_inline void weir_ep_failed(const struct weir_sock_value *s) {
    struct weir_ep_fail_key key = weir_ep_fail_key_of(s);
    struct weir_ep_fail_value *f = bpf_map_lookup_elem(&weir_ep_fail, &key), first = {};
    __u32 more;

    if (!f) {
        bpf_map_update_elem(&weir_ep_fail, &key, &first, BPF_NOEXIST);
        f = bpf_map_lookup_elem(&weir_ep_fail, &key);
    }
    if (!f)
        return;
    f->failures++;
    if (f->failures < WEIR_EJECT_AFTER)
        return;
    more = f->failures - WEIR_EJECT_AFTER;
    f->until_ns =
        bpf_ktime_get_ns() + (WEIR_EJECT_NS << (more < WEIR_EJECT_SHIFT ? more : WEIR_EJECT_SHIFT));
}

/* Closed, after it was established or without. */
static __always_inline void weir_ep_ended(struct weir_sock_value *s, __u32 srtt_us) {
    struct weir_ep_load_value *load;

    if (!(s->state & WEIR_SOCK_LOAD))
        return;
    s->state &= ~WEIR_SOCK_LOAD;
    load = weir_ep_load_of(s, false);
    if (load && load->active)
        __sync_fetch_and_add(&load->active, -1);
    if (!(s->state & WEIR_SOCK_OPEN))
        weir_ep_failed(s);
    else if (load)
        weir_ep_rtt(load, srtt_us);
}

#endif
