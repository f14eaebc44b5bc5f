/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one place where weir's 16-byte addresses (IPv4 held v4-mapped) become the kernel's two
 * families and come back. A v4-mapped address always gets an AF_INET socket, so that it can reach
 * IPv4 peers on hosts without IPv6.
 */
#include "io/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool weir_addr_is_v4(const struct weir_ip *ip) {
    return memcmp(ip->b, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

socklen_t weir_addr_to_sockaddr(const struct weir_ip *ip, uint16_t port,
                                struct sockaddr_storage *ret_sa) {
    memset(ret_sa, 0, sizeof(*ret_sa));
    if (weir_addr_is_v4(ip)) {
        struct sockaddr_in *sin = (struct sockaddr_in *)ret_sa;

        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
        memcpy(&sin->sin_addr, ip->b + sizeof(mapped_prefix), sizeof(sin->sin_addr));
        return sizeof(*sin);
    }

    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ret_sa;

    sin6->sin6_family = AF_INET6;
    sin6->sin6_port = htons(port);
    memcpy(&sin6->sin6_addr, ip->b, sizeof(sin6->sin6_addr));
    return sizeof(*sin6);
}

bool weir_addr_from_sockaddr(const struct sockaddr_storage *sa, struct weir_ip *ret_ip,
                             uint16_t *ret_port) {
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *sin = (const struct sockaddr_in *)sa;

        memcpy(ret_ip->b, mapped_prefix, sizeof(mapped_prefix));
        memcpy(ret_ip->b + sizeof(mapped_prefix), &sin->sin_addr, sizeof(sin->sin_addr));
        *ret_port = ntohs(sin->sin_port);
        return true;
    }
    if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)sa;

        memcpy(ret_ip->b, &sin6->sin6_addr, sizeof(sin6->sin6_addr));
        *ret_port = ntohs(sin6->sin6_port);
        return true;
    }
    return false;
}
