/* SPDX-License-Identifier: Apache-2.0 */
/* Cookies (RFC 6265) as far as a persistent session needs them. Pure; nothing is copied. */
#ifndef WEIR_ROUTE_COOKIE_H
#define WEIR_ROUTE_COOKIE_H

#include "conf/model.h"
#include "http/head.h"

/*
 * The values of the cookies of that name, in the order in which they were sent: *at is zeroed for the first call. False = there
 * are no more. A cookie's name is case-sensitive; a value in double quotes comes without them.
 */
struct weir_cookie_at {
    uint16_t field;
    struct weir_slice rest; /* of that field's value */
};
bool weir_cookie_next(const struct weir_head *req, struct weir_slice name,
                      struct weir_cookie_at *at, struct weir_slice *ret_value);
/* Does the answer set a cookie of that name? */
bool weir_cookie_is_set(const struct weir_head *res, struct weir_slice name);
/*
 * The Path attribute for what a match matches (GEP-1619): an Exact or PathPrefix path, the longest prefix of whole elements that
 * an expression fixes, else "/". Never has a byte that would end the attribute. Borrowed from the match, or static.
 */
struct weir_slice weir_cookie_path(const struct weir_route_match *match);

#endif
