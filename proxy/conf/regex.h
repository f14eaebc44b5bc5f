/* SPDX-License-Identifier: Apache-2.0 */
/* Does a pattern compile? So that a bad one is refused with its place and route/ never meets it. */
#ifndef WEIR_CONF_REGEX_H
#define WEIR_CONF_REGEX_H

#include <stddef.h>

enum { WEIR_REGEX_BAD = 1 };

/* 0, -ENOMEM or WEIR_REGEX_BAD with PCRE2's words and the offset in the pattern. */
int weir_regex_check(const char *pattern, char *message, size_t size, size_t *ret_offset);

#endif
