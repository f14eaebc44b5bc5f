/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who speaks first on a service port, as the sidecars report it: asked and told through getsockopt.bpf.c. A memory
 * and no decision: what finds no room is not remembered, and two reports at once may lose one.
 */
#ifndef WEIR_BPF_FIRST_H
#define WEIR_BPF_FIRST_H

#include "lib/count.bpf.h"

static __always_inline void weir_first_key_of(const struct weir_facts *f,
                                              struct weir_first_key *ret) {
    __builtin_memset(ret, 0, sizeof(*ret));
    ret->port = f->original_port;
    if (f->direction == WEIR_EGRESS)
        ret->addr = f->original;
    else
        ret->identity = f->identity;
}

/* As weir_first_sides() of the port that flow is to. */
static __always_inline __u8 weir_first_known(const struct weir_facts *f) {
    struct weir_first_value *v;
    struct weir_first_key key;
    __u8 sides;

    weir_first_key_of(f, &key);
    v = bpf_map_lookup_elem(&weir_first, &key);
    sides = v ? weir_first_sides(v, bpf_ktime_get_ns()) : 0;
    if (sides)
        weir_count_one(WEIR_FIRST_TOLD);
    return sides;
}

static __always_inline struct weir_first_value *weir_first_make(const struct weir_first_key *key) {
    struct weir_first_value *v = bpf_map_lookup_elem(&weir_first, key), none = {};

    if (v)
        return v;
    bpf_map_update_elem(&weir_first, key, &none, BPF_NOEXIST);
    return bpf_map_lookup_elem(&weir_first, key);
}

/* spoke: WEIR_SPOKE_*, of somebody. */
static __always_inline void weir_first_note(const struct weir_facts *f, __u32 spoke) {
    __u64 now = bpf_ktime_get_ns();
    struct weir_first_value *v;
    struct weir_first_key key;

    weir_first_key_of(f, &key);
    v = weir_first_make(&key);
    if (!v) {
        weir_count_one(WEIR_DENY_MAP_FULL);
        return;
    }
    weir_count_one(WEIR_FIRST_NOTED);
    v->service = f->service;
    if (spoke == WEIR_SPOKE_SERVER) {
        if (weir_first_sides(v, now) == 1u << WEIR_FIRST_CLIENT)
            weir_count_one(WEIR_FIRST_CONTRARY);
        v->at_ns[WEIR_FIRST_SERVER] = now;
        v->reports[WEIR_FIRST_SERVER]++;
        v->pod[WEIR_FIRST_SERVER] = f->pod;
        return;
    }
    if (weir_first_sides(v, now) == 1u << WEIR_FIRST_SERVER)
        weir_count_one(WEIR_FIRST_CONTRARY);
    v->at_ns[WEIR_FIRST_CLIENT] = now;
    v->reports[WEIR_FIRST_CLIENT]++;
    v->pod[WEIR_FIRST_CLIENT] = f->pod;
    v->speaks = spoke;
}

#endif
