/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded regular expression. Gateway API leaves the dialect and the anchoring of
 * RegularExpression matches to the implementation: here it is PCRE2 on bytes, and the *whole* text
 * has to match. A match that exceeds its limits counts as no match.
 */
#ifndef WEIR_ROUTE_REGEX_H
#define WEIR_ROUTE_REGEX_H

#include "base/err.h"
#include "base/slice.h"

struct weir_regex_set;
struct weir_regex;

/* Owns its expressions and the scratch memory for matching; may be used by several threads once
 * built. */
int weir_regex_set_new(struct weir_regex_set **ret_set);
/* Takes NULL; returns NULL. */
struct weir_regex_set *weir_regex_set_free(struct weir_regex_set *s);
/* The pattern is borrowed until return. 0, -ENOMEM, -EINVAL (not an expression). */
int weir_regex_add(struct weir_regex_set *s, struct weir_slice pattern, struct weir_regex **ret_re);
bool weir_regex_matches(struct weir_regex_set *s, const struct weir_regex *re,
                        struct weir_slice text);

#endif
