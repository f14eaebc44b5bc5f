/* SPDX-License-Identifier: Apache-2.0 */
/* Names of `--to` hosts at start. Blocks: never called on a data thread. */
#ifndef WEIR_IO_RESOLVE_H
#define WEIR_IO_RESOLVE_H

#include "conf/model.h"

/*
 * Up to max distinct addresses of host (a name, an IPv4 or IPv6 address, or [IPv6]), in the
 * resolver's order, for TCP to port. 0, -ENOENT = no such name or no address, -EAGAIN = the
 * resolver cannot say now, -EINVAL = not a name, -ENOMEM, -EIO.
 */
int weir_resolve(const char *host, uint16_t port, struct weir_ip *ret_ips, unsigned max,
                 unsigned *ret_n);

#endif
