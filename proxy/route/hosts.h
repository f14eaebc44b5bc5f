/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostname -> anything, as Gateway API matches them: the exact name, else the longest wildcard ("*.example.com" covers every name
 * below example.com, not itself), else "any". Filled once, then only read.
 */
#ifndef WEIR_ROUTE_HOSTS_H
#define WEIR_ROUTE_HOSTS_H

#include "base/arena.h"
#include "base/htab.h"

struct weir_hosts {
    struct weir_htab table;
    struct weir_arena *arena;
};

/* The entries go into the arena, which must outlive them. */
void weir_hosts_init(struct weir_hosts *hosts, struct weir_arena *arena);
void weir_hosts_deinit(struct weir_hosts *hosts);
/*
 * host: lower case, "*." in front allowed, "" = any; borrowed. 0, -ENOMEM, -EEXIST with *ret_value (may be NULL) what holds the name:
 * it may be exchanged through the pointer.
 */
int weir_hosts_add(struct weir_hosts *hosts, const char *host, void *value, void ***ret_value);
/* host: without port, any case; empty = none was said, which only "any" covers. NULL = nothing covers it. */
void *weir_hosts_find(const struct weir_hosts *hosts, struct weir_slice host);

/*
 * What two hostnames both cover (a listener's and a route's): the narrower of the two, NULL = nothing. Borrowed from the arguments.
 */
const char *weir_hosts_common(const char *a, const char *b);
/* How specific a hostname is, for Gateway API's precedence: exact names above wildcards, longer ones above shorter, "" lowest. */
unsigned weir_hosts_rank(const char *host);

#endif
