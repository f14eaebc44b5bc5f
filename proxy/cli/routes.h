/* SPDX-License-Identifier: Apache-2.0 */
/* How a decision about a request is printed, for the verbs that ask for one (routes, explain). */
#ifndef WEIR_CLI_ROUTES_H
#define WEIR_CLI_ROUTES_H

#include <jansson.h>

#include "cli/verb.h"

/* The object of weir_routes_try as text; `all`: every rule passed over, not only the nearest. */
void weir_print_trial(const json_t *trial, bool all);
/* "METHOD URL": both parts, NUL-terminated in buf. False: not of that form. */
bool weir_split_request(const char *text, char *buf, size_t size, const char **ret_method,
                        const char **ret_url);

#endif
