/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names in egress rules (docs/adr/0017): which names a pod's rules speak of, whom it may ask, and to
 * which addresses the answers it was given bind a name. Part of the contract of maps.h, which says
 * who writes what when.
 */
#ifndef WEIR_ABI_DNS_H
#define WEIR_ABI_DNS_H

#include "weir/abi/types.h"

/*
 * weir_dns_pattern: LPM_TRIE -> __u32 id of the pattern (weir_name, WEIR_NAME_DNS). The name is lower case, without a
 * dot at the end, and backwards, for the longest prefix to be the narrowest pattern. Example for pod 3:
 *   "api.example.com" is {.prefix = 32 + 8 * 16, .pod = 3, "moc.elpmaxe.ipa\0"}, its end included;
 *   "*.example.com", one label or more, is {.prefix = 32 + 8 * 12, .pod = 3, "moc.elpmaxe."}.
 */
#define WEIR_DNS_NAME_BYTES 252u /* the trie takes 256 with the pod; 251 characters and the end */
struct weir_dns_pattern_key {
    __u32 prefix; /* 32 bits of pod + those of the name; bytes after it are zero */
    __u32 pod;
    char name[WEIR_DNS_NAME_BYTES];
};
WEIR_ABI_SIZE(weir_dns_pattern_key, 260);
WEIR_ABI_AT(weir_dns_pattern_key, prefix, 0);
WEIR_ABI_AT(weir_dns_pattern_key, pod, 4);
WEIR_ABI_AT(weir_dns_pattern_key, name, 8);

/* In weir_idset a pattern stands with this bit, so that it never is taken for an identity. */
#define WEIR_DNS_MEMBER 0x80000000u

/* weir_dns_server: HASH -> __u8 1. Whose answers a pod's bindings are made from, as they are on the
 * wire: for a service its endpoints as well. */
struct weir_dns_server_key {
    struct weir_addr addr;
    __u32 pod;
    __u16 port;
    __u16 pad;
};
WEIR_ABI_SIZE(weir_dns_server_key, 24);
WEIR_ABI_AT(weir_dns_server_key, addr, 0);
WEIR_ABI_AT(weir_dns_server_key, pod, 16);
WEIR_ABI_AT(weir_dns_server_key, port, 20);
WEIR_ABI_AT(weir_dns_server_key, pad, 22);

/* weir_dns_setting: ARRAY of one. All zero: no pod here has rules with names. */
struct weir_dns_setting {
    __u32 pods;      /* that have rules with names */
    __u32 min_ttl_s; /* what an answer says is made at least this, */
    __u32 max_ttl_s; /* at most this, */
    __u32 grace_s;   /* and then so much longer */
    __u32 addresses; /* bound for one pod at most */
};
WEIR_ABI_SIZE(weir_dns_setting, 20);
WEIR_ABI_AT(weir_dns_setting, pods, 0);
WEIR_ABI_AT(weir_dns_setting, min_ttl_s, 4);
WEIR_ABI_AT(weir_dns_setting, max_ttl_s, 8);
WEIR_ABI_AT(weir_dns_setting, grace_s, 12);
WEIR_ABI_AT(weir_dns_setting, addresses, 16);

/*
 * weir_dns_bound: HASH, kernel; the agent deletes what has run out. An address that was answered to a pod, and the
 * patterns whose names it was answered for. What has run out allows nothing new, unless a socket to it was seen a
 * moment ago (kept_ns); sockets that exist are judged by what still is in the map.
 */
struct weir_dns_bound_key {
    struct weir_addr addr;
    __u32 pod;
};
struct weir_dns_slot {
    __u32 pattern; /* 0 = free */
    __u32 until_s; /* CLOCK_MONOTONIC */
};
#define WEIR_DNS_SLOTS   16u
#define WEIR_DNS_KEEP_NS 30000000000ull /* three sweeps of the agent */
struct weir_dns_bound_value {
    __u64 kept_ns; /* CLOCK_MONOTONIC: a socket to it was made, or seen by a walk */
    struct weir_dns_slot slots[WEIR_DNS_SLOTS];
    char asked[WEIR_DNS_NAME_BYTES]; /* the name that first gave it; NUL-terminated */
    __u32 pad;
};
WEIR_ABI_SIZE(weir_dns_bound_key, 20);
WEIR_ABI_AT(weir_dns_bound_key, addr, 0);
WEIR_ABI_AT(weir_dns_bound_key, pod, 16);
WEIR_ABI_SIZE(weir_dns_slot, 8);
WEIR_ABI_AT(weir_dns_slot, pattern, 0);
WEIR_ABI_AT(weir_dns_slot, until_s, 4);
WEIR_ABI_SIZE(weir_dns_bound_value, 392);
WEIR_ABI_AT(weir_dns_bound_value, kept_ns, 0);
WEIR_ABI_AT(weir_dns_bound_value, slots, 8);
WEIR_ABI_AT(weir_dns_bound_value, asked, 136);
WEIR_ABI_AT(weir_dns_bound_value, pad, 388);

/* Does the slot say anything at that time? `lives`: of a socket that exists, under which nothing runs out. */
static inline __attribute__((always_inline, unused)) int
weir_dns_slot_holds(const struct weir_dns_bound_value *v, const struct weir_dns_slot *slot,
                    int lives, __u64 now_ns) {
    if (slot->pattern == 0)
        return 0;
    return lives || slot->until_s * 1000000000ull >= now_ns ||
           (v->kept_ns != 0 && now_ns < v->kept_ns + WEIR_DNS_KEEP_NS);
}

/* weir_dns_used: HASH. Key: __u32 pod, value __u32: addresses bound for it. Grown by the kernel, set right by
 * every sweep of the agent. */

/* weir_dns_stream: SK_STORAGE, kernel. Where in a TCP connection to a server the next message begins. */
struct weir_dns_stream {
    __u32 next; /* sequence number */
    __u32 state;
};
#define WEIR_DNS_STREAM_NEW  0u
#define WEIR_DNS_STREAM_ON   1u
#define WEIR_DNS_STREAM_LOST 2u /* a segment came out of order: no message is found any more */
WEIR_ABI_SIZE(weir_dns_stream, 8);
WEIR_ABI_AT(weir_dns_stream, next, 0);
WEIR_ABI_AT(weir_dns_stream, state, 4);

/* weir_dns_count: PERCPU_ARRAY of __u64. Answers of a pod's servers to pods that have rules with names, by what
 * came of them, and addresses. Append only; names for people: weir_dns_count_name(). */
enum weir_dns_count {
    WEIR_DNS_ANSWERS,   /* read */
    WEIR_DNS_OTHER,     /* for a name or of a type that no rule speaks of */
    WEIR_DNS_BOUND,     /* addresses bound anew */
    WEIR_DNS_RENEWED,   /* addresses bound before */
    WEIR_DNS_UNASKED,   /* refused: this socket has not asked that server */
    WEIR_DNS_TRUNCATED, /* nothing taken: the server says there is more (TC) */
    WEIR_DNS_MALFORMED, /* nothing, or not all, taken: it is no whole DNS answer */
    WEIR_DNS_LONG,      /* not all taken: longer than WEIR_DNS_MESSAGE, or cut by TCP */
    WEIR_DNS_MANY,      /* not all taken: more than WEIR_DNS_RECORDS records */
    WEIR_DNS_ADDRESS,   /* addresses refused: no rule with names can allow such a one */
    WEIR_DNS_FULL,      /* addresses refused: the pod, or the node, has too many */
    WEIR_DNS_SHARED,    /* names refused: the address has WEIR_DNS_SLOTS other ones */
    WEIR_DNS_COUNTS_,
};
#define WEIR_DNS_COUNT_SLOTS 32u

#define WEIR_DNS_MESSAGE 4096u /* bytes of a message that are read */
#define WEIR_DNS_RECORDS 128u  /* of its answer section */

#endif
