/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lint: size each struct with its offsets asserted */
/*
 * The maps: name, key, value, who writes. A map's name is the identifier in the comment; it is
 * pinned as <pin_dir>/maps/<name>. Written by the agent unless the comment says "kernel".
 *
 * How an update stays whole for a reader: rule blocks, identity sets, address sets and backend sets
 * are never changed in place. New ones are written under ids not in use, then the one entry that
 * points at them (weir_pod, weir_svc) is replaced, then weir_kern_settle() waits until no program
 * still reads the old ones, then those are deleted. Id 0 is "none" for every kind of id. Ids are
 * the agent's to give; weir_name keeps their meaning across restarts.
 *
 * What a change replaces under its key while programs run (weir_ip, weir_svc, weir_cgroup, weir_port) is
 * a struct weir_*_entry, key first: the kernel may give the memory of an element to another key while a
 * program still reads it, so a program takes the value, then sees whether the key is still its own.
 * weir_pod begins with its key for the same reason.
 */
#ifndef WEIR_ABI_MAPS_H
#define WEIR_ABI_MAPS_H

#include "weir/abi/dns.h"
#include "weir/abi/svc.h"

/* Of all structs in this folder together. An agent that finds another number refuses to adopt. */
#define WEIR_LAYOUT_VERSION 4
#define WEIR_LAYOUT_MAGIC   0x72696577u /* "weir" */

/* weir_meta: ARRAY of one. */
struct weir_meta_value {
    __u32 magic;
    __u32 version;
    __u64 epoch; /* policy epoch: the agent adds one when a change is complete; stamped on flows */
    __u32 flags; /* WEIR_META_* */
    __u32
        sidecar_wait_ms; /* how long SYNs that need a sidecar that does not listen are held back */
};
#define WEIR_META_HOLD                                                                             \
    1u /* unclassified cgroups: hold SYNs back (decisions.md 5); off = let them go */
#define WEIR_META_JOIN 2u /* sockets are joined; off: what is joined goes back to TCP at once */
#define WEIR_META_JOIN_WRITERS                                                                     \
    4u /* the self-test found that an application whose socket is only written through a sockmap   \
          reads as it always did, FIONREAD included */
#define WEIR_META_JOIN_READERS                                                                     \
    8u /* the self-test found that a declared application may be handed bytes */
WEIR_ABI_SIZE(weir_meta_value, 24);
WEIR_ABI_AT(weir_meta_value, magic, 0);
WEIR_ABI_AT(weir_meta_value, version, 4);
WEIR_ABI_AT(weir_meta_value, epoch, 8);
WEIR_ABI_AT(weir_meta_value, flags, 16);
WEIR_ABI_AT(weir_meta_value, sidecar_wait_ms, 20);

/* weir_cgroup: HASH. Key: __u64 cgroup id (inode number of the directory). A cgroup below a listed
 * one belongs to it. */
struct weir_cgroup_value {
    __u32 pod; /* 0 with WEIR_ROLE_OUTSIDE and WEIR_ROLE_REFUSED */
    __u8 role; /* WEIR_ROLE_* */
    __u8 pad[3];
};
#define WEIR_ROLE_NONE 0 /* no entry: not classified, its SYNs are held back */
#define WEIR_ROLE_APP  1
#define WEIR_ROLE_PROXY                                                                            \
    2 /* the pod's sidecar: never rewritten, may ask for original destinations */
#define WEIR_ROLE_OUTSIDE                                                                          \
    3 /* classified as none of ours: nothing is translated, checked or held                        \
       */
#define WEIR_ROLE_REFUSED                                                                          \
    4 /* classification failed and the fail mode is closed: every connect is refused */
WEIR_ABI_SIZE(weir_cgroup_value, 8);
WEIR_ABI_AT(weir_cgroup_value, pod, 0);
WEIR_ABI_AT(weir_cgroup_value, role, 4);
WEIR_ABI_AT(weir_cgroup_value, pad, 5);
struct weir_cgroup_entry {
    __u64 key;
    struct weir_cgroup_value value;
};
WEIR_ABI_SIZE(weir_cgroup_entry, 16);
WEIR_ABI_AT(weir_cgroup_entry, key, 0);
WEIR_ABI_AT(weir_cgroup_entry, value, 8);

/* One direction of a pod's policy. */
struct weir_policy_slot {
    __u32 block;  /* first rule block (weir_rule); 0 = no rule at all */
    __u32 policy; /* whom a default deny is reported as: a policy that isolates the pod here */
    __u32 flags;  /* WEIR_SLOT_* */
    __u32 pad;
};
#define WEIR_SLOT_ISOLATED                                                                         \
    1u                     /* some policy selects the pod here: what no rule allows is denied      \
                            */
#define WEIR_SLOT_AUDIT 2u /* a default deny is counted and reported, not enforced */
WEIR_ABI_SIZE(weir_policy_slot, 16);
WEIR_ABI_AT(weir_policy_slot, block, 0);
WEIR_ABI_AT(weir_policy_slot, policy, 4);
WEIR_ABI_AT(weir_policy_slot, flags, 8);
WEIR_ABI_AT(weir_policy_slot, pad, 12);

#define WEIR_INGRESS 0
#define WEIR_EGRESS  1
#define WEIR_AUTHZ                                                                                 \
    2 /* AuthorizationPolicies: ingress TCP, asked beside WEIR_INGRESS; both must allow */
#define WEIR_SLOTS 3

/* weir_pod: HASH. Key: __u32 pod id (local pods only). */
struct weir_pod_value {
    __u32 pod; /* the key again: readers check it, for an element may be reused under them */
    __u32 identity;
    __u64 netns; /* cookie of its network namespace */
    __u32 flags; /* WEIR_POD_* */
    __u32 generation;
    struct weir_policy_slot policy[WEIR_SLOTS]; /* [WEIR_INGRESS], [WEIR_EGRESS], [WEIR_AUTHZ] */
    struct weir_addr addr[2]; /* its first IPv4 and first IPv6 address; all zero = none */
};
#define WEIR_POD_MESHED 1u /* it has a sidecar: L7 services are steered into it */
#define WEIR_POD_FAIL_OPEN                                                                         \
    2u                   /* without a listening sidecar, L7 flows go on plain (default: refused) */
#define WEIR_POD_JOIN 4u /* its sockets may be joined where that is safe without knowing it */
#define WEIR_POD_JOIN_READER                                                                       \
    8u /* declared: its processes do not splice(2), so they may be handed joined bytes */
#define WEIR_POD_NAMES 16u /* its egress rules have names: the DNS answers it gets are read */
#define WEIR_POD_SKIPS 64u /* some of its calls pass its sidecar by: weir_port, outbound */
#define WEIR_POD_HTTP  32u /* what its processes hand to OpenSSL is looked at for HTTP (http.h) */
WEIR_ABI_SIZE(weir_pod_value, 104);
WEIR_ABI_AT(weir_pod_value, pod, 0);
WEIR_ABI_AT(weir_pod_value, identity, 4);
WEIR_ABI_AT(weir_pod_value, netns, 8);
WEIR_ABI_AT(weir_pod_value, flags, 16);
WEIR_ABI_AT(weir_pod_value, generation, 20);
WEIR_ABI_AT(weir_pod_value, policy, 24);
WEIR_ABI_AT(weir_pod_value, addr, 72);

/* weir_ip: HASH. Key: struct weir_addr. Who is behind an address; no entry = unidentified. */
struct weir_ip_value {
    __u32 identity;
    __u32 pod;        /* local pod id, else 0 */
    __u32 generation; /* of the Pod object that has the address now */
    __u32 pad;
};
WEIR_ABI_SIZE(weir_ip_value, 16);
WEIR_ABI_AT(weir_ip_value, identity, 0);
WEIR_ABI_AT(weir_ip_value, pod, 4);
WEIR_ABI_AT(weir_ip_value, generation, 8);
WEIR_ABI_AT(weir_ip_value, pad, 12);
struct weir_ip_entry {
    struct weir_addr key;
    struct weir_ip_value value;
};
WEIR_ABI_SIZE(weir_ip_entry, 32);
WEIR_ABI_AT(weir_ip_entry, key, 0);
WEIR_ABI_AT(weir_ip_entry, value, 16);

/*
 * weir_rule: HASH. Key: __u32 block id. Rules are tried in order and the first that matches decides,
 * so whoever compiles them puts DENY before ALLOW. More than WEIR_BLOCK_RULES rules go on in block
 * `next`. Example: ingress from identity set 7 on TCP 8080-8090:
 *   {.set = 7, .policy = 3, .port_lo = 8080, .port_hi = 8090, .proto = 6, .peer = WEIR_PEER_IDENTITY}
 * Example: "from everybody on every port": {.policy = 3, .port_hi = 65535, .peer = WEIR_PEER_ANY}
 */
struct weir_rule_item {
    __u32 set;  /* identity set, with WEIR_PEER_IDENTITY and WEIR_PEER_NOT_IDENTITY; of names, with
                     WEIR_PEER_NAME */
    __u32 cidr; /* address set, with WEIR_PEER_CIDR */
    __u32 policy; /* named in events, unless the member of the set that matched names another */
    __u16 port_lo,
        port_hi; /* inclusive; 0..65535 = every port. The DESTINATION port in both directions */
    __u8 proto;  /* WEIR_IPPROTO_*; 0 = any */
    __u8 peer;   /* WEIR_PEER_*: all that are set must hold */
    __u8 flags;  /* WEIR_RULE_* */
    __u8 pad;
};
#define WEIR_PEER_ANY      0
#define WEIR_PEER_IDENTITY 1u /* the peer's identity is in weir_idset {set, identity} */
#define WEIR_PEER_CIDR                                                                             \
    2u /* the longest prefix of cidr in weir_cidr that holds the peer says "in"                    \
        */
#define WEIR_PEER_NOT_IDENTITY 4u /* the peer's identity is not in the set; unidentified is not */
#define WEIR_PEER_NAME                                                                             \
    8u /* not beside one of an identity: the peer is in no identity set, and was answered to the pod for a   \
          name that is in weir_idset {set, name} (dns.h) */
#define WEIR_RULE_DENY 1u
#define WEIR_RULE_AUDIT                                                                            \
    2u /* with DENY: counted and reported, and the next rule is tried. Without: it ends the rules  \
          of policies in audit mode */
#define WEIR_RULE_PROXY                                                                            \
    4u /* it has parts that only the sidecar can judge (a certificate, HTTP); as far as is known   \
          here it matches. ALLOW: only into the sidecar, where an unidentified peer may yet prove  \
          to be in the set. DENY: the next rule is tried, and what is allowed then is so only into \
          the sidecar */
#define WEIR_RULE_NOTE 8u /* action AUDIT: reported, and the next rule is tried */
WEIR_ABI_SIZE(weir_rule_item, 20);
WEIR_ABI_AT(weir_rule_item, set, 0);
WEIR_ABI_AT(weir_rule_item, cidr, 4);
WEIR_ABI_AT(weir_rule_item, policy, 8);
WEIR_ABI_AT(weir_rule_item, port_lo, 12);
WEIR_ABI_AT(weir_rule_item, port_hi, 14);
WEIR_ABI_AT(weir_rule_item, proto, 16);
WEIR_ABI_AT(weir_rule_item, peer, 17);
WEIR_ABI_AT(weir_rule_item, flags, 18);
WEIR_ABI_AT(weir_rule_item, pad, 19);

#define WEIR_BLOCK_RULES 32u
#define WEIR_BLOCK_CHAIN                                                                           \
    16u /* blocks followed at most: 512 rules; a longer chain is a denial (undecidable) */
struct weir_rule_block {
    __u32 block; /* the key again */
    __u32 next;  /* 0 = last */
    __u32 count; /* rules used here */
    __u32 pad;
    struct weir_rule_item rules[WEIR_BLOCK_RULES];
};
WEIR_ABI_SIZE(weir_rule_block, 656);
WEIR_ABI_AT(weir_rule_block, block, 0);
WEIR_ABI_AT(weir_rule_block, next, 4);
WEIR_ABI_AT(weir_rule_block, count, 8);
WEIR_ABI_AT(weir_rule_block, pad, 12);
WEIR_ABI_AT(weir_rule_block, rules, 16);

/* What the matcher (policy.h) says. */
#define WEIR_VERDICT_UNDECIDED 0u /* a block is missing or the chain too long: treat as DENY */
#define WEIR_VERDICT_ALLOW     1u
#define WEIR_VERDICT_DENY      2u
#define WEIR_VERDICT_PROXY     3u /* allowed into the pod's sidecar, which decides; nowhere else */

/* weir_idset: HASH. Value: __u32 policy id that the member stands for, where one set is that of many
 * policies' rules; 0 = the rule's own. */
struct weir_idset_key {
    __u32 set;
    __u32 identity;
};
WEIR_ABI_SIZE(weir_idset_key, 8);
WEIR_ABI_AT(weir_idset_key, set, 0);
WEIR_ABI_AT(weir_idset_key, identity, 4);

/*
 * weir_cidr: LPM_TRIE. One set per ipBlock (an except narrows its own block only), or the union of
 * those of many rules. Example: 10.0.0.0/8 except 10.1.0.0/16 in set 5 is
 *   {.prefix = 32 + 104, .set = 5, 10.0.0.0} -> IN and {.prefix = 32 + 112, .set = 5, 10.1.0.0} ->
 * OUT.
 */
struct weir_cidr_key {
    __u32 prefix; /* 32 bits of set + prefix of the 16-byte address; bits after it are zero */
    __u32 set;
    struct weir_addr addr;
};
struct weir_cidr_value {
    __u32 policy; /* as in weir_idset */
    __u8 verdict; /* WEIR_CIDR_*; OUT: `except` */
    __u8 pad[3];
};
#define WEIR_CIDR_OUT 1
#define WEIR_CIDR_IN  2
WEIR_ABI_SIZE(weir_cidr_value, 8);
WEIR_ABI_AT(weir_cidr_value, policy, 0);
WEIR_ABI_AT(weir_cidr_value, verdict, 4);
WEIR_ABI_AT(weir_cidr_value, pad, 5);
WEIR_ABI_SIZE(weir_cidr_key, 24);
WEIR_ABI_AT(weir_cidr_key, prefix, 0);
WEIR_ABI_AT(weir_cidr_key, set, 4);
WEIR_ABI_AT(weir_cidr_key, addr, 8);

/* weir_port: HASH. Inbound side of a local pod; port 0 = every port without an entry of its own.
 * Value: __u32 WEIR_PORT_*. With outbound = 1: a port of services that the pod's calls pass its sidecar by for. */
struct weir_port_key {
    __u32 pod;
    __u16 port;
    __u8 proto;
    __u8 outbound;
};
#define WEIR_PORT_STEER 1u /* enters the sidecar: L7, or mTLS is required */
#define WEIR_PORT_PLAIN 2u /* never enters it (an exception below a port 0 entry) */
#define WEIR_PORT_PROOF                                                                            \
    4u /* with STEER: who arrives has to prove who it is, so a probe by address goes around it */
WEIR_ABI_SIZE(weir_port_key, 8);
WEIR_ABI_AT(weir_port_key, pod, 0);
WEIR_ABI_AT(weir_port_key, port, 4);
WEIR_ABI_AT(weir_port_key, proto, 6);
WEIR_ABI_AT(weir_port_key, outbound, 7);
struct weir_port_entry {
    struct weir_port_key key;
    __u32 value;
};
WEIR_ABI_SIZE(weir_port_entry, 12);
WEIR_ABI_AT(weir_port_entry, key, 0);
WEIR_ABI_AT(weir_port_entry, value, 8);

/* weir_http: HASH. Key: struct weir_port_key of a local pod, TCP. Value: __u32 id of the service whose
 * exchanges are told when the application itself accepts there. */

/*
 * weir_probe: HASH. Sources that may reach a pod's port whatever its ingress policy says: the
 * node's own addresses to the declared probe ports (the fallback of decisions.md 7). Value: __u8 1.
 * `pod` 0 = every local pod.
 */
struct weir_probe_key {
    struct weir_addr addr;
    __u32 pod;
    __u16 port;
    __u16 pad;
};
WEIR_ABI_SIZE(weir_probe_key, 24);
WEIR_ABI_AT(weir_probe_key, addr, 0);
WEIR_ABI_AT(weir_probe_key, pod, 16);
WEIR_ABI_AT(weir_probe_key, port, 20);
WEIR_ABI_AT(weir_probe_key, pad, 22);

/*
 * weir_probe_seen: LRU -> __u64 ns, kernel. Connections that the kubelet makes to pods of this node, by
 * weir_tuple with netns and kind 0, from before their SYN until they close: they reach the application
 * whatever policy says (decisions.md 7). One that is forgotten is judged like any other.
 */

/* weir_name: HASH, never read by the kernel. Keeps ids stable and readable across a restart of the
 * agent. */
struct weir_name_key {
    __u32 kind; /* WEIR_NAME_* */
    __u32 id;
};
#define WEIR_NAME_BYTES 328u
struct weir_name_value {
    char text[WEIR_NAME_BYTES]; /* "namespace/name", NUL-terminated, zero-filled */
};
#define WEIR_NAME_POD      1u
#define WEIR_NAME_IDENTITY 2u
#define WEIR_NAME_POLICY   3u
#define WEIR_NAME_SERVICE  4u
#define WEIR_NAME_DNS      5u /* of an egress rule: "api.example.com", "*.example.com" */
WEIR_ABI_SIZE(weir_name_key, 8);
WEIR_ABI_AT(weir_name_key, kind, 0);
WEIR_ABI_AT(weir_name_key, id, 4);
WEIR_ABI_SIZE(weir_name_value, 328);
WEIR_ABI_AT(weir_name_value, text, 0);

/*
 * weir_tuple as a key, all written by the kernel.
 *
 * weir_flow: HASH -> struct weir_facts. From the application's TCP_CONNECT_CB until the sidecar's
 * accept takes it.
 *
 * weir_app_tuple: HASH -> __u8. The sidecar's own connections to its application: never steered
 * back.
 *
 * weir_udp_peer: LRU -> __u64 ns. A conversation of an unconnected UDP socket that policy allowed;
 * src is unused, sport the local port, dst and dport the peer. `kind` says who began: the other
 * side may answer for a minute.
 */
struct weir_tuple {
    __u64 netns; /* cookie */
    struct weir_addr src, dst;
    __u16 sport, dport;
    __u32 kind; /* weir_udp_peer: WEIR_UDP_*; else 0 */
};
#define WEIR_UDP_WE_ASKED   1u
#define WEIR_UDP_THEY_ASKED 2u
#define WEIR_UDP_MEMORY_NS  60000000000ull
WEIR_ABI_SIZE(weir_tuple, 48);
WEIR_ABI_AT(weir_tuple, netns, 0);
WEIR_ABI_AT(weir_tuple, src, 8);
WEIR_ABI_AT(weir_tuple, dst, 24);
WEIR_ABI_AT(weir_tuple, sport, 40);
WEIR_ABI_AT(weir_tuple, dport, 42);
WEIR_ABI_AT(weir_tuple, kind, 44);

/* weir_canary: HASH, kernel. Key: __u32 pod id. How often a process of the pod called the reserved
 * address (weir_addr_is_canary). */
struct weir_canary_value {
    __u32 seen[2]; /* IPv4, IPv6 */
};
WEIR_ABI_SIZE(weir_canary_value, 8);
WEIR_ABI_AT(weir_canary_value, seen, 0);

/* weir_doomed: HASH. Key: __u64 socket cookie, value __u8. What the walk that runs resets whatever
 * policy says; empty between walks. */

/* weir_listener: SOCKHASH, kernel. The sidecar's listeners, several workers each, dropped when
 * closed. port: sk_lookup steers to WEIR_PORT_INBOUND; of WEIR_PORT_OUTBOUND only the presence
 * matters. */
struct weir_listener_key {
    __u32 pod;
    __u16 port;
    __u8 family; /* 4 or 6: what the socket accepts; one that accepts both is listed twice */
    __u8 slot;   /* 0..WEIR_LISTENER_SLOTS-1 */
};
#define WEIR_LISTENER_SLOTS 16u
WEIR_ABI_SIZE(weir_listener_key, 8);
WEIR_ABI_AT(weir_listener_key, pod, 0);
WEIR_ABI_AT(weir_listener_key, port, 4);
WEIR_ABI_AT(weir_listener_key, family, 6);
WEIR_ABI_AT(weir_listener_key, slot, 7);

/* weir_wait: HASH, kernel. Key: __u32 pod id. Value: __u64 ns, CLOCK_MONOTONIC: when a SYN first found no
 * listener of its sidecar; gone when one listens again. */

/*
 * Joining (docs/adr/0008): both ends of a connection on this node hand their bytes from socket to
 * socket. All of it is written by the kernel. A socket lies in one of two sockhashes and has a
 * record under the same key: struct weir_tuple with src and sport its own, dst and dport the
 * other's, netns the cookie if an address is a loopback one, else 0 (decisions.md 18).
 *
 * weir_join: SOCKHASH. Sidecars, and applications that are only written through it.
 * weir_join_app: SOCKHASH with a verdict on received bytes, so that FIONREAD stays right:
 * applications that are declared.
 * weir_join_at: HASH -> struct weir_join_at_value, of the socket as a reader.
 * weir_join_sock: SK_STORAGE -> struct weir_join_sock_value, of the socket as a writer.
 */
struct weir_join_at_value {
    __u64 sk;       /* kernel address, followed by probe reads only, and never without the cookie */
    __u64 cookie;   /* of the socket that was at sk */
    __u64 writer;   /* kernel address of its weir_join_sock value; as alive as the socket is */
    __u64 bytes_in; /* joined bytes it was handed by a writer that has closed */
    __u32 reader;   /* WEIR_JOIN_TO_* */
    __u32 pad;
};
#define WEIR_JOIN_TO_NONE 0u /* it may splice: it is never handed joined bytes */
#define WEIR_JOIN_TO_OWN  1u /* it is in weir_join */
#define WEIR_JOIN_TO_APP  2u /* it is in weir_join_app */
WEIR_ABI_SIZE(weir_join_at_value, 40);
WEIR_ABI_AT(weir_join_at_value, sk, 0);
WEIR_ABI_AT(weir_join_at_value, cookie, 8);
WEIR_ABI_AT(weir_join_at_value, writer, 16);
WEIR_ABI_AT(weir_join_at_value, bytes_in, 24);
WEIR_ABI_AT(weir_join_at_value, reader, 32);
WEIR_ABI_AT(weir_join_at_value, pad, 36);

struct weir_join_sock_value {
    struct weir_tuple peer; /* key of the other end */
    __u64 sk;               /* this socket's own address */
    __u64 peer_sk;          /* while joined: the other end's address and cookie */
    __u64 peer_cookie;
    __u64 bytes_out; /* joined */
    __u64 epoch;     /* policy epoch under which it may be joined */
    __u32 messages;  /* handed over since the reader was last seen with nothing unread */
    __u8 state;      /* WEIR_JOIN_* */
    __u8 misses;     /* times the other end was not there */
    __u8 last;       /* enum weir_reason it was last refused for, counted once in a row */
    __u8 policed;    /* a change of policy may end it */
    __u32 reader;    /* while joined: WEIR_JOIN_TO_* of the other end */
    __u32 bytes;     /* as messages: the bound where the kernel does not count what is unread */
};
#define WEIR_JOIN_TCP   0 /* its bytes go by TCP; joined again when the other end has read them all */
#define WEIR_JOIN_ON    1
#define WEIR_JOIN_NEVER 2
WEIR_ABI_SIZE(weir_join_sock_value, 104);
WEIR_ABI_AT(weir_join_sock_value, peer, 0);
WEIR_ABI_AT(weir_join_sock_value, sk, 48);
WEIR_ABI_AT(weir_join_sock_value, peer_sk, 56);
WEIR_ABI_AT(weir_join_sock_value, peer_cookie, 64);
WEIR_ABI_AT(weir_join_sock_value, bytes_out, 72);
WEIR_ABI_AT(weir_join_sock_value, epoch, 80);
WEIR_ABI_AT(weir_join_sock_value, messages, 88);
WEIR_ABI_AT(weir_join_sock_value, state, 92);
WEIR_ABI_AT(weir_join_sock_value, misses, 93);
WEIR_ABI_AT(weir_join_sock_value, last, 94);
WEIR_ABI_AT(weir_join_sock_value, policed, 95);
WEIR_ABI_AT(weir_join_sock_value, reader, 96);
WEIR_ABI_AT(weir_join_sock_value, bytes, 100);

/* Unread joined bytes of one socket, and messages (each costs the kernel about 1 KiB beside its
 * bytes): beyond either, TCP. */
#define WEIR_JOIN_BYTES    (1024u * 1024u)
#define WEIR_JOIN_MESSAGES 1024u
#define WEIR_JOIN_MISSES   8u
/* Messages that are counted of one queue when it is looked at. */
#define WEIR_JOIN_WALK (2u * WEIR_JOIN_MESSAGES)

/* Answer of the program weir_join_look. */
struct weir_join_look {
    __u64 sockets, joined;    /* that may be joined; whose writes are at the moment */
    __u64 queued, queued_max; /* bytes unread: of all, of the one with most */
};
WEIR_ABI_SIZE(weir_join_look, 32);
WEIR_ABI_AT(weir_join_look, sockets, 0);
WEIR_ABI_AT(weir_join_look, joined, 8);
WEIR_ABI_AT(weir_join_look, queued, 16);
WEIR_ABI_AT(weir_join_look, queued_max, 24);

/* weir_count: PERCPU_ARRAY of __u64, index enum weir_reason (flow.h). weir_events, weir_denials:
 * RINGBUF (flow.h). */

#endif
