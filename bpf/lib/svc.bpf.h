/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Services: is this destination one, and which of its endpoints. */
#ifndef WEIR_BPF_SVC_H
#define WEIR_BPF_SVC_H

#include "lib/addr.bpf.h"
#include "maps.bpf.h"

static __always_inline bool weir_svc_get(const struct weir_addr *addr, __u16 port, __u8 proto,
                                         struct weir_svc_value *ret) {
    struct weir_svc_key key = { .addr = *addr, .port = port, .proto = proto };

    for (int i = 0; i < WEIR_READS; i++) {
        struct weir_svc_entry *e = bpf_map_lookup_elem(&weir_svc, &key);

        if (!e)
            continue;
        *ret = e->value;
        weir_barrier();
        if (weir_addr_equal(&e->key.addr, &key.addr) && e->key.port == port &&
            e->key.proto == proto)
            return true;
    }
    return false;
}

/* One call of a service. */
struct weir_pick {
    struct weir_svc_value svc;
    struct weir_addr addr; /* of the endpoint */
    __u32 pod;             /* the caller; 0 = not known */
    __u16 asked_port;      /* of the service */
    __u16 port;            /* of the endpoint */
    __u8 proto;
    __u8 v6;
    __u8 pad[2];
};

/*
 * Chooses an endpoint: fills addr and port and returns 1. An endpoint to which this pod's connections failed is left out while there
 * are others. 0: the set is not whole (never so after a complete update). svc.count must not be 0.
 */
int weir_svc_choose(struct weir_pick *p);

#endif
