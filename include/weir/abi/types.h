/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ground of the contract between kernel and user code: integer types that mean the same to
 * clang -target bpf and to the host compiler, the one address type, and the macros that hold each
 * layout.
 *
 * Byte order, everywhere in include/weir/abi: an address is sixteen bytes in network order, IPv4 as
 * ::ffff:a.b.c.d; every port is a number in HOST order; everything else is host order.
 * Example: 10.96.0.7:80 is {0, 0, 0,0xff,0xff-mapped bytes ..., 10, 96, 0, 7} and port 80 (not
 * htons(80)). A struct in this folder has explicit, zeroed padding: keys are compared byte by byte.
 */
#ifndef WEIR_ABI_TYPES_H
#define WEIR_ABI_TYPES_H

#ifdef __bpf__
typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef __u16 __sum16;
#else
#include <linux/types.h>
#endif

/* Stops the build of either side when a layout moves: bump WEIR_LAYOUT_VERSION (maps.h) and say so
 * in docs/adr. */
#define WEIR_ABI_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)
#define WEIR_ABI_AT(type, field, offset)                                                           \
    _Static_assert(__builtin_offsetof(struct type, field) == (offset), #type "." #field)

/* One address, network byte order, IPv4 v4-mapped. Same bytes as struct weir_ip of proxy/conf. */
struct weir_addr {
    __be32 w[4];
};
WEIR_ABI_SIZE(weir_addr, 16);
WEIR_ABI_AT(weir_addr, w, 0);

#define WEIR_IPPROTO_TCP 6
#define WEIR_IPPROTO_UDP 17

/* Fixed ports of a sidecar (host order). */
#define WEIR_PORT_OUTBOUND 15001
#define WEIR_PORT_INBOUND  15006

static inline __attribute__((always_inline)) int weir_addr_equal(const struct weir_addr *a,
                                                                 const struct weir_addr *b) {
    return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

/* The third word of a v4-mapped address (0x0000ffff in network order). */
#define WEIR_V4_MARK ((__be32)(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0xffff0000u : 0xffffu))

static inline __attribute__((always_inline)) int weir_addr_is_v4(const struct weir_addr *a) {
    return a->w[0] == 0 && a->w[1] == 0 && a->w[2] == WEIR_V4_MARK;
}

/* The first byte in memory of a word in network order. */
static inline __attribute__((always_inline)) __u8 weir_addr_first(__be32 word) {
    return (__u8)(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? word & 0xffu : word >> 24);
}

/* 127.0.0.0/8 (also v4-mapped) or ::1. */
static inline __attribute__((always_inline)) int weir_addr_is_loopback(const struct weir_addr *a) {
    const __be32 one = (__be32)(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0x01000000u : 1u);

    if (weir_addr_is_v4(a))
        return weir_addr_first(a->w[3]) == 127;
    return a->w[0] == 0 && a->w[1] == 0 && a->w[2] == 0 && a->w[3] == one;
}

/*
 * The reserved destination whose call must be seen and refused by the connect programs, wherever they
 * are (TEST-NET-1 of RFC 5737, the discard prefix of RFC 6666): 192.0.2.249 and 100::7765:6972.
 */
#define WEIR_CANARY_PORT         9
#define WEIR_CANARY_WORD(le, be) ((__be32)(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? (le) : (be)))
#define WEIR_CANARY_V4                                                                             \
    {                                                                                              \
        { 0, 0, WEIR_V4_MARK, WEIR_CANARY_WORD(0xf90200c0u, 0xc00002f9u) }                         \
    }
#define WEIR_CANARY_V6                                                                             \
    {                                                                                              \
        {                                                                                          \
            WEIR_CANARY_WORD(0x00000001u, 0x01000000u), 0, 0,                                      \
                WEIR_CANARY_WORD(0x72696577u, 0x77656972u)                                         \
        }                                                                                          \
    }

static inline __attribute__((always_inline)) int weir_addr_is_canary(const struct weir_addr *a) {
    const struct weir_addr v4 = WEIR_CANARY_V4, v6 = WEIR_CANARY_V6;

    return weir_addr_equal(a, &v4) || weir_addr_equal(a, &v6);
}

/* 0.0.0.0 or ::, which the kernel reads as loopback when it is a destination. */
static inline __attribute__((always_inline)) int weir_addr_is_any(const struct weir_addr *a) {
    return a->w[0] == 0 && a->w[1] == 0 && (a->w[2] == 0 || a->w[2] == WEIR_V4_MARK) &&
           a->w[3] == 0;
}

#endif
