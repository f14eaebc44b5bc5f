/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY protocol (haproxy's doc/proxy-protocol.txt), versions 1 and 2: whom a connection is really from, said by the hop before it in front of
 * everything else. Whose word counts is the caller's knowledge. Addresses in 16 bytes, IPv4 mapped, network order; ports in host order.
 */
#ifndef WEIR_HTTP_PROXYPROTO_H
#define WEIR_HTTP_PROXYPROTO_H

#include "base/slice.h"

/* A version 2 header with more in its tail than this is refused. */
#define WEIR_PROXY_HEADER_MAX 4096u
/* What weir_proxy_write needs. */
#define WEIR_PROXY_WRITE_MAX 128u

struct weir_proxy_header {
    size_t len; /* bytes it took */
    bool known; /* false: LOCAL or UNKNOWN, the addresses of the connection itself count */
    uint8_t src[16], dst[16];
    uint16_t src_port, dst_port;
};

/* 0, -EAGAIN = more bytes are needed, -EPROTO = this is no such header, or not a correct one. */
int weir_proxy_parse(struct weir_slice bytes, struct weir_proxy_header *ret_header);
/* Writes one; version 1 or 2. An unknown source is said so. Returns its length. */
size_t weir_proxy_write(char *buf, unsigned version, const struct weir_proxy_header *header);

#endif
