/* SPDX-License-Identifier: Apache-2.0 */
#include "core/admin.h"

static int get(const struct weir_admin *a, const struct weir_server_request *req,
               struct weir_bufq *body, const char **ret_type) {
    enum weir_admin_scope scope = *(const enum weir_admin_scope *)req->listener;
    struct weir_slice path = weir_head_path(req->head);
    const char *why = "";

    if ((scope & WEIR_ADMIN_METRICS) && weir_slice_eq(path, WEIR_SLICE("/metrics"))) {
        *ret_type = "text/plain; version=0.0.4; charset=utf-8";
        return a->ops->metrics(a->arg, body) < 0 ? 500 : 200;
    }
    if ((scope & WEIR_ADMIN_HEALTH) && weir_slice_eq(path, WEIR_SLICE("/live")))
        return weir_bufq_append(body, WEIR_SLICE("live\n")) < 0 ? 500 : 200;
    if ((scope & WEIR_ADMIN_HEALTH) && weir_slice_eq(path, WEIR_SLICE("/ready"))) {
        bool ready = a->ops->ready(a->arg, &why);

        (void)weir_bufq_append(body, weir_slice_from_str(ready ? "ready" : why));
        (void)weir_bufq_append(body, WEIR_SLICE("\n"));
        return ready ? 200 : 503;
    }
    if (scope == WEIR_ADMIN_ALL && weir_slice_eq(path, WEIR_SLICE("/status"))) {
        *ret_type = "application/json";
        return a->ops->status(a->arg, body) < 0 ? 500 : 200;
    }
    if (scope == WEIR_ADMIN_ALL && weir_slice_eq(path, WEIR_SLICE("/routes"))) {
        int r = a->ops->routes(a->arg, weir_head_query(req->head), body);

        *ret_type = "application/json";
        return r < 0 ? 500 : r > 0 ? 400 : 200;
    }
    (void)weir_bufq_append(body, WEIR_SLICE("weir: try /metrics /ready /live /status /routes\n"));
    return 404;
}

static int serve(void *arg, const struct weir_server_request *req, struct weir_bufq *body,
                 const char **ret_type) {
    if (req->head->method == WEIR_METHOD_GET || req->head->method == WEIR_METHOD_HEAD)
        return get(arg, req, body, ret_type);
    (void)weir_bufq_append(body, WEIR_SLICE("weir: GET or HEAD only\n"));
    return 405;
}

static void posted(void *arg) {
    struct weir_admin *a = arg;

    a->ops->posted(a->arg);
}

void weir_admin_init(struct weir_admin *a, struct weir_net *net, const struct weir_admin_ops *ops,
                     void *arg) {
    static const struct weir_server_ops server_ops = { .serve = serve, .posted = posted };

    a->ops = ops;
    a->arg = arg;
    weir_server_init(&a->server, net, &server_ops, a);
}

void weir_admin_close(struct weir_admin *a) {
    weir_server_close(&a->server);
}
