/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of small values beyond what snapshot.h already declares. Every function: 0 or
 * -EINVAL, nothing written on failure.
 */
#ifndef WEIR_CONF_PARSE_H
#define WEIR_CONF_PARSE_H

#include "base/slice.h"
#include "conf/snapshot.h"

/* As weir_parse_ip, for text that is not NUL-terminated. */
int weir_ip_parse(struct weir_slice s, struct weir_ip *ret_ip);
/* "10.0.0.0/8", "fd00::/8". Host bits are kept as written; see weir_cidr_mask. */
int weir_parse_cidr(const char *text, struct weir_cidr *ret_cidr);
/* Clears the bits behind the prefix. */
void weir_cidr_mask(struct weir_cidr *cidr);
/* Gateway API duration (GEP-2257): "10s", "1m30s", "500ms", "0s". */
int weir_parse_duration(const char *text, uint64_t *ret_us);
/* RFC 3339 date-time, as in creationTimestamp; seconds since the epoch. */
int weir_parse_time(const char *text, uint64_t *ret_seconds);

#endif
