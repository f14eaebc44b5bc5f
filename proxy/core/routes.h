/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routes of a configuration for people: listed, and tried with a request. Works on a snapshot, so on files, in a proxy and in the
 * agent alike, with the tables that a runtime would use. Answers are JSON objects with a newline.
 */
#ifndef WEIR_CORE_ROUTES_H
#define WEIR_CORE_ROUTES_H

#include "base/bufq.h"
#include "conf/snapshot.h"

/* Every match of every route at each place it is attached to, in order of precedence there. 0, -ENOMEM. */
int weir_routes_list(const struct weir_snapshot *s, struct weir_bufq *out);

#define WEIR_ROUTES_HEADERS_MAX 64u

struct weir_routes_ask {
    const char *method;
    const char *url; /* http[s]://HOST[:PORT][/PATH][?QUERY] */
    const char
        *from; /* "namespace/pod" that asks; "" = the Proxy document's pod, NULL = nobody known */
    struct {
        struct weir_slice name, value;
    } headers[WEIR_ROUTES_HEADERS_MAX];
    uint32_t n_headers;
    /* Where it is asked, when that is known already; NULL = found from the URL. */
    const struct weir_service *service;
    const struct weir_service_port *port;
};
/* "name: value" into ask->headers; borrowed. False: not of that form, or too many. */
bool weir_routes_add_header(struct weir_routes_ask *ask, struct weir_slice line);
/*
 * The decision, what it was passed over for, and what of the request it read. 0, -ENOMEM, or 1 = cannot be asked: the answer is
 * {"error": why}.
 */
int weir_routes_try(const struct weir_snapshot *s, const struct weir_routes_ask *ask,
                    struct weir_bufq *out);
/* The same from a query string (url, method, from, header as often as wanted); without url the list. */
int weir_routes_query(const struct weir_snapshot *s, struct weir_slice query,
                      struct weir_bufq *out);

#endif
