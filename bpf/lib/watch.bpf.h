/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which connections are looked at for HTTP (docs/adr/0018): those of applications with a service that asks for it. */
#ifndef WEIR_BPF_WATCH_H
#define WEIR_BPF_WATCH_H

#include "lib/policy.bpf.h"
#include "lib/svc.bpf.h"

/* Id of the service whose exchanges are told at that port of a local pod; 0 = none. */
static __always_inline __u32 weir_http_at_port(__u32 pod, __u16 port) {
    struct weir_port_key key = { .pod = pod, .port = port, .proto = WEIR_IPPROTO_TCP };
    __u32 *service = bpf_map_lookup_elem(&weir_http, &key);

    return service ? *service : 0;
}

/* The same of a call that was led to an endpoint. */
static __always_inline __u32 weir_http_of_call(const struct weir_sock_value *s) {
    struct weir_svc_value v;

    if (!(s->facts.flags & WEIR_FLOW_SERVICE) ||
        !weir_svc_get(&s->facts.original, s->facts.original_port, WEIR_IPPROTO_TCP, &v))
        return 0;
    return v.flags & WEIR_SVC_HTTP ? v.service : 0;
}

/* Of an application's socket; what the sidecar has a hand in, it tells itself. `port`: the local one. */
static __always_inline __u32 weir_http_service(const struct weir_sock_value *s, __u16 port) {
    if (s->role != WEIR_ROLE_APP || (s->facts.flags & (WEIR_FLOW_STEERED | WEIR_FLOW_LOCAL)))
        return 0;
    return s->facts.direction == WEIR_INGRESS ? weir_http_at_port(s->facts.pod, port)
                                              : weir_http_of_call(s);
}

#endif
