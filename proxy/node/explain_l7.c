/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second half of an explanation: what the sidecar's routes make of a request on a flow that the kernel was asked about. The
 * same tables and the same comparisons as in a proxy (core/routes.h), over the agent's own documents.
 */
#include <string.h>

#include "base/mem.h"
#include "core/routes.h"
#include "node/explain_rules.h"
#include "node/state.h"

/* "METHOD\tURL[\tNAME: VALUE]...", taken apart in place. */
static const char *read_request(char *text, struct weir_routes_ask *ask) {
    char *save = NULL, *line;

    ask->method = strtok_r(text, "\t", &save);
    ask->url = strtok_r(NULL, "\t", &save);
    if (!ask->method || !ask->url)
        return "METHOD URL";
    while ((line = strtok_r(NULL, "\t", &save)) != NULL)
        if (!weir_routes_add_header(ask, weir_slice_from_str(line)))
            return "a header is not NAME: VALUE, or there are too many";
    return NULL;
}

static int ask_routes(const struct weir_snapshot *s, const struct weir_routes_ask *ask,
                      struct weir_textbuf *out) {
    struct weir_chunk_pool pool;
    struct weir_bufq answer;
    struct iovec iov;
    int r;

    weir_chunk_pool_init(&pool, 4);
    weir_bufq_init(&answer, &pool, 0);
    r = weir_routes_try(s, ask, &answer);
    weir_textbuf_name(out, "request");
    if (r < 0)
        weir_textbuf_add(out, "null", 4);
    while (r >= 0 && weir_bufq_peek(&answer, &iov, 1) == 1) {
        bool last = iov.iov_len == answer.len; /* its newline would end ours */

        weir_textbuf_add(out, iov.iov_base, iov.iov_len - last);
        weir_bufq_consume(&answer, iov.iov_len);
    }
    weir_bufq_deinit(&answer);
    weir_chunk_pool_deinit(&pool);
    return r < 0 ? r : 0;
}

const char *weir_agent_explain_request(const struct weir_snapshot *s,
                                       const struct weir_explained *flow, char *request,
                                       struct weir_textbuf *out) {
    struct weir_routes_ask ask = { .from = flow->source[0] ? flow->source : NULL,
                                   .service = flow->service,
                                   .port = flow->port };
    const char *problem = read_request(request, &ask);

    if (problem)
        return problem;
    if (!flow->port)
        return "the destination is no Service: no route is asked about it";
    if (!flow->port->l7)
        return "the port is not HTTP to weir (appProtocol, its name, or a route): the kernel "
               "carries it";
    return ask_routes(s, &ask, out) < 0 ? strerror(ENOMEM) : NULL;
}
