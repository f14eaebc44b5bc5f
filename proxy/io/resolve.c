/* SPDX-License-Identifier: Apache-2.0 */
/* getaddrinfo(3) with weir's addresses and weir's results. Keeps nothing; a name is asked once,
 * before workers start. */
#include "io/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

#include "base/err.h"
#include "io/addr.h"

#define HOST_MAX 255

static int result_of(int eai) {
    switch (eai) {
    case 0:
        return 0;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
    case EAI_FAIL:
        return -ENOENT;
    case EAI_SYSTEM:
        return errno ? -errno : -EIO;
    default:
        return -EIO;
    }
}

static bool seen(const struct weir_ip *ips, unsigned n, const struct weir_ip *ip) {
    for (unsigned i = 0; i < n; i++)
        if (memcmp(&ips[i], ip, sizeof(*ip)) == 0)
            return true;
    return false;
}

int weir_resolve(const char *host, uint16_t port, struct weir_ip *ret_ips, unsigned max,
                 unsigned *ret_n) {
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    char name[HOST_MAX + 1];
    size_t len = strlen(host);
    unsigned n = 0;
    int r;

    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len == 0 || len > HOST_MAX || port == 0 || max == 0)
        return -EINVAL;
    memcpy(name, host, len);
    name[len] = 0;
    r = result_of(getaddrinfo(name, NULL, &hints, &list));
    if (r < 0)
        return r;
    for (struct addrinfo *it = list; it && n < max; it = it->ai_next) {
        struct sockaddr_storage sa = { 0 };
        struct weir_ip ip;
        uint16_t none;

        memcpy(&sa, it->ai_addr, it->ai_addrlen);
        if (weir_addr_from_sockaddr(&sa, &ip, &none) && !seen(ret_ips, n, &ip))
            ret_ips[n++] = ip;
    }
    freeaddrinfo(list);
    if (n == 0)
        return -ENOENT;
    *ret_n = n;
    return 0;
}
