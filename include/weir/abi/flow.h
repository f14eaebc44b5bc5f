/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lint: size each struct with its offsets asserted */
/*
 * What the kernel says: the reasons it counts, the event records of the two ring buffers, and the
 * facts about one connection that an unprivileged sidecar may ask for with getsockopt().
 */
#ifndef WEIR_ABI_FLOW_H
#define WEIR_ABI_FLOW_H

#include "weir/abi/first.h"

/* Index into weir_count, and `reason` of an event. Append only; names for people:
 * weir_reason_name() in proxy/kern. */
enum weir_reason {
    WEIR_REASON_NONE,
    /* allowed */
    WEIR_ALLOW_DIRECT,        /* connect: a plain address */
    WEIR_ALLOW_SERVICE,       /* connect: an endpoint was picked here */
    WEIR_ALLOW_STEERED,       /* connect: sent to the pod's sidecar */
    WEIR_ALLOW_PROXY,         /* connect of the sidecar */
    WEIR_ALLOW_LOCAL,         /* the pod talks to itself */
    WEIR_ALLOW_OUTSIDE,       /* a cgroup classified as none of ours */
    WEIR_ALLOW_INGRESS,       /* sk_lookup: policy allows, the application gets it */
    WEIR_ALLOW_INGRESS_PROXY, /* sk_lookup: policy allows, the sidecar gets it */
    WEIR_ALLOW_APP_BOUND,     /* sk_lookup: the sidecar's own connection to its application */
    WEIR_ALLOW_PROBE,         /* sk_lookup: a declared probe */
    WEIR_ALLOW_UDP_ANSWER,    /* sk_lookup: an answer to what this pod asked */
    WEIR_ALLOW_FAIL_OPEN,     /* no sidecar listens, and the pod's fail mode is open */
    WEIR_ALLOW_AUDIT,         /* would have been denied */
    /* denied by policy: the event names it */
    WEIR_DENY_EGRESS, /* by a rule or by default */
    WEIR_DENY_INGRESS,
    /* refused: no decision, or nowhere to go */
    WEIR_DENY_NO_POD,         /* classified to a pod that is not in the map */
    WEIR_DENY_NO_ENDPOINT,    /* the service has none */
    WEIR_DENY_NO_LISTENER,    /* the flow needs the sidecar and it does not listen */
    WEIR_DENY_REFUSED_CGROUP, /* WEIR_ROLE_REFUSED */
    WEIR_DENY_UNDECIDED,  /* a map that must answer did not: a rule block or endpoint missing, no
                             memory */
    WEIR_DENY_PROXY_PORT, /* somebody dials the sidecar's capture port directly */
    WEIR_DENY_SPOOFED,    /* own source address, but not through lo */
    WEIR_DENY_SOCKET,     /* sock_create: raw, SCTP, MPTCP */
    WEIR_DENY_MAP_FULL,   /* weir_flow, weir_app_tuple or socket storage took no more */
    WEIR_DENY_NO_ORIGIN,  /* getsockopt: no facts for this socket, or not the sidecar's */
    WEIR_DENY_EARLY_L7,   /* a not yet classified process called an L7 service: EAGAIN */
    /* neither */
    WEIR_HELD,       /* SYN or datagram of an unclassified cgroup held back */
    WEIR_LOST_EVENT, /* ring buffer full */
    WEIR_LOST_DENIAL,
    WEIR_SEEN_LISTENER, /* a sidecar's listener was registered */
    WEIR_SEEN_OPEN,     /* connections established, either side */
    WEIR_SEEN_CLOSE,
    /* joining: sockets and directions */
    WEIR_JOIN_ENTERED,    /* sockets that may be joined */
    WEIR_JOIN_BEGAN,      /* times a direction went from TCP to joined */
    WEIR_JOIN_NO_PEER,    /* refused: the other end is not here, or not yet */
    WEIR_JOIN_NOT_READER, /* refused: the other end may splice */
    WEIR_JOIN_UNREAD,     /* refused: bytes sent by TCP are not read yet */
    WEIR_JOIN_FULL,       /* refused: the reader has too much unread */
    WEIR_JOIN_STALE,      /* refused: the other end is going */
    WEIR_JOIN_POLICY,     /* refused: policy changed, and no longer allows it */
    WEIR_JOIN_OFF,        /* refused: switched off */
    WEIR_JOIN_NOT_EMPTY,  /* not entered: bytes were queued at established (fast open) */
    WEIR_JOIN_NO_ROOM,    /* not entered: a map or socket storage took no more */
    WEIR_JOIN_SOCKOPT,    /* an option that joined sockets cannot keep was refused: ULP, zerocopy */
    WEIR_DENY_ENDPOINT_GONE, /* reset: its endpoint is no longer one of the service */
    WEIR_SEEN_CANARY,        /* a call to the reserved address, refused: interception works */
    WEIR_ALLOW_NOTED,        /* an AuthorizationPolicy with action AUDIT matched */
    WEIR_DENY_UNPROVEN, /* what the policy asks for only a sidecar can see, and it gets not there */
    WEIR_SEEN_PROBE,    /* a connection of the kubelet to a pod here, written down */
    WEIR_SEEN_EJECTED,  /* an endpoint was left out because connections to it had failed */
    WEIR_HELD_SIDECAR,  /* held back: it needs the sidecar, which does not listen yet. A connect()
                           once, an arriving SYN each time it is repeated */
    WEIR_JOIN_WATCHED,  /* not entered, or back to TCP: its bytes are looked at for HTTP */
    WEIR_FIRST_NOTED,   /* reports of sidecars about who spoke first */
    WEIR_FIRST_CONTRARY, /* of these: until then the other side alone had */
    WEIR_FIRST_TOLD,     /* sidecars that asked, and something was known */
    WEIR_REASON_COUNT_,
};
#define WEIR_REASON_SLOTS 64u

/* kind of a struct weir_event */
#define WEIR_EVENT_OPEN   1
#define WEIR_EVENT_CLOSE  2
#define WEIR_EVENT_DENY   3 /* also WEIR_ALLOW_AUDIT */
#define WEIR_EVENT_LISTEN 4 /* a sidecar's listener came (flags has none) */
#define WEIR_EVENT_HELD   7 /* not decided yet: WEIR_HELD_SIDECAR (5 and 6: revoke.h) */

/* flags of a struct weir_event */
#define WEIR_FLOW_STEERED 1u  /* application -> own sidecar */
#define WEIR_FLOW_SERVICE 2u  /* an endpoint was picked in connect() */
#define WEIR_FLOW_PROXY   4u  /* the local socket is the sidecar's */
#define WEIR_FLOW_LOCAL   8u  /* both ends in this pod */
#define WEIR_FLOW_FAILED  16u /* CLOSE of a connection that never was established */

/* One record of weir_events (opens, closes) or weir_denials (denials). */
struct weir_event {
    __u64 at_ns;               /* CLOCK_MONOTONIC */
    __u64 cookie;              /* socket; 0 when none exists yet (sk_lookup) */
    __u64 bytes_in, bytes_out; /* CLOSE: received; sent and acknowledged. A SYN or FIN counts 1 */
    __u64 duration_ns;         /* CLOSE: since connect() or accept */
    struct weir_addr local,
        remote; /* as on the wire: remote is the endpoint, or the sidecar when steered */
    struct weir_addr
        original; /* what the application asked for; equal to remote when nothing was changed */
    __u16 local_port, remote_port, original_port;
    __u8 kind;           /* WEIR_EVENT_* */
    __u8 direction;      /* WEIR_INGRESS, WEIR_EGRESS */
    __u32 pod;           /* the local pod this is about */
    __u32 identity;      /* its identity */
    __u32 peer_identity; /* 0 = unidentified */
    __u32 policy;        /* DENY: whom it is reported as; 0 = not a policy's doing */
    __u32 service;       /* 0 = none */
    __u32 srtt_us;       /* CLOSE */
    __u32 retransmits;   /* CLOSE */
    __u32 flags;         /* WEIR_FLOW_* */
    __u8 reason;         /* enum weir_reason */
    __u8 proto;
    __u8 role; /* WEIR_ROLE_* of the local socket */
    __u8 pad[5];
};
WEIR_ABI_SIZE(weir_event, 136);
WEIR_ABI_AT(weir_event, at_ns, 0);
WEIR_ABI_AT(weir_event, cookie, 8);
WEIR_ABI_AT(weir_event, bytes_in, 16);
WEIR_ABI_AT(weir_event, bytes_out, 24);
WEIR_ABI_AT(weir_event, duration_ns, 32);
WEIR_ABI_AT(weir_event, local, 40);
WEIR_ABI_AT(weir_event, remote, 56);
WEIR_ABI_AT(weir_event, original, 72);
WEIR_ABI_AT(weir_event, local_port, 88);
WEIR_ABI_AT(weir_event, remote_port, 90);
WEIR_ABI_AT(weir_event, original_port, 92);
WEIR_ABI_AT(weir_event, kind, 94);
WEIR_ABI_AT(weir_event, direction, 95);
WEIR_ABI_AT(weir_event, pod, 96);
WEIR_ABI_AT(weir_event, identity, 100);
WEIR_ABI_AT(weir_event, peer_identity, 104);
WEIR_ABI_AT(weir_event, policy, 108);
WEIR_ABI_AT(weir_event, service, 112);
WEIR_ABI_AT(weir_event, srtt_us, 116);
WEIR_ABI_AT(weir_event, retransmits, 120);
WEIR_ABI_AT(weir_event, flags, 124);
WEIR_ABI_AT(weir_event, reason, 128);
WEIR_ABI_AT(weir_event, proto, 129);
WEIR_ABI_AT(weir_event, role, 130);
WEIR_ABI_AT(weir_event, pad, 131);

/*
 * getsockopt(fd, WEIR_SOL, WEIR_SO_FACTS, struct weir_facts *, &len) on a connection the sidecar
 * accepted. Works for any uid, only for a socket made in the sidecar's cgroup (decisions.md 10).
 * ENOENT: nothing is known of it, so it did not come through the kernel half: refuse it.
 * SO_ORIGINAL_DST on SOL_IP and SOL_IPV6 is a view of the same. A longer buffer is fine, *len tells
 * how much was written; a shorter one is EINVAL.
 */
#define WEIR_SOL      0x5745 /* "WE": no level of the kernel's own */
#define WEIR_SO_FACTS 1
/*
 * The same, after a report of what this connection has shown: WEIR_SO_SPOKE + WEIR_SPOKE_* (first.h). Once per
 * connection, by its sidecar alone; EALREADY the second time, EINVAL for what nobody can speak.
 */
#define WEIR_SO_SPOKE 16

struct weir_facts {
    __u32 size;  /* sizeof(struct weir_facts) of the kernel side */
    __u32 flags; /* WEIR_FLOW_* */
    struct weir_addr
        original; /* outbound: what the application asked for; inbound: the local address */
    struct weir_addr peer; /* outbound: the application's own address; inbound: the client's */
    __u16 original_port, peer_port;
    __u8 direction;      /* WEIR_EGRESS: from the application. WEIR_INGRESS: steered by sk_lookup */
    __u8 reason;         /* enum weir_reason of the decision */
    __u8 join;           /* WEIR_FACTS_JOIN_*, when asked: what the asking socket writes */
    __u8 first;          /* weir_first_sides() of the port, when asked */
    __u32 pod;           /* the pod of this sidecar */
    __u32 identity;      /* and its identity */
    __u32 peer_identity; /* inbound: by source address; 0 = unidentified */
    __u32 service;       /* outbound: id of the service asked for */
    __u32 policy;        /* inbound: the policy that allowed it; 0 = not isolated */
    __u32 pad2;
    __u64 epoch;  /* weir_meta epoch of the decision */
    __u64 cookie; /* outbound: the application's socket */
    __u64 at_ns;  /* CLOCK_MONOTONIC of the decision */
};
WEIR_ABI_SIZE(weir_facts, 96);
WEIR_ABI_AT(weir_facts, size, 0);
WEIR_ABI_AT(weir_facts, flags, 4);
WEIR_ABI_AT(weir_facts, original, 8);
WEIR_ABI_AT(weir_facts, peer, 24);
WEIR_ABI_AT(weir_facts, original_port, 40);
WEIR_ABI_AT(weir_facts, peer_port, 42);
WEIR_ABI_AT(weir_facts, direction, 44);
WEIR_ABI_AT(weir_facts, reason, 45);
WEIR_ABI_AT(weir_facts, join, 46);
WEIR_ABI_AT(weir_facts, first, 47);
WEIR_ABI_AT(weir_facts, pod, 48);
WEIR_ABI_AT(weir_facts, identity, 52);
WEIR_ABI_AT(weir_facts, peer_identity, 56);
WEIR_ABI_AT(weir_facts, service, 60);
WEIR_ABI_AT(weir_facts, policy, 64);
WEIR_ABI_AT(weir_facts, pad2, 68);
WEIR_ABI_AT(weir_facts, epoch, 72);
WEIR_ABI_AT(weir_facts, cookie, 80);
WEIR_ABI_AT(weir_facts, at_ns, 88);

#define WEIR_FACTS_JOIN_NO  0 /* goes by TCP for good */
#define WEIR_FACTS_JOIN_TCP 1 /* goes by TCP now and may be joined */
#define WEIR_FACTS_JOIN_ON  2 /* is handed to the other end's socket */

/* weir_sock: SK_STORAGE, kernel only. What is known of one socket; dies with it. */
struct weir_sock_value {
    struct weir_facts facts; /* of this flow, as the sidecar would be told */
    struct weir_addr
        chosen; /* what is really dialled; equal to facts.original when nothing was changed */
    __u16 chosen_port;
    __u8 role;  /* WEIR_ROLE_* of the socket */
    __u8 state; /* WEIR_SOCK_* */
    __u32 set;  /* backend set the endpoint is from */
    /* Is it looked at for HTTP? WEIR_SOCK_HTTP_*, and above them the policy epoch in which that was
     * found out; 0 = not yet. */
    __u32 http;
    __u32 pad;
};
#define WEIR_SOCK_HTTP_YES   1u
#define WEIR_SOCK_HTTP_SHIFT 1u
#define WEIR_SOCK_DECIDED    1u /* a hook allowed this destination: packets pass */
#define WEIR_SOCK_HELD                                                                             \
    2u /* asked before its cgroup was classified: policy is asked again at the first packet */
#define WEIR_SOCK_BROKEN 4u   /* bookkeeping failed: no packet may leave */
#define WEIR_SOCK_OPEN   8u   /* TCP: established, the OPEN event was sent */
#define WEIR_SOCK_FACTS  16u  /* accepted by the sidecar, facts may be told */
#define WEIR_SOCK_LOAD   32u  /* TCP: counted in weir_ep_load */
#define WEIR_SOCK_WAITS  64u  /* for the pod's sidecar: its SYN is dropped until that listens */
#define WEIR_SOCK_SPOKE  128u /* its sidecar has reported who spoke first */
WEIR_ABI_SIZE(weir_sock_value, 128);
WEIR_ABI_AT(weir_sock_value, facts, 0);
WEIR_ABI_AT(weir_sock_value, chosen, 96);
WEIR_ABI_AT(weir_sock_value, chosen_port, 112);
WEIR_ABI_AT(weir_sock_value, role, 114);
WEIR_ABI_AT(weir_sock_value, state, 115);
WEIR_ABI_AT(weir_sock_value, set, 116);
WEIR_ABI_AT(weir_sock_value, http, 120);
WEIR_ABI_AT(weir_sock_value, pad, 124);

#endif
