/* SPDX-License-Identifier: Apache-2.0 */
/* Is this text a name of that kind? Kubernetes' rules (apimachinery validation), HTTP's for header
 * names. */
#ifndef WEIR_CONF_SYNTAX_H
#define WEIR_CONF_SYNTAX_H

#include <stdbool.h>

bool weir_is_dns_label(const char *s);     /* RFC 1123: a-z 0-9 '-', 1..63 */
bool weir_is_dns_subdomain(const char *s); /* labels joined by '.', up to 253 */
bool weir_is_label_key(const char *s);     /* [prefix/]name */
bool weir_is_label_value(const char *s);   /* "" or up to 63 of A-Za-z0-9-_. */
bool weir_is_port_name(const char *s);     /* a-z 0-9 '-', up to 63, with a letter */
bool weir_is_token(const char *s);         /* RFC 9110 5.6.2, 1..256 */
bool weir_is_field_value(
    const char *s); /* RFC 9110 5.5: no control character but HTAB, not blank at the ends */
/* "api.example.com"; "*.example.com" when wildcards are allowed. Never an address. */
bool weir_is_hostname(const char *s, bool wildcard);
/* Absolute path without "", "." and ".." segments, not "/" itself. */
bool weir_is_clean_path(const char *s);

#endif
