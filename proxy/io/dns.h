/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses, asked of name servers without blocking (c-ares): /etc/hosts first, then the servers, by UDP and by TCP
 * where an answer does not fit, as /etc/resolv.conf says (search list, ndots, rotate). One asker belongs to one loop.
 */
#ifndef WEIR_IO_DNS_H
#define WEIR_IO_DNS_H

#include "io/loop.h"

#define WEIR_DNS_ADDRESSES 64u /* of one name; those beyond are not used */

struct weir_dns;

/*
 * r: 0 = there are addresses; -ENOENT = there is no such name, or it has no address (a server said so); anything else = nobody could say:
 * -ETIMEDOUT, -ECONNREFUSED, -EIO (SERVFAIL, REFUSED), -EBADMSG (garbage), -ENOMEM, -ECANCELED (weir_dns_free).
 */
struct weir_dns_answer {
    int r;
    const char *why;           /* of r, for a person; static */
    const struct weir_ip *ips; /* distinct; borrowed for the call */
    uint32_t n;
    uint64_t ttl_us; /* the least of all records'; 0 from /etc/hosts */
};
typedef void weir_dns_fn(void *arg, const struct weir_dns_answer *answer);

struct weir_dns_params {
    const char *servers; /* "ADDR[:PORT],..." with [v6]:PORT; "" = those of /etc/resolv.conf */
    uint64_t timeout_us; /* of the first try at a server; later ones take longer */
    unsigned tries;      /* of each server */
};

/* 0, -ENOMEM, -EINVAL = servers, -EIO = c-ares does not start. */
int weir_dns_new(struct weir_loop *loop, const struct weir_dns_params *params,
                 struct weir_dns **ret_dns);
/* Asks for A and AAAA. fn is called once, perhaps from within (what /etc/hosts knows needs no question); not after weir_dns_free. */
void weir_dns_ask(struct weir_dns *dns, const char *host, weir_dns_fn *fn, void *arg);
/* What is under way is forgotten: its fn is called with -ECANCELED from within. Takes NULL, returns NULL; not from within fn. */
struct weir_dns *weir_dns_free(struct weir_dns *dns);

#endif
