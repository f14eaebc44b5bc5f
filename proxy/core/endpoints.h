/* SPDX-License-Identifier: Apache-2.0 */
/* From names to endpoints: a runtime's endpoints have addresses. */
#ifndef WEIR_CORE_ENDPOINTS_H
#define WEIR_CORE_ENDPOINTS_H

#include "base/arena.h"
#include "conf/model.h"

/* What is known of names. fn NULL = nothing. */
struct weir_lookup {
    /* Distinct addresses of a name, NULL = none; borrowed until the names change. */
    const struct weir_ip *(*fn)(void *arg, const char *host, uint32_t *ret_n);
    void *arg;
};

/* A list that grows in an arena. */
struct weir_endpoints {
    struct weir_arena *arena;
    struct weir_lookup lookup;
    struct weir_endpoint *items;
    uint32_t n, cap;
};

/* An endpoint that has an address. 0 or -ENOMEM. */
int weir_endpoints_add(struct weir_endpoints *h, const struct weir_endpoint *e);
/*
 * An endpoint known by e->host. A name with addresses of one family is an endpoint for each of them; a name with both is
 * one, whose `ips` are tried in the order of RFC 8305 4: families in turn, IPv6 first. 0 or -ENOMEM.
 */
int weir_endpoints_resolve(struct weir_endpoints *h, const struct weir_endpoint *e);

#endif
