/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tenant's worker (`weir proxy --tenant`, docs/adr/0022) and the agent say to each other: packets of one size over
 * a unix seqpacket socket, descriptors beside them (sys/packet.h). The worker asks for nothing but sockets of its pods.
 */
#ifndef WEIR_CORE_TENANT_H
#define WEIR_CORE_TENANT_H

#include <stdint.h>

#define WEIR_TENANT_VERSION 2u
/* Sockets in one packet; what a pod has at most, of each family; below this it asks for more. */
#define WEIR_TENANT_BATCH 16u
#define WEIR_TENANT_LOW   8u

enum weir_tenant_verb {
    /* the agent says */
    WEIR_TENANT_CONFIG =
        1, /* 1 descriptor: all documents, to be read from its beginning; replaces those before; value[0]: CSRs are answered */
    WEIR_TENANT_SVID,    /* 2: certificate chain and CAs, as PEM: of the CSR before */
    WEIR_TENANT_NO_SVID, /* text: why not */
    WEIR_TENANT_TRUST,   /* 1: CAs, as PEM; they replace those before */
    WEIR_TENANT_POD,  /* name; listeners, value[0] of them outbound, the others inbound: serve it */
    WEIR_TENANT_GONE, /* name: accept no more, finish what runs */
    WEIR_TENANT_SOCKETS, /* name, value[0] and [1] as in the WANT; sockets of that pod to connect with */
    WEIR_TENANT_PING,  /* value[0]: a number */
    WEIR_TENANT_DRAIN, /* all of it, then end */
    /* the worker says */
    WEIR_TENANT_READY, /* name: it is served; "": value[0] generations of configuration are in force */
    WEIR_TENANT_FAILED, /* name: it cannot be served; "": the configuration is refused; its log says why */
    WEIR_TENANT_WANT, /* name, value[0] AF_INET or AF_INET6, [1] whose turn it is: SOCKETS, please */
    WEIR_TENANT_LEFT, /* name: nothing of it is left */
    WEIR_TENANT_CSR,  /* text: certificate request of the tenant's identity, PEM */
    /* value[0] as the PING's; [1] connections that are open, [2] requests and relays so far, [3] resident bytes */
    WEIR_TENANT_PONG,
};

/* What a verb does not use is zero. */
struct weir_tenant_packet {
    uint32_t version;
    uint32_t verb;
    uint64_t value[4];
    char name[344]; /* "namespace/pod" */
    char text[1664];
};
_Static_assert(sizeof(struct weir_tenant_packet) == 2048, "wire");

#endif
